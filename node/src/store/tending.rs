//! Looking after what is kept, a little at a time between commits: what has passed its time leaves
//! the index, and segments with much that is dead, or with anything that was taken back, are
//! recast, so that their room comes back.

use std::collections::HashSet;
use std::ops::Bound;
use std::time::Duration;

use hanse_protocol::identity::{CommunityId, Handle, RecordId};
use hanse_protocol::timestamp::Timestamp;

use super::catalogue::{self, Fields, Keyspace, SegmentRow, key, meta};
use super::entry::{BodyEntry, BodyState, Entry, Origin, Position, RecordEntry};
use super::facts::{Derive, RecordFacts};
use super::index::{Batch, Direction, IndexError};
use super::indexing::{Updates, papers, record_row};
use super::log::{Recasting, Span};
use super::reader::weight;
use super::replay::readable;
use super::{Store, StoreError, recasting};

/// Records looked at in one step.
const RECORDS: usize = 64;
/// Bytes of entries carried over in one step.
const BYTES: usize = 1 << 20;
/// Room beside a segment that is left when it is recast, bytes.
const BESIDE: u64 = 1 << 20;

/// What may leave, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The community whose records these are.
    pub community: CommunityId,
    /// The last time that is trusted: what has passed by it is taken for passed.
    pub now: Timestamp,
    /// What the clock shows: it says when what was taken back is to be gone.
    pub clock: Timestamp,
    /// How long after it was made a header may be needed.
    pub horizon: Duration,
    /// How long after it was made a body is kept at most, however late it expires.
    pub keep: Option<Duration>,
    /// How long after it was taken back a body may be on disk.
    pub erase_within: Duration,
    /// Whether records whose time has passed are looked for now; if not, only what was begun or was
    /// taken back is dealt with.
    pub expire: bool,
}

/// What one step came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tended {
    /// Bodies whose time had passed.
    pub bodies: u64,
    /// Records of which nothing is left.
    pub records: u64,
    /// Papers whose time had passed.
    pub papers: u64,
    /// Places in their authors' chains of those records.
    pub retired: Vec<Retired>,
    /// Bytes of log that came back.
    pub freed: u64,
    /// Numbers of segments that were recast, with those they now stand for.
    pub recast: Vec<u32>,
    /// Rotten stretches that went with their segment because something in it was taken back.
    pub damaged: Vec<Span>,
    /// Whether what was taken back stays on disk beyond its time, since there is too little room to
    /// rewrite its segment.
    pub cramped: bool,
    /// Whether more can be done at once.
    pub more: bool,
}

/// The place of a record that left.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Retired {
    /// Its author.
    pub author: Handle,
    /// The author's lane.
    pub lane: u16,
    /// The lane's epoch.
    pub epoch: u32,
    /// The number in that lane and epoch.
    pub seq: u64,
}

/// Where the looking after stands.
#[derive(Default)]
pub(super) struct Tending {
    recast: Option<Begun>,
    stage: Stage,
    /// Segments that are left alone until the next start: they cannot be recast, or hold damage.
    avoid: HashSet<u32>,
}

/// A recast under way.
struct Begun {
    recasting: Recasting,
    marks: u32,
    at: Timestamp,
    before: u64,
    erases: bool,
}

/// What is looked through, each from the key after the last.
#[derive(Default)]
enum Stage {
    #[default]
    Idle,
    Headers(Part, Vec<u8>),
    Expired(Vec<u8>),
    Old(Part, Vec<u8>),
    Papers(Vec<u8>),
}

/// Of which part of the timeline.
#[derive(Clone, Copy)]
enum Part {
    Counting,
    /// What lies beyond endings.
    Beyond,
}

impl Store {
    /// Does the next small part of what is due; never more than some milliseconds' work.
    ///
    /// # Errors
    /// As [`Store::commit`]: after a failure the store must be opened again.
    pub fn tend(&mut self, rules: &Rules, derive: &mut dyn Derive) -> Result<Tended, StoreError> {
        if self.behind {
            return Err(StoreError::Behind);
        }
        let mut tended = Tended::default();
        self.behind = true;
        self.tend_some(rules, derive, &mut tended)?;
        self.behind = false;
        Ok(tended)
    }

