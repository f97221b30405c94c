//! Every metric this node keeps itself, its unit and its meaning. None bears a member's name, a
//! record id or a value that was searched for. The mesh adds its own to the same registry.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::store::entry::Origin;

mod merging;

pub use merging::merged;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OriginLabel {
    origin: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// The node's counters. Cheap to update; shared by all tasks.
pub struct Metrics {
    admitted: Family<OriginLabel, Counter>,
    refused: Family<ReasonLabel, Counter>,
    entries: Counter,
    commits: Histogram,
    nudges_dropped: Counter,
    heals: Family<OutcomeLabel, Counter>,
    bodies: Family<OutcomeLabel, Counter>,
    frames: Family<OutcomeLabel, Counter>,
    frozen: Gauge,
    retention_held: Gauge,
    erasure_held: Gauge,
    freed: Counter,
    forked: Gauge,
    audits_broken: Counter,
    shed: Counter,
    ruled: Family<OutcomeLabel, Counter>,
    quarantined: Gauge,
    receipts: Family<OutcomeLabel, Counter>,
    unread: Counter,
    hung_up: Counter,
    astray: Gauge,
    equivocations: Counter,
    healed: Counter,
    healed_bytes: Counter,
    behind: Gauge,
    gaps: Gauge,
}

impl Metrics {
    /// Makes the counters and registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            admitted: Family::default(),
            refused: Family::default(),
            entries: Counter::default(),
            commits: Histogram::new(exponential_buckets(0.000_25, 2.0, 14)),
            nudges_dropped: Counter::default(),
            heals: Family::default(),
            bodies: Family::default(),
            frames: Family::default(),
            frozen: Gauge::default(),
            retention_held: Gauge::default(),
            erasure_held: Gauge::default(),
            freed: Counter::default(),
            forked: Gauge::default(),
            audits_broken: Counter::default(),
            shed: Counter::default(),
            ruled: Family::default(),
            quarantined: Gauge::default(),
            receipts: Family::default(),
            unread: Counter::default(),
            hung_up: Counter::default(),
            astray: Gauge::default(),
            equivocations: Counter::default(),
            healed: Counter::default(),
            healed_bytes: Counter::default(),
            behind: Gauge::default(),
            gaps: Gauge::default(),
        };
        let registry = registry.sub_registry_with_prefix("hanse");
        registry.register(
            "records_admitted",
            "Records newly admitted, by how they came",
            metrics.admitted.clone(),
        );
        registry.register(
            "records_refused",
            "Records or bodies refused, by reason",
            metrics.refused.clone(),
        );
        registry.register(
            "log_entries",
            "Entries committed to the log",
            metrics.entries.clone(),
        );
        registry.register(
            "commit_seconds",
            "Time a commit took until it was durable and indexed, seconds",
            metrics.commits.clone(),
        );
        registry.register(
            "nudges_dropped",
            "Hints to heal that found no room; timers do that work later",
            metrics.nudges_dropped.clone(),
        );
        registry.register(
            "heals",
            "Healing conversations, by outcome",
            metrics.heals.clone(),
        );
        registry.register(
            "bodies_pulled",
            "Bodies asked of peers, by outcome",
            metrics.bodies.clone(),
        );
        registry.register(
            "frames_sent",
            "Own gossip frames, by outcome",
            metrics.frames.clone(),
        );
        registry.register(
            "retention_held",
            "1 while nothing leaves by expiry because the clock is not trusted",
            metrics.retention_held.clone(),
        );
        registry.register(
            "erasure_held",
            "1 while what was taken back stays on disk beyond its time for want of room",
            metrics.erasure_held.clone(),
        );
        registry.register(
            "log_bytes_freed",
            "Bytes of log that came back when segments were recast",
            metrics.freed.clone(),
        );
        registry.register(
            "frozen",
            "1 while nothing is sealed because the charter expired or too few stewards confirm it",
            metrics.frozen.clone(),
        );
        registry.register(
            "forked",
            "1 while a second charter stands beside the one in force",
            metrics.forked.clone(),
        );
        registry.register(
            "audits_broken",
            "Times a partner's audit log was found cut or written anew",
            metrics.audits_broken.clone(),
        );
        registry.register(
            "bodies_shed",
            "Bodies sealed for others that were given up for room",
            metrics.shed.clone(),
        );
        registry.register(
            "frames_unread",
            "Frames put away unread: their courier sent too much that was nothing new, or has too many waiting",
            metrics.unread.clone(),
        );
        registry.register(
            "couriers_hung_up",
            "Links closed since the other end went on sending what was nothing new",
            metrics.hung_up.clone(),
        );
        registry.register(
            "clock_astray_seconds",
            "How far this node's clock is behind those of the other members, seconds; 0 while within the bound",
            metrics.astray.clone(),
        );
        metrics.register_healing(registry);
        metrics.register_receiving(registry);
        metrics
    }

    fn register_healing(&self, registry: &mut Registry) {
        registry.register(
            "equivocations",
            "Numbers that an author gave to more than one record, found since the start",
            self.equivocations.clone(),
        );
        registry.register(
            "healed_records",
            "Records that healing brought and that were new",
            self.healed.clone(),
        );
        registry.register(
            "healed_bytes",
            "Bytes of headers and bodies that healing brought, new or not",
            self.healed_bytes.clone(),
        );
        registry.register(
            "behind_records",
            "Records that peers are known to hold and this node lacks, about",
            self.behind.clone(),
        );
        registry.register(
            "chain_gaps",
            "Stretches of numbers missing in authors' chains",
            self.gaps.clone(),
        );
    }

    fn register_receiving(&self, registry: &mut Registry) {
        registry.register(
            "records_ruled_on",
            "Records of others that the receiving policy ruled on, by outcome",
            self.ruled.clone(),
        );
        registry.register(
            "records_quarantined",
            "Records in quarantine, at most some thousands counted",
            self.quarantined.clone(),
        );
        registry.register(
            "receipts",
            "Records of which an author was told what became of them, sent and received",
            self.receipts.clone(),
        );
    }

    /// The receiving policy ruled on a record.
    pub fn ruled(&self, outcome: &'static str) {
        self.ruled.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// So many records are in quarantine.
    pub fn quarantined(&self, records: u64) {
        self.quarantined.set(i64::try_from(records).unwrap_or(i64::MAX));
    }

    /// Authors were told of so many records, or this node was.
    pub fn receipts(&self, outcome: &'static str, records: usize) {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        self.receipts
            .get_or_create(&OutcomeLabel { outcome })
            .inc_by(records);
    }

    /// A number was found to be given to two records.
    pub fn equivocated(&self) {
        self.equivocations.inc();
    }

    /// Healing brought records.
    pub fn healed_records(&self, records: usize, bytes: usize) {
        self.healed.inc_by(u64::try_from(records).unwrap_or(u64::MAX));
        self.healed_bytes.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Records that peers are known to hold and we lack.
    pub fn behind(&self, records: u64) {
        self.behind.set(i64::try_from(records).unwrap_or(i64::MAX));
    }

    /// Stretches missing in authors' chains.
    pub fn chain_gaps(&self, gaps: u64) {
        self.gaps.set(i64::try_from(gaps).unwrap_or(i64::MAX));
    }

    /// A record was newly admitted.
    pub fn admitted(&self, origin: Origin) {
        let origin = match origin {
            Origin::Own => "own",
            Origin::Gossip => "gossip",
            Origin::Heal => "heal",
            Origin::File => "file",
        };
        self.admitted.get_or_create(&OriginLabel { origin }).inc();
    }

    /// A record, body or content was refused.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Entries were committed.
    pub fn committed(&self, entries: usize, took: Duration) {
        self.entries.inc_by(u64::try_from(entries).unwrap_or(u64::MAX));
        self.commits.observe(took.as_secs_f64());
    }

    /// A hint found no room.
    pub fn nudge_dropped(&self) {
        self.nudges_dropped.inc();
    }

    /// A healing conversation ended.
    pub fn healed(&self, outcome: &'static str) {
        self.heals.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// A body was asked of a peer.
    pub fn body_pulled(&self, outcome: &'static str) {
        self.bodies.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// A partner's audit log was found cut or written anew.
    pub fn audit_broken(&self) {
        self.audits_broken.inc();
    }

    /// A body sealed for others was given up.
    pub fn shed(&self) {
        self.shed.inc();
    }

    /// A frame was put away unread.
    pub fn frame_unread(&self) {
        self.unread.inc();
    }

    /// A courier's link was closed.
    pub fn courier_hung_up(&self) {
        self.hung_up.inc();
    }

    /// How far our clock is behind the others', seconds.
    pub fn clock_astray(&self, seconds: i64) {
        self.astray.set(seconds);
    }

    /// An own frame was handed to the mesh.
    pub fn frame_sent(&self, outcome: &'static str) {
        self.frames.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Whether nothing leaves by expiry.
    pub fn retention_held(&self, held: bool) {
        self.retention_held.set(i64::from(held));
    }

    /// Whether there is too little room to erase what is due.
    pub fn erasure_held(&self, held: bool) {
        self.erasure_held.set(i64::from(held));
    }

    /// Bytes of log came back.
    pub fn freed(&self, bytes: u64) {
        self.freed.inc_by(bytes);
    }

    /// Whether nothing is sealed.
    pub fn frozen(&self, frozen: bool) {
        self.frozen.set(i64::from(frozen));
    }

    /// Whether a fork is open.
    pub fn forked(&self, forked: bool) {
        self.forked.set(i64::from(forked));
    }
}
