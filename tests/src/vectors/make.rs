//! Makes every vector, the same each time: fixed keys, fixed times, seeded randomness, and no
//! compressor in the way (but for one frame that was made once).

use hanse_protocol::charter::member::{
    Lane, MemberKind, MemberSealingKey, MemberSigningKey, Profile, SuiteKey,
};
use hanse_protocol::charter::{Budget, Charter, CharterChain, Member, SignedCharter};
use hanse_protocol::identity::keys::{SealingKey, SigningKey};
use hanse_protocol::identity::{Handle, NodeId};
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;
use serde_json::Value;

use super::Vector;
use super::read::outcome;

mod bodies;
mod charters;
mod comparing;
mod forwarded;
mod headers;
mod joining;
mod mesh;
mod raw;
mod records;
mod stix;
mod texts;

/// 2026-01-01T00:00:00Z: when the community is founded.
const FOUNDED: u64 = 1_767_225_600_000;
const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

/// Every vector.
pub fn all() -> Vec<Vector> {
    let families = [
        headers::vectors(),
        bodies::vectors(),
        records::records(),
        forwarded::vectors(),
        charters::vectors(),
        mesh::vectors(),
        comparing::vectors(),
        joining::requests(),
        joining::invites(),
        joining::proposals(),
        texts::vectors(),
        stix::objects(),
        stix::patterns(),
    ];
    families.into_iter().flatten().collect()
}

/// A vector that is to be believed, and what it says.
fn good(kind: &str, what: &str, about: &str, given: Value, expect: Value) -> Vector {
    Vector {
        name: format!("{kind}-{what}"),
        good: true,
        kind: kind.to_owned(),
        about: about.to_owned(),
        given,
        expect,
    }
}

/// A vector that is to be refused under the name `reason`; what else is told of the refusal is the
/// reader's word.
///
/// # Panics
/// If the reader does not refuse it so: then it is no vector of that.
fn bad(kind: &str, what: &str, about: &str, given: Value, reason: &str) -> Vector {
    let expect = outcome(kind, &given);
    assert_eq!(expect["refused"], reason, "{kind}-{what}: {expect}");
    Vector {
        name: format!("{kind}-{what}"),
        good: false,
        kind: kind.to_owned(),
        about: about.to_owned(),
        given,
        expect,
    }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// An organisation: its secrets are 32 equal bytes, `number` + 1 to sign, + 2 for its node, + 3 to
/// open what is sealed to it.
struct Org {
    handle: Handle,
    signing: SigningKey,
    node: SigningKey,
    sealing: SealingKey,
}

impl Org {
    fn new(handle: &str, number: u8) -> Self {
        Self {
            handle: handle.parse().expect("a handle"),
            signing: SigningKey::from_seed(&[number + 1; 32]),
            node: SigningKey::from_seed(&[number + 2; 32]),
            sealing: SealingKey::from_bytes(&[number + 3; 32]),
        }
    }

    fn node_id(&self) -> NodeId {
        NodeId(*self.node.verifying_key().as_bytes())
    }

    fn secret(&self) -> String {
        super::hex(self.sealing.to_bytes().as_slice())
    }

    fn profile(&self) -> Profile {
        Profile {
            handle: self.handle.clone(),
            name: format!("The {}", self.handle),
            kind: MemberKind::Utility,
            sector: "water".to_owned(),
            country: "DE".to_owned(),
        }
    }

    fn listed(&self) -> Member {
        Member {
            handle: self.handle.clone(),
            profile: self.profile(),
            admitted: at(FOUNDED),
            signing: vec![MemberSigningKey {
                key: self.signing.verifying_key(),
                closed: None,
            }],
            sealing: vec![MemberSealingKey {
                key: SuiteKey::X25519(self.sealing.public()),
                closed: false,
            }],
            lanes: vec![Lane {
                number: 0,
                node: self.node_id(),
                addresses: vec!["/ip4/192.0.2.10/tcp/7475".to_owned()],
                closed: None,
            }],
            ended: None,
        }
    }
}

/// Who takes part.
struct Cast {
    city: Org,
    water: Org,
    mary: Org,
    mallory: Org,
    recovery: SigningKey,
}

impl Cast {
    fn new() -> Self {
        Self {
            city: Org::new("port-city", 0),
            water: Org::new("acme-water", 10),
            mary: Org::new("st-mary", 20),
            mallory: Org::new("mallory", 30),
            recovery: SigningKey::from_seed(&[4; 32]),
        }
    }

    /// A first charter: city, water company and hospital, the city its only steward.
    fn first(&self) -> Charter {
        Charter {
            name: "Port City League".to_owned(),
            version: 1,
            parents: vec![],
            issued: at(FOUNDED),
            expires: at(FOUNDED + 366 * DAY),
            stewards: vec![self.city.handle.clone()],
            threshold: 1,
            recovery: vec![self.recovery.verifying_key()],
            members: vec![self.water.listed(), self.city.listed(), self.mary.listed()],
            unmarked: Tlp::Green,
            budget: Budget {
                bytes: 1 << 30,
                records: 10_000,
            },
            horizon: 365 * DAY,
        }
    }

    fn community(&self) -> CharterChain {
        CharterChain::found(signed(self.first(), &[&self.city])).expect("a community")
    }
}

fn signed(charter: Charter, by: &[&Org]) -> SignedCharter {
    let mut signed = SignedCharter::issue(charter).expect("well formed");
    by.iter()
        .for_each(|org| signed.endorse(&org.handle, &org.signing));
    signed
}

/// The charter that would follow, unchanged.
fn successor(of: &SignedCharter) -> Charter {
    Charter {
        version: of.charter().version + 1,
        parents: vec![of.hash()],
        issued: at(of.charter().issued.as_millis() + DAY),
        ..of.charter().clone()
    }
}
