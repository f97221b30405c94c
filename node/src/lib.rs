//! The Hanse node, binary `hansed`.
//!
//! # Tasks
//!
//! | task | owns | hears | says |
//! |---|---|---|---|
//! | mesh | the swarm | bounded commands | events to the receiver, answers |
//! | receiver | nothing | the mesh's events | work to the exchange, verdicts to the mesh |
//! | exchange (one OS thread) | all writing, the signing key | two bounded queues, ours and the peers', in turns, drained in batches | one reply a request; a new position on a watch channel |
//! | sender, healer, forwarder | a cursor each | the position watch, a timer, nudges | mesh or exchange commands |
//! | api | the listener | HTTP; a read-only store on blocking threads | exchange commands |
//!
//! # Invariants
//!
//! 1. Only the exchange writes.
//! 2. A client, subscriber or cursor is told after a fact is durable, never before; passing on
//!    another's record needs only `Admitted`.
//! 3. Plaintext of a sealed body is never gossiped, logged or shown by Debug.
//! 4. Every change of state leaves an audit line in the same commit.
//! 5. The record log, the audit log and the charters are ground; the index is derived and can be
//!    rebuilt by `hansed reindex`.
//! 6. Every queue and list has a named bound.
//! 7. No local policy decides what others may see of a record that is not ours.
//! 8. Time enters through [`clock`] only.
//! 9. TLP is code; a policy can only narrow what TLP allows.

pub mod api;
pub mod clock;
pub mod clocks;
pub mod command;
pub mod daemon;
pub mod exchange;
pub mod forwarder;
pub mod heads;
pub mod healer;
pub mod keystore;
pub mod logging;
pub mod member;
pub mod mesh;
pub mod metrics;
pub mod policy;
pub mod presence;
pub mod reading;
pub mod receiver;
pub mod sender;
pub mod settings;
pub mod sharing;
pub mod store;
pub mod tokens;

/// This program and its version, as it tells peers and users.
pub const AGENT: &str = concat!("hansed/", env!("CARGO_PKG_VERSION"));
