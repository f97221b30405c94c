//! Power cuts, hundreds of them, at every kind of moment of a store's life: commits, new segments,
//! expiry, erasure, recasts, openings. The log lies on a disk that keeps what it likes of what was not
//! synced. The engines' own files lie on the real one, so after a cut they are what a drive may leave
//! of them: as they were, an older copy, cut short, garbled, or none.
//!
//! `HANSE_CUTS=20` tells twenty times as many stories.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::disk::FaultyDisk;
use super::*;
use crate::store::{Rules, StoreError};

/// Numbers that look like chance and are the same for a seed (SplitMix64, Steele et al. 2014).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// What must be so, and what may be so since it was on its way.
#[derive(Clone, Default)]
struct Expected {
    /// Records by number, and whether their body was taken back.
    records: BTreeMap<u64, bool>,
    /// The number up to which time has passed.
    passed: u64,
    lines: u64,
}

struct Story {
    dice: Dice,
    engine: Engine,
    home: tempfile::TempDir,
    disk: FaultyDisk,
    expected: Expected,
    next: u64,
    /// Copies of the index's folder.
    copies: u32,
}

fn large(number: u64) -> RecordEntry {
    let body = format!("{} {}", text(number), "x".repeat(300));
    RecordEntry {
        body: Some(body.into_bytes()),
        ..record("acme-water", number)
    }
}

impl Story {
    fn new(engine: Engine, seed: u64) -> Self {
        Self {
            dice: Dice(seed),
            engine,
            home: tempfile::tempdir().unwrap(),
            disk: FaultyDisk::default(),
            expected: Expected::default(),
            next: 0,
            copies: 0,
        }
    }

    fn open(&self) -> Result<(Store, Opening), StoreError> {
        Store::open_on(
            Arc::new(self.disk.clone()),
            self.home.path(),
            &master(),
            &StoreSettings {
                engine: self.engine,
                segment_size: 3 << 10,
            },
            &mut Sample::default(),
        )
    }

    /// One life: some work, a power cut in it or after it, and what is left.
    fn live(&mut self) {
        let fuse = self.dice.below(60) as u64;
        self.disk.fail_after(fuse);
        let mut pending = self.expected.clone();
        if let Ok((mut store, _)) = self.open() {
            for _ in 0..self.dice.below(25) {
                pending = self.expected.clone();
                if !self.work(&mut store, &mut pending) {
                    break;
                }
                self.expected = pending.clone();
            }
        }
        let dice = &mut self.dice;
        self.disk = self.disk.cut(|bound| dice.below(bound));
        self.spoil_index();
        self.holds(&pending);
    }

    /// Does one piece of work; whether it was acknowledged.
    fn work(&mut self, store: &mut Store, expected: &mut Expected) -> bool {
        match self.dice.below(10) {
            0 => self.tend(store, expected),
            1 => self.take_back(store, expected),
            2 => {
                self.copy_index();
                store.checkpoint().is_ok()
            }
            _ => {
                let mut batch = Vec::new();
                for _ in 0..=self.dice.below(4) {
                    batch.push(with_facts(large(self.next)));
                    batch.push(audit("kept"));
                    batch.push(paper(Drawer::Rulings, &self.next.to_be_bytes(), b"ruled"));
                    batch.push(paper(Drawer::Originals, b"newest", &self.next.to_be_bytes()));
                    expected.records.insert(self.next, false);
                    expected.lines += 1;
                    self.next += 1;
                }
                store.commit(batch).is_ok()
            }
        }
    }

    fn take_back(&mut self, store: &mut Store, expected: &mut Expected) -> bool {
        let number = self.dice.below(self.next as usize + 1) as u64;
        let at = Timestamp::from_millis(1);
        match store.erasure(&id(number), at, Origin::Own, &mut Sample::default()) {
            Ok(Some(entry)) => {
                expected.records.insert(number, true);
                expected.lines += 1;
                store.commit(vec![entry, audit("take-back")]).is_ok()
            }
            Ok(None) => true,
            Err(_) => false,
        }
    }

    fn tend(&mut self, store: &mut Store, expected: &mut Expected) -> bool {
        expected.passed = expected.passed.max(self.next / 2);
        let mut rules = Rules {
            community: COMMUNITY,
            now: Timestamp::from_millis(1_000 + expected.passed),
            clock: Timestamp::from_millis(1_000 + expected.passed),
            horizon: Duration::ZERO,
            keep: None,
            erase_within: Duration::ZERO,
            expire: true,
        };
        // What has passed may have left from now on, however far this gets.
        self.expected.passed = expected.passed;
        for _ in 0..self.dice.below(30) {
            match store.tend(&rules, &mut Sample::default()) {
                Ok(tended) if tended.more => rules.expire = false,
                Ok(_) => return true,
                Err(_) => return false,
            }
        }
        true
    }

