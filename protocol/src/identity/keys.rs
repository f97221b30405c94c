//! The keys behind a member and its nodes. Secret halves are zeroised when dropped and print
//! nothing; public halves are refused here if they could be used to split a community.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ed25519_dalek::Signer;
use minicbor::{Decode, Decoder, Encode, Encoder};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::KeyId;

/// Why a public key is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes are no point of the curve, or not written in their one canonical form.
    #[error("the key is no canonical curve point")]
    Malformed,
    /// A point of small order, or one with a torsion component: signatures under it can be valid
    /// for some verifiers and not for others.
    #[error("the Ed25519 key is weak or torsioned")]
    Weak,
    /// An X25519 key whose every shared secret is zero.
    #[error("the X25519 key is non-contributory")]
    NonContributory,
}

/// A secret Ed25519 key (RFC 8032) that signs records, charters, heads or presence.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// Draws a new key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(ed25519_dalek::SigningKey::generate(rng))
    }

    /// The key of a 32-byte seed (RFC 8032, section 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The 32-byte seed, to be stored encrypted.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.0.verifying_key())
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// A public Ed25519 key, known to be canonical, of full order and free of torsion.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyingKey(ed25519_dalek::VerifyingKey);

impl VerifyingKey {
    /// Reads a key, refusing weak, torsioned and non-canonical ones.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::Malformed)?;
        let point = key.to_edwards();
        if point.compress().as_bytes() != bytes {
            return Err(KeyError::Malformed);
        }
        if key.is_weak() || !point.is_torsion_free() {
            return Err(KeyError::Weak);
        }
        Ok(Self(key))
    }

    /// The key's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The key's short name: the first eight bytes of its BLAKE3 hash.
    pub fn id(&self) -> KeyId {
        KeyId::of(self.as_bytes())
    }

    /// Whether `signature` is this key's over `message`, by the strict rule (cofactorless, small
    /// order refused), one signature at a time: batches accept what single checks refuse.
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.0.verify_strict(message, &signature).is_ok()
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.id())
    }
}

impl<C> Encode<C> for VerifyingKey {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(self.as_bytes())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for VerifyingKey {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::from_bytes(&bytes32(d)?).map_err(minicbor::decode::Error::custom)
    }
}

/// A secret X25519 key (RFC 7748) that opens what is sealed to a member.
pub struct SealingKey {
    secret: x25519_dalek::StaticSecret,
    /// Secrets shared with others lately: making one takes as long as checking a signature, and every
    /// record of one author asks for the same.
    /// Each in one place of its own, so that none is left behind when the map moves.
    shared: Mutex<BTreeMap<SealingPublic, Arc<Zeroizing<[u8; 32]>>>>,
}

/// Shared secrets that one key remembers; with more it forgets them all.
const SHARED: usize = 4_096;

impl SealingKey {
    /// Draws a new key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::of(x25519_dalek::StaticSecret::random_from_rng(rng))
    }

    /// The key of 32 stored bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self::of(x25519_dalek::StaticSecret::from(*bytes))
    }

    fn of(secret: x25519_dalek::StaticSecret) -> Self {
        let shared = Mutex::default();
        Self { secret, shared }
    }

    /// The 32 bytes, to be stored encrypted.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> SealingPublic {
        SealingPublic(x25519_dalek::PublicKey::from(&self.secret).to_bytes())
    }

    /// The secret this key shares with `other`: the X25519 output, never used but as input of a
    /// key derivation. It is remembered as long as the key lives.
    pub fn shared_with(&self, other: &SealingPublic) -> Arc<Zeroizing<[u8; 32]>> {
        let remembered = || self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = remembered().get(other) {
            return Arc::clone(shared);
        }
        // Not under the lock: others need not wait for the multiplication.
        let public = x25519_dalek::PublicKey::from(other.0);
        let shared = Arc::new(Zeroizing::new(self.secret.diffie_hellman(&public).to_bytes()));
        let mut remembered = remembered();
        if remembered.len() >= SHARED {
            remembered.clear();
        }
        remembered.insert(*other, Arc::clone(&shared));
        shared
    }
}

/// A public X25519 key, known to be contributory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealingPublic([u8; 32]);

impl SealingPublic {
    /// Reads a key, refusing the small-order points that make every shared secret zero (RFC 7748,
    /// section 6.1) and the second spellings above the field's prime.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        // p = 2^255 - 19, little endian: everything from p up, and a set top bit, is a second spelling.
        let above_prime = bytes[31] == 0x7f && bytes[1..31].iter().all(|b| *b == 0xff) && bytes[0] >= 0xed;
        if bytes[31] & 0x80 != 0 || above_prime {
            return Err(KeyError::Malformed);
        }
        // Any scalar will do: clamping makes it a multiple of eight, which sends every small-order
        // point to zero.
        let probe = x25519_dalek::StaticSecret::from([9; 32]);
        if probe
            .diffie_hellman(&x25519_dalek::PublicKey::from(*bytes))
            .was_contributory()
        {
            Ok(Self(*bytes))
        } else {
            Err(KeyError::NonContributory)
        }
    }

    /// The key's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SealingPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingPublic({})", KeyId::of(&self.0))
    }
}

impl<C> Encode<C> for SealingPublic {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for SealingPublic {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::from_bytes(&bytes32(d)?).map_err(minicbor::decode::Error::custom)
    }
}

fn bytes32(d: &mut Decoder<'_>) -> Result<[u8; 32], minicbor::decode::Error> {
    d.bytes()?
        .try_into()
        .map_err(|_| minicbor::decode::Error::message("a key has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_could_split_a_community_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(VerifyingKey::from_bytes(&identity), Err(KeyError::Weak));
        assert_eq!(
            SealingPublic::from_bytes(&[0; 32]),
            Err(KeyError::NonContributory)
        );
        assert_eq!(
            SealingPublic::from_bytes(&identity),
            Err(KeyError::NonContributory)
        );
        assert_eq!(SealingPublic::from_bytes(&[0xff; 32]), Err(KeyError::Malformed));
    }

    #[test]
    fn a_signature_holds_for_its_message_only() {
        let key = SigningKey::generate(&mut rand::rng());
        let signature = key.sign(b"02:10");
        assert!(key.verifying_key().verifies(b"02:10", &signature));
        assert!(!key.verifying_key().verifies(b"02:11", &signature));
    }
}
