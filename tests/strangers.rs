//! Who is not in the charter learns nothing.

use std::collections::HashMap;
use std::time::Duration;

use hanse_protocol::charter::CharterRef;
use hanse_protocol::charter::call::{self, CharterAnswer, CharterQuestion};
use hanse_protocol::identity::CommunityId;
use hanse_tests::api::Terms;
use hanse_tests::evil::{Presence, node_of};
use hanse_tests::forge::frame_of;
use hanse_tests::league::has;
use hanse_tests::objects::address;
use hanse_tests::{Candidate, DEADLINE, League, eventually, hansed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A stranger that knows all there is to know but is not listed: addresses, names, the community's id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_gets_a_closed_link_and_hears_nothing_of_the_community() {
    let league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    let insider = Candidate::new("region-cert").admitted_by(league.steward()).await;
    let stranger = Candidate::new("mallory");
    let hosts: HashMap<_, _> = league
        .nodes
        .iter()
        .map(|node| hanse_tests::evil::listing(&insider.charters, node))
        .collect();
    let hosts_by_name: Vec<_> = league
        .nodes
        .iter()
        .map(|node| node_of(&insider.charters, &node.handle))
        .collect();
    let presence = Presence::start(&stranger.member, league.community, hosts);
    eventually("the stranger has reached both", async || {
        (presence.heard().ever.len() == 2).then_some(())
    })
    .await;

    // While its links last, the community speaks.
    let record = league
        .node("acme-water")
        .api()
        .publish_one(&address("203.0.113.50", None), &Terms::default())
        .await;
    has(league.steward(), &record).await;

    let host = hosts_by_name[0];
    let head = CharterQuestion::Head(CharterRef {
        version: 1,
        hash: [0; 8],
    });
    let asked = presence.mesh.call_charter(host, call::encode(&head)).await;
    // Answered with nothing but that it is not listed, or not at all if the link is gone by now.
    if let Ok(answer) = asked {
        assert_eq!(call::decode(&answer), Ok(CharterAnswer::Unlisted));
    }
    assert!(
        presence.mesh.open_stream(host).await.is_err(),
        "no stream is opened to a stranger"
    );
    let offer = CharterQuestion::Offer(insider.charters.encode());
    assert!(
        presence
            .mesh
            .call_charter(host, call::encode(&offer))
            .await
            .is_err(),
        "a chain that does not list it opens nothing, and its link is closed without a word"
    );
    let babble = presence
        .mesh
        .publish(frame_of(b"not a header", b"nor a body"))
        .await
        .unwrap();
    assert_eq!(babble, hanse_node::mesh::Publish::NoPeers);
    eventually("both have shown it out", async || {
        (presence.heard().lost.len() == 2).then_some(())
    })
    .await;

    {
        let heard = presence.heard();
        assert!(heard.frames.is_empty(), "it heard gossip");
        assert_eq!(
            (heard.streams, heard.questions.len()),
            (0, 0),
            "somebody asked it something"
        );
    }
    for node in &league.nodes {
        let metrics = node.api().metrics().await;
        assert!(
            metrics.refused_at_all().is_empty(),
            "a stranger's words reached the exchange"
        );
        let members = node.api().members().await.unwrap().members;
        assert!(members.iter().all(|member| member.handle.as_str() != "mallory"));
    }
    league.is_connected().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listed_node_of_another_community_gets_no_further_than_the_handshake() {
    let league = League::of(hansed!(), &["port-city"]).await;
    let insider = Candidate::new("region-cert").admitted_by(league.steward()).await;
    let hosts: HashMap<_, _> = league
        .nodes
        .iter()
        .map(|node| hanse_tests::evil::listing(&insider.charters, node))
        .collect();
    let host = *hosts.keys().next().unwrap();
    let elsewhere = Presence::start(&insider.member, CommunityId([9; 32]), hosts.clone());
    // The same keys with the right community are let in, while those with the wrong one are not.
    let home = Presence::start(&insider.member, league.community, hosts);
    home.is_gossiping_with(host).await;
    assert!(elsewhere.heard().ever.is_empty());
}

/// What a bare TCP client is told, whatever it sends.
async fn told(port: u16, words: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    socket.write_all(words).await.unwrap();
    let mut told = Vec::new();
    // Closed with a reset is closed too.
    let read = tokio::time::timeout(DEADLINE, socket.read_to_end(&mut told)).await;
    drop(read.expect("the node closes what does not speak its protocol"));
    told
}

#[tokio::test]
async fn a_scanner_learns_nothing_and_is_cut_off() {
    let league = League::of(hansed!(), &["port-city"]).await;
    let port = league.steward().mesh_port;
    let multistream = b"\x13/multistream/1.0.0\n";
    let noise = [multistream.as_slice(), b"\x07/noise\n", &[0, 32], &[7; 32]].concat();
    let plaintext = [multistream.as_slice(), b"\x11/plaintext/2.0.0\n"].concat();
    let (silent, http, plain, handshake) = tokio::join!(
        told(port, b""),
        told(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        told(port, &plaintext),
        told(port, &noise),
    );
    let community = league.community;
    let name = community.to_string();
    let secrets: [&[u8]; 4] = [
        community.as_bytes(),
        name.as_bytes(),
        b"port-city",
        b"Port City League",
    ];
    for told in [&silent, &http, &plain, &handshake] {
        assert!(told.len() < 512, "{} bytes for a stranger", told.len());
        for secret in secrets {
            assert!(!told.windows(secret.len()).any(|window| window == secret));
        }
    }
    let api = league.steward().api();
    eventually("no connection of theirs is left", async || {
        let metrics = api.metrics().await;
        let left = metrics.value("hanse_mesh_links") + metrics.value("hanse_mesh_strangers");
        (left == 0).then_some(())
    })
    .await;
    tokio::time::timeout(Duration::from_secs(5), api.status())
        .await
        .expect("it answers as before");
}
