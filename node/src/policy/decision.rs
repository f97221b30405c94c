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

/// Whether a member gets an item, and which policies said so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decision {
    /// Yes or no.
    pub allowed: bool,
    /// The policies that decided, by their ids; none if no policy allowed it.
    pub deciding: BTreeSet<String>,
    /// Whether one of them names this very member (`principal == Member::"x"`).
    pub names_member: bool,
    /// What must be kept to.
    pub obligations: Obligations,
    /// What went wrong in evaluating, if something did: then the answer is no.
    pub error: Option<String>,
}
