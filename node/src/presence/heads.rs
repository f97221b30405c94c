//! What other nodes said of their audit logs. Every presence tells where its node's audit log stands;
//! partners keep the furthest they heard, so that a log that was cut or written anew shows: its own
//! chain of hashes would hold.

use std::collections::BTreeMap;
use std::time::Duration;

use hanse_protocol::charter::CharterChain;
use hanse_protocol::identity::NodeId;
use hanse_protocol::local::{BrokenAudit, HeardAudit, HeardAudits, HeardHead};
use hanse_protocol::presence::Presence;
use hanse_protocol::timestamp::Timestamp;
use minicbor::{Decode, Encode};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::exchange::{Actor, Complaints, Deed, Exchange};
use crate::mesh::peer_id_text;
use crate::metrics::Metrics;
use crate::store::{Reader, StoreError, unless_damaged};

/// The note that holds what was heard.
pub const NOTE: &str = "audit-heads";

/// Presences that may wait to be compared; one that finds no room is followed by another in a minute.
pub(super) const WAITING: usize = 256;

/// How often what was heard is made durable, if it changed. What is new, or shows a log that was cut,
/// is so at once.
const KEEP: Duration = Duration::from_secs(5 * 60);

/// How often a member whose logs were cut is told of at most: its node could say another thing in every
/// presence, and each word would be a commit everywhere.
const TOLD: Duration = Duration::from_secs(3_600);

/// Nodes whose heads are kept: more than any charter's members have, as a rule; so that the note stays
/// far below what a note may hold.
const NODES: usize = 4_096;

/// Where an audit log stood, as its node said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Said {
    /// Lines.
    #[n(0)]
    pub(crate) lines: u64,
    /// Hash of the last.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(crate) hash: [u8; 32],
    /// When it was said, by the node's own clock.
    #[n(2)]
    pub(crate) at: Timestamp,
}

/// What is kept of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct Kept {
    /// The furthest that was heard since the last break.
    #[n(0)]
    furthest: Said,
    /// The last break: what the log was, and what was said of it after.
    #[n(1)]
    broken: Option<(Said, Said)>,
}

/// What a presence says of an audit log that was heard of before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// A node that was never heard.
    New,
    /// It is as long or longer.
    Grown,
    /// Said no later than what is kept.
    Old,
    /// It lost lines, or its last line is another.
    Broken(Said),
}

/// What was heard of every node's audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heads(BTreeMap<NodeId, Kept>);

impl Heads {
    /// What was kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn load(store: &Reader) -> Result<Self, StoreError> {
        Ok(Self::read(&unless_damaged(store.note(NOTE))?.unwrap_or_default()))
    }

    /// Reads the note; one of another version counts as none.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let nodes: Option<Vec<(NodeId, Kept)>> = minicbor::decode(bytes).ok();
        Self(nodes.unwrap_or_default().into_iter().collect())
    }

    fn write(&self) -> Vec<u8> {
        let nodes: Vec<(NodeId, Kept)> = self.0.iter().map(|(node, kept)| (*node, *kept)).collect();
        minicbor::to_vec(nodes).unwrap_or_default()
    }

    fn hear(&mut self, node: NodeId, said: Said) -> News {
        let room = self.0.len() < NODES;
        let Some(kept) = self.0.get_mut(&node) else {
            if !room {
                return News::Old;
            }
            let kept = Kept {
                furthest: said,
                broken: None,
            };
            self.0.insert(node, kept);
            return News::New;
        };
        let before = kept.furthest;
        // An earlier word, heard late or played again, was true in its time.
        if said.at <= before.at {
            return News::Old;
        }
        kept.furthest = said;
        let rewritten = said.lines == before.lines && said.hash != before.hash;
        if said.lines < before.lines || rewritten {
            kept.broken = Some((before, said));
            return News::Broken(before);
        }
        News::Grown
    }

    /// As the API shows it: nodes that the charter lists or once listed.
    pub(crate) fn shown(&self, charters: &CharterChain) -> HeardAudits {
        let head = |said: Said| HeardHead {
            head: hanse_protocol::audit::Head {
                lines: said.lines,
                hash: said.hash,
            },
            at: said.at,
        };
        let heard = |(node, kept): (&NodeId, &Kept)| {
            let (member, _) = charters.charter().owner_of(node)?;
            Some(HeardAudit {
                member: member.handle.clone(),
                peer_id: peer_id_text(node),
                heard: head(kept.furthest),
                broken: kept.broken.map(|(was, then)| BrokenAudit {
                    was: head(was),
                    then: head(then),
                }),
            })
        };
        HeardAudits {
            nodes: self.0.iter().filter_map(heard).collect(),
        }
    }
}

