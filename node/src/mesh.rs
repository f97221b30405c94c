//! The mesh: one libp2p swarm a community, by which members gossip frames, open byte streams to each
//! other for healing, and answer one kind of question from strangers.
//!
//! Only this module names libp2p. It knows who is listed ([`Membership`], handed in on a watch
//! channel) and how bytes travel; it knows nothing of records, and what it delivers is bytes from a
//! courier. Everything it says goes over one bounded channel of [`MeshEvent`]s. When that channel is
//! full the mesh does not wait: a frame is answered with Ignore, a stream or a question is turned
//! away, and healing or the other end's next attempt makes up for it.
//!
//! - `door`: who comes in, which of two connections stays, how strangers are seen out
//! - `gate`: gossip and streams do not exist on connections that were not admitted
//! - `dialler`, `resolve`: whom to dial, when, and where
//! - `gossip`: how gossipsub is set up
//! - `silence`, `slow`: links that are made anew or closed though their connections stand
//! - `charter`: the one call open to strangers
//! - `transport`, `cut`: TCP, Noise, Yamux, and a way out; QUIC if wanted. `meters`, `bucket`: what is counted; paces
//! - `wires`: sockets given from outside in the place of TCP, for the simulation alone
//! - `engine`: the task that owns the swarm. `handle`: how the rest of the node speaks to it

mod bucket;
mod charter;
mod cut;
mod dialler;
mod door;
mod engine;
mod gate;
mod gossip;
mod handle;
mod meters;
mod names;
mod resolve;
mod silence;
mod slow;
mod transport;
#[cfg(feature = "simulation")]
pub mod wires;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hanse_protocol::identity::{CommunityId, NodeId};
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

pub use gossip::{Degree, bare as gossip_settings};
pub use handle::{MeshHandle, MeshStream, Ticket};
pub use names::{peer_id_text, socket_address};

/// What part a node takes in carrying the community's gossip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// One among equals: 5 (4 to 10) neighbours, and up to 20 links in a large community.
    #[default]
    Peer,
    /// It carries many members that can only dial out: 32 (24 to 96) neighbours.
    Hub,
    /// It only dials out, to a few of those that can be dialled: 3 (2 to 6) neighbours, 4 links.
    Leaf,
}

/// How a community's swarm listens and behaves.
#[derive(Clone, Debug)]
pub struct MeshSettings {
    /// Addresses to listen on, as libp2p multiaddresses: `/ip4/0.0.0.0/tcp/4460`. Port 0 takes a free
    /// port, which [`MeshHandle::listening`] then tells. None at all is a node that only dials out.
    pub listen: Vec<String>,
    /// What part it takes. A leaf listens nowhere, whatever `listen` says.
    pub profile: Profile,
    /// Whether QUIC addresses (`/ip4/0.0.0.0/udp/4460/quic-v1`) are listened on and dialled as well.
    /// Without the feature `quic` they never are.
    pub quic: bool,
    /// How long the connection of an unlisted peer may stay.
    pub stranger_timeout: Duration,
    /// How long a gossip neighbour may say nothing before its link is made anew: three times what
    /// passes between two presences, of which each neighbour sends its own.
    pub silence: Duration,
    /// How long a peer may take nothing of what it is sent before its link is closed.
    pub patience: Duration,
    /// Other numbers of gossip neighbours than the profile's, to compare them.
    #[cfg(feature = "simulation")]
    pub degree: Option<gossip::Degree>,
    /// Largest packet sent and read, bytes, where a story wants a link to fall silent.
    #[cfg(test)]
    pub(crate) transmit: Option<usize>,
}

impl Default for MeshSettings {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            profile: Profile::Peer,
            quic: false,
            stranger_timeout: Duration::from_secs(10),
            silence: Duration::from_secs(180),
            patience: Duration::from_secs(30),
            #[cfg(feature = "simulation")]
            degree: None,
            #[cfg(test)]
            transmit: None,
        }
    }
}

/// Who is listed now, and where each node can be dialled. Comes from the charter and from signed
/// presence. Our own node may be in it or not; it is never dialled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Every listed node with its addresses, of which the first [`ADDRESSES`] of at most [`ADDRESS`]
    /// bytes that can be read are used. An empty list is a node that only dials out.
    ///
    /// [`ADDRESSES`]: hanse_protocol::limits::ADDRESSES
    /// [`ADDRESS`]: hanse_protocol::limits::ADDRESS
    pub nodes: HashMap<NodeId, Vec<String>>,
}

