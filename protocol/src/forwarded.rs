//! What the body of a forwarded record says: a record of another community, word for word as its author
//! signed it there, passed on by a member of both. Whoever reads it can check the author's signature. That
//! the key is the author's, and who that is, only members of the other community can know: here the
//! member who passed it on vouches for it.

use minicbor::{Decoder, Encoder};

use crate::admission::Signed;
use crate::compress::Packed;
use crate::identity::keys::VerifyingKey;
use crate::identity::{CommunityId, RecordId};
use crate::limits;
use crate::record::{self, BodyHash, Header, Kind};
use crate::refusal::Refusal;
use crate::seal::Body;

/// Largest content of a forwarded record, bytes: id, key, a header and a body at their largest, and what
/// CBOR adds.
pub const CONTENT: usize = limits::HEADER + limits::BODY + 96;

/// A record of another community, to be passed on.
#[derive(Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// The community it was signed in.
    pub origin: CommunityId,
    /// Its author's verifying key there.
    pub key: VerifyingKey,
    /// The signed header as it travels there.
    pub header: Vec<u8>,
    /// The open body as it travels there.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Forwarded {
    /// Names sizes, not content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forwarded")
            .field("origin", &self.origin)
            .field("header", &self.header.len())
            .field("body", &self.body.len())
            .finish()
    }
}

/// Why a forwarded record is not believed. All of it is the fault of who passed it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Not the four parts in their one spelling, or one beyond its bound.
    #[error("it is malformed")]
    Malformed,
    /// It was signed in this very community.
    #[error("it is of this community")]
    SameCommunity,
    /// The header is none.
    #[error("the author's header is malformed")]
    Header,
    /// The signature is not that key's over this header in that community.
    #[error("the signature is not the author's")]
    Signature,
    /// It is no record of objects: nothing else is passed on, and nothing that was passed on before.
    #[error("it is no record of objects")]
    Kind,
    /// It would count longer here than its author said.
    #[error("it would outlive what its author said")]
    Expiry,
    /// The body is not the one that the author's header names.
    #[error("the body is not the one the author signed")]
    BodyHash,
    /// The body is no open one.
    #[error("the body is not an open one")]
    Body,
}

impl Flaw {
    /// The reason's short name, for metrics, audit lines and comparison.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "forwarded-malformed",
            Self::SameCommunity => "forwarded-same-community",
            Self::Header => "forwarded-header",
            Self::Signature => "forwarded-signature",
            Self::Kind => "forwarded-kind",
            Self::Expiry => "forwarded-expiry",
            Self::BodyHash => "forwarded-body-hash",
            Self::Body => "forwarded-body",
        }
    }
}

/// Where a forwarded record came from: what its author signed in another community.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The community it was signed in.
    pub community: CommunityId,
    /// The key that signed it.
    pub key: VerifyingKey,
    /// Its id there.
    pub record: RecordId,
    /// What its author signed.
    pub header: Header,
}

impl Forwarded {
    /// The content of a forwarded record: CBOR, `[origin 32, key 32, header, body]`, four byte strings.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::with_capacity(self.header.len() + self.body.len() + 80));
        // Writing to memory does not fail.
        let _ = encoder
            .array(4)
            .and_then(|e| e.bytes(self.origin.as_bytes()))
            .and_then(|e| e.bytes(self.key.as_bytes()))
            .and_then(|e| e.bytes(&self.header))
            .and_then(|e| e.bytes(&self.body))
            .map(drop);
        encoder.into_writer()
    }

    /// Reads the content of a forwarded record, insisting on its one spelling.
    ///
    /// # Errors
    /// [`Flaw::Malformed`], also for a key that no author may have.
    pub fn decode(content: &[u8]) -> Result<Self, Flaw> {
        if content.len() > CONTENT {
            return Err(Flaw::Malformed);
        }
        let mut decoder = Decoder::new(content);
        if !matches!(decoder.array(), Ok(Some(4))) {
            return Err(Flaw::Malformed);
        }
        let mut part = || decoder.bytes().map_err(|_| Flaw::Malformed);
        let fixed = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).map_err(|_| Flaw::Malformed);
        let read = Self {
            origin: CommunityId(fixed(part()?)?),
            key: VerifyingKey::from_bytes(&fixed(part()?)?).map_err(|_| Flaw::Malformed)?,
            header: part()?.to_vec(),
            body: part()?.to_vec(),
        };
        if read.encode() == content {
            Ok(read)
        } else {
            Err(Flaw::Malformed)
        }
    }

    /// Checks it on behalf of a reader in the community `here`, to whom it came under the header `outer`:
    /// signature, binding to the community of origin, kind, time, body. What it gives is the author's
    /// packed content, still to be unpacked and found sound.
    ///
    /// # Errors
    /// [`Refusal::Forwarded`]; [`Refusal::UnknownLayout`] and [`Refusal::UnknownSuite`] of a later version.
    pub fn check(&self, here: &CommunityId, outer: &Header) -> Result<(Provenance, Packed), Refusal> {
        if self.origin == *here {
            return Err(Flaw::SameCommunity.into());
        }
        let signed = Signed::decode(&self.header, &self.origin).map_err(|refusal| match refusal {
            Refusal::UnknownLayout => Refusal::UnknownLayout,
            _ => Flaw::Header.into(),
        })?;
        if !signed.is_by(&record::external(&self.origin), &self.key) {
            return Err(Flaw::Signature.into());
        }
        let header = signed.claims();
        if header.kind != Kind::Objects {
            return Err(Flaw::Kind.into());
        }
        if outer.expires > header.expires {
            return Err(Flaw::Expiry.into());
        }
        let length = u32::try_from(self.body.len()).unwrap_or(u32::MAX);
        if length != header.body_length || BodyHash::of(&self.body) != header.body_hash {
            return Err(Flaw::BodyHash.into());
        }
        let packed = match Body::decode(&self.body) {
            Ok(Body::Open(packed)) => packed,
            Err(Refusal::UnknownSuite) => return Err(Refusal::UnknownSuite),
            Ok(Body::Sealed(_)) | Err(_) => return Err(Flaw::Body.into()),
        };
        let provenance = Provenance {
            community: self.origin,
            key: self.key,
            record: *signed.id(),
            header: header.clone(),
        };
        Ok((provenance, packed))
    }
}

impl From<Flaw> for Refusal {
    fn from(flaw: Flaw) -> Self {
        Self::Forwarded(flaw)
    }
}

#[cfg(test)]
mod tests;
