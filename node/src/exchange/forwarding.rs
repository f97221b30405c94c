//! Passing on a record of another community as its author signed it there: in a record of ours, for the
//! readers that policy names. Once: what was passed on stands in a paper of the same commit.

use hanse_protocol::admission::Sound;
use hanse_protocol::audience::Audience;
use hanse_protocol::compress;
use hanse_protocol::forwarded::Forwarded;
use hanse_protocol::identity::{CommunityId, RecordId};
use hanse_protocol::record::{Header, Kind};

use super::derive;
use super::worker::Worker;
use super::{ExchangeError, Reply};
use crate::clock;
use crate::store::Reader;
use crate::store::StoreError;
use crate::store::entry::{Drawer, Entry, PaperEntry};

/// A record of another community that is to be passed on here.
pub struct Forward {
    /// The record.
    pub record: Forwarded,
    /// Who is to read it here.
    pub audience: Audience,
    /// The policies that said so, by their ids, for the audit log.
    pub policies: String,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardFate {
    /// It travels in this record.
    Sent(RecordId),
    /// It travels in this record since before.
    Known(RecordId),
}

/// The record in which one of another community was passed on here, if it was.
///
/// # Errors
/// [`StoreError`].
pub fn passed_on(
    store: &Reader,
    origin: &CommunityId,
    record: &RecordId,
) -> Result<Option<RecordId>, StoreError> {
    let paper = store.paper(Drawer::Forwarded, &key(origin, record))?;
    Ok(paper.and_then(|id| id.try_into().ok()).map(RecordId))
}

fn key(origin: &CommunityId, record: &RecordId) -> Vec<u8> {
    [origin.as_bytes().as_slice(), record.as_bytes()].concat()
}

impl Worker {
    /// Passes a record on; the reply goes out after the commit.
    pub(super) fn forward(&mut self, forward: &Forward, reply: Reply<ForwardFate>) {
        match self.issue_forwarded(forward) {
            Ok(fate) => self.batch.answer(reply, move |_| fate),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn issue_forwarded(&mut self, forward: &Forward) -> Result<ForwardFate, ExchangeError> {
        let charters = self.charters.clone().ok_or(ExchangeError::NoCommunity)?;
        let invalid = |error: &dyn std::fmt::Display| ExchangeError::Invalid(error.to_string());
        let Forward {
            record,
            audience,
            policies,
        } = forward;
        let said = hanse_protocol::admission::Signed::decode(&record.header, &record.origin);
        let said = said.map_err(|refusal| invalid(&refusal))?;
        let known = passed_on(&self.reader, &record.origin, said.id());
        if let Some(id) = known.map_err(|error| ExchangeError::Store(std::sync::Arc::new(error)))? {
            return Ok(ForwardFate::Known(id));
        }
        if matches!(audience, Audience::Members(_))
            && let Some(freeze) = self.freeze(clock::now())
        {
            return Err(ExchangeError::Frozen(freeze));
        }
        let terms = self.plain_terms(&charters)?.expiring(said.claims().expires);
        if said.claims().expires <= terms.created() {
            return Err(ExchangeError::Invalid("it has expired".to_owned()));
        }
        let content = record.encode();
        let packed = compress::pack(&content).map_err(|error| invalid(&error))?;
        let body = self.locked(&charters, &terms, Kind::Forwarded, audience, packed)?;
        let body = body.encode();
        if body.len() > hanse_protocol::limits::BODY {
            return Err(ExchangeError::Invalid(
                "it is too large to be passed on".to_owned(),
            ));
        }
        self.check_room(&charters, &terms, [body.len()].into_iter())?;
        let header = Header {
            kind: Kind::Forwarded,
            ..self.next_header(&charters, &terms, &body)
        };
        // By the door that every reader has.
        let (_, inner) = record
            .check(charters.community(), &header)
            .map_err(|refusal| invalid(&refusal))?;
        let inner = inner.unpack().map_err(|error| invalid(&error))?;
        let sound = Sound::read(&inner, true).map_err(|refusal| invalid(&refusal))?;
        let budget = &charters.charter().budget;
        let unpacked = [content.len(), inner.len()];
        self.fits_content(budget, header.created, unpacked.into_iter())?;
        for bytes in unpacked {
            self.afford(budget, &header, bytes);
        }
        let (expires, facts) = (header.expires, derive::facts(&header, &sound));
        let (_, id) = self.log_own(&charters, header, body, facts);
        let key = key(&record.origin, said.id());
        let paper = PaperEntry::put(Drawer::Forwarded, key, *id.as_bytes(), clock::now());
        self.batch.push(Entry::Paper(paper.until(expires)), None);
        let subject = format!(
            "{} of community {} as {id} by {policies}",
            said.id(),
            record.origin.short()
        );
        self.audit("forwarder", "forward-here", subject, None);
        Ok(ForwardFate::Sent(id))
    }
}
