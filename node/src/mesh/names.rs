//! The two names of a node: its `NodeId` in the charter, and the libp2p peer id that follows from
//! it. A peer id of an Ed25519 key *is* that key in a wrapping (libp2p specification, "Peer IDs"),
//! so both ways are a matter of form, not of lookup.

use std::net::{IpAddr, SocketAddr};

use hanse_protocol::identity::NodeId;
use hanse_protocol::limits;
use libp2p::identity::{PublicKey, ed25519};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

/// A multihash of this code carries its input unhashed.
const IDENTITY_MULTIHASH: u64 = 0x00;

/// The peer id of a node, or nothing if the 32 bytes are no Ed25519 key.
pub(super) fn peer_of(node: &NodeId) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(node.as_bytes()).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// The node behind a peer id, or nothing if the id is not that of an Ed25519 key.
pub(super) fn node_of(peer: &PeerId) -> Option<NodeId> {
    let hash = peer.as_ref();
    if hash.code() != IDENTITY_MULTIHASH {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(hash.digest()).ok()?;
    Some(NodeId(key.try_into_ed25519().ok()?.to_bytes()))
}

/// A node's peer id as people know it; empty if the 32 bytes are no Ed25519 key.
pub fn peer_id_text(node: &NodeId) -> String {
    peer_of(node).map(|peer| peer.to_base58()).unwrap_or_default()
}

/// The socket of a listening address of the form `/ip4/ADDRESS/tcp/PORT` or `/ip6/…`.
pub fn socket_address(text: &str) -> Option<SocketAddr> {
    let address: Multiaddr = text.parse().ok()?;
    let mut parts = address.iter();
    let host: IpAddr = match parts.next()? {
        Protocol::Ip4(host) => host.into(),
        Protocol::Ip6(host) => host.into(),
        _ => return None,
    };
    match (parts.next()?, parts.next()) {
        (Protocol::Tcp(port), None) => Some(SocketAddr::new(host, port)),
        _ => None,
    }
}

/// Reads an address to dial `peer` at. A trailing `/p2p/` must name that peer and is dropped,
/// because the dialler names the peer itself.
pub(super) fn dialable(text: &str, peer: &PeerId) -> Option<Multiaddr> {
    if text.len() > limits::ADDRESS {
        return None;
    }
    let mut address: Multiaddr = text.parse().ok()?;
    if let Some(Protocol::P2p(named)) = address.iter().last() {
        if named != *peer {
            return None;
        }
        address.pop();
    }
    (!address.is_empty()).then_some(address)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_node_and_its_peer_id_lead_to_each_other(seed: [u8; 32]) {
            let pair = libp2p::identity::Keypair::ed25519_from_bytes(seed).unwrap();
            let peer = pair.public().to_peer_id();
            let node = node_of(&peer).unwrap();
            prop_assert_eq!(peer_of(&node), Some(peer));
        }

        #[test]
        fn any_text_is_an_address_or_refused(text in ".{0,300}") {
            let _ = dialable(&text, &PeerId::random());
        }
    }

    #[test]
    fn an_address_that_names_another_peer_is_refused() {
        let pair = libp2p::identity::Keypair::generate_ed25519();
        let (peer, other) = (pair.public().to_peer_id(), PeerId::random());
        let plain = "/ip4/192.0.2.7/tcp/4460";
        assert_eq!(dialable(plain, &peer), plain.parse().ok());
        assert_eq!(
            dialable(&format!("{plain}/p2p/{peer}"), &peer),
            plain.parse().ok()
        );
        assert_eq!(dialable(&format!("{plain}/p2p/{other}"), &peer), None);
        assert_eq!(dialable("", &peer), None);
    }
}
