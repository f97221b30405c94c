//! What couriers owe us: who brings frames with nothing new pays for the time they took. Over its
//! allowance its frames are put away unread, and far over it the link is closed. No I/O.

use std::collections::HashMap;
use std::time::Duration;

use hanse_protocol::identity::NodeId;
use tokio::time::Instant;

use crate::exchange::Idle;

/// What a courier may cost at once: about four thousand signatures checked for nothing, more than a
/// member brings whose gossip and our healing overlap.
const ALLOWANCE: f64 = 32_768.0;

/// What it may cost a second after: about 128 signatures, five thousandths of a core's time.
const A_SECOND: f64 = 1_024.0;

/// Frames put away unread after which the link is closed.
const UNREAD: u32 = 2_048;

/// Tabs kept; those that owe nothing go first.
const TABS: usize = 4_096;

/// What is done with a courier's next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// It is read.
    Heard,
    /// It is put away unread.
    Unread,
    /// It is put away unread and the link is closed.
    HangUp,
}

/// The tabs of all couriers. They outlive links: who comes back owes what it owed.
#[derive(Default)]
pub struct Tabs(HashMap<NodeId, Tab>);

struct Tab {
    left: f64,
    counted: Instant,
    unread: u32,
}

impl Tab {
    fn refill(&mut self, now: Instant) {
        let passed: Duration = now.saturating_duration_since(self.counted);
        self.left = (self.left + passed.as_secs_f64() * A_SECOND).min(ALLOWANCE);
        self.counted = now;
    }
}

impl Tabs {
    /// Says what is done with a frame that a courier brings now.
    pub fn hear(&mut self, courier: &NodeId, now: Instant) -> Hearing {
        let Some(tab) = self.0.get_mut(courier) else {
            return Hearing::Heard;
        };
        tab.refill(now);
        if tab.left > 0.0 {
            if tab.left > ALLOWANCE / 2.0 {
                tab.unread = 0;
            }
            return Hearing::Heard;
        }
        tab.unread += 1;
        if tab.unread < UNREAD {
            return Hearing::Unread;
        }
        tab.unread = 0;
        Hearing::HangUp
    }

    /// Charges a courier for what a frame cost that was of no use.
    pub fn charge(&mut self, courier: &NodeId, idle: Idle, now: Instant) {
        if idle == Idle(0) {
            return;
        }
        if self.0.len() >= TABS {
            self.0.retain(|_, tab| {
                tab.refill(now);
                tab.left < ALLOWANCE
            });
        }
        let tab = self.0.entry(*courier).or_insert(Tab {
            left: ALLOWANCE,
            counted: now,
            unread: 0,
        });
        tab.refill(now);
        // Frames under way when the allowance ran out are not held against it without end.
        tab.left = (tab.left - f64::from(idle.0)).max(-ALLOWANCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COURIER: NodeId = NodeId([1; 32]);
    const OTHER: NodeId = NodeId([2; 32]);
    /// A frame of sixteen headers that were checked for nothing.
    const FRAME: Idle = Idle(128);

    #[tokio::test]
    async fn a_courier_of_nothing_new_is_put_away_unread_then_hung_up_on_and_others_are_heard() {
        let now = Instant::now();
        let mut tabs = Tabs::default();
        let read = (0..1_000).take_while(|_| {
            tabs.charge(&COURIER, FRAME, now);
            tabs.hear(&COURIER, now) == Hearing::Heard
        });
        assert_eq!(read.count(), 255);
        let unread = (0..10_000)
            .take_while(|_| tabs.hear(&COURIER, now) == Hearing::Unread)
            .count();
        assert_eq!(unread, 2_046, "and the next closes the link");
        assert_eq!(
            tabs.hear(&COURIER, now),
            Hearing::Unread,
            "it came back and owes what it owed"
        );
        assert_eq!(tabs.hear(&OTHER, now), Hearing::Heard);
        assert_eq!(
            tabs.hear(&COURIER, now + Duration::from_secs(1)),
            Hearing::Heard,
            "in time it is heard again"
        );
    }

    #[tokio::test]
    async fn a_courier_that_costs_less_than_it_may_is_always_heard() {
        let now = Instant::now();
        let heard = |a_second: u32| {
            let mut tabs = Tabs::default();
            let mut seconds = (0..3_600).map(|second| now + Duration::from_secs(second));
            seconds.all(|at| {
                tabs.charge(&COURIER, Idle(a_second), at);
                tabs.hear(&COURIER, at) == Hearing::Heard
            })
        };
        assert!(heard(1_000));
        assert!(!heard(1_100), "and one that costs more is not");
    }

    #[tokio::test]
    async fn a_debt_is_bounded() {
        let now = Instant::now();
        let mut tabs = Tabs::default();
        for _ in 0..100_000 {
            tabs.charge(&COURIER, FRAME, now);
        }
        assert_eq!(
            tabs.hear(&COURIER, now + Duration::from_secs(30)),
            Hearing::Unread
        );
        assert_eq!(tabs.hear(&COURIER, now + Duration::from_secs(33)), Hearing::Heard);
    }
}
