//! Two members compare what they hold: what is found is the difference, whatever the sets, and a peer
//! that does not answer as it should is given up.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// A set of places in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf(pub(super) BTreeSet<Place>);

impl Places for Shelf {
    type Error = Infallible;

    fn places(&self, span: &Span, limit: usize) -> Result<Vec<Place>, Infallible> {
        Ok(self.0.range(span.from..span.to).take(limit).copied().collect())
    }
}

impl Held for Shelf {
    type Error = Infallible;

    fn sum(&self, key: &Key, span: &Span) -> Result<Sum, Infallible> {
        let places = self.0.range(span.from..span.to);
        Ok(places.fold(Sum::default(), |sum, place| sum.plus(Sum::of(key, place))))
    }

    fn places(&self, span: &Span, limit: usize) -> Result<Vec<Place>, Infallible> {
        Places::places(self, span, limit)
    }

    fn cuts(&self, span: &Span, parts: usize) -> Result<Vec<Place>, Infallible> {
        let places: Vec<Place> = self.0.range(span.from..span.to).copied().collect();
        let size = places.len().div_ceil(parts).max(1);
        Ok(places.into_iter().step_by(size).skip(1).collect())
    }
}

pub(super) fn place(number: u64) -> Place {
    let id = RecordId(*blake3::hash(&number.to_be_bytes()).as_bytes());
    // A few records of one instant each.
    let created = Timestamp::from_millis(1_000 + number / 3);
    Place { created, id }
}

pub(super) fn shelf(numbers: impl IntoIterator<Item = u64>) -> Shelf {
    Shelf(numbers.into_iter().map(place).collect())
}

pub(super) fn key() -> Key {
    Key::of_pass(&[1; 32], &[2; 32])
}

/// What a whole pass costs and finds.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) missing: BTreeSet<Place>,
    pub(super) spans: Vec<Span>,
    pub(super) rounds: usize,
    pub(super) bytes: usize,
}

pub(super) fn reconcile<A, B>(asker: &A, answerer: &B) -> Outcome
where
    A: Held<Error = Infallible>,
    B: Held<Error = Infallible>,
{
    let mut outcome = Outcome::default();
    let mut pass = Pass::new(vec![Span::ALL]);
    while !pass.is_done() {
        let asked = pass.question(asker, &key()).unwrap();
        assert!((1..=SPANS).contains(&asked.len()));
        let told = answer(answerer, &key(), &asked).unwrap();
        let bytes = minicbor::to_vec(&told).unwrap().len();
        assert!(bytes <= ANSWER + 5);
        outcome.bytes += bytes + minicbor::to_vec(&asked).unwrap().len();
        outcome.rounds += 1;
        for need in pass.answered(asker, &key(), &told).unwrap().unwrap() {
            match need {
                Need::Record(place) => assert!(outcome.missing.insert(place), "needed twice"),
                Need::Span(span, _) => outcome.spans.push(span),
            }
        }
    }
    outcome
}

pub(super) fn lacks(asker: &Shelf, answerer: &Shelf) -> BTreeSet<Place> {
    answerer.0.difference(&asker.0).copied().collect()
}

#[test]
fn two_who_hold_the_same_are_through_with_one_question() {
    let held = shelf(0..10_000);
    let outcome = reconcile(&held, &held.clone());
    assert_eq!(
        (outcome.rounds, outcome.missing.len(), outcome.spans.len()),
        (1, 0, 0)
    );
    assert!(outcome.bytes < 200, "{} bytes", outcome.bytes);
}

#[test]
fn what_was_missed_is_found_at_a_cost_of_what_was_missed() {
    let answerer = shelf(0..100_000);
    let one = reconcile(&shelf((0..100_000).filter(|n| *n != 77_777)), &answerer);
    assert_eq!(one.missing, [place(77_777)].into());
    assert!(one.rounds <= 3 && one.bytes < 16 << 10, "{one:?}");
    let some = shelf((0..100_000).filter(|n| n % 1_000 != 5));
    let hundred = reconcile(&some, &answerer);
    assert_eq!(hundred.missing, lacks(&some, &answerer));
    assert!(hundred.bytes < 100 * one.bytes, "{hundred:?}");
}

/// One that was away for long does not ask for each record by name.
#[test]
fn a_late_joiner_takes_whole_spans() {
    let (newcomer, answerer) = (shelf([]), shelf(0..50_000));
    let outcome = reconcile(&newcomer, &answerer);
    assert_eq!(outcome.rounds, 1);
    let covered = |place: &Place| outcome.spans.iter().any(|span| span.contains(place));
    assert!(answerer.0.iter().all(covered));
    let newest_first = outcome.spans.is_sorted_by(|a, b| a.from > b.from);
    assert!(newest_first, "{:?}", outcome.spans);
}

#[test]
fn what_only_the_asker_holds_is_no_need_and_ends() {
    let outcome = reconcile(&shelf(0..10_000), &shelf([]));
    assert_eq!((outcome.missing.len(), outcome.spans.len()), (0, 0));
}

