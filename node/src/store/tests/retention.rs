//! What has passed its time leaves, what was taken back is on no disk, and the room comes back.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::disk::FaultyDisk;
use super::*;
use crate::store::disk::{Disk, RealDisk};
use crate::store::log::Unscanned;
use crate::store::{Rebuilt, Rules, StoreError, Tended, setup};

/// Long enough that no header leaves.
const LONG: Duration = Duration::from_secs(3_600);

/// Record `number` is made, and its time passes, at 1,000 + `number`.
fn rules(now: u64, horizon: Duration) -> Rules {
    Rules {
        community: COMMUNITY,
        now: Timestamp::from_millis(now),
        clock: Timestamp::from_millis(now),
        horizon,
        keep: None,
        erase_within: Duration::ZERO,
        expire: true,
    }
}

/// Tends until nothing is due, each time a commit in between if `busy`.
fn tend(store: &mut Store, rules: &Rules, busy: bool) -> Result<Tended, StoreError> {
    let mut rules = rules.clone();
    let mut all = Tended::default();
    loop {
        let step = store.tend(&rules, &mut Sample::default())?;
        rules.expire = false;
        all.bodies += step.bodies;
        all.records += step.records;
        all.freed += step.freed;
        all.retired.extend(step.retired);
        all.recast.extend(step.recast);
        all.damaged.extend(step.damaged);
        if !step.more {
            return Ok(all);
        }
        if busy {
            store.commit(vec![audit("meanwhile")])?;
        }
    }
}

/// A record whose body is most of it.
fn large(author: &str, number: u64) -> RecordEntry {
    let body = format!("{} {}", text(number), "x".repeat(700));
    RecordEntry {
        body: Some(body.into_bytes()),
        ..record(author, number)
    }
}

fn fill(store: &mut Store, count: u64) {
    for number in 0..count {
        let author = if number % 2 == 0 {
            "acme-water"
        } else {
            "harbour-it"
        };
        store
            .commit(vec![
                with_facts(large(author, number)),
                audit("kept"),
                note("cursor", &number.to_be_bytes()),
            ])
            .unwrap();
    }
}

/// All there is in the log's files, decrypted.
fn on_disk(disk: Arc<dyn Disk>, folder: &Path) -> Vec<(Position, Entry)> {
    let log = Unscanned::open(setup(disk, folder, &master(), &settings(Engine::Memory))).unwrap();
    let mut entries = Vec::new();
    let walked = log.walk(0, (0, 0), |_, frame| {
        entries.extend((frame.first.0..).map(Position).zip(frame.entries));
        Ok::<(), StoreError>(())
    });
    assert_eq!(walked.unwrap().found.corrupt, []);
    entries
}

fn shows(entries: &[(Position, Entry)], text: &str) -> bool {
    let holds = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    entries.iter().any(|(_, entry)| match entry {
        Entry::Record(record) => record.body.as_deref().is_some_and(holds),
        Entry::Body(body) => holds(&body.body),
        _ => false,
    })
}

/// What a reader can ask that must not change when something else leaves.
fn answers(store: &Store, numbers: std::ops::Range<u64>) -> String {
    let reader = store.reader();
    let mut text = format!("{:?}\n", reader.audit(1, 10_000).unwrap());
    text += &format!("{:?}\n", reader.note("cursor").unwrap());
    for number in numbers {
        text += &format!("{:?}\n", reader.record(&id(number)).unwrap());
        let found = reader.by_observable(format!("evil{number}.example").as_bytes(), Tlp::Red, 9);
        text += &format!("{:?}\n", found.unwrap());
    }
    text
}

