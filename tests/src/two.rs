//! One node in two communities of real daemons, each with a steward who does not know of the other.

use std::path::Path;

use hanse_protocol::identity::CommunityId;

use crate::api::Api;
use crate::eventually;
use crate::node::{Node, free_port};
use crate::wire::Wire;

/// alice belongs to bob's community, with `alice-water` for her handle, and to carol's, with `alice-works`.
pub struct Two {
    /// In both.
    pub alice: Node,
    /// Steward of the south.
    pub bob: Node,
    /// Steward of the north.
    pub carol: Node,
    /// bob's community, alice's first.
    pub south: CommunityId,
    /// carol's, which alice calls `north`.
    pub north: CommunityId,
    /// To bob, to alice in the south, to carol, to alice in the north.
    pub wires: [Wire; 4],
}

impl Two {
    /// Starts all three daemons and has them found and join.
    pub async fn start(hansed: &'static str) -> Self {
        Self::start_with(hansed, |_| ()).await
    }

    /// As [`Two::start`], with something done to alice's folder before her daemon runs.
    pub async fn start_with(hansed: &'static str, prepare: impl FnOnce(&Path)) -> Self {
        let nodes = ["alice-water", "bob-city", "carol-clinic"];
        let [mut alice, mut bob, mut carol] = nodes.map(|handle| Node::init(hansed, handle));
        // Whoever dials goes by these wires, since nobody is told of other addresses.
        let south_port = alice.mesh_port;
        let north_port = free_port();
        let wires = [
            Wire::tapped(bob.mesh_port).await,
            Wire::tapped(south_port).await,
            Wire::tapped(carol.mesh_port).await,
            Wire::tapped(north_port).await,
        ];
        let external = |wire: &Wire| format!("/ip4/127.0.0.1/tcp/{}", wire.port);
        for (node, wire) in [(&bob, &wires[0]), (&alice, &wires[1]), (&carol, &wires[2])] {
            let line = format!("external = [\"{}\"]", external(wire));
            node.set("#external = []", &line);
        }
        let own = [
            "--handle",
            "alice-works",
            "--display",
            "Works",
            "--external",
            &external(&wires[3]),
        ];
        alice.add_community("north", north_port, &own);
        prepare(&alice.folder());
        for node in [&mut alice, &mut bob, &mut carol] {
            node.launch();
        }
        for node in [&mut alice, &mut bob, &mut carol] {
            node.is_up().await;
        }
        let south = takes_in(&bob.api(), "South League", &alice.api()).await;
        let north = takes_in(&carol.api(), "North League", &alice.api().in_community("north")).await;
        let two = Self {
            alice,
            bob,
            carol,
            south,
            north,
            wires,
        };
        two.is_connected().await;
        two
    }

    /// alice's client in carol's community.
    pub fn alice_north(&self) -> Api {
        self.alice.api().in_community("north")
    }

    /// Waits until alice is connected to both others.
    pub async fn is_connected(&self) {
        for (steward, member) in [(&self.bob, "alice-water"), (&self.carol, "alice-works")] {
            eventually("alice is connected in both", async || {
                let status = steward.api().status().await;
                let member = |peer: &&hanse_protocol::local::PeerStatus| {
                    peer.member
                        .as_ref()
                        .is_some_and(|handle| handle.as_str() == member)
                };
                status.peers.iter().find(member).map(drop)
            })
            .await;
        }
    }
}

/// Founds a community and takes another member in.
async fn takes_in(steward: &Api, name: &str, member: &Api) -> CommunityId {
    let founded = steward.found(name).await.expect("a community is founded");
    let request = member.request().await;
    let admission = steward.admit(&request.file, &request.fingerprint).await;
    let admission = admission.expect("the steward admits");
    let joined = member.join(&admission.invite, &admission.fingerprint).await;
    assert_eq!(joined.expect("it joins").community, founded.community);
    founded.community
}
