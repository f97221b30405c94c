//! Turns entries into changes of the index: the one place that decides what an entry means there,
//! for commits and for replays alike.

use std::collections::HashMap;

use hanse_protocol::identity::{CommunityId, RecordId};
use hanse_protocol::limits;
use hanse_protocol::reconcile::Place;
use hanse_protocol::timestamp::Timestamp;

use super::catalogue::{
    self, AuthorTag, Fields, FrameRow, Keyspace, PaperRow, RecordRow, SegmentRow, Tags, key, meta,
};
use super::entry::{AuditEntry, BodyEntry, BodyState, Entry, Position, RecordEntry};
use super::facts::RecordFacts;
use super::index::{Batch, Index, IndexError, Reflects};
use super::log::Span;
use super::lookup;
use super::sums::{Moved, Sums};
use super::withdrawals::Withdrawals;

pub(super) mod papers;

/// Head of the audit log: how many lines, and the hash of the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditHead {
    /// Number of lines, which is also the last line's number.
    pub lines: u64,
    /// [`AuditEntry::hash`] of the last line; zero if there is none.
    pub hash: [u8; 32],
}

impl AuditHead {
    /// Numbers and chains a new line.
    pub(crate) fn chain(&mut self, line: &mut AuditEntry) {
        line.seq = self.lines.saturating_add(1);
        line.previous = self.hash;
        self.follow(line);
    }

    /// Takes a line from the log as the newest.
    fn follow(&mut self, line: &AuditEntry) {
        *self = Self {
            lines: line.seq,
            hash: line.hash(),
        };
    }

    fn encode(self) -> Vec<u8> {
        key(&[&self.lines.to_be_bytes(), &self.hash])
    }

    pub(crate) fn load(index: &dyn Index) -> Result<Self, IndexError> {
        let Some(bytes) = index.get(Keyspace::Meta, meta::AUDIT)? else {
            return Ok(Self::default());
        };
        let mut fields = Fields(&bytes);
        Ok(Self {
            lines: fields.u64()?,
            hash: fields.take()?,
        })
    }
}

/// How much the index knows of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) records: u64,
    pub(crate) objects: u64,
}

impl Tally {
    fn encode(self) -> Vec<u8> {
        key(&[&self.records.to_be_bytes(), &self.objects.to_be_bytes()])
    }

    pub(crate) fn load(index: &dyn Index) -> Result<Self, IndexError> {
        let Some(bytes) = index.get(Keyspace::Meta, meta::TALLY)? else {
            return Ok(Self::default());
        };
        let mut fields = Fields(&bytes);
        Ok(Self {
            records: fields.u64()?,
            objects: fields.u64()?,
        })
    }
}

/// The row of a record, as the index has it.
pub(crate) fn record_row(index: &dyn Index, id: &RecordId) -> Result<Option<RecordRow>, IndexError> {
    let found = index.get(Keyspace::Records, id.as_bytes())?;
    found.map(|bytes| RecordRow::decode(&bytes)).transpose()
}

/// Where a record stands on the timeline if it lies beyond an ending.
fn beyond_key(tags: &Tags, community: &CommunityId, id: &RecordId, created: Timestamp) -> Vec<u8> {
    catalogue::timeline(tags.beyond(community), created, id)
}

/// Whether a record that is here is kept out of what members compare.
pub(crate) fn is_beyond(
    tags: &Tags,
    index: &dyn Index,
    community: &CommunityId,
    id: &RecordId,
    created: Timestamp,
) -> Result<bool, IndexError> {
    let key = beyond_key(tags, community, id, created);
    Ok(index.get(Keyspace::Timeline, &key)?.is_some())
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Indexed,
    /// A record without facts: in the log, but not findable.
    Underived,
    /// A body whose header the index does not know.
    Orphan,
}

/// A body that came, or the word that it is gone.
#[derive(Clone, Copy)]
struct Arrival {
    position: Position,
    at: Timestamp,
    state: BodyState,
}

