//! The types of the daemon's local HTTP/JSON API, shared by the daemon and the SDK. All of it is
//! under `/v1`, with a bearer token; errors are RFC 9457 problems ([`Problem`]).

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::audit::{AuditLine, Head};
use crate::charter::member::{MemberKind, Profile};
use crate::identity::{CommunityId, Handle, RecordId};
use crate::record::Kind;
use crate::timestamp::Timestamp;
use crate::tlp::Tlp;

pub mod charter;
pub mod quarantine;
pub mod sharing;
pub mod span;
pub mod status;

pub use charter::*;
pub use quarantine::*;
pub use sharing::*;
pub use status::*;

/// Largest request body, bytes: one batch of a bulk publish.
pub const REQUEST: usize = 8 << 20;

/// Most objects in one publish request.
pub const PUBLISH_OBJECTS: usize = 5_000;

/// Small objects of one audience that the daemon puts into one record. A publisher whose requests
/// hold multiples of this leaves no record half filled.
pub const RECORD_OBJECTS: usize = 200;

/// Most matches or records in one answer.
pub const PAGE: usize = 1_000;

/// What a token allows. A token has one or more of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Search and look.
    Read,
    /// Publish records in the member's name.
    Publish,
    /// Change membership.
    Admin,
}

/// Answer to `GET /v1/communities` (role read): what this node belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommunitiesReply {
    /// The communities, the first one first. The first answers under `/v1` as well as by its name.
    pub communities: Vec<CommunityEntry>,
}

/// A community of the node: [`CommunitiesReply`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommunityEntry {
    /// What it is called on this machine: its routes are under `/communities/{name}/v1`.
    pub name: String,
    /// Who this organisation is in it.
    pub member: Handle,
    /// Its id; absent before one was founded or joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub community: Option<CommunityId>,
    /// What its charter calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Version of the charter in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charter: Option<u64>,
}

/// `POST /v1/records` (role publish): objects to publish, together in as few records as their
/// audiences allow. Up to 200 small objects for one audience are one record and one commit.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishRequest {
    /// STIX 2.1 objects; they travel byte for byte.
    pub objects: Vec<Box<RawValue>>,
    /// Readers; absent for everybody whom the markings allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Vec<Handle>>,
    /// Marking of objects that bear none, and the least of those that do. Absent: the charter's
    /// default for unmarked objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tlp: Option<Tlp>,
    /// When the records expire; absent: after the charter's horizon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The token of a preview: nothing is published unless it would go exactly as previewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
}

/// Who reads a record: `"all"` or a list of members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Readers {
    /// The word `all`: the whole community, future members included.
    Community(All),
    /// These members; the author reads it too.
    Members(Vec<Handle>),
}

/// The word `"all"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum All {
    /// The whole community.
    All,
}

/// A record that was published: it is on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Its id.
    pub id: RecordId,
    /// Its place in this node's log.
    pub position: u64,
    /// How many objects it holds.
    pub objects: usize,
    /// Who can read it.
    pub readers: Readers,
}

/// An object that was not published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedObject {
    /// Its place in the request, from 0.
    pub index: usize,
    /// Why.
    pub reason: String,
}

/// Answer to [`PublishRequest`], given after the commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishReply {
    /// What was published.
    pub records: Vec<Published>,
    /// What was not.
    pub refused: Vec<RefusedObject>,
    /// What whoever published should know beside, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// `POST /v1/search` (role read): which objects hold this observable? In the body, so that no value
/// appears in a URL or log.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchRequest {
    /// An address, network, domain, URL, e-mail address or file hash, defanged or not; or a STIX
    /// object id.
    pub value: String,
    /// Most matches wanted; at most [`PAGE`], which is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// One object that matched.
#[derive(Debug, Serialize, Deserialize)]
pub struct Match {
    /// The record it came in.
    pub record: RecordId,
    /// The member that signed the record.
    pub author: Handle,
    /// Where it came from, if that member passed it on from another community.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<ForwardedFrom>,
    /// How it may be shared.
    pub tlp: Tlp,
    /// How much its author struck out of it for its readers; zero as issued.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub redacted: u16,
    /// The object as it was signed.
    pub object: Box<RawValue>,
}

fn is_zero(count: &u16) -> bool {
    *count == 0
}

/// Where a forwarded record came from. The signature of `key` over it, bound to `community`, was verified
/// here. That the key is `author`'s there is the word of the member who passed it on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardedFrom {
    /// The community it was signed in.
    pub community: CommunityId,
    /// Who signed it there.
    pub author: Handle,
    /// Its id there.
    pub record: RecordId,
    /// The key that signed it, 64 hexadecimal digits.
    pub key: String,
}

