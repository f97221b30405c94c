//! A community's signed membership: stewards and their threshold, members with their keys and
//! lanes, and what the community agreed on. The only source of verifying keys.
//!
//! A charter travels as `[payload, [[signer, key id, signature], ...]]`; the signatures are over
//! the payload under a domain of their own, and the charter's hash is the payload's, so that a
//! charter endorsed by other stewards is the same charter.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use minicbor::{Decode, Encode};

use crate::identity::keys::{SigningKey, VerifyingKey};
use crate::identity::{CommunityId, Handle, KeyId, NodeId};
use crate::limits;
use crate::timestamp::Timestamp;
use crate::tlp::Tlp;

pub mod call;
pub mod chain;
pub mod changes;
pub mod join;
pub mod joining;
pub mod member;
pub mod proposal;
pub mod unread;

pub use chain::CharterChain;
pub use member::{AcceptedRun, Member};
pub use unread::Unread;

/// The hash of a charter's payload.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct CharterHash(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 32]);

impl fmt::Display for CharterHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for CharterHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CharterHash({self})")
    }
}

/// How a record or a peer names a charter: its version and the first eight bytes of its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct CharterRef {
    /// The charter's version.
    #[n(0)]
    pub version: u64,
    /// The first eight bytes of the charter's hash.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub hash: [u8; 8],
}

/// What one author may send a day, counted over the days its records are signed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Budget {
    /// Bytes of headers and bodies.
    #[n(0)]
    pub bytes: u64,
    /// Records.
    #[n(1)]
    pub records: u32,
}

/// What a charter says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Charter {
    /// The community's display name.
    #[n(0)]
    pub name: String,
    /// Counts from 1.
    #[n(1)]
    pub version: u64,
    /// The charters this one follows: none for the first, one as a rule, two to join a fork.
    #[n(2)]
    pub parents: Vec<CharterHash>,
    /// When it was issued.
    #[n(3)]
    pub issued: Timestamp,
    /// When it stops counting unless a successor came.
    #[n(4)]
    pub expires: Timestamp,
    /// Members whose signatures count for the next charter, in the order of their handles.
    #[n(5)]
    pub stewards: Vec<Handle>,
    /// How many stewards must sign the next charter: more than half of them.
    #[n(6)]
    pub threshold: u32,
    /// Keys kept offline; one of them may sign in place of one steward.
    #[n(7)]
    pub recovery: Vec<VerifyingKey>,
    /// Members, ended ones included, in the order of their handles.
    #[n(8)]
    pub members: Vec<Member>,
    /// The marking of objects that bear none.
    #[n(9)]
    pub unmarked: Tlp,
    /// What one author may send a day.
    #[n(10)]
    pub budget: Budget,
    /// How long records are kept and healed, milliseconds; no record lives longer.
    #[n(11)]
    pub horizon: u64,
}

/// Why a charter is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CharterError {
    /// The bytes are no charter.
    #[error("not a charter: {0}")]
    Malformed(String),
    /// Larger than [`limits::CHARTER`].
    #[error("the charter has {size} bytes, {} are the most", limits::CHARTER)]
    TooLarge {
        /// Its size, bytes.
        size: usize,
    },
    /// It breaks a rule of its own form.
    #[error("the charter is not well formed: {0}")]
    Form(&'static str),
    /// It changes what no charter may change.
    #[error("the charter takes back what an earlier one granted: {0}")]
    History(&'static str),
    /// Fewer valid signatures of stewards than the threshold.
    #[error("{valid} valid signatures of {needed} needed")]
    Signatures {
        /// Valid signatures of distinct stewards.
        valid: usize,
        /// The threshold of the charter before it.
        needed: usize,
    },
    /// It does not follow any charter that is held; the ones between are missing.
    #[error("version {0} follows a charter that is not held")]
    UnknownParent(u64),
    /// It belongs to another community.
    #[error("the charter belongs to another community")]
    OtherCommunity,
    /// It is valid and beside a charter that has been followed since: it changes nothing.
    #[error("version {0} came after its sibling had been followed")]
    Late(u64),
    /// It follows the other side of a fork. Only a charter that names both sides joins them.
    #[error("version {0} follows the other side of a fork")]
    OtherSide(u64),
    /// More siblings of the charter in force than are kept.
    #[error("version {0} has more siblings than are kept")]
    TooManySiblings(u64),
    /// A fork is open: only a charter that names both sides as parents may follow.
    #[error("two charters of one version exist; only one that names both as parents may follow")]
    ForkOpen,
}

const HASH_DOMAIN: &str = "hanse charter hash v1";
const SIGNATURE_DOMAIN: &[u8] = b"hanse charter signature v1";

/// One steward's signature, or a recovery key's, which has no signer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Endorsement {
    #[n(0)]
    signer: Option<Handle>,
    #[n(1)]
    key: KeyId,
    #[cbor(n(2), with = "minicbor::bytes")]
    signature: [u8; 64],
}

