//! Who gets what, and why: previews, policies, and the questions asked of them.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Readers, RefusedObject};
use crate::identity::Handle;
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
