//! Bodies: in the open, or sealed with one content key that is wrapped for each reader. The only
//! file that names the HPKE crate (RFC 9180), and it can ask it for Base mode alone.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hpke::kem::{Kem, X25519HkdfSha256};
use hpke::{Deserializable, OpModeR, OpModeS, Serializable};
use minicbor::{Decode, Decoder, Encode, Encoder};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::compress::Packed;
use crate::identity::keys::{SealingKey, SealingPublic};
use crate::identity::{CommunityId, Handle, RecordId};
use crate::limits;
use crate::record::Kind;
use crate::record::cose::LAYOUT;
use crate::refusal::Refusal;
use crate::timestamp::Timestamp;

type HpkeAead = hpke::aead::ChaCha20Poly1305;
type HpkeKdf = hpke::kdf::HkdfSha256;

/// The suite of bodies in the open.
pub const SUITE_OPEN: u8 = 0;

/// X25519-HKDF-SHA256 and ChaCha20-Poly1305 wraps around XChaCha20-Poly1305.
pub const SUITE_X25519: u8 = 1;

/// X-Wing wraps: the number is kept for it, nothing speaks it yet.
pub const SUITE_XWING: u8 = 2;

const PADDED_LEAST: usize = 256;

/// What a sealed body is bound to besides its own key: nothing of the body, nothing of the place in
/// the author's chain, so that sealing can run beside the single writer.
#[derive(Clone, Debug)]
pub struct Binding<'a> {
    /// The community.
    pub community: &'a CommunityId,
    /// The author.
    pub author: &'a Handle,
    /// The header's kind.
    pub kind: Kind,
    /// The header's creation.
    pub created: Timestamp,
    /// The header's expiry.
    pub expires: Timestamp,
    /// The header's `replaces`.
    pub replaces: Option<&'a RecordId>,
}

impl Binding<'_> {
    /// Associated data of the body and of every wrap.
    fn associated_data(&self) -> Vec<u8> {
        let parts = (
            LAYOUT,
            self.community,
            self.author,
            self.kind,
            self.created,
            self.expires,
            self.replaces,
        );
        minicbor::to_vec(parts).unwrap_or_default()
    }

    /// HPKE's `info`: suite, community, author.
    fn info(&self) -> Vec<u8> {
        minicbor::to_vec(("hanse seal v1", SUITE_X25519, self.community, self.author)).unwrap_or_default()
    }
}

/// One wrapped content key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Stanza {
    /// By which its reader finds it.
    #[cbor(n(0), with = "minicbor::bytes")]
    hint: [u8; 8],
    /// HPKE's encapsulated key.
    #[cbor(n(1), with = "minicbor::bytes")]
    enc: [u8; 32],
    /// The content key, sealed.
    #[cbor(n(2), with = "minicbor::bytes")]
    wrapped: [u8; 48],
}

/// A body sealed under suite 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedBody {
    commitment: [u8; 32],
    nonce: [u8; 24],
    stanzas: Vec<Stanza>,
    ciphertext: Vec<u8>,
}

/// A body as it travels: `[0, dictionary, raw length, zstd]` in the open, or
/// `[1, commitment, nonce, stanzas, ciphertext]` sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// For the whole community.
    Open(Packed),
    /// For named readers.
    Sealed(SealedBody),
}