impl Endorsement {
    /// Whether this is a signature over `message` that counts under `parent`.
    fn is_valid(&self, message: &[u8], parent: &Charter) -> bool {
        let key = match &self.signer {
            Some(signer) => parent.steward_key(signer, self.key),
            None => parent.recovery.iter().find(|recovery| recovery.id() == self.key),
        };
        key.is_some_and(|key| key.verifies(message, &self.signature))
    }
}

/// How far a charter is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endorsed {
    /// Stewards who signed, each once however many of its keys did.
    pub stewards: Vec<Handle>,
    /// Whether a recovery key signed.
    pub recovery: bool,
    /// Signatures that count: a recovery key for one steward who did not sign.
    pub valid: usize,
    /// Signatures needed.
    pub needed: usize,
}

#[derive(Encode, Decode)]
struct Envelope {
    #[cbor(n(0), with = "minicbor::bytes")]
    payload: Vec<u8>,
    #[n(1)]
    endorsements: Vec<Endorsement>,
}

/// A charter with the signatures it came with, well formed but not yet believed: see
/// [`CharterChain`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCharter {
    charter: Charter,
    payload: Vec<u8>,
    endorsements: Vec<Endorsement>,
    hash: CharterHash,
}

impl SignedCharter {
    /// Issues `charter`, not endorsed by anybody yet.
    ///
    /// # Errors
    /// [`CharterError::Form`] or [`CharterError::TooLarge`].
    pub fn issue(charter: Charter) -> Result<Self, CharterError> {
        charter.check_form()?;
        let payload = minicbor::to_vec(&charter).map_err(|e| CharterError::Malformed(e.to_string()))?;
        let hash = hash_of(&payload);
        let issued = Self {
            charter,
            payload,
            endorsements: Vec::new(),
            hash,
        };
        issued.check_size()?;
        Ok(issued)
    }

    /// Adds a steward's signature.
    pub fn endorse(&mut self, steward: &Handle, key: &SigningKey) {
        self.add(Some(steward.clone()), key);
    }

    /// Adds a recovery key's signature.
    pub fn endorse_with_recovery(&mut self, key: &SigningKey) {
        self.add(None, key);
    }

    fn add(&mut self, signer: Option<Handle>, key: &SigningKey) {
        let signature = key.sign(&signed_bytes(&self.payload));
        let id = key.verifying_key().id();
        self.endorsements.retain(|endorsement| endorsement.key != id);
        self.endorsements.push(Endorsement {
            signer,
            key: id,
            signature,
        });
        self.endorsements.sort_by_key(|endorsement| endorsement.key);
    }

