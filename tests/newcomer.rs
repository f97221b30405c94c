//! What a newcomer stumbles over is said, where they look and before it is too late.

use std::net::TcpListener;
use std::time::Duration;

use hanse_protocol::local::{Change, Readable};
use hanse_protocol::tlp::Tlp;
use hanse_tests::api::Terms;
use hanse_tests::league::has;
use hanse_tests::node::said;
use hanse_tests::objects::address;
use hanse_tests::{League, Node, eventually, hansed};

/// Nobody said where they can be dialled: each step would succeed, and nobody ever meet.
#[tokio::test]
async fn a_community_in_which_nobody_can_be_dialled_says_so_and_can_be_repaired() {
    let (mut city, mut utility) = (
        Node::init(hansed!(), "port-city"),
        Node::init(hansed!(), "acme-water"),
    );
    for node in [&mut city, &mut utility] {
        let port = node.mesh_port;
        node.set(
            &format!("listen = [\"/ip4/127.0.0.1/tcp/{port}\"]"),
            &format!("listen = [\"/ip4/0.0.0.0/tcp/{port}\"]"),
        );
        node.start().await;
    }
    let (city_api, utility_api) = (city.api(), utility.api());
    assert!(
        city_api.status().await.warnings.is_empty(),
        "there is no community yet"
    );
    city_api.found("Port City League").await.unwrap();
    let warnings = city_api.status().await.warnings;
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("hanse community addresses port-city 0")),
        "{warnings:?}"
    );
    let request = utility_api.request().await;
    let admit = async || city_api.admit(&request.file, &request.fingerprint).await.unwrap();
    admit().await;

    let change = Change::Addresses {
        member: city.handle.clone(),
        lane: 0,
        addresses: vec![format!("/ip4/127.0.0.1/tcp/{}", city.mesh_port)],
    };
    assert!(city_api.propose(change).await.unwrap().in_force);
    assert!(city_api.status().await.warnings.is_empty());
    // The same request gives the invite once more, now with an address in it.
    let invite = admit().await;
    utility_api
        .join(&invite.invite, &invite.fingerprint)
        .await
        .unwrap();
    eventually("they meet", async || {
        let connected = !city_api.status().await.peers.is_empty();
        connected.then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_mesh_port_that_is_taken_is_told_before_anybody_joins() {
    let node = Node::init(hansed!(), "port-city");
    let taken = TcpListener::bind(("127.0.0.1", node.mesh_port)).unwrap();
    let served = node.hansed(&["serve", "--until-stdin-closes"]);
    assert_eq!(served.status.code(), Some(1));
    assert!(said(&served).contains("cannot listen"), "{}", said(&served));
    drop(taken);

    let checked = node.hansed(&["check", "--json"]);
    let document: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(document["wrong"], 0, "{document}");
    let list = node.hansed(&["token", "list", "--json"]);
    let document: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(document["tokens"][0]["name"], "admin");

    node.set(
        "#level = \"info,fjall=warn,lsm_tree=warn,libp2p=warn,libp2p_gossipsub=error\"",
        "level = \"loud\"",
    );
    let served = node.hansed(&["serve", "--until-stdin-closes"]);
    assert!(said(&served).contains("`loud` is no level"), "{}", said(&served));
    for (country, name) in [("XX", "A"), ("DE", "")] {
        let init = [
            "init",
            "--handle",
            "x-y",
            "--kind",
            "city",
            "--country",
            country,
            "--name",
            name,
        ];
        assert_eq!(node.hansed(&init).status.code(), Some(2));
    }
}

#[tokio::test]
async fn a_token_counts_at_once_and_is_told_what_it_will_not_be_shown() {
    let league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    let city = league.node("port-city");
    let made = city.hansed(&["token", "add", "fresh", "--role", "read", "--role", "publish"]);
    assert!(made.status.success(), "{}", said(&made));
    let fresh = city.api_as("fresh");
    assert!(fresh.members().await.is_ok(), "it counts in its first second");

    let red = Terms {
        to: Some(vec!["acme-water"]),
        tlp: Some(Tlp::Red),
        ..Terms::default()
    };
    let told = fresh
        .try_publish(&[address("203.0.113.90", None)], &red)
        .await
        .unwrap();
    assert!(
        told.warnings.iter().any(|warning| warning.contains("ceiling")),
        "{told:?}"
    );
    let amber = Terms {
        tlp: Some(Tlp::Amber),
        ..red
    };
    let told = fresh
        .try_publish(&[address("203.0.113.91", None)], &amber)
        .await
        .unwrap();
    assert!(told.warnings.is_empty(), "{told:?}");

    // What has expired is shown no more, whether or not it has been forgotten.
    let brief = Terms {
        expires: Some(hanse_tests::evil::now().after(Duration::from_secs(2))),
        ..Terms::default()
    };
    let id = fresh.publish_one(&address("203.0.113.92", None), &brief).await;
    assert_eq!(has(city, &id).await.state, Readable::Readable);
    eventually("it has expired", async || {
        let gone = match fresh.record(&id).await {
            None => true,
            Some(record) => record.state == Readable::Gone && record.objects.is_none(),
        };
        gone.then_some(())
    })
    .await;
}
