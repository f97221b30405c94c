//! What the index needs to know about an entry. Only those who can open bodies know it, so it is
//! handed in with a commit and asked for again when the log is replayed.

use hanse_protocol::identity::{Handle, RecordId};
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;

use super::entry::{Entry, RecordEntry};

/// What a record's header and, if it was read, its body say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordFacts {
    /// The member who signed.
    pub author: Handle,
    /// The signing node of that member.
    pub lane: u16,
    /// The lane's epoch.
    pub epoch: u32,
    /// The number in that lane and epoch.
    pub seq: u64,
    /// When the author says it was made.
    pub created: Timestamp,
    /// When it stops counting.
    pub expires: Timestamp,
    /// The objects of a readable body, in their order there; empty if it was not read. For an
    /// entry that says a body is gone: the objects of the body that went.
    pub objects: Vec<ObjectFacts>,
    /// Of a retraction: what it takes back, that which the header names first.
    pub retracts: Vec<RecordId>,
}

/// What one STIX object is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectFacts {
    /// The object's STIX id.
    pub object_id: String,
    /// Its version: `modified`, else `created`, else when the record was made.
    pub version: Timestamp,
    /// Its marking: who may not see that level does not find it.
    pub tlp: Tlp,
    /// How much its author struck out of it for its readers; zero as issued.
    pub redacted: u16,
    /// Canonical keys of the observables in it, as bytes.
    pub observables: Vec<Vec<u8>>,
}

/// Works out facts from entries when the log is replayed. Entries come in their order in the log,
/// so charters come before the records made under them and an implementation may learn from them.
/// When an index turns out to be unusable half way, all are shown again from the first.
pub trait Derive {
    /// The facts of `entry`. `header` is given with a [`Entry::Body`]: the record it belongs to.
    /// `None` for entries that have none (charters, audit lines, notes) and for records that
    /// cannot be read; those are counted in [`super::Opening::underived`] and not indexed.
    fn facts(&mut self, entry: &Entry, header: Option<&RecordEntry>) -> Option<RecordFacts>;
}
