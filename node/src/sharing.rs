//! Who gets what of a publication, and why: markings set the floor, policies answer for every partner, and
//! what an audience may not see is cut before anything is packed. Pure but for what it is told of objects
//! published elsewhere: the same input gives the same plan, so that a preview is what is sent.

use std::collections::BTreeSet;

use hanse_protocol::identity::Handle;
use hanse_protocol::redact::Rules;
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;

use crate::heads::Freeze;
use crate::policy::{Policies, Roster};

pub(crate) mod answers;
pub(crate) mod handed;
pub(crate) mod items;
pub(crate) mod papers;
pub(crate) mod plan;
pub(crate) mod references;
pub mod token;

/// What holds for all objects of a publication.
#[derive(Clone, Debug)]
pub(crate) struct Terms<'a> {
    /// Who publishes.
    pub(crate) own: &'a Handle,
    /// What objects without a marking count as.
    pub(crate) unmarked: Tlp,
    /// Below which none of the objects is read, whatever its marking.
    pub(crate) floor: Tlp,
    /// The readers that the publisher named, if it named any.
    pub(crate) to: Option<&'a BTreeSet<Handle>>,
    /// When it is decided.
    pub(crate) now: Timestamp,
    /// Why nothing is sealed now, if nothing is.
    pub(crate) frozen: Option<Freeze>,
}

/// What rulings are made from.
pub(crate) struct Rulebook<'a> {
    /// The policies in force.
    pub(crate) policies: &'a Policies,
    /// The partners, by class.
    pub(crate) roster: &'a Roster,
    /// What replacement ids and pseudonyms hang on.
    pub(crate) secret: &'a [u8; 32],
    /// What is known of objects that are referred to and were published elsewhere.
    pub(crate) elsewhere: &'a dyn references::Elsewhere,
}

impl Rulebook<'_> {
    /// What the names that redactions use mean.
    pub(crate) fn rules(&self) -> &Rules {
        self.policies.rules()
    }
}