#[test]
fn the_room_of_what_has_passed_comes_back_under_every_engine() {
    for engine in [Engine::Memory, Engine::Fjall, Engine::Sled] {
        let home = tempfile::tempdir().unwrap();
        let (mut store, _) = open(home.path(), engine);
        fill(&mut store, 200);
        let before = store.reader().stats().unwrap();
        let kept = answers(&store, 150..200);
        let tended = tend(&mut store, &rules(1_150, Duration::ZERO), false).unwrap();
        // Record 149 is no author's newest, so nothing holds any of the 150.
        assert_eq!((tended.records, tended.bodies), (150, 150));
        assert_eq!(tended.retired.len(), 150);
        let after = store.reader().stats().unwrap();
        assert!(
            after.log_bytes * 2 < before.log_bytes * 3 / 2,
            "{before:?} {after:?}"
        );
        assert!(after.segments < before.segments, "{before:?} {after:?}");
        assert_eq!(after.records, 50);
        assert_eq!(answers(&store, 150..200), kept);
        assert_eq!(store.reader().record(&id(3)).unwrap(), None);
        assert_eq!(
            store
                .reader()
                .by_object("malware--shared", Tlp::Red, 999)
                .unwrap()
                .len(),
            50
        );
        // Who stood at an entry that left goes on with the next there is.
        let left = store.reader().entries_from(Position(1), 3, usize::MAX).unwrap();
        assert_eq!(left[0].0, Position(2), "the first audit line");
        assert_eq!(store.reader().entry(Position(1)).unwrap(), None);
        assert_eq!(store.reader().newest(), Position(600));
        assert!(!shows(&on_disk(Arc::new(RealDisk), home.path()), "evil3.example"));
        store.commit(vec![with_facts(record("acme-water", 200))]).unwrap();
        let held = all(&store);
        store.close().unwrap();

        assert_eq!(
            Store::verify(home.path(), &master(), &settings(engine)).unwrap(),
            []
        );
        let (store, opening) = open(home.path(), engine);
        assert_eq!((opening.rebuilt, opening.corrupt.len()), (None, 0));
        assert_eq!(opening.missing, [] as [u32; 0]);
        assert_eq!(
            (answers(&store, 150..200), all(&store)),
            (kept.clone(), held.clone())
        );
        drop(store);
        let (mut store, opening) = Store::reindex(
            home.path(),
            &master(),
            &settings(engine),
            &mut Sample::default(),
            &mut |_| {},
        )
        .unwrap();
        assert_eq!((opening.orphans, opening.underived), (0, 0));
        assert_eq!((answers(&store, 150..200), all(&store)), (kept, held));
        // A header that is still in the log counts again until it is looked at again.
        tend(&mut store, &rules(1_150, Duration::ZERO), false).unwrap();
        assert_eq!(store.reader().stats().unwrap().records, 51);
    }
}

#[test]
fn headers_outlive_their_bodies_and_the_newest_of_a_chain_everything() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Fjall);
    fill(&mut store, 60);
    let tended = tend(&mut store, &rules(9_000, LONG), false).unwrap();
    assert_eq!((tended.records, tended.bodies), (0, 60));
    let reader = store.reader();
    let gone = reader.record(&id(3)).unwrap().unwrap();
    assert_eq!((gone.body, gone.state), (None, BodyState::Gone));
    assert_eq!(gone.header, header("harbour-it", 3));
    assert_eq!(reader.by_observable(b"evil3.example", Tlp::Red, 9).unwrap(), []);
    assert!(!shows(&on_disk(Arc::new(RealDisk), home.path()), "evil"));
    // Nothing new in a second round.
    assert_eq!(tend(&mut store, &rules(9_000, LONG), false).unwrap().bodies, 0);

    let tended = tend(&mut store, &rules(9_000, Duration::ZERO), false).unwrap();
    assert_eq!(tended.records, 58, "all but each author's last");
    let newest = reader
        .newest_in_chain(&COMMUNITY, &handle("acme-water"), 1)
        .unwrap();
    assert_eq!(newest.unwrap().seq, 58);
    drop(reader);
    store.close().unwrap();
    for engine in [Engine::Fjall, Engine::Memory] {
        let (mut store, _) = open(home.path(), engine);
        tend(&mut store, &rules(9_000, Duration::ZERO), false).unwrap();
        let reader = store.reader();
        assert_eq!(reader.stats().unwrap().records, 2);
        assert_eq!(reader.holds(&id(59)).unwrap(), Some(BodyState::Gone));
        assert_eq!(
            reader.audit_head().unwrap().lines,
            reader.audit(1, 9_999).unwrap().len() as u64
        );
    }
}

fn take_back(store: &mut Store, numbers: &[u64]) {
    for number in numbers {
        let at = Timestamp::from_millis(8_000);
        let entry = store.erasure(&id(*number), at, Origin::Own, &mut Sample::default());
        let entry = entry.unwrap().expect("it is there");
        store.commit(vec![entry, audit("retract")]).unwrap();
    }
}

