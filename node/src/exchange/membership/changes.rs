//! What a charter is to say otherwise: each change an operator can ask for, made to the charter that
//! would follow the one in force.

use std::cmp::Reverse;

use hanse_protocol::admission::Admitted;
use hanse_protocol::charter::changes::changes;
use hanse_protocol::charter::join::Request;
use hanse_protocol::charter::joining::united;
use hanse_protocol::charter::member::{
    AcceptedRun, Closing, Lane, Member, MemberSealingKey, MemberSigningKey, SuiteKey,
};
use hanse_protocol::charter::{Budget, Charter, CharterChain, SignedCharter};
use hanse_protocol::identity::keys::VerifyingKey;
use hanse_protocol::identity::{Handle, KeyId};
use hanse_protocol::limits;
use hanse_protocol::local::Change;

use super::{CHARTER_LIFE, horizon, invalid, listed, store_error};
use crate::clock;
use crate::exchange::ExchangeError;
use crate::exchange::held::RUNS;
use crate::exchange::worker::Worker;
use crate::store::unless_damaged;

/// Links of a chain looked up at once.
const PAGE: usize = 256;

/// What a change is called in the audit log once it is in force.
pub(super) struct Deed {
    pub(super) action: &'static str,
    pub(super) subject: String,
}

fn deed(action: &'static str, subject: impl ToString) -> Deed {
    let subject = subject.to_string();
    Deed { action, subject }
}

impl Worker {
    /// Makes `change` to `next`.
    pub(super) fn apply(
        &self,
        charters: &CharterChain,
        mut next: Charter,
        change: Change,
    ) -> Result<(Charter, Deed), ExchangeError> {
        let done = match change {
            Change::Admit { file, fingerprint } => admit(&mut next, &file, &fingerprint)?,
            Change::Expel { member } => self.end(charters, &mut next, &member)?,
            Change::Stewards { stewards, threshold } => {
                next.stewards = stewards;
                next.stewards.sort();
                next.threshold = threshold;
                deed("set-stewards", super::names(&next.stewards))
            }
            Change::AddLane { file, fingerprint } => add_lane(&mut next, &file, &fingerprint)?,
            Change::CloseLane { member, lane, key } => {
                self.close_lane(charters, &mut next, &member, lane)?;
                if let Some(key) = key {
                    self.close_key(charters, &mut next, &member, &key)?;
                }
                deed("close-lane", format!("{member} {lane}"))
            }
            Change::CloseKey { member, key } => {
                self.close_key(charters, &mut next, &member, &key)?;
                deed("close-key", format!("{member} {key}"))
            }
            Change::Rotate { file, fingerprint } => rotate(&mut next, &file, &fingerprint)?,
            Change::Unmarked { tlp } => {
                next.unmarked = tlp;
                deed("set-unmarked", tlp)
            }
            Change::Budget { bytes: 0, .. } | Change::Budget { records: 0, .. } => {
                let reason =
                    "a budget of nothing would let nobody share anything: at least one record and byte";
                return Err(ExchangeError::Invalid(reason.to_owned()));
            }
            Change::Budget { bytes, records } => {
                next.budget = Budget { bytes, records };
                deed("set-budget", format!("{records} records, {bytes} bytes"))
            }
            Change::Horizon { days } => {
                next.horizon = horizon(days)?;
                deed("set-horizon", days)
            }
            Change::Addresses {
                member,
                lane,
                addresses,
            } => {
                if let Some(address) = addresses.iter().find(|address| !address.starts_with('/')) {
                    return Err(ExchangeError::Invalid(format!(
                        "`{address}` is no multiaddress: `/ip4/192.0.2.1/tcp/7475` is"
                    )));
                }
                lane_of(&mut next, &member, lane)?.addresses = addresses;
                deed("set-addresses", format!("{member} {lane}"))
            }
            Change::Recovery { keys } => {
                next.recovery = keys.iter().map(|key| public_key(key)).collect::<Result<_, _>>()?;
                deed("set-recovery", next.recovery.len())
            }
            Change::Renew {} => deed("renew", next.version),
            Change::JoinFork { with } => return join_fork(charters, next, with.as_deref()),
        };
        check_stewards(&next)?;
        Ok((next, done))
    }

