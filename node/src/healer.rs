//! The healer: on connect, on a timer and when a gap shows, this node compares what it holds with a peer
//! and fetches what is missing, from several peers at once if that is much; headers whose body did not
//! come along get it pulled. The other half answers peers who ask the same.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hanse_protocol::charter::CharterHash;
use hanse_protocol::identity::{NodeId, RecordId};
use rand::seq::SliceRandom;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::exchange::{Exchange, Nudge};
use crate::mesh::MeshHandle;
use crate::metrics::Metrics;
use crate::receiver::Links;
use crate::store::Reader;
use compare::{Daily, Fruitless, Passes};
use pull::Gone;

pub mod answer;
mod ask;
mod compare;
mod fetch;
mod needs;
mod progress;
mod pull;
mod talk;
mod view;

pub use progress::{CatchingUp, Healing, LastHealed, Progress};

/// Conversations at once, and bodies pulled at once.
const CONVERSATIONS: usize = 4;
const PULLS: usize = 8;

/// Bodies that may wait to be pulled; the rest is found again in the index.
const WAITING: usize = 4_096;

/// How long gossip gets to bring what a peer says it holds, before it is fetched: what is on its
/// way need not travel twice.
const GRACE: Duration = Duration::from_secs(2);

/// How soon a peer is asked again to help with what is missing.
const RECRUITED: Duration = Duration::from_secs(5);

/// How long a peer that wasted our time waits for the next conversation, the first time, and at most.
const SHUNNED: Duration = Duration::from_secs(2);
const SHUNNED_AT_MOST: Duration = Duration::from_secs(10 * 60);

/// Peers that wasted our time lately: they took too long, sent what is no answer or nothing but what
/// is of no use. Each time they wait twice as long.
#[derive(Clone, Default)]
pub struct Shunned(Arc<Mutex<HashMap<NodeId, (u32, Instant)>>>);

impl Shunned {
    fn is(&self, peer: &NodeId) -> bool {
        let shunned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shunned
            .get(peer)
            .is_some_and(|(_, until)| *until > Instant::now())
    }

    fn add(&self, peer: NodeId) {
        let mut shunned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let times = shunned.get(&peer).map_or(0, |(times, _)| *times);
        let wait = SHUNNED.saturating_mul(1 << times.min(9)).min(SHUNNED_AT_MOST);
        shunned.insert(peer, (times.saturating_add(1), Instant::now() + wait));
    }

