//! What the engine starts from: the protocols of its swarm, and where it listens.

use std::collections::HashSet;

use hanse_protocol::identity::NodeId;
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, Swarm, TransportError};

use super::super::cut::Switches;
use super::super::door::Door;
use super::super::gate::{Admitted, Gated};
use super::super::gossip::Gossip;
use super::super::meters::Meters;
use super::super::{MeshError, MeshSettings, Profile, charter};
use super::Protocols;

/// Incoming connections that may be in their handshake; a hub's members all come back at once.
const HANDSHAKES: u32 = 16;
const HANDSHAKES_OF_HUB: u32 = 64;

pub(super) fn protocols(
    settings: &MeshSettings,
    own: NodeId,
    gossip: Gossip,
    streams: libp2p_stream::Behaviour,
    meters: &Meters,
    switches: Switches,
) -> Protocols {
    let handshakes = if settings.profile == Profile::Hub {
        HANDSHAKES_OF_HUB
    } else {
        HANDSHAKES
    };
    let limits = ConnectionLimits::default().with_max_pending_incoming(Some(handshakes));
    let admitted = Admitted::default();
    Protocols {
        handshakes: connection_limits::Behaviour::new(limits),
        door: Door::new(
            own,
            settings.stranger_timeout,
            admitted.clone(),
            meters.clone(),
            switches,
        ),
        gossip: Gated::new(gossip, admitted.clone()),
        streams: Gated::new(streams, admitted),
        calls: charter::calls(),
    }
}

/// Listens on these addresses, or names the one it cannot.
pub(super) fn listen(
    swarm: &mut Swarm<Protocols>,
    addresses: &[String],
) -> Result<HashSet<ListenerId>, MeshError> {
    let mut listeners = HashSet::new();
    for text in addresses {
        let address: Multiaddr = text.parse().map_err(|_| MeshError::Address(text.clone()))?;
        let failed = |source| MeshError::Listen {
            address: text.clone(),
            source,
        };
        free(&address).map_err(failed)?;
        let listener = swarm.listen_on(address).map_err(|error| match error {
            TransportError::MultiaddrNotSupported(_) => MeshError::Address(text.clone()),
            TransportError::Other(source) => failed(source),
        })?;
        listeners.insert(listener);
    }
    Ok(listeners)
}

/// Refuses a port somebody listens on. Libp2p would share it with any process of the same user, and
/// two daemons started by mistake would each get some of the connections.
fn free(address: &Multiaddr) -> std::io::Result<()> {
    let mut parts = address.iter();
    let ip: std::net::IpAddr = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => return Ok(()),
    };
    match parts.next() {
        Some(Protocol::Tcp(port)) => std::net::TcpListener::bind((ip, port)).map(drop),
        _ => Ok(()),
    }
}
