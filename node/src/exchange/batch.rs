//! What one commit will hold, and who is told once it holds.

use std::collections::{HashMap, HashSet};

use hanse_protocol::admission::Whole;
use hanse_protocol::identity::{Handle, RecordId};

use super::{ExchangeError, Reply};
use crate::store::StoreError;
use crate::store::entry::{BodyState, Entry, Position};
use crate::store::facts::RecordFacts;

use std::sync::Arc;

/// Told after the commit, with the positions of the batch's entries, or with what went wrong.
type Told = Box<dyn FnOnce(Result<&[Position], &Arc<StoreError>>) + Send>;

/// What is in a batch of a record.
#[derive(Clone, Copy)]
struct Held {
    /// The entry's place in the batch.
    entry: usize,
    /// Whether its body is awaited still.
    awaited: bool,
}

/// Entries of the commit in the making.
#[derive(Default)]
pub(super) struct Batch {
    entries: Vec<(Entry, Option<RecordFacts>)>,
    told: Vec<Told>,
    /// Records of which something is in this batch.
    records: HashMap<RecordId, Held>,
    /// What authors take back in this batch: it may follow in it.
    taken_back: HashSet<(Handle, RecordId)>,
    bytes: usize,
    /// Entries that are not worth a commit of their own.
    notes: usize,
}

impl Batch {
    /// Adds an entry and returns its place in the batch.
    pub(super) fn push(&mut self, entry: Entry, facts: Option<RecordFacts>) -> usize {
        let at = self.entries.len();
        self.bytes += match &entry {
            Entry::Record(record) => {
                let awaited = record.state == BodyState::Awaited;
                self.records.insert(record.id, Held { entry: at, awaited });
                record.header.len() + record.body.as_ref().map_or(0, Vec::len)
            }
            Entry::Body(body) => {
                let awaited = false;
                self.records.insert(body.id, Held { entry: at, awaited });
                body.body.len()
            }
            Entry::Charter(charter) => charter.bytes.len(),
            Entry::Audit(_) => 256,
            Entry::Note(note) => {
                self.notes += 1;
                note.bytes.len()
            }
            Entry::Paper(paper) => paper.key.len() + paper.bytes.len(),
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

    /// Whether the batch holds something of this record, and if so whether its body is awaited still.
    pub(super) fn awaits(&self, id: &RecordId) -> Option<bool> {
        self.records.get(id).map(|held| held.awaited)
    }

    /// Whether `author` takes this record back in this batch.
    pub(super) fn is_taken_back(&self, author: &Handle, id: &RecordId) -> bool {
        !self.taken_back.is_empty() && self.taken_back.contains(&(author.clone(), *id))
    }

    /// Notes that `author` takes a record back, and takes its body out if the batch brings it and it is
    /// the author's: what never was in the log cannot be left in it. `None` if the batch does not bring it,
    /// else whether there was something to take out.
    pub(super) fn take_back(&mut self, author: &Handle, id: &RecordId) -> Option<bool> {
        self.taken_back.insert((author.clone(), *id));
        let held = self.records.get_mut(id)?;
        let (entry, facts) = self.entries.get_mut(held.entry)?;
        let facts = facts.as_mut().filter(|facts| facts.author == *author);
        let state = match entry {
            Entry::Record(record) => &mut record.state,
            Entry::Body(body) => &mut body.state,
            _ => return Some(false),
        };
        let (Some(facts), true) = (facts, *state != BodyState::Gone) else {
            return Some(false);
        };
        *state = BodyState::Gone;
        held.awaited = false;
        facts.objects.clear();
        match entry {
            Entry::Record(record) => record.body = None,
            Entry::Body(body) => body.body.clear(),
            _ => {}
        }
        Some(true)
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
