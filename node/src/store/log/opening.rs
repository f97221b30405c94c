//! Opening a log: which segments there are and whose, then a walk over the end of it that tells
//! what is whole, what a power cut tore, and what has rotted since.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::frame::{CLOSE, Cast, Frame, TAG};
use super::scan::{Walk, Window, walk};
use super::segment::{self, HEADER, Header, Read};
use super::{Extent, Files, Log, LogError, LogSetup, Span, create_segment, key_check, new_store_id};
use crate::store::disk::{Disk, DiskFile};
use crate::store::entry::Position;

/// Most files of cut-off bytes kept beside the segments; the oldest go first.
const TORN_FILES: usize = 16;

/// A log whose segments are known but not yet walked.
pub(crate) struct Unscanned {
    files: Arc<Files>,
    segments: Vec<Segment>,
    segment_size: u32,
    found: Found,
    /// Files that a recast left behind.
    stale: Vec<String>,
}

struct Segment {
    number: u32,
    header: Option<Header>,
    /// What its first frame says, if it was recast and that frame is whole.
    cast: Option<Cast>,
}

impl Segment {
    fn recast(&self) -> bool {
        self.header.as_ref().is_some_and(|header| header.recast)
    }

    /// The first of the segments that it stands for.
    fn since(&self) -> u32 {
        self.cast.map_or(self.number, |cast| cast.since)
    }
}

/// What was found beside whole frames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Cut off the end; the bytes are kept in a file beside.
    pub(crate) torn: Option<Span>,
    /// Rotten stretches, left where they are.
    pub(crate) corrupt: Vec<Span>,
    /// Numbers missing between the first segment and the last.
    pub(crate) missing: Vec<u32>,
}

impl Unscanned {
    /// Reads the headers of all segments; an empty folder gets a first one.
    pub(crate) fn open(setup: LogSetup) -> Result<Self, LogError> {
        let LogSetup {
            disk,
            folder,
            key,
            segment_size,
            look,
        } = setup;
        let failed = |source| LogError::Io {
            path: folder.clone(),
            source,
        };
        if !look {
            disk.create_folder(&folder).map_err(failed)?;
        }
        let names = disk.list(&folder).map_err(failed)?;
        let mut numbers: Vec<u32> = names.iter().filter_map(|n| segment::file_number(n)).collect();
        numbers.sort_unstable();

        let mut found = Found::default();
        let mut segments = Vec::with_capacity(numbers.len());
        for number in numbers.iter().copied() {
            let last = numbers.last() == Some(&number);
            let header = match read_header(&*disk, &folder, number)? {
                (Read::Newer(format), _) => {
                    return Err(LogError::Newer {
                        segment: number,
                        format,
                    });
                }
                // The first copy alone may have come through; a frame would not lie where it should.
                (read, size) if last && is_torn(&read, size) => {
                    found.torn = Some(match look {
                        true => whole(number, size),
                        false => set_aside(&*disk, &folder, number, size)?,
                    });
                    continue;
                }
                (Read::Good(header), _) => Some(header),
                (Read::Bad, _) => {
                    found.corrupt.push(Span {
                        segment: number,
                        offset: 0,
                        length: HEADER as u32,
                    });
                    None
                }
            };
            segments.push(Segment {
                number,
                header,
                cast: None,
            });
        }
        let store = match segments.iter().find_map(|s| s.header.as_ref()) {
            Some(header) => header.store,
            None if segments.is_empty() && !look => {
                let header = first_header(&key)?;
                create_segment(&*disk, &folder, &header)?;
                let store = header.store;
                segments.push(Segment {
                    number: header.segment,
                    header: Some(header),
                    cast: None,
                });
                store
            }
            None => return Err(LogError::Headless),
        };
        check_headers(&segments, &store, &key)?;
        let files = Arc::new(Files::new(disk, folder, key, store));
        for segment in segments.iter_mut().filter(|segment| segment.recast()) {
            segment.cast = files.cast(segment.number)?;
        }
        let stood_for: Vec<_> = segments.iter().map(|s| s.since()..s.number).collect();
        let is_stale = |number: u32| stood_for.iter().any(|range| range.contains(&number));
        let mut stale: Vec<String> = names.into_iter().filter(|name| segment::is_draft(name)).collect();
        let covered = segments
            .iter()
            .map(|s| s.number)
            .filter(|number| is_stale(*number));
        stale.extend(covered.map(segment::file_name));
        segments.retain(|segment| !is_stale(segment.number));
        found.missing = missing(&segments);
        Ok(Self {
            files,
            segments,
            segment_size,
            found,
            stale,
        })
    }

