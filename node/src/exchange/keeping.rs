//! What is kept, and how long: what has passed its time leaves, what was taken back is erased. A
//! little is done after every commit and in idle moments. Expiry trusts the clock only as far as it
//! goes on steadily from the last commit, or as other members' clocks agree with it: a clock that
//! jumped must not delete what others still need.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hanse_protocol::identity::Handle;
use hanse_protocol::local;
use hanse_protocol::timestamp::Timestamp;
use minicbor::{Decode, Encode};

use super::derive::Known;
use super::worker::Worker;
use super::{Actor, Reply};
use crate::clock;
use crate::store::entry::{Entry, NoteEntry};
use crate::store::{Retired, Rules, StoreError, unless_damaged};

/// The note that says up to which number records of each chain have left.
const RETIRED: &str = "retired";

/// Most chains that note tells of.
const CHAINS: usize = 4_096;

/// How long after the start the first look at what has passed is taken: others have told their time
/// by then.
const FIRST: Duration = Duration::from_secs(60);

/// How long from one look to the next.
const EVERY: Duration = Duration::from_secs(3_600);

/// How far the clock may be ahead of what it should show before expiry no longer trusts it.
const JUMP: Duration = Duration::from_secs(24 * 3_600);

/// How long things are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long after it was made a body is kept at most; as long as it counts if not set.
    pub keep: Option<Duration>,
    /// How long after it was taken back a body may still be on disk.
    pub erase_within: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            keep: None,
            erase_within: Duration::from_secs(24 * 3_600),
        }
    }
}

/// The last time that was trusted, and when that was by the steady clock.
#[derive(Clone, Copy, Debug)]
struct Trust {
    last: Timestamp,
    at: Instant,
}

impl Trust {
    /// Whether the clock went on from the last trusted time as it should, or somebody vouches for it.
    fn look(&mut self, now: Timestamp, at: Instant, vouched: bool) -> bool {
        let expected = self.last.after(at.saturating_duration_since(self.at));
        let trusted = vouched || now <= expected.after(JUMP);
        if trusted {
            *self = Self { last: now, at };
        }
        trusted
    }
}

/// Where keeping stands.
pub(super) struct Keeping {
    retention: Retention,
    trust: Trust,
    next: Instant,
    /// Whether the clock was not trusted when it was last looked at.
    holds: bool,
    retired: BTreeMap<(Handle, u16, u32), u64>,
    changed: bool,
}

/// How far one chain has left.
#[derive(Encode, Decode)]
#[cbor(array)]
struct Gone {
    #[n(0)]
    author: Handle,
    #[n(1)]
    lane: u16,
    #[n(2)]
    epoch: u32,
    #[n(3)]
    last: u64,
}

impl Keeping {
    pub(super) fn new(retention: Retention) -> Self {
        let at = Instant::now();
        Self {
            retention,
            trust: Trust {
                last: clock::now(),
                at,
            },
            next: at + FIRST,
            holds: false,
            retired: BTreeMap::new(),
            changed: false,
        }
    }

    /// Whether a chain has left up to this number.
    pub(super) fn has_left(&self, author: &Handle, lane: u16, epoch: u32, seq: u64) -> bool {
        let last = self.retired.get(&(author.clone(), lane, epoch));
        last.is_some_and(|last| seq <= *last)
    }
}

impl Worker {
    /// Takes up what the log says: what has left, and what time it was at the last commit.
    pub(super) fn load_keeping(&mut self) -> Result<(), StoreError> {
        let head = self.reader.audit_head()?;
        if let Some(line) = unless_damaged(self.reader.audit(head.lines, 1))?.first() {
            self.keeping.trust.last = line.at;
        }
        let note = unless_damaged(self.reader.note(RETIRED))?.unwrap_or_default();
        let retired: Vec<Gone> = minicbor::decode(&note).unwrap_or_default();
        for gone in retired {
            let run = (1, gone.last);
            self.held.insert_run(&gone.author, gone.lane, gone.epoch, run);
            self.keeping
                .retired
                .insert((gone.author, gone.lane, gone.epoch), gone.last);
        }
        Ok(())
    }

