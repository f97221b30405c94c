//! The gossip sender: a cursor over the log that hands this node's own records, and every new
//! charter, to the mesh. What gossip does not carry, healing brings: the sender never holds up a
//! commit, and what has grown old while nobody listened is left to healing.

use std::time::Duration;

use hanse_protocol::frame::{Carried, Frame};
use hanse_protocol::limits;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::exchange::Exchange;
use crate::mesh::{MeshHandle, Publish};
use crate::metrics::Metrics;
use crate::store::entry::{Entry, Origin, Position};
use crate::store::{Reader, StoreError};

/// The note that holds the cursor.
const CURSOR: &str = "sender-cursor";

/// Records that waited longer than this for a peer are left to healing.
const FRESH: Duration = Duration::from_secs(30);

/// Entries and bytes read from the log at once.
const READ_ENTRIES: usize = 512;
const READ_BYTES: usize = 1 << 20;

/// Bytes a second that are gossiped at most, and how many may go at once: a burst that outruns the
/// receivers' disks is only healed later at twice the cost.
const PACE: f64 = 4.0 * 1024.0 * 1024.0;
const BURST: f64 = 1024.0 * 1024.0;

/// How long to wait when the mesh takes nothing.
const PAUSE: Duration = Duration::from_millis(50);

/// Why the sender ended.
#[derive(Debug, thiserror::Error)]
pub enum SenderError {
    /// The log cannot be read.
    #[error("the log could not be read")]
    Store(#[from] StoreError),
    /// A reading thread ended early.
    #[error("a reading thread ended early")]
    Thread(#[from] tokio::task::JoinError),
}

/// The sender of one community.
pub struct Sender {
    /// To keep the cursor, and to hear of new positions.
    pub exchange: Exchange,
    /// The log.
    pub store: Reader,
    /// Where frames go.
    pub mesh: MeshHandle,
    /// Counters.
    pub metrics: std::sync::Arc<Metrics>,
}

/// A frame in the making: records of one author until they are as many as go into one, or nothing more
/// is ready.
#[derive(Default)]
pub struct Filling {
    records: Vec<Carried>,
    bytes: usize,
}

impl Sender {
    /// Runs until `stop`.
    ///
    /// # Errors
    /// [`SenderError`].
    pub async fn run(self, stop: CancellationToken) -> Result<(), SenderError> {
        let mut positions = self.exchange.positions();
        let mut cursor = self.load_cursor()?;
        let mut saved = cursor;
        let mut pace = Pace::new();
        loop {
            cursor = self.pump(cursor, &mut pace, &stop).await?;
            // The cursor's own note makes the log grow: it is kept once for many records.
            if cursor.0 > saved.0 + 1 && self.exchange.note(CURSOR, cursor.0.to_be_bytes().to_vec()) {
                saved = cursor.next();
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = positions.changed() => if changed.is_err() { return Ok(()) },
                // A wake-up that was lost costs a tick.
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    }

    fn load_cursor(&self) -> Result<Position, StoreError> {
        let note = match self.store.note(CURSOR) {
            // Nobody knows any longer what was sent; what was not, healing brings.
            Err(StoreError::Damaged { .. }) => return Ok(self.store.newest()),
            note => note?,
        };
        let cursor = note
            .and_then(|bytes| bytes.try_into().ok())
            .map(u64::from_be_bytes);
        Ok(Position(cursor.unwrap_or(0)))
    }

    /// Sends what lies after the cursor and returns where it stands then.
    async fn pump(
        &self,
        mut cursor: Position,
        pace: &mut Pace,
        stop: &CancellationToken,
    ) -> Result<Position, SenderError> {
        loop {
            let reader = self.store.clone();
            let read = move || reader.entries_from(cursor.next(), READ_ENTRIES, READ_BYTES);
            let entries = match tokio::task::spawn_blocking(read).await? {
                Err(error) => {
                    let last = error.goes_on_after().ok_or(error)?;
                    tracing::warn!(from = %cursor.next(), %last, "a damaged part of the log is not gossiped");
                    cursor = cursor.max(last);
                    continue;
                }
                Ok(entries) => entries,
            };
            if entries.is_empty() || stop.is_cancelled() {
                return Ok(cursor);
            }
            let mut filling = Filling::default();
            for (position, entry) in entries {
                for frame in filling.add(entry) {
                    self.send(frame, pace, stop).await;
                }
                cursor = position;
            }
            // The cursor has nothing more ready: what is there goes now.
            if let Some(frame) = filling.take() {
                self.send(frame, pace, stop).await;
            }
        }
    }

    /// Hands one frame to the mesh; gives up when it has grown old.
    async fn send(&self, frame: Frame, pace: &mut Pace, stop: &CancellationToken) {
        let bytes = frame.encode();
        pace.wait(bytes.len()).await;
        let started = Instant::now();
        loop {
            match self.mesh.publish(bytes.clone()).await {
                Ok(Publish::Taken) => return self.metrics.frame_sent("taken"),
                Ok(Publish::NoPeers | Publish::Full) => {}
                Err(error) => {
                    tracing::warn!(%error, "a frame could not be gossiped; healing brings its records");
                    return self.metrics.frame_sent("failed");
                }
            }
            if started.elapsed() > FRESH || stop.is_cancelled() {
                return self.metrics.frame_sent("left-to-healing");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Filling {
    /// Adds an entry and returns the frames that are ready because of it.
    fn add(&mut self, entry: Entry) -> Vec<Frame> {
        match entry {
            Entry::Charter(charter) => self
                .take()
                .into_iter()
                .chain([Frame::Charter(charter.bytes)])
                .collect(),
            Entry::Record(record) if record.origin == Origin::Own => {
                if clock::now().since(record.arrived) > FRESH {
                    return Vec::new();
                }
                let carried = Carried {
                    header: record.header,
                    body: record.body,
                };
                self.put(carried).into_iter().collect()
            }
            Entry::Record(_)
            | Entry::Body(_)
            | Entry::Audit(_)
            | Entry::Note(_)
            | Entry::Paper(_)
            | Entry::Void => Vec::new(),
        }
    }

    /// Adds a record, without its body if that is to be pulled, and returns the frame that had no room
    /// for it.
    pub fn put(&mut self, mut record: Carried) -> Option<Frame> {
        record.body = record.body.filter(|body| body.len() <= limits::INLINE_BODY);
        let size = record.header.len() + record.body.as_ref().map_or(0, Vec::len);
        let full = self.bytes + size > limits::FRAME_FLUSH || self.records.len() >= limits::FRAME_RECORDS;
        let ready = if full { self.take() } else { None };
        self.records.push(record);
        self.bytes += size;
        ready
    }

    /// The frame of what was added, if anything was.
    pub fn take(&mut self) -> Option<Frame> {
        let Self { records, .. } = std::mem::take(self);
        (!records.is_empty()).then_some(Frame::Records(records))
    }
}

/// A token bucket of bytes.
struct Pace {
    tokens: f64,
    at: Instant,
}

impl Pace {
    fn new() -> Self {
        Self {
            tokens: BURST,
            at: Instant::now(),
        }
    }

    async fn wait(&mut self, bytes: usize) {
        let now = Instant::now();
        self.tokens = (self.tokens + now.duration_since(self.at).as_secs_f64() * PACE).min(BURST);
        self.at = now;
        self.tokens -= f64::from(u32::try_from(bytes).unwrap_or(u32::MAX));
        if self.tokens < 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(-self.tokens / PACE)).await;
        }
    }
}
