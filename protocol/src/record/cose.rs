//! COSE_Sign1 (RFC 9052, section 4.2) as Hanse uses it, and the only file that knows COSE labels:
//! one algorithm, one key id, a layout version, nothing unprotected, one spelling.

use coset::iana::{self, EnumI64};
use coset::{Algorithm, CborSerializable, CoseSign1, CoseSign1Builder, HeaderBuilder, Label};
use coset::{ProtectedHeader, TaggedCborSerializable};

use crate::identity::KeyId;
use crate::identity::keys::{SigningKey, VerifyingKey};

/// The layout of what is signed. A node defers what bears another number.
pub const LAYOUT: u64 = 1;

/// Our layout version's label, in COSE's private range (below -65536).
const LAYOUT_LABEL: i64 = -65_537;

/// Why bytes are no COSE_Sign1 of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoseError {
    /// Not a tagged COSE_Sign1 at all, or without a payload, or with a signature of another size.
    #[error("not a COSE_Sign1 message")]
    Malformed,
    /// Something stands in the unprotected header, where no signature covers it.
    #[error("the unprotected header is not empty")]
    Unprotected,
    /// Another algorithm than Ed25519 (RFC 9864), the deprecated EdDSA code point among them.
    #[error("the algorithm is not Ed25519")]
    Algorithm,
    /// The bytes differ from the deterministic encoding (RFC 8949, section 4.2.1) of what they say.
    #[error("not in deterministic encoding")]
    NotDeterministic,
    /// A layout version that this program does not know.
    #[error("layout version {0} is unknown")]
    UnknownLayout(u64),
}

/// The parts of a COSE_Sign1 message, in the one accepted spelling. Nothing is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign1 {
    /// The protected header as it was signed.
    pub protected: Vec<u8>,
    /// The short name of the key it claims to be signed with.
    pub key: KeyId,
    /// What is signed.
    pub payload: Vec<u8>,
    /// An Ed25519 signature.
    pub signature: [u8; 64],
}

/// Signs `payload` and returns the tagged message. `external` binds context that does not travel.
pub fn sign(external: &[u8], payload: Vec<u8>, key: &SigningKey) -> Vec<u8> {
    let message = CoseSign1Builder::new()
        .protected(protected(key.verifying_key().id()))
        .payload(payload)
        .create_signature(external, |bytes| key.sign(bytes).to_vec())
        .build();
    // Encoding fails only for header values that this builder cannot hold.
    message.to_tagged_vec().unwrap_or_default()
}

/// Reads a tagged message, insisting on its one spelling.
///
/// # Errors
/// [`CoseError`], the first that applies in the order of its variants but for the layout, which is
/// looked at before the spelling so that a newer layout is deferred rather than refused.
pub fn parse(bytes: &[u8]) -> Result<Sign1, CoseError> {
    let message = CoseSign1::from_tagged_slice(bytes).map_err(|_| CoseError::Malformed)?;
    if !message.unprotected.is_empty() {
        return Err(CoseError::Unprotected);
    }
    let header = &message.protected.header;
    if header.alg != Some(Algorithm::Assigned(iana::Algorithm::Ed25519)) {
        return Err(CoseError::Algorithm);
    }
    let layout = layout_of(header).ok_or(CoseError::Malformed)?;
    if layout != LAYOUT {
        return Err(CoseError::UnknownLayout(layout));
    }
    let key = KeyId(
        header
            .key_id
            .as_slice()
            .try_into()
            .map_err(|_| CoseError::Malformed)?,
    );
    let payload = message.payload.ok_or(CoseError::Malformed)?;
    let signature: [u8; 64] = message.signature.try_into().map_err(|_| CoseError::Malformed)?;
    let parts = Sign1 {
        protected: protected_bytes(key),
        key,
        payload,
        signature,
    };
    if parts.encode() == bytes {
        Ok(parts)
    } else {
        Err(CoseError::NotDeterministic)
    }
}

