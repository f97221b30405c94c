//! The groups of figures, one a file.

use clap::ValueEnum;

use crate::measure::{Failure, Scale, say};
use crate::stock::Stocks;
use crate::table::Table;

mod catchup;
mod commit;
mod large;
mod league;
mod lines;
mod policy;
mod protocol;
mod reconcile;
mod store;

/// A group of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// Sign, verify, seal, open and compress.
    Protocol,
    /// Admission to durable commit, beside bare verification on all cores.
    Commit,
    /// A node 100,000 records behind catches up from three peers, beside local ingest of the same.
    Catchup,
    /// Store ingest beside bare fjall; reading meanwhile, opening, reindexing.
    Store,
    /// Two nodes compare what they hold, beside negentropy.
    Reconcile,
    /// Who gets an object of 1,000 partners, beside 1,000 plain Cedar decisions; a folder loaded.
    Policy,
    /// Search over HTTP and in process, at 100,000 and at a million objects.
    Search,
    /// A node's memory at 100,000 and at a million objects.
    Memory,
    /// Start-up at a million objects, after a clean stop and after a kill.
    Startup,
    /// Publish to searchable at 5 and 20 daemons, beside bare gossipsub.
    League,
    /// Publish to searchable, copies and bytes at 20 daemons behind lines of 25 ms: for the simulation.
    Lines,
}

/// Takes the figures of some groups.
pub(crate) async fn run(groups: &[Group], scale: &Scale, table: &mut Table) -> Result<(), Failure> {
    let has = |group| groups.contains(&group);
    if has(Group::Protocol) {
        say("protocol: sign, verify, seal, open, compress");
        protocol::run(scale, table).await?;
    }
    if has(Group::Commit) {
        say("commit: admission to durable commit");
        commit::run(scale, table).await?;
    }
    if has(Group::Catchup) {
        say("catchup: a node that is far behind heals from three peers");
        catchup::run(scale, table).await?;
    }
    if has(Group::Store) {
        say("store: ingest beside bare fjall");
        store::run(scale, table)?;
    }
    if has(Group::Reconcile) {
        say("reconcile: two nodes compare what they hold");
        reconcile::run(scale, table)?;
    }
    if has(Group::Policy) {
        say("policy: who gets it of a thousand partners");
        policy::run(scale, table)?;
    }
    if has(Group::League) {
        say("league: publish to searchable");
        league::run(scale, table).await?;
    }
    if has(Group::Lines) {
        say("lines: daemons behind lines that take their time");
        lines::run(scale, table).await?;
    }
    // These three look at the same nodes, which take minutes to fill.
    let mut stocks = Stocks::default();
    for engine in &scale.engines {
        for (label, objects) in scale.stocks() {
            let search = has(Group::Search);
            let memory = has(Group::Memory);
            let startup = has(Group::Startup) && label == "1M";
            if search || memory || startup {
                let stock = stocks.stock(*engine, label, objects).await?;
                large::run(stock, scale, table, (search, memory, startup)).await?;
            }
        }
    }
    Ok(())
}

impl Scale {
    /// How many objects the large nodes hold, and what that is called.
    fn stocks(&self) -> [(&'static str, usize); 2] {
        [
            ("100k", self.size(100_000, 1_000)),
            ("1M", self.size(1_000_000, 2_000)),
        ]
    }
}