impl Body {
    /// The bytes that travel and that the header's hash covers.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        let written = match self {
            Self::Open(packed) => encoder
                .array(4)
                .and_then(|e| e.u8(SUITE_OPEN))
                .and_then(|e| e.u16(packed.dictionary))
                .and_then(|e| e.u32(packed.raw_len))
                .and_then(|e| e.bytes(&packed.bytes))
                .map(|_| ()),
            Self::Sealed(sealed) => encoder
                .array(5)
                .and_then(|e| e.u8(SUITE_X25519))
                .and_then(|e| e.bytes(&sealed.commitment))
                .and_then(|e| e.bytes(&sealed.nonce))
                .and_then(|e| e.encode(&sealed.stanzas))
                .and_then(|e| e.bytes(&sealed.ciphertext))
                .map(|_| ()),
        };
        // Writing into a vector cannot fail.
        debug_assert!(written.is_ok());
        encoder.into_writer()
    }

    /// Reads a body, insisting on its one spelling.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::UnknownSuite`], [`Refusal::BodyMalformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > limits::BODY {
            return Err(Refusal::TooLarge);
        }
        let mut decoder = Decoder::new(bytes);
        let length = decoder.array().map_err(malformed)?;
        let body = match (decoder.u8().map_err(malformed)?, length) {
            (SUITE_OPEN, Some(4)) => Self::Open(Packed {
                dictionary: decoder.u16().map_err(malformed)?,
                raw_len: decoder.u32().map_err(malformed)?,
                bytes: decoder.bytes().map_err(malformed)?.to_vec(),
            }),
            (SUITE_X25519, Some(5)) => Self::Sealed(SealedBody::decode(&mut decoder)?),
            (SUITE_OPEN | SUITE_X25519, _) => return Err(Refusal::BodyMalformed),
            _ => return Err(Refusal::UnknownSuite),
        };
        if body.encode() == bytes {
            Ok(body)
        } else {
            Err(Refusal::BodyMalformed)
        }
    }
}

impl SealedBody {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, Refusal> {
        let commitment = fixed(decoder)?;
        let nonce = fixed(decoder)?;
        let count = decoder
            .array()
            .map_err(malformed)?
            .ok_or(Refusal::BodyMalformed)?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if !count.is_power_of_two() || count > limits::STANZAS {
            return Err(Refusal::BodyMalformed);
        }
        let stanzas = (0..count)
            .map(|_| decoder.decode().map_err(malformed))
            .collect::<Result<_, _>>()?;
        let ciphertext = decoder.bytes().map_err(malformed)?.to_vec();
        Ok(Self {
            commitment,
            nonce,
            stanzas,
            ciphertext,
        })
    }

    /// How many stanzas it shows: at least the readers, and a power of two.
    pub fn stanzas(&self) -> usize {
        self.stanzas.len()
    }

    /// Opens the body with a reader's keys against the author's. `Ok(None)` if it is not sealed to
    /// this reader.
    ///
    /// # Errors
    /// [`Refusal::AmbiguousStanza`], [`Refusal::Stanza`], [`Refusal::Commitment`],
    /// [`Refusal::Decryption`], [`Refusal::BodyMalformed`], [`Refusal::UnknownDictionary`].
    pub fn open(
        &self,
        reader: &[SealingKey],
        author: &[SealingPublic],
        binding: &Binding<'_>,
    ) -> Result<Option<Packed>, Refusal> {
        let Some((key, stanza)) = self.find_stanza(reader, author)? else {
            return Ok(None);
        };
        let content_key = self.unwrap(key, stanza, binding)?;
        let commitment = commit(&content_key, &self.nonce);
        if !bool::from(commitment.ct_eq(&self.commitment)) {
            return Err(Refusal::Commitment);
        }
        let data = binding.associated_data();
        let message = Payload {
            msg: &self.ciphertext,
            aad: &data,
        };
        let padded = cipher(&content_key).decrypt(&XNonce::from(self.nonce), message);
        let padded = Zeroizing::new(padded.map_err(|_| Refusal::Decryption)?);
        unpad(&padded).map(Some)
    }

    fn find_stanza<'k>(
        &self,
        reader: &'k [SealingKey],
        author: &[SealingPublic],
    ) -> Result<Option<(&'k SealingKey, &Stanza)>, Refusal> {
        let mut found = None;
        for key in reader {
            for public in author {
                let hint = hint(key, public, &self.nonce);
                for stanza in self.stanzas.iter().filter(|stanza| stanza.hint == hint) {
                    if found.replace((key, stanza)).is_some() {
                        return Err(Refusal::AmbiguousStanza);
                    }
                }
            }
        }
        Ok(found)
    }

    fn unwrap(
        &self,
        key: &SealingKey,
        stanza: &Stanza,
        binding: &Binding<'_>,
    ) -> Result<Zeroizing<[u8; 32]>, Refusal> {
        let secret = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(key.to_bytes().as_slice())
            .map_err(|_| Refusal::Stanza)?;
        let enc =
            <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&stanza.enc).map_err(|_| Refusal::Stanza)?;
        let data = wrap_data(binding, &self.nonce);
        let opened = hpke::single_shot_open::<HpkeAead, HpkeKdf, X25519HkdfSha256>(
            &OpModeR::Base,
            &secret,
            &enc,
            &binding.info(),
            &stanza.wrapped,
            &data,
        );
        let opened = Zeroizing::new(opened.map_err(|_| Refusal::Stanza)?);
        opened
            .as_slice()
            .try_into()
            .map(Zeroizing::new)
            .map_err(|_| Refusal::Stanza)
    }
}

