//! Papers: what a node keeps under a key for itself, in drawers. The latest of a key counts; an empty one
//! takes it away.

use std::fmt;

use hanse_protocol::limits;
use hanse_protocol::timestamp::Timestamp;
use minicbor::{Decode, Encode, bytes};

/// Longest key of a paper, bytes: a record's id with a handle, and then some.
pub const PAPER_KEY: usize = 96;

/// Largest paper, bytes: the largest content of a record, and what belongs to it.
pub const PAPER: usize = limits::CONTENT + (64 << 10);

/// What papers are about. Keys of a drawer are read in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Drawer {
    /// Sets of policies. Key: the set's hash. Paper: its files.
    #[n(0)]
    Policies,
    /// What was ruled on records. Key: when it was made, milliseconds 8 · record id 32.
    #[n(1)]
    Rulings,
    /// What was handed in, where not all get it as it was or something waits. Key: publication id 32.
    #[n(2)]
    Originals,
    /// What waits to be sent. Key: when it is due, milliseconds 8 · publication id 32.
    #[n(3)]
    Waiting,
    /// What readers said became of records. Key: record id 32 · the reader's handle.
    #[n(4)]
    Receipts,
    /// Why records are in quarantine. Key: record id 32.
    #[n(5)]
    Quarantine,
    /// What authors are to be told of their records. Key: drawn 16 · the author's handle.
    #[n(6)]
    Owed,
    /// What was passed on from other communities. Key: community id 32 · record id there 32. Paper: the id of
    /// the record that it travels in here.
    #[n(7)]
    Forwarded,
}

impl Drawer {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Policies,
        Self::Rulings,
        Self::Originals,
        Self::Waiting,
        Self::Receipts,
        Self::Quarantine,
        Self::Owed,
        Self::Forwarded,
    ];

    /// How many bytes of a key come before a handle in it, which no file shows in clear; `None` if there
    /// is no handle in it.
    pub(crate) const fn handle_after(self) -> Option<usize> {
        match self {
            Self::Receipts => Some(32),
            Self::Owed => Some(16),
            Self::Policies
            | Self::Rulings
            | Self::Originals
            | Self::Waiting
            | Self::Quarantine
            | Self::Forwarded => None,
        }
    }

    /// Whether what was in it is to leave the disk once it is replaced or taken away: it holds the text
    /// of objects, which may have been taken back.
    pub(crate) const fn is_erased(self) -> bool {
        matches!(self, Self::Originals)
    }
}

/// Something of this node that is kept under a key in a drawer.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PaperEntry {
    /// What it is about.
    #[n(0)]
    pub drawer: Drawer,
    /// Under which it is found, 1 to [`PAPER_KEY`] bytes.
    #[cbor(n(1), with = "bytes")]
    pub key: Vec<u8>,
    /// The paper, at most [`PAPER`] bytes; none take away what was there.
    #[cbor(n(2), with = "bytes")]
    pub bytes: Vec<u8>,
    /// When it was put there or taken away.
    #[n(3)]
    pub at: Timestamp,
    /// When it leaves by itself, if it does: as a record does, once the time that is trusted has passed it.
    #[n(4)]
    pub expires: Option<Timestamp>,
}

impl PaperEntry {
    /// Puts a paper there, in place of the one that is there.
    pub fn put(drawer: Drawer, key: impl Into<Vec<u8>>, bytes: impl Into<Vec<u8>>, at: Timestamp) -> Self {
        Self {
            drawer,
            key: key.into(),
            bytes: bytes.into(),
            at,
            expires: None,
        }
    }

    /// Has it leave by itself.
    #[must_use]
    pub fn until(self, expires: Timestamp) -> Self {
        Self {
            expires: Some(expires),
            ..self
        }
    }

    /// Takes away what is there.
    pub fn take_away(drawer: Drawer, key: impl Into<Vec<u8>>, at: Timestamp) -> Self {
        Self::put(drawer, key, [], at)
    }
}

/// Debug output names sizes, not content.
impl fmt::Debug for PaperEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaperEntry")
            .field("drawer", &self.drawer)
            .field("key", &self.key.len())
            .field("bytes", &self.bytes.len())
            .field("at", &self.at)
            .field("expires", &self.expires)
            .finish()
    }
}
