//! An index in memory: one sorted map behind a lock.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock};

use super::{Batch, Direction, Index, IndexError, IndexStats, Pair, Reflects, crossed};
use crate::store::catalogue::Keyspace;

/// The keys of one keyspace.
type Sorted = BTreeMap<Vec<u8>, Vec<u8>>;

/// Sorted maps in memory, gone when dropped.
#[derive(Default)]
pub(crate) struct MemoryIndex {
    keyspaces: RwLock<BTreeMap<Keyspace, Sorted>>,
}

impl Index for MemoryIndex {
    fn apply(&self, batch: Batch, reflects: Reflects) -> Result<(), IndexError> {
        let mut keyspaces = self.keyspaces.write().unwrap_or_else(PoisonError::into_inner);
        for change in batch.reflecting(reflects) {
            let keys = keyspaces.entry(change.keyspace).or_default();
            match change.value {
                Some(value) => keys.insert(change.key, value),
                None => keys.remove(&change.key),
            };
        }
        Ok(())
    }

    fn checkpoint(&self) -> Result<(), IndexError> {
        Ok(())
    }

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        let keyspaces = self.keyspaces.read().unwrap_or_else(PoisonError::into_inner);
        Ok(keyspaces.get(&keyspace).and_then(|keys| keys.get(key)).cloned())
    }

    fn range(
        &self,
        keyspace: Keyspace,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Pair>, IndexError> {
        let keyspaces = self.keyspaces.read().unwrap_or_else(PoisonError::into_inner);
        let Some(keys) = keyspaces.get(&keyspace).filter(|_| !crossed(from, to)) else {
            return Ok(Vec::new());
        };
        let pairs = keys
            .range::<[u8], _>((from, to))
            .map(|(k, v)| (k.clone(), v.clone()));
        Ok(match direction {
            Direction::Forward => pairs.take(limit).collect(),
            Direction::Backward => pairs.rev().take(limit).collect(),
        })
    }

    fn stats(&self) -> Result<IndexStats, IndexError> {
        Ok(IndexStats::default())
    }
}
