//! One run of a scenario: a league comes up, its plan is carried out, and in the end everything is
//! looked at once more.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hanse_protocol::identity::Handle;
use hanse_sdk::Client;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::hostile::{Hostile, HostileError};
use super::kept::{Kept, Promise};
use super::ledger::Ledger;
use super::plan::{Foe, Plan};
use super::publishing::{Astray, Publisher};
use super::report::Report;
use super::scenario::Scenario;
use super::subscriber::Subscriber;
use super::watch::{self, Peaks};
use super::{kernel, stock};
use crate::league::{Daemon, League, LeagueError};
use crate::plaintext::{Search, SearchError};
use crate::progress::Progress;
use crate::promises::leaks;
use crate::proxy::{Net, Shape, Way};

mod doing;

pub use doing::Deeds;
use doing::Stage;

/// Texts of sealed records, and as many of open ones, that must be found nowhere.
const TEXTS: usize = 64;

/// How much later honest links carry where the honest pace is sabotaged.
const LATER: Duration = Duration::from_secs(20);

/// How often is looked whether it is time for that.
const LOOK: Duration = Duration::from_millis(100);

/// Records of either kind below which a quantile of 99 in a hundred says nothing.
const ENOUGH: usize = 100;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Orders {
    /// What the league goes through.
    pub scenario: Scenario,
    /// What all choices come from.
    pub seed: u64,
    /// The promise that is to be broken, to see that it is noticed.
    pub sabotage: Option<Promise>,
    /// Where everything is kept; a temporary folder if absent.
    pub folder: Option<PathBuf>,
    /// The command that repeats this run.
    pub command: String,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum HardshipError {
    /// The league is not up, or a node could not be started.
    #[error("the league did not come up")]
    League(#[from] LeagueError),
    /// A hostile member did not come about.
    #[error(transparent)]
    Hostile(#[from] HostileError),
    /// The texts make no search.
    #[error("leaked plaintext cannot be searched for")]
    Search(#[from] SearchError),
    /// The scenario does not make this promise, so that it cannot be broken.
    #[error("the scenario does not promise `{0}`")]
    NotPromised(Promise),
    /// Something the testnet itself needs failed.
    #[error("the testnet failed")]
    Own(#[from] std::io::Error),
}

/// Runs a scenario.
///
/// # Errors
/// [`HardshipError`]. A promise that was broken is no error but part of the report.
pub async fn run(orders: &Orders, progress: &Progress) -> Result<Report, HardshipError> {
    let Orders { scenario, seed, .. } = orders;
    if orders.sabotage == Some(Promise::HonestPace) && scenario.promises.slowed_at_most.is_none() {
        return Err(HardshipError::NotPromised(Promise::HonestPace));
    }
    let plan = Plan::of(scenario, *seed);
    let net = Net::new(*seed);
    progress.step(format!("bringing up {} nodes", scenario.nodes));
    let mut builder = League::builder().nodes(scenario.nodes).behind(net.clone());
    if let Some(folder) = &orders.folder {
        builder = builder.folder(folder);
    }
    let league = builder.up().await?;
    let foes = hostiles(&league, &plan.foes, scenario.honest()).await?;
    net.set_usual(scenario.links.shape());
    let mut run = Run {
        orders,
        progress,
        net,
        league,
        foes,
        kept: Kept::default(),
        peaks: Peaks::default(),
    };
    let report = run.through(&plan).await;
    run.league.stop().await;
    report
}

/// Brings hostile members in. Each was admitted under the charter of its day; the last one's lists all.
async fn hostiles(league: &League, foes: &[Foe], first: usize) -> Result<Vec<Hostile>, HardshipError> {
    let Some(steward) = league.daemons().first() else {
        return Ok(Vec::new());
    };
    let steward = steward.admin()?;
    let mut hostiles = Vec::new();
    for (number, foe) in foes.iter().enumerate() {
        let folder = league.folder().join(format!("hostile-{number}"));
        let hostile = Hostile::admitted(&folder, &steward, first + number, foe.clone());
        hostiles.push(hostile.await?);
    }
    if let Some(newest) = hostiles.pop() {
        hostiles.iter_mut().for_each(|hostile| hostile.learns(&newest));
        hostiles.push(newest);
    }
    Ok(hostiles)
}

struct Run<'a> {
    orders: &'a Orders,
    progress: &'a Progress,
    net: Net,
    league: League,
    foes: Vec<Hostile>,
    kept: Kept,
    peaks: Peaks,
}

impl Run<'_> {
    async fn through(&mut self, plan: &Plan) -> Result<Report, HardshipError> {
        let scenario = &self.orders.scenario;
        let ledger = self.ledger(plan);
        let listeners = self.listeners(&ledger)?;
        let (start, began) = (Instant::now(), std::time::Instant::now());
        let astray = Astray::default();
        let mut works = Vec::new();
        let honest = handles(&self.league);
        for foe in &self.foes {
            works.push(foe.works(&self.net, &honest, start, self.orders.seed)?);
        }
        let mut alongside = self.alongside(plan, &ledger, start);
        let publishing = tokio::spawn(
            self.publisher(&ledger, &astray)?
                .publish(plan.items.clone(), start),
        );
        let mut stage = Stage::new(
            &mut self.league,
            &self.net,
            &self.kept,
            &ledger,
            astray,
            listeners,
        );
        stage.sabotaged = self.orders.sabotage == Some(Promise::EveryStartOpens);
        stage
            .carry_out(&plan.actions, scenario.lasts, start, self.progress)
            .await?;
        self.progress.step("waiting for the last answers");
        publishing.await.map_err(std::io::Error::other)?;
        let (deeds, listeners) = stage.over().await?;
        drop(works);
        self.net.mend_all();
        self.net.set_usual(Shape::default());
        let suffered = start.elapsed();
        alongside.abort_all();

        let mut report = Report::new(self.orders, plan);
        self.progress.step("waiting until all nodes hold the same");
        let nodes = self.nodes()?;
        let converged = stock::converged(&nodes, &ledger, scenario.promises.converge, &self.kept).await;
        self.progress
            .step("asking every node what it shows, and searching for what leaked");
        // They were told what they were to be told.
        drop(listeners);
        stock::whole(&nodes, &ledger, &self.kept).await;
        stock::sealed(&nodes, &ledger, &self.kept).await;
        report.wire_searched = self.leaks(&ledger).await?;
        report.netem_skipped = kernel::skipped(scenario);
        report.suffered = suffered.as_secs_f64();
        report.seconds = began.elapsed().as_secs_f64();
        report.deeds = deeds;
        report.hostile = self.foes.iter().map(Hostile::mischief).collect();
        report.links = self.net.carried();
        report.tell(&self.kept, &ledger, &converged, &self.peaks, scenario);
        Ok(report)
    }

    fn ledger(&self, plan: &Plan) -> Ledger {
        let mut items = plan.items.clone();
        if self.orders.sabotage == Some(Promise::NothingPartial) {
            // It is expected to have an object more than it has.
            items
                .iter_mut()
                .take(1)
                .for_each(|item| item.ids.push("indicator--none".to_owned()));
        }
        let calm_until = plan.foes.iter().map(|foe| foe.at).min();
        let ledger = Ledger::new(items, calm_until.filter(|at| !at.is_zero()));
        if self.orders.sabotage == Some(Promise::NothingLost) {
            ledger.invent(0);
        }
        ledger
    }

    fn publisher(&self, ledger: &Ledger, astray: &Astray) -> Result<Publisher, HardshipError> {
        let clients: Result<Vec<Client>, LeagueError> =
            self.league.daemons().iter().map(Daemon::client).collect();
        Ok(Publisher {
            clients: clients?,
            members: handles(&self.league),
            ledger: ledger.clone(),
            kept: self.kept.clone(),
            astray: Arc::clone(astray),
            tells_all: self.orders.sabotage == Some(Promise::Confidentiality),
        })
    }

    fn listeners(&self, ledger: &Ledger) -> Result<Listeners, HardshipError> {
        let mut listeners = Listeners {
            tasks: JoinSet::new(),
            ledger: ledger.clone(),
            kept: self.kept.clone(),
        };
        for (node, daemon) in self.league.daemons().iter().enumerate() {
            let forgets = node == 0 && self.orders.sabotage == Some(Promise::NoDuplicates);
            listeners.listen(node, daemon, forgets)?;
        }
        Ok(listeners)
    }

    /// What goes on beside: looking at memory, and sabotage of the links.
    fn alongside(&self, plan: &Plan, ledger: &Ledger, start: Instant) -> JoinSet<()> {
        let Orders {
            scenario, sabotage, ..
        } = self.orders;
        let bound = match sabotage {
            Some(Promise::BoundedMemory) => 1,
            _ => scenario.promises.memory,
        };
        let mut alongside = JoinSet::new();
        let (net, peaks, kept) = (self.net.clone(), Arc::clone(&self.peaks), self.kept.clone());
        alongside.spawn(watch::memory(net, scenario.honest(), bound << 20, kept, peaks));
        match sabotage {
            Some(Promise::Convergence) => self.net.isolate(scenario.nodes - 1),
            Some(Promise::HonestPace) => {
                let at = plan.foes.iter().map(|foe| foe.at).min().unwrap_or_default();
                let (net, nodes, ledger) = (self.net.clone(), scenario.nodes, ledger.clone());
                alongside.spawn(async move {
                    tokio::time::sleep_until(start + at).await;
                    // What came before is not to be late as well.
                    while !ledger.calm_is_over() {
                        tokio::time::sleep(LOOK).await;
                    }
                    let ways: Vec<Way> = (0..nodes)
                        .flat_map(|from| (0..nodes).map(move |to| (from, to)))
                        .collect();
                    let shape = Shape {
                        delay: LATER,
                        ..Shape::default()
                    };
                    net.shape(&ways, shape);
                });
            }
            _ => {}
        }
        alongside
    }

    fn nodes(&self) -> Result<Vec<(Handle, Client)>, HardshipError> {
        let node = |daemon: &Daemon| Ok((daemon.member().clone(), daemon.client()?));
        self.league.daemons().iter().map(node).collect()
    }

    /// Searches files, messages, metrics and what went over the wire; tells how many bytes the last was.
    async fn leaks(&self, ledger: &Ledger) -> Result<u64, HardshipError> {
        let texts = ledger.telling(TEXTS);
        let mut found = crate::promises::Kept::default();
        leaks::judge(self.league.daemons(), texts.clone(), &mut found).await?;
        for promise in crate::promises::Promise::ALL {
            for reason in found.reasons(promise) {
                self.kept.broken(Promise::Confidentiality, reason.clone());
            }
        }
        let (pieces, kept) = (self.net.tapped(), self.kept.clone());
        let searched = tokio::task::spawn_blocking(move || {
            let search = Search::new(&texts)?;
            for piece in &pieces {
                for leak in search.in_bytes("the wire", piece) {
                    let reason = format!("text {} as {:?} on the wire", leak.text, leak.form);
                    kept.broken(Promise::Confidentiality, reason);
                }
            }
            Ok::<u64, SearchError>(pieces.iter().map(|piece| piece.len() as u64).sum())
        });
        Ok(searched.await.map_err(std::io::Error::other)??)
    }
}

fn handles(league: &League) -> Vec<Handle> {
    let daemons = league.daemons().iter();
    daemons.map(|daemon| daemon.member().clone()).collect()
}

/// Subscribers of all nodes.
struct Listeners {
    tasks: JoinSet<()>,
    ledger: Ledger,
    kept: Kept,
}

impl Listeners {
    fn listen(&mut self, node: usize, daemon: &Daemon, forgets: bool) -> Result<(), HardshipError> {
        let subscriber = Subscriber {
            node,
            member: daemon.member().to_string(),
            client: daemon.client()?,
            ledger: self.ledger.clone(),
            kept: self.kept.clone(),
            forgets,
        };
        self.tasks.spawn(subscriber.listen());
        Ok(())
    }
}

/// Whether there were enough records before and after to compare.
pub(super) fn enough(calm: usize, hard: usize) -> bool {
    calm.min(hard) >= ENOUGH
}

/// A folder for a run that is kept: in the system's temporary one, named after scenario and seed.
pub fn kept_folder(scenario: &Scenario, seed: u64) -> PathBuf {
    let name = Path::new(&scenario.name)
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    std::env::temp_dir().join(format!("hanse-{name}-{seed}-{}", std::process::id()))
}
