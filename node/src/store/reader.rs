//! Reading: any number of handles, on any threads, that see what is durable and indexed.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hanse_protocol::identity::{CommunityId, Handle, RecordId};
use hanse_protocol::timestamp::Timestamp;

use super::catalogue::{self, AuthorTag, Fields, FrameRow, Keyspace, RecordRow, key};
use super::entry::{AuditEntry, BodyState, CharterEntry, Entry, Origin, Position};
use super::index::{Direction, Index, IndexError};
use super::indexing::{AuditHead, Tally};
use super::log::{Frame, LogError};
use super::{Shared, StoreError, lookup, replay};

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

/// One version of one object in one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectHit {
    /// The object's version.
    pub version: Timestamp,
    /// Position of the entry that brought the body.
    pub position: Position,
    /// The object's place in the body.
    pub object: u16,
    /// Who signed the record: compare with [`Reader::author_tag`].
    pub author: AuthorTag,
}

/// A record in its author's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainLink {
    /// Epoch of the lane.
    pub epoch: u32,
    /// Number in lane and epoch. Two links of one number are an equivocation.
    pub seq: u64,
    /// The record.
    pub id: RecordId,
    /// Where its header is.
    pub position: Position,
}

/// What is held of one lane and epoch of an author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The signing node.
    pub lane: u16,
    /// Its epoch.
    pub epoch: u32,
    /// First and last number of each unbroken run, rising.
    pub runs: Vec<(u64, u64)>,
}

