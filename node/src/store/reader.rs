//! Reading: any number of handles, on any threads, that see what is durable and indexed.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hanse_protocol::identity::{CommunityId, Handle, RecordId};
use hanse_protocol::timestamp::Timestamp;

use super::catalogue::{Fields, FrameRow, Keyspace, RecordRow};
use super::entry::{AuditEntry, BodyState, CharterEntry, Entry, Origin, Position};
use super::index::{Direction, Index, IndexError};
use super::indexing::{AuditHead, Tally, is_beyond};
use super::log::{Frame, LogError};
use super::sums::{CommunityHeld, Timeline, held, places};
use super::{Shared, StoreError, lookup, replay, withdrawals};

mod papers;
mod search;

pub use search::{ChainLink, Holding, ObjectHit, TimelineItem};

/// Keys read from the index at once where more may follow.
const CHUNK: usize = 1_024;

/// A handle for reading a store.
///
/// Every list has a bound that the caller gives. An entry whose frame has rotted gives
/// [`StoreError::Damaged`], which says where reading can go on.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

/// A record as it is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Where its header is.
    pub position: Position,
    /// Where the entry is that brought its body, or else its header.
    pub complete_at: Position,
    /// The community it belongs to.
    pub community: CommunityId,
    /// The signed header as it travelled.
    pub header: Vec<u8>,
    /// The body as it travelled, if it is held.
    pub body: Option<Vec<u8>>,
    /// How the body stands.
    pub state: BodyState,
    /// When the header came.
    pub arrived: Timestamp,
    /// How the header came.
    pub origin: Origin,
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Headers, with or without bodies.
    pub records: u64,
    /// Objects in readable bodies, every version counted.
    pub objects: u64,
    /// Bytes of log.
    pub log_bytes: u64,
    /// Segments of log.
    pub segments: u64,
    /// Bytes of index on disk.
    pub index_bytes: u64,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The last position there is to read; zero if there is none.
    pub fn newest(&self) -> Position {
        Position(self.shared.newest.load(Ordering::Acquire))
    }

    /// The entry at `position`; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Log`], [`StoreError::Index`]; so for all that follow.
    pub fn entry(&self, position: Position) -> Result<Option<Entry>, StoreError> {
        if position > self.newest() {
            return Ok(None);
        }
        let Some(row) = lookup::frame_row(self.index(), position)? else {
            return Ok(None);
        };
        let Some(frame) = self.frame(row, position)? else {
            return Ok(None);
        };
        let entry = frame.entry(position).cloned();
        Ok(entry.filter(|entry| *entry != Entry::Void))
    }

    /// Entries from `from` on, in order: at most `max_entries`, and no more once they come to
    /// `max_bytes` of headers, bodies and the like. Always one if there is one.
    pub fn entries_from(
        &self,
        from: Position,
        max_entries: usize,
        max_bytes: usize,
    ) -> Result<Vec<(Position, Entry)>, StoreError> {
        let newest = self.newest();
        let mut found = Vec::new();
        let mut bytes = 0;
        let mut at = from.max(Position(1));
        while at <= newest {
            let Some((first, row)) = self.frame_from(at)? else {
                break;
            };
            let frame = match self.frame(row, first) {
                // What was read before the damage is handed over first.
                Err(StoreError::Damaged { .. }) if !found.is_empty() => break,
                other => other?,
            };
            // The segment was recast in between: the index tells where to go on.
            let Some(frame) = frame else { continue };
            for (position, entry) in (first.0..).map(Position).zip(&frame.entries) {
                if position < at {
                    continue;
                }
                if *entry == Entry::Void {
                    continue;
                }
                if position > newest || found.len() >= max_entries || bytes >= max_bytes {
                    return Ok(found);
                }
                bytes += weight(entry);
                found.push((position, entry.clone()));
            }
            at = frame.last().next();
        }
        Ok(found)
    }

    /// The record with this id, with the body that counts.
    pub fn record(&self, id: &RecordId) -> Result<Option<StoredRecord>, StoreError> {
        let Some(row) = self.row(id)? else { return Ok(None) };
        let Some(Entry::Record(record)) = self.entry(row.header)? else {
            return Ok(None);
        };
        let body = match row.body {
            None => None,
            Some(position) if position == row.header => record.body,
            Some(position) => match self.entry(position)? {
                Some(Entry::Body(body)) => Some(body.body),
                Some(Entry::Record(again)) => again.body,
                _ => None,
            },
        };
        Ok(Some(StoredRecord {
            position: row.header,
            complete_at: row.body.unwrap_or(row.header),
            community: record.community,
            header: record.header,
            body,
            state: row.state,
            arrived: record.arrived,
            origin: record.origin,
        }))
    }

    /// How the body of a record stands; `None` if not even its header is here. Reads the index
    /// only.
    pub fn holds(&self, id: &RecordId) -> Result<Option<BodyState>, StoreError> {
        Ok(self.row(id)?.map(|row| row.state))
    }

    /// Whether `author` signed this record, if it is here. Reads the index only.
    pub fn is_by(&self, community: &CommunityId, author: &Handle, id: &RecordId) -> Result<bool, StoreError> {
        let author = self.shared.tags.author(community, author);
        Ok(self.row(id)?.is_some_and(|row| row.author == author))
    }

    /// Whether a record that is here lies beyond an ending of its author, as far as [`Store::judge`] has
    /// come: it is kept, and not among what members compare.
    ///
    /// [`Store::judge`]: super::Store::judge
    pub fn is_beyond(&self, community: &CommunityId, id: &RecordId) -> Result<bool, StoreError> {
        let Some(row) = self.row(id)? else {
            return Ok(false);
        };
        Ok(is_beyond(
            &self.shared.tags,
            self.index(),
            community,
            id,
            row.created,
        )?)
    }

    /// Whether `author` took back a record that is not here, or whose body is not said to be gone.
    pub fn is_taken_back(
        &self,
        community: &CommunityId,
        author: &Handle,
        id: &RecordId,
    ) -> Result<bool, StoreError> {
        let author = self.shared.tags.author(community, author);
        Ok(withdrawals::is_taken_back(self.index(), author, id)?)
    }

    /// Records that are here though a member took them back who may or may not be their author: none as
    /// a rule, for what is taken back is said to be gone in the same commit. At most
    /// [`AHEAD`](super::AHEAD) a member.
    pub fn due_erasures(&self) -> Result<Vec<RecordId>, StoreError> {
        let due = withdrawals::due(self.index())?;
        Ok(due.into_iter().map(|(_, id)| id).collect())
    }

    /// The charters of a community with where they are, in their order in the log.
    pub fn charters(&self, community: &CommunityId) -> Result<Vec<(Position, CharterEntry)>, StoreError> {
        let mut charters = Vec::new();
        for position in replay::charters(self.index(), &self.shared.tags.community(community))? {
            if let Some(Entry::Charter(charter)) = self.entry(position)? {
                charters.push((position, charter));
            }
        }
        Ok(charters)
    }

    /// The content of the latest note of a kind.
    pub fn note(&self, kind: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let tag = self.shared.tags.note(kind);
        let Some(bytes) = self.index().get(Keyspace::Notes, &tag)? else {
            return Ok(None);
        };
        Ok(match self.entry(Fields(&bytes).position()?)? {
            Some(Entry::Note(note)) => Some(note.bytes),
            _ => None,
        })
    }

    /// Lines of the audit log from number `from` on. Reads the frames they are in.
    pub fn audit(&self, from: u64, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        let key = from.to_be_bytes();
        let to = Bound::Included(key.as_slice());
        // The frame whose first line is the last not after `from`, else the first with any.
        let near = self
            .index()
            .range(Keyspace::Audit, Bound::Unbounded, to, Direction::Backward, 1)?;
        let from_key = near.first().map_or(key.to_vec(), |(key, _)| key.clone());
        let mut lines = Vec::new();
        let mut start = Bound::Included(from_key);
        while lines.len() < limit {
            let start_ref = start.as_ref().map(Vec::as_slice);
            let places = self.index().range(
                Keyspace::Audit,
                start_ref,
                Bound::Unbounded,
                Direction::Forward,
                CHUNK,
            )?;
            for (_, position) in &places {
                let position = Fields(position).position()?;
                let Some(row) = lookup::frame_row(self.index(), position)? else {
                    continue;
                };
                let Some(frame) = self.frame(row, position)? else {
                    continue;
                };
                lines.extend(frame.entries.iter().filter_map(|entry| match entry {
                    Entry::Audit(line) if line.seq >= from => Some(line.clone()),
                    _ => None,
                }));
                if lines.len() >= limit {
                    break;
                }
            }
            match places.into_iter().next_back() {
                Some((key, _)) => start = Bound::Excluded(key),
                None => break,
            }
        }
        lines.truncate(limit);
        Ok(lines)
    }

    /// How many audit lines there are, and the hash of the last.
    pub fn audit_head(&self) -> Result<AuditHead, StoreError> {
        Ok(AuditHead::load(self.index())?)
    }

    /// What members of a community compare: every header that is here and lies beyond no ending, whether
    /// or not its body is held.
    /// The sums are those of this moment; places are read as they stand when they are asked for. So a
    /// record that comes in between may show as a difference that is none, or not yet; whoever asks
    /// again later asks anew.
    pub fn held(&self, community: &CommunityId) -> Result<CommunityHeld, StoreError> {
        held(&self.shared, community)
    }

    /// The places of those headers alone, to be summed under another key.
    pub fn places(&self, community: &CommunityId) -> Timeline {
        places(&self.shared, community)
    }

    /// How much is held.
    pub fn stats(&self) -> Result<StoreStats, StoreError> {
        let Tally { records, objects } = Tally::load(self.index())?;
        Ok(StoreStats {
            records,
            objects,
            log_bytes: self.shared.log_bytes.load(Ordering::Relaxed),
            segments: self.shared.segments.load(Ordering::Relaxed),
            index_bytes: self.index().stats()?.bytes,
        })
    }

    fn index(&self) -> &dyn Index {
        &*self.shared.index
    }

    fn row(&self, id: &RecordId) -> Result<Option<RecordRow>, IndexError> {
        let found = self.index().get(Keyspace::Records, id.as_bytes())?;
        found.map(|bytes| RecordRow::decode(&bytes)).transpose()
    }

    /// Reads the frame of `row`, which holds `position`; `None` if it was taken out meanwhile.
    fn frame(&self, row: FrameRow, position: Position) -> Result<Option<Arc<Frame>>, StoreError> {
        let files = &self.shared.files;
        if let Ok(frame) = files.read(row.span)
            && frame.first <= position
            && position <= frame.last()
        {
            return Ok(Some(frame));
        }
        // Its segment may have been recast since the row was read: asked again while nothing moves.
        let _settled = files.settled();
        let Some(row) = lookup::frame_row(self.index(), position)? else {
            return Ok(None);
        };
        match files.read(row.span) {
            Ok(frame) => Ok(Some(frame)),
            Err(LogError::Damaged(span)) => Err(StoreError::Damaged {
                span,
                last: self.last_of(row, position),
            }),
            Err(other) => Err(other.into()),
        }
    }

    /// Position of the last entry of an unreadable frame, by the index.
    fn last_of(&self, row: FrameRow, position: Position) -> Position {
        let key = position.0.to_be_bytes();
        let to = Bound::Included(key.as_slice());
        let found = self
            .index()
            .range(Keyspace::Frames, Bound::Unbounded, to, Direction::Backward, 1);
        let first = found
            .ok()
            .and_then(|pairs| Fields(&pairs.first()?.0).position().ok())
            .unwrap_or(position);
        first.plus(u64::from(row.count).saturating_sub(1))
    }

    /// The frame that holds `at`, or else the next after it, with its first position.
    fn frame_from(&self, at: Position) -> Result<Option<(Position, FrameRow)>, IndexError> {
        let key = at.0.to_be_bytes();
        let edge = Bound::Included(key.as_slice());
        let index = self.index();
        let before = index.range(Keyspace::Frames, Bound::Unbounded, edge, Direction::Backward, 1)?;
        let holds = |(first, row): &(Position, FrameRow)| at < first.plus(u64::from(row.count));
        if let Some(found) = before.first().map(frame_pair).transpose()?.filter(holds) {
            return Ok(Some(found));
        }
        let next = index.range(Keyspace::Frames, edge, Bound::Unbounded, Direction::Forward, 1)?;
        next.first().map(frame_pair).transpose()
    }
}

fn frame_pair((key, value): &(Vec<u8>, Vec<u8>)) -> Result<(Position, FrameRow), IndexError> {
    Ok((Fields(key).position()?, FrameRow::decode(value)?))
}

/// Bytes that an entry brings, for bounding what is read at once.
pub(super) fn weight(entry: &Entry) -> usize {
    match entry {
        Entry::Record(record) => record.header.len() + record.body.as_ref().map_or(0, Vec::len),
        Entry::Body(body) => body.body.len(),
        Entry::Charter(charter) => charter.bytes.len(),
        Entry::Audit(line) => line.actor.len() + line.action.len() + line.subject.len(),
        Entry::Note(note) => note.bytes.len(),
        Entry::Paper(paper) => paper.key.len() + paper.bytes.len(),
        Entry::Void => 0,
    }
}
