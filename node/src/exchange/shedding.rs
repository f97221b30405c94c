//! Bodies sealed for others are kept so that the mesh heals, but not at any price: beyond a bound, or
//! when the disk runs short, the oldest of the heaviest author are given up. Their headers stay, and
//! who needs such a body pulls it from others.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use hanse_protocol::admission::Admitted;
use hanse_protocol::charter::CharterChain;
use hanse_protocol::identity::{Handle, RecordId};
use hanse_protocol::record::Header;
use hanse_protocol::timestamp::Timestamp;

use super::worker::Worker;
use crate::clock;
use crate::store::entry::{BodyEntry, BodyState, Entry, NoteEntry, Origin};
use crate::store::{RESERVE, StoreError, unless_damaged};

/// Records looked at in one go, so that no commit waits long for it.
const LOOKED_AT: usize = 1_024;

/// Records of a chain looked up at once.
const PAGE: usize = 64;

/// Free space under which bodies are given up whatever the bound is, bytes: in time before the store
/// takes nothing at all.
const SHORT: u64 = 2 * RESERVE;

/// Bytes given up at once when the disk runs short, and how long before more: the space comes back
/// only as the log is rewritten.
const PORTION: u64 = 64 << 20;
const PAUSE: Duration = Duration::from_secs(60);

/// What is kept of bodies sealed for others, by author.
pub(super) struct Opaque {
    most: u64,
    authors: HashMap<Handle, Kept>,
    changed: BTreeSet<Handle>,
    /// Bytes to be given up because the disk runs short, and since when no more were asked for.
    short: (u64, Option<Timestamp>),
}

#[derive(Debug, Default)]
struct Kept {
    /// About: what leaves another way is still counted, until a whole walk finds nothing.
    bytes: u64,
    /// How far each chain was walked; none if the walk starts anew.
    walked: HashMap<(u16, u32), u64>,
}

/// A body that may go.
struct Candidate {
    created: Timestamp,
    seq: u64,
    id: RecordId,
    bytes: u64,
}

/// The part of one chain that was looked up.
struct Chain {
    lane: u16,
    epoch: u32,
    next: u64,
    found: VecDeque<Candidate>,
    ended: bool,
}

/// What the note of an author's bytes is called.
pub(super) fn note(author: &Handle) -> String {
    format!("opaque {author}")
}

impl Opaque {
    pub(super) fn new(most: u64) -> Self {
        Self {
            most,
            authors: HashMap::new(),
            changed: BTreeSet::new(),
            short: (0, None),
        }
    }

    /// Takes up what an author's note says.
    pub(super) fn kept_before(&mut self, author: &Handle, note: Option<&[u8]>) {
        let bytes = note
            .and_then(|bytes| bytes.try_into().ok())
            .map(u64::from_be_bytes);
        if let Some(bytes) = bytes.filter(|bytes| *bytes > 0) {
            self.authors.entry(author.clone()).or_default().bytes = bytes;
        }
    }

    /// A body sealed for others came.
    pub(super) fn came(&mut self, header: &Header) {
        let kept = self.authors.entry(header.author.clone()).or_default();
        kept.bytes = kept.bytes.saturating_add(u64::from(header.body_length));
        self.changed.insert(header.author.clone());
    }

    /// The notes that make the sums survive.
    pub(super) fn notes(&mut self) -> Vec<Entry> {
        let changed = std::mem::take(&mut self.changed);
        let entry = |author: Handle| {
            let bytes = self.authors.get(&author).map_or(0, |kept| kept.bytes);
            Entry::Note(NoteEntry {
                kind: note(&author),
                bytes: bytes.to_be_bytes().to_vec(),
            })
        };
        changed.into_iter().map(entry).collect()
    }

    fn total(&self) -> u64 {
        self.authors
            .values()
            .fold(0, |sum, kept| sum.saturating_add(kept.bytes))
    }

    fn heaviest(&self) -> Option<Handle> {
        let heaviest = self
            .authors
            .iter()
            .max_by_key(|(author, kept)| (kept.bytes, *author))?;
        (heaviest.1.bytes > 0).then(|| heaviest.0.clone())
    }

    /// Notes how much room there is on the disk.
    fn see_room(&mut self, free: Option<u64>, now: Timestamp) {
        let asked = self.short.1;
        let waits = asked.is_some_and(|asked| now >= asked && now.since(asked) < PAUSE);
        if free.is_some_and(|free| free < SHORT) && !waits {
            self.short = (PORTION, Some(now));
        }
    }

    /// How many bytes have to go: somewhat more than what is too much, so that it is not asked at
    /// every commit.
    fn excess(&self) -> u64 {
        let total = self.total();
        let over = if total > self.most {
            total - (self.most - self.most / 20)
        } else {
            0
        };
        over.max(self.short.0).min(total)
    }

    /// Nothing is kept of an author, whatever was counted.
    fn forget(&mut self, author: &Handle) {
        self.authors.remove(author);
        self.changed.insert(author.clone());
    }

    fn went(&mut self, author: &Handle, bytes: u64) {
        if let Some(kept) = self.authors.get_mut(author) {
            kept.bytes = kept.bytes.saturating_sub(bytes);
            self.changed.insert(author.clone());
        }
        self.short.0 = self.short.0.saturating_sub(bytes);
    }
}

