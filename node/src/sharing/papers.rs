//! What is kept of a publication beside its records: why who got what.

use std::collections::BTreeSet;

use hanse_protocol::charter::CharterRef;
use hanse_protocol::identity::Handle;
use hanse_protocol::timestamp::Timestamp;
use minicbor::{Decode, Encode};

use crate::policy::Item;
use crate::store::entry::PAPER;

/// A publication: drawn when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub(crate) struct PublicationId(#[cbor(n(0), with = "minicbor::bytes")] pub(crate) [u8; 16]);

/// Why a record went to its readers: with policies and charter of then, whoever asks later gets the same
/// answer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Ruling {
    /// The publication that the record is a part of.
    #[n(0)]
    pub(crate) publication: PublicationId,
    /// The policies of then.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(crate) policies: [u8; 32],
    /// The charter of then.
    #[n(2)]
    pub(crate) charter: CharterRef,
    /// When it was decided.
    #[n(3)]
    pub(crate) at: Timestamp,
    /// The readers that the publisher named, if it named any.
    #[n(4)]
    pub(crate) to: Option<BTreeSet<Handle>>,
    /// The readers; none for the whole community.
    #[n(5)]
    pub(crate) readers: Option<BTreeSet<Handle>>,
    /// The policies that decided.
    #[n(6)]
    pub(crate) deciding: BTreeSet<String>,
    /// The distinct items in the record.
    #[n(7)]
    pub(crate) items: Vec<Item>,
    /// Its objects, in order.
    #[n(8)]
    pub(crate) pieces: Vec<Ruled>,
}

/// An object of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Ruled {
    /// Its number in the publication.
    #[n(0)]
    pub(crate) object: u32,
    /// The number of its item in the ruling.
    #[n(1)]
    pub(crate) item: u16,
    /// How much was struck out of it.
    #[n(2)]
    pub(crate) strikes: u16,
}

impl Ruling {
    /// What the audit log keeps of it: a hash of all that it says.
    pub(crate) fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("hanse ruling v2");
        hasher.update(&self.encode());
        *hasher.finalize().as_bytes()
    }

    /// Leaves out what it would be asked by, if it is too large to be kept: 200 objects with hundreds of long
    /// labels each. Who reads what stays.
    pub(crate) fn fitting(mut self) -> Self {
        if self.encode().len() > PAPER {
            self.items.clear();
            self.pieces.clear();
        }
        self
    }

    /// As it is kept.
    pub(crate) fn encode(&self) -> Vec<u8> {
        // Writing to memory does not fail.
        minicbor::to_vec(self).unwrap_or_default()
    }
}