#[test]
fn what_is_taken_back_is_gone_from_readers_at_once_and_from_disk_in_time() {
    for engine in [Engine::Memory, Engine::Fjall, Engine::Sled] {
        let home = tempfile::tempdir().unwrap();
        let (mut store, _) = open(home.path(), engine);
        fill(&mut store, 50);
        // One whose body came apart from its header, too.
        let late = header_only("acme-water", 50);
        store.commit(vec![with_facts(late.clone())]).unwrap();
        store.commit(vec![body_with_facts(body_of(50), &late)]).unwrap();
        let kept = answers(&store, 8..49);
        take_back(&mut store, &[7, 49, 50]);
        let reader = store.reader();
        for number in [7, 49, 50] {
            assert_eq!(reader.holds(&id(number)).unwrap(), Some(BodyState::Gone));
            assert_eq!(reader.record(&id(number)).unwrap().unwrap().body, None);
            let observable = format!("evil{number}.example");
            assert_eq!(
                reader.by_observable(observable.as_bytes(), Tlp::Red, 9).unwrap(),
                []
            );
        }
        let again = store.erasure(&id(7), Timestamp::default(), Origin::Own, &mut Sample::default());
        assert_eq!(again.unwrap(), None);
        assert!(shows(&on_disk(Arc::new(RealDisk), home.path()), "evil7.example"));
        // The index is lost before the disk was seen to: the log knows what is due.
        drop((reader, store));
        let (mut store, _) = Store::reindex(
            home.path(),
            &master(),
            &settings(engine),
            &mut Sample::default(),
            &mut |_| {},
        )
        .unwrap();
        let waits = Rules {
            erase_within: Duration::from_secs(10),
            expire: false,
            ..rules(12_999, LONG)
        };
        assert!(tend(&mut store, &waits, false).unwrap().recast.is_empty());
        let now = Timestamp::from_millis(13_000);
        let tended = tend(
            &mut store,
            &Rules {
                now,
                clock: now,
                ..waits
            },
            true,
        )
        .unwrap();
        assert!(!tended.recast.is_empty());
        let left = on_disk(Arc::new(RealDisk), home.path());
        for number in [7, 49, 50] {
            assert!(!shows(&left, &format!("evil{number}.example")));
        }
        let lines = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines(&answers(&store, 8..49)), lines(&kept));
        drop(store);
        let (store, opening) = open(home.path(), engine);
        assert_eq!(opening.rebuilt, None);
        assert_eq!(store.reader().holds(&id(49)).unwrap(), Some(BodyState::Gone));
    }
}

#[test]
fn an_index_that_is_older_than_a_recast_is_made_anew() {
    for engine in [Engine::Fjall, Engine::Sled] {
        let home = tempfile::tempdir().unwrap();
        let (mut store, _) = open(home.path(), engine);
        fill(&mut store, 80);
        store.close().unwrap();
        let folder = engine.folder(&home.path().join("index")).unwrap();
        let past = home.path().join("past");
        let copied = std::process::Command::new("cp")
            .args(["-r".as_ref(), folder.as_os_str(), past.as_os_str()])
            .status();
        assert!(copied.unwrap().success());
        let (mut store, _) = open(home.path(), engine);
        tend(&mut store, &rules(1_060, Duration::ZERO), false).unwrap();
        let (kept, held) = (answers(&store, 60..80), all(&store));
        drop(store);
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::rename(&past, &folder).unwrap();
        let (store, opening) = open(home.path(), engine);
        assert_eq!(opening.rebuilt, Some(Rebuilt::Recast));
        assert_eq!((answers(&store, 60..80), all(&store)), (kept, held));
    }
}

#[test]
fn a_reader_at_work_never_sees_damage_while_segments_are_recast() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Fjall);
    fill(&mut store, 400);
    let reader = store.reader();
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let told = Arc::clone(&done);
    let reading = std::thread::spawn(move || {
        let mut rounds = 0;
        while !told.load(std::sync::atomic::Ordering::Relaxed) {
            for number in 300..400 {
                assert!(reader.record(&id(number)).unwrap().unwrap().body.is_some());
            }
            let entries = reader.entries_from(Position(1), usize::MAX, usize::MAX).unwrap();
            assert!(entries.len() >= 500);
            rounds += 1;
        }
        rounds
    });
    for now in (1_000..=1_300).step_by(50) {
        tend(&mut store, &rules(now, Duration::ZERO), false).unwrap();
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(reading.join().unwrap() > 0);
}

/// A member takes back one record after the other, also while their segment is rewritten.
#[test]
fn what_is_taken_back_without_pause_has_no_segment_rewritten_without_pause() {
    let home = tempfile::tempdir().unwrap();
    let whole = crate::store::StoreSettings {
        segment_size: 1 << 20,
        ..settings(Engine::Fjall)
    };
    let opened = Store::open(home.path(), &master(), &whole, &mut Sample::default());
    let (mut store, _) = opened.unwrap();
    fill(&mut store, 60);
    take_back(&mut store, &[10]);
    let at = |now: u64| Rules {
        erase_within: Duration::from_secs(20),
        expire: false,
        ..rules(now, LONG)
    };
    // Ten seconds after what was taken back at 8 s it is due; meanwhile the next is taken back.
    let due = at(18_000);
    let (mut recast, mut next) = (0, 11);
    for _ in 0..400 {
        let step = store.tend(&due, &mut Sample::default()).unwrap();
        recast += step.recast.len();
        if !step.more || next == 50 {
            break;
        }
        let taken = store.erasure(&id(next), due.clock, Origin::Own, &mut Sample::default());
        store.commit(vec![taken.unwrap().unwrap()]).unwrap();
        next += 1;
    }
    assert_eq!(recast, 1, "and not again at once, for what came since");
    // What came since is gone as long after that.
    assert_eq!(tend(&mut store, &at(27_999), false).unwrap().recast.len(), 0);
    assert_ne!(tend(&mut store, &at(28_000), false).unwrap().recast.len(), 0);
    let left = on_disk(Arc::new(RealDisk), home.path());
    for number in 10..next {
        assert!(!shows(&left, &format!("evil{number}.example")));
    }
}

