//! Opening a store: brings the index to where the log is, or makes it anew from the log when it
//! cannot be trusted.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::catalogue::{self, Fields, Keyspace, Tags, meta};
use super::entry::Position;
use super::facts::Derive;
use super::index::{Batch, Engine, Index, IndexError, Reflects};
use super::indexing::{AuditHead, Updates};
use super::log::{Found, Log, Span, Unscanned, Walked};
use super::replay::{Replay, teach_charters};
use super::sums::Sums;
use super::{Progress, StoreError, recasting};

/// Rotten stretches that an index remembers as known. With so many, further ones no longer make
/// it anew at opening; a reindex still finds them all.
const CORRUPT_KNOWN: usize = 1_024;

/// What opening a store came upon. All of it is worth telling the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// A torn write at the end of the log, cut off; its bytes are kept in `log/torn-…`. Nothing
    /// acknowledged is lost by it.
    pub torn: Option<Span>,
    /// Rotten stretches of the log. They are skipped; what they held is unknown to the index, so
    /// that healing brings it again.
    pub corrupt: Vec<Span>,
    /// Numbers of segments that are not there, between the first and the last.
    pub missing: Vec<u32>,
    /// Why the index was made anew, if it was.
    pub rebuilt: Option<Rebuilt>,
    /// Entries read from the log into the index.
    pub replayed: u64,
    /// Records among them for which no facts could be derived; they are not findable.
    pub underived: u64,
    /// Bodies among them whose header is in no readable frame.
    pub orphans: u64,
    /// Whether entries are lost that had been acknowledged: found now, or at an earlier opening by
    /// whomever, and not [noted](super::Store::loss_is_noted) since.
    pub lost: bool,
}

/// Why an index was made anew from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rebuilt {
    /// There was none.
    Absent,
    /// The engine did not open what was there; its folder was set aside.
    Unopenable(String),
    /// The engine opened but failed while it was brought up to date; its folder was set aside.
    Failed(String),
    /// It belonged to another store, or had another layout.
    Foreign,
    /// It told of entries that the log no longer has. Their positions are not given out again.
    Ahead,
    /// Rot was found in the log that the index did not know of.
    Corrupt,
    /// A segment of the log is not the one that it told of: a recast was broken off, or a part of
    /// the store is older than the rest.
    Recast,
    /// The operator asked.
    Asked,
}

impl fmt::Display for Rebuilt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("there was none"),
            Self::Unopenable(why) => write!(f, "its engine did not open it ({why})"),
            Self::Failed(why) => write!(f, "its engine failed ({why})"),
            Self::Foreign => f.write_str("it belonged to another store or had another layout"),
            Self::Ahead => f.write_str("it told of entries that the log no longer has"),
            Self::Corrupt => f.write_str("it did not know of damage in the log"),
            Self::Recast => f.write_str("a segment of the log is not the one it told of"),
            Self::Asked => f.write_str("the operator asked"),
        }
    }
}

/// Everything that opening needs.
pub(super) struct Opener<'a> {
    pub(super) log: Unscanned,
    pub(super) tags: &'a Tags,
    pub(super) engine: Engine,
    /// Folder of all indexes.
    pub(super) indexes: PathBuf,
    pub(super) derive: &'a mut dyn Derive,
    pub(super) progress: &'a mut dyn FnMut(Progress),
}

/// What must not be given out a second time.
#[derive(Clone, Copy, Debug, Default)]
struct Floor {
    next: Position,
    audit: AuditHead,
    /// Whether an earlier opening found that something was lost.
    lost: bool,
}

/// An index found at opening.
enum Existing {
    /// Of this store and layout.
    Ours(Arc<dyn Index>),
    /// Just made, empty.
    Empty(Arc<dyn Index>),
    /// Of no use, and set aside.
    Useless(Rebuilt),
}

