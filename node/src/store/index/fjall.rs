//! The default index: fjall, an LSM tree for each keyspace behind one journal. The only file that
//! names it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::time::Duration;

use fjall::{Database, KeyspaceCreateOptions, PersistMode, Readable};

use super::{Batch, Direction, Index, IndexError, IndexStats, Pair, Reflects, crossed};
use crate::store::catalogue::Keyspace;

/// Most bytes of journals; older ones are retired by flushing what they hold.
const JOURNALS: u64 = 64 << 20;
/// Size at which a keyspace's newest entries are flushed to a table, bytes.
const MEMTABLE: u64 = 4 << 20;
/// Bytes of table blocks held in memory.
const CACHE: u64 = 32 << 20;
/// Threads that flush and compact.
const WORKERS: usize = 2;
/// How long closing waits for memtables to be written, in looks of [`LOOK`]: some 5 s.
const LOOKS: usize = 1_000;
const LOOK: Duration = Duration::from_millis(5);

/// A fjall database with a keyspace for each of ours.
pub(crate) struct FjallIndex {
    database: Database,
    keyspaces: BTreeMap<Keyspace, fjall::Keyspace>,
}

impl FjallIndex {
    /// Opens the database in `folder`, making it if there is none.
    pub(crate) fn open(folder: &Path) -> Result<Self, IndexError> {
        let database = Database::builder(folder)
            .max_journaling_size(JOURNALS)
            .cache_size(CACHE)
            .worker_threads(WORKERS)
            .open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE);
        let keyspaces = Keyspace::ALL
            .into_iter()
            .map(|keyspace| Ok((keyspace, database.keyspace(keyspace.name(), options)?)))
            .collect::<Result<_, IndexError>>()?;
        Ok(Self { database, keyspaces })
    }

    fn keyspace(&self, keyspace: Keyspace) -> Result<&fjall::Keyspace, IndexError> {
        self.keyspaces
            .get(&keyspace)
            .ok_or(IndexError::Malformed("set of keyspaces"))
    }
}

impl Index for FjallIndex {
    fn apply(&self, batch: Batch, reflects: Reflects) -> Result<(), IndexError> {
        let changes = batch.reflecting(reflects);
        let mut write = fjall::OwnedWriteBatch::with_capacity(self.database.clone(), changes.len());
        for change in changes {
            let keyspace = self.keyspace(change.keyspace)?;
            match change.value {
                Some(value) => write.insert(keyspace, change.key, value),
                None => write.remove(keyspace, change.key),
            }
        }
        Ok(write.commit()?)
    }

    fn checkpoint(&self) -> Result<(), IndexError> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }

    /// What lies in memtables would be played from the journals into them again at the next opening,
    /// which takes seconds where they are full; written as tables, it is skipped.
    fn settle(&self) -> Result<(), IndexError> {
        self.checkpoint()?;
        for keyspace in self.keyspaces.values() {
            keyspace.rotate_memtable()?;
        }
        // Nothing depends on it: a flush that takes longer, or fails, leaves the journals as they are.
        for _ in 0..LOOKS {
            if self.database.outstanding_flushes() == 0 {
                break;
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        // A snapshot, so that no half-applied batch is seen.
        let found = self.database.snapshot().get(self.keyspace(keyspace)?, key)?;
        Ok(found.map(|value| value.to_vec()))
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
        let snapshot = self.database.snapshot();
        let mut found = snapshot.range::<&[u8], _>(self.keyspace(keyspace)?, (from, to));
        let mut pairs = Vec::new();
        while pairs.len() < limit {
            let next = match direction {
                Direction::Forward => found.next(),
                Direction::Backward => found.next_back(),
            };
            let Some(guard) = next else { break };
            let (key, value) = guard.into_inner()?;
            pairs.push((key.to_vec(), value.to_vec()));
        }
        Ok(pairs)
    }

    fn stats(&self) -> Result<IndexStats, IndexError> {
        Ok(IndexStats {
            bytes: self.database.disk_space()?,
        })
    }
}

impl From<fjall::Error> for IndexError {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Locked => Self::Busy,
            other => Self::Engine(Box::new(other)),
        }
    }
}
