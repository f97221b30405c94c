//! The record log: segments of frames, one frame a commit, on disk before it is acknowledged.
//! It is the node's ground truth; whatever else the store keeps can be made from it again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::TryRng;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

use super::disk::{Disk, DiskFile};
use super::entry::{EntryError, Position};

mod files;
mod frame;
mod opening;
mod recast;
mod scan;
mod segment;

pub(crate) use files::Files;
pub(crate) use frame::{Frame, HEADS, PLAINTEXT, heads};
pub(crate) use opening::{Found, Unscanned, Walked};
pub(crate) use recast::{Recasting, Row};

use frame::{OVERHEAD, TAG};
use segment::Header;

/// Largest segment that may be set, bytes; offsets in a segment are 32 bits wide.
pub const SEGMENT: u32 = 1 << 30;

/// A stretch of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Number of the segment, from 1.
    pub segment: u32,
    /// First byte.
    pub offset: u32,
    /// Number of bytes.
    pub length: u32,
}

impl Span {
    /// Where the stretch ends.
    pub(crate) fn end(self) -> u32 {
        self.offset.saturating_add(self.length)
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "segment {} offset {} length {}",
            self.segment, self.offset, self.length
        )
    }
}

/// Why the log could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system refused.
    #[error("cannot use `{}`", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A segment of a format this version cannot know.
    #[error("segment {segment} has format {format}, newer than this version reads")]
    Newer {
        /// The segment.
        segment: u32,
        /// The format number it bears.
        format: u16,
    },
    /// The log was written under another master key.
    #[error("segment {0} was written under another master key")]
    WrongKey(u32),
    /// A segment of another store, or under another number, lies among ours.
    #[error("segment {0} is of another store or bears another's name")]
    Foreign(u32),
    /// No segment says which store this is, and there is more in them than a torn creation.
    #[error("no segment has a readable header")]
    Headless,
    /// A whole frame that this key did not write at this place after its predecessor.
    #[error("tampered with: {0}")]
    Tampered(Span),
    /// A frame that was whole is no longer.
    #[error("damaged: {0}")]
    Damaged(Span),
    /// A write failed earlier, so what is on disk is unknown until the store is opened again.
    #[error("a write to the log failed earlier: open the store again")]
    Poisoned,
    /// There are no more segment numbers.
    #[error("no segment numbers are left")]
    Full,
    /// The operating system gave no randomness.
    #[error("no randomness to be had from the operating system")]
    Randomness,
    /// A frame's content is over its bound, or does not decode.
    #[error("a frame does not hold entries")]
    Entry(#[from] EntryError),
}

/// Settings and key of a log.
pub(crate) struct LogSetup {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) folder: PathBuf,
    pub(crate) key: Zeroizing<[u8; 32]>,
    /// Size at which a segment is closed, bytes, at most [`SEGMENT`].
    pub(crate) segment_size: u32,
    /// Nothing is to be written, not even what an interrupted creation left put aside.
    pub(crate) look: bool,
}

/// The plaintext of one frame to be written.
pub(crate) struct Payload {
    pub(crate) first: Position,
    pub(crate) count: u64,
    pub(crate) plaintext: Vec<u8>,
}

/// The log's one writer.
pub(crate) struct Log {
    files: Arc<Files>,
    file: Box<dyn DiskFile>,
    segment: u32,
    size: u32,
    last_tag: [u8; TAG],
    next: Position,
    segment_size: u32,
    extent: Extent,
    poisoned: bool,
}

/// How large the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Bytes of all segments.
    pub(crate) bytes: u64,
    /// Number of segments.
    pub(crate) segments: u64,
}

impl Log {
    /// What readers need.
    pub(crate) fn files(&self) -> &Arc<Files> {
        &self.files
    }

    /// The position that the next entry will get.
    pub(crate) fn next(&self) -> Position {
        self.next
    }

    /// Never gives out a position below `floor` again: some were given out and then lost.
    pub(crate) fn raise(&mut self, floor: Position) {
        self.next = self.next.max(floor);
    }

    /// Size at which a segment is closed, bytes.
    pub(crate) fn segment_size(&self) -> u32 {
        self.segment_size
    }

    /// How large the log is.
    pub(crate) fn extent(&self) -> Extent {
        self.extent
    }

