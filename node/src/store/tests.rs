//! Stories about the store: what it answers, what it survives, what it refuses.

use std::path::Path;

use hanse_protocol::identity::{CommunityId, Handle, RecordId};
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;
use zeroize::Zeroizing;

use super::entry::{
    AuditEntry, BodyEntry, BodyState, Drawer, Entry, NoteEntry, Origin, PaperEntry, Position, RecordEntry,
};
use super::facts::{Derive, ObjectFacts, RecordFacts};
use super::index::Engine;
use super::{Opening, Store, StoreSettings};
use crate::keystore::MasterKey;

mod answers;
mod beyond;
mod cuts;
mod disk;
mod faults;
mod kills;
mod papers;
mod recovery;
mod retention;
mod sums;
mod withdrawn;

const COMMUNITY: CommunityId = CommunityId([9; 32]);

fn master() -> MasterKey {
    MasterKey::from_bytes(Zeroizing::new([5; 32]))
}

fn settings(engine: Engine) -> StoreSettings {
    StoreSettings {
        engine,
        segment_size: 8 << 10,
    }
}

fn open(folder: &Path, engine: Engine) -> (Store, Opening) {
    Store::open(folder, &master(), &settings(engine), &mut Sample::default()).unwrap()
}

/// Reads the made-up records of these tests, as the exchange reads real ones: a header is the
/// words `author lane epoch seq created` and perhaps `from..to` of what it takes back, a body a line an object, `id version observable…`.
/// Headers are only believed after a charter was seen if `wants_charter` is set.
#[derive(Default)]
struct Sample {
    wants_charter: bool,
    charters: usize,
}

impl Derive for Sample {
    fn facts(&mut self, entry: &Entry, header: Option<&RecordEntry>) -> Option<RecordFacts> {
        let (header, body, state) = match entry {
            Entry::Record(record) => (&record.header, record.body.as_deref(), record.state),
            Entry::Body(body) => (&header?.header, Some(body.body.as_slice()), body.state),
            Entry::Charter(_) => {
                self.charters += 1;
                return None;
            }
            _ => return None,
        };
        if self.wants_charter && self.charters == 0 {
            return None;
        }
        let text = String::from_utf8(header.clone()).ok()?;
        let words: Vec<&str> = text.split(' ').collect();
        let created = Timestamp::from_millis(words[4].parse().ok()?);
        let objects = match body {
            Some(body) if state == BodyState::Readable => objects(std::str::from_utf8(body).ok()?),
            _ => Vec::new(),
        };
        Some(RecordFacts {
            retracts: words.get(5).map_or(Vec::new(), |word| retracts(word)),
            author: words[0].parse().ok()?,
            lane: words[1].parse().ok()?,
            epoch: words[2].parse().ok()?,
            seq: words[3].parse().ok()?,
            created,
            expires: created,
            objects,
        })
    }
}

fn retracts(word: &str) -> Vec<RecordId> {
    let (from, to) = word.split_once("..").unwrap();
    let numbers = from.parse::<u64>().unwrap()..to.parse().unwrap();
    numbers.map(id).collect()
}

fn objects(body: &str) -> Vec<ObjectFacts> {
    let object = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        ObjectFacts {
            object_id: words[0].to_owned(),
            version: Timestamp::from_millis(words[1].parse().unwrap()),
            tlp: if words[0].starts_with("secret") {
                Tlp::Red
            } else {
                Tlp::Green
            },
            observables: words[2..].iter().map(|word| word.as_bytes().to_vec()).collect(),
        }
    };
    body.lines().map(object).collect()
}

fn id(number: u64) -> RecordId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    RecordId(id)
}

fn header(author: &str, number: u64) -> Vec<u8> {
    format!("{author} 1 1 {number} {}", 1_000 + number).into_bytes()
}

fn text(number: u64) -> String {
    format!(
        "indicator--{number} {} 203.0.113.{}\nmalware--shared {number} evil{number}.example",
        500 + number,
        number % 250
    )
}

fn record(author: &str, number: u64) -> RecordEntry {
    RecordEntry {
        community: COMMUNITY,
        id: id(number),
        header: header(author, number),
        body: Some(text(number).into_bytes()),
        arrived: Timestamp::from_millis(5_000),
        origin: Origin::Gossip,
        state: BodyState::Readable,
    }
}

fn header_only(author: &str, number: u64) -> RecordEntry {
    RecordEntry {
        body: None,
        state: BodyState::Awaited,
        ..record(author, number)
    }
}

fn body_of(number: u64) -> BodyEntry {
    BodyEntry {
        community: COMMUNITY,
        id: id(number),
        body: text(number).into_bytes(),
        arrived: Timestamp::from_millis(6_000),
        origin: Origin::Heal,
        state: BodyState::Readable,
    }
}

/// A record with its facts.
fn with_facts(record: RecordEntry) -> (Entry, Option<RecordFacts>) {
    let entry = Entry::Record(record);
    let facts = Sample::default().facts(&entry, None);
    (entry, facts)
}

/// A body with its facts.
fn body_with_facts(body: BodyEntry, header: &RecordEntry) -> (Entry, Option<RecordFacts>) {
    let entry = Entry::Body(body);
    let facts = Sample::default().facts(&entry, Some(header));
    (entry, facts)
}

fn audit(action: &str) -> (Entry, Option<RecordFacts>) {
    let at = Timestamp::from_millis(7_000);
    (
        Entry::Audit(AuditEntry::new(at, "exchange", action, "-", Some([1; 32]))),
        None,
    )
}

fn note(kind: &str, bytes: &[u8]) -> (Entry, Option<RecordFacts>) {
    (
        Entry::Note(NoteEntry {
            kind: kind.to_owned(),
            bytes: bytes.to_vec(),
        }),
        None,
    )
}

fn paper(drawer: Drawer, key: &[u8], bytes: &[u8]) -> (Entry, Option<RecordFacts>) {
    let at = Timestamp::from_millis(8_000);
    (Entry::Paper(PaperEntry::put(drawer, key, bytes, at)), None)
}

fn handle(text: &str) -> Handle {
    text.parse().unwrap()
}

fn all(store: &Store) -> Vec<(Position, Entry)> {
    store
        .reader()
        .entries_from(Position(1), usize::MAX, usize::MAX)
        .unwrap()
}
