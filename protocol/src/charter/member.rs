//! A member of a community as its charter tells: who it is, its keys, its lanes, and where each of
//! them ended.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use serde::{Deserialize, Serialize};

use super::CharterError;
use crate::identity::keys::{SealingPublic, VerifyingKey};
use crate::identity::{Handle, KeyId, NodeId, RecordId};
use crate::limits;
use crate::seal::SUITE_X25519;
use crate::timestamp::Timestamp;

/// What kind of organisation a member is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[cbor(index_only)]
#[serde(rename_all = "lowercase")]
pub enum MemberKind {
    /// A city or other local authority.
    #[n(0)]
    City,
    /// A company.
    #[n(1)]
    Company,
    /// A utility: water, energy, waste, transport.
    #[n(2)]
    Utility,
    /// A hospital or other care provider.
    #[n(3)]
    Hospital,
    /// A public agency or regulator.
    #[n(4)]
    Agency,
    /// A CERT or CSIRT.
    #[n(5)]
    Cert,
    /// An information sharing and analysis centre.
    #[n(6)]
    Isac,
}

impl MemberKind {
    /// Every kind with its name.
    pub const NAMES: [(Self, &'static str); 7] = [
        (Self::City, "city"),
        (Self::Company, "company"),
        (Self::Utility, "utility"),
        (Self::Hospital, "hospital"),
        (Self::Agency, "agency"),
        (Self::Cert, "cert"),
        (Self::Isac, "isac"),
    ];
}

impl fmt::Display for MemberKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES
            .iter()
            .find(|(kind, _)| kind == self)
            .map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for MemberKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::NAMES.iter().find(|(_, name)| *name == text);
        known.map(|(kind, _)| *kind).ok_or_else(|| {
            format!(
                "`{text}` is no kind of member: city, company, utility, hospital, agency, cert or isac is"
            )
        })
    }
}

/// Who an organisation says it is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its handle in the community.
    #[n(0)]
    pub handle: Handle,
    /// Its display name.
    #[n(1)]
    pub name: String,
    /// What kind of organisation it is.
    #[n(2)]
    pub kind: MemberKind,
    /// Its sector, such as `water`, in lower case; empty if none is told.
    #[n(3)]
    pub sector: String,
    /// Its country, two capital letters (ISO 3166-1 alpha-2).
    #[n(4)]
    pub country: String,
}

impl Profile {
    /// Checks lengths and spellings; the reason names the field.
    pub fn check_form(&self) -> Result<(), &'static str> {
        let printable = |text: &str| text.len() <= limits::NAME && !text.chars().any(char::is_control);
        if self.name.is_empty() || !printable(&self.name) {
            return Err("a member's name is empty, too long or not printable");
        }
        if !printable(&self.sector) {
            return Err("a member's sector is too long or not printable");
        }
        if self.country.len() != 2 || !self.country.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err("a member's country is not two capital letters");
        }
        Ok(())
    }
}

/// An unbroken run of a lane's records that still count after an ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AcceptedRun {
    /// The lane.
    #[n(0)]
    pub lane: u16,
    /// The epoch.
    #[n(1)]
    pub epoch: u32,
    /// The first sequence number that counts.
    #[n(2)]
    pub first: u64,
    /// The last sequence number that counts.
    #[n(3)]
    pub last: u64,
    /// The id of that last record.
    #[n(4)]
    pub id: RecordId,
}

impl AcceptedRun {
    /// Whether the record of `lane` at (`epoch`, `seq`) named `id` lies within what still counts.
    pub fn covers(&self, lane: u16, epoch: u32, seq: u64, id: &RecordId) -> bool {
        (self.lane, self.epoch) == (lane, epoch)
            && (self.first..=self.last).contains(&seq)
            && (seq != self.last || *id == self.id)
    }

    fn check_form(&self) -> bool {
        1 <= self.first && self.first <= self.last
    }

    /// Whether `next` begins behind this run.
    fn precedes(&self, next: &Self) -> bool {
        (self.lane, self.epoch, self.last) < (next.lane, next.epoch, next.first)
    }
}

/// Where something ended: the runs of records that still count. What no run covers does not, not even
/// below a number that does: who sees the ending coming could otherwise take a number far ahead, and
/// sign the ones below it afterwards.
pub type Closing = Vec<AcceptedRun>;

