//! The command line of `hansed`: making a node, running it, looking after it.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use hanse_protocol::charter::member::{MemberKind, Profile};
use hanse_protocol::identity::Handle;
use hanse_protocol::limits;
use hanse_protocol::local::Role;
use hanse_protocol::tlp::Tlp;
use tokio_util::sync::CancellationToken;

use crate::keystore::Source;
use crate::settings::{FIRST, Settings};
use crate::tokens::Tokens;
use crate::{clock, daemon, logging};

mod backup;
mod check;
mod community;
pub mod init;
mod reindex;
mod rekey;
mod restore;
mod retain;
mod rotate;
#[cfg(test)]
mod tests;

/// The Hanse node: exchanges signed and sealed STIX with the members of its community.
///
/// A node is a folder: its settings (`hansed.toml`), keys, tokens and store. Start with
/// `hansed init`, then `hansed serve`; everything else is done with `hanse`, through the node's
/// local API, whose routes it describes itself at `/v1/openapi.json`. Numbers for Prometheus are at
/// `/metrics`, and `/healthz` answers while the node runs; these three need no token.
///
/// Exit codes: 0 done, 1 failed, 2 wrong use.
#[derive(Parser)]
#[command(name = "hansed", version, max_term_width = 100, after_help = EXAMPLES)]
struct Hansed {
    /// The node's folder.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "HANSED_DIR",
        default_value = "."
    )]
    dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  hansed init --dir /srv/hanse --handle acme-water --name 'ACME Water' --kind utility --country DE
  hansed serve --dir /srv/hanse
  hansed check --dir /srv/hanse --json
  hansed token add red --role read --ceiling red --dir /srv/hanse";

#[derive(Subcommand)]
enum Command {
    /// Make a new node: keys, settings with every default explained, and an admin token.
    Init(InitArgs),
    /// Further communities of this node. Each has keys, store and port of its own, so that members of one do
    /// not learn of the others.
    #[command(subcommand)]
    Community(CommunityCommand),
    /// Run the node until SIGTERM or Ctrl-C.
    Serve {
        /// End when standard input closes: for whoever starts a node as its child.
        #[arg(long, hide = true)]
        until_stdin_closes: bool,
    },
    /// Look at settings, keys, store, clock, disk and ports of a node, running or not, and say what is
    /// wrong and what to do. Changes nothing. Records that a damaged part of the log held are listed.
    Check {
        /// Print one JSON document: {"checks":[{"what","community","ok","found","mend"}],"wrong"},
        /// `community` for a further one only.
        #[arg(long)]
        json: bool,
    },
    /// Make the index anew from the log.
    Reindex,
    /// Copy the record log, charters among it, and the settings to a folder. The node may run. Keys go
    /// in only where asked for, and only under a passphrase.
    ///
    /// Example: hansed backup --dir /srv/hanse --to /mnt/backup/2026-11-23
    Backup {
        /// The folder to make; it must be new or empty.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// Put the keys in too, under a passphrase.
        #[arg(long)]
        with_keys: bool,
        /// Where that passphrase is: file:PATH, env:NAME or credential:NAME. Not needed for a node whose
        /// keys are under one already.
        #[arg(long, value_name = "SOURCE", requires = "with_keys")]
        passphrase: Option<Source>,
    },
    /// Make a node from a backup, in a new folder. The node asks a peer for the records that it signed
    /// after the backup before it signs anything, and then begins a new epoch of its chain.
    ///
    /// Example: hansed restore --dir /srv/hanse-new --from /mnt/backup/2026-11-23
    Restore {
        /// The backup. Left out only with --alone, for a node in --dir that was restored before.
        #[arg(long, value_name = "DIR", required_unless_present = "alone")]
        from: Option<PathBuf>,
        /// The folder of the keys, if they are kept apart from the backup. Those of a further community are
        /// looked for beside it in `communities/NAME/keys`, as in a node's folder.
        #[arg(long, value_name = "DIR")]
        keys: Option<PathBuf>,
        /// Where the passphrase is that the keys are under: file:PATH, env:NAME or credential:NAME.
        #[arg(long, value_name = "SOURCE")]
        passphrase: Option<Source>,
        /// Do not wait for a peer. Two records of one number are signed, for everybody to see, if the
        /// node began an epoch after the backup that nobody tells it of.
        #[arg(long)]
        alone: bool,
        /// Which of the communities of a node that was restored before is not to wait; all of them unless
        /// said.
        #[arg(long, value_name = "NAME", conflicts_with = "from")]
        community: Option<String>,
    },
    /// Let what has expired leave, and rewrite what holds too little that is alive, on a node that is
    /// not running. A running node does it by itself; `hanse retain` speaks to it.
    ///
    /// Example: hansed retain --dir /srv/hanse --confirm
    Retain {
        /// The clock is right, although the last commit is more than a day old.
        #[arg(long)]
        confirm: bool,
    },
    /// Wrap the master key anew, as the section `keys` of the settings now says. Broken off at any
    /// moment, the key opens as before or as asked.
    Rekey {
        /// Where the present passphrase or credential is: file:PATH, env:NAME or credential:NAME.
        /// Not needed for a key in a bare file.
        #[arg(long, value_name = "SOURCE")]
        old: Option<Source>,
    },
    /// Draw a new signing key and a new sealing key, and write the request by which stewards list
    /// them (`hanse community rotate`). The old ones stay in use until then.
    Rotate {
        /// File to write the request to.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// For which of the node's communities.
        #[arg(long, value_name = "NAME", default_value = FIRST)]
        community: String,
    },
    /// Tokens of the local API.
    #[command(subcommand)]
    Token(TokenCommand),
}

