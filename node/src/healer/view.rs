//! What is compared with a peer: what the store holds, and, where this node asks, also what it turned
//! away or asked this peer for in vain, so that none of that is found missing again and again.

use std::collections::BTreeSet;
use std::sync::Arc;

use hanse_protocol::identity::CommunityId;
use hanse_protocol::reconcile::{Blocks, Held, Kept, Key, Place, Places, Span, Sum};

use crate::clock;
use crate::exchange::Exchange;
use crate::store::{Reader, StoreError};

/// Records set aside that are looked at for one span.
const ASIDE: usize = 32_768;

/// Places read at once.
const CHUNK: usize = 1_024;

/// The records of a community in the store, summed up place by place.
#[derive(Clone)]
pub(super) struct Timeline {
    pub(super) store: Reader,
    pub(super) community: CommunityId,
}

impl Timeline {
    /// Calls `each` with the places of a span, rising, until it says no.
    fn walk(&self, span: &Span, mut each: impl FnMut(Place) -> bool) -> Result<(), StoreError> {
        let mut from = span.from;
        loop {
            let (start, end) = ((from.created, from.id), (span.to.created, span.to.id));
            let items = self.store.timeline(&self.community, start, end, CHUNK, false)?;
            let mut last = None;
            for item in &items {
                let place = Place {
                    created: item.created,
                    id: item.id,
                };
                // The page before ended with it.
                let again = place == from && from != span.from;
                if !again && !each(place) {
                    return Ok(());
                }
                last = Some(place);
            }
            match last {
                Some(last) if items.len() == CHUNK => from = last,
                _ => return Ok(()),
            }
        }
    }
}

impl Places for Timeline {
    type Error = StoreError;

    fn places(&self, span: &Span, limit: usize) -> Result<Vec<Place>, StoreError> {
        let mut places = Vec::new();
        if limit > 0 {
            self.walk(span, |place| {
                places.push(place);
                places.len() < limit
            })?;
        }
        Ok(places)
    }
}

/// Places of closed days with sums under the key of a pass: all are hashed once for it.
pub(super) type Hashed = Kept<Arc<Blocks>, Timeline>;

impl Timeline {
    /// The sums of all days before today under the key of a pass.
    pub(super) fn hash(&self, key: Key) -> Result<Arc<Blocks>, StoreError> {
        let closed = Span {
            from: Place::FIRST,
            to: Place::at(clock::now()).day(),
        };
        let mut places = Vec::new();
        self.walk(&closed, |place| {
            places.push(place);
            true
        })?;
        let blocks = Blocks::of(key, places.into_iter().map(Ok::<_, StoreError>))?;
        Ok(Arc::new(blocks))
    }
}

impl Held for Timeline {
    type Error = StoreError;

    fn sum(&self, key: &Key, span: &Span) -> Result<Sum, StoreError> {
        let mut sum = Sum::default();
        self.walk(span, |place| {
            sum = sum.plus(Sum::of(key, &place));
            true
        })?;
        Ok(sum)
    }

    fn places(&self, span: &Span, limit: usize) -> Result<Vec<Place>, StoreError> {
        Places::places(self, span, limit)
    }

    fn cuts(&self, span: &Span, parts: usize) -> Result<Vec<Place>, StoreError> {
        let mut places = Vec::new();
        self.walk(span, |place| {
            places.push(place);
            true
        })?;
        let size = places.len().div_ceil(parts).max(1);
        let cuts = places.into_iter().step_by(size).skip(1);
        Ok(cuts.filter(|place| *place > span.from).collect())
    }
}

/// What is compared with one peer.
pub(super) struct View<H> {
    pub(super) held: H,
    pub(super) exchange: Exchange,
    /// What that peer was asked for in vain.
    pub(super) fruitless: Arc<BTreeSet<Place>>,
}

impl<H: Held> View<H> {
    /// What of a span is not held and not to be asked for.
    fn aside(&self, span: &Span) -> Result<BTreeSet<Place>, H::Error> {
        let mut aside = BTreeSet::new();
        if span.from < span.to {
            aside.extend(self.exchange.aside(span, ASIDE));
            aside.extend(self.fruitless.range(span.from..span.to));
        }
        let mut held = BTreeSet::new();
        for place in &aside {
            let to = Span {
                from: *place,
                to: span.to,
            };
            if self.held.places(&to, 1)?.first() == Some(place) {
                held.insert(*place);
            }
        }
        Ok(&aside - &held)
    }
}

impl<H: Held> Held for View<H> {
    type Error = H::Error;

    fn sum(&self, key: &Key, span: &Span) -> Result<Sum, H::Error> {
        let aside = self.aside(span)?;
        let sums = aside.iter().map(|place| Sum::of(key, place));
        Ok(sums.fold(self.held.sum(key, span)?, Sum::plus))
    }

    fn sums(&self, key: &Key, from: Place, tos: &[Place]) -> Result<Vec<Sum>, H::Error> {
        let mut sums = self.held.sums(key, from, tos)?;
        let Some(to) = tos.last() else { return Ok(sums) };
        for place in self.aside(&Span { from, to: *to })? {
            let within = tos.partition_point(|to| *to <= place);
            if let Some(sum) = sums.get_mut(within) {
                *sum = sum.plus(Sum::of(key, &place));
            }
        }
        Ok(sums)
    }

    fn places(&self, span: &Span, limit: usize) -> Result<Vec<Place>, H::Error> {
        let mut places = self.held.places(span, limit)?;
        let aside = self.aside(span)?;
        if !aside.is_empty() {
            places.extend(aside);
            places.sort_unstable();
            places.truncate(limit);
        }
        Ok(places)
    }

    fn cuts(&self, span: &Span, parts: usize) -> Result<Vec<Place>, H::Error> {
        self.held.cuts(span, parts)
    }
}