    fn forgive(&self, peer: &NodeId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(peer);
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
    /// How it goes, and what is known to be missing.
    pub progress: Progress,
    /// Who wasted our time.
    pub shunned: Shunned,
    passes: Passes,
    fruitless: Fruitless,
    daily: Daily,
    /// Under which charter was last compared.
    under: Arc<Mutex<Option<CharterHash>>>,
    gone: Gone,
    /// Room for what waits for its commit.
    in_flight: Arc<Semaphore>,
}

/// The healer's agenda.
struct Agenda {
    conversations: JoinSet<NodeId>,
    busy: HashSet<NodeId>,
    again: HashSet<NodeId>,
    pulls: JoinSet<RecordId>,
    pulling: HashSet<RecordId>,
    /// Bodies to pull, the first to come first: none waits for ever because others are asked for.
    waiting: VecDeque<(RecordId, Option<NodeId>)>,
    /// Up to where awaited bodies were taken up; from there on goes the next tick.
    awaited_to: Option<RecordId>,
    /// When each peer was last taken up by the timer.
    taken_up: HashMap<NodeId, Instant>,
    /// When each peer was last asked to help.
    recruited: HashMap<NodeId, Instant>,
    /// Bytes that had come from each peer at the last tick.
    came: HashMap<NodeId, u64>,
}

impl Healer {
    /// A healer of this node.
    pub fn new(
        exchange: Exchange,
        store: Reader,
        mesh: MeshHandle,
        links: Links,
        metrics: Arc<Metrics>,
        progress: Progress,
    ) -> Self {
        Self {
            exchange,
            store,
            mesh,
            links,
            metrics,
            progress,
            shunned: Shunned::default(),
            passes: Passes::default(),
            fruitless: Fruitless::default(),
            daily: Daily::default(),
            under: Arc::default(),
            gone: Gone::default(),
            in_flight: Arc::new(Semaphore::new(fetch::IN_FLIGHT)),
        }
    }

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
                () = self.progress.needs().many() => self.recruit(&mut agenda),
                Some(done) = agenda.pulls.join_next() => self.pulled(&mut agenda, done.ok()),
                () = tokio::time::sleep_until(next) => {
                    next = tokio::time::Instant::now() + pause();
                    self.tick(&mut agenda).await;
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

    /// Compares with the peer whose turn it is and with those from which nothing came since the last
    /// tick, since a half-open link shows only when an answer is waited for; and takes up bodies that
    /// are still awaited.
    async fn tick(&self, agenda: &mut Agenda) {
        let mut connected: Vec<NodeId> = self.links.now().into_iter().collect();
        connected.shuffle(&mut rand::rng());
        let next = connected
            .iter()
            .filter(|peer| !self.shunned.is(peer))
            .min_by_key(|peer| agenda.taken_up.get(peer));
        if let Some(peer) = next {
            agenda.taken_up.insert(*peer, Instant::now());
            self.converse(agenda, *peer, GRACE);
        }
        let came = self.mesh.peers().await.into_iter();
        let came: HashMap<_, _> = came.map(|peer| (peer.node, peer.bytes_in)).collect();
        let quiet = came
            .iter()
            .filter(|(peer, bytes)| agenda.came.get(peer) == Some(bytes));
        let quiet: Vec<NodeId> = quiet.map(|(peer, _)| *peer).collect();
        quiet
            .into_iter()
            .for_each(|peer| self.converse(agenda, peer, GRACE));
        agenda.taken_up.retain(|peer, _| came.contains_key(peer));
        agenda.recruited.retain(|peer, _| came.contains_key(peer));
        self.metrics.behind(self.progress.needs().behind());
        self.metrics.chain_gaps(self.exchange.flaws().gaps);
        agenda.came = came;
        let standing = self.exchange.standing();
        let Some(charters) = &standing.charters else {
            return;
        };
        // Half the places are left to what comes new.
        let room = (WAITING / 2).saturating_sub(agenda.waiting.len());
        if room == 0 {
            return;
        }
        match self.store.awaited(charters.community(), agenda.awaited_to, room) {
            Ok(awaited) => {
                agenda.awaited_to = awaited
                    .last()
                    .filter(|_| awaited.len() == room)
                    .map(|(id, _)| *id);
                let connected: Vec<NodeId> = self.links.now().into_iter().collect();
                let wanted = awaited.into_iter().map(|(id, _)| id);
                wanted
                    .filter(|id| !self.gone.say_all(id, &connected))
                    .for_each(|id| self.pull(agenda, id, None));
            }
            Err(error) => tracing::warn!(%error, "awaited bodies cannot be listed"),
        }
    }

    fn converse(&self, agenda: &mut Agenda, peer: NodeId, grace: Duration) {
        if self.shunned.is(&peer) {
            return;
        }
        if agenda.busy.contains(&peer) || agenda.conversations.len() >= CONVERSATIONS {
            agenda.again.insert(peer);
            return;
        }
        agenda.busy.insert(peer);
        let healer = self.clone();
        agenda.conversations.spawn(async move {
            let asked = healer.ask(peer, grace).await;
            let connected = healer.links.now().into_iter().collect();
            healer
                .exchange
                .compared(peer, matches!(asked, Ok(true)), connected);
            match asked {
                Ok(all) => {
                    healer.shunned.forgive(&peer);
                    if all {
                        healer.progress.healed(peer);
                    }
                    healer.metrics.healed(if all { "done" } else { "some" });
                }
                Err(error) => {
                    tracing::info!(peer = %peer, %error, "healing stopped early");
                    healer.metrics.healed("failed");
                    if error.is_waste() {
                        healer.shunned.add(peer);
                    }
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
        let asked: Vec<NodeId> = connected
            .into_iter()
            .filter(|peer| !self.shunned.is(peer))
            .collect();
        let needs = self.progress.needs();
        needs.let_go(&asked);
        if needs.behind() > 0 {
            self.recruit(agenda);
        }
        self.metrics.behind(needs.behind());
    }

    /// Has others who have nothing to do help to fetch what is missing.
    fn recruit(&self, agenda: &mut Agenda) {
        let now = Instant::now();
        let mut idle: Vec<NodeId> = self.links.now().into_iter().collect();
        idle.shuffle(&mut rand::rng());
        for peer in idle {
            let lately = agenda.recruited.get(&peer);
            if lately.is_none_or(|at| now.duration_since(*at) >= RECRUITED) && !agenda.busy.contains(&peer) {
                agenda.recruited.insert(peer, now);
                self.converse(agenda, peer, Duration::ZERO);
            }
        }
    }

    fn pull(&self, agenda: &mut Agenda, id: RecordId, courier: Option<NodeId>) {
        if agenda.pulling.contains(&id) {
            return;
        }
        if agenda.pulls.len() >= PULLS {
            if agenda.waiting.len() < WAITING && !agenda.waiting.iter().any(|(waiting, _)| *waiting == id) {
                agenda.waiting.push_back((id, courier));
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
        if let Some((id, courier)) = agenda.waiting.pop_front() {
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
            waiting: VecDeque::new(),
            awaited_to: None,
            taken_up: HashMap::new(),
            recruited: HashMap::new(),
            came: HashMap::new(),
        }
    }
}
