//! Links between nodes that are as bad as a scenario wants them: every connection between two members
//! leads through a proxy of this process, which delays, paces, stalls, resets and cuts it, each way on
//! its own.
//!
//! Every node has a *door*, a port under which others dial it; its charter lists the door and not the
//! port where the node listens. Who dials is found out by `who`, so that the link is known from its
//! first byte; `pump` carries one way of one connection; what a way is like now is a [`Shape`].

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

mod pump;
mod who;

use crate::dice::Dice;

/// Most bytes of what went over the wire that are kept to be searched.
const TAPPED: usize = 48 << 20;

/// Most bytes of them of one way of one connection: the start of each tells more than all of one.
const TAPPED_EACH: usize = 1 << 20;

/// What one way of a link is like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shape {
    /// How long bytes are under way.
    pub delay: Duration,
    /// How much longer at most, drawn for every packet; order is kept, as TCP keeps it.
    pub jitter: Duration,
    /// The share of packets that are lost, 0 to 1. TCP hides a loss but for the wait until the packet is
    /// sent again, so that is what a loss is here: 200 ms, twice as long if it is lost again.
    pub loss: f64,
    /// Bytes a second; `None` for as many as the machine carries.
    pub bandwidth: Option<u64>,
    /// After how long, on average, a connection is reset.
    pub reset_every: Option<Duration>,
}

/// From whom to whom, by number.
pub type Way = (usize, usize);

/// What all links are like now.
#[derive(Clone, Debug, Default)]
struct Links {
    usual: Shape,
    special: BTreeMap<Way, Shape>,
    /// Ways over which nothing comes until they are mended.
    cut: BTreeSet<Way>,
    /// Nodes from and to which nothing comes, whatever is mended.
    isolated: BTreeSet<usize>,
    /// How many times the connections of two nodes were reset; the smaller number first.
    resets: BTreeMap<Way, u64>,
}

impl Links {
    fn shape(&self, way: &Way) -> Shape {
        self.special.get(way).copied().unwrap_or(self.usual)
    }

    fn carry(&self, way: Way) -> bool {
        !self.cut.contains(&way) && !self.isolated.contains(&way.0) && !self.isolated.contains(&way.1)
    }
}

/// Figures of all links together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Carried {
    /// Connections that were carried from end to end.
    pub connections: u64,
    /// Connections ended by a cut or by chance.
    pub reset: u64,
    /// Bytes, both ways.
    pub bytes: u64,
    /// Waits for a lost packet.
    pub losses: u64,
    /// Connections turned away because nobody knows whose they were.
    pub unknown: u64,
}

#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    reset: AtomicU64,
    bytes: AtomicU64,
    losses: AtomicU64,
    unknown: AtomicU64,
}

#[derive(Default)]
struct Places {
    /// The port where a node listens.
    ports: BTreeMap<usize, u16>,
    /// The process that runs it.
    pids: BTreeMap<usize, u32>,
    doors: Vec<AbortHandle>,
}

struct Inner {
    links: watch::Sender<Links>,
    places: Mutex<Places>,
    counts: Counts,
    tap: Mutex<Tap>,
    seed: u64,
}

/// What was seen on the wire, one piece a way of a connection.
#[derive(Default)]
struct Tap {
    pieces: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
}

/// All links of a league. Its doors close when the last copy is dropped.
#[derive(Clone)]
pub struct Net(Arc<Inner>);

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Net").finish_non_exhaustive()
    }
}

