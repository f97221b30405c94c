//! What a community's members compare: the places of all headers, and their sums, kept
//! with every commit.
//!
//! The sums of blocks are rows of the index, written in the batch that changes what they are of, so
//! that after any kill they are those of the timeline beside them. In memory is a copy, read at first
//! use: some 16,000 rows at a million records.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hanse_protocol::identity::{CommunityId, RecordId};
use hanse_protocol::reconcile::{Blocks, Kept, Key, Place, Places, Span, Sum};

use super::catalogue::{self, Fields, Keyspace, Tags, key, millis};
use super::index::{Batch, Direction, Index, IndexError};
use super::{Shared, StoreError};

/// The sums of every community in the index, as far as they were asked for.
#[derive(Default)]
pub(crate) struct Sums(Mutex<HashMap<CommunityId, Blocks>>);

/// Places that came (true) or left, of each community.
#[derive(Default)]
pub(crate) struct Moved(BTreeMap<CommunityId, BTreeMap<Place, bool>>);

impl Moved {
    /// Notes that a place came or left; the one takes the other back.
    pub(crate) fn note(&mut self, community: &CommunityId, place: Place, came: bool) {
        let moved = self.0.entry(*community).or_default();
        if moved.insert(place, came) == Some(!came) {
            moved.remove(&place);
        }
    }
}

/// Sums that are being changed, together with a batch of the index.
pub(crate) struct Changing<'a> {
    known: MutexGuard<'a, HashMap<CommunityId, Blocks>>,
    next: Vec<(CommunityId, Blocks)>,
}

impl Sums {
    /// The sums of a community as they stand.
    pub(crate) fn of(
        &self,
        tags: &Tags,
        index: &dyn Index,
        community: &CommunityId,
    ) -> Result<Blocks, IndexError> {
        known(&mut self.lock(), tags, index, community).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CommunityId, Blocks>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to a batch what the sums become. They are so once the batch was applied and
    /// [`Changing::done`] was told.
    pub(crate) fn change(
        &self,
        tags: &Tags,
        index: &dyn Index,
        moved: Moved,
        batch: &mut Batch,
    ) -> Result<Changing<'_>, IndexError> {
        let mut known_sums = self.lock();
        let mut next = Vec::new();
        for (community, moved) in moved.0 {
            let tag = tags.community(&community);
            let mut blocks = known(&mut known_sums, tags, index, &community)?.clone();
            for (place, came) in &moved {
                if *came {
                    let before = Before {
                        index,
                        tag,
                        moved: &moved,
                        place,
                    };
                    blocks.insert(*place, &before)?;
                } else {
                    blocks.remove(place);
                }
            }
            for (start, sum) in blocks.take_changed() {
                match sum {
                    Some(sum) => batch.put(Keyspace::Sums, row_key(tag, &start), sum.to_bytes()),
                    None => batch.remove(Keyspace::Sums, row_key(tag, &start)),
                }
            }
            next.push((community, blocks));
        }
        Ok(Changing {
            known: known_sums,
            next,
        })
    }
}

impl Changing<'_> {
    /// The batch was applied.
    pub(crate) fn done(mut self) {
        self.known.extend(self.next);
    }
}

fn known<'a>(
    known: &'a mut HashMap<CommunityId, Blocks>,
    tags: &Tags,
    index: &dyn Index,
    community: &CommunityId,
) -> Result<&'a Blocks, IndexError> {
    Ok(match known.entry(*community) {
        std::collections::hash_map::Entry::Occupied(found) => found.into_mut(),
        std::collections::hash_map::Entry::Vacant(free) => {
            free.insert(load(tags.community(community), index, community)?)
        }
    })
}

fn load(tag: [u8; 8], index: &dyn Index, community: &CommunityId) -> Result<Blocks, IndexError> {
    let pairs = index.prefixed(Keyspace::Sums, &tag, Direction::Forward, usize::MAX)?;
    let rows = pairs.iter().map(|(key, value)| row(key, value));
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    Blocks::from_rows(Key::of_community(community), rows).ok_or(IndexError::Malformed("order of sums"))
}

