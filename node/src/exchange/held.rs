//! What this node holds of each author's chains, as unbroken runs of sequence numbers: kept in
//! memory because every healing asks for it, and small because chains have few gaps.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hanse_protocol::heal::{RANGES, Run};
use hanse_protocol::identity::Handle;

/// A chain: author, lane, epoch.
type Chain = (Handle, u16, u32);

/// How long a record that was turned away for now is not asked for again.
pub(super) const ASIDE: Duration = Duration::from_secs(10 * 60);

/// Runs set aside; with more, all are asked for again.
const ASIDE_RUNS: usize = 16_384;

/// Runs by chain. A run is (first, last), in order, never touching its neighbour.
type Runs = BTreeMap<Chain, Vec<(u64, u64)>>;

#[derive(Clone, Debug, Default)]
struct Held {
    held: Runs,
    /// Turned away for now: not held, and not asked for before they are [forgotten](Shared::ask_again).
    aside: Runs,
}

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
        insert(held.held.entry((author.clone(), lane, epoch)).or_default(), run);
    }

    /// Notes that a record was turned away for now: it is not asked for again before
    /// [`ask_again`](Self::ask_again).
    pub(super) fn set_aside(&self, author: &Handle, lane: u16, epoch: u32, seq: u64) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if held.aside.values().map(Vec::len).sum::<usize>() >= ASIDE_RUNS {
            held.aside.clear();
        }
        insert(
            held.aside.entry((author.clone(), lane, epoch)).or_default(),
            (seq, seq),
        );
    }

    /// Lets everything be asked for again that was set aside.
    pub(super) fn ask_again(&self) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        held.aside.clear();
    }

    /// Whether the record before (or any part of the chain up to) `seq` is missing.
    pub(super) fn has_gap_before(&self, author: &Handle, lane: u16, epoch: u32, seq: u64) -> bool {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let runs = held.held.get(&(author.clone(), lane, epoch));
        seq > 1
            && runs.is_none_or(|runs| {
                !runs
                    .iter()
                    .any(|(first, last)| *first == 1 && last.saturating_add(1) >= seq)
            })
    }

    /// The lanes and epochs of an author of which something is held.
    pub(super) fn chains(&self, author: &Handle) -> Vec<(u16, u32)> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let from = (author.clone(), 0, 0);
        let of_author = held.held.range(from..).take_while(|((of, ..), _)| of == author);
        of_author.map(|((_, lane, epoch), _)| (*lane, *epoch)).collect()
    }

    /// All runs, at most [`RANGES`]: of each author its share, so that one who leaves gaps on purpose
    /// crowds out nobody; the newest of them, since what is missing is mostly new.
    pub(super) fn runs(&self) -> Vec<Run> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut counts: BTreeMap<&Handle, usize> = BTreeMap::new();
        for ((author, ..), runs) in &held.held {
            *counts.entry(author).or_default() += runs.len();
        }
        let share = RANGES / counts.len().max(1);
        let mut runs = Vec::new();
        for ((author, lane, epoch), of_chain) in &held.held {
            let left_out = counts.get_mut(author).map_or(0, |count| {
                let over = count.saturating_sub(share).min(of_chain.len());
                *count -= over;
                over
            });
            let run = |(first, last): &(u64, u64)| Run {
                author: author.clone(),
                lane: *lane,
                epoch: *epoch,
                first: *first,
                last: *last,
            };
            runs.extend(of_chain.iter().skip(left_out).map(run));
        }
        runs
    }

    /// The parts of `theirs` that are neither held nor set aside.
    pub(super) fn lacking(&self, theirs: &Run) -> Vec<Run> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let chain = (theirs.author.clone(), theirs.lane, theirs.epoch);
        let mut runs = held.held.get(&chain).cloned().unwrap_or_default();
        for aside in held.aside.get(&chain).into_iter().flatten() {
            insert(&mut runs, *aside);
        }
        let mut lacking = Vec::new();
        let mut next = theirs.first;
        for (first, last) in &runs {
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

    #[test]
    fn what_is_set_aside_is_not_told_as_held_and_asked_for_again_later() {
        let held = Shared::default();
        held.insert_run(&"acme-water".parse().unwrap(), 0, 0, (1, 5));
        held.set_aside(&"acme-water".parse().unwrap(), 0, 0, 6);
        held.set_aside(&"acme-water".parse().unwrap(), 0, 0, 7);
        assert_eq!(held.runs(), [run(1, 5)]);
        assert_eq!(held.lacking(&run(1, 9)), [run(8, 9)]);
        held.ask_again();
        assert_eq!(held.lacking(&run(1, 9)), [run(6, 9)]);
    }

    /// Each gap costs an author a record, so one could fill the whole answer, and before the others.
    #[test]
    fn one_who_leaves_gaps_on_purpose_crowds_out_nobody() {
        let held = Shared::default();
        let (aaron, acme): (Handle, Handle) = ("aa".parse().unwrap(), "acme-water".parse().unwrap());
        for gap in 0..20_000 {
            held.insert(&aaron, 0, 0, 2 * gap + 1);
        }
        held.insert_run(&acme, 0, 0, (1, 5));
        let runs = held.runs();
        assert!(runs.len() <= RANGES);
        assert_eq!(runs.last(), Some(&run(1, 5)));
        assert!(
            runs.iter().any(|run| run.author == aaron && run.last == 39_999),
            "its newest"
        );
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
