//! What a node holds, told from its blocks and, where those do not suffice, from the places.

use std::borrow::Borrow;

use super::{At, Blocks, Sum};
use crate::reconcile::{Held, Key, Place, Span};

/// With so many blocks in a span, it is cut between blocks; with fewer, place by place.
const BETWEEN: usize = 8;

/// Places read at once where sums are asked for under a key that none are kept under.
const CHUNK: usize = 4_096;

/// Most places read to cut a span: more than so few blocks hold, unless they grow meanwhile.
const READ: usize = 16_384;

/// A sorted set of places that can be read.
pub trait Places {
    /// Why it could not be read.
    type Error;

    /// The first places of a span, rising, at most `limit`.
    ///
    /// # Errors
    /// If they could not be read.
    fn places(&self, span: &Span, limit: usize) -> Result<Vec<Place>, Self::Error>;
}

impl<P: Places + ?Sized> Places for &P {
    type Error = P::Error;

    fn places(&self, span: &Span, limit: usize) -> Result<Vec<Place>, P::Error> {
        P::places(self, span, limit)
    }
}

/// A set of places with the sums that are kept of it. Under a key other than that of the sums, every
/// place asked about is read and hashed.
///
/// The sums may be a little older than the places, never newer by more than what is being written.
pub struct Kept<B, P> {
    blocks: B,
    places: P,
}

/// What was read last: its place in the order, and each with its sum.
type Reading = Vec<(Place, Sum)>;

impl<B: Borrow<Blocks>, P: Places> Kept<B, P> {
    /// Of places, and the sums of them.
    pub const fn new(blocks: B, places: P) -> Self {
        Self { blocks, places }
    }

    /// The sums.
    pub fn blocks(&self) -> &Blocks {
        self.blocks.borrow()
    }

    /// The places.
    pub const fn places(&self) -> &P {
        &self.places
    }

    /// The first block that may hold something of a span, and the first behind all of them.
    fn blocks_of(&self, span: &Span) -> (At, At) {
        let blocks = self.blocks();
        let to = blocks.first_at(&span.to);
        let from = match blocks.last_at(&span.from) {
            Some(at) if blocks.end(at) > span.from => at,
            Some(at) => blocks.after(at),
            None => At { group: 0, block: 0 },
        };
        (from, to)
    }

    /// Sums of adjacent spans by hashing each place.
    fn hashed(&self, key: &Key, from: Place, tos: &[Place]) -> Result<Vec<Sum>, P::Error> {
        let mut from = from;
        let mut sums = Vec::with_capacity(tos.len());
        for to in tos {
            let mut sum = Sum::default();
            let mut span = Span { from, to: *to };
            loop {
                let places = self.places.places(&span, CHUNK)?;
                sum = places
                    .iter()
                    .fold(sum, |sum, place| sum.plus(Sum::of(key, place)));
                match places.last() {
                    Some(last) if places.len() == CHUNK => span.from = last.next(),
                    _ => break,
                }
            }
            sums.push(sum);
            from = *to;
        }
        Ok(sums)
    }

    /// What a span has of a block that it cuts. What was read of the block stays at hand for the spans
    /// that follow; `all` is what they make up.
    fn part(
        &self,
        at: At,
        span: &Span,
        all: &Span,
        read: &mut Option<(At, Reading)>,
    ) -> Result<Sum, P::Error> {
        if read.as_ref().is_none_or(|(of, _)| *of != at) {
            let blocks = self.blocks();
            let start = blocks.block(at).map_or(Place::FIRST, |block| block.start);
            let needed = Span {
                from: start.max(all.from),
                to: blocks.end(at).min(all.to),
            };
            let places = self.places.places(&needed, READ)?;
            let hashed = places.iter().map(|place| (*place, Sum::of(blocks.key(), place)));
            *read = Some((at, hashed.collect()));
        }
        let reading = read.iter().flat_map(|(_, reading)| reading);
        let within = reading.filter(|(place, _)| span.contains(place));
        Ok(within.fold(Sum::default(), |sum, (_, of)| sum.plus(*of)))
    }

