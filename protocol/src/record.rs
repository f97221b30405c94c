//! The unit that travels: a signed header, and a body beside it. The header announces, orders and
//! outlives the body; the record's id is a hash of what the header's signature covers.

use minicbor::{Decode, Decoder, Encode, Encoder};
use serde::{Deserialize, Serialize};

use crate::charter::CharterRef;
use crate::identity::keys::{SigningKey, VerifyingKey};
use crate::identity::{CommunityId, Handle, RecordId};
use crate::timestamp::Timestamp;

pub mod cose;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// STIX objects (code 0).
    Objects,
    /// Takes back the record it names in `replaces` (code 1).
    Retraction,
    /// Tells the author of other records what became of them, sealed to it (code 2).
    Receipt,
    /// A record of another community, passed on as its author signed it there (code 3).
    Forwarded,
    /// A kind of a later version: admitted, carried, never opened.
    Unknown(u8),
}

impl Kind {
    /// The code on the wire.
    pub fn code(self) -> u8 {
        match self {
            Self::Objects => 0,
            Self::Retraction => 1,
            Self::Receipt => 2,
            Self::Forwarded => 3,
            Self::Unknown(code) => code,
        }
    }

    /// The kind of a code; every code is one.
    pub fn of_code(code: u8) -> Self {
        match code {
            0 => Self::Objects,
            1 => Self::Retraction,
            2 => Self::Receipt,
            3 => Self::Forwarded,
            code => Self::Unknown(code),
        }
    }
}

impl<C> Encode<C> for Kind {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.u8(self.code())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Kind {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Ok(Self::of_code(d.u8()?))
    }
}

/// The BLAKE3-256 hash of a body as it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct BodyHash(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 32]);

impl BodyHash {
    /// The hash of `body`.
    pub fn of(body: &[u8]) -> Self {
        Self(*blake3::hash(body).as_bytes())
    }
}

/// What an author signs: the payload of the header's COSE_Sign1.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Header {
    /// The member that signs.
    #[n(0)]
    pub author: Handle,
    /// Which of its nodes.
    #[n(1)]
    pub lane: u16,
    /// The charter it signs under.
    #[n(2)]
    pub charter: CharterRef,
    /// Which life of that lane: raised when a node starts from a backup.
    #[n(3)]
    pub epoch: u32,
    /// Counts the records of lane and epoch from 1, without gaps.
    #[n(4)]
    pub seq: u64,
    /// The record before it in lane and epoch; none for the first of a first epoch; the last known
    /// of the epoch before for the first of a later one.
    #[n(5)]
    pub prev: Option<RecordId>,
    /// When it was signed.
    #[n(6)]
    pub created: Timestamp,
    /// When every node forgets it.
    #[n(7)]
    pub expires: Timestamp,
    /// What it is.
    #[n(8)]
    pub kind: Kind,
    /// The record it replaces, takes back or acknowledges.
    #[n(9)]
    pub replaces: Option<RecordId>,
    /// The body's size as it travels, bytes.
    #[n(10)]
    pub body_length: u32,
    /// The body's hash.
    #[n(11)]
    pub body_hash: BodyHash,
}

impl Header {
    /// Signs the header and returns it as it travels.
    pub fn sign(&self, community: &CommunityId, key: &SigningKey) -> Vec<u8> {
        let payload = minicbor::to_vec(self).unwrap_or_default();
        cose::sign(&external(community), payload, key)
    }
}

impl Header {
    /// The id this header has when `key` signs it: what [`id`] makes of the signed bytes.
    pub fn id(&self, community: &CommunityId, key: &VerifyingKey) -> RecordId {
        let payload = minicbor::to_vec(self).unwrap_or_default();
        id(community, &cose::protected_bytes(key.id()), &payload)
    }
}

/// The context a header's signature is bound to: it does not travel.
pub(crate) fn external(community: &CommunityId) -> Vec<u8> {
    [b"hanse record".as_slice(), community.as_bytes()].concat()
}

/// The id of a record: BLAKE3-256 of the deterministic CBOR array
/// `["hanse record id", community, protected, payload]`. Neither the signature nor anything
/// unprotected takes part.
pub fn id(community: &CommunityId, protected: &[u8], payload: &[u8]) -> RecordId {
    let mut encoder = Encoder::new(Vec::with_capacity(payload.len() + 128));
    let written = encoder
        .array(4)
        .and_then(|e| e.str("hanse record id"))
        .and_then(|e| e.bytes(community.as_bytes()))
        .and_then(|e| e.bytes(protected))
        .and_then(|e| e.bytes(payload))
        .map(|_| ());
    // Writing into a vector cannot fail.
    debug_assert!(written.is_ok());
    RecordId(*blake3::hash(encoder.writer()).as_bytes())
}