/// What the mesh tells the node.
#[derive(Debug)]
pub enum MeshEvent {
    /// A gossip frame, seen for the first time in ten minutes. It travels on only if it is answered
    /// with [`MeshHandle::verdict`] and [`Verdict::Accept`] within 30 seconds.
    Frame {
        /// The member's node that passed it on.
        courier: NodeId,
        /// What the verdict has to be given with.
        ticket: Ticket,
        /// The frame, at most [`FRAME`](hanse_protocol::limits::FRAME) bytes.
        bytes: Vec<u8>,
    },
    /// A question over the charter protocol. Dropping `answer` closes the call without one.
    CharterCall {
        /// The node that asks; its key is authenticated even if it is not listed.
        from: NodeId,
        /// Whether the node is listed.
        listed: bool,
        /// At most [`CHARTER_CHAIN`](hanse_protocol::limits::CHARTER_CHAIN) bytes.
        question: Vec<u8>,
        /// Where the answer goes, within ten seconds.
        answer: oneshot::Sender<CharterAnswer>,
    },
    /// A member's node opened a byte stream to us.
    Stream {
        /// The node at the other end.
        from: NodeId,
        /// The stream.
        stream: MeshStream,
    },
    /// A member's node is connected that was not. A change that reverts before this channel has room
    /// for it is not told.
    Connected(NodeId),
    /// A member's node is no longer connected, or no longer listed.
    Disconnected(NodeId),
}

/// What is done about a charter question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CharterAnswer {
    /// These bytes are sent, at most [`CHARTER_CHAIN`](hanse_protocol::limits::CHARTER_CHAIN).
    Send(Vec<u8>),
    /// These bytes are sent and the connection is closed once they are.
    SendThenClose(Vec<u8>),
    /// Nothing is sent and the connection is closed.
    Close,
}

/// What becomes of a gossip frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It travels on.
    Accept,
    /// It was forged or broken and travels no further; its courier pays for it.
    Reject,
    /// It travels no further and nobody pays.
    Ignore,
}

/// What became of a frame we wanted to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publish {
    /// It is on its way to at least one neighbour, or was taken before.
    Taken,
    /// No neighbour is there to take it. Try again when one is connected, or leave it to healing.
    NoPeers,
    /// We publish faster than the mesh or its neighbours bear. Try again a little later.
    Full,
}

/// A connected member, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// The node.
    pub node: NodeId,
    /// Where it is: the address dialled, or the one it came from.
    pub address: String,
    /// Whether it dialled us.
    pub inbound: bool,
    /// How long it has been connected.
    pub connected_for: Duration,
    /// Whether it takes part in the community's gossip.
    pub gossiping: bool,
    /// Whether it is one of our neighbours in the gossip mesh.
    pub neighbour: bool,
    /// Bytes received on the present connection, encryption and multiplexing included.
    pub bytes_in: u64,
    /// Bytes sent on the present connection, encryption and multiplexing included.
    pub bytes_out: u64,
}

/// The mesh's machinery failed.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// The node's secret is no key.
    #[error("the node key cannot be used: {0}")]
    Key(String),
    /// A listening address cannot be read.
    #[error("`{0}` is no address to listen on")]
    Address(String),
    /// A listening address cannot be listened on.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A listener stopped by itself.
    #[error("listening on `{0}` ended")]
    ListenerLost(String),
    /// Gossipsub refused its settings.
    #[error("gossipsub refused its settings: {0}")]
    Gossip(String),
    /// The task that owns the swarm has ended.
    #[error("the mesh has stopped")]
    Stopped,
    /// The mesh has as many commands or calls waiting as it takes.
    #[error("the mesh is busy")]
    Busy,
    /// The node is not connected.
    #[error("node `{0}` is not connected")]
    NotConnected(NodeId),
    /// The node is not listed.
    #[error("node `{0}` is not listed")]
    Unlisted(NodeId),
    /// The other end did not answer in time.
    #[error("node `{0}` did not answer in time")]
    Timeout(NodeId),
    /// A stream or call to the node failed.
    #[error("node `{node}` could not be asked: {reason}")]
    Refused {
        /// The node.
        node: NodeId,
        /// What the connection said.
        reason: String,
    },
    /// A frame or question is larger than its bound.
    #[error("`{size}` bytes are more than the `{most}` that may be sent at once")]
    TooLarge {
        /// Its size, bytes.
        size: usize,
        /// The bound, bytes.
        most: usize,
    },
}

/// Starts the mesh of one community. Must be called within a Tokio runtime.
///
/// `node_secret` is the seed of the node's Ed25519 key (RFC 8032), which its peer id follows from.
/// The metrics are registered under `hanse_mesh` and `hanse_gossip`; a node of several communities
/// hands in a sub-registry labelled with each.
///
/// The task ends when `stop` is cancelled, or with an error when it cannot go on: a listener is lost,
/// or nobody reads `events` any more.
///
/// # Errors
/// [`MeshError::Key`], [`MeshError::Address`] and [`MeshError::Listen`] for what the operator gave;
/// [`MeshError::Gossip`] never, unless the settings in the code contradict each other.
pub fn start(
    settings: MeshSettings,
    node_secret: Zeroizing<[u8; 32]>,
    community: CommunityId,
    membership: watch::Receiver<Arc<Membership>>,
    events: mpsc::Sender<MeshEvent>,
    registry: &mut Registry,
    stop: CancellationToken,
) -> Result<(MeshHandle, JoinHandle<Result<(), MeshError>>), MeshError> {
    let (engine, handle) = engine::Engine::new(
        &settings,
        transport::Underlay::Tcp,
        node_secret,
        &community,
        membership,
        events,
        registry,
    )?;
    Ok((handle, tokio::spawn(engine.run(stop))))
}
