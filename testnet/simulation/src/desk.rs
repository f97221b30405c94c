//! Where a node's frames wait, are judged and answered. Turns and tabs are the daemon's own; what stands
//! behind them, a store and one thread that writes it, is a set in memory and a clock that says how long that
//! thread would have been busy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hanse_node::exchange::Idle;
use hanse_node::mesh::{MeshHandle, Ticket, Verdict};
use hanse_node::receiver::fair::Fair;
use hanse_node::receiver::tabs::{Hearing, Tabs};
use hanse_protocol::admission::{Arrival, By};
use hanse_protocol::frame::{Carried, Frame};
use hanse_protocol::identity::{Handle, NodeId};
use hanse_protocol::reconcile::Place;
use hanse_protocol::record::BodyHash;
use hanse_protocol::refusal::{Fault, Permanence, Refusal};
use tokio::time::Instant;

use crate::community::Pen;
use crate::judgement::{Fate, Judgement};
use crate::shelf::Shelf;
use crate::world::{Name, World};

/// What a record that is new, or was checked in vain, takes of a node's time; and one seen before.
const CHECK: Duration = Duration::from_micros(60);
const SEEN: Duration = Duration::from_micros(2);

/// How far a node's work may be behind before frames wait: the clock of alarms has no finer steps.
const STEP: Duration = Duration::from_millis(1);

/// What outlives a node that is killed: what it holds, and where its pen stood.
#[derive(Clone, Default)]
pub(crate) struct Holdings(Arc<Mutex<Held>>);

/// What is held.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) shelf: Shelf,
    pub(crate) pen: Pen,
    /// What became of headers seen before, each with the body it names.
    judged: HashMap<Name, (Judged, BodyHash)>,
}

#[derive(Clone, Copy)]
enum Judged {
    Admitted,
    Refused { courier: bool },
}

impl Holdings {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A record climbs the ladder, in the order in which the exchange does it: bytes seen before, then
    /// signature, admission, body. Answers what came of it, and who claims to have signed it.
    pub(crate) fn arrive(
        &self,
        world: &World,
        own: usize,
        courier: usize,
        record: Carried,
        by: By,
    ) -> (Fate, Option<Handle>) {
        let name: Name = *blake3::hash(&record.header).as_bytes();
        let verified = world.verify(&name, &record.header);
        let signer = verified
            .as_ref()
            .ok()
            .map(|verified| verified.claims().author.clone());
        let mut held = self.lock();
        if let Some((judged, named)) = held.judged.get(&name) {
            let wrong = record.body.is_some_and(|body| BodyHash::of(&body) != *named);
            let fate = match judged {
                Judged::Refused { courier } => Fate::Refused { courier: *courier },
                Judged::Admitted if wrong => Fate::Refused { courier: true },
                Judged::Admitted => Fate::Known,
            };
            return (fate, signer);
        }
        let arrival = Arrival { now: world.now(), by };
        let charters = &world.community.charters;
        let named = verified.as_ref().map(|verified| verified.claims().body_hash).ok();
        let admitted = match verified.and_then(|verified| verified.admit(charters, arrival)) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                if let (Some(named), Permanence::Permanent) = (named, refusal.permanence()) {
                    let courier = refusal.fault() == Fault::Courier;
                    held.judged.insert(name, (Judged::Refused { courier }, named));
                }
                return (refused(&refusal), signer);
            }
        };
        let (id, created) = (*admitted.id(), admitted.header().created);
        held.judged
            .insert(name, (Judged::Admitted, admitted.header().body_hash));
        let body = record.body.clone().unwrap_or_default();
        if let Err(wrong) = admitted.with_body(body) {
            return (refused(&wrong.refusal), signer);
        }
        let place = Place { created, id };
        held.shelf.put(&world.key, place, Arc::new(record));
        drop(held);
        let healed = by == By::Healing;
        world.ledger().arrived(&id, own, courier, healed, Instant::now());
        (Fate::Admitted, signer)
    }
}

fn refused(refusal: &Refusal) -> Fate {
    Fate::Refused {
        courier: refusal.fault() == Fault::Courier,
    }
}

/// A frame that waits for its turn.
struct Waiting {
    ticket: Ticket,
    records: Vec<Carried>,
}

/// The desk of one node's life.
pub(crate) struct Desk {
    waiting: Fair<Waiting>,
    tabs: Tabs,
    /// When the work that was begun is done.
    free: Instant,
    idle: bool,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self {
            waiting: Fair::default(),
            tabs: Tabs::default(),
            free: Instant::now(),
            idle: true,
        }
    }

    /// Takes in a frame, unless its courier has brought too much that was nothing new. Answers whether
    /// the courier's link is to be closed.
    pub(crate) fn take(&mut self, mesh: &MeshHandle, courier: NodeId, ticket: Ticket, bytes: &[u8]) -> bool {
        match self.tabs.hear(&courier, Instant::now()) {
            Hearing::Heard => {}
            hearing => {
                mesh.verdict(ticket, Verdict::Ignore);
                return hearing == Hearing::HangUp;
            }
        }
        match Frame::decode(bytes) {
            Ok(Frame::Records(records)) => {
                let waiting = Waiting { ticket, records };
                if let Some(Waiting { ticket, .. }) = self.waiting.push(courier, bytes.len(), waiting) {
                    mesh.verdict(ticket, Verdict::Ignore);
                }
                self.idle = false;
            }
            Ok(_) => mesh.verdict(ticket, Verdict::Ignore),
            Err(_) => {
                self.tabs.charge(&courier, Idle::WORD, Instant::now());
                mesh.verdict(ticket, Verdict::Reject);
            }
        }
        false
    }

    /// When there is work again, if there is any.
    pub(crate) fn next(&self) -> Option<Instant> {
        (!self.idle).then_some(self.free)
    }

    /// Judges what waits, each courier in its turn, until the time it takes has to be waited for.
    pub(crate) fn work(&mut self, world: &World, own: usize, holdings: &Holdings, mesh: &MeshHandle) {
        let now = Instant::now();
        self.free = self.free.max(now);
        while self.free < now + STEP {
            let Some((courier, Waiting { ticket, records })) = self.waiting.take() else {
                self.idle = true;
                return;
            };
            let from = world.community.number(&courier).unwrap_or(own);
            let mut judgement = Judgement::default();
            for record in records {
                let (fate, signer) = holdings.arrive(world, own, from, record, By::Gossip);
                self.free += if fate == Fate::Known { SEEN } else { CHECK };
                judgement.note(fate, signer);
            }
            mesh.verdict(ticket, judgement.verdict());
            self.tabs.charge(&courier, judgement.idle(), now);
        }
    }
}
