//! A disk in memory that does what real ones do on bad days: fails a write, tears it, forgets what
//! was not synced, names included.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::store::disk::{Disk, DiskFile, Lock};

#[derive(Clone, Default)]
pub(super) struct FaultyDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Names as a running process sees them.
    names: BTreeMap<PathBuf, Node>,
    /// Names as they are after a power cut.
    durable: BTreeMap<PathBuf, Node>,
    /// Writes and syncs until one fails; none fails if not set.
    fuse: Option<u64>,
    locked: Arc<AtomicBool>,
    /// Changes of names since the folder was last synced.
    unsynced: Vec<NameChange>,
    /// Bytes that may still be written, as far as it tells; any number if not set.
    free: Option<u64>,
}

enum NameChange {
    Made(PathBuf, Node),
    Renamed(PathBuf, PathBuf),
    Removed(PathBuf),
}

/// Bytes that reach the platter together.
const SECTOR: usize = 512;

type Node = Arc<Mutex<Content>>;

#[derive(Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    synced: Vec<u8>,
}

impl FaultyDisk {
    /// Lets the write or sync after `count` more fail.
    pub(super) fn fail_after(&self, count: u64) {
        self.0.lock().unwrap().fuse = Some(count);
    }

    /// The disk as it is after a power cut: names as last synced, contents as last synced plus
    /// the first `kept` of a thousandth parts of what was appended since, its last byte garbled.
    pub(super) fn power_cut(&self, kept: usize) -> Self {
        let state = self.0.lock().unwrap();
        let survive = |node: &Node| {
            let content = node.lock().unwrap();
            let mut bytes = content.synced.clone();
            if let Some(rest) = content.bytes.get(bytes.len()..) {
                bytes.extend_from_slice(&rest[..rest.len() * kept / 1_000]);
                if bytes.len() > content.synced.len() && kept % 2 == 1 {
                    *bytes.last_mut().unwrap() ^= 0xff;
                }
            }
            Arc::new(Mutex::new(Content {
                synced: bytes.clone(),
                bytes,
            }))
        };
        let durable: BTreeMap<PathBuf, Node> = state
            .durable
            .iter()
            .map(|(path, node)| (path.clone(), survive(node)))
            .collect();
        Self(Arc::new(Mutex::new(State {
            names: durable.clone(),
            durable,
            ..State::default()
        })))
    }

    /// The disk as it is after a power cut on a drive that writes what was not synced in an order of
    /// its own: some of the last changes of names, the first ones; some of the sectors appended since,
    /// zeros in place of the others. `draw` gives numbers below its argument.
    pub(super) fn cut(&self, mut draw: impl FnMut(usize) -> usize) -> Self {
        let state = self.0.lock().unwrap();
        let mut names = state.durable.clone();
        for change in state.unsynced.iter().take(draw(state.unsynced.len() + 1)) {
            match change {
                NameChange::Made(path, node) => drop(names.insert(path.clone(), Arc::clone(node))),
                NameChange::Renamed(from, to) => {
                    if let Some(node) = names.remove(from) {
                        names.insert(to.clone(), node);
                    }
                }
                NameChange::Removed(path) => drop(names.remove(path)),
            }
        }
        let mut survive = |node: &Node| {
            let content = node.lock().unwrap();
            let synced = content.synced.len();
            let mut bytes = content.synced.clone();
            if content.bytes.len() < synced {
                bytes.truncate([synced, content.bytes.len()][draw(2)]);
            } else {
                let appended = draw(content.bytes.len() - synced + 1);
                bytes.extend_from_slice(&content.bytes[synced..synced + appended]);
                for sector in bytes[synced..].chunks_mut(SECTOR) {
                    if draw(3) == 0 {
                        sector.fill(0);
                    }
                }
            }
            Arc::new(Mutex::new(Content {
                synced: bytes.clone(),
                bytes,
            }))
        };
        let durable: BTreeMap<PathBuf, Node> = names
            .iter()
            .map(|(path, node)| (path.clone(), survive(node)))
            .collect();
        Self(Arc::new(Mutex::new(State {
            names: durable.clone(),
            durable,
            ..State::default()
        })))
    }

    /// Names of the files in the log's folder.
    pub(super) fn files(&self) -> Vec<String> {
        let state = self.0.lock().unwrap();
        state
            .names
            .keys()
            .map(|p| p.file_name().unwrap().to_str().unwrap().to_owned())
            .collect()
    }

    /// Says from now on that so much is free.
    pub(super) fn leave(&self, free: u64) {
        self.0.lock().unwrap().free = Some(free);
    }

    /// Changes the durable bytes of a file.
    pub(super) fn edit(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let state = self.0.lock().unwrap();
        let (_, node) = state.names.iter().find(|(path, _)| path.ends_with(name)).unwrap();
        let mut content = node.lock().unwrap();
        change(&mut content.bytes);
        content.synced = content.bytes.clone();
    }

    fn burn(&self) -> io::Result<()> {
        match &mut self.0.lock().unwrap().fuse {
            Some(0) => Err(io::Error::other("the disk failed")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn file(&self, node: Node) -> Box<dyn DiskFile> {
        Box::new(FaultyFile {
            disk: self.clone(),
            node,
        })
    }
}

impl Disk for FaultyDisk {
    fn create_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.burn()?;
        let mut state = self.0.lock().unwrap();
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let node = Node::default();
        state.names.insert(path.to_owned(), Arc::clone(&node));
        let made = NameChange::Made(path.to_owned(), Arc::clone(&node));
        state.unsynced.push(made);
        drop(state);
        Ok(self.file(node))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let node = self.0.lock().unwrap().names.get(path).cloned();
        node.map(|node| self.file(node))
            .ok_or(io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.burn()?;
        let mut state = self.0.lock().unwrap();
        let node = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), node);
        let renamed = NameChange::Renamed(from.to_owned(), to.to_owned());
        state.unsynced.push(renamed);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.burn()?;
        let mut state = self.0.lock().unwrap();
        state.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        state.unsynced.push(NameChange::Removed(path.to_owned()));
        Ok(())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Ok(self.files())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        self.burn()?;
        let mut state = self.0.lock().unwrap();
        state.durable = state.names.clone();
        state.unsynced.clear();
        Ok(())
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().free.unwrap_or(u64::MAX))
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn Lock>> {
        let locked = Arc::clone(&self.0.lock().unwrap().locked);
        if locked.swap(true, Ordering::SeqCst) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Held(locked)))
    }
}

struct Held(Arc<AtomicBool>);

impl Lock for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    node: Node,
}

impl DiskFile for FaultyFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.node.lock().unwrap().bytes.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let content = self.node.lock().unwrap();
        let start = offset as usize;
        let bytes = content.bytes.get(start..start + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let failed = self.disk.burn();
        // A write that fails may have got half way.
        let written = if failed.is_err() {
            bytes.len() / 2
        } else {
            bytes.len()
        };
        self.node
            .lock()
            .unwrap()
            .bytes
            .extend_from_slice(&bytes[..written]);
        failed
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.disk.burn()?;
        let mut content = self.node.lock().unwrap();
        content.synced = content.bytes.clone();
        Ok(())
    }

    fn sync_all(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, size: u64) -> io::Result<()> {
        self.disk.burn()?;
        self.node.lock().unwrap().bytes.truncate(size as usize);
        Ok(())
    }
}
