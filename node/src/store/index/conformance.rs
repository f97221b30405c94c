//! What every engine must do, as one suite: random operations against a sorted map, reopening,
//! whole batches only. A new engine joins with one line at the end.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

type Model = BTreeMap<(Keyspace, Vec<u8>), Vec<u8>>;

#[derive(Clone, Debug)]
enum Step {
    Apply(Vec<(Keyspace, Vec<u8>, Option<Vec<u8>>)>),
    Range(Keyspace, Bound<Vec<u8>>, Bound<Vec<u8>>, bool, usize),
    Prefix(Keyspace, Vec<u8>, bool, usize),
    Checkpoint,
    Reopen,
}

fn keyspace() -> impl Strategy<Value = Keyspace> {
    prop::sample::select(vec![Keyspace::Records, Keyspace::Objects, Keyspace::Awaited])
}

fn short_key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0u8, 1, 7, 254, 255]), 1..4)
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![
        Just(Bound::Unbounded),
        short_key().prop_map(Bound::Included),
        short_key().prop_map(Bound::Excluded),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop::option::weighted(0.7, prop::collection::vec(any::<u8>(), 0..40));
    let change = (keyspace(), short_key(), value);
    prop_oneof![
        6 => prop::collection::vec(change, 1..12).prop_map(Step::Apply),
        4 => (keyspace(), bound(), bound(), any::<bool>(), 0usize..20)
            .prop_map(|(k, a, b, back, limit)| Step::Range(k, a, b, back, limit)),
        2 => (keyspace(), short_key(), any::<bool>(), 0usize..20)
            .prop_map(|(k, p, back, limit)| Step::Prefix(k, p, back, limit)),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Reopen),
    ]
}

fn expected(
    model: &Model,
    keyspace: Keyspace,
    wanted: impl Fn(&[u8]) -> bool,
    direction: Direction,
    limit: usize,
) -> Vec<Pair> {
    let pairs = model
        .iter()
        .filter(|((k, key), _)| *k == keyspace && wanted(key))
        .map(|((_, key), value)| (key.clone(), value.clone()));
    match direction {
        Direction::Forward => pairs.take(limit).collect(),
        Direction::Backward => pairs.rev().take(limit).collect(),
    }
}

fn within(key: &[u8], from: &Bound<Vec<u8>>, to: &Bound<Vec<u8>>) -> bool {
    let above = match from {
        Bound::Included(b) => key >= b.as_slice(),
        Bound::Excluded(b) => key > b.as_slice(),
        Bound::Unbounded => true,
    };
    above
        && match to {
            Bound::Included(b) => key <= b.as_slice(),
            Bound::Excluded(b) => key < b.as_slice(),
            Bound::Unbounded => true,
        }
}

fn direction(back: bool) -> Direction {
    if back {
        Direction::Backward
    } else {
        Direction::Forward
    }
}

fn behaves_as_a_sorted_map(engine: Engine, folder: &Path, steps: Vec<Step>) {
    let mut index = engine.open(folder).unwrap();
    let mut model = Model::new();
    let mut applied = 0;
    for step in steps {
        match step {
            Step::Apply(changes) => {
                let mut batch = Batch::default();
                for (keyspace, key, value) in changes {
                    match value {
                        Some(value) => {
                            batch.put(keyspace, key.clone(), value.clone());
                            model.insert((keyspace, key), value);
                        }
                        None => {
                            batch.remove(keyspace, key.clone());
                            model.remove(&(keyspace, key));
                        }
                    }
                }
                applied += 1;
                let reflects = Reflects {
                    next: Position(applied),
                    segment: 1,
                    offset: 2,
                };
                index.apply(batch, reflects).unwrap();
            }
            Step::Range(keyspace, from, to, back, limit) => {
                let (a, b) = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
                let found = index.range(keyspace, a, b, direction(back), limit).unwrap();
                let wanted = |key: &[u8]| within(key, &from, &to);
                assert_eq!(found, expected(&model, keyspace, wanted, direction(back), limit));
            }
            Step::Prefix(keyspace, prefix, back, limit) => {
                let found = index.prefixed(keyspace, &prefix, direction(back), limit).unwrap();
                let wanted = |key: &[u8]| key.starts_with(&prefix);
                assert_eq!(found, expected(&model, keyspace, wanted, direction(back), limit));
            }
            Step::Checkpoint => index.checkpoint().unwrap(),
            Step::Reopen if engine.folder(folder).is_some() => {
                drop(index);
                index = engine.open(folder).unwrap();
            }
            Step::Reopen => {}
        }
        let reflects = index.reflects().unwrap().map_or(0, |reflects| reflects.next.0);
        assert_eq!(reflects, applied);
    }
    for ((keyspace, key), value) in &model {
        assert_eq!(index.get(*keyspace, key).unwrap().as_ref(), Some(value));
    }
}

