//! Whom to dial, and when: a schedule without I/O, given the time.
//!
//! A leaf keeps [`OF_A_LEAF`] links, since hubs carry everything and should not all be asked to. Another
//! node: up to [`DIAL_ALL`] listed nodes are all dialled. Above that a node keeps [`ENOUGH`] links: it dials
//! in random order until it has them and no further, and nodes that fail step back in the order, so
//! every one gets its turn. Links that others opened count.

use std::collections::HashMap;
use std::time::Duration;

use hanse_protocol::identity::NodeId;
use hanse_protocol::limits;
use libp2p::{Multiaddr, PeerId};
use rand::RngExt;
use tokio::time::Instant;

use super::names::{dialable, peer_of};
use super::{Membership, MeshError, Profile};

/// Listed nodes up to which every one is dialled.
const DIAL_ALL: usize = 40;

/// Links with which a node of a larger community is content; gossipsub keeps 4 to 10 of them busy.
const ENOUGH: usize = 20;

/// Links with which a leaf is content: one or two may fail.
const OF_A_LEAF: usize = 4;

/// Shortest wait before a node is dialled again.
const SOONEST: Duration = Duration::from_millis(500);

/// Longest wait before a node is dialled again.
const LATEST: Duration = Duration::from_secs(60);

/// A link that lasted this long was a good one: what failed before it is forgotten.
const GOOD_LINK: Duration = Duration::from_secs(30);

/// Head start of the node with the smaller name when both could dial, so that nodes started together
/// seldom open two connections.
const HEAD_START: Duration = Duration::from_millis(300);

#[derive(Debug)]
struct Target {
    peer: PeerId,
    addresses: Vec<Multiaddr>,
    failures: u32,
    next: Instant,
    dialling: bool,
}

/// One dial to make.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) node: NodeId,
    pub(super) peer: PeerId,
    pub(super) addresses: Vec<Multiaddr>,
}

/// The schedule.
#[derive(Debug)]
pub(super) struct Dialler {
    own: NodeId,
    profile: Profile,
    targets: HashMap<NodeId, Target>,
}

impl Dialler {
    pub(super) fn new(own: NodeId, profile: Profile) -> Self {
        Self {
            own,
            profile,
            targets: HashMap::new(),
        }
    }

    /// Takes over a membership: forgets who is gone, dials at once who is new or has a new address.
    pub(super) fn revise(&mut self, membership: &Membership, now: Instant) {
        let own = self.own;
        self.targets.retain(|node, _| membership.nodes.contains_key(node));
        for (node, texts) in membership.nodes.iter().filter(|(node, _)| **node != own) {
            let Some(peer) = peer_of(node) else { continue };
            let addresses = readable(texts, &peer);
            match self.targets.get_mut(node) {
                Some(target) => {
                    if addresses
                        .iter()
                        .any(|address| !target.addresses.contains(address))
                    {
                        target.failures = 0;
                        target.next = target.next.min(now);
                    }
                    target.addresses = addresses;
                }
                None => {
                    let start = if own < *node { Duration::ZERO } else { HEAD_START };
                    let target = Target {
                        peer,
                        addresses,
                        failures: 0,
                        next: now + start + jitter(HEAD_START / 6),
                        dialling: false,
                    };
                    self.targets.insert(*node, target);
                }
            }
        }
    }

    /// The dials to make now; each counts as under way until it is reported on.
    pub(super) fn due(&mut self, now: Instant, links: usize, linked: impl Fn(&PeerId) -> bool) -> Vec<Dial> {
        let room = self.room(links);
        let mut due: Vec<_> = self
            .targets
            .iter_mut()
            .filter(|(_, target)| target.waits() && target.next <= now && !linked(&target.peer))
            .map(|(node, target)| (rand::random::<u32>(), node, target))
            .collect();
        due.sort_by_key(|(order, _, target)| (target.failures, *order));
        due.truncate(room);
        due.into_iter()
            .map(|(_, node, target)| {
                target.dialling = true;
                Dial {
                    node: *node,
                    peer: target.peer,
                    addresses: target.addresses.clone(),
                }
            })
            .collect()
    }

    /// When [`due`](Self::due) next has something to say, if nothing else happens before.
    pub(super) fn wake(&self, links: usize, linked: impl Fn(&PeerId) -> bool) -> Option<Instant> {
        if self.room(links) == 0 {
            return None;
        }
        let waiting = self
            .targets
            .values()
            .filter(|target| target.waits() && !linked(&target.peer));
        waiting.map(|target| target.next).min()
    }

    /// How many more may be dialled beside those being dialled.
    fn room(&self, links: usize) -> usize {
        let under_way = self.targets.values().filter(|target| target.dialling).count();
        match (self.profile, self.targets.len()) {
            (Profile::Leaf, _) => OF_A_LEAF.saturating_sub(links + under_way),
            (_, listed @ 0..=DIAL_ALL) => listed,
            _ => ENOUGH.saturating_sub(links + under_way),
        }
    }

    /// A dial came to nothing.
    pub(super) fn failed(&mut self, node: &NodeId, now: Instant) {
        if let Some(target) = self.targets.get_mut(node) {
            target.dialling = false;
            target.step_back(now);
        }
    }

    /// A dial ended in a connection, whether it is kept or not.
    pub(super) fn reached(&mut self, node: &NodeId) {
        if let Some(target) = self.targets.get_mut(node) {
            target.dialling = false;
        }
    }