/// Changes gathered from entries, to be applied in one step.
pub(crate) struct Updates<'a> {
    tags: &'a Tags,
    index: &'a dyn Index,
    sums: &'a Sums,
    batch: Batch,
    /// Places that came or left.
    moved: Moved,
    /// Rows changed by this batch, since the index does not show them yet.
    rows: HashMap<RecordId, Option<RecordRow>>,
    /// The same of papers, by their place.
    papers: HashMap<Vec<u8>, Option<PaperRow>>,
    segments: HashMap<u32, SegmentRow>,
    withdrawals: Withdrawals,
    tally: Tally,
    audit: AuditHead,
    reflects: Option<Reflects>,
    audited: bool,
}

impl<'a> Updates<'a> {
    /// Starts gathering where the index stands.
    pub(crate) fn new(tags: &'a Tags, index: &'a dyn Index, sums: &'a Sums) -> Result<Self, IndexError> {
        Ok(Self {
            tags,
            index,
            sums,
            batch: Batch::default(),
            moved: Moved::default(),
            rows: HashMap::new(),
            papers: HashMap::new(),
            segments: HashMap::new(),
            withdrawals: Withdrawals::default(),
            tally: Tally::load(index)?,
            audit: AuditHead::load(index)?,
            reflects: None,
            audited: false,
        })
    }

    /// Number of changes gathered.
    pub(crate) fn len(&self) -> usize {
        self.batch.len()
    }

    /// Begins a frame: what follows until the next call are its entries.
    pub(crate) fn frame(&mut self, span: Span, first: Position, count: u32) {
        let row = FrameRow { span, count };
        self.batch
            .put(Keyspace::Frames, first.0.to_be_bytes(), row.encode());
        self.reflects = Some(Reflects {
            next: first.plus(u64::from(count)),
            segment: span.segment,
            offset: span.end(),
        });
        self.audited = false;
    }

    /// The row of a record, as it will be.
    pub(crate) fn row(&self, id: &RecordId) -> Result<Option<RecordRow>, IndexError> {
        if let Some(row) = self.rows.get(id) {
            return Ok(*row);
        }
        record_row(self.index, id)
    }

    /// Gathers what an entry changes.
    pub(crate) fn entry(
        &mut self,
        position: Position,
        entry: &Entry,
        facts: Option<&RecordFacts>,
    ) -> Result<Outcome, IndexError> {
        let at = position.0.to_be_bytes();
        match entry {
            Entry::Record(record) => return self.record(position, record, facts),
            Entry::Body(body) => return self.body(position, body, facts),
            Entry::Charter(charter) => {
                let version = charter.version.to_be_bytes();
                let key = key(&[&self.tags.community(&charter.community), &version, &at]);
                self.batch.put(Keyspace::Charters, key, []);
            }
            Entry::Audit(line) => {
                if !self.audited {
                    self.audited = true;
                    self.batch.put(Keyspace::Audit, line.seq.to_be_bytes(), at);
                }
                self.audit.follow(line);
            }
            Entry::Note(note) => self.batch.put(Keyspace::Notes, self.tags.note(&note.kind), at),
            Entry::Paper(paper) => self.paper(position, paper)?,
            Entry::Void => {}
        }
        Ok(Outcome::Indexed)
    }

