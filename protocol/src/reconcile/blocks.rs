//! Sums kept beside a sorted set of places: one for each block of some 64 neighbours. Where a block
//! begins is decided by what is in it, so that two who hold nearly the same have nearly the same
//! blocks, and what both compare is sums of whole blocks; place by place is read only where a
//! difference lies.
//!
//! A block begins at every place whose keyed hash has six low bits of zero (a divider), and at the
//! first place of a day. One that grew beyond [`MOST`] places, for somebody chose them so, is cut in
//! two. No block reaches from one day into the next.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Key, Place, Sum};
use crate::identity::RecordId;

mod kept;
#[cfg(test)]
mod tests;

pub use kept::{Kept, Places};

/// Most places of a block, but for the one that makes it be cut.
pub const MOST: u64 = 1_024;

/// Blocks of a group, at most: what a snapshot shares, and a sum is taken over at once.
const GROUP: usize = 256;

/// A block: where it begins, and the sum of what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    start: Place,
    sum: Sum,
}

/// Neighbouring blocks; never none.
#[derive(Clone, Debug, Default)]
struct Group {
    blocks: Vec<Block>,
    sum: Sum,
}

/// Where a block is: its group, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct At {
    group: usize,
    block: usize,
}

/// The sums of a set of places under one key. A copy is a cheap snapshot.
#[derive(Clone)]
pub struct Blocks {
    key: Key,
    groups: Vec<Arc<Group>>,
    /// Where blocks begin that were changed, or are no more, since that was last asked.
    changed: BTreeSet<Place>,
}

impl Blocks {
    /// Of no places.
    pub const fn new(key: Key) -> Self {
        Self {
            key,
            groups: Vec::new(),
            changed: BTreeSet::new(),
        }
    }

    /// Of the places of an iterator, which are rising; nothing counts as changed.
    ///
    /// # Errors
    /// The first of the iterator.
    pub fn of<E>(key: Key, places: impl IntoIterator<Item = Result<Place, E>>) -> Result<Self, E> {
        let mut blocks = Self::new(key);
        let mut last: Option<Block> = None;
        for place in places {
            let place = place?;
            let sum = Sum::of(&blocks.key, &place);
            match &mut last {
                Some(block)
                    if !sum.divides() && block.sum.count() < MOST && block.start.day() == place.day() =>
                {
                    block.sum = block.sum.plus(sum);
                }
                _ => {
                    let first = last.is_none_or(|block| block.start.day() != place.day());
                    let start = if first && !sum.divides() {
                        place.day()
                    } else {
                        place.divider()
                    };
                    blocks.push(last.replace(Block { start, sum }));
                }
            }
        }
        blocks.push(last);
        Ok(blocks)
    }

    /// Takes up blocks that were kept, rising; `None` if they are not. Nothing counts as changed.
    pub fn from_rows(key: Key, rows: impl IntoIterator<Item = (Place, Sum)>) -> Option<Self> {
        let mut blocks = Self::new(key);
        let mut before = None;
        for (start, sum) in rows {
            if before.is_some_and(|before| before >= start) || sum.count() == 0 {
                return None;
            }
            before = Some(start);
            blocks.push(Some(Block { start, sum }));
        }
        Some(blocks)
    }

    /// All blocks, rising: where each begins, and its sum.
    pub fn rows(&self) -> impl Iterator<Item = (Place, Sum)> {
        let blocks = self.groups.iter().flat_map(|group| &group.blocks);
        blocks.map(|block| (block.start, block.sum))
    }

    /// The key of the sums.
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// The sum of all.
    pub fn sum(&self) -> Sum {
        let sums = self.groups.iter().map(|group| group.sum);
        sums.fold(Sum::default(), Sum::plus)
    }

    /// Which blocks changed since this was last asked: where they begin, with the sum; or none if no
    /// block begins there any more.
    pub fn take_changed(&mut self) -> Vec<(Place, Option<Sum>)> {
        let changed = std::mem::take(&mut self.changed);
        let row = |start: Place| {
            let block = self.last_at(&start).and_then(|at| self.block(at));
            let block = block.filter(|block| block.start == start);
            (start, block.map(|block| block.sum))
        };
        changed.into_iter().map(row).collect()
    }

