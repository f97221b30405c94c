//! What members compare is kept with every commit: always the sums of what the timeline holds.

use std::collections::BTreeSet;
use std::time::Duration;

use hanse_protocol::reconcile::{Blocks, Held, Key, Need, Pass, Place, Places, Span, answer};

use super::*;
use crate::store::Rules;

/// Holds the kept sums against those of the places there are; gives the places.
pub(super) fn sums_are_those_of_the_timeline(store: &Store) -> Vec<Place> {
    let reader = store.reader();
    let places = reader.places(&COMMUNITY).places(&Span::ALL, usize::MAX).unwrap();
    let key = Key::of_community(&COMMUNITY);
    let anew = Blocks::of(key, places.iter().map(|place| Ok::<_, ()>(*place))).unwrap();
    let kept = reader.held(&COMMUNITY).unwrap();
    let rows: Vec<_> = kept.blocks().rows().collect();
    assert!(rows == anew.rows().collect::<Vec<_>>());
    places
}

/// Numbers that make records of some days, in no order.
fn scattered(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(|n| n * 7_919 % 10_007 * 30_000)
}

fn tend(store: &mut Store, now: u64) {
    let now = Timestamp::from_millis(now);
    let mut rules = Rules {
        community: COMMUNITY,
        now,
        clock: now,
        horizon: Duration::ZERO,
        keep: None,
        erase_within: Duration::ZERO,
        expire: true,
    };
    while store.tend(&rules, &mut Sample::default()).unwrap().more {
        rules.expire = false;
    }
}

#[test]
fn sums_follow_what_comes_and_leaves_under_every_engine() {
    for engine in [Engine::Memory, Engine::Fjall, Engine::Sled] {
        let home = tempfile::tempdir().unwrap();
        let (mut store, _) = open(home.path(), engine);
        let numbers: Vec<u64> = scattered(1_200).collect();
        for numbers in numbers.chunks(37) {
            let records = numbers
                .iter()
                .map(|number| with_facts(record("acme-water", *number)));
            store.commit(records.collect()).unwrap();
        }
        assert_eq!(sums_are_those_of_the_timeline(&store).len(), 1_200);
        // A header is among them whether or not its body is here, and once however often it comes.
        let late = header_only("acme-water", 7);
        store.commit(vec![with_facts(late.clone())]).unwrap();
        store.commit(vec![body_with_facts(body_of(7), &late)]).unwrap();
        store.commit(vec![with_facts(record("acme-water", 7))]).unwrap();
        let at = Timestamp::from_millis(8_000);
        let gone = store.erasure(&id(7), at, Origin::Own, &mut Sample::default());
        store.commit(vec![gone.unwrap().unwrap()]).unwrap();
        assert_eq!(sums_are_those_of_the_timeline(&store).len(), 1_201);

        tend(&mut store, 100_000_000);
        let left = sums_are_those_of_the_timeline(&store);
        assert!((700..900).contains(&left.len()), "{}", left.len());
        store.close().unwrap();
        let (store, opening) = open(home.path(), engine);
        assert_eq!(opening.rebuilt, None);
        // An index in memory is made from the log, where headers are that have left.
        let again = sums_are_those_of_the_timeline(&store);
        assert!(again == left || engine == Engine::Memory);
        drop(store);
        let (store, _) = Store::reindex(
            home.path(),
            &master(),
            &settings(engine),
            &mut Sample::default(),
            &mut |_| {},
        )
        .unwrap();
        let again: BTreeSet<Place> = sums_are_those_of_the_timeline(&store).into_iter().collect();
        assert!(left.iter().all(|place| again.contains(place)));
    }
}

#[test]
fn two_stores_find_what_one_lacks() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut ours, _) = open(here.path(), Engine::Fjall);
    let (mut theirs, _) = open(there.path(), Engine::Sled);
    let all: Vec<u64> = scattered(2_000).collect();
    let records = |numbers: &[u64]| {
        let records = numbers
            .iter()
            .map(|number| with_facts(record("acme-water", *number)));
        records.collect::<Vec<_>>()
    };
    theirs.commit(records(&all)).unwrap();
    let lacked: BTreeSet<u64> = [0, 3, 1_000, 1_999].into_iter().map(|at| all[at]).collect();
    let held: Vec<u64> = all
        .into_iter()
        .filter(|number| !lacked.contains(number))
        .collect();
    ours.commit(records(&held)).unwrap();
    let key = Key::of_community(&COMMUNITY);
    let asker = ours.reader().held(&COMMUNITY).unwrap();
    let answerer = theirs.reader().held(&COMMUNITY).unwrap();
    let mut pass = Pass::new(vec![Span::ALL]);
    let mut found = BTreeSet::new();
    while !pass.is_done() {
        let asked = pass.question(&asker, &key).unwrap();
        let told = answer(&answerer, &key, &asked).unwrap();
        for need in pass.answered(&asker, &key, &told).unwrap().unwrap() {
            match need {
                Need::Record(place) => found.insert(place.created.as_millis() - 1_000),
                other => panic!("{other:?}"),
            };
        }
    }
    assert_eq!(found, lacked);
    // A set that stood still meanwhile says the same under a key that nothing is kept under.
    let fresh = Key::of_pass(&[1; 32], &[2; 32]);
    let hashed = answerer.sum(&fresh, &Span::ALL).unwrap();
    assert_eq!(hashed.count(), 2_000);
}
