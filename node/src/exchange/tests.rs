//! The exchange without a mesh: what it commits, refuses and answers.

use std::sync::Mutex;

use hanse_protocol::charter::member::{MemberKind, Profile};
use hanse_protocol::frame::Carried;
use hanse_protocol::identity::keys::SigningKey;
use hanse_protocol::record::{BodyHash, Header};
use hanse_protocol::tlp::Tlp;
use prometheus_client::registry::Registry;
use serde_json::value::RawValue;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::clocks::Clocks;
use crate::keystore::Keystore;
use crate::member::Member;
use crate::metrics::Metrics;
use crate::store::disk::{Disk, RealDisk};
use crate::store::entry::{BodyState, Entry};
use crate::store::index::Engine;
use crate::store::{Reader, Store, StoreSettings};

mod abuse;
mod attacks;
mod charter;
mod forwarding;
mod frozen;
mod full;
mod keeping;
mod late;
mod receiving;
mod sharing;
mod variants;

/// A node without a mesh.
struct Node {
    exchange: Exchange,
    reader: Reader,
    member: Arc<Member>,
    nudges: mpsc::Receiver<Nudge>,
    clocks: Clocks,
    thread: Thread,
    folder: TempDir,
}

/// Bytes sealed for others that a node keeps here.
const OPAQUE_MAX: u64 = 8 << 10;

const BY: fn() -> Actor = || Actor("test".to_owned());

fn profile(handle: &str) -> Profile {
    Profile {
        handle: handle.parse().unwrap(),
        name: handle.to_owned(),
        kind: MemberKind::Utility,
        sector: String::new(),
        country: "DE".to_owned(),
    }
}

impl Node {
    fn new(handle: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keystore = Keystore::create(&folder.path().join("keys")).unwrap();
        Member::create(&keystore).unwrap();
        Self::open(handle, folder)
    }

    fn open(handle: &str, folder: TempDir) -> Self {
        Self::open_on(Arc::new(RealDisk), handle, folder)
    }

    fn open_on(disk: Arc<dyn Disk>, handle: &str, folder: TempDir) -> Self {
        Self::open_at(Home::of, disk, handle, folder)
    }

    fn open_at(
        home: fn(&std::path::Path) -> Option<Home>,
        disk: Arc<dyn Disk>,
        handle: &str,
        folder: TempDir,
    ) -> Self {
        let keystore = Keystore::open(&folder.path().join("keys")).unwrap();
        let member = Arc::new(Member::open(profile(handle), &keystore).unwrap());
        let settings = StoreSettings {
            engine: Engine::Memory,
            ..StoreSettings::default()
        };
        let mut deriver = Deriver::new(Arc::clone(&member));
        let store = folder.path().join("store");
        let (store, _) = Store::open_on(disk, &store, keystore.master(), &settings, &mut deriver).unwrap();
        let reader = store.reader();
        let clocks = Clocks::default();
        let (nudges, nudged) = mpsc::channel(64);
        let parts = Parts {
            store,
            member: Arc::clone(&member),
            charters: deriver.into_charters().unwrap(),
            addresses: vec![],
            metrics: Arc::new(Metrics::new(&mut Registry::default())),
            nudges,
            clocks: clocks.clone(),
            opaque_max: OPAQUE_MAX,
            retention: Retention::default(),
            lost: false,
            home: home(&folder.path().join("store")),
        };
        let (exchange, thread) = start(parts).unwrap();
        Self {
            exchange,
            reader,
            member,
            nudges: nudged,
            clocks,
            thread,
            folder,
        }
    }

    fn restart(self) -> Self {
        self.restart_on(Arc::new(RealDisk))
    }

    fn restart_on(self, disk: Arc<dyn Disk>) -> Self {
        let (handle, folder) = self.stop();
        Self::open_on(disk, &handle, folder)
    }

    /// Stops and gives up its folder.
    fn stop(self) -> (String, TempDir) {
        let Self {
            exchange,
            reader,
            member,
            nudges,
            thread,
            folder,
            ..
        } = self;
        drop((exchange, reader, nudges));
        thread.join().unwrap().unwrap();
        (member.profile.handle.to_string(), folder)
    }

