//! TCP, Noise and Yamux, with every byte counted, and the community bound into the handshake: a node
//! of another community, or a scanner, gets no further than Noise.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{AsyncRead, AsyncWrite, FutureExt, TryFutureExt};
use hanse_protocol::identity::CommunityId;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo, Version};
use libp2p::identity::Keypair;
use libp2p::{PeerId, Transport, noise, tcp, yamux};
use prometheus_client::metrics::counter::Counter;

use super::MeshError;
use super::cut::Switches;
use super::meters::{Flow, Meters};

/// How long a connection may take to be authenticated and multiplexed.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Streams one connection may have open. A stream may hold 256 KiB we have not read, so this bounds
/// what a stranger can make us hold to 16 MiB in its few seconds.
const STREAMS: usize = 64;

/// What sockets are made of.
pub(super) enum Underlay {
    Tcp,
    #[cfg(feature = "simulation")]
    Wires(Arc<dyn super::wires::Wires>),
}

/// The transport of one community's swarm.
pub(super) fn transport(
    underlay: Underlay,
    keys: &Keypair,
    community: &CommunityId,
    meters: &Meters,
    switches: Switches,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, MeshError> {
    match underlay {
        Underlay::Tcp => {
            let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
            secured(tcp, keys, community, meters, switches)
        }
        #[cfg(feature = "simulation")]
        Underlay::Wires(wires) => secured(super::wires::Wired::new(wires), keys, community, meters, switches),
    }
}

/// Noise and Yamux over sockets.
fn secured<T>(
    sockets: T,
    keys: &Keypair,
    community: &CommunityId,
    meters: &Meters,
    switches: Switches,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, MeshError>
where
    T: Transport + Send + Unpin + 'static,
    T::Output: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    T::Error: Send + Sync,
    T::Dial: Send,
    T::ListenerUpgrade: Send,
{
    let mut prologue = b"hanse mesh 1 ".to_vec();
    prologue.extend_from_slice(community.as_bytes());
    let noise = noise::Config::new(keys)
        .map_err(|reason| MeshError::Key(reason.to_string()))?
        .with_prologue(prologue);
    let (received, sent) = meters.byte_counters();
    let secure = MeteredNoise {
        noise,
        meters: meters.clone(),
        received,
        sent,
    };
    let mut mux = yamux::Config::default();
    mux.set_max_num_streams(STREAMS);
    Ok(sockets
        .upgrade(Version::V1Lazy)
        .authenticate(secure)
        .multiplex_ext(move |peer, point| switches.on(mux, *peer, point.get_remote_address().clone()))
        .timeout(HANDSHAKE)
        .boxed())
}

/// The same and QUIC beside it, if that is wanted and built in. QUIC brings its own handshake, which
/// knows nothing of the community: there the gate alone tells a member from a stranger. Its bytes are
/// not counted.
#[cfg(feature = "quic")]
pub(super) fn with_quic(
    tcp: Boxed<(PeerId, StreamMuxerBox)>,
    keys: &Keypair,
    wanted: bool,
) -> Boxed<(PeerId, StreamMuxerBox)> {
    use futures::future::Either;
    use libp2p::core::transport::OrTransport;
    use libp2p::quic;

    if !wanted {
        return tcp;
    }
    let mut config = quic::Config::new(keys);
    config.handshake_timeout = HANDSHAKE;
    config.max_concurrent_stream_limit = u32::try_from(STREAMS).unwrap_or(u32::MAX);
    let quic = quic::tokio::Transport::new(config)
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    OrTransport::new(quic, tcp)
        .map(|connected, _| match connected {
            Either::Left(connected) | Either::Right(connected) => connected,
        })
        .boxed()
}

/// As it is: QUIC is not built in.
#[cfg(not(feature = "quic"))]
pub(super) fn with_quic(
    tcp: Boxed<(PeerId, StreamMuxerBox)>,
    _: &Keypair,
    _: bool,
) -> Boxed<(PeerId, StreamMuxerBox)> {
    tcp
}

/// Noise over a counted socket. The counting starts here because only here is the peer's name learnt
/// while the socket is still ours to wrap.
#[derive(Clone)]
struct MeteredNoise {
    noise: noise::Config,
    meters: Meters,
    received: Counter,
    sent: Counter,
}

impl MeteredNoise {
    fn metered<C>(&self, socket: C) -> (Metered<C>, Arc<Flow>) {
        let flow = Arc::new(Flow::default());
        let metered = Metered {
            socket,
            flow: flow.clone(),
            received: self.received.clone(),
            sent: self.sent.clone(),
        };
        (metered, flow)
    }
}

impl UpgradeInfo for MeteredNoise {
    type Info = <noise::Config as UpgradeInfo>::Info;
    type InfoIter = <noise::Config as UpgradeInfo>::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.noise.protocol_info()
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin + Send + 'static> InboundConnectionUpgrade<C> for MeteredNoise {
    type Output = (PeerId, noise::Output<Metered<C>>);
    type Error = noise::Error;
    type Future = BoxFuture<'static, Result<Self::Output, noise::Error>>;

    fn upgrade_inbound(self, socket: C, info: Self::Info) -> Self::Future {
        let (socket, flow) = self.metered(socket);
        let meters = self.meters;
        self.noise
            .upgrade_inbound(socket, info)
            .inspect_ok(move |(peer, _)| meters.attach(*peer, &flow))
            .boxed()
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin + Send + 'static> OutboundConnectionUpgrade<C> for MeteredNoise {
    type Output = (PeerId, noise::Output<Metered<C>>);
    type Error = noise::Error;
    type Future = BoxFuture<'static, Result<Self::Output, noise::Error>>;

    fn upgrade_outbound(self, socket: C, info: Self::Info) -> Self::Future {
        let (socket, flow) = self.metered(socket);
        let meters = self.meters;
        self.noise
            .upgrade_outbound(socket, info)
            .inspect_ok(move |(peer, _)| meters.attach(*peer, &flow))
            .boxed()
    }
}

/// A socket that counts what passes.
struct Metered<C> {
    socket: C,
    flow: Arc<Flow>,
    received: Counter,
    sent: Counter,
}

impl<C> Metered<C> {
    fn count_received(&self, bytes: usize) {
        self.flow.received(bytes);
        self.received.inc_by(bytes as u64);
    }

    fn count_sent(&self, bytes: usize) {
        self.flow.sent(bytes);
        self.sent.inc_by(bytes as u64);
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Metered<C> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let bytes = ready!(Pin::new(&mut this.socket).poll_read(cx, buffer))?;
        this.count_received(bytes);
        Poll::Ready(Ok(bytes))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Metered<C> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.socket).poll_write(cx, bytes))?;
        this.count_sent(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_close(cx)
    }
}
