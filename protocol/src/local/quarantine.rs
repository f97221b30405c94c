//! What the receiving policy keeps back until a person has looked at it.

use serde::{Deserialize, Serialize};

use super::RecordView;
use crate::identity::RecordId;
use crate::timestamp::Timestamp;

/// Answer of the receiving policy for a record that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accepted {
    /// It is shown.
    Keep,
    /// A person is to look at it first.
    Quarantine,
    /// It is not shown. It is held and passed on like any other.
    Drop,
}

/// What policies say of a record that arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptanceView {
    /// What becomes of it.
    pub verdict: Accepted,
    /// Ids of the policies that decided; none if no policy spoke.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// Why, in the policies' words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A record in quarantine: `GET /v1/quarantine/{id}` (role read), with its objects as far as the token may
/// see them; and a line of `GET /v1/quarantine`, without.
#[derive(Debug, Serialize, Deserialize)]
pub struct QuarantinedRecord {
    /// The record.
    pub record: RecordView,
    /// Since when.
    pub since: Timestamp,
    /// What the policies of then said.
    pub then: AcceptanceView,
    /// What today's policies say. It stays in quarantine all the same, until somebody releases it.
    pub now: AcceptanceView,
}

/// `GET /v1/quarantine?after=RECORD&limit=N` (role read): what is in quarantine, by the records' ids. Of
/// what lies above the token's ceiling nothing is told.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct QuarantinePage {
    /// The records.
    pub records: Vec<QuarantinedRecord>,
    /// Where to go on from, if there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<RecordId>,
}

/// Answer to `POST /v1/quarantine/{id}/release` and `POST /v1/quarantine/{id}/drop` (role publish). What is
/// released is read, and told to who follows, at the place it has from then on; what was dropped before can
/// be released, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewReply {
    /// The record.
    pub id: RecordId,
    /// Its place in this node's log from now on.
    pub position: u64,
}