    fn tend_some(
        &mut self,
        rules: &Rules,
        derive: &mut dyn Derive,
        tended: &mut Tended,
    ) -> Result<(), StoreError> {
        if rules.expire && matches!(self.tending.stage, Stage::Idle) {
            self.tending.stage = Stage::Headers(Part::Counting, Vec::new());
        }
        if let Some(begun) = self.tending.recast.take() {
            tended.more = true;
            return self.carry_on(begun, rules, derive, tended);
        }
        if !matches!(self.tending.stage, Stage::Idle) {
            tended.more = true;
            return self.expire_some(rules, derive, tended);
        }
        tended.more = self.begin_recast(rules, tended)?;
        Ok(())
    }

    /// Looks at the next few records of a stage.
    fn expire_some(
        &mut self,
        rules: &Rules,
        derive: &mut dyn Derive,
        tended: &mut Tended,
    ) -> Result<(), StoreError> {
        let stage = std::mem::take(&mut self.tending.stage);
        if let Stage::Papers(after) = &stage {
            return self.expire_papers(after, rules, tended);
        }
        let (ids, after) = self.due(&stage, rules)?;
        let whole = matches!(stage, Stage::Headers(..));
        let shared = std::sync::Arc::clone(&self.shared);
        let mut updates = Updates::new(&shared.tags, &*shared.index, &shared.sums)?;
        for (id, key) in ids {
            let gone = self.take_out(&mut updates, &id, whole, rules, derive, tended)?;
            if let (false, Stage::Expired(_)) = (gone, &stage) {
                // Nothing to take out any more, or nothing that can be read: not looked at again.
                updates.forget_expiry(key);
            }
        }
        updates.apply(shared.index.reflects()?)?;
        self.tending.stage = match (stage, after) {
            (Stage::Headers(part, _), Some(after)) => Stage::Headers(part, after),
            (Stage::Headers(Part::Counting, _), None) => Stage::Headers(Part::Beyond, Vec::new()),
            (Stage::Headers(Part::Beyond, _), None) => Stage::Expired(Vec::new()),
            (Stage::Expired(_), Some(after)) => Stage::Expired(after),
            (Stage::Expired(_), None) => Stage::Old(Part::Counting, Vec::new()),
            (Stage::Old(part, _), Some(after)) => Stage::Old(part, after),
            (Stage::Old(Part::Counting, _), None) => Stage::Old(Part::Beyond, Vec::new()),
            (Stage::Old(Part::Beyond, _), None) => Stage::Papers(Vec::new()),
            (Stage::Papers(_) | Stage::Idle, _) => Stage::Idle,
        };
        Ok(())
    }

    /// Takes out the next few papers whose time has passed.
    fn expire_papers(&mut self, after: &[u8], rules: &Rules, tended: &mut Tended) -> Result<(), StoreError> {
        let shared = std::sync::Arc::clone(&self.shared);
        let mut updates = Updates::new(&shared.tags, &*shared.index, &shared.sums)?;
        let leaving = papers::leaving(&*shared.index, after, rules.now, RECORDS)?;
        for key in &leaving {
            tended.papers += u64::from(updates.expire_paper(key)?);
        }
        updates.apply(shared.index.reflects()?)?;
        if let (RECORDS, Some(last)) = (leaving.len(), leaving.into_iter().next_back()) {
            self.tending.stage = Stage::Papers(last);
        }
        Ok(())
    }

