//! The running node: opens what is on disk, starts a community's tasks for each that it belongs to and
//! one API for all, and ends them in the order of what they own. A task that ends early ends the daemon.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hanse_protocol::charter::CharterChain;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::exchange::{self, Deriver};
use crate::forwarder::Forwarder;
use crate::keystore::{Keystore, KeystoreError, Source, Wrapping};
use crate::member::{Member, MemberError};
use crate::mesh::MeshError;
use crate::settings::{Master, Place, Settings, SettingsError};
use crate::store::{self, Opening, Rebuilt, Store, StoreError, StoreSettings};
use crate::tokens::{TokenError, Tokens};

mod community;
mod reload;

use community::{Community, Ended, Writer, early};

/// How long a store in use is waited for.
const LET_GO: Duration = Duration::from_secs(5);

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
    /// Passing records on between communities.
    #[error("forwarding failed")]
    Forwarder(#[from] crate::forwarder::ForwarderError),
    /// One of several communities failed.
    #[error("the community `{0}` failed")]
    Community(String, #[source] Box<DaemonError>),
    /// The policies in the node's folder.
    #[error("the policies do not hold: {0}")]
    Policies(#[from] crate::policy::PolicyErrors),
    /// Signals cannot be listened for.
    #[error("signals cannot be listened for")]
    Signal(#[source] std::io::Error),
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
    let places = settings.places(folder);
    if let Some(place) = places.iter().find(|place| initialising(&place.folder).exists()) {
        return Err(DaemonError::Initialising(place.folder.clone()));
    }
    let several = places.len() > 1;
    let of = |name: &str, error: DaemonError| match several {
        true => DaemonError::Community(name.to_owned(), Box::new(error)),
        false => error,
    };
    let tokens = Tokens::open(folder)?;
    let mut writers = Vec::new();
    let served = match open(places, &mut writers, of).await {
        Ok(communities) => run(communities, folder, &settings, tokens, of, stop).await,
        Err(error) => Err(error),
    };
    // Every handle of the exchanges is dropped by now: they drain, checkpoint and end.
    let mut drained = Ok(());
    for (name, writer) in writers {
        drained = drained.and(writer.drained().await.map_err(|error| of(&name, error)));
    }
    drained.and(served)
}

/// Opens every community. What was started is in `writers`, also where a later one does not open.
async fn open(
    places: Vec<Place>,
    writers: &mut Vec<(String, Writer)>,
    of: impl Fn(&str, DaemonError) -> DaemonError,
) -> Result<Vec<Community>, DaemonError> {
    let mut communities = Vec::new();
    for place in places {
        let name = place.name.clone();
        let opened = Community::open(place).await;
        let (community, writer) = opened.map_err(|error| of(&name, error))?;
        writers.push((name, writer));
        communities.push(community);
    }
    Ok(communities)
}

/// Runs the API and every community, and ends them: who asks goes before who answers.
async fn run(
    communities: Vec<Community>,
    folder: &Path,
    settings: &Settings,
    tokens: Tokens,
    of: impl Fn(&str, DaemonError) -> DaemonError,
    stop: CancellationToken,
) -> Result<(), DaemonError> {
    let mut reserved = Vec::new();
    for community in &communities {
        let taken = community.reserve();
        reserved.push(taken.map_err(|error| of(&community.name, error))?);
    }
    let asking = CancellationToken::new();
    let answering = CancellationToken::new();
    let mut asks: JoinSet<Ended> = JoinSet::new();
    let mut answers: JoinSet<(String, Result<(), DaemonError>)> = JoinSet::new();
    let served = communities.iter().map(Community::served).collect();
    let serving = api::serve(&settings.api, served, tokens, asking.child_token()).await?;
    let api::Serving { address, task } = serving;
    asks.spawn(async move {
        let served = task.await.map_err(|_| DaemonError::Ended("local API"));
        (
            "local API",
            served.and_then(|served| served.map_err(DaemonError::from)),
        )
    });
    let reloads: Vec<_> = communities.iter().map(Community::reload).collect();
    let stop_reloading = asking.child_token();
    asks.spawn(async move { ("policies", reload_when_told(reloads, stop_reloading).await) });
    for forwarder in forwarders(&communities) {
        let stop = asking.child_token();
        asks.spawn(async move { ("forwarder", forwarder.run(stop).await.map_err(DaemonError::from)) });
    }
    let listening = communities.iter().map(Community::listening);
    let listening = listening.collect::<Vec<_>>().join(", ");
    for (community, reserved) in communities.into_iter().zip(reserved) {
        let (name, stop) = (community.name.clone(), answering.child_token());
        answers.spawn(async move { (name, community.run(reserved, stop).await) });
    }
    tracing::info!(
        api = %address,
        folder = %folder.display(),
        mesh = %listening,
        "the node is up"
    );
    let ended = tokio::select! {
        () = stop.cancelled() => Ok(()),
        Some(ended) = asks.join_next() => early(ended),
        Some(ended) = answers.join_next() => match ended {
            Ok((name, ended)) => Err(of(&name, ended.err().unwrap_or(DaemonError::Ended("community")))),
            Err(_) => Err(DaemonError::Ended("task that panicked")),
        },
    };
    asking.cancel();
    while asks.join_next().await.is_some() {}
    answering.cancel();
    let mut last = Ok(());
    while let Some(done) = answers.join_next().await {
        if let Ok((name, Err(error))) = done {
            last = last.and(Err(of(&name, error)));
        }
    }
    ended.and(last)
}

/// What passes between the communities of this node: of each two, one for either way.
fn forwarders(communities: &[Community]) -> Vec<Forwarder> {
    let mut forwarders = Vec::new();
    for from in communities {
        let others = communities.iter().filter(|to| to.name != from.name);
        forwarders.extend(others.map(|to| Forwarder {
            from: from.side(),
            to: to.side(),
            policies: from.policies(),
        }));
    }
    forwarders
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

/// Reads policies again whenever the process is told to by SIGHUP.
async fn reload_when_told(reloads: Vec<reload::Reload>, stop: CancellationToken) -> Result<(), DaemonError> {
    let hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
    let mut hangup = hangup.map_err(DaemonError::Signal)?;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = hangup.recv() => for reload in &reloads {
                reload.now("SIGHUP").await;
            },
        }
    }
}
