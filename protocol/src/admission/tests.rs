use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::charter::AcceptedRun;
use crate::compress;
use crate::content::Content;
use crate::league::{DAY, FOUNDED, Org, community, first_charter, header, signed, successor};
use crate::record::{BodyHash, Kind};
use crate::refusal::{Fault, Permanence};
use crate::seal::{self, Body};
use crate::tlp::Tlp;

const OBJECT: &str =
    r#"{"type":"ipv4-addr","id":"ipv4-addr--0198f97b-e65d-5025-87e5-58bc39d4bdb4","value":"1.2.3.4"}"#;

struct Scene {
    city: Org,
    water: Org,
    charters: CharterChain,
    now: Timestamp,
}

impl Scene {
    fn new() -> Self {
        let (city, water) = (Org::new("port-city"), Org::new("acme-water"));
        let charters = community(&city, &[&water]);
        Self {
            city,
            water,
            charters,
            now: FOUNDED.after(Duration::from_secs(60)),
        }
    }

    fn sign(&self, header: &Header) -> Vec<u8> {
        header.sign(self.charters.community(), &self.water.signing)
    }

    fn admit(&self, bytes: &[u8], by: By) -> Result<Admitted, Refusal> {
        let signed = Signed::decode(bytes, self.charters.community())?;
        signed.admit(&self.charters, Arrival { now: self.now, by })
    }

    fn open_body(&self, tlp: Tlp, object: &str) -> Vec<u8> {
        let content = Content::write(tlp, Tlp::Clear, &[object]);
        Body::Open(compress::pack(&content).unwrap()).encode()
    }

    fn refusal(&self, change: impl FnOnce(&mut Header)) -> Refusal {
        let mut changed = header(&self.water, &self.charters, b"body");
        change(&mut changed);
        self.admit(&self.sign(&changed), By::Gossip).unwrap_err()
    }
}

#[test]
fn a_true_record_climbs_the_whole_ladder() {
    let scene = Scene::new();
    let body = scene.open_body(Tlp::Green, OBJECT);
    let bytes = scene.sign(&header(&scene.water, &scene.charters, &body));
    let admitted = scene.admit(&bytes, By::Gossip).unwrap();
    assert_eq!(admitted.bytes(), bytes);
    let whole = admitted.with_body(body).unwrap();
    let reader = Reader { sealing: vec![] };
    let Ok(Reading::Opened(opened)) = whole.open(&reader, &scene.charters) else {
        panic!("open to all")
    };
    let sound = opened.sound().unwrap();
    assert_eq!(sound.content.objects, [OBJECT]);
    let placed = opened.objects_at(&[0, 7]).unwrap();
    let [placed] = placed.as_slice() else {
        panic!("there is one")
    };
    assert_eq!(
        (placed.object.raw(), placed.tlp, placed.redacted),
        (OBJECT, Tlp::Green, 0)
    );
}

#[test]
fn each_lie_is_refused_for_its_own_reason() {
    let scene = Scene::new();
    let late = FOUNDED.after(Duration::from_secs(3_600));
    assert_eq!(
        scene.refusal(|h| h.author = scene.city.handle.clone()),
        Refusal::UnknownAuthor
    );
    assert_eq!(
        scene.refusal(|h| h.author = "nobody".parse().unwrap()),
        Refusal::UnknownAuthor
    );
    assert_eq!(scene.refusal(|h| h.lane = 3), Refusal::UnknownAuthor);
    assert_eq!(scene.refusal(|h| h.charter.version = 2), Refusal::UnknownCharter);
    assert_eq!(
        scene.refusal(|h| h.charter.hash = [0; 8]),
        Refusal::UnknownCharter
    );
    assert_eq!(scene.refusal(|h| h.seq = 0), Refusal::Chain);
    assert_eq!(scene.refusal(|h| h.seq = 2), Refusal::Chain);
    assert_eq!(scene.refusal(|h| h.created = late), Refusal::FutureDated);
    assert_eq!(
        scene.refusal(|h| h.created = Timestamp::from_millis(5)),
        Refusal::BeforeAdmission
    );
    assert_eq!(scene.refusal(|h| h.expires = h.created), Refusal::Expiry);
    assert_eq!(
        scene.refusal(|h| h.expires = h.created.after(Duration::from_secs(400 * 86_400))),
        Refusal::Expiry
    );
    assert_eq!(
        scene.refusal(|h| h.expires = h.created.after(Duration::from_secs(1))),
        Refusal::Expired
    );
}