/// Answer to [`SearchRequest`].
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct SearchReply {
    /// Matches, newest first.
    pub matches: Vec<Match>,
    /// Whether there are more than the limit let through.
    #[serde(default)]
    pub more: bool,
}

/// How much of a record this node holds and can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Readable {
    /// Opened and sound.
    Readable,
    /// Opened and sound, but a person is to look at it before it is shown: the receiving policy says so.
    Quarantined,
    /// Opened and sound, but not shown: the receiving policy, or who reviewed it, says so.
    Refused,
    /// Sealed to others, or of a kind of a later version.
    Opaque,
    /// The header is here, the body not yet.
    Awaited,
    /// Ours to read, but its content was refused.
    Unsound,
    /// The body was taken back or has expired.
    Gone,
    /// The header is here; the body is not held: its author was over its budget, or it was sealed to
    /// others and given up for room.
    Shed,
}

/// A record as this node holds it: `GET /v1/records/{id}`, one line of `GET /v1/records`, and the
/// data of an event.
///
/// `GET /v1/events?after=POSITION&objects=BOOL` (role read) is a `text/event-stream` of every record
/// at the entry that completes it, from a position on, or from now on. An event `record` has the
/// record's position as its id. The id of the last event, as `Last-Event-ID` or `after`, is where to
/// go on: nothing is missed or doubled. A comment with an id comes first, and whenever nothing else
/// came for 15 s. An event `gap` has a [`Gap`] as its data. An event `problem` has a [`Problem`] as its data and is the last one; otherwise
/// the stream ends when the node stops. Line breaks between the tokens of an object read as LF,
/// however it was issued.
#[derive(Debug, Serialize, Deserialize)]
pub struct RecordView {
    /// Its id.
    pub id: RecordId,
    /// Its place in this node's log: that of the entry that completed it.
    pub position: u64,
    /// The member that signed it.
    pub author: Handle,
    /// Where it came from, if that member passed it on from another community.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<ForwardedFrom>,
    /// Which of the author's nodes.
    pub lane: u16,
    /// The lane's epoch.
    pub epoch: u32,
    /// Its number in lane and epoch.
    pub seq: u64,
    /// Whether its author gave this number to another record, too: evidence against it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub equivocation: bool,
    /// The charter version it was signed under.
    pub charter: u64,
    /// When it was signed.
    pub created: Timestamp,
    /// When it expires.
    pub expires: Timestamp,
    /// What it is.
    pub kind: Kind,
    /// The record it replaces, takes back or acknowledges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<RecordId>,
    /// The body's size as it travels, bytes.
    pub body_bytes: u64,
    /// Whether and how it can be read here.
    pub state: Readable,
    /// The objects as they were issued, if readable and allowed for this token. In a listing only
    /// with `objects=true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<Vec<ObjectView>>,
}

/// An object of a record.
#[derive(Debug, Serialize, Deserialize)]
pub struct ObjectView {
    /// How it may be shared.
    pub tlp: Tlp,
    /// How much its author struck out of it for its readers; zero as issued.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub redacted: u16,
    /// The object as it was signed.
    pub object: Box<RawValue>,
}

/// `GET /v1/records?after=POSITION&limit=N&objects=BOOL` (role read): records in the order they
/// became complete here.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct RecordPage {
    /// The records after the position asked for.
    pub records: Vec<RecordView>,
    /// Where to go on from.
    pub next: u64,
    /// Whether there is more now.
    pub more: bool,
    /// Positions among those passed that cannot be read here any longer: what was there rotted on disk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
}

/// A stretch of positions that cannot be read: its part of the disk has rotted. Healing brings the
/// records again, at other positions, once the node was started anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The first position.
    pub first: u64,
    /// The last position.
    pub last: u64,
}

/// One version of an object: `GET /v1/objects/{stix id}` (role read) answers a list of these, the
/// newest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct ObjectReply {
    /// The versions held, of all authors.
    pub versions: Vec<Match>,
}

/// A member as the charter in force lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    /// Its handle.
    pub handle: Handle,
    /// Its display name.
    pub name: String,
    /// What kind of organisation it is.
    pub kind: MemberKind,
    /// Its sector; empty if none is told.
    pub sector: String,
    /// Its country.
    pub country: String,
    /// Since when it is a member.
    pub admitted: Timestamp,
    /// Whether it is a steward.
    pub steward: bool,
    /// Whether its membership has ended.
    pub ended: bool,
    /// Whether this is us.
    pub own: bool,
    /// How many of its nodes are connected to this one now.
    pub connected: usize,
    /// Records of it that are held here.
    pub records: u64,
}

