//! `hanse search`: which objects hold an observable?

use std::io::{BufRead, Read};

use clap::Args;
use hanse_protocol::local::{Match, SearchRequest};
use hanse_protocol::tlp::Tlp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::failure::Failure;
use super::text::{short, signed_by, table};
use super::{Console, Exit};
use crate::client::Client;

/// Longest value from standard input, bytes.
const VALUE: u64 = 16 << 10;

/// Widest cell of text of others, characters.
const CELL: usize = 70;

/// Find the objects that hold a value
///
/// The value is an address, a network, a domain, a URL, an e-mail address or a file hash, defanged
/// or not, or a STIX object id. An address also finds the networks it lies in; a network does not find
/// the addresses in it, nor a URL the domain of its host: search for each. What has expired is not
/// found. `-` reads the value from standard input, so that it does not stand in the list of processes.
///
/// Of an object from which its author struck something for its readers, what is shown is what it gave us
/// with the least struck, and TLP is followed by how much that was.
///
/// With --json: {"matches":[{"record","author","forwarded","tlp","redacted","object"}],"more"} where `object` is the
/// object as it was signed, byte for byte, `redacted` is left out if nothing was struck, and `more` tells
/// whether there are more than --limit.
/// The exit code is 1 if nothing matches.
#[derive(Args)]
#[command(after_long_help = "Examples:
  hanse search 203.0.113.7
  hanse search 'hxxps://evil[.]example/login' --json
  echo evil.example | hanse search -")]
pub(super) struct Search {
    /// What to look for; `-` reads it from standard input
    value: String,
    /// Most matches, 1 to 1000
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

impl Search {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let value = match self.value.as_str() {
            "-" => first_line(console)?,
            _ => self.value,
        };
        let request = SearchRequest {
            value,
            limit: Some(self.limit.into()),
        };
        let reply = match client.search(&request).await {
            Err(error) if error.problem_name() == Some("invalid") => {
                return Err(Failure::from(error).usage().hint(
                    "an address, a network, a domain, a URL, an e-mail address, a file hash or a STIX id is a value",
                ));
            }
            done => done?,
        };
        let exit = match reply.matches.is_empty() {
            true => Exit::Nothing,
            false => Exit::Done,
        };
        if console.json {
            console.document(&reply)?;
        } else if reply.matches.is_empty() {
            console.note("nothing matches")?;
        } else {
            console.say(&matches(&reply.matches))?;
            if reply.more {
                console.note("there are more matches: raise --limit")?;
            }
        }
        Ok(exit)
    }
}

fn first_line(console: &mut Console<'_>) -> Result<String, Failure> {
    let mut line = String::new();
    (&mut *console.input)
        .take(VALUE)
        .read_line(&mut line)
        .map_err(|error| Failure::new(Exit::Usage, format!("standard input cannot be read: {error}")))?;
    match line.trim() {
        "" => Err(Failure::new(Exit::Usage, "standard input holds no value")),
        value => Ok(value.to_owned()),
    }
}

/// A table of objects, a line each.
pub(super) fn matches(matches: &[Match]) -> String {
    let rows: Vec<[String; 5]> = matches
        .iter()
        .map(|found| {
            let summary = Summary::of(&found.object);
            [
                signed_by(&found.author, found.forwarded.as_ref()),
                marking(found.tlp, found.redacted),
                summary.version,
                summary.id,
                summary.about,
            ]
        })
        .collect();
    table(["AUTHOR", "TLP", "VERSION", "OBJECT", "ABOUT"], &rows)
}

/// An object's marking, and how much was struck out of it if something was.
pub(super) fn marking(tlp: Tlp, redacted: u16) -> String {
    match redacted {
        0 => tlp.to_string(),
        count => format!("{tlp}, redacted: {count}"),
    }
}

/// What of an object fits on a line.
struct Summary {
    version: String,
    id: String,
    about: String,
}

/// The properties that tell most, of whatever type.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Properties {
    id: Option<String>,
    modified: Option<String>,
    created: Option<String>,
    name: Option<String>,
    pattern: Option<String>,
    value: Option<String>,
    relationship_type: Option<String>,
    description: Option<String>,
}

impl Summary {
    fn of(object: &RawValue) -> Self {
        // Custom properties may have these names and other types: the line is then shorter.
        let told: Properties = serde_json::from_str(object.get()).unwrap_or_default();
        let about = [
            told.name,
            told.pattern,
            told.value,
            told.relationship_type,
            told.description,
        ];
        let cell = |text: Option<String>| short(&text.unwrap_or_default(), CELL);
        Self {
            version: cell(told.modified.or(told.created)),
            id: cell(told.id),
            about: cell(about.into_iter().flatten().next()),
        }
    }
}
