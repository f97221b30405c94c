//! What is in quarantine, and what today's policies would say of it.

use hanse_protocol::identity::RecordId;
use hanse_protocol::local::{self, QuarantinedRecord};
use hanse_protocol::tlp::Tlp;

use super::{Book, Reading, ReadingError};
use crate::exchange::accepting::{self, Kept};
use crate::store::StoreError;
use crate::store::entry::{BodyState, Drawer};

/// Keys looked up at once.
const CHUNK: usize = 256;

impl Reading {
    /// Records in quarantine by their ids, after one of them.
    ///
    /// # Errors
    /// [`ReadingError::Store`].
    pub fn quarantine(
        &self,
        after: Option<RecordId>,
        limit: usize,
        ceiling: Tlp,
    ) -> Result<local::QuarantinePage, ReadingError> {
        let limit = limit.clamp(1, local::PAGE);
        let mut page = local::QuarantinePage::default();
        let mut last = after.map(|id| id.as_bytes().to_vec());
        loop {
            let keys = self
                .store
                .paper_keys(Drawer::Quarantine, last.as_deref(), CHUNK)?;
            let Some(newest) = keys.last().cloned() else {
                return Ok(page);
            };
            for key in &keys {
                let Some(id) = accepting::is_quarantined(&self.store, key)? else {
                    continue;
                };
                if page.records.len() == limit {
                    page.next = page.records.last().map(|record| record.record.id);
                    return Ok(page);
                }
                if let Some(book) = self.book(&id)?.filter(|book| book.is_below(ceiling)) {
                    page.records.extend(self.quarantined_view(&book, None)?);
                }
            }
            last = Some(newest);
        }
    }

    /// A record in quarantine with its objects.
    ///
    /// # Errors
    /// [`ReadingError::NotFound`] if it is not there, or not for this reader.
    pub fn quarantined(&self, id: &RecordId, ceiling: Tlp) -> Result<QuarantinedRecord, ReadingError> {
        let book = self.book(id)?.filter(|book| book.is_below(ceiling));
        let book = book.ok_or(ReadingError::NotFound)?;
        let view = self.quarantined_view(&book, Some(ceiling))?;
        view.ok_or(ReadingError::NotFound)
    }

    /// Whether a record can be reviewed by who sees so much.
    ///
    /// # Errors
    /// [`ReadingError::NotFound`] if it is not held, or not for this reader.
    pub fn reviewable(&self, id: &RecordId, ceiling: Tlp) -> Result<(), ReadingError> {
        let book = self.book(id)?.filter(|book| book.is_below(ceiling));
        book.map(drop).ok_or(ReadingError::NotFound)
    }

    /// Records in quarantine.
    pub(super) fn quarantined_count(&self) -> Result<u64, StoreError> {
        accepting::count(&self.store)
    }

    fn quarantined_view(
        &self,
        book: &Book,
        objects_up_to: Option<Tlp>,
    ) -> Result<Option<QuarantinedRecord>, ReadingError> {
        let id = book.admitted.id();
        let expired = book.admitted.header().expires <= crate::clock::now();
        if expired || book.stored.state != BodyState::Quarantined {
            return Ok(None);
        }
        let Some(charters) = self.exchange.standing().charters.clone() else {
            return Ok(None);
        };
        let (Some(opened), Some(kept)) = (&book.opened, Kept::load(&self.store, id)?) else {
            return Ok(None);
        };
        let Ok(sound) = opened.sound() else {
            return Ok(None);
        };
        let header = book.admitted.header();
        let arriving = accepting::arriving(opened, kept.rate);
        let now = crate::clock::now();
        let today = self
            .exchange
            .accepting()
            .ask(charters.charter(), &header.author, &sound, arriving, now);
        let mut record = self.view(book, None);
        record.objects = objects_up_to.and_then(|ceiling| book.objects(ceiling));
        Ok(Some(QuarantinedRecord {
            record,
            since: kept.since,
            then: kept.view(),
            now: accepting::view(&today),
        }))
    }
}
