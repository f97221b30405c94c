//! A disk that runs full, and one that fails: what is refused, what stays, what goes on afterwards.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;
use crate::store::RESERVE;
use crate::store::disk::{DiskFile, Lock};

/// The operating system's disk, but for how much of it is free and whether it can sync.
#[derive(Clone, Default)]
struct Scarce {
    free: Arc<AtomicU64>,
    broken: Arc<AtomicBool>,
}

impl Scarce {
    fn with(free: u64) -> Self {
        let disk = Self::default();
        disk.free.store(free, Ordering::SeqCst);
        disk
    }

    fn file(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        let broken = Arc::clone(&self.broken);
        Box::new(ScarceFile { file, broken })
    }
}

impl Disk for Scarce {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        RealDisk.create_folder(folder)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(RealDisk.create_new(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(RealDisk.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(folder)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        RealDisk.sync_folder(folder)
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(self.free.load(Ordering::SeqCst))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        RealDisk.lock(path)
    }
}

struct ScarceFile {
    file: Box<dyn DiskFile>,
    broken: Arc<AtomicBool>,
}

impl DiskFile for ScarceFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(buffer, offset)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.append(bytes)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk failed"));
        }
        self.file.sync_data()
    }

    fn sync_all(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn truncate(&mut self, size: u64) -> io::Result<()> {
        self.file.truncate(size)
    }
}

#[tokio::test]
async fn a_full_disk_refuses_new_work_blames_nobody_and_goes_on_when_there_is_room() {
    let (city, water) = league().await;
    let disk = Scarce::with(RESERVE);
    let city = city.restart_on(Arc::new(disk.clone()));
    let kept = city.publish(1, None, None).await;
    let other = water.publish(1, None, None).await;
    let carried = water.carried(&other.records[0].id);

    disk.free.store(RESERVE - 1, Ordering::SeqCst);
    let before = city.reader.newest();
    let refused = city.exchange.publish(BY(), request(1, None, None)).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, ExchangeError::Full));
    assert!(refused.to_string().contains("disk is full"));
    assert_eq!(city.frame(vec![carried.clone()]).await, Verdict::Ignore);
    let healed = city
        .exchange
        .heal(NodeId([0; 32]), vec![carried.clone()], Origin::Heal);
    assert!(matches!(healed.await, Err(ExchangeError::Full)));
    assert_eq!(city.reader.newest(), before);
    let found = city.reader.record(&kept.records[0].id).unwrap();
    assert!(found.is_some(), "what was acknowledged is there to be read");

    disk.free.store(RESERVE + 1, Ordering::SeqCst);
    let hardly = city.exchange.publish(BY(), request(1, None, None)).await;
    assert!(
        matches!(hardly, Err(ExchangeError::Full)),
        "not before it is worth it"
    );
    disk.free.store(2 * RESERVE, Ordering::SeqCst);
    // Room is asked for once a commit: what comes while the last one still ends is ignored, too.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while city.frame(vec![carried.clone()]).await != Verdict::Accept {
        assert!(std::time::Instant::now() < deadline, "no room was noticed");
    }
    let next = city.publish(1, None, None).await;
    let city = city.restart();
    for reply in [kept, other, next] {
        let state = city.reader.holds(&reply.records[0].id).unwrap();
        assert_eq!(state, Some(BodyState::Readable));
    }
}

#[tokio::test]
async fn a_sync_that_fails_acknowledges_nothing_and_ends_the_exchange() {
    let (city, _) = league().await;
    let disk = Scarce::with(u64::MAX);
    let city = city.restart_on(Arc::new(disk.clone()));
    let kept = city.publish(1, None, None).await;
    disk.broken.store(true, Ordering::SeqCst);
    let refused = city.exchange.publish(BY(), request(1, None, None)).await;
    assert!(matches!(refused, Err(ExchangeError::Store(_))));
    // A later sync may succeed without having written anything, so it is not asked for one.
    disk.broken.store(false, Ordering::SeqCst);
    let later = city.exchange.publish(BY(), request(1, None, None)).await;
    assert!(matches!(later, Err(ExchangeError::Stopped)));
    let Node {
        exchange,
        reader,
        thread,
        folder,
        ..
    } = city;
    drop((exchange, reader));
    assert!(thread.join().unwrap().is_err(), "the daemon ends with it");

    let city = Node::open("port-city", folder);
    let state = city.reader.holds(&kept.records[0].id).unwrap();
    assert_eq!(state, Some(BodyState::Readable));
    city.publish(1, None, None).await;
}

/// What is signed leaves the node after it is remembered: a steward that forgot would sign a sibling.
#[tokio::test]
async fn a_charter_that_is_not_durable_is_shown_to_nobody() {
    let (city, _) = league().await;
    let disk = Scarce::with(u64::MAX);
    let city = city.restart_on(Arc::new(disk.clone()));
    let before = city.exchange.standing().charters.clone().unwrap();
    disk.broken.store(true, Ordering::SeqCst);
    let request = local::ProposeRequest {
        change: local::Change::Renew {},
        again: false,
    };
    let refused = city.exchange.propose(BY(), request).await;
    assert!(matches!(refused, Err(ExchangeError::Store(_))));
    let after = city.exchange.standing().charters.clone().unwrap();
    assert_eq!(after.newest(), before.newest());
}