/// Who the new node's member is. The handle is never changed later.
#[derive(Args)]
struct InitArgs {
    /// Handle in the community: lower-case letters, digits and hyphens, such as `acme-water`.
    #[arg(long)]
    handle: Handle,
    /// Display name, such as "ACME Water Works".
    #[arg(long, value_parser = display_name)]
    name: String,
    /// city, company, utility, hospital, agency, cert or isac.
    #[arg(long)]
    kind: MemberKind,
    /// Sector, such as `water`.
    #[arg(long, default_value = "")]
    sector: String,
    /// Country, two capital letters (ISO 3166-1).
    #[arg(long, value_parser = country)]
    country: String,
}

#[derive(Subcommand)]
enum CommunityCommand {
    /// Make keys for a further community, and write its table into the settings. The node then founds or
    /// joins it as it did the first. Start it anew afterwards.
    ///
    /// Example: hansed community add north --listen /ip4/0.0.0.0/tcp/7476 --dir /srv/hanse
    Add(community::Add),
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Make a token. Prints the path of the file that holds it, for `hanse --token-file`. A running
    /// node knows it within a second.
    Add {
        /// Its name, which the audit log shows.
        name: String,
        /// What it allows: read, publish, admin. May be given several times.
        #[arg(long = "role", required = true, value_parser = role)]
        roles: Vec<Role>,
        /// The strictest marking it may see; RED only by saying so: what is stricter is hidden from it,
        /// also what it published itself.
        #[arg(long, default_value = "amber+strict")]
        ceiling: Tlp,
    },
    /// List tokens.
    List {
        /// Print one JSON document: {"tokens":[{"name","roles","ceiling","created"}]}.
        #[arg(long)]
        json: bool,
    },
    /// End a token. A running node refuses it within a second.
    Revoke {
        /// Its name.
        name: String,
    },
}

fn role(text: &str) -> Result<Role, String> {
    match text {
        "read" => Ok(Role::Read),
        "publish" => Ok(Role::Publish),
        "admin" => Ok(Role::Admin),
        _ => Err("read, publish or admin is expected".to_owned()),
    }
}

/// A command that failed, and what to do about it.
struct Failure {
    error: Box<dyn std::error::Error>,
    hint: Option<&'static str>,
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            error: Box::new(error),
            hint: None,
        }
    }
}

/// Runs `hansed` with these arguments, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Hansed { dir, command } = match Hansed::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and versions are no failure; clap knows which is which.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let done = match command {
        Command::Init(arguments) => init::run(&dir, arguments),
        Command::Community(CommunityCommand::Add(add)) => community::run(&dir, &add),
        Command::Serve { until_stdin_closes } => serve(&dir, until_stdin_closes),
        Command::Check { json } => check::run(&dir, json),
        Command::Reindex => reindex::run(&dir),
        Command::Backup {
            to,
            with_keys,
            passphrase,
        } => backup::run(&dir, &to, with_keys, passphrase.as_ref()),
        Command::Restore {
            from,
            keys,
            passphrase,
            alone,
            community,
        } => {
            let from = from.as_deref().map(|backup| restore::From {
                backup,
                keys: keys.as_deref(),
                passphrase: passphrase.as_ref(),
            });
            restore::run(&dir, from, alone, community.as_deref())
        }
        Command::Retain { confirm } => retain::run(&dir, confirm),
        Command::Rekey { old } => rekey::run(&dir, old.as_ref()),
        Command::Rotate { out, community } => rotate::run(&dir, &community, &out),
        Command::Token(command) => token(&dir, command),
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            complain(&failure);
            ExitCode::FAILURE
        }
    }
}

