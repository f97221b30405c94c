//! A small community for tests: the city founds it, others are admitted.

use crate::charter::join::Request;
use crate::charter::member::{Lane, MemberKind, MemberSealingKey, MemberSigningKey, Profile, SuiteKey};
use crate::charter::{Budget, Charter, CharterChain, Member, SignedCharter};
use crate::identity::Handle;
use crate::identity::keys::{SealingKey, SigningKey};
use crate::record::{BodyHash, Header, Kind};
use crate::timestamp::Timestamp;
use crate::tlp::Tlp;

pub(crate) const DAY: u64 = 24 * 3_600 * 1_000;

/// Midday of some day: when the community is founded.
pub(crate) const FOUNDED: Timestamp = Timestamp::from_millis(20_000 * DAY);

pub(crate) struct Org {
    pub(crate) handle: Handle,
    pub(crate) signing: SigningKey,
    pub(crate) sealing: Vec<SealingKey>,
    pub(crate) node: SigningKey,
}

impl Org {
    pub(crate) fn new(handle: &str) -> Self {
        let mut rng = rand::rng();
        Self {
            handle: handle.parse().unwrap(),
            signing: SigningKey::generate(&mut rng),
            sealing: vec![SealingKey::generate(&mut rng)],
            node: SigningKey::generate(&mut rng),
        }
    }

    pub(crate) fn profile(&self) -> Profile {
        Profile {
            handle: self.handle.clone(),
            name: format!("The {}", self.handle),
            kind: MemberKind::Utility,
            sector: "water".to_owned(),
            country: "DE".to_owned(),
        }
    }

    pub(crate) fn request(&self) -> Request {
        let sealing = self.sealing[0].public();
        Request::new(
            self.profile(),
            &self.signing,
            sealing,
            &self.node,
            vec![],
            FOUNDED,
        )
    }

    pub(crate) fn listed(&self) -> Member {
        Member {
            handle: self.handle.clone(),
            profile: self.profile(),
            admitted: FOUNDED,
            signing: vec![MemberSigningKey {
                key: self.signing.verifying_key(),
                closed: None,
            }],
            sealing: vec![MemberSealingKey {
                key: SuiteKey::X25519(self.sealing[0].public()),
                closed: false,
            }],
            lanes: vec![Lane {
                number: 0,
                node: self.request().node,
                addresses: vec![],
                closed: None,
            }],
            ended: None,
        }
    }
}

pub(crate) fn first_charter(members: &[&Org], stewards: &[&Org], threshold: u32) -> Charter {
    let mut members: Vec<Member> = members.iter().map(|org| org.listed()).collect();
    members.sort_by(|a, b| a.handle.cmp(&b.handle));
    let mut stewards: Vec<Handle> = stewards.iter().map(|org| org.handle.clone()).collect();
    stewards.sort();
    Charter {
        name: "Port City League".to_owned(),
        version: 1,
        parents: vec![],
        issued: FOUNDED,
        expires: Timestamp::from_millis(FOUNDED.as_millis() + 366 * DAY),
        stewards,
        threshold,
        recovery: vec![],
        members,
        unmarked: Tlp::Green,
        budget: Budget {
            bytes: 1 << 30,
            records: 10_000,
        },
        horizon: 365 * DAY,
    }
}

pub(crate) fn signed(charter: Charter, by: &[&Org]) -> SignedCharter {
    let mut signed = SignedCharter::issue(charter).unwrap();
    by.iter()
        .for_each(|org| signed.endorse(&org.handle, &org.signing));
    signed
}

/// A community with one steward.
pub(crate) fn community(steward: &Org, others: &[&Org]) -> CharterChain {
    let members: Vec<&Org> = others.iter().copied().chain([steward]).collect();
    CharterChain::found(signed(first_charter(&members, &[steward], 1), &[steward])).unwrap()
}

/// The charter that would follow, unchanged.
pub(crate) fn successor(charters: &CharterChain) -> Charter {
    let current = charters.charter();
    Charter {
        version: current.version + 1,
        parents: vec![charters.newest().hash()],
        issued: Timestamp::from_millis(current.issued.as_millis() + 1),
        ..current.clone()
    }
}

/// A first record of `author` with this body.
pub(crate) fn header(author: &Org, charters: &CharterChain, body: &[u8]) -> Header {
    Header {
        author: author.handle.clone(),
        lane: 0,
        charter: charters.newest().reference(),
        epoch: 0,
        seq: 1,
        prev: None,
        created: Timestamp::from_millis(FOUNDED.as_millis() + 1_000),
        expires: Timestamp::from_millis(FOUNDED.as_millis() + 30 * DAY),
        kind: Kind::Objects,
        replaces: None,
        body_length: u32::try_from(body.len()).unwrap(),
        body_hash: BodyHash::of(body),
    }
}