/// Compares what presences say with what was kept, and keeps it, until `stop`.
pub async fn keep(
    exchange: Exchange,
    mut heads: Heads,
    metrics: std::sync::Arc<Metrics>,
    mut heard: mpsc::Receiver<Presence>,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(KEEP);
    let mut kept = heads.clone();
    let mut told = Complaints::every(TOLD);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {
                if heads != kept && exchange.note(NOTE, heads.write()) {
                    kept = heads.clone();
                }
            }
            presence = heard.recv() => {
                let Some(presence) = presence else { return };
                let said = Said {
                    lines: presence.audit_count,
                    hash: presence.audit_hash,
                    at: presence.at,
                };
                let deed = match heads.hear(presence.node, said) {
                    News::Grown | News::Old => continue,
                    News::New => None,
                    News::Broken(was) => {
                        metrics.audit_broken();
                        let broken = broken(&exchange, &presence, (was, said), &mut told);
                        if broken.is_none() {
                            // It is counted, shown, and kept with the next tick.
                            continue;
                        }
                        broken
                    }
                };
                let note = Some((NOTE, heads.write()));
                // A full disk refuses; the next tick tries again.
                if exchange.witness(deed.into_iter().collect(), note).await.is_ok() {
                    kept = heads.clone();
                }
            }
        }
    }
}

/// Tells the operator, and makes the line for our own audit log, unless that was done a while ago.
fn broken(
    exchange: &Exchange,
    presence: &Presence,
    (was, said): (Said, Said),
    told: &mut Complaints,
) -> Option<Deed> {
    let standing = exchange.standing();
    let member = standing.charters.as_ref().and_then(|charters| {
        let (member, _) = charters.charter().owner_of(&presence.node)?;
        Some(member.handle.to_string())
    });
    let member = member.unwrap_or_default();
    let more = told.tell(&member, "audit-broken", clock::now())?;
    let node = peer_id_text(&presence.node);
    tracing::error!(
        member,
        node,
        lines = said.lines,
        before = was.lines,
        more,
        "the audit log of a partner's node was cut or written anew"
    );
    let hash = |said: Said| {
        let front: String = said
            .hash
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("{} {front}", said.lines)
    };
    let more = match more {
        0 => String::new(),
        more => format!(", and {more} times more since the last line"),
    };
    Some(Deed {
        actor: Actor(format!("node {node}")),
        action: "audit-broken",
        subject: format!("{member} was {}, is {}{more}", hash(was), hash(said)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(at: u64, lines: u64, last: u8) -> Said {
        Said {
            lines,
            hash: [last; 32],
            at: Timestamp::from_millis(at),
        }
    }

    #[test]
    fn a_log_that_was_cut_or_rewritten_shows_and_one_that_grows_does_not() {
        let node = NodeId([7; 32]);
        let mut heads = Heads::default();
        assert_eq!(heads.hear(node, said(1, 10, 1)), News::New);
        assert_eq!(heads.hear(node, said(2, 10, 1)), News::Grown);
        assert_eq!(heads.hear(node, said(3, 15, 2)), News::Grown);
        assert_eq!(
            heads.hear(node, said(2, 10, 1)),
            News::Old,
            "an earlier word, played again, accuses nobody"
        );
        let mut heads = Heads::read(&heads.write());
        assert_eq!(
            heads.hear(node, said(4, 14, 3)),
            News::Broken(said(3, 15, 2)),
            "also after a restart of ours"
        );
        assert_eq!(heads.hear(node, said(5, 15, 4)), News::Grown);
        assert_eq!(heads.hear(node, said(6, 15, 5)), News::Broken(said(5, 15, 4)));
        assert_eq!(heads.hear(node, said(7, 16, 6)), News::Grown);
        let kept = heads.0[&node];
        assert_eq!(
            kept.broken,
            Some((said(5, 15, 4), said(6, 15, 5))),
            "it stays shown"
        );
        assert_eq!(Heads::read(b"of another version"), Heads::default());
    }
}
