//! Who had what, when, by which way, and over how many couriers: what no node knows and the simulation does.

use std::collections::HashMap;
use std::time::Duration;

use hanse_protocol::identity::RecordId;
use tokio::time::Instant;

/// How a record came to a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// How long after it was published.
    pub(crate) after: Duration,
    /// Over how many links it came; by healing one more than its peer had.
    pub(crate) hops: u32,
    /// Whether healing brought it.
    pub(crate) healed: bool,
}

/// The ledger of one run.
#[derive(Default)]
pub(crate) struct Ledger {
    honest: usize,
    numbers: HashMap<RecordId, usize>,
    published: Vec<Instant>,
    drawn: blake3::Hasher,
    /// By record, then by node.
    arrivals: Vec<Vec<Option<Arrival>>>,
    nodes: usize,
    missing: usize,
}

impl Ledger {
    pub(crate) fn new(nodes: usize, honest: usize) -> Self {
        Self {
            honest,
            nodes,
            ..Self::default()
        }
    }

    /// A record is published now by an honest node.
    pub(crate) fn published(&mut self, id: RecordId, by: usize, now: Instant) {
        self.numbers.insert(id, self.published.len());
        self.drawn.update(id.as_bytes());
        self.published.push(now);
        self.arrivals.push(vec![None; self.nodes]);
        self.missing += self.honest;
        self.note(&id, by, 0, false, now);
    }

    /// A node admitted a record that `from` passed on. Only the first time counts.
    pub(crate) fn arrived(&mut self, id: &RecordId, node: usize, from: usize, healed: bool, now: Instant) {
        let Some(number) = self.numbers.get(id) else {
            return;
        };
        let had = self
            .arrivals
            .get(*number)
            .and_then(|of_record| of_record.get(from));
        let hops = had.copied().flatten().map_or(0, |had| had.hops) + 1;
        self.note(id, node, hops, healed, now);
    }

    fn note(&mut self, id: &RecordId, node: usize, hops: u32, healed: bool, now: Instant) {
        let Some(number) = self.numbers.get(id).copied() else {
            return;
        };
        let of_record = self.arrivals.get_mut(number);
        let (Some(place), Some(published)) = (
            of_record.and_then(|of_record| of_record.get_mut(node)),
            self.published.get(number),
        ) else {
            return;
        };
        if place.is_none() {
            *place = Some(Arrival {
                after: now.saturating_duration_since(*published),
                hops,
                healed,
            });
            self.missing -= usize::from(node < self.honest);
        }
    }

    /// Records that honest nodes do not have yet, each counted once for each node.
    pub(crate) fn missing(&self) -> usize {
        self.missing
    }

    /// The first half of a hash over the ids of all records, in their order.
    pub(crate) fn drawn(&self) -> String {
        self.drawn.finalize().to_hex().chars().take(32).collect()
    }

    /// Records published.
    pub(crate) fn records(&self) -> usize {
        self.published.len()
    }

    /// How records came to honest nodes other than their authors.
    pub(crate) fn arrivals(&self) -> impl Iterator<Item = Arrival> {
        let honest = self
            .arrivals
            .iter()
            .flat_map(|of_record| of_record.iter().take(self.honest));
        honest.flatten().copied().filter(|arrival| arrival.hops > 0)
    }
}
