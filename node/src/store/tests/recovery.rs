//! The index lost, spoiled or left behind: the log brings it back.

use std::fs;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use super::*;
use crate::store::catalogue::Keyspace;
use crate::store::entry::CharterEntry;
use crate::store::index::{Batch, Direction, Index, IndexError, IndexStats, Pair, Reflects};
use crate::store::{Rebuilt, StoreError};

/// Fills a store with a bit of everything and gives what it answers.
fn furnish(store: &mut Store) -> String {
    let charter = CharterEntry {
        community: COMMUNITY,
        version: 1,
        bytes: b"by the stewards".to_vec(),
    };
    store
        .commit(vec![(Entry::Charter(charter), None), audit("founded")])
        .unwrap();
    for number in 0..60 {
        let author = if number % 2 == 0 {
            "acme-water"
        } else {
            "harbour-it"
        };
        match number % 5 {
            0 => {
                let header = header_only(author, number);
                store
                    .commit(vec![with_facts(header.clone()), audit("header")])
                    .unwrap();
                if number % 10 == 0 {
                    store
                        .commit(vec![body_with_facts(body_of(number), &header), audit("body")])
                        .unwrap();
                }
            }
            1 => {
                let sealed = RecordEntry {
                    state: BodyState::Opaque,
                    ..record(author, number)
                };
                store
                    .commit(vec![
                        with_facts(sealed),
                        note("cursor sender", &[number as u8]),
                        paper(Drawer::Waiting, &[number as u8], b"waits"),
                        paper(Drawer::Policies, b"set", &[number as u8]),
                        // Taken away, but for the last.
                        paper(Drawer::Waiting, &[number as u8 - 1], b""),
                        paper(Drawer::Waiting, &[(number as u8).saturating_sub(5)], b""),
                    ])
                    .unwrap();
            }
            _ => {
                store
                    .commit(vec![with_facts(record(author, number)), audit("kept")])
                    .unwrap();
            }
        }
    }
    answers(store)
}

/// Everything a reader can ask, in one text.
fn answers(store: &Store) -> String {
    let reader = store.reader();
    let mut text = format!("{:?} {:?}\n", reader.newest(), all(store));
    let edge = |millis| (Timestamp::from_millis(millis), RecordId([0; 32]));
    text += &format!(
        "{:?}\n",
        reader
            .timeline(&COMMUNITY, edge(0), edge(9_999), 1_000, false)
            .unwrap()
    );
    text += &format!("{:?}\n", reader.awaited(&COMMUNITY, None, 1_000).unwrap());
    text += &format!(
        "{:?}\n",
        reader.by_object("malware--shared", Tlp::Red, 1_000).unwrap()
    );
    text += &format!("{:?}\n", reader.audit(1, 1_000).unwrap());
    text += &format!(
        "{:?} {:?}\n",
        reader.audit_head().unwrap(),
        reader.note("cursor sender").unwrap()
    );
    text += &format!("{:?}\n", reader.charters(&COMMUNITY).unwrap());
    for drawer in Drawer::ALL {
        let (from, to) = (Bound::Unbounded, Bound::Unbounded);
        text += &format!("{:?}\n", reader.papers(drawer, from, to, 1_000).unwrap());
    }
    for author in ["acme-water", "harbour-it"].map(handle) {
        text += &format!("{:?}\n", reader.holdings(&COMMUNITY, &author, 1_000).unwrap());
        text += &format!(
            "{:?}\n",
            reader.chain(&COMMUNITY, &author, 1, 1, 0, 1_000).unwrap()
        );
    }
    for number in 0..60 {
        text += &format!("{:?}\n", reader.record(&id(number)).unwrap());
        let observable = format!("203.0.113.{number}");
        text += &format!(
            "{:?}\n",
            reader.by_observable(observable.as_bytes(), Tlp::Red, 10).unwrap()
        );
    }
    let stats = reader.stats().unwrap();
    text + &format!(
        "{} {} {} {}",
        stats.records, stats.objects, stats.log_bytes, stats.segments
    )
}

/// An index that stops taking changes.
struct Stuck(std::sync::Arc<dyn Index>);

impl Index for Stuck {
    fn apply(&self, _: Batch, _: Reflects) -> Result<(), IndexError> {
        Err(IndexError::Panicked)
    }

