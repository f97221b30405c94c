//! Stands in for the crate of this name, through which libp2p reads the time: an instant here is one of
//! Tokio's clock, which the simulation stops and turns on by hand. Elsewhere it is the system's.

pub use std::time::{Duration, SystemTime, SystemTimeError, UNIX_EPOCH};

pub use tokio::time::Instant;
