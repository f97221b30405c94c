//! A wire between two nodes that the story can cut: everything passes until it is told otherwise.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::node::free_port;

/// How a wire is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Whole,
    /// Links are broken and none is made.
    Cut,
}

/// A wire to a port of this machine.
pub struct Wire {
    /// Where to connect to.
    pub port: u16,
    state: watch::Sender<State>,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

#[derive(Debug, Default)]
struct Shared {
    /// Bytes after which a link breaks; 0 for never.
    breaks_after: AtomicU64,
    /// Bytes that came from the far end, over all links.
    bytes: AtomicU64,
    /// Links that broke because they had carried enough.
    broken: AtomicUsize,
    /// All that passed either way, if it is kept.
    kept: Option<Mutex<Vec<u8>>>,
}

impl Shared {
    fn keep(&self, bytes: &[u8]) {
        if let Some(kept) = &self.kept {
            kept.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(bytes);
        }
    }
}

impl Wire {
    /// A whole wire to a port.
    pub async fn to(port: u16) -> Self {
        Self::laid(port, Shared::default()).await
    }

    /// As [`Wire::to`], and keeps all that passes, either way.
    pub async fn tapped(port: u16) -> Self {
        let kept = Some(Mutex::default());
        Self::laid(
            port,
            Shared {
                kept,
                ..Shared::default()
            },
        )
        .await
    }

    async fn laid(port: u16, shared: Shared) -> Self {
        let near = free_port();
        let listener = TcpListener::bind(("127.0.0.1", near)).await.expect("a port");
        let (state, states) = watch::channel(State::Whole);
        let shared = Arc::new(shared);
        let stop = CancellationToken::new();
        let far = SocketAddr::from(([127, 0, 0, 1], port));
        let (token, carried) = (stop.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            loop {
                let near = tokio::select! {
                    () = token.cancelled() => return,
                    near = listener.accept() => near,
                };
                let Ok((near, _)) = near else { continue };
                let (states, carried) = (states.clone(), Arc::clone(&carried));
                tokio::spawn(carry(near, far, states, carried, token.clone()));
            }
        });
        Self {
            port: near,
            state,
            shared,
            _stop: stop.drop_guard(),
        }
    }

    /// What passed so far, if it is kept.
    pub fn kept(&self) -> Vec<u8> {
        let kept = self.shared.kept.as_ref();
        kept.map(|kept| kept.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .unwrap_or_default()
    }

    /// Breaks every link, and lets none be made.
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Lets links be made again.
    pub fn mend(&self) {
        self.state.send_replace(State::Whole);
    }

    /// From now on each link breaks once it has carried so many bytes from the far end; 0 for never.
    pub fn breaks_after(&self, bytes: u64) {
        self.shared.breaks_after.store(bytes, Ordering::Relaxed);
    }

    /// Links that broke because they had carried enough.
    pub fn broken(&self) -> usize {
        self.shared.broken.load(Ordering::Relaxed)
    }

    /// Bytes that came from the far end, over all links.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }
}

/// Carries what comes either way until an end closes or the wire breaks.
async fn carry(
    near: TcpStream,
    far: SocketAddr,
    mut states: watch::Receiver<State>,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
    if *states.borrow() == State::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect(far).await else {
        return;
    };
    let ((mut from_near, mut to_near), (mut from_far, mut to_far)) = (near.into_split(), far.into_split());
    let there = async {
        let mut buffer = vec![0; 4_096];
        while let Ok(count @ 1..) = from_near.read(&mut buffer).await {
            let bytes = buffer.get(..count).unwrap_or_default();
            shared.keep(bytes);
            if to_far.write_all(bytes).await.is_err() {
                return;
            }
        }
    };
    let back = async {
        let (mut buffer, mut carried) = (vec![0; 4_096], 0);
        while let Ok(count @ 1..) = from_far.read(&mut buffer).await {
            shared.keep(buffer.get(..count).unwrap_or_default());
            let bytes = u64::try_from(count).unwrap_or(u64::MAX);
            carried += bytes;
            shared.bytes.fetch_add(bytes, Ordering::Relaxed);
            let most = shared.breaks_after.load(Ordering::Relaxed);
            if most > 0 && carried > most {
                shared.broken.fetch_add(1, Ordering::Relaxed);
                return;
            }
            if to_near
                .write_all(buffer.get(..count).unwrap_or_default())
                .await
                .is_err()
            {
                return;
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
        _ = states.wait_for(|state| *state == State::Cut) => {}
        () = stop.cancelled() => {}
    }
}
