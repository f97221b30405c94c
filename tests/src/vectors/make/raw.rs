//! Bytes that no honest program writes: messages put together by hand.

use std::convert::Infallible;

use hanse_protocol::compress::Packed;
use hanse_protocol::content::Content;
use hanse_protocol::identity::keys::SigningKey;
use hanse_protocol::tlp::Tlp;
use minicbor::Encoder;
use rand_core::{TryCryptoRng, TryRng};

/// Randomness that is the same each time, of a name: never for a real secret.
pub(super) struct Seeded(blake3::OutputReader);

impl Seeded {
    pub(super) fn new(name: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("hanse test vectors v1");
        hasher.update(name.as_bytes());
        Self(hasher.finalize_xof())
    }
}

impl TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}

/// A zstd frame that stores its content as it is (RFC 8878, 3.1.1: one segment, one raw block), so
/// that no version of a compressor changes a vector.
pub(super) fn stored(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a short content");
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd];
    match u8::try_from(length) {
        Ok(length) => frame.extend([0x20, length]),
        Err(_) => {
            frame.push(0x60);
            frame.extend((length - 256).to_le_bytes());
        }
    }
    let block = u32::from(length) << 3 | 1;
    frame.extend(block.to_le_bytes().into_iter().take(3));
    frame.extend(content);
    frame
}

/// Content, stored.
pub(super) fn packed(unmarked: Tlp, objects: &[&str]) -> Packed {
    let content = Content::write(unmarked, Tlp::Clear, objects);
    Packed {
        dictionary: 0,
        raw_len: u32::try_from(content.len()).expect("a short content"),
        bytes: stored(&content),
    }
}

/// A COSE_Sign1 message (RFC 9052) whose every part may be spoiled before it is put together.
pub(super) struct Message {
    pub(super) external: Vec<u8>,
    pub(super) protected: Vec<u8>,
    pub(super) unprotected: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

impl Message {
    pub(super) fn new(external: Vec<u8>, payload: Vec<u8>, key: &SigningKey) -> Self {
        Self {
            external,
            protected: protected(-19, key, Some(1)),
            unprotected: vec![0xa0],
            payload,
        }
    }

    pub(super) fn signature(&self, key: &SigningKey) -> [u8; 64] {
        let mut e = Encoder::new(Vec::new());
        let written = e
            .array(4)
            .and_then(|e| e.str("Signature1"))
            .and_then(|e| e.bytes(&self.protected))
            .and_then(|e| e.bytes(&self.external))
            .and_then(|e| e.bytes(&self.payload).map(|_| ()));
        written.expect("into memory");
        key.sign(&e.into_writer())
    }

    pub(super) fn sign(&self, key: &SigningKey) -> Vec<u8> {
        self.with_signature(&self.signature(key))
    }

    pub(super) fn with_signature(&self, signature: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xd2, 0x84];
        bytes.extend(byte_string(&self.protected));
        bytes.extend(&self.unprotected);
        bytes.extend(byte_string(&self.payload));
        bytes.extend(byte_string(signature));
        bytes
    }
}

/// A protected header with this algorithm and layout.
pub(super) fn protected(algorithm: i64, key: &SigningKey, layout: Option<u64>) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    let id = key.verifying_key().id();
    let pairs = 2 + u64::from(layout.is_some());
    e.map(pairs).and_then(|e| e.u8(1)).expect("into memory");
    e.i64(algorithm).and_then(|e| e.u8(4)).expect("into memory");
    e.bytes(id.as_bytes()).expect("into memory");
    if let Some(layout) = layout {
        e.i64(-65_537).and_then(|e| e.u64(layout)).expect("into memory");
    }
    e.into_writer()
}

pub(super) fn byte_string(bytes: &[u8]) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    e.bytes(bytes).expect("into memory");
    e.into_writer()
}

/// `bytes` with `what`, which occurs once, replaced.
pub(super) fn replaced(bytes: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let places = bytes.windows(what.len()).enumerate();
    let mut places = places.filter(|(_, window)| *window == what);
    let (place, _) = places.next().expect("it occurs");
    assert!(places.next().is_none(), "it occurs once");
    [&bytes[..place], by, &bytes[place + what.len()..]].concat()
}

/// `bytes` with this one changed in its lowest bit.
pub(super) fn flipped(bytes: &[u8], place: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[place] ^= 1;
    bytes
}

/// `bytes` with more behind them.
pub(super) fn and(bytes: &[u8], more: &[u8]) -> Vec<u8> {
    [bytes, more].concat()
}

/// The second spelling of a signature, its scalar raised by the group's order: RFC 8032 (5.1.7)
/// has verifiers refuse it.
pub(super) fn malleated(signature: &[u8; 64]) -> Vec<u8> {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut raised = signature.to_vec();
    let mut carry = 0u16;
    for (byte, order) in raised[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    raised
}
