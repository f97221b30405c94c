//! Reads frames of the log back into the index, asking for facts as it goes.

use hanse_protocol::identity::RecordId;

use super::catalogue::{Fields, Keyspace};
use super::entry::{BodyEntry, BodyState, Entry, Position, RecordEntry};
use super::facts::{Derive, RecordFacts};
use super::index::{Direction, Index, IndexError};
use super::indexing::{Outcome, Updates};
use super::log::{Files, Frame, LogError, Span};
use super::opening::Opening;
use super::{Progress, StoreError, lookup};

/// Changes of the index applied at once while replaying.
const BATCH: usize = 8_192;

/// A replay under way.
pub(super) struct Replay<'a> {
    pub(super) updates: Updates<'a>,
    pub(super) files: &'a Files,
    pub(super) index: &'a dyn Index,
    pub(super) derive: &'a mut dyn Derive,
    pub(super) progress: &'a mut dyn FnMut(Progress),
    pub(super) done: Progress,
    pub(super) opening: Opening,
}

impl Replay<'_> {
    /// Enters one frame.
    pub(super) fn frame(&mut self, span: Span, frame: &Frame) -> Result<(), StoreError> {
        if frame
            .entries
            .iter()
            .any(|entry| matches!(entry, Entry::Body(_) | Entry::Paper(_)))
        {
            // Its header, or the paper before it, may be in a frame gathered but not yet applied, where
            // it is not found.
            self.updates.apply(None)?;
        }
        let count = u32::try_from(frame.entries.len()).unwrap_or(u32::MAX);
        self.updates.frame(span, frame.first, count);
        for (number, entry) in (0..).zip(&frame.entries) {
            if *entry == Entry::Void {
                continue;
            }
            let facts = self.facts(frame, entry)?;
            match self
                .updates
                .entry(frame.first.plus(number), entry, facts.as_ref())?
            {
                Outcome::Indexed => {}
                Outcome::Underived => self.opening.underived += 1,
                Outcome::Orphan => self.opening.orphans += 1,
            }
            self.opening.replayed += 1;
        }
        if self.updates.len() >= BATCH {
            self.updates.apply(None)?;
        }
        self.done.done += u64::from(span.length);
        (self.progress)(self.done);
        Ok(())
    }

    fn facts(&mut self, frame: &Frame, entry: &Entry) -> Result<Option<RecordFacts>, StoreError> {
        let Entry::Body(body) = entry else {
            return Ok(self.derive.facts(entry, None));
        };
        let Some(header) = self.header(frame, &body.id)? else {
            return Ok(None);
        };
        if body.state == BodyState::Gone {
            return self.facts_of_gone(frame, body, &header);
        }
        Ok(self.derive.facts(entry, Some(&header)))
    }

    /// The facts of the body that went, so that what it brought into the index is taken out.
    fn facts_of_gone(
        &mut self,
        frame: &Frame,
        body: &BodyEntry,
        header: &RecordEntry,
    ) -> Result<Option<RecordFacts>, StoreError> {
        let row = self.updates.row(&body.id)?;
        let Some(old) = row.and_then(|row| row.body) else {
            let bare = RecordEntry {
                body: None,
                state: BodyState::Awaited,
                ..header.clone()
            };
            return Ok(self.derive.facts(&Entry::Record(bare), None));
        };
        Ok(match self.entry(frame, old)? {
            Some(entry @ Entry::Record(_)) => self.derive.facts(&entry, None),
            Some(entry) => self.derive.facts(&entry, Some(header)),
            None => None,
        })
    }

    fn header(&self, frame: &Frame, id: &RecordId) -> Result<Option<RecordEntry>, StoreError> {
        let Some(row) = self.updates.row(id)? else {
            return Ok(None);
        };
        Ok(match self.entry(frame, row.header)? {
            Some(Entry::Record(record)) => Some(record),
            _ => None,
        })
    }

    fn entry(&self, frame: &Frame, position: Position) -> Result<Option<Entry>, StoreError> {
        match frame.entry(position) {
            Some(entry) => Ok(Some(entry.clone())),
            None => readable(self.files, self.index, position),
        }
    }
}

/// The entry at `position`, unless its frame has rotted since it was indexed: one lost record must
/// not keep a store from opening. What hung on it is counted as orphaned or underived.
pub(super) fn readable(
    files: &Files,
    index: &dyn Index,
    position: Position,
) -> Result<Option<Entry>, StoreError> {
    match lookup::entry(files, index, position) {
        Err(StoreError::Log(LogError::Damaged(_))) => Ok(None),
        other => other,
    }
}

/// Shows `derive` every charter that the index knows of, in their order in the log.
pub(super) fn teach_charters(
    files: &Files,
    index: &dyn Index,
    derive: &mut dyn Derive,
) -> Result<(), StoreError> {
    for position in charters(index, &[])? {
        if let Some(entry) = readable(files, index, position)? {
            derive.facts(&entry, None);
        }
    }
    Ok(())
}

/// Positions of all charters whose key starts with `prefix`, in their order in the log.
pub(super) fn charters(index: &dyn Index, prefix: &[u8]) -> Result<Vec<Position>, IndexError> {
    // Charters are few: a version a change of membership, eight bytes each here.
    let pairs = index.prefixed(Keyspace::Charters, prefix, Direction::Forward, usize::MAX)?;
    let mut positions = pairs
        .iter()
        .map(|(key, _)| Fields(key.get(16..).unwrap_or_default()).position())
        .collect::<Result<Vec<_>, _>>()?;
    positions.sort_unstable();
    Ok(positions)
}
