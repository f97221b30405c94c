//! What gossip did not bring: nodes that were away, joined late or were cut off get it from whoever has
//! it, in spite of those who lie and those who stall.

use std::time::Instant;

use hanse_protocol::identity::RecordId;
use hanse_protocol::local::Readable;
use hanse_protocol::reconcile::Place;
use hanse_tests::api::Terms;
use hanse_tests::evil::Pantry;
use hanse_tests::objects::{address, nth_address};
use hanse_tests::wire::Wire;
use hanse_tests::{Candidate, League, Node, eventually, hansed};

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
    assert_eq!(
        metrics.value("hanse_healed_records_total"),
        400,
        "all of it by healing"
    );
    let bytes = wire.bytes() - before;
    assert!(bytes < 512 << 10, "{bytes} bytes for 400 records");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_lies_and_one_who_stalls_cost_little_time_while_an_honest_one_serves() {
    let mut league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    let liar = Candidate::new("mallory").admitted_by(league.steward()).await;
    let staller = Candidate::new("dawdle").admitted_by(league.steward()).await;
    league.is_connected().await;
    let (lies, stalls) = (
        liar.visits(&[league.node("acme-water")]).await,
        staller.visits(&[league.node("acme-water")]).await,
    );
    league.node_mut("acme-water").stop().await;
    let missed = publishes(league.steward(), 0..120).await;
    // Both say that they have it all, and that there is more; neither sends anything.
    let records = league.steward().api().records().await;
    let mut places: Vec<Place> = records
        .iter()
        .map(|record| Place {
            created: record.created,
            id: record.id,
        })
        .collect();
    places.sort_unstable();
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
    let started = Instant::now();
    league.node_mut("acme-water").start().await;
    holds_all(league.node("acme-water"), &missed).await;
    let took = started.elapsed();
    assert!(took.as_secs() < 30, "it took {took:?}");
}