#[test]
fn sums_add_up_whatever_the_order() {
    let sum = |numbers: &[u64]| {
        let sums = numbers.iter().map(|n| Sum::of(&key(), &place(*n)));
        sums.fold(Sum::default(), Sum::plus)
    };
    assert_eq!(sum(&[1, 2, 3]), sum(&[3, 1, 2]));
    assert_eq!(sum(&[1, 2, 3]).minus(sum(&[2])), sum(&[1, 3]));
    assert_eq!(sum(&[1, 2]).plus(sum(&[3])), sum(&[1, 2, 3]));
    assert_eq!(Sum::from_bytes(&sum(&[1, 2]).to_bytes()), sum(&[1, 2]));
    assert_eq!(sum(&[1, 2, 3]).minus(sum(&[1, 2, 3])), Sum::default());
    let other = Key::of_pass(&[2; 32], &[1; 32]);
    assert_ne!(
        Sum::of(&other, &place(1)).digest(&other),
        sum(&[1]).digest(&key())
    );
}

/// A liar is given up at its first slip, and one that makes up differences is given up in the end.
#[test]
fn a_liar_is_given_up() {
    let held = shelf(0..1_000);
    let digest = held.sum(&key(), &Span::ALL).unwrap().digest(&key());
    let part = |number: u64| Part {
        to: place(number),
        count: 9,
        digest,
    };
    let end = Part {
        to: Place::END,
        ..part(0)
    };
    let mut sorted = [place(4), place(5), place(500)];
    sorted.sort();
    let [first, second, third] = sorted;
    for (told, error) in [
        (vec![], PassError::Answers),
        (vec![Told::Same, Told::Same], PassError::Answers),
        (vec![Told::Places(vec![second, first])], PassError::Places),
        (vec![Told::Places(vec![first, first])], PassError::Places),
        (vec![Told::Places(vec![Place::END])], PassError::Places),
        (
            vec![Told::Places(held.0.iter().take(65).copied().collect())],
            PassError::Places,
        ),
        (vec![Told::Parts(vec![end.clone()])], PassError::Parts),
        (vec![Told::Parts(vec![part(1), part(500)])], PassError::Parts),
        (
            vec![Told::Parts(vec![part(500), part(1), end.clone()])],
            PassError::Parts,
        ),
        (
            vec![Told::Parts(vec![
                Part {
                    to: Place::FIRST,
                    ..part(0)
                },
                end.clone(),
            ])],
            PassError::Parts,
        ),
    ] {
        let mut pass = Pass::new(vec![Span::ALL]);
        assert_eq!(
            pass.answered(&held, &key(), &told).unwrap(),
            Err(error),
            "{told:?}"
        );
    }
    let mut pass = Pass::new(vec![Span {
        from: first,
        to: Place::END,
    }]);
    let told = [Told::Places(vec![second, third])];
    assert_eq!(
        pass.answered(&shelf([4, 5, 500]), &key(), &told).unwrap(),
        Ok(vec![])
    );

    // Ever finer parts of nothing, each said to differ.
    let empty = shelf([]);
    let mut pass = Pass::new(vec![Span::ALL]);
    let error = loop {
        let asked = pass.question(&empty, &key()).unwrap();
        let told: Vec<Told> = asked.iter().map(|asked| halves(&asked.span)).collect();
        if let Err(error) = pass.answered(&empty, &key(), &told).unwrap() {
            break error;
        }
    };
    assert_eq!(error, PassError::Endless);
}

/// A line that is cut in the middle costs nothing of what was compared: another peer goes on.
#[test]
fn what_is_left_of_a_cut_comparing_is_compared_with_another() {
    let ours = shelf((0..30_000).filter(|n| n % 3_000 != 5));
    let theirs = shelf(0..30_000);
    let mut pass = Pass::new(vec![Span::ALL]);
    let mut found = BTreeSet::new();
    let mut spans = 0;
    for _ in 0..2 {
        let asked = pass.question(&ours, &key()).unwrap();
        let told = answer(&theirs, &key(), &asked).unwrap();
        // Of the answer only half arrives in time, told as an answer that holds no more.
        let told = &told[..told.len().div_ceil(2)];
        for need in pass.answered(&ours, &key(), told).unwrap().unwrap() {
            assert!(found.insert(format!("{need:?}")));
        }
        spans += told.len();
    }
    assert!(!pass.is_done());
    // Its key is its own, and it lacks a thing of its own.
    let (other, fresh) = (
        shelf((0..30_000).filter(|n| *n != 29_999)),
        Key::of_pass(&[5; 32], &[6; 32]),
    );
    while !pass.is_done() {
        let asked = pass.question(&ours, &fresh).unwrap();
        let told = answer(&other, &fresh, &asked).unwrap();
        for need in pass.answered(&ours, &fresh, &told).unwrap().unwrap() {
            assert!(found.insert(format!("{need:?}")), "found twice");
        }
        spans += told.len();
    }
    let lacked = lacks(&ours, &theirs).into_iter();
    let lacked: BTreeSet<String> = lacked.map(|place| format!("{:?}", Need::Record(place))).collect();
    assert_eq!(found, lacked);
    assert!(spans < 700, "{spans} spans");
}