    /// Takes in a place that is not in the set. `places` tells what is in it.
    ///
    /// # Errors
    /// If places could not be read; nothing has changed then.
    pub fn insert<P: Places>(&mut self, place: Place, places: &P) -> Result<(), P::Error> {
        let sum = Sum::of(&self.key, &place);
        let Some((at, block)) = self.of_day(&place) else {
            let start = if sum.divides() {
                place.divider()
            } else {
                place.day()
            };
            self.enter(Block { start, sum });
            return Ok(());
        };
        if sum.divides() && block.start < place.divider() {
            // What follows in the block goes with it.
            let span = super::Span {
                from: place.divider(),
                to: self.end(at),
            };
            let mut tail = places.places(&span, usize::MAX)?;
            tail.retain(|other| *other != place);
            self.divide(at, place.divider(), &tail);
            let at = self.last_at(&place).filter(|_| !tail.is_empty());
            match at {
                Some(at) => self.change(at, |block| block.plus(sum)),
                None => self.enter(Block {
                    start: place.divider(),
                    sum,
                }),
            }
        } else if block.sum.count() < MOST {
            self.change(at, |block| block.plus(sum));
        } else {
            let (from, to) = (block.start, self.end(at));
            let mut all = places.places(&super::Span { from, to }, usize::MAX)?;
            all.retain(|other| *other != place);
            let before = all.partition_point(|other| *other < place);
            all.insert(before, place);
            self.change(at, |block| block.plus(sum));
            let start = all.get(all.len() / 2).map_or(from, Place::divider);
            let tail = all.partition_point(|other| *other < start);
            // Nobody makes so many ids that begin alike; if so, the block stays large.
            if start > from {
                self.divide(at, start, all.get(tail..).unwrap_or_default());
            }
        }
        Ok(())
    }

    /// Takes out a place that is in the set.
    pub fn remove(&mut self, place: &Place) {
        let sum = Sum::of(&self.key, place);
        let Some((at, block)) = self.of_day(place) else {
            return;
        };
        self.change(at, |block| block.minus(sum));
        let left = block.sum.minus(sum);
        if left.count() == 0 {
            self.take(at);
        } else if sum.divides() && block.start == place.divider() {
            // It no longer divides: what followed it belongs to the block before.
            let before = self.of_day_before(at);
            match before {
                Some((before, block)) if block.sum.count() + left.count() <= MOST => {
                    self.take(at);
                    self.change(before, |block| block.plus(left));
                }
                Some(_) => {}
                None => {
                    self.take(at);
                    self.enter(Block {
                        start: place.day(),
                        sum: left,
                    });
                }
            }
        }
    }

    /// Cuts a block in two; `tail` is what it holds from `start` on.
    fn divide(&mut self, at: At, start: Place, tail: &[Place]) {
        let sums = tail.iter().map(|place| Sum::of(&self.key, place));
        let moved = sums.fold(Sum::default(), Sum::plus);
        if moved.count() == 0 {
            return;
        }
        let whole = self
            .block(at)
            .is_some_and(|block| block.sum.count() == moved.count());
        if whole {
            self.take(at);
        } else {
            self.change(at, |block| block.minus(moved));
        }
        self.enter(Block { start, sum: moved });
    }

    /// The last block that begins at a place or before it.
    fn last_at(&self, place: &Place) -> Option<At> {
        let begins = |group: &Arc<Group>| group.blocks.first().is_some_and(|block| block.start <= *place);
        let group = self.groups.partition_point(begins).checked_sub(1)?;
        let blocks = &self.groups.get(group)?.blocks;
        let block = blocks
            .partition_point(|block| block.start <= *place)
            .checked_sub(1)?;
        Some(At { group, block })
    }

    /// The first block that begins at a place or behind it; that behind all if none does.
    fn first_at(&self, place: &Place) -> At {
        let begins = |group: &Arc<Group>| group.blocks.last().is_some_and(|block| block.start < *place);
        let group = self.groups.partition_point(begins);
        let found = self.groups.get(group);
        let block = found.map_or(0, |found| {
            found.blocks.partition_point(|block| block.start < *place)
        });
        At { group, block }
    }

    /// The block that a place is in, or would be.
    fn of_day(&self, place: &Place) -> Option<(At, Block)> {
        let at = self.last_at(place)?;
        let block = self.block(at)?;
        (block.start.day() == place.day()).then_some((at, block))
    }

    /// The block before one, if it is of the same day.
    fn of_day_before(&self, at: At) -> Option<(At, Block)> {
        let day = self.block(at)?.start.day();
        let before = self.before(at)?;
        let block = self.block(before)?;
        (block.start.day() == day).then_some((before, block))
    }

    fn block(&self, at: At) -> Option<Block> {
        self.groups.get(at.group)?.blocks.get(at.block).copied()
    }

