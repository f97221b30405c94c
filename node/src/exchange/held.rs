//! What this node holds of each author's chains, as unbroken runs of sequence numbers, so that what is
//! missing in between and numbers given twice show at once; and which records it has turned away, so
//! that healing does not ask for them again and again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use hanse_protocol::identity::Handle;
use hanse_protocol::reconcile::{Place, Span};

/// A chain: author, lane, epoch.
type Chain = (Handle, u16, u32);

/// How long a record that was turned away for now is not asked for again.
pub(super) const ASIDE: Duration = Duration::from_secs(10 * 60);

/// Records set aside; with more, the oldest of the author that has most of them may be asked for again.
pub(crate) const ASIDE_RECORDS: usize = 65_536;

/// Runs of one author that are taken up at the start.
pub(super) const RUNS: usize = 13_000;

/// Numbers given twice that are known; with more, the rest is only counted.
const TWINS: usize = 16_384;

/// Stretches that are missing, and numbers given twice, which are told one by one.
const TOLD: usize = 64;

/// Runs by chain. A run is (first, last), in order, never touching its neighbour.
type Runs = BTreeMap<Chain, Vec<(u64, u64)>>;

#[derive(Debug, Default)]
struct Held {
    held: Runs,
    /// Numbers that more than one record bears.
    twins: BTreeSet<(Chain, u64)>,
    twins_known: u64,
    aside: Aside,
}

/// Records turned away.
#[derive(Debug, Default)]
struct Aside {
    /// Whose each is, and whether it was turned away for good.
    places: BTreeMap<Place, (Handle, bool)>,
    of: HashMap<Handle, BTreeSet<Place>>,
}

impl Aside {
    /// Whether it was not there.
    fn insert(&mut self, place: Place, author: &Handle, for_good: bool) -> bool {
        let before = self.places.len();
        self.remove(&place);
        self.places.insert(place, (author.clone(), for_good));
        let new = self.places.len() > before;
        self.of.entry(author.clone()).or_default().insert(place);
        // One author's flood must not have the others' asked for again.
        while self.places.len() > ASIDE_RECORDS {
            let most = self.of.values().max_by_key(|places| places.len());
            let Some(oldest) = most.and_then(|places| places.first().copied()) else {
                break;
            };
            self.remove(&oldest);
        }
        new
    }

    fn remove(&mut self, place: &Place) {
        let Some((author, _)) = self.places.remove(place) else {
            return;
        };
        if let Some(places) = self.of.get_mut(&author) {
            places.remove(place);
            if places.is_empty() {
                self.of.remove(&author);
            }
        }
    }

    fn remove_deferred(&mut self) {
        let deferred = self.places.iter().filter(|(_, (_, for_good))| !for_good);
        let deferred: Vec<Place> = deferred.map(|(place, _)| *place).collect();
        for place in deferred {
            self.remove(&place);
        }
    }
}

/// Numbers of one author's lane and epoch that are not held, while later ones are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The author.
    pub author: Handle,
    /// Its lane.
    pub lane: u16,
    /// The lane's epoch.
    pub epoch: u32,
    /// The first number missing.
    pub first: u64,
    /// The last number missing before one that is held.
    pub last: u64,
}

/// A number that an author gave to more than one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twin {
    /// The author.
    pub author: Handle,
    /// Its lane.
    pub lane: u16,
    /// The lane's epoch.
    pub epoch: u32,
    /// The number.
    pub seq: u64,
}

/// What is wrong with authors' chains, as far as this node knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flaws {
    /// How many stretches are missing.
    pub gaps: u64,
    /// Some of them.
    pub missing: Vec<Missing>,
    /// How many numbers were given twice.
    pub equivocations: u64,
    /// Some of them.
    pub twins: Vec<Twin>,
}

