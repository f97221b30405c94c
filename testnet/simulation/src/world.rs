//! What all nodes of a run share: the community, the network, the ledger, and the clock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hanse_node::mesh::Membership;
use hanse_protocol::admission::{Signed, Verified};
use hanse_protocol::reconcile::Key;
use hanse_protocol::refusal::Refusal;
use hanse_protocol::timestamp::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::community::{Community, EPOCH};
use crate::ledger::Ledger;
use crate::meters::Meters;
use crate::network::Network;
use crate::plan::Plan;

/// The bytes of a header under their hash.
pub(crate) type Name = [u8; 32];

/// The world.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) community: Community,
    pub(crate) network: Arc<Network>,
    pub(crate) membership: watch::Receiver<Arc<Membership>>,
    /// Under which nodes compare what they hold.
    pub(crate) key: Key,
    ledger: Mutex<Ledger>,
    /// What the meshes of nodes that are no more have counted.
    meters: Mutex<Meters>,
    /// A signature is checked once for all nodes: the answer hangs on the bytes and the charter alone,
    /// and a thousand checks of the same bytes would be most of a run's time.
    verified: Mutex<HashMap<Name, Result<Verified, Refusal>>>,
    start: Instant,
}

impl World {
    pub(crate) fn new(
        plan: &Plan,
        community: Community,
        membership: watch::Receiver<Arc<Membership>>,
    ) -> Self {
        Self {
            plan: plan.clone(),
            network: Network::new(plan),
            key: Key::of_community(community.charters.community()),
            community,
            membership,
            ledger: Mutex::new(Ledger::new(plan.nodes, plan.honest())),
            meters: Mutex::default(),
            verified: Mutex::default(),
            start: Instant::now(),
        }
    }

    /// The time by every node's clock.
    pub(crate) fn now(&self) -> Timestamp {
        EPOCH.after(self.start.elapsed())
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn meters(&self) -> MutexGuard<'_, Meters> {
        self.meters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads and verifies a header, or says what came of that before.
    pub(crate) fn verify(&self, name: &Name, header: &[u8]) -> Result<Verified, Refusal> {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        let known = verified.entry(*name).or_insert_with(|| {
            let charters = &self.community.charters;
            Signed::decode(header, charters.community())?.verify(charters)
        });
        known.clone()
    }
}
