//! What it costs to compare: a peer's questions are worked at one at a time, whatever streams they come
//! over, and whoever had much of our time waits for the next answer. None is refused, so that one who
//! honestly lacks much is only slowed down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hanse_protocol::identity::NodeId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Working time that a peer has at once: a comparing of a million records of which many differ here and
/// there takes less.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Of the time that passes a peer has one part in so many.
const SHARE: u32 = 8;

/// How long an answer is held back at most: less than peers wait for one.
const HELD_BACK: Duration = Duration::from_secs(8);

/// What each peer had of our time lately. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Costs(Arc<Mutex<HashMap<NodeId, Tab>>>);

struct Tab {
    had: Had,
    one_at_a_time: Arc<Semaphore>,
}

/// Working time that a peer had and has not made up for.
#[derive(Clone, Copy, Debug)]
struct Had {
    had: Duration,
    counted: Instant,
}

/// A peer's turn to be worked for.
pub(super) struct Turn {
    costs: Costs,
    peer: NodeId,
    started: Instant,
    _alone: Option<OwnedSemaphorePermit>,
}

impl Costs {
    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, Tab>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a peer's turn. What is done until it is dropped is charged.
    pub(super) async fn turn(&self, peer: NodeId) -> Turn {
        let one_at_a_time = {
            let mut tabs = self.lock();
            let now = Instant::now();
            tabs.retain(|_, tab| {
                tab.had.pass(now);
                !tab.had.had.is_zero() || Arc::strong_count(&tab.one_at_a_time) > 1
            });
            let tab = tabs.entry(peer).or_insert_with(|| Tab {
                had: Had::nothing(now),
                one_at_a_time: Arc::new(Semaphore::new(1)),
            });
            Arc::clone(&tab.one_at_a_time)
        };
        // It is never closed.
        let alone = one_at_a_time.acquire_owned().await.ok();
        let wait = self.lock().get(&peer).map(|tab| tab.had.wait());
        tokio::time::sleep(wait.unwrap_or_default()).await;
        Turn {
            costs: self.clone(),
            peer,
            started: Instant::now(),
            _alone: alone,
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let now = Instant::now();
        if let Some(tab) = self.costs.lock().get_mut(&self.peer) {
            tab.had.pass(now);
            tab.had.add(now.duration_since(self.started));
        }
    }
}

impl Had {
    const fn nothing(now: Instant) -> Self {
        Self {
            had: Duration::ZERO,
            counted: now,
        }
    }

    fn pass(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.counted) / SHARE;
        self.had = self.had.saturating_sub(passed);
        self.counted = now;
    }

    fn add(&mut self, cost: Duration) {
        // What a wait cannot make up for is forgiven, or a large store could not be compared with.
        self.had = self.had.saturating_add(cost).min(AT_ONCE + HELD_BACK / SHARE);
    }

    fn wait(&self) -> Duration {
        self.had.saturating_sub(AT_ONCE) * SHARE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_without_end_has_a_share_of_our_time_and_no_more() {
        let mut now = Instant::now();
        let mut had = Had::nothing(now);
        let (mut worked, started) = (Duration::ZERO, now);
        let cost = Duration::from_millis(200);
        for question in 0..1_000 {
            had.pass(now);
            let wait = had.wait();
            assert!(wait <= HELD_BACK);
            assert!(question >= 10 || wait.is_zero(), "the first are answered at once");
            now += wait;
            had.pass(now);
            now += cost;
            had.pass(now);
            had.add(cost);
            worked += cost;
        }
        let share = worked.as_secs_f64() / now.duration_since(started).as_secs_f64();
        assert!(share < 0.13, "{share}");
        now += SHARE * AT_ONCE * 2;
        had.pass(now);
        assert!(had.wait().is_zero() && had.had.is_zero());
    }

    #[tokio::test]
    async fn questions_of_one_peer_are_worked_at_one_at_a_time() {
        let costs = Costs::default();
        let (one, other) = (NodeId([1; 32]), NodeId([2; 32]));
        let first = costs.turn(one).await;
        let second = costs.turn(one);
        tokio::pin!(second);
        assert!(futures_now(&mut second).await.is_none());
        drop(costs.turn(other).await);
        drop(first);
        drop(second.await);
    }

    /// What a future gives at once.
    async fn futures_now<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
        tokio::select! {
            biased;
            value = future => Some(value),
            () = std::future::ready(()) => None,
        }
    }
}
