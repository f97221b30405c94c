//! How healing goes and what is wrong with authors' chains, as an operator sees it.

use hanse_protocol::identity::{Handle, NodeId};
use hanse_protocol::local::{self, RecordView};
use hanse_protocol::tlp::Tlp;

use super::{Book, Reading};
use crate::exchange::{Missing, Twin};
use crate::healer::{CatchingUp, Healing};
use crate::mesh;

impl Reading {
    /// A record as it is told, with what is known of its number.
    pub(super) fn view(&self, book: &Book, objects_up_to: Option<Tlp>) -> RecordView {
        let view = book.view(objects_up_to);
        RecordView {
            equivocation: self
                .exchange
                .is_twin(&view.author, view.lane, view.epoch, view.seq),
            ..view
        }
    }

    pub(super) fn healing_status(&self, owner: impl Fn(&NodeId) -> Option<Handle>) -> local::HealingStatus {
        let Healing {
            behind,
            records,
            bytes,
            last,
            catching_up,
        } = self.healing.now();
        local::HealingStatus {
            behind,
            records,
            bytes,
            last: last.map(|last| local::LastHealed {
                member: owner(&last.peer),
                peer_id: mesh::peer_id_text(&last.peer),
                at: last.at,
            }),
            catching_up: catching_up.map(catching),
        }
    }

    pub(super) fn chains(&self) -> local::ChainsStatus {
        let flaws = self.exchange.flaws();
        let missing = |missing: Missing| local::MissingNumbers {
            author: missing.author,
            lane: missing.lane,
            epoch: missing.epoch,
            first: missing.first,
            last: missing.last,
        };
        let twice = |twin: Twin| local::GivenTwice {
            author: twin.author,
            lane: twin.lane,
            epoch: twin.epoch,
            seq: twin.seq,
        };
        local::ChainsStatus {
            gaps: flaws.gaps,
            missing: flaws.missing.into_iter().map(missing).collect(),
            equivocations: flaws.equivocations,
            given_twice: flaws.twins.into_iter().map(twice).collect(),
        }
    }
}

fn catching(catching: CatchingUp) -> local::CatchingUp {
    let millis = u64::try_from(catching.took.as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    local::CatchingUp {
        since: catching.since,
        records: catching.records,
        bytes: catching.bytes,
        records_per_second: catching.records.saturating_mul(1_000) / millis,
    }
}