/// Why a body cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// More readers than a body has stanzas for.
    #[error("{0} readers are more than one record can be sealed to")]
    TooManyReaders(usize),
    /// A reader's key or the content was refused by a cipher; cannot happen with checked keys.
    #[error("a cipher refused its input")]
    Cipher,
}

/// Seals `packed` to `readers`, the author's own key among them, with throw-away stanzas that make
/// their number a power of two.
///
/// # Errors
/// [`SealError`].
pub fn seal(
    packed: &Packed,
    readers: &[SealingPublic],
    author: &SealingKey,
    binding: &Binding<'_>,
    rng: &mut impl CryptoRng,
) -> Result<SealedBody, SealError> {
    let mut content_key = Zeroizing::new([0; 32]);
    let mut nonce = [0; 24];
    rng.fill_bytes(content_key.as_mut_slice());
    rng.fill_bytes(&mut nonce);
    let stanzas = stanzas(&content_key, &nonce, readers, author, binding, rng)?;
    let padded = pad(packed);
    let data = binding.associated_data();
    let message = Payload {
        msg: &padded,
        aad: &data,
    };
    let ciphertext = cipher(&content_key)
        .encrypt(&XNonce::from(nonce), message)
        .map_err(|_| SealError::Cipher)?;
    Ok(SealedBody {
        commitment: commit(&content_key, &nonce),
        nonce,
        stanzas,
        ciphertext,
    })
}

fn stanzas(
    content_key: &[u8; 32],
    nonce: &[u8; 24],
    readers: &[SealingPublic],
    author: &SealingKey,
    binding: &Binding<'_>,
    rng: &mut impl CryptoRng,
) -> Result<Vec<Stanza>, SealError> {
    let mut readers = readers.to_vec();
    readers.push(author.public());
    readers.sort();
    readers.dedup();
    let count = readers.len().next_power_of_two();
    if count > limits::STANZAS {
        return Err(SealError::TooManyReaders(readers.len()));
    }
    let mut stanzas = Vec::with_capacity(count);
    for reader in &readers {
        stanzas.push(wrap(
            content_key,
            nonce,
            reader,
            hint(author, reader, nonce),
            binding,
            rng,
        )?);
    }
    for _ in readers.len()..count {
        // A real seal to a key nobody keeps: random bytes could be told from curve points.
        let nobody = SealingKey::generate(rng).public();
        let mut hint = [0; 8];
        rng.fill_bytes(&mut hint);
        stanzas.push(wrap(content_key, nonce, &nobody, hint, binding, rng)?);
    }
    shuffle(&mut stanzas, rng);
    Ok(stanzas)
}

fn wrap(
    content_key: &[u8; 32],
    nonce: &[u8; 24],
    reader: &SealingPublic,
    hint: [u8; 8],
    binding: &Binding<'_>,
    rng: &mut impl CryptoRng,
) -> Result<Stanza, SealError> {
    let public =
        <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(reader.as_bytes()).map_err(|_| SealError::Cipher)?;
    let data = wrap_data(binding, nonce);
    let (enc, wrapped) = hpke::single_shot_seal_with_rng::<HpkeAead, HpkeKdf, X25519HkdfSha256>(
        &OpModeS::Base,
        &public,
        &binding.info(),
        content_key,
        &data,
        rng,
    )
    .map_err(|_| SealError::Cipher)?;
    let enc = enc
        .to_bytes()
        .as_slice()
        .try_into()
        .map_err(|_| SealError::Cipher)?;
    let wrapped = wrapped.try_into().map_err(|_| SealError::Cipher)?;
    Ok(Stanza { hint, enc, wrapped })
}

