//! Charters and heads that peers bring.

use hanse_protocol::charter::chain::{self, Offered};
use hanse_protocol::charter::{CharterChain, CharterError, SignedCharter, Unread};
use hanse_protocol::identity::NodeId;
use hanse_protocol::presence::{Head, PresenceError};

use crate::clock;
use crate::exchange::worker::Worker;
use crate::exchange::{CharterFate, ExchangeError, Idle, Nudge, Reply, Verdict, VerdictReply};
use crate::store::entry::{CharterEntry, Entry, NoteEntry};

/// The note that holds stewards' heads.
pub(super) const HEADS: &str = "heads";

/// Charters that peers offered, read beside the exchange's thread as far as they go: reading one takes
/// up to a second. It decides nothing that the thread does not ask again.
#[derive(Default)]
pub(in crate::exchange) struct Looked {
    /// Those that enough stewards signed, as far as is known, in order; and as they travel.
    read: Vec<(SignedCharter, Vec<u8>)>,
    /// Whether one was left out that nobody is to blame for.
    beside: bool,
    /// Why the rest was left unread.
    broken: Option<CharterFate>,
}

impl Looked {
    /// Looks at what is offered, oldest first. Only what a threshold of stewards signed is read.
    pub(in crate::exchange) fn at(offered: Vec<Vec<u8>>, charters: &CharterChain) -> Self {
        let mut looked = Self::default();
        if let Err(error) = chain::check_length(&offered) {
            looked.broken = Some(CharterFate::Refused(error.to_string()));
            return looked;
        }
        let mut chain = charters.clone();
        for bytes in offered {
            match look_at(&bytes, &mut chain) {
                Ok(Some(signed)) => looked.read.push((signed, bytes)),
                Ok(None) => {}
                Err(None) => looked.beside = true,
                Err(Some(broken)) => {
                    looked.broken = Some(broken);
                    break;
                }
            }
        }
        looked
    }

    /// What comes of them if the exchange need not be asked.
    pub(in crate::exchange) fn settled(&self) -> Option<CharterFate> {
        self.read.is_empty().then(|| self.after(CharterFate::Known))
    }

    /// What comes of all, if this came of those that were read.
    fn after(&self, fate: CharterFate) -> CharterFate {
        match (&self.broken, fate) {
            (Some(CharterFate::Gap), fate) => gap(fate),
            (Some(broken), _) => broken.clone(),
            (None, CharterFate::Known) if self.beside => CharterFate::Beside,
            (None, fate) => fate,
        }
    }
}

/// Reads a charter if it is new and enough stewards signed it. Fails with what then comes of the chain,
/// or with nothing if it is only left out.
fn look_at(bytes: &[u8], chain: &mut CharterChain) -> Result<Option<SignedCharter>, Option<CharterFate>> {
    let refused = |error: CharterError| Some(CharterFate::Refused(error.to_string()));
    let unread = Unread::peek(bytes).map_err(refused)?;
    match chain.foresee(&unread) {
        Ok(true) => Ok(None),
        Ok(false) => {
            let signed = unread.read().map_err(refused)?;
            // Those that follow may follow this one; what else comes of it the thread says.
            drop(chain.offer(signed.clone()));
            Ok(Some(signed))
        }
        Err(CharterError::UnknownParent(_)) => Err(Some(CharterFate::Gap)),
        Err(error) if beside(&error, unread.joins()) => Err(None),
        Err(error) => Err(refused(error)),
    }
}

impl Worker {
    /// Charters that a peer offers, oldest first.
    pub(in crate::exchange) fn offered_charters(&mut self, looked: Looked, reply: Reply<CharterFate>) {
        let Some(charters) = self.charters.clone() else {
            return drop(reply.send(Err(ExchangeError::NoCommunity)));
        };
        let fate = self.take_charters(&charters, looked);
        self.batch.answer(reply, move |_| fate);
    }

    fn take_charters(&mut self, charters: &CharterChain, mut looked: Looked) -> CharterFate {
        let mut changed = charters.clone();
        let mut fate = CharterFate::Known;
        for (signed, bytes) in std::mem::take(&mut looked.read) {
            let version = signed.charter().version;
            let joins = signed.charter().parents.len() == 2;
            let hash = signed.hash();
            // A chain starts with the charter everybody knows; another first one is another community.
            match changed.offer(signed) {
                Ok(Offered::Known) => {}
                Ok(Offered::Adopted) => {
                    self.log_charter(&changed, version, bytes);
                    self.audit("peer", "adopt-charter", hash.to_string(), None);
                    tracing::info!(version, "charter adopted");
                    self.adopt(changed.clone());
                    fate = CharterFate::Adopted;
                }
                Ok(Offered::Sibling) => {
                    self.log_charter(&changed, version, bytes);
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
        looked.after(fate)
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