/// Others fill the disk. What is due for erasure waits for room; to begin without it would end the node,
/// at each start anew.
#[test]
fn what_is_due_for_erasure_waits_for_room() {
    let disk = FaultyDisk::default();
    let (mut store, _) = open_on(&disk).unwrap();
    fill(&mut store, 50);
    take_back(&mut store, &[7]);
    disk.leave(1_000);
    disk.fail_after(0);
    let due = Rules {
        expire: false,
        ..rules(9_000, LONG)
    };
    let step = store.tend(&due, &mut Sample::default()).unwrap();
    assert!(step.cramped && !step.more && step.recast.is_empty());
    drop(store);
    let disk = disk.power_cut(0);
    let (mut store, _) = open_on(&disk).unwrap();
    let tended = tend(&mut store, &due, false).unwrap();
    assert!(!tended.cramped && !tended.recast.is_empty());
    let left = on_disk(Arc::new(disk.clone()), Path::new("store"));
    assert!(!shows(&left, "evil7.example"));
}

/// A damaged stretch goes with its segment, since something in that was taken back. The node must know
/// at its next start that something was lost.
#[test]
fn damage_that_is_dropped_is_told_as_a_loss() {
    let home = tempfile::tempdir().unwrap();
    let (mut store, _) = open(home.path(), Engine::Fjall);
    fill(&mut store, 60);
    take_back(&mut store, &[0]);
    store.close().unwrap();
    let (mut store, opening) = open(home.path(), Engine::Fjall);
    assert!(!opening.lost);
    let segment = home.path().join("log").join("0000000000000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    let place = bytes.len() / 2;
    bytes[place] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let due = Rules {
        expire: false,
        ..rules(9_000, LONG)
    };
    let tended = tend(&mut store, &due, false).unwrap();
    assert_eq!(tended.damaged.len(), 1);
    store.close().unwrap();
    let (_, opening) = open(home.path(), Engine::Fjall);
    assert!(opening.corrupt.is_empty() && opening.lost);
}

fn open_on(disk: &FaultyDisk) -> Result<(Store, crate::store::Opening), StoreError> {
    Store::open_on(
        Arc::new(disk.clone()),
        Path::new("store"),
        &master(),
        &settings(Engine::Memory),
        &mut Sample::default(),
    )
}

/// Whatever write, sync, rename or removal of a recast is the last before the power goes: what is
/// alive is there, and the log is whole.
#[test]
fn a_power_cut_in_a_recast_leaves_the_old_or_the_new() {
    let filled = FaultyDisk::default();
    let (mut store, _) = open_on(&filled).unwrap();
    fill(&mut store, 40);
    let kept = answers(&store, 30..40);
    drop(store);
    let mut finished = false;
    for fuse in 0.. {
        let disk = filled.power_cut(0);
        let (mut store, _) = open_on(&disk).unwrap();
        disk.fail_after(fuse);
        finished = tend(&mut store, &rules(1_030, Duration::ZERO), false).is_ok();
        drop(store);
        for part in [0, 501, 1_000] {
            let disk = disk.power_cut(part);
            let (mut store, opening) = open_on(&disk).unwrap();
            assert_eq!(
                (&opening.corrupt, &opening.missing),
                (&vec![], &vec![]),
                "cut at {fuse}"
            );
            assert_eq!(answers(&store, 30..40), kept, "cut at {fuse}");
            tend(&mut store, &rules(1_030, Duration::ZERO), false).unwrap();
            assert_eq!(answers(&store, 30..40), kept, "cut at {fuse}");
            assert!(!shows(
                &on_disk(Arc::new(disk.clone()), Path::new("store")),
                "evil7."
            ));
            assert!(!disk.files().iter().any(|name| name.ends_with(".cast")));
        }
        if finished {
            break;
        }
    }
    assert!(finished);
}
