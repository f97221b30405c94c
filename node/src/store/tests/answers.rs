//! What readers are told.

use super::*;
use crate::store::entry::CharterEntry;
use crate::store::{Holding, StoreError};

#[test]
fn a_body_that_follows_its_header_completes_the_record_where_it_came() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, opening) = open(home.path(), Engine::Fjall);
    assert_eq!(opening, Opening::default());
    let header = header_only("acme-water", 7);
    store
        .commit(vec![with_facts(header.clone()), audit("header kept")])
        .unwrap();
    let reader = store.reader();
    assert_eq!(reader.holds(&id(7)).unwrap(), Some(BodyState::Awaited));
    assert_eq!(
        reader.awaited(&COMMUNITY, None, 10).unwrap(),
        [(id(7), Timestamp::from_millis(1_007))]
    );
    assert_eq!(reader.by_observable(b"203.0.113.7", Tlp::Red, 10).unwrap(), []);

    store.commit(vec![body_with_facts(body_of(7), &header)]).unwrap();
    let found = reader.record(&id(7)).unwrap().unwrap();
    assert_eq!((found.position, found.complete_at), (Position(1), Position(3)));
    assert_eq!((found.origin, found.state), (Origin::Gossip, BodyState::Readable));
    assert_eq!(found.body.as_deref(), Some(text(7).as_bytes()));
    assert_eq!(reader.awaited(&COMMUNITY, None, 10).unwrap(), []);
    assert_eq!(
        reader.by_observable(b"203.0.113.7", Tlp::Red, 10).unwrap(),
        [(Position(3), 0)]
    );
    assert_eq!(
        reader.by_observable(b"evil7.example", Tlp::Red, 10).unwrap(),
        [(Position(3), 1)]
    );

    // The same body once more is no news.
    store.commit(vec![body_with_facts(body_of(7), &header)]).unwrap();
    assert_eq!(reader.record(&id(7)).unwrap().unwrap().complete_at, Position(3));
    assert_eq!(
        reader.by_observable(b"203.0.113.7", Tlp::Red, 10).unwrap().len(),
        1
    );
}

#[test]
fn a_retracted_body_is_found_no_more_and_stays_gone() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Fjall);
    let kept = record("acme-water", 7);
    store
        .commit(vec![
            with_facts(kept.clone()),
            with_facts(record("acme-water", 8)),
        ])
        .unwrap();
    let (_, facts) = with_facts(kept.clone());
    let gone = BodyEntry {
        body: Vec::new(),
        state: BodyState::Gone,
        ..body_of(7)
    };
    store.commit(vec![(Entry::Body(gone), facts)]).unwrap();
    store.commit(vec![body_with_facts(body_of(7), &kept)]).unwrap();
    let check = |store: &Store| {
        let reader = store.reader();
        let found = reader.record(&id(7)).unwrap().unwrap();
        assert_eq!((found.state, found.body), (BodyState::Gone, None));
        assert_eq!(found.header, kept.header);
        assert_eq!(reader.by_observable(b"203.0.113.7", Tlp::Red, 10).unwrap(), []);
        assert_eq!(reader.by_object("indicator--7", Tlp::Red, 10).unwrap(), []);
        assert_eq!(
            reader.by_object("malware--shared", Tlp::Red, 10).unwrap().len(),
            1
        );
        assert_eq!(reader.stats().unwrap().objects, 2);
    };
    check(&store);
    drop(store);
    let mut sample = Sample::default();
    let settings = settings(Engine::Fjall);
    let (store, _) = Store::reindex(home.path(), &master(), &settings, &mut sample, &mut |_| {}).unwrap();
    check(&store);
}

