//! Reading papers: by key, or those of a drawer in the order of their keys.

use std::ops::Bound;

use super::Reader;
use crate::store::catalogue::{Keyspace, PaperRow, drawer_number};
use crate::store::entry::{Drawer, Entry, PaperEntry, Position};
use crate::store::index::{Direction, Pair, after_prefix};
use crate::store::{StoreError, unless_damaged};

impl Reader {
    /// The paper under `key`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Log`], [`StoreError::Index`].
    pub fn paper(&self, drawer: Drawer, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let place = self.shared.tags.paper(drawer, key);
        let Some(row) = self.index().get(Keyspace::Papers, &place)? else {
            return Ok(None);
        };
        let row = PaperRow::decode(&row)?;
        Ok(self.paper_at(row.position)?.map(|paper| paper.bytes))
    }

    /// Papers of a drawer with their keys between two bounds, in the keys' order, at most `limit`. Where
    /// handles are in keys, those of one beginning are in no order that can be told. What is in a damaged
    /// stretch is passed over.
    ///
    /// # Errors
    /// [`StoreError::Log`], [`StoreError::Index`].
    pub fn papers(
        &self,
        drawer: Drawer,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        let mut papers = Vec::new();
        for (_, row) in self.paper_rows(drawer, from, to, limit)? {
            if let Some(paper) = unless_damaged(self.paper_at(row.position))? {
                papers.push((paper.key, paper.bytes));
            }
        }
        Ok(papers)
    }

    /// How many papers a drawer holds, counted up to `limit`. Reads the index only.
    ///
    /// # Errors
    /// [`StoreError::Index`].
    pub fn paper_count(&self, drawer: Drawer, limit: usize) -> Result<usize, StoreError> {
        let rows = self.paper_rows(drawer, Bound::Unbounded, Bound::Unbounded, limit)?;
        Ok(rows.len())
    }

    fn paper_rows(
        &self,
        drawer: Drawer,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, PaperRow)>, StoreError> {
        let place = |bound: Bound<&[u8]>| bound.map(|key| self.shared.tags.paper(drawer, key));
        let first = [drawer_number(drawer)];
        let from = match place(from) {
            Bound::Unbounded => Bound::Included(first.to_vec()),
            bound => bound,
        };
        let to = match place(to) {
            Bound::Unbounded => after_prefix(&first).map_or(Bound::Unbounded, Bound::Excluded),
            bound => bound,
        };
        let (from, to) = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
        let pairs = self
            .index()
            .range(Keyspace::Papers, from, to, Direction::Forward, limit)?;
        let row = |(key, value): (Vec<u8>, Vec<u8>)| Ok((key, PaperRow::decode(&value)?));
        pairs.into_iter().map(row).collect()
    }

    fn paper_at(&self, position: Position) -> Result<Option<PaperEntry>, StoreError> {
        Ok(match self.entry(position)? {
            Some(Entry::Paper(paper)) => Some(paper),
            _ => None,
        })
    }
}