    fn checkpoint(&self) -> Result<(), IndexError> {
        self.0.checkpoint()
    }

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.0.get(keyspace, key)
    }

    fn range(
        &self,
        keyspace: Keyspace,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Pair>, IndexError> {
        self.0.range(keyspace, from, to, direction, limit)
    }

    fn stats(&self) -> Result<IndexStats, IndexError> {
        self.0.stats()
    }
}

#[test]
fn an_index_that_fell_behind_is_told_apart_and_repaired_by_opening() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Fjall);
    store.commit(vec![audit("before")]).unwrap();
    let shared = std::sync::Arc::get_mut(&mut store.shared).unwrap();
    shared.index = std::sync::Arc::new(Stuck(std::sync::Arc::clone(&shared.index)));
    match store.commit(vec![with_facts(record("acme-water", 1)), audit("kept")]) {
        Err(StoreError::IndexBehind { positions, .. }) => assert_eq!(positions, [Position(2), Position(3)]),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        store.reader().newest(),
        Position(1),
        "nobody is told before it is indexed"
    );
    assert!(matches!(
        store.commit(vec![audit("late")]),
        Err(StoreError::Behind)
    ));
    drop(store);
    let (store, opening) = open(home.path(), Engine::Fjall);
    assert_eq!((opening.replayed, opening.rebuilt), (2, None));
    assert_eq!(store.reader().holds(&id(1)).unwrap(), Some(BodyState::Readable));
    assert_eq!(store.reader().audit_head().unwrap().lines, 2);
}

fn index_folder(home: &Path) -> PathBuf {
    home.join("index").join("fjall")
}

#[test]
fn an_index_made_anew_gives_the_same_answers() {
    [Engine::Fjall, Engine::Sled].into_iter().for_each(made_anew);
}

fn made_anew(engine: Engine) {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), engine);
    let before = furnish(&mut store);
    store.close().unwrap();

    let (store, opening) = open(home.path(), engine);
    assert_eq!(opening, Opening::default(), "nothing to do after a clean close");
    assert_eq!(answers(&store), before);
    drop(store);

    let mut walked = Vec::new();
    let (store, opening) = Store::reindex(
        home.path(),
        &master(),
        &settings(engine),
        &mut Sample::default(),
        &mut |progress| walked.push(progress),
    )
    .unwrap();
    assert_eq!(opening.rebuilt, Some(Rebuilt::Asked));
    assert_eq!(answers(&store), before);
    let last = walked.last().unwrap();
    assert!(last.done <= last.total && last.done * 2 > last.total, "{last:?}");
    drop(store);

    fs::remove_dir_all(home.path().join("index")).unwrap();
    let (store, opening) = open(home.path(), engine);
    assert_eq!(opening.rebuilt, Some(Rebuilt::Absent));
    assert_eq!(answers(&store), before);
    drop(store);

    let (store, opening) = open(home.path(), Engine::Memory);
    assert_eq!(opening.rebuilt, None);
    assert_eq!(answers(&store), before);
}

#[test]
fn garbage_in_place_of_an_index_is_set_aside() {
    [Engine::Fjall, Engine::Sled].into_iter().for_each(set_aside);
}

fn set_aside(engine: Engine) {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), engine);
    let before = furnish(&mut store);
    drop(store);
    let folder = engine.folder(&home.path().join("index")).unwrap();
    for round in 0..2 {
        for item in fs::read_dir(&folder).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                fs::remove_dir_all(&path).unwrap();
            }
            fs::write(path, format!("garbage {round}")).unwrap();
        }
        let (store, opening) = open(home.path(), engine);
        assert!(
            matches!(opening.rebuilt, Some(Rebuilt::Unopenable(_))),
            "{opening:?}"
        );
        assert!(folder.with_extension("aside").exists());
        assert_eq!(answers(&store), before);
    }
}

/// Copies the index as it is now.
fn remember(home: &Path) -> PathBuf {
    let past = home.join("past");
    let copied = std::process::Command::new("cp")
        .args(["-r".as_ref(), index_folder(home).as_os_str(), past.as_os_str()])
        .status();
    assert!(copied.unwrap().success());
    past
}