#[test]
fn an_authors_chain_shows_gaps_forks_and_its_newest_link() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Memory);
    let link = |number: u64, words: &str| {
        with_facts(RecordEntry {
            id: id(number),
            header: words.into(),
            ..record("acme-water", number)
        })
    };
    store
        .commit(vec![
            link(1, "acme-water 1 1 1 10"),
            link(2, "acme-water 1 1 2 11"),
            link(3, "acme-water 1 1 4 12"),
            link(4, "acme-water 1 1 4 13"),
            link(5, "acme-water 1 2 1 9"),
            link(6, "acme-water 2 1 8 20"),
            link(7, "acme-waters 1 9 1 20"),
        ])
        .unwrap();
    let reader = store.reader();
    let acme = handle("acme-water");
    let runs = |lane, epoch, runs: &[(u64, u64)]| Holding {
        lane,
        epoch,
        runs: runs.to_vec(),
        twins: Vec::new(),
    };
    let all = [
        Holding {
            twins: vec![4],
            ..runs(1, 1, &[(1, 2), (4, 4)])
        },
        runs(1, 2, &[(1, 1)]),
        runs(2, 1, &[(8, 8)]),
    ];
    assert_eq!(reader.holdings(&COMMUNITY, &acme, 100).unwrap(), all);
    assert_eq!(reader.holdings(&COMMUNITY, &acme, 2).unwrap(), all[..1]);
    let newest = reader.newest_in_chain(&COMMUNITY, &acme, 1).unwrap().unwrap();
    assert_eq!((newest.epoch, newest.seq, newest.id), (2, 1, id(5)));
    assert_eq!(reader.newest_in_chain(&COMMUNITY, &acme, 3).unwrap(), None);
    let chain = reader.chain(&COMMUNITY, &acme, 1, 1, 2, 10).unwrap();
    assert_eq!(
        chain.iter().map(|l| (l.seq, l.id)).collect::<Vec<_>>(),
        [(2, id(2)), (4, id(3)), (4, id(4))]
    );
    let elsewhere = CommunityId([8; 32]);
    assert_eq!(reader.holdings(&elsewhere, &acme, 100).unwrap(), []);

    let edge = |millis, byte| (Timestamp::from_millis(millis), RecordId([byte; 32]));
    let line = |reverse| {
        let items = reader
            .timeline(&COMMUNITY, edge(10, 0), edge(20, 0), 3, reverse)
            .unwrap();
        items.iter().map(|item| item.id).collect::<Vec<_>>()
    };
    assert_eq!(line(false), [id(1), id(2), id(3)]);
    assert_eq!(line(true), [id(4), id(3), id(2)]);
}

#[test]
fn audit_lines_are_numbered_chained_and_found_by_number() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Fjall);
    for commit in 0..4 {
        store
            .commit(vec![audit("one"), note("cursor", &[commit]), audit("two")])
            .unwrap();
        store.commit(vec![note("other", &[commit])]).unwrap();
    }
    drop(store);
    let (mut store, _) = open(home.path(), Engine::Fjall);
    store.commit(vec![audit("after reopening")]).unwrap();
    let reader = store.reader();
    let lines = reader.audit(1, 100).unwrap();
    assert_eq!(
        lines.iter().map(|line| line.seq).collect::<Vec<_>>(),
        (1..=9).collect::<Vec<_>>()
    );
    for pair in lines.windows(2) {
        assert_eq!(pair[1].previous, pair[0].hash());
    }
    assert_eq!(reader.audit_head().unwrap().hash, lines[8].hash());
    assert_eq!(reader.audit(4, 3).unwrap(), lines[3..6]);
    assert_eq!(reader.audit(10, 3).unwrap(), []);
    assert_eq!(reader.note("cursor").unwrap().as_deref(), Some([3].as_slice()));
    assert_eq!(reader.note("never").unwrap(), None);
}

#[test]
fn a_cursor_reads_everything_once_in_bounded_steps() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Fjall);
    for batch in 0..20u64 {
        let records = (0..=batch % 4).map(|n| with_facts(record("acme-water", batch * 10 + n)));
        store.commit(records.collect()).unwrap();
    }
    let reader = store.reader();
    let (mut at, mut seen) = (Position(1), Vec::new());
    loop {
        let step = reader.entries_from(at, 3, 400).unwrap();
        assert!(step.len() <= 3);
        let Some((last, _)) = step.last() else { break };
        at = last.next();
        seen.extend(step);
    }
    assert_eq!(seen, all(&store));
    assert_eq!(seen.len() as u64, reader.newest().0);
    assert_eq!(reader.entry(Position(3)).unwrap().as_ref(), Some(&seen[2].1));
    assert_eq!(reader.entry(Position(0)).unwrap(), None);
    assert_eq!(reader.entry(reader.newest().next()).unwrap(), None);
    assert_eq!(
        reader.entries_from(Position(1), 9, 1).unwrap().len(),
        1,
        "never stuck on a large entry"
    );
}

#[test]
fn what_cannot_be_indexed_is_refused_before_it_is_written() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Memory);
    let (entry, _) = with_facts(record("acme-water", 1));
    assert!(matches!(
        store.commit(vec![audit("x"), (entry, None)]),
        Err(StoreError::NoFacts(_))
    ));
    let orphan = body_with_facts(body_of(2), &header_only("acme-water", 2));
    assert!(matches!(
        store.commit(vec![orphan.clone()]),
        Err(StoreError::NoHeader(_))
    ));
    assert_eq!(store.reader().newest(), Position(0));
    let both = vec![with_facts(header_only("acme-water", 2)), orphan];
    assert_eq!(store.commit(both).unwrap(), [Position(1), Position(2)]);
    assert_eq!(store.commit(Vec::new()).unwrap(), []);
}

