//! The local HTTP API: who may ask, how much, and how each answer and error looks. It asks the
//! exchange to change things and the store's readers to look; it decides nothing itself. It is one for all
//! communities of the node: the routes are there for each, and only tokens and bounds are shared.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use hanse_protocol::identity::Handle;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::exchange::Exchange;
use crate::reading::Reading;
use crate::settings;
use crate::tokens::Tokens;

mod audit;
mod auth;
mod backend;
mod body;
mod charter;
mod communities;
mod community;
mod events;
mod health;
mod keeping;
mod line;
mod openapi;
mod patience;
mod policy;
mod problem;
mod quarantine;
mod records;
mod routes;
#[cfg(test)]
mod tests;
mod witness;

use backend::{Backend, Node};

/// Most requests under way; a body of each is in memory, so this times its bound is what the API
/// may take.
const REQUESTS: usize = 32;

/// Most reads of the store at once: they hold blocking threads, and the disk has no more to give.
const READS: usize = 4;

/// Most clients that follow events at once; a page of records is held for each.
const EVENTS: usize = 16;

/// How often the book of tokens is looked at: an added or revoked token counts within a second.
const TOKENS: Duration = Duration::from_millis(500);

/// Requests with an unknown token that may wait for the book of tokens to be looked at.
const MISSES: usize = 16;

/// How long requests under way may take to end when the daemon stops.
const FAREWELL: Duration = Duration::from_secs(10);

/// Why the API does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The address cannot be listened on.
    #[error("the API cannot listen on `{address}`")]
    Listen {
        /// The address of the settings.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Serving ended.
    #[error("the API stopped serving")]
    Serve(#[source] std::io::Error),
}

/// The API, listening.
#[derive(Debug)]
pub struct Serving {
    /// Where it listens, with its real port.
    pub address: SocketAddr,
    /// Ends after `stop`, once requests under way have ended or ten seconds have passed; or with
    /// an error before.
    pub task: JoinHandle<Result<(), ApiError>>,
}

/// A community of the node as the API serves it.
pub struct Served {
    /// What it is called on this machine.
    pub name: String,
    /// Who this organisation is in it.
    pub member: Handle,
    /// What changes things in it.
    pub exchange: Exchange,
    /// What looks at them.
    pub reading: Reading,
    /// Its numbers.
    pub registry: Arc<Mutex<Registry>>,
}

/// A community with what answers for it.
struct Mounted<B> {
    name: String,
    member: Handle,
    backend: B,
    registry: Arc<Mutex<Registry>>,
}

/// What every request to one community is served with.
struct Shared<B> {
    backend: B,
    /// All communities of the node.
    all: Arc<Vec<Mounted<B>>>,
    tokens: watch::Receiver<Arc<Tokens>>,
    /// Has the book of tokens looked at for one that is not in it.
    misses: mpsc::Sender<auth::Miss>,
    /// Tells the audit log of tokens that are used.
    uses: mpsc::Sender<witness::Used>,
    hosts: Vec<String>,
    port: u16,
    requests: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    events: Arc<Semaphore>,
    stop: CancellationToken,
}

type State<B> = Arc<Shared<B>>;

/// Binds the listener, so that a taken address is an error before anything else, and serves these
/// communities until `stop`. The first is served without its name in the address, too.
///
/// # Errors
/// [`ApiError::Listen`].
pub async fn serve(
    settings: &settings::Api,
    communities: Vec<Served>,
    tokens: Tokens,
    stop: CancellationToken,
) -> Result<Serving, ApiError> {
    let mounted = communities.into_iter().map(|served| Mounted {
        name: served.name,
        member: served.member,
        backend: Node {
            exchange: served.exchange,
            reading: served.reading,
        },
        registry: served.registry,
    });
    serve_with(settings, mounted.collect(), tokens, stop).await
}

async fn serve_with<B: Backend>(
    settings: &settings::Api,
    communities: Vec<Mounted<B>>,
    tokens: Tokens,
    stop: CancellationToken,
) -> Result<Serving, ApiError> {
    let listening = |source| ApiError::Listen {
        address: settings.listen,
        source,
    };
    let listener = TcpListener::bind(settings.listen).await.map_err(listening)?;
    let address = listener.local_addr().map_err(listening)?;
    let (misses, missed) = mpsc::channel(MISSES);
    let tokens = auth::follow(tokens, TOKENS, missed, stop.clone());
    let all = Arc::new(communities);
    let (requests, reads, events) = (
        Arc::new(Semaphore::new(REQUESTS)),
        Arc::new(Semaphore::new(READS)),
        Arc::new(Semaphore::new(EVENTS)),
    );
    let mut router = Router::new();
    for (place, community) in all.iter().enumerate() {
        // Each audit log tells of the tokens that are used in its community.
        let (uses, used) = mpsc::channel(witness::WAITING);
        witness::start(community.backend.clone(), tokens.clone(), used, stop.clone());
        let shared = Arc::new(Shared {
            backend: community.backend.clone(),
            all: Arc::clone(&all),
            tokens: tokens.clone(),
            misses: misses.clone(),
            uses,
            hosts: settings.hosts.clone(),
            port: address.port(),
            requests: Arc::clone(&requests),
            reads: Arc::clone(&reads),
            events: Arc::clone(&events),
            stop: stop.clone(),
        });
        if place == 0 {
            router = router.merge(guarded(routes::router(), &shared));
        }
        let named = guarded(routes::named(), &shared);
        router = router.nest(&format!("{}/{}", communities::ROOT, community.name), named);
    }
    let task = tokio::spawn(async move {
        let served = axum::serve(patience::Patient(listener), router)
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        let farewell = async {
            stop.cancelled().await;
            tokio::time::sleep(FAREWELL).await;
        };
        tokio::select! {
            served = async { served.await } => served.map_err(ApiError::Serve),
            () = farewell => Ok(()),
        }
    });
    Ok(Serving { address, task })
}

/// Routes behind what holds for all of them.
fn guarded<B: Backend>(routes: Router<State<B>>, shared: &State<B>) -> Router {
    routes
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::no_method)
        .layer(body::limit())
        .layer(from_fn_with_state(Arc::clone(shared), body::few_at_once::<B>))
        .layer(from_fn_with_state(Arc::clone(shared), auth::own_host::<B>))
        .layer(from_fn(line::written))
        .layer(from_fn_with_state(Arc::clone(shared), auth::presented::<B>))
        .with_state(Arc::clone(shared))
}
