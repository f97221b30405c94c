//! How the rest of the node speaks to the mesh: a handle that puts commands in the engine's inbox.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hanse_protocol::identity::NodeId;
use hanse_protocol::limits;
use libp2p::gossipsub::MessageId;
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::{Control, OpenStreamError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

use super::{MeshError, PeerInfo, Publish, Verdict};

/// The name byte streams are negotiated by.
pub(super) const STREAMS: StreamProtocol = StreamProtocol::new("/hanse/heal/1");

/// How long opening a stream may take.
const OPEN_TIME: Duration = Duration::from_secs(10);

/// What a frame is answered with. It can be used once; dropped unused, the frame does not travel on,
/// and nobody pays.
#[derive(Debug)]
pub struct Ticket {
    pub(super) name: MessageId,
    pub(super) courier: PeerId,
    /// Whether the frame, once accepted, gives neighbours time to say that they have it.
    pub(super) courtesy: bool,
    /// Its place among the frames awaiting a verdict. The channel for verdicts has as many places, so
    /// it has room for whoever holds one.
    #[expect(dead_code, reason = "given back when the ticket is dropped")]
    pub(super) place: OwnedSemaphorePermit,
}

/// What the handle asks of the engine.
#[derive(Debug)]
pub(super) enum Command {
    Publish(Vec<u8>, oneshot::Sender<Publish>),
    Call(NodeId, Vec<u8>, oneshot::Sender<Result<Vec<u8>, MeshError>>),
    Peer(NodeId, oneshot::Sender<Option<PeerId>>),
    Peers(oneshot::Sender<Vec<PeerInfo>>),
    Listening(oneshot::Sender<Vec<String>>),
    Close(NodeId),
    Redial(NodeId, oneshot::Sender<Result<(), MeshError>>),
}

/// Speaks to the mesh of one community. Clones speak to the same mesh.
#[derive(Clone)]
pub struct MeshHandle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) verdicts: mpsc::Sender<(Ticket, Verdict)>,
    pub(super) streams: Control,
}

impl MeshHandle {
    /// Publishes a frame to the community.
    ///
    /// # Errors
    /// [`MeshError::TooLarge`] beyond [`FRAME`](limits::FRAME), [`MeshError::Stopped`].
    pub async fn publish(&self, frame: Vec<u8>) -> Result<Publish, MeshError> {
        bounded(frame.len(), limits::FRAME)?;
        self.ask(|reply| Command::Publish(frame, reply)).await
    }

    /// Answers a frame. It never waits and is never lost while the mesh runs: there are as many places
    /// for verdicts as there are tickets.
    pub fn verdict(&self, ticket: Ticket, verdict: Verdict) {
        if self.verdicts.try_send((ticket, verdict)).is_err() {
            tracing::debug!("a verdict came after the mesh had stopped");
        }
    }

    /// Opens a byte stream to a connected member.
    ///
    /// # Errors
    /// [`MeshError::NotConnected`], [`MeshError::Timeout`] after ten seconds, [`MeshError::Refused`],
    /// [`MeshError::Stopped`].
    pub async fn open_stream(&self, to: NodeId) -> Result<MeshStream, MeshError> {
        let peer = self.ask(|reply| Command::Peer(to, reply)).await?;
        let peer = peer.ok_or(MeshError::NotConnected(to))?;
        let mut streams = self.streams.clone();
        match tokio::time::timeout(OPEN_TIME, streams.open_stream(peer, STREAMS)).await {
            Ok(Ok(stream)) => Ok(MeshStream::new(stream)),
            Ok(Err(OpenStreamError::Io(error))) if error.kind() == io::ErrorKind::NotConnected => {
                Err(MeshError::NotConnected(to))
            }
            Ok(Err(error)) => Err(MeshError::Refused {
                node: to,
                reason: error.to_string(),
            }),
            Err(_) => Err(MeshError::Timeout(to)),
        }
    }

    /// Asks a connected member a question over the charter protocol; the answer is at most
    /// [`CHARTER_CHAIN`](limits::CHARTER_CHAIN) bytes. It works before the member has listed us.
    ///
    /// # Errors
    /// [`MeshError::NotConnected`], [`MeshError::TooLarge`], [`MeshError::Timeout`] after ten seconds,
    /// [`MeshError::Refused`] if the other end closed without an answer, [`MeshError::Busy`],
    /// [`MeshError::Stopped`].
    pub async fn call_charter(&self, to: NodeId, question: Vec<u8>) -> Result<Vec<u8>, MeshError> {
        bounded(question.len(), limits::CHARTER_CHAIN)?;
        self.ask(|reply| Command::Call(to, question, reply)).await?
    }

    /// The connected members. None if the mesh has stopped.
    pub async fn peers(&self) -> Vec<PeerInfo> {
        self.ask(Command::Peers).await.unwrap_or_default()
    }

    /// The addresses we listen on, with the ports the system gave. Waits until every listener has one.
    /// None if the mesh has stopped.
    pub async fn listening(&self) -> Vec<String> {
        self.ask(Command::Listening).await.unwrap_or_default()
    }

    /// Closes the connection to a member. If the member stays listed, either end dials again after
    /// its wait.
    pub async fn close(&self, node: NodeId) {
        let _ = self.commands.send(Command::Close(node)).await;
    }

    /// Closes the connection to a member, if there is one, and dials it at once: for a link that has
    /// fallen silent while records of that member arrive another way.
    ///
    /// # Errors
    /// [`MeshError::Unlisted`], [`MeshError::Stopped`].
    pub async fn redial(&self, node: NodeId) -> Result<(), MeshError> {
        self.ask(|reply| Command::Redial(node, reply)).await?
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, MeshError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(command(reply)).await;
        sent.map_err(|_| MeshError::Stopped)?;
        answer.await.map_err(|_| MeshError::Stopped)
    }
}

fn bounded(size: usize, most: usize) -> Result<(), MeshError> {
    if size > most {
        return Err(MeshError::TooLarge { size, most });
    }
    Ok(())
}

/// A byte stream to a member's node, encrypted and with back-pressure: writing waits when the other
/// end does not read.
pub struct MeshStream(Compat<Stream>);

impl MeshStream {
    pub(super) fn new(stream: Stream) -> Self {
        Self(stream.compat())
    }
}

impl std::fmt::Debug for MeshStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MeshStream")
    }
}

impl AsyncRead for MeshStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for MeshStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}
