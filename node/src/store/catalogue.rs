//! Every keyspace of the index, the layout of its keys and values, and the keyed hashes under
//! which names enter it.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | frames | first position 8 | segment 4 · offset 4 · length 4 · entries 4 |
//! | records | record id 32 | header position 8 · body position 8 (0: none) · created 8 · state 1 · author tag 16 |
//! | timeline | community tag 8 · created 8 · record id 32 | header position 8 |
//! | timeline | the same under the tag of what lies beyond endings: kept, and not compared | header position 8 |
//! | sums | community tag 8 · created 8 · first bytes of an id 8: where a block begins | sum 32 · count 8, smallest byte first |
//! | chain | author tag 16 · lane 2 · epoch 4 · seq 8 · record id 32 | header position 8 |
//! | objects | object tag 16 · author tag 16 · version 8 · 65,535 less what was struck 2 · position 8 · index 2 | |
//! | observables | observable tag 16 · position 8 · index 2 | |
//! | awaited | community tag 8 · record id 32 | created 8 |
//! | charters | community tag 8 · version 8 · position 8 | |
//! | notes | kind tag 16 | position 8 |
//! | audit | seq 8 of the first line in a frame | its position 8 |
//! | expiry | expires 8 · record id 32 | |
//! | segments | segment 4 | generation 4 · pending 4 · dead bytes 8 · erase since 8 · marks 4 |
//! | papers | 0 · expires 8 · drawer 1 · key, of one that leaves by itself | |
//! | papers | drawer 1 · key | position 8 · bytes 4 · expires 8 (0: never) |
//! | withdrawn | 0 · author tag 16 | how many of the two below 4 |
//! | withdrawn | 1 · author tag 16 · record id 32: taken back before it is here | |
//! | withdrawn | 2 · author tag 16 · record id 32: taken back, and here | |
//! | meta | a word | see [`meta`] |
//!
//! Numbers are big endian, instants are milliseconds, so that keys sort as what they stand for.
//! Positions in `objects` and `observables` are those of the entry that brought the body, and
//! `index` is the object's place in it. Communities, author handles, object ids, observables and kinds of notes
//! are in no file in clear: they are cut-off BLAKE3 hashes under sub-keys of the master key. An
//! object's TLP is hashed into its tags, so that one level's entries are found without a look at the
//! others, however many there are, and the files do not tell how much of what level is held.
//! A frame is found by the largest first position not above the one sought, so a commit of any
//! size costs one key in `frames`.

use hanse_protocol::identity::{CommunityId, Handle, RecordId};
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;
use zeroize::Zeroizing;

use super::entry::{BodyState, Drawer, Position};
use super::index::{Index, IndexError};
use super::log::Span;
use crate::keystore::MasterKey;

/// A keyspace; its layout is in the table of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the module's table documents each")]
pub enum Keyspace {
    Frames,
    Records,
    Timeline,
    Sums,
    Chain,
    Objects,
    Observables,
    Awaited,
    Charters,
    Notes,
    Audit,
    Expiry,
    Segments,
    Papers,
    Withdrawn,
    Meta,
}

impl Keyspace {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Frames,
        Self::Records,
        Self::Timeline,
        Self::Sums,
        Self::Chain,
        Self::Objects,
        Self::Observables,
        Self::Awaited,
        Self::Charters,
        Self::Notes,
        Self::Audit,
        Self::Expiry,
        Self::Segments,
        Self::Papers,
        Self::Withdrawn,
        Self::Meta,
    ];

    /// Its name in an engine.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frames => "frames",
            Self::Records => "records",
            Self::Timeline => "timeline",
            Self::Sums => "sums",
            Self::Chain => "chain",
            Self::Objects => "objects",
            Self::Observables => "observables",
            Self::Awaited => "awaited",
            Self::Charters => "charters",
            Self::Notes => "notes",
            Self::Audit => "audit",
            Self::Expiry => "expiry",
            Self::Segments => "segments",
            Self::Papers => "papers",
            Self::Withdrawn => "withdrawn",
            Self::Meta => "meta",
        }
    }
}

