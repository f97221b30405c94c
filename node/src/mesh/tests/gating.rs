//! The gate: what a stranger gets, how a candidate becomes a member, how a member is expelled.

use futures::StreamExt;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{PeerId, Swarm, gossipsub, request_response};

use super::super::cut::Switches;
use super::super::meters::Meters;
use super::super::{CharterAnswer, charter, gossip, handle, transport};
use super::*;

/// A node that speaks all our protocols and has no gate, to see what is offered to it.
#[derive(NetworkBehaviour)]
struct Ungated {
    gossip: gossip::Gossip,
    streams: libp2p_stream::Behaviour,
    calls: charter::Calls,
}

fn ungated(seed: u8, community: &CommunityId) -> Swarm<Ungated> {
    let registry = &mut Registry::default();
    let behaviour = Ungated {
        gossip: gossip::gossip(community, &MeshSettings::default(), registry).unwrap(),
        streams: libp2p_stream::Behaviour::new(),
        calls: charter::calls(),
    };
    let transport = transport::transport(
        transport::Underlay::Tcp,
        &keys(seed),
        community,
        &Meters::new(registry),
        Switches::default(),
    )
    .unwrap();
    let config = libp2p::swarm::Config::with_tokio_executor().with_idle_connection_timeout(DEADLINE * 2);
    Swarm::new(transport, behaviour, keys(seed).public().to_peer_id(), config)
}

fn dial(swarm: &mut Swarm<Ungated>, node: &Node) -> PeerId {
    let peer = names::peer_of(&node.id).unwrap();
    let addresses = node
        .addresses
        .iter()
        .map(|address| address.parse().unwrap())
        .collect();
    swarm
        .dial(DialOpts::peer_id(peer).addresses(addresses).build())
        .unwrap();
    peer
}

/// Everything a stranger sees until its connection is closed.
async fn until_closed(swarm: &mut Swarm<Ungated>) -> Vec<UngatedEvent> {
    let mut seen = Vec::new();
    let watching = async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::Behaviour(event) => seen.push(event),
                SwarmEvent::ConnectionClosed { .. } => return,
                SwarmEvent::OutgoingConnectionError { error, .. } => panic!("not let in: {error}"),
                _ => {}
            }
        }
    };
    timeout(DEADLINE, watching)
        .await
        .expect("the stranger is seen out");
    seen
}

fn patient_for(time: Duration) -> MeshSettings {
    MeshSettings {
        stranger_timeout: time,
        ..listening()
    }
}

#[tokio::test]
async fn a_stranger_is_offered_no_gossip_and_no_stream_and_is_seen_out() {
    let mut acme = Node::start(1, patient_for(Duration::from_secs(2))).await;
    let borea = Node::start(2, listening()).await;
    acme.lists(&[&borea]);
    borea.lists(&[&acme]);
    acme.has_neighbours(1).await;
    borea.has_neighbours(1).await;

    let mut stranger = ungated(66, &COMMUNITY);
    let peer = dial(&mut stranger, &acme);
    let mut control = stranger.behaviour().streams.new_control();
    let opening = tokio::spawn(async move { control.open_stream(peer, handle::STREAMS).await });
    let publishing = async {
        borea.publishes(b"for members".to_vec()).await;
        let (_, ticket, _) = acme.frame().await;
        acme.handle.verdict(ticket, Verdict::Accept);
    };
    let (seen, ()) = tokio::join!(until_closed(&mut stranger), publishing);

    assert!(
        seen.iter().all(|event| matches!(
            event,
            UngatedEvent::Gossip(gossipsub::Event::GossipsubNotSupported { .. })
        )),
        "a stranger saw {seen:?}"
    );
    assert_eq!(seen.len(), 1, "gossip is answered with not available");
    let refused = opening.await.unwrap().unwrap_err();
    assert!(
        matches!(refused, libp2p_stream::OpenStreamError::UnsupportedProtocol(_)),
        "{refused}"
    );
    assert!(acme.handle.peers().await.iter().all(|peer| peer.node == borea.id));
    assert_eq!(
        acme.metric("hanse_mesh_connections_closed_total{kind=\"overdue\"}"),
        1.0
    );
}