#[test]
fn healing_takes_the_header_of_what_has_expired_until_the_horizon_has_passed() {
    let scene = Scene::new();
    let header = Header {
        expires: FOUNDED.after(Duration::from_secs(100)),
        ..header(&scene.water, &scene.charters, b"body")
    };
    let bytes = scene.sign(&header);
    let horizon = scene.charters.charter().horizon();
    let at = |now, by| {
        let signed = Signed::decode(&bytes, scene.charters.community()).unwrap();
        signed.admit(&scene.charters, Arrival { now, by }).map(|_| ())
    };
    let end = header.created.after(horizon);
    assert_eq!(at(header.expires, By::Gossip), Err(Refusal::Expired));
    assert_eq!(at(header.expires, By::Healing), Ok(()));
    assert_eq!(at(end.before(Duration::from_millis(1)), By::Healing), Ok(()));
    assert_eq!(at(end, By::Healing), Err(Refusal::Expired));
}

#[test]
fn a_record_of_another_community_is_not_the_authors_here() {
    let scene = Scene::new();
    let elsewhere = community(&Org::new("other-city"), &[&scene.water]);
    let replayed =
        header(&scene.water, &scene.charters, b"body").sign(elsewhere.community(), &scene.water.signing);
    assert_eq!(
        scene.admit(&replayed, By::Gossip).unwrap_err(),
        Refusal::Signature
    );
}

#[test]
fn a_spoiled_signature_has_the_true_records_id_and_is_refused_alone() {
    let scene = Scene::new();
    let bytes = scene.sign(&header(&scene.water, &scene.charters, b"body"));
    let mut spoiled = bytes.clone();
    *spoiled.last_mut().unwrap() ^= 1;
    let community = scene.charters.community();
    assert_eq!(
        Signed::decode(&spoiled, community).unwrap().id(),
        Signed::decode(&bytes, community).unwrap().id()
    );
    assert_eq!(scene.admit(&spoiled, By::Gossip).unwrap_err(), Refusal::Signature);
    assert!(scene.admit(&bytes, By::Gossip).is_ok());
}

#[test]
fn healing_brings_what_is_too_old_for_gossip() {
    let mut scene = Scene::new();
    let bytes = scene.sign(&header(&scene.water, &scene.charters, b"body"));
    scene.now = FOUNDED.after(Duration::from_millis(8 * DAY));
    assert_eq!(scene.admit(&bytes, By::Gossip).unwrap_err(), Refusal::Stale);
    assert!(scene.admit(&bytes, By::Healing).is_ok());
}

#[test]
fn beyond_an_ending_nothing_counts_whatever_its_date() {
    let mut scene = Scene::new();
    let first = scene.sign(&header(&scene.water, &scene.charters, b"body"));
    let id = *scene.admit(&first, By::Gossip).unwrap().id();
    let under_old = scene.charters.newest().reference();
    let mut next = successor(&scene.charters);
    let place = next
        .members
        .iter()
        .position(|member| member.handle == scene.water.handle)
        .unwrap();
    next.members[place].ended = Some(vec![AcceptedRun {
        lane: 0,
        epoch: 0,
        first: 1,
        last: 1,
        id,
    }]);
    scene.charters.offer(signed(next, &[&scene.city])).unwrap();
    assert!(
        scene.admit(&first, By::Healing).is_ok(),
        "what was said before still counts"
    );
    let mut second = header(&scene.water, &scene.charters, b"late");
    (second.seq, second.prev, second.charter) = (2, Some(id), under_old);
    assert_eq!(
        scene.admit(&scene.sign(&second), By::Gossip).unwrap_err(),
        Refusal::Ended
    );
    let mut twin = header(&scene.water, &scene.charters, b"twin");
    twin.charter = under_old;
    assert_eq!(
        scene.admit(&scene.sign(&twin), By::Gossip).unwrap_err(),
        Refusal::Ended
    );
}

