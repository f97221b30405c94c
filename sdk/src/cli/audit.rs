//! `hanse audit`: the node's audit log, shown, exported and checked.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use hanse_protocol::audit::{AuditLine, Chain, Head};
use hanse_protocol::local::{HeardAudit, PAGE};
use serde::Serialize;

use super::failure::Failure;
use super::files::unwritable;
use super::text::{counted, shown, table};
use super::{Console, Exit};
use crate::client::Client;

/// Longest line of an exported file, bytes: one of the longest names, every character escaped.
const LINE: u64 = 16 << 10;

#[derive(Subcommand)]
pub(super) enum Audit {
    Show(Show),
    Export(Export),
    Verify(Verify),
    Heads(Heads),
}

/// Show lines of the audit log
///
/// Needs a token with the role admin. With --json:
/// {"lines":[{"seq","previous","at","actor","action","subject","ruling","hash"}],"next","more",
/// "head":{"lines","hash"}}; `ruling` is absent where there was none.
#[derive(Args)]
pub(super) struct Show {
    /// Number of the first line; the newest lines if it is left out
    #[arg(long, value_name = "SEQ")]
    from: Option<u64>,
    /// Most lines, 1 to 1000
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

/// Write the whole audit log to a new file, a JSON line each
///
/// Needs a token with the role admin. Every line is as in `hanse audit show --json`, its hash
/// included. Keep it where this node cannot change it: compared with a later export it shows
/// whether the log was cut or written anew.
///
/// With --json: {"file","lines","hash"} with the number of lines and the last line's hash.
#[derive(Args)]
pub(super) struct Export {
    /// File to make
    file: PathBuf,
}

/// Check that no line of the audit log was changed, left out or moved
///
/// Checks an exported file without asking any node, or else what the node has now. Every hash is
/// computed anew here. A log whose end was cut off, or that was written anew as a whole, holds in
/// itself: compare it with what a partner's node heard of it (`hanse audit heads` there), by --head.
///
/// With --json: {"holds","lines","hash","broken"}: how many lines hold, the hash of the last of
/// them, and {"line","reason"} of the first that does not, or null. The exit code is 4 then.
#[derive(Args)]
#[command(after_long_help = "Examples:
  hanse audit export audit-november.ndjson
  hanse audit verify audit-november.ndjson
  hanse audit verify --head 1207:9f86d081884c7d65…
      also that line 1207 has the hash that a partner was told
  hanse audit verify --json")]
pub(super) struct Verify {
    /// An exported file; what the node has if it is left out
    file: Option<PathBuf>,
    /// A line's number and its hash, or how that begins (8 digits at least), as a partner kept them
    #[arg(long, value_name = "LINE:HASH", value_parser = witnessed)]
    head: Option<Witnessed>,
}

/// What somebody else knows of the log.
#[derive(Clone)]
pub(super) struct Witnessed {
    line: u64,
    hash: String,
}

fn witnessed(text: &str) -> Result<Witnessed, String> {
    let (line, hash) = text.split_once(':').ok_or("LINE:HASH is wanted")?;
    let line = line.parse().map_err(|_| format!("`{line}` is no number"))?;
    let hash = hash.to_ascii_lowercase();
    let whole = (8..=64).contains(&hash.len()) && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    match whole {
        true => Ok(Witnessed { line, hash }),
        false => Err(format!("`{hash}` is no hash: 8 to 64 hexadecimal digits")),
    }
}

/// Show what this node heard of the audit logs of others
///
/// Every node tells its partners where its audit log stands, and they keep the furthest they heard: a
/// log that was cut or written anew shows here. Read LINES and HASH to who looks after that node, for
/// `hanse audit verify --head LINES:HASH`.
///
/// With --json: {"nodes":[{"member","peer_id","heard":{"lines","hash","at"},"broken":{"was","then"}}]};
/// `broken` is absent where nothing was found, `was` and `then` are like `heard`. The exit code is 4 if
/// any is broken.
#[derive(Args)]
#[command(after_long_help = "Examples:
  hanse audit heads
  hanse audit heads --json")]
pub(super) struct Heads {}

/// What --json prints of an export.
#[derive(Serialize)]
struct Exported<'a> {
    file: std::borrow::Cow<'a, str>,
    #[serde(flatten)]
    head: Head,
}

/// What --json prints of a check.
#[derive(Serialize)]
struct Verdict {
    holds: bool,
    #[serde(flatten)]
    head: Head,
    broken: Option<BrokenLine>,
}

