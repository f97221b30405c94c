//! What the mesh counts. No metric bears the name of a member; bytes of single links are kept beside
//! the metrics, for [`PeerInfo`](super::PeerInfo) only.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use libp2p::PeerId;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// A label `direction`, `in` or `out`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Way {
    direction: &'static str,
}

/// A label `kind`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Kind {
    kind: &'static str,
}

/// The metrics of one community's mesh.
#[derive(Clone, Default)]
pub(super) struct Meters {
    bytes: Family<Way, Counter>,
    frames: Family<Way, Counter>,
    verdicts: Family<Kind, Counter>,
    dropped: Family<Kind, Counter>,
    charter_calls: Family<Kind, Counter>,
    closed: Family<Kind, Counter>,
    dials: Family<Kind, Counter>,
    slow: Counter,
    links: Gauge,
    strangers: Gauge,
    flows: Arc<Mutex<HashMap<PeerId, Vec<Weak<Flow>>>>>,
}

/// Bytes that crossed one connection, encryption and multiplexing included, TCP and IP headers not.
#[derive(Debug, Default)]
pub(super) struct Flow {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Meters {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let meters = Self::default();
        let r = registry.sub_registry_with_prefix("hanse_mesh");
        r.register(
            "bytes",
            "Bytes over all connections by direction, encryption and multiplexing included (unit: bytes)",
            meters.bytes.clone(),
        );
        r.register(
            "frames",
            "Gossip frames by direction: in, handed to the exchange; out, taken for sending (unit: frames)",
            meters.frames.clone(),
        );
        r.register(
            "verdicts",
            "Verdicts on frames: accept, reject, ignore, and late for those that came after the frame was forgotten (unit: verdicts)",
            meters.verdicts.clone(),
        );
        r.register(
            "frames_dropped",
            "Frames not offered to the exchange: full (no room), oversize, unlisted (courier no longer listed) (unit: frames)",
            meters.dropped.clone(),
        );
        r.register(
            "charter_calls",
            "Charter questions: member, stranger, and refused for those over the limit (unit: calls)",
            meters.charter_calls.clone(),
        );
        r.register(
            "connections_closed",
            "Connections we refused or closed and why: asked, expelled, unlisted, superseded, twin, answered, overdue, crowded, talkative, listed, nameless, silent, slow, and cut for those that would not close (unit: connections)",
            meters.closed.clone(),
        );
        r.register(
            "dials",
            "Dials: started, failed (unit: dials)",
            meters.dials.clone(),
        );
        r.register(
            "slow_peers",
            "Times a peer could not keep up with what we sent (unit: reports, at most one a second and peer)",
            meters.slow.clone(),
        );
        r.register(
            "links",
            "Members connected now (unit: members)",
            meters.links.clone(),
        );
        r.register(
            "strangers",
            "Connections of unlisted peers now (unit: connections)",
            meters.strangers.clone(),
        );
        meters
    }

    pub(super) fn frame_in(&self) {
        self.frames.get_or_create(&Way { direction: "in" }).inc();
    }

    pub(super) fn frame_out(&self) {
        self.frames.get_or_create(&Way { direction: "out" }).inc();
    }

    pub(super) fn verdict(&self, kind: &'static str) {
        self.verdicts.get_or_create(&Kind { kind }).inc();
    }

    pub(super) fn dropped(&self, kind: &'static str) {
        self.dropped.get_or_create(&Kind { kind }).inc();
    }

    pub(super) fn charter_call(&self, kind: &'static str) {
        self.charter_calls.get_or_create(&Kind { kind }).inc();
    }

    pub(super) fn closed(&self, kind: &'static str) {
        self.closed.get_or_create(&Kind { kind }).inc();
    }

    pub(super) fn dial(&self, kind: &'static str) {
        self.dials.get_or_create(&Kind { kind }).inc();
    }

    pub(super) fn slow(&self) {
        self.slow.inc();
    }

    pub(super) fn connected(&self, links: usize, strangers: usize) {
        self.links.set(i64::try_from(links).unwrap_or(i64::MAX));
        self.strangers.set(i64::try_from(strangers).unwrap_or(i64::MAX));
    }

    /// The two counters of all bytes, received and sent, for the transport to count into.
    pub(super) fn byte_counters(&self) -> (Counter, Counter) {
        let counter = |direction| self.bytes.get_or_create_owned(&Way { direction });
        (counter("in"), counter("out"))
    }

    /// Remembers a connection's flow under the peer at its other end, for as long as it lives.
    pub(super) fn attach(&self, peer: PeerId, flow: &Arc<Flow>) {
        let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        flows.retain(|_, of_peer| {
            of_peer.retain(|flow| flow.strong_count() > 0);
            !of_peer.is_empty()
        });
        flows.entry(peer).or_default().push(Arc::downgrade(flow));
    }

    /// Bytes received from and sent to a peer over its connections of this moment.
    pub(super) fn bytes_of(&self, peer: &PeerId) -> (u64, u64) {
        let flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = flows.get(peer).into_iter().flatten().filter_map(Weak::upgrade);
        of_peer.fold((0, 0), |(received, sent), flow| {
            (
                received + flow.received.load(Ordering::Relaxed),
                sent + flow.sent.load(Ordering::Relaxed),
            )
        })
    }
}

impl Flow {
    pub(super) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
