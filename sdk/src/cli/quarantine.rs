//! `hanse quarantine`: what the receiving policy keeps back until somebody has looked at it.

use clap::{Args, Subcommand};
use hanse_protocol::identity::RecordId;
use hanse_protocol::local::{AcceptanceView, Accepted, QuarantinedRecord};

use super::failure::Failure;
use super::text::{bytes, facts, one_line, shown, table};
use super::{Console, Exit};
use crate::client::Client;

/// Look at what policies keep back, and decide of it
///
/// What is in quarantine is not searched, shown or told to followers here. It is held and passed on like
/// any other record, so the other members notice nothing of it. New policies change nothing of what is there
/// already; `list` tells what they would say.
#[derive(Subcommand)]
pub(super) enum Quarantine {
    List(List),
    Show(Show),
    Release(Release),
    Drop(Drop),
}

impl Quarantine {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self {
            Self::List(command) => command.run(client, console).await,
            Self::Show(command) => command.run(client, console).await,
            Self::Release(command) => command.run(client, console).await,
            Self::Drop(command) => command.run(client, console).await,
        }
    }
}

/// List what is in quarantine
///
/// With --json: {"records":[{"record":{…},"since","then":{"verdict","policies":[…],"reason"},"now":{…}}],
/// "next"}: what the policies said when it came, and what those in force now say: keep, quarantine or drop.
/// `next`, if there is more, is what --after takes. The exit code is 1 if there is nothing.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse quarantine list")]
pub(super) struct List {
    /// Go on after this record
    #[arg(long, value_name = "RECORD")]
    after: Option<RecordId>,
    /// Most records that are listed
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl List {
    async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let page = client.quarantine(self.after, self.limit).await?;
        let exit = match page.records.is_empty() {
            true => Exit::Nothing,
            false => Exit::Done,
        };
        if console.json {
            console.document(&page)?;
            return Ok(exit);
        }
        if page.records.is_empty() {
            console.note("nothing is in quarantine that this token may see")?;
            return Ok(exit);
        }
        let rows: Vec<[String; 5]> = page.records.iter().map(row).collect();
        let heads = ["SINCE", "AUTHOR", "BY", "TODAY", "RECORD"];
        console.say(&table(heads, &rows))?;
        if let Some(next) = page.next {
            console.note(&format!("there is more: --after {next}"))?;
        }
        Ok(exit)
    }
}

/// Show a record in quarantine
///
/// With --json: {"record":{…,"objects":[{"tlp","object"}]},"since","then":{"verdict","policies":[…],
/// "reason"},"now":{…}}. The exit code is 1 if it is not there, or not for this token.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse quarantine show 5f0c…9a")]
pub(super) struct Show {
    /// The record's id
    record: RecordId,
}

impl Show {
    async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let found = client.quarantined(&self.record).await?;
        if console.json {
            console.document(&found)?;
            return Ok(Exit::Done);
        }
        let record = &found.record;
        console.say(&facts(&[
            ("record", record.id.to_string()),
            ("author", record.author.to_string()),
            ("created", record.created.to_string()),
            ("expires", record.expires.to_string()),
            ("body", bytes(record.body_bytes)),
            ("since", found.since.to_string()),
            ("then", said(&found.then)),
            ("today", said(&found.now)),
        ]))?;
        for object in record.objects.iter().flatten() {
            console.say(&format!("\n{}  {}\n", object.tlp, one_line(object.object.get())))?;
        }
        Ok(Exit::Done)
    }
}

/// Release a record: it is shown from now on
///
/// Followers are told of it at the place it has from then on. What was dropped can be released, too.
///
/// With --json: {"id","position"}.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse quarantine release 5f0c…9a")]
pub(super) struct Release {
    /// The record's id
    record: RecordId,
}

impl Release {
    async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let reply = client.release(&self.record).await?;
        if console.json {
            console.document(&reply)?;
        } else {
            console.say(&format!("released {}\n", reply.id))?;
        }
        Ok(Exit::Done)
    }
}

/// Drop a record: it is not shown, and leaves quarantine
///
/// It stays on the disk until it expires, since the other members may still ask for it.
///
/// With --json: {"id","position"}.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse quarantine drop 5f0c…9a")]
pub(super) struct Drop {
    /// The record's id
    record: RecordId,
}

impl Drop {
    async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let reply = client.drop_quarantined(&self.record).await?;
        if console.json {
            console.document(&reply)?;
        } else {
            console.say(&format!("dropped {}\n", reply.id))?;
        }
        Ok(Exit::Done)
    }
}

fn row(found: &QuarantinedRecord) -> [String; 5] {
    [
        found.since.to_string(),
        found.record.author.to_string(),
        by(&found.then),
        verdict(&found.now).to_owned(),
        found.record.id.to_string(),
    ]
}

fn by(answer: &AcceptanceView) -> String {
    match answer.policies.is_empty() {
        true => "no policy".to_owned(),
        false => shown(&answer.policies.join(", ")),
    }
}

fn said(answer: &AcceptanceView) -> String {
    let reason = answer.reason.as_deref();
    let reason = reason.map_or_else(String::new, |reason| format!(": {}", shown(reason)));
    format!("{}, by {}{reason}", verdict(answer), by(answer))
}

fn verdict(answer: &AcceptanceView) -> &'static str {
    match answer.verdict {
        Accepted::Keep => "keep",
        Accepted::Quarantine => "quarantine",
        Accepted::Drop => "drop",
    }
}
