//! What lies beyond an ending of its author: records that were admitted before the charter came that
//! excludes them. They are taken out of what members compare, so that equal charters make equal sets; they
//! stay here as evidence and are served to nobody. Under a new charter that is looked through after its
//! commit, a little at a time, and nothing is compared before it is done.

use std::collections::VecDeque;

use hanse_protocol::admission::Admitted;
use hanse_protocol::charter::member::Member;
use hanse_protocol::charter::{CharterChain, CharterHash};
use hanse_protocol::identity::Handle;
use hanse_protocol::limits;
use hanse_protocol::timestamp::Timestamp;
use tokio::sync::watch;

use super::worker::Worker;
use crate::store::{Endings, StoreError};

/// Where the looking through stands.
pub(super) struct Beyond {
    /// Whether the charter in force may have other endings than those looked for last.
    anew: bool,
    /// Authors whose records are to be judged.
    due: VecDeque<(Handle, Endings)>,
    /// Of the first of them, how many left and how many came back.
    moved: (u64, u64),
    told: watch::Sender<Option<CharterHash>>,
}

impl Default for Beyond {
    fn default() -> Self {
        Self {
            anew: true,
            due: VecDeque::new(),
            moved: (0, 0),
            told: watch::Sender::new(None),
        }
    }
}

impl Beyond {
    /// Tells under which charter everything was judged last.
    pub(super) fn told(&self) -> watch::Receiver<Option<CharterHash>> {
        self.told.subscribe()
    }

    /// Another charter is in force.
    pub(super) fn judge_anew(&mut self) {
        self.anew = true;
    }

    /// Whether there is something to judge.
    pub(super) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }
}

impl Worker {
    /// Finds the authors whose records do not stand where the charter in force puts them.
    pub(super) fn find_beyond(&mut self, charters: &CharterChain) -> Result<(), StoreError> {
        self.beyond.anew = false;
        self.beyond.moved = (0, 0);
        self.beyond.due.clear();
        for member in &charters.charter().members {
            let endings = endings(charters, member);
            if !self
                .store
                .is_judged(charters.community(), &member.handle, endings)?
            {
                self.beyond.due.push_back((member.handle.clone(), endings));
            }
        }
        self.tell_judged(charters);
        Ok(())
    }

    fn tell_judged(&self, charters: &CharterChain) {
        if self.beyond.due.is_empty() {
            self.beyond.told.send_replace(Some(charters.newest().hash()));
        }
    }

    /// Judges the next few records; whether there was something to judge. Not before the charter is
    /// durable, and what came before it in the same commit.
    pub(super) fn judge_beyond(&mut self, charters: &CharterChain) -> Result<bool, StoreError> {
        if self.beyond.anew {
            self.find_beyond(charters)?;
        }
        let Some((author, endings)) = self.beyond.due.front().cloned() else {
            return Ok(false);
        };
        let within = |header: &[u8]| counts(charters, header);
        let judged = self
            .store
            .judge(charters.community(), &author, endings, &within)?;
        self.beyond.moved.0 += judged.left;
        self.beyond.moved.1 += judged.back;
        if !judged.more {
            self.beyond.due.pop_front();
            let (left, back) = std::mem::take(&mut self.beyond.moved);
            if left + back > 0 {
                tracing::info!(%author, left, back, "judged under an ending what was admitted before it");
                let subject = format!("{author}: {left} records lie beyond it, {back} no longer");
                self.audit("node", "judge-ending", subject, None);
            }
            self.tell_judged(charters);
        }
        Ok(true)
    }
}

/// What stands for the endings of a member, and for when they came.
fn endings(charters: &CharterChain, member: &Member) -> Endings {
    let lanes = member.lanes.iter().filter(|lane| lane.closed.is_some());
    let lanes: Vec<_> = lanes.map(|lane| (lane.number, &lane.closed)).collect();
    let keys = member.signing.iter().filter(|key| key.closed.is_some());
    let keys: Vec<_> = keys.map(|key| (key.key, &key.closed)).collect();
    if member.ended.is_none() && lanes.is_empty() && keys.is_empty() {
        return Endings::default();
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&minicbor::to_vec((&member.ended, lanes, keys)).unwrap_or_default());
    for lane in &member.lanes {
        for key in &member.signing {
            let ended = charters.ended_at(&member.handle, lane.number, key.key.id());
            let ended = ended.map_or(u64::MAX, Timestamp::as_millis);
            hasher.update(&ended.to_be_bytes());
        }
    }
    let mut endings = [0; 16];
    hasher.finalize_xof().fill(&mut endings);
    Endings(endings)
}

/// Whether a record lies within every ending of its author, and of the very key that signed it:
/// what lies beyond is kept as evidence, neither compared nor served.
pub(crate) fn counts(charters: &CharterChain, header: &[u8]) -> bool {
    let Ok(admitted) = Admitted::from_log(header, charters.community()) else {
        return false;
    };
    let (header, id) = (admitted.header(), admitted.id());
    let Some(member) = charters.charter().member(&header.author) else {
        return false;
    };
    let mut keys = member.signing.iter();
    let signing = keys.find(|signing| signing.key.id() == admitted.key());
    let ended = charters.ended_at(&header.author, header.lane, admitted.key());
    ended.is_none_or(|ended| header.created <= ended.after(limits::SKEW))
        && signing
            .is_some_and(|signing| member.accepts(&signing.key, header.lane, header.epoch, header.seq, id))
}
