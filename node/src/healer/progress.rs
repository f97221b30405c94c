//! How healing goes, as an operator is told: when with whom it was done last, what it brought, and what
//! is being caught up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hanse_protocol::identity::NodeId;
use hanse_protocol::timestamp::Timestamp;
use tokio::time::Instant;

use super::needs::Needs;
use crate::clock;

/// How healing goes. Cheap to clone.
#[derive(Clone, Default)]
pub struct Progress {
    told: Arc<Mutex<Told>>,
    needs: Needs,
}

#[derive(Default)]
struct Told {
    /// When each peer was last found to hold nothing that this node lacks.
    healed: HashMap<NodeId, Timestamp>,
    last: Option<LastHealed>,
    /// When a peer said that its charter does not list this node, and has not said otherwise since.
    turned_away: HashMap<NodeId, Timestamp>,
    records: u64,
    bytes: u64,
    catching_up: Option<Catching>,
}

/// What was brought since something was found missing.
struct Catching {
    since: Timestamp,
    started: Instant,
    records: u64,
    bytes: u64,
}

/// When holdings were last found to be the same, and with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastHealed {
    /// With which node.
    pub peer: NodeId,
    /// When.
    pub at: Timestamp,
}

/// Something missing that is being fetched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CatchingUp {
    /// Since when.
    pub since: Timestamp,
    /// For how long.
    pub took: Duration,
    /// Records that came and were new.
    pub records: u64,
    /// Bytes that came.
    pub bytes: u64,
}

/// How healing goes now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Healing {
    /// Records that peers are known to hold and this node lacks, about.
    pub behind: u64,
    /// Records that healing brought since the start.
    pub records: u64,
    /// Bytes that healing brought since the start.
    pub bytes: u64,
    /// When it was last done.
    pub last: Option<LastHealed>,
    /// What is being caught up.
    pub catching_up: Option<CatchingUp>,
}

impl Progress {
    /// When `peer` was last found to hold nothing that this node lacks.
    pub fn of(&self, peer: &NodeId) -> Option<Timestamp> {
        self.told().healed.get(peer).copied()
    }

    /// When a peer said last that this node is not listed, if any stands by that.
    pub fn turned_away(&self) -> Option<Timestamp> {
        self.told().turned_away.values().max().copied()
    }

    /// How healing goes now.
    pub fn now(&self) -> Healing {
        let behind = self.needs.behind();
        let told = self.told();
        let catching_up = told.catching_up.as_ref().filter(|_| behind > 0);
        Healing {
            behind,
            records: told.records,
            bytes: told.bytes,
            last: told.last,
            catching_up: catching_up.map(|catching| CatchingUp {
                since: catching.since,
                took: catching.started.elapsed(),
                records: catching.records,
                bytes: catching.bytes,
            }),
        }
    }

    /// What is known to be missing.
    pub(super) fn needs(&self) -> &Needs {
        &self.needs
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A peer holds nothing that this node lacks.
    pub(super) fn healed(&self, peer: NodeId) {
        let at = clock::now();
        let mut told = self.told();
        told.healed.insert(peer, at);
        told.turned_away.remove(&peer);
        told.last = Some(LastHealed { peer, at });
    }

    /// Something is missing and will be fetched.
    pub(super) fn lacks(&self) {
        if self.needs.behind() > 0 {
            self.told().catching_up.get_or_insert_with(|| Catching {
                since: clock::now(),
                started: Instant::now(),
                records: 0,
                bytes: 0,
            });
        }
    }

    /// A conversation came to its end. If nobody claims to hold what is missing, nothing is being caught up
    /// any longer.
    pub(super) fn ended(&self) {
        if self.needs.behind() == 0 {
            self.told().catching_up = None;
        }
    }

    /// Records came, so many of them new.
    pub(super) fn came(&self, records: usize, bytes: usize) {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let mut told = self.told();
        told.records = told.records.saturating_add(records);
        told.bytes = told.bytes.saturating_add(bytes);
        if let Some(catching) = &mut told.catching_up {
            catching.records = catching.records.saturating_add(records);
            catching.bytes = catching.bytes.saturating_add(bytes);
        }
    }

    pub(super) fn note_turned_away(&self, peer: NodeId, away: bool) {
        let mut told = self.told();
        match away {
            true => told.turned_away.insert(peer, clock::now()),
            false => told.turned_away.remove(&peer),
        };
    }
}

#[cfg(test)]
mod tests {
    use hanse_protocol::reconcile::{Need, Place};

    use super::*;

    #[test]
    fn what_is_caught_up_since_when_ends_with_the_last_that_was_missing() {
        let (progress, peer) = (Progress::default(), NodeId([1; 32]));
        let lacks = || {
            progress.needs().add(peer, vec![Need::Record(Place::FIRST)]);
            progress.lacks();
        };
        lacks();
        // It comes before it is settled that it came.
        progress.came(1, 300);
        let caught = progress.now().catching_up.unwrap();
        assert_eq!((caught.records, caught.bytes), (1, 300));
        progress.needs().forget(&peer);
        progress.ended();
        assert_eq!(progress.now().catching_up, None);
        lacks();
        // What is missing now is counted by itself.
        assert_eq!(progress.now().catching_up.unwrap().records, 0);
        assert_eq!(progress.now().records, 1);
    }
}
