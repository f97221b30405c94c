//! What a person decides of a record that the receiving policy keeps back. The decision is an entry of its
//! own with the body in it, so that whoever follows the log meets the record where it was decided.

use hanse_protocol::admission::{Admitted, Reading};
use hanse_protocol::identity::RecordId;
use hanse_protocol::local;

use super::accepting::Kept;
use super::worker::Worker;
use super::{Actor, ExchangeError, Reply, derive};
use crate::clock;
use crate::store::entry::{BodyEntry, BodyState, Entry, Position};

/// A decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Review {
    /// It is shown from now on.
    Release,
    /// It is not shown.
    Drop,
}

impl Worker {
    /// Decides of a record in quarantine; the reply goes out after the commit.
    pub(super) fn review(
        &mut self,
        actor: &Actor,
        id: RecordId,
        review: Review,
        reply: Reply<local::ReviewReply>,
    ) {
        match self.decide(actor, &id, review) {
            Ok(entry) => self.batch.answer(reply, move |positions: &[Position]| {
                let position = positions.get(entry).map_or(0, |position| position.0);
                local::ReviewReply { id, position }
            }),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn decide(&mut self, actor: &Actor, id: &RecordId, review: Review) -> Result<usize, ExchangeError> {
        let charters = self.charters.clone().ok_or(ExchangeError::NoCommunity)?;
        let invalid = |reason: &str| ExchangeError::Invalid(format!("`{id}` {reason}"));
        let store = |error| ExchangeError::Store(std::sync::Arc::new(error));
        if self.batch.awaits(id).is_some() {
            return Err(invalid("is being decided of at this moment"));
        }
        let stored = self.reader.record(id).map_err(store)?;
        let stored = stored.ok_or_else(|| invalid("is no record that is held here"))?;
        match (review, stored.state) {
            (_, BodyState::Quarantined) | (Review::Release, BodyState::Refused) => {}
            _ => return Err(invalid("is not in quarantine")),
        }
        let unreadable = || invalid("cannot be read here any longer");
        let admitted = Admitted::from_log(&stored.header, &stored.community).map_err(|_| unreadable())?;
        let header = admitted.header().clone();
        if header.expires <= clock::now() {
            return Err(invalid("has expired"));
        }
        let body = stored.body.ok_or_else(unreadable)?;
        let whole = admitted.with_body(body.clone()).map_err(|_| unreadable())?;
        let Ok(Reading::Opened(opened)) = whole.open(&self.member.reader, &charters) else {
            return Err(unreadable());
        };
        let sound = opened.sound().map_err(|_| unreadable())?;
        let kept = Kept::load(&self.reader, id).map_err(store)?;
        let (state, facts, action) = match review {
            Review::Release => (BodyState::Readable, derive::facts(&header, &sound), "release"),
            Review::Drop => (BodyState::Refused, derive::header_facts(&header), "drop"),
        };
        let entry = BodyEntry {
            community: stored.community,
            id: *id,
            body,
            arrived: clock::now(),
            origin: stored.origin,
            state,
        };
        let entry = self.batch.push(Entry::Body(entry), Some(facts));
        self.leave_quarantine(id);
        self.audit(&actor.0, action, id.to_string(), None);
        if kept.is_some_and(|kept| kept.receipt) {
            self.owe(id, &header.author, state);
        }
        Ok(entry)
    }
}