#[tokio::test]
async fn a_stranger_gets_just_the_answer_to_its_question() {
    let mut acme = Node::start(1, listening()).await;
    let mut stranger = ungated(66, &COMMUNITY);
    let peer = dial(&mut stranger, &acme);
    stranger
        .behaviour_mut()
        .calls
        .send_request(&peer, b"let me in".to_vec());
    let answering = async {
        let (from, listed, question, answer) = question(&mut acme).await;
        assert_eq!((from, listed, &question[..]), (id(66), false, &b"let me in"[..]));
        answer.send(CharterAnswer::SendThenClose(b"no".to_vec())).unwrap();
    };
    let (seen, ()) = tokio::join!(until_closed(&mut stranger), answering);
    let answers: Vec<_> = seen.iter().filter_map(answer_in).collect();
    assert_eq!(answers, [b"no"]);
    assert_eq!(
        acme.metric("hanse_mesh_connections_closed_total{kind=\"answered\"}"),
        1.0
    );
}

#[tokio::test]
async fn a_stranger_who_asks_too_often_is_closed() {
    let mut acme = Node::start(1, listening()).await;
    let mut stranger = ungated(66, &COMMUNITY);
    let peer = dial(&mut stranger, &acme);
    stranger
        .behaviour_mut()
        .calls
        .send_request(&peer, b"one".to_vec());
    let asking = async {
        let mut answers = 0;
        loop {
            match stranger.select_next_some().await {
                SwarmEvent::Behaviour(event) if answer_in(&event).is_some() => {
                    answers += 1;
                    stranger
                        .behaviour_mut()
                        .calls
                        .send_request(&peer, b"another".to_vec());
                }
                SwarmEvent::ConnectionClosed { .. } => return answers,
                _ => {}
            }
        }
    };
    let answering = async {
        for _ in 0..2 {
            let (.., answer) = question(&mut acme).await;
            answer.send(CharterAnswer::Send(b"yes".to_vec())).unwrap();
        }
    };
    let (answers, ()) = timeout(DEADLINE, async { tokio::join!(asking, answering) })
        .await
        .unwrap();
    assert_eq!(answers, 2);
    assert_eq!(
        acme.metric("hanse_mesh_connections_closed_total{kind=\"talkative\"}"),
        1.0
    );
}

#[tokio::test]
async fn a_node_of_another_community_does_not_get_past_the_handshake() {
    let acme = Node::start(1, listening()).await;
    let mut foreign = ungated(66, &CommunityId([0x49; 32]));
    dial(&mut foreign, &acme);
    let outcome = async {
        loop {
            match foreign.select_next_some().await {
                SwarmEvent::OutgoingConnectionError { .. } => return,
                SwarmEvent::ConnectionEstablished { .. } => panic!("let in"),
                _ => {}
            }
        }
    };
    timeout(DEADLINE, outcome).await.unwrap();
    assert_eq!(acme.metric("hanse_mesh_strangers"), 0.0);
}

#[tokio::test]
async fn strangers_never_fill_the_house() {
    let acme = Node::start(1, listening()).await;
    let mut swarms = Vec::new();
    for seed in 100..120 {
        let mut swarm = ungated(seed, &COMMUNITY);
        dial(&mut swarm, &acme);
        swarms.push(tokio::spawn(async move {
            loop {
                match swarm.select_next_some().await {
                    SwarmEvent::Behaviour(_) => return (true, swarm),
                    SwarmEvent::ConnectionClosed { .. } | SwarmEvent::OutgoingConnectionError { .. } => {
                        return (false, swarm);
                    }
                    _ => {}
                }
            }
        }));
    }
    let mut let_in = Vec::new();
    for swarm in swarms {
        let (stayed, swarm) = timeout(DEADLINE, swarm).await.unwrap().unwrap();
        let_in.extend(stayed.then_some(swarm));
    }
    assert!(
        !let_in.is_empty() && let_in.len() <= 16,
        "{} strangers were let in",
        let_in.len()
    );
}

