//! Taking a record back: a retraction is a record of its own, which every node that admits it acts
//! upon: at once on what is here, and on what comes later when it comes. Either way in one commit, so that
//! no kill and no power cut parts a retraction from what it does.

use hanse_protocol::admission::Admitted;
use hanse_protocol::charter::CharterChain;
use hanse_protocol::compress;
use hanse_protocol::identity::{Handle, RecordId};
use hanse_protocol::local;
use hanse_protocol::record::{Header, Kind};
use hanse_protocol::retraction;
use hanse_protocol::seal::Body;

use super::derive::{self, Known};
use super::worker::Worker;
use super::{Actor, ExchangeError, Reply};
use crate::clock;
use crate::store::entry::{BodyState, Origin, Position};
use crate::store::{StoreError, unless_damaged};

impl Worker {
    /// Takes back a record of our own; the reply goes out after the commit.
    pub(super) fn retract(&mut self, actor: &Actor, id: &RecordId, reply: Reply<local::RetractReply>) {
        match self.issue_retraction(actor, id) {
            Ok((entry, id)) => self.batch.answer(reply, move |positions: &[Position]| {
                let position = positions.get(entry).map_or(0, |position| position.0);
                local::RetractReply { id, position }
            }),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn issue_retraction(
        &mut self,
        actor: &Actor,
        target: &RecordId,
    ) -> Result<(usize, RecordId), ExchangeError> {
        let charters = self.charters.clone().ok_or(ExchangeError::NoCommunity)?;
        self.check_target(target)?;
        let invalid = |error: compress::CompressError| ExchangeError::Invalid(error.to_string());
        let packed = compress::pack(&retraction::encode(&[])).map_err(invalid)?;
        let body = Body::Open(packed).encode();
        let terms = self.plain_terms(&charters)?;
        self.check_room(&charters, &terms, [body.len()].into_iter())?;
        let header = Header {
            kind: Kind::Retraction,
            replaces: Some(*target),
            ..self.next_header(&charters, &terms, &body)
        };
        let facts = derive::header_facts(&header);
        let (entry, id) = self.log_own(&charters, header, body, facts);
        self.audit(&actor.0, "retract", format!("{target} by {id}"), None);
        let own = self.member.profile.handle.clone();
        self.take_back(&own, [*target]);
        Ok((entry, id))
    }

    /// Takes back what an author signed: what is here or in the commit in the making is erased, the rest
    /// is remembered by the index, which learns of it from the retraction itself.
    pub(super) fn take_back(&mut self, author: &Handle, ids: impl IntoIterator<Item = RecordId>) {
        for id in ids {
            let erased = match self.batch.take_back(author, &id) {
                Some(erased) => Ok(erased),
                None => self.erase(author, &id),
            };
            match erased {
                Ok(true) => {
                    self.leave_quarantine(&id);
                    self.audit(author.as_str(), "take-back", id.to_string(), None);
                }
                Ok(false) => {}
                // What is due is looked for again at the next start.
                Err(error) => tracing::error!(record = %id, %error, "what was taken back cannot be erased"),
            }
        }
    }

    /// Adds to the commit in the making that a record's body is gone, if it is here and its author's. The
    /// commit makes it so for every reader.
    fn erase(&mut self, author: &Handle, id: &RecordId) -> Result<bool, StoreError> {
        let Some(charters) = self.charters.clone() else {
            return Ok(false);
        };
        // Whose it is says the index: an author may list a thousand of others' records, and none of them is
        // read for that.
        if !self.reader.is_by(charters.community(), author, id)? {
            return Ok(false);
        }
        let mut known = Known {
            member: &self.member,
            charters: &charters,
        };
        let erasure = self.store.erasure(id, clock::now(), Origin::Own, &mut known)?;
        let Some((entry, facts)) = erasure else {
            return Ok(false);
        };
        self.batch.push(entry, facts);
        Ok(true)
    }

    fn author_of(&self, id: &RecordId) -> Result<Option<Handle>, StoreError> {
        let stored = unless_damaged(self.reader.record(id))?;
        let admitted = stored.and_then(|stored| Admitted::from_log(&stored.header, &stored.community).ok());
        Ok(admitted.map(|admitted| admitted.header().author.clone()))
    }

    /// Whether its author took a record back that was not here until now.
    pub(super) fn is_taken_back(&self, charters: &CharterChain, author: &Handle, id: &RecordId) -> bool {
        self.batch.is_taken_back(author, id)
            || self
                .reader
                .is_taken_back(charters.community(), author, id)
                // A store that cannot be read fails with the next commit.
                .unwrap_or_default()
    }

    /// Erases what is here though its author took it back: what a commit should have done that damage
    /// took away, or an earlier version forgot.
    pub(super) fn make_good(&mut self) -> Result<(), StoreError> {
        let Some(charters) = self.charters.clone() else {
            return Ok(());
        };
        for id in self.reader.due_erasures()? {
            if let Some(author) = self.author_of(&id)?
                && self.reader.is_taken_back(charters.community(), &author, &id)?
            {
                self.take_back(&author, [id]);
            }
        }
        Ok(())
    }

    /// Only what is here, ours, and not taken back yet can be taken back.
    fn check_target(&self, id: &RecordId) -> Result<(), ExchangeError> {
        let invalid = |reason: &str| ExchangeError::Invalid(format!("`{id}` {reason}"));
        let stored = self.reader.record(id);
        let stored = stored.map_err(|error| ExchangeError::Store(std::sync::Arc::new(error)))?;
        let stored = stored.ok_or_else(|| invalid("is no record that is held here"))?;
        let admitted = Admitted::from_log(&stored.header, &stored.community)
            .map_err(|_| invalid("is no record that can be read"))?;
        if admitted.header().author != self.member.profile.handle {
            return Err(invalid("is another member's record: its author can take it back"));
        }
        if stored.state == BodyState::Gone {
            return Err(invalid("is gone already"));
        }
        if admitted.header().kind == Kind::Retraction {
            return Err(invalid("is a retraction, which is not taken back"));
        }
        Ok(())
    }
}
