//! The Hanse SDK: a typed client of a node's local HTTP API, reading of STIX input in the shapes it
//! comes in, publishing of any amount of it, and (feature `cli`) the `hanse` command line.

#[cfg(feature = "cli")]
pub mod cli;
pub mod client;
pub mod draft;
pub mod error;
mod events;
pub mod publish;
pub mod source;

#[cfg(test)]
mod fake;

pub use client::{Client, DEFAULT_API};
pub use draft::{Draft, Terms};
pub use error::SdkError;
pub use events::Heard;
pub use hanse_protocol::local;