    /// Reads a charter as it travels.
    ///
    /// # Errors
    /// [`CharterError::TooLarge`], [`CharterError::Malformed`] or [`CharterError::Form`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CharterError> {
        Unread::peek(bytes)?.read()
    }

    /// The charter as it travels.
    pub fn encode(&self) -> Vec<u8> {
        let envelope = Envelope {
            payload: self.payload.clone(),
            endorsements: self.endorsements.clone(),
        };
        // Encoding into a vector cannot fail.
        minicbor::to_vec(&envelope).unwrap_or_default()
    }

    /// What it says.
    pub fn charter(&self) -> &Charter {
        &self.charter
    }

    /// The hash of its payload.
    pub fn hash(&self) -> CharterHash {
        self.hash
    }

    /// How records and peers name it.
    pub fn reference(&self) -> CharterRef {
        let [a, b, c, d, e, f, g, h, ..] = self.hash.0;
        CharterRef {
            version: self.charter.version,
            hash: [a, b, c, d, e, f, g, h],
        }
    }

    /// The community that a first charter founds.
    pub fn founds(&self) -> CommunityId {
        CommunityId(self.hash.0)
    }

    /// Checks that enough of `parent`'s stewards signed this charter (the TUF root rule).
    ///
    /// # Errors
    /// [`CharterError::Signatures`] with the count.
    pub fn check_signatures(&self, parent: &Charter) -> Result<(), CharterError> {
        let standing = self.endorsed(parent);
        if standing.valid >= standing.needed {
            Ok(())
        } else {
            let Endorsed { valid, needed, .. } = standing;
            Err(CharterError::Signatures { valid, needed })
        }
    }

    /// Who of `parent`'s stewards signed this charter, and whether that is enough.
    pub fn endorsed(&self, parent: &Charter) -> Endorsed {
        endorsed(&self.payload, &self.endorsements, parent)
    }

    /// Takes over the endorsements of another copy of this very charter.
    pub fn merge(&mut self, other: &Self) {
        if other.hash != self.hash {
            return;
        }
        for endorsement in &other.endorsements {
            if self.endorsements.iter().all(|held| held.key != endorsement.key) {
                self.endorsements.push(endorsement.clone());
            }
        }
        self.endorsements.sort_by_key(|endorsement| endorsement.key);
    }

    /// Drops endorsements that count for none of these parents: what was lifted from another
    /// charter, or was signed by whoever is no steward.
    pub fn prune(&mut self, parents: &[&Charter]) {
        let message = signed_bytes(&self.payload);
        self.endorsements.retain(|endorsement| {
            parents
                .iter()
                .any(|parent| endorsement.is_valid(&message, parent))
        });
    }

    fn check_size(&self) -> Result<(), CharterError> {
        let size = self.encode().len();
        if size > limits::CHARTER {
            Err(CharterError::TooLarge { size })
        } else {
            Ok(())
        }
    }
}

/// Who of `parent`'s stewards signed a payload, and whether that is enough.
fn endorsed(payload: &[u8], endorsements: &[Endorsement], parent: &Charter) -> Endorsed {
    let message = signed_bytes(payload);
    let valid = endorsements.iter().filter(|e| e.is_valid(&message, parent));
    let mut stewards = BTreeSet::new();
    let mut recovery = false;
    for endorsement in valid {
        match &endorsement.signer {
            Some(signer) => drop(stewards.insert(signer.clone())),
            None => recovery = true,
        }
    }
    // One recovery key stands in for one steward who did not sign.
    let absent = parent.stewards.len() > stewards.len();
    Endorsed {
        valid: stewards.len() + usize::from(recovery && absent),
        needed: usize::try_from(parent.threshold).unwrap_or(usize::MAX),
        stewards: stewards.into_iter().collect(),
        recovery,
    }
}

fn hash_of(payload: &[u8]) -> CharterHash {
    let mut hasher = blake3::Hasher::new_derive_key(HASH_DOMAIN);
    hasher.update(payload);
    CharterHash(*hasher.finalize().as_bytes())
}

fn signed_bytes(payload: &[u8]) -> Vec<u8> {
    [SIGNATURE_DOMAIN, payload].concat()
}

