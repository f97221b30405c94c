//! SIGKILL at any moment: a child commits in a loop and says what was acknowledged, is killed, and
//! the store is opened again. Nothing acknowledged is missing, no commit is there in part, the sums of
//! what is held are those of the timeline, and it opens every time.
//!
//! 25 rounds an engine by default, under 10 s. `HANSE_KILLS=150` sets another number of rounds; they
//! get slower as the store grows, so that those take some four minutes unoptimised. The child is this
//! very test binary, told by `HANSE_KILLED_STORE` what to open.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::sums::sums_are_those_of_the_timeline;
use super::*;
use crate::store::Rebuilt;

const ROUNDS: &str = "HANSE_KILLS";
const FOLDER: &str = "HANSE_KILLED_STORE";
const ENGINE: &str = "HANSE_KILLED_ENGINE";

/// The kind of the note that begins every commit and tells its number of entries.
const COMMIT: &str = "commit";

fn kill_settings(engine: Engine) -> StoreSettings {
    StoreSettings {
        engine,
        segment_size: 256 << 10,
    }
}

fn reopen(folder: &Path, engine: Engine) -> (Store, Opening) {
    Store::open(folder, &master(), &kill_settings(engine), &mut Sample::default()).unwrap()
}

/// A number below `bound` that `parts` decide.
fn drawn(parts: &[u64], bound: u64) -> u64 {
    let bytes: Vec<u8> = parts.iter().flat_map(|part| part.to_be_bytes()).collect();
    let hash = blake3::hash(&bytes);
    u64::from_be_bytes(hash.as_bytes()[..8].try_into().unwrap()) % bound
}

/// The commit that starts at a position: a note with its size, records named by their position,
/// some bodies that follow their header, an audit line.
fn commit_at(first: u64) -> Vec<(Entry, Option<RecordFacts>)> {
    // Once in a while as many records as the exchange commits at most.
    let records = match drawn(&[first], 40) {
        0 => 600,
        n => 1 + n % 12,
    };
    let mut entries = Vec::new();
    for n in 0..records {
        let number = first + 1 + n;
        if number.is_multiple_of(5) {
            let header = header_only("city-of-bremen", number);
            entries.push(with_facts(header.clone()));
            entries.push(body_with_facts(body_of(number), &header));
        } else {
            entries.push(with_facts(record("acme-water", number)));
        }
    }
    // One for good, one that the next takes the place of.
    entries.push(paper(Drawer::Rulings, &first.to_be_bytes(), b"ruled"));
    entries.push(paper(Drawer::Policies, b"newest", &first.to_be_bytes()));
    entries.push(audit("committed"));
    let count = entries.len() as u64 + 1;
    entries.insert(0, note(COMMIT, &count.to_be_bytes()));
    entries
}

/// Not a test by itself: the child's part.
#[test]
fn child() {
    let (Ok(folder), Ok(engine)) = (std::env::var(FOLDER), std::env::var(ENGINE)) else {
        return;
    };
    let engine = if engine == "sled" {
        Engine::Sled
    } else {
        Engine::Fjall
    };
    let (mut store, _) = reopen(Path::new(&folder), engine);
    let mut next = store.reader().newest().0 + 1;
    let mut told = std::io::stdout();
    loop {
        let positions = store.commit(commit_at(next)).unwrap();
        next = positions.last().unwrap().0 + 1;
        writeln!(told, "acknowledged {}", next - 1).unwrap();
        told.flush().unwrap();
        if drawn(&[next, 1], 5) == 0 {
            store.checkpoint().unwrap();
        }
    }
}

