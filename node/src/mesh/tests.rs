//! Stories of the mesh over real TCP on the loopback address: named members, a stranger, a candidate.

mod frozen;
mod gating;
mod gossiping;
mod leaves;
mod linking;
#[cfg(feature = "quic")]
mod quic;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hanse_protocol::identity::{CommunityId, NodeId};
use libp2p::identity::Keypair;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{
    Membership, MeshError, MeshEvent, MeshHandle, MeshSettings, Profile, Publish, Ticket, Verdict, names,
    start,
};

const COMMUNITY: CommunityId = CommunityId([0x48; 32]);

/// How long anything may take before a story has failed. Never waited out in one that holds.
const DEADLINE: Duration = Duration::from_secs(30);

/// A node of the mesh under test.
struct Node {
    id: NodeId,
    handle: MeshHandle,
    events: mpsc::Receiver<MeshEvent>,
    membership: watch::Sender<Arc<Membership>>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), MeshError>>,
    addresses: Vec<String>,
    registry: Registry,
}

fn keys(seed: u8) -> Keypair {
    Keypair::ed25519_from_bytes([seed; 32]).unwrap()
}

fn id(seed: u8) -> NodeId {
    names::node_of(&keys(seed).public().to_peer_id()).unwrap()
}

fn listening() -> MeshSettings {
    MeshSettings {
        listen: vec!["/ip4/127.0.0.1/tcp/0".into()],
        ..MeshSettings::default()
    }
}

impl Node {
    async fn start(seed: u8, settings: MeshSettings) -> Self {
        Self::with_room(seed, settings, 1_024).await
    }

    async fn with_room(seed: u8, settings: MeshSettings, room: usize) -> Self {
        let (membership, listed) = watch::channel(Arc::default());
        let (sender, events) = mpsc::channel(room);
        let stop = CancellationToken::new();
        let secret = Zeroizing::new([seed; 32]);
        let mut registry = Registry::default();
        let started = start(
            settings,
            secret,
            COMMUNITY,
            listed,
            sender,
            &mut registry,
            stop.clone(),
        );
        let (handle, task) = started.unwrap();
        let addresses = timeout(DEADLINE, handle.listening()).await.unwrap();
        Self {
            id: id(seed),
            handle,
            events,
            membership,
            stop,
            task,
            addresses,
            registry,
        }
    }

    /// Lists these nodes here.
    fn lists(&self, nodes: &[&Node]) {
        let nodes = nodes
            .iter()
            .map(|node| (node.id, node.addresses.clone()))
            .collect();
        self.lists_at(nodes);
    }

    fn lists_at(&self, nodes: HashMap<NodeId, Vec<String>>) {
        self.membership.send_replace(Arc::new(Membership { nodes }));
    }

    /// The first event that `pick` takes; others before it are passed over.
    async fn next<T>(&mut self, mut pick: impl FnMut(MeshEvent) -> Option<T>) -> T {
        let found = async {
            loop {
                let event = self.events.recv().await.expect("the mesh runs");
                if let Some(found) = pick(event) {
                    return found;
                }
            }
        };
        timeout(DEADLINE, found).await.expect("the event comes")
    }

    async fn frame(&mut self) -> (NodeId, Ticket, Vec<u8>) {
        self.next(|event| match event {
            MeshEvent::Frame {
                courier,
                ticket,
                bytes,
            } => Some((courier, ticket, bytes)),
            _ => None,
        })
        .await
    }

    async fn connected(&mut self, node: NodeId) {
        self.next(|event| matches!(event, MeshEvent::Connected(up) if up == node).then_some(()))
            .await;
    }

    async fn disconnected(&mut self, node: NodeId) {
        self.next(|event| matches!(event, MeshEvent::Disconnected(down) if down == node).then_some(()))
            .await;
    }

    /// Waits until this node has so many gossip neighbours.
    async fn has_neighbours(&self, count: usize) {
        let there = async {
            while self
                .handle
                .peers()
                .await
                .iter()
                .filter(|peer| peer.neighbour)
                .count()
                < count
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(DEADLINE, there).await.expect("neighbours come");
    }

    /// Publishes, waiting while the mesh says it is full.
    async fn publishes(&self, frame: Vec<u8>) {
        let taken = async {
            while self.handle.publish(frame.clone()).await.unwrap() != Publish::Taken {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(DEADLINE, taken).await.expect("the frame is taken");
    }

    /// The value of a metric line that starts with `name`.
    fn metric(&self, name: &str) -> f64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }
}

/// Starts nodes that all list each other, and waits until every one has all others as neighbours.
async fn league(count: u8) -> Vec<Node> {
    let mut nodes = Vec::new();
    for seed in 1..=count {
        nodes.push(Node::start(seed, listening()).await);
    }
    let all: Vec<&Node> = nodes.iter().collect();
    for node in &nodes {
        node.lists(&all);
    }
    for node in &nodes {
        node.has_neighbours(usize::from(count) - 1).await;
    }
    nodes
}
