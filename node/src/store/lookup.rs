//! From a position to the entry there: index, then log.

use std::ops::Bound;
use std::sync::Arc;

use super::StoreError;
use super::catalogue::{Fields, FrameRow, Keyspace};
use super::entry::{Entry, Position};
use super::index::{Direction, Index, IndexError};
use super::log::{Files, Frame};

/// The row of the frame that holds `position`.
pub(super) fn frame_row(index: &dyn Index, position: Position) -> Result<Option<FrameRow>, IndexError> {
    let key = position.0.to_be_bytes();
    let pairs = index.range(
        Keyspace::Frames,
        Bound::Unbounded,
        Bound::Included(&key),
        Direction::Backward,
        1,
    )?;
    let Some((key, value)) = pairs.first() else {
        return Ok(None);
    };
    let first = Fields(key).position()?;
    let row = FrameRow::decode(value)?;
    Ok((position < first.plus(u64::from(row.count))).then_some(row))
}

/// The frame that holds `position`.
pub(super) fn frame(
    files: &Files,
    index: &dyn Index,
    position: Position,
) -> Result<Option<Arc<Frame>>, StoreError> {
    match frame_row(index, position)? {
        Some(row) => Ok(Some(files.read(row.span)?)),
        None => Ok(None),
    }
}

/// The entry at `position`; `None` if there is none, or none any longer.
pub(super) fn entry(
    files: &Files,
    index: &dyn Index,
    position: Position,
) -> Result<Option<Entry>, StoreError> {
    let frame = frame(files, index, position)?;
    let entry = frame.and_then(|frame| frame.entry(position).cloned());
    Ok(entry.filter(|entry| *entry != Entry::Void))
}
