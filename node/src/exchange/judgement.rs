//! What becomes of a gossip frame, from what became of its records. No I/O.

use hanse_protocol::identity::Handle;

use super::Verdict;

/// What came of one record of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Newly admitted.
    Admitted,
    /// Newly admitted without its body, since its author is over its budget.
    Unheld,
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
pub struct Judgement {
    admitted: bool,
    rejected: bool,
    author: Option<Handle>,
}

impl Judgement {
    /// Takes in what came of the next record, and who claims to have signed it.
    pub fn note(&mut self, fate: Fate, signer: Option<Handle>) {
        self.admitted |= fate == Fate::Admitted;
        self.rejected |= fate == Fate::Refused { courier: true };
        // A frame is one author's; a mixed one could hide a forgery behind a true record.
        let Some(signer) = signer else { return };
        self.rejected |= *self.author.get_or_insert_with(|| signer.clone()) != signer;
    }

    /// What the mesh is told.
    pub fn verdict(&self) -> Verdict {
        match (self.rejected, self.admitted) {
            (true, _) => Verdict::Reject,
            (false, true) => Verdict::Accept,
            // What is over its author's budget is not carried further; healing brings its header.
            (false, false) => Verdict::Ignore,
        }
    }
}
