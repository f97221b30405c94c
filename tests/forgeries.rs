//! Mallory is a member and holds keys. What it forges is refused by the node where it enters, for its
//! own reason, is not passed on, and stands in nobody's way.

use std::collections::HashMap;
use std::time::Duration;

use hanse_protocol::charter::{Charter, SignedCharter};
use hanse_protocol::compress::Packed;
use hanse_protocol::content::Content;
use hanse_protocol::frame::{Carried, Frame};
use hanse_protocol::identity::RecordId;
use hanse_protocol::local::Readable;
use hanse_protocol::presence;
use hanse_protocol::record::Header;
use hanse_protocol::seal::Body;
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;
use hanse_tests::api::Terms;
use hanse_tests::evil::{Pantry, Presence, node_of, now};
use hanse_tests::forge::{
    carried, frame, frame_of, id_of, open_body, respelt, spoiled, with_key_id, with_unprotected,
};
use hanse_tests::league::{has, texts};
use hanse_tests::objects::{address, id};
use hanse_tests::{Candidate, Evil, League, Node, eventually, hansed};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Port-city and acme-water are honest and connected; mallory, a member, is connected to port-city
/// alone.
struct Scene {
    league: League,
    mallory: Evil,
    mesh: Presence,
}

impl Scene {
    async fn set() -> Self {
        let league = League::of(hansed!(), &["port-city", "acme-water"]).await;
        let mallory = Candidate::new("mallory").admitted_by(league.steward()).await;
        league.is_connected().await;
        let mesh = mallory.visits(&[league.steward()]).await;
        Self {
            league,
            mallory,
            mesh,
        }
    }

    fn entry(&self) -> &Node {
        self.league.steward()
    }

    fn id(&self, header: &[u8]) -> RecordId {
        id_of(header, &self.league.community)
    }

    /// Waits until the entry has refused so many records for this reason.
    async fn is_refused(&self, reason: &str, times: u64) {
        let api = self.entry().api();
        eventually(&format!("{times} refused for `{reason}`"), async || {
            (api.metrics().await.refused(reason) >= times).then_some(())
        })
        .await;
        let counted = api.metrics().await.refused(reason);
        assert_eq!(counted, times, "refused for `{reason}`");
    }

    /// A true record of each goes through as ever, and nothing else has reached acme-water.
    async fn ends_well(&self, forged: &[RecordId]) {
        let acme = self.league.node("acme-water");
        let theirs = acme
            .api()
            .publish_one(&address("203.0.113.60", None), &Terms::default())
            .await;
        self.league.holds(&theirs).await;
        let ours = self
            .entry()
            .api()
            .publish_one(&address("203.0.113.61", None), &Terms::default())
            .await;
        self.league.holds(&ours).await;
        let refused = acme.api().metrics().await.refused_at_all();
        assert!(refused.is_empty(), "it was passed on: {refused:?}");
        for node in &self.league.nodes {
            for id in forged {
                assert!(
                    node.api().record(id).await.is_none(),
                    "{} holds {id}",
                    node.handle
                );
            }
        }
    }

