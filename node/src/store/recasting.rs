//! Keeps the index and recast segments of the log in step: what a new segment holds, and whether
//! the index tells of the segments that are there.

use std::ops::Bound;

use hanse_protocol::timestamp::Timestamp;

use super::StoreError;
use super::catalogue::{Fields, FrameRow, Keyspace, SegmentRow, Tags};
use super::entry::{BodyState, Entry, Position, RecordEntry};
use super::index::{Batch, Direction, Index, IndexError};
use super::indexing::{papers, record_row};
use super::log::{Files, Row};

/// A recast segment as the index shall tell of it.
pub(super) struct Cast<'a> {
    pub(super) number: u32,
    pub(super) generation: u32,
    /// What it stands for, its own number among them.
    pub(super) sources: &'a [u32],
    /// The first position, and the one after the last, that it stands for.
    pub(super) range: (Position, Position),
    pub(super) rows: &'a [Row],
    /// What it was begun with: what was taken back since stays marked.
    pub(super) marks: u32,
    /// When it was begun: from then on what was taken back since is waited for.
    pub(super) begun: Timestamp,
}

impl Cast<'_> {
    /// Makes the index tell of it in place of what it stands for.
    pub(super) fn enter(&self, index: &dyn Index) -> Result<(), IndexError> {
        let mut batch = Batch::default();
        let (first, next) = self.range;
        let (first, next) = (first.0.to_be_bytes(), next.0.to_be_bytes());
        let old = index.range(
            Keyspace::Frames,
            Bound::Included(&first),
            Bound::Excluded(&next),
            Direction::Forward,
            usize::MAX,
        )?;
        for (key, _) in old {
            batch.remove(Keyspace::Frames, key);
        }
        for Row { first, span, count } in self.rows {
            let row = FrameRow {
                span: *span,
                count: *count,
            };
            batch.put(Keyspace::Frames, first.0.to_be_bytes(), row.encode());
        }
        let row = SegmentRow::load(index, self.number)?;
        let mut marks = row.marks;
        for source in self.sources.iter().filter(|source| **source != self.number) {
            let other = SegmentRow::load(index, *source)?;
            marks = marks.wrapping_add(other.marks);
            batch.remove(Keyspace::Segments, source.to_be_bytes());
        }
        let unchanged = marks == self.marks;
        let row = SegmentRow {
            generation: self.generation,
            pending: 0,
            dead: 0,
            // What was due before is done: or whoever takes back one record after the other would have
            // the segment recast without end.
            erase: if unchanged {
                Timestamp::default()
            } else {
                self.begun
            },
            marks,
        };
        batch.put(Keyspace::Segments, self.number.to_be_bytes(), row.encode());
        index.apply(batch, index.reflects()?.unwrap_or_default())
    }
}

/// Notes durably that a segment is about to be replaced.
pub(super) fn announce(index: &dyn Index, number: u32, generation: u32) -> Result<(), IndexError> {
    let row = SegmentRow {
        pending: generation,
        ..SegmentRow::load(index, number)?
    };
    let mut batch = Batch::default();
    batch.put(Keyspace::Segments, number.to_be_bytes(), row.encode());
    index.apply(batch, index.reflects()?.unwrap_or_default())?;
    index.checkpoint()
}

/// Whether the index tells of the segments there are. One that was announced and is in place is
/// entered now; for anything else the index must be made anew.
pub(super) fn agree(files: &Files, found: &[(u32, u32)], index: &dyn Index) -> Result<bool, StoreError> {
    for (number, generation) in found.iter().copied() {
        let row = SegmentRow::load(index, number)?;
        if row.generation == generation {
            continue;
        }
        let rows = if row.pending == generation {
            files.rows(number)?
        } else {
            None
        };
        let Some((first, next, rows)) = rows else {
            return Ok(false);
        };
        let cast = Cast {
            number,
            generation,
            sources: &[number],
            range: (first, next),
            rows: &rows,
            // What was taken back while it was made cannot be told apart any longer: once more.
            marks: row.marks.wrapping_sub(1),
            begun: row.erase,
        };
        cast.enter(index)?;
    }
    for (number, row) in all(index)? {
        if row.generation != 0 && !found.contains(&(number, row.generation)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// All rows of segments.
pub(super) fn all(index: &dyn Index) -> Result<Vec<(u32, SegmentRow)>, IndexError> {
    // A row a segment that is not as it was written: few.
    let pairs = index.prefixed(Keyspace::Segments, &[], Direction::Forward, usize::MAX)?;
    let row = |(key, value): &(Vec<u8>, Vec<u8>)| Ok((Fields(key).u32()?, SegmentRow::decode(value)?));
    pairs.iter().map(row).collect()
}

/// What stays of an entry, by what the index still needs of it. `passed` says of a header that the
/// index does not know whether its time has passed.
pub(super) fn keep(
    index: &dyn Index,
    tags: &Tags,
    passed: impl FnOnce(&RecordEntry) -> bool,
    position: Position,
    entry: Entry,
) -> Result<Entry, IndexError> {
    Ok(match entry {
        Entry::Record(record) => match record_row(index, &record.id)? {
            None if passed(&record) => Entry::Void,
            None => Entry::Record(record),
            Some(row) if row.body == Some(position) => Entry::Record(record),
            Some(row) if row.header == position => Entry::Record(match record.body {
                None => record,
                Some(_) => RecordEntry {
                    body: None,
                    state: match row.state {
                        BodyState::Gone => BodyState::Gone,
                        _ => BodyState::Awaited,
                    },
                    ..record
                },
            }),
            Some(_) => Entry::Void,
        },
        Entry::Body(body) => match record_row(index, &body.id)? {
            Some(row) if row.body == Some(position) => Entry::Body(body),
            // The word that it is gone is needed as long as its header.
            Some(_) if matches!(body.state, BodyState::Gone | BodyState::Shed) => Entry::Body(body),
            _ => Entry::Void,
        },
        Entry::Note(note) => {
            let newest = index.get(Keyspace::Notes, &tags.note(&note.kind))?;
            if newest.is_some_and(|newest| newest == position.0.to_be_bytes()) {
                Entry::Note(note)
            } else {
                Entry::Void
            }
        }
        Entry::Paper(paper) => papers::keep(index, tags, position, paper)?,
        kept @ (Entry::Charter(_) | Entry::Audit(_) | Entry::Void) => kept,
    })
}