    /// Does the next small part of what is due; whether more is due at once.
    pub(super) fn look_after(&mut self) -> Result<bool, StoreError> {
        let Some(charters) = self.charters.clone() else {
            return Ok(false);
        };
        if self.judge_beyond(&charters)? {
            return Ok(true);
        }
        let (now, at) = (clock::now(), Instant::now());
        let trusted = self.trusts_clock(now, at);
        let expire = trusted && at >= self.keeping.next;
        if expire {
            self.keeping.next = at + EVERY;
        }
        let rules = Rules {
            community: *charters.community(),
            now: self.keeping.trust.last,
            clock: now,
            horizon: charters.charter().horizon(),
            keep: self.keeping.retention.keep,
            erase_within: self.keeping.retention.erase_within,
            expire,
        };
        let mut known = Known {
            member: &self.member,
            charters: &charters,
        };
        let tended = self.store.tend(&rules, &mut known)?;
        if tended.bodies + tended.records > 0 {
            let subject = format!("{} bodies, {} records", tended.bodies, tended.records);
            self.audit("node", "expire", subject, None);
        }
        for place in tended.retired {
            self.retire(place);
        }
        if !tended.recast.is_empty() {
            let subject = format!("segments {:?}, {} bytes back", tended.recast, tended.freed);
            self.audit("node", "recast", subject, None);
            self.metrics.freed(tended.freed);
        }
        for span in tended.damaged {
            tracing::error!(%span, "a damaged stretch of the log went with a segment that was recast");
            self.audit("node", "drop-damaged", span.to_string(), None);
        }
        if !tended.more && std::mem::take(&mut self.keeping.changed) {
            self.note_retired();
        }
        Ok(tended.more)
    }

    fn trusts_clock(&mut self, now: Timestamp, at: Instant) -> bool {
        let vouched = self.clocks.vouch(now, at);
        let trusted = self.keeping.trust.look(now, at, vouched);
        if self.keeping.holds == trusted {
            self.keeping.holds = !trusted;
            self.metrics.retention_held(!trusted);
            if trusted {
                tracing::info!("the clock is trusted again: what has passed its time leaves");
            } else {
                let last = self.keeping.trust.last;
                tracing::error!(%last, %now, "the clock jumped: nothing leaves by expiry before another member's clock agrees, or `hanse retain --confirm` says it is right");
            }
        }
        trusted
    }

    fn retire(&mut self, place: Retired) {
        let Retired {
            author,
            lane,
            epoch,
            seq,
        } = place;
        let known = self.keeping.retired.len();
        let last = self.keeping.retired.entry((author, lane, epoch));
        if known < CHAINS || matches!(last, std::collections::btree_map::Entry::Occupied(_)) {
            let last = last.or_default();
            *last = (*last).max(seq);
            self.keeping.changed = true;
        }
    }

    fn note_retired(&mut self) {
        let gone = |((author, lane, epoch), last): (&(Handle, u16, u32), &u64)| Gone {
            author: author.clone(),
            lane: *lane,
            epoch: *epoch,
            last: *last,
        };
        let retired: Vec<Gone> = self.keeping.retired.iter().map(gone).collect();
        let note = NoteEntry {
            kind: RETIRED.to_owned(),
            bytes: minicbor::to_vec(retired).unwrap_or_default(),
        };
        self.batch.push(Entry::Note(note), None);
    }

    /// Looks at what has passed its time now, and takes the clock for right if asked to.
    pub(super) fn retain(&mut self, actor: &Actor, confirm: bool, reply: Reply<local::RetainReply>) {
        let (now, at) = (clock::now(), Instant::now());
        if confirm {
            self.keeping.trust = Trust { last: now, at };
            self.audit(&actor.0, "confirm-clock", now.to_string(), None);
        }
        let trusted = self.trusts_clock(now, at);
        let last = self.keeping.trust.last;
        if trusted {
            self.keeping.next = at;
        }
        let held =
            (!trusted).then(|| format!("the clock jumped: it shows {now}, and was last trusted at {last}"));
        self.batch.answer(reply, move |_| local::RetainReply { held });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_is_not_believed_until_it_is_right_or_vouched_for() {
        let start = Instant::now();
        let noon: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let hours = |count: u64| Duration::from_secs(count * 3_600);
        let trust = Trust {
            last: noon,
            at: start,
        };
        // It goes on as it should, however long the node runs.
        let mut steady = trust;
        assert!(steady.look(noon.after(hours(70)), start + hours(70), false));
        assert!(steady.look(noon.after(hours(93)), start + hours(70), false));
        // It jumps, and jumps back.
        let mut jumped = trust;
        assert!(!jumped.look(noon.after(hours(26)), start + hours(1), false));
        assert!(!jumped.look(noon.after(hours(50)), start + hours(25), false));
        assert!(jumped.look(noon.after(hours(26)), start + hours(26), false));
        // Others say it is right: a node that was off for a week.
        let mut woken = trust;
        assert!(!woken.look(noon.after(hours(168)), start, false));
        assert!(woken.look(noon.after(hours(168)), start, true));
        assert!(woken.look(noon.after(hours(168)), start + hours(1), false));
    }
}
