//! `hanse publish`: STIX objects from files to the node.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use hanse_protocol::identity::{Handle, HandleError};
use hanse_protocol::local::{Published, Readers, span};
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::failure::Failure;
use super::text::{counted, shown, table};
use super::{Console, Exit};
use crate::client::Client;
use crate::draft::Terms;
use crate::publish::{Progress, PublishError, Report, publish_all};
use crate::source::Source;

/// Most records and refusals that text for people lists.
const LISTED: usize = 20;

/// Publish STIX 2.1 objects
///
/// Reads bundles, arrays, TAXII envelopes, single objects, and one object a line (NDJSON), plain or
/// gzipped. Objects travel byte for byte. It returns once the records are on the node's disk.
///
/// A marking of an object always holds. --tlp marks objects that bear none and is the least
/// marking of the others. What is AMBER or stricter is sealed to its readers; RED needs --to. A token
/// is not shown what is stricter than its ceiling, also what it published: that of `hansed init` has
/// AMBER+STRICT, and `hansed token add red --role read --ceiling red` makes one that sees RED.
///
/// With --json: {"records":[{"id","position","objects","readers"}],"refused":[{"file","line","id",
/// "reason"}]} where `objects` is a count and `readers` is "all" or a list of handles; also when it ends
/// early, then with "error" beside. The exit code is 3 if some objects were refused, 4 if all were.
#[derive(Args)]
#[command(after_long_help = "Examples:
  hanse publish incident.json
  hanse publish feed.ndjson.gz --tlp green --expires 30d
  hanse publish finding.json --to acme-water,north-cert --tlp amber
  hanse publish incident.json --preview TOKEN
  generate | hanse publish - --json")]
pub(super) struct Publish {
    /// Files to publish; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    asked: Asked,
    /// Publish only if it goes exactly as this token of `hanse preview` stands for
    #[arg(long, value_name = "TOKEN")]
    preview: Option<String>,
}

/// On which terms: the same flags publish and preview.
#[derive(Args)]
pub(super) struct Asked {
    /// Readers, comma-separated handles; everybody whom markings and policies allow if it is left out
    #[arg(long, value_delimiter = ',', value_name = "HANDLES", value_parser = handle)]
    to: Option<Vec<Handle>>,
    /// Marking of unmarked objects and least marking of all: clear, green, amber, amber+strict, red
    #[arg(long)]
    tlp: Option<Tlp>,
    /// When it stops being shown anywhere, and soon after is forgotten: a span such as 7d, or an instant
    /// such as 2027-01-31T00:00:00Z
    #[arg(long, value_parser = Expiry::read, value_name = "WHEN")]
    expires: Option<Expiry>,
}

impl Asked {
    /// The terms, with the token of a preview that is held to.
    pub(super) fn terms(self, preview: Option<String>) -> Terms {
        Terms {
            to: self.to,
            tlp: self.tlp,
            expires: self.expires.map(Expiry::instant),
            preview,
        }
    }
}

#[derive(Clone, Copy)]
enum Expiry {
    After(Duration),
    At(Timestamp),
}

impl Expiry {
    fn read(text: &str) -> Result<Self, String> {
        match Timestamp::parse_rfc3339(text) {
            Some(at) => Ok(Self::At(at)),
            None => match span::parse(text) {
                Ok(span) => Ok(Self::After(span)),
                Err(_) => Err("a span such as `7d` or an RFC 3339 instant was expected".to_owned()),
            },
        }
    }

    fn instant(self) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::After(span) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_millis(0).after(now).after(span)
            }
        }
    }
}

/// The document that --json prints.
#[derive(Default, Serialize)]
struct Document {
    records: Vec<Published>,
    refused: Vec<Refused>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<serde_json::Value>,
    #[serde(skip)]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Refused {
    file: String,
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    reason: String,
}

/// A handle, perhaps with space around it: lists are written with commas and spaces.
fn handle(text: &str) -> Result<Handle, HandleError> {
    text.trim().parse()
}