/// Whoever has the key that ended goes on signing, at numbers inside the runs that count.
#[test]
fn inside_a_closed_run_nothing_counts_that_is_dated_after_the_closing() {
    let mut scene = Scene::new();
    let under_old = scene.charters.newest().reference();
    let mut next = successor(&scene.charters);
    let issued = next.issued;
    let place = next
        .members
        .iter()
        .position(|member| member.handle == scene.water.handle)
        .unwrap();
    next.members[place].signing[0].closed = Some(vec![AcceptedRun {
        lane: 0,
        epoch: 0,
        first: 1,
        last: 10,
        id: RecordId([9; 32]),
    }]);
    scene.charters.offer(signed(next, &[&scene.city])).unwrap();
    // It is the first charter that says so that counts, not the newest.
    let mut later = successor(&scene.charters);
    later.issued = issued.after(Duration::from_millis(DAY));
    scene.charters.offer(signed(later, &[&scene.city])).unwrap();
    scene.now = issued.after(Duration::from_millis(DAY));
    let forged = |created: Timestamp| {
        let mut header = header(&scene.water, &scene.charters, b"forged");
        (header.seq, header.prev, header.charter) = (5, Some(RecordId([4; 32])), under_old);
        header.created = created;
        scene.admit(&scene.sign(&header), By::Healing).map(drop)
    };
    assert_eq!(forged(issued.after(limits::SKEW)), Ok(()));
    let later = issued.after(limits::SKEW + Duration::from_millis(1));
    assert_eq!(forged(later), Err(Refusal::Ended));
}

/// What is admitted must not hang on what came before it, or nodes that heard two records in another
/// order would differ for good.
#[test]
fn a_chain_may_go_back_in_time() {
    let scene = Scene::new();
    let mut second = header(&scene.water, &scene.charters, b"body");
    (second.seq, second.prev) = (2, Some(RecordId([1; 32])));
    assert!(scene.admit(&scene.sign(&second), By::Gossip).is_ok());
}

#[test]
fn another_body_is_the_couriers_fault_and_leaves_the_header() {
    let scene = Scene::new();
    let bytes = scene.sign(&header(&scene.water, &scene.charters, b"body"));
    let admitted = scene.admit(&bytes, By::Gossip).unwrap();
    let WrongBody { admitted, refusal } = *admitted.with_body(b"ydob".to_vec()).unwrap_err();
    assert_eq!((refusal.fault(), refusal), (Fault::Courier, Refusal::BodyHash));
    assert!(admitted.with_body(b"body".to_vec()).is_ok());
}

#[test]
fn what_must_be_sealed_is_not_believed_in_the_open() {
    let scene = Scene::new();
    let body = scene.open_body(Tlp::Amber, OBJECT);
    let bytes = scene.sign(&header(&scene.water, &scene.charters, &body));
    let whole = scene.admit(&bytes, By::Gossip).unwrap().with_body(body).unwrap();
    let Ok(Reading::Opened(opened)) = whole.open(&Reader { sealing: vec![] }, &scene.charters) else {
        panic!("open to all")
    };
    assert_eq!(opened.sound().err(), Some(Refusal::OpenBeyondFloor(Tlp::Amber)));
}

