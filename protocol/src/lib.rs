//! What Hanse nodes say to each other: identities, charters, records, seals, and the ladder of
//! checks that takes bytes from a stranger to something a member may believe.
//!
//! This crate does no I/O, reads no clock and draws no randomness of its own: time and randomness
//! are arguments. Everything that is read from a peer is bounded by [`limits`], and everything that
//! is refused is refused with a reason that can be compared.

pub mod admission;
pub mod audience;
pub mod audit;
pub mod charter;
pub mod compress;
pub mod content;
pub mod forwarded;
pub mod frame;
pub mod heal;
pub mod identity;
pub mod json;
pub mod limits;
pub mod local;
pub mod observable;
pub mod pattern;
pub mod presence;
pub mod receipt;
pub mod reconcile;
pub mod record;
pub mod redact;
pub mod refusal;
pub mod retraction;
pub mod seal;
pub mod stix;
pub mod timestamp;
pub mod tlp;

#[cfg(test)]
mod league;
