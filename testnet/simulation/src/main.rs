//! The command: reads a plan, simulates it, tells what came of it.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use hanse_simulation::{Failure, Plan, simulate, table};

const EXAMPLES: &str = "Examples:
  cargo run --release --manifest-path testnet/simulation/Cargo.toml
      a thousand nodes, 200 records; some minutes, 3 GB
  cargo run --release --manifest-path testnet/simulation/Cargo.toml -- --loss 0.01 --churn 0.1
      with lost segments, and a tenth of the nodes killed once
  cargo run --release --manifest-path testnet/simulation/Cargo.toml -- --nodes 100 --hostile 10 --json
      forgers, replayers and withholders; told as JSON

The same seed draws the same community, lines, authors, times and mishaps; figures repeat closely.
Exit codes: 0 every honest node had every record; 1 one did not, or the plan contradicts itself; 2 wrong use.";

/// Simulates a league of Hanse nodes: many in one process, over a network made of memory, in virtual time.
///
/// The nodes are real from the socket up: the daemon's own mesh (door, dialler, gossip settings, message ids,
/// Noise, Yamux), frames as its sender fills them, signed records under a signed charter, checked on the real
/// ladder, reconciliation by the real protocol machine. Modelled are the sockets and what they stand for,
/// storage (a set in memory), and the time a node's work takes. Presence and charters are not gossiped.
///
/// A lost segment shows as TCP shows it: late, and all behind it late. Nothing is lost inside a connection;
/// what a node misses it misses because it was away, or because nobody passed it on.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXAMPLES)]
struct Args {
    /// Nodes, hostile ones included. A charter lists a thousand members: beyond that, members have
    /// several nodes each
    #[arg(long, default_value_t = 1_000)]
    nodes: usize,
    /// What everything random is drawn from: community, lines, who publishes, mishaps
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Records published, each by a node drawn at random
    #[arg(long, default_value_t = 200)]
    messages: usize,
    /// Records published a second
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// Bytes of a record's object before it is packed
    #[arg(long, default_value_t = 600)]
    size: usize,
    /// Median delay of a line one way, milliseconds
    #[arg(long, default_value_t = 25)]
    delay: u64,
    /// How far delays spread: the deviation of their logarithm. At 0.5 one line in twenty takes 2.3 times
    /// the median or more; at 0 all take the same
    #[arg(long, default_value_t = 0.5)]
    spread: f64,
    /// What a node's uplink carries, Mbit/s
    #[arg(long, default_value_t = 100.0)]
    bandwidth: f64,
    /// Probability that a segment of 1,400 bytes is lost and sent again (0.01 is one in a hundred)
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
    /// Share of the honest nodes that are killed once while records are published, and start again after
    /// 5 to 20 seconds
    #[arg(long, default_value_t = 0.0)]
    churn: f64,
    /// Members that are no friends: a forger, a replayer, a withholder, and so on in turn
    #[arg(long, default_value_t = 0)]
    hostile: usize,
    /// Other gossip neighbours than the daemon's 5,4,10, to compare: as many as a node wants, fewer than
    /// which are too few, more than which are too many
    #[arg(long, value_name = "WANTED,LEAST,MOST", value_parser = three)]
    mesh: Option<[usize; 3]>,
    /// How often each node compares what it holds with one neighbour, seconds; 0 is never
    #[arg(long, default_value_t = 30)]
    heal: u64,
    /// How long the league has to come together before the first record, seconds
    #[arg(long, default_value_t = 30)]
    settle: u64,
    /// How long after the last record it is waited for what is still missing somewhere, seconds
    #[arg(long, default_value_t = 120)]
    patience: u64,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    fn plan(&self) -> Plan {
        Plan {
            nodes: self.nodes,
            seed: self.seed,
            messages: self.messages,
            rate: self.rate,
            size: self.size,
            delay: Duration::from_millis(self.delay),
            spread: self.spread,
            bandwidth: self.bandwidth * 1e6,
            loss: self.loss,
            churn: self.churn,
            hostile: self.hostile,
            mesh: self.mesh,
            heal: Duration::from_secs(self.heal),
            settle: Duration::from_secs(self.settle),
            patience: Duration::from_secs(self.patience),
        }
    }
}

fn three(text: &str) -> Result<[usize; 3], String> {
    let numbers: Result<Vec<usize>, _> = text.split(',').map(str::parse).collect();
    let three = numbers.ok().and_then(|numbers| numbers.try_into().ok());
    three.ok_or_else(|| format!("`{text}` is not three numbers with commas between them"))
}

fn main() -> Result<ExitCode, Failure> {
    let args = Args::parse();
    let outcome = simulate(&args.plan())?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        print!("{}", table(&outcome));
    }
    Ok(if outcome.is_whole() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