/// Puts a remembered index in place of today's.
fn recall(home: &Path, past: &Path) {
    fs::remove_dir_all(index_folder(home)).unwrap();
    fs::rename(past, index_folder(home)).unwrap();
}

#[test]
fn a_header_that_rotted_away_does_not_keep_the_store_from_opening() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Fjall);
    let header = header_only("acme-water", 1);
    store.commit(vec![with_facts(header.clone())]).unwrap();
    for number in 2..60 {
        store
            .commit(vec![with_facts(record("acme-water", number))])
            .unwrap();
    }
    assert!(store.reader().stats().unwrap().segments > 1);
    store.close().unwrap();
    let past = remember(home.path());
    let (mut store, _) = open(home.path(), Engine::Fjall);
    store.commit(vec![body_with_facts(body_of(1), &header)]).unwrap();
    store.close().unwrap();
    recall(home.path(), &past);
    let segment = home.path().join("log").join("0000000000000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[250] ^= 1;
    fs::write(&segment, &bytes).unwrap();

    let (store, opening) = open(home.path(), Engine::Fjall);
    assert_eq!(
        (opening.replayed, opening.underived, opening.rebuilt),
        (1, 1, None)
    );
    let held = store.reader().holds(&id(1)).unwrap();
    assert_eq!(held, Some(BodyState::Awaited), "so that it is asked for again");
    drop(store);
    let found = Store::verify(home.path(), &master(), &settings(Engine::Fjall)).unwrap();
    assert_eq!(found.len(), 1);
}

#[test]
fn an_index_of_the_past_catches_up_and_charters_are_shown_first() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Fjall);
    furnish(&mut store);
    store.close().unwrap();
    let past = remember(home.path());
    let (mut store, _) = open(home.path(), Engine::Fjall);
    store
        .commit(vec![with_facts(record("acme-water", 99)), audit("later")])
        .unwrap();
    let before = answers(&store);
    drop(store);
    recall(home.path(), &past);

    let mut sample = Sample {
        wants_charter: true,
        charters: 0,
    };
    let (store, opening) =
        Store::open(home.path(), &master(), &settings(Engine::Fjall), &mut sample).unwrap();
    assert_eq!(
        (opening.replayed, opening.underived, opening.rebuilt),
        (2, 0, None)
    );
    assert_eq!(answers(&store), before);
    assert_eq!(sample.charters, 1);
}

#[test]
fn rot_under_an_index_makes_it_anew_once() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Fjall);
    for number in 0..5 {
        store
            .commit(vec![with_facts(record("acme-water", number)), audit("kept")])
            .unwrap();
    }
    store.close().unwrap();
    let segment = home.path().join("log").join("0000000000000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let place = bytes.len() / 2;
    bytes[place] ^= 1;
    fs::write(&segment, &bytes).unwrap();

    let (store, opening) = open(home.path(), Engine::Fjall);
    assert_eq!(
        (opening.corrupt.len(), opening.rebuilt),
        (1, Some(Rebuilt::Corrupt))
    );
    assert_eq!(all(&store).len(), 8);
    assert_eq!(store.reader().newest(), Position(10));
    drop(store);
    let (store, opening) = open(home.path(), Engine::Fjall);
    assert_eq!((opening.corrupt.len(), opening.rebuilt), (1, None));
    drop(store);
    let found = Store::verify(home.path(), &master(), &settings(Engine::Fjall)).unwrap();
    assert_eq!(found, opening.corrupt);
}

/// Whoever looks first, be it for a moment, does not hide from the node that it lost something.
#[test]
fn a_loss_is_told_at_every_opening_until_it_is_noted() {
    for engine in [Engine::Fjall, Engine::Sled] {
        let home = tempfile::tempdir().unwrap();
        let (mut store, opening) = open(home.path(), engine);
        assert!(!opening.lost);
        for number in 0..5 {
            store
                .commit(vec![with_facts(record("acme-water", number)), audit("kept")])
                .unwrap();
        }
        store.close().unwrap();
        let segment = home.path().join("log").join("0000000000000001.seg");
        let mut bytes = fs::read(&segment).unwrap();
        let place = bytes.len() / 2;
        bytes[place] ^= 1;
        fs::write(&segment, &bytes).unwrap();

        let anew = || {
            let mut sample = Sample::default();
            Store::reindex(
                home.path(),
                &master(),
                &settings(engine),
                &mut sample,
                &mut |_| {},
            )
            .unwrap()
        };
        assert!(anew().1.lost, "the operator has the index made anew first");
        // The index alone is gone.
        fs::remove_dir_all(engine.folder(&home.path().join("index")).unwrap()).unwrap();
        assert!(open(home.path(), engine).1.lost);
        let (mut store, opening) = open(home.path(), engine);
        assert!(opening.lost && opening.rebuilt.is_none());
        store.loss_is_noted().unwrap();
        drop(store);
        assert!(!open(home.path(), engine).1.lost);
    }
}

