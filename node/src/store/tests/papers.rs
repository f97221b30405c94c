//! Papers: the latest of a key counts, what was taken away stays away, and each leaves in its time.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::store::catalogue::Keyspace;
use crate::store::disk::RealDisk;
use crate::store::index::Direction;
use crate::store::log::Unscanned;
use crate::store::{Reader, Rules, StoreError, setup};

fn until(drawer: Drawer, key: &[u8], bytes: &[u8], expires: u64) -> (Entry, Option<RecordFacts>) {
    let paper = PaperEntry::put(drawer, key, bytes, Timestamp::from_millis(8_000));
    (Entry::Paper(paper.until(Timestamp::from_millis(expires))), None)
}

fn listed(reader: &Reader, drawer: Drawer) -> Vec<(Vec<u8>, Vec<u8>)> {
    reader
        .papers(drawer, Bound::Unbounded, Bound::Unbounded, 1_000)
        .unwrap()
}

fn rules(now: u64) -> Rules {
    Rules {
        community: COMMUNITY,
        now: Timestamp::from_millis(now),
        clock: Timestamp::from_millis(now),
        horizon: Duration::from_secs(3_600),
        keep: None,
        erase_within: Duration::from_secs(1_000),
        expire: true,
    }
}

fn tend(store: &mut Store, rules: &Rules) -> (u64, usize) {
    let mut rules = rules.clone();
    let (mut papers, mut recast) = (0, 0);
    loop {
        let step = store.tend(&rules, &mut Sample::default()).unwrap();
        rules.expire = false;
        papers += step.papers;
        recast += step.recast.len();
        if !step.more {
            return (papers, recast);
        }
    }
}

fn reindexed(home: &Path, engine: Engine) -> Store {
    let made = Store::reindex(
        home,
        &master(),
        &settings(engine),
        &mut Sample::default(),
        &mut |_| {},
    );
    made.unwrap().0
}

/// All papers in the log's files.
fn on_disk(home: &Path) -> Vec<PaperEntry> {
    let log = Unscanned::open(setup(
        Arc::new(RealDisk),
        home,
        &master(),
        &settings(Engine::Memory),
    ))
    .unwrap();
    let mut papers = Vec::new();
    log.walk(0, (0, 0), |_, frame| {
        papers.extend(frame.entries.into_iter().filter_map(|entry| match entry {
            Entry::Paper(paper) => Some(paper),
            _ => None,
        }));
        Ok::<(), StoreError>(())
    })
    .unwrap();
    papers
}

#[test]
fn the_latest_of_a_key_counts_and_a_drawer_is_read_in_order() {
    for engine in [Engine::Memory, Engine::Fjall, Engine::Sled] {
        let home = tempfile::tempdir().unwrap();
        let (mut store, _) = open(home.path(), engine);
        let receipt = |reader: &str| [id(7).as_bytes(), reader.as_bytes()].concat();
        store
            .commit(vec![
                paper(Drawer::Waiting, &9u64.to_be_bytes(), b"nine"),
                paper(Drawer::Waiting, &2u64.to_be_bytes(), b"two, at first"),
                paper(Drawer::Rulings, &2u64.to_be_bytes(), b"another drawer's"),
                paper(Drawer::Waiting, &5u64.to_be_bytes(), b"five"),
                // Within one commit, too.
                paper(Drawer::Waiting, &2u64.to_be_bytes(), b"two"),
                paper(Drawer::Receipts, &receipt("harbour-it"), b"kept"),
                paper(Drawer::Receipts, &receipt("acme-water"), b"refused"),
            ])
            .unwrap();
        store
            .commit(vec![
                paper(Drawer::Waiting, &5u64.to_be_bytes(), b""),
                paper(Drawer::Waiting, &77u64.to_be_bytes(), b""),
            ])
            .unwrap();
        let check = |store: &Store| {
            let reader = store.reader();
            let waiting = listed(&reader, Drawer::Waiting);
            let expected = [(2u64, "two"), (9, "nine")];
            let expected = expected.map(|(key, text)| (key.to_be_bytes().to_vec(), text.as_bytes().to_vec()));
            assert_eq!(waiting, expected);
            let due = reader.papers(
                Drawer::Waiting,
                Bound::Unbounded,
                Bound::Included(&2u64.to_be_bytes()),
                10,
            );
            assert_eq!(due.unwrap().len(), 1);
            assert_eq!(reader.paper(Drawer::Waiting, &5u64.to_be_bytes()).unwrap(), None);
            assert_eq!(reader.paper_count(Drawer::Waiting, 10).unwrap(), 2);
            let told = reader.paper(Drawer::Receipts, &receipt("acme-water")).unwrap();
            assert_eq!(told.unwrap(), b"refused");
            let (first, last) = (id(7), id(8));
            let of_record = reader.papers(
                Drawer::Receipts,
                Bound::Included(first.as_bytes()),
                Bound::Excluded(last.as_bytes()),
                10,
            );
            assert_eq!(of_record.unwrap().len(), 2);
        };
        check(&store);
        store.close().unwrap();
        check(&reindexed(home.path(), engine));
        check(&open(home.path(), Engine::Memory).0);
    }
}