    async fn frame(&self, records: Vec<Carried>) -> Verdict {
        let (told, verdict) = oneshot::channel();
        let told = Mutex::new(Some(told));
        let reply = move |verdict, _| told.lock().unwrap().take().unwrap().send(verdict).unwrap();
        assert!(
            self.exchange
                .offer_frame(NodeId([0; 32]), records, Box::new(reply))
                .is_ok()
        );
        verdict.await.unwrap()
    }

    async fn publish(&self, count: usize, to: Option<&str>, tlp: Option<Tlp>) -> local::PublishReply {
        self.exchange
            .publish(BY(), request(count, to, tlp))
            .await
            .unwrap()
    }

    /// A record of this node as gossip would carry it.
    fn carried(&self, id: &RecordId) -> Carried {
        let stored = self.reader.record(id).unwrap().unwrap();
        Carried {
            header: stored.header,
            body: stored.body,
        }
    }
}

fn object(number: usize) -> Box<RawValue> {
    let text = format!(
        r#"{{"type":"ipv4-addr","spec_version":"2.1","id":"ipv4-addr--00000000-0000-4000-8000-{number:012}","value":"203.0.{}.{}"}}"#,
        number / 256,
        number % 256
    );
    RawValue::from_string(text).unwrap()
}

fn request(count: usize, to: Option<&str>, tlp: Option<Tlp>) -> local::PublishRequest {
    local::PublishRequest {
        objects: (0..count).map(object).collect(),
        to: to.map(|to| vec![to.parse().unwrap()]),
        tlp,
        expires: None,
        preview: None,
    }
}

/// Two members of one community: the city founded it, the water company joined.
async fn league() -> (Node, Node) {
    let (city, water) = (Node::new("port-city"), Node::new("acme-water"));
    let found = local::FoundRequest {
        name: "League".to_owned(),
        unmarked: None,
        horizon_days: None,
    };
    city.exchange.found(BY(), found).await.unwrap();
    join(&city, &water).await;
    (city, water)
}

/// Has the city admit a node, which joins.
async fn join(city: &Node, node: &Node) {
    let local::RequestReply {
        file, fingerprint, ..
    } = node.exchange.request(BY()).await.unwrap();
    let admitted = city
        .exchange
        .admit(BY(), local::AdmitRequest { file, fingerprint })
        .await
        .unwrap();
    let join = local::JoinRequest {
        file: admitted.invite,
        fingerprint: admitted.fingerprint,
    };
    node.exchange.join(BY(), join).await.unwrap();
}

#[tokio::test]
async fn two_hundred_objects_are_one_record_and_the_next_is_another() {
    let (city, _) = league().await;
    let reply = city.publish(201, None, None).await;
    let counts: Vec<usize> = reply.records.iter().map(|record| record.objects).collect();
    assert_eq!(counts, [200, 1]);
    assert!(reply.refused.is_empty());
    let mut frames = city
        .reader
        .entries_from(Position(reply.records[0].position), 10, 1 << 20)
        .unwrap();
    frames.retain(|(_, entry)| matches!(entry, Entry::Record(_)));
    assert_eq!(frames.len(), 2);
}

#[tokio::test]
async fn a_publish_that_is_refused_has_sent_nothing() {
    let (city, _) = league().await;
    let before = city.reader.newest();
    let nobody = city
        .exchange
        .publish(BY(), request(3, Some("nobody"), None))
        .await;
    assert!(matches!(nobody, Err(ExchangeError::UnknownMember(_))));
    let late = local::PublishRequest {
        expires: Some("2020-01-01T00:00:00Z".parse().unwrap()),
        preview: None,
        ..request(1, None, None)
    };
    assert!(matches!(
        city.exchange.publish(BY(), late).await,
        Err(ExchangeError::Invalid(_))
    ));
    assert_eq!(city.reader.newest(), before);
    let red = city.publish(1, None, Some(Tlp::Red)).await;
    assert!(red.records.is_empty() && red.refused[0].reason.contains("--to"));
}

