//! The log on a bad disk, and under bad hands.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::disk::FaultyDisk;
use super::*;
use crate::store::{LogError, Span, StoreError};

fn open_on(disk: &FaultyDisk) -> Result<(Store, Opening), StoreError> {
    let disk = Arc::new(disk.clone());
    Store::open_on(
        disk,
        Path::new("store"),
        &master(),
        &settings(Engine::Memory),
        &mut Sample::default(),
    )
}

/// Commits records `from..to`, one a commit, and gives where each frame lies, by the log's growth.
fn commit_each(store: &mut Store, from: u64, to: u64) {
    for number in from..to {
        store
            .commit(vec![with_facts(record("acme-water", number)), audit("kept")])
            .unwrap();
    }
}

fn frames(store: &Store) -> Vec<Span> {
    let index = &store.shared.index;
    let rows = index
        .prefixed(
            crate::store::catalogue::Keyspace::Frames,
            &[],
            super::super::index::Direction::Forward,
            10_000,
        )
        .unwrap();
    rows.iter()
        .map(|(_, row)| crate::store::catalogue::FrameRow::decode(row).unwrap().span)
        .collect()
}

fn segment_name(span: Span) -> String {
    format!("{:016x}.seg", span.segment)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever write fails and however much of it a power cut leaves: what was acknowledged is
    /// there, in order, and what was not is there whole or not at all.
    #[test]
    fn acknowledged_commits_survive_power_cuts(
        lives in prop::collection::vec((0u64..60, 0usize..=1_000, prop::collection::vec(1u64..9, 1..30)), 1..4),
    ) {
        let mut disk = FaultyDisk::default();
        let mut acknowledged: Vec<(Position, Entry)> = Vec::new();
        let mut number = 0;
        for (fuse, kept, commits) in lives {
            disk.fail_after(fuse);
            let mut pending = Vec::new();
            if let Ok((mut store, _)) = open_on(&disk) {
                for size in commits {
                    let batch: Vec<_> =
                        (0..size).map(|n| with_facts(record("acme-water", number + n))).collect();
                    number += size;
                    let entries: Vec<Entry> = batch.iter().map(|(entry, _)| entry.clone()).collect();
                    match store.commit(batch) {
                        Ok(positions) => {
                            acknowledged.extend(positions.into_iter().zip(entries));
                            prop_assert_eq!(&all(&store), &acknowledged);
                        }
                        Err(StoreError::Log(_)) => {
                            pending = entries;
                            prop_assert_eq!(&all(&store), &acknowledged);
                            let again = store.commit(vec![audit("late")]);
                            prop_assert!(matches!(again, Err(StoreError::Log(LogError::Poisoned))));
                            break;
                        }
                        Err(other) => return Err(TestCaseError::fail(other.to_string())),
                    }
                }
            }
            disk = disk.power_cut(kept);
            let (store, opening) = open_on(&disk).unwrap();
            prop_assert!(opening.corrupt.is_empty());
            let found = all(&store);
            prop_assert_eq!(&found[..acknowledged.len()], &acknowledged[..]);
            let surplus: Vec<Entry> =
                found[acknowledged.len()..].iter().map(|(_, entry)| entry.clone()).collect();
            prop_assert!(surplus.is_empty() || surplus == pending);
            acknowledged = found;
        }
    }
}

#[test]
fn a_torn_end_is_cut_off_and_kept_aside() {
    let disk = FaultyDisk::default();
    let (mut store, _) = open_on(&disk).unwrap();
    commit_each(&mut store, 0, 5);
    let last = *frames(&store).last().unwrap();
    drop(store);
    disk.edit(&segment_name(last), |bytes| {
        bytes.truncate(last.end() as usize - 3)
    });

    let (mut store, opening) = open_on(&disk).unwrap();
    let torn = Span {
        length: last.length - 3,
        ..last
    };
    assert_eq!(opening.torn, Some(torn));
    assert!(opening.corrupt.is_empty());
    assert!(disk.files().iter().any(|name| name.starts_with("torn-")));
    assert_eq!(all(&store).len(), 8);
    commit_each(&mut store, 5, 7);
    drop(store);
    let (store, opening) = open_on(&disk).unwrap();
    assert_eq!((opening.torn, all(&store).len()), (None, 12));
}

