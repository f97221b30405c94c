//! The door to the storage engines. An engine keeps sorted keys in keyspaces; everything in it can
//! be made again from the log, and it says itself how much of the log it reflects.

use std::fs;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::catalogue::{Keyspace, meta};
use super::entry::Position;

mod fjall;
mod memory;
mod sled;

#[cfg(test)]
mod conformance;

/// Which engine keeps the indexes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// The fjall LSM tree, on disk.
    #[default]
    Fjall,
    /// The sled tree, on disk: slower and larger than fjall.
    Sled,
    /// Sorted maps in memory, filled from the log at every opening: for tests and simulations.
    Memory,
}

/// How far into the log an index has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reflects {
    /// The position that follows the last one reflected.
    pub next: Position,
    /// The segment in which the last reflected frame lies.
    pub segment: u32,
    /// Where in it that frame ends.
    pub offset: u32,
}

/// Changes that an engine applies whole or not at all. The later of two changes to one key counts.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    changes: Vec<Change>,
}

/// A key set to a value, or removed.
#[derive(Clone, Debug)]
struct Change {
    keyspace: Keyspace,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

impl Batch {
    /// Sets `key` to `value`.
    pub fn put(&mut self, keyspace: Keyspace, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.changes.push(Change {
            keyspace,
            key: key.into(),
            value: Some(value.into()),
        });
    }

    /// Removes `key`, whether or not it is there.
    pub fn remove(&mut self, keyspace: Keyspace, key: impl Into<Vec<u8>>) {
        self.changes.push(Change {
            keyspace,
            key: key.into(),
            value: None,
        });
    }

    /// Number of changes.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    fn reflecting(mut self, reflects: Reflects) -> Vec<Change> {
        self.put(Keyspace::Meta, meta::REFLECTS, reflects.encode());
        self.changes
    }
}

impl Reflects {
    fn encode(self) -> Vec<u8> {
        let mut bytes = self.next.0.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.segment.to_be_bytes());
        bytes.extend_from_slice(&self.offset.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (next, rest) = bytes.split_first_chunk()?;
        let (segment, rest) = rest.split_first_chunk()?;
        Some(Self {
            next: Position(u64::from_be_bytes(*next)),
            segment: u32::from_be_bytes(*segment),
            offset: u32::from_be_bytes(rest.try_into().ok()?),
        })
    }
}

/// Which way a range is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Smallest key first.
    Forward,
    /// Largest key first.
    Backward,
}