/// Runs the child until a moment that the round decides, and gives the last position it
/// acknowledged, if it came to any.
fn killed_child(folder: &Path, engine: Engine, round: u64) -> Option<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::kills::child", "--nocapture"])
        .env(FOLDER, folder)
        .env(ENGINE, if engine == Engine::Sled { "sled" } else { "fjall" })
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut heard = String::new();
    // Every fifth dies while it opens, the others some commits later.
    let wanted = if round % 5 == 4 {
        0
    } else {
        1 + drawn(&[round, 2], 30)
    };
    while (heard.matches("acknowledged").count() as u64) < wanted {
        assert_ne!(
            lines.read_line(&mut heard).unwrap(),
            0,
            "the child ended: {heard}"
        );
    }
    let microseconds = drawn(&[round, 3], if wanted == 0 { 60_000 } else { 6_000 });
    std::thread::sleep(Duration::from_micros(microseconds));
    child.kill().unwrap();
    child.wait().unwrap();
    lines.read_to_string(&mut heard).unwrap();
    let whole = &heard[..heard.rfind('\n').map_or(0, |end| end + 1)];
    let mut acknowledged = whole.lines().filter_map(|line| line.split_once("acknowledged "));
    acknowledged
        .next_back()
        .map(|(_, position)| position.parse().unwrap())
}

/// Holds what the log has from `from` on against what was committed; gives the next position.
fn hold_against_the_commits(store: &Store, from: u64, round: u64) -> u64 {
    let reader = store.reader();
    let newest = reader.newest().0;
    let entries = reader
        .entries_from(Position(from), usize::MAX, usize::MAX)
        .unwrap();
    let mut entries = entries.into_iter();
    let mut next = from;
    while next <= newest {
        for (expected, _) in commit_at(next) {
            let (position, entry) = entries.next().expect("no commit is there in part");
            assert_eq!(position.0, next, "round {round}");
            match (&entry, &expected) {
                (Entry::Audit(entry), Entry::Audit(expected)) => assert_eq!(entry.action, expected.action),
                _ => assert_eq!(entry, expected, "round {round}"),
            }
            if let Entry::Paper(paper) = &entry {
                let kept = reader.paper(paper.drawer, &paper.key).unwrap().unwrap();
                let is_newest = paper.drawer == Drawer::Rulings || kept == paper.bytes;
                assert!(is_newest || kept > paper.bytes, "round {round}");
            }
            if let Entry::Record(record) = &entry {
                let state = reader.holds(&record.id).unwrap();
                assert_eq!(state, Some(BodyState::Readable), "round {round}");
                let tail = reader.by_object(&format!("indicator--{}", number(record)), Tlp::Red, 2);
                assert_eq!(tail.unwrap().len(), 1, "round {round}");
            }
            next += 1;
        }
    }
    assert_eq!(entries.next(), None);
    next
}

fn number(record: &RecordEntry) -> u64 {
    u64::from_be_bytes(record.id.as_bytes()[..8].try_into().unwrap())
}

fn survives(engine: Engine) {
    let rounds = std::env::var(ROUNDS).map_or(25, |rounds| rounds.parse().unwrap());
    let home = tempfile::tempdir().unwrap();
    let (mut checked, mut made_anew) = (1, 0);
    for round in 0..rounds {
        let acknowledged = killed_child(home.path(), engine, round).unwrap_or(checked - 1);
        let (store, opening) = reopen(home.path(), engine);
        assert_eq!(
            (&opening.corrupt, opening.underived, opening.orphans),
            (&vec![], 0, 0)
        );
        assert!(
            store.reader().newest().0 >= acknowledged,
            "round {round}: {opening:?}"
        );
        // An index killed while it was made need not open; the log is all that counts then.
        made_anew += u64::from(opening.rebuilt.is_some_and(|why| why != Rebuilt::Absent));
        checked = hold_against_the_commits(&store, checked, round);
        sums_are_those_of_the_timeline(&store);
        // Every third time closed cleanly, else left as a second kill would leave it.
        if round % 3 == 0 {
            store.close().unwrap();
        }
    }
    let (store, _) = reopen(home.path(), engine);
    assert_eq!(hold_against_the_commits(&store, 1, rounds), checked);
    println!(
        "{engine:?}: {rounds} kills, {} entries, index made anew {made_anew} times",
        checked - 1
    );
}

#[test]
fn with_fjall_kills_lose_nothing_acknowledged() {
    survives(Engine::Fjall);
}

#[test]
fn with_sled_kills_lose_nothing_acknowledged() {
    survives(Engine::Sled);
}