    /// The next ids of a stage with their keys, and the key to go on after if there is more.
    #[expect(clippy::type_complexity, reason = "used once, two lines below its meaning")]
    fn due(
        &self,
        stage: &Stage,
        rules: &Rules,
    ) -> Result<(Vec<(RecordId, Vec<u8>)>, Option<Vec<u8>>), StoreError> {
        let tag = |part: &Part| match part {
            Part::Counting => self.shared.tags.community(&rules.community),
            Part::Beyond => self.shared.tags.beyond(&rules.community),
        };
        let before = |span: Duration| {
            let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            Timestamp::from_millis(rules.now.as_millis().saturating_sub(millis))
        };
        let made = |part: &Part, cutoff: Timestamp| key(&[&tag(part), &catalogue::millis(cutoff)]);
        let (keyspace, start, end, skip, after) = match stage {
            Stage::Idle | Stage::Papers(_) => return Ok((Vec::new(), None)),
            Stage::Headers(part, after) => (
                Keyspace::Timeline,
                tag(part).to_vec(),
                made(part, before(rules.horizon)),
                16,
                after,
            ),
            Stage::Expired(after) => {
                let end = catalogue::millis(rules.now).to_vec();
                (Keyspace::Expiry, Vec::new(), end, 8, after)
            }
            Stage::Old(part, after) => match rules.keep {
                None => return Ok((Vec::new(), None)),
                Some(span) => {
                    let (from, to) = (tag(part).to_vec(), made(part, before(span)));
                    (Keyspace::Timeline, from, to, 16, after)
                }
            },
        };
        let from = if after.is_empty() {
            Bound::Included(start.as_slice())
        } else {
            Bound::Excluded(after.as_slice())
        };
        let to = Bound::Excluded(end.as_slice());
        let pairs = self
            .shared
            .index
            .range(keyspace, from, to, Direction::Forward, RECORDS)?;
        let more = (pairs.len() == RECORDS).then(|| pairs.last().map(|(key, _)| key.clone()));
        let id = |(key, _): (Vec<u8>, Vec<u8>)| {
            let id = Fields(key.get(skip..).unwrap_or_default()).id()?;
            Ok::<_, IndexError>((id, key))
        };
        let ids = pairs.into_iter().map(id).collect::<Result<_, _>>()?;
        Ok((ids, more.flatten()))
    }

    /// Takes a record's body out of the index, and with `whole` its header too unless something
    /// hangs on that. Whether anything was taken out.
    fn take_out(
        &self,
        updates: &mut Updates<'_>,
        id: &RecordId,
        whole: bool,
        rules: &Rules,
        derive: &mut dyn Derive,
        tended: &mut Tended,
    ) -> Result<bool, StoreError> {
        let (index, files) = (&*self.shared.index, &*self.shared.files);
        let Some(row) = updates.row(id)? else {
            return Ok(false);
        };
        let Some(Entry::Record(header)) = readable(files, index, row.header)? else {
            return Ok(false);
        };
        let Some((facts, bodies)) = self.facts(&header, row.body, row.header, derive)? else {
            return Ok(false);
        };
        if whole && facts.expires > rules.now {
            return Ok(false);
        }
        let whole = whole && !self.is_newest(&header, &facts)?;
        if !whole && (row.state == BodyState::Gone || (row.body.is_none() && facts.expires > rules.now)) {
            return Ok(false);
        }
        updates.take_out(&header.community, id, row, &facts, whole)?;
        if let Some(body) = row.body {
            updates.bury(body, bodies)?;
            tended.bodies += 1;
        }
        if whole {
            updates.bury(row.header, header.header.len() as u64)?;
            tended.records += 1;
            tended.retired.push(Retired {
                author: facts.author,
                lane: facts.lane,
                epoch: facts.epoch,
                seq: facts.seq,
            });
        }
        Ok(true)
    }

    /// The facts of a record with the body that counts, and the bytes of that body.
    fn facts(
        &self,
        header: &RecordEntry,
        body: Option<Position>,
        at: Position,
        derive: &mut dyn Derive,
    ) -> Result<Option<(RecordFacts, u64)>, StoreError> {
        let (index, files) = (&*self.shared.index, &*self.shared.files);
        let entry = match body {
            Some(position) if position != at => readable(files, index, position)?,
            Some(_) => Some(Entry::Record(header.clone())),
            None => Some(Entry::Record(RecordEntry {
                body: None,
                state: BodyState::Awaited,
                ..header.clone()
            })),
        };
        let Some(entry) = entry else { return Ok(None) };
        let facts = match &entry {
            Entry::Record(_) => derive.facts(&entry, None),
            other => derive.facts(other, Some(header)),
        };
        Ok(facts.map(|facts| (facts, weight(&entry) as u64)))
    }