    fn record(
        &mut self,
        position: Position,
        record: &RecordEntry,
        facts: Option<&RecordFacts>,
    ) -> Result<Outcome, IndexError> {
        let Some(facts) = facts else {
            return Ok(Outcome::Underived);
        };
        if let Some(row) = self.row(&record.id)? {
            // The header came twice; its body may still be news.
            if record.body.is_some() {
                let arrival = Arrival {
                    position,
                    at: record.arrived,
                    state: record.state,
                };
                self.arrive(arrival, &record.community, &record.id, row, Some(facts))?;
            }
            return Ok(Outcome::Indexed);
        }
        let author = self.tags.author(&record.community, &facts.author);
        let row = RecordRow {
            header: position,
            body: record.body.is_some().then_some(position),
            created: facts.created,
            state: record.state,
            author,
        };
        let (at, id) = (position.0.to_be_bytes(), record.id.as_bytes());
        let community = self.tags.community(&record.community);
        let chain = catalogue::chain_seq(author, facts.lane, facts.epoch, facts.seq);
        self.put_row(&record.id, row);
        let place = Place {
            created: facts.created,
            id: record.id,
        };
        self.moved.note(&record.community, place, true);
        self.batch.put(
            Keyspace::Timeline,
            catalogue::timeline(community, facts.created, &record.id),
            at,
        );
        self.batch.put(Keyspace::Chain, key(&[&chain, id]), at);
        if record.state != BodyState::Gone {
            let key = catalogue::expiry(facts.expires, &record.id);
            self.batch.put(Keyspace::Expiry, key, []);
        }
        if record.state == BodyState::Awaited {
            let created = catalogue::millis(facts.created);
            self.batch.put(Keyspace::Awaited, key(&[&community, id]), created);
        }
        if record.state == BodyState::Readable {
            self.objects(position, author, facts, true);
        }
        self.tally.records = self.tally.records.saturating_add(1);
        self.stands(author, &record.id, record.state)?;
        self.take_back(author, &facts.retracts)?;
        Ok(Outcome::Indexed)
    }

    fn body(
        &mut self,
        position: Position,
        body: &BodyEntry,
        facts: Option<&RecordFacts>,
    ) -> Result<Outcome, IndexError> {
        let Some(row) = self.row(&body.id)? else {
            return Ok(Outcome::Orphan);
        };
        if facts.is_none() && body.state == BodyState::Readable {
            return Ok(Outcome::Underived);
        }
        let arrival = Arrival {
            position,
            at: body.arrived,
            state: body.state,
        };
        self.arrive(arrival, &body.community, &body.id, row, facts)?;
        Ok(Outcome::Indexed)
    }

    /// A body came or went. The first readable body stands, and gone is gone.
    fn arrive(
        &mut self,
        arrival: Arrival,
        community: &CommunityId,
        id: &RecordId,
        row: RecordRow,
        facts: Option<&RecordFacts>,
    ) -> Result<(), IndexError> {
        let Arrival { position, at, state } = arrival;
        let gone = state == BodyState::Gone;
        if row.state == BodyState::Gone {
            // A body of a record that was taken back before: it is to leave the disk too.
            return match self.reflects {
                Some(Reflects { segment, .. }) if !gone => self.mark(segment, at),
                _ => Ok(()),
            };
        }
        if row.state == BodyState::Readable && !gone {
            return Ok(());
        }
        if gone && let Some(old) = row.body {
            let frame = lookup::frame_row(self.index, old)?;
            if let Some(frame) = frame {
                self.mark(frame.span.segment, at)?;
            }
        }
        if state == BodyState::Shed
            && let Some(old) = row.body
        {
            self.bury_one(old)?;
        }
        let awaited = key(&[&self.tags.community(community), id.as_bytes()]);
        self.batch.remove(Keyspace::Awaited, awaited);
        if let Some(facts) = facts {
            if gone {
                let key = catalogue::expiry(facts.expires, id);
                self.batch.remove(Keyspace::Expiry, key);
            }
            let author = self.tags.author(community, &facts.author);
            self.stands(author, id, state)?;
            if !gone {
                self.take_back(author, &facts.retracts)?;
            }
            match (row.state, row.body) {
                (BodyState::Readable, Some(old)) => self.objects(old, author, facts, false),
                _ if state == BodyState::Readable => self.objects(position, author, facts, true),
                _ => {}
            }
        }
        let held = !gone && state != BodyState::Shed;
        let body = held.then_some(position);
        self.put_row(id, RecordRow { body, state, ..row });
        Ok(())
    }

    /// Notes that a record is here, or that its body is gone: what was taken back is one or the other.
    fn stands(&mut self, author: AuthorTag, id: &RecordId, state: BodyState) -> Result<(), IndexError> {
        let changes = (self.index, &mut self.batch);
        match state {
            BodyState::Gone => self.withdrawals.settled(changes, author, id),
            _ => self.withdrawals.came(changes, author, id),
        }
    }