/// Of the place where a block begins, the first eight bytes of the id; the others are zero.
fn row_key(tag: [u8; 8], start: &Place) -> Vec<u8> {
    let id = start
        .id
        .as_bytes()
        .first_chunk::<8>()
        .copied()
        .unwrap_or_default();
    key(&[&tag, &millis(start.created), &id])
}

fn row(key: &[u8], value: &[u8]) -> Result<(Place, Sum), IndexError> {
    let mut fields = Fields(key);
    let _: [u8; 8] = fields.take()?;
    let created = fields.instant()?;
    let short: [u8; 8] = fields.take()?;
    let mut id = [0; 32];
    for (to, from) in id.iter_mut().zip(short) {
        *to = from;
    }
    let id = RecordId(id);
    let sum = Sum::from_bytes(&Fields(value).take()?);
    Ok((Place { created, id }, sum))
}

/// The places of a community in the index, as it stands at each reading.
fn timeline(index: &dyn Index, tag: [u8; 8], span: &Span, limit: usize) -> Result<Vec<Place>, IndexError> {
    let from = catalogue::timeline(tag, span.from.created, &span.from.id);
    let to = catalogue::timeline(tag, span.to.created, &span.to.id);
    let pairs = index.range(
        Keyspace::Timeline,
        Bound::Included(&from),
        Bound::Excluded(&to),
        Direction::Forward,
        limit,
    )?;
    let place = |(key, _): &(Vec<u8>, Vec<u8>)| {
        let mut fields = Fields(key.get(8..).unwrap_or_default());
        let (created, id) = (fields.instant()?, fields.id()?);
        Ok(Place { created, id })
    };
    pairs.iter().map(place).collect()
}

/// The places as they were before one of those that moved: those that come before it have moved
/// already.
struct Before<'a> {
    index: &'a dyn Index,
    tag: [u8; 8],
    moved: &'a BTreeMap<Place, bool>,
    place: &'a Place,
}

impl Places for Before<'_> {
    type Error = IndexError;

    fn places(&self, span: &Span, limit: usize) -> Result<Vec<Place>, IndexError> {
        let moved = self.moved.range(span.from..span.to);
        let mut moved = moved.take_while(|(place, _)| *place < self.place).peekable();
        let more = if moved.peek().is_some() {
            self.moved.len()
        } else {
            0
        };
        let mut places = timeline(self.index, self.tag, span, limit.saturating_add(more))?;
        if moved.peek().is_some() {
            let mut all: std::collections::BTreeSet<Place> = places.into_iter().collect();
            for (place, came) in moved {
                if *came {
                    all.insert(*place);
                } else {
                    all.remove(place);
                }
            }
            places = all.into_iter().take(limit).collect();
        }
        Ok(places)
    }
}

/// The places of a community as readers see them: what is durable, at the moment of each reading.
pub struct Timeline {
    shared: Arc<Shared>,
    tag: [u8; 8],
}

impl Places for Timeline {
    type Error = StoreError;

    fn places(&self, span: &Span, limit: usize) -> Result<Vec<Place>, StoreError> {
        Ok(timeline(&*self.shared.index, self.tag, span, limit)?)
    }
}

/// What a community's members compare: see [`super::Reader::held`].
pub type CommunityHeld = Kept<Blocks, Timeline>;

/// The set of a community, with its sums as they stand now.
pub(super) fn held(shared: &Arc<Shared>, community: &CommunityId) -> Result<CommunityHeld, StoreError> {
    let blocks = shared.sums.of(&shared.tags, &*shared.index, community)?;
    Ok(Kept::new(blocks, places(shared, community)))
}

pub(super) fn places(shared: &Arc<Shared>, community: &CommunityId) -> Timeline {
    Timeline {
        shared: Arc::clone(shared),
        tag: shared.tags.community(community),
    }
}
