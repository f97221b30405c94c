//! The other index: sled, one tree in which a byte before the key tells the keyspace. The only
//! file that names it.
//!
//! It holds no more than can be made again, and it is asked for no more than it keeps: its own
//! flush does not reach the disk, so a checkpoint syncs its file; a batch is atomic but pins
//! memory with its size, so a large one goes through `staged`; a walk over keys sees batches half
//! done, so a lock of ours stands before it; and it panics where others give an error.

use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use super::{Batch, Change, Direction, Index, IndexError, IndexStats, Pair, Reflects, crossed};
use crate::store::catalogue::Keyspace;

mod staged;

/// Bytes of tree nodes held in memory.
const CACHE: u64 = 64 << 20;
/// Changes applied in one of sled's batches: those of about 100 records. More at once costs
/// memory out of proportion.
const STEP: usize = 700;
/// How often, and how far apart, a lock on the data file is tried: two seconds in all.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// Name of sled's data file.
const DATA: &str = "db";

/// A sled database whose default tree holds every keyspace.
pub(crate) struct SledIndex {
    database: sled::Db,
    folder: PathBuf,
    /// Written while a batch goes in, read by every reader. True once a batch broke off: what is
    /// in memory may then be half of it, and is shown to nobody.
    broken: RwLock<bool>,
}

impl SledIndex {
    /// Opens the database in `folder`, making it if there is none, and ends what a kill broke off.
    pub(crate) fn open(folder: &Path) -> Result<Self, IndexError> {
        refuse_busy(&folder.join(DATA))?;
        let database = sled::Config::new()
            .path(folder)
            .cache_capacity(CACHE)
            .flush_every_ms(None)
            .open()?;
        staged::finish(&database)?;
        let index = Self {
            database,
            folder: folder.to_owned(),
            broken: RwLock::new(false),
        };
        index.sync_files()?;
        Ok(index)
    }

    /// Syncs every file, the folder and the folder it lies in: sled itself does none of it, so a
    /// power cut could leave files without names or names without files.
    fn sync_files(&self) -> Result<(), IndexError> {
        let failed = |source| IndexError::Folder {
            path: self.folder.clone(),
            source,
        };
        sync_tree(&self.folder)
            .and_then(|()| match self.folder.parent() {
                Some(parent) => File::open(parent)?.sync_all(),
                None => Ok(()),
            })
            .map_err(failed)
    }

    /// Reads while no batch goes in.
    fn reading<T>(&self, read: impl FnOnce(&sled::Db) -> Result<T, IndexError>) -> Result<T, IndexError> {
        let broken = self.broken.read().unwrap_or_else(PoisonError::into_inner);
        if *broken {
            return Err(IndexError::Panicked);
        }
        guarded(|| read(&self.database))
    }
}

impl Index for SledIndex {
    fn apply(&self, batch: Batch, reflects: Reflects) -> Result<(), IndexError> {
        let mut broken = self.broken.write().unwrap_or_else(PoisonError::into_inner);
        if *broken {
            return Err(IndexError::Panicked);
        }
        let changes = batch.reflecting(reflects);
        let applied = guarded(|| {
            if changes.len() <= STEP {
                Ok(self.database.apply_batch(together(&changes))?)
            } else {
                staged::apply(&self.database, &changes)
            }
        });
        *broken = applied.is_err();
        applied
    }

    fn checkpoint(&self) -> Result<(), IndexError> {
        guarded(|| {
            self.database.flush()?;
            let path = self.folder.join(DATA);
            File::open(&path)
                .and_then(|file| file.sync_all())
                .map_err(|source| IndexError::Folder { path, source })
        })
    }

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.reading(|database| {
            let found = database.get(prefixed(keyspace, key))?;
            Ok(found.map(|value| value.to_vec()))
        })
    }

    fn range(
        &self,
        keyspace: Keyspace,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Pair>, IndexError> {
        if crossed(from, to) {
            return Ok(Vec::new());
        }
        let place = |key: &[u8]| prefixed(keyspace, key);
        let from = match from {
            Bound::Unbounded => Bound::Included(place(&[])),
            bound => bound.map(place),
        };
        let to = match to {
            Bound::Unbounded => Bound::Excluded(vec![code(keyspace).saturating_add(1)]),
            bound => bound.map(place),
        };
        self.reading(|database| {
            let mut found = database.range((from, to));
            let mut pairs = Vec::new();
            while pairs.len() < limit {
                let next = match direction {
                    Direction::Forward => found.next(),
                    Direction::Backward => found.next_back(),
                };
                let Some(pair) = next else { break };
                let (key, value) = pair?;
                pairs.push((key.get(1..).unwrap_or_default().to_vec(), value.to_vec()));
            }
            Ok(pairs)
        })
    }

    fn stats(&self) -> Result<IndexStats, IndexError> {
        guarded(|| {
            Ok(IndexStats {
                bytes: self.database.size_on_disk()?,
            })
        })
    }
}

/// The byte before a keyspace's keys; part of the layout on disk, so never given to another. Zero
/// is that of [`staged`].
fn code(keyspace: Keyspace) -> u8 {
    match keyspace {
        Keyspace::Frames => 1,
        Keyspace::Records => 2,
        Keyspace::Timeline => 3,
        Keyspace::Chain => 4,
        Keyspace::Objects => 5,
        Keyspace::Observables => 6,
        Keyspace::Awaited => 7,
        Keyspace::Charters => 8,
        Keyspace::Notes => 9,
        Keyspace::Audit => 10,
        Keyspace::Meta => 11,
        Keyspace::Expiry => 12,
        Keyspace::Segments => 13,
        Keyspace::Withdrawn => 14,
        Keyspace::Sums => 15,
        Keyspace::Papers => 16,
    }
}

fn prefixed(keyspace: Keyspace, key: &[u8]) -> Vec<u8> {
    [&[code(keyspace)], key].concat()
}

/// Changes as one batch of sled's, which goes in whole or not at all.
fn together(changes: &[Change]) -> sled::Batch {
    let mut batch = sled::Batch::default();
    for change in changes {
        let key = prefixed(change.keyspace, &change.key);
        match &change.value {
            Some(value) => batch.insert(key, value.as_slice()),
            None => batch.remove(key),
        }
    }
    batch
}

/// A panic inside of sled is an error like another.
fn guarded<T>(work: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(IndexError::Panicked))
}

/// Whether another has the database open: sled locks its file, but tells so in words only. A
/// database just dropped is waited for, since sled's own threads let go of it a little later.
fn refuse_busy(data: &Path) -> Result<(), IndexError> {
    let failed = |source| IndexError::Folder {
        path: data.to_owned(),
        source,
    };
    let file = match File::open(data) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed(e)),
    };
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
    }
    Err(IndexError::Busy)
}

/// Syncs a folder of files and folders, two levels deep as sled makes them.
fn sync_tree(folder: &Path) -> io::Result<()> {
    for item in fs::read_dir(folder)? {
        let path = item?.path();
        if path.is_dir() {
            for inner in fs::read_dir(&path)? {
                File::open(inner?.path())?.sync_all()?;
            }
        }
        File::open(&path)?.sync_all()?;
    }
    File::open(folder)?.sync_all()
}

impl From<sled::Error> for IndexError {
    fn from(error: sled::Error) -> Self {
        Self::Engine(Box::new(error))
    }
}
