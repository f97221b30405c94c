//! What stands for a set of places: the sum of a keyed hash of each. Sums of two spans add up to that
//! of both, and a place is taken off as it was added, so they can be kept beside the records.

use minicbor::{Decode, Encode};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::Place;
use crate::identity::CommunityId;

/// The key that places are hashed under. Who knows it can make two sets of one sum, so members check
/// each other now and then under a key that neither chose alone.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; 32]);

impl Key {
    /// The key that all members of a community know and outsiders do not. Sums under it can be kept.
    pub fn of_community(community: &CommunityId) -> Self {
        Self(blake3::derive_key(
            "hanse reconcile community key v1",
            community.as_bytes(),
        ))
    }

    /// The answerer's part in the key of a pass: made of a secret of its own, who asks and the asker's
    /// nonce, so that it is the same at every question of the pass and nothing is remembered.
    pub fn answer_nonce(secret: &[u8; 32], peer: &[u8], asker: &[u8; 32]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(secret);
        hasher.update(asker).update(peer);
        *hasher.finalize().as_bytes()
    }

    /// The key of one pass between two nodes, made of a nonce of each.
    pub fn of_pass(asker: &[u8; 32], answerer: &[u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("hanse reconcile pass key v1");
        hasher.update(asker).update(answerer);
        Self(*hasher.finalize().as_bytes())
    }
}

/// Sixteen bytes that stand for a set of places under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Digest(#[cbor(n(0), with = "minicbor::bytes")] [u8; 16]);

impl Digest {
    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// The sum of the hashes of a set of places modulo 2^256, and how many they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Least significant first.
    limbs: [u64; 4],
    count: u64,
}

impl Sum {
    /// The bytes of [`Self::to_bytes`].
    pub const BYTES: usize = 40;

    /// The sum of one place.
    pub fn of(key: &Key, place: &Place) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&key.0);
        hasher.update(&place.created.as_millis().to_be_bytes());
        hasher.update(place.id.as_bytes());
        let hash = hasher.finalize();
        let mut limbs = [0; 4];
        for (limb, bytes) in limbs.iter_mut().zip(hash.as_bytes().as_chunks().0) {
            *limb = u64::from_le_bytes(*bytes);
        }
        Self { limbs, count: 1 }
    }

    /// How many places it is of.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Whether the one place that this is the sum of begins a block.
    pub(super) const fn divides(&self) -> bool {
        self.limbs[0].trailing_zeros() >= 6
    }

    /// With the places of `other`, none of which are in this one.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let mut limbs = self.limbs;
        let mut carried = false;
        for (limb, add) in limbs.iter_mut().zip(other.limbs) {
            (*limb, carried) = limb.carrying_add(add, carried);
        }
        let count = self.count.wrapping_add(other.count);
        Self { limbs, count }
    }

    /// Without the places of `other`, all of which are in this one.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        let mut limbs = self.limbs;
        let mut borrowed = false;
        for (limb, take) in limbs.iter_mut().zip(other.limbs) {
            (*limb, borrowed) = limb.borrowing_sub(take, borrowed);
        }
        let count = self.count.wrapping_sub(other.count);
        Self { limbs, count }
    }

    /// What is told of it.
    pub fn digest(&self, key: &Key) -> Digest {
        let mut hasher = blake3::Hasher::new_keyed(&key.0);
        hasher.update(&self.to_bytes());
        let mut digest = [0; 16];
        hasher.finalize_xof().fill(&mut digest);
        Digest(digest)
    }

    /// Its bytes, to be kept: the sum, least significant first, then the count.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let words = self.limbs.iter().chain([&self.count]);
        for (place, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        bytes
    }

    /// Reads [`Self::to_bytes`].
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let mut words = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
        let mut limbs = [0; 4];
        for limb in &mut limbs {
            *limb = words.next().unwrap_or_default();
        }
        let count = words.next().unwrap_or_default();
        Self { limbs, count }
    }
}