    /// Whether a record is the newest of its author's lane: what comes next follows it.
    fn is_newest(&self, header: &RecordEntry, facts: &RecordFacts) -> Result<bool, IndexError> {
        let author = self.shared.tags.author(&header.community, &facts.author);
        let prefix = key(&[&author.0, &facts.lane.to_be_bytes()]);
        let newest = self
            .shared
            .index
            .prefixed(Keyspace::Chain, &prefix, Direction::Backward, 1)?;
        Ok(newest
            .first()
            .is_some_and(|(key, _)| key.ends_with(header.id.as_bytes())))
    }

    /// The entry that takes a record's body back, with what it takes out of the index; to be
    /// committed. From then on no reader sees the body, and [`Store::tend`] takes it off the disk.
    /// `None` if the record is not here or its body is gone already.
    ///
    /// # Errors
    /// Those of the index and the log. A body that has rotted is taken back like any other, but
    /// what it was found by stays in the index, and leads nowhere.
    pub fn erasure(
        &self,
        id: &RecordId,
        at: Timestamp,
        origin: Origin,
        derive: &mut dyn Derive,
    ) -> Result<Option<(Entry, Option<RecordFacts>)>, StoreError> {
        let (index, files) = (&*self.shared.index, &*self.shared.files);
        let Some(row) = record_row(index, id)?.filter(|row| row.state != BodyState::Gone) else {
            return Ok(None);
        };
        let Some(Entry::Record(header)) = readable(files, index, row.header)? else {
            return Ok(None);
        };
        let facts = self.facts(&header, row.body, row.header, derive)?;
        let entry = Entry::Body(BodyEntry {
            community: header.community,
            id: *id,
            body: Vec::new(),
            arrived: at,
            origin,
            state: BodyState::Gone,
        });
        Ok(Some((entry, facts.map(|(facts, _)| facts))))
    }

    /// Begins to recast the segment that needs it most, if one does.
    fn begin_recast(&mut self, rules: &Rules, tended: &mut Tended) -> Result<bool, StoreError> {
        let Some((number, erases)) = self.needy(rules, tended)? else {
            return Ok(false);
        };
        let before = self.log.extent().bytes;
        if number == self.log.active() {
            self.log.close_segment()?;
        }
        let mut sources = self.with_those_before(number)?;
        let mut bytes = 0_u64;
        for source in &sources {
            bytes = bytes.saturating_add(self.log.files().size(*source)?);
        }
        if !self.has_room_for(bytes) {
            sources = vec![number];
        }
        let mut marks = 0u32;
        for source in &sources {
            marks = marks.wrapping_add(SegmentRow::load(&*self.shared.index, *source)?.marks);
        }
        match Recasting::begin(self.log.files(), sources)? {
            Some(recasting) => {
                self.tending.recast = Some(Begun {
                    recasting,
                    marks,
                    at: rules.clock.max(Timestamp::from_millis(1)),
                    before,
                    erases,
                });
            }
            None => {
                self.tending.avoid.insert(number);
            }
        }
        Ok(true)
    }

    /// A segment in which something was taken back long enough ago, or else one at least half dead;
    /// and which of both.
    fn needy(&self, rules: &Rules, tended: &mut Tended) -> Result<Option<(u32, bool)>, StoreError> {
        let rows = recasting::all(&*self.shared.index)?;
        let rows = rows
            .iter()
            .filter(|(number, _)| !self.tending.avoid.contains(number));
        // Half the time is left for waiting until more has gathered.
        let due = |at: Timestamp| at.as_millis() != 0 && rules.clock >= at.after(rules.erase_within / 2);
        let files = self.log.files();
        let mut needy = None;
        for (number, row) in rows {
            let erases = due(row.erase);
            if !erases && (row.dead == 0 || needy.is_some()) {
                continue;
            }
            let size = files.size(*number)?;
            let half_dead = row.dead.saturating_mul(2) >= size;
            match (erases, self.has_room_for(size)) {
                (true, true) => return Ok(Some((*number, true))),
                // To run out of room in the midst of it would end the node, and again at each start.
                (true, false) => tended.cramped = true,
                (false, room) if room && half_dead => needy = Some((*number, false)),
                (false, _) => {}
            }
        }
        Ok(needy)
    }

