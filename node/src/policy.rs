//! May we send, and to whom? May we keep it? May it go on to another community? Policies in Cedar answer,
//! read from a folder that people write and read aloud: [`Policies`] is the one door to them. Without a
//! folder the built-in ones answer: whatever its marking allows goes to the community, and named readers
//! get what is meant for them.
//!
//! They answer for one member and one [`Item`] with a [`Decision`]. What the marking forbids is not asked
//! here: that is code, and no policy can widen it.

mod accept;
mod cache;
mod check;
mod decision;
mod duty;
mod entities;
mod error;
mod expect;
mod files;
mod grid;
mod item;
mod lint;
mod place;
mod reads;
mod redaction;
mod roster;
mod rule;
mod schema;
mod set;
mod share;
mod sheet;
mod split;
mod starter;
mod terms;
mod validate;

pub use accept::Arriving;
pub use check::ExpectationResult;
pub use decision::{Acceptance, Decision, Obligations, Verdict};
pub use error::{PolicyError, PolicyErrors, Problem};
pub use files::{FILE_SIZE, FOLDER_SIZE, POLICIES, PolicyFile};
pub use item::Item;
pub use lint::{Finding, Lint};
pub use redaction::RedactionFile;
pub use roster::Roster;
pub use schema::{Action, schema_text};
pub use set::Policies;
pub use share::Forwarding;
pub use starter::starter;

#[cfg(test)]
mod tests;
