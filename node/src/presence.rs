//! Where members' nodes can be dialled: the charter's addresses, and fresher ones that nodes tell
//! of themselves in signed presence.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hanse_protocol::charter::CharterChain;
use hanse_protocol::frame::Frame;
use hanse_protocol::identity::NodeId;
use hanse_protocol::presence::{Head, Presence, PresenceError};
use hanse_protocol::timestamp::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::clocks::Clocks;
use crate::exchange::{Exchange, Standing, Verdict};
use crate::member::Member;
use crate::mesh::{Membership, MeshHandle, Publish};
use crate::metrics::Metrics;
use crate::store::Reader;

pub mod heads;

/// How often a node tells of itself.
const EVERY: Duration = Duration::from_secs(60);

/// How soon it tells again when nobody listened: links take a moment to form after a start, and what a
/// partner is to remember of this node should not wait a minute.
const AGAIN: Duration = Duration::from_secs(5);
/// How soon another word of a node is heard and passed on: it cannot make all others talk of it
/// without pause.
const SOONEST: Duration = Duration::from_secs(1);

/// How long its word counts.
const LIFE: Duration = Duration::from_secs(15 * 60);

/// How long a steward's head counts.
const HEAD_LIFE: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The newest word of a node: when it was said, and its addresses.
type Heard = (Timestamp, Vec<String>);

/// The address book, shared by who hears presence and who dials.
#[derive(Clone)]
pub struct AddressBook {
    heard: Arc<Mutex<HashMap<NodeId, Heard>>>,
    clocks: Clocks,
    membership: Arc<watch::Sender<Arc<Membership>>>,
    audits: mpsc::Sender<Presence>,
}

impl AddressBook {
    /// A book with the charter's addresses, and where it tells who is listed and what new presences
    /// say, for [`heads::keep`].
    pub fn new(
        standing: &Standing,
        clocks: Clocks,
    ) -> (Self, watch::Receiver<Arc<Membership>>, mpsc::Receiver<Presence>) {
        let (audits, heard) = mpsc::channel(heads::WAITING);
        let (membership, listed) = watch::channel(Arc::new(Membership::default()));
        let book = Self {
            heard: Arc::default(),
            clocks,
            membership: Arc::new(membership),
            audits,
        };
        book.rewrite(standing);
        (book, listed, heard)
    }

    /// Writes down who is listed now: called whenever the charter changes.
    pub fn rewrite(&self, standing: &Standing) {
        let Some(charters) = &standing.charters else {
            return;
        };
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut nodes = HashMap::new();
        for member in charters.charter().active() {
            for lane in member.lanes.iter().filter(|lane| lane.closed.is_none()) {
                let fresh = heard.get(&lane.node).map(|(_, addresses)| addresses.clone());
                let mut addresses = fresh.unwrap_or_default();
                addresses.extend(
                    lane.addresses
                        .iter()
                        .filter(|a| !addresses.contains(a))
                        .cloned()
                        .collect::<Vec<_>>(),
                );
                nodes.insert(lane.node, addresses);
            }
        }
        // A node that is no longer listed itself stands alone.
        if !nodes.contains_key(&standing.node) {
            nodes.clear();
        }
        nodes.remove(&standing.node);
        self.membership.send_replace(Arc::new(Membership { nodes }));
    }

    /// Hears a presence frame that `courier` brought.
    pub fn hear(
        &self,
        courier: NodeId,
        bytes: &[u8],
        charters: &CharterChain,
        standing: &Standing,
    ) -> Verdict {
        let presence = match Presence::read_untimed(bytes, charters) {
            Ok(presence) => presence,
            Err(PresenceError::Malformed | PresenceError::Signature) => return Verdict::Reject,
            Err(PresenceError::UnknownSigner | PresenceError::OutOfTime) => return Verdict::Ignore,
        };
        if presence.node != standing.node
            && let Some((member, _)) = charters.charter().owner_of(&presence.node)
        {
            let heard = std::time::Instant::now();
            let (node, at) = (presence.node, presence.at);
            self.clocks
                .hear(node, member.handle.clone(), at, heard, courier == node);
        }
        if presence.check_time(clock::now()).is_err() {
            return Verdict::Ignore;
        }
        let changed = {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            let before = heard.get(&presence.node);
            // A replay of an older word says nothing, and one that follows at once next to nothing.
            if before.is_some_and(|(at, _)| at.after(SOONEST) > presence.at) {
                return Verdict::Ignore;
            }
            let changed = before.is_none_or(|(_, addresses)| *addresses != presence.addresses);
            heard.insert(presence.node, (presence.at, presence.addresses.clone()));
            changed
        };
        // One that finds no room is followed by another in a minute.
        drop(self.audits.try_send(presence));
        if changed {
            self.rewrite(standing);
        }
        Verdict::Accept
    }
}

/// A steward's word on which charter is the newest.
fn head(charters: &CharterChain, member: &Member, at: Timestamp) -> Vec<u8> {
    let head = Head {
        steward: member.profile.handle.clone(),
        version: charters.charter().version,
        hash: charters.newest().hash(),
        at,
        expires: at.after(HEAD_LIFE),
    };
    head.sign(charters.community(), member.signing_under(charters.charter()))
}

/// Says if our clock is astray, once with each word given.
fn warn(clocks: &Clocks, metrics: &Metrics) {
    let astray = clocks.astray(clock::now(), std::time::Instant::now());
    if let Some(astray) = &astray {
        tracing::error!("{astray}");
    }
    let seconds = astray.map_or(0, |astray| {
        let by = i64::try_from(astray.by.as_secs()).unwrap_or(i64::MAX);
        if astray.ahead { -by } else { by }
    });
    metrics.clock_astray(seconds);
}

/// Tells of this node, and as a steward of the newest charter, every minute, and at once as soon as
/// anybody listens.
pub async fn tell(
    exchange: Exchange,
    store: Reader,
    member: Arc<Member>,
    mesh: MeshHandle,
    addresses: Vec<String>,
    (clocks, metrics): (Clocks, Arc<Metrics>),
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let standing = exchange.standing();
        let Some(charters) = &standing.charters else {
            continue;
        };
        warn(&clocks, &metrics);
        // A store that cannot be read ends the exchange; here the word is just not given.
        let Ok(audit) = store.audit_head() else { continue };
        let at = clock::now();
        let presence = Presence {
            node: standing.node,
            addresses: addresses.clone(),
            agent: crate::AGENT.to_owned(),
            charter: charters.newest().reference(),
            audit_count: audit.lines,
            audit_hash: audit.hash,
            at,
            expires: at.after(LIFE),
        };
        let frame = Frame::Presence(presence.sign(charters.community(), &member.node));
        if !matches!(mesh.publish(frame.encode()).await, Ok(Publish::Taken)) {
            ticks.reset_after(AGAIN);
        }
        if charters.charter().stewards.contains(&member.profile.handle) {
            let head = head(charters, &member, at);
            drop(mesh.publish(Frame::Head(head).encode()).await);
        }
    }
}
