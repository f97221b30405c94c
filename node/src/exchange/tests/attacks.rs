//! What a stolen key, a lying node or a clock that is wrong would do to a node, and what a node forgets
//! that was restored.

use std::time::Duration;

use hanse_protocol::charter::CharterChain;
use hanse_protocol::presence::Presence;
use hanse_protocol::timestamp::Timestamp;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::presence::heads::{self, Heads};

const HOUR: Duration = Duration::from_secs(3_600);

/// Restarts a node whose store got these entries while it was off.
fn restarted_with(node: Node, entries: Vec<Entry>) -> Node {
    let Node {
        exchange,
        reader,
        member,
        nudges,
        thread,
        folder,
        ..
    } = node;
    drop((exchange, reader, nudges));
    thread.join().unwrap().unwrap();
    let handle = member.profile.handle.clone();
    let keystore = Keystore::open(&folder.path().join("keys")).unwrap();
    let settings = StoreSettings {
        engine: Engine::Memory,
        ..StoreSettings::default()
    };
    let mut deriver = Deriver::new(member);
    let store = folder.path().join("store");
    let (mut store, _) = Store::open(&store, keystore.master(), &settings, &mut deriver).unwrap();
    let entries = entries.into_iter().map(|entry| (entry, None)).collect();
    store.commit(entries).unwrap();
    store.close().unwrap();
    Node::open(handle.as_str(), folder)
}

/// The clock jumped by ten days, and the node went on and wrote audit lines. Whoever starts it anew does
/// not make it believe that clock.
#[tokio::test]
async fn a_clock_that_jumped_is_not_believed_after_a_restart() {
    let (city, _water) = league().await;
    let before = crate::clock::now().before(240 * HOUR);
    let city = restarted_with(city, vec![crate::exchange::trusting(before)]);
    city.publish(1, None, None).await;
    for _ in 0..2 {
        let held = city.exchange.retain(BY(), false).await.unwrap().held;
        assert!(held.is_some_and(|held| held.contains(&before.to_string())));
    }
    let city = city.restart();
    city.publish(1, None, None).await;
    assert!(city.exchange.retain(BY(), false).await.unwrap().held.is_some());
    // Once it was confirmed it is trusted, after a restart as well.
    assert_eq!(city.exchange.retain(BY(), true).await.unwrap().held, None);
    city.publish(1, None, None).await;
    let city = city.restart();
    assert_eq!(city.exchange.retain(BY(), false).await.unwrap().held, None);
}

/// A node says another thing of its audit log in each of its words.
#[tokio::test]
async fn a_node_that_says_another_thing_of_its_log_each_second_is_told_of_once_an_hour() {
    let (city, water) = league().await;
    let standing = city.exchange.standing();
    let charters = standing.charters.clone().unwrap();
    let (words, heard) = mpsc::channel(256);
    let metrics = Arc::new(Metrics::new(&mut Registry::default()));
    let keeping = tokio::spawn(heads::keep(
        city.exchange.clone(),
        Heads::default(),
        metrics,
        heard,
        CancellationToken::new(),
    ));
    for number in 0..100_u64 {
        let at = crate::clock::now().after(Duration::from_secs(number));
        let presence = Presence {
            node: water.member.node_id(),
            addresses: vec![],
            agent: String::new(),
            charter: charters.newest().reference(),
            audit_count: 7,
            audit_hash: [u8::try_from(number % 2).unwrap(); 32],
            at,
            expires: at.after(HOUR),
        };
        words.send(presence).await.unwrap();
    }
    drop(words);
    keeping.await.unwrap();
    let lines = city.reader.audit(1, 1_000).unwrap();
    let told = lines.iter().filter(|line| line.action == "audit-broken");
    assert_eq!(told.count(), 1);
}

