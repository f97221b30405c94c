//! A node whose store is a backup, or lost entries to rot, does not know how far its own chain went:
//! what it would sign next may be a second record of one number. So it signs nothing before it has
//! compared holdings with a peer and taken back what that held of its own; then it begins a new epoch
//! of its lane, whose first record follows the last one known.

use hanse_protocol::admission::Signed;
use hanse_protocol::identity::{KeyId, RecordId};
use hanse_protocol::record::Header;
use hanse_protocol::refusal::{Fault, Refusal};

use super::worker::Worker;
use super::{Command, ExchangeError, Reply};
use crate::store::entry::{Entry, NoteEntry};
use crate::store::{StoreError, unless_damaged};

/// The note that says that the store was restored.
const RESTORED: &str = "restored";
/// The note that names the epoch of our lane, while no record in it says so.
const EPOCH: &str = "own epoch";

/// What is known of our own chain after a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// A peer is to be asked first.
    Wait,
    /// There is nobody to ask, says the operator.
    Alone,
}

impl Restored {
    /// The note that tells the exchange at its next start.
    pub fn note(self) -> Entry {
        let bytes = match self {
            Self::Wait => b"wait".to_vec(),
            Self::Alone => b"alone".to_vec(),
        };
        let kind = RESTORED.to_owned();
        Entry::Note(NoteEntry { kind, bytes })
    }

    fn read(note: &[u8]) -> Option<Self> {
        match note {
            b"wait" => Some(Self::Wait),
            b"alone" => Some(Self::Alone),
            _ => None,
        }
    }
}

impl Command {
    /// Answers whoever wants something signed that it must wait; gives back what is to be done all
    /// the same.
    pub(super) fn refuse_restored(self) -> Option<Self> {
        fn refuse<T>(reply: Reply<T>) {
            drop(reply.send(Err(ExchangeError::Restored)));
        }
        match self {
            Self::Publish(_, _, reply) => refuse(reply),
            Self::Retract(_, _, reply) => refuse(reply),
            Self::Admit(_, _, reply) => refuse(reply),
            Self::Expel(_, _, reply) => refuse(reply),
            Self::Propose(_, _, reply) | Self::Endorse(_, _, reply) => refuse(reply),
            other => return Some(other),
        }
        None
    }
}

impl Worker {
    /// Takes up whether something was lost, and the epoch that was begun since. To be called once our
    /// own chain is known.
    pub(super) fn load_restored(&mut self, lost: bool) -> Result<(), StoreError> {
        if let Some(epoch) = unless_damaged(self.reader.note(EPOCH))?
            && let Ok(epoch) = epoch.try_into().map(u32::from_be_bytes)
            && epoch > self.own.epoch
        {
            self.own.known = (self.own.epoch, self.own.seq);
            self.own.epoch = epoch;
            self.own.seq = 0;
        }
        self.restored = match self.reader.note(RESTORED) {
            // Whatever it said: our chain may go on elsewhere.
            Err(StoreError::Damaged { .. }) => Some(Restored::Wait),
            noted => Restored::read(&noted?.unwrap_or_default()),
        };
        if self.restored.is_none() && lost && self.own_lane().is_some() {
            self.restored = Some(Restored::Wait);
            self.batch.push(Restored::Wait.note(), None);
            self.audit("node", "lost-entries", String::new(), None);
        }
        if self.restored == Some(Restored::Wait) {
            self.forget_signed();
        }
        match self.restored {
            Some(Restored::Alone) => self.open_epoch("alone"),
            Some(Restored::Wait) => {
                tracing::warn!(
                    "the store is a backup or lost entries: nothing is signed before a peer was asked for our own records"
                );
            }
            None => {}
        }
        Ok(())
    }

    /// A peer gave all it held that we lacked.
    pub(super) fn compared(&mut self) {
        if self.restored.is_some() && self.own_lane().is_some() {
            self.open_epoch("with a peer");
        }
    }

    fn open_epoch(&mut self, how: &str) {
        self.restored = None;
        if self.own.seq > 0 {
            self.own.known = (self.own.epoch, self.own.seq);
        }
        self.own.epoch = self.own.epoch.saturating_add(1);
        self.own.seq = 0;
        let epoch = self.own.epoch;
        let notes = [(RESTORED, Vec::new()), (EPOCH, epoch.to_be_bytes().to_vec())];
        for (kind, bytes) in notes {
            let kind = kind.to_owned();
            self.batch.push(Entry::Note(NoteEntry { kind, bytes }), None);
        }
        self.audit("node", "open-epoch", format!("epoch {epoch}, {how}"), None);
        tracing::info!(epoch, how, "a new epoch of our own chain begins");
    }

    /// Keeps in step with our own chain where others bring parts of it back.
    pub(super) fn follow_own(&mut self, header: &Header, id: RecordId, key: KeyId) {
        if self.is_own(header) && self.member.signs_with(key) {
            self.own.created = self.own.created.max(header.created);
            self.own_seen(header, id);
        }
    }

    /// As [`Self::follow_own`], of a record that was refused: if it was we who signed it, its number was
    /// given all the same. But what ended is not our word any longer: a thief may have signed it.
    pub(super) fn follow_refused(&mut self, bytes: &[u8], header: &Header, id: RecordId, refusal: &Refusal) {
        let verified =
            refusal.fault() != Fault::Courier && !matches!(refusal, Refusal::UnknownCharter | Refusal::Ended);
        if !verified || !self.is_own(header) {
            return;
        }
        let community = self.charters.as_ref().map(|charters| *charters.community());
        let signed = community.and_then(|community| Signed::decode(bytes, &community).ok());
        if signed.is_some_and(|signed| self.member.signs_with(signed.key())) {
            self.own_seen(header, id);
        }
    }

    fn is_own(&self, header: &Header) -> bool {
        header.author == self.member.profile.handle && Some(header.lane) == self.own_lane()
    }

    fn own_seen(&mut self, header: &Header, id: RecordId) {
        let place = (header.epoch, header.seq);
        if place > (self.own.epoch, self.own.seq) {
            (self.own.epoch, self.own.seq) = place;
            self.own.last = Some(id);
            // What brings one record may lack the next, which another peer holds.
            if self.restored.is_none() {
                self.forget_signed();
                self.open_epoch("our own records came back");
            }
        } else if self.own.seq == 0 && place > self.own.known {
            self.own.known = place;
            self.own.last = Some(id);
        }
    }
}
