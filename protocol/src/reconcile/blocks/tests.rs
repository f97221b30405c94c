//! Blocks always say what the places say, however these came and went; and two who keep them find
//! their difference cheaply.

use std::collections::BTreeMap;
use std::convert::Infallible;

use negentropy::{Id, Negentropy, NegentropyStorageVector};
use proptest::prelude::*;

use super::*;
use crate::reconcile::tests::{Shelf, key, lacks, place, reconcile, shelf};
use crate::reconcile::{Held, Span, answer};
use crate::timestamp::Timestamp;

fn of(shelf: &Shelf) -> Blocks {
    let places = shelf.0.iter().map(|place| Ok::<_, Infallible>(*place));
    Blocks::of(key(), places).unwrap()
}

fn kept(shelf: &Shelf) -> Kept<Blocks, &Shelf> {
    Kept::new(of(shelf), shelf)
}

/// A place of one of some days, about as many a day as in life.
fn spread(number: u64) -> Place {
    let created = 1_000 + number * 9_000_000 / 7;
    Place {
        created: Timestamp::from_millis(created),
        ..place(number)
    }
}

/// A place of one of many days, with some thousands a day.
fn dense(number: u64) -> Place {
    Place {
        created: spread(number / 50).created,
        ..place(number)
    }
}

/// A place that is a divider, or is none.
fn ground(day: u64, divides: bool, number: u64) -> Place {
    let places = (number * 1_000..).map(|number| Place {
        created: Timestamp::from_millis(day * 86_400_000 + 5),
        ..place(number)
    });
    let mut wanted = places.filter(|place| Sum::of(&key(), place).divides() == divides);
    wanted.next().unwrap()
}

fn insert(blocks: &mut Blocks, shelf: &mut Shelf, place: Place) {
    if !shelf.0.contains(&place) {
        blocks.insert(place, shelf).unwrap();
        shelf.0.insert(place);
    }
}

fn remove(blocks: &mut Blocks, shelf: &mut Shelf, place: &Place) {
    if shelf.0.remove(place) {
        blocks.remove(place);
    }
}

#[test]
fn who_hold_the_same_have_the_same_blocks_whatever_came_first() {
    let all = shelf(0..20_000);
    let (mut up, mut down) = (Blocks::new(key()), Blocks::new(key()));
    let (mut rising, mut falling) = (Shelf::default(), Shelf::default());
    for place in &all.0 {
        insert(&mut up, &mut rising, *place);
    }
    for place in all.0.iter().rev() {
        insert(&mut down, &mut falling, *place);
    }
    let plain: Vec<_> = of(&all).rows().collect();
    assert_eq!(up.rows().collect::<Vec<_>>(), plain);
    assert_eq!(down.rows().collect::<Vec<_>>(), plain);
    assert!((200..450).contains(&plain.len()), "{}", plain.len());
    let again = Blocks::from_rows(key(), plain.iter().copied()).unwrap();
    assert_eq!((again.sum(), again.rows().count()), (up.sum(), plain.len()));
    assert!(Blocks::from_rows(key(), plain.iter().rev().copied()).is_none());
}

/// A member that grinds its ids makes blocks neither endless nor many for what others hold.
#[test]
fn who_grinds_ids_makes_no_endless_block() {
    let (mut blocks, mut held) = (Blocks::new(key()), Shelf::default());
    for number in 0..3_000 {
        insert(&mut blocks, &mut held, ground(3, false, number));
    }
    assert!(blocks.rows().all(|(_, sum)| sum.count() <= MOST));
    assert!(blocks.rows().count() < 8);
    assert_eq!(blocks.sum(), of(&held).sum());
    assert!(of(&held).rows().all(|(_, sum)| sum.count() <= MOST));
    for place in held.0.clone() {
        remove(&mut blocks, &mut held, &place);
    }
    assert_eq!(blocks.rows().count(), 0);
}

#[test]
fn ten_differences_in_many_are_found_in_three_questions() {
    let numbers = || 0..100_000u64;
    let all = Shelf(numbers().map(dense).collect());
    let missing = |which: u64| {
        let kept = all.0.iter().zip(0u64..).filter(move |(_, n)| n % 10_000 != which);
        Shelf(kept.map(|(place, _)| *place).collect())
    };
    // Each lacks ten that the other has.
    let (ours, theirs) = (missing(1_234), missing(7_777));
    let outcome = reconcile(&kept(&ours), &kept(&theirs));
    assert_eq!(outcome.missing, lacks(&ours, &theirs));
    assert!(outcome.rounds <= 3, "{} questions", outcome.rounds);
    assert!(outcome.bytes < 64 << 10, "{} bytes", outcome.bytes);
    let same = reconcile(&kept(&ours), &kept(&ours));
    assert_eq!((same.rounds, same.missing.len()), (1, 0));
    assert!(same.bytes < 200, "{} bytes", same.bytes);
}