/// A record of the water company at this place, signed with this node's key.
fn signed_at(by: &Node, charters: &CharterChain, (epoch, seq): (u32, u64), created: Timestamp) -> Carried {
    let content = hanse_protocol::content::Content::write(Tlp::Clear, Tlp::Clear, &[object(9).get()]);
    let body = hanse_protocol::seal::Body::Open(hanse_protocol::compress::pack(&content).unwrap()).encode();
    let header = Header {
        author: "acme-water".parse().unwrap(),
        lane: 0,
        charter: charters.newest().reference(),
        epoch,
        seq,
        prev: Some(RecordId([7; 32])),
        created,
        expires: created.after(HOUR),
        kind: hanse_protocol::record::Kind::Objects,
        replaces: None,
        body_length: u32::try_from(body.len()).unwrap(),
        body_hash: BodyHash::of(&body),
    };
    Carried {
        header: header.sign(charters.community(), &by.member.signing),
        body: Some(body),
    }
}

/// The member's second node was stolen. With its key the thief signs in the lane of the first, at the
/// last number of the last epoch there is; before the key is closed and after.
#[tokio::test]
async fn a_thief_of_another_key_neither_moves_our_chain_nor_takes_its_numbers() {
    let (city, water) = league().await;
    let stolen = Node::new("acme-water");
    let local::RequestReply {
        file, fingerprint, ..
    } = stolen.exchange.request(BY()).await.unwrap();
    let lane = local::Change::AddLane { file, fingerprint };
    let change = |change| local::ProposeRequest { change, again: false };
    assert!(city.exchange.propose(BY(), change(lane)).await.unwrap().in_force);
    let charters = city.exchange.standing().charters.clone().unwrap();
    water.exchange.charters(charters.encode()).await.unwrap();
    let now = crate::clock::now();
    let open = signed_at(&stolen, &charters, (u32::MAX, 9), now);
    assert_eq!(water.frame(vec![open]).await, Verdict::Accept);

    let key = stolen.member.signing.verifying_key().id().to_string();
    let member = "acme-water".parse().unwrap();
    let close = local::Change::CloseKey { member, key };
    assert!(city.exchange.propose(BY(), change(close)).await.unwrap().in_force);
    let closed = city.exchange.standing().charters.clone().unwrap();
    water.exchange.charters(closed.encode()).await.unwrap();
    for seq in [1, 2] {
        let ended = signed_at(&stolen, &charters, (0, seq), now);
        assert_eq!(city.frame(vec![ended.clone()]).await, Verdict::Ignore);
        assert_eq!(water.frame(vec![ended]).await, Verdict::Ignore);
    }
    let mut water = water;
    let mut places = Vec::new();
    for _ in 0..2 {
        water = water.restart();
        let id = water.publish(1, None, None).await.records[0].id;
        let stored = water.reader.record(&id).unwrap().unwrap();
        let admitted = hanse_protocol::admission::Admitted::from_log(&stored.header, &stored.community);
        let header = admitted.unwrap().header().clone();
        places.push((header.epoch, header.seq));
        // Nobody takes the thief's word for what is held there.
        assert_eq!(city.frame(vec![water.carried(&id)]).await, Verdict::Accept);
    }
    assert_eq!(places, [(0, 1), (0, 2)]);
}

/// What a restored steward signed after its backup it does not remember.
#[tokio::test]
async fn a_restored_steward_signs_a_second_charter_of_a_version_on_its_operators_word_only() {
    let (city, _water) = league().await;
    let city = restarted_with(city, vec![Restored::Wait.note()]);
    let peer = NodeId([1; 32]);
    city.exchange.compared(peer, true, vec![peer]);
    let renew = |again| {
        let change = local::Change::Renew {};
        city.exchange
            .propose(BY(), local::ProposeRequest { change, again })
    };
    assert!(matches!(renew(false).await, Err(ExchangeError::Forgotten(3))));
    assert!(renew(true).await.unwrap().in_force);
    // What follows that stands beside nothing that was forgotten.
    assert!(renew(false).await.unwrap().in_force);
    let city = city.restart();
    let change = local::Change::Renew {};
    let asked = local::ProposeRequest { change, again: false };
    assert!(city.exchange.propose(BY(), asked).await.unwrap().in_force);
}
