//! `hanse-bench`: how fast Hanse is, beside the bare things it is made of, in one run and one table.
//! A figure is worth its ratio to what was measured beside it on the same machine at the same time.

use std::ffi::OsString;
use std::io::{Write, stderr, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use hanse_node::store::index::Engine;

mod gossip;
mod groups;
mod hansed;
mod material;
mod measure;
mod site;
mod stock;
mod table;

use groups::Group;
use measure::{Failure, Scale};
use table::Table;

/// How fast Hanse is, beside the bare things it is made of.
#[derive(Parser)]
#[command(
    name = "hanse-bench",
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    after_help = EXAMPLES
)]
struct Bench {
    #[command(subcommand)]
    child: Option<Child>,
    /// What to measure; everything unless named.
    #[arg(value_name = "GROUP")]
    groups: Vec<Group>,
    /// Print one JSON document instead of the table.
    #[arg(long)]
    json: bool,
    /// Tiny sizes, one run each: shows that the benchmarks work, and says nothing of speed.
    #[arg(long)]
    quick: bool,
    /// How often each figure is taken.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    runs: u8,
    /// Measure with this index engine only, where there is a choice.
    #[arg(long, value_name = "ENGINE")]
    engine: Option<EngineName>,
}

const EXAMPLES: &str = "Examples:
  cargo run --release -p hanse-benchmarks
      everything; takes a while
  cargo run --release -p hanse-benchmarks -- protocol commit
      two groups
  cargo run --release -p hanse-benchmarks -- startup --engine fjall --json > startup.json

HANSE_DATA names a folder with indicators-100k.ndjson.gz: real objects to search for at 100,000;
without it they are made up. TMPDIR chooses the disk. Exit codes: 0 measured, whether or not the aims
hold; 1 something could not be measured; 2 wrong use.";

#[derive(Subcommand)]
enum Child {
    /// Run one node: `hansed`, with its arguments.
    #[command(hide = true, disable_help_flag = true)]
    Node {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Run one bare gossipsub node.
    #[command(hide = true)]
    Gossip(gossip::Arguments),
}

/// An engine that keeps its index on disk.
#[derive(Clone, Copy, ValueEnum)]
enum EngineName {
    Fjall,
    Sled,
}

impl From<EngineName> for Engine {
    fn from(name: EngineName) -> Self {
        match name {
            EngineName::Fjall => Self::Fjall,
            EngineName::Sled => Self::Sled,
        }
    }
}

fn main() -> ExitCode {
    let mut bench = Bench::parse();
    let measured = match bench.child.take() {
        Some(Child::Node { arguments }) => {
            return hanse_node::command::run(std::iter::once("hansed".into()).chain(arguments));
        }
        Some(Child::Gossip(arguments)) => gossip::run(&arguments),
        None => measure(&bench),
    };
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&*error);
            ExitCode::FAILURE
        }
    }
}

fn measure(bench: &Bench) -> Result<(), Failure> {
    let scale = Scale {
        quick: bench.quick,
        runs: if bench.quick { 1 } else { usize::from(bench.runs) },
        span: if bench.quick {
            Duration::from_millis(20)
        } else {
            Duration::from_secs(1)
        },
        engines: bench
            .engine
            .map_or_else(|| vec![Engine::Fjall, Engine::Sled], |name| vec![name.into()]),
    };
    let mut groups = bench.groups.clone();
    if groups.is_empty() {
        groups = Group::value_variants().to_vec();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut table = Table::new(&scale);
    runtime.block_on(groups::run(&groups, &scale, &mut table))?;
    let text = if bench.json {
        serde_json::to_string_pretty(&table)? + "\n"
    } else {
        table.text()
    };
    stdout().write_all(text.as_bytes())?;
    Ok(())
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
