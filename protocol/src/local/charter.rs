//! The local API's types for what changes a charter: a change makes a proposal, stewards endorse it,
//! and the last one needed puts it in force.

use serde::{Deserialize, Serialize};

use crate::identity::{CommunityId, Handle};
use crate::timestamp::Timestamp;
use crate::tlp::Tlp;

/// What a charter is to say otherwise than the one in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Change {
    /// Admit who wrote a request.
    Admit {
        /// The request file's text.
        file: String,
        /// Its fingerprint as the other side read it.
        fingerprint: String,
    },
    /// End a membership at what is held of it.
    Expel {
        /// Whose.
        member: Handle,
    },
    /// Other stewards, another threshold.
    Stewards {
        /// All that are to be stewards.
        stewards: Vec<Handle>,
        /// How many of them must sign; more than half.
        threshold: u32,
    },
    /// Add another node of a member: with lane, signing key and sealing key of its own.
    AddLane {
        /// The text of the request that the other node wrote, under the member's handle.
        file: String,
        /// Its fingerprint as the member read it.
        fingerprint: String,
    },
    /// Close a lane at what is held of it: its node is shut out.
    CloseLane {
        /// Whose.
        member: Handle,
        /// Which.
        lane: u16,
        /// A signing key to close as well, named by its id (16 hexadecimal digits): a stolen node
        /// could sign for another lane with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
    /// Close a signing key at what is held that it signed.
    CloseKey {
        /// Whose.
        member: Handle,
        /// Its id, 16 hexadecimal digits.
        key: String,
    },
    /// List the new keys of a node.
    Rotate {
        /// The text of the request that `hansed rotate` wrote.
        file: String,
        /// Its fingerprint as the member read it.
        fingerprint: String,
    },
    /// The marking of objects that bear none.
    Unmarked {
        /// The marking.
        tlp: Tlp,
    },
    /// What one author may send a day.
    Budget {
        /// Bytes of headers and bodies.
        bytes: u64,
        /// Records.
        records: u32,
    },
    /// How long records are kept.
    Horizon {
        /// Days.
        days: u32,
    },
    /// Where a node may be dialled.
    Addresses {
        /// Whose.
        member: Handle,
        /// Its lane.
        lane: u16,
        /// Multiaddresses; none for a node that only dials out.
        addresses: Vec<String>,
    },
    /// Other recovery keys.
    Recovery {
        /// All that are to count, public keys of 64 hexadecimal digits.
        keys: Vec<String>,
    },
    /// Change nothing but the dates.
    Renew {},
    /// Join the two sides of a fork.
    JoinFork {
        /// The other side's charter by its hash; absent if only one is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        with: Option<String>,
    },
}

/// `POST /v1/proposals` (role admin): propose a change. With a threshold of one it is in force when
/// the answer comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProposeRequest {
    /// What is to change.
    pub change: Change,
    /// Sign although this node has signed another charter of that version: on the operator's word.
    #[serde(default)]
    pub again: bool,
}

/// `POST /v1/proposals/review`, `/endorse` and `/submit` (role admin): a proposal file. Review tells what
/// it changes and does nothing; endorse signs it; submit takes in the signatures it bears. The last
/// two want its fingerprint, and put it in force when enough have signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProposalFile {
    /// The file's text.
    pub file: String,
    /// The fingerprint as the proposer read it; must be the file's. Not wanted for review.
    #[serde(default)]
    pub fingerprint: String,
    /// As in [`ProposeRequest::again`]; for endorse only.
    #[serde(default)]
    pub again: bool,
}

/// A proposal as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalView {
    /// The version it would be.
    pub version: u64,
    /// Its hash, hexadecimal.
    pub hash: String,
    /// What stewards read to each other.
    pub fingerprint: String,
    /// When it was issued.
    pub issued: Timestamp,
    /// What it changes against the charter in force, a sentence each.
    pub changes: Vec<String>,
    /// Stewards who signed.
    pub endorsed: Vec<Handle>,
    /// Whether a recovery key signed.
    pub recovery: bool,
    /// Signatures that count so far.
    pub valid: usize,
    /// Signatures needed.
    pub needed: usize,
}

/// Answer to [`ProposeRequest`], and to a file that was endorsed or submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalReply {
    /// The proposal.
    pub proposal: ProposalView,
    /// Its file, with all signatures known here, to mail on.
    pub file: String,
    /// Whether it is in force now.
    pub in_force: bool,
}

/// A charter beside the one in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkView {
    /// Its version.
    pub version: u64,
    /// Its hash, hexadecimal.
    pub hash: String,
    /// Whether the fork is open; otherwise it was joined.
    pub open: bool,
    /// Its stewards that signed it.
    pub endorsed: Vec<Handle>,
    /// What it says otherwise than the charter in force, a sentence each.
    pub changes: Vec<String>,
}

/// The newest head of a steward that counts for the charter in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadView {
    /// The steward.
    pub steward: Handle,
    /// When it said that this charter is the newest; absent if it has not.
    pub at: Option<Timestamp>,
}

/// A signing key that a charter lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// Whose.
    pub member: Handle,
    /// Its id, 16 hexadecimal digits.
    pub key: String,
    /// Where it ended, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<String>,
}

/// A lane that a charter lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneView {
    /// Whose.
    pub member: Handle,
    /// Its number.
    pub lane: u16,
    /// Its node's libp2p peer id.
    pub peer_id: String,
    /// Where it may be dialled.
    pub addresses: Vec<String>,
    /// Where it ended, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<String>,
}

/// A membership that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndingView {
    /// Whose.
    pub member: Handle,
    /// Where: what still counts of each lane.
    pub closed: String,
}

/// Answer to `GET /v1/community` (role read): the charter in force and what is known beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommunityView {
    /// The community.
    pub id: CommunityId,
    /// Its name.
    pub name: String,
    /// The charter's version.
    pub version: u64,
    /// Its hash, hexadecimal.
    pub hash: String,
    /// When it was issued.
    pub issued: Timestamp,
    /// When it expires.
    pub expires: Timestamp,
    /// Its stewards.
    pub stewards: Vec<Handle>,
    /// How many of them must sign.
    pub threshold: u32,
    /// Recovery keys by their ids.
    pub recovery: Vec<String>,
    /// The marking of objects that bear none.
    pub unmarked: Tlp,
    /// Bytes one author may send a day.
    pub budget_bytes: u64,
    /// Records one author may send a day.
    pub budget_records: u32,
    /// Days that records are kept.
    pub horizon_days: u64,
    /// Proposals known here that may still come into force.
    pub proposals: Vec<ProposalView>,
    /// Charters beside the one in force.
    pub forks: Vec<ForkView>,
    /// Why nothing is sealed now, if nothing is.
    pub frozen: Option<String>,
    /// What each steward said last.
    pub heads: Vec<HeadView>,
    /// Signing keys.
    pub keys: Vec<KeyView>,
    /// Lanes.
    pub lanes: Vec<LaneView>,
    /// Memberships that ended.
    pub endings: Vec<EndingView>,
}
