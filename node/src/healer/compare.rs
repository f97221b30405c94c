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

/// When it is tried again if the peer said that it is too soon, or something came to light: whoever it is
/// takes another nonce after ten minutes.
const RETRIED: Duration = Duration::from_secs(11 * 60);

/// How long is compared before what was found is fetched, and how long a conversation compares under a key
/// of the two.
const SLICE: Duration = Duration::from_secs(30);
const HIDDEN: Duration = Duration::from_secs(60);

/// Comparing that was cut short, by peer: it goes on where it stopped. Its pass would be as good with
/// another peer as far as it goes; but what was compared with one says nothing of another.
#[derive(Clone, Default)]
pub(super) struct Passes(Arc<Mutex<HashMap<NodeId, Pass>>>);

impl Passes {
    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, Pass>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self, peer: &NodeId) -> Option<Pass> {
        self.lock().remove(peer)
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    pub(super) fn put(&self, peer: NodeId, pass: Pass) {
        if pass.is_done() {
            return;
        }
        let mut passes = self.lock();
        if passes.len() >= PEERS {
            let any = passes.keys().next().copied();
            any.map(|any| passes.remove(&any));
        }
        passes.insert(peer, pass);
    }
}

/// A pass of a conversation.
pub(super) struct Comparing {
    /// What is left to compare.
    pub(super) pass: Pass,
    /// How much was found missing.
    pub(super) found: usize,
    /// Whether all there is was compared in this conversation: what was before it says nothing, for
    /// whatever was found then was forgotten.
    pub(super) whole: bool,
}

