//! Papers in the index: the latest of a key, when it leaves, and what stays of those before it.

use std::ops::Bound;

use hanse_protocol::timestamp::Timestamp;

use super::Updates;
use crate::store::catalogue::{self, Keyspace, PaperRow, Tags};
use crate::store::entry::{Entry, PaperEntry, Position};
use crate::store::index::{Direction, Index, IndexError};
use crate::store::lookup;

/// Bytes before the place of a paper in the key that says when it leaves.
const BEFORE_PLACE: usize = 1 + 8;

fn row(index: &dyn Index, place: &[u8]) -> Result<Option<PaperRow>, IndexError> {
    let found = index.get(Keyspace::Papers, place)?;
    found.map(|bytes| PaperRow::decode(&bytes)).transpose()
}

/// Keys of papers that leave by `now`, the earliest first, after the one given (none: from the first).
pub(in crate::store) fn leaving(
    index: &dyn Index,
    after: &[u8],
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Vec<u8>>, IndexError> {
    let end = catalogue::leaving(now.after(std::time::Duration::from_millis(1)), &[]);
    let (from, to) = (Bound::Excluded(after), Bound::Excluded(end.as_slice()));
    let pairs = index.range(Keyspace::Papers, from, to, Direction::Forward, limit)?;
    Ok(pairs.into_iter().map(|(key, _)| key).collect())
}

/// What stays of a paper when its segment is recast. That one was taken away is told as long as the log:
/// one from before it may be in another segment.
pub(in crate::store) fn keep(
    index: &dyn Index,
    tags: &Tags,
    position: Position,
    paper: PaperEntry,
) -> Result<Entry, IndexError> {
    let row = row(index, &tags.paper(paper.drawer, &paper.key))?;
    Ok(match row {
        _ if paper.bytes.is_empty() => Entry::Paper(paper),
        Some(row) if row.position == position => Entry::Paper(paper),
        // It may have replaced one that had longer to stay.
        None if paper.expires.is_some() => Entry::Paper(PaperEntry {
            bytes: Vec::new(),
            expires: None,
            ..paper
        }),
        _ => Entry::Void,
    })
}

impl Updates<'_> {
    fn paper_row(&self, place: &[u8]) -> Result<Option<PaperRow>, IndexError> {
        match self.papers.get(place) {
            Some(row) => Ok(*row),
            None => row(self.index, place),
        }
    }

    /// Puts a paper in its place, or takes away what is there.
    pub(in crate::store) fn paper(
        &mut self,
        position: Position,
        paper: &PaperEntry,
    ) -> Result<(), IndexError> {
        let place = self.tags.paper(paper.drawer, &paper.key);
        if let Some(old) = self.paper_row(&place)? {
            self.leave(&place, old)?;
            if paper.drawer.is_erased()
                && let Some(frame) = lookup::frame_row(self.index, old.position)?
            {
                self.mark(frame.span.segment, paper.at)?;
            }
        }
        if paper.bytes.is_empty() {
            return Ok(());
        }
        let row = PaperRow {
            position,
            bytes: u32::try_from(paper.bytes.len()).unwrap_or(u32::MAX),
            expires: paper.expires.filter(|at| at.as_millis() != 0),
        };
        if let Some(expires) = row.expires {
            self.batch
                .put(Keyspace::Papers, catalogue::leaving(expires, &place), []);
        }
        self.batch.put(Keyspace::Papers, place.clone(), row.encode());
        self.papers.insert(place, Some(row));
        Ok(())
    }

    /// Takes out the paper of a key that says when it leaves; whether there was one.
    pub(in crate::store) fn expire_paper(&mut self, leaving: &[u8]) -> Result<bool, IndexError> {
        let place = leaving.get(BEFORE_PLACE..).unwrap_or_default();
        self.batch.remove(Keyspace::Papers, leaving);
        let Some(row) = self.paper_row(place)? else {
            return Ok(false);
        };
        let due = row
            .expires
            .is_some_and(|at| catalogue::leaving(at, place) == leaving);
        if due {
            self.leave(place, row)?;
        }
        Ok(due)
    }

    /// Takes a paper out, and counts it as dead.
    fn leave(&mut self, place: &[u8], row: PaperRow) -> Result<(), IndexError> {
        self.bury(row.position, u64::from(row.bytes))?;
        if let Some(expires) = row.expires {
            self.batch
                .remove(Keyspace::Papers, catalogue::leaving(expires, place));
        }
        self.batch.remove(Keyspace::Papers, place);
        self.papers.insert(place.to_vec(), None);
        Ok(())
    }
}