    fn end(
        &self,
        charters: &CharterChain,
        next: &mut Charter,
        handle: &Handle,
    ) -> Result<Deed, ExchangeError> {
        active(next, handle)?;
        if next.stewards.contains(handle) {
            return Err(ExchangeError::Invalid(format!(
                "`{handle}` is a steward; its stewardship must end before its membership"
            )));
        }
        let closing = self.closing(charters, handle, |_, _| true)?;
        active(next, handle)?.ended = Some(closing);
        Ok(deed("expel", handle))
    }

    fn close_lane(
        &self,
        charters: &CharterChain,
        next: &mut Charter,
        handle: &Handle,
        number: u16,
    ) -> Result<(), ExchangeError> {
        let lane = lane_of(next, handle, number)?;
        if lane.closed.is_some() {
            return Err(ExchangeError::Invalid(format!(
                "lane {number} of `{handle}` is closed"
            )));
        }
        lane.closed = Some(self.closing(charters, handle, |lane, _| lane == number)?);
        Ok(())
    }

    fn close_key(
        &self,
        charters: &CharterChain,
        next: &mut Charter,
        handle: &Handle,
        key: &str,
    ) -> Result<(), ExchangeError> {
        let id: KeyId = key.parse().map_err(invalid)?;
        let member = active(next, handle)?;
        let signing = member.signing.iter_mut().find(|signing| signing.key.id() == id);
        let signing = signing
            .ok_or_else(|| ExchangeError::Invalid(format!("`{id}` is no signing key of `{handle}`")))?;
        if signing.closed.is_some() {
            return Err(ExchangeError::Invalid(format!(
                "key `{id}` of `{handle}` is closed"
            )));
        }
        signing.closed = Some(self.closing(charters, handle, |_, signer| signer == id)?);
        Ok(())
    }

    /// The runs held of a member's records that `counts`, told by lane and signing key, the longest if
    /// there are too many: what it said so far.
    fn closing(
        &self,
        charters: &CharterChain,
        handle: &Handle,
        counts: impl Fn(u16, KeyId) -> bool,
    ) -> Result<Closing, ExchangeError> {
        let holdings = self.reader.holdings(charters.community(), handle, RUNS);
        let member = charters.charter().member(handle);
        let keys: Vec<KeyId> = member
            .iter()
            .flat_map(|member| member.signing.iter().map(|signing| signing.key.id()))
            .collect();
        let mut runs: Closing = Vec::new();
        for held in holdings.map_err(store_error)? {
            // Whole lanes count or do not, unless it depends on who signed.
            let mut judged = keys.iter().map(|key| counts(held.lane, *key));
            let first = judged.next().unwrap_or(false);
            let mixed = judged.any(|other| other != first);
            for (from, to) in held.runs {
                if mixed {
                    runs.extend(self.signed_runs(
                        charters,
                        handle,
                        (held.lane, held.epoch),
                        (from, to),
                        &counts,
                    )?);
                } else if first {
                    let chain = (charters.community(), held.lane, held.epoch);
                    let links = self.reader.chain(chain.0, handle, chain.1, chain.2, to, 1);
                    runs.extend(links.map_err(store_error)?.first().map(|link| AcceptedRun {
                        lane: held.lane,
                        epoch: held.epoch,
                        first: from,
                        last: to,
                        id: link.id,
                    }));
                }
            }
        }
        runs.sort_by_key(|run| Reverse(run.last - run.first));
        runs.truncate(limits::CLOSING_RUNS);
        runs.sort_by_key(|run| (run.lane, run.epoch, run.first));
        Ok(runs)
    }