impl Worker {
    /// Adds to the commit in the making that bodies were given up, if too much is kept.
    pub(super) fn shed(&mut self) {
        self.opaque.see_room(self.store.free(), clock::now());
        let Some(charters) = self.charters.clone() else {
            return;
        };
        let mut looked_at = 0;
        while self.opaque.excess() > 0 && looked_at < LOOKED_AT {
            let Some(author) = self.opaque.heaviest() else {
                return;
            };
            let wanted = self.opaque.excess();
            // A store that cannot be read fails the commit that follows.
            let Ok(found) = self.oldest_opaque(&charters, &author, wanted, &mut looked_at) else {
                return;
            };
            if found.is_empty() {
                // The whole chain was walked, or as much as may be at once.
                if looked_at >= LOOKED_AT {
                    return;
                }
                // What came with this very commit cannot be looked up before it is made.
                if self.opaque.changed.contains(&author) {
                    return;
                }
                self.opaque.forget(&author);
                continue;
            }
            for Candidate { id, bytes, .. } in found {
                self.give_up(&charters, &author, id);
                self.opaque.went(&author, bytes);
            }
        }
    }

    fn give_up(&mut self, charters: &CharterChain, author: &Handle, id: RecordId) {
        let entry = BodyEntry {
            community: *charters.community(),
            id,
            body: Vec::new(),
            arrived: clock::now(),
            origin: Origin::Own,
            state: BodyState::Shed,
        };
        self.batch.push(Entry::Body(entry), None);
        self.audit(author.as_str(), "shed", id.to_string(), None);
        self.metrics.shed();
    }

    /// The oldest bodies of an author that are sealed for others, about as many as come to `wanted`
    /// bytes. None if its chains hold no more, and then the next walk begins anew.
    fn oldest_opaque(
        &mut self,
        charters: &CharterChain,
        author: &Handle,
        wanted: u64,
        looked_at: &mut usize,
    ) -> Result<Vec<Candidate>, StoreError> {
        let mut chains = self.walks(author);
        let from_start = chains.iter().all(|chain| chain.next == 0);
        let mut victims = Vec::new();
        let mut bytes = 0;
        while bytes < wanted && *looked_at < LOOKED_AT {
            for chain in &mut chains {
                while chain.found.is_empty() && !chain.ended && *looked_at < LOOKED_AT {
                    *looked_at += self.look_up(charters, author, chain)?;
                }
            }
            let oldest = chains
                .iter_mut()
                .filter(|chain| !chain.found.is_empty())
                .min_by_key(|chain| chain.found.front().map(|found| found.created));
            let Some(victim) = oldest.and_then(|chain| chain.found.pop_front()) else {
                break;
            };
            bytes += victim.bytes;
            victims.push(victim);
        }
        let ended = chains.iter().all(|chain| chain.ended && chain.found.is_empty());
        let again = victims.is_empty() && ended && !from_start;
        if let Some(kept) = self.opaque.authors.get_mut(author) {
            // What was found and left over is where the next walk goes on.
            let walked = |chain: &Chain| chain.found.front().map_or(chain.next, |left| left.seq);
            kept.walked = chains
                .iter()
                .filter(|_| !ended)
                .map(|chain| ((chain.lane, chain.epoch), walked(chain)))
                .collect();
        }
        if again {
            return self.oldest_opaque(charters, author, wanted, looked_at);
        }
        Ok(victims)
    }

    fn walks(&self, author: &Handle) -> Vec<Chain> {
        let walked = self.opaque.authors.get(author).map(|kept| &kept.walked);
        let next = |chain: &(u16, u32)| walked.and_then(|walked| walked.get(chain)).copied();
        let chains = self.held.chains(author).into_iter();
        let walk = |(lane, epoch)| Chain {
            lane,
            epoch,
            next: next(&(lane, epoch)).unwrap_or(0),
            found: VecDeque::new(),
            ended: false,
        };
        chains.map(walk).collect()
    }

    /// Looks up the next records of a chain and answers how many there were.
    fn look_up(
        &self,
        charters: &CharterChain,
        author: &Handle,
        chain: &mut Chain,
    ) -> Result<usize, StoreError> {
        let Chain {
            lane, epoch, next, ..
        } = *chain;
        let links = self
            .reader
            .chain(charters.community(), author, lane, epoch, next, PAGE)?;
        for link in &links {
            chain.next = link.seq.saturating_add(1);
            let opaque = self.reader.holds(&link.id)? == Some(BodyState::Opaque);
            if !opaque || self.batch.awaits(&link.id).is_some() {
                continue;
            }
            let Some(stored) = unless_damaged(self.reader.record(&link.id))? else {
                continue;
            };
            let Ok(admitted) = Admitted::from_log(&stored.header, &stored.community) else {
                continue;
            };
            chain.found.push_back(Candidate {
                created: admitted.header().created,
                seq: link.seq,
                id: link.id,
                bytes: u64::from(admitted.header().body_length),
            });
        }
        chain.ended = links.len() < PAGE;
        Ok(links.len().max(1))
    }
}