impl Comparing {
    /// Goes on where it was cut short.
    pub(super) const fn resumed(pass: Pass) -> Self {
        Self {
            pass,
            found: 0,
            whole: false,
        }
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
pub(super) struct Daily(Arc<Mutex<HashMap<NodeId, Due>>>);

/// A pass under a key of the two.
#[derive(Clone)]
pub(super) struct Hidden {
    /// Our nonce for it.
    nonce: [u8; 32],
    pass: Pass,
    /// How much came to light.
    found: usize,
}

struct Due {
    at: Instant,
    /// What was cut short.
    begun: Option<Hidden>,
    /// Whether something came to light that did not show under the community's key, so that only another
    /// pass says whether it is held now.
    owing: bool,
}

impl Due {
    /// Of a peer that was not heard of before.
    fn first() -> Self {
        Self {
            at: Instant::now() + FIRST_DAILY.mul_f64(rand::random_range(0.1..1.0)),
            begun: None,
            owing: false,
        }
    }
}

impl Daily {
    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, Due>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// If it is time, what was begun, if anything. It stays time until it is done or is to be later.
    fn is_due(&self, peer: NodeId) -> Option<Option<Hidden>> {
        let mut dues = self.lock();
        let due = dues.entry(peer).or_insert_with(Due::first);
        (due.at <= Instant::now()).then(|| due.begun.take())
    }

    /// It was cut short.
    pub(super) fn put_off(&self, peer: NodeId, begun: Hidden) {
        let mut dues = self.lock();
        dues.entry(peer).or_insert_with(Due::first).begun = Some(begun);
    }

    /// The peer says that it is too soon.
    fn later(&self, peer: NodeId) {
        let mut dues = self.lock();
        dues.entry(peer).or_insert_with(Due::first).at = Instant::now() + RETRIED;
    }

    /// It was done, and so much came to light.
    fn done(&self, peer: NodeId, found: usize) {
        let wait = if found > 0 {
            RETRIED
        } else {
            DAILY.mul_f64(rand::random_range(0.9..1.0))
        };
        let due = Due {
            at: Instant::now() + wait,
            begun: None,
            owing: found > 0,
        };
        self.lock().insert(peer, due);
    }

    /// Something came to light, and whether it is all is not known yet.
    fn owes(&self, peer: NodeId) {
        self.lock().entry(peer).or_insert_with(Due::first).owing = true;
    }

    /// Whether a peer may hold what does not show under the community's key.
    pub(super) fn is_owing(&self, peer: &NodeId) -> bool {
        self.lock().get(peer).is_some_and(|due| due.owing)
    }
}

impl Conversation<'_> {
    /// Compares all there is inside the horizon, the newest first, and adds what is missing to what is
    /// wanted, until all is compared or there is enough to fetch for now; how much that is. If it was cut
    /// short, it first goes on where it stopped.
    pub(super) async fn compare(&mut self) -> Result<usize, AskError> {
        let key = Key::of_community(self.charters.community());
        let started = Instant::now();
        let mut missing = 0;
        loop {
            let comparing = self.comparing.get_or_insert_with(|| Comparing {
                pass: Pass::new(Span::horizon(clock::now(), self.charters.charter().horizon())),
                found: 0,
                whole: true,
            });
            // It is kept until the answer is taken in, wherever the conversation is cut.
            let pass = comparing.pass.clone();
            if pass.is_done() || self.has_enough(missing, started) {
                return Ok(missing);
            }
            let held = self.healer.store.held(self.charters.community())?;
            let (pass, found) = self.step(pass, held, &key, KeyChoice::Community).await?;
            missing += found;
            if let Some(comparing) = &mut self.comparing {
                comparing.pass = pass;
                comparing.found += found;
            }
        }
    }

    /// Whether what was found is to be fetched before more is compared.
    fn has_enough(&self, missing: usize, since: Instant) -> bool {
        missing > 0 && (self.healer.progress.needs().is_full(&self.peer) || since.elapsed() >= SLICE)
    }

    /// Compares again what this peer claimed in these spans. What is left for the time being shows when all
    /// is compared again.
    pub(super) async fn look(&mut self, spans: Vec<Span>) -> Result<(), AskError> {
        let key = Key::of_community(self.charters.community());
        let (mut pass, mut missing, started) = (Pass::new(spans), 0, Instant::now());
        while !pass.is_done() && !self.has_enough(missing, started) {
            let held = self.healer.store.held(self.charters.community())?;
            let found;
            (pass, found) = self.step(pass, held, &key, KeyChoice::Community).await?;
            missing += found;
        }
        Ok(())
    }

    /// Once a day, compares what was made before today under a key of the two, and fetches what comes to
    /// light.
    pub(super) async fn check_daily(&mut self) -> Result<(), AskError> {
        let Some(begun) = self.healer.daily.is_due(self.peer) else {
            return Ok(());
        };
        let now = clock::now();
        let hidden = begun.unwrap_or_else(|| {
            let mut closed = Span::horizon(now, self.charters.charter().horizon());
            closed.retain(|span| span.to <= Place::at(now));
            Hidden {
                nonce: rand::random(),
                pass: Pass::new(closed),
                found: 0,
            }
        });
        let ours = hidden.nonce;
        self.hidden = Some(hidden);
        self.line.ask(&Question::Nonce(ours)).await?;
        let theirs = match self.line.hear().await? {
            Answer::Nonce(theirs) => theirs,
            Answer::Later => {
                self.hidden = None;
                self.healer.daily.later(self.peer);
                return Ok(());
            }
            _ => return Err(AskError::Protocol),
        };
        let key = Key::of_pass(&ours, &theirs);
        let (store, community, under) = (self.healer.store.clone(), *self.charters.community(), key.clone());
        let hashed = tokio::task::spawn_blocking(move || view::hash(&store, &community, under));
        let hashed = hashed.await??;
        let started = Instant::now();
        while let Some(hidden) = self.hidden.clone().filter(|hidden| !hidden.pass.is_done()) {
            if started.elapsed() >= HIDDEN {
                return Ok(());
            }
            let held = Hashed::new(
                Arc::clone(&hashed),
                self.healer.store.places(self.charters.community()),
            );
            let stepped = self.step(hidden.pass, held, &key, KeyChoice::Pass(ours));
            let (pass, found) = stepped.await?;
            let (done, found) = (pass.is_done(), hidden.found + found);
            self.hidden = Some(Hidden {
                nonce: ours,
                pass,
                found,
            });
            if found > 0 {
                self.healer.daily.owes(self.peer);
            }
            if found > 0 && (done || self.healer.progress.needs().is_full(&self.peer)) {
                self.healer.progress.lacks();
                self.fetch_all().await?;
            }
        }
        let found = self.hidden.take().map_or(0, |hidden| hidden.found);
        self.healer.daily.done(self.peer, found);
        tracing::info!(peer = %self.peer, found, "compared under a key of our own");
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

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: NodeId = NodeId([1; 32]);

    fn due() -> Daily {
        let daily = Daily::default();
        let now = Due {
            at: Instant::now(),
            ..Due::first()
        };
        daily.lock().insert(PEER, now);
        daily
    }

    #[test]
    fn what_is_compared_once_a_day_stays_due_until_it_is_done() {
        let daily = due();
        assert!(daily.is_due(PEER).is_some_and(|begun| begun.is_none()));
        // Cut before anything was compared, and in the middle.
        assert!(daily.is_due(PEER).is_some());
        let hidden = Hidden {
            nonce: [7; 32],
            pass: Pass::new(vec![Span::ALL]),
            found: 3,
        };
        daily.put_off(PEER, hidden);
        let begun = daily.is_due(PEER).flatten().unwrap();
        assert_eq!((begun.nonce, begun.found), ([7; 32], 3));
        daily.later(PEER);
        assert!(daily.is_due(PEER).is_none());
    }

    #[test]
    fn a_peer_is_not_whole_before_nothing_more_comes_to_light() {
        let daily = due();
        assert!(!daily.is_owing(&PEER));
        daily.owes(PEER);
        daily.done(PEER, 1);
        assert!(daily.is_owing(&PEER) && daily.is_due(PEER).is_none());
        daily.done(PEER, 0);
        assert!(!daily.is_owing(&PEER));
    }
}
