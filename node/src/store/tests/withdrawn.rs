//! What is taken back before it comes is remembered, within bounds, for as long as that matters.

use std::time::Duration;

use super::*;
use crate::store::{AHEAD, Rules};

/// A record that takes others back.
fn retraction(author: &str, number: u64, of: std::ops::Range<u64>) -> RecordEntry {
    let of = format!(" {}..{}", of.start, of.end).into_bytes();
    RecordEntry {
        header: [header(author, number), of].concat(),
        body: Some(Vec::new()),
        ..record(author, number)
    }
}

fn gone(of: u64) -> (Entry, Option<RecordFacts>) {
    let body = BodyEntry {
        body: Vec::new(),
        state: BodyState::Gone,
        ..body_of(of)
    };
    let facts = with_facts(record("acme-water", of)).1;
    (Entry::Body(body), facts)
}

fn is_taken_back(store: &Store, author: &str, number: u64) -> bool {
    let author = handle(author);
    store
        .reader()
        .is_taken_back(&COMMUNITY, &author, &id(number))
        .unwrap()
}

#[test]
fn what_was_taken_back_is_known_before_it_comes_and_due_until_it_is_gone() {
    let home = tempfile::tempdir().unwrap();
    for engine in [Engine::Memory, Engine::Fjall, Engine::Sled] {
        let folder = home.path().join(format!("{engine:?}"));
        let (mut store, _) = open(&folder, engine);
        store
            .commit(vec![with_facts(retraction("acme-water", 9, 3..5))])
            .unwrap();
        assert!(is_taken_back(&store, "acme-water", 3) && is_taken_back(&store, "acme-water", 4));
        assert!(
            !is_taken_back(&store, "harbour-it", 3),
            "it is not theirs to take back"
        );
        assert_eq!(store.reader().due_erasures().unwrap(), []);

        // It comes, and whoever committed it forgot what it knew.
        store.commit(vec![with_facts(record("acme-water", 3))]).unwrap();
        assert_eq!(store.reader().due_erasures().unwrap(), [id(3)]);
        store.close().unwrap();
        let (mut store, _) = open(&folder, engine);
        assert_eq!(store.reader().due_erasures().unwrap(), [id(3)], "{engine:?}");
        store.commit(vec![gone(3)]).unwrap();
        assert_eq!(store.reader().due_erasures().unwrap(), []);
        store.close().unwrap();

        // The index is made anew: the log tells the same.
        let mut derive = Sample::default();
        let (store, _) =
            Store::reindex(&folder, &master(), &settings(engine), &mut derive, &mut |_| {}).unwrap();
        assert_eq!(store.reader().due_erasures().unwrap(), []);
        assert!(!is_taken_back(&store, "acme-water", 3), "that is done");
        assert!(is_taken_back(&store, "acme-water", 4));
    }
}

#[test]
fn one_author_fills_its_own_share_only_and_gets_it_back() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Memory);
    let most = u64::from(AHEAD);
    store
        .commit(vec![with_facts(retraction("mallory", 1, 100..100 + most + 1))])
        .unwrap();
    assert!(is_taken_back(&store, "mallory", 99 + most));
    assert!(!is_taken_back(&store, "mallory", 100 + most), "one too many");
    store
        .commit(vec![with_facts(retraction(
            "acme-water",
            2,
            100 + most..101 + most,
        ))])
        .unwrap();
    assert!(is_taken_back(&store, "acme-water", 100 + most));

    // What takes back leaves when its time has passed, and what it took back is forgotten with it. The
    // newest of a lane always stays.
    store.commit(vec![with_facts(record("mallory", 3))]).unwrap();
    let rules = Rules {
        community: COMMUNITY,
        now: Timestamp::from_millis(1_000_000),
        clock: Timestamp::from_millis(1_000_000),
        horizon: Duration::ZERO,
        keep: None,
        erase_within: Duration::ZERO,
        expire: true,
    };
    let mut step = rules.clone();
    while store.tend(&step, &mut Sample::default()).unwrap().more {
        step.expire = false;
    }
    assert!(!is_taken_back(&store, "mallory", 100), "it left");
    store
        .commit(vec![with_facts(retraction("mallory", 4, 100 + most..101 + most))])
        .unwrap();
    assert!(
        is_taken_back(&store, "mallory", 100 + most),
        "there is room again"
    );
}
