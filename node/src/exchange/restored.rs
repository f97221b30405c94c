//! A node whose store is a backup, or lost entries to rot, does not know how far its own chain went:
//! what it would sign next may be a second record of one number. So it signs nothing before it has
//! compared holdings with every peer that is connected and taken back what they hold of its own; then it
//! begins a new epoch of its lane, whose first record follows the last one known.
//!
//! A copy that nobody told of, such as a machine set back to a snapshot, shows by its home: the store's
//! folder is another, or the system was started anew. Then a new epoch begins, too, at once. Epochs are
//! numbered by the clock, so that two copies of one store begin different ones.

use std::collections::BTreeMap;
use std::path::Path;

use hanse_protocol::admission::Signed;
use hanse_protocol::charter::CharterChain;
use hanse_protocol::identity::{KeyId, NodeId, RecordId};
use hanse_protocol::record::Header;
use hanse_protocol::refusal::{Fault, Refusal};

use super::worker::Worker;
use super::{Command, ExchangeError, Reply};
use crate::clock;
use crate::store::entry::{Entry, NoteEntry};
use crate::store::{ChainLink, StoreError, unless_damaged};

/// The note that says that the store was restored.
const RESTORED: &str = "restored";
/// The note that names the epoch of our lane, while no record in it says so.
const EPOCH: &str = "own epoch";

/// The note that says where the store was at home when it was last opened.
const HOME: &str = "home";

/// Most runs of our own records that are looked through for the newest of this node's.
const RUNS: usize = 65_536;

/// How often a peer may tell of own records and not give them, or break off, before it is waited for no
/// longer: one that lies must not silence a node for ever.
const PATIENCE: u8 = 3;

/// Where a store is at home: a keyless hash of what a copy of it does not share, as far as the system
/// tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home([u8; 16]);

impl Home {
    /// Where the folder of a store is at home now: which folder it is, and since when the system runs.
    pub fn of(folder: &Path) -> Option<Self> {
        let inode = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(folder).ok()?);
        let boot = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let mut hasher = blake3::Hasher::new();
        hasher.update(&inode.to_be_bytes()).update(&boot);
        let mut home = [0; 16];
        hasher.finalize_xof().fill(&mut home);
        Some(Self(home))
    }
}

/// What came of asking peers for own records, by peer: how often, and whether all is here that it told
/// of last.
#[derive(Default)]
pub(super) struct Asked(BTreeMap<NodeId, (u8, bool)>);

impl Asked {
    /// Notes what came of one conversation, and says whether some peer gave all it holds and no other
    /// need be waited for.
    fn note(&mut self, peer: NodeId, whole: bool, connected: &[NodeId]) -> bool {
        self.0.retain(|peer, _| connected.contains(peer));
        let times = self.0.get(&peer).map_or(0, |(times, _)| *times);
        self.0.insert(peer, (times.saturating_add(1), whole));
        let done = |peer| {
            self.0
                .get(peer)
                .is_some_and(|(times, whole)| *whole || *times >= PATIENCE)
        };
        self.0.values().any(|(_, whole)| *whole) && connected.iter().all(done)
    }
}

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
            Self::Forward(_, reply) => refuse(reply),
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
    pub(super) fn load_restored(&mut self, lost: bool, home: Option<Home>) -> Result<(), StoreError> {
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
        self.settle_home(home)
    }

    /// Begins a new epoch if the store is not where it was when it was last opened.
    fn settle_home(&mut self, home: Option<Home>) -> Result<(), StoreError> {
        let Some(Home(home)) = home else { return Ok(()) };
        let before = unless_damaged(self.reader.note(HOME))?;
        if before.as_deref() == Some(&home) {
            return Ok(());
        }
        let (kind, bytes) = (HOME.to_owned(), home.to_vec());
        self.batch.push(Entry::Note(NoteEntry { kind, bytes }), None);
        if before.is_some() && self.restored.is_none() && self.own_lane().is_some() {
            self.open_epoch("the store moved, or the system started anew");
        }
        Ok(())
    }

    /// A conversation with a peer ended: whether it was found to hold nothing that this node lacks, its own
    /// records among all.
    pub(super) fn compared(&mut self, peer: NodeId, whole: bool, connected: &[NodeId]) {
        if self.restored.is_none() || self.own_lane().is_none() {
            return;
        }
        if !whole {
            tracing::warn!(%peer, "a peer holds records that it did not give, or broke off");
        }
        if self.asked.note(peer, whole, connected) {
            self.open_epoch("with its peers");
        }
    }

    fn open_epoch(&mut self, how: &str) {
        let Some(next) = self.own.epoch.checked_add(1) else {
            // To begin the last one anew would give its numbers twice.
            tracing::error!("the last epoch of this node's lane is taken: it signs nothing more");
            self.restored = Some(Restored::Wait);
            return;
        };
        self.restored = None;
        if self.own.seq > 0 {
            self.own.known = (self.own.epoch, self.own.seq);
        }
        let now = clock::now().as_millis() / 1_000;
        self.own.epoch = u32::try_from(now).unwrap_or_default().max(next);
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

    /// The newest record of our lane that one of this node's keys signed: a thief of another of our
    /// member's keys can sign in our lane, too.
    pub(super) fn newest_own(
        &self,
        charters: &CharterChain,
        lane: u16,
    ) -> Result<Option<ChainLink>, StoreError> {
        let (community, handle) = (charters.community(), &self.member.profile.handle);
        let newest = self.reader.newest_in_chain(community, handle, lane)?;
        let Some(newest) = newest else { return Ok(None) };
        if self.signed_here(&newest.id)? {
            return Ok(Some(newest));
        }
        let mut runs = Vec::new();
        for held in self.reader.holdings(community, handle, RUNS)? {
            if held.lane == lane {
                runs.extend(held.runs.into_iter().map(|run| (held.epoch, run)));
            }
        }
        runs.sort_unstable();
        for (epoch, (first, last)) in runs.into_iter().rev() {
            let mut seq = last;
            while seq >= first {
                let links = self.reader.chain(community, handle, lane, epoch, seq, 1)?;
                if let Some(link) = links.into_iter().next()
                    && self.signed_here(&link.id)?
                {
                    return Ok(Some(link));
                }
                seq = seq.saturating_sub(1);
            }
        }
        Ok(None)
    }

    /// Whether one of this node's keys signed a record that is held.
    fn signed_here(&self, id: &RecordId) -> Result<bool, StoreError> {
        let Some(stored) = unless_damaged(self.reader.record(id))? else {
            // A number that may be ours is not given again.
            return Ok(true);
        };
        let signed = Signed::decode(&stored.header, &stored.community);
        Ok(signed.is_ok_and(|signed| self.member.signs_with(signed.key())))
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