    /// Notes what an author took back, unless it is gone already.
    fn take_back(&mut self, author: AuthorTag, ids: &[RecordId]) -> Result<(), IndexError> {
        for id in ids {
            let row = self.row(id)?;
            if row.is_none_or(|row| row.state != BodyState::Gone) {
                let changes = (self.index, &mut self.batch);
                self.withdrawals.take_back(changes, author, id, row.is_some())?;
            }
        }
        Ok(())
    }

    fn put_row(&mut self, id: &RecordId, row: RecordRow) {
        self.batch.put(Keyspace::Records, *id.as_bytes(), row.encode());
        self.rows.insert(*id, Some(row));
    }

    /// Takes a record's body out of the index, or with `whole` the record: its time has passed.
    pub(crate) fn take_out(
        &mut self,
        community: &CommunityId,
        id: &RecordId,
        row: RecordRow,
        facts: &RecordFacts,
        whole: bool,
    ) -> Result<(), IndexError> {
        let author = self.tags.author(community, &facts.author);
        // The header of a retraction still says which one it takes back.
        let forgotten = facts.retracts.iter().skip(usize::from(!whole));
        for settled in forgotten.chain([id]) {
            let changes = (self.index, &mut self.batch);
            self.withdrawals.settled(changes, author, settled)?;
        }
        let tag = self.tags.community(community);
        if let (BodyState::Readable, Some(body)) = (row.state, row.body) {
            self.objects(body, author, facts, false);
        }
        self.batch
            .remove(Keyspace::Expiry, catalogue::expiry(facts.expires, id));
        self.batch.remove(Keyspace::Awaited, key(&[&tag, id.as_bytes()]));
        if !whole {
            let (body, state) = (None, BodyState::Gone);
            self.put_row(id, RecordRow { body, state, ..row });
            return Ok(());
        }
        let chain = catalogue::chain_seq(author, facts.lane, facts.epoch, facts.seq);
        self.batch.remove(Keyspace::Chain, key(&[&chain, id.as_bytes()]));
        let created = row.created;
        if is_beyond(self.tags, self.index, community, id, created)? {
            let beyond = beyond_key(self.tags, community, id, created);
            self.batch.remove(Keyspace::Timeline, beyond);
        } else {
            self.moved.note(community, Place { created, id: *id }, false);
            self.batch
                .remove(Keyspace::Timeline, catalogue::timeline(tag, created, id));
        }
        self.batch.remove(Keyspace::Records, *id.as_bytes());
        self.rows.insert(*id, None);
        self.tally.records = self.tally.records.saturating_sub(1);
        Ok(())
    }

    /// Takes a record out of what members compare, since it lies beyond an ending of its author, or puts
    /// it back.
    pub(crate) fn set_beyond(
        &mut self,
        community: &CommunityId,
        id: &RecordId,
        row: RecordRow,
        beyond: bool,
    ) {
        let created = row.created;
        self.moved.note(community, Place { created, id: *id }, !beyond);
        let counting = catalogue::timeline(self.tags.community(community), created, id);
        let aside = beyond_key(self.tags, community, id, created);
        let (from, to) = if beyond {
            (counting, aside)
        } else {
            (aside, counting)
        };
        self.batch.remove(Keyspace::Timeline, from);
        self.batch.put(Keyspace::Timeline, to, row.header.0.to_be_bytes());
    }

    /// Removes a key of the keyspace `expiry`.
    pub(crate) fn forget_expiry(&mut self, key: Vec<u8>) {
        self.batch.remove(Keyspace::Expiry, key);
    }

    /// Counts bytes of the entry at `position` as dead.
    pub(crate) fn bury(&mut self, position: Position, bytes: u64) -> Result<(), IndexError> {
        if let Some(frame) = lookup::frame_row(self.index, position)? {
            let mut row = self.segment(frame.span.segment)?;
            row.dead = row.dead.saturating_add(bytes);
            self.put_segment(frame.span.segment, row);
        }
        Ok(())
    }

