//! `hanse show`: one record, or the versions of one STIX object.

use clap::Args;
use hanse_protocol::identity::RecordId;
use hanse_protocol::local::RecordView;

use super::failure::Failure;
use super::text::{bytes, facts, one_line, shown, signed_by};
use super::{Console, Exit, search};
use crate::client::Client;

/// Show a record or an object
///
/// A record is named by its id of 64 hexadecimal digits, a STIX object by its id. An object can have
/// several versions, of one author or of several; the newest comes first.
///
/// With --json a record: {"id","position","author","forwarded","lane","epoch","seq","equivocation",
/// "charter","created","expires","kind","replaces","body_bytes","state","objects":[{"tlp","redacted","object"}]} with
/// instants in RFC 3339; an object: {"versions":[{"record","author","forwarded","tlp","redacted","object"}]}. How much was
/// struck out of an object for its readers is left out if nothing was.
/// The exit code is 1 if it is not held here, or not for this token. Of what has expired no object is
/// shown.
#[derive(Args)]
#[command(after_long_help = "Examples:
  hanse show 5f0c…9a
  hanse show indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f --json")]
pub(super) struct Show {
    /// A record's id or a STIX object's id
    id: String,
}

impl Show {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        if self.id.contains("--") {
            let reply = client.object(&self.id).await?;
            let exit = match reply.versions.is_empty() {
                true => Exit::Nothing,
                false => Exit::Done,
            };
            if console.json {
                console.document(&reply)?;
            } else if reply.versions.is_empty() {
                console.note("no such object is held here that this token may see")?;
            } else {
                console.say(&search::matches(&reply.versions))?;
                for version in &reply.versions {
                    console.say(&format!("\n{}\n", one_line(version.object.get())))?;
                }
            }
            return Ok(exit);
        }
        let id: RecordId = self.id.parse().map_err(|_| {
            let message = format!(
                "`{}` is neither a record's id nor a STIX object's",
                shown(&self.id)
            );
            Failure::new(Exit::Usage, message)
                .hint("a record's id has 64 hexadecimal digits; `hanse search VALUE` finds objects by value")
        })?;
        let record = client.record(&id).await?;
        if console.json {
            console.document(&record)?;
        } else {
            console.say(&told(&record))?;
            for object in record.objects.iter().flatten() {
                let marking = search::marking(object.tlp, object.redacted);
                console.say(&format!("\n{marking}  {}\n", one_line(object.object.get())))?;
            }
        }
        Ok(Exit::Done)
    }
}

fn told(record: &RecordView) -> String {
    let objects = match &record.objects {
        Some(objects) => objects.len().to_string(),
        None => "not shown".to_owned(),
    };
    let replaces = record
        .replaces
        .map_or_else(|| "nothing".to_owned(), |id| id.to_string());
    facts(&[
        ("record", record.id.to_string()),
        ("author", signed_by(&record.author, record.forwarded.as_ref())),
        ("kind", format!("{:?}", record.kind).to_lowercase()),
        ("created", record.created.to_string()),
        ("expires", record.expires.to_string()),
        ("state", format!("{:?}", record.state).to_lowercase()),
        ("position", record.position.to_string()),
        (
            "chain",
            format!(
                "lane {}, epoch {}, seq {}{}",
                record.lane,
                record.epoch,
                record.seq,
                if record.equivocation {
                    ", a number GIVEN TWICE by its author"
                } else {
                    ""
                }
            ),
        ),
        ("charter", record.charter.to_string()),
        ("replaces", replaces),
        ("body", bytes(record.body_bytes)),
        ("objects", objects),
    ])
}
