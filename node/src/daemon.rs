//! The running node: opens what is on disk, starts the tasks, and ends them in the order of what
//! they own. A task that ends early ends the daemon.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hanse_protocol::charter::CharterChain;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::api;
use crate::clocks::Clocks;
use crate::exchange::{self, Deriver, Exchange, Nudge};
use crate::healer::answer::Answerer;
use crate::healer::{Healer, Progress};
use crate::keystore::{Keystore, KeystoreError, Source, Wrapping};
use crate::member::{Member, MemberError};
use crate::mesh::{self, MeshError, MeshHandle, MeshSettings};
use crate::metrics::Metrics;
use crate::presence::{self, AddressBook};
use crate::reading::Reading;
use crate::receiver::{Links, Receiver};
use crate::sender::Sender;
use crate::settings::{Master, MeshProfile, Settings, SettingsError};
use crate::store::{self, Opening, Reader, Rebuilt, Store, StoreError, StoreSettings};
use crate::tokens::{TokenError, Tokens};

/// Hints to heal that may wait.
const NUDGES: usize = 1_024;

/// How long a store in use is waited for.
const LET_GO: Duration = Duration::from_secs(5);

/// Events of the mesh that may wait.
const EVENTS: usize = 512;

/// Why the daemon did not start, or ended early.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The settings.
    #[error("the settings cannot be used")]
    Settings(#[from] SettingsError),
    /// The keystore.
    #[error("the keys cannot be read")]
    Keystore(#[from] KeystoreError),
    /// The member's keys.
    #[error("the member's keys cannot be read")]
    Member(#[from] MemberError),
    /// The tokens.
    #[error("the tokens cannot be read")]
    Tokens(#[from] TokenError),
    /// A restore was broken off: what lies here does not say yet that it is a backup's.
    #[error("a restore into `{}` was broken off: restore once more", .0.display())]
    Restoring(PathBuf),
    /// The making of the node was broken off.
    #[error("the making of a node in `{}` was broken off: `hansed init` begins anew", .0.display())]
    Initialising(PathBuf),
    /// The store.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The store failed while the node ran; what was acknowledged is on disk.
    #[error("the store failed; what was acknowledged is on disk")]
    Exchange(#[source] Arc<StoreError>),
    /// The exchange.
    #[error("the exchange did not start")]
    Start(#[from] exchange::StartError),
    /// The sender.
    #[error("the sender failed")]
    Sender(#[from] crate::sender::SenderError),
    /// The API cannot listen.
    #[error("the local API failed")]
    Api(#[from] api::ApiError),
    /// The mesh failed.
    #[error("the mesh failed")]
    Mesh(#[from] MeshError),
    /// The charters in the log do not form a chain.
    #[error("the charters in the log do not hold")]
    Charters,
    /// A task ended that should not.
    #[error("the {0} ended early")]
    Ended(&'static str),
}

/// The store, opened, with the charters found in it.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// How it was found.
    pub opening: Opening,
    /// The community's charters, if the node belongs to one.
    pub charters: Option<CharterChain>,
}

/// Opens the keys of a node's folder.
///
/// # Errors
/// [`DaemonError::Keystore`], [`DaemonError::Member`].
pub fn open_member(folder: &Path, settings: &Settings) -> Result<(Keystore, Arc<Member>), DaemonError> {
    let keystore = Keystore::open_under(&keys_folder(folder), &wrapping(folder, settings)?)?;
    let member = Member::open(settings.member.clone(), &keystore)?;
    Ok((keystore, Arc::new(member)))
}

/// What the settings say that the master key of a node's folder is wrapped under.
///
/// # Errors
/// What keeps the passphrase or credential from being read.
pub fn wrapping(folder: &Path, settings: &Settings) -> Result<Wrapping, KeystoreError> {
    let keys = &settings.keys;
    Ok(match keys.master {
        Master::File => Wrapping::Bare,
        Master::Passphrase => Wrapping::Passphrase(keys.passphrase.passphrase(folder)?),
        Master::Credential => Wrapping::Credential(Source::Credential(keys.credential.clone()).key(folder)?),
    })
}

/// Opens the store of a node's folder.
///
/// # Errors
/// [`DaemonError::Store`], [`DaemonError::Charters`].
pub fn open_store(
    folder: &Path,
    settings: &Settings,
    keystore: &Keystore,
    member: &Arc<Member>,
) -> Result<Opened, DaemonError> {
    let mut deriver = Deriver::new(Arc::clone(member));
    let (store, opening) = Store::open(
        &store_folder(folder),
        keystore.master(),
        &store_settings(settings),
        &mut deriver,
    )?;
    let charters = deriver.into_charters().map_err(|_| DaemonError::Charters)?;
    Ok(Opened {
        store,
        opening,
        charters,
    })
}

/// As [`open_store`], but waits a moment for a store in use: who starts a killed node again may come
/// before the system has let go of what that held.
async fn open_free_store(
    folder: &Path,
    settings: &Settings,
    keystore: &Keystore,
    member: &Arc<Member>,
) -> Result<Opened, DaemonError> {
    let deadline = tokio::time::Instant::now() + LET_GO;
    loop {
        match open_store(folder, settings, keystore, member) {
            Err(DaemonError::Store(StoreError::InUse(_))) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            done => return done,
        }
    }
}

/// The file that stands in a node's folder while that is being restored. A node that started before its
/// store says that it is a backup's would sign numbers that were given already.
pub fn restoring(folder: &Path) -> PathBuf {
    folder.join("restoring")
}

/// The file that stands in a node's folder while `hansed init` makes it: what lies beside it may be torn
/// and was never used.
pub fn initialising(folder: &Path) -> PathBuf {
    folder.join("initialising")
}

/// Where the keys lie in a node's folder.
pub fn keys_folder(folder: &Path) -> PathBuf {
    folder.join("keys")
}

/// Where the store lies in a node's folder.
pub fn store_folder(folder: &Path) -> PathBuf {
    folder.join("store")
}

/// The store's part of the settings.
pub fn store_settings(settings: &Settings) -> StoreSettings {
    let engine = match settings.store.engine {
        crate::settings::Engine::Fjall => store::index::Engine::Fjall,
        crate::settings::Engine::Sled => store::index::Engine::Sled,
        crate::settings::Engine::Memory => store::index::Engine::Memory,
    };
    StoreSettings {
        engine,
        ..StoreSettings::default()
    }
}

/// Runs the node in `folder` until `stop`.
///
/// # Errors
/// [`DaemonError`].
pub async fn serve(folder: &Path, settings: Settings, stop: CancellationToken) -> Result<(), DaemonError> {
    if restoring(folder).exists() {
        return Err(DaemonError::Restoring(folder.to_owned()));
    }
    if initialising(folder).exists() {
        return Err(DaemonError::Initialising(folder.to_owned()));
    }
    let (keystore, member) = open_member(folder, &settings)?;
    let Opened {
        store,
        opening,
        charters,
    } = open_free_store(folder, &settings, &keystore, &member).await?;
    findings(&opening)
        .iter()
        .for_each(|finding| tracing::warn!(finding = finding.found, "the store was not clean"));
    let tokens = Tokens::open(folder)?;
    let mut registry = Registry::default();
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
        home: exchange::Home::of(&store_folder(folder)),
    };
    let (exchange, thread) = exchange::start(parts)?;
    let node = Node {
        settings,
        member,
        reader,
        exchange,
        metrics,
        clocks,
        links: Links::default(),
        healing: Progress::default(),
    };
    let ended = node.run(folder, tokens, registry, nudged, stop).await;
    // Every handle of the exchange is dropped by now: it drains, checkpoints and ends.
    let drained = tokio::task::spawn_blocking(move || thread.join()).await;
    let drained = match drained {
        Ok(Ok(drained)) => drained.map_err(DaemonError::Exchange),
        _ => Err(DaemonError::Ended("exchange")),
    };
    drained.and(ended)
}

/// What was found at opening that an operator should know.
pub struct Finding {
    /// What, a sentence.
    pub found: String,
    /// What to do about it.
    pub mend: &'static str,
}

/// What was found at opening that an operator should know; nothing as a rule.
pub fn findings(opening: &Opening) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |found: String, mend| findings.push(Finding { found, mend });
    if let Some(span) = opening.torn {
        let found = format!("a torn write at the end of the log was cut off and kept aside: {span}");
        add(
            found,
            "nothing: it was never acknowledged, and peers heal what it held",
        );
    }
    let lost = "look after the disk; peers heal records that are lost, once the node runs";
    for span in &opening.corrupt {
        add(format!("a damaged stretch of the log was skipped: {span}"), lost);
    }
    for segment in &opening.missing {
        add(format!("segment {segment} of the log is missing"), lost);
    }
    match &opening.rebuilt {
        // A new node has none, and who asked knows.
        None | Some(Rebuilt::Absent | Rebuilt::Asked) => {}
        Some(why) => add(
            format!("the index was made anew from the log: {why}"),
            "nothing: it is whole again",
        ),
    }
    if opening.underived > 0 {
        add(
            format!("{} records could not be read again", opening.underived),
            lost,
        );
    }
    if opening.orphans > 0 {
        add(format!("{} bodies lost their header", opening.orphans), lost);
    }
    findings
}

/// The parts that every task is made from.
struct Node {
    settings: Settings,
    member: Arc<Member>,
    reader: Reader,
    exchange: Exchange,
    metrics: Arc<Metrics>,
    clocks: Clocks,
    links: Links,
    healing: Progress,
}

/// A task that ended, by name, with what it ended with.
type Ended = (&'static str, Result<(), DaemonError>);

impl Node {
    async fn run(
        self,
        folder: &Path,
        tokens: Tokens,
        registry: Registry,
        nudged: mpsc::Receiver<Nudge>,
        stop: CancellationToken,
    ) -> Result<(), DaemonError> {
        let mut reserved = self.reserve()?;
        let (mesh, meshes) = watch::channel(None);
        let reading = Reading::new(
            self.reader.clone(),
            Arc::clone(&self.member),
            self.exchange.clone(),
            meshes,
            self.links.clone(),
            self.healing.clone(),
        );
        let registry = Arc::new(std::sync::Mutex::new(registry));
        // Ownership decides the order of the end: who asks goes before who answers.
        let outer = CancellationToken::new();
        let inner = CancellationToken::new();
        let mut tasks: JoinSet<Ended> = JoinSet::new();
        let api::Serving { address, task } = api::serve(
            &self.settings.api,
            self.exchange.clone(),
            reading,
            tokens,
            Arc::clone(&registry),
            outer.child_token(),
        )
        .await?;
        tasks.spawn(async move {
            let served = task.await.map_err(|_| DaemonError::Ended("local API"));
            (
                "local API",
                served.and_then(|served| served.map_err(DaemonError::from)),
            )
        });
        tracing::info!(
            api = %address,
            folder = %folder.display(),
            mesh = %self.settings.mesh.listen.join(", "),
            "the node is up"
        );
        let mut standings = self.exchange.standings();
        let mut waiting = Some((nudged, mesh));
        let ended = loop {
            if self.exchange.standing().charters.is_some()
                && let Some((nudged, mesh)) = waiting.take()
            {
                drop(std::mem::take(&mut reserved));
                let joined = self.join_mesh(&mut tasks, &registry, nudged, &mesh, (&outer, &inner));
                if let Err(error) = joined {
                    break Err(error);
                }
            }
            tokio::select! {
                () = stop.cancelled() => break Ok(()),
                Some(ended) = tasks.join_next() => break early(ended),
                changed = standings.changed(), if waiting.is_some() => {
                    if changed.is_err() { break Err(DaemonError::Ended("exchange")) }
                }
            }
        };
        outer.cancel();
        wait(&mut tasks, &inner).await;
        ended
    }

    /// Takes the mesh's ports: who joins a community must not learn afterwards that they are taken.
    fn reserve(&self) -> Result<Vec<TcpListener>, DaemonError> {
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
        registry: &Arc<std::sync::Mutex<Registry>>,
        nudged: mpsc::Receiver<Nudge>,
        told: &watch::Sender<Option<MeshHandle>>,
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
            let mut registry = registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
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
        told.send_replace(Some(mesh.clone()));
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

async fn joined(task: JoinHandle<Result<(), MeshError>>) -> Result<(), DaemonError> {
    match task.await {
        Ok(ended) => ended.map_err(DaemonError::from),
        Err(_) => Err(DaemonError::Ended("mesh")),
    }
}

/// What the first task that ended says of the daemon's end.
fn early(ended: Result<Ended, tokio::task::JoinError>) -> Result<(), DaemonError> {
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
