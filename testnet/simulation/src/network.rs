//! The network: who listens at which place, how far places lie apart, and what each node's uplink bears.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::StreamExt;
use futures::{FutureExt, stream};
use hanse_node::mesh::wires::{Incoming, Socket, Wires};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::draws::Draws;
use crate::line::{Quality, connect};
use crate::plan::Plan;

/// What each stream of draws is for.
const DISTANCE: u64 = 1;
const LINE: u64 = 2;

/// Connections that wait to be accepted.
const BACKLOG: usize = 128;

/// What leaves a node leaves it one byte after the other.
#[derive(Clone)]
pub(crate) struct Uplink(Arc<Queue>);

struct Queue {
    /// Bytes a second.
    speed: f64,
    free: Mutex<Instant>,
    sent: AtomicU64,
}

impl Uplink {
    fn new(bandwidth: f64) -> Self {
        Self(Arc::new(Queue {
            speed: bandwidth / 8.0,
            free: Mutex::new(Instant::now()),
            sent: AtomicU64::new(0),
        }))
    }

    /// When the last of these bytes has left.
    pub(crate) fn send(&self, bytes: usize, now: Instant) -> Instant {
        let mut free = self.0.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free = (*free).max(now) + Duration::from_secs_f64(bytes as f64 / self.0.speed);
        self.0.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        *free
    }
}

type Backlog = mpsc::Sender<(u64, Box<dyn Socket>)>;

/// The whole of it.
pub(crate) struct Network {
    plan: Plan,
    uplinks: Vec<Uplink>,
    listening: Mutex<HashMap<u64, Backlog>>,
    /// Connections made so far.
    connections: AtomicU64,
}

impl Network {
    pub(crate) fn new(plan: &Plan) -> Arc<Self> {
        Arc::new(Self {
            plan: plan.clone(),
            uplinks: (0..plan.nodes).map(|_| Uplink::new(plan.bandwidth)).collect(),
            listening: Mutex::new(HashMap::new()),
            connections: AtomicU64::new(0),
        })
    }

    /// The delay between two places, one way: the same both ways and in every run of a seed.
    fn distance(&self, one: u64, other: u64) -> Duration {
        let pair = [DISTANCE, one.min(other), one.max(other)];
        let mut draws = Draws::of(self.plan.seed, &pair);
        self.plan.delay.mul_f64((self.plan.spread * draws.normal()).exp())
    }

    /// Bytes that went over all lines so far.
    pub(crate) fn bytes(&self) -> u64 {
        let sent = self
            .uplinks
            .iter()
            .map(|uplink| uplink.0.sent.load(Ordering::Relaxed));
        sent.sum()
    }

    fn uplink(&self, place: u64) -> io::Result<&Uplink> {
        let place = usize::try_from(place).ok();
        let uplink = place.and_then(|place| self.uplinks.get(place));
        uplink.ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    fn connect(&self, from: u64, to: u64) -> io::Result<Box<dyn Socket>> {
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let quality = |way| Quality {
            delay: self.distance(from, to),
            loss: self.plan.loss,
            draws: Draws::of(self.plan.seed, &[LINE, number, way]),
        };
        let (near, far) = connect(quality(0), quality(1), self.uplink(from)?, self.uplink(to)?);
        let listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        let backlog = listening.get(&to).ok_or(io::ErrorKind::ConnectionRefused)?;
        let offered = backlog.try_send((from, Box::new(far)));
        offered.map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(Box::new(near))
    }
}

/// The network as one node sees it.
pub(crate) struct Outlook {
    pub(crate) network: Arc<Network>,
    pub(crate) own: u64,
}

impl Wires for Outlook {
    fn listen(&self, place: u64) -> io::Result<Incoming> {
        let mut listening = self
            .network
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if listening.get(&place).is_some_and(|backlog| !backlog.is_closed()) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (backlog, came) = mpsc::channel(BACKLOG);
        listening.insert(place, backlog);
        let came = stream::unfold(came, |mut came| async move { Some((came.recv().await?, came)) });
        Ok(came.boxed())
    }

    fn dial(&self, place: u64) -> BoxFuture<'static, io::Result<Box<dyn Socket>>> {
        let (network, own) = (Arc::clone(&self.network), self.own);
        async move {
            // There and back, before anybody may say anything.
            sleep(network.distance(own, place) * 2).await;
            network.connect(own, place)
        }
        .boxed()
    }
}