/// Prints an error with its causes, each on a line of its own.
fn complain(failure: &Failure) {
    let mut text = format!("error: {}\n", failure.error);
    let mut source = failure.error.source();
    while let Some(cause) = source {
        text.push_str(&format!("  because: {cause}\n"));
        source = cause.source();
    }
    if let Some(hint) = failure.hint {
        text.push_str(&format!("hint: {hint}\n"));
    }
    // Where standard error is closed there is nobody to tell.
    drop(std::io::stderr().write_all(text.as_bytes()));
}

/// Prints to standard output; a reader that went away is no failure.
fn say(text: &str) {
    drop(std::io::stdout().write_all(text.as_bytes()));
}

fn serve(dir: &Path, until_stdin_closes: bool) -> Result<ExitCode, Failure> {
    let settings = Settings::load(dir)?;
    logging::start(&settings.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let stop = CancellationToken::new();
        let signalled = stop.clone();
        tokio::spawn(async move {
            wait_for_end(until_stdin_closes).await;
            tracing::info!("ending: what is under way is finished first");
            signalled.cancel();
        });
        daemon::serve(dir, settings, stop).await
    });
    // A thread that waits on standard input must not hold up the end.
    runtime.shutdown_background();
    served.map_err(|error| Failure {
        error: Box::new(error),
        hint: Some("`hansed check` looks at settings, keys, store and ports"),
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn wait_for_end(until_stdin_closes: bool) {
    let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    let terminated = async {
        match terminate {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    let stdin_closed = async {
        if !until_stdin_closes {
            return std::future::pending().await;
        }
        let (closed, waited) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
            let _ = closed.send(());
        });
        drop(waited.await);
    };
    tokio::select! {
        () = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
        () = stdin_closed => {}
    }
}

fn token(dir: &Path, command: TokenCommand) -> Result<ExitCode, Failure> {
    Settings::load(dir)?;
    let mut tokens = Tokens::open(dir)?;
    match command {
        TokenCommand::Add { name, roles, ceiling } => {
            let path = tokens.add(&name, roles, ceiling, clock::now())?;
            say(&format!("{}\n", path.display()));
        }
        TokenCommand::List { json: true } => {
            let list = tokens.list().map(|token| {
                serde_json::json!({
                    "name": token.name, "roles": token.roles, "ceiling": token.ceiling,
                    "created": token.created,
                })
            });
            let document = serde_json::json!({"tokens": list.collect::<Vec<_>>()});
            say(&format!("{document}\n"));
        }
        TokenCommand::List { json: false } => {
            say(&token_line("NAME", "ROLES", "CEILING", "CREATED"));
            for token in tokens.list() {
                let roles: Vec<String> = token
                    .roles
                    .iter()
                    .map(|role| format!("{role:?}").to_lowercase())
                    .collect();
                let (ceiling, created) = (token.ceiling.to_string(), token.created.to_string());
                say(&token_line(&token.name, &roles.join(","), &ceiling, &created));
            }
        }
        TokenCommand::Revoke { name } => tokens.revoke(&name)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A line of the list of tokens. A name has 40 characters at most.
fn token_line(name: &str, roles: &str, ceiling: &str, created: &str) -> String {
    format!("{name:<40}  {roles:<18}  {ceiling:<16}  {created}\n")
}

/// A display name that a charter would take.
fn display_name(text: &str) -> Result<String, String> {
    match text.trim().is_empty() || text.len() > limits::NAME || text.chars().any(char::is_control) {
        true => Err(format!(
            "a name has 1 to {} bytes, all of them printable",
            limits::NAME
        )),
        false => Ok(text.to_owned()),
    }
}

/// A country of ISO 3166-1.
fn country(text: &str) -> Result<String, String> {
    match COUNTRIES.split_ascii_whitespace().any(|code| code == text) {
        true => Ok(text.to_owned()),
        false => Err("two capital letters of ISO 3166-1 are expected, such as `DE`".to_owned()),
    }
}

/// The codes of ISO 3166-1 alpha-2, with EU, which is reserved for the Union, and XK, in common use for
/// Kosovo.
const COUNTRIES: &str = "\
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT \
    BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH \
    ER ES ET EU FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR \
    HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR \
    LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG \
    NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE \
    SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA \
    UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW";

impl From<InitArgs> for Profile {
    fn from(arguments: InitArgs) -> Self {
        let InitArgs {
            handle,
            name,
            kind,
            sector,
            country,
        } = arguments;
        Self {
            handle,
            name,
            kind,
            sector,
            country,
        }
    }
}
