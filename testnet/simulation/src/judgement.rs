//! What becomes of a gossip frame, from what became of its records: the rule of the node's exchange, without
//! what that knows of budgets and of who told what before.

use hanse_node::exchange::Idle;
use hanse_node::mesh::Verdict;
use hanse_protocol::identity::Handle;

/// What a courier pays for a header that was checked for nothing, and for one seen before, as the exchange
/// counts it.
const CHECKED: u32 = 8;
const SEEN: u32 = 1;

/// What came of one record of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Newly admitted.
    Admitted,
    /// Nothing new.
    Known,
    /// Refused.
    Refused {
        /// Whether the courier should have known.
        courier: bool,
    },
}

/// The judgement of one frame in the making.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    admitted: bool,
    mixed: bool,
    rejected: bool,
    author: Option<Handle>,
    idle: u32,
}

impl Judgement {
    /// Takes in what came of the next record, and who claims to have signed it.
    pub(crate) fn note(&mut self, fate: Fate, signer: Option<Handle>) {
        match fate {
            Fate::Admitted => self.admitted = true,
            Fate::Known => {
                self.mixed = true;
                self.idle += SEEN;
            }
            Fate::Refused { courier } => {
                self.mixed = true;
                self.rejected |= courier;
                self.idle += CHECKED;
            }
        }
        // A frame is one author's; a mixed one could hide a forgery behind a true record.
        let Some(signer) = signer else { return };
        self.rejected |= *self.author.get_or_insert_with(|| signer.clone()) != signer;
    }

    /// What the mesh is told: what is passed on is new from end to end.
    pub(crate) fn verdict(&self) -> Verdict {
        match (self.rejected, self.admitted && !self.mixed) {
            (true, _) => Verdict::Reject,
            (false, true) => Verdict::Accept,
            (false, false) => Verdict::Ignore,
        }
    }

    /// What the courier pays.
    pub(crate) fn idle(&self) -> Idle {
        Idle(self.idle)
    }
}