/// A record on the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineItem {
    /// When its author made it.
    pub created: Timestamp,
    /// The record.
    pub id: RecordId,
    /// Where its header is.
    pub position: Position,
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
        let frame = self.frame(row, position)?;
        Ok(frame.entry(position).cloned())
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
            for (position, entry) in (first.0..).map(Position).zip(&frame.entries) {
                if position < at {
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

    /// Places of objects that contain an observable, newest arrival first: the position of the
    /// entry that brought the body, and the object's place in it.
    pub fn by_observable(&self, observable: &[u8], limit: usize) -> Result<Vec<(Position, u16)>, StoreError> {
        let tag = self.shared.tags.observable(observable);
        let pairs = self
            .index()
            .prefixed(Keyspace::Observables, &tag, Direction::Backward, limit)?;
        let hit = |key: &[u8]| {
            let mut fields = Fields(key);
            let _: [u8; 16] = fields.take()?;
            Ok((fields.position()?, fields.u16()?))
        };
        pairs.iter().map(|(key, _)| hit(key)).collect()
    }

    /// Versions of the object with this STIX id, newest version first, of whatever author.
    pub fn by_object(&self, id: &str, limit: usize) -> Result<Vec<ObjectHit>, StoreError> {
        let tag = self.shared.tags.object(id);
        let pairs = self
            .index()
            .prefixed(Keyspace::Objects, &tag, Direction::Backward, limit)?;
        let hit = |key: &[u8], value: &[u8]| {
            let mut fields = Fields(key);
            let _: [u8; 16] = fields.take()?;
            Ok(ObjectHit {
                version: fields.instant()?,
                position: fields.position()?,
                object: fields.u16()?,
                author: AuthorTag(Fields(value).take()?),
            })
        };
        pairs.iter().map(|(key, value)| hit(key, value)).collect()
    }

    /// What stands for an author in [`ObjectHit::author`].
    pub fn author_tag(&self, community: &CommunityId, author: &Handle) -> AuthorTag {
        self.shared.tags.author(community, author)
    }

    /// An author's records in one lane and epoch from number `from` on, rising.
    pub fn chain(
        &self,
        community: &CommunityId,
        author: &Handle,
        lane: u16,
        epoch: u32,
        from: u64,
        limit: usize,
    ) -> Result<Vec<ChainLink>, StoreError> {
        let author = self.author_tag(community, author);
        let start = catalogue::chain_seq(author, lane, epoch, from);
        let mut end = catalogue::chain_seq(author, lane, epoch, u64::MAX);
        end.extend_from_slice(&[u8::MAX; 32]);
        let (from, to) = (Bound::Included(start.as_slice()), Bound::Included(end.as_slice()));
        let pairs = self
            .index()
            .range(Keyspace::Chain, from, to, Direction::Forward, limit)?;
        pairs.iter().map(|(key, value)| Ok(link(key, value)?.1)).collect()
    }

    /// The runs of numbers held of an author, for every lane and epoch, rising; at most
    /// `max_runs` runs in all. Walks the author's whole chain in the index.
    pub fn holdings(
        &self,
        community: &CommunityId,
        author: &Handle,
        max_runs: usize,
    ) -> Result<Vec<Holding>, StoreError> {
        let prefix = self.author_tag(community, author).0;
        let end = super::index::after_prefix(&prefix);
        let to = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut holdings = Vec::new();
        let mut runs = 0;
        let mut after: Option<Vec<u8>> = None;
        loop {
            let from = after
                .as_deref()
                .map_or(Bound::Included(prefix.as_slice()), Bound::Excluded);
            let pairs = self
                .index()
                .range(Keyspace::Chain, from, to, Direction::Forward, CHUNK)?;
            for (key, value) in &pairs {
                let (lane, link) = link(key, value)?;
                runs += usize::from(extend(&mut holdings, lane, &link));
                if runs > max_runs {
                    trim(&mut holdings);
                    return Ok(holdings);
                }
            }
            match pairs.into_iter().next_back() {
                Some((key, _)) => after = Some(key),
                None => return Ok(holdings),
            }
        }
    }

    /// The last record, by epoch and number, that is held of an author's lane.
    pub fn newest_in_chain(
        &self,
        community: &CommunityId,
        author: &Handle,
        lane: u16,
    ) -> Result<Option<ChainLink>, StoreError> {
        let prefix = key(&[&self.author_tag(community, author).0, &lane.to_be_bytes()]);
        let pairs = self
            .index()
            .prefixed(Keyspace::Chain, &prefix, Direction::Backward, 1)?;
        let newest = pairs.first().map(|(key, value)| link(key, value));
        Ok(newest.transpose()?.map(|(_, link)| link))
    }

    /// Records of a community by (created, id), from `from` up to but without `to`; `reverse`
    /// gives the latest first.
    pub fn timeline(
        &self,
        community: &CommunityId,
        from: (Timestamp, RecordId),
        to: (Timestamp, RecordId),
        limit: usize,
        reverse: bool,
    ) -> Result<Vec<TimelineItem>, StoreError> {
        let tag = self.shared.tags.community(community);
        let (from, to) = (
            catalogue::timeline(tag, from.0, &from.1),
            catalogue::timeline(tag, to.0, &to.1),
        );
        let direction = if reverse {
            Direction::Backward
        } else {
            Direction::Forward
        };
        let pairs = self.index().range(
            Keyspace::Timeline,
            Bound::Included(&from),
            Bound::Excluded(&to),
            direction,
            limit,
        )?;
        let item = |key: &[u8], value: &[u8]| {
            let mut fields = Fields(key);
            let _: [u8; 8] = fields.take()?;
            let (created, id) = (fields.instant()?, fields.id()?);
            Ok(TimelineItem {
                created,
                id,
                position: Fields(value).position()?,
            })
        };
        pairs.iter().map(|(key, value)| item(key, value)).collect()
    }

    /// Headers of a community whose body is not here yet, by id, after the one given, each with
    /// when it was made.
    pub fn awaited(
        &self,
        community: &CommunityId,
        after: Option<RecordId>,
        limit: usize,
    ) -> Result<Vec<(RecordId, Timestamp)>, StoreError> {
        let tag = self.shared.tags.community(community);
        let start = after.map_or_else(|| tag.to_vec(), |id| key(&[&tag, id.as_bytes()]));
        let end = key(&[&tag, &[u8::MAX; 33]]);
        let from = if after.is_some() {
            Bound::Excluded(&*start)
        } else {
            Bound::Included(&*start)
        };
        let to = Bound::Included(end.as_slice());
        let pairs = self
            .index()
            .range(Keyspace::Awaited, from, to, Direction::Forward, limit)?;
        let item = |key: &[u8], value: &[u8]| {
            let mut fields = Fields(key);
            let _: [u8; 8] = fields.take()?;
            Ok((fields.id()?, Fields(value).instant()?))
        };
        pairs.iter().map(|(key, value)| item(key, value)).collect()
    }

    /// The charters of a community with where they are, in their order in the log.
    pub fn charters(&self, community: &CommunityId) -> Result<Vec<(Position, CharterEntry)>, StoreError> {
        let mut charters = Vec::new();
        for position in replay::charters(self.index(), community.as_bytes())? {
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
                let frame = self.frame(row, position)?;
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

    /// Reads the frame of `row`, which holds `position`.
    fn frame(&self, row: FrameRow, position: Position) -> Result<Arc<Frame>, StoreError> {
        self.shared.files.read(row.span).map_err(|e| match e {
            LogError::Damaged(span) => StoreError::Damaged {
                span,
                last: self.last_of(row, position),
            },
            other => other.into(),
        })
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

/// The lane and the link that a pair of `chain` stands for.
fn link(key: &[u8], value: &[u8]) -> Result<(u16, ChainLink), IndexError> {
    let mut fields = Fields(key);
    let _: [u8; 16] = fields.take()?;
    let lane = fields.u16()?;
    let (epoch, seq, id) = (fields.u32()?, fields.u64()?, fields.id()?);
    Ok((
        lane,
        ChainLink {
            epoch,
            seq,
            id,
            position: Fields(value).position()?,
        },
    ))
}

/// Adds a link to the runs; whether a new run began.
fn extend(holdings: &mut Vec<Holding>, lane: u16, link: &ChainLink) -> bool {
    let seq = link.seq;
    let current = holdings
        .last_mut()
        .filter(|h| h.lane == lane && h.epoch == link.epoch);
    match current {
        Some(holding) => {
            if let Some((_, last)) = holding.runs.last_mut()
                && seq <= last.saturating_add(1)
            {
                *last = seq;
                return false;
            }
            holding.runs.push((seq, seq));
        }
        None => holdings.push(Holding {
            lane,
            epoch: link.epoch,
            runs: vec![(seq, seq)],
        }),
    }
    true
}

/// Takes the last run off again.
fn trim(holdings: &mut Vec<Holding>) {
    if let Some(holding) = holdings.last_mut() {
        holding.runs.pop();
        if holding.runs.is_empty() {
            holdings.pop();
        }
    }
}

/// Bytes that an entry brings, for bounding what is read at once.
fn weight(entry: &Entry) -> usize {
    match entry {
        Entry::Record(record) => record.header.len() + record.body.as_ref().map_or(0, Vec::len),
        Entry::Body(body) => body.body.len(),
        Entry::Charter(charter) => charter.bytes.len(),
        Entry::Audit(line) => line.actor.len() + line.action.len() + line.subject.len(),
        Entry::Note(note) => note.bytes.len(),
    }
}
