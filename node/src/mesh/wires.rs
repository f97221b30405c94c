//! Sockets given from outside, in the place of TCP: for the simulation, whose network is made of memory.
//! All above the socket is as it always is: Noise, Yamux, the door, gossip, streams.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, Ready, ready};
use futures::stream::BoxStream;
use futures::{AsyncRead, AsyncWrite, StreamExt};
use hanse_protocol::identity::CommunityId;
use libp2p::core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent};
use libp2p::multiaddr::{Multiaddr, Protocol};
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::engine::Engine;
use super::transport::Underlay;
use super::{Membership, MeshError, MeshEvent, MeshHandle, MeshSettings};

/// Both directions of a connection: bytes in order, none lost, as TCP gives them.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// Who dials in at a place, and the socket to it.
pub type Incoming = BoxStream<'static, (u64, Box<dyn Socket>)>;

/// A network. Its places are numbers, which stand in addresses as `/memory/NUMBER`.
pub trait Wires: Send + Sync {
    /// Takes a place. It is given up when the stream is dropped.
    ///
    /// # Errors
    /// If it is taken.
    fn listen(&self, place: u64) -> io::Result<Incoming>;

    /// Connects to whoever listens at a place.
    fn dial(&self, place: u64) -> BoxFuture<'static, io::Result<Box<dyn Socket>>>;
}

/// As [`start`](super::start), over `wires` and nothing else: the addresses of `settings` and of the
/// membership are to be places in it.
///
/// # Errors
/// Those of [`start`](super::start).
#[expect(clippy::too_many_arguments, reason = "those of `start`, and the wires")]
pub fn start_over(
    wires: Arc<dyn Wires>,
    settings: MeshSettings,
    node_secret: Zeroizing<[u8; 32]>,
    community: CommunityId,
    membership: watch::Receiver<Arc<Membership>>,
    events: mpsc::Sender<MeshEvent>,
    registry: &mut Registry,
    stop: CancellationToken,
) -> Result<(MeshHandle, JoinHandle<Result<(), MeshError>>), MeshError> {
    let underlay = Underlay::Wires(wires);
    let (engine, handle) = Engine::new(
        &settings,
        underlay,
        node_secret,
        &community,
        membership,
        events,
        registry,
    )?;
    Ok((handle, tokio::spawn(engine.run(stop))))
}

/// Makes of wires what libp2p dials and listens through.
pub(super) struct Wired {
    wires: Arc<dyn Wires>,
    listeners: HashMap<ListenerId, Listener>,
}

struct Listener {
    address: Multiaddr,
    announced: bool,
    incoming: Incoming,
}

impl Wired {
    pub(super) fn new(wires: Arc<dyn Wires>) -> Self {
        Self {
            wires,
            listeners: HashMap::new(),
        }
    }
}

type Connected = Box<dyn Socket>;

impl Transport for Wired {
    type Output = Connected;
    type Error = io::Error;
    type ListenerUpgrade = Ready<io::Result<Connected>>;
    type Dial = BoxFuture<'static, io::Result<Connected>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        let Some(place) = place(&address) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        let incoming = self.wires.listen(place).map_err(TransportError::Other)?;
        let listener = Listener {
            address,
            announced: false,
            incoming,
        };
        self.listeners.insert(id, listener);
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.listeners.remove(&id).is_some()
    }

    fn dial(&mut self, address: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        match place(&address) {
            Some(place) => Ok(self.wires.dial(place)),
            None => Err(TransportError::MultiaddrNotSupported(address)),
        }
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        let listeners = &mut self.get_mut().listeners;
        for (id, listener) in listeners {
            if !listener.announced {
                listener.announced = true;
                return Poll::Ready(TransportEvent::NewAddress {
                    listener_id: *id,
                    listen_addr: listener.address.clone(),
                });
            }
            if let Poll::Ready(Some((from, socket))) = listener.incoming.poll_next_unpin(cx) {
                return Poll::Ready(TransportEvent::Incoming {
                    listener_id: *id,
                    upgrade: ready(Ok(socket)),
                    local_addr: listener.address.clone(),
                    send_back_addr: Multiaddr::empty().with(Protocol::Memory(from)),
                });
            }
        }
        Poll::Pending
    }
}

fn place(address: &Multiaddr) -> Option<u64> {
    let mut parts = address.iter();
    match (parts.next(), parts.next()) {
        // A dialled address ends with the name of the peer that is expected there.
        (Some(Protocol::Memory(place)), None | Some(Protocol::P2p(_))) => Some(place),
        _ => None,
    }
}