#[test]
fn no_handle_is_in_the_index_in_clear() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Sled);
    for drawer in Drawer::ALL {
        let key = [&id(1).as_bytes()[..], b"harbour-it"].concat();
        store.commit(vec![paper(drawer, &key, b"x")]).unwrap();
    }
    let index = &store.shared.index;
    let keys = index.prefixed(Keyspace::Papers, &[], Direction::Forward, 99);
    let shows = |key: &[u8]| key.windows(10).any(|window| window == b"harbour-it");
    let clear = keys.unwrap().iter().filter(|(key, _)| shows(key)).count();
    let with_handles = [Drawer::Receipts, Drawer::Owed].len();
    assert_eq!(clear, Drawer::ALL.len() - with_handles);
}

#[test]
fn the_largest_paper_is_kept_and_a_larger_one_refused() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Memory);
    let large = vec![7; super::super::entry::PAPER];
    store
        .commit(vec![audit("before"), paper(Drawer::Originals, b"k", &large)])
        .unwrap();
    assert_eq!(
        store.reader().paper(Drawer::Originals, b"k").unwrap().unwrap(),
        large
    );
    for (key, size) in [(&b"k"[..], large.len() + 1), (&[1; 97], 1), (b"", 1)] {
        let refused = store.commit(vec![paper(Drawer::Originals, key, &vec![7; size])]);
        assert!(matches!(refused, Err(StoreError::Entry(_))), "{refused:?}");
    }
    drop(store);
    assert_eq!(open(home.path(), Engine::Memory).1.corrupt, []);
}

#[test]
fn papers_leave_in_their_time_and_those_for_good_stay() {
    for engine in [Engine::Memory, Engine::Fjall, Engine::Sled] {
        let home = tempfile::tempdir().unwrap();
        let (mut store, _) = open(home.path(), engine);
        for number in 0..100u64 {
            let key = number.to_be_bytes();
            store
                .commit(vec![
                    until(Drawer::Originals, &key, &[1; 700], 20_000 + number),
                    paper(Drawer::Rulings, &key, b"ruled"),
                    paper(Drawer::Policies, b"in force", &key),
                    audit("published"),
                ])
                .unwrap();
        }
        let before = store.reader().stats().unwrap();
        assert_eq!(tend(&mut store, &rules(19_999)), (0, 0));
        let (papers, recast) = tend(&mut store, &rules(20_089));
        assert_eq!(papers, 90);
        assert!(recast > 0);
        let after = store.reader().stats().unwrap();
        assert!(after.log_bytes * 2 < before.log_bytes, "{before:?} {after:?}");
        let check = |store: &Store| {
            let reader = store.reader();
            assert_eq!(listed(&reader, Drawer::Originals).len(), 10);
            assert_eq!(listed(&reader, Drawer::Rulings).len(), 100);
            let policies = [(b"in force".to_vec(), 99u64.to_be_bytes().to_vec())];
            assert_eq!(listed(&reader, Drawer::Policies), policies);
            assert_eq!(reader.audit_head().unwrap().lines, 100);
        };
        check(&store);
        assert_eq!(tend(&mut store, &rules(20_089)).0, 0);
        store.close().unwrap();
        let mut store = reindexed(home.path(), engine);
        // What was not rewritten yet is seen again until it is looked at again.
        tend(&mut store, &rules(20_089));
        check(&store);
        drop(store);
        let (mut store, _) = open(home.path(), Engine::Memory);
        tend(&mut store, &rules(20_089));
        check(&store);
    }
}