#[tokio::test]
async fn a_candidate_is_adopted_and_comes_back_as_a_member() {
    let mut acme = Node::start(1, listening()).await;
    let mut comet = Node::start(3, MeshSettings::default()).await;
    comet.lists(&[&acme, &comet]);
    comet.connected(acme.id).await;
    let calling = comet.handle.call_charter(acme.id, b"my chain".to_vec());
    let adopting = async {
        let (from, listed, question, answer) = question(&mut acme).await;
        assert_eq!((from, listed, &question[..]), (comet.id, false, &b"my chain"[..]));
        acme.membership.send_modify(|now| {
            let mut nodes = now.nodes.clone();
            nodes.insert(from, Vec::new());
            *now = Arc::new(Membership { nodes });
        });
        answer
            .send(CharterAnswer::SendThenClose(b"adopted".to_vec()))
            .unwrap();
    };
    let (answer, ()) = tokio::join!(calling, adopting);
    assert_eq!(answer.unwrap(), b"adopted");
    acme.connected(comet.id).await;
    comet.has_neighbours(1).await;
    acme.has_neighbours(1).await;
    acme.publishes(b"welcome".to_vec()).await;
    comet.publishes(b"thank you".to_vec()).await;
    assert_eq!(comet.frame().await.2, b"welcome");
    assert_eq!(acme.frame().await.2, b"thank you");
    let again = comet.handle.call_charter(acme.id, b"news".to_vec());
    let answering = async {
        let (_, listed, _, answer) = question(&mut acme).await;
        assert!(listed);
        answer.send(CharterAnswer::Send(b"none".to_vec())).unwrap();
    };
    assert_eq!(tokio::join!(again, answering).0.unwrap(), b"none");
}

#[tokio::test]
async fn one_listed_while_it_stands_at_the_door_comes_back_as_a_member() {
    let mut acme = Node::start(1, listening()).await;
    let mut comet = Node::start(3, MeshSettings::default()).await;
    comet.lists(&[&acme]);
    comet.connected(acme.id).await;
    acme.lists(&[&comet]);
    acme.connected(comet.id).await;
    acme.has_neighbours(1).await;
    comet.has_neighbours(1).await;
}

#[tokio::test]
async fn the_expelled_are_disconnected_and_stay_out() {
    let mut acme = Node::start(1, patient_for(Duration::from_millis(200))).await;
    let mut borea = Node::start(2, listening()).await;
    for node in [&acme, &borea] {
        node.lists(&[&acme, &borea]);
    }
    acme.has_neighbours(1).await;
    borea.has_neighbours(1).await;
    acme.connected(borea.id).await;
    borea.connected(acme.id).await;
    acme.lists(&[]);
    acme.disconnected(borea.id).await;
    borea.disconnected(acme.id).await;
    // It still lists Acme and comes again, is a stranger there, and is seen out.
    borea.connected(acme.id).await;
    borea.disconnected(acme.id).await;
    assert!(acme.handle.peers().await.is_empty());
    assert_eq!(
        acme.handle.publish(b"secret".to_vec()).await.unwrap(),
        Publish::NoPeers
    );
    assert!(acme.events.try_recv().is_err());
    assert!(matches!(
        acme.handle.open_stream(borea.id).await,
        Err(MeshError::NotConnected(_))
    ));
}

type Question = (NodeId, bool, Vec<u8>, tokio::sync::oneshot::Sender<CharterAnswer>);

async fn question(node: &mut Node) -> Question {
    node.next(|event| match event {
        MeshEvent::CharterCall {
            from,
            listed,
            question,
            answer,
        } => Some((from, listed, question, answer)),
        _ => None,
    })
    .await
}

fn answer_in(event: &UngatedEvent) -> Option<&[u8]> {
    match event {
        UngatedEvent::Calls(request_response::Event::Message {
            message: request_response::Message::Response { response, .. },
            ..
        }) => response.as_deref(),
        _ => None,
    }
}
