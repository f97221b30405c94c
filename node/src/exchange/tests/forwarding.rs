//! Passing on what another community's member signed.

use std::collections::BTreeSet;

use hanse_protocol::audience::Audience;
use hanse_protocol::forwarded::Forwarded;
use hanse_protocol::identity::Handle;

use super::*;

/// A record of one node, to be passed on for these readers.
fn forward(node: &Node, id: &RecordId, readers: &[&str]) -> Box<Forward> {
    let Carried { header, body } = node.carried(id);
    let charters = node.exchange.standing().charters.clone().unwrap();
    let readers: BTreeSet<Handle> = readers.iter().map(|handle| handle.parse().unwrap()).collect();
    Box::new(Forward {
        record: Forwarded {
            origin: *charters.community(),
            key: node.member.signing.verifying_key(),
            header,
            body: body.unwrap(),
        },
        audience: Audience::Members(readers),
        policies: "pass-green".to_owned(),
    })
}

#[tokio::test]
async fn what_is_passed_on_is_passed_on_once_whatever_is_killed_and_taken_back_like_any_record() {
    let (bob, alice_south) = league().await;
    let (alice, carol) = league().await;
    let reader = carol.member.profile.handle.to_string();
    let said = bob.publish(1, None, Some(Tlp::Green)).await.records[0].id;
    let sent = alice
        .exchange
        .forward(forward(&bob, &said, &[&reader]))
        .await
        .unwrap();
    let ForwardFate::Sent(id) = sent else {
        panic!("it is new: {sent:?}");
    };
    let again = alice
        .exchange
        .forward(forward(&bob, &said, &[&reader]))
        .await
        .unwrap();
    assert_eq!(again, ForwardFate::Known(id));
    let alice = alice.restart();
    let again = alice
        .exchange
        .forward(forward(&bob, &said, &[&reader]))
        .await
        .unwrap();
    assert_eq!(again, ForwardFate::Known(id));

    // Its reader opens it, and finds in it what bob said.
    let takes = async |id: &RecordId| {
        let records = vec![alice.carried(id)];
        let healed = carol.exchange.heal(NodeId([0; 32]), records, Origin::Heal).await;
        healed.unwrap();
    };
    takes(&id).await;
    let held = carol.reader.record(&id).unwrap().unwrap();
    assert_eq!(held.state, BodyState::Readable);
    let first: serde_json::Value = serde_json::from_str(object(0).get()).unwrap();
    let hits = carol
        .reader
        .by_object(first["id"].as_str().unwrap(), Tlp::Red, 9)
        .unwrap();
    assert_eq!(hits.len(), 1);

    let taken = alice.exchange.retract(BY(), id).await.unwrap();
    takes(&taken.id).await;
    assert_eq!(carol.reader.record(&id).unwrap().unwrap().state, BodyState::Gone);
    for node in [bob, alice_south, alice, carol] {
        node.stop();
    }
}

#[tokio::test]
async fn what_readers_would_refuse_is_not_passed_on() {
    let (bob, alice_south) = league().await;
    let (alice, carol) = league().await;
    let reader = carol.member.profile.handle.to_string();
    let own = bob.member.profile.handle.to_string();
    let open = bob.publish(1, None, Some(Tlp::Green)).await.records[0].id;
    let sealed = bob.publish(1, None, Some(Tlp::Amber)).await.records[0].id;
    let mut forged = forward(&bob, &open, &[&reader]);
    forged.record.key = alice.member.signing.verifying_key();
    let mut here = forward(&bob, &open, &[&reader]);
    here.record.origin = *alice.exchange.standing().charters.as_ref().unwrap().community();
    let retracted = bob.exchange.retract(BY(), open).await.unwrap().id;
    let cases = [
        ("sealed", forward(&bob, &sealed, &[&reader])),
        ("forged", forged),
        ("of the same community", here),
        ("a retraction", forward(&bob, &retracted, &[&reader])),
    ];
    let before = alice.reader.stats().unwrap().records;
    for (what, case) in cases {
        let refused = alice.exchange.forward(case).await;
        assert!(
            matches!(refused, Err(ExchangeError::Invalid(_))),
            "{what}: {refused:?} {own}"
        );
    }
    assert_eq!(alice.reader.stats().unwrap().records, before);
    for node in [bob, alice_south, alice, carol] {
        node.stop();
    }
}
