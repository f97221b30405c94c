//! What a node keeps: a record log that is the truth, and an index that can be made from it again.
//!
//! One [`Store`] writes; any number of [`Reader`]s read what it has made durable. A commit is one
//! frame of the log, synced to disk, then one atomic batch of the index that names the place in
//! the log it reflects. Nothing is visible to a reader before both are done.
//!
//! ```text
//! store.lock            held while the store is open
//! log/{number}.seg      segments of frames, as written or recast (`log`)
//! log/{number}.cast     a segment that is being recast
//! log/torn-…            bytes cut off the end after a power cut
//! index/{engine}/       the engine's own files (`index`, `catalogue`)
//! ```

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hanse_protocol::timestamp::Timestamp;

use crate::keystore::MasterKey;

mod beyond;
pub mod catalogue;
pub mod disk;
pub mod entry;
mod error;
pub mod facts;
pub mod index;
mod indexing;
mod log;
mod looking;
mod lookup;
mod opening;
mod planning;
mod reader;
mod recasting;
mod replay;
mod sums;
mod tending;

#[cfg(test)]
mod tests;
mod withdrawals;

pub use beyond::{Endings, Judged};
pub use error::{StoreError, unless_damaged};
pub use indexing::AuditHead;
pub use log::{LogError, SEGMENT, Span};
pub use looking::{Seen, is_in_use, look};
pub use opening::{Opening, Rebuilt};
pub use reader::{ChainLink, Holding, ObjectHit, Reader, StoreStats, StoredRecord, TimelineItem};
pub use sums::{CommunityHeld, Timeline};
pub use tending::{Retired, Rules, Tended};
pub use withdrawals::AHEAD;

use catalogue::Tags;
use disk::{Disk, Lock, RealDisk};
use entry::{BodyState, CharterEntry, Entry, Position};
use facts::{Derive, RecordFacts};
use index::{Batch, Engine, Index, IndexError};
use indexing::{Outcome, Updates};
use log::{Files, Frame, Log, LogSetup, Unscanned};
use opening::Opener;
use planning::Plan;
use sums::Sums;
use tending::Tending;

/// Bytes of log after which the index is checkpointed, so that opening after a kill reads little.
const CHECKPOINT: u64 = 8 << 20;
/// How long nothing is written before the index is checkpointed.
const IDLE: Duration = Duration::from_secs(5);

/// Positions that are left out after a restore: more than were given out since any backup.
const LEAP: u64 = 1 << 32;

/// Positions for a second since 1970 after a leap: more than are given out, and what comes of it stays
/// below 2^53 for two centuries, so that a client that reads numbers as floating point tells all apart.
const A_SECOND: u64 = 1 << 20;

/// Free space under which the store is full, bytes: more than one commit, the index's journals and
/// what it rewrites while it compacts, so that what was begun before can end well.
pub const RESERVE: u64 = 128 << 20;
/// Free space from which a store that was full takes work again, bytes.
const RELIEF: u64 = RESERVE + (32 << 20);

/// How a store is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Which engine keeps the indexes.
    pub engine: Engine,
    /// Size at which a segment of the log is closed, bytes; at most [`SEGMENT`].
    pub segment_size: u32,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            engine: Engine::default(),
            segment_size: 64 << 20,
        }
    }
}

/// How far a walk over the log has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of log walked.
    pub done: u64,
    /// Bytes of log to walk.
    pub total: u64,
}

/// The store's one writer.
pub struct Store {
    log: Log,
    shared: Arc<Shared>,
    audit: AuditHead,
    /// Bytes of log since the last checkpoint.
    unsaved: u64,
    /// The newest position [`Store::maintain`] saw, and when it first did.
    quiet: Option<(Position, Timestamp)>,
    behind: bool,
    full: bool,
    tending: Tending,
}

/// What the writer and the readers have in common.
struct Shared {
    files: Arc<Files>,
    index: Arc<dyn Index>,
    tags: Tags,
    sums: Sums,
    /// The last position that readers may see.
    newest: AtomicU64,
    log_bytes: AtomicU64,
    segments: AtomicU64,
    /// Held by readers too: while one lives, the index must not be opened a second time.
    _lock: Box<dyn Lock>,
}