/// Two nodes that go on from one backup, one after the other, give nothing the same number.
#[test]
fn copies_of_one_store_leap_to_different_positions() {
    let leapt = |now: &str| {
        let home = tempfile::tempdir().unwrap();
        let (mut store, _) = open(home.path(), Engine::Memory);
        store.commit(vec![audit("backed up")]).unwrap();
        store.leap(now.parse().unwrap());
        store.commit(vec![audit("restored")]).unwrap()[0].0
    };
    let (test, disaster) = (leapt("2026-11-23T12:00:00Z"), leapt("2026-11-23T12:00:05Z"));
    assert!(
        disaster - test > 1_000_000 && disaster < 1 << 53,
        "{test} {disaster}"
    );
    assert!(leapt("1970-01-01T00:00:00Z") > 1 << 32, "whatever the clock says");
}

#[test]
fn positions_and_audit_numbers_of_a_lost_end_are_not_given_out_again() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Fjall);
    for number in 0..5 {
        store
            .commit(vec![with_facts(record("acme-water", number)), audit("kept")])
            .unwrap();
    }
    store.close().unwrap();
    let segment = home.path().join("log").join("0000000000000001.seg");
    let bytes = fs::read(&segment).unwrap();
    fs::write(&segment, &bytes[..bytes.len() - 20]).unwrap();

    let (store, opening) = open(home.path(), Engine::Fjall);
    assert_eq!(opening.rebuilt, Some(Rebuilt::Ahead));
    assert!(opening.torn.is_some() && opening.lost);
    assert_eq!(all(&store).len(), 8);
    let mut store = store;
    store.loss_is_noted().unwrap();
    store.close().unwrap();
    let (mut store, opening) = open(home.path(), Engine::Fjall);
    assert_eq!(opening, Opening::default());
    let positions = store.commit(vec![audit("on we go")]).unwrap();
    assert_eq!(positions, [Position(11)]);
    assert_eq!(store.reader().audit_head().unwrap().lines, 6);
}

#[test]
fn two_processes_cannot_have_it_and_a_reader_holds_it_too() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(home.path(), Engine::Fjall);
    let reader = store.reader();
    let again = || {
        Store::open(
            home.path(),
            &master(),
            &settings(Engine::Fjall),
            &mut Sample::default(),
        )
    };
    assert!(matches!(again(), Err(StoreError::InUse(_))));
    drop(store);
    assert!(matches!(again(), Err(StoreError::InUse(_))));
    drop(reader);
    assert!(again().is_ok());
}

#[test]
fn no_file_shows_what_it_is_about() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Fjall);
    furnish(&mut store);
    store.close().unwrap();
    let secrets = [
        "acme-water",
        "harbour",
        "indicator--",
        "malware--",
        "203.0.113",
        "evil",
        "cursor",
        "founded",
        "by the stewards",
    ];
    let mut files = 0;
    let mut folders = vec![home.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let bytes = fs::read(&path).unwrap();
            for secret in secrets {
                let shown = bytes
                    .windows(secret.len())
                    .any(|window| window == secret.as_bytes());
                assert!(!shown, "{secret} in {}", path.display());
            }
        }
    }
    assert!(files > 5);
}

#[test]
fn an_idle_store_checkpoints_after_five_seconds() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Fjall);
    store.commit(vec![audit("something")]).unwrap();
    for millis in [1_000, 3_000, 5_999] {
        store.maintain(Timestamp::from_millis(millis)).unwrap();
        assert!(store.unsaved > 0);
    }
    store.maintain(Timestamp::from_millis(6_000)).unwrap();
    assert_eq!(store.unsaved, 0);
}
