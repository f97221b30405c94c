//! Who may read a record.

use std::collections::BTreeSet;

use crate::identity::Handle;

/// Who may read a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Audience {
    /// Whoever is or becomes a member: the body travels in the open inside the community.
    Community,
    /// The named members and the author: the body is sealed to them.
    Members(BTreeSet<Handle>),
}

impl Audience {
    /// Whether `member` may read, the author apart.
    pub fn includes(&self, member: &Handle) -> bool {
        match self {
            Self::Community => true,
            Self::Members(members) => members.contains(member),
        }
    }

    /// Whether nobody may read.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Members(members) if members.is_empty())
    }
}
