//! How fast the store takes and gives: durable ingest beside bare fjall with the same keys in the
//! same run, then reading meanwhile, opening and reindexing. Records are 808 bytes with five index
//! keys.

use std::path::Path;
use std::time::{Duration, Instant};

use hanse_node::keystore::MasterKey;
use hanse_node::store::entry::{AuditEntry, BodyState, Entry, Origin, Position, RecordEntry};
use hanse_node::store::facts::{Derive, ObjectFacts, RecordFacts};
use hanse_node::store::index::Engine;
use hanse_node::store::{Reader, Store, StoreSettings};
use hanse_protocol::identity::{CommunityId, Handle, RecordId};
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;
use zeroize::Zeroizing;

use crate::measure::{Failure, Pick, Scale, name, percentile};
use crate::table::{Figure, Table};

const GROUP: &str = "store";
const COMMUNITY: CommunityId = CommunityId([1; 32]);
const HEADER: usize = 330;
const BODY: usize = 478;

pub(super) fn run(scale: &Scale, table: &mut Table) -> Result<(), Failure> {
    for batch in [1, 10, 100, 1_000] {
        let mut bare = Vec::new();
        for _ in 0..scale.runs {
            bare.push(bare_fjall(batch, scale.span)?);
        }
        for engine in &scale.engines {
            for audited in [false, true] {
                let mut ours = Vec::new();
                for _ in 0..scale.runs {
                    ours.push(ingest(*engine, batch, scale.span, audited)?);
                }
                let audited = if audited { " with audit lines" } else { "" };
                let what = format!("commits of {batch}{audited}, {}", name(*engine));
                table.add(Figure::new(GROUP, what, "records/s", ours).beside("bare fjall", bare.clone()));
            }
        }
    }
    for engine in &scale.engines {
        reading(*engine, scale, table)?;
    }
    Ok(())
}

fn master() -> MasterKey {
    MasterKey::from_bytes(Zeroizing::new([3; 32]))
}

/// Reads the number of a made-up record from its header.
struct Numbers(Handle);

impl Derive for Numbers {
    fn facts(&mut self, entry: &Entry, _: Option<&RecordEntry>) -> Option<RecordFacts> {
        match entry {
            Entry::Record(record) => {
                let number = record.header.first_chunk()?;
                Some(facts(&self.0, u64::from_be_bytes(*number)))
            }
            _ => None,
        }
    }
}

fn author() -> Result<Handle, Failure> {
    Ok("acme-water".parse()?)
}

