//! Short-lived signed words: a node's presence, and a steward's head (which charter is the newest).

use minicbor::{Decode, Encode};

use crate::charter::{CharterChain, CharterHash, CharterRef};
use crate::identity::keys::{SigningKey, VerifyingKey};
use crate::identity::{CommunityId, Handle, NodeId};
use crate::limits;
use crate::record::cose;
use crate::timestamp::Timestamp;

/// Largest signed presence or head, bytes.
pub const SIZE: usize = 4 << 10;

/// A node says where it is and what it stands on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Presence {
    /// The node.
    #[n(0)]
    pub node: NodeId,
    /// Where it may be dialled.
    #[n(1)]
    pub addresses: Vec<String>,
    /// Its program and version, such as `hansed/0.1.0`.
    #[n(2)]
    pub agent: String,
    /// The charter it stands under.
    #[n(3)]
    pub charter: CharterRef,
    /// How many audit entries it holds, so that a shortened audit log shows.
    #[n(4)]
    pub audit_count: u64,
    /// The hash of its newest audit entry.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub audit_hash: [u8; 32],
    /// When it was said; a later word replaces an earlier one, never the other way.
    #[n(6)]
    pub at: Timestamp,
    /// When it stops counting.
    #[n(7)]
    pub expires: Timestamp,
}

/// A steward says which charter is the newest.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Head {
    /// The steward.
    #[n(0)]
    pub steward: Handle,
    /// The charter's version.
    #[n(1)]
    pub version: u64,
    /// The charter's hash.
    #[n(2)]
    pub hash: CharterHash,
    /// When it was said.
    #[n(3)]
    pub at: Timestamp,
    /// When it stops counting.
    #[n(4)]
    pub expires: Timestamp,
}

/// Why a presence or head does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PresenceError {
    /// Not such a message in its one spelling, or beyond a bound.
    #[error("malformed")]
    Malformed,
    /// Its signer, or the key it names, is not listed in the charter in force; another may list it.
    #[error("its signer is not listed")]
    UnknownSigner,
    /// The signature is not the signer's.
    #[error("the signature is not the signer's")]
    Signature,
    /// Its time is over, or it lies in the future.
    #[error("its time is over or has not come")]
    OutOfTime,
}

impl Presence {
    /// Signs with the node's key.
    pub fn sign(&self, community: &CommunityId, node: &SigningKey) -> Vec<u8> {
        let payload = minicbor::to_vec(self).unwrap_or_default();
        cose::sign(&external(b"hanse presence", community), payload, node)
    }

    /// Reads a presence of a node that the charter in force lists.
    ///
    /// # Errors
    /// [`PresenceError`].
    pub fn read(bytes: &[u8], charters: &CharterChain, now: Timestamp) -> Result<Self, PresenceError> {
        let presence = Self::read_untimed(bytes, charters)?;
        presence.check_time(now)?;
        Ok(presence)
    }

    /// As [`Presence::read`], whatever time it is: who listens for clocks must hear of those that
    /// differ from its own.
    ///
    /// # Errors
    /// [`PresenceError`] but for [`PresenceError::OutOfTime`].
    pub fn read_untimed(bytes: &[u8], charters: &CharterChain) -> Result<Self, PresenceError> {
        let (parts, presence): (_, Self) = read_parts(bytes)?;
        let bounded = presence.addresses.len() <= limits::ADDRESSES
            && presence
                .addresses
                .iter()
                .all(|address| address.len() <= limits::ADDRESS)
            && presence.agent.len() <= limits::NAME;
        if !bounded {
            return Err(PresenceError::Malformed);
        }
        charters
            .charter()
            .owner_of(&presence.node)
            .ok_or(PresenceError::UnknownSigner)?;
        let key = VerifyingKey::from_bytes(presence.node.as_bytes()).map_err(|_| PresenceError::Signature)?;
        if !parts.verifies(&external(b"hanse presence", charters.community()), &key) {
            return Err(PresenceError::Signature);
        }
        Ok(presence)
    }

    /// Whether it counts now.
    ///
    /// # Errors
    /// [`PresenceError::OutOfTime`].
    pub fn check_time(&self, now: Timestamp) -> Result<(), PresenceError> {
        in_time(self.at, self.expires, now)
    }
}

impl Head {
    /// Signs with the steward's record key.
    pub fn sign(&self, community: &CommunityId, steward: &SigningKey) -> Vec<u8> {
        let payload = minicbor::to_vec(self).unwrap_or_default();
        cose::sign(&external(b"hanse head", community), payload, steward)
    }

    /// Reads a head of a steward of the charter in force.
    ///
    /// # Errors
    /// [`PresenceError`].
    pub fn read(bytes: &[u8], charters: &CharterChain, now: Timestamp) -> Result<Self, PresenceError> {
        let (parts, head): (_, Self) = read_parts(bytes)?;
        let charter = charters.charter();
        let listed = charter.stewards.contains(&head.steward);
        let member = charter
            .member(&head.steward)
            .filter(|_| listed)
            .ok_or(PresenceError::UnknownSigner)?;
        let mut keys = member.signing.iter().filter(|signing| signing.closed.is_none());
        // Who stands under another charter may rightly know another key of it: only what is not the
        // named key's is a forgery.
        let named = keys.find(|signing| signing.key.id() == parts.key);
        let signing = named.ok_or(PresenceError::UnknownSigner)?;
        if !parts.verifies(&external(b"hanse head", charters.community()), &signing.key) {
            return Err(PresenceError::Signature);
        }
        in_time(head.at, head.expires, now)?;
        Ok(head)
    }
}

fn external(domain: &[u8], community: &CommunityId) -> Vec<u8> {
    [domain, community.as_bytes()].concat()
}

fn read_parts<M: Encode<()> + for<'b> Decode<'b, ()>>(
    bytes: &[u8],
) -> Result<(cose::Sign1, M), PresenceError> {
    if bytes.len() > SIZE {
        return Err(PresenceError::Malformed);
    }
    let parts = cose::parse(bytes).map_err(|_| PresenceError::Malformed)?;
    let message: M = minicbor::decode(&parts.payload).map_err(|_| PresenceError::Malformed)?;
    if minicbor::to_vec(&message).ok().as_ref() != Some(&parts.payload) {
        return Err(PresenceError::Malformed);
    }
    Ok((parts, message))
}

fn in_time(at: Timestamp, expires: Timestamp, now: Timestamp) -> Result<(), PresenceError> {
    if at > now.after(limits::SKEW) || expires <= now {
        Err(PresenceError::OutOfTime)
    } else {
        Ok(())
    }
}
