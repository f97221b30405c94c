//! Taking a record back: a retraction is a record of its own, which every node that admits it acts
//! upon.

use hanse_protocol::admission::Admitted;
use hanse_protocol::compress;
use hanse_protocol::identity::RecordId;
use hanse_protocol::local;
use hanse_protocol::record::{Header, Kind};
use hanse_protocol::retraction;
use hanse_protocol::seal::Body;

use super::worker::Worker;
use super::{Actor, ExchangeError, Reply, derive};
use crate::store::entry::{BodyState, Position};

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