    /// The segments that were recast; a generation of zero stands for one that cannot be read.
    pub(crate) fn generations(&self) -> Vec<(u32, u32)> {
        let recast = self.segments.iter().filter(|segment| segment.recast());
        recast
            .map(|segment| (segment.number, segment.cast.map_or(0, |cast| cast.generation)))
            .collect()
    }

    /// What readers need.
    pub(crate) fn files(&self) -> &Arc<Files> {
        &self.files
    }

    /// Numbers of the first and the last segment.
    pub(crate) fn bounds(&self) -> (u32, u32) {
        let first = self.segments.first().map_or(1, |s| s.number);
        (first, self.segments.last().map_or(first, |s| s.number))
    }

    /// Bytes in the segments from number `start` on.
    pub(crate) fn bytes(&self, start: u32) -> Result<u64, LogError> {
        let mut bytes = 0;
        for segment in self.segments.iter().filter(|s| s.number >= start) {
            bytes += self.open_segment(segment.number)?.1;
        }
        Ok(bytes)
    }

    /// Walks the segments from number `start` on. Frames from `from` (segment, offset) on are
    /// decrypted and given to `visit`, those before are held against their checksum and chain
    /// only. Nothing is written.
    pub(crate) fn walk<E: From<LogError>>(
        &self,
        start: u32,
        from: (u32, u32),
        mut visit: impl FnMut(Span, Frame) -> Result<(), E>,
    ) -> Result<Walked, E> {
        let (_, last) = self.bounds();
        let mut walked = Walked {
            found: self.found.clone(),
            ..Walked::default()
        };
        for segment in self.segments.iter().filter(|s| s.number >= start) {
            if let Some(header) = &segment.header {
                walked.next = walked.next.max(header.first);
                walked.meet(segment, header.last_tag)?;
            }
            self.walk_segment(segment, from, &mut walked, &mut visit)?;
            if segment.recast() {
                // What follows was written after what this was, not after what it is.
                walked.last_tag = segment.cast.map(|cast| cast.tag);
                walked.next = walked
                    .next
                    .max(segment.cast.map_or(Position(0), |cast| cast.next));
            }
            if let Some(tail) = walked
                .tail
                .take_if(|_| segment.number != last || segment.recast())
            {
                // A whole segment follows, so this end was once synced.
                walked.found.corrupt.push(tail);
                walked.last_tag = None;
            }
        }
        Ok(walked)
    }

    fn walk_segment<E: From<LogError>>(
        &self,
        segment: &Segment,
        from: (u32, u32),
        walked: &mut Walked,
        visit: &mut impl FnMut(Span, Frame) -> Result<(), E>,
    ) -> Result<(), E> {
        let number = segment.number;
        let (file, _) = self.open_segment(number)?;
        let failed = |e| Failed::Log(self.files.io(number, e));
        let mut window = Window::new(&*file).map_err(|e| self.files.io(number, e))?;
        if segment.header.is_none() {
            walked.last_tag = None;
        }
        let files = &self.files;
        let recast = segment.recast();
        let mut closed = !recast;
        let Walk { holes, tail, end } = walk(&mut window, number, HEADER as u32, |span, sealed, joined| {
            if joined && walked.last_tag.is_some_and(|tag| tag != sealed.previous) {
                return Err(Failed::Log(LogError::Tampered(span)));
            }
            walked.last_tag = Some(sealed.tag);
            if recast && span.offset as usize == HEADER && span.length as usize == Cast::FRAME {
                // Read at opening.
                return Ok(());
            }
            if recast && sealed.size() == CLOSE.len() {
                closed = files.plain(span, sealed).map_err(Failed::Log)? == CLOSE;
                return Ok(());
            }
            if (span.segment, span.offset) < from {
                return Ok(());
            }
            let (frame, _) = files.open(span, sealed).map_err(Failed::Log)?;
            if frame.first < walked.next {
                return Err(Failed::Log(LogError::Tampered(span)));
            }
            walked.next = frame.last().next();
            visit(span, frame).map_err(Failed::Caller)
        })
        .map_err(|e| match e {
            Failed::Io(e) => failed(e),
            other => other,
        })
        .map_err(Failed::into_caller)?;
        walked.found.corrupt.extend(holes);
        if !closed && tail.is_none() {
            walked.found.corrupt.push(Span {
                segment: number,
                offset: end,
                length: 0,
            });
        }
        walked.tail = tail;
        walked.end = (number, end);
        Ok(())
    }

