//! Recasting a segment: a new file with what is alive takes the old one's place in one step, so
//! that the room of what is dead comes back and what was taken back is on no disk.
//!
//! ```text
//! header (layout 2) · frame of the cast · frames · frame that closes it
//! ```
//!
//! The frames are chained among themselves from the header on. The cast names the tag that the last
//! frame had as it was written, which the next segment follows: so one segment can be replaced
//! without touching its neighbours, and none but the holder of the key can. A segment may stand for
//! those right before it too, which are then removed. Entries keep their positions; those taken out
//! leave a void. A power cut leaves the old file or the new one, never neither.

use std::sync::Arc;

use super::frame::{self, CLOSE, Cast, Frame, Sealed, TAG};
use super::opening::read_header;
use super::scan::Window;
use super::segment::{self, HEADER, Header, Read};
use super::{Extent, Files, LogError, PLAINTEXT, Span, heads};
use crate::store::disk::DiskFile;
use crate::store::entry::{Entry, EntryError, Position};

/// A frame as the index knows it: its first position, where it lies, how many entries it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) first: Position,
    pub(crate) span: Span,
    pub(crate) count: u32,
}

/// A segment in the making that will stand for others.
pub(crate) struct Recasting {
    files: Arc<Files>,
    /// What it will stand for, rising; it bears the last one's number.
    sources: Vec<u32>,
    /// Which of the sources is read, and from where.
    reading: (usize, u64),
    file: Box<dyn DiskFile>,
    cast: Cast,
    first: Position,
    size: u32,
    last_tag: [u8; TAG],
    rows: Vec<Row>,
    /// Stretches of the sources that are no frames and will be gone.
    holes: Vec<Span>,
}

impl Files {
    /// What the first frame of a recast segment says; `None` if it has rotted.
    pub(super) fn cast(&self, number: u32) -> Result<Option<Cast>, LogError> {
        let failed = |e| self.io(number, e);
        let file = self.disk.open(&self.path(number)).map_err(failed)?;
        let mut window = Window::new(&*file).map_err(failed)?;
        let bytes = window.get(HEADER as u64, Cast::FRAME).map_err(failed)?;
        let Some(sealed) = bytes.and_then(frame::parse) else {
            return Ok(None);
        };
        let span = Span {
            segment: number,
            offset: HEADER as u32,
            length: Cast::FRAME as u32,
        };
        let plaintext = self.plain(span, &sealed)?;
        Cast::decode(&plaintext).map(Some).ok_or(LogError::Tampered(span))
    }

