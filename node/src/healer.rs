//! The plain healer: on connect, on a timer and when a gap shows, this node asks a peer what it
//! holds of each author and fetches what is missing; headers whose body did not come along get it
//! pulled. The other half answers peers who ask the same.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hanse_protocol::identity::{NodeId, RecordId};
use hanse_protocol::timestamp::Timestamp;
use rand::seq::IndexedRandom;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::exchange::{Exchange, Nudge};
use crate::mesh::MeshHandle;
use crate::metrics::Metrics;
use crate::receiver::Links;
use crate::store::Reader;

pub mod answer;
mod ask;
mod talk;

/// Conversations at once, and bodies pulled at once.
const CONVERSATIONS: usize = 4;
const PULLS: usize = 8;

/// Bodies that may wait to be pulled; the rest is found again in the index.
const WAITING: usize = 4_096;

/// How long gossip gets to bring what a peer says it holds, before it is fetched: what is on its
/// way need not travel twice.
const GRACE: Duration = Duration::from_secs(2);

/// When holdings were last compared with each peer.
#[derive(Clone, Default)]
pub struct HealedAt(Arc<Mutex<HashMap<NodeId, Timestamp>>>);

impl HealedAt {
    /// When holdings were last compared with `peer`, without error.
    pub fn of(&self, peer: &NodeId) -> Option<Timestamp> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(peer)
            .copied()
    }

    fn note(&self, peer: NodeId) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(peer, clock::now());
    }
}

/// What the healer works with.
#[derive(Clone)]
pub struct Healer {
    /// The one door for what is fetched.
    pub exchange: Exchange,
    /// What is held.
    pub store: Reader,
    /// The way to peers.
    pub mesh: MeshHandle,
    /// Who is connected.
    pub links: Links,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// When each peer was last asked.
    pub healed_at: HealedAt,
}

/// The healer's agenda.
struct Agenda {
    conversations: JoinSet<NodeId>,
    busy: HashSet<NodeId>,
    again: HashSet<NodeId>,
    pulls: JoinSet<RecordId>,
    pulling: HashSet<RecordId>,
    waiting: Vec<(RecordId, Option<NodeId>)>,
}

impl Healer {
    /// Runs until `stop`. `every` is the time between two comparisons with some peer.
    pub async fn run(
        self,
        every: Duration,
        mut nudges: mpsc::Receiver<Nudge>,
        mut arrivals: mpsc::Receiver<NodeId>,
        stop: CancellationToken,
    ) {
        let mut agenda = Agenda::new();
        // Jitter, so that a league that started together does not ask together.
        let pause = || every.mul_f64(rand::random_range(0.75..1.25));
        let mut next = tokio::time::Instant::now() + pause();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(peer) = arrivals.recv() => self.converse(&mut agenda, peer, Duration::ZERO),
                Some(nudge) = nudges.recv() => self.nudged(&mut agenda, nudge),
                Some(done) = agenda.conversations.join_next() => self.conversed(&mut agenda, done.ok()),
                Some(done) = agenda.pulls.join_next() => self.pulled(&mut agenda, done.ok()),
                () = tokio::time::sleep_until(next) => {
                    next = tokio::time::Instant::now() + pause();
                    self.tick(&mut agenda);
                }
            }
        }
    }

    fn nudged(&self, agenda: &mut Agenda, nudge: Nudge) {
        match nudge {
            Nudge::Body(id, courier) => self.pull(agenda, id, Some(courier)),
            Nudge::Gap(courier) | Nudge::Charter(courier) => self.converse(agenda, courier, GRACE),
        }
    }

    /// Compares with some peer, and takes up bodies that are still awaited.
    fn tick(&self, agenda: &mut Agenda) {
        let connected: Vec<NodeId> = self.links.now().into_iter().collect();
        if let Some(peer) = connected.choose(&mut rand::rng()) {
            self.converse(agenda, *peer, GRACE);
        }
        let standing = self.exchange.standing();
        let Some(charters) = &standing.charters else {
            return;
        };
        match self.store.awaited(charters.community(), None, WAITING) {
            Ok(awaited) => awaited
                .into_iter()
                .for_each(|(id, _)| self.pull(agenda, id, None)),
            Err(error) => tracing::warn!(%error, "awaited bodies cannot be listed"),
        }
    }

    fn converse(&self, agenda: &mut Agenda, peer: NodeId, grace: Duration) {
        if agenda.busy.contains(&peer) || agenda.conversations.len() >= CONVERSATIONS {
            agenda.again.insert(peer);
            return;
        }
        agenda.busy.insert(peer);
        let healer = self.clone();
        agenda.conversations.spawn(async move {
            match healer.ask(peer, grace).await {
                Ok(()) => {
                    healer.healed_at.note(peer);
                    healer.metrics.healed("done");
                }
                Err(error) => {
                    tracing::info!(peer = %peer, %error, "healing stopped early");
                    healer.metrics.healed("failed");
                    // A half-open link is noticed by nobody else: nothing else waits for an answer.
                    if error.is_silence() {
                        let _ = healer.mesh.redial(peer).await;
                    }
                }
            }
            peer
        });
    }

    fn conversed(&self, agenda: &mut Agenda, peer: Option<NodeId>) {
        match peer {
            Some(peer) => {
                agenda.busy.remove(&peer);
            }
            // A conversation that panicked names nobody; no peer may stay barred for it.
            None => agenda.busy.clear(),
        }
        let connected = self.links.now();
        let again: Vec<NodeId> = agenda
            .again
            .drain()
            .filter(|peer| connected.contains(peer))
            .collect();
        again
            .into_iter()
            .for_each(|peer| self.converse(agenda, peer, GRACE));
    }

    fn pull(&self, agenda: &mut Agenda, id: RecordId, courier: Option<NodeId>) {
        if agenda.pulling.contains(&id) {
            return;
        }
        if agenda.pulls.len() >= PULLS {
            if agenda.waiting.len() < WAITING && !agenda.waiting.iter().any(|(waiting, _)| *waiting == id) {
                agenda.waiting.push((id, courier));
            }
            return;
        }
        agenda.pulling.insert(id);
        let healer = self.clone();
        agenda.pulls.spawn(async move {
            let outcome = healer.pull_body(id, courier).await;
            healer.metrics.body_pulled(outcome);
            id
        });
    }

    fn pulled(&self, agenda: &mut Agenda, id: Option<RecordId>) {
        match id {
            Some(id) => {
                agenda.pulling.remove(&id);
            }
            None => agenda.pulling.clear(),
        }
        if let Some((id, courier)) = agenda.waiting.pop() {
            self.pull(agenda, id, courier);
        }
    }
}

impl Agenda {
    fn new() -> Self {
        Self {
            conversations: JoinSet::new(),
            busy: HashSet::new(),
            again: HashSet::new(),
            pulls: JoinSet::new(),
            pulling: HashSet::new(),
            waiting: Vec::new(),
        }
    }
}
