//! What a node holds: a set in memory, in the order of places, with the sum of each.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use hanse_protocol::frame::Carried;
use hanse_protocol::reconcile::{Held, Key, Place, Span, Sum};

/// The set.
#[derive(Default)]
pub(crate) struct Shelf(BTreeMap<Place, (Sum, Arc<Carried>)>);

impl Shelf {
    /// Adds a record, and says whether it is new. The sum is kept under `key`, the one key it is ever
    /// asked for.
    pub(crate) fn put(&mut self, key: &Key, place: Place, record: Arc<Carried>) -> bool {
        self.0.insert(place, (Sum::of(key, &place), record)).is_none()
    }

    /// The record at a place.
    pub(crate) fn at(&self, place: &Place) -> Option<&Arc<Carried>> {
        self.0.get(place).map(|(_, record)| record)
    }

    /// The records of a span, rising.
    pub(crate) fn within(&self, span: &Span) -> impl Iterator<Item = (&Place, &Arc<Carried>)> {
        let held = range(&self.0, span);
        held.map(|(place, (_, record))| (place, record))
    }

    /// One of the records, if there are any.
    pub(crate) fn some(&self, number: usize) -> Option<&Arc<Carried>> {
        let count = self.0.len().max(1);
        self.0.values().nth(number % count).map(|(_, record)| record)
    }
}

type Kept = BTreeMap<Place, (Sum, Arc<Carried>)>;

fn range<'a>(
    held: &'a Kept,
    span: &Span,
) -> impl Iterator<Item = (&'a Place, &'a (Sum, Arc<Carried>))> + use<'a> {
    // A span whose end lies before its start is an empty one.
    let to = span.to.max(span.from);
    held.range(span.from..to)
}

impl Held for Shelf {
    type Error = Infallible;

    fn sum(&self, _: &Key, span: &Span) -> Result<Sum, Infallible> {
        let sums = range(&self.0, span).map(|(_, (sum, _))| *sum);
        Ok(sums.fold(Sum::default(), Sum::plus))
    }

    fn places(&self, span: &Span, limit: usize) -> Result<Vec<Place>, Infallible> {
        Ok(range(&self.0, span)
            .take(limit)
            .map(|(place, _)| *place)
            .collect())
    }

    fn cuts(&self, span: &Span, parts: usize) -> Result<Vec<Place>, Infallible> {
        let places = self.places(span, usize::MAX)?;
        let size = places.len().div_ceil(parts).max(1);
        Ok(places.into_iter().step_by(size).skip(1).collect())
    }
}