#[test]
fn a_flipped_byte_in_the_middle_is_named_and_the_rest_stays_readable() {
    let disk = FaultyDisk::default();
    let (mut store, _) = open_on(&disk).unwrap();
    commit_each(&mut store, 0, 40);
    let spans = frames(&store);
    assert!(
        spans.last().unwrap().segment > 1,
        "the story needs more than one segment"
    );
    drop(store);
    // Length, nonce and text of three frames; the last frame of a full segment among them.
    let end_of_first = spans.iter().rposition(|span| span.segment == 1).unwrap();
    let hit = [(3, 5), (7, 30), (end_of_first, 100)];
    for (frame, byte) in hit {
        disk.edit(&segment_name(spans[frame]), |bytes| {
            bytes[spans[frame].offset as usize + byte] ^= 4
        });
    }
    let (mut store, opening) = open_on(&disk).unwrap();
    let expected: Vec<Span> = hit.iter().map(|(frame, _)| spans[*frame]).collect();
    assert_eq!(opening.corrupt, expected);
    assert_eq!(opening.torn, None);
    assert_eq!(all(&store).len(), 2 * (40 - hit.len()));
    assert_eq!(
        store.reader().holds(&id(3)).unwrap(),
        None,
        "so that healing brings it again"
    );
    assert_eq!(store.reader().holds(&id(4)).unwrap(), Some(BodyState::Readable));
    commit_each(&mut store, 3, 4);
    assert_eq!(store.reader().holds(&id(3)).unwrap(), Some(BodyState::Readable));
}

#[test]
fn rot_found_while_reading_says_where_to_go_on() {
    let disk = FaultyDisk::default();
    let (mut store, _) = open_on(&disk).unwrap();
    commit_each(&mut store, 0, 3);
    let spans = frames(&store);
    drop(store);
    let (store, _) = open_on(&disk).unwrap();
    disk.edit(&segment_name(spans[1]), |bytes| {
        bytes[spans[1].offset as usize + 60] ^= 1
    });
    let reader = store.reader();
    let read = |from| reader.entries_from(Position(from), 100, usize::MAX);
    assert_eq!(read(1).unwrap().len(), 2, "up to the damage");
    match read(3) {
        Err(StoreError::Damaged { span, last }) => assert_eq!((span, last), (spans[1], Position(4))),
        other => panic!("{other:?}"),
    }
    assert_eq!(read(5).unwrap().len(), 2);
    assert!(matches!(reader.record(&id(1)), Err(StoreError::Damaged { .. })));
}

#[test]
fn another_key_another_hand_and_another_format_are_told_apart() {
    let disk = FaultyDisk::default();
    let (mut store, _) = open_on(&disk).unwrap();
    commit_each(&mut store, 0, 3);
    let spans = frames(&store);
    drop(store);

    let other = MasterKey::from_bytes(Zeroizing::new([6; 32]));
    let opened = Store::open_on(
        Arc::new(disk.clone()),
        Path::new("store"),
        &other,
        &settings(Engine::Memory),
        &mut Sample::default(),
    );
    assert!(matches!(opened, Err(StoreError::Log(LogError::WrongKey(1)))));

    // Someone who can write to the disk but has no key: the checksum is right, the tag is not.
    let name = segment_name(spans[1]);
    let mut untouched = Vec::new();
    disk.edit(&name, |bytes| {
        untouched = bytes.clone();
        let frame = &mut bytes[spans[1].offset as usize..spans[1].end() as usize];
        let (covered, sum) = frame.split_last_chunk_mut::<8>().unwrap();
        covered[60] ^= 1;
        sum.copy_from_slice(&blake3::hash(covered).as_bytes()[..8]);
    });
    match open_on(&disk) {
        Err(StoreError::Log(LogError::Tampered(span))) => assert_eq!(span, spans[1]),
        other => panic!("{:?}", other.err()),
    }
    // Taking a whole frame out breaks the chain.
    disk.edit(&name, |bytes| {
        *bytes = untouched.clone();
        bytes.drain(spans[1].offset as usize..spans[1].end() as usize);
    });
    assert!(matches!(
        open_on(&disk),
        Err(StoreError::Log(LogError::Tampered(_)))
    ));
    // Both copies of the header claim a later format.
    disk.edit(&name, |bytes| {
        *bytes = untouched.clone();
        let copy = spans[0].offset as usize / 2;
        (bytes[9], bytes[copy + 9]) = (3, 3);
    });
    assert!(matches!(
        open_on(&disk),
        Err(StoreError::Log(LogError::Newer {
            segment: 1,
            format: 3
        }))
    ));
    disk.edit(&name, |bytes| *bytes = untouched.clone());
    assert_eq!(all(&open_on(&disk).unwrap().0).len(), 6);
}

#[test]
fn a_rotten_header_of_a_later_segment_costs_nothing_but_a_report() {
    let disk = FaultyDisk::default();
    let (mut store, _) = open_on(&disk).unwrap();
    commit_each(&mut store, 0, 40);
    let before = all(&store);
    drop(store);
    disk.edit("0000000000000002.seg", |bytes| bytes[..150].fill(0));
    let (store, opening) = open_on(&disk).unwrap();
    assert_eq!(opening.corrupt.len(), 1);
    assert_eq!((opening.corrupt[0].segment, opening.corrupt[0].offset), (2, 0));
    assert_eq!(all(&store), before);
}