/// A key that a member signs records with.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct MemberSigningKey {
    /// The key.
    #[n(0)]
    pub key: VerifyingKey,
    /// Where it ended, if it did.
    #[n(1)]
    pub closed: Option<Closing>,
}

/// A public key of a suite.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SuiteKey {
    /// A key of suite 1.
    X25519(SealingPublic),
    /// A key of a suite that this version does not know: carried, never sealed to.
    Unknown {
        /// The suite.
        suite: u8,
        /// The key, 1 to [`limits::SUITE_KEY`] bytes.
        key: Vec<u8>,
    },
}

impl SuiteKey {
    /// The number of its suite.
    pub const fn suite(&self) -> u8 {
        match self {
            Self::X25519(_) => SUITE_X25519,
            Self::Unknown { suite, .. } => *suite,
        }
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::X25519(key) => key.as_bytes(),
            Self::Unknown { key, .. } => key,
        }
    }

    /// The key, if it is one of suite 1.
    pub const fn x25519(&self) -> Option<&SealingPublic> {
        match self {
            Self::X25519(key) => Some(key),
            Self::Unknown { .. } => None,
        }
    }

    fn from_bytes(suite: u8, bytes: &[u8]) -> Result<Self, &'static str> {
        if suite == SUITE_X25519 {
            let key = bytes.try_into().map_err(|_| "a sealing key is not 32 bytes")?;
            let key = SealingPublic::from_bytes(key);
            return key.map(Self::X25519).map_err(|_| "a sealing key is weak");
        }
        if suite == 0 || !(1..=limits::SUITE_KEY).contains(&bytes.len()) {
            return Err("a sealing key is empty, too long or of suite 0");
        }
        let key = bytes.to_vec();
        Ok(Self::Unknown { suite, key })
    }
}

/// A key that is sealed to: the CBOR array `[suite, key, closed]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberSealingKey {
    /// The key.
    pub key: SuiteKey,
    /// Whether nothing is sealed to it any longer.
    pub closed: bool,
}

impl<C> Encode<C> for MemberSealingKey {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(3)?.u8(self.key.suite())?.bytes(self.key.as_bytes())?;
        e.bool(self.closed)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for MemberSealingKey {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        if d.array()? != Some(3) {
            return Err(decode::Error::message("a sealing key has three parts"));
        }
        let suite = d.u8()?;
        let key = SuiteKey::from_bytes(suite, d.bytes()?).map_err(decode::Error::message)?;
        let closed = d.bool()?;
        Ok(Self { key, closed })
    }
}

/// One signing node of a member.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Lane {
    /// Its number, unique in the member.
    #[n(0)]
    pub number: u16,
    /// The node's key, from which its peer id follows.
    #[n(1)]
    pub node: NodeId,
    /// Where it may be dialled: multiaddresses in text form. Empty for a node that only dials out.
    #[n(2)]
    pub addresses: Vec<String>,
    /// Where it ended, if it did.
    #[n(3)]
    pub closed: Option<Closing>,
}

/// A member as a charter lists it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Member {
    /// Its handle: unique, never changed.
    #[n(0)]
    pub handle: Handle,
    /// Who it is.
    #[n(1)]
    pub profile: Profile,
    /// Since when it is a member; no record of it is dated earlier.
    #[n(2)]
    pub admitted: Timestamp,
    /// Its signing keys, ended ones included.
    #[n(3)]
    pub signing: Vec<MemberSigningKey>,
    /// Its sealing keys, ended ones included.
    #[n(4)]
    pub sealing: Vec<MemberSealingKey>,
    /// Its signing nodes, ended ones included.
    #[n(5)]
    pub lanes: Vec<Lane>,
    /// Where the membership ended, if it did.
    #[n(6)]
    pub ended: Option<Closing>,
}

impl Member {
    /// The X25519 keys that are sealed to now: one of each of its nodes.
    pub fn sealing_keys(&self) -> impl Iterator<Item = &SealingPublic> {
        let open = self.sealing.iter().filter(|key| !key.closed);
        open.filter_map(|sealing| sealing.key.x25519())
    }

    /// The X25519 key that is sealed to now.
    pub fn sealing_key(&self) -> Option<&SealingPublic> {
        let mut open = self.sealing.iter().filter(|key| !key.closed);
        open.find_map(|sealing| sealing.key.x25519())
    }

