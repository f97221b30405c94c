//! What has passed its time leaves the store, a little between commits: the store does the work, here
//! is decided when it may, and by whose clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hanse_protocol::identity::RecordId;
use hanse_protocol::local;
use hanse_protocol::timestamp::Timestamp;

use super::derive::Deriver;
use super::worker::Worker;
use super::{Actor, ExchangeError, Reply};
use crate::clock;
use crate::store::entry::Origin;
use crate::store::{Rules, StoreError, Tended};

/// How often what has passed its time is looked for.
const EVERY: Duration = Duration::from_secs(10 * 60);

/// What lies at least between two steps, each of some milliseconds.
pub(super) const PACE: Duration = Duration::from_millis(50);

/// How far the clock may have moved on by itself before others must say that it is right: a node that
/// was off over night is no jump.
const LEAP: Duration = Duration::from_secs(24 * 3_600);

/// How long things are kept, and how much of some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// Bytes of bodies sealed for others.
    pub opaque_max: u64,
    /// How long after it was made a body is kept at most; else as long as its record counts.
    pub keep: Option<Duration>,
    /// How long after it was taken back a body may still be on disk.
    pub erase_within: Duration,
}

impl Default for Keeping {
    /// 10 GiB for others, everything as long as it counts, what was taken back a day.
    fn default() -> Self {
        Self {
            opaque_max: 10 << 30,
            keep: None,
            erase_within: Duration::from_secs(24 * 3_600),
        }
    }
}

/// Where the looking after stands.
pub(super) struct Retention {
    keeping: Keeping,
    /// When it was looked for what has passed its time.
    looked: Option<Instant>,
    stepped: Instant,
    /// Whether the store has more to do.
    more: bool,
    /// What our clock said when it was last believed, and the steady clock then.
    believed: (Timestamp, Instant),
    doubts: bool,
}

impl Retention {
    /// With the last time the log tells of.
    pub(super) fn new(keeping: Keeping, last: Option<Timestamp>) -> Self {
        let now = Instant::now();
        Self {
            keeping,
            looked: None,
            stepped: now,
            more: false,
            believed: (last.unwrap_or_else(clock::now), now),
            doubts: false,
        }
    }

    /// Whether the clock moved as the steady clock did, or others confirm it. After a leap that nobody
    /// confirms nothing passes its time: a clock set to next year would empty the store.
    fn believes(&mut self, now: Timestamp, at: Instant, confirmed: bool) -> bool {
        let (then, since) = self.believed;
        let expected = then.after(at.saturating_duration_since(since));
        let believes = confirmed || now.since(expected) < LEAP;
        if believes {
            self.believed = (now.max(expected), at);
        } else if !self.doubts {
            tracing::warn!(
                clock = %now, expected = %expected,
                "the clock leapt: nothing is taken for expired before another member's clock confirms it"
            );
        }
        self.doubts = !believes;
        believes
    }
}

impl Worker {
    /// How long to wait for work before looking after the store again.
    pub(super) fn idle_for(&self, most: Duration) -> Duration {
        if self.retention.more { PACE } else { most }
    }

    /// The next step of what is due, if its time has come.
    pub(super) fn tend(&mut self) -> Result<(), Arc<StoreError>> {
        let Some(charters) = self.charters.clone() else {
            return Ok(());
        };
        let at = Instant::now();
        if at.saturating_duration_since(self.retention.stepped) < PACE {
            return Ok(());
        }
        let Keeping {
            keep, erase_within, ..
        } = self.retention.keeping;
        let every = EVERY.min(erase_within / 4);
        let looked = self.retention.looked;
        let due = looked.is_none_or(|looked| at.saturating_duration_since(looked) >= every);
        if !self.retention.more && !due {
            return Ok(());
        }
        self.retention.stepped = at;
        let now = clock::now();
        let confirmed = self.clocks.confirm(now, at);
        let astray = self.clocks.astray(now, at).is_some();
        let expire = due && !astray && self.retention.believes(now, at, confirmed);
        if due {
            self.retention.looked = Some(at);
        }
        let rules = Rules {
            community: *charters.community(),
            now,
            horizon: charters.charter().horizon(),
            keep,
            erase_within,
            expire,
        };
        let mut deriver = Deriver::under(Arc::clone(&self.member), (*charters).clone());
        let tended = self.store.tend(&rules, &mut deriver).map_err(Arc::new)?;
        self.retention.more = tended.more;
        self.tell_tended(&tended);
        Ok(())
    }

    fn tell_tended(&self, tended: &Tended) {
        self.metrics.tended(tended.bodies, tended.freed);
        for span in &tended.damaged {
            tracing::error!(
                ?span,
                "a rotten stretch of the log went with what was taken back in its segment"
            );
        }
        if tended.freed > 0 {
            let (bytes, segments) = (tended.freed, tended.recast.len());
            tracing::info!(
                bytes,
                segments,
                "room came back: segments of the log were written anew"
            );
        }
    }

    /// Gives up a record's content here, whoever signed it: others keep theirs.
    pub(super) fn forget(&mut self, actor: &Actor, id: &RecordId, reply: Reply<local::Forgotten>) {
        match self.try_forget(actor, id) {
            Ok(forgotten) => self.batch.answer(reply, move |_| forgotten),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn try_forget(&mut self, actor: &Actor, id: &RecordId) -> Result<local::Forgotten, ExchangeError> {
        let charters = self.charters.clone().ok_or(ExchangeError::NoCommunity)?;
        // What the batch holds is no business of the store yet.
        if self.batch.holds(id).is_some() {
            return Err(ExchangeError::Busy);
        }
        let now = clock::now();
        let mut deriver = Deriver::under(Arc::clone(&self.member), (*charters).clone());
        let erasure = self.store.erasure(id, now, Origin::Own, &mut deriver);
        let (entry, facts) = erasure
            .map_err(|error| ExchangeError::Store(Arc::new(error)))?
            .ok_or(ExchangeError::UnknownRecord(*id))?;
        self.batch.push(entry, facts);
        self.audit(&actor.0, "forget", id.to_string(), None);
        Ok(local::Forgotten {
            record: *id,
            off_disk_by: now.after(self.retention.keeping.erase_within),
        })
    }
}