/// Keys of the keyspace `meta`.
pub mod meta {
    /// Next position 8 · segment 4 · offset 4: how far into the log the index has come.
    pub const REFLECTS: &[u8] = b"reflects";
    /// Format of this catalogue 2 · store id 16: whose index this is.
    pub const OWNER: &[u8] = b"owner";
    /// Lines 8 · hash of the last 32: the head of the audit log.
    pub const AUDIT: &[u8] = b"audit";
    /// Before a community tag 8 and an author tag 16: digest of the author's endings 16 · key of `chain`
    /// after which its records are not judged under them yet; none once all are.
    pub const JUDGED: &[u8] = b"judged";
    /// Records 8 · objects 8.
    pub const TALLY: &[u8] = b"tally";
    /// Segment 4 · offset 4 · length 4, repeated: rotten stretches of the log already seen.
    pub const CORRUPT: &[u8] = b"corrupt";
    /// There while entries are lost that were acknowledged, and nobody has taken note of that.
    pub const LOST: &[u8] = b"lost";
    /// What stands for the owner of an index that is to be made anew.
    pub const DISTRUSTED: &[u8] = b"damaged";
}

/// Layout of the index; one of another number is rebuilt.
pub(crate) const FORMAT: u16 = 6;

/// A keyed hash that stands for an author in one community.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorTag(pub [u8; 16]);

/// The keys under which names are hashed.
pub(crate) struct Tags {
    community: Zeroizing<[u8; 32]>,
    author: Zeroizing<[u8; 32]>,
    object: Zeroizing<[u8; 32]>,
    observable: Zeroizing<[u8; 32]>,
    note: Zeroizing<[u8; 32]>,
    paper: Zeroizing<[u8; 32]>,
}

impl Tags {
    pub(crate) fn new(master: &MasterKey) -> Self {
        Self {
            community: master.subkey("index communities"),
            author: master.subkey("index authors"),
            object: master.subkey("index objects"),
            observable: master.subkey("index observables"),
            note: master.subkey("index notes"),
            paper: master.subkey("index papers"),
        }
    }

    pub(crate) fn community(&self, community: &CommunityId) -> [u8; 8] {
        tag(&self.community, &[community.as_bytes()])
    }

    /// What stands on the timeline for a community's records beyond an ending of their author.
    pub(crate) fn beyond(&self, community: &CommunityId) -> [u8; 8] {
        tag(&self.community, &[b"beyond endings", community.as_bytes()])
    }

    /// Handles are unique in a community only, so the community is hashed along.
    pub(crate) fn author(&self, community: &CommunityId, author: &Handle) -> AuthorTag {
        AuthorTag(tag(
            &self.author,
            &[community.as_bytes(), author.as_str().as_bytes()],
        ))
    }

    pub(crate) fn object(&self, tlp: Tlp, id: &str) -> [u8; 16] {
        tag(&self.object, &[&[level(tlp)], id.as_bytes()])
    }

    pub(crate) fn observable(&self, tlp: Tlp, key: &[u8]) -> [u8; 16] {
        tag(&self.observable, &[&[level(tlp)], key])
    }

    pub(crate) fn note(&self, kind: &str) -> [u8; 16] {
        tag(&self.note, &[kind.as_bytes()])
    }

    /// Where a paper is found. A handle in its key is hashed; the start of a key, up to there, leads to
    /// all that start so.
    pub(crate) fn paper(&self, drawer: Drawer, key: &[u8]) -> Vec<u8> {
        let mut place = vec![drawer_number(drawer)];
        match drawer.handle_after().and_then(|at| key.split_at_checked(at)) {
            Some((plain, handle)) if !handle.is_empty() => {
                place.extend_from_slice(plain);
                place.extend_from_slice(&tag::<16>(&self.paper, &[handle]));
            }
            _ => place.extend_from_slice(key),
        }
        place
    }
}

