//! Comparing with a peer: a pass under the community's key at every conversation, and once a day one under
//! a key of the two, so that records made to hide from the former are found.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hanse_protocol::heal::{Answer, KeyChoice, Question};
use hanse_protocol::identity::NodeId;
use hanse_protocol::reconcile::{Held, Key, Pass, Place, Span};
use tokio::time::Instant;

use super::ask::{AskError, Conversation};
use super::view::{self, Hashed, View};
use crate::clock;
use crate::store::StoreError;

/// Peers whose comparing was cut short that are remembered.
const PEERS: usize = 64;

/// Places that one peer was asked for in vain and is not asked for again before [`FRUITLESS_FOR`].
const FRUITLESS: usize = 4_096;
const FRUITLESS_FOR: Duration = Duration::from_secs(10 * 60);

/// From one comparing under a key of the two to the next, and before the first since the start, at most.
const DAILY: Duration = Duration::from_secs(24 * 3_600);
const FIRST_DAILY: Duration = Duration::from_secs(3_600);

/// Comparing that was cut short, by peer: it goes on where it stopped. Its pass would be as good with
/// another peer as far as it goes; but what was compared with one says nothing of another.
#[derive(Clone, Default)]
pub(super) struct Passes(Arc<Mutex<HashMap<NodeId, Pass>>>);

impl Passes {
    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, Pass>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, peer: &NodeId) -> Option<Pass> {
        self.lock().remove(peer)
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn put(&self, peer: NodeId, pass: Pass) {
        let mut passes = self.lock();
        if passes.len() >= PEERS {
            let any = passes.keys().next().copied();
            any.map(|any| passes.remove(&any));
        }
        passes.insert(peer, pass);
    }
}

/// What each peer was asked for in vain lately.
#[derive(Clone, Default)]
pub(super) struct Fruitless(Arc<Mutex<HashMap<NodeId, Vain>>>);

/// Since when, and what.
type Vain = (Instant, Arc<BTreeSet<Place>>);

impl Fruitless {
    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, Vain>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn of(&self, peer: &NodeId) -> Arc<BTreeSet<Place>> {
        let mut vain = self.lock();
        vain.retain(|_, (since, _)| since.elapsed() < FRUITLESS_FOR);
        vain.get(peer)
            .map(|(_, places)| Arc::clone(places))
            .unwrap_or_default()
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    pub(super) fn add(&self, peer: NodeId, places: impl IntoIterator<Item = Place>) {
        let mut vain = self.lock();
        let (_, known) = vain
            .entry(peer)
            .or_insert_with(|| (Instant::now(), Arc::default()));
        let known = Arc::make_mut(known);
        known.extend(places);
        while known.len() > FRUITLESS {
            known.pop_first();
        }
    }
}

/// When each peer is to be compared with under a key of the two. In memory only: after a start the first
/// time comes within an hour, so that a league that started together does not compare together.
#[derive(Clone, Default)]
pub(super) struct Daily(Arc<Mutex<HashMap<NodeId, Instant>>>);

impl Daily {
    /// Whether it is time; if so, the next time is a day on.
    fn is_due(&self, peer: NodeId) -> bool {
        let mut due = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let first = || now + FIRST_DAILY.mul_f64(rand::random_range(0.1..1.0));
        let at = due.entry(peer).or_insert_with(first);
        if *at > now {
            return false;
        }
        *at = now + DAILY.mul_f64(rand::random_range(0.9..1.0));
        true
    }
}

impl Conversation<'_> {
    /// Compares all there is inside the horizon, the newest first, and adds what is missing to what is
    /// wanted; how much that is. If it was cut short, it first goes on where it stopped.
    pub(super) async fn compare(&mut self) -> Result<usize, AskError> {
        if let Some(pass) = self.healer.passes.take(&self.peer) {
            let missing = self.go_through(pass).await?;
            if missing > 0 {
                return Ok(missing);
            }
        }
        let spans = Span::horizon(clock::now(), self.charters.charter().horizon());
        self.go_through(Pass::new(spans)).await
    }

