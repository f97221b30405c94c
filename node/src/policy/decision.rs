//! A policy's answer for one member and one item, with what must be kept to if it is yes.

use std::collections::BTreeSet;
use std::time::Duration;

use hanse_protocol::redact::Redaction;

/// What deciding policies demand. The union applies, and of two the stricter one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Obligations {
    /// What is taken out.
    pub redaction: Redaction,
    /// How long it waits after it was published: the longest demanded.
    pub delay: Duration,
    /// Whether a receipt is asked for.
    pub receipt: bool,
    /// How far back what was published before reaches a member who may read it only now: the shortest
    /// demanded, if any is.
    pub backfill: Option<Duration>,
}

impl Obligations {
    /// Adds what `other` demands: redactions add up, the longer delay and the shorter backfill hold.
    pub fn add(&mut self, other: &Self) {
        self.redaction.add(&other.redaction);
        self.delay = self.delay.max(other.delay);
        self.receipt |= other.receipt;
        self.backfill = match (self.backfill, other.backfill) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
    }

    /// Whether nothing is demanded but a receipt.
    pub fn is_light(&self) -> bool {
        self.redaction.is_empty() && self.delay.is_zero() && self.backfill.is_none()
    }
}

/// Whether a member gets an item, and which policies said so.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decision {
    /// Yes or no.
    pub allowed: bool,
    /// The policies that decided, by their ids; none if no policy allowed it.
    pub deciding: BTreeSet<String>,
    /// Whether one of them names this very member (`principal == Member::"x"`): it would not hold for
    /// another member of equal attributes and circles.
    pub names_member: bool,
    /// What must be kept to.
    pub obligations: Obligations,
    /// What deciding policies want people to be told (`@note`). Changes nothing of what is sent.
    pub notes: BTreeSet<String>,
    /// What went wrong in evaluating, if something did: then the answer is no.
    pub error: Option<String>,
}

/// What becomes of a record that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It is kept.
    Keep,
    /// It waits for a person.
    Quarantine,
    /// It is not kept.
    Drop,
}

impl Verdict {
    /// As expectations and logs write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Quarantine => "quarantine",
            Self::Drop => "drop",
        }
    }
}

/// The answer of the receiving policy for one object that arrived.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acceptance {
    /// What becomes of it.
    pub verdict: Verdict,
    /// The policies that decided, by their ids; none if no policy spoke.
    pub deciding: BTreeSet<String>,
    /// Why it waits or is dropped.
    pub reason: Option<String>,
    /// Whether its author gets a receipt.
    pub receipt: bool,
}