/// From 1: what leaves by itself stands under 0.
pub(crate) fn drawer_number(drawer: Drawer) -> u8 {
    match drawer {
        Drawer::Policies => 1,
        Drawer::Rulings => 2,
        Drawer::Originals => 3,
        Drawer::Waiting => 4,
        Drawer::Receipts => 5,
        Drawer::Quarantine => 6,
        Drawer::Owed => 7,
        Drawer::Forwarded => 8,
    }
}

/// Where stands when a paper leaves by itself.
pub(crate) fn leaving(expires: Timestamp, place: &[u8]) -> Vec<u8> {
    key(&[&[0], &millis(expires), place])
}

fn level(tlp: Tlp) -> u8 {
    match tlp {
        Tlp::Clear => 0,
        Tlp::Green => 1,
        Tlp::Amber => 2,
        Tlp::AmberStrict => 3,
        Tlp::Red => 4,
    }
}

fn tag<const N: usize>(key: &[u8; 32], parts: &[&[u8]]) -> [u8; N] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in parts {
        hasher.update(part);
    }
    let mut tag = [0; N];
    hasher.finalize_xof().fill(&mut tag);
    tag
}

/// Joins the parts of a key.
pub(crate) fn key(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

pub(crate) fn millis(instant: Timestamp) -> [u8; 8] {
    instant.as_millis().to_be_bytes()
}

pub(crate) fn timeline(community: [u8; 8], created: Timestamp, id: &RecordId) -> Vec<u8> {
    key(&[&community, &millis(created), id.as_bytes()])
}

/// Everything of one author's lane and epoch from `seq` on starts here.
pub(crate) fn chain_seq(author: AuthorTag, lane: u16, epoch: u32, seq: u64) -> Vec<u8> {
    key(&[
        &author.0,
        &lane.to_be_bytes(),
        &epoch.to_be_bytes(),
        &seq.to_be_bytes(),
    ])
}

pub(crate) fn object(
    tag: [u8; 16],
    author: AuthorTag,
    version: Timestamp,
    redacted: u16,
    position: Position,
    index: u16,
) -> Vec<u8> {
    key(&[
        &tag,
        &author.0,
        &millis(version),
        // Who reads backwards, as the newest version is wanted first, meets the least redacted first.
        &(u16::MAX - redacted).to_be_bytes(),
        &position.0.to_be_bytes(),
        &index.to_be_bytes(),
    ])
}

pub(crate) fn observable(tag: [u8; 16], position: Position, index: u16) -> Vec<u8> {
    key(&[&tag, &position.0.to_be_bytes(), &index.to_be_bytes()])
}

pub(crate) fn expiry(expires: Timestamp, id: &RecordId) -> Vec<u8> {
    key(&[&millis(expires), id.as_bytes()])
}

/// Takes fixed-width fields off the front of a key or value.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], IndexError> {
        let (field, rest) = self
            .0
            .split_first_chunk()
            .ok_or(IndexError::Malformed("key or value"))?;
        self.0 = rest;
        Ok(*field)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, IndexError> {
        self.take().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, IndexError> {
        self.take().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, IndexError> {
        self.take().map(u64::from_be_bytes)
    }

    pub(crate) fn position(&mut self) -> Result<Position, IndexError> {
        self.u64().map(Position)
    }

    pub(crate) fn instant(&mut self) -> Result<Timestamp, IndexError> {
        self.u64().map(Timestamp::from_millis)
    }

    pub(crate) fn id(&mut self) -> Result<RecordId, IndexError> {
        self.take().map(RecordId)
    }
}

/// Value in `frames`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameRow {
    pub(crate) span: Span,
    pub(crate) count: u32,
}

impl FrameRow {
    pub(crate) fn encode(self) -> Vec<u8> {
        let Self { span, count } = self;
        [span.segment, span.offset, span.length, count]
            .iter()
            .flat_map(|n| n.to_be_bytes())
            .collect()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        let mut fields = Fields(bytes);
        let span = Span {
            segment: fields.u32()?,
            offset: fields.u32()?,
            length: fields.u32()?,
        };
        Ok(Self {
            span,
            count: fields.u32()?,
        })
    }
}

/// Value in `segments`: only segments that were recast, or hold what is dead, have one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentRow {
    /// The generation of the file that `frames` tells of; zero for one as it was written.
    pub(crate) generation: u32,
    /// The generation that is about to take its place; zero if none is.
    pub(crate) pending: u32,
    /// Bytes of entries that nothing needs any longer, about.
    pub(crate) dead: u64,
    /// When the earliest body was taken back that is still in it; zero if none was.
    pub(crate) erase: Timestamp,
    /// How many bodies were taken back, ever.
    pub(crate) marks: u32,
}

