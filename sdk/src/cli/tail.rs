//! `hanse tail`: records as they become complete at the node.

use clap::Args;
use futures::StreamExt;
use hanse_protocol::local::{PAGE, RecordView};

use super::failure::Failure;
use super::text::{one_line, signed_by};
use super::{Console, Exit};
use crate::client::Client;
use crate::events::Heard;

/// Print records as they become complete
///
/// Goes on until it is stopped, and by itself when the connection is lost or the node starts
/// again, which it says once on standard error: nothing is missed or doubled. A record's position is what to go on after later. With
/// --no-follow it prints what there is and ends. Of what has expired no object is shown.
///
/// With --json one document a line: {"id","position","author","forwarded","lane","epoch","seq","equivocation",
/// "charter","created","expires","kind","replaces","body_bytes","state","objects":[{"tlp","object"}]} with
/// RFC 3339 instants; `objects` only with --objects.
#[derive(Args)]
#[command(after_long_help = "Examples:
  hanse tail
  hanse tail --after 0 --objects --json | import-into-siem
  hanse tail --after 4711 --json
  hanse tail --after 4711 --no-follow --json")]
pub(super) struct Tail {
    /// Position to go on after; 0 is the beginning. Only what is new if it is left out
    #[arg(long, value_name = "POSITION")]
    after: Option<u64>,
    /// With the objects this token may see
    #[arg(long)]
    objects: bool,
    /// End after this many records
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    /// End once everything there is now was printed, from the beginning unless --after says otherwise
    #[arg(long)]
    no_follow: bool,
}

impl Tail {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        if self.no_follow {
            return self.catch_up(client, console).await;
        }
        let mut left = self.count.unwrap_or(usize::MAX);
        let mut events = Box::pin(client.follow_events(self.after, self.objects));
        while left > 0
            && let Some(heard) = events.next().await
        {
            match heard? {
                Heard::Record(record) => {
                    print(console, &record)?;
                    left -= 1;
                }
                Heard::Away => {
                    console.note("the node is away: waiting for it, nothing will be missed")?;
                }
                Heard::Back => console.note("the node is back")?,
            }
        }
        Ok(Exit::Done)
    }

    async fn catch_up(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let mut after = self.after.unwrap_or_default();
        let mut left = self.count.unwrap_or(usize::MAX);
        loop {
            let page = client.records(after, left.clamp(1, PAGE), self.objects).await?;
            for record in page.records.iter().take(left) {
                print(console, record)?;
            }
            left = left.saturating_sub(page.records.len());
            after = page.next;
            if !page.more || left == 0 {
                return Ok(Exit::Done);
            }
        }
    }
}

fn print(console: &mut Console<'_>, record: &RecordView) -> Result<(), Failure> {
    if console.json {
        console.line(record)?;
    } else {
        console.say(&told(record))?;
    }
    console.out.flush().map_err(Failure::output)
}

fn told(record: &RecordView) -> String {
    let (kind, state) = (format!("{:?}", record.kind), format!("{:?}", record.state));
    let mut text = format!(
        "{:>8}  {}  {:<20}  {:<10}  {:<8}  {}\n",
        record.position,
        record.created,
        signed_by(&record.author, record.forwarded.as_ref()),
        kind.to_lowercase(),
        state.to_lowercase(),
        record.id
    );
    for object in record.objects.iter().flatten() {
        text.push_str(&format!(
            "          {}  {}\n",
            object.tlp,
            one_line(object.object.get())
        ));
    }
    text
}
