//! What is published, by whom, and waiting until it is everywhere.

use std::path::Path;
use std::time::{Duration, Instant};

use hanse_protocol::identity::{Handle, RecordId};
use hanse_protocol::local::PublishReply;
use hanse_sdk::publish::publish_all;
use hanse_sdk::source::Source;
use hanse_sdk::{Draft, SdkError, Terms};
use serde_json::value::RawValue;

use super::{RehearsalError, Run};
use crate::expected::Expected;
use crate::promises::Promise;
use crate::promises::stock::expect;
use crate::scene;

/// Bulletins of each member: enough that a slow delivery shows.
const BULLETINS: usize = 4;

/// How long nothing at all may arrive before the nodes that lack something are given up: several
/// rounds of healing.
const STALLED: Duration = Duration::from_secs(60);

/// The same when all of those nodes have ended; somebody may be about to start them again.
const ENDED: Duration = Duration::from_secs(15);

/// How often is looked whether everything has arrived.
const LOOK: Duration = Duration::from_millis(2);

/// The same while an input is under way.
const LOOK_SELDOM: Duration = Duration::from_millis(50);

/// A record that was published.
pub(super) struct Delivery {
    pub(super) record: RecordId,
    /// The number of its author's node.
    pub(super) author: usize,
    /// When the publish was answered.
    pub(super) acknowledged: Instant,
}

pub(super) type Deliveries = Vec<Delivery>;

/// What came of publishing.
#[derive(Default)]
pub(super) struct Outcome {
    /// Records that were published on their own.
    pub(super) single: Deliveries,
    /// Records of the input file.
    pub(super) bulk: Deliveries,
    /// Distinct objects of the input that were published.
    pub(super) objects: usize,
    /// Objects and lines of it that were refused.
    pub(super) refused: usize,
    /// From the first request with the input to its last record being everywhere.
    pub(super) took: Duration,
}

