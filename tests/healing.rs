//! What gossip did not bring: nodes that were away, joined late or were cut off get it from whoever has
//! it, in spite of those who lie and those who stall.

use std::sync::Arc;
use std::time::Instant;

use hanse_node::mesh::MeshStream;
use hanse_protocol::charter::{CharterChain, CharterRef};
use hanse_protocol::heal::{self, Answer, KeyChoice, Question};
use hanse_protocol::identity::RecordId;
use hanse_protocol::local::Readable;
use hanse_protocol::reconcile::{Asked, Key, Place, Span, Sum, Told};
use hanse_protocol::timestamp::Timestamp;
use hanse_tests::api::Terms;
use hanse_tests::evil::{Pantry, node_of, now};
use hanse_tests::objects::{address, nth_address};
use hanse_tests::wire::Wire;
use hanse_tests::{Candidate, League, Node, eventually, hansed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Publishes so many records, one object each.
async fn publishes(node: &Node, numbers: std::ops::Range<u32>) -> Vec<RecordId> {
    let api = node.api();
    let mut ids = Vec::new();
    for number in numbers {
        ids.push(
            api.publish_one(&address(&nth_address(number), None), &Terms::default())
                .await,
        );
    }
    ids
}

/// Waits until a node holds all of these, with their bodies.
async fn holds_all(node: &Node, ids: &[RecordId]) {
    let api = node.api();
    eventually(&format!("{} holds all {}", node.handle, ids.len()), async || {
        let records = api.records().await;
        let held = |id: &RecordId| {
            let mut records = records.iter();
            records.any(|record| record.id == *id && record.state != Readable::Awaited)
        };
        ids.iter().all(held).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_gets_exactly_what_it_missed_and_says_so() {
    let mut league = League::of(hansed!(), &["port-city", "acme-water", "st-mary"]).await;
    let before = publishes(league.steward(), 0..5).await;
    holds_all(league.node("st-mary"), &before).await;
    league.node_mut("st-mary").stop().await;
    let mut missed = publishes(league.steward(), 5..45).await;
    missed.extend(publishes(league.node("acme-water"), 45..85).await);
    league.node_mut("st-mary").start().await;
    let back = league.node("st-mary");
    holds_all(back, &missed).await;
    let api = back.api();
    let metrics = api.metrics().await;
    let healed = metrics.value("hanse_records_admitted_total{origin=\"heal\"}");
    assert_eq!(healed, 80, "exactly what it missed");
    assert!(
        metrics.value("hanse_healed_records_total") == 80,
        "and no more by other ways"
    );
    let status = eventually("it is done, and says with whom", async || {
        let status = api.status().await;
        (status.healing.behind == 0 && status.healing.last.is_some()).then_some(status)
    })
    .await;
    let last = status.healing.last.unwrap();
    assert!(last.member.is_some() && last.at >= status.started);
    assert_eq!((status.healing.records, status.healing.catching_up), (80, None));
    assert!(status.healing.bytes > 80 * 200);
    assert_eq!((status.chains.gaps, status.chains.equivocations), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_late_gets_history_and_what_was_taken_back_as_a_header_only() {
    let mut league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    let mut ids = publishes(league.steward(), 0..30).await;
    holds_all(league.node("acme-water"), &ids).await;
    let taken_back = ids[7];
    let retraction = league.steward().api().retract(&taken_back).await;
    ids.push(retraction.expect("it is taken back").id);
    holds_all(league.node("acme-water"), &ids).await;
    let mut newcomer = Node::init(hansed!(), "st-mary");
    newcomer.start().await;
    league.takes_in(newcomer).await;
    let newcomer = league.node("st-mary");
    eventually("the newcomer holds it all", async || {
        let records = newcomer.api().records().await;
        ids.iter()
            .all(|id| records.iter().any(|record| record.id == *id))
            .then_some(())
    })
    .await;
    let records = newcomer.api().records().await;
    let gone = records.iter().find(|record| record.id == taken_back).unwrap();
    assert!(gone.objects.is_none() && gone.state != Readable::Readable);
}

/// The newcomer only dials out, and only over a wire that breaks again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_is_cut_goes_on_where_it_stopped() {
    let mut steward = Node::init(hansed!(), "port-city");
    let wire = Wire::to(steward.mesh_port).await;
    let external = format!("external = [\"/ip4/127.0.0.1/tcp/{}\"]", wire.port);
    steward.set("#external = []", &external);
    steward.start().await;
    let founded = steward.api().found("Port City League").await.unwrap();
    let mut league = League {
        nodes: vec![steward],
        community: founded.community,
    };
    let mut acme = Node::init(hansed!(), "acme-water");
    acme.set("#profile = \"peer\"", "profile = \"leaf\"");
    acme.start().await;
    league.takes_in(acme).await;
    holds_all(
        league.node("acme-water"),
        &publishes(league.steward(), 0..1).await,
    )
    .await;

    league.node_mut("acme-water").stop().await;
    let missed = publishes(league.steward(), 1..401).await;
    let before = wire.bytes();
    wire.breaks_after(64 << 10);
    league.node_mut("acme-water").start().await;
    holds_all(league.node("acme-water"), &missed).await;
    let broken = wire.broken();
    assert!(broken >= 2, "it broke {broken} times");
    let metrics = league.node("acme-water").api().metrics().await;
    let healed = metrics.value("hanse_healed_records_total");
    // Whoever was alone gossips what it made meanwhile once somebody is there.
    let gossiped = metrics.value("hanse_records_admitted_total{origin=\"gossip\"}");
    assert_eq!(healed + gossiped, 400);
    // How much of it is left to healing depends on how soon gossip's frames get through between two breaks.
    assert!(healed > 0, "{healed}");
    let bytes = wire.bytes() - before;
    assert!(bytes < 512 << 10, "{bytes} bytes for 400 records");
}

/// A league in which a node is away, and what it missed; the others were there to hear it, so that only
/// healing brings it.
async fn one_is_away(league: &mut League, missed: std::ops::Range<u32>) -> (Vec<RecordId>, Vec<Place>) {
    league.node_mut("acme-water").stop().await;
    let missed = publishes(league.steward(), missed).await;
    holds_all(league.node("st-mary"), &missed).await;
    let records = league.steward().api().records().await;
    let mut places: Vec<Place> = records
        .iter()
        .map(|record| Place {
            created: record.created,
            id: record.id,
        })
        .collect();
    places.sort_unstable();
    (missed, places)
}

/// Waits until a node that was away has what it missed; by healing alone.
async fn is_healed(node: &Node, missed: &[RecordId]) {
    let started = Instant::now();
    holds_all(node, missed).await;
    let took = started.elapsed();
    assert!(took.as_secs() < 30, "it took {took:?}");
    let metrics = node.api().metrics().await;
    let healed = metrics.value("hanse_records_admitted_total{origin=\"heal\"}");
    assert_eq!(usize::try_from(healed), Ok(missed.len()), "healing brought it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_lies_and_one_who_stalls_cost_little_time_while_an_honest_one_serves() {
    let mut league = League::of(hansed!(), &["port-city", "acme-water", "st-mary"]).await;
    let liar = Candidate::new("mallory").admitted_by(league.steward()).await;
    let staller = Candidate::new("dawdle").admitted_by(league.steward()).await;
    league.is_connected().await;
    let (lies, stalls) = (
        liar.visits(&[league.node("acme-water")]).await,
        staller.visits(&[league.node("acme-water")]).await,
    );
    let (missed, mut places) = one_is_away(&mut league, 0..120).await;
    // Both say that they have it all, and that there is more; neither sends anything.
    places.truncate(60);
    lies.offers(Pantry {
        places: places.clone(),
        ..Pantry::default()
    });
    stalls.offers(Pantry {
        places,
        stalls: true,
        ..Pantry::default()
    });
    league.node_mut("acme-water").start().await;
    is_healed(league.node("acme-water"), &missed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_makes_up_ever_so_many_records_hides_nothing_that_an_honest_one_has() {
    let mut league = League::of(hansed!(), &["port-city", "acme-water", "st-mary"]).await;
    let liar = Candidate::new("mallory").admitted_by(league.steward()).await;
    league.is_connected().await;
    let lies = liar.visits(&[league.node("acme-water")]).await;
    let (missed, places) = one_is_away(&mut league, 0..150).await;
    // They look newer than all there is, and are told bit by bit like what honest nodes hold.
    let newest = places.last().map(|place| place.created.as_millis()).unwrap();
    let made_up = (0..60_000u64).map(|number| {
        let mut id = RecordId([7; 32]);
        id.0[..8].copy_from_slice(&number.to_be_bytes());
        let created = Timestamp::from_millis(newest + number / 64);
        Place { created, id }
    });
    lies.offers(Pantry {
        made_up: Some((*liar.community(), Arc::new(made_up.collect()))),
        ..Pantry::default()
    });
    league.node_mut("acme-water").start().await;
    is_healed(league.node("acme-water"), &missed).await;
    let acme = league.node("acme-water").api();
    let last = eventually("it was compared with to the end", async || {
        acme.status().await.healing.last
    })
    .await;
    assert_ne!(last.member.as_ref(), Some(liar.handle()));
}

/// Talks to a node's healing over a stream of its own.
struct Asker(MeshStream);

impl Asker {
    async fn asks(&mut self, question: &Question) -> Answer {
        let bytes = heal::encode(question);
        let length = u32::try_from(bytes.len()).unwrap();
        self.0.write_u32(length).await.unwrap();
        self.0.write_all(&bytes).await.unwrap();
        self.0.flush().await.unwrap();
        let mut bytes = vec![0; usize::try_from(self.0.read_u32().await.unwrap()).unwrap()];
        self.0.read_exact(&mut bytes).await.unwrap();
        heal::decode(&bytes).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_names_a_nonce_is_compared_with_under_a_key_of_the_two_and_not_too_often() {
    let league = League::of(hansed!(), &["port-city"]).await;
    let partner = Candidate::new("st-mary").admitted_by(league.steward()).await;
    let held = publishes(league.steward(), 0..3).await;
    let mesh = partner.visits(&[league.steward()]).await;
    let host = node_of(&partner.charters, &league.steward().handle);
    let charter = partner.charters.newest().reference();
    let mut asker = Asker(mesh.mesh.open_stream(host).await.unwrap());

    let ours = [7; 32];
    let Answer::Nonce(theirs) = asker.asks(&Question::Nonce(ours)).await else {
        panic!("it names its nonce");
    };
    let again = asker.asks(&Question::Nonce(ours)).await;
    assert_eq!(
        again,
        Answer::Nonce(theirs),
        "it remembers none, and makes the same"
    );
    assert_eq!(asker.asks(&Question::Nonce([8; 32])).await, Answer::Later);
    // Nothing was made before today, which both see under the same key only.
    let before = Span {
        from: Place::FIRST,
        to: Place::at(now()).day(),
    };
    let compare = |key: &Key, choice, span| {
        let digest = Sum::default().digest(key);
        Question::Compare(charter, choice, vec![Asked { span, digest }])
    };
    let key = Key::of_pass(&ours, &theirs);
    let told = asker.asks(&compare(&key, KeyChoice::Pass(ours), before)).await;
    assert_eq!(told, Answer::Compared(vec![Told::Same]));
    let other = Key::of_pass(&theirs, &ours);
    let told = asker.asks(&compare(&other, KeyChoice::Pass(ours), before)).await;
    assert_eq!(told, Answer::Compared(vec![Told::Places(vec![])]));
    let told = asker.asks(&compare(&key, KeyChoice::Pass([8; 32]), before)).await;
    assert_eq!(told, Answer::Later);
    // Under the community's key all is compared, and can be fetched either way.
    let key = Key::of_community(partner.community());
    let told = asker.asks(&compare(&key, KeyChoice::Community, Span::ALL)).await;
    let Answer::Compared(told) = told else {
        panic!("it compares");
    };
    let [Told::Places(places)] = told.as_slice() else {
        panic!("it lists what it has: {told:?}");
    };
    let mut ids: Vec<RecordId> = places.iter().map(|place| place.id).collect();
    assert!(held.iter().all(|id| ids.contains(id)) && ids.len() == 3);
    ids.push(RecordId([9; 32]));
    for question in [
        Question::Records(charter, ids),
        Question::Span(charter, Span::ALL),
    ] {
        let Answer::Records(records) = asker.asks(&question).await else {
            panic!("it sends them");
        };
        assert_eq!(records.len(), 3, "and what it does not hold it leaves out");
        let mut length = [0; 4];
        asker.0.read_exact(&mut length).await.unwrap();
        let mut end = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        asker.0.read_exact(&mut end).await.unwrap();
        assert_eq!(heal::decode(&end), Ok(Answer::End(None)));
    }
    let elsewhere = CharterRef {
        version: charter.version + 1,
        ..charter
    };
    let told = asker.asks(&Question::Span(elsewhere, Span::ALL)).await;
    assert_eq!(told, Answer::OtherCharter(charter));
}

/// What a node says it holds, asked by a member; `None` while it stands under another charter or looks
/// through what a new one ended.
async fn compared(asker: &mut Asker, charters: &CharterChain) -> Option<Vec<Place>> {
    let key = Key::of_community(charters.community());
    let asked = Asked {
        span: Span::ALL,
        // Of what nobody holds, so that places are told.
        digest: Sum::of(&key, &Place::FIRST).digest(&key),
    };
    let charter = charters.newest().reference();
    match asker
        .asks(&Question::Compare(charter, KeyChoice::Community, vec![asked]))
        .await
    {
        Answer::Compared(told) => match told.as_slice() {
            [Told::Places(places)] => Some(places.clone()),
            other => panic!("it lists what it has: {other:?}"),
        },
        Answer::OtherCharter(_) | Answer::Later => None,
        other => panic!("{other:?}"),
    }
}

/// The steward expels a member of which it knows less than another node has admitted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_after_a_member_was_expelled_lacks_nothing_that_others_list() {
    let mut league = League::of(hansed!(), &["port-city", "acme-water", "st-mary"]).await;
    let mut counting = publishes(league.node("acme-water"), 0..3).await;
    holds_all(league.steward(), &counting).await;
    league.node_mut("port-city").stop().await;
    let beyond = publishes(league.node("acme-water"), 3..9).await;
    holds_all(league.node("st-mary"), &beyond).await;
    holds_all(league.node("st-mary"), &counting).await;
    for handle in ["acme-water", "st-mary"] {
        league.node_mut(handle).stop().await;
    }
    league.node_mut("port-city").start().await;
    let expelled = league.steward().api().expel("acme-water").await;
    expelled.expect("it expels");
    counting.extend(publishes(league.steward(), 9..11).await);
    league.node_mut("st-mary").start().await;
    holds_all(league.node("st-mary"), &counting).await;

    let mut newcomer = Node::init(hansed!(), "region-cert");
    newcomer.start().await;
    league.takes_in(newcomer).await;
    holds_all(league.node("region-cert"), &counting).await;
    let partner = Candidate::new("inspector").admitted_by(league.steward()).await;
    let hosts = ["port-city", "st-mary", "region-cert"];
    let mut held = Vec::new();
    for host in hosts {
        let host = league.node(host);
        eventually("its charter lists the inspector", async || {
            let members = host.api().members().await.ok()?;
            let listed = members.members.iter().any(|m| m.handle == *partner.handle());
            listed.then_some(())
        })
        .await;
        let mesh = partner.visits(&[host]).await;
        let node = node_of(&partner.charters, &host.handle);
        let mut asker = Asker(mesh.mesh.open_stream(node).await.unwrap());
        held.push(
            eventually("all hold the same", async || {
                compared(&mut asker, &partner.charters).await
            })
            .await,
        );
    }
    let mut expected = counting.clone();
    expected.sort_unstable();
    for places in held {
        let mut ids: Vec<RecordId> = places.iter().map(|place| place.id).collect();
        ids.sort_unstable();
        assert_eq!(ids, expected);
    }
    // What lies beyond stays where it was admitted.
    let evidence = league.node("st-mary").api().records().await;
    assert!(
        beyond
            .iter()
            .all(|id| evidence.iter().any(|record| record.id == *id))
    );
    eventually("the newcomer finds that nobody holds what it lacks", async || {
        let status = league.node("region-cert").api().status().await;
        let healed = |handle: &str| {
            let mut peers = status.peers.iter();
            peers.any(|peer| {
                peer.last_healed.is_some()
                    && peer
                        .member
                        .as_ref()
                        .is_some_and(|member| member.as_str() == handle)
            })
        };
        (healed("port-city") && healed("st-mary")).then_some(())
    })
    .await;
}