    /// Counts an entry whose size is not at hand as dead: as large as those of its frame, half of
    /// which are audit lines as a rule.
    fn bury_one(&mut self, position: Position) -> Result<(), IndexError> {
        let Some(frame) = lookup::frame_row(self.index, position)? else {
            return Ok(());
        };
        let each = u64::from(frame.span.length) * 2 / u64::from(frame.count.max(2));
        self.bury(position, each)
    }

    /// Notes that a body in `segment` was taken back at `at`.
    fn mark(&mut self, segment: u32, at: Timestamp) -> Result<(), IndexError> {
        let mut row = self.segment(segment)?;
        let at = at.max(Timestamp::from_millis(1));
        row.erase = match row.erase.as_millis() {
            0 => at,
            _ => row.erase.min(at),
        };
        row.marks = row.marks.wrapping_add(1);
        self.put_segment(segment, row);
        Ok(())
    }

    /// Notes which generation of a segment the index tells of.
    pub(crate) fn generation(&mut self, segment: u32, generation: u32) -> Result<(), IndexError> {
        let row = self.segment(segment)?;
        self.put_segment(segment, SegmentRow { generation, ..row });
        Ok(())
    }

    fn segment(&self, segment: u32) -> Result<SegmentRow, IndexError> {
        let row = self.segments.get(&segment);
        row.map_or_else(|| SegmentRow::load(self.index, segment), |row| Ok(*row))
    }

    fn put_segment(&mut self, segment: u32, row: SegmentRow) {
        self.batch
            .put(Keyspace::Segments, segment.to_be_bytes(), row.encode());
        self.segments.insert(segment, row);
    }

    /// Enters the objects of a body that came at `position`, or takes them out again.
    fn objects(&mut self, position: Position, author: AuthorTag, facts: &RecordFacts, enter: bool) {
        let mut change = |keyspace, key: Vec<u8>| {
            if enter {
                self.batch.put(keyspace, key, []);
            } else {
                self.batch.remove(keyspace, key);
            }
        };
        let mut count = 0u64;
        for (number, object) in (0u16..).zip(facts.objects.iter().take(limits::OBJECTS)) {
            let tag = self.tags.object(object.tlp, &object.object_id);
            let place = catalogue::object(tag, author, object.version, position, number);
            change(Keyspace::Objects, place);
            for observable in object.observables.iter().take(limits::OBSERVABLES) {
                let tag = self.tags.observable(object.tlp, observable);
                let place = catalogue::observable(tag, position, number);
                change(Keyspace::Observables, place);
            }
            count += 1;
        }
        let objects = self.tally.objects;
        self.tally.objects = if enter {
            objects.saturating_add(count)
        } else {
            objects.saturating_sub(count)
        };
    }

    /// Gathers a change of the keyspace `meta`.
    pub(crate) fn note_meta(&mut self, key: &[u8], value: Vec<u8>) {
        self.batch.put(Keyspace::Meta, key, value);
    }

    /// Never lets the audit log fall back behind `floor`: lines up to it were given out.
    pub(crate) fn raise_audit(&mut self, floor: AuditHead) {
        if floor.lines > self.audit.lines {
            self.audit = floor;
        }
    }

    /// Applies what was gathered, together with how far into the log it reaches.
    pub(crate) fn apply(&mut self, reflects: Option<Reflects>) -> Result<(), IndexError> {
        let Some(reflects) = reflects.or(self.reflects) else {
            return Ok(());
        };
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut batch = std::mem::take(&mut self.batch);
        batch.put(Keyspace::Meta, meta::TALLY, self.tally.encode());
        batch.put(Keyspace::Meta, meta::AUDIT, self.audit.encode());
        let moved = std::mem::take(&mut self.moved);
        let changing = self.sums.change(self.tags, self.index, moved, &mut batch)?;
        self.index.apply(batch, reflects)?;
        changing.done();
        self.rows.clear();
        self.papers.clear();
        self.segments.clear();
        self.withdrawals.clear();
        Ok(())
    }
}
