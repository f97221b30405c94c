//! Room for answering: every peer may always have a few streams open, and more while the common room
//! lasts, so that none can take up all there is.

use std::collections::HashMap;
use std::sync::Arc;

use hanse_protocol::identity::NodeId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Streams of each peer that always have room: one to compare holdings, one to pull a body.
const EACH: usize = 2;

/// Further streams of one peer: it pulls eight bodies at once at most.
const MORE: usize = 8;

/// Further streams of all peers.
const COMMON: usize = 32;

/// The room there is.
pub(super) struct Room {
    common: Arc<Semaphore>,
    peers: HashMap<NodeId, (Arc<Semaphore>, Arc<Semaphore>)>,
}

/// A place in it, given back when dropped.
pub(super) struct Place {
    _permits: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
}

impl Default for Room {
    fn default() -> Self {
        Self {
            common: Arc::new(Semaphore::new(COMMON)),
            peers: HashMap::new(),
        }
    }
}

impl Room {
    /// A place for a stream of this peer, if there is one.
    pub(super) fn take(&mut self, peer: NodeId) -> Option<Place> {
        let fresh = || (Arc::new(Semaphore::new(EACH)), Arc::new(Semaphore::new(MORE)));
        let (own, more) = self.peers.entry(peer).or_insert_with(fresh);
        if let Ok(own) = Arc::clone(own).try_acquire_owned() {
            return Some(Place {
                _permits: (own, None),
            });
        }
        let more = Arc::clone(more).try_acquire_owned().ok()?;
        let common = Arc::clone(&self.common).try_acquire_owned().ok()?;
        Some(Place {
            _permits: (more, Some(common)),
        })
    }

    /// A peer is gone: its places are given back as its streams end.
    pub(super) fn forget(&mut self, peer: &NodeId) {
        let idle = |(own, more): &(Arc<Semaphore>, Arc<Semaphore>)| {
            own.available_permits() == EACH && more.available_permits() == MORE
        };
        if self.peers.get(peer).is_some_and(idle) {
            self.peers.remove(peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_take_all_they_get_leave_every_other_its_own_places() {
        let mut room = Room::default();
        let mut taken = Vec::new();
        for number in 1..=20 {
            taken.extend(std::iter::from_fn(|| room.take(NodeId([number; 32]))));
        }
        assert_eq!(taken.len(), 20 * EACH + COMMON);
        let honest: Vec<_> = std::iter::from_fn(|| room.take(NodeId([99; 32]))).collect();
        assert_eq!(honest.len(), EACH);
        taken.clear();
        let alone: Vec<_> = std::iter::from_fn(|| room.take(NodeId([1; 32]))).collect();
        assert_eq!(alone.len(), EACH + MORE, "places come back");
    }
}