/// The first paper of a key lies in a segment that is never rewritten; the one that replaced it expires,
/// or is taken away, and its segment is rewritten. An index made anew must not find the first again.
#[test]
fn what_was_replaced_never_comes_back() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Fjall);
    store
        .commit(vec![
            paper(Drawer::Originals, b"expires", b"first"),
            paper(Drawer::Waiting, b"taken", b"first"),
        ])
        .unwrap();
    let fill = |store: &mut Store, expires: u64, numbers: std::ops::Range<u64>| {
        for number in numbers {
            let key = [&expires.to_be_bytes()[..], &number.to_be_bytes()].concat();
            store
                .commit(vec![until(Drawer::Originals, &key, &[1; 700], expires)])
                .unwrap();
        }
    };
    fill(&mut store, 90_000, 0..60);
    fill(&mut store, 20_000, 0..30);
    store
        .commit(vec![
            until(Drawer::Originals, b"expires", b"second", 20_000),
            paper(Drawer::Waiting, b"taken", b"second"),
            paper(Drawer::Waiting, b"taken", b""),
        ])
        .unwrap();
    fill(&mut store, 20_000, 30..60);
    // Not so long that the first, which is to leave the disk, makes its segment rewritten.
    let (papers, recast) = tend(&mut store, &rules(20_000));
    assert_eq!(papers, 61);
    assert!(recast > 0);
    let left = on_disk(home.path());
    assert!(
        left.iter().any(|paper| paper.bytes == b"first"),
        "as it was written"
    );
    assert!(left.iter().all(|paper| paper.bytes != b"second"));
    store.close().unwrap();
    let store = reindexed(home.path(), Engine::Fjall);
    assert_eq!(store.reader().paper(Drawer::Originals, b"expires").unwrap(), None);
    assert_eq!(store.reader().paper(Drawer::Waiting, b"taken").unwrap(), None);
}

#[test]
fn an_original_that_is_taken_away_leaves_the_disk_in_time() {
    for anew in [false, true] {
        let home = tempfile::tempdir().unwrap();
        let (mut store, _) = open(home.path(), Engine::Fjall);
        store
            .commit(vec![
                paper(Drawer::Originals, b"one", b"its text"),
                paper(Drawer::Rulings, b"one", b"ruled"),
                paper(Drawer::Originals, b"other", b"other text"),
            ])
            .unwrap();
        store
            .commit(vec![paper(Drawer::Originals, b"one", b""), audit("retract")])
            .unwrap();
        if anew {
            drop(store);
            store = reindexed(home.path(), Engine::Fjall);
        }
        // Half of the thousand seconds after it was taken away, at 8 s.
        assert_eq!(tend(&mut store, &rules(507_999)).1, 0);
        assert_eq!(tend(&mut store, &rules(508_000)).1, 1);
        let left = on_disk(home.path());
        assert!(left.iter().all(|paper| paper.bytes != b"its text"));
        assert_eq!(
            store
                .reader()
                .paper(Drawer::Originals, b"other")
                .unwrap()
                .unwrap(),
            b"other text"
        );
        assert_eq!(
            store.reader().paper(Drawer::Rulings, b"one").unwrap().unwrap(),
            b"ruled"
        );
    }
}

#[test]
fn papers_beside_a_damaged_stretch_are_found() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Fjall);
    for number in 0..40u64 {
        store
            .commit(vec![paper(
                Drawer::Rulings,
                &number.to_be_bytes(),
                &[number as u8; 400],
            )])
            .unwrap();
    }
    store.close().unwrap();
    let segment = home.path().join("log").join("0000000000000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    let place = bytes.len() / 2;
    bytes[place] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let seen = crate::store::look(home.path(), &master(), &settings(Engine::Fjall)).unwrap();
    assert_eq!((seen.corrupt.len(), seen.lost_papers), (1, 1));
    let (store, opening) = open(home.path(), Engine::Fjall);
    assert_eq!(
        opening.corrupt.len(),
        0,
        "not looked at again after a clean close"
    );
    assert_eq!(listed(&store.reader(), Drawer::Rulings).len(), 39);
    drop(store);
    let store = reindexed(home.path(), Engine::Fjall);
    assert_eq!(listed(&store.reader(), Drawer::Rulings).len(), 39);
}