    /// The link to a node is gone after it lived for `lived`.
    pub(super) fn lost(&mut self, node: &NodeId, lived: Duration, now: Instant) {
        if let Some(target) = self.targets.get_mut(node) {
            if lived >= GOOD_LINK {
                target.failures = 0;
            }
            target.step_back(now);
        }
    }

    /// Dials a node as soon as it is not connected.
    pub(super) fn hurry(&mut self, node: &NodeId, now: Instant) -> Result<(), MeshError> {
        let target = self.targets.get_mut(node).ok_or(MeshError::Unlisted(*node))?;
        target.failures = 0;
        target.next = now;
        Ok(())
    }
}

impl Target {
    fn waits(&self) -> bool {
        !self.dialling && !self.addresses.is_empty()
    }

    /// Doubles the wait, up to a minute, and draws it from around that.
    fn step_back(&mut self, now: Instant) {
        let wait = SOONEST.saturating_mul(1 << self.failures.min(7)).min(LATEST);
        self.failures = self.failures.saturating_add(1);
        let wait = wait.mul_f64(0.75) + jitter(wait / 2);
        self.next = now + wait.clamp(SOONEST, LATEST);
    }
}

fn jitter(span: Duration) -> Duration {
    span.mul_f64(rand::rng().random::<f64>())
}

fn readable(texts: &[String], peer: &PeerId) -> Vec<Multiaddr> {
    let texts = texts.iter().take(limits::ADDRESSES);
    texts.filter_map(|text| dialable(text, peer)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn node(number: u8) -> NodeId {
        let pair = libp2p::identity::Keypair::ed25519_from_bytes([number; 32]).unwrap();
        super::super::names::node_of(&pair.public().to_peer_id()).unwrap()
    }

    fn league(nodes: u8) -> Membership {
        let address = |number| vec![format!("/ip4/192.0.2.{number}/tcp/4460")];
        Membership {
            nodes: (0..nodes).map(|number| (node(number), address(number))).collect(),
        }
    }

    const MOMENT: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_small_league_is_dialled_whole_and_never_oneself() {
        let start = Instant::now();
        let mut dialler = Dialler::new(node(0), Profile::Peer);
        dialler.revise(&league(40), start);
        let dials = dialler.due(start + MOMENT, 0, |_| false);
        let named: HashSet<_> = dials.iter().map(|dial| dial.node).collect();
        assert_eq!((dials.len(), named.len()), (39, 39));
        assert!(!named.contains(&node(0)));
        assert!(dialler.due(start + MOMENT, 0, |_| false).is_empty());
    }

    #[tokio::test]
    async fn a_large_league_is_dialled_until_there_are_enough_links() {
        let start = Instant::now();
        let mut dialler = Dialler::new(node(0), Profile::Peer);
        dialler.revise(&league(120), start);
        let now = start + MOMENT;
        let first: HashSet<_> = dialler
            .due(now, 5, |_| false)
            .into_iter()
            .map(|dial| dial.node)
            .collect();
        assert_eq!(first.len(), ENOUGH - 5);
        assert_eq!(
            dialler.wake(5, |_| false),
            None,
            "woken for nothing while dials are under way"
        );
        for node in &first {
            dialler.failed(node, now);
        }
        let second = dialler.due(now, 5, |_| false);
        assert_eq!(second.len(), ENOUGH - 5);
        assert!(second.iter().all(|dial| !first.contains(&dial.node)));
        assert_eq!(dialler.wake(ENOUGH, |_| false), None);
    }

    #[tokio::test]
    async fn waits_double_up_to_a_minute_and_a_new_address_ends_them() {
        let mut now = Instant::now();
        let mut dialler = Dialler::new(node(0), Profile::Peer);
        let mut membership = league(2);
        dialler.revise(&membership, now);
        let mut waits = Vec::new();
        for _ in 0..12 {
            now = dialler.wake(0, |_| false).unwrap().max(now);
            assert_eq!(dialler.due(now, 0, |_| false).len(), 1);
            dialler.failed(&node(1), now);
            waits.push(dialler.wake(0, |_| false).unwrap() - now);
        }
        assert!(waits.iter().all(|wait| (SOONEST..=LATEST).contains(wait)));
        assert!(waits[11] >= LATEST.mul_f64(0.75) && waits[0] < SOONEST * 2);
        membership
            .nodes
            .insert(node(1), vec!["/ip4/192.0.2.77/tcp/4460".into()]);
        dialler.revise(&membership, now);
        assert_eq!(dialler.due(now, 0, |_| false).len(), 1);
    }

    #[tokio::test]
    async fn a_link_that_never_lasts_is_redialled_ever_more_slowly() {
        let now = Instant::now();
        let mut dialler = Dialler::new(node(0), Profile::Peer);
        dialler.revise(&league(2), now);
        for _ in 0..8 {
            dialler.lost(&node(1), MOMENT, now);
        }
        assert!(dialler.wake(0, |_| false).unwrap() - now >= LATEST.mul_f64(0.7));
        dialler.lost(&node(1), GOOD_LINK, now);
        assert!(dialler.wake(0, |_| false).unwrap() - now < SOONEST * 2);
        dialler.hurry(&node(1), now).unwrap();
        assert_eq!(dialler.due(now, 0, |_| false).len(), 1);
    }
}