impl SegmentRow {
    pub(crate) fn encode(self) -> Vec<u8> {
        key(&[
            &self.generation.to_be_bytes(),
            &self.pending.to_be_bytes(),
            &self.dead.to_be_bytes(),
            &millis(self.erase),
            &self.marks.to_be_bytes(),
        ])
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        let mut fields = Fields(bytes);
        Ok(Self {
            generation: fields.u32()?,
            pending: fields.u32()?,
            dead: fields.u64()?,
            erase: fields.instant()?,
            marks: fields.u32()?,
        })
    }

    /// The row of a segment, or that of one as it was written and all alive.
    pub(crate) fn load(index: &dyn Index, segment: u32) -> Result<Self, IndexError> {
        let row = index.get(Keyspace::Segments, &segment.to_be_bytes())?;
        row.map_or_else(|| Ok(Self::default()), |bytes| Self::decode(&bytes))
    }
}

/// Value in `records`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordRow {
    pub(crate) header: Position,
    /// The entry that brought the body, which may be that of the header.
    pub(crate) body: Option<Position>,
    pub(crate) created: Timestamp,
    pub(crate) state: BodyState,
    pub(crate) author: AuthorTag,
}

impl RecordRow {
    pub(crate) fn encode(self) -> Vec<u8> {
        let state = match self.state {
            BodyState::Awaited => 0,
            BodyState::Readable => 1,
            BodyState::Opaque => 2,
            BodyState::Unsound => 3,
            BodyState::Gone => 4,
            BodyState::Shed => 5,
            BodyState::Quarantined => 6,
            BodyState::Refused => 7,
        };
        let body = self.body.unwrap_or_default();
        key(&[
            &self.header.0.to_be_bytes(),
            &body.0.to_be_bytes(),
            &millis(self.created),
            &[state],
            &self.author.0,
        ])
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        let mut fields = Fields(bytes);
        let header = fields.position()?;
        let body = Some(fields.position()?).filter(|position| position.0 != 0);
        let created = fields.instant()?;
        let state = match fields.take()? {
            [0] => BodyState::Awaited,
            [1] => BodyState::Readable,
            [2] => BodyState::Opaque,
            [3] => BodyState::Unsound,
            [4] => BodyState::Gone,
            [5] => BodyState::Shed,
            [6] => BodyState::Quarantined,
            [7] => BodyState::Refused,
            _ => return Err(IndexError::Malformed("state of a record")),
        };
        Ok(Self {
            header,
            body,
            created,
            state,
            author: AuthorTag(fields.take()?),
        })
    }
}

/// Value in `papers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PaperRow {
    pub(crate) position: Position,
    /// Bytes of the paper.
    pub(crate) bytes: u32,
    pub(crate) expires: Option<Timestamp>,
}

impl PaperRow {
    pub(crate) fn encode(self) -> Vec<u8> {
        key(&[
            &self.position.0.to_be_bytes(),
            &self.bytes.to_be_bytes(),
            &millis(self.expires.unwrap_or_default()),
        ])
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        let mut fields = Fields(bytes);
        Ok(Self {
            position: fields.position()?,
            bytes: fields.u32()?,
            expires: Some(fields.instant()?).filter(|at| at.as_millis() != 0),
        })
    }
}