fn facts(author: &Handle, number: u64) -> RecordFacts {
    let created = Timestamp::from_millis(1_700_000_000_000 + number);
    RecordFacts {
        retracts: Vec::new(),
        author: author.clone(),
        lane: 1,
        epoch: 1,
        seq: number,
        created,
        expires: created,
        objects: vec![ObjectFacts {
            tlp: Tlp::Green,
            object_id: format!("indicator--{number}"),
            version: created,
            redacted: 0,
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

type Logged = (Entry, Option<RecordFacts>);

fn record(author: &Handle, number: u64) -> Logged {
    let mut header = number.to_be_bytes().to_vec();
    header.resize(HEADER, 7);
    let record = RecordEntry {
        community: COMMUNITY,
        id: id(number),
        header,
        body: Some(vec![9; BODY]),
        arrived: Timestamp::from_millis(number),
        origin: Origin::Gossip,
        state: BodyState::Readable,
    };
    (Entry::Record(record), Some(facts(author, number)))
}

fn audit(number: u64) -> Logged {
    let (at, subject) = (Timestamp::from_millis(number), id(number).to_string());
    let line = AuditEntry::new(at, "exchange", "kept", subject, Some([4; 32]));
    (Entry::Audit(line), None)
}

fn settings(engine: Engine) -> StoreSettings {
    StoreSettings {
        engine,
        ..StoreSettings::default()
    }
}

fn open(engine: Engine, folder: &Path) -> Result<Store, Failure> {
    let mut numbers = Numbers(author()?);
    Ok(Store::open(folder, &master(), &settings(engine), &mut numbers)?.0)
}

fn ingest(engine: Engine, batch: u64, span: Duration, audited: bool) -> Result<f64, Failure> {
    let home = tempfile::tempdir()?;
    let author = author()?;
    let mut store = open(engine, home.path())?;
    let (start, mut number) = (Instant::now(), 0);
    while start.elapsed() < span {
        let mut entries: Vec<Logged> = (number..number + batch).map(|n| record(&author, n)).collect();
        if audited {
            entries.extend((number..number + batch).map(audit));
        }
        store.commit(entries)?;
        number += batch;
    }
    Ok(number as f64 / start.elapsed().as_secs_f64())
}

/// The same five keys and the record itself, each batch synced: what fjall alone would do.
fn bare_fjall(batch: u64, span: Duration) -> Result<f64, Failure> {
    let home = tempfile::tempdir()?;
    let database = fjall::Database::builder(home.path())
        .max_journaling_size(64 << 20)
        .open()?;
    let keyspace = |name: &str, memtable| {
        let options = || fjall::KeyspaceCreateOptions::default().max_memtable_size(memtable);
        database.keyspace(name, options)
    };
    let (ids, times) = (keyspace("id", 4 << 20)?, keyspace("time", 4 << 20)?);
    let (objects, observables) = (keyspace("object", 4 << 20)?, keyspace("observable", 4 << 20)?);
    let (chains, records) = (keyspace("chain", 4 << 20)?, keyspace("records", 64 << 20)?);
    let (start, mut number) = (Instant::now(), 0);
    while start.elapsed() < span {
        let mut write = database.batch().durability(Some(fjall::PersistMode::SyncData));
        for n in number..number + batch {
            let id = *id(n).as_bytes();
            let (front, back) = id.split_at(16);
            let n = n.to_be_bytes();
            write.insert(&records, n, vec![9; HEADER + BODY]);
            write.insert(&ids, id, [0; 25]);
            write.insert(&times, [&n[..], &n, &id].concat(), n);
            write.insert(&objects, [front, &n, &n, &[0; 2]].concat(), [0; 16]);
            write.insert(&observables, [back, &n, &[0; 2]].concat(), []);
            write.insert(&chains, [&[5; 16][..], &[0; 6], &n, &id].concat(), n);
        }
        write.commit()?;
        number += batch;
    }
    Ok(number as f64 / start.elapsed().as_secs_f64())
}

/// One reader looks observables up while records come in; then the store is read through, opened
/// again and made anew.
fn reading(engine: Engine, scale: &Scale, table: &mut Table) -> Result<(), Failure> {
    let home = tempfile::tempdir()?;
    let author = author()?;
    let mut store = open(engine, home.path())?;
    let reader = store.reader();
    let (start, mut number) = (Instant::now(), 0);
    // Long enough that memtables and journals of the engine turn over.
    let span = scale.span * 5;
    let waits = std::thread::scope(|scope| {
        let handle = scope.spawn(|| lookups(&reader, span));
        while !handle.is_finished() {
            store.commit((number..number + 100).map(|n| record(&author, n)).collect())?;
            number += 100;
        }
        handle.join().map_err(|_| Failure::from("the reader panicked"))?
    })?;
    let ingested = number as f64 / start.elapsed().as_secs_f64();
    let engine_name = name(engine);
    let mut add = |what: &str, unit, figure| {
        table.add(Figure::new(
            GROUP,
            format!("{what}, {engine_name}"),
            unit,
            vec![figure],
        ));
    };
    add("commits of 100 beside a reader", "records/s", ingested);
    add("lookup meanwhile, p50", "us", percentile(&waits, 0.5));
    add("lookup meanwhile, p99", "us", percentile(&waits, 0.99));
    add("a cursor reading it all", "entries/s", cursor(&reader)?);
    let stats = reader.stats()?;
    let logical = (HEADER + BODY) as f64 * stats.records as f64;
    add("log on disk / logical", "x", stats.log_bytes as f64 / logical);
    add("index on disk / logical", "x", stats.index_bytes as f64 / logical);
    drop((reader, store));
    let start = Instant::now();
    drop(open(engine, home.path())?);
    add(
        "opening again, not closed",
        "ms",
        start.elapsed().as_secs_f64() * 1e3,
    );
    let start = Instant::now();
    let mut numbers = Numbers(author);
    let (store, opening) = Store::reindex(
        home.path(),
        &master(),
        &settings(engine),
        &mut numbers,
        &mut |_| {},
    )?;
    add(
        "reindex",
        "records/s",
        opening.replayed as f64 / start.elapsed().as_secs_f64(),
    );
    match store.reader().stats()?.records == number {
        true => Ok(()),
        false => Err("the reindexed store lacks records".into()),
    }
}

/// Looks observables up and reads the record found, for `span`; gives how long each took, in
/// microseconds.
fn lookups(reader: &Reader, span: Duration) -> Result<Vec<f64>, Failure> {
    let (start, mut waits, mut pick) = (Instant::now(), Vec::new(), Pick(1));
    while start.elapsed() < span || waits.is_empty() {
        let wanted = observable(pick.below(reader.newest().0));
        let begun = Instant::now();
        for (position, _) in reader.by_observable(&wanted, Tlp::Red, 10)? {
            std::hint::black_box(reader.entry(position)?);
        }
        waits.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    Ok(waits)
}

fn cursor(reader: &Reader) -> Result<f64, Failure> {
    let (start, mut at, mut count) = (Instant::now(), Position(1), 0);
    loop {
        let step = reader.entries_from(at, 1_000, 1 << 20)?;
        let Some((last, _)) = step.last() else { break };
        at = last.next();
        count += step.len();
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}
