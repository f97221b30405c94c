//! One frame: one commit, encrypted, chained to the frame before it and checksummed.
//!
//! ```text
//! magic 4 · length of the ciphertext u32 · previous tag 16 · nonce 24 · ciphertext · tag 16 · checksum 8
//! ```
//!
//! Numbers are big endian. The cipher is XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03); its
//! associated data are store id, segment, offset and previous tag, so a frame opens only where it
//! was written and after what it followed. The checksum (BLAKE3, first 8 bytes) covers all before
//! it and needs no key: it tells a torn or rotten frame from one under another key.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use minicbor::{Decoder, Encoder};

use crate::store::entry::{Entry, EntryError, PAPER, Position};

/// First bytes of every frame.
pub(super) const MAGIC: &[u8; 4] = b"HnFr";
/// Most plaintext bytes of one frame; a larger commit is split into several. The largest paper fits.
pub(crate) const PLAINTEXT: usize = PAPER + (64 << 10);
/// Bytes of a frame's array heads and first position, at most.
pub(crate) const HEADS: usize = 1 + 9 + 1 + 9;
/// Bytes before the ciphertext.
const PREFIX: usize = 4 + 4 + TAG + NONCE;
const NONCE: usize = 24;
pub(super) const TAG: usize = 16;
pub(super) const CHECKSUM: usize = 8;
/// What a frame adds to its plaintext.
pub(crate) const OVERHEAD: usize = PREFIX + TAG + CHECKSUM;

/// What a frame holds.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Position of the first entry; the others follow without gaps.
    pub(crate) first: Position,
    pub(crate) entries: Vec<Entry>,
}

impl Frame {
    /// Position of the last entry.
    pub(crate) fn last(&self) -> Position {
        self.first.plus((self.entries.len() as u64).saturating_sub(1))
    }

    /// The entry at `position`, if it is in this frame.
    pub(crate) fn entry(&self, position: Position) -> Option<&Entry> {
        let index = position.0.checked_sub(self.first.0)?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    /// Reads a frame's plaintext, refusing anything but its one encoding.
    pub(crate) fn decode(plaintext: &[u8]) -> Result<Self, EntryError> {
        let malformed = |e: minicbor::decode::Error| EntryError::Malformed(e.to_string());
        let mut decoder = Decoder::new(plaintext);
        decoder.array().map_err(malformed)?;
        let first = Position(decoder.u64().map_err(malformed)?);
        let entries: Vec<Entry> = decoder.decode().map_err(malformed)?;
        let mut again = Vec::with_capacity(plaintext.len());
        heads(first, entries.len(), &mut again)?;
        for entry in &entries {
            entry.encode_into(&mut again)?;
        }
        if again != plaintext || entries.is_empty() || first.0 == 0 {
            return Err(EntryError::Malformed("another spelling of a frame".to_owned()));
        }
        Ok(Self { first, entries })
    }
}

/// What the first frame of a recast segment says: a segment whose dead entries were taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cast {
    /// How often the segment was recast, from 1.
    pub(crate) generation: u32,
    /// The first of the segments that it stands for; they are its own number and those right
    /// before.
    pub(crate) since: u32,
    /// The position after the last that the segments it stands for ever held.
    pub(crate) next: Position,
    /// Tag of the last frame as it was written, which the next segment follows.
    pub(crate) tag: [u8; TAG],
}

/// Plaintext of the last frame of a recast segment: no frame of entries is as short.
pub(super) const CLOSE: &[u8] = &[0x82, 0x00, 0x40];

/// Bytes of a cast in its frame.
const CAST: usize = 4 + 4 + 8 + TAG;

impl Cast {
    /// Length of its frame.
    pub(super) const FRAME: usize = 4 + CAST + OVERHEAD;

    /// The plaintext of its frame: position 0, which no entry has, then the fields.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut fields = Vec::with_capacity(CAST);
        fields.extend_from_slice(&self.generation.to_be_bytes());
        fields.extend_from_slice(&self.since.to_be_bytes());
        fields.extend_from_slice(&self.next.0.to_be_bytes());
        fields.extend_from_slice(&self.tag);
        let mut out = vec![0x82, 0x00, 0x58, CAST as u8];
        out.extend_from_slice(&fields);
        out
    }

    /// Reads what [`Cast::encode`] wrote.
    pub(super) fn decode(plaintext: &[u8]) -> Option<Self> {
        let fields = plaintext.strip_prefix(&[0x82, 0x00, 0x58, CAST as u8])?;
        let (generation, rest) = fields.split_first_chunk()?;
        let (since, rest) = rest.split_first_chunk()?;
        let (next, rest) = rest.split_first_chunk()?;
        Some(Self {
            generation: u32::from_be_bytes(*generation),
            since: u32::from_be_bytes(*since),
            next: Position(u64::from_be_bytes(*next)),
            tag: rest.try_into().ok()?,
        })
    }
}

