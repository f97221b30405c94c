//! What a key signs after it ended, in places that its closing covers. The closing names the id of a
//! run's last record only, so whoever has the key could put a second record beside each of the others.

use hanse_protocol::admission::Admitted;
use hanse_protocol::charter::CharterChain;

use super::beyond::counts;
use super::worker::Worker;

/// Records of one number that are looked at.
const BESIDE: usize = 16;

impl Worker {
    /// Whether a closing covers the place of this record and another record is held there that counts.
    /// One that lies beyond the closing, and is kept as evidence, must not keep out the true one.
    pub(super) fn is_displaced(&self, charters: &CharterChain, admitted: &Admitted) -> bool {
        let header = admitted.header();
        let (author, lane, epoch, seq) = (&header.author, header.lane, header.epoch, header.seq);
        if charters.ended_at(author, lane, admitted.key()).is_none() {
            return false;
        }
        let held = self
            .reader
            .chain(charters.community(), author, lane, epoch, seq, BESIDE);
        // A store that cannot be read fails the commit.
        let held = held.unwrap_or_default();
        let mut others = held
            .iter()
            .filter(|link| link.seq == seq && link.id != *admitted.id());
        others.any(|link| {
            let stored = self.reader.record(&link.id);
            stored.is_ok_and(|stored| stored.is_some_and(|stored| counts(charters, &stored.header)))
        })
    }
}
