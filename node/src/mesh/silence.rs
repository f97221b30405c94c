//! Links over which gossip has fallen silent while the connection stands: gossipsub gives up one
//! direction of a link at the first packet it cannot read and tells nobody. Every neighbour sends at
//! least its own presence, so one that says nothing for three times as long is dialled anew. Given the
//! time.

use std::collections::HashMap;
use std::time::Duration;

use hanse_protocol::identity::NodeId;
use tokio::time::Instant;

/// How often at most the bound is doubled for a node whose links fall silent again and again.
const DOUBLINGS: u32 = 5;

/// What is known of one link when it is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Since when it stands.
    pub(super) since: Instant,
    /// When gossip last came over it.
    pub(super) heard: Instant,
    /// Whether something should come: the node is a neighbour, or has not even told that it takes part.
    pub(super) expected: bool,
}

/// The watchdog.
#[derive(Debug)]
pub(super) struct Silence {
    bound: Duration,
    /// How often a node's link was found silent since it last was not.
    found: HashMap<NodeId, u32>,
}

impl Silence {
    pub(super) fn new(bound: Duration) -> Self {
        Self {
            bound,
            found: HashMap::new(),
        }
    }

    /// How long until it is looked again.
    pub(super) fn pause(&self) -> Duration {
        self.bound / 4
    }

    /// Whether a node's link has fallen silent and is to be made anew.
    pub(super) fn is_dead(&mut self, node: NodeId, look: Look, now: Instant) -> bool {
        if look.heard.saturating_duration_since(look.since) > self.bound / 2 {
            self.found.remove(&node);
        }
        let found = self.found.get(&node).copied().unwrap_or(0);
        let bound = self.bound.saturating_mul(1 << found.min(DOUBLINGS));
        let quiet = now.saturating_duration_since(look.heard.max(look.since));
        let dead = look.expected && quiet > bound;
        if dead {
            self.found.insert(node, found + 1);
        }
        dead
    }

    /// Forgets who is no longer listed.
    pub(super) fn retain(&mut self, listed: impl Fn(&NodeId) -> bool) {
        self.found.retain(|node, _| listed(node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId([1; 32]);
    const MINUTE: Duration = Duration::from_secs(60);

    fn look(since: Instant, heard: Instant) -> Look {
        Look {
            since,
            heard,
            expected: true,
        }
    }

    #[tokio::test]
    async fn a_neighbour_that_says_nothing_is_dialled_anew_ever_more_seldom() {
        let mut silence = Silence::new(3 * MINUTE);
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..8 {
            let since = now;
            while !silence.is_dead(NODE, look(since, since), now) {
                now += MINUTE;
            }
            waits.push((now - since).as_secs() / 60);
        }
        assert_eq!(waits, [4, 7, 13, 25, 49, 97, 97, 97]);
        // A link that lives makes good for it.
        let since = now;
        now += 10 * MINUTE;
        assert!(!silence.is_dead(NODE, look(since, now), now));
        assert!(silence.is_dead(NODE, look(since, now), now + 4 * MINUTE));
    }

    #[tokio::test]
    async fn one_that_speaks_every_minute_or_owes_us_nothing_is_left_alone() {
        let mut silence = Silence::new(3 * MINUTE);
        let since = Instant::now();
        for n in 0..1_000 {
            assert!(!silence.is_dead(NODE, look(since, since + n * MINUTE), since + (n + 2) * MINUTE));
        }
        let distant = Look {
            expected: false,
            ..look(since, since)
        };
        assert!(!silence.is_dead(NODE, distant, since + 1_000 * MINUTE));
    }
}
