//! `hanse policy`: policies looked at, tried and asked why.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use hanse_protocol::identity::{Handle, RecordId};
use hanse_protocol::local::{ExplainRequest, Explained, PolicyCheckReply, PolicyCheckRequest, PolicyText};

use super::failure::Failure;
use super::text::{counted, shown, table};
use super::{Console, Exit};
use crate::client::Client;

/// Largest file of policies that is read, bytes: the node takes no larger one.
const FILE: u64 = 256 << 10;

/// Most files of a folder that are read.
const FILES: usize = 256;

/// Ask about policies: who may get what, and why
#[derive(Subcommand)]
pub(super) enum Policy {
    Test(Test),
    Lint(Lint),
    Explain(Explain),
}

impl Policy {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Test(command) => command.run(client, console).await,
            Self::Lint(command) => command.run(client, console).await,
            Self::Explain(command) => command.run(client, console).await,
        }
    }
}

/// Hold the expectations in tests.toml against their policies
///
/// With a folder, its policies are tried without being put in force; else those in force. The members are those
/// of the node's community. The exit code is 3 if an expectation does not hold, 4 if the policies do not.
///
/// With --json: {"hash","in_force","policies":[{"id","file","line"}],"errors":[…],"lints":[{"file","line","policy",
/// "finding"}],"tests":[{"name","line","answered","policies","failure"}]}.
#[derive(Args)]
#[command(after_long_help = "Examples:
  hanse policy test
  hanse policy test ./policies")]
pub(super) struct Test {
    /// A folder of policies; those in force if it is left out
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl Test {
    async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let reply = check(client, self.folder.as_deref()).await?;
        let failed = reply.tests.iter().filter(|test| test.failure.is_some()).count();
        if console.json {
            console.document(&reply)?;
        } else if reply.errors.is_empty() {
            for test in &reply.tests {
                let said = match &test.failure {
                    None => format!("ok    {}", shown(&test.name)),
                    Some(why) => format!(
                        "WRONG {} (tests.toml:{}): {}",
                        shown(&test.name),
                        test.line,
                        shown(why)
                    ),
                };
                console.say(&said)?;
            }
            console.say(&format!(
                "{}, {failed} wrong",
                counted(reply.tests.len(), "expectation")
            ))?;
        }
        ended(&reply, failed > 0, console)
    }
}

/// Look for what is probably a mistake in policies
///
/// Policies that never hold, never decide because another does, repeat another or share with everybody;
/// circles without a member; words that nothing ever bears. With a folder, its policies are looked at without being
/// put in force. The exit code is 3 if there is something, 4 if the policies do not hold.
///
/// With --json as `hanse policy test`.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse policy lint ./policies")]
pub(super) struct Lint {
    /// A folder of policies; those in force if it is left out
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl Lint {
    async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let reply = check(client, self.folder.as_deref()).await?;
        if console.json {
            console.document(&reply)?;
        } else if reply.errors.is_empty() {
            for lint in &reply.lints {
                let policy = lint.policy.as_deref().map(|id| format!(" `{}`", shown(id)));
                let policy = policy.unwrap_or_default();
                console.say(&format!(
                    "{}:{}{policy}: {}",
                    shown(&lint.file),
                    lint.line,
                    shown(&lint.finding)
                ))?;
            }
            let policies = match reply.policies.len() {
                1 => "1 policy".to_owned(),
                count => format!("{count} policies"),
            };
            console.say(&format!(
                "{policies}, {} found",
                counted(reply.lints.len(), "mistake")
            ))?;
        }
        ended(&reply, !reply.lints.is_empty(), console)
    }
}

/// Tell why a partner got a record of this node, or did not
///
/// Asks the policies and the charter of then, which the node keeps, and those of now. The exit code is 1 if no
/// such record is held.
///
/// With --json: {"reader","then":{"at","policies","charter","items":[{"kind","tlp","objects","shared","policies",
/// "reason"}]},"now":{…}}.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse policy explain 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 --partner st-mary")]
pub(super) struct Explain {
    /// The record
    #[arg(value_name = "RECORD")]
    record: RecordId,
    /// The partner
    #[arg(long, value_name = "HANDLE")]
    partner: Handle,
}

impl Explain {
    async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let Self { record, partner } = self;
        let request = ExplainRequest { record, partner };
        let told = client.explain(&request).await?;
        if console.json {
            console.document(&told)?;
            return Ok(Exit::Done);
        }
        let can = if told.reader { "can" } else { "cannot" };
        console.say(&format!("{} {can} open it", request.partner))?;
        match &told.then {
            Some(then) => console.say(&of_time("then", then))?,
            None => console.say("the policies or the charter of then cannot be read any longer")?,
        }
        console.say(&of_time("now", &told.now))?;
        Ok(Exit::Done)
    }
}

fn of_time(when: &str, explained: &Explained) -> String {
    let rows: Vec<_> = explained
        .items
        .iter()
        .map(|item| {
            let mut why: Vec<String> = item.policies.iter().map(|id| shown(id)).collect();
            why.extend(item.reason.as_deref().map(shown));
            [
                format!("{} {}", item.objects, shown(&item.kind)),
                item.tlp.to_string(),
                if item.shared { "yes" } else { "no" }.to_owned(),
                why.join("; "),
            ]
        })
        .collect();
    let head = format!("{when}, {}, charter {}", explained.at, explained.charter);
    let table = table(["OBJECTS", "TLP", "GETS", "WHY"], &rows);
    format!("{head}\n{}", table.trim_end())
}

/// Has the node look at a folder, or at what is in force.
async fn check(client: &Client, folder: Option<&Path>) -> Result<PolicyCheckReply, Failure> {
    let files = folder.map(read).transpose()?;
    Ok(client.check_policies(&PolicyCheckRequest { files }).await?)
}

/// The files of a folder.
fn read(folder: &Path) -> Result<Vec<PolicyText>, Failure> {
    let unreadable = |path: &Path, why: &dyn std::fmt::Display| {
        Failure::new(Exit::Usage, format!("`{}` cannot be read: {why}", path.display()))
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        let size = std::fs::metadata(&path)
            .map_err(|error| unreadable(&path, &error))?
            .len();
        if size > FILE || files.len() >= FILES {
            return Err(unreadable(&path, &"there is more of it than a node takes"));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        files.push(PolicyText {
            name: name.unwrap_or_default(),
            text,
        });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn ended(reply: &PolicyCheckReply, wrong: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    for error in &reply.errors {
        console.note(&shown(error))?;
    }
    Ok(match (reply.errors.is_empty(), wrong) {
        (false, _) => Exit::Refused,
        (true, true) => Exit::Partly,
        (true, false) => Exit::Done,
    })
}