/// What an engine takes up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexStats {
    /// Bytes on disk; zero for an engine in memory.
    pub bytes: u64,
}

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Why an engine failed.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Another process has it open.
    #[error("the index is in use by another process")]
    Busy,
    /// What it holds is not what was put there.
    #[error("the index holds a malformed {0}")]
    Malformed(&'static str),
    /// The engine gave up in a way it does not report.
    #[error("the index engine broke off")]
    Panicked,
    /// The engine's own error.
    #[error("the index engine failed")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Its folder could not be moved or removed.
    #[error("cannot use `{}`", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

/// A sorted key-value engine. One thread writes; any number read.
///
/// An engine need not sync what it applied: after a power cut it may have forgotten the last
/// batches, but only whole ones and only the last, so that what [`Index::reflects`] then says is
/// true and the log tells the rest.
pub trait Index: Send + Sync {
    /// Applies a batch and `reflects` in one atomic step.
    ///
    /// # Errors
    /// No part of the batch is visible then: it is left out, or the engine answers nothing more
    /// until it is reopened and has the batch whole or not at all.
    fn apply(&self, batch: Batch, reflects: Reflects) -> Result<(), IndexError>;

    /// Makes everything applied so far survive a power cut.
    ///
    /// # Errors
    /// Those of the engine.
    fn checkpoint(&self) -> Result<(), IndexError>;

    /// A checkpoint before the engine is closed in order, after which the next opening has as little to
    /// make good as the engine can manage.
    ///
    /// # Errors
    /// Those of the engine.
    fn settle(&self) -> Result<(), IndexError> {
        self.checkpoint()
    }

    /// The value of a key.
    ///
    /// # Errors
    /// Those of the engine.
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError>;

    /// At most `limit` pairs whose keys lie between two bounds, from the end `direction` says.
    /// Bounds that cross give nothing.
    ///
    /// # Errors
    /// Those of the engine.
    fn range(
        &self,
        keyspace: Keyspace,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Pair>, IndexError>;

    /// What it takes up.
    ///
    /// # Errors
    /// Those of the engine.
    fn stats(&self) -> Result<IndexStats, IndexError>;

    /// How much of the log it reflects; `None` if nothing was ever applied.
    ///
    /// # Errors
    /// [`IndexError::Malformed`] and those of the engine.
    fn reflects(&self) -> Result<Option<Reflects>, IndexError> {
        let Some(bytes) = self.get(Keyspace::Meta, meta::REFLECTS)? else {
            return Ok(None);
        };
        Reflects::decode(&bytes)
            .map(Some)
            .ok_or(IndexError::Malformed("log position"))
    }

    /// At most `limit` pairs whose keys start with `prefix`.
    ///
    /// # Errors
    /// Those of the engine.
    fn prefixed(
        &self,
        keyspace: Keyspace,
        prefix: &[u8],
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Pair>, IndexError> {
        let end = after_prefix(prefix);
        let to = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.range(keyspace, Bound::Included(prefix), to, direction, limit)
    }
}

/// The smallest key greater than every key that starts with `prefix`, if there is one.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

/// Whether a range holds no key by its bounds alone; some engines panic on those.
fn crossed(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (Bound::Included(a), Bound::Included(b)) => a > b,
        (Bound::Excluded(a) | Bound::Included(a), Bound::Excluded(b) | Bound::Included(b)) => a >= b,
        _ => false,
    }
}

impl Engine {
    /// The engine's own folder below that of all indexes.
    pub(crate) fn folder(self, indexes: &Path) -> Option<PathBuf> {
        match self {
            Self::Fjall => Some(indexes.join("fjall")),
            Self::Sled => Some(indexes.join("sled")),
            Self::Memory => None,
        }
    }

    /// Opens the engine, making it if it is not there. An engine that panics on what it finds is
    /// an engine that does not open.
    ///
    /// # Errors
    /// [`IndexError::Busy`] if it is in use, else whatever keeps it from opening.
    pub(crate) fn open(self, indexes: &Path) -> Result<Arc<dyn Index>, IndexError> {
        let open = || -> Result<Arc<dyn Index>, IndexError> {
            Ok(match (self, self.folder(indexes)) {
                (Self::Fjall, Some(folder)) => Arc::new(fjall::FjallIndex::open(&folder)?),
                (Self::Sled, Some(folder)) => Arc::new(sled::SledIndex::open(&folder)?),
                (_, None) | (Self::Memory, _) => Arc::new(memory::MemoryIndex::default()),
            })
        };
        catch_unwind(AssertUnwindSafe(open)).unwrap_or(Err(IndexError::Panicked))
    }

    /// Moves the engine's folder out of the way, in place of one moved earlier.
    ///
    /// # Errors
    /// [`IndexError::Folder`].
    pub(crate) fn set_aside(self, indexes: &Path) -> Result<(), IndexError> {
        let Some(folder) = self.folder(indexes) else {
            return Ok(());
        };
        let aside = folder.with_extension("aside");
        remove_any(&aside)?;
        ignoring_absence(fs::rename(&folder, &aside))
            .map_err(|source| IndexError::Folder { path: folder, source })
    }

    /// Removes the engine's folder.
    ///
    /// # Errors
    /// [`IndexError::Folder`].
    pub(crate) fn remove(self, indexes: &Path) -> Result<(), IndexError> {
        self.folder(indexes).map_or(Ok(()), |folder| remove_any(&folder))
    }
}

/// Removes what has this name, folder or file.
fn remove_any(path: &Path) -> Result<(), IndexError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    ignoring_absence(removed).map_err(|source| IndexError::Folder {
        path: path.to_owned(),
        source,
    })
}

fn ignoring_absence(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