#[test]
fn members_compare_what_neither_may_have_removed() {
    let (day, hour) = (DAY, DAY / 24);
    let at = |millis| Timestamp::from_millis(millis);
    let spans = Span::horizon(at(100 * day + 5 * hour), Duration::from_millis(10 * day));
    let from = |millis| Place::at(at(millis));
    let closed = Span {
        from: from(92 * day),
        to: from(100 * day),
    };
    let open = Span {
        from: from(100 * day),
        to: Place::END,
    };
    assert_eq!(spans, [closed, open]);
    // A day later by the other's clock, nothing of it has passed.
    assert!(at(101 * day + 4 * hour).before(Duration::from_millis(10 * day)) < closed.from.created);
    assert_eq!(Span::horizon(at(100 * day), Duration::ZERO), [open]);
}

fn halves(span: &Span) -> Told {
    let (from, to) = (span.from.created.as_millis(), span.to.created.as_millis());
    if to - from < 3 {
        return Told::Same;
    }
    let middle = Place::at(Timestamp::from_millis(from + (to - from) / 2 + 1));
    let digest = Sum::of(&key(), &middle).digest(&key());
    let part = |to| Part { to, count: 1, digest };
    Told::Parts(vec![part(middle), part(span.to)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_found_is_the_difference(
        ours in prop::collection::btree_set(0u64..4_000, 0..1_500),
        theirs in prop::collection::btree_set(0u64..4_000, 0..1_500),
        shared in 0u64..4_000,
    ) {
        let asker = shelf(ours.into_iter().chain(0..shared));
        let answerer = shelf(theirs.into_iter().chain(0..shared));
        let outcome = reconcile(&asker, &answerer);
        let expected = lacks(&asker, &answerer);
        let whole = answerer.0.iter().filter(|place| outcome.spans.iter().any(|span| span.contains(place)));
        let whole: BTreeSet<Place> = whole.copied().collect();
        prop_assert!(outcome.missing.is_subset(&expected));
        prop_assert!(expected.iter().all(|place| outcome.missing.contains(place) || whole.contains(place)));
        // What is taken whole is mostly missing indeed.
        let idle = whole.intersection(&asker.0).count();
        prop_assert!(8 * idle <= whole.len());
    }

    /// Whatever is told, and of whatever spans was asked: it ends, within bounds.
    #[test]
    fn no_answer_breaks_the_asker_and_no_question_the_answerer(
        numbers in prop::collection::vec((0u64..300, 0u64..300), 9),
        kinds in prop::collection::vec((0u8..3, prop::collection::vec((0u64..400, any::<bool>(), 0u64..200), 0..40)), 1..9),
    ) {
        let held = shelf(0..300);
        let kept = Blocks::of(key(), held.0.iter().map(|place| Ok::<_, Infallible>(*place))).unwrap();
        let kept = Kept::new(kept, &held);
        let spans: Vec<Span> = numbers.iter().map(|(a, b)| Span { from: place(*a), to: place(*b) }).collect();
        let digest = Sum::default().digest(&key());
        let asked: Vec<Asked> = spans.iter().map(|span| Asked { span: *span, digest }).collect();
        let told = answer(&kept, &key(), &asked).unwrap();
        prop_assert_eq!(told.len(), asked.len());
        for (span, told) in spans.iter().zip(&told) {
            let there = if span.from < span.to { held.0.range(span.from..span.to).count() } else { 0 };
            match told {
                Told::Same => prop_assert_eq!(there, 0),
                Told::Places(places) => prop_assert_eq!(places.len(), there),
                Told::Parts(parts) => {
                    prop_assert_eq!(parts.iter().map(|part| part.count).sum::<u64>(), there as u64);
                }
            }
        }
        let mut pass = Pass::new(vec![Span::ALL; kinds.len()]);
        let told: Vec<Told> = kinds.into_iter().map(|(kind, parts)| match kind {
            0 => Told::Same,
            1 => Told::Places(parts.iter().map(|(number, _, _)| place(*number)).collect()),
            _ => {
                let part = |(number, last, count): (u64, bool, u64)| Part {
                    to: if last { Place::END } else { place(number) },
                    count,
                    digest,
                };
                let mut parts: Vec<Part> = parts.into_iter().map(part).collect();
                parts.sort_by_key(|part| part.to);
                parts.dedup_by_key(|part| part.to);
                Told::Parts(parts)
            }
        }).collect();
        for need in pass.answered(&kept, &key(), &told).unwrap().unwrap_or_default() {
            match need {
                Need::Record(place) => prop_assert!(!held.0.contains(&place)),
                Need::Span(span, count) => prop_assert!(span.from < span.to && count > LISTED as u64),
            }
        }
        prop_assert!(pass.question(&kept, &key()).unwrap().len() <= SPANS);
    }
}
