//! What a node has of its own for each community: store, member, exchange, mesh and the tasks on it. Two
//! communities of a process share none of it.

use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::reload::Reload;
use super::{DaemonError, Opened, findings, open_free_store, open_member, store_folder};
use crate::api;
use crate::clocks::Clocks;
use crate::exchange::{self, Exchange, Nudge};
use crate::forwarder::Side;
use crate::healer::answer::Answerer;
use crate::healer::{Healer, Progress};
use crate::member::Member;
use crate::mesh::{self, MeshError, MeshHandle, MeshSettings};
use crate::metrics::Metrics;
use crate::policy::Policies;
use crate::presence::{self, AddressBook};
use crate::reading::Reading;
use crate::receiver::{Links, Receiver};
use crate::sender::Sender;
use crate::settings::{MeshProfile, Place, Settings};
use crate::store::Reader;

/// Hints to heal that may wait.
const NUDGES: usize = 1_024;

/// The folder of a community's policies in its own.
pub(super) const POLICIES: &str = "policies";

/// Events of the mesh that may wait.
const EVENTS: usize = 512;

/// A task that ended, by name, with what it ended with.
pub(super) type Ended = (&'static str, Result<(), DaemonError>);

/// The one thread that writes a community's store. It ends once every handle of its exchange is dropped.
pub(super) struct Writer(exchange::Thread);

impl Writer {
    /// Waits until it has drained, checkpointed and ended.
    pub(super) async fn drained(self) -> Result<(), DaemonError> {
        let drained = tokio::task::spawn_blocking(move || self.0.join()).await;
        match drained {
            Ok(Ok(drained)) => drained.map_err(DaemonError::Exchange),
            _ => Err(DaemonError::Ended("exchange")),
        }
    }
}

/// The parts that every task of a community is made from.
pub(super) struct Community {
    /// What it is called on this machine.
    pub(super) name: String,
    exchange: Exchange,
    reading: Reading,
    registry: Arc<Mutex<Registry>>,
    settings: Settings,
    member: Arc<Member>,
    reader: Reader,
    metrics: Arc<Metrics>,
    clocks: Clocks,
    links: Links,
    healing: Progress,
    /// Until the mesh takes it.
    nudged: Option<mpsc::Receiver<Nudge>>,
    mesh: watch::Sender<Option<MeshHandle>>,
    policies: Arc<watch::Sender<Option<Arc<Policies>>>>,
    folder: std::path::PathBuf,
}

impl Community {
    /// Opens keys and store of a community and starts its exchange. Its mesh is not up yet.
    pub(super) async fn open(place: Place) -> Result<(Self, Writer), DaemonError> {
        let Place {
            name,
            folder,
            settings,
        } = place;
        let (keystore, member) = open_member(&folder, &settings)?;
        let Opened {
            store,
            opening,
            charters,
        } = open_free_store(&folder, &settings, &keystore, &member).await?;
        findings(&opening).iter().for_each(|finding| {
            tracing::warn!(
                community = name,
                finding = finding.found,
                "the store was not clean"
            );
        });
        let mut registry = Registry::with_labels(std::iter::once(("community".into(), name.clone().into())));
        let metrics = Arc::new(Metrics::new(&mut registry));
        let reader = store.reader();
        let (nudges, nudged) = mpsc::channel(NUDGES);
        let clocks = Clocks::default();
        let parts = exchange::Parts {
            store,
            member: Arc::clone(&member),
            charters,
            addresses: settings.mesh.dialable(),
            metrics: Arc::clone(&metrics),
            nudges,
            clocks: clocks.clone(),
            opaque_max: settings.store.opaque_max,
            retention: settings.store.retention.clone(),
            lost: opening.lost,
            home: exchange::Home::of(&store_folder(&folder)),
        };
        let policies = policies(&folder)?;
        let (exchange, writer) = exchange::start(parts)?;
        if let Some(policies) = &policies {
            exchange.accepting().replace(Arc::clone(policies));
        }
        let (mesh, meshes) = watch::channel(None);
        let (links, healing) = (Links::default(), Progress::default());
        let reading = Reading::new(
            reader.clone(),
            Arc::clone(&member),
            exchange.clone(),
            meshes,
            links.clone(),
            healing.clone(),
        );
        let community = Self {
            name,
            exchange,
            reading,
            registry: Arc::new(Mutex::new(registry)),
            settings,
            member,
            reader,
            metrics,
            clocks,
            links,
            healing,
            nudged: Some(nudged),
            mesh,
            policies: Arc::new(watch::Sender::new(policies)),
            folder,
        };
        Ok((community, Writer(writer)))
    }

    /// Runs until `stop`: the mesh and what lives on it, as soon as there is a charter.
    pub(super) async fn run(
        mut self,
        mut reserved: Vec<TcpListener>,
        stop: CancellationToken,
    ) -> Result<(), DaemonError> {
        // Ownership decides the order of the end: who asks goes before who answers.
        let outer = CancellationToken::new();
        let inner = CancellationToken::new();
        let mut tasks: JoinSet<Ended> = JoinSet::new();
        let mut standings = self.exchange.standings();
        let ended = loop {
            if self.exchange.standing().charters.is_some()
                && let Some(nudged) = self.nudged.take()
            {
                drop(std::mem::take(&mut reserved));
                if let Err(error) = self.join_mesh(&mut tasks, nudged, (&outer, &inner)) {
                    break Err(error);
                }
            }
            tokio::select! {
                () = stop.cancelled() => break Ok(()),
                Some(ended) = tasks.join_next() => break early(ended),
                changed = standings.changed(), if self.nudged.is_some() => {
                    if changed.is_err() { break Err(DaemonError::Ended("exchange")) }
                }
            }
        };
        outer.cancel();
        wait(&mut tasks, &inner).await;
        ended
    }

    /// What the API serves of it.
    pub(super) fn served(&self) -> api::Served {
        api::Served {
            name: self.name.clone(),
            member: self.member.profile.handle.clone(),
            exchange: self.exchange.clone(),
            reading: self.reading.clone(),
            registry: Arc::clone(&self.registry),
        }
    }

    /// What forwarding needs of it.
    pub(super) fn side(&self) -> Side {
        Side {
            name: self.name.clone(),
            member: self.member.profile.handle.clone(),
            exchange: self.exchange.clone(),
            store: self.reader.clone(),
        }
    }

    /// Its policies, if it has a folder of them.
    pub(super) fn policies(&self) -> watch::Receiver<Option<Arc<Policies>>> {
        self.policies.subscribe()
    }

    /// What reads its policies again.
    pub(super) fn reload(&self) -> Reload {
        Reload {
            name: self.name.clone(),
            folder: self.folder.clone(),
            exchange: self.exchange.clone(),
            policies: Arc::clone(&self.policies),
        }
    }

    /// Where its mesh listens, for the daemon's first message.
    pub(super) fn listening(&self) -> String {
        self.settings.mesh.listen.join(", ")
    }

    /// Takes the mesh's ports: who joins a community must not learn afterwards that they are taken.
    pub(super) fn reserve(&self) -> Result<Vec<TcpListener>, DaemonError> {
        let mesh = &self.settings.mesh;
        if self.exchange.standing().charters.is_some() || mesh.profile == MeshProfile::Leaf {
            return Ok(Vec::new());
        }
        let take = |address: &String| {
            let taken = TcpListener::bind(mesh::socket_address(address)?);
            let address = address.clone();
            Some(taken.map_err(|source| MeshError::Listen { address, source }))
        };
        let taken: Result<_, _> = mesh.listen.iter().filter_map(take).collect();
        Ok(taken?)
    }

    /// Starts the mesh and what lives on it.
    fn join_mesh(
        &self,
        tasks: &mut JoinSet<Ended>,
        nudged: mpsc::Receiver<Nudge>,
        (outer, inner): (&CancellationToken, &CancellationToken),
    ) -> Result<(), DaemonError> {
        let standing = self.exchange.standing();
        let Some(charters) = &standing.charters else {
            return Ok(());
        };
        let (book, membership, heard_presence) = AddressBook::new(&standing, self.clocks.clone());
        let (events, heard) = mpsc::channel(EVENTS);
        let settings = MeshSettings {
            listen: self.settings.mesh.listen.clone(),
            profile: match self.settings.mesh.profile {
                MeshProfile::Peer => mesh::Profile::Peer,
                MeshProfile::Hub => mesh::Profile::Hub,
                MeshProfile::Leaf => mesh::Profile::Leaf,
            },
            quic: self.settings.mesh.quic,
            ..MeshSettings::default()
        };
        let seed: Zeroizing<[u8; 32]> = self.member.node.seed();
        let (mesh, swarm) = {
            let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
            mesh::start(
                settings,
                seed,
                *charters.community(),
                membership,
                events,
                &mut registry,
                inner.child_token(),
            )?
        };
        self.mesh.send_replace(Some(mesh.clone()));
        tasks.spawn(async move { ("mesh", joined(swarm).await) });
        self.spawn_sender(tasks, &mesh, outer);
        let (arrivals, arrived) = mpsc::channel(NUDGES);
        self.spawn_healer(tasks, &mesh, nudged, arrived, outer);
        self.spawn_presence(tasks, &mesh, &book, outer);
        self.spawn_heads(tasks, heard_presence, outer)?;
        let receiver = Receiver {
            answerer: Answerer::new(self.exchange.clone(), self.reader.clone()),
            exchange: self.exchange.clone(),
            mesh,
            book,
            links: self.links.clone(),
            arrivals,
            metrics: Arc::clone(&self.metrics),
        };
        let stop = outer.child_token();
        tasks.spawn(async move {
            ("receiver", {
                receiver.run(heard, stop).await;
                Ok(())
            })
        });
        Ok(())
    }

    fn spawn_sender(&self, tasks: &mut JoinSet<Ended>, mesh: &MeshHandle, stop: &CancellationToken) {
        let sender = Sender {
            exchange: self.exchange.clone(),
            store: self.reader.clone(),
            mesh: mesh.clone(),
            metrics: Arc::clone(&self.metrics),
        };
        let stop = stop.child_token();
        tasks.spawn(async move { ("sender", sender.run(stop).await.map_err(DaemonError::from)) });
    }

    fn spawn_healer(
        &self,
        tasks: &mut JoinSet<Ended>,
        mesh: &MeshHandle,
        nudged: mpsc::Receiver<Nudge>,
        arrived: mpsc::Receiver<hanse_protocol::identity::NodeId>,
        stop: &CancellationToken,
    ) {
        let healer = Healer::new(
            self.exchange.clone(),
            self.reader.clone(),
            mesh.clone(),
            self.links.clone(),
            Arc::clone(&self.metrics),
            self.healing.clone(),
        );
        let (every, stop) = (self.settings.healing.every, stop.child_token());
        tasks.spawn(async move {
            ("healer", {
                healer.run(every, nudged, arrived, stop).await;
                Ok(())
            })
        });
    }

    /// Keeps what other nodes say of their audit logs.
    fn spawn_heads(
        &self,
        tasks: &mut JoinSet<Ended>,
        heard: mpsc::Receiver<hanse_protocol::presence::Presence>,
        stop: &CancellationToken,
    ) -> Result<(), DaemonError> {
        let heads = presence::heads::Heads::load(&self.reader)?;
        let (exchange, metrics) = (self.exchange.clone(), Arc::clone(&self.metrics));
        let stop = stop.child_token();
        tasks.spawn(async move {
            presence::heads::keep(exchange, heads, metrics, heard, stop).await;
            ("audit heads", Ok(()))
        });
        Ok(())
    }

    /// Tells of this node, and rewrites the address book whenever the charter changes.
    fn spawn_presence(
        &self,
        tasks: &mut JoinSet<Ended>,
        mesh: &MeshHandle,
        book: &AddressBook,
        stop: &CancellationToken,
    ) {
        let (exchange, store, member) = (
            self.exchange.clone(),
            self.reader.clone(),
            Arc::clone(&self.member),
        );
        let (mesh, addresses, token) = (mesh.clone(), self.settings.mesh.dialable(), stop.child_token());
        let watch = (self.clocks.clone(), Arc::clone(&self.metrics));
        tasks.spawn(async move {
            presence::tell(exchange, store, member, mesh, addresses, watch, token).await;
            ("presence", Ok(()))
        });
        let (mut standings, book, stop) = (self.exchange.standings(), book.clone(), stop.child_token());
        tasks.spawn(async move {
            loop {
                let standing = Arc::clone(&standings.borrow_and_update());
                book.rewrite(&standing);
                tokio::select! {
                    () = stop.cancelled() => return ("address book", Ok(())),
                    changed = standings.changed() => if changed.is_err() {
                        return ("address book", Ok(()));
                    }
                }
            }
        });
    }
}

/// Whether there is no such folder. One that cannot be reached is there: what it says is not known, and what is
/// built in shares more.
pub(super) fn is_absent(folder: &Path) -> bool {
    matches!(std::fs::symlink_metadata(folder), Err(error) if error.kind() == std::io::ErrorKind::NotFound)
}

/// The policies in a community's folder, if it has a folder of them.
fn policies(folder: &Path) -> Result<Option<Arc<Policies>>, DaemonError> {
    let folder = folder.join(POLICIES);
    if is_absent(&folder) {
        return Ok(None);
    }
    // Who they name is looked at when they are read again: an expulsion must not keep a node from starting.
    Ok(Some(Arc::new(Policies::load(&folder, None)?)))
}

async fn joined(task: JoinHandle<Result<(), MeshError>>) -> Result<(), DaemonError> {
    match task.await {
        Ok(ended) => ended.map_err(DaemonError::from),
        Err(_) => Err(DaemonError::Ended("mesh")),
    }
}

/// What the first task that ended says of the daemon's end.
pub(super) fn early(ended: Result<Ended, tokio::task::JoinError>) -> Result<(), DaemonError> {
    match ended {
        Ok((_, Err(error))) => Err(error),
        Ok((name, Ok(()))) => Err(DaemonError::Ended(name)),
        Err(_) => Err(DaemonError::Ended("task that panicked")),
    }
}

/// Waits for the readers and writers of the mesh, then for the mesh.
async fn wait(tasks: &mut JoinSet<Ended>, inner: &CancellationToken) {
    while tasks.len() > 1 {
        if tasks.join_next().await.is_none() {
            break;
        }
    }
    inner.cancel();
    while tasks.join_next().await.is_some() {}
}
