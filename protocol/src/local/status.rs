//! How a node stands, as `GET /v1/status` tells it.

use serde::{Deserialize, Serialize};

use crate::identity::{CommunityId, Handle};
use crate::timestamp::Timestamp;

/// Answer to `GET /v1/status` (role read).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusReply {
    /// Program and version.
    pub agent: String,
    /// This node's member.
    pub member: Handle,
    /// This node's libp2p peer id.
    pub peer_id: String,
    /// Since when it runs.
    pub started: Timestamp,
    /// The community, if it belongs to one.
    pub community: Option<CommunityStatus>,
    /// What the store holds.
    pub store: StoreStatus,
    /// Peers it is connected to.
    pub peers: Vec<PeerStatus>,
    /// Where it listens for peers.
    pub listening: Vec<String>,
    /// Authors that sent more than the charter allows for a day, the oldest day first.
    #[serde(default)]
    pub over_budget: Vec<OverBudget>,
    /// How far this node's clock is from the other members', if that is more than clocks may differ.
    /// Nothing is published then.
    #[serde(default)]
    pub clock: Option<ClockStatus>,
    /// How healing goes.
    #[serde(default)]
    pub healing: HealingStatus,
    /// What is wrong with authors' chains of records.
    #[serde(default)]
    pub chains: ChainsStatus,
    /// What an operator should mend, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// How healing goes: [`StatusReply`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealingStatus {
    /// Records that peers are known to hold and this node lacks, about.
    pub behind: u64,
    /// Records that healing brought since this node started.
    pub records: u64,
    /// Bytes that healing brought since this node started.
    pub bytes: u64,
    /// When a peer was last found to hold nothing that this node lacks.
    #[serde(default)]
    pub last: Option<LastHealed>,
    /// What is being caught up, if anything is.
    #[serde(default)]
    pub catching_up: Option<CatchingUp>,
}

/// When healing was last done: [`HealingStatus`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastHealed {
    /// The member whose node it was.
    pub member: Option<Handle>,
    /// The node's libp2p peer id.
    pub peer_id: String,
    /// When.
    pub at: Timestamp,
}

/// Something missing that is being fetched: [`HealingStatus`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatchingUp {
    /// Since when.
    pub since: Timestamp,
    /// Records that came since.
    pub records: u64,
    /// Bytes that came since.
    pub bytes: u64,
    /// Records a second, on average since then.
    pub records_per_second: u64,
}

/// What is wrong with authors' chains: [`StatusReply`]. Each list tells of at most 64.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainsStatus {
    /// Stretches of numbers that are missing.
    pub gaps: u64,
    /// Some of them.
    pub missing: Vec<MissingNumbers>,
    /// Numbers that an author gave to more than one record: evidence against it.
    pub equivocations: u64,
    /// Some of them.
    pub given_twice: Vec<GivenTwice>,
}

/// Numbers of a chain that are missing while later ones are held: [`ChainsStatus`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingNumbers {
    /// The author.
    pub author: Handle,
    /// Which of its nodes.
    pub lane: u16,
    /// The lane's epoch.
    pub epoch: u32,
    /// The first number missing.
    pub first: u64,
    /// The last one.
    pub last: u64,
}

/// A number that more than one record bears: [`ChainsStatus`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenTwice {
    /// The author.
    pub author: Handle,
    /// Which of its nodes.
    pub lane: u16,
    /// The lane's epoch.
    pub epoch: u32,
    /// The number.
    pub seq: u64,
}

/// An author over its budget: [`StatusReply`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverBudget {
    /// The author.
    pub author: Handle,
    /// When the day of UTC began for which it signed too much.
    pub day: Timestamp,
    /// Records counted for the day.
    pub records: u64,
    /// Bytes counted for the day: headers, and the bodies they name.
    pub bytes: u64,
    /// Records of which this node took only the header, since it started.
    pub without_body: u64,
    /// Times that a header was turned away, since this node started.
    pub refused: u64,
}

/// A clock that is astray: [`StatusReply`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockStatus {
    /// By how many seconds.
    pub seconds: u64,
    /// Whether this node's clock is ahead of the others'.
    pub ahead: bool,
    /// How many other members' clocks were asked.
    pub members: u64,
}

/// The community's part of [`StatusReply`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommunityStatus {
    /// Its id.
    pub id: CommunityId,
    /// Its name.
    pub name: String,
    /// The charter's version.
    pub charter: u64,
    /// The charter's hash, hexadecimal.
    pub charter_hash: String,
    /// When the charter expires.
    pub expires: Timestamp,
    /// Active members.
    pub members: usize,
    /// Whether a fork is open.
    pub fork: bool,
    /// Why nothing is sealed now, if nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<String>,
}

/// The store's part of [`StatusReply`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// The newest position.
    pub position: u64,
    /// Records held.
    pub records: u64,
    /// Headers whose body is still missing.
    pub awaited: u64,
    /// Records in quarantine, which wait for a person; at most some thousands are counted.
    #[serde(default)]
    pub quarantined: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Bytes of the index, as far as its engine tells.
    pub index_bytes: u64,
}

/// A connected peer in [`StatusReply`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// The member it belongs to.
    pub member: Option<Handle>,
    /// Its libp2p peer id.
    pub peer_id: String,
    /// Its address.
    pub address: String,
    /// Bytes received from it over this connection.
    pub bytes_in: u64,
    /// Bytes sent to it over this connection.
    pub bytes_out: u64,
    /// When this node last compared holdings with it.
    pub last_healed: Option<Timestamp>,
}