    /// The parts of a run whose records `counts` by the keys that signed them.
    fn signed_runs(
        &self,
        charters: &CharterChain,
        handle: &Handle,
        (lane, epoch): (u16, u32),
        (from, to): (u64, u64),
        counts: &impl Fn(u16, KeyId) -> bool,
    ) -> Result<Closing, ExchangeError> {
        let community = charters.community();
        let mut runs: Closing = Vec::new();
        let mut next = from;
        while next <= to {
            let links = self.reader.chain(community, handle, lane, epoch, next, PAGE);
            let links = links.map_err(store_error)?;
            let Some(last) = links.last() else { break };
            next = last.seq.saturating_add(1);
            for link in links.iter().filter(|link| link.seq <= to) {
                let stored = unless_damaged(self.reader.record(&link.id)).map_err(store_error)?;
                let admitted = stored.and_then(|stored| Admitted::from_log(&stored.header, community).ok());
                if !admitted.is_some_and(|admitted| counts(lane, admitted.key())) {
                    continue;
                }
                match runs
                    .last_mut()
                    .filter(|run| run.last.saturating_add(1) == link.seq)
                {
                    Some(run) => (run.last, run.id) = (link.seq, link.id),
                    None => runs.push(AcceptedRun {
                        lane,
                        epoch,
                        first: link.seq,
                        last: link.seq,
                        id: link.id,
                    }),
                }
            }
        }
        Ok(runs)
    }
}

/// Reads a request whose fingerprint was confirmed.
pub(super) fn confirmed(file: &str, fingerprint: &str) -> Result<Request, ExchangeError> {
    let candidate = Request::read(file).map_err(invalid)?;
    if candidate.fingerprint().is_spelt(fingerprint) {
        Ok(candidate)
    } else {
        Err(ExchangeError::Fingerprint)
    }
}

fn admit(next: &mut Charter, file: &str, fingerprint: &str) -> Result<Deed, ExchangeError> {
    let candidate = confirmed(file, fingerprint)?;
    let handle = candidate.profile.handle.clone();
    if next.member(&handle).is_some_and(|member| member.ended.is_some()) {
        return Err(ExchangeError::Invalid(format!(
            "`{handle}` was a member whose membership has ended, which is for ever; the organisation can be \
             admitted again with a new node under another handle"
        )));
    }
    if next.member(&handle).is_some() {
        return Err(ExchangeError::Invalid(format!(
            "`{handle}` is the handle of a member with other keys; a handle is never given twice. Another \
             node of that member is a lane of it"
        )));
    }
    // A candidate's clock may lag ours: it may date its first records that much earlier.
    let admitted = clock::now().before(limits::SKEW);
    next.members.push(listed(candidate, admitted));
    next.members.sort_by(|a, b| a.handle.cmp(&b.handle));
    Ok(deed("admit", handle))
}

/// A second node signs with a key of its own and reads with a key of its own, so no secret travels.
fn add_lane(next: &mut Charter, file: &str, fingerprint: &str) -> Result<Deed, ExchangeError> {
    let candidate = confirmed(file, fingerprint)?;
    let handle = candidate.profile.handle;
    let member = active(next, &handle)?;
    let number = member.lanes.iter().map(|lane| lane.number).max();
    let number = number
        .unwrap_or_default()
        .checked_add(1)
        .ok_or_else(|| ExchangeError::Invalid(format!("`{handle}` has no lane left")))?;
    member.signing.push(MemberSigningKey {
        key: candidate.signing,
        closed: None,
    });
    member.sealing.push(MemberSealingKey {
        key: SuiteKey::X25519(candidate.sealing),
        closed: false,
    });
    member.lanes.push(Lane {
        number,
        node: candidate.node,
        addresses: candidate.addresses,
        closed: None,
    });
    Ok(deed("add-lane", format!("{handle} {number}")))
}

/// The new keys of a node that is listed. The old signing key stays until it is closed, since what it
/// signs is still on its way; of a member with one node the old sealing keys close at once.
fn rotate(next: &mut Charter, file: &str, fingerprint: &str) -> Result<Deed, ExchangeError> {
    let candidate = confirmed(file, fingerprint)?;
    let handle = candidate.profile.handle;
    let member = active(next, &handle)?;
    let mut open = member.lanes.iter().filter(|lane| lane.closed.is_none());
    if !open.any(|lane| lane.node == candidate.node) {
        return Err(ExchangeError::Invalid(format!(
            "the node that asks for new keys is none of `{handle}`'s"
        )));
    }
    if member.lanes.iter().filter(|lane| lane.closed.is_none()).count() == 1 {
        member
            .sealing
            .iter_mut()
            .for_each(|sealing| sealing.closed = true);
    }
    member.signing.push(MemberSigningKey {
        key: candidate.signing,
        closed: None,
    });
    member.sealing.push(MemberSealingKey {
        key: SuiteKey::X25519(candidate.sealing),
        closed: false,
    });
    Ok(deed("rotate-keys", handle))
}

