//! How fast the store takes and gives: durable ingest beside bare fjall with the same keys in the
//! same run, then reading, opening and reindexing. Records are 808 bytes with five index keys.
//!
//! `cargo bench -p hanse-node --bench store [-- SECONDS]`; seconds for each ingest, 5 by default.
//! `TMPDIR` chooses the disk.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench stops at the first surprise"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use hanse_node::keystore::MasterKey;
use hanse_node::store::entry::{AuditEntry, BodyState, Entry, Origin, Position, RecordEntry};
use hanse_node::store::facts::{Derive, ObjectFacts, RecordFacts};
use hanse_node::store::{Reader, Store, StoreSettings};
use hanse_protocol::identity::{CommunityId, RecordId};
use hanse_protocol::timestamp::Timestamp;
use zeroize::Zeroizing;

const COMMUNITY: CommunityId = CommunityId([1; 32]);
const HEADER: usize = 330;
const BODY: usize = 478;

fn main() {
    let seconds = std::env::args()
        .skip(1)
        .find_map(|word| word.parse().ok())
        .unwrap_or(5);
    let span = Duration::from_secs(seconds);
    println!("durable ingest of 808-byte records with 5 keys, records/s ({seconds} s each)\n");
    println!(
        "{:>8} {:>12} {:>12} {:>16}",
        "batch", "store", "+ audit", "bare fjall"
    );
    for batch in [1, 10, 100, 1_000] {
        let store = ingest(batch, span, false);
        let audited = ingest(batch, span, true);
        let bare = bare_fjall(batch, span);
        println!("{batch:>8} {store:>12.0} {audited:>12.0} {bare:>16.0}");
    }
    println!();
    reading(span);
}

fn master() -> MasterKey {
    MasterKey::from_bytes(Zeroizing::new([3; 32]))
}

/// Reads the number of a made-up record from its header.
struct Numbers;

impl Derive for Numbers {
    fn facts(&mut self, entry: &Entry, _: Option<&RecordEntry>) -> Option<RecordFacts> {
        match entry {
            Entry::Record(record) => Some(facts(u64::from_be_bytes(record.header[..8].try_into().unwrap()))),
            _ => None,
        }
    }
}

fn facts(number: u64) -> RecordFacts {
    let created = Timestamp::from_millis(1_700_000_000_000 + number);
    RecordFacts {
        author: "acme-water".parse().unwrap(),
        lane: 1,
        epoch: 1,
        seq: number,
        created,
        expires: created,
        objects: vec![ObjectFacts {
            tlp: hanse_protocol::tlp::Tlp::Green,
            object_id: format!("indicator--{number}"),
            version: created,
            observables: vec![observable(number)],
        }],
    }
}

fn observable(number: u64) -> Vec<u8> {
    format!("ipv4-addr:{}", number % 1_000_000).into_bytes()
}

fn id(number: u64) -> RecordId {
    RecordId(*blake3::hash(&number.to_be_bytes()).as_bytes())
}

fn record(number: u64) -> (Entry, Option<RecordFacts>) {
    let mut header = vec![7; HEADER];
    header[..8].copy_from_slice(&number.to_be_bytes());
    let record = RecordEntry {
        community: COMMUNITY,
        id: id(number),
        header,
        body: Some(vec![9; BODY]),
        arrived: Timestamp::from_millis(number),
        origin: Origin::Gossip,
        state: BodyState::Readable,
    };
    (Entry::Record(record), Some(facts(number)))
}

fn audit(number: u64) -> (Entry, Option<RecordFacts>) {
    let subject = id(number).to_string();
    let line = AuditEntry::new(
        Timestamp::from_millis(number),
        "exchange",
        "kept",
        subject,
        Some([4; 32]),
    );
    (Entry::Audit(line), None)
}

fn open(folder: &Path) -> Store {
    Store::open(folder, &master(), &StoreSettings::default(), &mut Numbers)
        .unwrap()
        .0
}

fn ingest(batch: u64, span: Duration, audited: bool) -> f64 {
    let home = tempfile::tempdir().unwrap();
    let mut store = open(home.path());
    let (start, mut number) = (Instant::now(), 0);
    while start.elapsed() < span {
        let mut entries: Vec<_> = (number..number + batch).map(record).collect();
        if audited {
            entries.extend((number..number + batch).map(audit));
        }
        store.commit(entries).unwrap();
        number += batch;
    }
    number as f64 / start.elapsed().as_secs_f64()
}