/// Associated data of a wrap: the body's, and the nonce the hint is made over, so that a stanza
/// cannot be moved to another body.
fn wrap_data(binding: &Binding<'_>, nonce: &[u8; 24]) -> Vec<u8> {
    [binding.associated_data().as_slice(), nonce].concat()
}

/// How a reader finds its stanza: a keyed hash of the nonce under the secret shared by author and
/// reader. Outsiders and other readers see random bytes.
fn hint(own: &SealingKey, other: &SealingPublic, nonce: &[u8; 24]) -> [u8; 8] {
    let shared = own.shared_with(other);
    let key = Zeroizing::new(blake3::derive_key("hanse stanza hint v1", shared.as_slice()));
    let [a, b, c, d, e, f, g, h, ..] = *blake3::keyed_hash(&key, nonce).as_bytes();
    [a, b, c, d, e, f, g, h]
}

/// Commits to the content key: two keys with one commitment would be a collision of BLAKE3.
fn commit(content_key: &[u8; 32], nonce: &[u8; 24]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("hanse content commitment v1");
    hasher.update(content_key);
    hasher.update(nonce);
    *hasher.finalize().as_bytes()
}

fn cipher(content_key: &[u8; 32]) -> XChaCha20Poly1305 {
    let key = Zeroizing::new(blake3::derive_key("hanse content encryption v1", content_key));
    XChaCha20Poly1305::new((&*key).into())
}

/// The packed content as CBOR, then zeroes up to the padded size.
fn pad(packed: &Packed) -> Zeroizing<Vec<u8>> {
    let bytes: &minicbor::bytes::ByteSlice = packed.bytes.as_slice().into();
    let parts = (packed.dictionary, packed.raw_len, bytes);
    let mut padded = Zeroizing::new(minicbor::to_vec(parts).unwrap_or_default());
    let size = padme(padded.len()).max(PADDED_LEAST);
    padded.resize(size, 0);
    padded
}

fn unpad(padded: &[u8]) -> Result<Packed, Refusal> {
    let mut decoder = Decoder::new(padded);
    if decoder.array().map_err(malformed)? != Some(3) {
        return Err(Refusal::BodyMalformed);
    }
    let dictionary = decoder.u16().map_err(malformed)?;
    let raw_len = decoder.u32().map_err(malformed)?;
    let bytes = decoder.bytes().map_err(malformed)?.to_vec();
    let rest = padded.get(decoder.position()..).unwrap_or_default();
    let packed = Packed {
        dictionary,
        raw_len,
        bytes,
    };
    if rest.iter().all(|b| *b == 0) && pad(&packed).as_slice() == padded {
        Ok(packed)
    } else {
        Err(Refusal::BodyMalformed)
    }
}

/// Padmé (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files", 2019): the size with
/// all but its leading bits rounded up, so that it leaks O(log log size) bits and costs under 12 %.
fn padme(size: usize) -> usize {
    if size < 2 {
        return size;
    }
    let exponent = size.ilog2();
    let kept = exponent.ilog2() + 1;
    let mask = (1usize << exponent.saturating_sub(kept)) - 1;
    (size + mask) & !mask
}

/// Fisher and Yates; the bias of a modulo over 2^64 is far below what 2,048 stanzas could show.
fn shuffle<T>(items: &mut [T], rng: &mut impl CryptoRng) {
    for last in (1..items.len()).rev() {
        let bound = u64::try_from(last + 1).unwrap_or(u64::MAX);
        let other = usize::try_from(rng.next_u64() % bound).unwrap_or(last);
        items.swap(last, other);
    }
}

fn malformed(_: minicbor::decode::Error) -> Refusal {
    Refusal::BodyMalformed
}

fn fixed<const N: usize>(decoder: &mut Decoder<'_>) -> Result<[u8; N], Refusal> {
    decoder
        .bytes()
        .map_err(malformed)?
        .try_into()
        .map_err(|_| Refusal::BodyMalformed)
}

#[cfg(test)]
mod tests;