    fn open_segment(&self, number: u32) -> Result<(Box<dyn DiskFile>, u64), LogError> {
        let failed = |e| self.files.io(number, e);
        let file = self.files.disk.open(&self.files.path(number)).map_err(failed)?;
        let size = file.size().map_err(failed)?;
        if size > u64::from(u32::MAX) {
            // No segment of ours grows so large.
            return Err(LogError::Foreign(number));
        }
        Ok((file, size))
    }

    /// Makes the log ready for writing: a torn end found by `walked` is cut off and kept aside.
    pub(crate) fn into_log(self, walked: Walked) -> Result<(Log, Found), LogError> {
        let Walked {
            mut found,
            tail,
            last_tag,
            next,
            end: (segment, end),
        } = walked;
        for name in &self.stale {
            let path = self.files.folder.join(name);
            let removed = self.files.disk.remove(&path);
            removed.map_err(|source| LogError::Io { path, source })?;
        }
        let (mut file, _) = self.open_segment(segment)?;
        if let Some(tail) = tail {
            let failed = |e| self.files.io(segment, e);
            let mut bytes = vec![0; tail.length as usize];
            file.read_at(&mut bytes, u64::from(tail.offset)).map_err(failed)?;
            keep_torn(&*self.files.disk, &self.files.folder, tail, &bytes)?;
            file.truncate(u64::from(end)).map_err(failed)?;
            file.sync_all().map_err(failed)?;
            found.torn = Some(tail);
        }
        let recast = self.segments.last().is_some_and(Segment::recast);
        let mut log = Log {
            extent: Extent::default(),
            file,
            segment,
            size: end,
            last_tag: last_tag.unwrap_or_default(),
            next: next.max(Position(1)),
            segment_size: self.segment_size,
            poisoned: false,
            files: self.files,
        };
        if recast {
            // The segment after it was lost; nothing is ever appended to one that was recast.
            log.close_segment()?;
        }
        log.measure()?;
        Ok((log, found))
    }
}

/// What a walk learnt.
#[derive(Default)]
pub(crate) struct Walked {
    pub(crate) found: Found,
    /// The end of the last segment, if it is no frame.
    tail: Option<Span>,
    /// Tag of the last frame, unless a hole makes it unknown.
    last_tag: Option<[u8; TAG]>,
    /// The position after the last one seen.
    pub(crate) next: Position,
    /// Where the last frame ends.
    pub(crate) end: (u32, u32),
}

impl Walked {
    /// What the log ends in that is no frame.
    pub(crate) fn torn(&self) -> Option<Span> {
        self.tail.or(self.found.torn)
    }

    /// Holds a segment's own word on what came before it against what did.
    fn meet(&mut self, segment: &Segment, last_tag: [u8; TAG]) -> Result<(), LogError> {
        let follows = self.end.0 != 0 && self.end.0.checked_add(1) == Some(segment.since());
        if follows && self.last_tag.is_some_and(|tag| tag != last_tag) {
            return Err(LogError::Tampered(Span {
                segment: segment.number,
                offset: 0,
                length: HEADER as u32,
            }));
        }
        self.last_tag = Some(last_tag);
        Ok(())
    }
}