/// The same five keys and the record itself, each batch synced: what fjall alone would do.
fn bare_fjall(batch: u64, span: Duration) -> f64 {
    let home = tempfile::tempdir().unwrap();
    let database = fjall::Database::builder(home.path())
        .max_journaling_size(64 << 20)
        .open()
        .unwrap();
    let keyspace = |name: &str, memtable| {
        let options = || fjall::KeyspaceCreateOptions::default().max_memtable_size(memtable);
        database.keyspace(name, options).unwrap()
    };
    let keys = ["id", "time", "object", "observable", "chain"].map(|name| keyspace(name, 4 << 20));
    let records = keyspace("records", 64 << 20);
    let (start, mut number) = (Instant::now(), 0);
    while start.elapsed() < span {
        let mut write = database.batch().durability(Some(fjall::PersistMode::SyncData));
        for n in number..number + batch {
            let id = *id(n).as_bytes();
            let n = n.to_be_bytes();
            write.insert(&records, n, vec![9; HEADER + BODY]);
            write.insert(&keys[0], id, [0; 25]);
            write.insert(&keys[1], [&n[..], &n, &id].concat(), n);
            write.insert(&keys[2], [&id[..16], &n, &n, &[0; 2]].concat(), [0; 16]);
            write.insert(&keys[3], [&id[16..], &n, &[0; 2]].concat(), []);
            write.insert(&keys[4], [&[5; 16][..], &[0; 6], &n, &id].concat(), n);
        }
        write.commit().unwrap();
        number += batch;
    }
    number as f64 / start.elapsed().as_secs_f64()
}

fn reading(span: Duration) {
    let home = tempfile::tempdir().unwrap();
    let mut store = open(home.path());
    let (start, mut number) = (Instant::now(), 0);
    let reader = store.reader();
    let ingesting = start.elapsed();
    let mut waits = Vec::new();
    std::thread::scope(|scope| {
        let handle = scope.spawn(|| lookups(&reader, span));
        while !handle.is_finished() {
            store
                .commit((number..number + 100).map(record).collect())
                .unwrap();
            number += 100;
        }
        waits = handle.join().unwrap();
    });
    let took = (start.elapsed() - ingesting).as_secs_f64();
    waits.sort_unstable();
    let at = |share: usize| waits[(waits.len() - 1) * share / 1_000];
    println!(
        "one reader by observable during ingest of {:.0} records/s:",
        number as f64 / took
    );
    println!(
        "  {} lookups, p50 {:?}, p99 {:?}, p99.9 {:?}",
        waits.len(),
        at(500),
        at(990),
        at(999)
    );
    println!(
        "cursor over {} records: {:.0} records/s",
        reader.newest(),
        cursor(&reader)
    );
    let stats = reader.stats().unwrap();
    let logical = (HEADER + BODY) as f64 * stats.records as f64;
    println!(
        "on disk: log {:.2}, index {:.2} of logical bytes; {} segments; {} MB resident",
        stats.log_bytes as f64 / logical,
        stats.index_bytes as f64 / logical,
        stats.segments,
        resident() >> 20,
    );
    drop(reader);
    drop(store);
    let start = Instant::now();
    drop(open(home.path()));
    println!("opening again: {:?}", start.elapsed());
    let start = Instant::now();
    let settings = StoreSettings::default();
    let (store, opening) =
        Store::reindex(home.path(), &master(), &settings, &mut Numbers, &mut |_| {}).unwrap();
    let rate = opening.replayed as f64 / start.elapsed().as_secs_f64();
    println!("reindex: {rate:.0} records/s, {} MB resident", resident() >> 20);
    assert_eq!(store.reader().stats().unwrap().records, number);
}

/// Looks observables up and reads the record found, for `span`; gives how long each took.
fn lookups(reader: &Reader, span: Duration) -> Vec<Duration> {
    let (start, mut waits, mut pick) = (Instant::now(), Vec::new(), 1u64);
    while start.elapsed() < span {
        let newest = reader.newest().0.max(1);
        pick = pick
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let wanted = observable((pick >> 33) % newest);
        let begun = Instant::now();
        for (position, _) in reader
            .by_observable(&wanted, hanse_protocol::tlp::Tlp::Red, 10)
            .unwrap()
        {
            std::hint::black_box(reader.entry(position).unwrap());
        }
        waits.push(begun.elapsed());
    }
    waits
}

fn cursor(reader: &Reader) -> f64 {
    let (start, mut at, mut count) = (Instant::now(), Position(1), 0);
    loop {
        let step = reader.entries_from(at, 1_000, 1 << 20).unwrap();
        let Some((last, _)) = step.last() else { break };
        at = last.next();
        count += step.len();
    }
    count as f64 / start.elapsed().as_secs_f64()
}

/// Bytes of memory held by this process.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok())
        .unwrap_or(0)
        * 4_096
}
