//! What is compared with a peer: what the store holds, and, where this node asks, also what it turned
//! away or asked this peer for in vain, so that none of that is found missing again and again.

use std::collections::BTreeSet;
use std::sync::Arc;

use hanse_protocol::identity::CommunityId;
use hanse_protocol::reconcile::{Blocks, Held, Kept, Key, Place, Places, Span, Sum};

use crate::clock;
use crate::exchange::{ASIDE_RECORDS, Exchange};
use crate::store::{Reader, StoreError, Timeline};

/// Places read at once.
const CHUNK: usize = 4_096;

/// Places with sums under the key of a pass: those of closed days are hashed once for it.
pub(super) type Hashed = Kept<Arc<Blocks>, Timeline>;

/// The sums of all days before today under the key of a pass.
pub(super) fn hash(store: &Reader, community: &CommunityId, key: Key) -> Result<Arc<Blocks>, StoreError> {
    let held = store.places(community);
    let mut span = Span {
        from: Place::FIRST,
        to: Place::at(clock::now()).day(),
    };
    let mut places = Vec::new();
    loop {
        let chunk = held.places(&span, CHUNK)?;
        let last = chunk.last().copied().filter(|_| chunk.len() == CHUNK);
        places.extend(chunk);
        match last {
            Some(last) => span.from = last.next(),
            None => break,
        }
    }
    let blocks = Blocks::of(key, places.into_iter().map(Ok::<_, StoreError>))?;
    Ok(Arc::new(blocks))
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
            aside.extend(self.exchange.aside(span, ASIDE_RECORDS));
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
