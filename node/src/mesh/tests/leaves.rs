//! Many members that can only dial out, on a few hubs.

use std::time::Instant;

use super::*;

const HUBS: u8 = 4;
const LEAVES: u8 = 80;

fn of(profile: Profile) -> MeshSettings {
    MeshSettings {
        profile,
        ..listening()
    }
}

/// Accepts every frame and says which came, until the node is dropped.
fn relays(mut node: Node, heard: mpsc::UnboundedSender<(NodeId, Vec<u8>)>) {
    tokio::spawn(async move {
        while let Some(event) = node.events.recv().await {
            if let MeshEvent::Frame { ticket, bytes, .. } = event {
                node.handle.verdict(ticket, Verdict::Accept);
                let _ = heard.send((node.id, bytes));
            }
        }
    });
}

/// What one leaf says reaches all others, though none of them can be dialled and each keeps four
/// links at most.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eighty_leaves_on_four_hubs_all_hear_what_one_of_them_says() {
    let started = Instant::now();
    let mut nodes = Vec::new();
    for seed in 1..=HUBS {
        nodes.push(Node::start(seed, of(Profile::Hub)).await);
    }
    for seed in HUBS + 1..=HUBS + LEAVES {
        let leaf = Node::start(seed, of(Profile::Leaf)).await;
        assert!(leaf.addresses.is_empty(), "a leaf listens nowhere");
        nodes.push(leaf);
    }
    let all: Vec<&Node> = nodes.iter().collect();
    for node in &nodes {
        node.lists(&all);
    }
    for leaf in &nodes[usize::from(HUBS)..] {
        leaf.has_neighbours(2).await;
    }
    for hub in &nodes[..usize::from(HUBS)] {
        hub.has_neighbours(20).await;
    }
    println!(
        "{HUBS} hubs and {LEAVES} leaves are a mesh after {:?}",
        started.elapsed()
    );
    for leaf in &nodes[usize::from(HUBS)..] {
        let links = leaf.handle.peers().await;
        assert!((2..=4).contains(&links.len()) && links.iter().all(|link| !link.inbound));
    }
    let speaker = nodes.pop().unwrap();
    let speakers = [speaker.handle.clone(), nodes[40].handle.clone()];
    let (heard, mut hears) = mpsc::unbounded_channel();
    let others = nodes.len();
    nodes.into_iter().for_each(|node| relays(node, heard.clone()));
    let said = Instant::now();
    for number in 0..20_u8 {
        let frame = vec![number; 600];
        while speakers[usize::from(number % 2)]
            .publish(frame.clone())
            .await
            .unwrap()
            != Publish::Taken
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    // Ten of twenty frames are of one among the others, who does not hear itself.
    let expected = 10 * others + 10 * (others - 1);
    let all_heard = async {
        let mut by_all = std::collections::HashSet::new();
        while by_all.len() < expected {
            by_all.insert(hears.recv().await.unwrap());
        }
    };
    timeout(DEADLINE, all_heard)
        .await
        .expect("every node hears every frame");
    println!(
        "20 frames were heard by {others} nodes after {:?}",
        said.elapsed()
    );
    drop(speaker);
}
