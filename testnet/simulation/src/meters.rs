//! What a node's mesh counted, read from the metrics it shows to operators.

use hanse_node::mesh::PeerInfo;
use prometheus_client::registry::Registry;

/// Counts of one node or of many.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meters {
    /// Gossip messages received, each copy counted.
    pub(crate) copies: f64,
    /// Gossip messages received for the first time.
    pub(crate) first: f64,
    /// Bytes of the copies, as they left the author.
    pub(crate) copied_bytes: f64,
    /// Frames accepted, and so passed on.
    pub(crate) accepted: f64,
    /// Frames refused as forged.
    pub(crate) rejected: f64,
    /// Frames that came over from nobody's fault.
    pub(crate) ignored: f64,
    /// Frames that found no room at the node.
    pub(crate) full: f64,
    /// Links closed by us, except for twins.
    pub(crate) closed: f64,
}

impl Meters {
    /// Reads them.
    pub(crate) fn read(registry: &Registry) -> Self {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, registry);
        let sum = |name: &str, label: &str| -> f64 {
            let lines = text.lines().filter(|line| {
                let rest = line.strip_prefix(name);
                rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
            });
            let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
            values.sum()
        };
        Self {
            copies: sum("hanse_gossip_topic_msg_recv_counts_unfiltered_total", ""),
            first: sum("hanse_gossip_topic_msg_recv_counts_total", ""),
            copied_bytes: sum("hanse_gossip_topic_msg_recv_bytes_unfiltered_total", ""),
            accepted: sum("hanse_mesh_verdicts_total", "\"accept\""),
            rejected: sum("hanse_mesh_verdicts_total", "\"reject\""),
            ignored: sum("hanse_mesh_verdicts_total", "\"ignore\""),
            full: sum("hanse_mesh_frames_dropped_total", "\"full\""),
            closed: sum("hanse_mesh_connections_closed_total", "\"asked\"")
                + sum("hanse_mesh_connections_closed_total", "\"slow\"")
                + sum("hanse_mesh_connections_closed_total", "\"silent\""),
        }
    }

    /// Copies of each frame that was accepted. What was not accepted nobody passed on: each of it came once,
    /// and is left out.
    pub(crate) fn copies_of_each(&self) -> f64 {
        let refused = (self.first - self.accepted).max(0.0);
        if self.accepted > 0.0 {
            (self.copies - refused) / self.accepted
        } else {
            0.0
        }
    }

    /// Adds those of another.
    pub(crate) fn add(&mut self, other: &Self) {
        self.copies += other.copies;
        self.first += other.first;
        self.copied_bytes += other.copied_bytes;
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.ignored += other.ignored;
        self.full += other.full;
        self.closed += other.closed;
    }
}

/// How many links and gossip neighbours a node has.
pub(crate) fn links(peers: &[PeerInfo]) -> (usize, usize) {
    (peers.len(), peers.iter().filter(|peer| peer.neighbour).count())
}