#[tokio::test]
async fn a_frame_is_accepted_once_and_a_forgery_in_it_rejected() {
    let (city, water) = league().await;
    let reply = city.publish(1, None, None).await;
    let carried = city.carried(&reply.records[0].id);
    let mut spoiled = carried.clone();
    *spoiled.header.last_mut().unwrap() ^= 1;
    assert_eq!(
        water.frame(vec![spoiled]).await,
        Verdict::Reject,
        "the spoiled copy comes first"
    );
    let aside = water.exchange.aside(&Span::ALL, 1);
    assert_eq!(aside, [], "and keeps nobody from asking for the true one");
    assert_eq!(water.frame(vec![carried.clone()]).await, Verdict::Accept);
    assert_eq!(water.frame(vec![carried.clone()]).await, Verdict::Ignore);
    let own = water.publish(1, None, None).await;
    let mixed = vec![
        city.carried(&city.publish(2, None, None).await.records[0].id),
        water.carried(&own.records[0].id),
    ];
    let other = Node::new("st-mary");
    assert_eq!(
        other.frame(mixed.clone()).await,
        Verdict::Ignore,
        "no community, no judgement"
    );
    assert_eq!(
        city.frame(vec![water.carried(&own.records[0].id)]).await,
        Verdict::Accept
    );
    assert_eq!(
        water.restart().frame(mixed).await,
        Verdict::Reject,
        "two authors in one frame"
    );
}

#[tokio::test]
async fn a_wrong_body_is_the_couriers_and_the_true_one_still_comes() {
    let (city, mut water) = league().await;
    let reply = city.publish(1, Some("acme-water"), Some(Tlp::Amber)).await;
    let id = reply.records[0].id;
    let true_one = city.carried(&id);
    let wrong = Carried {
        body: Some(b"another".to_vec()),
        ..true_one.clone()
    };
    assert_eq!(water.frame(vec![wrong]).await, Verdict::Reject);
    assert_eq!(water.nudges.recv().await, Some(Nudge::Body(id, NodeId([0; 32]))));
    let fate = water
        .exchange
        .body(id, b"another".to_vec(), Origin::Heal)
        .await
        .unwrap();
    assert_eq!(fate, BodyFate::Wrong);
    let fate = water
        .exchange
        .body(id, true_one.body.unwrap(), Origin::Heal)
        .await
        .unwrap();
    assert_eq!(fate, BodyFate::Kept);
    assert_eq!(water.reader.holds(&id).unwrap(), Some(BodyState::Readable));
    let water = water.restart();
    assert_eq!(
        water.reader.holds(&id).unwrap(),
        Some(BodyState::Readable),
        "after a restart, too"
    );
}

#[tokio::test]
async fn a_chain_goes_on_after_a_restart() {
    let (city, water) = league().await;
    city.publish(1, None, None).await;
    let city = city.restart();
    let second = city.publish(1, None, None).await;
    let author = city.member.profile.handle.clone();
    assert_eq!(city.exchange.counts()[&author], 2);
    assert_eq!(city.exchange.flaws(), Flaws::default());
    assert_eq!(
        water.frame(vec![city.carried(&second.records[0].id)]).await,
        Verdict::Accept
    );
    let flaws = water.exchange.flaws();
    let missing = &flaws.missing[0];
    assert_eq!(
        (flaws.gaps, &missing.author, missing.first, missing.last),
        (1, &author, 1, 1)
    );
}

#[tokio::test]
async fn an_expelled_members_later_records_are_refused() {
    let (city, water) = league().await;
    let early = water.publish(1, None, None).await;
    assert_eq!(
        city.frame(vec![water.carried(&early.records[0].id)]).await,
        Verdict::Accept
    );
    let handle = water.member.profile.handle.clone();
    assert_eq!(city.exchange.expel(BY(), handle).await.unwrap().charter, 3);
    // The expelled node has not heard of it and goes on.
    let late = water.publish(1, None, None).await;
    assert_eq!(
        city.frame(vec![water.carried(&late.records[0].id)]).await,
        Verdict::Ignore
    );
    assert_eq!(city.reader.holds(&late.records[0].id).unwrap(), None);
    assert!(city.reader.holds(&early.records[0].id).unwrap().is_some());
    // Now it hears, and refuses to speak.
    let charters = city.exchange.standing().charters.clone().unwrap();
    water.exchange.charters(charters.encode()).await.unwrap();
    let refused = water.exchange.publish(BY(), request(1, None, None)).await;
    assert!(matches!(refused, Err(ExchangeError::Invalid(_))));
}

