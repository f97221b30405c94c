//! What the log holds: seven kinds of entry, their one encoding (deterministic CBOR, RFC 8949
//! section 4.2) and the bounds each is held to.

use std::fmt;

pub use hanse_protocol::audit::AuditEntry;
use hanse_protocol::identity::{CommunityId, RecordId};
use hanse_protocol::limits;
use hanse_protocol::timestamp::Timestamp;
use minicbor::{Decode, Encode, bytes};

mod paper;

pub use paper::{Drawer, PAPER, PAPER_KEY, PaperEntry};

/// Longest actor, action or subject of an audit entry, and longest kind of a note, bytes.
pub const TEXT: usize = 512;

/// Largest content of a note, bytes: a charter that is proposed, and then some.
pub const NOTE: usize = limits::CHARTER + (4 << 10);

/// A local arrival number: from 1, one an entry, never used twice. Zero means "before everything".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Position(#[n(0)] pub u64);

impl Position {
    /// The position `count` entries later, held at the largest.
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// The position after this one.
    pub const fn next(self) -> Self {
        self.plus(1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Entry {
    /// A signed header, perhaps with its body.
    #[n(0)]
    Record(#[n(0)] RecordEntry),
    /// What became of a body after its header was logged.
    #[n(1)]
    Body(#[n(0)] BodyEntry),
    /// A signed charter, as it travelled.
    #[n(2)]
    Charter(#[n(0)] CharterEntry),
    /// A line of the audit log.
    #[n(3)]
    Audit(#[n(0)] AuditEntry),
    /// A small durable fact of the node itself.
    #[n(4)]
    Note(#[n(0)] NoteEntry),
    /// The place of an entry that was taken out when its segment was recast: positions stay as
    /// they were given out. Never committed.
    #[n(5)]
    Void,
    /// Something of the node itself that is kept under a key.
    #[n(6)]
    Paper(#[n(0)] PaperEntry),
}

/// A signed header, perhaps with its body.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RecordEntry {
    /// The community it belongs to.
    #[n(0)]
    pub community: CommunityId,
    /// The record's id.
    #[n(1)]
    pub id: RecordId,
    /// The signed header as it travelled, at most [`limits::HEADER`] bytes.
    #[cbor(n(2), with = "bytes")]
    pub header: Vec<u8>,
    /// The body as it travelled, at most [`limits::BODY`] bytes.
    #[cbor(n(3), with = "bytes")]
    pub body: Option<Vec<u8>>,
    /// When we first held the header.
    #[n(4)]
    pub arrived: Timestamp,
    /// How it came.
    #[n(5)]
    pub origin: Origin,
    /// How the body stands: [`BodyState::Awaited`], [`BodyState::Gone`] or [`BodyState::Shed`] without
    /// one.
    #[n(6)]
    pub state: BodyState,
}

/// What became of a body after its header was logged: it came, or it is gone for good.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct BodyEntry {
    /// The community the record belongs to.
    #[n(0)]
    pub community: CommunityId,
    /// The record's id.
    #[n(1)]
    pub id: RecordId,
    /// The body as it travelled, at most [`limits::BODY`] bytes; empty when it is gone or shed.
    #[cbor(n(2), with = "bytes")]
    pub body: Vec<u8>,
    /// When the body came, or was given up.
    #[n(3)]
    pub arrived: Timestamp,
    /// How it came.
    #[n(4)]
    pub origin: Origin,
    /// How the body stands from now on; never [`BodyState::Awaited`].
    #[n(5)]
    pub state: BodyState,
}

/// A signed charter, as it travelled.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct CharterEntry {
    /// The community it governs.
    #[n(0)]
    pub community: CommunityId,
    /// Its version, from 1. Two charters of one version are a fork and both are kept.
    #[n(1)]
    pub version: u64,
    /// The signed charter, at most [`limits::CHARTER`] bytes.
    #[cbor(n(2), with = "bytes")]
    pub bytes: Vec<u8>,
}

/// A small durable fact of the node itself; the latest of a kind counts.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct NoteEntry {
    /// What it is about, at most [`TEXT`] bytes.
    #[n(0)]
    pub kind: String,
    /// Its content, at most [`NOTE`] bytes.
    #[cbor(n(1), with = "bytes")]
    pub bytes: Vec<u8>,
}

/// How a record came to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Origin {
    /// We wrote it.
    #[n(0)]
    Own,
    /// A gossip frame brought it.
    #[n(1)]
    Gossip,
    /// Healing fetched it from a peer.
    #[n(2)]
    Heal,
    /// It was read from a file.
    #[n(3)]
    File,
}

/// How the body of a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum BodyState {
    /// Only the header is here.
    #[n(0)]
    Awaited,
    /// Here, ours to read, and found sound.
    #[n(1)]
    Readable,
    /// Here, sealed for others.
    #[n(2)]
    Opaque,
    /// Here and ours to read, but its content was refused.
    #[n(3)]
    Unsound,
    /// Retracted or given up; the header stays as its tombstone.
    #[n(4)]
    Gone,
    /// Not held here, and not asked for: over its author's budget, or given up for room. Others may
    /// hold it, and a later entry may bring it.
    #[n(5)]
    Shed,
}

/// Why an entry cannot be logged, or bytes are no entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// A part over its bound.
    #[error("{part} of {size} bytes is over the bound of {bound}")]
    TooLarge {
        /// Which part.
        part: &'static str,
        /// Its size, bytes.
        size: usize,
        /// The bound, bytes.
        bound: usize,
    },
    /// A state that does not go with the presence or absence of a body.
    #[error("a body cannot be {state:?} where it is {}", if *.present { "present" } else { "absent" })]
    State {
        /// The state.
        state: BodyState,
        /// Whether a body was there.
        present: bool,
    },
    /// A paper that nothing could find.
    #[error("a paper without a key cannot be logged")]
    Keyless,
    /// A void, which only a recast segment has.
    #[error("a void cannot be logged")]
    Void,
    /// Bytes that are no entries in their one encoding.
    #[error("not entries in their one encoding: {0}")]
    Malformed(String),
}

impl Entry {
    /// Checks every bound, and that states go with bodies.
    ///
    /// # Errors
    /// [`EntryError::TooLarge`], [`EntryError::State`], [`EntryError::Keyless`], [`EntryError::Void`].
    pub fn check(&self) -> Result<(), EntryError> {
        match self {
            Self::Record(record) => {
                bounded("a header", record.header.len(), limits::HEADER)?;
                bounded("a body", record.body.as_ref().map_or(0, Vec::len), limits::BODY)?;
                states(record.state, record.body.is_some())
            }
            Self::Body(body) => {
                bounded("a body", body.body.len(), limits::BODY)?;
                let present = !body.body.is_empty();
                match body.state {
                    BodyState::Awaited => Err(EntryError::State {
                        state: body.state,
                        present,
                    }),
                    state => states(state, present),
                }
            }
            Self::Charter(charter) => bounded("a charter", charter.bytes.len(), limits::CHARTER),
            Self::Audit(audit) => {
                bounded("an actor", audit.actor.len(), TEXT)?;
                bounded("an action", audit.action.len(), TEXT)?;
                bounded("a subject", audit.subject.len(), TEXT)
            }
            Self::Note(note) => {
                bounded("a kind of note", note.kind.len(), TEXT)?;
                bounded("a note", note.bytes.len(), NOTE)
            }
            Self::Paper(paper) if paper.key.is_empty() => Err(EntryError::Keyless),
            Self::Paper(paper) => {
                bounded("a key of a paper", paper.key.len(), PAPER_KEY)?;
                bounded("a paper", paper.bytes.len(), PAPER)
            }
            Self::Void => Err(EntryError::Void),
        }
    }

    /// Appends the entry's one encoding to `out`.
    ///
    /// # Errors
    /// [`EntryError::Malformed`] never in practice: writing to memory does not fail.
    pub fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), EntryError> {
        minicbor::encode(self, out).map_err(|e| EntryError::Malformed(e.to_string()))
    }

    /// Reads one entry, refusing anything but its one encoding.
    ///
    /// # Errors
    /// [`EntryError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let entry: Self = minicbor::decode(bytes).map_err(|e| EntryError::Malformed(e.to_string()))?;
        let mut again = Vec::with_capacity(bytes.len());
        entry.encode_into(&mut again)?;
        if again == bytes {
            Ok(entry)
        } else {
            Err(EntryError::Malformed("another spelling".to_owned()))
        }
    }
}