    /// Cuts between blocks, by how many places those hold.
    fn cuts_between(&self, span: &Span, from: At, to: At, parts: usize) -> Vec<Place> {
        let blocks = self.blocks();
        let total = blocks.between(from, to).count();
        let parts = u64::try_from(parts).unwrap_or(u64::MAX).max(1);
        let step = (total / parts).max(1);
        let (mut passed, mut cuts) = (0, Vec::new());
        let mut wanted = step;
        for (number, group) in blocks.groups.iter().enumerate().skip(from.group) {
            if number > to.group {
                break;
            }
            if number > from.group && passed + group.sum.count() < wanted {
                passed += group.sum.count();
                continue;
            }
            let first = if number == from.group { from.block } else { 0 };
            for (block, found) in group.blocks.iter().enumerate().skip(first) {
                if number == to.group && block >= to.block {
                    break;
                }
                if passed >= wanted && found.start > span.from {
                    cuts.push(found.start);
                    wanted = passed + step;
                }
                passed += found.sum.count();
            }
        }
        cuts.truncate(usize::try_from(parts - 1).unwrap_or(usize::MAX));
        cuts
    }
}

impl<B: Borrow<Blocks>, P: Places> Held for Kept<B, P> {
    type Error = P::Error;

    fn sum(&self, key: &Key, span: &Span) -> Result<Sum, P::Error> {
        let sums = self.sums(key, span.from, &[span.to])?;
        Ok(sums.into_iter().next().unwrap_or_default())
    }

    fn sums(&self, key: &Key, from: Place, tos: &[Place]) -> Result<Vec<Sum>, P::Error> {
        let blocks = self.blocks();
        if blocks.key() != key {
            return self.hashed(key, from, tos);
        }
        let to = tos.last().copied().unwrap_or(from);
        let all = Span { from, to };
        let mut read = None;
        let mut sums = Vec::with_capacity(tos.len());
        let mut span = Span { from, to: from };
        for to in tos {
            span = Span {
                from: span.to,
                to: *to,
            };
            let (mut first, mut last) = self.blocks_of(&span);
            let mut sum = Sum::default();
            if first < last && blocks.block(first).is_some_and(|block| block.start < span.from) {
                sum = sum.plus(self.part(first, &span, &all, &mut read)?);
                first = blocks.after(first);
            }
            if first < last
                && let Some(before) = blocks.before(last)
                && blocks.end(before) > span.to
            {
                sum = sum.plus(self.part(before, &span, &all, &mut read)?);
                last = before;
            }
            if first < last {
                sum = sum.plus(blocks.between(first, last));
            }
            sums.push(sum);
        }
        Ok(sums)
    }

    fn places(&self, span: &Span, limit: usize) -> Result<Vec<Place>, P::Error> {
        self.places.places(span, limit)
    }

    fn cuts(&self, span: &Span, parts: usize) -> Result<Vec<Place>, P::Error> {
        let blocks = self.blocks();
        let (from, to) = self.blocks_of(span);
        let mut at = from;
        let few = (0..BETWEEN).any(|_| {
            let done = at >= to;
            at = blocks.after(at);
            done
        });
        if !few {
            let cuts = self.cuts_between(span, from, to, parts);
            if !cuts.is_empty() {
                return Ok(cuts);
            }
        }
        let places = self.places.places(span, READ)?;
        let step = places.len().div_ceil(parts.max(1)).max(1);
        let firsts = places.windows(2).skip(step - 1).step_by(step);
        let cut = |pair: &[Place]| match pair {
            [before, first] => Some(first.divide(before)),
            _ => None,
        };
        Ok(firsts.filter_map(cut).collect())
    }
}

impl Place {
    /// The place right behind this one.
    pub fn next(&self) -> Self {
        let mut next = *self;
        for byte in next.id.0.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                return next;
            }
        }
        Self::at(crate::timestamp::Timestamp::from_millis(
            self.created.as_millis().saturating_add(1),
        ))
    }
}
