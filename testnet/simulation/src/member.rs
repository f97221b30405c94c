//! One node: the daemon's mesh, and behind it a desk, a set of records, and a wish to compare it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hanse_node::mesh::wires::{Wires, start_over};
use hanse_node::mesh::{Degree, MeshEvent, MeshHandle, MeshSettings, Publish, Verdict};
use hanse_node::sender::Filling;
use hanse_protocol::identity::NodeId;
use hanse_protocol::reconcile::Place;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::desk::{Desk, Holdings};
use crate::draws::Draws;
use crate::healing::Talk;
use crate::hostile::Malice;
use crate::meters::{Meters, links};
use crate::network::Outlook;
use crate::run::Failure;
use crate::world::World;

/// Events of the mesh that may wait, as in the daemon.
const EVENTS: usize = 512;

/// How long a frame waits when the mesh takes nothing, and how long it is worth a try, as the daemon's
/// sender has it.
const PAUSE: Duration = Duration::from_millis(50);
const FRESH: Duration = Duration::from_secs(30);

/// Nobody gossips presence here, by which the daemon knows that a link lives.
const SILENCE: Duration = Duration::from_secs(24 * 3_600);

/// How long after its start a node that missed something first compares.
const AT_ONCE: Duration = Duration::from_secs(1);

const HEALING: u64 = 4;

/// What a node is told from outside.
pub(crate) enum Order {
    /// Publish a record.
    Publish,
    /// Say how many links and gossip neighbours there are.
    Links(oneshot::Sender<(usize, usize)>),
}

/// A node of the world.
pub(crate) struct Member {
    pub(crate) world: Arc<World>,
    pub(crate) number: usize,
    pub(crate) holdings: Holdings,
    pub(crate) malice: Option<Malice>,
    /// Counts its lives.
    pub(crate) life: u64,
}

/// What a node keeps while it lives.
struct Day {
    mesh: MeshHandle,
    desk: Desk,
    links: BTreeSet<NodeId>,
    draws: Draws,
    heal_at: Option<Instant>,
    misdeed_at: Option<Instant>,
    misdeeds: usize,
}