    fn before(&self, at: At) -> Option<At> {
        if let Some(block) = at.block.checked_sub(1) {
            return Some(At { block, ..at });
        }
        let group = at.group.checked_sub(1)?;
        let block = self.groups.get(group)?.blocks.len().checked_sub(1)?;
        Some(At { group, block })
    }

    fn after(&self, at: At) -> At {
        let last = self
            .groups
            .get(at.group)
            .is_none_or(|group| at.block + 1 >= group.blocks.len());
        if last {
            At {
                group: at.group + 1,
                block: 0,
            }
        } else {
            At {
                block: at.block + 1,
                ..at
            }
        }
    }

    /// The first place behind what a block may hold.
    fn end(&self, at: At) -> Place {
        let Some(block) = self.block(at) else {
            return Place::END;
        };
        let day = block.start.next_day();
        let next = self.block(self.after(at));
        next.map_or(day, |next| next.start.min(day))
    }

    fn change(&mut self, at: At, to: impl FnOnce(Sum) -> Sum) {
        let Some(group) = self.groups.get_mut(at.group).map(Arc::make_mut) else {
            return;
        };
        if let Some(block) = group.blocks.get_mut(at.block) {
            let old = block.sum;
            block.sum = to(old);
            group.sum = group.sum.minus(old).plus(block.sum);
            self.changed.insert(block.start);
        }
    }

    /// Takes a block out whole.
    fn take(&mut self, at: At) {
        self.change(at, |_| Sum::default());
        let Some(group) = self.groups.get_mut(at.group).map(Arc::make_mut) else {
            return;
        };
        if at.block < group.blocks.len() {
            group.blocks.remove(at.block);
        }
        if group.blocks.is_empty() {
            self.groups.remove(at.group);
        }
    }

    /// Adds a block in its place.
    fn enter(&mut self, block: Block) {
        self.changed.insert(block.start);
        let at = match self.last_at(&block.start) {
            Some(At { group, block }) => At {
                group,
                block: block + 1,
            },
            None => At { group: 0, block: 0 },
        };
        let Some(group) = self.groups.get_mut(at.group).map(Arc::make_mut) else {
            return self.push(Some(block));
        };
        group.blocks.insert(at.block.min(group.blocks.len()), block);
        group.sum = group.sum.plus(block.sum);
        if group.blocks.len() > GROUP {
            let right = Group::of(group.blocks.split_off(GROUP / 2));
            group.sum = group.sum.minus(right.sum);
            self.groups.insert(at.group + 1, Arc::new(right));
        }
    }

    /// Adds a block behind all others.
    fn push(&mut self, block: Option<Block>) {
        let Some(block) = block else { return };
        match self.groups.last_mut().map(Arc::make_mut) {
            Some(group) if group.blocks.len() < GROUP => {
                group.blocks.push(block);
                group.sum = group.sum.plus(block.sum);
            }
            _ => self.groups.push(Arc::new(Group::of(vec![block]))),
        }
    }

    /// The sum of the blocks from one up to, but without, another.
    fn between(&self, from: At, to: At) -> Sum {
        let mut sum = Sum::default();
        for (number, group) in self.groups.iter().enumerate().skip(from.group) {
            let first = if number == from.group { from.block } else { 0 };
            let last = match number.cmp(&to.group) {
                Ordering::Less => group.blocks.len(),
                Ordering::Equal => to.block,
                Ordering::Greater => break,
            };
            if first == 0 && last == group.blocks.len() {
                sum = sum.plus(group.sum);
                continue;
            }
            let blocks = group.blocks.get(first..last).unwrap_or_default();
            sum = blocks.iter().fold(sum, |sum, block| sum.plus(block.sum));
        }
        sum
    }

    /// Makes a block's sum another's: what a collision would do.
    #[cfg(test)]
    pub(super) fn forge(&mut self, place: &Place, sum: Sum) {
        if let Some((at, _)) = self.of_day(place) {
            self.change(at, |_| sum);
        }
    }
}

impl Group {
    fn of(blocks: Vec<Block>) -> Self {
        let sum = blocks
            .iter()
            .fold(Sum::default(), |sum, block| sum.plus(block.sum));
        Self { blocks, sum }
    }
}

impl Place {
    /// Where the block of a divider begins: eight bytes of its id say enough.
    fn divider(&self) -> Self {
        let mut id = [0; 32];
        for (to, from) in id.iter_mut().zip(self.id.0).take(8) {
            *to = from;
        }
        Self {
            created: self.created,
            id: RecordId(id),
        }
    }
}