/// Answer to `GET /v1/members` (role read).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembersReply {
    /// The community.
    pub community: CommunityId,
    /// Its name.
    pub name: String,
    /// The charter's version.
    pub charter: u64,
    /// Whether a fork is open: membership does not change then.
    #[serde(default)]
    pub fork: bool,
    /// Members in the order of their handles.
    pub members: Vec<MemberView>,
}

/// Answer to `POST /v1/request` (role admin): the file to give to a steward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestReply {
    /// The file's text.
    pub file: String,
    /// What to read to the steward.
    pub fingerprint: String,
    /// Who asks.
    pub profile: Profile,
}

/// `POST /v1/community` (role admin): found a community with this node's member as its steward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundRequest {
    /// Its display name.
    pub name: String,
    /// Marking of objects that bear none; absent: GREEN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmarked: Option<Tlp>,
    /// Days records are kept; absent: 365.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon_days: Option<u32>,
}

/// Answer to [`FoundRequest`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founded {
    /// The community's id.
    pub community: CommunityId,
    /// The recovery key, hexadecimal: shown this once and kept nowhere.
    pub recovery_key: String,
}

/// `POST /v1/members` (role admin): admit who wrote this request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmitRequest {
    /// The request file's text.
    pub file: String,
    /// The fingerprint as the other side read it; must be the file's.
    pub fingerprint: String,
}

/// Answer to [`AdmitRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// Who was admitted.
    pub member: Handle,
    /// The charter that lists it.
    pub charter: u64,
    /// The invite file's text, to give back.
    pub invite: String,
    /// What to read to the admitted.
    pub fingerprint: String,
}

/// `POST /v1/join` (role admin): join the community of this invite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The invite file's text.
    pub file: String,
    /// The fingerprint as the steward read it; must be the file's.
    pub fingerprint: String,
}

/// Answer to [`JoinRequest`], and to `DELETE /v1/members/{handle}` (role admin), which expels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CharterReply {
    /// The community.
    pub community: CommunityId,
    /// Its name.
    pub name: String,
    /// The charter in force.
    pub charter: u64,
    /// Active members.
    pub members: usize,
}

/// `GET /v1/audit?from=SEQ&limit=N` (role admin): lines of the audit log, from a number on, or from
/// the first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    /// The lines, each with its hash.
    pub lines: Vec<AuditLine>,
    /// The number to go on from.
    pub next: u64,
    /// Whether there are more lines now.
    pub more: bool,
    /// Where the log stood before these lines were read.
    pub head: Head,
}

/// Where an audit log stood, as its node said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardHead {
    /// Lines, and hash of the last.
    #[serde(flatten)]
    pub head: Head,
    /// When the node said so, by its own clock.
    pub at: Timestamp,
}

/// An audit log that lost lines, or whose last line became another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenAudit {
    /// Where it stood before.
    pub was: HeardHead,
    /// What its node said after.
    pub then: HeardHead,
}

/// What another node said of its audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardAudit {
    /// Whose node it is.
    pub member: Handle,
    /// Its libp2p peer id.
    pub peer_id: String,
    /// The furthest that was heard of it.
    pub heard: HeardHead,
    /// The last time it was found cut or written anew, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<BrokenAudit>,
}

/// `GET /v1/audit/heads` (role read): what other nodes said of their audit logs, as this node keeps
/// it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardAudits {
    /// One for each node that was heard.
    pub nodes: Vec<HeardAudit>,
}

/// Answer to `POST /v1/records/{id}/retract` (role publish): takes back a record of this member's own.
/// Every node that hears of it shows its text to nobody any longer, and takes it off its disk. What
/// others have read they have read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetractReply {
    /// The retraction's own id.
    pub id: RecordId,
    /// Its place in this node's log.
    pub position: u64,
}

/// `POST /v1/retain` (role admin): look at what has passed its time now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetainRequest {
    /// The clock is right, although it jumped.
    #[serde(default)]
    pub confirm: bool,
}

/// Answer to [`RetainRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetainReply {
    /// Why nothing leaves by expiry, if nothing does.
    pub held: Option<String>,
}

/// An error (RFC 9457, `application/problem+json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A stable name, `urn:hanse:problem:NAME`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What went wrong in general.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong here, and what to do.
    pub detail: String,
}