    /// Writes frames and returns once they are on disk, with the place of each.
    ///
    /// # Errors
    /// After any failure what reached the disk is unknown, so every later call gives
    /// [`LogError::Poisoned`]: an fsync that failed once may report success the next time without
    /// having written anything.
    pub(crate) fn append(&mut self, payloads: &[Payload]) -> Result<Vec<Span>, LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        self.poisoned = true;
        let spans = self.write(payloads)?;
        self.sync()?;
        self.poisoned = false;
        Ok(spans)
    }

    fn write(&mut self, payloads: &[Payload]) -> Result<Vec<Span>, LogError> {
        let mut spans = Vec::with_capacity(payloads.len());
        for payload in payloads {
            let length = u32::try_from(payload.plaintext.len() + OVERHEAD).unwrap_or(u32::MAX);
            let begun = self.size as usize > segment::HEADER;
            if begun && self.size.saturating_add(length) > self.segment_size {
                self.roll()?;
            }
            let span = Span {
                segment: self.segment,
                offset: self.size,
                length,
            };
            let (frame, tag) = frame::seal(
                &self.files.key,
                self.files.seat(span),
                &self.last_tag,
                rand::random(),
                &payload.plaintext,
            )
            .ok_or(EntryError::TooLarge {
                part: "a frame",
                size: payload.plaintext.len(),
                bound: PLAINTEXT,
            })?;
            let (segment, files) = (self.segment, &self.files);
            self.file.append(&frame).map_err(|e| files.io(segment, e))?;
            self.size = span.end();
            self.extent.bytes += u64::from(length);
            self.last_tag = tag;
            self.next = payload.first.plus(payload.count);
            spans.push(span);
        }
        Ok(spans)
    }

    fn sync(&mut self) -> Result<(), LogError> {
        let (segment, files) = (self.segment, &self.files);
        self.file.sync_data().map_err(|e| files.io(segment, e))
    }

    /// The segment that is written to; no other of its files changes by writing.
    pub(crate) fn active(&self) -> u32 {
        self.segment
    }

    /// Closes the segment that is written to, unless nothing was written to it yet.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub(crate) fn close_segment(&mut self) -> Result<(), LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        if self.size as usize <= segment::HEADER {
            return Ok(());
        }
        self.poisoned = true;
        self.roll()?;
        self.poisoned = false;
        Ok(())
    }

    /// Asks the folder again how large the log is: after segments were recast.
    pub(crate) fn measure(&mut self) -> Result<(), LogError> {
        self.extent = self.files.measure()?;
        Ok(())
    }

    /// Goes on in a new segment. What was written is synced first: a bad frame that is not at the
    /// end of the log is never mistaken for a torn one.
    fn roll(&mut self) -> Result<(), LogError> {
        self.sync()?;
        let header = Header {
            store: self.files.store,
            segment: self.segment.checked_add(1).ok_or(LogError::Full)?,
            first: self.next,
            key_check: key_check(&self.files.key, &self.files.store),
            last_tag: self.last_tag,
            recast: false,
        };
        self.file = create_segment(&*self.files.disk, &self.files.folder, &header)?;
        self.segment = header.segment;
        self.size = segment::HEADER as u32;
        self.extent.bytes += segment::HEADER as u64;
        self.extent.segments += 1;
        Ok(())
    }
}

/// Makes a segment file with its header, file and name on disk before returning.
fn create_segment(disk: &dyn Disk, folder: &Path, header: &Header) -> Result<Box<dyn DiskFile>, LogError> {
    let path = folder.join(segment::file_name(header.segment));
    let write = || {
        let mut file = disk.create_new(&path)?;
        file.append(&header.encode())?;
        file.sync_all()?;
        disk.sync_folder(folder)?;
        Ok(file)
    };
    write().map_err(|source| LogError::Io {
        path: path.clone(),
        source,
    })
}

/// What a header carries to tell whether a key is the log's without opening a frame.
fn key_check(key: &[u8; 32], store: &[u8; 16]) -> [u8; 16] {
    let mut check = [0; 16];
    blake3::Hasher::new_keyed(key)
        .update(b"hanse log key check")
        .update(store)
        .finalize_xof()
        .fill(&mut check);
    check
}

fn new_store_id() -> Result<[u8; 16], LogError> {
    let mut id = [0; 16];
    SysRng.try_fill_bytes(&mut id).map_err(|_| LogError::Randomness)?;
    Ok(id)
}