/// The first line that does not hold.
#[derive(Serialize)]
struct BrokenLine {
    line: u64,
    reason: String,
}

impl Audit {
    /// What needs no node: a file to check, and what somebody else knows of the log.
    pub(super) fn offline(&self) -> Option<(&Path, Option<Witnessed>)> {
        match self {
            Self::Verify(Verify { file, head }) => file.as_deref().map(|file| (file, head.clone())),
            Self::Show(_) | Self::Export(_) | Self::Heads(_) => None,
        }
    }

    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Show(command) => command.run(client, console).await,
            Self::Export(command) => command.run(client, console).await,
            Self::Verify(command) => verify_node(client, console, command.head).await,
            Self::Heads(command) => command.run(client, console).await,
        }
    }
}

impl Heads {
    async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let heads = client.audit_heads().await?;
        if console.json {
            console.document(&heads)?;
        } else {
            let rows: Vec<[String; 5]> = heads.nodes.iter().map(heard).collect();
            console.say(&table(["MEMBER", "LINES", "HASH", "AT", "FOUND"], &rows))?;
        }
        Ok(if heads.nodes.iter().any(|node| node.broken.is_some()) {
            Exit::Refused
        } else if heads.nodes.is_empty() {
            Exit::Nothing
        } else {
            Exit::Done
        })
    }
}

fn heard(node: &HeardAudit) -> [String; 5] {
    let HeardAudit {
        member,
        heard,
        broken,
        ..
    } = node;
    let found = broken.map_or_else(String::new, |broken| {
        let (was, then) = (broken.was.head.lines, broken.then.head.lines);
        let how = if then < was {
            "CUT OR RESTORED"
        } else {
            "WRITTEN ANEW"
        };
        format!("{how}: {was} lines, then {then}, at {}", broken.then.at)
    });
    [
        member.to_string(),
        heard.head.lines.to_string(),
        hexadecimal(&heard.head.hash),
        heard.at.to_string(),
        found,
    ]
}

impl Show {
    async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let limit = usize::from(self.limit);
        let from = match self.from {
            Some(from) => from,
            None => {
                let head = client.audit(u64::MAX, 1).await?.head;
                head.lines.saturating_add(1).saturating_sub(self.limit.into())
            }
        };
        let page = client.audit(from, limit).await?;
        if console.json {
            console.document(&page)?;
        } else {
            console.say(&lines(&page.lines))?;
        }
        Ok(match page.lines.is_empty() {
            true => Exit::Nothing,
            false => Exit::Done,
        })
    }
}

fn lines(lines: &[AuditLine]) -> String {
    let row = |AuditLine { entry, .. }: &AuditLine| {
        [
            entry.seq.to_string(),
            entry.at.to_string(),
            shown(&entry.actor),
            shown(&entry.action),
            shown(&entry.subject),
        ]
    };
    let rows: Vec<[String; 5]> = lines.iter().map(row).collect();
    table(["LINE", "AT", "WHO", "WHAT", "TO WHAT"], &rows)
}

impl Export {
    async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let path = &self.file;
        let file = File::create_new(path).map_err(|error| unwritable(path, &error))?;
        let mut out = BufWriter::new(file);
        let mut chain = Chain::new();
        let mut whole = Ok(());
        each_page(client, |line| {
            whole = whole.and(chain.follow(line).map_err(|why| (line.entry.seq, why)));
            serde_json::to_writer(&mut out, line)
                .map_err(std::io::Error::from)
                .and_then(|()| out.write_all(b"\n"))
                .map_err(|error| unwritable(path, &error))
        })
        .await?;
        let kept = out.flush().and_then(|()| out.get_ref().sync_all());
        kept.map_err(|error| unwritable(path, &error))?;
        if let Err((line, why)) = whole {
            let message = format!(
                "`{}` is written, but line {line} does not hold: {why}",
                path.display()
            );
            return Err(
                Failure::new(Exit::Refused, message).hint("`hanse audit verify FILE` checks it again")
            );
        }
        let head = chain.head().unwrap_or_default();
        if console.json {
            let file = path.to_string_lossy();
            console.document(&Exported { file, head })?;
        } else {
            console.say(&format!(
                "{} written to {}\n",
                standing(&head),
                shown(&path.to_string_lossy())
            ))?;
        }
        Ok(Exit::Done)
    }
}