/// Appends what comes before the entries of a frame.
pub(crate) fn heads(first: Position, count: usize, out: &mut Vec<u8>) -> Result<(), EntryError> {
    let mut encoder = Encoder::new(out);
    let written = encoder
        .array(2)
        .and_then(|e| e.u64(first.0))
        .and_then(|e| e.array(count as u64));
    written
        .map(|_| ())
        .map_err(|e| EntryError::Malformed(e.to_string()))
}

/// Where a frame lies, as its associated data say it.
#[derive(Clone, Copy)]
pub(super) struct Seat {
    pub(super) store: [u8; 16],
    pub(super) segment: u32,
    pub(super) offset: u32,
}

impl Seat {
    fn associated(&self, previous: &[u8; TAG]) -> [u8; 40] {
        let mut bytes = [0; 40];
        let parts: [&[u8]; 4] = [
            &self.store,
            &self.segment.to_be_bytes(),
            &self.offset.to_be_bytes(),
            previous,
        ];
        for (to, from) in bytes.iter_mut().zip(parts.iter().flat_map(|part| part.iter())) {
            *to = *from;
        }
        bytes
    }
}

/// A frame as it lies on disk, taken apart.
pub(super) struct Sealed<'a> {
    pub(super) previous: [u8; TAG],
    nonce: [u8; NONCE],
    ciphertext: &'a [u8],
    pub(super) tag: [u8; TAG],
}

impl Sealed<'_> {
    /// Bytes of its plaintext.
    pub(super) fn size(&self) -> usize {
        self.ciphertext.len()
    }
}

/// Encrypts `plaintext` (at most [`PLAINTEXT`] bytes) for `seat`; gives the frame and its tag.
/// `None` if it is too large.
pub(super) fn seal(
    key: &[u8; 32],
    seat: Seat,
    previous: &[u8; TAG],
    nonce: [u8; NONCE],
    plaintext: &[u8],
) -> Option<(Vec<u8>, [u8; TAG])> {
    if plaintext.len() > PLAINTEXT {
        return None;
    }
    let length = u32::try_from(plaintext.len()).ok()?;
    let mut frame = Vec::with_capacity(plaintext.len() + OVERHEAD);
    frame.extend_from_slice(MAGIC);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(previous);
    frame.extend_from_slice(&nonce);
    frame.extend_from_slice(plaintext);
    let text = frame.get_mut(PREFIX..)?;
    let tag: [u8; TAG] = XChaCha20Poly1305::new(key.into())
        .encrypt_inout_detached(&XNonce::from(nonce), &seat.associated(previous), text.into())
        .ok()?
        .into();
    frame.extend_from_slice(&tag);
    frame.extend_from_slice(&checksum(&frame));
    Some((frame, tag))
}

/// Length of the whole frame that starts with these bytes (8 at least), if one can start so.
pub(super) fn length(start: &[u8]) -> Option<usize> {
    let (length, _) = start.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    (length <= PLAINTEXT).then_some(length + OVERHEAD)
}

/// Takes apart the bytes of one whole frame. `None` if magic, length or checksum are wrong.
pub(super) fn parse(bytes: &[u8]) -> Option<Sealed<'_>> {
    if length(bytes)? != bytes.len() {
        return None;
    }
    let (covered, sum) = bytes.split_last_chunk::<CHECKSUM>()?;
    if checksum(covered) != *sum {
        return None;
    }
    split(bytes)
}

/// Takes apart the bytes of one whole frame whose checksum was found right before.
pub(super) fn split(bytes: &[u8]) -> Option<Sealed<'_>> {
    let (covered, _) = bytes.split_last_chunk::<CHECKSUM>()?;
    let (rest, tag) = covered.split_last_chunk::<TAG>()?;
    let (previous, rest) = rest.get(8..)?.split_first_chunk::<TAG>()?;
    let (nonce, ciphertext) = rest.split_first_chunk::<NONCE>()?;
    Some(Sealed {
        previous: *previous,
        nonce: *nonce,
        ciphertext,
        tag: *tag,
    })
}

/// Decrypts a frame that lies at `seat`. `None` if it was not sealed there, so, under this key.
pub(super) fn open(key: &[u8; 32], seat: Seat, sealed: &Sealed<'_>) -> Option<Vec<u8>> {
    let mut plaintext = sealed.ciphertext.to_vec();
    XChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached(
            &XNonce::from(sealed.nonce),
            &seat.associated(&sealed.previous),
            plaintext.as_mut_slice().into(),
            &Tag::from(sealed.tag),
        )
        .ok()?;
    Some(plaintext)
}

/// BLAKE3, first 8 bytes: no key, so that damage is told apart from tampering without one.
pub(super) fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut sum = [0; CHECKSUM];
    blake3::Hasher::new().update(bytes).finalize_xof().fill(&mut sum);
    sum
}