    /// The lane of that number, ended or not.
    pub fn lane(&self, number: u16) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.number == number)
    }

    /// Whether anything ended that touches what `key` signs in `lane`.
    pub fn has_ended(&self, lane: u16, key: KeyId) -> bool {
        self.ended.is_some()
            || self.lane(lane).is_some_and(|lane| lane.closed.is_some())
            || self
                .signing
                .iter()
                .any(|signing| signing.key.id() == key && signing.closed.is_some())
    }

    /// Whether a record of this member, signed with `key`, lies within every ending that touches it.
    pub fn accepts(&self, key: &VerifyingKey, lane: u16, epoch: u32, seq: u64, id: &RecordId) -> bool {
        let within = |closing: &Option<Closing>| match closing {
            None => true,
            Some(runs) => runs.iter().any(|run| run.covers(lane, epoch, seq, id)),
        };
        within(&self.ended)
            && self.lane(lane).is_some_and(|lane| within(&lane.closed))
            && self
                .signing
                .iter()
                .any(|signing| signing.key == *key && within(&signing.closed))
    }

    pub(super) fn check_form(&self) -> Result<(), CharterError> {
        self.profile.check_form().map_err(CharterError::Form)?;
        let form = |holds: bool, rule: &'static str| {
            if holds {
                Ok(())
            } else {
                Err(CharterError::Form(rule))
            }
        };
        form(
            self.profile.handle == self.handle,
            "a member's profile bears another handle",
        )?;
        form(
            (1..=limits::MEMBER_KEYS).contains(&self.signing.len()),
            "number of signing keys",
        )?;
        form(
            (1..=limits::MEMBER_KEYS).contains(&self.sealing.len()),
            "number of sealing keys",
        )?;
        form((1..=limits::LANES).contains(&self.lanes.len()), "number of lanes")?;
        form(
            self.lanes.is_sorted_by(|a, b| a.number < b.number),
            "lanes out of order or doubled",
        )?;
        for lane in &self.lanes {
            form(lane.addresses.len() <= limits::ADDRESSES, "too many addresses")?;
            form(
                lane.addresses.iter().all(|a| a.len() <= limits::ADDRESS),
                "an address is too long",
            )?;
        }
        let closings = self.signing.iter().map(|key| &key.closed);
        let mut closings = closings
            .chain(self.lanes.iter().map(|lane| &lane.closed))
            .chain([&self.ended]);
        form(
            closings.all(|closing| {
                closing.as_ref().is_none_or(|runs| {
                    runs.len() <= limits::CLOSING_RUNS
                        && runs.iter().all(AcceptedRun::check_form)
                        && runs.is_sorted_by(AcceptedRun::precedes)
                })
            }),
            "runs of an ending are empty, out of order or too many",
        )
    }

    /// Checks that `next` takes back nothing of this member: keys and lanes stay listed, endings
    /// stay as they were or reach no further.
    pub(super) fn check_successor(&self, next: &Self) -> Result<(), CharterError> {
        let kept = |holds: bool, rule: &'static str| {
            if holds {
                Ok(())
            } else {
                Err(CharterError::History(rule))
            }
        };
        kept(self.admitted == next.admitted, "the date of admission")?;
        kept(narrower(&self.ended, &next.ended), "an ended membership")?;
        for old in &self.signing {
            let new = next.signing.iter().find(|new| new.key == old.key);
            kept(
                new.is_some_and(|new| narrower(&old.closed, &new.closed)),
                "a signing key",
            )?;
        }
        for old in &self.sealing {
            let new = next.sealing.iter().find(|new| new.key == old.key);
            kept(new.is_some_and(|new| new.closed || !old.closed), "a sealing key")?;
        }
        for old in &self.lanes {
            let new = next.lane(old.number);
            kept(
                new.is_some_and(|new| new.node == old.node && narrower(&old.closed, &new.closed)),
                "a lane",
            )?;
        }
        Ok(())
    }
}

/// Whether `new` accepts nothing that `old` did not.
fn narrower(old: &Option<Closing>, new: &Option<Closing>) -> bool {
    let Some(old) = old else { return true };
    let Some(new) = new else { return false };
    new.iter().all(|run| {
        old.iter()
            .any(|before| before.first <= run.first && before.covers(run.lane, run.epoch, run.last, &run.id))
    })
}