#[test]
fn both_sides_of_a_fork_of_charters_are_kept() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Fjall);
    let charter = |version, bytes: &[u8]| CharterEntry {
        community: COMMUNITY,
        version,
        bytes: bytes.to_vec(),
    };
    let charters = [
        charter(1, b"one"),
        charter(2, b"two"),
        charter(2, b"other two"),
        charter(3, b"three"),
    ];
    for charter in &charters {
        store
            .commit(vec![(Entry::Charter(charter.clone()), None), audit("charter")])
            .unwrap();
    }
    let found: Vec<_> = store
        .reader()
        .charters(&COMMUNITY)
        .unwrap()
        .into_iter()
        .map(|(_, c)| c)
        .collect();
    assert_eq!(found, charters);
    drop(store);
    assert_eq!(
        Store::charters(home.path(), &master(), &settings(Engine::Fjall)).unwrap(),
        charters
    );
}

#[test]
fn a_commit_over_a_frames_bound_is_cut_between_entries() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Fjall);
    let large = |number: u64| {
        let body = Some(vec![number as u8; 1 << 20]);
        with_facts(RecordEntry {
            body,
            state: BodyState::Opaque,
            ..record("acme-water", number)
        })
    };
    let mut batch: Vec<_> = (0..9).map(large).collect();
    batch.push(audit("all nine"));
    let entries: Vec<Entry> = batch.iter().take(9).map(|(entry, _)| entry.clone()).collect();
    let positions = store.commit(batch).unwrap();
    assert_eq!(positions, (1..=10).map(Position).collect::<Vec<_>>());
    drop(store);
    let (store, _) = open(home.path(), Engine::Fjall);
    let found: Vec<Entry> = all(&store).into_iter().take(9).map(|(_, entry)| entry).collect();
    assert!(found == entries);
    assert_eq!(store.reader().audit_head().unwrap().lines, 1);
}

#[test]
fn the_writer_may_move_to_its_thread_and_readers_anywhere() {
    fn moves<T: Send + 'static>() {}
    fn shared<T: Clone + Send + Sync + 'static>() {}
    moves::<Store>();
    shared::<crate::store::Reader>();
}

/// Somebody floods a value and an object's id with what most may not see, or with versions of its
/// own: what others said is found all the same.
#[test]
fn no_one_crowds_out_what_another_said() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Fjall);
    store.commit(vec![with_facts(record("acme-water", 7))]).unwrap();
    for number in 100..110 {
        let lines = (0..50).map(|line| {
            let version = 9_000 + 50 * number + line;
            format!("secret--{number}-{line} {version} 203.0.113.7\nindicator--7 {version} 203.0.113.8")
        });
        let flood = RecordEntry {
            body: Some(lines.collect::<Vec<_>>().join("\n").into_bytes()),
            ..record("mallory", number)
        };
        store.commit(vec![with_facts(flood)]).unwrap();
    }
    let reader = store.reader();
    let found = reader.by_observable(b"203.0.113.7", Tlp::AmberStrict, 2).unwrap();
    assert_eq!(found, [(Position(1), 0)], "those above the ceiling do not count");
    let found = reader.by_observable(b"203.0.113.7", Tlp::Red, 1_000).unwrap();
    assert_eq!(found.len(), 501);
    assert!(found.is_sorted_by(|a, b| a > b), "newest arrival first");

    let versions = reader.by_object("indicator--7", Tlp::Green, 3).unwrap();
    assert_eq!(versions.len(), 4, "three of mallory's and acme's only one");
    let acme = reader.author_tag(&COMMUNITY, &handle("acme-water"));
    assert_eq!(versions.last().unwrap().author, acme);
    assert_eq!(reader.by_object("indicator--7", Tlp::Clear, 3).unwrap(), []);
}

/// A member sends each of its partners another text of one object: whoever holds several finds the least
/// redacted first, and older versions behind all of them.
#[test]
fn variants_of_one_version_do_not_hide_the_versions_before_it() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Fjall);
    let variant = |number: u64, line: &str| RecordEntry {
        body: Some(line.as_bytes().to_vec()),
        ..record("acme-water", number)
    };
    store
        .commit(vec![with_facts(variant(7, "tool--1 4-2 x"))])
        .unwrap();
    for (number, redacted) in [(8, 3), (9, 1), (10, 9), (11, 65_535), (12, 2)] {
        store
            .commit(vec![with_facts(variant(
                number,
                &format!("tool--1 5-{redacted} x"),
            ))])
            .unwrap();
    }
    let found = store.reader().by_object("tool--1", Tlp::Red, 2).unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|hit| (hit.version.as_millis(), hit.redacted, hit.position.0))
        .collect();
    assert_eq!(found, [(5, 1, 3), (5, 2, 6), (4, 2, 1)]);
}