impl Run<'_> {
    pub(super) async fn publish(&mut self) -> Result<Outcome, RehearsalError> {
        let mut outcome = Outcome::default();
        let started = Instant::now();
        self.publish_incidents(&mut outcome).await?;
        outcome.took = started.elapsed();
        outcome.objects = self.published.open.objects() + self.published.sealed.objects();
        self.publish_bulletins(&mut outcome).await?;
        if let Some(path) = &self.plan.input {
            self.publish_input(path, &mut outcome).await?;
        }
        Ok(outcome)
    }

    async fn publish_incidents(&mut self, outcome: &mut Outcome) -> Result<(), RehearsalError> {
        self.progress
            .step("publishing an incident in the open, and what only partners may know of it");
        let (open, sealed) = (scene::open()?, scene::sealed()?);
        expect(&mut self.published.open, &open);
        expect(&mut self.published.sealed, &sealed);
        let readers = self.open_to();
        self.publish_scene(open, readers, outcome).await?;
        match self.sealed_to() {
            readers if readers.is_empty() => Ok(()),
            readers => self.publish_scene(sealed, Some(readers), outcome).await,
        }
    }

    async fn publish_scene(
        &mut self,
        objects: Vec<Box<RawValue>>,
        to: Option<Vec<Handle>>,
        outcome: &mut Outcome,
    ) -> Result<(), RehearsalError> {
        let member = || {
            self.members()
                .first()
                .map(ToString::to_string)
                .unwrap_or_default()
        };
        let reply = self.publish_at(0, objects, to).await;
        let reply = reply.map_err(|source| RehearsalError::Publish {
            member: member(),
            source,
        })?;
        if let Some(refused) = reply.refused.first() {
            return Err(RehearsalError::Refused {
                member: member(),
                reason: refused.reason.clone(),
            });
        }
        self.delivered(0, &reply, outcome).await;
        Ok(())
    }

    /// Every member publishes some bulletins, each when the one before is everywhere.
    async fn publish_bulletins(&mut self, outcome: &mut Outcome) -> Result<(), RehearsalError> {
        let members = self.members();
        for round in 1..=BULLETINS {
            for (author, member) in members.iter().enumerate() {
                self.progress.step(format!("bulletin {round} of {member}"));
                let bulletin = scene::bulletin(hanse_node::clock::now()).map_err(std::io::Error::from)?;
                let line = u64::try_from(round * members.len() + author).unwrap_or(u64::MAX);
                self.published.bulletins.add(line, bulletin.get());
                let last = round == BULLETINS && author == 0;
                match self
                    .publish_at(author, vec![bulletin], self.bulletin_to(last))
                    .await
                {
                    Ok(reply) => self.delivered(author, &reply, outcome).await,
                    Err(error) => self.progress.note(&format!("{member} did not publish: {error}")),
                }
            }
        }
        Ok(())
    }

    async fn publish_at(
        &self,
        author: usize,
        objects: Vec<Box<RawValue>>,
        to: Option<Vec<Handle>>,
    ) -> Result<PublishReply, SdkError> {
        let Some(client) = self.clients.get(author) else {
            return Ok(PublishReply::default());
        };
        let terms = Terms {
            to,
            ..Terms::default()
        };
        client.publish(Draft::new().objects(objects).terms(terms)).await
    }

    /// Waits until what was just acknowledged is everywhere.
    async fn delivered(&mut self, author: usize, reply: &PublishReply, outcome: &mut Outcome) {
        let acknowledged = Instant::now();
        let ids: Vec<RecordId> = reply.records.iter().map(|record| record.id).collect();
        let delivery = |record: &RecordId| Delivery {
            record: *record,
            author,
            acknowledged,
        };
        outcome.single.extend(ids.iter().map(delivery));
        self.arrived(&ids, LOOK).await;
    }

    async fn publish_input(&mut self, path: &Path, outcome: &mut Outcome) -> Result<(), RehearsalError> {
        self.progress.step("reading the input");
        let file = path.to_owned();
        let read = tokio::task::spawn_blocking(move || Expected::read(&file)).await;
        self.published.input = read.map_err(std::io::Error::other)??;
        self.given_up.fill(false);
        self.followers
            .iter()
            .for_each(|follower| follower.look_closely(false));
        let Some(client) = self.clients.first() else {
            return Ok(());
        };
        let source = Source::open(path)?;
        let progress = self.progress;
        let mut acknowledged: Vec<(u64, Instant)> = Vec::new();
        let started = Instant::now();
        let terms = Terms::default();
        let report = publish_all(client, source, &terms, |so_far| {
            acknowledged.push((so_far.records, Instant::now()));
            progress.step(format!("publishing the input: {} objects", so_far.published));
        });
        let report = report.await;
        if let Some(error) = &report.ended {
            let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
            self.progress.note(&format!(
                "publishing ended early: {error}{}",
                cause.unwrap_or_default()
            ));
        }
        let ids: Vec<RecordId> = report.records.iter().map(|record| record.id).collect();
        self.progress.step("waiting until the input is at every node");
        self.arrived(&ids, LOOK_SELDOM).await;
        outcome.took = started.elapsed();
        for (count, record) in (1..).zip(ids) {
            let at = acknowledged
                .iter()
                .find(|(records, _)| *records >= count)
                .map(|(_, at)| *at);
            let acknowledged = at.unwrap_or(started);
            outcome.bulk.push(Delivery {
                record,
                author: 0,
                acknowledged,
            });
        }
        outcome.refused = report.refused.len();
        report
            .refused
            .iter()
            .for_each(|refused| self.published.input.withdraw(refused.line));
        outcome.objects = self.published.input.objects();
        Ok(())
    }

    /// Waits until every node lists all of these records, or is given up.
    async fn arrived(&mut self, ids: &[RecordId], look: Duration) {
        let mut seen = 0;
        let mut moved = Instant::now();
        loop {
            self.tell_of_the_ended();
            let counts: Vec<usize> = self
                .followers
                .iter()
                .map(|follower| follower.count(ids))
                .collect();
            let waits = |(count, given_up): (&usize, &bool)| *count < ids.len() && !given_up;
            let lacking: Vec<bool> = counts.iter().zip(&self.given_up).map(waits).collect();
            if !lacking.contains(&true) {
                return;
            }
            let sum = counts.iter().sum();
            if sum != seen {
                (seen, moved) = (sum, Instant::now());
            }
            let daemons = self.stage.league.daemons_mut().iter_mut().zip(&lacking);
            let some_run = daemons.fold(false, |run, (daemon, lacks)| run | (*lacks && daemon.runs()));
            if moved.elapsed() > if some_run { STALLED } else { ENDED } {
                return self.give_up(&lacking);
            }
            tokio::time::sleep(look).await;
        }
    }

    fn give_up(&mut self, lacking: &[bool]) {
        let members = self.members();
        for ((given_up, lacks), member) in self.given_up.iter_mut().zip(lacking).zip(members) {
            if *lacks {
                *given_up = true;
                self.progress.note(&format!(
                    "{member} lacks records and is not waited for any longer"
                ));
            }
        }
    }

    fn tell_of_the_ended(&mut self) {
        for (member, status) in self.stage.league.newly_ended() {
            self.progress
                .note(&format!("the node of {member} was ended from outside ({status})"));
        }
    }

    fn open_to(&self) -> Option<Vec<Handle>> {
        let breaks = self.plan.sabotage == Some(Promise::EveryoneHasTheOpenIncident);
        breaks.then(|| self.members().into_iter().skip(1).take(1).collect())
    }

    fn sealed_to(&self) -> Vec<Handle> {
        let others = self.members().into_iter().skip(1);
        match self.plan.sabotage {
            Some(Promise::NobodyElseReadsIt) => others.collect(),
            Some(Promise::ReadersHaveTheSealedIncident) => others.take(self.readers - 2).collect(),
            _ => others.take(self.readers - 1).collect(),
        }
    }

    fn bulletin_to(&self, last: bool) -> Option<Vec<Handle>> {
        let breaks = last && self.plan.sabotage == Some(Promise::EveryoneIsHeard);
        breaks.then(|| self.members().into_iter().skip(1).take(1).collect())
    }
}