impl Store {
    /// Opens the store in `folder`, making it if there is none. What the index lacks is read from
    /// the log: for that `derive` is shown all charters known to the index, then every entry after
    /// the last that the index reflects.
    ///
    /// # Errors
    /// [`StoreError::InUse`]; [`StoreError::Log`] for a wrong key, tampering, a newer format or a
    /// failing disk. Torn and rotten frames and an unusable index are no errors but told in
    /// [`Opening`].
    pub fn open(
        folder: &Path,
        master: &MasterKey,
        settings: &StoreSettings,
        derive: &mut dyn Derive,
    ) -> Result<(Self, Opening), StoreError> {
        Self::open_on(Arc::new(RealDisk), folder, master, settings, derive)
    }

    /// As [`Store::open`], with the log on a disk of the caller's. An engine other than
    /// [`Engine::Memory`] still uses the operating system's.
    ///
    /// # Errors
    /// Those of [`Store::open`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        folder: &Path,
        master: &MasterKey,
        settings: &StoreSettings,
        derive: &mut dyn Derive,
    ) -> Result<(Self, Opening), StoreError> {
        Self::start(disk, folder, master, settings, derive, false, &mut |_| {})
    }

    /// Opens the store after removing its index, and makes that anew from the whole log. Rotten
    /// frames anywhere in the log are found and told in [`Opening::corrupt`].
    ///
    /// # Errors
    /// Those of [`Store::open`].
    pub fn reindex(
        folder: &Path,
        master: &MasterKey,
        settings: &StoreSettings,
        derive: &mut dyn Derive,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Self, Opening), StoreError> {
        Self::start(
            Arc::new(RealDisk),
            folder,
            master,
            settings,
            derive,
            true,
            progress,
        )
    }

    /// All charters in the log of `folder`, in order, without the index. Reads the whole log, so
    /// it is for a node whose charters are not known otherwise; [`Store::open`] shows them to its
    /// `derive` by itself.
    ///
    /// # Errors
    /// Those of [`Store::open`].
    pub fn charters(
        folder: &Path,
        master: &MasterKey,
        settings: &StoreSettings,
    ) -> Result<Vec<CharterEntry>, StoreError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let _lock = lock(&*disk, folder)?;
        let log = Unscanned::open(setup(disk, folder, master, settings))?;
        let mut charters = Vec::new();
        log.walk(0, (0, 0), |_, frame| {
            charters.extend(frame.entries.into_iter().filter_map(|entry| match entry {
                Entry::Charter(charter) => Some(charter),
                _ => None,
            }));
            Ok::<(), StoreError>(())
        })?;
        Ok(charters)
    }

    /// Holds every frame of the log in `folder` against its checksum and its place in the chain,
    /// and changes nothing; gives the rotten stretches.
    ///
    /// # Errors
    /// Those of [`Store::open`].
    pub fn verify(
        folder: &Path,
        master: &MasterKey,
        settings: &StoreSettings,
    ) -> Result<Vec<Span>, StoreError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let _lock = lock(&*disk, folder)?;
        let log = Unscanned::open(setup(disk, folder, master, settings))?;
        let walked = log.walk(0, (u32::MAX, u32::MAX), |_, _| Ok::<(), StoreError>(()))?;
        Ok(walked.found.corrupt)
    }

    fn start(
        disk: Arc<dyn Disk>,
        folder: &Path,
        master: &MasterKey,
        settings: &StoreSettings,
        derive: &mut dyn Derive,
        anew: bool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Self, Opening), StoreError> {
        let lock = lock(&*disk, folder)?;
        let tags = Tags::new(master);
        let opener = Opener {
            log: Unscanned::open(setup(disk, folder, master, settings))?,
            tags: &tags,
            engine: settings.engine,
            indexes: folder.join("index"),
            derive,
            progress,
        };
        let (log, index, sums, opening) = opener.open(anew)?;
        let audit = AuditHead::load(&*index)?;
        let shared = Arc::new(Shared {
            files: Arc::clone(log.files()),
            index,
            tags,
            sums,
            newest: AtomicU64::new(log.next().0.saturating_sub(1)),
            log_bytes: AtomicU64::new(log.extent().bytes),
            segments: AtomicU64::new(log.extent().segments),
            _lock: lock,
        });
        Ok((
            Self {
                log,
                shared,
                audit,
                unsaved: 0,
                quiet: None,
                behind: false,
                full: false,
                tending: Tending::default(),
            },
            opening,
        ))
    }

    /// A handle for reading, cheap to clone and to send to other threads.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// Logs entries, each with its facts if it is a record or a body, and returns once they are on
    /// disk and in the index. Audit lines are numbered and chained here; what the caller put in
    /// their `seq` and `previous` does not count.
    ///
    /// A commit is one frame, hence all or nothing, as long as its entries take up at most 4 MiB;
    /// a larger one is cut between entries, and a power cut may keep the first frames only.
    ///
    /// A header committed twice and a second readable body change nothing that readers see;
    /// a body that is gone stays gone.
    ///
    /// # Errors
    /// [`StoreError::Entry`], [`StoreError::NoFacts`], [`StoreError::NoHeader`]: refused, nothing
    /// was written. [`StoreError::Log`]: unknown whether it was written, and from then on
    /// [`LogError::Poisoned`]. [`StoreError::IndexBehind`]: written, but not to be seen before the
    /// store is opened again; from then on [`StoreError::Behind`].
    pub fn commit(
        &mut self,
        entries: Vec<(Entry, Option<RecordFacts>)>,
    ) -> Result<Vec<Position>, StoreError> {
        if self.behind {
            return Err(StoreError::Behind);
        }
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        self.check(&entries)?;
        let mut audit = self.audit;
        let plan = Plan::new(entries, self.log.next(), &mut audit)?;
        let spans = self.log.append(&plan.payloads)?;
        self.audit = audit;
        let positions = plan.positions();
        if let Err(source) = self.index(&plan, &spans) {
            self.behind = true;
            return Err(StoreError::IndexBehind { positions, source });
        }
        self.publish(plan, &spans);
        self.unsaved += spans.iter().map(|span| u64::from(span.length)).sum::<u64>();
        if self.unsaved >= CHECKPOINT {
            // This commit is durable and visible whatever comes of it; the next will be refused.
            self.behind = self.checkpoint().is_err();
        }
        Ok(positions)
    }

    /// Refuses what could not be indexed, before anything is written.
    fn check(&self, entries: &[(Entry, Option<RecordFacts>)]) -> Result<(), StoreError> {
        let mut headers = HashSet::new();
        for (entry, facts) in entries {
            entry.check().map_err(StoreError::Entry)?;
            match entry {
                Entry::Record(record) => {
                    if facts.is_none() {
                        return Err(StoreError::NoFacts(record.id));
                    }
                    headers.insert(record.id);
                }
                Entry::Body(body) => {
                    if facts.is_none() && body.state == BodyState::Readable {
                        return Err(StoreError::NoFacts(body.id));
                    }
                    let known = headers.contains(&body.id)
                        || self
                            .shared
                            .index
                            .get(catalogue::Keyspace::Records, body.id.as_bytes())?
                            .is_some();
                    if !known {
                        return Err(StoreError::NoHeader(body.id));
                    }
                }
                Entry::Charter(_) | Entry::Audit(_) | Entry::Note(_) | Entry::Paper(_) | Entry::Void => {}
            }
        }
        Ok(())
    }

    fn index(&self, plan: &Plan, spans: &[Span]) -> Result<(), IndexError> {
        let mut updates = Updates::new(&self.shared.tags, &*self.shared.index, &self.shared.sums)?;
        for (frame, span) in plan.frames.iter().zip(spans) {
            let count = u32::try_from(frame.entries.len()).unwrap_or(u32::MAX);
            updates.frame(*span, frame.first, count);
            let facts = plan.facts.get(frame.facts.clone()).unwrap_or_default();
            for (number, (entry, facts)) in (0..).zip(frame.entries.iter().zip(facts)) {
                let outcome = updates.entry(frame.first.plus(number), entry, facts.as_ref())?;
                debug_assert_eq!(outcome, Outcome::Indexed, "checked before it was logged");
            }
        }
        updates.apply(None)
    }

    fn publish(&self, plan: Plan, spans: &[Span]) {
        for ((planned, payload), span) in plan.frames.into_iter().zip(&plan.payloads).zip(spans) {
            let frame = Arc::new(Frame {
                first: planned.first,
                entries: planned.entries,
            });
            self.shared.files.keep(*span, &frame, payload.plaintext.len());
        }
        self.tell_extent();
        let newest = self.log.next().0.saturating_sub(1);
        self.shared.newest.store(newest, Ordering::Release);
    }

    fn tell_extent(&self) {
        let extent = self.log.extent();
        self.shared.log_bytes.store(extent.bytes, Ordering::Relaxed);
        self.shared.segments.store(extent.segments, Ordering::Relaxed);
    }

    /// Makes what the index holds survive a power cut. Nothing depends on it but the time that
    /// the next opening takes.
    ///
    /// # Errors
    /// [`StoreError::Index`].
    pub fn checkpoint(&mut self) -> Result<(), StoreError> {
        self.shared.index.checkpoint()?;
        self.unsaved = 0;
        Ok(())
    }

    /// A checkpoint before the store is closed in order: the next opening is the faster for it.
    ///
    /// # Errors
    /// [`StoreError::Index`].
    pub fn settle(&mut self) -> Result<(), StoreError> {
        self.shared.index.settle()?;
        self.unsaved = 0;
        Ok(())
    }

    /// To be called now and then, a second apart or so: checkpoints when nothing was written for
    /// five seconds.
    ///
    /// # Errors
    /// [`StoreError::Index`].
    pub fn maintain(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let newest = Position(self.shared.newest.load(Ordering::Acquire));
        match self.quiet {
            Some((seen, since)) if seen == newest => {
                if self.unsaved > 0 && now.since(since) >= IDLE {
                    self.checkpoint()?;
                }
            }
            _ => self.quiet = Some((newest, now)),
        }
        Ok(())
    }

    /// Leaves out positions that may have been given out after this copy of the store was made: what is
    /// committed from now on comes after all of them, so that whoever follows it misses nothing. `now`
    /// keeps two that go on from the same copy apart.
    pub fn leap(&mut self, now: Timestamp) {
        let by_clock = Position((now.as_millis() / 1_000).saturating_mul(A_SECOND));
        self.log.raise(self.log.next().plus(LEAP).max(by_clock));
    }

    /// Forgets that entries were lost: whoever must know has it on disk now.
    ///
    /// # Errors
    /// [`StoreError::Index`].
    pub fn loss_is_noted(&mut self) -> Result<(), StoreError> {
        let index = &*self.shared.index;
        let mut batch = Batch::default();
        batch.remove(catalogue::Keyspace::Meta, catalogue::meta::LOST);
        index.apply(batch, index.reflects()?.unwrap_or_default())?;
        self.checkpoint()
    }

    /// Whether the disk has too little room for new work. To be asked before work is taken: a write
    /// that finds no room fails like any other, and then the store must be opened again. Once
    /// full it stays so until somewhat more than [`RESERVE`] is free.
    pub fn is_full(&mut self) -> bool {
        let bound = if self.full { RELIEF } else { RESERVE };
        // A file system that does not tell how much is free will say so when it is written to.
        self.full = self.shared.files.free().is_ok_and(|free| free < bound);
        self.full
    }

    /// Bytes that may still be written to the store's file system, if it tells.
    pub fn free(&self) -> Option<u64> {
        self.shared.files.free().ok()
    }

    /// Settles and closes. Readers that still live keep the store's lock.
    ///
    /// # Errors
    /// [`StoreError::Index`].
    pub fn close(mut self) -> Result<(), StoreError> {
        self.settle()
    }
}

fn setup(disk: Arc<dyn Disk>, folder: &Path, master: &MasterKey, settings: &StoreSettings) -> LogSetup {
    LogSetup {
        disk,
        folder: folder.join("log"),
        key: master.subkey("record log"),
        segment_size: settings.segment_size.min(SEGMENT),
        look: false,
    }
}

fn lock(disk: &dyn Disk, folder: &Path) -> Result<Box<dyn Lock>, StoreError> {
    let path = folder.join("store.lock");
    let failed = |source| StoreError::Folder {
        path: path.clone(),
        source,
    };
    disk.create_folder(folder).map_err(failed)?;
    disk.lock(&path).map_err(|e| match e.kind() {
        io::ErrorKind::WouldBlock => StoreError::InUse(folder.to_owned()),
        _ => failed(e),
    })
}
