//! A community of real daemons, made the way organisations make one: request, admission, invite.

use hanse_protocol::identity::{CommunityId, RecordId};
use hanse_protocol::local::{Admission, Readable, RecordView};

use crate::eventually;
use crate::node::Node;

/// A community whose nodes run. The first one's member founded it and is its steward.
pub struct League {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The community.
    pub community: CommunityId,
}

impl League {
    /// Starts a node for every handle, founds a community, admits and joins all, and waits until
    /// every node is connected to every other.
    pub async fn of(hansed: &'static str, handles: &[&str]) -> Self {
        let mut nodes: Vec<Node> = handles.iter().map(|handle| Node::init(hansed, handle)).collect();
        nodes.iter_mut().for_each(Node::launch);
        for node in &mut nodes {
            node.is_up().await;
        }
        let steward = nodes[0].api();
        let founded = steward
            .found("Port City League")
            .await
            .expect("a community is founded");
        let mut league = Self {
            nodes: Vec::new(),
            community: founded.community,
        };
        let mut nodes = nodes.into_iter();
        league.nodes.extend(nodes.next());
        for node in nodes {
            league.takes_in(node).await;
        }
        league.is_connected().await;
        league
    }

    /// Admits a running node's member and joins it.
    pub async fn takes_in(&mut self, node: Node) {
        let admission = self.admits(&node).await;
        let joined = node.api().join(&admission.invite, &admission.fingerprint).await;
        assert_eq!(joined.expect("it joins").community, self.community);
        self.nodes.push(node);
    }

    /// Admits a running node's member.
    pub async fn admits(&self, node: &Node) -> Admission {
        let request = node.api().request().await;
        let admitted = self
            .steward()
            .api()
            .admit(&request.file, &request.fingerprint)
            .await;
        admitted.expect("the steward admits")
    }

    /// The founder's node.
    pub fn steward(&self) -> &Node {
        &self.nodes[0]
    }

    /// The node of a member.
    pub fn node(&self, handle: &str) -> &Node {
        self.nodes
            .iter()
            .find(|node| node.handle.as_str() == handle)
            .expect("a member of the story")
    }

    /// The node of a member.
    pub fn node_mut(&mut self, handle: &str) -> &mut Node {
        self.nodes
            .iter_mut()
            .find(|node| node.handle.as_str() == handle)
            .expect("a member of the story")
    }

    /// Waits until every node is connected to every other, under the same charter.
    pub async fn is_connected(&self) {
        let handles: Vec<&str> = self.nodes.iter().map(|node| node.handle.as_str()).collect();
        eventually("all nodes are connected under one charter", async || {
            let mut charters = Vec::new();
            for node in &self.nodes {
                let status = node.api().status().await;
                let members: Vec<_> = status
                    .peers
                    .iter()
                    .filter_map(|peer| peer.member.clone())
                    .collect();
                let linked = handles
                    .iter()
                    .filter(|handle| **handle != node.handle.as_str())
                    .all(|handle| members.iter().any(|member| member.as_str() == *handle));
                if !linked || status.listening.is_empty() {
                    return None;
                }
                charters.push(status.community?.charter_hash);
            }
            charters.windows(2).all(|pair| pair[0] == pair[1]).then_some(())
        })
        .await;
    }

    /// Waits until all nodes hold a record in whatever state, its body awaited excepted.
    pub async fn holds(&self, id: &RecordId) {
        for node in &self.nodes {
            has(node, id).await;
        }
    }
}

/// Waits until a node holds a record with its body, and gives it.
pub async fn has(node: &Node, id: &RecordId) -> RecordView {
    let api = node.api();
    eventually(&format!("{} holds the record {id}", node.handle), async || {
        let record = api.record(id).await?;
        (record.state != Readable::Awaited).then_some(record)
    })
    .await
}

/// The objects of a record as the node gives them.
pub fn texts(record: &RecordView) -> Vec<&str> {
    let objects = record.objects.as_ref().expect("it is readable");
    objects.iter().map(|view| view.object.get()).collect()
}
