//! `hanse preview`: who would get what, and why, before it is sent.

use std::path::PathBuf;

use clap::Args;
use hanse_protocol::local::{PreviewAudience, PreviewObject, PreviewReply, Readers};

use super::failure::Failure;
use super::publish::{Asked, source};
use super::text::{counted, shown, table};
use super::{Console, Exit};
use crate::client::Client;
use crate::publish::preview;

/// Show who would get what, and why
///
/// Takes what `hanse publish` takes, as much as fits one request (2,000 objects), and sends nothing. For every
/// partner: what it would get and what not, the policy that decides, what is struck out, and the text it
/// would see. `open` means that whoever joins later reads it, too.
///
/// The token that it ends with stands for all of this: `hanse publish FILE --preview TOKEN` publishes the same
/// input on the same terms if it would still go exactly so, and refuses otherwise, saying what changed.
///
/// With --json: {"token","policies","charter","records":[{"readers","objects","policies"}],"audiences":[{"partners",
/// "objects":[{"index","id","tlp","shared","open","policies","reason","wait","struck","text"}]}],"refused":[{"index",
/// "reason"}],"warnings"}; `text` is left out where it is the object as handed in. The exit code is 3 if nobody
/// would get some of the objects, 4 if nobody would get any.
#[derive(Args)]
#[command(after_long_help = "Examples:
  hanse preview incident.json
  hanse preview finding.json --to acme-water,north-cert --tlp amber")]
pub(super) struct Preview {
    /// The file to publish; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    asked: Asked,
}

impl Preview {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let reply = preview(client, source(&self.file)?, &self.asked.terms(None)).await?;
        if console.json {
            console.document(&reply)?;
        } else {
            console.say(told(&reply).trim_end())?;
        }
        for warning in &reply.warnings {
            console.note(&format!("warning: {}", shown(warning)))?;
        }
        Ok(match (reply.records.is_empty(), reply.refused.is_empty()) {
            (_, true) => Exit::Done,
            (true, false) => Exit::Refused,
            (false, false) => Exit::Partly,
        })
    }
}

fn told(reply: &PreviewReply) -> String {
    let mut text = String::new();
    for audience in &reply.audiences {
        text.push_str(&of_audience(audience));
        text.push('\n');
    }
    for refused in &reply.refused {
        text.push_str(&format!(
            "nobody gets object {}: {}\n",
            refused.index + 1,
            shown(&refused.reason)
        ));
    }
    let open = reply
        .records
        .iter()
        .any(|record| matches!(record.readers, Readers::Community(_)));
    if open {
        text.push_str("what is open is read by whoever joins later, too\n");
    }
    let records = counted(reply.records.len(), "record");
    text.push_str(&format!("{records} would be made\ntoken {}\n", reply.token));
    text
}

fn of_audience(audience: &PreviewAudience) -> String {
    let names: Vec<String> = audience.partners.iter().map(ToString::to_string).collect();
    let rows: Vec<_> = audience.objects.iter().map(row).collect();
    let mut text = format!(
        "{}\n{}",
        names.join(", "),
        table(["OBJECT", "TLP", "GETS", "WHY"], &rows)
    );
    for object in &audience.objects {
        for struck in &object.struck {
            text.push_str(&format!("  {}: {}\n", object.index + 1, shown(struck)));
        }
        if let Some(cut) = &object.text {
            text.push_str(&format!("  {} reads: {}\n", object.index + 1, shown(cut.get())));
        }
    }
    text
}

fn row(object: &PreviewObject) -> [String; 4] {
    let gets = match (object.shared, object.open, object.struck.is_empty()) {
        (false, ..) => "no",
        (true, true, _) => "yes, open",
        (true, false, true) => "yes, sealed",
        (true, false, false) => "yes, redacted",
    };
    let mut why: Vec<String> = object.policies.iter().map(|id| shown(id)).collect();
    why.extend(object.reason.as_deref().map(shown));
    if let Some(seconds) = object.wait {
        why.push(format!("is to wait {seconds} s, which this version does not do"));
    }
    [
        format!("{} {}", object.index + 1, shown(&object.id)),
        object.tlp.to_string(),
        gets.to_owned(),
        why.join("; "),
    ]
}
