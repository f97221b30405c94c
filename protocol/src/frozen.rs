//! Frozen bytes of every signed message, made from fixed keys: a change of any format shows here
//! first, and is a new layout, never a mended constant.

use crate::charter::member::{Lane, MemberKind, MemberSealingKey, MemberSigningKey, Profile};
use crate::charter::{Budget, Charter, CharterChain, Member, SignedCharter};
use crate::identity::keys::{SealingKey, SigningKey};
use crate::identity::{NodeId, RecordId};
use crate::presence::{Head, Presence};
use crate::record::{BodyHash, Header, Kind, id};
use crate::seal::SUITE_X25519;
use crate::timestamp::Timestamp;
use crate::tlp::Tlp;

const AT: Timestamp = Timestamp::from_millis(1_767_225_600_000);
const LATER: Timestamp = Timestamp::from_millis(1_767_312_000_000);

fn signing() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn node() -> SigningKey {
    SigningKey::from_seed(&[2; 32])
}

fn node_id() -> NodeId {
    NodeId(*node().verifying_key().as_bytes())
}

fn charters() -> CharterChain {
    let profile = Profile {
        handle: "port-city".parse().unwrap(),
        name: "Port City".to_owned(),
        kind: MemberKind::City,
        sector: "government".to_owned(),
        country: "DE".to_owned(),
    };
    let member = Member {
        handle: profile.handle.clone(),
        profile,
        admitted: AT,
        signing: vec![MemberSigningKey {
            key: signing().verifying_key(),
            closed: None,
        }],
        sealing: vec![MemberSealingKey {
            suite: SUITE_X25519,
            key: SealingKey::from_bytes(&[3; 32]).public(),
            closed: false,
        }],
        lanes: vec![Lane {
            number: 0,
            node: node_id(),
            addresses: vec!["/ip4/192.0.2.10/tcp/7475".to_owned()],
            closed: None,
        }],
        ended: None,
    };
    let charter = Charter {
        name: "Port City League".to_owned(),
        version: 1,
        parents: vec![],
        issued: AT,
        expires: LATER,
        stewards: vec![member.handle.clone()],
        threshold: 1,
        recovery: vec![SigningKey::from_seed(&[4; 32]).verifying_key()],
        members: vec![member],
        unmarked: Tlp::Green,
        budget: Budget {
            bytes: 1 << 20,
            records: 1_000,
        },
        horizon: 86_400_000,
    };
    let mut signed = SignedCharter::issue(charter).unwrap();
    signed.endorse(&"port-city".parse().unwrap(), &signing());
    CharterChain::found(signed).unwrap()
}

/// Bytes with their BLAKE3 hash: the hash is what is frozen, the bytes are what to look at when it
/// differs.
fn check(what: &str, bytes: &[u8], frozen: &str) {
    let hash = blake3::hash(bytes).to_hex();
    assert_eq!(
        hash.as_str(),
        frozen,
        "{what} changed: {}",
        data_encoding::HEXLOWER.encode(bytes)
    );
}

#[test]
fn the_charter_is_as_it_was() {
    let charters = charters();
    check(
        "the charter",
        &charters.newest().encode(),
        "edca4fdcf40e2f9fdd0ed4ee98ee0fb259336c437da4600519a8d116a1fe026c",
    );
    assert_eq!(
        charters.community().to_string(),
        "b711d5b0c3e29d883a7d21eab23d0b4ab396fb796a7f1f5c4b8148aace64bf6b"
    );
}

#[test]
fn the_header_and_its_id_are_as_they_were() {
    let charters = charters();
    let header = Header {
        author: "port-city".parse().unwrap(),
        lane: 0,
        charter: charters.newest().reference(),
        epoch: 0,
        seq: 2,
        prev: Some(RecordId([5; 32])),
        created: AT,
        expires: LATER,
        kind: Kind::Objects,
        replaces: None,
        body_length: 4,
        body_hash: BodyHash::of(b"body"),
    };
    let bytes = header.sign(charters.community(), &signing());
    check(
        "the header",
        &bytes,
        "1398b25b46889e9d88a66e8c5c91739e35c7784a5a8caa7098e36919bf5b0609",
    );
    let parts = crate::record::cose::parse(&bytes).unwrap();
    let id = id(charters.community(), &parts.protected, &parts.payload);
    assert_eq!(header.id(charters.community(), &signing().verifying_key()), id);
    assert_eq!(
        id.to_string(),
        "3e87f653ffb803845ffd1b6f94e7c20be97721ea1cc81b6b2bad199b902c7124"
    );
}

#[test]
fn presence_and_head_are_as_they_were_and_count_in_their_time() {
    let charters = charters();
    let presence = Presence {
        node: node_id(),
        addresses: vec!["/ip4/192.0.2.11/tcp/7475".to_owned()],
        agent: "hansed/0.1.0".to_owned(),
        charter: charters.newest().reference(),
        audit_count: 7,
        audit_hash: [6; 32],
        at: AT,
        expires: LATER,
    };
    let said = presence.sign(charters.community(), &node());
    check(
        "the presence",
        &said,
        "3c245c92277e73467c3a1b4c29a22c735cda3500c35dcc28b0374609215a0f16",
    );
    assert_eq!(Presence::read(&said, &charters, AT), Ok(presence.clone()));
    let over = crate::presence::PresenceError::OutOfTime;
    assert_eq!(Presence::read(&said, &charters, LATER), Err(over));
    let forged = presence.sign(charters.community(), &signing());
    assert!(Presence::read(&forged, &charters, AT).is_err());

    let head = Head {
        steward: "port-city".parse().unwrap(),
        version: 1,
        hash: charters.newest().hash(),
        at: AT,
        expires: LATER,
    };
    let said = head.sign(charters.community(), &signing());
    check(
        "the head",
        &said,
        "c79f971e753a1eaf7521e015c98d21d08a30b4d75c26c17d153acbe732ce0353",
    );
    assert_eq!(Head::read(&said, &charters, AT), Ok(head.clone()));
    assert!(Head::read(&head.sign(charters.community(), &node()), &charters, AT).is_err());
}

#[test]
fn a_trailing_null_is_left_out() {
    let carried = crate::frame::Carried {
        header: vec![1],
        body: None,
    };
    assert_eq!(minicbor::to_vec(carried).unwrap(), [0x81, 0x41, 0x01]);
}