impl Sign1 {
    /// Whether the signature is `key`'s over these parts and `external`.
    pub fn verifies(&self, external: &[u8], key: &VerifyingKey) -> bool {
        key.id() == self.key && key.verifies(&self.message().tbs_data(external), &self.signature)
    }

    /// The tagged message in deterministic encoding.
    pub fn encode(&self) -> Vec<u8> {
        self.message().to_tagged_vec().unwrap_or_default()
    }

    fn message(&self) -> CoseSign1 {
        CoseSign1 {
            protected: ProtectedHeader {
                original_data: None,
                header: protected(self.key),
            },
            unprotected: coset::Header::default(),
            payload: Some(self.payload.clone()),
            signature: self.signature.to_vec(),
        }
    }
}

fn protected(key: KeyId) -> coset::Header {
    HeaderBuilder::new()
        .algorithm(iana::Algorithm::Ed25519)
        .key_id(key.as_bytes().to_vec())
        .value(LAYOUT_LABEL, LAYOUT.into())
        .build()
}

/// The protected header of what `key` signs.
pub(crate) fn protected_bytes(key: KeyId) -> Vec<u8> {
    protected(key).to_vec().unwrap_or_default()
}

fn layout_of(header: &coset::Header) -> Option<u64> {
    let (_, value) = header
        .rest
        .iter()
        .find(|(label, _)| *label == Label::Int(LAYOUT_LABEL))?;
    value.as_integer()?.try_into().ok()
}

/// The code point that is accepted, for the manual and its vectors.
pub fn algorithm() -> i64 {
    iana::Algorithm::Ed25519.to_i64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed(&[7; 32])
    }

    #[test]
    fn a_message_reads_back_and_verifies_in_its_context_only() {
        let bytes = sign(b"here", b"payload".to_vec(), &key());
        let parts = parse(&bytes).unwrap();
        assert_eq!(parts.payload, b"payload");
        assert!(parts.verifies(b"here", &key().verifying_key()));
        assert!(!parts.verifies(b"there", &key().verifying_key()));
    }

    #[test]
    fn an_injected_unprotected_header_is_named() {
        let bytes = sign(b"", b"payload".to_vec(), &key());
        let mut message = CoseSign1::from_tagged_slice(&bytes).unwrap();
        message.unprotected.key_id = b"extra".to_vec();
        assert_eq!(
            parse(&message.to_tagged_vec().unwrap()),
            Err(CoseError::Unprotected)
        );
    }

    #[test]
    fn the_deprecated_code_point_and_newer_layouts_are_told_apart() {
        let mut header = protected(key().verifying_key().id());
        header.alg = Some(Algorithm::Assigned(iana::Algorithm::EdDSA));
        let sealed = |header| {
            let builder = CoseSign1Builder::new().protected(header).payload(b"p".to_vec());
            builder
                .create_signature(b"", |b| key().sign(b).to_vec())
                .build()
                .to_tagged_vec()
                .unwrap()
        };
        assert_eq!(parse(&sealed(header)), Err(CoseError::Algorithm));
        let mut newer = protected(key().verifying_key().id());
        newer.rest = vec![(Label::Int(LAYOUT_LABEL), 2.into())];
        assert_eq!(parse(&sealed(newer)), Err(CoseError::UnknownLayout(2)));
    }

    #[test]
    fn a_second_spelling_is_refused() {
        let bytes = sign(b"", vec![0; 40], &key());
        // Tag 18, array of four: write the array's length in its two-byte form instead.
        let mut longer = vec![bytes[0], 0x98, 0x04];
        longer.extend_from_slice(&bytes[2..]);
        assert_eq!(parse(&longer), Err(CoseError::NotDeterministic));
        let mut trailing = bytes.clone();
        trailing.push(0);
        assert_eq!(parse(&trailing), Err(CoseError::Malformed));
    }
}