impl Charter {
    /// The member of that handle, ended or not.
    pub fn member(&self, handle: &Handle) -> Option<&Member> {
        self.members.iter().find(|member| member.handle == *handle)
    }

    /// Members that have not ended.
    pub fn active(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.ended.is_none())
    }

    /// The active member and lane that `node` signs for.
    pub fn owner_of(&self, node: &NodeId) -> Option<(&Member, u16)> {
        self.active().find_map(|member| {
            let lane = member
                .lanes
                .iter()
                .find(|lane| lane.node == *node && lane.closed.is_none())?;
            Some((member, lane.number))
        })
    }

    /// How long records are kept and healed.
    pub fn horizon(&self) -> Duration {
        Duration::from_millis(self.horizon)
    }

    fn steward_key(&self, handle: &Handle, key: KeyId) -> Option<&VerifyingKey> {
        if !self.stewards.contains(handle) {
            return None;
        }
        let member = self.member(handle).filter(|member| member.ended.is_none())?;
        let found = member.signing.iter().find(|signing| signing.key.id() == key)?;
        found.closed.is_none().then_some(&found.key)
    }

    fn check_form(&self) -> Result<(), CharterError> {
        let form = |holds: bool, rule: &'static str| {
            if holds {
                Ok(())
            } else {
                Err(CharterError::Form(rule))
            }
        };
        form(
            !self.name.is_empty() && self.name.len() <= limits::NAME,
            "the name is empty or too long",
        )?;
        form(self.version >= 1, "versions count from 1")?;
        let parents = self.parents.len();
        form(
            if self.version == 1 {
                parents == 0
            } else {
                parents == 1 || parents == 2
            },
            "parents",
        )?;
        form(
            self.parents.is_sorted_by(|a, b| a < b),
            "parents out of order or doubled",
        )?;
        form(self.issued < self.expires, "it expires before it is issued")?;
        form(self.horizon > 0, "the horizon is empty")?;
        form(self.members.len() <= limits::MEMBERS, "too many members")?;
        form(
            self.members.is_sorted_by(|a, b| a.handle < b.handle),
            "members out of order or doubled",
        )?;
        form(self.stewards.is_sorted(), "stewards out of order")?;
        form(
            self.stewards.windows(2).all(|pair| pair.first() != pair.last()),
            "a steward twice",
        )?;
        form(
            self.recovery.len() <= limits::MEMBER_KEYS,
            "too many recovery keys",
        )?;
        let stewards = u32::try_from(self.stewards.len()).unwrap_or(u32::MAX);
        form(
            self.threshold <= stewards && self.threshold > stewards / 2,
            "the threshold is not more than half of the stewards, or above all",
        )?;
        for steward in &self.stewards {
            let member = self.member(steward);
            form(
                member.is_some_and(|member| member.ended.is_none()),
                "a steward is no active member",
            )?;
        }
        self.members.iter().try_for_each(Member::check_form)?;
        self.check_distinct()
    }

    /// No node, signing key or sealing key may stand for two: a record must have one author.
    fn check_distinct(&self) -> Result<(), CharterError> {
        let mut nodes = BTreeSet::new();
        let mut keys = BTreeSet::new();
        let mut sealing = BTreeSet::new();
        for member in &self.members {
            for lane in &member.lanes {
                if !nodes.insert(lane.node) {
                    return Err(CharterError::Form("a node is listed twice"));
                }
            }
            for key in &member.signing {
                if !keys.insert(key.key.id()) {
                    return Err(CharterError::Form("a signing key is listed twice"));
                }
            }
            for key in &member.sealing {
                if !sealing.insert(&key.key) {
                    return Err(CharterError::Form("a sealing key is listed twice"));
                }
            }
        }
        if self.recovery.iter().any(|key| !keys.insert(key.id())) {
            return Err(CharterError::Form(
                "a recovery key is also a member's, or listed twice",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
