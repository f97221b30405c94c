//! Who gets what, and why: previews, policies, and the questions asked of them.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Readers, RefusedObject};
use crate::identity::{Handle, RecordId};
use crate::timestamp::Timestamp;
use crate::tlp::Tlp;

/// Answer to `POST /v1/preview` (role publish), which takes what `POST /v1/records` takes and does nothing:
/// who would get what if it were published now.
#[derive(Debug, Serialize, Deserialize)]
pub struct PreviewReply {
    /// Stands for all of this; a publish request that bears it is refused if anything of it changed.
    pub token: String,
    /// The hash of the policies in force, hexadecimal.
    pub policies: String,
    /// The version of the charter in force.
    pub charter: u64,
    /// The records that would be made.
    pub records: Vec<PreviewRecord>,
    /// Who would see what: partners who are answered alike are told of together.
    pub audiences: Vec<PreviewAudience>,
    /// Objects that nobody would get.
    pub refused: Vec<RefusedObject>,
    /// What whoever publishes should know beside, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Records of one audience that a publish would make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewRecord {
    /// Who could read them.
    pub readers: Readers,
    /// The numbers of their objects in the request, from 0.
    pub objects: Vec<usize>,
    /// The policies that decided.
    pub policies: Vec<String>,
}

/// Partners who are answered alike.
#[derive(Debug, Serialize, Deserialize)]
pub struct PreviewAudience {
    /// The partners.
    pub partners: Vec<Handle>,
    /// The answer for each object, in the order of the request; none for those that are no sound STIX.
    pub objects: Vec<PreviewObject>,
}

/// What partners are answered about one object.
#[derive(Debug, Serialize, Deserialize)]
pub struct PreviewObject {
    /// Its number in the request, from 0.
    pub index: usize,
    /// Its STIX id.
    pub id: String,
    /// Its marking.
    pub tlp: Tlp,
    /// Whether they would get it.
    pub shared: bool,
    /// Whether it would travel in the open, so that whoever joins later reads it, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
    /// The policies that decided; none if no policy allows it.
    pub policies: Vec<String>,
    /// Why they would not get it, where it is not a policy that says no: the marking, a broken policy, or
    /// that nothing sound is left of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For how many seconds a policy wants it to wait. Nothing waits yet: it would not be sent to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<u64>,
    /// What would be struck out of it, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub struck: Vec<String>,
    /// The text they would see; absent if it is the object as it was handed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Box<RawValue>>,
}

/// A file of policies, as a folder holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyText {
    /// Its name: `water.cedar`, `members.toml`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// `POST /v1/policy/check` (role read): what is to be said of policies. Changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyCheckRequest {
    /// The files of a folder; absent: the policies in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<PolicyText>>,
}

/// Answer to [`PolicyCheckRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyCheckReply {
    /// The hash of the set, hexadecimal; absent if it does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Whether it is the set in force.
    pub in_force: bool,
    /// Its policies.
    pub policies: Vec<PolicyPlace>,
    /// What is wrong with it, if it does not hold.
    pub errors: Vec<String>,
    /// What is probably a mistake.
    pub lints: Vec<PolicyLint>,
    /// Its expectations, held against it.
    pub tests: Vec<PolicyTest>,
}

/// Where a policy stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyPlace {
    /// Its id.
    pub id: String,
    /// Its file.
    pub file: String,
    /// Its line.
    pub line: u32,
}

/// What is probably a mistake in policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyLint {
    /// The file.
    pub file: String,
    /// The line; 0 for the file as a whole.
    pub line: u32,
    /// The policy, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// What it is, a sentence.
    pub finding: String,
}

/// An expectation of `tests.toml`, held against its policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyTest {
    /// What it is called.
    pub name: String,
    /// Its line.
    pub line: u32,
    /// What the policies answered.
    pub answered: String,
    /// The policies that decided.
    pub policies: Vec<String>,
    /// Why it does not hold; absent if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// `POST /v1/policy/explain` (role read): why a partner got a record of this node's own, or did not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// The record.
    pub record: RecordId,
    /// The partner.
    pub partner: Handle,
}

/// Answer to [`ExplainRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Whether the partner can open the record.
    pub reader: bool,
    /// With policies and charter of then, which are kept; absent if they cannot be read any longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Explained>,
    /// With those in force now.
    pub now: Explained,
}

/// What policies say at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// When.
    pub at: Timestamp,
    /// The hash of the policies, hexadecimal.
    pub policies: String,
    /// The version of the charter.
    pub charter: u64,
    /// The answer for each kind of object in the record.
    pub items: Vec<ExplainedItem>,
}

/// What policies say of objects that they cannot tell apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedItem {
    /// Their STIX type.
    pub kind: String,
    /// Their marking.
    pub tlp: Tlp,
    /// How many of the record's objects these are.
    pub objects: usize,
    /// Whether the partner gets them.
    pub shared: bool,
    /// The policies that decide; none if no policy allows it.
    pub policies: Vec<String>,
    /// Why not, where it is not a policy that forbids it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
