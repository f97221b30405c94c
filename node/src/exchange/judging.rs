//! What the records of a gossip frame come to together: whether it is passed on, and what its courier pays.
//! An author may show everybody another frame, so neither may follow from what somebody else was shown.

use std::time::{Duration, Instant};

use hanse_protocol::charter::CharterChain;
use hanse_protocol::identity::{NodeId, RecordId};
use hanse_protocol::record::Header;
use hanse_protocol::refusal::Refusal;

use super::budget::Grant;
use super::recent::Novelty;
use super::worker::Worker;
use super::{Idle, Verdict};
use crate::clock;
use crate::store::entry::Origin;

/// What the records of a frame come to.
#[derive(Default)]
pub(super) struct Sum {
    /// Newly admitted, or lately and not passed on yet.
    pub(super) new: Vec<RecordId>,
    /// Whether there is a record that no honest courier passes on.
    pub(super) rejected: bool,
    /// Whether there is a record that not everybody takes as we do: not new lately, or turned away.
    pub(super) mixed: bool,
    /// Whether there is a record that is new, or may have been so to the courier when it passed it on.
    news: bool,
    /// Verified, and set aside just now.
    pub(super) set_aside: usize,
    /// Records that have expired by a clock that nobody vouches for, or are too old to come this way.
    pub(super) early: usize,
    /// Work that came of no use.
    pub(super) idle: u32,
    /// The same, if the courier passed on what it had passed on already, and nothing else.
    pub(super) repeated: u32,
}

impl Sum {
    /// Passed on is only what everybody finds as we did, whatever it got from others before: a frame
    /// with anything else in it could be rejected by who hears it from us, or cost us for its author.
    pub(super) fn verdict(&self) -> Verdict {
        if self.rejected {
            Verdict::Reject
        } else if self.new.is_empty() || self.mixed {
            Verdict::Ignore
        } else {
            Verdict::Accept
        }
    }

    /// What the courier pays. One that hears of records as we do, though in other frames, pays nothing.
    pub(super) fn idle(&self) -> Idle {
        let repeated = if self.news { 0 } else { self.repeated };
        Idle(self.idle.saturating_add(repeated))
    }
}

/// What is counted for a header that was checked and brought nothing, for one that was read only, and
/// for one whose bytes were seen before: about the time they take.
pub(super) const CHECKED: u32 = 8;
const READ: u32 = 2;
pub(super) const SEEN: u32 = 1;

/// How far from our clock a record may be dated that is passed on, or that honest nodes may differ on:
/// authors gossip what is half a minute old at most, and clocks may differ. What is older is for healing;
/// else whoever comes back after a while could be made to pass on what all others know.
const PASSED_ON: Duration = Duration::from_secs(15 * 60);

impl Worker {
    /// Counts what a header costs its courier that is turned away. Where things stand otherwise, with
    /// another clock, tally or charter, it may be admitted: for so many records as one author may send
    /// a day an honest courier pays nothing.
    pub(super) fn count_refused(
        &mut self,
        charters: &CharterChain,
        header: &Header,
        refusal: &Refusal,
        courier: &NodeId,
    ) {
        let differs = match refusal {
            // Read, and no signature checked.
            Refusal::UnknownCharter => return self.sum.idle += READ,
            Refusal::FutureDated | Refusal::Expired | Refusal::Ended | Refusal::OverBudget => true,
            _ => false,
        };
        let now = clock::now();
        let recent = now.since(header.created).max(header.created.since(now)) <= PASSED_ON;
        let owner = charters.charter().owner_of(courier);
        let own = owner.is_some_and(|(member, _)| member.handle == header.author);
        let budget = &charters.charter().budget;
        if differs && recent && !own && self.ledger.excuse(courier, header, budget) {
            self.sum.news = true;
        } else {
            self.sum.idle += CHECKED;
        }
    }

    /// Counts what was admitted before, at what it took to find that out.
    pub(super) fn known(&mut self, id: &RecordId, courier: NodeId, cost: u32, origin: Origin) {
        if origin != Origin::Gossip {
            return;
        }
        // Under another signature it is not what the others hold.
        let same = cost == SEEN;
        match self.recent.brings(id, &courier, Instant::now()) {
            Novelty::Untold { .. } if same && !self.sum.new.contains(id) => self.sum.new.push(*id),
            Novelty::First | Novelty::Untold { first: true } => {
                self.sum.news = true;
                self.sum.mixed |= !same;
            }
            Novelty::Again if same => {
                self.sum.repeated += cost;
                // Once is enough, in one frame.
                self.sum.mixed |= self.sum.new.contains(id);
            }
            _ => {
                self.sum.idle += cost;
                self.sum.mixed = true;
            }
        }
    }

    /// Notes what is newly admitted for the frame's verdict and for those that follow.
    pub(super) fn came(
        &mut self,
        id: &RecordId,
        header: &Header,
        grant: Grant,
        courier: NodeId,
        origin: Origin,
    ) {
        let gossiped = origin == Origin::Gossip;
        self.recent
            .came(id, Some(&courier).filter(|_| gossiped), Instant::now());
        if !gossiped || grant != Grant::Whole {
            return;
        }
        self.sum.news = true;
        if clock::now().since(header.created) <= PASSED_ON {
            self.sum.new.push(*id);
        } else {
            self.sum.mixed = true;
        }
    }
}
