//! Why a record is turned away, whose fault that is, and whether it could be otherwise later.

use crate::stix::StixError;

/// Who is to blame for a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The member that signed it: nobody who passed it on could know.
    Author,
    /// The peer that passed it on: it could and should have refused it itself.
    Courier,
    /// Nobody: circumstances, or something newer than this program.
    Nobody,
}

/// Whether the same bytes could be accepted later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permanence {
    /// Never.
    Permanent,
    /// Perhaps: ask again later. Nothing is remembered against the id.
    Deferred,
}

/// Why a record is turned away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A header or body beyond its bound.
    #[error("larger than a record may be")]
    TooLarge,
    /// The header is no COSE_Sign1 message with a header's payload.
    #[error("the header is malformed")]
    Malformed,
    /// Something stands in the unprotected header.
    #[error("the header carries something no signature covers")]
    Unprotected,
    /// Another algorithm than the one in use.
    #[error("the header is signed with another algorithm")]
    Algorithm,
    /// The bytes are not the one spelling of what they say.
    #[error("the header is not in deterministic encoding")]
    NotDeterministic,
    /// A layout of a later version.
    #[error("the header's layout is of a later version")]
    UnknownLayout,
    /// It names a charter that is not held.
    #[error("the record names a charter that is not known here")]
    UnknownCharter,
    /// The named charter lists no such author, key or lane.
    #[error("the charter lists no such author, key or lane")]
    UnknownAuthor,
    /// The signature is not the author's over these bytes in this community.
    #[error("the signature is not the author's")]
    Signature,
    /// It lies beyond where the key, lane or membership ended.
    #[error("the key, lane or membership ended before this record")]
    Ended,
    /// It is dated before its author was admitted.
    #[error("the record is dated before its author's admission")]
    BeforeAdmission,
    /// Its sequence number and its predecessor do not fit each other.
    #[error("the record's place in its chain is impossible")]
    Chain,
    /// It is dated further ahead than clocks may differ.
    #[error("the record is dated in the future")]
    FutureDated,
    /// It came by gossip and is dated too long ago for that.
    #[error("the record is too old to arrive by gossip")]
    Stale,
    /// Its time is over, and by healing the charter's horizon, too.
    #[error("the record has expired")]
    Expired,
    /// Its author has sent several times what the charter allows for the day it is signed for. Found
    /// by who holds the tally, not by admission.
    #[error("the author is over its budget for that day")]
    OverBudget,
    /// It wants to live longer than the charter's horizon, or expires before it is created.
    #[error("the record's expiry is beyond the charter's horizon")]
    Expiry,
    /// The body's length or hash is not what the header says.
    #[error("the body is not the one the header names")]
    BodyHash,
    /// The body is not written as a body is.
    #[error("the body is malformed")]
    BodyMalformed,
    /// A suite of a later version.
    #[error("the body is sealed with a suite that is not known here")]
    UnknownSuite,
    /// A dictionary of a later version.
    #[error("the body is compressed with a dictionary that is not known here")]
    UnknownDictionary,
    /// More than one stanza bears the reader's hint.
    #[error("the sealed body names a reader twice")]
    AmbiguousStanza,
    /// The stanza that bears the reader's hint does not open.
    #[error("the reader's stanza does not open")]
    Stanza,
    /// The content key is not the one the author committed to.
    #[error("the content key is not the one the author committed to")]
    Commitment,
    /// The body does not decrypt under its key.
    #[error("the sealed body does not decrypt")]
    Decryption,
    /// A marking that must be sealed came in the open.
    #[error("an object of {0} came in the open")]
    OpenBeyondFloor(crate::tlp::Tlp),
    /// The content is no envelope of objects.
    #[error("the content is malformed")]
    Content,
    /// What was passed on from another community is not what its author signed there, or may not come here.
    #[error("what was forwarded is not believed: {0}")]
    Forwarded(crate::forwarded::Flaw),
    /// An object breaks a rule of STIX.
    #[error("object {index} is not sound: {reason}")]
    Object {
        /// Its place in the record, from 0.
        index: usize,
        /// The rule.
        reason: StixError,
    },
}

impl Refusal {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::TooLarge
            | Self::Malformed
            | Self::Unprotected
            | Self::Algorithm
            | Self::NotDeterministic
            | Self::UnknownAuthor
            | Self::Signature
            | Self::BodyHash => Fault::Courier,
            Self::UnknownLayout
            | Self::UnknownCharter
            | Self::UnknownSuite
            | Self::UnknownDictionary
            | Self::FutureDated
            | Self::Stale
            | Self::Expired
            | Self::Ended => Fault::Nobody,
            Self::BeforeAdmission
            | Self::Chain
            | Self::OverBudget
            | Self::Expiry
            | Self::BodyMalformed
            | Self::AmbiguousStanza
            | Self::Stanza
            | Self::Commitment
            | Self::Decryption
            | Self::OpenBeyondFloor(_)
            | Self::Content
            | Self::Forwarded(_)
            | Self::Object { .. } => Fault::Author,
        }
    }

    /// Whether the same bytes could be accepted later.
    pub fn permanence(&self) -> Permanence {
        match self {
            Self::UnknownLayout
            | Self::UnknownCharter
            | Self::UnknownSuite
            | Self::UnknownDictionary
            | Self::FutureDated
            | Self::Stale
            // Healing takes its header, and the clock may be wrong.
            | Self::Expired
            | Self::OverBudget => Permanence::Deferred,
            _ => Permanence::Permanent,
        }
    }

    /// The reason's short name, for metrics, audit lines and comparison.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::Malformed => "malformed",
            Self::Unprotected => "unprotected",
            Self::Algorithm => "algorithm",
            Self::NotDeterministic => "not-deterministic",
            Self::UnknownLayout => "unknown-layout",
            Self::UnknownCharter => "unknown-charter",
            Self::UnknownAuthor => "unknown-author",
            Self::Signature => "signature",
            Self::Ended => "ended",
            Self::BeforeAdmission => "before-admission",
            Self::Chain => "chain",
            Self::FutureDated => "future-dated",
            Self::Stale => "stale",
            Self::Expired => "expired",
            Self::OverBudget => "over-budget",
            Self::Expiry => "expiry",
            Self::BodyHash => "body-hash",
            Self::BodyMalformed => "body-malformed",
            Self::UnknownSuite => "unknown-suite",
            Self::UnknownDictionary => "unknown-dictionary",
            Self::AmbiguousStanza => "ambiguous-stanza",
            Self::Stanza => "stanza",
            Self::Commitment => "commitment",
            Self::Decryption => "decryption",
            Self::OpenBeyondFloor(_) => "open-beyond-floor",
            Self::Content => "content",
            Self::Forwarded(flaw) => flaw.name(),
            Self::Object { .. } => "object",
        }
    }
}
