//! What the writer of the log and its readers share: the folder, the key, a few open files and the
//! last frames that were decrypted.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use zeroize::Zeroizing;

use super::frame::{self, Frame, Sealed, Seat};
use super::{LogError, Span, segment};
use crate::store::disk::{Disk, DiskFile};

/// Most segment files held open for reading.
const HANDLES: usize = 64;
/// Most bytes of decrypted frames held for the next reader.
const CACHE: usize = 16 << 20;
/// What an entry costs in memory beside its bytes, roughly.
const ENTRY: usize = 256;

/// The log's folder and key.
pub(crate) struct Files {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) folder: PathBuf,
    pub(super) key: Zeroizing<[u8; 32]>,
    pub(super) store: [u8; 16],
    handles: Mutex<Handles>,
    cache: Mutex<Cache>,
    /// Held for writing while a segment and what the index says of it change places.
    moves: RwLock<()>,
}

/// Open files, and how often the file of each segment was replaced since the start.
#[derive(Default)]
struct Handles {
    files: BTreeMap<u32, Arc<dyn DiskFile>>,
    moved: HashMap<u32, u32>,
}

impl Handles {
    fn moved(&self, segment: u32) -> u32 {
        self.moved.get(&segment).copied().unwrap_or_default()
    }
}

/// A frame in the cache: its segment, how often that was replaced before it was read, its offset.
type Place = (u32, u32, u32);

/// The last frames read or written, oldest out first.
#[derive(Default)]
struct Cache {
    frames: HashMap<Place, (Arc<Frame>, usize)>,
    order: VecDeque<Place>,
    bytes: usize,
}

impl Files {
    /// Bytes that may still be written where the log lies.
    pub(crate) fn free(&self) -> std::io::Result<u64> {
        self.disk.free(&self.folder)
    }

    pub(super) fn new(
        disk: Arc<dyn Disk>,
        folder: PathBuf,
        key: Zeroizing<[u8; 32]>,
        store: [u8; 16],
    ) -> Self {
        Self {
            disk,
            folder,
            key,
            store,
            handles: Mutex::default(),
            cache: Mutex::default(),
            moves: RwLock::default(),
        }
    }

    /// The store's id.
    pub(crate) fn store_id(&self) -> [u8; 16] {
        self.store
    }

    pub(super) fn path(&self, number: u32) -> PathBuf {
        self.folder.join(segment::file_name(number))
    }

    pub(super) fn io(&self, number: u32, source: io::Error) -> LogError {
        LogError::Io {
            path: self.path(number),
            source,
        }
    }

    pub(super) fn seat(&self, span: Span) -> Seat {
        Seat {
            store: self.store,
            segment: span.segment,
            offset: span.offset,
        }
    }

    /// The frame at `span`, from memory or from disk.
    pub(crate) fn read(&self, span: Span) -> Result<Arc<Frame>, LogError> {
        let moved = held(&self.handles).moved(span.segment);
        if let Some((frame, _)) = held(&self.cache).frames.get(&(span.segment, moved, span.offset)) {
            return Ok(Arc::clone(frame));
        }
        let mut bytes = vec![0; span.length as usize];
        let (file, moved) = self.handle(span.segment)?;
        file.read_at(&mut bytes, u64::from(span.offset))
            .map_err(|e| match e.kind() {
                io::ErrorKind::UnexpectedEof => LogError::Damaged(span),
                _ => self.io(span.segment, e),
            })?;
        let sealed = frame::parse(&bytes).ok_or(LogError::Damaged(span))?;
        let (frame, size) = self.open(span, &sealed)?;
        let frame = Arc::new(frame);
        self.keep_of(moved, span, &frame, size);
        Ok(frame)
    }

    /// Decrypts and decodes a frame whose checksum holds; gives its plaintext's size too.
    pub(super) fn open(&self, span: Span, sealed: &Sealed<'_>) -> Result<(Frame, usize), LogError> {
        let plaintext = self.plain(span, sealed)?;
        Ok((Frame::decode(&plaintext)?, plaintext.len()))
    }

    /// Decrypts a frame whose checksum holds.
    pub(super) fn plain(&self, span: Span, sealed: &Sealed<'_>) -> Result<Vec<u8>, LogError> {
        frame::open(&self.key, self.seat(span), sealed).ok_or(LogError::Tampered(span))
    }

    /// Holds a frame for the next reader.
    pub(crate) fn keep(&self, span: Span, frame: &Arc<Frame>, size: usize) {
        let moved = held(&self.handles).moved(span.segment);
        self.keep_of(moved, span, frame, size);
    }

    fn keep_of(&self, moved: u32, span: Span, frame: &Arc<Frame>, size: usize) {
        let place = (span.segment, moved, span.offset);
        let size = size + frame.entries.len() * ENTRY;
        if size > CACHE {
            return;
        }
        let mut cache = held(&self.cache);
        if cache.frames.insert(place, (Arc::clone(frame), size)).is_none() {
            cache.order.push_back(place);
            cache.bytes += size;
        }
        while cache.bytes > CACHE {
            let Some(oldest) = cache.order.pop_front() else {
                break;
            };
            if let Some((_, size)) = cache.frames.remove(&oldest) {
                cache.bytes -= size;
            }
        }
    }

    /// Forgets what was read of a segment whose file was replaced or removed.
    pub(super) fn forget(&self, segment: u32) {
        let mut handles = held(&self.handles);
        handles.files.remove(&segment);
        *handles.moved.entry(segment).or_default() += 1;
        drop(handles);
        let mut cache = held(&self.cache);
        cache.order.retain(|place| place.0 != segment);
        cache.frames.retain(|place, _| place.0 != segment);
        cache.bytes = cache.frames.values().map(|(_, size)| size).sum();
    }

    /// To be held while the file of a segment and its rows in the index are replaced.
    pub(crate) fn moving(&self) -> RwLockWriteGuard<'_, ()> {
        self.moves.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until file and index agree, and keeps them so while it is held.
    pub(crate) fn settled(&self) -> RwLockReadGuard<'_, ()> {
        self.moves.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, number: u32) -> Result<(Arc<dyn DiskFile>, u32), LogError> {
        let mut handles = held(&self.handles);
        let moved = handles.moved(number);
        let handles = &mut handles.files;
        if let Some(file) = handles.get(&number) {
            return Ok((Arc::clone(file), moved));
        }
        let path = self.path(number);
        let file: Arc<dyn DiskFile> = self.disk.open(&path).map_err(|e| self.io(number, e))?.into();
        if handles.len() >= HANDLES {
            // Readers follow the newest segments; the oldest is the likeliest to be done with.
            handles.pop_first();
        }
        handles.insert(number, Arc::clone(&file));
        Ok((file, moved))
    }
}

/// Both locks guard plain maps that are whole between any two statements, so a reader that
/// panicked elsewhere does not spoil them.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
