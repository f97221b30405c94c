//! `hanse-testnet`: a league of real nodes on one machine, in one command.

use std::ffi::OsString;
use std::io::{Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use hanse_testnet::hardship::{self, HardshipError, Orders, Scenario, ScenarioError, kernel};
use hanse_testnet::league::{FEWEST, League, MOST};
use hanse_testnet::progress::Progress;
use hanse_testnet::promises::Promise;
use hanse_testnet::rehearsal::{self, Plan, RehearsalError, Stage};
use hanse_testnet::report::Report;
use hanse_testnet::scene;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often is looked whether a node was ended from outside.
const LOOK: Duration = Duration::from_secs(1);

/// A promise was broken.
const BROKEN: u8 = 1;
/// There is no report: the league did not come up, or the input cannot be read.
const FAILED: u8 = 3;
/// It was interrupted before there was a report.
const INTERRUPTED: u8 = 4;

/// A league of Hanse nodes on this machine: cities and companies that do not exist.
#[derive(Parser)]
#[command(name = "hanse-testnet", version, max_term_width = 100)]
struct Testnet {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring a league up, publish incidents, and see who can read what.
    ///
    /// Starts real daemons on loopback ports, brings them into one community by request, admission
    /// and invite, publishes an incident in the open, a second part of it sealed to two partners,
    /// some bulletins of every member, and the input file if one is named. Waits until every node
    /// has what it should, asks each of them what it can read, searches their files for plaintext,
    /// and prints who can read what, how long it took, and which promises held. Then it stays up,
    /// for you to try things, until Ctrl-C or SIGTERM.
    ///
    /// Exit codes: 0 every promise held, 1 a promise was broken, 2 wrong use, 3 there is no report
    /// (a node did not come up, the input cannot be read), 4 interrupted before there was one.
    #[command(after_long_help = EXAMPLES)]
    Up(Up),
    /// Put a league through a scenario of faults, and see whether what Hanse promises held all along.
    ///
    /// Every link between two nodes leads through a proxy that delays, loses, paces and cuts; nodes are
    /// killed and started again, clocks are set off, members join late, hostile members do what they do.
    /// Meanwhile records are published, subscribers follow every node, and every promise is watched.
    /// All choices come from the seed; the report names it with the command that repeats the run.
    ///
    /// Exit codes: 0 every promise held, 1 a promise was broken, 2 wrong use, 3 there is no report
    /// (the scenario cannot be read, a node did not come up), 4 interrupted before there was one.
    #[command(after_long_help = RUN_EXAMPLES)]
    Run(Run),
    /// List the scenarios that come with this program.
    Scenarios,
    /// Run one node under a clock that is so many milliseconds off.
    #[command(hide = true, disable_help_flag = true)]
    Astray {
        #[arg(allow_hyphen_values = true)]
        millis: i64,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Run one node: `hansed`, with its arguments.
    #[command(hide = true, disable_help_flag = true)]
    Node {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

const EXAMPLES: &str = "Examples:
  hanse-testnet up
      five nodes; look around, then Ctrl-C
  hanse-testnet up --nodes 12 --once
      twelve nodes, ending by itself; the exit code tells whether every promise held
  hanse-testnet up --input indicators.ndjson.gz --once --json > report.json
      publish a file at the first node, and report as JSON
  hanse-testnet up --dir /tmp/league
      keep everything in a folder; its league.json lists nodes, tokens, and how to restart each";

const RUN_EXAMPLES: &str = "Examples:
  hanse-testnet run partition
      ten nodes cut into five and five, with a seed of chance that the report tells
  hanse-testnet run kills --seed 7 --kills 50
      the first fifty kills of seed 7
  hanse-testnet run hostile --short --json > report.json
      the short form, as it runs with the tests
  hanse-testnet run my-scenario.toml
      a scenario of your own; those that come with it are in testnet/scenarios";

#[derive(clap::Args)]
struct Run {
    /// One of `hanse-testnet scenarios`, or the path of a file.
    #[arg(value_name = "SCENARIO")]
    scenario: String,
    /// What all choices come from; drawn and told if absent.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Fewer nodes and less time, as the scenario says.
    #[arg(long)]
    short: bool,
    /// How many kills, in a scenario that kills; it takes longer the more there are.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    kills: Option<u16>,
    /// Print the report as one JSON document, and nothing else, on standard output.
    #[arg(long)]
    json: bool,
    /// Keep the nodes' folders and messages, and tell where.
    #[arg(long)]
    keep: bool,
    /// Break this promise on purpose, to see that it is noticed.
    #[arg(long, value_name = "PROMISE")]
    sabotage: Option<hardship::Promise>,
}

#[derive(clap::Args)]
struct Up {
    /// How many nodes. The first is the steward's and publishes; its next two are the partners that
    /// it seals to. 3 to 64.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = nodes)]
    nodes: usize,
    /// STIX to publish besides: a bundle, an array, or one object a line; plain or gzip. It goes to
    /// whom its markings allow.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Keep everything in this folder, which is made, or must be empty. As soon as every node
    /// answers, `league.json` in it lists member, API, token file, folder, pid and the command that
    /// starts the node again. Without this, a temporary folder is used and removed.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// End after the report instead of staying up.
    #[arg(long)]
    once: bool,
    /// Print the report as one JSON document, and nothing else, on standard output.
    ///
    /// `nodes`, `records`, `objects` and `refused` are counts; `members` lists `member`, `readable`,
    /// `missing` and `opaque`, and whether it reads the `open_incident` and the `sealed_incident`;
    /// `latency_ms` and, with --input, `input_latency_ms` have `p50`, `p99` and `deliveries`, how many were
    /// measured; `setup_seconds` is until all nodes were connected; `seconds` and `objects_per_second` are of the input, which is the built-in incident
    /// unless --input names another; `wire` has `links`, `max_bytes` and `total_bytes`;
    /// `peak_rss_bytes` is by member; `promises` says which held, `broken` why others did not.
    #[arg(long)]
    json: bool,
    /// Break this promise on purpose, to see that it is noticed.
    #[arg(long, value_name = "PROMISE", hide = true)]
    sabotage: Option<Promise>,
}

fn nodes(text: &str) -> Result<usize, String> {
    let nodes = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    match (FEWEST..=MOST).contains(&nodes) {
        true => Ok(nodes),
        false => Err(format!("a league has {FEWEST} to {MOST} nodes")),
    }
}

fn main() -> ExitCode {
    match Testnet::parse().command {
        Command::Node { arguments } => {
            hanse_node::command::run(std::iter::once("hansed".into()).chain(arguments))
        }
        Command::Astray { millis, arguments } => {
            hanse_node::clock::set_astray(millis);
            let arguments = arguments.into_iter().skip(1);
            hanse_node::command::run(std::iter::once("hansed".into()).chain(arguments))
        }
        Command::Up(options) => up(options).unwrap_or_else(|error| failed(&error)),
        Command::Run(options) => run(options).unwrap_or_else(|error| failed(&*error)),
        Command::Scenarios => scenarios().unwrap_or_else(|error| failed(&*error)),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    complain(error);
    ExitCode::from(FAILED)
}

fn scenarios() -> Result<ExitCode, Box<dyn std::error::Error>> {
    for (name, text) in hardship::scenario::SHIPPED {
        let scenario = Scenario::parse(name, text)?;
        let (nodes, seconds, about) = (scenario.honest(), scenario.lasts.as_secs(), &scenario.about);
        writeln!(stdout(), "{name:12}  {nodes:>2} nodes  {seconds:>4} s  {about}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The scenario as the options want it.
fn wanted(options: &Run) -> Result<Scenario, ScenarioError> {
    let mut scenario = Scenario::find(&options.scenario)?;
    if options.short {
        scenario = scenario.shortened()?;
    }
    Ok(match options.kills {
        Some(kills) => scenario.with_kills(kills.into()),
        None => scenario,
    })
}

/// The command that repeats a run.
fn again(options: &Run, seed: u64) -> String {
    let mut command = format!("hanse-testnet run {} --seed {seed}", options.scenario);
    if options.short {
        command += " --short";
    }
    if let Some(kills) = options.kills {
        command += &format!(" --kills {kills}");
    }
    if let Some(sabotage) = options.sabotage {
        command += &format!(" --sabotage {sabotage}");
    }
    command
}

fn run(options: Run) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let scenario = wanted(&options)?;
    if let Some(status) = kernel::again_within(&scenario)? {
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        return Ok(ExitCode::from(code.unwrap_or(FAILED)));
    }
    // Few digits, so that people can type them.
    let seed = options.seed.unwrap_or_else(|| rand::random_range(1..1_000_000));
    let folder = options.keep.then(|| hardship::run::kept_folder(&scenario, seed));
    let orders = Orders {
        command: again(&options, seed),
        scenario,
        seed,
        sabotage: options.sabotage,
        folder,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let mut ends = Ends::new()?;
        let progress = Progress::new();
        let report = tokio::select! {
            report = hardship::run::run(&orders, &progress) => report.map(Some),
            () = ends.end() => Ok(None),
        };
        progress.done();
        if let Some(folder) = &orders.folder {
            progress.note(&format!("everything is kept in {}", folder.display()));
        }
        report
    });
    let Some(report) = report.map_err(Box::<HardshipError>::new)? else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let text = match options.json {
        true => serde_json::to_string(&report)? + "\n",
        false => report.table(),
    };
    stdout().write_all(text.as_bytes())?;
    stdout().flush()?;
    Ok(ExitCode::from(if report.all_held() { 0 } else { BROKEN }))
}

#[expect(clippy::result_large_err, reason = "returned once, at the end of the program")]
fn up(options: Up) -> Result<ExitCode, RehearsalError> {
    let Up {
        nodes,
        input,
        dir,
        once,
        json,
        sabotage,
    } = options;
    let plan = Plan {
        nodes,
        folder: dir,
        input,
        sabotage,
        program: None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut ends = Ends::new()?;
        let progress = Progress::new();
        let raised = tokio::select! {
            raised = rehearsal::raise(&plan, &progress) => raised?,
            () = ends.end() => return Ok(ExitCode::from(INTERRUPTED)),
        };
        let mut stage = raised;
        let rehearsed = tokio::select! {
            rehearsed = rehearsal::rehearse(&plan, &mut stage, &progress) => Some(rehearsed),
            () = ends.end() => None,
        };
        progress.done();
        let shown = match &rehearsed {
            Some(Ok(report)) => {
                show(report, json)?;
                if !once {
                    invite(&stage, json);
                    stay(&mut stage.league, &progress, &mut ends).await;
                }
                Ok(ExitCode::from(if report.all_held() { 0 } else { BROKEN }))
            }
            Some(Err(_)) | None => Ok(ExitCode::from(INTERRUPTED)),
        };
        stage.league.stop().await;
        match rehearsed {
            Some(Err(error)) => Err(error),
            _ => shown,
        }
    })
}

/// What ends a run: Ctrl-C and SIGTERM.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
}

impl Ends {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn end(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn show(report: &Report, json: bool) -> std::io::Result<()> {
    let text = match json {
        true => serde_json::to_string(report)? + "\n",
        false => report.table(),
    };
    stdout()
        .write_all(text.as_bytes())
        .and_then(|()| stdout().flush())
}

/// Tells where the nodes are, and what to try.
fn invite(stage: &Stage, json: bool) {
    let text = invitation(stage);
    // Whoever closed the stream does not want to be told.
    drop(match json {
        true => stderr().write_all(text.as_bytes()),
        false => stdout().write_all(text.as_bytes()),
    });
}

fn invitation(stage: &Stage) -> String {
    let daemons = stage.league.daemons();
    let width = daemons
        .iter()
        .map(|daemon| daemon.member().as_str().len())
        .max()
        .unwrap_or(0);
    let mut text = String::from("\nThe league stays up. Its nodes, and the file of a token of each:\n");
    for daemon in daemons {
        let file = daemon.token_file().display();
        text.push_str(&format!(
            "  {:width$}  {}  {file}\n",
            daemon.member().as_str(),
            daemon.api()
        ));
    }
    let hanse = hanse();
    text.push_str("\nFor a terminal at one of them, and for the examples, such as the first:\n");
    if let Some(first) = daemons.first() {
        let file = first.token_file().display();
        text.push_str(&format!(
            "  export HANSE_API={} HANSE_TOKEN_FILE={file}\n",
            first.api()
        ));
    }
    text.push_str("\nThings to try:\n");
    let tries = [
        (
            1,
            format!("search {}", scene::OPEN_VALUE),
            "in the open: found at every node",
        ),
        (
            1,
            format!("search {}", scene::SEALED_VALUE),
            "sealed to this partner: found here",
        ),
        (
            daemons.len() - 1,
            format!("search {}", scene::SEALED_VALUE),
            "but nowhere else",
        ),
        (0, "members".to_owned(), "who is who, and who is connected"),
        (
            0,
            "publish FILE".to_owned(),
            "a bundle of your own, to whom its markings allow",
        ),
    ];
    for (node, command, why) in tries {
        let Some(daemon) = daemons.get(node) else { continue };
        let (api, file) = (daemon.api(), daemon.token_file().display());
        text.push_str(&format!(
            "  # {why}\n  {hanse} --api {api} --token-file {file} {command}\n"
        ));
    }
    text.push_str("\nCtrl-C ends it.\n");
    text
}

/// How `hanse` is started: by the program beside this one, if it has been built, or from the source.
fn hanse() -> String {
    let beside = std::env::current_exe()
        .ok()
        .map(|own| own.with_file_name("hanse"));
    match beside.filter(|path| path.is_file()) {
        Some(path) => path.display().to_string(),
        None => "cargo run --release -p hanse-sdk --bin hanse --".to_owned(),
    }
}

/// Stays up until told to end. A node that somebody ends is their business: it is only mentioned.
async fn stay(league: &mut League, progress: &Progress, ends: &mut Ends) {
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            () = ends.end() => return,
            _ = look.tick() => for (member, status) in league.newly_ended() {
                progress.note(&format!("the node of {member} was ended from outside ({status})"));
            }
        }
    }
}

/// Prints an error with its causes, each on a line of its own.
fn complain(error: &dyn std::error::Error) {
    let mut text = format!("error: {error}\n");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!("  because: {cause}\n"));
        source = cause.source();
    }
    drop(stderr().write_all(text.as_bytes()));
}