/// The charter that joins the one in force with another side.
fn join_fork(
    charters: &CharterChain,
    next: Charter,
    with: Option<&str>,
) -> Result<(Charter, Deed), ExchangeError> {
    let mut open: Vec<&SignedCharter> = charters.open_siblings().collect();
    if let Some(with) = with {
        open.retain(|sibling| sibling.hash().to_string() == with);
    }
    let other = match open.as_slice() {
        [] => return Err(ExchangeError::Invalid("no such fork is open".to_owned())),
        [other] => *other,
        _ => {
            return Err(ExchangeError::Invalid(
                "more than one charter stands beside the one in force: say with which to join".to_owned(),
            ));
        }
    };
    let (mut joint, _) = united(&next, other.charter());
    joint.parents.push(other.hash());
    joint.parents.sort();
    // One that is dated ahead must not keep the sides from being joined.
    if other.charter().issued <= clock::now().after(limits::SKEW) {
        joint.issued = joint.issued.max(other.charter().issued);
    }
    joint.expires = joint.issued.after(CHARTER_LIFE);
    Ok((joint, deed("join-fork", other.hash())))
}

/// What a proposal changes, in words, with what it cannot take over from the other side of a fork.
pub(super) fn told(charters: &CharterChain, next: &Charter) -> Vec<String> {
    let mut told = changes(charters.charter(), next);
    let joined = charters
        .siblings()
        .filter(|sibling| next.parents.contains(&sibling.hash()));
    told.extend(joined.flat_map(|sibling| united(next, sibling.charter()).1));
    told
}

/// The charter that follows the one in force, unchanged but for its place.
pub(super) fn successor(charters: &CharterChain) -> Charter {
    let current = charters.charter();
    let issued = clock::now().max(current.issued);
    Charter {
        version: current.version.saturating_add(1),
        parents: vec![charters.newest().hash()],
        issued,
        expires: issued.after(CHARTER_LIFE),
        ..current.clone()
    }
}

/// Enough stewards must keep a key to sign with, or nothing could ever be changed again.
pub(super) fn check_stewards(charter: &Charter) -> Result<(), ExchangeError> {
    let able = charter.stewards.iter().filter(|steward| {
        let member = charter.member(steward);
        member.is_some_and(|member| member.signing.iter().any(|signing| signing.closed.is_none()))
    });
    if u32::try_from(able.count()).unwrap_or(u32::MAX) >= charter.threshold {
        Ok(())
    } else {
        Err(ExchangeError::Invalid(
            "fewer stewards than the threshold would keep a key to sign with".to_owned(),
        ))
    }
}

fn active<'a>(charter: &'a mut Charter, handle: &Handle) -> Result<&'a mut Member, ExchangeError> {
    let mut members = charter.members.iter_mut();
    let member = members.find(|member| member.handle == *handle && member.ended.is_none());
    member.ok_or_else(|| ExchangeError::UnknownMember(handle.clone()))
}

fn lane_of<'a>(
    charter: &'a mut Charter,
    handle: &Handle,
    number: u16,
) -> Result<&'a mut Lane, ExchangeError> {
    let mut lanes = active(charter, handle)?.lanes.iter_mut();
    let lane = lanes.find(|lane| lane.number == number);
    lane.ok_or_else(|| ExchangeError::Invalid(format!("`{handle}` has no lane {number}")))
}

fn public_key(text: &str) -> Result<VerifyingKey, ExchangeError> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    let bytes: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok());
    let refused =
        || ExchangeError::Invalid("a recovery key is 64 hexadecimal digits, its public part".to_owned());
    VerifyingKey::from_bytes(&bytes.ok_or_else(refused)?).map_err(invalid)
}
