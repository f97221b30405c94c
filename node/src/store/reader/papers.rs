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
        self.read_papers(self.paper_rows(drawer, from, to, limit)?)
    }

    /// Papers of a drawer whose keys start with `start`, which holds no part of a handle, at most `limit`;
    /// otherwise as [`Self::papers`].
    ///
    /// # Errors
    /// [`StoreError::Log`], [`StoreError::Index`].
    pub fn papers_under(&self, drawer: Drawer, start: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError> {
        let place = self.shared.tags.paper(drawer, start);
        let pairs = self
            .index()
            .prefixed(Keyspace::Papers, &place, Direction::Forward, limit)?;
        let row = |(key, value): (Vec<u8>, Vec<u8>)| Ok((key, PaperRow::decode(&value)?));
        let rows: Result<_, StoreError> = pairs.into_iter().map(row).collect();
        self.read_papers(rows?)
    }

    fn read_papers(&self, rows: Vec<(Vec<u8>, PaperRow)>) -> Result<Vec<Pair>, StoreError> {
        let mut papers = Vec::new();
        for (_, row) in rows {
            if let Some(paper) = unless_damaged(self.paper_at(row.position))? {
                papers.push((paper.key, paper.bytes));
            }
        }
        Ok(papers)
    }

    /// Keys of a drawer in their order, after the one given, at most `limit`. Reads the index only, so in
    /// place of a handle in a key is its hash.
    ///
    /// # Errors
    /// [`StoreError::Index`].
    pub fn paper_keys(
        &self,
        drawer: Drawer,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.paper_rows(drawer, from, Bound::Unbounded, limit)?;
        // The first byte is the drawer's.
        Ok(rows
            .into_iter()
            .map(|(mut place, _)| place.split_off(1))
            .collect())
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
