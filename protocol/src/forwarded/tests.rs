use proptest::prelude::*;

use super::*;
use crate::admission::{Arrival, By, Reader, Reading};
use crate::charter::CharterChain;
use crate::compress::pack;
use crate::content::Content;
use crate::league::{Org, community, header};
use crate::timestamp::Timestamp;
use crate::tlp::Tlp;

const OBJECT: &str = r#"{"type":"ipv4-addr","spec_version":"2.1","id":"ipv4-addr--cbbb5ea0-7ffd-5c66-bd7c-cb94ee2d73bc","value":"198.51.100.7"}"#;

/// bob signs in the south; alice, a member of both, passes it on in the north.
struct Scene {
    bob: Org,
    alice: Org,
    south: CharterChain,
    north: CharterChain,
}

impl Scene {
    fn new() -> Self {
        let (bob, alice) = (Org::new("bob-city"), Org::new("alice-works"));
        let south = community(&bob, &[]);
        let north = community(&alice, &[]);
        Self {
            bob,
            alice,
            south,
            north,
        }
    }

    fn body(&self, tlp: Tlp) -> Vec<u8> {
        let content = Content::write(tlp, Tlp::Clear, &[OBJECT]);
        Body::Open(pack(&content).unwrap()).encode()
    }

    /// What bob signed, as it would be passed on.
    fn of(&self, body: &[u8], change: impl FnOnce(&mut Header)) -> Forwarded {
        let mut said = header(&self.bob, &self.south, body);
        change(&mut said);
        Forwarded {
            origin: *self.south.community(),
            key: self.bob.signing.verifying_key(),
            header: said.sign(self.south.community(), &self.bob.signing),
            body: body.to_vec(),
        }
    }

    /// What a member of the north makes of it.
    fn read(&self, content: &[u8]) -> Result<Reading, Refusal> {
        self.read_as(content, |_| ())
    }

    fn read_as(&self, content: &[u8], change: impl FnOnce(&mut Header)) -> Result<Reading, Refusal> {
        let body = Body::Open(pack(content).unwrap()).encode();
        let mut outer = header(&self.alice, &self.north, &body);
        outer.kind = Kind::Forwarded;
        change(&mut outer);
        let bytes = outer.sign(self.north.community(), &self.alice.signing);
        let arrival = Arrival {
            now: outer.created,
            by: By::Gossip,
        };
        let admitted = Signed::decode(&bytes, self.north.community())?.admit(&self.north, arrival)?;
        let whole = admitted.with_body(body).unwrap();
        let reader = Reader { sealing: Vec::new() };
        whole.open(&reader, &self.north).map_err(|(_, refusal)| refusal)
    }

    fn flaw(&self, forwarded: &Forwarded) -> Flaw {
        match self.read(&forwarded.encode()) {
            Err(Refusal::Forwarded(flaw)) => flaw,
            other => panic!("not refused as forwarded: {other:?}"),
        }
    }
}

#[test]
fn a_reader_elsewhere_verifies_the_authors_signature_and_finds_its_objects() {
    let scene = Scene::new();
    let forwarded = scene.of(&scene.body(Tlp::Green), |_| ());
    let Ok(Reading::Opened(opened)) = scene.read(&forwarded.encode()) else {
        panic!("it is read");
    };
    let from = opened.provenance().unwrap();
    assert_eq!(from.community, *scene.south.community());
    assert_eq!(from.header.author, scene.bob.handle);
    let id = *Signed::decode(&forwarded.header, &from.community).unwrap().id();
    assert_eq!(from.record, id);
    let sound = opened.sound().unwrap();
    assert_eq!(sound.objects[0].raw(), OBJECT);
    assert_eq!(opened.admitted().header().author, scene.alice.handle);
}