    /// Numbers of all segments there are, rising.
    pub(crate) fn numbers(&self) -> Result<Vec<u32>, LogError> {
        let names = self.disk.list(&self.folder).map_err(|source| LogError::Io {
            path: self.folder.clone(),
            source,
        })?;
        let mut numbers: Vec<u32> = names.iter().filter_map(|n| segment::file_number(n)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Bytes of a segment.
    pub(crate) fn size(&self, number: u32) -> Result<u64, LogError> {
        let size = self.disk.open(&self.path(number)).and_then(|file| file.size());
        size.map_err(|e| self.io(number, e))
    }

    pub(super) fn measure(&self) -> Result<Extent, LogError> {
        let mut extent = Extent::default();
        for number in self.numbers()? {
            extent.bytes += self.size(number)?;
            extent.segments += 1;
        }
        Ok(extent)
    }

    /// Whether a segment was recast before.
    pub(crate) fn is_recast(&self, number: u32) -> Result<bool, LogError> {
        Ok(self.header(number)?.is_some_and(|header| header.recast))
    }

    /// Removes the kept bytes of torn writes: they may hold what was taken back.
    pub(crate) fn remove_torn(&self) -> Result<(), LogError> {
        let folder = || LogError::Io {
            path: self.folder.clone(),
            source: std::io::ErrorKind::Other.into(),
        };
        let names = self.disk.list(&self.folder).map_err(|_| folder())?;
        for name in names.iter().filter(|name| name.starts_with("torn-")) {
            let path = self.folder.join(name);
            self.disk
                .remove(&path)
                .map_err(|source| LogError::Io { path, source })?;
        }
        Ok(())
    }

    fn header(&self, number: u32) -> Result<Option<Header>, LogError> {
        Ok(match read_header(&*self.disk, &self.folder, number)?.0 {
            Read::Good(header) => Some(header),
            Read::Newer(_) | Read::Bad => None,
        })
    }

    /// The frames of a recast segment, with the first position and the one after the last that it
    /// stands for. Stretches that are no frames are passed over.
    pub(crate) fn rows(&self, number: u32) -> Result<Option<(Position, Position, Vec<Row>)>, LogError> {
        let (Some(header), Some(cast)) = (self.header(number)?, self.cast(number)?) else {
            return Ok(None);
        };
        let mut rows = Vec::new();
        let mut at = HEADER as u64;
        while let Some(after) = self.scan(number, at, &mut Vec::new(), |span, frame, _| {
            rows.extend(frame.map(|frame| Row {
                first: frame.first,
                span,
                count: u32::try_from(frame.entries.len()).unwrap_or(u32::MAX),
            }));
            Ok(true)
        })? {
            at = after;
        }
        Ok(Some((header.first, cast.next, rows)))
    }

    /// Gives `visit` the frames of a segment from `at` on, each with its bytes of plaintext, until
    /// it says to stop; what is no entries' frame is given as `None`. Says where to go on, if
    /// anywhere.
    fn scan(
        &self,
        number: u32,
        mut at: u64,
        holes: &mut Vec<Span>,
        mut visit: impl FnMut(Span, Option<Frame>, usize) -> Result<bool, LogError>,
    ) -> Result<Option<u64>, LogError> {
        let failed = |e| self.io(number, e);
        let file = self.disk.open(&self.path(number)).map_err(failed)?;
        let mut window = Window::new(&*file).map_err(failed)?;
        let span = |from: u64, to: u64| Span {
            segment: number,
            offset: u32::try_from(from).unwrap_or(u32::MAX),
            length: u32::try_from(to - from).unwrap_or(u32::MAX),
        };
        while at < window.size() {
            let Some(length) = window.frame(at).map_err(failed)? else {
                let next = window
                    .next_frame(at + 1)
                    .map_err(failed)?
                    .unwrap_or(window.size());
                holes.push(span(at, next));
                at = next;
                continue;
            };
            let end = at + length as u64;
            let place = span(at, end);
            at = end;
            if let Some(sealed) = window
                .get(u64::from(place.offset), length)
                .map_err(failed)?
                .and_then(frame::split)
            {
                let (frame, size) = self.entries(place, &sealed)?;
                if !visit(place, frame, size)? {
                    return Ok((at < window.size()).then_some(at));
                }
            }
        }
        Ok(None)
    }

    /// The entries of a frame; none if it is one that only says how its segment was recast.
    fn entries(&self, span: Span, sealed: &Sealed<'_>) -> Result<(Option<Frame>, usize), LogError> {
        let plaintext = self.plain(span, sealed)?;
        if plaintext == CLOSE || Cast::decode(&plaintext).is_some() {
            return Ok((None, plaintext.len()));
        }
        Ok((Some(Frame::decode(&plaintext)?), plaintext.len()))
    }
}

impl Recasting {
    /// Begins a segment that will stand for `sources`: closed segments, one right after the other.
    /// `None` if one of them has no readable header, or nothing follows it.
    pub(crate) fn begin(files: &Arc<Files>, sources: Vec<u32>) -> Result<Option<Self>, LogError> {
        let (Some(first), Some(last)) = (sources.first().copied(), sources.last().copied()) else {
            return Ok(None);
        };
        let next = files.numbers()?.into_iter().find(|number| *number > last);
        let next = next.map(|next| files.header(next)).transpose()?.flatten();
        let (Some(header), Some(next)) = (files.header(first)?, next) else {
            return Ok(None);
        };
        let mut generation = 0;
        for number in &sources {
            let Some(old) = files.header(*number)? else {
                return Ok(None);
            };
            let cast = if old.recast { files.cast(*number)? } else { None };
            generation = generation.max(cast.map_or(0, |cast| cast.generation));
        }
        let since = match header.recast {
            true => files.cast(first)?.map_or(first, |cast| cast.since),
            false => first,
        };
        let header = Header {
            segment: last,
            recast: true,
            ..header
        };
        let path = files.folder.join(segment::draft_name(last));
        let make = || {
            if files
                .disk
                .list(&files.folder)?
                .contains(&segment::draft_name(last))
            {
                files.disk.remove(&path)?;
            }
            let mut file = files.disk.create_new(&path)?;
            file.append(&header.encode())?;
            Ok(file)
        };
        let file = make().map_err(|source| LogError::Io {
            path: path.clone(),
            source,
        })?;
        let mut recasting = Self {
            files: Arc::clone(files),
            sources,
            reading: (0, HEADER as u64),
            file,
            cast: Cast {
                generation: generation.saturating_add(1),
                since,
                next: next.first,
                tag: next.last_tag,
            },
            first: header.first,
            size: HEADER as u32,
            last_tag: header.last_tag,
            rows: Vec::new(),
            holes: Vec::new(),
        };
        recasting.write(&recasting.cast.encode())?;
        Ok(Some(recasting))
    }

    /// The number it will bear.
    pub(crate) fn number(&self) -> u32 {
        self.sources.last().copied().unwrap_or_default()
    }

    /// What it will stand for.
    pub(crate) fn sources(&self) -> &[u32] {
        &self.sources
    }

    /// Its generation.
    pub(crate) fn generation(&self) -> u32 {
        self.cast.generation
    }

    /// The first position, and the one after the last, that it stands for.
    pub(crate) fn range(&self) -> (Position, Position) {
        (self.first, self.cast.next)
    }

    /// Its frames so far.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Stretches of what it stands for that are no frames.
    pub(crate) fn holes(&self) -> &[Span] {
        &self.holes
    }

    /// Carries on about `bytes` of entries; `keep` says of each what stays of it. Whether there is
    /// more.
    ///
    /// # Errors
    /// Those of the log; what was begun is of no use then.
    pub(crate) fn step<E: From<LogError>>(
        &mut self,
        bytes: usize,
        mut keep: impl FnMut(Position, Entry) -> Result<Entry, E>,
    ) -> Result<bool, E> {
        let (index, at) = self.reading;
        let Some(number) = self.sources.get(index).copied() else {
            return Ok(false);
        };
        let mut read = Vec::new();
        let mut seen = 0;
        let files = Arc::clone(&self.files);
        let after = files.scan(number, at, &mut self.holes, |_, frame, size| {
            read.extend(frame);
            seen += size;
            Ok(seen < bytes)
        })?;
        for frame in read {
            let Frame { first, entries } = frame;
            let mut kept = Vec::with_capacity(entries.len());
            for (number, entry) in (0..).zip(entries) {
                kept.push(match entry {
                    Entry::Void => Entry::Void,
                    entry => keep(first.plus(number), entry)?,
                });
            }
            self.carry(first, kept)?;
        }
        self.reading = match after {
            Some(after) => (index, after),
            None => (index + 1, HEADER as u64),
        };
        Ok(self.reading.0 < self.sources.len())
    }

    /// Writes what is left of a frame, if anything is.
    fn carry(&mut self, first: Position, mut entries: Vec<Entry>) -> Result<(), LogError> {
        while entries.last() == Some(&Entry::Void) {
            entries.pop();
        }
        if entries.is_empty() {
            return Ok(());
        }
        let mut plaintext = Vec::new();
        heads(first, entries.len(), &mut plaintext)?;
        for entry in &entries {
            entry.encode_into(&mut plaintext)?;
        }
        let span = self.write(&plaintext)?;
        self.rows.push(Row {
            first,
            span,
            count: u32::try_from(entries.len()).unwrap_or(u32::MAX),
        });
        Ok(())
    }

    fn write(&mut self, plaintext: &[u8]) -> Result<Span, LogError> {
        let number = self.number();
        let length = u32::try_from(plaintext.len() + frame::OVERHEAD).unwrap_or(u32::MAX);
        let span = Span {
            segment: number,
            offset: self.size,
            length,
        };
        let files = &self.files;
        let sealed = frame::seal(
            &files.key,
            files.seat(span),
            &self.last_tag,
            rand::random(),
            plaintext,
        );
        let (frame, tag) = sealed.ok_or(EntryError::TooLarge {
            part: "a frame",
            size: plaintext.len(),
            bound: PLAINTEXT,
        })?;
        self.file.append(&frame).map_err(|e| files.io(number, e))?;
        self.size = span.end();
        self.last_tag = tag;
        Ok(span)
    }

    /// Closes the new file and makes it survive a power cut; it stands for nothing yet.
    ///
    /// # Errors
    /// Those of the log.
    pub(crate) fn close(&mut self) -> Result<(), LogError> {
        self.write(CLOSE)?;
        let number = self.number();
        self.file.sync_all().map_err(|e| self.files.io(number, e))
    }

    /// Puts the closed file in the place of what it stands for. From here on the old frames are not
    /// to be found where the index had them.
    ///
    /// # Errors
    /// Those of the log.
    pub(crate) fn take_place(&self) -> Result<(), LogError> {
        let (files, number) = (&self.files, self.number());
        let draft = files.folder.join(segment::draft_name(number));
        let placed = files
            .disk
            .rename(&draft, &files.path(number))
            .and_then(|()| files.disk.sync_folder(&files.folder));
        placed.map_err(|e| files.io(number, e))?;
        files.forget(number);
        let others = self.sources.iter().filter(|source| **source != number);
        for other in others.clone() {
            let removed = files.disk.remove(&files.path(*other));
            removed.map_err(|e| files.io(*other, e))?;
            files.forget(*other);
        }
        if others.count() > 0 {
            let synced = files.disk.sync_folder(&files.folder);
            synced.map_err(|e| files.io(number, e))?;
        }
        Ok(())
    }

    /// Forgets what was begun.
    pub(crate) fn abandon(self) -> Result<(), LogError> {
        let path = self.files.folder.join(segment::draft_name(self.number()));
        let removed = self.files.disk.remove(&path);
        removed.map_err(|source| LogError::Io { path, source })
    }
}