impl Publish {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let terms = self.asked.terms(self.preview);
        let mut document = Document::default();
        let mut failure = None;
        for path in &self.files {
            failure = publish_file(path, client, &terms, console, &mut document)
                .await
                .err();
            if failure.is_some() {
                break;
            }
        }
        let empty = document.records.is_empty() && document.refused.is_empty();
        if failure.is_none() || !empty {
            document.error = failure.as_ref().map(Failure::problem);
            tell(console, &document)?;
        }
        for warning in &document.warnings {
            console.note(&format!("warning: {}", shown(warning)))?;
        }
        match failure {
            Some(failure) => Err(failure),
            None if document.refused.is_empty() => Ok(Exit::Done),
            None if document.records.is_empty() => Ok(Exit::Refused),
            None => Ok(Exit::Partly),
        }
    }
}

/// A file, or standard input.
pub(super) fn source(path: &Path) -> Result<Source, Failure> {
    Ok(match path.to_str() {
        Some("-") => Source::stdin()?,
        _ => Source::open(path)?,
    })
}

async fn publish_file(
    path: &Path,
    client: &Client,
    terms: &Terms,
    console: &Console<'_>,
    document: &mut Document,
) -> Result<(), Failure> {
    let source = source(path)?;
    let file = source.name().to_owned();
    let bar = (console.draws && !console.json).then(|| bar(source.length()));
    let read = source.bytes_read();
    let progress = |now: Progress| {
        if let Some(bar) = &bar {
            bar.set_position(read.load(Ordering::Relaxed));
            bar.set_message(format!("{} published, {} refused", now.published, now.refused));
        }
    };
    let Report {
        records,
        refused,
        warnings,
        ended,
    } = publish_all(client, source, terms, progress).await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    document.records.extend(records);
    for warning in warnings {
        if !document.warnings.contains(&warning) {
            document.warnings.push(warning);
        }
    }
    document
        .refused
        .extend(refused.into_iter().map(|refused| Refused {
            file: file.clone(),
            line: refused.line,
            id: refused.id,
            reason: refused.reason,
        }));
    match ended {
        None => Ok(()),
        // Nothing went out: which line it began with tells nobody anything.
        Some(PublishError::Node { source, .. }) if document.records.is_empty() => Err(source.into()),
        Some(ended) => Err(ended.into()),
    }
}

fn bar(length: Option<u64>) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => (
            ProgressBar::new(length),
            "{wide_bar} {bytes}/{total_bytes} {msg} {eta}",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} {msg}"),
    };
    // A template that did not read would leave indicatif's own look.
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn tell(console: &mut Console<'_>, document: &Document) -> Result<(), Failure> {
    if console.json {
        return console.document(document);
    }
    let objects: usize = document.records.iter().map(|record| record.objects).sum();
    let (objects, records) = (
        counted(objects, "object"),
        counted(document.records.len(), "record"),
    );
    console.say(&format!("published {objects} in {records}\n"))?;
    let rows: Vec<[String; 4]> = document
        .records
        .iter()
        .take(LISTED)
        .map(|record| {
            [
                record.id.to_string(),
                record.position.to_string(),
                record.objects.to_string(),
                readers(&record.readers),
            ]
        })
        .collect();
    if !rows.is_empty() {
        console.say(&table(["RECORD", "POSITION", "OBJECTS", "READERS"], &rows))?;
        more(console, document.records.len(), "record")?;
    }
    if !document.refused.is_empty() {
        console.say(&format!(
            "refused {}\n",
            counted(document.refused.len(), "object")
        ))?;
        for refused in document.refused.iter().take(LISTED) {
            let (file, reason) = (shown(&refused.file), shown(&refused.reason));
            let id = refused.id.as_deref().map(|id| format!(" ({})", shown(id)));
            let id = id.unwrap_or_default();
            console.say(&format!("  {file}, line {}{id}: {reason}\n", refused.line))?;
        }
        more(console, document.refused.len(), "refusal")?;
    }
    Ok(())
}

fn more(console: &mut Console<'_>, count: usize, word: &str) -> Result<(), Failure> {
    match count.checked_sub(LISTED) {
        Some(more) if more > 0 => {
            console.say(&format!("  and {} more, all with --json\n", counted(more, word)))
        }
        _ => Ok(()),
    }
}

fn readers(readers: &Readers) -> String {
    match readers {
        Readers::Community(_) => "all".to_owned(),
        Readers::Members(members) => {
            let names: Vec<&str> = members.iter().map(Handle::as_str).collect();
            names.join(",")
        }
    }
}