/// A few hundred bytes may unpack to millions of values, in one object or spread over many.
#[test]
fn a_body_of_too_many_values_is_given_up() {
    let scene = Scene::new();
    let padded = |values: usize| OBJECT.replace('}', &format!(r#","x_pad":[{}0]}}"#, "0,".repeat(values)));
    let half = padded(limits::JSON_VALUES / 2);
    for (objects, bad) in [
        (vec![padded(limits::JSON_VALUES)], 0),
        (vec![half.clone(), half.clone()], 1),
    ] {
        let objects: Vec<&str> = objects.iter().map(String::as_str).collect();
        let content = Content::write(Tlp::Green, Tlp::Clear, &objects);
        let body = Body::Open(compress::pack(&content).unwrap()).encode();
        assert!(body.len() < 1_000);
        let bytes = scene.sign(&header(&scene.water, &scene.charters, &body));
        let whole = scene.admit(&bytes, By::Gossip).unwrap().with_body(body).unwrap();
        let Ok(Reading::Opened(opened)) = whole.open(&Reader { sealing: vec![] }, &scene.charters) else {
            panic!("open to all")
        };
        assert!(matches!(opened.sound(), Err(Refusal::Object { index, .. }) if index == bad));
    }
}

#[test]
fn a_sealed_record_is_opaque_to_others() {
    let scene = Scene::new();
    let content = Content::write(Tlp::Red, Tlp::Clear, &[OBJECT]);
    let mut head = header(&scene.water, &scene.charters, b"");
    let sealed = seal::seal(
        &compress::pack(&content).unwrap(),
        &[scene.city.sealing[0].public()],
        &scene.water.sealing[0],
        &binding(scene.charters.community(), &head),
        &mut rand::rng(),
    );
    let body = Body::Sealed(sealed.unwrap()).encode();
    head.body_length = u32::try_from(body.len()).unwrap();
    head.body_hash = BodyHash::of(&body);
    let whole = scene
        .admit(&scene.sign(&head), By::Gossip)
        .unwrap()
        .with_body(body)
        .unwrap();
    let stranger = Reader {
        sealing: Org::new("stranger").sealing,
    };
    assert!(matches!(
        whole.clone().open(&stranger, &scene.charters),
        Ok(Reading::Opaque(_))
    ));
    let Scene { city, charters, .. } = scene;
    let Ok(Reading::Opened(opened)) = whole.open(
        &Reader {
            sealing: city.sealing,
        },
        &charters,
    ) else {
        panic!("sealed to the city")
    };
    assert!(opened.is_sealed() && opened.sound().is_ok());
}

#[test]
fn a_later_kind_travels_unopened() {
    let scene = Scene::new();
    let mut later = header(&scene.water, &scene.charters, b"body");
    later.kind = Kind::Unknown(9);
    let whole = scene
        .admit(&scene.sign(&later), By::Gossip)
        .unwrap()
        .with_body(b"body".to_vec())
        .unwrap();
    assert!(matches!(
        whole.open(&Reader { sealing: vec![] }, &scene.charters),
        Ok(Reading::Opaque(_))
    ));
}

#[test]
fn only_what_could_change_is_deferred() {
    assert_eq!(Refusal::FutureDated.permanence(), Permanence::Deferred);
    assert_eq!(Refusal::UnknownCharter.permanence(), Permanence::Deferred);
    assert_eq!(Refusal::Signature.permanence(), Permanence::Permanent);
    // Two stewards of one charter: nothing here depends on how many.
    let (city, water) = (Org::new("port-city"), Org::new("acme-water"));
    let first = first_charter(&[&city, &water], &[&city, &water], 2);
    assert!(CharterChain::found(signed(first, &[&city])).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_a_header_panic(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        drop(Signed::decode(&bytes, &CommunityId([0; 32])));
    }

    #[test]
    fn a_header_with_any_byte_changed_is_refused_or_deferred(at in 0usize..1_000, flip in 1u8..=255) {
        let scene = Scene::new();
        let mut bytes = scene.sign(&header(&scene.water, &scene.charters, b"body"));
        let at = at % bytes.len();
        bytes[at] ^= flip;
        prop_assert!(scene.admit(&bytes, By::Gossip).is_err());
    }
}