/// The runs, shared by the exchange that writes them and those who read them.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared(Arc<RwLock<Held>>);

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a record is held; whether its number was held before.
    pub(super) fn insert(&self, author: &Handle, lane: u16, epoch: u32, seq: u64) -> bool {
        let mut held = self.write();
        let runs = held.held.entry((author.clone(), lane, epoch)).or_default();
        let before = contains(runs, seq);
        if !before {
            insert(runs, (seq, seq));
        }
        before
    }

    /// Notes a run at once.
    pub(super) fn insert_run(&self, author: &Handle, lane: u16, epoch: u32, run: (u64, u64)) {
        let mut held = self.write();
        insert(held.held.entry((author.clone(), lane, epoch)).or_default(), run);
    }

    /// Notes that a number was given to more than one record; whether that is news.
    pub(super) fn twin(&self, author: &Handle, lane: u16, epoch: u32, seq: u64) -> bool {
        let mut held = self.write();
        let twin = ((author.clone(), lane, epoch), seq);
        if held.twins.contains(&twin) {
            return false;
        }
        held.twins_known = held.twins_known.saturating_add(1);
        if held.twins.len() < TWINS {
            held.twins.insert(twin);
        }
        true
    }

    /// Whether a number is known to have been given to more than one record.
    pub(super) fn is_twin(&self, author: &Handle, lane: u16, epoch: u32, seq: u64) -> bool {
        self.read().twins.contains(&((author.clone(), lane, epoch), seq))
    }

    /// Notes that a record was turned away, for good or for now: it is not asked for again before
    /// [`ask_again`](Self::ask_again) or [`judge_anew`](Self::judge_anew). Whether that is news.
    pub(super) fn set_aside(&self, place: Place, author: &Handle, for_good: bool) -> bool {
        self.write().aside.insert(place, author, for_good)
    }

    /// A record that may have been turned away before was admitted.
    pub(super) fn admitted(&self, place: &Place) {
        // Nearly always there is none, and readers need not be kept out to see that.
        if self.read().aside.places.contains_key(place) {
            self.write().aside.remove(place);
        }
    }

    /// Lets everything be asked for again that was turned away for now.
    pub(super) fn ask_again(&self) {
        self.write().aside.remove_deferred();
    }

    /// Lets everything be asked for again: what counts has changed.
    pub(super) fn judge_anew(&self) {
        self.write().aside = Aside::default();
    }

    /// Whether a record was turned away.
    pub(super) fn is_aside(&self, place: &Place) -> bool {
        self.read().aside.places.contains_key(place)
    }

    /// The records of a span that were turned away, rising, at most `limit`.
    pub(super) fn aside(&self, span: &Span, limit: usize) -> Vec<Place> {
        if span.from >= span.to {
            return Vec::new();
        }
        let held = self.read();
        let aside = held.aside.places.range(span.from..span.to);
        aside.map(|(place, _)| *place).take(limit).collect()
    }

    /// Whether the record just before `seq` is missing.
    pub(super) fn has_gap_before(&self, author: &Handle, lane: u16, epoch: u32, seq: u64) -> bool {
        let held = self.read();
        let runs = held.held.get(&(author.clone(), lane, epoch));
        seq > 1 && runs.is_none_or(|runs| !contains(runs, seq - 1))
    }

    /// The lanes and epochs of an author of which something is held.
    pub(super) fn chains(&self, author: &Handle) -> Vec<(u16, u32)> {
        let held = self.read();
        let from = (author.clone(), 0, 0);
        let of_author = held.held.range(from..).take_while(|((of, ..), _)| of == author);
        of_author.map(|((_, lane, epoch), _)| (*lane, *epoch)).collect()
    }

    /// How many numbers of each author are held or were.
    pub(super) fn counts(&self) -> BTreeMap<Handle, u64> {
        let held = self.read();
        let mut counts = BTreeMap::new();
        for ((author, ..), runs) in &held.held {
            let count: &mut u64 = counts.entry(author.clone()).or_default();
            for (first, last) in runs {
                *count = count.saturating_add((last - first).saturating_add(1));
            }
        }
        counts
    }

    /// What is wrong with the chains.
    pub(super) fn flaws(&self) -> Flaws {
        let held = self.read();
        let mut flaws = Flaws {
            equivocations: held.twins_known,
            ..Flaws::default()
        };
        let twin = |((author, lane, epoch), seq): &(Chain, u64)| Twin {
            author: author.clone(),
            lane: *lane,
            epoch: *epoch,
            seq: *seq,
        };
        flaws.twins = held.twins.iter().take(TOLD).map(twin).collect();
        for ((author, lane, epoch), runs) in &held.held {
            let mut next = 1;
            for (first, last) in runs {
                if *first > next {
                    flaws.gaps += 1;
                    if flaws.missing.len() < TOLD {
                        flaws.missing.push(Missing {
                            author: author.clone(),
                            lane: *lane,
                            epoch: *epoch,
                            first: next,
                            last: first - 1,
                        });
                    }
                }
                next = last.saturating_add(1);
            }
        }
        flaws
    }
}