    /// Goes on with a pass until all is compared, or enough is wanted for now.
    async fn go_through(&mut self, mut pass: Pass) -> Result<usize, AskError> {
        let key = Key::of_community(self.charters.community());
        let mut missing = 0;
        while !pass.is_done() {
            let held = self.healer.store.held(self.charters.community())?;
            let stepped = self.step(pass.clone(), held, &key, KeyChoice::Community).await;
            let found;
            (pass, found) = match stepped {
                Ok(stepped) => stepped,
                // Whoever answers wrongly begins anew; a cut conversation goes on.
                Err(error) => {
                    if !error.is_waste() || error.is_silence() {
                        self.healer.passes.put(self.peer, pass);
                    }
                    return Err(error);
                }
            };
            missing += found;
            if self.healer.progress.needs().is_full() && !pass.is_done() {
                self.healer.passes.put(self.peer, pass);
                return Ok(missing);
            }
        }
        Ok(missing)
    }

    /// Once a day, compares what was made before today under a key of the two.
    pub(super) async fn check_daily(&mut self) -> Result<(), AskError> {
        if !self.healer.daily.is_due(self.peer) {
            return Ok(());
        }
        let ours: [u8; 32] = rand::random();
        self.line.ask(&Question::Nonce(ours)).await?;
        let theirs = match self.line.hear().await? {
            Answer::Nonce(theirs) => theirs,
            Answer::Later => return Ok(()),
            _ => return Err(AskError::Protocol),
        };
        let key = Key::of_pass(&ours, &theirs);
        let (store, community, under) = (self.healer.store.clone(), *self.charters.community(), key.clone());
        let hashed = tokio::task::spawn_blocking(move || view::hash(&store, &community, under));
        let hashed = hashed.await??;
        let now = clock::now();
        let mut closed = Span::horizon(now, self.charters.charter().horizon());
        closed.retain(|span| span.to <= Place::at(now));
        let mut pass = Pass::new(closed);
        let mut missing = 0;
        while !pass.is_done() {
            let found;
            let held = Hashed::new(
                Arc::clone(&hashed),
                self.healer.store.places(self.charters.community()),
            );
            (pass, found) = self.step(pass, held, &key, KeyChoice::Pass(ours)).await?;
            missing += found;
        }
        tracing::info!(peer = %self.peer, missing, "compared under a key of our own");
        self.healer.metrics.healed("daily");
        Ok(())
    }

    /// One question and its answer; what is left to compare, and how much was found missing.
    async fn step<H>(
        &mut self,
        pass: Pass,
        held: H,
        key: &Key,
        choice: KeyChoice,
    ) -> Result<(Pass, usize), AskError>
    where
        H: Held<Error = StoreError> + Send + Sync + 'static,
    {
        let view = Arc::new(View {
            held,
            exchange: self.healer.exchange.clone(),
            fruitless: self.fruitless(),
        });
        let (asking, under) = (Arc::clone(&view), key.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let asked = pass.question(&*asking, &under);
            asked.map(|asked| (pass, asked))
        });
        let (mut pass, asked) = asked.await??;
        self.still_stands()?;
        let charter = self.charters.newest().reference();
        self.line.ask(&Question::Compare(charter, choice, asked)).await?;
        let told = match self.line.hear().await? {
            Answer::Compared(told) => told,
            Answer::Later => return Err(AskError::Later),
            _ => return Err(AskError::Protocol),
        };
        let under = key.clone();
        let answered = tokio::task::spawn_blocking(move || {
            let needs = pass.answered(&*view, &under, &told);
            needs.map(|needs| needs.map(|needs| (pass, needs)))
        });
        let (pass, needs) = answered.await???;
        self.still_stands()?;
        let found = needs.len();
        self.healer.progress.needs().add(self.peer, needs);
        Ok((pass, found))
    }
}