impl Opener<'_> {
    /// Opens, replays, and makes the index anew where it must, or where `anew` asks for it.
    pub(super) fn open(mut self, anew: bool) -> Result<(Log, Arc<dyn Index>, Sums, Opening), StoreError> {
        let mut floor = Floor::default();
        // Those of an index that is given up go with it.
        let mut sums = Sums::default();
        let (index, reason) = match self.existing(anew, &mut floor)? {
            Existing::Ours(index) => match self.settle(&*index, &sums, &mut floor)? {
                Ok((walked, opening)) => return self.finish(walked, index, sums, floor, opening),
                Err(reason) => {
                    drop(index);
                    sums = Sums::default();
                    self.engine.set_aside(&self.indexes)?;
                    (self.engine.open(&self.indexes)?, reason)
                }
            },
            Existing::Empty(index) => (index, Rebuilt::Absent),
            Existing::Useless(reason) => (self.engine.open(&self.indexes)?, reason),
        };
        floor.lost |= matches!(reason, Rebuilt::Corrupt | Rebuilt::Ahead);
        self.claim(&*index)?;
        let (walked, mut opening) = self.catch_up(&*index, &sums, floor)?;
        // A new store has nothing to make anew, and an index in memory is always empty at first.
        let ordinary = opening.replayed == 0 || self.engine.folder(&self.indexes).is_none();
        opening.rebuilt = (!ordinary || reason != Rebuilt::Absent).then_some(reason);
        self.finish(walked, index, sums, floor, opening)
    }

    fn existing(&self, anew: bool, floor: &mut Floor) -> Result<Existing, StoreError> {
        let index = match self.engine.open(&self.indexes) {
            Ok(index) => index,
            Err(IndexError::Busy) => return Err(IndexError::Busy.into()),
            Err(e) => {
                self.engine.set_aside(&self.indexes)?;
                let reason = if anew {
                    Rebuilt::Asked
                } else {
                    Rebuilt::Unopenable(causes(&e))
                };
                return Ok(Existing::Useless(reason));
            }
        };
        let reason = match index.get(Keyspace::Meta, meta::OWNER) {
            Ok(None) if !anew => return Ok(Existing::Empty(index)),
            Ok(owner) => {
                let distrusted = owner.as_deref() == Some(meta::DISTRUSTED);
                let ours = owner.is_some_and(|owner| owner == self.owner());
                if ours && !anew {
                    return Ok(Existing::Ours(index));
                }
                if ours || distrusted {
                    *floor = Floor::of(&*index);
                }
                if anew { Rebuilt::Asked } else { Rebuilt::Foreign }
            }
            Err(e) => Rebuilt::Unopenable(causes(&e)),
        };
        drop(index);
        if anew {
            self.engine.remove(&self.indexes)?;
        } else {
            self.engine.set_aside(&self.indexes)?;
        }
        Ok(Existing::Useless(reason))
    }

    /// Brings an index up to date, or says why it cannot be trusted and what it had given out.
    fn settle(
        &mut self,
        index: &dyn Index,
        sums: &Sums,
        floor: &mut Floor,
    ) -> Result<Result<(Walked, Opening), Rebuilt>, StoreError> {
        *floor = Floor::of(index);
        match recasting::agree(self.log.files(), &self.log.generations(), index) {
            Ok(true) => {}
            Ok(false) => return Ok(Err(Rebuilt::Recast)),
            Err(StoreError::Index(e)) => return Ok(Err(Rebuilt::Failed(causes(&e)))),
            Err(e) => return Err(e),
        }
        let before = index.reflects();
        match self.catch_up(index, sums, *floor) {
            Ok((walked, opening)) => {
                let ahead = before?.is_some_and(|r| (r.segment, r.offset) > walked.end);
                if ahead {
                    return Ok(Err(Rebuilt::Ahead));
                }
                let known = known_corrupt(index)?;
                let news = opening.corrupt.iter().any(|span| !known.contains(span));
                if news && known.len() < CORRUPT_KNOWN {
                    *floor = Floor::of(index);
                    return Ok(Err(Rebuilt::Corrupt));
                }
                Ok(Ok((walked, opening)))
            }
            Err(StoreError::Index(e)) => Ok(Err(Rebuilt::Failed(causes(&e)))),
            Err(e) => Err(e),
        }
    }

    /// Whose index it is, and of which layout.
    fn owner(&self) -> Vec<u8> {
        catalogue::key(&[&catalogue::FORMAT.to_be_bytes(), &self.log.files().store_id()])
    }

    fn claim(&self, index: &dyn Index) -> Result<(), IndexError> {
        let mut batch = Batch::default();
        batch.put(Keyspace::Meta, meta::OWNER, self.owner());
        let (segment, _) = self.log.bounds();
        index.apply(
            batch,
            Reflects {
                next: Position(1),
                segment,
                offset: 0,
            },
        )
    }

    /// Walks the log from where the index has come to, entering what it finds.
    fn catch_up(
        &mut self,
        index: &dyn Index,
        sums: &Sums,
        floor: Floor,
    ) -> Result<(Walked, Opening), StoreError> {
        let (first, last) = self.log.bounds();
        let reflects = index.reflects()?.unwrap_or_default();
        let from = (reflects.segment, reflects.offset);
        let fresh = reflects.offset == 0;
        if !fresh {
            teach_charters(self.log.files(), index, self.derive)?;
        }
        let start = reflects.segment.clamp(first, last);
        let mut replay = Replay {
            updates: Updates::new(self.tags, index, sums)?,
            files: self.log.files(),
            index,
            derive: self.derive,
            progress: self.progress,
            done: Progress {
                done: 0,
                total: self.log.bytes(start)?,
            },
            opening: Opening::default(),
        };
        let walked = self
            .log
            .walk(start, from, |span, frame| replay.frame(span, &frame))?;
        let Replay {
            mut updates,
            mut opening,
            ..
        } = replay;
        let known = if fresh { Vec::new() } else { known_corrupt(index)? };
        let Found { corrupt, missing, .. } = &walked.found;
        opening.lost = floor.lost || !missing.is_empty() || corrupt.iter().any(|span| !known.contains(span));
        if opening.lost {
            updates.note_meta(meta::LOST, b"x".to_vec());
        }
        if fresh {
            // A rebuilt index has seen the whole log, so what is rotten now is known from here on.
            updates.note_meta(meta::CORRUPT, encode_spans(&walked.found.corrupt));
            updates.raise_audit(floor.audit);
            for (segment, generation) in self.log.generations() {
                updates.generation(segment, generation)?;
            }
        }
        let (segment, offset) = walked.end;
        updates.apply(Some(Reflects {
            next: walked.next.max(floor.next),
            segment,
            offset,
        }))?;
        if opening.replayed > 0 || fresh || opening.lost {
            index.checkpoint()?;
        }
        let Found {
            corrupt,
            missing,
            torn,
        } = walked.found.clone();
        opening.torn = torn;
        opening.corrupt = corrupt;
        opening.missing = missing;
        Ok((walked, opening))
    }

    fn finish(
        self,
        walked: Walked,
        index: Arc<dyn Index>,
        sums: Sums,
        floor: Floor,
        mut opening: Opening,
    ) -> Result<(Log, Arc<dyn Index>, Sums, Opening), StoreError> {
        let (mut log, found) = self.log.into_log(walked)?;
        log.raise(floor.next);
        opening.torn = found.torn;
        Ok((log, index, sums, opening))
    }
}

impl Floor {
    /// What an index says was given out; nothing if it cannot say.
    fn of(index: &dyn Index) -> Self {
        let next = index.reflects().ok().flatten().unwrap_or_default().next;
        let lost = index.get(Keyspace::Meta, meta::LOST);
        Self {
            next,
            audit: AuditHead::load(index).unwrap_or_default(),
            lost: lost.is_ok_and(|lost| lost.is_some()),
        }
    }
}

fn known_corrupt(index: &dyn Index) -> Result<Vec<Span>, IndexError> {
    let bytes = index.get(Keyspace::Meta, meta::CORRUPT)?.unwrap_or_default();
    let mut fields = Fields(&bytes);
    let mut spans = Vec::new();
    while !fields.0.is_empty() {
        spans.push(Span {
            segment: fields.u32()?,
            offset: fields.u32()?,
            length: fields.u32()?,
        });
    }
    Ok(spans)
}

fn encode_spans(spans: &[Span]) -> Vec<u8> {
    spans
        .iter()
        .take(CORRUPT_KNOWN)
        .flat_map(|span| [span.segment, span.offset, span.length])
        .flat_map(u32::to_be_bytes)
        .collect()
}

/// An error and its sources in one line, for a report that outlives them.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