fn contains(runs: &[(u64, u64)], seq: u64) -> bool {
    let place = runs.partition_point(|run| run.1 < seq);
    runs.get(place).is_some_and(|run| run.0 <= seq)
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
    use hanse_protocol::identity::RecordId;
    use hanse_protocol::timestamp::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn acme() -> Handle {
        "acme-water".parse().unwrap()
    }

    fn place(millis: u64) -> Place {
        Place {
            created: Timestamp::from_millis(millis),
            id: RecordId([7; 32]),
        }
    }

    #[test]
    fn the_last_number_of_all_is_held_like_any_other() {
        let held = Shared::default();
        assert!(held.has_gap_before(&acme(), 0, 0, u64::MAX));
        assert!(!held.insert(&acme(), 0, 0, u64::MAX));
        assert!(held.insert(&acme(), 0, 0, u64::MAX));
        let flaws = held.flaws();
        assert_eq!((flaws.gaps, flaws.missing[0].last), (1, u64::MAX - 1));
        assert!(!held.insert(&acme(), 0, 0, u64::MAX - 1));
        assert!(!held.has_gap_before(&acme(), 0, 0, u64::MAX));
    }

    #[test]
    fn what_was_turned_away_is_asked_for_again_when_it_may_be_taken() {
        let held = Shared::default();
        held.set_aside(place(5), &acme(), true);
        held.set_aside(place(6), &acme(), false);
        held.set_aside(place(9), &acme(), false);
        let span = Span {
            from: place(5),
            to: place(9),
        };
        assert_eq!(held.aside(&span, 9), [place(5), place(6)]);
        held.admitted(&place(6));
        assert_eq!(held.aside(&span, 9), [place(5)]);
        held.ask_again();
        assert!(held.is_aside(&place(5)) && !held.is_aside(&place(9)));
        held.judge_anew();
        assert!(!held.is_aside(&place(5)));
    }

    #[test]
    fn what_was_turned_away_is_bounded_and_the_newest_is_remembered() {
        let held = Shared::default();
        let most = u64::try_from(ASIDE_RECORDS).unwrap();
        for number in 0..most + 10 {
            held.set_aside(place(number), &acme(), true);
        }
        assert!(!held.is_aside(&place(9)) && held.is_aside(&place(10)));
    }

    #[test]
    fn one_authors_flood_of_refusals_evicts_its_own() {
        let held = Shared::default();
        let mallory: Handle = "mallory".parse().unwrap();
        held.set_aside(place(1), &acme(), true);
        let most = u64::try_from(ASIDE_RECORDS).unwrap();
        for number in 5..most + 10 {
            held.set_aside(place(number), &mallory, false);
        }
        assert!(held.is_aside(&place(1)), "the oldest of all is another's");
        assert!(!held.is_aside(&place(10)) && held.is_aside(&place(11)));
        held.ask_again();
        assert_eq!(held.aside(&Span::ALL, 9), [place(1)]);
    }

    #[test]
    fn a_number_given_twice_is_told_once() {
        let held = Shared::default();
        assert!(held.twin(&acme(), 0, 0, 4));
        assert!(!held.twin(&acme(), 0, 0, 4));
        assert!(held.is_twin(&acme(), 0, 0, 4) && !held.is_twin(&acme(), 1, 0, 4));
        assert_eq!(held.flaws().equivocations, 1);
    }

    proptest! {
        #[test]
        fn runs_agree_with_a_set(inserted in prop::collection::vec((1u64..60, 0u64..6), 0..40)) {
            let held = Shared::default();
            let mut set = BTreeSet::new();
            for (first, more) in inserted {
                held.insert_run(&acme(), 0, 0, (first, first + more));
                set.extend(first..=first + more);
            }
            let count = held.counts().get(&acme()).copied().unwrap_or_default();
            prop_assert_eq!(usize::try_from(count).unwrap(), set.len());
            let last = set.last().copied().unwrap_or_default();
            let told = held.flaws().missing;
            let told: Vec<u64> = told.iter().flat_map(|gap| gap.first..=gap.last).collect();
            let missing: Vec<u64> = (1..last).filter(|seq| !set.contains(seq)).collect();
            prop_assert_eq!(told, missing);
            for seq in 2..70 {
                prop_assert_eq!(held.has_gap_before(&acme(), 0, 0, seq), !set.contains(&(seq - 1)));
            }
        }
    }
}
