//! Walks a segment frame by frame and finds its way again after bytes that are none.

use std::io;

use super::Span;
use super::frame::{self, Sealed};
use crate::store::disk::DiskFile;

/// Bytes read at once.
const CHUNK: usize = 1 << 20;

/// A sliding view of a file.
pub(super) struct Window<'f> {
    file: &'f dyn DiskFile,
    size: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<'f> Window<'f> {
    pub(super) fn new(file: &'f dyn DiskFile) -> io::Result<Self> {
        Ok(Self {
            file,
            size: file.size()?,
            start: 0,
            bytes: Vec::new(),
        })
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// `length` bytes from `offset`, or `None` if the file ends before.
    pub(super) fn get(&mut self, offset: u64, length: usize) -> io::Result<Option<&[u8]>> {
        let Some(left) = self
            .size
            .checked_sub(offset)
            .filter(|left| *left >= length as u64)
        else {
            return Ok(None);
        };
        let inside = offset >= self.start && offset + length as u64 <= self.start + self.bytes.len() as u64;
        if !inside {
            let wanted = (length.max(CHUNK) as u64).min(left);
            self.bytes.resize(usize::try_from(wanted).unwrap_or(length), 0);
            self.start = offset;
            if let Err(e) = self.file.read_at(&mut self.bytes, offset) {
                self.bytes.clear();
                return Err(e);
            }
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        Ok(self.bytes.get(from..from.saturating_add(length)))
    }

    /// Length of the whole and unharmed frame at `offset`.
    pub(super) fn frame(&mut self, offset: u64) -> io::Result<Option<usize>> {
        let Some(length) = self.get(offset, 8)?.and_then(frame::length) else {
            return Ok(None);
        };
        let whole = self.get(offset, length)?;
        Ok(whole.and_then(frame::parse).map(|_| length))
    }

    /// Where the next whole frame starts, from `offset` on.
    pub(super) fn next_frame(&mut self, mut offset: u64) -> io::Result<Option<u64>> {
        loop {
            let left = self.size.saturating_sub(offset);
            let length = usize::try_from(left.min(CHUNK as u64)).unwrap_or(CHUNK);
            let Some(bytes) = self.get(offset, length)?.filter(|bytes| bytes.len() >= 8) else {
                return Ok(None);
            };
            let hit = bytes.windows(frame::MAGIC.len()).position(|w| w == frame::MAGIC);
            match hit {
                Some(at) => {
                    offset += at as u64;
                    if self.frame(offset)?.is_some() {
                        return Ok(Some(offset));
                    }
                    offset += 1;
                }
                // A magic that straddles two views is found in the next.
                None => offset += (length - (frame::MAGIC.len() - 1)) as u64,
            }
        }
    }
}

/// What a walk over one segment came upon beside frames.
#[derive(Default)]
pub(super) struct Walk {
    /// Stretches that are no frames, each followed by one that is.
    pub(super) holes: Vec<Span>,
    /// A last stretch with no frame after it in this segment.
    pub(super) tail: Option<Span>,
    /// Where the last frame ends.
    pub(super) end: u32,
}

/// Calls `visit` with every whole frame of a segment from `offset` on; its last argument says
/// whether the frame follows the one before it without a hole.
pub(super) fn walk<E: From<io::Error>>(
    window: &mut Window<'_>,
    segment: u32,
    offset: u32,
    mut visit: impl FnMut(Span, &Sealed<'_>, bool) -> Result<(), E>,
) -> Result<Walk, E> {
    let mut walk = Walk {
        end: offset,
        ..Walk::default()
    };
    // Lengths fit in 32 bits: segments are made far smaller, and larger files are not opened.
    let span = |from: u64, to: u64| Span {
        segment,
        offset: u32::try_from(from).unwrap_or(u32::MAX),
        length: u32::try_from(to - from).unwrap_or(u32::MAX),
    };
    let mut at = u64::from(offset);
    let mut joined = true;
    while at < window.size() {
        if let Some(length) = window.frame(at)? {
            let end = at + length as u64;
            if let Some(sealed) = window.get(at, length)?.and_then(frame::split) {
                visit(span(at, end), &sealed, joined)?;
            }
            joined = true;
            at = end;
            walk.end = u32::try_from(end).unwrap_or(u32::MAX);
        } else if let Some(next) = window.next_frame(at + 1)? {
            walk.holes.push(span(at, next));
            joined = false;
            at = next;
        } else {
            walk.tail = Some(span(at, window.size()));
            break;
        }
    }
    Ok(walk)
}
