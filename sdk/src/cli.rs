//! The `hanse` command line: arguments, exit codes and where output goes. One file a command.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use crate::client::{Client, DEFAULT_API};
use failure::Failure;

mod admit;
mod audit;
mod change;
mod charter;
mod communities;
mod community;
mod confirm;
mod create;
mod endorse;
mod expel;
mod failure;
mod files;
mod join;
mod members;
mod policy;
mod preview;
mod propose;
mod publish;
mod quarantine;
mod recover;
mod request;
mod retain;
mod retract;
mod search;
mod show;
mod status;
mod tail;
#[cfg(test)]
mod tests;
mod text;

/// How a command ended: the process's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Nothing matched.
    Nothing = 1,
    /// Arguments, or a file they name, cannot be used.
    Usage = 2,
    /// Some objects were refused.
    Partly = 3,
    /// Refused, by the node or by a check before it was asked.
    Refused = 4,
    /// The node cannot be reached.
    Unreachable = 5,
}

/// How long a node is waited for that was started a moment ago.
const PATIENCE: Duration = Duration::from_secs(3);

const CODES: &str = "\
Exit codes:
  0  done
  1  nothing matched
  2  usage: arguments, or a file they name, cannot be used
  3  partly: some objects were refused, the others are published
  4  the node refused, every object was refused, or what was checked does not hold
  5  the node cannot be reached

Files:
  The API listens at http://127.0.0.1:7474 unless `api.listen` in the node's hansed.toml
  says otherwise. `hansed init` makes an admin token, tokens/admin.token in the node's folder;
  `hansed token add` makes others, with less power.

With --json every command prints exactly one JSON document on standard output (`tail` one
a line), or {\"error\":{\"type\",\"title\",\"status\",\"detail\",\"hint\"}}, with `status` if the node
refused; errors and notes for people go to standard error. `hanse help COMMAND` shows the
document's shape.";

/// Share threat intelligence through a Hanse node.
#[derive(Parser)]
#[command(
    name = "hanse",
    version,
    about = "Share threat intelligence through this organisation's Hanse node",
    after_help = CODES,
    propagate_version = true
)]
struct Arguments {
    #[command(flatten)]
    node: NodeArguments,
    #[command(subcommand)]
    command: Command,
}

/// Which node, and how answers look.
#[derive(Args)]
struct NodeArguments {
    /// Address of the node's API
    #[arg(long, global = true, env = "HANSE_API", value_name = "URL", default_value = DEFAULT_API)]
    api: String,
    /// File that holds the token, such as tokens/admin.token in the node's folder
    #[arg(long, global = true, env = "HANSE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Which of the node's communities, by its name there; the first one unless said
    #[arg(long, global = true, env = "HANSE_COMMUNITY", value_name = "NAME")]
    community: Option<String>,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    Publish(publish::Publish),
    Preview(preview::Preview),
    Search(search::Search),
    Show(show::Show),
    Retract(retract::Retract),
    #[command(subcommand)]
    Policy(policy::Policy),
    #[command(subcommand)]
    Quarantine(quarantine::Quarantine),
    Tail(tail::Tail),
    Members(members::Members),
    Status(status::Status),
    Retain(retain::Retain),
    Request(request::Request),
    /// Found a community, and change who belongs to it
    #[command(subcommand)]
    Community(community::Community),
    Communities(communities::Communities),
    Join(join::Join),
    /// Show, export and check the node's audit log
    #[command(subcommand)]
    Audit(audit::Audit),
}

/// Where a command reads and writes.
struct Console<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    input: &'a mut dyn BufRead,
    /// Whether a person is there to be asked.
    asks: bool,
    /// Whether progress may be drawn on standard error.
    draws: bool,
    json: bool,
    /// Whether the one document is out already.
    told: bool,
}

