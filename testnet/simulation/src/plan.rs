//! What is simulated.

use std::time::Duration;

use serde::Serialize;

/// One simulation. Two of the same plan draw the same community, network, publications and mishaps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Nodes, hostile ones included.
    pub nodes: usize,
    /// What everything random is drawn from.
    pub seed: u64,
    /// Records published.
    pub messages: usize,
    /// Records published a second, by nodes drawn at random.
    pub rate: f64,
    /// Bytes of a record's object, before it is packed.
    pub size: usize,
    /// Median delay of a line, one way.
    pub delay: Duration,
    /// How far the delays of lines spread: the deviation of their logarithm. At 0.5 one line in twenty
    /// takes less than 0.44 times the median, and one in twenty more than 2.3 times.
    pub spread: f64,
    /// What a node's uplink carries, bits a second.
    pub bandwidth: f64,
    /// Probability that a segment of 1,400 bytes is lost and sent again.
    pub loss: f64,
    /// Share of the honest nodes that are killed once while records are published, and start again.
    pub churn: f64,
    /// Members that forge, replay or keep to themselves what they should pass on, in turn.
    pub hostile: usize,
    /// Gossip neighbours of a node, where they are to be others than the daemon's: as many as it wants,
    /// fewer than which are too few, more than which are too many.
    pub mesh: Option<[usize; 3]>,
    /// How often each node compares what it holds with a neighbour; zero is never.
    pub heal: Duration,
    /// How long the league has to come together before the first record.
    pub settle: Duration,
    /// How long after the last record it is waited for what is still missing somewhere.
    pub patience: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            nodes: 1_000,
            seed: 1,
            messages: 200,
            rate: 10.0,
            size: 600,
            delay: Duration::from_millis(25),
            spread: 0.5,
            bandwidth: 100e6,
            loss: 0.0,
            churn: 0.0,
            hostile: 0,
            mesh: None,
            heal: Duration::from_secs(30),
            settle: Duration::from_secs(30),
            patience: Duration::from_secs(120),
        }
    }
}

impl Plan {
    /// How many nodes are honest. They come first.
    pub(crate) fn honest(&self) -> usize {
        self.nodes.saturating_sub(self.hostile)
    }

    /// When the `number`-th record is published, from the first.
    pub(crate) fn when(&self, number: usize) -> Duration {
        Duration::from_secs_f64(number as f64 / self.rate)
    }
}
