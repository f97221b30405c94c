//! The two files by which an organisation joins: its request, and the invite it gets back. Both
//! may be mailed; since a mailed file can be swapped, each has a fingerprint that two people read
//! to each other.

use minicbor::{Decode, Encode};

use super::chain::{CharterChain, check_length};
use super::member::Profile;
use super::{CharterError, CharterHash};
use crate::identity::keys::{SealingPublic, SigningKey, VerifyingKey};
use crate::identity::{CommunityId, Fingerprint, NodeId};
use crate::limits;
use crate::record::cose;
use crate::timestamp::Timestamp;

const REQUEST_DOMAIN: &[u8] = b"hanse join request v1";
const NODE_PROOF_DOMAIN: &[u8] = b"hanse node proof v1";
const REQUEST_LABEL: &str = "HANSE REQUEST";
const INVITE_LABEL: &str = "HANSE INVITE";

/// Largest request, bytes.
const REQUEST: usize = 8 << 10;

/// Why a file is no request or invite.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The file does not hold what its kind of file holds.
    #[error("this is no {0} file")]
    Malformed(&'static str),
    /// It is larger than such a file may be.
    #[error("the file is too large")]
    TooLarge,
    /// The request is not signed with the keys it presents.
    #[error("the request is not signed by the keys it presents")]
    Signature,
    /// The request breaks a rule.
    #[error("the request is not well formed: {0}")]
    Form(&'static str),
    /// The invite's charters do not hold.
    #[error("the invite's charters do not hold")]
    Charter(#[source] CharterError),
}

/// A request to be admitted: profile, public keys and node, signed with the keys it presents.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Request {
    /// Who asks.
    #[n(0)]
    pub profile: Profile,
    /// The key it will sign records with.
    #[n(1)]
    pub signing: VerifyingKey,
    /// The key it wants to be sealed to, of suite 1.
    #[n(2)]
    pub sealing: SealingPublic,
    /// Its node.
    #[n(3)]
    pub node: NodeId,
    /// Where its node may be dialled.
    #[n(4)]
    pub addresses: Vec<String>,
    /// When it was written.
    #[n(5)]
    pub at: Timestamp,
    /// The node key's signature over the signing key, so that nobody lists another's node.
    #[cbor(n(6), with = "minicbor::bytes")]
    node_proof: [u8; 64],
}

impl Request {
    /// Writes a request.
    pub fn new(
        profile: Profile,
        signing: &SigningKey,
        sealing: SealingPublic,
        node: &SigningKey,
        addresses: Vec<String>,
        at: Timestamp,
    ) -> Self {
        let key = signing.verifying_key();
        let node_proof = node.sign(&proof_bytes(&key));
        let node = NodeId(*node.verifying_key().as_bytes());
        Self {
            profile,
            signing: key,
            sealing,
            node,
            addresses,
            at,
            node_proof,
        }
    }

    /// The file: text between two lines that say what it is.
    pub fn write(&self, signing: &SigningKey) -> String {
        let payload = minicbor::to_vec(self).unwrap_or_default();
        armour(REQUEST_LABEL, &cose::sign(REQUEST_DOMAIN, payload, signing))
    }

    /// Reads a file and checks both signatures.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn read(text: &str) -> Result<Self, JoinError> {
        let bytes = unarmour(REQUEST_LABEL, "request", text, REQUEST)?;
        let parts = cose::parse(&bytes).map_err(|_| JoinError::Malformed("request"))?;
        let request: Self = minicbor::decode(&parts.payload).map_err(|_| JoinError::Malformed("request"))?;
        if minicbor::to_vec(&request).ok().as_ref() != Some(&parts.payload) {
            return Err(JoinError::Malformed("request"));
        }
        request.profile.check_form().map_err(JoinError::Form)?;
        if request.addresses.len() > limits::ADDRESSES
            || request
                .addresses
                .iter()
                .any(|address| address.len() > limits::ADDRESS)
        {
            return Err(JoinError::Form("too many addresses, or too long ones"));
        }
        let node = VerifyingKey::from_bytes(request.node.as_bytes()).map_err(|_| JoinError::Signature)?;
        let proven = node.verifies(&proof_bytes(&request.signing), &request.node_proof);
        if proven && parts.verifies(REQUEST_DOMAIN, &request.signing) {
            Ok(request)
        } else {
            Err(JoinError::Signature)
        }
    }

    /// What the two sides read to each other before admitting: it covers every key and the profile.
    pub fn fingerprint(&self) -> Fingerprint {
        let payload = minicbor::to_vec(self).unwrap_or_default();
        Fingerprint::of("hanse request fingerprint v1", &[&payload])
    }
}

/// What an admitted organisation needs to find its community.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Invite {
    /// The community.
    #[n(0)]
    pub community: CommunityId,
    /// Its charters, version 1 first; the newest lists the invited one.
    #[cbor(n(1), with = "crate::frame::byte_strings")]
    pub charters: Vec<Vec<u8>>,
}

impl Invite {
    /// The file: text between two lines that say what it is.
    pub fn write(&self) -> String {
        armour(INVITE_LABEL, &minicbor::to_vec(self).unwrap_or_default())
    }

    /// Reads a file and verifies its charters from the first to the newest.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn read(text: &str) -> Result<(Self, CharterChain), JoinError> {
        let bytes = unarmour(INVITE_LABEL, "invite", text, limits::CHARTER_CHAIN + 1_024)?;
        let invite: Self = minicbor::decode(&bytes).map_err(|_| JoinError::Malformed("invite"))?;
        if minicbor::to_vec(&invite).ok().as_deref() != Some(&bytes) {
            return Err(JoinError::Malformed("invite"));
        }
        check_length(&invite.charters).map_err(JoinError::Charter)?;
        let chain = CharterChain::read(&invite.community, &invite.charters).map_err(JoinError::Charter)?;
        Ok((invite, chain))
    }
}

/// What the two sides read to each other before joining: community and newest charter.
pub fn invite_fingerprint(community: &CommunityId, newest: &CharterHash) -> Fingerprint {
    Fingerprint::of("hanse invite fingerprint v1", &[community.as_bytes(), &newest.0])
}

fn proof_bytes(signing: &VerifyingKey) -> Vec<u8> {
    [NODE_PROOF_DOMAIN, signing.as_bytes().as_slice()].concat()
}

pub(super) fn armour(label: &str, bytes: &[u8]) -> String {
    let base64 = data_encoding::BASE64.encode(bytes);
    let mut text = format!("-----BEGIN {label}-----\n");
    for (index, letter) in base64.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            text.push('\n');
        }
        text.push(letter);
    }
    text.push_str(&format!("\n-----END {label}-----\n"));
    text
}

pub(super) fn unarmour(
    label: &str,
    kind: &'static str,
    text: &str,
    most: usize,
) -> Result<Vec<u8>, JoinError> {
    if text.len() > most * 3 / 2 + 256 {
        return Err(JoinError::TooLarge);
    }
    let malformed = JoinError::Malformed(kind);
    let (_, rest) = text
        .split_once(&format!("-----BEGIN {label}-----"))
        .ok_or_else(|| malformed.clone())?;
    let (base64, _) = rest
        .split_once(&format!("-----END {label}-----"))
        .ok_or_else(|| malformed.clone())?;
    let base64: String = base64.chars().filter(|c| !c.is_whitespace()).collect();
    data_encoding::BASE64
        .decode(base64.as_bytes())
        .map_err(|_| malformed)
}