    fn has_room_for(&self, bytes: u64) -> bool {
        let free = self.shared.files.free();
        free.is_ok_and(|free| free >= bytes.saturating_add(BESIDE))
    }

    /// A segment with those right before it that were recast, as far as they may go together.
    fn with_those_before(&self, number: u32) -> Result<Vec<u32>, StoreError> {
        let files = self.log.files();
        let mut numbers = files.numbers()?;
        numbers.retain(|other| *other <= number);
        let mut sources = vec![number];
        let dead = SegmentRow::load(&*self.shared.index, number)?.dead;
        let mut bytes = files.size(number)?.saturating_sub(dead);
        for other in numbers.into_iter().rev().skip(1) {
            bytes = bytes.saturating_add(files.size(other)?);
            let joins = bytes <= u64::from(self.log.segment_size())
                && !self.tending.avoid.contains(&other)
                && files.is_recast(other)?;
            if !joins {
                break;
            }
            sources.push(other);
        }
        sources.reverse();
        Ok(sources)
    }

    fn carry_on(
        &mut self,
        mut begun: Begun,
        rules: &Rules,
        derive: &mut dyn Derive,
        tended: &mut Tended,
    ) -> Result<(), StoreError> {
        let shared = std::sync::Arc::clone(&self.shared);
        let index = &*shared.index;
        let more = begun.recasting.step(BYTES, |position, entry| {
            let passed = |record: &RecordEntry| {
                let bare = Entry::Record(RecordEntry {
                    body: None,
                    state: BodyState::Awaited,
                    ..record.clone()
                });
                let facts = derive.facts(&bare, None);
                facts.is_some_and(|facts| facts.expires <= rules.now)
            };
            recasting::keep(index, &shared.tags, passed, position, entry).map_err(StoreError::from)
        })?;
        if more {
            self.tending.recast = Some(begun);
            return Ok(());
        }
        if !begun.recasting.holes().is_empty() {
            if !begun.erases {
                // Damage is left where it is for whoever looks into it.
                self.tending.avoid.insert(begun.recasting.number());
                return Ok(begun.recasting.abandon()?);
            }
            tended.damaged.extend(begun.recasting.holes());
            self.distrust_index()?;
        }
        self.put_in_place(&mut begun)?;
        self.log.measure()?;
        let extent = self.log.extent();
        self.tell_extent();
        tended.freed += begun.before.saturating_sub(extent.bytes);
        tended.recast.push(begun.recasting.number());
        if begun.erases {
            self.log.files().remove_torn()?;
        }
        Ok(())
    }

    fn put_in_place(&mut self, begun: &mut Begun) -> Result<(), StoreError> {
        let Begun {
            recasting, marks, at, ..
        } = begun;
        let index = &*self.shared.index;
        recasting.close()?;
        // What the index no longer tells of must stay untold after a power cut, or it would lead to
        // what is not there any more.
        recasting::announce(index, recasting.number(), recasting.generation())?;
        self.unsaved = 0;
        let cast = recasting::Cast {
            number: recasting.number(),
            generation: recasting.generation(),
            sources: recasting.sources(),
            range: recasting.range(),
            rows: recasting.rows(),
            marks: *marks,
            begun: *at,
        };
        let moving = self.shared.files.moving();
        recasting.take_place()?;
        cast.enter(index)?;
        drop(moving);
        Ok(())
    }

    /// Makes the next opening make the index anew: it may tell of records that a damaged stretch
    /// took with it, which are asked of peers again once it does not.
    fn distrust_index(&self) -> Result<(), IndexError> {
        let index = &*self.shared.index;
        let mut batch = Batch::default();
        batch.put(Keyspace::Meta, meta::OWNER, meta::DISTRUSTED);
        batch.put(Keyspace::Meta, meta::LOST, *b"x");
        index.apply(batch, index.reflects()?.unwrap_or_default())
    }
}