impl Net {
    /// Links that carry at once until told otherwise; what chance decides comes from the seed.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Inner {
            links: watch::Sender::new(Links::default()),
            places: Mutex::default(),
            counts: Counts::default(),
            tap: Mutex::default(),
            seed,
        }))
    }

    /// Opens the door of a node at a port: whoever dials there and is a process of this league is led
    /// to the node.
    ///
    /// # Errors
    /// What the system says of the port.
    pub fn open_door(&self, number: usize, port: u16) -> io::Result<()> {
        self.listen(number, None, port).map(drop)
    }

    /// Opens a door to a node for `dialler` alone, who is no process of its own; returns its port.
    ///
    /// # Errors
    /// What the system says.
    pub fn open_side_door(&self, dialler: usize, number: usize) -> io::Result<u16> {
        self.listen(number, Some(dialler), 0)
    }

    /// Where a node listens.
    pub fn leads_to(&self, number: usize, port: u16) {
        self.places().ports.insert(number, port);
    }

    /// Which process runs a node.
    pub fn runs_as(&self, number: usize, pid: Option<u32>) {
        let mut places = self.places();
        match pid {
            Some(pid) => places.pids.insert(number, pid),
            None => places.pids.remove(&number),
        };
    }

    /// The process that runs a node, as it was last started.
    pub fn pid(&self, number: usize) -> Option<u32> {
        self.places().pids.get(&number).copied()
    }

    /// What is usual from now on.
    pub fn set_usual(&self, shape: Shape) {
        self.0.links.send_modify(|links| links.usual = shape);
    }

    /// Cuts a node off for good.
    pub fn isolate(&self, number: usize) {
        self.0.links.send_modify(|links| links.isolated.extend([number]));
    }

    /// Makes some ways unlike the usual.
    pub fn shape(&self, ways: &[Way], shape: Shape) {
        self.0.links.send_modify(|links| {
            links.special.extend(ways.iter().map(|way| (*way, shape)));
        });
    }

    /// Cuts these ways: nothing passes, as if the cable were pulled. With `reset` the connections over
    /// them end at once as well, as when a firewall says no.
    pub fn cut(&self, ways: &[Way], reset: bool) {
        self.0.links.send_modify(|links| {
            links.cut.extend(ways.iter().copied());
            if reset {
                let pairs: BTreeSet<Way> = ways.iter().map(pair).collect();
                pairs
                    .iter()
                    .for_each(|pair| *links.resets.entry(*pair).or_default() += 1);
            }
        });
    }

    /// Takes cuts back.
    pub fn mend(&self, ways: &[Way]) {
        self.0
            .links
            .send_modify(|links| links.cut.retain(|way| !ways.contains(way)));
    }

    /// Takes every cut and every special shape back.
    pub fn mend_all(&self) {
        self.0.links.send_modify(|links| {
            links.cut.clear();
            links.special.clear();
        });
    }

    /// What was carried so far.
    pub fn carried(&self) -> Carried {
        let counts = &self.0.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Carried {
            connections: read(&counts.connections),
            reset: read(&counts.reset),
            bytes: read(&counts.bytes),
            losses: read(&counts.losses),
            unknown: read(&counts.unknown),
        }
    }

    /// What was seen on the wire, one piece a way of a connection: the first MiB of each, 48 MiB in all.
    /// It is kept no longer.
    pub fn tapped(&self) -> Vec<Vec<u8>> {
        let mut tap = self.0.tap.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut tap.pieces).into_values().collect()
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self, number: usize, dialler: Option<usize>, port: u16) -> io::Result<u16> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let port = listener.local_addr()?.port();
        // The task must not keep the doors open that its end closes.
        let net = Arc::downgrade(&self.0);
        let task = tokio::spawn(async move {
            let mut guests = JoinSet::new();
            while let Ok((inbound, from)) = listener.accept().await {
                let Some(net) = net.upgrade().map(Net) else { return };
                while guests.try_join_next().is_some() {}
                guests.spawn(net.receive(number, dialler, inbound, from));
            }
        });
        self.places().doors.push(task.abort_handle());
        Ok(port)
    }

    /// Carries one connection until an end closes it or chance or a cut resets it.
    async fn receive(self, number: usize, dialler: Option<usize>, inbound: TcpStream, from: SocketAddr) {
        let dialler = match dialler {
            Some(dialler) => Some(dialler),
            None => self.who(&inbound, from).await,
        };
        let Some(dialler) = dialler else {
            self.0.counts.unknown.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let way = (dialler, number);
        let resets = self.resets(way);
        // A connection needs both ways to come about.
        self.is_whole(way).await;
        let Some(port) = self.places().ports.get(&number).copied() else {
            return;
        };
        let Ok(outbound) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
            return;
        };
        let connection = self.0.counts.connections.fetch_add(1, Ordering::Relaxed);
        let mut dice = Dice::new(
            self.0.seed,
            &format!("connection {dialler} {number} {connection}"),
        );
        let (mut chances, fate) = (dice.split(), dice.split());
        tokio::select! {
            _ = pump::both(&self, way, inbound, outbound, connection, &mut chances) => {}
            () = self.is_reset(way, resets) => { self.0.counts.reset.fetch_add(1, Ordering::Relaxed); }
            () = self.dies(way, fate) => { self.0.counts.reset.fetch_add(1, Ordering::Relaxed); }
        }
    }

    async fn who(&self, inbound: &TcpStream, from: SocketAddr) -> Option<usize> {
        let local = inbound.local_addr().ok()?;
        let pids = self.places().pids.clone();
        let found = tokio::task::spawn_blocking(move || who::owns(from, local, &pids)).await;
        found.ok().flatten()
    }

    /// Waits until chance resets this connection, once its way is one where that happens: after a time
    /// that is exponential, as that of what may come at any moment is.
    async fn dies(&self, way: Way, mut dice: Dice) {
        let mut links = self.0.links.subscribe();
        loop {
            // The sender lives as long as we do.
            let _ = links
                .wait_for(|links| links.shape(&way).reset_every.is_some())
                .await;
            let mean = self.now(way).reset_every.unwrap_or_default();
            tokio::time::sleep(mean.mul_f64(-(1.0 - dice.unit()).ln())).await;
            if self.now(way).reset_every.is_some() {
                return;
            }
        }
    }

    /// What a way is like now.
    fn now(&self, way: Way) -> Shape {
        self.0.links.borrow().shape(&way)
    }

    fn resets(&self, way: Way) -> u64 {
        self.0
            .links
            .borrow()
            .resets
            .get(&pair(&way))
            .copied()
            .unwrap_or(0)
    }

    /// Waits until a way carries.
    async fn is_open(&self, way: Way) {
        let mut links = self.0.links.subscribe();
        // The sender lives as long as we do.
        let _ = links.wait_for(|links| links.carry(way)).await;
    }

    async fn is_whole(&self, (from, to): Way) {
        let mut links = self.0.links.subscribe();
        let whole = |links: &Links| links.carry((from, to)) && links.carry((to, from));
        let _ = links.wait_for(whole).await;
    }

    async fn is_reset(&self, way: Way, before: u64) {
        let mut links = self.0.links.subscribe();
        let pair = pair(&way);
        let reset = |links: &Links| links.resets.get(&pair).copied().unwrap_or(0) > before;
        let _ = links.wait_for(reset).await;
    }

    fn passes(&self, piece: u64, bytes: &[u8]) {
        self.0
            .counts
            .bytes
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let mut tap = self.0.tap.lock().unwrap_or_else(PoisonError::into_inner);
        let held = tap.pieces.get(&piece).map_or(0, Vec::len);
        if tap.bytes < TAPPED && held < TAPPED_EACH {
            tap.bytes += bytes.len();
            tap.pieces.entry(piece).or_default().extend_from_slice(bytes);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let places = self.places.get_mut().unwrap_or_else(PoisonError::into_inner);
        places.doors.iter().for_each(AbortHandle::abort);
    }
}

fn pair((one, other): &Way) -> Way {
    (*one.min(other), *one.max(other))
}

#[cfg(test)]
mod tests;
