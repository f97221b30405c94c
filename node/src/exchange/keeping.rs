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
use crate::store::{Reader, Retired, Rules, StoreError, unless_damaged};

/// The note that says up to which number records of each chain have left.
const RETIRED: &str = "retired";

/// The note that says what time was trusted last: milliseconds, 8 bytes, big endian. Audit lines do not
/// tell it, since they are written by a clock that jumped, too.
const TRUSTED: &str = "trusted clock";

/// How much later a trusted time must be than the one noted before it is noted, too.
const NOTED: Duration = Duration::from_secs(3_600);

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

/// What other members' clocks say of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Others {
    Vouch,
    Silent,
    Contradict,
}

/// The time that a store's node trusted last.
///
/// # Errors
/// [`StoreError`].
pub fn trusted(store: &Reader) -> Result<Option<Timestamp>, StoreError> {
    let note = unless_damaged(store.note(TRUSTED))?.and_then(|bytes| bytes.try_into().ok());
    if let Some(noted) = note {
        return Ok(Some(Timestamp::from_millis(u64::from_be_bytes(noted))));
    }
    // Of a store that was never asked whether the clock is trusted.
    let head = store.audit_head()?;
    let lines = unless_damaged(store.audit(head.lines, 1))?;
    Ok(lines.first().map(|line| line.at))
}

/// The note that says that `now` is trusted.
pub(crate) fn trusting(now: Timestamp) -> Entry {
    let bytes = now.as_millis().to_be_bytes().to_vec();
    let kind = TRUSTED.to_owned();
    Entry::Note(NoteEntry { kind, bytes })
}

impl Trust {
    /// Whether the clock went on from the last trusted time as it should, or somebody vouches for it;
    /// never while most others say that it is wrong.
    fn look(&mut self, now: Timestamp, at: Instant, others: Others) -> bool {
        let expected = self.last.after(at.saturating_duration_since(self.at));
        let trusted = match others {
            Others::Vouch => true,
            Others::Silent => now <= expected.after(JUMP),
            Others::Contradict => false,
        };
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
    /// The trusted time that was noted last.
    noted: Option<Timestamp>,
    next: Instant,
    /// Whether the clock was not trusted when it was last looked at.
    holds: bool,
    /// Whether there was too little room to erase what is due.
    cramped: bool,
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
            noted: None,
            next: at + FIRST,
            holds: false,
            cramped: false,
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
    /// Takes up what the log says: what has left, and what time was trusted last.
    pub(super) fn load_keeping(&mut self) -> Result<(), StoreError> {
        if let Some(last) = trusted(&self.reader)? {
            self.keeping.trust.last = last;
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
        // Some of them may be those of records in quarantine.
        self.quarantined.changed |= tended.papers > 0;
        if tended.bodies + tended.records + tended.papers > 0 {
            let papers = match tended.papers {
                0 => String::new(),
                papers => format!(", {papers} papers"),
            };
            let subject = format!("{} bodies, {} records{papers}", tended.bodies, tended.records);
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
        // Only a look that came to its end tells that nothing is held up.
        if tended.cramped != self.keeping.cramped && (tended.cramped || !tended.more) {
            self.keeping.cramped = tended.cramped;
            self.metrics.erasure_held(tended.cramped);
            if tended.cramped {
                tracing::error!(
                    "what was taken back stays on disk beyond its time: there is too little room to rewrite its segment of the log"
                );
            }
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

    pub(super) fn trusts_clock(&mut self, now: Timestamp, at: Instant) -> bool {
        let others = if self.clocks.astray(now, at).is_some() {
            Others::Contradict
        } else if self.clocks.vouch(now, at) {
            Others::Vouch
        } else {
            Others::Silent
        };
        let trusted = self.keeping.trust.look(now, at, others);
        let apart = |noted: Timestamp| now.since(noted).max(noted.since(now));
        if trusted && !self.full && self.keeping.noted.is_none_or(|noted| apart(noted) >= NOTED) {
            self.keeping.noted = Some(now);
            self.batch.push(trusting(now), None);
        }
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
            self.keeping.noted = None;
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
        assert!(steady.look(noon.after(hours(70)), start + hours(70), Others::Silent));
        assert!(steady.look(noon.after(hours(93)), start + hours(70), Others::Silent));
        // It jumps, and jumps back.
        let mut jumped = trust;
        assert!(!jumped.look(noon.after(hours(26)), start + hours(1), Others::Silent));
        assert!(!jumped.look(noon.after(hours(50)), start + hours(25), Others::Silent));
        assert!(jumped.look(noon.after(hours(26)), start + hours(26), Others::Silent));
        // Others say it is right: a node that was off for a week.
        let mut woken = trust;
        assert!(!woken.look(noon.after(hours(168)), start, Others::Silent));
        assert!(woken.look(noon.after(hours(168)), start, Others::Vouch));
        assert!(woken.look(noon.after(hours(168)), start + hours(1), Others::Silent));
        // They say it is wrong, however little it went on.
        let mut alone = trust;
        assert!(!alone.look(noon.after(hours(2)), start + hours(1), Others::Contradict));
    }
}
