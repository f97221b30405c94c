//! One run: a league comes up, things are published, and what every node shows is held against what
//! Hanse promises.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hanse_protocol::identity::Handle;
use hanse_sdk::source::SourceError;
use hanse_sdk::{Client, SdkError};

use crate::follower::Follower;
use crate::league::{Daemon, League, LeagueError, Program};
use crate::plaintext::SearchError;
use crate::progress::Progress;
use crate::promises::stock::{self, Published, Stock};
use crate::promises::{Kept, Promise, leaks, links};
use crate::report::{MemberLine, Quantiles, Report, Wire};
use crate::scene;

mod publishing;
mod sabotage;

use publishing::Deliveries;

/// Objects of the input whose ids and values must not lie about.
const TELLING_OBJECTS: usize = 16;

/// Shortest value of the input that is looked for, bytes: a short one may well be somewhere for a
/// reason of its own.
const TELLING_VALUE: usize = 12;

/// What is to be done.
#[derive(Debug)]
pub struct Plan {
    /// How many nodes.
    pub nodes: usize,
    /// Where everything is kept; a temporary folder if absent.
    pub folder: Option<PathBuf>,
    /// A file of STIX to publish besides the two incidents.
    pub input: Option<PathBuf>,
    /// The promise that is to be broken, to see that it is noticed.
    pub sabotage: Option<Promise>,
    /// The program of the nodes; this one if absent.
    pub program: Option<Program>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// The league is not up.
    #[error("the league did not come up")]
    League(#[from] LeagueError),
    /// The input cannot be read.
    #[error("the input cannot be read")]
    Input(#[from] SourceError),
    /// The first node did not take the incidents.
    #[error("the incident could not be published at `{member}`")]
    Publish {
        /// Whose node.
        member: String,
        /// Why.
        #[source]
        source: SdkError,
    },
    /// The first node took only part of the incidents.
    #[error("`{member}` refused a part of the incident: {reason}")]
    Refused {
        /// Whose node.
        member: String,
        /// Why.
        reason: String,
    },
    /// The texts make no search.
    #[error("leaked plaintext cannot be searched for")]
    Search(#[from] SearchError),
    /// Something the testnet itself needs failed.
    #[error("the testnet failed")]
    Own(#[from] std::io::Error),
}

/// A league that is up, with how long that took.
pub struct Stage {
    /// The league.
    pub league: League,
    /// How long it took to come up.
    pub setup: Duration,
}

/// Brings the league of a plan up and, if its folder stays, writes `league.json` into it.
///
/// # Errors
/// [`RehearsalError::League`].
pub async fn raise(plan: &Plan, progress: &Progress) -> Result<Stage, RehearsalError> {
    progress.step(format!("bringing up {} nodes", plan.nodes));
    let started = Instant::now();
    let mut builder = League::builder().nodes(plan.nodes);
    if let Some(folder) = &plan.folder {
        builder = builder.folder(folder);
    }
    if let Some(program) = &plan.program {
        builder = builder.program(program.clone());
    }
    let league = builder.up().await?;
    let setup = started.elapsed();
    if plan.folder.is_some() {
        league.write_ledger()?;
    }
    Ok(Stage { league, setup })
}

/// Publishes what is to be published and finds out what every node made of it.
///
/// # Errors
/// [`RehearsalError`]. A promise that was broken is no error but part of the report.
pub async fn rehearse(plan: &Plan, stage: &mut Stage, progress: &Progress) -> Result<Report, RehearsalError> {
    let mut run = Run::new(plan, stage, progress).await?;
    let deliveries = run.publish().await?;
    let mut report = Report {
        nodes: run.clients.len(),
        objects: deliveries.objects,
        refused: deliveries.refused,
        latency_ms: run.latency(&deliveries.single),
        input_latency_ms: run.published.has_input.then(|| run.latency(&deliveries.bulk)),
        seconds: deliveries.took.as_secs_f64(),
        setup_seconds: run.stage.setup.as_secs_f64(),
        ..Report::default()
    };
    // A span of zero is below what is measured.
    let seconds = report.seconds.max(0.001);
    report.objects_per_second = f64::from(u32::try_from(report.objects).unwrap_or(u32::MAX)) / seconds;
    run.sabotage_before_looking()?;
    let mut kept = Kept::default();
    run.look(&mut report, &mut kept).await?;
    report.judge(&kept);
    progress.done();
    Ok(report)
}

/// A run under way.
struct Run<'a> {
    plan: &'a Plan,
    stage: &'a mut Stage,
    progress: &'a Progress,
    /// A client a member of the league as it was planned.
    clients: Vec<Client>,
    followers: Vec<Follower>,
    /// The first node's member, who publishes, and the partners whom it seals to.
    readers: usize,
    published: Published,
    /// Nodes that are not waited for any longer.
    given_up: Vec<bool>,
}

impl<'a> Run<'a> {
    async fn new(
        plan: &'a Plan,
        stage: &'a mut Stage,
        progress: &'a Progress,
    ) -> Result<Self, RehearsalError> {
        let clients: Result<Vec<Client>, LeagueError> =
            stage.league.daemons().iter().map(Daemon::client).collect();
        let clients = clients?;
        let followers = clients.iter().cloned().map(Follower::follow).collect();
        let given_up = vec![false; clients.len()];
        // One at least stays outside.
        let readers = 1 + (clients.len() - 2).min(2);
        let published = Published {
            has_input: plan.input.is_some(),
            ..Published::default()
        };
        let mut run = Self {
            plan,
            stage,
            progress,
            clients,
            followers,
            readers,
            published,
            given_up,
        };
        run.sabotage_before_publishing().await?;
        Ok(run)
    }

    fn members(&self) -> Vec<Handle> {
        let daemons = self.stage.league.daemons().iter().take(self.clients.len());
        daemons.map(|daemon| daemon.member().clone()).collect()
    }

    /// How long records took from their acknowledgement to every other node.
    fn latency(&self, deliveries: &Deliveries) -> Quantiles {
        let spans = deliveries.iter().flat_map(|delivery| {
            let others = self
                .followers
                .iter()
                .enumerate()
                .filter(|(number, _)| *number != delivery.author);
            others.filter_map(|(_, follower)| {
                let arrived = follower.arrival(&delivery.record)?;
                Some(arrived.saturating_duration_since(delivery.acknowledged))
            })
        });
        Quantiles::of(spans.collect())
    }

    async fn look(&mut self, report: &mut Report, kept: &mut Kept) -> Result<(), RehearsalError> {
        // They have seen what they were to see, and the nodes have better things to answer now.
        self.followers.clear();
        let stocks = self.take_stock(report, kept).await;
        report.records = stock::distinct_records(&stocks);
        self.progress.step("searching every node's files for plaintext");
        let texts = self.telling_texts()?;
        let invited = self.clients.len();
        let daemons = self.stage.league.daemons().get(..invited).unwrap_or_default();
        leaks::judge(daemons, texts, kept).await?;
        let peers = self.peers(kept).await;
        links::judge(&peers, kept);
        report.wire = Wire::of(&links::bytes(&peers));
        for daemon in self.stage.league.daemons().iter().take(invited) {
            let peak = daemon.peak_memory();
            report
                .peak_rss_bytes
                .extend(peak.map(|peak| (daemon.member().to_string(), peak)));
        }
        self.sabotage_before_the_end().await?;
        self.still_run(kept).await;
        Ok(())
    }

    /// What every node can read, with the promises about it.
    async fn take_stock(&mut self, report: &mut Report, kept: &mut Kept) -> Vec<Stock> {
        let mut stocks = Vec::new();
        for (number, (client, member)) in self.clients.iter().zip(self.members()).enumerate() {
            self.progress.step(format!("asking {member} what it can read"));
            let reader = number < self.readers;
            let stock = match self.published.stock(client, reader).await {
                Ok(stock) => stock,
                Err(error) => {
                    self.progress
                        .note(&format!("{member} does not tell what it holds: {error}"));
                    Stock::default()
                }
            };
            stock.judge(&self.published, member.as_str(), reader, kept);
            let (due, readable) = (self.published.due(reader), stock.readable(&self.published));
            report.members.push(MemberLine {
                member: member.to_string(),
                readable,
                missing: due.saturating_sub(readable),
                opaque: stock.opaque(),
                open_incident: stock.open.objects() == self.published.open.objects(),
                sealed_incident: stock.sealed.objects() > 0,
            });
            stocks.push(stock);
        }
        stocks
    }

    /// What must not lie about: the texts of the incidents, and ids and values of the input.
    fn telling_texts(&self) -> Result<Vec<String>, RehearsalError> {
        let mut texts = scene::telling_texts(&scene::open()?);
        texts.extend(scene::telling_texts(&scene::sealed()?));
        texts.extend([scene::OPEN_VALUE.to_owned(), scene::SEALED_VALUE.to_owned()]);
        for wanted in self.published.input.sample().take(TELLING_OBJECTS) {
            texts.push(wanted.id.clone());
            texts.extend(wanted.value.clone().filter(|value| value.len() >= TELLING_VALUE));
        }
        Ok(texts)
    }

    async fn peers(&self, kept: &mut Kept) -> links::Peers {
        let mut peers = BTreeMap::new();
        for (client, member) in self.clients.iter().zip(self.members()) {
            match client.status().await {
                Ok(status) => drop(peers.insert(member, status.peers)),
                Err(error) => kept.broken(Promise::LinksAreMembersOnly, format!("{member}: {error}")),
            }
        }
        peers
    }

    async fn still_run(&mut self, kept: &mut Kept) {
        let invited = self.clients.len();
        for (daemon, client) in self
            .stage
            .league
            .daemons_mut()
            .iter_mut()
            .take(invited)
            .zip(&self.clients)
        {
            let (runs, answers) = (daemon.runs(), client.status().await.is_ok());
            let member = daemon.member();
            match (runs, answers) {
                (true, true) => {}
                (true, false) => kept.broken(Promise::DaemonsStillRun, format!("{member} does not answer")),
                (false, _) => kept.broken(Promise::DaemonsStillRun, format!("{member} ended")),
            }
        }
    }
}