impl Console<'_> {
    /// Prints a JSON document: the only thing that reaches standard output.
    fn document(&mut self, document: &impl Serialize) -> Result<(), Failure> {
        self.told = true;
        serde_json::to_writer(&mut self.out, document).map_err(|error| Failure::output(error.into()))?;
        self.out.write_all(b"\n").map_err(Failure::output)
    }

    /// Prints a JSON document on a line, for a command that prints one after another.
    fn line(&mut self, document: &impl Serialize) -> Result<(), Failure> {
        let mut text = serde_json::to_string(document).map_err(|error| Failure::output(error.into()))?;
        // Objects stand as they were issued, and between their tokens may be line breaks.
        text.retain(|c| c != '\n' && c != '\r');
        text.push('\n');
        self.say(&text)
    }

    /// Prints text for people.
    fn say(&mut self, text: &str) -> Result<(), Failure> {
        self.out.write_all(text.as_bytes()).map_err(Failure::output)
    }

    /// Prints a note beside the output.
    fn note(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.err, "{text}").map_err(Failure::output)
    }
}

/// Runs the process's arguments. Starts a runtime of its own, so it is not to be called within one.
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

/// Runs these arguments, the program's name first. Starts a runtime of its own, so it is not to be
/// called within one.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut console = Console {
        out: &mut BufWriter::new(io::stdout()),
        err: &mut io::stderr(),
        // Not locked: what is published may come from standard input, read on another thread.
        input: &mut BufReader::new(io::stdin()),
        asks: io::stdin().is_terminal() && io::stderr().is_terminal(),
        draws: io::stderr().is_terminal(),
        json: false,
        told: false,
    };
    ExitCode::from(run_on(arguments, &mut console))
}

fn run_on(arguments: impl IntoIterator<Item = OsString>, console: &mut Console<'_>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let arguments = match Arguments::try_parse_from(&arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            console.json = arguments.iter().any(|argument| argument == "--json");
            return usage(&error, console);
        }
    };
    console.json = arguments.node.json;
    let done = execute(arguments, console);
    let flushed = console.out.flush().map_err(Failure::output);
    match done.and_then(|exit| flushed.map(|()| exit)) {
        Ok(exit) => exit as u8,
        Err(failure) => failure.tell(console),
    }
}

/// What clap has to say: help and version on standard output, errors on standard error.
fn usage(error: &clap::Error, console: &mut Console<'_>) -> u8 {
    let text = error.render();
    // Nothing is left to be done where even this cannot be written.
    let _ = if error.use_stderr() {
        if console.json {
            let failure = Failure::new(Exit::Usage, text.to_string().trim_end());
            let _ = writeln!(console.out, "{}", serde_json::json!({"error": failure.problem()}));
            let _ = console.out.flush();
        }
        write!(console.err, "{text}")
    } else {
        write!(console.out, "{text}")
    };
    u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8)
}

fn execute(arguments: Arguments, console: &mut Console<'_>) -> Result<Exit, Failure> {
    if let Command::Audit(command) = &arguments.command
        && let Some((file, head)) = command.offline()
    {
        return audit::verify_file(file, console, head);
    }
    let token = arguments
        .node
        .token_file
        .as_deref()
        .ok_or_else(Failure::no_token)?;
    let client = Client::from_files(&arguments.node.api, token)?.patient(PATIENCE);
    let client = match arguments
        .node
        .community
        .as_deref()
        .filter(|name| !name.is_empty())
    {
        Some(name) if !matches!(arguments.command, Command::Communities(_)) => client.in_community(name),
        _ => client,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::runtime)?;
    let done = runtime.block_on(arguments.command.run(&client, console));
    // A thread may still wait for standard input, which nobody will read.
    runtime.shutdown_background();
    done
}

impl Command {
    async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Publish(command) => command.run(client, console).await,
            Self::Search(command) => command.run(client, console).await,
            Self::Show(command) => command.run(client, console).await,
            Self::Retract(command) => command.run(client, console).await,
            Self::Preview(command) => command.run(client, console).await,
            Self::Policy(command) => command.run(client, console).await,
            Self::Quarantine(command) => command.run(client, console).await,
            Self::Retain(command) => command.run(client, console).await,
            Self::Tail(command) => command.run(client, console).await,
            Self::Members(command) => command.run(client, console).await,
            Self::Status(command) => command.run(client, console).await,
            Self::Request(command) => command.run(client, console).await,
            Self::Community(command) => command.run(client, console).await,
            Self::Communities(command) => command.run(client, console).await,
            Self::Join(command) => command.run(client, console).await,
            Self::Audit(command) => command.run(client, console).await,
        }
    }
}
