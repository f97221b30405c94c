//! Mallory is a member, and takes what it can get: time, turns, streams. Honest members' records pass
//! all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hanse_protocol::frame::Frame;
use hanse_protocol::heal::{self, Question};
use hanse_protocol::identity::RecordId;
use hanse_protocol::presence;
use hanse_protocol::reconcile::Span;
use hanse_protocol::record::Header;
use hanse_protocol::timestamp::Timestamp;
use hanse_tests::api::Terms;
use hanse_tests::evil::{Presence, node_of, now};
use hanse_tests::forge::{carried, frame, open_body};
use hanse_tests::league::has;
use hanse_tests::objects::address;
use hanse_tests::{Candidate, Evil, Failure, League, Node, eventually, hansed};
use tokio::io::AsyncWriteExt;

const HOUR: Duration = Duration::from_secs(3_600);

/// Admits members whose keys the story holds, and waits until the honest ones know of all.
async fn admitted(league: &League, handles: &[&str]) -> Vec<Evil> {
    let mut evil = Vec::new();
    for handle in handles {
        evil.push(Candidate::new(handle).admitted_by(league.steward()).await);
    }
    league.is_connected().await;
    // Each was invited with the charter of its day; the last one's lists them all.
    if let Some(newest) = evil.last().map(|member| member.charters.clone()) {
        evil.iter_mut()
            .for_each(|member| member.charters = newest.clone());
    }
    evil
}

/// Frames of headers that mallory has truly signed and nobody takes, since they are dated ahead. Each
/// is new, and each has to be checked.
fn flood(mallory: &Evil, from: u64, headers: u64) -> Vec<u8> {
    let body = open_body(&[&address("203.0.113.70", None)]);
    let ahead = now().after(HOUR);
    let header = |seq: u64| Header {
        created: ahead,
        expires: ahead.after(HOUR),
        prev: Some(RecordId([7; 32])),
        ..mallory.header(seq, None, &body)
    };
    let headers = (from..from + headers).map(|seq| carried(mallory.signs(&header(seq)), &body));
    frame(headers.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_does_not_keep_an_honest_neighbours_records_out() {
    let league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    let mallory = admitted(&league, &["mallory"]).await.remove(0);
    let mesh = mallory.visits(&[league.steward()]).await;
    let api = league.steward().api();
    let over = AtomicBool::new(false);
    let floods = async {
        let mut seq = 2;
        while !over.load(Ordering::Relaxed) {
            // First what costs most, then what fills queues.
            let headers = if seq < 8_000 { 16 } else { 1 };
            let bytes = flood(&mallory, seq, headers);
            seq += headers;
            // It may have been hung up on, and comes back.
            drop(mesh.mesh.publish(bytes).await);
        }
    };
    let honest = async {
        let mut records = Vec::new();
        for number in 0..10 {
            let object = address(&format!("203.0.113.{number}"), None);
            let acme = league.node("acme-water").api();
            let record = acme.publish_one(&object, &Terms::default()).await;
            has(league.steward(), &record).await;
            records.push(record);
        }
        eventually(
            "mallory's frames are put away unread, and its link is closed",
            async || {
                let metrics = api.metrics().await;
                let unread = metrics.value("hanse_frames_unread_total");
                let hung_up = metrics.value("hanse_couriers_hung_up_total");
                (unread > 0 && hung_up > 0).then_some(())
            },
        )
        .await;
        over.store(true, Ordering::Relaxed);
        records
    };
    let ((), records) = tokio::join!(floods, honest);
    let metrics = api.metrics().await;
    let by_gossip = metrics.value("hanse_records_admitted_total{origin=\"gossip\"}");
    assert!(
        by_gossip >= 5,
        "{by_gossip} of {} records came by gossip while the flood went on",
        records.len()
    );
    let checked = metrics.refused("future-dated");
    assert!(
        checked < 8_000,
        "{checked} of mallory's headers were checked: its allowance is half of that"
    );
    league.is_connected().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_held_open_take_nobodys_place() {
    let mut league = League::of(hansed!(), &["port-city"]).await;
    let mallory = admitted(&league, &["mallory"]).await.remove(0);
    let record = league
        .steward()
        .api()
        .publish_one(&address("203.0.113.80", None), &Terms::default())
        .await;
    let mesh = Arc::new(mallory.visits(&[league.steward()]).await);
    let host = node_of(&mallory.charters, &league.steward().handle);
    let charter = mallory.charters.newest().reference();
    let question = heal::encode(&Question::Span(charter, Span::ALL));
    for _ in 0..48 {
        let (mesh, question) = (Arc::clone(&mesh), question.clone());
        tokio::spawn(async move {
            // Whenever one is closed it opens another, asks now and then, and reads nothing.
            loop {
                let Ok(mut stream) = mesh.mesh.open_stream(host).await else {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                while stream
                    .write_u32(u32::try_from(question.len()).unwrap())
                    .await
                    .is_ok()
                    && stream.write_all(&question).await.is_ok()
                    && stream.flush().await.is_ok()
                {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        });
    }
    let mut newcomer = Node::init(hansed!(), "acme-water");
    newcomer.start().await;
    league.takes_in(newcomer).await;
    has(league.node("acme-water"), &record).await;
}

/// A member's word of what time it is.
async fn says(member: &Evil, mesh: &Presence, at: Timestamp) {
    let word = presence::Presence {
        node: member.member.node_id(),
        addresses: Vec::new(),
        agent: "hansed/0.1.0".to_owned(),
        charter: member.charters.newest().reference(),
        audit_count: 0,
        audit_hash: [0; 32],
        at,
        expires: at.after(HOUR / 4),
    };
    let word = word.sign(member.community(), &member.member.node);
    mesh.gossips(Frame::Presence(word).encode()).await;
}

/// Seen from the node it is the same whether its own clock is an hour ahead or all others' are behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_clock_is_astray_holds_publishing_and_goes_on_when_it_is_right() {
    let league = League::of(hansed!(), &["port-city"]).await;
    let others = admitted(&league, &["st-mary", "region-cert"]).await;
    let node = league.steward();
    let api = node.api();
    let mut meshes = Vec::new();
    for other in &others {
        meshes.push(other.visits(&[node]).await);
    }
    says(&others[0], &meshes[0], now().before(HOUR)).await;
    says(&others[1], &meshes[1], now().before(HOUR)).await;
    let astray = eventually("the node notices", async || api.status().await.clock).await;
    assert!(astray.ahead && astray.members == 2 && (3_500..3_700).contains(&astray.seconds));
    let object = address("203.0.113.90", None);
    let held = api
        .try_publish(std::slice::from_ref(&object), &Terms::default())
        .await;
    let Err(Failure::Problem(problem)) = held else {
        panic!("it was published under a wrong date");
    };
    assert_eq!((problem.status, &*problem.kind), (503, "urn:hanse:problem:clock"));
    says(&others[0], &meshes[0], now()).await;
    says(&others[1], &meshes[1], now()).await;
    eventually("the clock is right again", async || {
        api.status().await.clock.is_none().then_some(())
    })
    .await;
    api.publish_one(&object, &Terms::default()).await;
}