    fn copy_index(&mut self) {
        if let Some(folder) = self.folder() {
            self.copies += 1;
            copy(&folder, &self.home.path().join(format!("copy-{}", self.copies)));
        }
    }

    fn folder(&self) -> Option<PathBuf> {
        self.engine.folder(&self.home.path().join("index"))
    }

    /// What a drive may leave of an engine's files.
    fn spoil_index(&mut self) {
        let Some(folder) = self.folder().filter(|folder| folder.exists()) else {
            return;
        };
        match self.dice.below(5) {
            0 if self.copies > 0 => {
                let past = 1 + self.dice.below(self.copies as usize);
                fs::remove_dir_all(&folder).unwrap();
                copy(&self.home.path().join(format!("copy-{past}")), &folder);
            }
            1 => fs::remove_dir_all(&folder).unwrap(),
            2 | 3 => {
                let mut files = Vec::new();
                list(&folder, &mut files);
                if files.is_empty() {
                    return;
                }
                let file = &files[self.dice.below(files.len())];
                let mut bytes = fs::read(file).unwrap();
                let from = self.dice.below(bytes.len() + 1);
                if self.dice.below(2) == 0 {
                    bytes.truncate(from);
                } else {
                    bytes[from..].fill(0);
                }
                fs::write(file, bytes).unwrap();
            }
            _ => {}
        }
    }

    /// Opens what is left, and holds it against what was acknowledged.
    fn holds(&mut self, pending: &Expected) {
        let (mut store, opening) = self.open().unwrap();
        assert_eq!((&opening.corrupt, &opening.missing), (&vec![], &vec![]));
        let reader = store.reader();
        let lines = reader.audit_head().unwrap().lines;
        assert!(
            lines == self.expected.lines || lines == pending.lines,
            "{lines} lines, {} acknowledged, {} on their way",
            self.expected.lines,
            pending.lines
        );
        // Whatever was on its way is there whole or not at all.
        if lines == pending.lines {
            self.expected = pending.clone();
        }
        let mut previous = [0; 32];
        for line in reader.audit(1, usize::MAX).unwrap() {
            assert_eq!(line.previous, previous);
            previous = line.hash();
        }
        let newest = self.expected.records.keys().next_back();
        let newest = newest.map(|number| number.to_be_bytes().to_vec());
        assert_eq!(reader.paper(Drawer::Originals, b"newest").unwrap(), newest);
        for number in 0..self.next {
            let ruled = reader.paper(Drawer::Rulings, &number.to_be_bytes()).unwrap();
            assert_eq!(ruled.is_some(), self.expected.records.contains_key(&number));
            let held = reader.record(&id(number)).unwrap();
            let found = reader
                .by_observable(
                    format!("evil{number}.example").as_bytes(),
                    hanse_protocol::tlp::Tlp::Red,
                    9,
                )
                .unwrap();
            match self.expected.records.get(&number) {
                None => assert!(
                    held.is_none() && found.is_empty(),
                    "{number} was never acknowledged"
                ),
                Some(taken_back) if number >= self.expected.passed => {
                    let held = held.unwrap_or_else(|| panic!("{number} was acknowledged"));
                    let body = (!taken_back).then(|| large(number).body.unwrap());
                    assert_eq!(held.body, body, "{number}");
                    assert_eq!(found.len(), usize::from(!taken_back), "{number}");
                }
                Some(taken_back) => {
                    let body = held.and_then(|held| held.body);
                    assert!(
                        body.is_none() || (!taken_back && body == large(number).body),
                        "{number}"
                    );
                    assert!(!taken_back || found.is_empty(), "{number}");
                }
            }
        }
        // A number that was never acknowledged is free.
        self.next = self
            .expected
            .records
            .keys()
            .next_back()
            .map_or(0, |last| last + 1);
        store.checkpoint().unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let path = item.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else if fs::copy(&path, &target).is_err() {
            // The engine removed it meanwhile.
        }
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for item in fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            list(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn tell(engine: Engine, stories: u64, cuts: u64) {
    let times = std::env::var("HANSE_CUTS")
        .ok()
        .and_then(|text| text.parse().ok());
    for seed in 0..stories * times.unwrap_or(1) {
        let mut story = Story::new(engine, seed);
        let told = std::panic::AssertUnwindSafe(|| (0..cuts).for_each(|_| story.live()));
        if let Err(failed) = std::panic::catch_unwind(told) {
            eprintln!("{engine:?}: the story of seed {seed} does not hold");
            std::panic::resume_unwind(failed);
        }
    }
}

#[test]
fn power_cuts_lose_nothing_acknowledged_and_keep_nothing_half_in_memory() {
    tell(Engine::Memory, 40, 6);
}

#[test]
fn power_cuts_lose_nothing_acknowledged_and_keep_nothing_half_with_fjall() {
    tell(Engine::Fjall, 5, 4);
}

#[test]
fn power_cuts_lose_nothing_acknowledged_and_keep_nothing_half_with_sled() {
    tell(Engine::Sled, 6, 4);
}
