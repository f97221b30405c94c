//! What a key signs after it ended, in places that its closing covers. The closing names the id of a
//! run's last record only, so whoever has the key could put a second record beside each of the others.

use hanse_protocol::admission::Admitted;
use hanse_protocol::charter::CharterChain;

use super::worker::Worker;

impl Worker {
    /// Whether a closing covers the place of this record and another record is held there.
    pub(super) fn is_displaced(&self, charters: &CharterChain, admitted: &Admitted) -> bool {
        let header = admitted.header();
        let (author, lane, epoch, seq) = (&header.author, header.lane, header.epoch, header.seq);
        if charters.ended_at(author, lane, admitted.key()).is_none() {
            return false;
        }
        let held = self
            .reader
            .chain(charters.community(), author, lane, epoch, seq, 1);
        // A store that cannot be read fails the commit.
        held.is_ok_and(|held| {
            held.iter()
                .any(|link| link.seq == seq && link.id != *admitted.id())
        })
    }
}