/// A reader never sees half a batch: two keys that always change together always agree.
fn batches_are_seen_whole(engine: Engine, folder: &Path) {
    let index: Arc<dyn Index> = engine.open(folder).unwrap();
    let write = |n: u64| {
        let mut batch = Batch::default();
        batch.put(Keyspace::Records, b"a", n.to_be_bytes());
        // Now and then a batch as large as a full commit.
        for filler in 0..if n.is_multiple_of(500) { 3_000u32 } else { 0 } {
            batch.put(Keyspace::Timeline, filler.to_be_bytes(), n.to_be_bytes());
        }
        batch.put(Keyspace::Records, b"z", n.to_be_bytes());
        index
            .apply(
                batch,
                Reflects {
                    next: Position(n),
                    segment: 1,
                    offset: 1,
                },
            )
            .unwrap();
    };
    write(1);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            loop {
                let pairs = index
                    .range(
                        Keyspace::Records,
                        Bound::Unbounded,
                        Bound::Unbounded,
                        Direction::Forward,
                        9,
                    )
                    .unwrap();
                assert_eq!(pairs.len(), 2);
                assert_eq!(pairs[0].1, pairs[1].1);
                if pairs[0].1 == 2_000u64.to_be_bytes() {
                    break;
                }
            }
        });
        (2..=2_000).for_each(write);
        reader.join().unwrap();
    });
}

/// A folder copied while the engine runs is what a kill leaves: after opening the copy, the index
/// is as it was after the batch it says it reflects.
fn a_kill_loses_whole_batches_only(engine: Engine, folder: &Path) {
    let index = engine.open(folder).unwrap();
    for n in 1..=300u64 {
        let mut batch = Batch::default();
        batch.put(Keyspace::Records, b"latest".as_slice(), n.to_be_bytes());
        batch.put(Keyspace::Timeline, n.to_be_bytes(), vec![0; 200]);
        if n > 1 {
            batch.remove(Keyspace::Awaited, (n - 1).to_be_bytes());
        }
        batch.put(Keyspace::Awaited, n.to_be_bytes(), []);
        index
            .apply(
                batch,
                Reflects {
                    next: Position(n),
                    segment: 1,
                    offset: 1,
                },
            )
            .unwrap();
        if n % 100 != 0 {
            continue;
        }
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder, copy.path());
        let killed = engine.open(copy.path()).unwrap();
        // An engine may have had all of it in memory still.
        let Some(reflects) = killed.reflects().unwrap() else {
            assert_eq!(killed.get(Keyspace::Records, b"latest").unwrap(), None);
            continue;
        };
        let reached = reflects.next.0;
        let latest = killed.get(Keyspace::Records, b"latest").unwrap().unwrap();
        assert_eq!(latest, reached.to_be_bytes());
        let all = |keyspace| {
            killed
                .range(
                    keyspace,
                    Bound::Unbounded,
                    Bound::Unbounded,
                    Direction::Forward,
                    1_000,
                )
                .unwrap()
        };
        assert_eq!(all(Keyspace::Timeline).len() as u64, reached);
        assert_eq!(
            all(Keyspace::Awaited),
            [(reached.to_be_bytes().to_vec(), Vec::new())]
        );
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let target = to.join(item.file_name());
        if item.file_type().unwrap().is_dir() {
            copy_folder(&item.path(), &target);
        } else {
            fs::copy(item.path(), target).unwrap();
        }
    }
}

fn garbage_does_not_panic(engine: Engine, folder: &Path) {
    let Some(own) = engine.folder(folder) else { return };
    drop(engine.open(folder).unwrap());
    for item in fs::read_dir(&own).unwrap() {
        let path = item.unwrap().path();
        if path.is_file() {
            fs::write(&path, [0x5a; 300]).unwrap();
        }
    }
    assert!(engine.open(folder).is_err());
    engine.set_aside(folder).unwrap();
    assert_eq!(engine.open(folder).unwrap().reflects().unwrap(), None);
}

macro_rules! conformance {
    ($name:ident, $engine:expr, $cases:expr) => {
        mod $name {
            use super::*;

            proptest! {
                #![proptest_config(ProptestConfig::with_cases($cases))]

                #[test]
                fn is_a_sorted_map(steps in prop::collection::vec(step(), 1..40)) {
                    let home = tempfile::tempdir().unwrap();
                    behaves_as_a_sorted_map($engine, home.path(), steps);
                }
            }

            #[test]
            fn shows_whole_batches() {
                let home = tempfile::tempdir().unwrap();
                batches_are_seen_whole($engine, home.path());
            }

            #[test]
            fn survives_a_kill() {
                let home = tempfile::tempdir().unwrap();
                if $engine.folder(home.path()).is_some() {
                    a_kill_loses_whole_batches_only($engine, home.path());
                }
            }

            #[test]
            fn refuses_garbage() {
                let home = tempfile::tempdir().unwrap();
                garbage_does_not_panic($engine, home.path());
            }
        }
    };
}

conformance!(fjall_engine, Engine::Fjall, 32);
conformance!(sled_engine, Engine::Sled, 16);
conformance!(memory_engine, Engine::Memory, 128);
