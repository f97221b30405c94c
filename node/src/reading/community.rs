//! The charter in force and what is known beside it, as an operator sees it.

use std::time::Duration;

use hanse_protocol::charter::changes::changes;
use hanse_protocol::charter::member::{Closing, Member};
use hanse_protocol::charter::proposal::Proposal;
use hanse_protocol::charter::{CharterChain, CharterError, SignedCharter};
use hanse_protocol::local;

use super::{Reading, ReadingError};
use crate::exchange::view_of;
use crate::mesh;

const DAY: Duration = Duration::from_secs(24 * 3_600);

impl Reading {
    /// The community, or `None` without one.
    pub fn community(&self) -> Option<local::CommunityView> {
        let standing = self.exchange.standing();
        let charters = standing.charters.as_ref()?;
        let charter = charters.charter();
        let heads = self.exchange.heads();
        let members = || charter.members.iter();
        Some(local::CommunityView {
            id: *charters.community(),
            name: charter.name.clone(),
            version: charter.version,
            hash: charters.newest().hash().to_string(),
            issued: charter.issued,
            expires: charter.expires,
            stewards: charter.stewards.clone(),
            threshold: charter.threshold,
            recovery: charter.recovery.iter().map(|key| key.id().to_string()).collect(),
            unmarked: charter.unmarked,
            budget_bytes: charter.budget.bytes,
            budget_records: charter.budget.records,
            horizon_days: charter.horizon().as_secs() / DAY.as_secs(),
            proposals: standing
                .proposals
                .iter()
                .map(|proposal| view_of(charters, proposal))
                .collect(),
            forks: charters
                .siblings()
                .map(|sibling| fork(charters, sibling))
                .collect(),
            frozen: standing.frozen.map(|freeze| freeze.to_string()),
            heads: heads.with(|heads| {
                let said = charter.stewards.iter().map(|steward| local::HeadView {
                    steward: steward.clone(),
                    at: heads.of(steward, charters),
                });
                said.collect()
            }),
            keys: members().flat_map(keys).collect(),
            lanes: members().flat_map(lanes).collect(),
            endings: members()
                .filter_map(|member| {
                    Some(local::EndingView {
                        member: member.handle.clone(),
                        closed: reach(member.ended.as_ref()?),
                    })
                })
                .collect(),
        })
    }

    /// What a proposal file would change.
    ///
    /// # Errors
    /// [`ReadingError::Value`] if the file is no proposal of this community, or has passed.
    pub fn review(&self, file: &str) -> Result<Option<local::ProposalView>, ReadingError> {
        let standing = self.exchange.standing();
        let Some(charters) = &standing.charters else {
            return Ok(None);
        };
        let proposal = Proposal::read(file).map_err(|error| ReadingError::Value(error.to_string()))?;
        if proposal.community != *charters.community() {
            return Err(ReadingError::Value(CharterError::OtherCommunity.to_string()));
        }
        Ok(Some(view_of(charters, &proposal)))
    }
}

fn fork(charters: &CharterChain, sibling: &SignedCharter) -> local::ForkView {
    let hash = sibling.hash();
    local::ForkView {
        version: sibling.charter().version,
        hash: hash.to_string(),
        open: charters.open_siblings().any(|open| open.hash() == hash),
        endorsed: charters.signers(sibling),
        changes: changes(charters.charter(), sibling.charter()),
    }
}

fn keys(member: &Member) -> impl Iterator<Item = local::KeyView> {
    member.signing.iter().map(|signing| local::KeyView {
        member: member.handle.clone(),
        key: signing.key.id().to_string(),
        closed: signing.closed.as_ref().map(reach),
    })
}

fn lanes(member: &Member) -> impl Iterator<Item = local::LaneView> {
    member.lanes.iter().map(|lane| local::LaneView {
        member: member.handle.clone(),
        lane: lane.number,
        peer_id: mesh::peer_id_text(&lane.node),
        addresses: lane.addresses.clone(),
        closed: lane.closed.as_ref().map(reach),
    })
}

/// Where something ended, in words.
fn reach(closing: &Closing) -> String {
    let runs = closing.iter().map(|run| {
        format!(
            "lane {} epoch {} records {} to {}",
            run.lane, run.epoch, run.first, run.last
        )
    });
    match runs.collect::<Vec<_>>() {
        runs if runs.is_empty() => "no record counts".to_owned(),
        runs => runs.join(", "),
    }
}