#[test]
fn what_its_author_did_not_sign_there_is_refused() {
    let scene = Scene::new();
    let body = scene.body(Tlp::Green);
    let good = scene.of(&body, |_| ());

    let mut forged = good.clone();
    forged.header.last_mut().map(|byte| *byte ^= 1).unwrap();
    assert_eq!(scene.flaw(&forged), Flaw::Signature);
    let mut other_key = good.clone();
    other_key.key = scene.alice.signing.verifying_key();
    assert_eq!(scene.flaw(&other_key), Flaw::Signature);
    let mut other_community = good.clone();
    other_community.origin = CommunityId([9; 32]);
    assert_eq!(scene.flaw(&other_community), Flaw::Signature);
    let mut here = good.clone();
    here.origin = *scene.north.community();
    assert_eq!(scene.flaw(&here), Flaw::SameCommunity);
    let mut other_body = good.clone();
    other_body.body = scene.body(Tlp::Clear);
    assert_eq!(scene.flaw(&other_body), Flaw::BodyHash);
    let mut none = good.clone();
    none.header = b"no header".to_vec();
    assert_eq!(scene.flaw(&none), Flaw::Header);

    // Only objects are passed on: neither retractions nor what was passed on before.
    for kind in [Kind::Retraction, Kind::Receipt, Kind::Forwarded, Kind::Unknown(9)] {
        assert_eq!(scene.flaw(&scene.of(&body, |said| said.kind = kind)), Flaw::Kind);
    }
    let sooner = scene.of(&body, |said| {
        said.expires = Timestamp::from_millis(said.expires.as_millis() - 1)
    });
    assert_eq!(scene.flaw(&sooner), Flaw::Expiry);
    assert_eq!(scene.flaw(&scene.of(b"garbage", |_| ())), Flaw::Body);
}

#[test]
fn what_came_sealed_or_is_stricter_than_green_does_not_come_even_sealed() {
    let scene = Scene::new();
    let strict = scene.of(&scene.body(Tlp::Amber), |_| ());
    let Ok(Reading::Opened(opened)) = scene.read(&strict.encode()) else {
        panic!("it is opened");
    };
    let refused = opened.sound().map(drop).unwrap_err();
    assert_eq!(refused, Refusal::OpenBeyondFloor(Tlp::Amber));
}

#[test]
fn what_is_unpacked_is_asked_for_twice() {
    let scene = Scene::new();
    let text = format!("{{\"x\":\"{}\"}}", "a".repeat(200_000));
    let content = Content::write(Tlp::Green, Tlp::Clear, &[&text]);
    let body = Body::Open(pack(&content).unwrap()).encode();
    let forwarded = scene.of(&body, |_| ()).encode();
    assert!(forwarded.len() < 2_000, "it is small as long as it is packed");
    let body = Body::Open(pack(&forwarded).unwrap()).encode();
    let outer = Header {
        kind: Kind::Forwarded,
        ..header(&scene.alice, &scene.north, &body)
    };
    let bytes = outer.sign(scene.north.community(), &scene.alice.signing);
    let admitted = crate::admission::Admitted::from_log(&bytes, scene.north.community()).unwrap();
    let whole = admitted.with_body(body).unwrap();
    let reader = Reader { sealing: Vec::new() };
    let mut asked = Vec::new();
    let opened = whole.open_within(None, &reader, &scene.north, |bytes| {
        asked.push(bytes);
        bytes < 100_000
    });
    assert!(matches!(opened, Err((_, Refusal::OverBudget))));
    assert_eq!(asked, [forwarded.len(), content.len()]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn four_parts_have_one_spelling(
        origin in any::<[u8; 32]>(),
        seed in any::<[u8; 32]>(),
        header in prop::collection::vec(any::<u8>(), 0..300),
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let forwarded = Forwarded {
            origin: CommunityId(origin),
            key: crate::identity::keys::SigningKey::from_seed(&seed).verifying_key(),
            header,
            body,
        };
        let mut bytes = forwarded.encode();
        prop_assert_eq!(Forwarded::decode(&bytes), Ok(forwarded));
        prop_assert_eq!(Forwarded::decode(&bytes[..bytes.len() - 1]), Err(Flaw::Malformed));
        bytes.push(0);
        prop_assert_eq!(Forwarded::decode(&bytes), Err(Flaw::Malformed));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        if let Ok(forwarded) = Forwarded::decode(&bytes) {
            prop_assert_eq!(forwarded.encode(), bytes);
        }
    }
}
