//! Lays out a commit: numbers and chains its audit lines, encodes its entries, and cuts it into as
//! few frames as their bound allows.

use std::ops::Range;

use super::StoreError;
use super::entry::{Entry, EntryError, Position};
use super::facts::RecordFacts;
use super::indexing::AuditHead;
use super::log::{HEADS, PLAINTEXT, Payload, heads};

/// A commit ready to be written.
pub(super) struct Plan {
    /// What is written, one a frame.
    pub(super) payloads: Vec<Payload>,
    /// What was written, one a frame.
    pub(super) frames: Vec<Planned>,
    /// Facts of all entries, in order.
    pub(super) facts: Vec<Option<RecordFacts>>,
    first: Position,
}

/// The entries of one frame.
pub(super) struct Planned {
    pub(super) first: Position,
    pub(super) entries: Vec<Entry>,
    /// Their facts' places in [`Plan::facts`].
    pub(super) facts: Range<usize>,
}

impl Plan {
    /// Lays out `entries` from position `first` on.
    pub(super) fn new(
        entries: Vec<(Entry, Option<RecordFacts>)>,
        first: Position,
        audit: &mut AuditHead,
    ) -> Result<Self, StoreError> {
        let mut plan = Self {
            payloads: Vec::new(),
            frames: Vec::new(),
            facts: Vec::with_capacity(entries.len()),
            first,
        };
        let mut text = Vec::new();
        let mut held = Vec::with_capacity(entries.len());
        let mut one = Vec::new();
        for (mut entry, facts) in entries {
            if let Entry::Audit(line) = &mut entry {
                audit.chain(line);
            }
            one.clear();
            entry.encode_into(&mut one).map_err(StoreError::Entry)?;
            if !held.is_empty() && HEADS + text.len() + one.len() > PLAINTEXT {
                plan.cut(&mut held, &mut text).map_err(StoreError::Entry)?;
            }
            text.extend_from_slice(&one);
            held.push(entry);
            plan.facts.push(facts);
        }
        plan.cut(&mut held, &mut text).map_err(StoreError::Entry)?;
        Ok(plan)
    }

    /// Closes a frame with what is held.
    fn cut(&mut self, held: &mut Vec<Entry>, text: &mut Vec<u8>) -> Result<(), EntryError> {
        let from = self.frames.last().map_or(0, |frame| frame.facts.end);
        let facts = from..from + held.len();
        let first = self.first.plus(from as u64);
        let mut plaintext = Vec::with_capacity(HEADS + text.len());
        heads(first, held.len(), &mut plaintext)?;
        plaintext.append(text);
        self.payloads.push(Payload {
            first,
            count: held.len() as u64,
            plaintext,
        });
        self.frames.push(Planned {
            first,
            entries: std::mem::take(held),
            facts,
        });
        Ok(())
    }

    /// Where the entries go.
    pub(super) fn positions(&self) -> Vec<Position> {
        (0..self.facts.len() as u64).map(|n| self.first.plus(n)).collect()
    }
}
