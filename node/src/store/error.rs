//! Why the store did not do what was asked.

use std::io;
use std::path::PathBuf;

use hanse_protocol::identity::RecordId;

use super::entry::{EntryError, Position};
use super::index::IndexError;
use super::log::{LogError, Span};

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process, or another part of this one, has the store open.
    #[error("the store in `{}` is in use", .0.display())]
    InUse(PathBuf),
    /// The store's folder or lock file could not be used.
    #[error("cannot use `{}`", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// An entry over its bounds; nothing was written.
    #[error("an entry cannot be logged")]
    Entry(#[source] EntryError),
    /// A record, or a readable body, without its facts; nothing was written.
    #[error("record {0} came without the facts it is indexed by")]
    NoFacts(RecordId),
    /// A body whose header was never logged; nothing was written.
    #[error("a body came for record {0}, whose header is not here")]
    NoHeader(RecordId),
    /// The log could not be written or read.
    #[error("the record log failed")]
    Log(#[from] LogError),
    /// The index could not be read, or not be made.
    #[error("the index failed")]
    Index(#[from] IndexError),
    /// The entries are durable at these positions, but the index could not follow. Readers do not
    /// see them; opening the store again repairs it, and until then nothing more is taken.
    #[error("{} entries are in the log but not in the index: open the store again", positions.len())]
    IndexBehind {
        /// Where the entries are.
        positions: Vec<Position>,
        /// What the index said.
        source: IndexError,
    },
    /// An earlier commit ended in [`StoreError::IndexBehind`]; nothing was written.
    #[error("the index fell behind the log earlier: open the store again")]
    Behind,
    /// A part of the log has rotted since it was written. Reading can go on after `last`.
    #[error("the entries up to position {last} cannot be read: {span} of the log is damaged")]
    Damaged {
        /// Where in the log.
        span: Span,
        /// Position of the last entry in the damaged frame.
        last: Position,
    },
}

impl StoreError {
    /// Where reading can go on, if this tells of a part of the log that has rotted.
    pub fn goes_on_after(&self) -> Option<Position> {
        match self {
            Self::Damaged { last, .. } => Some(*last),
            _ => None,
        }
    }
}

/// What was found, with nothing in place of what has rotted: that is told in the daemon's messages, and
/// healing brings it again once the index is made anew without it.
///
/// # Errors
/// Any other.
pub fn unless_damaged<T: Default>(found: Result<T, StoreError>) -> Result<T, StoreError> {
    match found {
        Err(StoreError::Damaged { span, last }) => {
            tracing::warn!(%span, up_to = %last, "a damaged part of the log was passed over; `hansed check` lists what it held");
            Ok(T::default())
        }
        found => found,
    }
}
