//! What lies beyond an ending leaves what members compare, comes back if it counts again, and is found
//! again after kills and by an index that is made anew.

use std::time::Duration;

use hanse_protocol::reconcile::Place;

use super::sums::sums_are_those_of_the_timeline;
use super::*;
use crate::store::{Endings, Judged, Rules};

const RECORDS: u64 = 700;
const LAST: u64 = 250;
const FIRST_ENDING: Endings = Endings([1; 16]);

/// Whether a header of these tests bears a number up to this one.
fn up_to(last: u64) -> impl Fn(&[u8]) -> bool {
    move |header| {
        let text = std::str::from_utf8(header).unwrap();
        text.split(' ').nth(3).unwrap().parse::<u64>().unwrap() <= last
    }
}

fn acme() -> Handle {
    handle("acme-water")
}

/// Takes steps until nothing is left to judge, at most so many.
fn judge(store: &mut Store, endings: Endings, last: u64, most: usize) -> Judged {
    let mut all = Judged::default();
    for _ in 0..most {
        let judged = store.judge(&COMMUNITY, &acme(), endings, &up_to(last)).unwrap();
        sums_are_those_of_the_timeline(store);
        all = Judged {
            left: all.left + judged.left,
            back: all.back + judged.back,
            more: judged.more,
        };
        if !judged.more {
            break;
        }
    }
    all
}

fn is_judged(store: &Store, endings: Endings) -> bool {
    store.is_judged(&COMMUNITY, &acme(), endings).unwrap()
}

fn filled(folder: &Path, engine: Engine) -> Store {
    let (mut store, _) = open(folder, engine);
    let records = (1..=RECORDS).map(|number| with_facts(record("acme-water", number)));
    store.commit(records.collect()).unwrap();
    store.commit(vec![with_facts(record("st-mary", 9_000))]).unwrap();
    store
}

fn compared(store: &Store) -> Vec<Place> {
    sums_are_those_of_the_timeline(store)
}

#[test]
fn what_lies_beyond_an_ending_is_kept_and_not_compared_whatever_kill_comes_between() {
    for engine in [Engine::Fjall, Engine::Sled] {
        let home = tempfile::tempdir().unwrap();
        let mut store = filled(home.path(), engine);
        assert!(is_judged(&store, Endings::default()) && !is_judged(&store, FIRST_ENDING));
        let begun = judge(&mut store, FIRST_ENDING, LAST, 3);
        assert!(begun.more && begun.left > 0 && !is_judged(&store, FIRST_ENDING));
        // Killed: nothing is settled. It goes on where it stood.
        drop(store);
        let (mut store, opening) = open(home.path(), engine);
        assert_eq!(opening.rebuilt, None);
        let rest = judge(&mut store, FIRST_ENDING, LAST, usize::MAX);
        assert_eq!(begun.left + rest.left, RECORDS - LAST);
        assert!(is_judged(&store, FIRST_ENDING));
        let left = compared(&store);
        assert_eq!(left.len() as u64, LAST + 1);
        let reader = store.reader();
        let beyond = |number| reader.is_beyond(&COMMUNITY, &id(number)).unwrap();
        assert!(!beyond(LAST) && beyond(LAST + 1) && !beyond(9_000));
        assert!(reader.record(&id(LAST + 1)).unwrap().is_some(), "it is evidence");
        drop(reader);

        // An index made anew knows of no ending; judged again, it says the same.
        drop(store);
        let anew = Store::reindex(
            home.path(),
            &master(),
            &settings(engine),
            &mut Sample::default(),
            &mut |_| {},
        );
        let (mut store, _) = anew.unwrap();
        assert!(!is_judged(&store, FIRST_ENDING));
        assert_eq!(compared(&store).len() as u64, RECORDS + 1);
        judge(&mut store, FIRST_ENDING, LAST, usize::MAX);
        assert_eq!(compared(&store), left);

        // An ending that changes half way is judged from the beginning, and what counts comes back.
        judge(&mut store, Endings([2; 16]), 100, 2);
        let wider = judge(&mut store, Endings([3; 16]), 600, usize::MAX);
        assert!(wider.back > 0 && is_judged(&store, Endings([3; 16])));
        assert_eq!(compared(&store).len(), 601);
        let lifted = judge(&mut store, Endings::default(), u64::MAX, usize::MAX);
        assert_eq!((lifted.left, lifted.back), (0, RECORDS - 600));
        assert_eq!(compared(&store).len() as u64, RECORDS + 1);
    }
}

#[test]
fn what_lies_beyond_an_ending_leaves_when_its_time_has_passed_like_anything_else() {
    let home = tempfile::tempdir().unwrap();
    let mut store = filled(home.path(), Engine::Fjall);
    judge(&mut store, FIRST_ENDING, LAST, usize::MAX);
    let now = Timestamp::from_millis(1_000_000);
    let mut rules = Rules {
        community: COMMUNITY,
        now,
        clock: now,
        horizon: Duration::ZERO,
        keep: None,
        erase_within: Duration::from_secs(1),
        expire: true,
    };
    while store.tend(&rules, &mut Sample::default()).unwrap().more {
        rules.expire = false;
    }
    let reader = store.reader();
    for number in [LAST, LAST + 1, RECORDS - 1] {
        assert_eq!(reader.record(&id(number)).unwrap(), None, "{number}");
    }
    // The newest of each lane stays where it is.
    assert!(reader.is_beyond(&COMMUNITY, &id(RECORDS)).unwrap());
    assert_eq!(compared(&store).len(), 1);
}