/// A walk fails in its own right or in its visitor's.
enum Failed<E> {
    Io(io::Error),
    Log(LogError),
    Caller(E),
}

impl<E> From<io::Error> for Failed<E> {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

impl<E: From<LogError>> Failed<E> {
    fn into_caller(self) -> E {
        match self {
            Self::Io(source) => E::from(LogError::Io {
                path: Default::default(),
                source,
            }),
            Self::Log(e) => E::from(e),
            Self::Caller(e) => e,
        }
    }
}

pub(super) fn read_header(disk: &dyn Disk, folder: &Path, number: u32) -> Result<(Read, u64), LogError> {
    let path = folder.join(segment::file_name(number));
    let read = || {
        let file = disk.open(&path)?;
        let size = file.size()?;
        let mut bytes = vec![0; usize::try_from(size.min(HEADER as u64)).unwrap_or(HEADER)];
        file.read_at(&mut bytes, 0)?;
        Ok((Header::read(&bytes), size))
    };
    read().map_err(|source| LogError::Io {
        path: path.clone(),
        source,
    })
}

fn first_header(key: &[u8; 32]) -> Result<Header, LogError> {
    let store = new_store_id()?;
    let key_check = key_check(key, &store);
    Ok(Header {
        store,
        segment: 1,
        first: Position(1),
        key_check,
        last_tag: [0; TAG],
        recast: false,
    })
}

fn check_headers(segments: &[Segment], store: &[u8; 16], key: &[u8; 32]) -> Result<(), LogError> {
    for segment in segments {
        let Some(header) = &segment.header else { continue };
        if header.store != *store || header.segment != segment.number {
            return Err(LogError::Foreign(segment.number));
        }
        if header.key_check != key_check(key, store) {
            return Err(LogError::WrongKey(segment.number));
        }
    }
    Ok(())
}

fn missing(segments: &[Segment]) -> Vec<u32> {
    let pairs = segments.iter().zip(segments.iter().skip(1));
    pairs
        .flat_map(|(one, next)| one.number.saturating_add(1)..next.since())
        .take(1_024)
        .collect()
}

/// Whether a segment's creation was interrupted.
fn is_torn(read: &Read, size: u64) -> bool {
    match read {
        Read::Good(_) => size < HEADER as u64,
        Read::Bad => size <= HEADER as u64,
        Read::Newer(_) => false,
    }
}

fn whole(segment: u32, size: u64) -> Span {
    Span {
        segment,
        offset: 0,
        length: u32::try_from(size).unwrap_or(u32::MAX),
    }
}

/// A segment whose creation a power cut interrupted: nothing was committed to it.
fn set_aside(disk: &dyn Disk, folder: &Path, number: u32, size: u64) -> Result<Span, LogError> {
    let span = whole(number, size);
    let path = folder.join(segment::file_name(number));
    disk.rename(&path, &folder.join(torn_name(span)))
        .and_then(|()| disk.sync_folder(folder))
        .map_err(|source| LogError::Io { path, source })?;
    Ok(span)
}

fn keep_torn(disk: &dyn Disk, folder: &Path, span: Span, bytes: &[u8]) -> Result<(), LogError> {
    let name = torn_name(span);
    let path = folder.join(&name);
    let write = || {
        let mut kept: Vec<String> = disk.list(folder)?;
        kept.retain(|other| other.starts_with("torn-"));
        kept.sort_unstable();
        if kept.contains(&name) {
            // An opening that was itself interrupted here left it.
            disk.remove(&path)?;
        }
        let surplus = kept.len().saturating_sub(TORN_FILES - 1);
        for old in kept.iter().filter(|old| **old != name).take(surplus) {
            disk.remove(&folder.join(old))?;
        }
        let mut file = disk.create_new(&path)?;
        file.append(bytes)?;
        file.sync_all()?;
        disk.sync_folder(folder)
    };
    write().map_err(|source| LogError::Io {
        path: path.clone(),
        source,
    })
}

fn torn_name(span: Span) -> String {
    format!("torn-{:016x}-{:08x}", span.segment, span.offset)
}