impl Member {
    /// Lives until it is stopped. What its mesh counted goes into the world's meters.
    pub(crate) async fn live(
        self: Arc<Self>,
        mut orders: mpsc::Receiver<Order>,
        stop: CancellationToken,
    ) -> Result<(), Failure> {
        let world = &self.world;
        let seat = world.community.seats.get(self.number).ok_or("no such node")?;
        let place = self.number as u64;
        let wires: Arc<dyn Wires> = Arc::new(Outlook {
            network: Arc::clone(&world.network),
            own: place,
        });
        let settings = MeshSettings {
            listen: vec![format!("/memory/{place}")],
            silence: SILENCE,
            degree: world.plan.mesh.map(|[target, low, high]| Degree {
                target,
                low,
                high,
                outbound: Degree::PEER.outbound,
            }),
            ..MeshSettings::default()
        };
        let (sender, mut events) = mpsc::channel(EVENTS);
        let mut registry = Registry::default();
        let (mesh, ended) = start_over(
            wires,
            settings,
            Zeroizing::new(seat.secret),
            *world.community.charters.community(),
            world.membership.clone(),
            sender,
            &mut registry,
            stop.clone(),
        )?;
        let mut day = self.morning(mesh);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(event) = events.recv() => self.on_event(&mut day, event).await,
                Some(order) = orders.recv() => self.on_order(&mut day, order).await?,
                () = at(day.desk.next()) => {}
                () = at(day.heal_at) => self.heal(&mut day),
                () = at(day.misdeed_at) => self.misdo(&mut day).await,
            }
            let Day { desk, mesh, .. } = &mut day;
            desk.work(world, self.number, &self.holdings, mesh);
        }
        ended.await??;
        if self.malice.is_none() {
            world.meters().add(&Meters::read(&registry));
        }
        Ok(())
    }

    fn morning(&self, mesh: MeshHandle) -> Day {
        let now = Instant::now();
        let plan = &self.world.plan;
        let mut draws = Draws::of(plan.seed, &[HEALING, self.number as u64, self.life]);
        // Who was away compares at once, the others when their turn comes.
        let first = if self.life > 0 {
            AT_ONCE
        } else {
            plan.settle + plan.heal.mul_f64(draws.unit())
        };
        let heals = !plan.heal.is_zero() && self.malice.is_none();
        let pause = self.malice.and_then(Malice::pause);
        Day {
            mesh,
            desk: Desk::new(),
            links: BTreeSet::new(),
            draws,
            heal_at: heals.then(|| now + first),
            misdeed_at: pause.map(|pause| now + plan.settle + pause),
            misdeeds: 0,
        }
    }

    async fn on_event(self: &Arc<Self>, day: &mut Day, event: MeshEvent) {
        match event {
            MeshEvent::Frame { ticket, .. } if self.malice == Some(Malice::Withholder) => {
                day.mesh.verdict(ticket, Verdict::Ignore);
            }
            MeshEvent::Frame {
                courier,
                ticket,
                bytes,
            } => {
                if day.desk.take(&day.mesh, courier, ticket, &bytes) {
                    day.mesh.close(courier).await;
                }
            }
            MeshEvent::Connected(node) => drop(day.links.insert(node)),
            MeshEvent::Disconnected(node) => drop(day.links.remove(&node)),
            MeshEvent::Stream { from, stream } => {
                let own = Arc::clone(self);
                let lies = self.malice == Some(Malice::Withholder);
                tokio::spawn(async move {
                    // It ends when the peer has heard enough.
                    let _ = own.talk(&from).answer(stream, lies).await;
                });
            }
            MeshEvent::CharterCall { .. } => {}
        }
    }

    fn talk(&self, peer: &NodeId) -> Talk<'_> {
        Talk {
            world: &self.world,
            own: self.number,
            peer: self.world.community.number(peer).unwrap_or(self.number),
            holdings: &self.holdings,
        }
    }

    async fn on_order(&self, day: &mut Day, order: Order) -> Result<(), Failure> {
        match order {
            Order::Publish => self.publish(day),
            Order::Links(reply) => {
                // Who asked may have gone.
                let _ = reply.send(links(&day.mesh.peers().await));
                Ok(())
            }
        }
    }

    /// Signs a record, holds it, and hands it to the mesh in a frame as the daemon's sender fills it.
    fn publish(&self, day: &Day) -> Result<(), Failure> {
        let world = &self.world;
        let created = world.now();
        let mut held = self.holdings.lock();
        let (id, carried) = held
            .pen
            .write(&world.community, self.number, created, world.plan.size)?;
        let record = Arc::new(carried.clone());
        held.shelf.put(&world.key, Place { created, id }, record);
        drop(held);
        world.ledger().published(id, self.number, Instant::now());
        let mut filling = Filling::default();
        let frames = filling.put(carried).into_iter().chain(filling.take());
        for frame in frames {
            tokio::spawn(send(day.mesh.clone(), frame.encode()));
        }
        Ok(())
    }

    /// Compares with one neighbour.
    fn heal(self: &Arc<Self>, day: &mut Day) {
        let every = self.world.plan.heal;
        let next = every.mul_f64(0.9 + 0.2 * day.draws.unit());
        day.heal_at = Some(Instant::now() + next);
        let Some(peer) = day.links.iter().nth(day.draws.below(day.links.len())).copied() else {
            day.heal_at = Some(Instant::now() + AT_ONCE);
            return;
        };
        let (own, mesh) = (Arc::clone(self), day.mesh.clone());
        tokio::spawn(async move {
            // What fails is tried again with another at the next turn.
            if let Ok(stream) = mesh.open_stream(peer).await {
                let _ = own.talk(&peer).ask(stream).await;
            }
        });
    }

    async fn misdo(&self, day: &mut Day) {
        let Some(malice) = self.malice else { return };
        day.misdeed_at = malice.pause().map(|pause| Instant::now() + pause);
        day.misdeeds += 1;
        let frame = malice.misdeed(&self.holdings.lock(), day.misdeeds);
        if let Some(frame) = frame {
            // What the mesh does not take is not missed.
            let _ = day.mesh.publish(frame.encode()).await;
        }
    }
}

/// Hands a frame to the mesh, and gives up when it has grown old.
async fn send(mesh: MeshHandle, frame: Vec<u8>) {
    let started = Instant::now();
    while started.elapsed() < FRESH {
        match mesh.publish(frame.clone()).await {
            Ok(Publish::NoPeers | Publish::Full) => sleep(PAUSE).await,
            Ok(Publish::Taken) | Err(_) => return,
        }
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}
