//! What one commit will hold, and who is told once it holds.

use std::collections::HashMap;

use hanse_protocol::admission::Whole;
use hanse_protocol::identity::RecordId;

use super::{ExchangeError, Reply};
use crate::store::StoreError;
use crate::store::entry::{Entry, Position};
use crate::store::facts::RecordFacts;

use std::sync::Arc;

/// Told after the commit, with the positions of the batch's entries, or with what went wrong.
type Told = Box<dyn FnOnce(Result<&[Position], &Arc<StoreError>>) + Send>;

/// Entries of the commit in the making.
#[derive(Default)]
pub(super) struct Batch {
    entries: Vec<(Entry, Option<RecordFacts>)>,
    told: Vec<Told>,
    /// Records whose header is in this batch; whether their body is, too.
    records: HashMap<RecordId, bool>,
    bytes: usize,
    /// Entries that are not worth a commit of their own.
    notes: usize,
}

impl Batch {
    /// Adds an entry and returns its place in the batch.
    pub(super) fn push(&mut self, entry: Entry, facts: Option<RecordFacts>) -> usize {
        self.bytes += match &entry {
            Entry::Record(record) => {
                self.records.insert(record.id, record.body.is_some());
                record.header.len() + record.body.as_ref().map_or(0, Vec::len)
            }
            Entry::Body(body) => {
                self.records.insert(body.id, true);
                body.body.len()
            }
            Entry::Charter(charter) => charter.bytes.len(),
            Entry::Audit(_) => 256,
            Entry::Note(note) => {
                self.notes += 1;
                note.bytes.len()
            }
            Entry::Void => 0,
        };
        self.entries.push((entry, facts));
        self.entries.len() - 1
    }

    /// Answers `reply` with what `answer` makes of the positions, once the commit is durable.
    pub(super) fn answer<T: Send + 'static>(
        &mut self,
        reply: Reply<T>,
        answer: impl FnOnce(&[Position]) -> T + Send + 'static,
    ) {
        self.told.push(Box::new(move |committed| {
            let told = match committed {
                Ok(positions) => Ok(answer(positions)),
                Err(error) => Err(ExchangeError::Store(Arc::clone(error))),
            };
            // Whoever asked may have gone; the fact is durable all the same.
            drop(reply.send(told));
        }));
    }

    /// Whether the batch holds this record's header, and if so whether its body too.
    pub(super) fn holds(&self, id: &RecordId) -> Option<bool> {
        self.records.get(id).copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.told.is_empty()
    }

    /// Whether it holds nothing that anybody waits for: notes, which may ride with the next commit. A
    /// note that comes with a deed has somebody who is answered.
    pub(super) fn may_wait(&self) -> bool {
        self.told.is_empty() && self.notes == self.entries.len()
    }

    /// Entries so far.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes so far, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn take(&mut self) -> (Vec<(Entry, Option<RecordFacts>)>, Vec<Told>) {
        let Self { entries, told, .. } = std::mem::take(self);
        (entries, told)
    }
}

/// A record's parts as entries want them.
pub(super) fn parts(whole: Whole) -> (RecordId, Vec<u8>, Vec<u8>) {
    let id = *whole.admitted().id();
    let (admitted, body) = whole.into_parts();
    (id, admitted.bytes().to_vec(), body)
}