#[tokio::test]
async fn a_swapped_file_is_caught_by_its_fingerprint() {
    let (city, _) = league().await;
    let mallory = Node::new("mallory");
    // An invite into another's community, with the fingerprint that the city read out.
    let found = local::FoundRequest {
        name: "League".to_owned(),
        unmarked: None,
        horizon_days: None,
    };
    mallory.exchange.found(BY(), found).await.unwrap();
    let mary = Node::new("st-mary");
    let local::RequestReply {
        file, fingerprint, ..
    } = mary.exchange.request(BY()).await.unwrap();
    let asks = local::AdmitRequest { file, fingerprint };
    let theirs = mallory.exchange.admit(BY(), asks.clone()).await.unwrap();
    let ours = city.exchange.admit(BY(), asks).await.unwrap();
    let swapped = local::JoinRequest {
        file: theirs.invite,
        fingerprint: ours.fingerprint,
    };
    let refused = mary.exchange.join(BY(), swapped).await;
    assert!(matches!(refused, Err(ExchangeError::Fingerprint)));
    // A request of another.
    let mallory = Node::new("mallory");
    let theirs = mallory.exchange.request(BY()).await.unwrap();
    let expected = Node::new("region-cert").exchange.request(BY()).await.unwrap();
    let swapped = local::AdmitRequest {
        file: theirs.file,
        fingerprint: expected.fingerprint,
    };
    assert!(matches!(
        city.exchange.admit(BY(), swapped).await,
        Err(ExchangeError::Fingerprint)
    ));
    assert_eq!(
        city.exchange
            .standing()
            .charters
            .as_ref()
            .unwrap()
            .charter()
            .members
            .len(),
        3
    );
}

#[tokio::test]
async fn an_object_that_must_be_sealed_is_kept_unread_when_it_comes_in_the_open() {
    let (city, water) = league().await;
    let charters = city.exchange.standing().charters.clone().unwrap();
    let content = hanse_protocol::content::Content::write(Tlp::Red, Tlp::Clear, &[object(1).get()]);
    let packed = hanse_protocol::compress::pack(&content).unwrap();
    let body = hanse_protocol::seal::Body::Open(packed).encode();
    let now = crate::clock::now();
    let header = Header {
        author: city.member.profile.handle.clone(),
        lane: 0,
        charter: charters.newest().reference(),
        epoch: 0,
        seq: 1,
        prev: None,
        created: now,
        expires: now.after(std::time::Duration::from_secs(60)),
        kind: hanse_protocol::record::Kind::Objects,
        replaces: None,
        body_length: u32::try_from(body.len()).unwrap(),
        body_hash: BodyHash::of(&body),
    };
    let signing = SigningKey::from_seed(&city.member.signing.seed());
    let id = header.id(charters.community(), &signing.verifying_key());
    let carried = Carried {
        header: header.sign(charters.community(), &signing),
        body: Some(body),
    };
    assert_eq!(
        water.frame(vec![carried]).await,
        Verdict::Accept,
        "what travels is not ours to judge"
    );
    // The verdict goes out before the commit: an answer after it shows that it is done.
    water.exchange.request(BY()).await.unwrap();
    assert_eq!(water.reader.holds(&id).unwrap(), Some(BodyState::Unsound));
    let key = hanse_protocol::observable::Observable::parse("203.0.0.1")
        .unwrap()
        .to_key_bytes();
    assert!(water.reader.by_observable(&key, Tlp::Red, 10).unwrap().is_empty());
}