/// Hands every line the log has now to `take`, in order.
async fn each_page(
    client: &Client,
    mut take: impl FnMut(&AuditLine) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut from = 1;
    let mut end = None;
    loop {
        let page = client.audit(from, PAGE).await?;
        // What is written while it is read, such as a line about this reading, is for next time.
        let end = *end.get_or_insert(page.head.lines);
        let mut within = page.lines.iter().take_while(|line| line.entry.seq <= end);
        within.try_for_each(&mut take)?;
        if page.lines.is_empty() || page.next > end {
            return Ok(());
        }
        from = page.next;
    }
}

/// Checks an exported file.
pub(super) fn verify_file(
    path: &Path,
    console: &mut Console<'_>,
    head: Option<Witnessed>,
) -> Result<Exit, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::new(
            Exit::Usage,
            format!("`{}` cannot be read: {error}", path.display()),
        )
    };
    let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut chain = Chain::new();
    let mut witness = Witness(head);
    let mut text = Vec::new();
    for number in 1.. {
        text.clear();
        let length = (&mut reader)
            .take(LINE)
            .read_until(b'\n', &mut text)
            .map_err(unreadable)?;
        if length == 0 {
            break;
        }
        let followed = match serde_json::from_slice::<AuditLine>(&text) {
            Ok(line) => chain
                .follow(&line)
                .map_err(|why| why.to_string())
                .and_then(|()| witness.saw(&line)),
            Err(_) => Err("it is no line of an audit log".to_owned()),
        };
        if let Err(reason) = followed {
            return verdict(console, chain, Some(BrokenLine { line: number, reason }));
        }
    }
    verdict(console, chain, witness.end())
}

/// Holds what somebody else knows of the log against its lines.
struct Witness(Option<Witnessed>);

impl Witness {
    fn saw(&mut self, line: &AuditLine) -> Result<(), String> {
        let Some(witnessed) = self.0.take_if(|witnessed| witnessed.line == line.entry.seq) else {
            return Ok(());
        };
        let hash = hexadecimal(&line.hash);
        match hash.starts_with(&witnessed.hash) {
            true => Ok(()),
            false => Err(format!(
                "its hash is {hash}, and was {} for others",
                witnessed.hash
            )),
        }
    }

    fn end(self) -> Option<BrokenLine> {
        self.0
            .filter(|witnessed| witnessed.line > 0)
            .map(|witnessed| BrokenLine {
                line: witnessed.line,
                reason: "it is missing, and was there for others".to_owned(),
            })
    }
}

async fn verify_node(
    client: &Client,
    console: &mut Console<'_>,
    head: Option<Witnessed>,
) -> Result<Exit, Failure> {
    let mut chain = Chain::new();
    let mut witness = Witness(head);
    let mut broken = None;
    let head = client.audit(u64::MAX, 1).await?.head;
    each_page(client, |line| {
        if broken.is_none() {
            let held = chain.follow(line).map_err(|why| why.to_string());
            let held = held.and_then(|()| witness.saw(line));
            broken = held.err().map(|reason| BrokenLine {
                line: line.entry.seq,
                reason,
            });
        }
        Ok(())
    })
    .await?;
    // The log may have grown since, never shrunk.
    let reached = chain.head().unwrap_or_default();
    if broken.is_none() && reached.lines < head.lines {
        broken = Some(BrokenLine {
            line: reached.lines.saturating_add(1),
            reason: "it is missing".to_owned(),
        });
    }
    verdict(console, chain, broken.or_else(|| witness.end()))
}

fn verdict(console: &mut Console<'_>, chain: Chain, broken: Option<BrokenLine>) -> Result<Exit, Failure> {
    let head = chain.head().unwrap_or_default();
    let exit = match &broken {
        None => Exit::Done,
        Some(_) => Exit::Refused,
    };
    if console.json {
        let holds = broken.is_none();
        console.document(&Verdict { holds, head, broken })?;
    } else {
        match broken {
            None => console.say(&format!("{} hold\n", standing(&head)))?,
            Some(BrokenLine { line, reason }) => {
                console.say(&format!("line {line} does not hold: {reason}\n"))?;
            }
        }
    }
    Ok(exit)
}

fn standing(head: &Head) -> String {
    let lines = counted(usize::try_from(head.lines).unwrap_or(usize::MAX), "line");
    format!("{lines}, the last with hash {},", hexadecimal(&head.hash))
}

fn hexadecimal(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