    /// Mallory's own true record goes through as well.
    async fn mallory_is_heard(&self, record: Carried) {
        let id = self.id(&record.header);
        self.mesh.gossips(frame(vec![record])).await;
        self.league.holds(&id).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_speaks_in_anothers_name() {
    let scene = Scene::set().await;
    let mallory = &scene.mallory;
    let body = open_body(&[&address("203.0.113.62", None)]);
    let acme = mallory
        .charters
        .charter()
        .member(&"acme-water".parse().unwrap())
        .unwrap();
    let claimed = Header {
        author: acme.handle.clone(),
        ..mallory.header(1, None, &body)
    };

    // Signed with mallory's key, and saying so.
    let open_lie = mallory.signs(&claimed);
    scene.mesh.gossips(frame_of(&open_lie, &body)).await;
    scene.is_refused("unknown-author", 1).await;
    // Signed with mallory's key, under the name of the victim's.
    let own = mallory.member.signing.verifying_key().id();
    let lie = with_key_id(&open_lie, own, acme.signing[0].key.id());
    scene.mesh.gossips(frame_of(&lie, &body)).await;
    scene.is_refused("signature", 1).await;

    scene.ends_well(&[scene.id(&open_lie), scene.id(&lie)]).await;
    assert!(scene.entry().api().search("203.0.113.62").await.is_empty());
    scene
        .mallory_is_heard(mallory.true_record(&address("203.0.113.63", None)))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_another_community_is_nothing_here() {
    let scene = Scene::set().await;
    let mut foreign_steward = Node::init(hansed!(), "region-cert");
    foreign_steward.start().await;
    let founded = foreign_steward.api().found("Another League").await;
    assert!(founded.is_ok(), "it is founded");
    let foreign = Candidate {
        member: scene.mallory.member.clone(),
    };
    let there = foreign.admitted_by(&foreign_steward).await;
    let body = open_body(&[&address("203.0.113.64", None)]);

    // A true record of the other community, byte for byte.
    let replayed = there.signs(&there.header(1, None, &body));
    scene.mesh.gossips(frame_of(&replayed, &body)).await;
    scene.is_refused("unknown-charter", 1).await;
    // One that names our charter, but was signed over there.
    let header = scene.mallory.header(1, None, &body);
    let moved = header.sign(there.community(), &scene.mallory.member.signing);
    scene.mesh.gossips(frame_of(&moved, &body)).await;
    scene.is_refused("signature", 1).await;
    scene.ends_well(&[scene.id(&replayed), scene.id(&moved)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_has_one_spelling() {
    let scene = Scene::set().await;
    let body = open_body(&[&address("203.0.113.65", None)]);
    let header = scene.mallory.signs(&scene.mallory.header(1, None, &body));
    scene
        .mesh
        .gossips(frame_of(&with_unprotected(&header), &body))
        .await;
    scene.is_refused("unprotected", 1).await;
    scene.mesh.gossips(frame_of(&respelt(&header), &body)).await;
    scene.is_refused("not-deterministic", 1).await;
    scene.ends_well(&[scene.id(&header)]).await;
    // The very same record in its one spelling is welcome.
    scene.mallory_is_heard(carried(header, &body)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dates_and_places_that_cannot_be_are_refused() {
    let scene = Scene::set().await;
    let mallory = &scene.mallory;
    let first = mallory.true_record(&address("203.0.113.66", None));
    let first_id = scene.id(&first.header);
    scene.mallory_is_heard(first).await;

    let body = open_body(&[&address("203.0.113.67", None)]);
    let now = now();
    let second = Duration::from_secs(1);
    let follows = |seq| mallory.header(seq, Some(first_id), &body);
    let admitted = mallory
        .charters
        .charter()
        .member(mallory.handle())
        .unwrap()
        .admitted;
    let impossible = [
        (
            "expired",
            Header {
                created: now.before(60 * second),
                expires: now.before(second),
                ..mallory.header(2, Some(RecordId([1; 32])), &body)
            },
        ),
        (
            "future-dated",
            Header {
                created: now.after(600 * second),
                expires: now.after(DAY),
                ..follows(3)
            },
        ),
        (
            "expiry",
            Header {
                expires: now.after(366 * DAY),
                ..follows(4)
            },
        ),
        (
            "before-admission",
            Header {
                created: admitted.before(second),
                ..mallory.header(5, Some(RecordId([2; 32])), &body)
            },
        ),
        ("chain", mallory.header(7, None, &body)),
        (
            "expiry",
            Header {
                created: now,
                expires: Timestamp::from_millis(u64::MAX),
                ..follows(8)
            },
        ),
        (
            "future-dated",
            Header {
                created: Timestamp::from_millis(u64::MAX - 1),
                expires: Timestamp::from_millis(u64::MAX),
                ..follows(9)
            },
        ),
    ];
    let mut forged = Vec::new();
    let mut expected: HashMap<&str, u64> = HashMap::new();
    for (reason, header) in impossible {
        let bytes = mallory.signs(&header);
        forged.push(scene.id(&bytes));
        scene.mesh.gossips(frame_of(&bytes, &body)).await;
        *expected.entry(reason).or_default() += 1;
        scene.is_refused(reason, expected[reason]).await;
    }
    assert_eq!(
        scene.entry().api().metrics().await.verdicts("reject"),
        0,
        "no courier is to blame"
    );
    scene.ends_well(&forged).await;
    let next = mallory.signs(&follows(2));
    scene.mallory_is_heard(carried(next, &body)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_and_mixed_frames_cost_their_courier_until_it_is_no_longer_heard() {
    let scene = Scene::set().await;
    let other = Candidate::new("mallorys-friend").admitted_by(scene.entry()).await;
    let api = scene.entry().api();
    let rejected = async |times: u64| {
        eventually(&format!("{times} frames are rejected"), async || {
            (api.metrics().await.verdicts("reject") == times).then_some(())
        })
        .await;
    };
    scene.mesh.gossips(vec![0xff; 1_000]).await;
    rejected(1).await;
    // Two authors in one frame: one could hide behind the other.
    let true_record = scene.mallory.true_record(&address("203.0.113.68", None));
    let others = other.true_record(&address("203.0.113.69", None));
    scene.mesh.gossips(frame(vec![true_record, others])).await;
    rejected(2).await;
    scene.mesh.gossips(Frame::Presence(vec![0; 64]).encode()).await;
    rejected(3).await;

    // From now on its gossip goes unheard; what it has that is true still comes by healing.
    let body = open_body(&[&address("203.0.113.70", None)]);
    let late = scene
        .mallory
        .signs(&scene.mallory.header(2, Some(RecordId([3; 32])), &body));
    scene.mesh.gossips(frame_of(&late, &body)).await;
    scene.mesh.gossips(vec![0xfe; 1_000]).await;
    scene.ends_well(&[scene.id(&late)]).await;
    assert_eq!(api.metrics().await.verdicts("reject"), 3);
    let offered = vec![carried(late.clone(), &body)];
    scene.mesh.offers(Pantry::of(&scene.league.community, offered));
    scene.league.holds(&scene.id(&late)).await;
}

/// Mallory stands between an author and a reader, and is faster.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spoiled_copy_that_comes_first_does_not_keep_the_true_one_out() {
    let Scene {
        mut league,
        mallory,
        mesh,
    } = Scene::set().await;
    drop(mesh);
    league.node_mut("port-city").stop().await;
    let author = league.node("acme-water").api();
    let tap = mallory.visits(&[league.node("acme-water")]).await;
    let objects = [address("203.0.113.71", None), address("203.0.113.72", None)];
    let mut ids = Vec::new();
    for object in &objects {
        ids.push(author.publish_one(object, &Terms::default()).await);
    }
    let mut tapped = HashMap::new();
    eventually("mallory hears both records", async || {
        for bytes in &tap.heard().frames {
            if let Ok(Frame::Records(records)) = Frame::decode(bytes) {
                tapped.extend(
                    records
                        .into_iter()
                        .map(|record| (id_of(&record.header, &league.community), record)),
                );
            }
        }
        (tapped.len() == 2).then_some(())
    })
    .await;
    drop(tap);
    league.node_mut("acme-water").stop().await;
    league.node_mut("port-city").start().await;
    let reader = league.node("port-city");
    let mesh = mallory.visits(&[reader]).await;
    let api = reader.api();
    let counted = async |reason: &str, least: u64| {
        eventually(&format!("{least} refused for `{reason}`"), async || {
            (api.metrics().await.refused(reason) >= least).then_some(())
        })
        .await;
    };

    // A signature that does not hold: nothing is remembered of the record it stands on.
    let first = &tapped[&ids[0]];
    let body = first.body.clone().unwrap();
    mesh.gossips(frame_of(&spoiled(&first.header), &body)).await;
    counted("signature", 1).await;
    assert!(api.record(&ids[0]).await.is_none());
    mesh.gossips(frame(vec![first.clone()])).await;
    assert_eq!(texts(&has(reader, &ids[0]).await), [objects[0].as_str()]);

    // Another body, in the frame and again when it is asked for: the header stays, the body is awaited.
    let second = &tapped[&ids[1]];
    let wrong = open_body(&[&address("203.0.113.73", None)]);
    mesh.offers(Pantry {
        bodies: HashMap::from([(ids[1], wrong.clone())]),
        ..Pantry::default()
    });
    mesh.gossips(frame_of(&second.header, &wrong)).await;
    counted("body-hash", 2).await;
    assert!(mesh.heard().bodies_asked.contains(&ids[1]));
    assert_eq!(api.record(&ids[1]).await.unwrap().state, Readable::Awaited);
    assert_eq!(api.status().await.store.awaited, 1);

    // The author comes back, and with it the true body.
    league.node_mut("acme-water").start().await;
    let reader = league.node("port-city");
    assert_eq!(texts(&has(reader, &ids[1]).await), [objects[1].as_str()]);
    assert!(api.search("203.0.113.73").await.is_empty());
}

/// One record, two texts: whoever is given the other one notices, and the rest carry it unread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_author_cannot_give_two_readers_two_texts() {
    let league = League::of(hansed!(), &["port-city", "acme-water", "st-mary"]).await;
    let mallory = Candidate::new("mallory").admitted_by(league.steward()).await;
    league.is_connected().await;
    let carrier = league.node("st-mary");
    let mesh = mallory.visits(&[carrier]).await;
    let object = address("203.0.113.74", Some(Tlp::Amber));
    let (first, second) = ("port-city".parse().unwrap(), "acme-water".parse().unwrap());
    let (header, body) = mallory.sealed_twice(&first, &second, &object);
    let header = mallory.signs(&header);
    let id = id_of(&header, &league.community);
    mesh.gossips(frame_of(&header, &body)).await;
    league.holds(&id).await;

    assert_eq!(
        texts(&has(league.node("port-city"), &id).await),
        [object.as_str()]
    );
    assert_eq!(has(league.node("acme-water"), &id).await.state, Readable::Unsound);
    assert_eq!(has(carrier, &id).await.state, Readable::Opaque);
    for (handle, times) in [("port-city", 0), ("acme-water", 1), ("st-mary", 0)] {
        let metrics = league.node(handle).api().metrics().await;
        assert_eq!(metrics.refused("commitment"), times, "{handle}");
        assert_eq!(
            metrics.verdicts("reject"),
            0,
            "nobody who passed it on could know"
        );
    }
    assert!(
        league
            .node("acme-water")
            .api()
            .search("203.0.113.74")
            .await
            .is_empty()
    );
}

/// Content is the author's affair: the record travels, so that the mesh heals, and nobody reads it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_that_must_not_be_is_carried_and_not_shown() {
    let scene = Scene::set().await;
    let mallory = &scene.mallory;
    let amber = address("203.0.113.75", Some(Tlp::Amber));
    let unsound = format!(
        r#"{{"type":"indicator","spec_version":"2.1","id":"{}"}}"#,
        id("indicator")
    );
    let packed = |content: &[u8]| Body::Open(hanse_protocol::compress::pack(content).unwrap());
    let Body::Open(honest) = packed(&Content::write(
        Tlp::Green,
        Tlp::Clear,
        &[&address("203.0.113.75", None)],
    )) else {
        panic!("it is open");
    };
    let bodies = [
        (
            "open-beyond-floor",
            open_body(&[&amber, &address("203.0.113.75", None)]),
        ),
        ("object", open_body(&[&address("203.0.113.75", None), &unsound])),
        ("content", packed(b"{\"objects\":[]}").encode()),
        ("body-malformed", vec![0xf5; 40]),
        // Says that it holds four gigabytes.
        (
            "body-malformed",
            Body::Open(Packed {
                raw_len: u32::MAX,
                ..honest.clone()
            })
            .encode(),
        ),
        // Says that it holds less than it does.
        (
            "body-malformed",
            Body::Open(Packed {
                raw_len: 10,
                ..honest
            })
            .encode(),
        ),
        ("unknown-suite", vec![0x82, 0x18, 0x63, 0x40]),
    ];
    let (mut seq, mut prev) = (0, None);
    let mut expected: HashMap<&str, u64> = HashMap::new();
    for (reason, body) in bodies {
        seq += 1;
        let header = mallory.signs(&mallory.header(seq, prev, &body));
        let id = scene.id(&header);
        prev = Some(id);
        scene.mesh.gossips(frame_of(&header, &body)).await;
        *expected.entry(reason).or_default() += 1;
        scene.is_refused(reason, expected[reason]).await;
        // What a later version may read is kept unread rather than condemned.
        let state = if reason == "unknown-suite" {
            Readable::Opaque
        } else {
            Readable::Unsound
        };
        for node in &scene.league.nodes {
            let held = has(node, &id).await;
            assert_eq!(
                (held.state, held.objects.is_none()),
                (state, true),
                "{reason} at {}",
                node.handle
            );
            assert_eq!(node.api().metrics().await.verdicts("reject"), 0);
        }
    }
    for node in &scene.league.nodes {
        assert!(node.api().search("203.0.113.75").await.is_empty());
    }
}

/// Only stewards change membership, and only a node tells where it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charter_without_the_stewards_and_a_borrowed_presence_change_nothing() {
    let scene = Scene::set().await;
    let mallory = &scene.mallory;
    let api = scene.entry().api();
    let before = api.members().await.unwrap();
    let current = mallory.charters.charter();
    let coup = Charter {
        version: current.version + 1,
        parents: vec![mallory.charters.newest().hash()],
        issued: now().max(current.issued),
        stewards: vec![mallory.handle().clone()],
        ..current.clone()
    };
    let mut coup = SignedCharter::issue(coup).unwrap();
    coup.endorse(mallory.handle(), &mallory.member.signing);
    scene.mesh.gossips(Frame::Charter(coup.encode()).encode()).await;
    let rejected = async |times: u64| {
        eventually(&format!("{times} frames are rejected"), async || {
            (api.metrics().await.verdicts("reject") == times).then_some(())
        })
        .await;
    };
    rejected(1).await;
    let acme = node_of(&mallory.charters, &"acme-water".parse().unwrap());
    let borrowed = presence::Presence {
        node: acme,
        addresses: vec!["/ip4/127.0.0.1/tcp/1".to_owned()],
        agent: "hansed/0.1.0".to_owned(),
        charter: mallory.charters.newest().reference(),
        audit_count: 0,
        audit_hash: [0; 32],
        at: now(),
        expires: now().after(DAY),
    };
    let borrowed = borrowed.sign(mallory.community(), &mallory.member.node);
    scene.mesh.gossips(Frame::Presence(borrowed).encode()).await;
    rejected(2).await;
    scene.ends_well(&[]).await;
    for node in &scene.league.nodes {
        assert_eq!(node.api().members().await.unwrap().charter, before.charter);
        assert!(!node.api().status().await.community.unwrap().fork);
    }
}

/// A peer that heals with lies: forged records of the very numbers that are missing, and noise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lies_in_an_answer_do_not_take_the_place_of_what_is_missing() {
    let scene = Scene::set().await;
    let mallory = &scene.mallory;
    let acme = mallory
        .charters
        .charter()
        .member(&"acme-water".parse().unwrap())
        .unwrap();
    let body = open_body(&[&address("203.0.113.76", None)]);
    let own = mallory.member.signing.verifying_key().id();
    let forged: Vec<Carried> = (1..=3)
        .map(|seq| {
            let prev = (seq > 1).then_some(RecordId([4; 32]));
            let claimed = Header {
                author: acme.handle.clone(),
                ..mallory.header(seq, prev, &body)
            };
            carried(
                with_key_id(&mallory.signs(&claimed), own, acme.signing[0].key.id()),
                &body,
            )
        })
        .collect();
    let ids: Vec<RecordId> = forged.iter().map(|record| scene.id(&record.header)).collect();
    scene.mesh.offers(Pantry::of(&scene.league.community, forged));
    let api = scene.entry().api();
    eventually("the lies are refused", async || {
        (api.metrics().await.refused("signature") >= 3).then_some(())
    })
    .await;
    // Then it answers with a message of four gigabytes, and with noise.
    for garbage in [vec![0xff; 8], [&[0, 0, 0, 9], [0x9f; 9].as_slice()].concat()] {
        let streams = scene.mesh.heard().streams;
        scene.mesh.offers(Pantry {
            garbage: Some(garbage),
            ..Pantry::default()
        });
        eventually("it is asked again", async || {
            (scene.mesh.heard().streams > streams).then_some(())
        })
        .await;
    }
    let truth: Vec<String> = (0..3).map(|_| address("203.0.113.77", None)).collect();
    for object in &truth {
        let id = scene
            .league
            .node("acme-water")
            .api()
            .publish_one(object, &Terms::default())
            .await;
        assert_eq!(texts(&has(scene.entry(), &id).await), [object.as_str()]);
    }
    scene.ends_well(&ids).await;
}

/// Two records of one number are evidence against their author, and nobody loses either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_records_of_one_number_are_held_by_all() {
    let scene = Scene::set().await;
    let objects = [address("203.0.113.78", None), address("203.0.113.79", None)];
    for object in &objects {
        scene.mallory_is_heard(scene.mallory.true_record(object)).await;
    }
    for node in &scene.league.nodes {
        let author = scene.mallory.handle();
        let records = node.api().records().await;
        let twins = records
            .iter()
            .filter(|record| record.author == *author && record.seq == 1);
        assert_eq!(twins.filter(|twin| twin.equivocation).count(), 2, "and marked");
        let chains = node.api().status().await.chains;
        assert_eq!(chains.equivocations, 1);
        assert_eq!(
            (&chains.given_twice[0].author, chains.given_twice[0].seq),
            (author, 1)
        );
        let metrics = node.api().metrics().await;
        assert_eq!(metrics.value("hanse_equivocations_total"), 1);
    }
}

/// The greatest numbers there are, in a chain long enough to be healed in several pages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_at_the_end_of_all_numbers_is_healed_like_any_other() {
    let Scene {
        mut league,
        mallory,
        mesh,
    } = Scene::set().await;
    league.node_mut("acme-water").stop().await;
    let mut prev = RecordId([5; 32]);
    let mut records = Vec::new();
    for seq in u64::MAX - 63..=u64::MAX {
        let body = open_body(&[&address(&format!("203.0.113.{}", seq % 64), None)]);
        let header = mallory.signs(&mallory.header(seq, Some(prev), &body));
        prev = id_of(&header, &league.community);
        records.push(carried(header, &body));
    }
    mesh.gossips(frame(records)).await;
    has(league.steward(), &prev).await;
    drop(mesh);
    league.node_mut("acme-water").start().await;
    let (city, acme) = (league.steward().api(), league.node("acme-water").api());
    eventually("acme-water holds them all", async || {
        (acme.records().await.len() == 64).then_some(())
    })
    .await;
    // And again, after both have nothing left to ask.
    let author = league
        .node("acme-water")
        .api()
        .publish_one(&address("203.0.113.64", None), &Terms::default())
        .await;
    has(league.steward(), &author).await;
    let members = city.members().await.unwrap().members;
    assert!(
        members
            .iter()
            .any(|member| member.handle == *mallory.handle() && member.records == 64)
    );
}

#[tokio::test]
async fn a_partner_remembers_how_long_an_audit_log_was_and_shows_that_it_was_cut() {
    let Scene {
        mut league,
        mallory,
        mesh,
    } = Scene::set().await;
    // Each word is dated a while after the one before: what follows at once is not listened to.
    let mut at = now();
    let mut said = |lines: u64, hash: u8| {
        at = at.after(Duration::from_secs(2));
        let presence = presence::Presence {
            node: mallory.member.node_id(),
            addresses: Vec::new(),
            agent: "hansed/0.1.0".to_owned(),
            charter: mallory.charters.newest().reference(),
            audit_count: lines,
            audit_hash: [hash; 32],
            at,
            expires: at.after(Duration::from_secs(600)),
        };
        Frame::Presence(presence.sign(mallory.community(), &mallory.member.node)).encode()
    };
    let heard = async |entry: &Node, lines: u64| {
        eventually(&format!("{lines} lines are heard of"), async || {
            let heads = entry.api().audit_heads().await;
            let of_mallory = heads
                .nodes
                .into_iter()
                .find(|node| node.member == *mallory.handle());
            of_mallory.filter(|node| node.heard.head.lines == lines)
        })
        .await
    };
    mesh.gossips(said(40, 1)).await;
    assert_eq!(heard(league.steward(), 40).await.broken, None);
    // What was heard outlives the node that heard it.
    drop(mesh);
    let node = league.node_mut("port-city");
    node.stop().await;
    node.start().await;
    let mesh = mallory.visits(&[league.steward()]).await;
    mesh.gossips(said(39, 2)).await;
    let cut = heard(league.steward(), 39).await.broken.expect("it shows");
    assert_eq!((cut.was.head.lines, cut.then.head.lines), (40, 39));
    mesh.gossips(said(39, 3)).await;
    eventually("a last line that became another shows too", async || {
        let heads = league.steward().api().audit_heads().await;
        let broken = heads.nodes.iter().find_map(|node| node.broken);
        broken.filter(|broken| broken.was.head.lines == 39 && broken.then.head.hash == [3; 32])
    })
    .await;
    let metrics = league.steward().api().metrics_text().await;
    assert!(
        metrics.contains("hanse_audits_broken_total{community=\"first\"} 2"),
        "{metrics}"
    );
}
