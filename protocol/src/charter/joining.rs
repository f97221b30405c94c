//! What a charter says that joins the two sides of a fork: what the one in force says, and whoever
//! and whatever the other side admitted or ended besides.

use minicbor::Encode;

use super::Charter;
use super::member::{Closing, Member};
use crate::limits;

/// Most bytes that the other side may add: whoever could sign it may no longer be trusted, and what is
/// listed once is listed for ever.
const ADDED: usize = limits::CHARTER / 4;

/// Bytes of a charter that are left for signatures and for what is to come.
const SPARED: usize = limits::CHARTER / 16;

/// `ours` with what `theirs` added. What is the community's own (stewards, threshold, marking, budget,
/// horizon) stays as it is in force here. Where both sides gave one handle, key or node to different
/// members, ours stands; so it does where a charter would become too large. The second part tells in words what is not taken over, since nodes that
/// stood under the other side cannot follow then.
pub fn united(ours: &Charter, theirs: &Charter) -> (Charter, Vec<String>) {
    let mut united = ours.clone();
    let mut left_out = Vec::new();
    let mut room = (limits::CHARTER - SPARED).saturating_sub(size(ours)).min(ADDED);
    for member in &theirs.members {
        let place = united
            .members
            .iter()
            .position(|held| held.handle == member.handle);
        let mut trial = united.clone();
        match place {
            None => trial.members.push(member.clone()),
            Some(place) => {
                if let Some(held) = trial.members.get_mut(place) {
                    unite(held, member);
                }
            }
        }
        trial.members.sort_by(|a, b| a.handle.cmp(&b.handle));
        let followed = trial
            .member(&member.handle)
            .is_some_and(|held| member.check_successor(held).is_ok());
        let grown = size(&trial.member(&member.handle)).saturating_sub(size(&united.member(&member.handle)));
        let left = room.checked_sub(grown);
        if let (true, Some(left)) = (followed && trial.check_form().is_ok(), left) {
            (united, room) = (trial, left);
        } else if left.is_none() {
            left_out.push(format!(
                "what the other side says of {} is left out: the charter would become too large",
                member.handle
            ));
        } else {
            left_out.push(format!(
                "what the other side says of {} contradicts this side and is left out",
                member.handle
            ));
        }
    }
    (united, left_out)
}

/// Bytes that `part` of a charter takes.
fn size(part: &impl Encode<()>) -> usize {
    minicbor::to_vec(part).map_or(0, |bytes| bytes.len())
}

/// Adds keys, lanes and endings that `theirs` has.
fn unite(ours: &mut Member, theirs: &Member) {
    narrow(&mut ours.ended, &theirs.ended);
    for key in &theirs.signing {
        match ours.signing.iter_mut().find(|held| held.key == key.key) {
            Some(held) => narrow(&mut held.closed, &key.closed),
            None => ours.signing.push(key.clone()),
        }
    }
    for key in &theirs.sealing {
        match ours.sealing.iter_mut().find(|held| held.key == key.key) {
            Some(held) => held.closed |= key.closed,
            None => ours.sealing.push(key.clone()),
        }
    }
    for lane in &theirs.lanes {
        match ours.lanes.iter_mut().find(|held| held.number == lane.number) {
            Some(held) => narrow(&mut held.closed, &lane.closed),
            None => ours.lanes.push(lane.clone()),
        }
    }
    ours.lanes.sort_by_key(|lane| lane.number);
}

/// The stricter of two endings: of ours, the runs that theirs covers too.
fn narrow(ours: &mut Option<Closing>, theirs: &Option<Closing>) {
    match (ours.as_mut(), theirs) {
        (_, None) => {}
        (None, Some(theirs)) => *ours = Some(theirs.clone()),
        (Some(ours), Some(theirs)) => ours.retain(|run| {
            let mut covering = theirs.iter();
            covering
                .any(|other| other.first <= run.first && other.covers(run.lane, run.epoch, run.last, &run.id))
        }),
    }
}
