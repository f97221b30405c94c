//! May we send, and to whom? May we keep it? May it go on to another community? Policies in Cedar answer,
//! read from a folder that people write and read aloud: [`Policies`] is the one door to them. Without a
//! folder the built-in ones answer: whatever its marking allows goes to the community, and named readers
//! get what is meant for them.
//!
//! They answer for one member and one [`Item`] with a [`Decision`]. What the marking forbids is not asked
//! here: that is code, and no policy can widen it.

use std::collections::BTreeSet;

use hanse_protocol::audience::Audience;
use hanse_protocol::charter::Charter;
use hanse_protocol::identity::Handle;
use hanse_protocol::tlp::Tlp;

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

/// Policy's answer for one object: who may read it and which policy said so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ruling {
    /// It goes to this audience.
    Send {
        /// Who reads it.
        audience: Audience,
        /// The deciding policy.
        policy: &'static str,
    },
    /// It is not sent.
    Hold {
        /// Why, for the person who wanted to send it.
        reason: &'static str,
    },
}

/// Rules on an object of marking `tlp`, wanted for `to` or for everybody it may go to.
///
/// The floor is code and comes first: only CLEAR and GREEN travel in the open, AMBER and stricter
/// are sealed to today's members, RED to nobody but readers named for it.
pub fn rule(tlp: Tlp, to: Option<&BTreeSet<Handle>>, author: &Handle, charter: &Charter) -> Ruling {
    if let Some(named) = to {
        let readers: BTreeSet<Handle> = named.iter().filter(|handle| *handle != author).cloned().collect();
        return if readers.is_empty() {
            Ruling::Hold {
                reason: "no reader but the author is named",
            }
        } else {
            Ruling::Send {
                audience: Audience::Members(readers),
                policy: "named-readers",
            }
        };
    }
    if tlp == Tlp::Red {
        return Ruling::Hold {
            reason: "TLP:RED goes to named readers only; name them with --to",
        };
    }
    if tlp.openly() {
        return Ruling::Send {
            audience: Audience::Community,
            policy: "community",
        };
    }
    let members = charter.active().map(|member| member.handle.clone());
    let readers: BTreeSet<Handle> = members.filter(|handle| handle != author).collect();
    if readers.is_empty() {
        return Ruling::Hold {
            reason: "the community has no other member to seal it to",
        };
    }
    Ruling::Send {
        audience: Audience::Members(readers),
        policy: "members-of-today",
    }
}

impl Ruling {
    /// What the audit log keeps of a ruling: a hash of the audience and the deciding policy.
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("hanse ruling v1");
        match self {
            Self::Send {
                audience: Audience::Community,
                policy,
            } => {
                hasher.update(policy.as_bytes());
            }
            Self::Send {
                audience: Audience::Members(readers),
                policy,
            } => {
                hasher.update(policy.as_bytes());
                for reader in readers {
                    hasher.update(b"\0").update(reader.as_str().as_bytes());
                }
            }
            Self::Hold { reason } => {
                hasher.update(b"hold\0").update(reason.as_bytes());
            }
        }
        *hasher.finalize().as_bytes()
    }
}
