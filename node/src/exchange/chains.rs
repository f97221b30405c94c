//! What a header that comes says of its author's chain: that something before it is missing, or that its number
//! was given to another record too.

use hanse_protocol::identity::{NodeId, RecordId};
use hanse_protocol::record::Header;

use super::Nudge;
use super::receive::place;
use super::worker::Worker;
use crate::store::entry::Origin;

impl Worker {
    pub(super) fn note_chain(&mut self, header: &Header, id: RecordId, (courier, origin): (NodeId, Origin)) {
        let Header {
            author,
            lane,
            epoch,
            seq,
            ..
        } = header;
        self.held.admitted(&place(header, id));
        // What healing brings comes in any order, and healing goes on until nothing is missing.
        if origin == Origin::Gossip && self.held.has_gap_before(author, *lane, *epoch, *seq) {
            self.nudge(Nudge::Gap(courier));
        }
        if self.held.insert(author, *lane, *epoch, *seq)
            && self.is_given_twice(header, &id)
            && self.held.twin(author, *lane, *epoch, *seq)
        {
            self.metrics.equivocated();
            tracing::warn!(%author, lane, epoch, seq, record = %id, "a number was given to two records");
            let subject = format!("lane {lane} epoch {epoch} number {seq}: {id} is not the only one");
            self.audit(author.as_str(), "equivocation", subject, None);
        }
    }

    /// Whether another record bears the number of this one, which was held before.
    fn is_given_twice(&self, header: &Header, id: &RecordId) -> bool {
        let Header {
            author,
            lane,
            epoch,
            seq,
            ..
        } = header;
        let Some(charters) = &self.charters else {
            return false;
        };
        let links = self
            .reader
            .chain(charters.community(), author, *lane, *epoch, *seq, 2);
        let mut links = links
            .unwrap_or_default()
            .into_iter()
            .filter(|link| link.seq == *seq);
        match links.next() {
            Some(link) => link.id != *id || links.next().is_some(),
            // It came just now, unless it has left long ago.
            None => !self.keeping.has_left(author, *lane, *epoch, *seq),
        }
    }
}
