//! The local HTTP API: who may ask, how much, and how each answer and error looks. It asks the
//! exchange to change things and the store's readers to look; it decides nothing itself.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
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
mod community;
mod events;
mod health;
mod keeping;
mod line;
mod openapi;
mod patience;
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

/// What every request is served with.
struct Shared<B> {
    backend: B,
    tokens: watch::Receiver<Arc<Tokens>>,
    /// Has the book of tokens looked at for one that is not in it.
    misses: mpsc::Sender<auth::Miss>,
    /// Tells the audit log of tokens that are used.
    uses: mpsc::Sender<witness::Used>,
    metrics: Arc<Mutex<Registry>>,
    hosts: Vec<String>,
    port: u16,
    requests: Semaphore,
    reads: Arc<Semaphore>,
    events: Arc<Semaphore>,
    stop: CancellationToken,
}

type State<B> = Arc<Shared<B>>;

/// Binds the listener, so that a taken address is an error before anything else, and serves until
/// `stop`.
///
/// # Errors
/// [`ApiError::Listen`].
pub async fn serve(
    settings: &settings::Api,
    exchange: Exchange,
    reading: Reading,
    tokens: Tokens,
    metrics: Arc<Mutex<Registry>>,
    stop: CancellationToken,
) -> Result<Serving, ApiError> {
    serve_with(settings, Node { exchange, reading }, tokens, metrics, stop).await
}

async fn serve_with<B: Backend>(
    settings: &settings::Api,
    backend: B,
    tokens: Tokens,
    metrics: Arc<Mutex<Registry>>,
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
    let (uses, used) = mpsc::channel(witness::WAITING);
    witness::start(backend.clone(), tokens.clone(), used, stop.clone());
    let shared = Arc::new(Shared {
        backend,
        tokens,
        misses,
        uses,
        metrics,
        hosts: settings.hosts.clone(),
        port: address.port(),
        requests: Semaphore::new(REQUESTS),
        reads: Arc::new(Semaphore::new(READS)),
        events: Arc::new(Semaphore::new(EVENTS)),
        stop: stop.clone(),
    });
    let router = routes(shared);
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

/// Every route, behind what holds for all of them.
fn routes<B: Backend>(shared: State<B>) -> Router {
    routes::router()
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::no_method)
        .layer(body::limit())
        .layer(from_fn_with_state(Arc::clone(&shared), body::few_at_once::<B>))
        .layer(from_fn_with_state(Arc::clone(&shared), auth::own_host::<B>))
        .layer(from_fn(line::written))
        .layer(from_fn_with_state(Arc::clone(&shared), auth::presented::<B>))
        .with_state(shared)
}