fn bounded(part: &'static str, size: usize, bound: usize) -> Result<(), EntryError> {
    if size > bound {
        Err(EntryError::TooLarge { part, size, bound })
    } else {
        Ok(())
    }
}

fn states(state: BodyState, present: bool) -> Result<(), EntryError> {
    if matches!(state, BodyState::Awaited | BodyState::Gone | BodyState::Shed) == present {
        Err(EntryError::State { state, present })
    } else {
        Ok(())
    }
}

/// Debug output names sizes, not content: entries pass through logs and test failures.
impl fmt::Debug for RecordEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordEntry")
            .field("id", &self.id)
            .field("header", &self.header.len())
            .field("body", &self.body.as_ref().map(Vec::len))
            .field("arrived", &self.arrived)
            .field("origin", &self.origin)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for BodyEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyEntry")
            .field("id", &self.id)
            .field("body", &self.body.len())
            .field("arrived", &self.arrived)
            .field("origin", &self.origin)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for CharterEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CharterEntry")
            .field("community", &self.community)
            .field("version", &self.version)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

impl fmt::Debug for NoteEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoteEntry")
            .field("kind", &self.kind)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn an_entry_has_one_spelling(
            header in prop::collection::vec(any::<u8>(), 0..300),
            body in prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
            millis in any::<u64>(),
            tail in any::<u8>(),
        ) {
            let state = if body.is_some() { BodyState::Opaque } else { BodyState::Awaited };
            let entry = Entry::Record(RecordEntry {
                community: CommunityId([1; 32]),
                id: RecordId([2; 32]),
                header,
                body,
                arrived: Timestamp::from_millis(millis),
                origin: Origin::Heal,
                state,
            });
            let mut bytes = Vec::new();
            entry.encode_into(&mut bytes).unwrap();
            prop_assert_eq!(Entry::decode(&bytes), Ok(entry));
            bytes.push(tail);
            prop_assert!(Entry::decode(&bytes).is_err());
        }

        #[test]
        fn strangers_bytes_are_refused_or_round_trip(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(entry) = Entry::decode(&bytes) {
                let mut again = Vec::new();
                entry.encode_into(&mut again).unwrap();
                prop_assert_eq!(again, bytes);
            }
        }
    }

    #[test]
    fn bounds_and_states_are_checked() {
        let mut body = BodyEntry {
            community: CommunityId([1; 32]),
            id: RecordId([2; 32]),
            body: vec![0; limits::BODY],
            arrived: Timestamp::default(),
            origin: Origin::Gossip,
            state: BodyState::Readable,
        };
        assert_eq!(Entry::Body(body.clone()).check(), Ok(()));
        body.state = BodyState::Gone;
        assert!(matches!(
            Entry::Body(body.clone()).check(),
            Err(EntryError::State { .. })
        ));
        body.body.clear();
        assert_eq!(Entry::Body(body.clone()).check(), Ok(()));
        body.state = BodyState::Readable;
        assert!(matches!(Entry::Body(body).check(), Err(EntryError::State { .. })));
        let audit = AuditEntry::new(Timestamp::default(), "a".repeat(TEXT + 1), "kept", "", None);
        assert!(matches!(
            Entry::Audit(audit).check(),
            Err(EntryError::TooLarge { part: "an actor", .. })
        ));
    }
}
