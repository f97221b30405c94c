//! Charters and heads that peers bring.

use hanse_protocol::charter::chain::{self, Offered};
use hanse_protocol::charter::{CharterChain, CharterError, SignedCharter};
use hanse_protocol::identity::NodeId;
use hanse_protocol::presence::{Head, PresenceError};

use crate::clock;
use crate::exchange::worker::Worker;
use crate::exchange::{CharterFate, ExchangeError, Idle, Nudge, Reply, Verdict, VerdictReply};
use crate::store::entry::{CharterEntry, Entry, NoteEntry};

/// The note that holds stewards' heads.
pub(super) const HEADS: &str = "heads";

impl Worker {
    /// Charters that a peer offers, oldest first.
    pub(in crate::exchange) fn offered_charters(&mut self, offered: &[Vec<u8>], reply: Reply<CharterFate>) {
        let Some(charters) = self.charters.clone() else {
            return drop(reply.send(Err(ExchangeError::NoCommunity)));
        };
        let fate = self.take_charters(&charters, offered);
        self.batch.answer(reply, move |_| fate);
    }

    fn take_charters(&mut self, charters: &CharterChain, offered: &[Vec<u8>]) -> CharterFate {
        if let Err(error) = chain::check_length(offered) {
            return CharterFate::Refused(error.to_string());
        }
        let mut changed = charters.clone();
        let mut fate = CharterFate::Known;
        for bytes in offered {
            let signed = match SignedCharter::decode(bytes) {
                Ok(signed) => signed,
                Err(error) => return CharterFate::Refused(error.to_string()),
            };
            let version = signed.charter().version;
            let joins = signed.charter().parents.len() == 2;
            let hash = signed.hash();
            // A chain starts with the charter everybody knows; another first one is another community.
            match changed.offer(signed) {
                Ok(Offered::Known) => {}
                Ok(Offered::Adopted) => {
                    self.log_charter(&changed, version, bytes.clone());
                    self.audit("peer", "adopt-charter", hash.to_string(), None);
                    tracing::info!(version, "charter adopted");
                    self.adopt(changed.clone());
                    fate = CharterFate::Adopted;
                }
                Ok(Offered::Sibling) => {
                    self.log_charter(&changed, version, bytes.clone());
                    self.audit("peer", "charter-fork", hash.to_string(), None);
                    tracing::warn!(version, %hash, "a second charter stands beside one in force: fork");
                    self.stand_under(changed.clone());
                    if fate != CharterFate::Adopted {
                        fate = CharterFate::Sibling;
                    }
                }
                Err(CharterError::UnknownParent(_)) => return gap(fate),
                Err(error) if beside(&error, joins) => {
                    tracing::debug!(version, %error, "a charter changes nothing here");
                    if fate == CharterFate::Known {
                        fate = CharterFate::Beside;
                    }
                }
                Err(error) => return CharterFate::Refused(error.to_string()),
            }
        }
        fate
    }

    pub(super) fn log_charter(&mut self, charters: &CharterChain, version: u64, bytes: Vec<u8>) {
        let entry = CharterEntry {
            community: *charters.community(),
            version,
            bytes,
        };
        self.batch.push(Entry::Charter(entry), None);
    }

    /// Keeps a small fact of the node itself.
    pub(super) fn keep(&mut self, kind: &str, bytes: Vec<u8>) {
        let kind = kind.to_owned();
        self.batch.push(Entry::Note(NoteEntry { kind, bytes }), None);
    }

    /// A steward's word on which charter is the newest.
    pub(in crate::exchange) fn head(&mut self, courier: NodeId, head: &[u8], verdict: VerdictReply) {
        let Some(charters) = self.charters.clone() else {
            return verdict(Verdict::Ignore, Idle(0));
        };
        let head = match Head::read(head, &charters, clock::now()) {
            Ok(head) => head,
            Err(PresenceError::Malformed | PresenceError::Signature) => {
                return verdict(Verdict::Reject, Idle::WORD);
            }
            Err(PresenceError::UnknownSigner | PresenceError::OutOfTime) => {
                return verdict(Verdict::Ignore, Idle::WORD);
            }
        };
        let (new, keep) = self
            .heads
            .with(|heads| (heads.hear(&head), heads.to_keep(&charters)));
        if new {
            verdict(Verdict::Accept, Idle(0));
        } else {
            verdict(Verdict::Ignore, Idle::WORD);
        }
        if let Some(keep) = keep {
            self.keep(HEADS, keep);
        }
        // The steward stands under what is not known here.
        let newest = charters.newest();
        if new && head.hash != newest.hash() && head.version >= newest.charter().version {
            self.nudge(Nudge::Charter(courier));
        }
    }
}

/// What came of a chain that breaks off: what was adopted before the gap is adopted.
fn gap(fate: CharterFate) -> CharterFate {
    match fate {
        CharterFate::Known | CharterFate::Beside => CharterFate::Gap,
        done => done,
    }
}

/// Whether a charter is not taken and nobody is to blame: those who passed it on have seen the
/// siblings in another order, and the charter that joins them may be complete for their side only.
fn beside(error: &CharterError, joins: bool) -> bool {
    match error {
        CharterError::Late(_)
        | CharterError::OtherSide(_)
        | CharterError::TooManySiblings(_)
        | CharterError::ForkOpen => true,
        CharterError::Signatures { .. } | CharterError::History(_) => joins,
        _ => false,
    }
}
