//! Who is linked to whom, and how much went over each link.

use std::collections::{BTreeMap, BTreeSet};

use hanse_protocol::identity::Handle;
use hanse_protocol::local::PeerStatus;

use super::{Kept, Promise};

/// Peers of each member's node, as that node tells.
pub type Peers = BTreeMap<Handle, Vec<PeerStatus>>;

/// Decides whether every node is linked to all the others and to nobody else.
pub fn judge(peers: &Peers, kept: &mut Kept) {
    let promise = Promise::LinksAreMembersOnly;
    let invited: BTreeSet<&Handle> = peers.keys().collect();
    for (member, peers) in peers {
        for peer in peers {
            match &peer.member {
                None => kept.broken(
                    promise,
                    format!("{member} is linked to {}, no member", peer.peer_id),
                ),
                Some(linked) if !invited.contains(linked) => {
                    kept.broken(
                        promise,
                        format!("{member} is linked to {linked}, who was not invited"),
                    );
                }
                Some(_) => {}
            }
        }
        let linked: BTreeSet<&Handle> = peers.iter().filter_map(|peer| peer.member.as_ref()).collect();
        let missing = invited
            .iter()
            .filter(|other| **other != member && !linked.contains(*other));
        for other in missing {
            kept.broken(promise, format!("{member} has no link to {other}"));
        }
    }
}

/// Bytes that went over each link between two members, both ways.
pub fn bytes(peers: &Peers) -> Vec<u64> {
    let mut links: BTreeMap<(&Handle, &Handle), u64> = BTreeMap::new();
    for (member, peers) in peers {
        let mut sums: BTreeMap<&Handle, u64> = BTreeMap::new();
        for peer in peers {
            if let Some(other) = &peer.member {
                *sums.entry(other).or_default() += peer.bytes_in + peer.bytes_out;
            }
        }
        for (other, sum) in sums {
            // Both ends count the link; what is under way at this moment only one of them has seen.
            let link = links.entry((member.min(other), member.max(other))).or_default();
            *link = sum.max(*link);
        }
    }
    links.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(member: Option<&str>, bytes_in: u64, bytes_out: u64) -> PeerStatus {
        PeerStatus {
            member: member.map(|member| member.parse().unwrap()),
            peer_id: "12D3".to_owned(),
            address: String::new(),
            bytes_in,
            bytes_out,
            last_healed: None,
        }
    }

    fn peers(of: &[(&str, Vec<PeerStatus>)]) -> Peers {
        of.iter()
            .map(|(member, peers)| (member.parse().unwrap(), peers.clone()))
            .collect()
    }

    #[test]
    fn a_link_is_counted_once_whichever_end_tells() {
        let told = peers(&[
            (
                "port-city",
                vec![peer(Some("acme-water"), 70, 30), peer(Some("st-mary"), 1, 2)],
            ),
            ("acme-water", vec![peer(Some("port-city"), 30, 69)]),
            ("st-mary", vec![peer(Some("port-city"), 2, 1)]),
        ]);
        assert_eq!(bytes(&told), [100, 3]);
    }

    #[test]
    fn a_stranger_and_a_missing_link_break_the_promise() {
        let whole = peers(&[
            ("port-city", vec![peer(Some("acme-water"), 0, 0)]),
            ("acme-water", vec![peer(Some("port-city"), 0, 0)]),
        ]);
        let judged = |peers: &Peers| {
            let mut kept = Kept::default();
            judge(peers, &mut kept);
            kept.held(Promise::LinksAreMembersOnly)
        };
        assert!(judged(&whole));
        for wrong in [
            vec![],
            vec![peer(Some("port-city"), 0, 0), peer(None, 0, 0)],
            vec![peer(Some("port-city"), 0, 0), peer(Some("mallory"), 0, 0)],
        ] {
            let mut peers = whole.clone();
            peers.insert("acme-water".parse().unwrap(), wrong);
            assert!(!judged(&peers));
        }
    }
}