/// A sum that two sets share, because a member made them so under the key that all know, hides the
/// difference from the daily comparing under that key, and not from the pass under a fresh one.
#[test]
fn a_collision_under_the_key_that_all_know_is_found_by_the_pass_under_a_fresh_one() {
    let (ours, theirs) = (shelf((0..5_000).filter(|n| *n != 777)), shelf(0..5_000));
    let mut forged = of(&ours);
    forged.forge(&place(777), Sum::default());
    let rest = of(&theirs).sum().minus(forged.sum());
    forged.forge(&place(777), rest);
    let all = |held: &dyn Held<Error = Infallible>, key: &Key| held.sum(key, &Span::ALL).unwrap();
    let asker = Kept::new(forged, &ours);
    assert_eq!(all(&asker, &key()), all(&kept(&theirs), &key()));
    assert_eq!(reconcile(&asker, &kept(&theirs)).missing, [].into());

    let fresh = Key::of_pass(&[7; 32], &Key::answer_nonce(&[8; 32], b"peer", &[7; 32]));
    let hashed = |shelf: &Shelf| {
        let places = shelf.0.iter().map(|place| Ok::<_, Infallible>(*place));
        Blocks::of(fresh.clone(), places).unwrap()
    };
    let (asker, answerer) = (
        Kept::new(hashed(&ours), &ours),
        Kept::new(hashed(&theirs), &theirs),
    );
    let mut pass = crate::reconcile::Pass::new(vec![Span::ALL]);
    let mut needs = Vec::new();
    while !pass.is_done() {
        let asked = pass.question(&asker, &fresh).unwrap();
        let told = answer(&answerer, &fresh, &asked).unwrap();
        needs.extend(pass.answered(&asker, &fresh, &told).unwrap().unwrap());
    }
    assert_eq!(needs, [crate::reconcile::Need::Record(place(777))]);
}

/// What negentropy finds that the asker lacks.
fn by_oracle(asker: &Shelf, answerer: &Shelf) -> BTreeSet<Place> {
    let sealed = |shelf: &Shelf| {
        let mut storage = NegentropyStorageVector::new();
        for place in &shelf.0 {
            let id = Id::from_byte_array(place.id.0);
            storage.insert(place.created.as_millis(), id).unwrap();
        }
        storage.seal().unwrap();
        storage
    };
    let (ours, theirs) = (sealed(asker), sealed(answerer));
    let mut client = Negentropy::borrowed(&ours, 0).unwrap();
    let mut server = Negentropy::borrowed(&theirs, 0).unwrap();
    let (mut have, mut need) = (Vec::new(), Vec::new());
    let mut message = Some(client.initiate().unwrap());
    while let Some(question) = message {
        let answer = server.reconcile(&question).unwrap();
        message = client.reconcile_with_ids(&answer, &mut have, &mut need).unwrap();
    }
    let by_id: BTreeMap<_, _> = answerer.0.iter().map(|place| (place.id.0, *place)).collect();
    need.iter().map(|id| by_id[&id.to_bytes()]).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    Ground(u64, bool, u64),
    Remove(u64),
    RemoveDivider(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u64..400).prop_map(Step::Insert),
        2 => (0u64..4, any::<bool>(), 0u64..40).prop_map(|(day, divides, n)| Step::Ground(day, divides, n)),
        3 => (0u64..400).prop_map(Step::Remove),
        2 => (0u64..40).prop_map(Step::RemoveDivider),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn blocks_say_what_the_places_say(
        steps in prop::collection::vec(step(), 1..300),
        edges in prop::collection::btree_set(0u64..400, 1..9),
    ) {
        let (mut blocks, mut held) = (Blocks::new(key()), Shelf::default());
        let mut rows = BTreeMap::new();
        for step in steps {
            match step {
                Step::Insert(n) => insert(&mut blocks, &mut held, spread(n)),
                Step::Ground(day, divides, n) => insert(&mut blocks, &mut held, ground(day, divides, n)),
                Step::Remove(n) => {
                    let nearest = held.0.range(spread(n)..).next().copied();
                    nearest.iter().for_each(|place| remove(&mut blocks, &mut held, place));
                }
                Step::RemoveDivider(n) => {
                    for day in 0..4 {
                        remove(&mut blocks, &mut held, &ground(day, true, n));
                    }
                }
            }
            for (start, sum) in blocks.take_changed() {
                match sum {
                    Some(sum) => rows.insert(start, sum),
                    None => rows.remove(&start),
                };
            }
        }
        let now: Vec<_> = blocks.rows().collect();
        prop_assert_eq!(&now, &of(&held).rows().collect::<Vec<_>>());
        prop_assert_eq!(&now, &rows.into_iter().collect::<Vec<_>>());
        // Sums of any spans, in one reading or each for itself, and under another key.
        let kept = Kept::new(blocks, &held);
        let mut edges: Vec<Place> = edges.into_iter().map(spread).collect();
        edges.push(Place::END);
        for key in [key(), Key::of_pass(&[3; 32], &[4; 32])] {
            let sums = kept.sums(&key, Place::FIRST, &edges).unwrap();
            prop_assert_eq!(&sums, &held.sums(&key, Place::FIRST, &edges).unwrap());
        }
        for parts in [2, 5, 32] {
            let cuts = kept.cuts(&Span::ALL, parts).unwrap();
            prop_assert!(cuts.is_sorted_by(|a, b| a < b) && cuts.len() < parts);
            prop_assert!(cuts.iter().all(|cut| *cut > Place::FIRST && *cut < Place::END));
            prop_assert_eq!(cuts.is_empty(), held.0.len() < 2);
        }
    }

    #[test]
    fn negentropy_finds_the_same(
        ours in prop::collection::btree_set(0u64..3_000, 0..600),
        theirs in prop::collection::btree_set(0u64..3_000, 0..600),
        shared in 500u64..3_000,
    ) {
        let places = |own: std::collections::BTreeSet<u64>| {
            Shelf(own.into_iter().chain(0..shared).map(dense).collect())
        };
        let (asker, answerer) = (places(ours), places(theirs));
        let outcome = reconcile(&kept(&asker), &kept(&answerer));
        let oracle = by_oracle(&asker, &answerer);
        prop_assert_eq!(&oracle, &lacks(&asker, &answerer));
        let within = |place: &Place| outcome.spans.iter().any(|span| span.contains(place));
        prop_assert!(outcome.missing.is_subset(&oracle));
        prop_assert!(oracle.iter().all(|place| outcome.missing.contains(place) || within(place)));
    }
}
