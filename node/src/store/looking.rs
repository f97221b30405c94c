//! Looking at a store without changing it, also while a node runs on it: every frame, and by the index
//! which records the damaged ones held.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use hanse_protocol::identity::RecordId;

use super::catalogue::{Fields, FrameRow, Keyspace, PaperRow, RecordRow};
use super::disk::{Disk, RealDisk};
use super::entry::{CharterEntry, Entry, Position};
use super::index::{Direction, Index, IndexError};
use super::log::{LogSetup, Span, Unscanned};
use super::{StoreError, StoreSettings, setup};
use crate::keystore::MasterKey;

/// Most ids of lost records that are told.
const LOST: usize = 10_000;
/// Rows of the index read at once.
const PAGE: usize = 4_096;

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Rotten stretches.
    pub corrupt: Vec<Span>,
    /// Numbers of segments that are not there, between the first and the last.
    pub missing: Vec<u32>,
    /// Whether the log ends in bytes that are no frame: a write under way, or one that a power cut tore,
    /// which the next opening cuts off.
    pub torn: Option<Span>,
    /// Records whose header or body is in a rotten stretch, by the index; `None` if that cannot be read,
    /// since a node runs on it. At most some thousands.
    pub lost: Option<Vec<RecordId>>,
    /// Papers in a rotten stretch, by the index if it can be read; nobody else has them.
    pub lost_papers: u64,
    /// Headers in the log.
    pub records: u64,
    /// The charters in the log.
    pub charters: Vec<CharterEntry>,
    /// Bytes of log.
    pub bytes: u64,
    /// Bytes that may still be written where the log lies, if the system tells.
    pub free: Option<u64>,
}

/// Whether some process has the store in `folder` open.
pub fn is_in_use(folder: &Path) -> bool {
    let path = folder.join("store.lock");
    let locked = || RealDisk.lock(&path).map(drop);
    path.exists() && locked().is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock)
}

/// Looks at every frame of the log in `folder`.
///
/// # Errors
/// [`StoreError::Log`] for a wrong key, tampering, a newer format or a failing disk.
pub fn look(folder: &Path, master: &MasterKey, settings: &StoreSettings) -> Result<Seen, StoreError> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let log = Unscanned::open(LogSetup {
        look: true,
        ..setup(Arc::clone(&disk), folder, master, settings)
    })?;
    let mut seen = Seen {
        bytes: log.bytes(0)?,
        free: disk.free(folder).ok(),
        ..Seen::default()
    };
    let walked = log.walk(0, (0, 0), |_, frame| {
        for entry in frame.entries {
            match entry {
                Entry::Record(_) => seen.records += 1,
                Entry::Charter(charter) => seen.charters.push(charter),
                Entry::Body(_) | Entry::Audit(_) | Entry::Note(_) | Entry::Paper(_) | Entry::Void => {}
            }
        }
        Ok::<(), StoreError>(())
    })?;
    seen.torn = walked.torn();
    seen.missing = walked.found.missing;
    seen.corrupt = walked.found.corrupt;
    seen.lost = Some(Vec::new());
    if !seen.corrupt.is_empty() {
        let indexes = folder.join("index");
        let there = settings
            .engine
            .folder(&indexes)
            .is_some_and(|folder| folder.exists());
        // An index that another process has, or that does not open, tells nothing.
        let index = there.then(|| settings.engine.open(&indexes)).and_then(Result::ok);
        seen.lost = None;
        if let Some(index) = index {
            let ranges = rotten(&*index, &seen.corrupt)?;
            seen.lost = Some(lost(&*index, &ranges)?);
            seen.lost_papers = lost_papers(&*index, &ranges)?;
        }
    }
    Ok(seen)
}

/// A stretch of positions, the end not among them.
type Range = std::ops::Range<Position>;

/// The positions that lie in these stretches.
fn rotten(index: &dyn Index, corrupt: &[Span]) -> Result<Vec<Range>, IndexError> {
    let mut ranges = Vec::new();
    each(index, Keyspace::Frames, |key, value| {
        let row = FrameRow::decode(value)?;
        let overlaps = |span: &Span| {
            span.segment == row.span.segment && span.offset < row.span.end() && row.span.offset < span.end()
        };
        if corrupt.iter().any(overlaps) {
            let first = Fields(key).position()?;
            ranges.push(first..first.plus(u64::from(row.count)));
        }
        Ok(true)
    })?;
    Ok(ranges)
}

fn inside(ranges: &[Range], position: Position) -> bool {
    ranges.iter().any(|range| range.contains(&position))
}

/// How many papers are there.
fn lost_papers(index: &dyn Index, ranges: &[Range]) -> Result<u64, IndexError> {
    let mut lost = 0;
    each(index, Keyspace::Papers, |_, value| {
        // What says when one leaves has no value.
        if !value.is_empty() && inside(ranges, PaperRow::decode(value)?.position) {
            lost += 1;
        }
        Ok(!ranges.is_empty())
    })?;
    Ok(lost)
}

/// The records whose header or body is there.
fn lost(index: &dyn Index, ranges: &[Range]) -> Result<Vec<RecordId>, IndexError> {
    let mut lost = BTreeSet::new();
    if ranges.is_empty() {
        return Ok(Vec::new());
    }
    each(index, Keyspace::Records, |key, value| {
        let row = RecordRow::decode(value)?;
        let rotten = |position| inside(ranges, position);
        if rotten(row.header) || row.body.is_some_and(rotten) {
            lost.insert(Fields(key).id()?);
        }
        Ok(lost.len() < LOST)
    })?;
    Ok(lost.into_iter().collect())
}

/// Gives `visit` every pair of a keyspace until it says to stop.
fn each(
    index: &dyn Index,
    keyspace: Keyspace,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool, IndexError>,
) -> Result<(), IndexError> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let pairs = index.range(keyspace, from, Bound::Unbounded, Direction::Forward, PAGE)?;
        for (key, value) in &pairs {
            if !visit(key, value)? {
                return Ok(());
            }
        }
        match pairs.into_iter().next_back() {
            Some((key, _)) => after = Some(key),
            None => return Ok(()),
        }
    }
}
