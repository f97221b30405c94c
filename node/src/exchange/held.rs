//! What this node holds of each author's chains, as unbroken runs of sequence numbers: kept in
//! memory because every healing asks for it, and small because chains have few gaps.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use hanse_protocol::heal::{RANGES, Run};
use hanse_protocol::identity::Handle;

/// A chain: author, lane, epoch.
type Chain = (Handle, u16, u32);

/// Runs by chain. A run is (first, last), in order, never touching its neighbour.
#[derive(Clone, Debug, Default)]
struct Held(BTreeMap<Chain, Vec<(u64, u64)>>);

/// The runs, shared by the exchange that writes them and the healer that reads them.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared(Arc<RwLock<Held>>);

impl Shared {
    /// Notes that a record is held, or need not be asked for again.
    pub(super) fn insert(&self, author: &Handle, lane: u16, epoch: u32, seq: u64) {
        self.insert_run(author, lane, epoch, (seq, seq));
    }

    /// Notes a run at once.
    pub(super) fn insert_run(&self, author: &Handle, lane: u16, epoch: u32, run: (u64, u64)) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        insert(held.0.entry((author.clone(), lane, epoch)).or_default(), run);
    }

    /// Whether the record before (or any part of the chain up to) `seq` is missing.
    pub(super) fn has_gap_before(&self, author: &Handle, lane: u16, epoch: u32, seq: u64) -> bool {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let runs = held.0.get(&(author.clone(), lane, epoch));
        seq > 1
            && runs.is_none_or(|runs| {
                !runs
                    .iter()
                    .any(|(first, last)| *first == 1 && last.saturating_add(1) >= seq)
            })
    }

    /// All runs, at most [`RANGES`].
    pub(super) fn runs(&self) -> Vec<Run> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let runs = held.0.iter().flat_map(|((author, lane, epoch), runs)| {
            let run = |(first, last): &(u64, u64)| Run {
                author: author.clone(),
                lane: *lane,
                epoch: *epoch,
                first: *first,
                last: *last,
            };
            runs.iter().map(run)
        });
        runs.take(RANGES).collect()
    }

    /// The parts of `theirs` that are not held.
    pub(super) fn lacking(&self, theirs: &Run) -> Vec<Run> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let empty = Vec::new();
        let runs = held
            .0
            .get(&(theirs.author.clone(), theirs.lane, theirs.epoch))
            .unwrap_or(&empty);
        let mut lacking = Vec::new();
        let mut next = theirs.first;
        for (first, last) in runs {
            if *first > theirs.last {
                break;
            }
            if *first > next {
                lacking.push(Run {
                    first: next,
                    last: first - 1,
                    ..theirs.clone()
                });
            }
            let Some(after) = last.checked_add(1) else {
                return lacking;
            };
            next = next.max(after);
        }
        if next <= theirs.last {
            lacking.push(Run {
                first: next,
                ..theirs.clone()
            });
        }
        lacking
    }
}

fn insert(runs: &mut Vec<(u64, u64)>, (first, last): (u64, u64)) {
    // Runs that overlap or touch the new one become one with it.
    let start = runs.partition_point(|run| run.1.saturating_add(1) < first);
    let end = runs.partition_point(|run| run.0 <= last.saturating_add(1));
    let touched = runs.get(start..end).unwrap_or_default();
    let first = touched.first().map_or(first, |run| run.0.min(first));
    let last = touched.last().map_or(last, |run| run.1.max(last));
    runs.splice(start..end.max(start), [(first, last)]);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn run(first: u64, last: u64) -> Run {
        Run {
            author: "acme-water".parse().unwrap(),
            lane: 0,
            epoch: 0,
            first,
            last,
        }
    }

    #[test]
    fn the_last_number_of_all_is_held_like_any_other() {
        let held = Shared::default();
        held.insert(&"acme-water".parse().unwrap(), 0, 0, u64::MAX);
        assert_eq!(held.lacking(&run(u64::MAX, u64::MAX)), []);
        assert_eq!(held.lacking(&run(7, u64::MAX)), [run(7, u64::MAX - 1)]);
        assert!(held.has_gap_before(&"acme-water".parse().unwrap(), 0, 0, u64::MAX));
    }

    proptest! {
        #[test]
        fn runs_agree_with_a_set(inserted in prop::collection::vec((1u64..60, 0u64..6), 0..40)) {
            let held = Shared::default();
            let mut set = BTreeSet::new();
            for (first, more) in inserted {
                held.insert_run(&"acme-water".parse().unwrap(), 0, 0, (first, first + more));
                set.extend(first..=first + more);
            }
            let told: BTreeSet<u64> = held.runs().iter().flat_map(|run| run.first..=run.last).collect();
            prop_assert_eq!(&told, &set);
            let lacking: BTreeSet<u64> =
                held.lacking(&run(1, 70)).iter().flat_map(|run| run.first..=run.last).collect();
            let missing: BTreeSet<u64> = (1..=70).filter(|seq| !set.contains(seq)).collect();
            prop_assert_eq!(lacking, missing);
            for pair in held.runs().windows(2) {
                prop_assert!(pair[0].last + 1 < pair[1].first);
            }
        }
    }
}
