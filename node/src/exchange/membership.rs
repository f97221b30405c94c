//! Founding, admitting, expelling, joining, and charters that peers offer: all that changes who is
//! a member.

use std::cmp::Reverse;
use std::time::Duration;

use hanse_protocol::charter::chain::{self, Offered};
use hanse_protocol::charter::join::{self, Invite, Request};
use hanse_protocol::charter::member::{
    AcceptedRun, Closing, Lane, Member, MemberSealingKey, MemberSigningKey, SuiteKey,
};
use hanse_protocol::charter::{Budget, Charter, CharterChain, CharterError, SignedCharter};
use hanse_protocol::heal::RANGES;
use hanse_protocol::identity::Handle;
use hanse_protocol::identity::keys::SigningKey;
use hanse_protocol::limits;
use hanse_protocol::local;
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;

use super::worker::Worker;
use super::{Actor, CharterFate, ExchangeError, Reply};
use crate::clock;
use crate::store::StoreError;
use crate::store::entry::{CharterEntry, Entry};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// How long a charter counts without a successor.
const CHARTER_LIFE: Duration = Duration::from_secs(366 * 24 * 3_600);

/// Days records are kept unless the founder says otherwise.
const HORIZON_DAYS: u32 = 365;

/// What one author may send a day unless the charter says otherwise.
const BUDGET: Budget = Budget {
    bytes: 4 << 30,
    records: 1_000_000,
};

impl Worker {
    pub(super) fn request(&mut self, actor: &Actor, reply: Reply<local::RequestReply>) {
        let Some(request) = self.own_request() else {
            return drop(reply.send(Err(ExchangeError::NoCommunity)));
        };
        let fingerprint = request.fingerprint().to_string();
        self.audit(&actor.0, "request", fingerprint.clone(), None);
        let told = local::RequestReply {
            file: request.write(&self.member.signing),
            fingerprint,
            profile: request.profile,
        };
        self.batch.answer(reply, move |_| told);
    }

    fn own_request(&self) -> Option<Request> {
        let member = &self.member;
        let sealing = member.sealing()?.public();
        let addresses = self.addresses.clone();
        let profile = member.profile.clone();
        Some(Request::new(
            profile,
            &member.signing,
            sealing,
            &member.node,
            addresses,
            clock::now(),
        ))
    }

    pub(super) fn found(
        &mut self,
        actor: &Actor,
        request: &local::FoundRequest,
        reply: Reply<local::Founded>,
    ) {
        match self.try_found(actor, request) {
            Ok(founded) => self.batch.answer(reply, move |_| founded),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn try_found(
        &mut self,
        actor: &Actor,
        request: &local::FoundRequest,
    ) -> Result<local::Founded, ExchangeError> {
        if self.charters.is_some() {
            return Err(ExchangeError::HasCommunity);
        }
        let own = self.own_request().ok_or(ExchangeError::NoCommunity)?;
        let recovery = SigningKey::generate(&mut rand::rng());
        let now = clock::now();
        let handle = own.profile.handle.clone();
        let charter = Charter {
            name: request.name.clone(),
            version: 1,
            parents: Vec::new(),
            issued: now,
            expires: now.after(CHARTER_LIFE),
            stewards: vec![handle.clone()],
            threshold: 1,
            recovery: vec![recovery.verifying_key()],
            members: vec![listed(own, now)],
            unmarked: request.unmarked.unwrap_or(Tlp::Green),
            budget: BUDGET,
            horizon: horizon(request.horizon_days.unwrap_or(HORIZON_DAYS))?,
        };
        let mut signed = SignedCharter::issue(charter).map_err(invalid)?;
        signed.endorse(&handle, &self.member.signing);
        let bytes = signed.encode();
        let charters = CharterChain::found(signed).map_err(invalid)?;
        let community = *charters.community();
        self.log_charter(&charters, 1, bytes);
        self.audit(&actor.0, "found-community", community.to_string(), None);
        self.stand_under(charters);
        let recovery_key = data_encoding::HEXLOWER.encode(recovery.seed().as_slice());
        Ok(local::Founded {
            community,
            recovery_key,
        })
    }

    pub(super) fn admit(
        &mut self,
        actor: &Actor,
        request: &local::AdmitRequest,
        reply: Reply<local::Admission>,
    ) {
        match self.try_admit(actor, request) {
            Ok(admission) => self.batch.answer(reply, move |_| admission),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn try_admit(
        &mut self,
        actor: &Actor,
        request: &local::AdmitRequest,
    ) -> Result<local::Admission, ExchangeError> {
        let charters = self.charters.clone().ok_or(ExchangeError::NoCommunity)?;
        let candidate = Request::read(&request.file).map_err(invalid)?;
        if !candidate.fingerprint().is_spelt(&request.fingerprint) {
            return Err(ExchangeError::Fingerprint);
        }
        let handle = candidate.profile.handle.clone();
        // A mailed invite may be lost: who is listed with these very keys gets it again.
        let charters = if is_listed(charters.charter(), &candidate)? {
            (*charters).clone()
        } else {
            // A candidate's clock may lag ours: it may date its first records that much earlier.
            let admitted = clock::now().before(limits::SKEW);
            let mut next = successor(&charters);
            next.members.push(listed(candidate, admitted));
            next.members.sort_by(|a, b| a.handle.cmp(&b.handle));
            self.audit(&actor.0, "admit", handle.to_string(), None);
            self.issue_charter(next)?
        };
        let invite = Invite {
            community: *charters.community(),
            charters: charters.encode(),
        };
        let fingerprint = join::invite_fingerprint(charters.community(), &charters.newest().hash());
        Ok(local::Admission {
            member: handle,
            charter: charters.charter().version,
            invite: invite.write(),
            fingerprint: fingerprint.to_string(),
        })
    }

    pub(super) fn expel(&mut self, actor: &Actor, handle: &Handle, reply: Reply<local::CharterReply>) {
        match self.try_expel(actor, handle) {
            Ok(told) => self.batch.answer(reply, move |_| told),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn try_expel(&mut self, actor: &Actor, handle: &Handle) -> Result<local::CharterReply, ExchangeError> {
        let charters = self.charters.clone().ok_or(ExchangeError::NoCommunity)?;
        let listed = charters
            .charter()
            .member(handle)
            .filter(|member| member.ended.is_none());
        let listed = listed.ok_or_else(|| ExchangeError::UnknownMember(handle.clone()))?;
        if charters.charter().stewards.contains(handle) {
            return Err(ExchangeError::Invalid(format!(
                "`{handle}` is a steward; its stewardship must end before its membership"
            )));
        }
        let closing = self.closing(&charters, &listed.handle)?;
        let mut next = successor(&charters);
        for member in next.members.iter_mut().filter(|member| member.handle == *handle) {
            member.ended = Some(closing.clone());
        }
        self.audit(&actor.0, "expel", handle.to_string(), None);
        let charters = self.issue_charter(next)?;
        Ok(charter_reply(&charters))
    }

    /// The runs that are held of a member, the longest if there are too many: what it said so far.
    fn closing(&self, charters: &CharterChain, handle: &Handle) -> Result<Closing, ExchangeError> {
        let community = charters.community();
        let holdings = self.reader.holdings(community, handle, RANGES);
        let mut runs: Vec<_> = holdings
            .map_err(store_error)?
            .iter()
            .flat_map(|held| held.runs.iter().map(|run| (held.lane, held.epoch, *run)))
            .collect();
        runs.sort_by_key(|(_, _, (first, last))| Reverse(last - first));
        runs.truncate(limits::CLOSING_RUNS);
        runs.sort_unstable();
        let mut closing = Closing::new();
        for (lane, epoch, (first, last)) in runs {
            let links = self.reader.chain(community, handle, lane, epoch, last, 1);
            closing.extend(links.map_err(store_error)?.first().map(|link| AcceptedRun {
                lane,
                epoch,
                first,
                last,
                id: link.id,
            }));
        }
        Ok(closing)
    }

    /// Signs a successor and puts it in force. One signature must be enough: passing a proposal
    /// among several stewards is another way in.
    fn issue_charter(&mut self, next: Charter) -> Result<CharterChain, ExchangeError> {
        let charters = self.charters.clone().ok_or(ExchangeError::NoCommunity)?;
        let own = self.member.profile.handle.clone();
        if !charters.charter().stewards.contains(&own) {
            return Err(ExchangeError::Invalid(format!(
                "`{own}` is no steward of this community: ask one of {}",
                names(&charters.charter().stewards)
            )));
        }
        let version = next.version;
        let mut signed = SignedCharter::issue(next).map_err(invalid)?;
        signed.endorse(&own, &self.member.signing);
        let bytes = signed.encode();
        let mut changed = (*charters).clone();
        match changed.offer(signed).map_err(invalid)? {
            Offered::Adopted => {}
            Offered::Known | Offered::Sibling => return Err(invalid(CharterError::ForkOpen)),
        }
        self.log_charter(&changed, version, bytes);
        self.stand_under(changed.clone());
        Ok(changed)
    }

    pub(super) fn join(
        &mut self,
        actor: &Actor,
        request: &local::JoinRequest,
        reply: Reply<local::CharterReply>,
    ) {
        match self.try_join(actor, request) {
            Ok(told) => self.batch.answer(reply, move |_| told),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn try_join(
        &mut self,
        actor: &Actor,
        request: &local::JoinRequest,
    ) -> Result<local::CharterReply, ExchangeError> {
        if self.charters.is_some() {
            return Err(ExchangeError::HasCommunity);
        }
        let (invite, charters) = Invite::read(&request.file).map_err(invalid)?;
        let newest = charters.newest().hash();
        if !join::invite_fingerprint(charters.community(), &newest).is_spelt(&request.fingerprint) {
            return Err(ExchangeError::Fingerprint);
        }
        let own = charters.charter().owner_of(&self.member.node_id());
        let key = self.member.signing.verifying_key();
        let lists_us = own.is_some_and(|(member, _)| {
            member.handle == self.member.profile.handle && member.signing.iter().any(|k| k.key == key)
        });
        if !lists_us {
            return Err(ExchangeError::Invalid(
                "the invite's charter does not list this node; was it made for another request?".to_owned(),
            ));
        }
        for (version, bytes) in (1..).zip(invite.charters) {
            self.log_charter(&charters, version, bytes);
        }
        self.audit(&actor.0, "join", charters.community().to_string(), None);
        let told = charter_reply(&charters);
        self.stand_under(charters);
        Ok(told)
    }

    /// Charters that a peer offers, oldest first.
    pub(super) fn offered_charters(&mut self, offered: &[Vec<u8>], reply: Reply<CharterFate>) {
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
            // A chain starts with the charter everybody knows; another first one is another community.
            match changed.offer(signed) {
                Ok(Offered::Known) => {}
                Ok(Offered::Adopted) => {
                    self.log_charter(&changed, version, bytes.clone());
                    self.audit("peer", "adopt-charter", changed.newest().hash().to_string(), None);
                    tracing::info!(version, "charter adopted");
                    self.stand_under(changed.clone());
                    fate = CharterFate::Adopted;
                }
                Ok(Offered::Sibling) => {
                    self.log_charter(&changed, version, bytes.clone());
                    self.audit("peer", "charter-fork", version.to_string(), None);
                    tracing::warn!(version, "a second charter of this version exists: fork");
                    self.stand_under(changed.clone());
                    fate = CharterFate::Sibling;
                }
                Err(CharterError::UnknownParent(_)) => return CharterFate::Gap,
                Err(error) => return CharterFate::Refused(error.to_string()),
            }
        }
        fate
    }

    fn log_charter(&mut self, charters: &CharterChain, version: u64, bytes: Vec<u8>) {
        let entry = CharterEntry {
            community: *charters.community(),
            version,
            bytes,
        };
        self.batch.push(Entry::Charter(entry), None);
    }
}

/// The charter that follows the one in force, unchanged but for its place.
fn successor(charters: &CharterChain) -> Charter {
    let current = charters.charter();
    let issued = clock::now().max(current.issued);
    Charter {
        version: current.version + 1,
        parents: vec![charters.newest().hash()],
        issued,
        expires: issued.after(CHARTER_LIFE),
        ..current.clone()
    }
}

/// A candidate as the charter lists it: first key, first node.
fn listed(candidate: Request, admitted: Timestamp) -> Member {
    Member {
        handle: candidate.profile.handle.clone(),
        profile: candidate.profile,
        admitted,
        signing: vec![MemberSigningKey {
            key: candidate.signing,
            closed: None,
        }],
        sealing: vec![MemberSealingKey {
            key: SuiteKey::X25519(candidate.sealing),
            closed: false,
        }],
        lanes: vec![Lane {
            number: 0,
            node: candidate.node,
            addresses: candidate.addresses,
            closed: None,
        }],
        ended: None,
    }
}

/// Whether the candidate is listed already, with these very keys.
fn is_listed(charter: &Charter, candidate: &Request) -> Result<bool, ExchangeError> {
    let Some(member) = charter.member(&candidate.profile.handle) else {
        return Ok(false);
    };
    let same = member.ended.is_none()
        && member.signing.iter().any(|key| key.key == candidate.signing)
        && member.lanes.iter().any(|lane| lane.node == candidate.node);
    if same {
        Ok(true)
    } else {
        Err(ExchangeError::Invalid(format!(
            "`{}` is the handle of a member with other keys; a handle is never given twice",
            member.handle
        )))
    }
}

fn horizon(days: u32) -> Result<u64, ExchangeError> {
    if (1..=3_650).contains(&days) {
        let horizon = DAY * days;
        Ok(u64::try_from(horizon.as_millis()).unwrap_or(u64::MAX))
    } else {
        Err(ExchangeError::Invalid(format!(
            "`{days}` days is no horizon: 1 to 3650 are"
        )))
    }
}

fn charter_reply(charters: &CharterChain) -> local::CharterReply {
    local::CharterReply {
        community: *charters.community(),
        name: charters.charter().name.clone(),
        charter: charters.charter().version,
        members: charters.charter().active().count(),
    }
}

fn names(handles: &[Handle]) -> String {
    handles.iter().map(Handle::as_str).collect::<Vec<_>>().join(", ")
}

fn invalid(error: impl std::error::Error) -> ExchangeError {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    ExchangeError::Invalid(text)
}

fn store_error(error: StoreError) -> ExchangeError {
    ExchangeError::Store(std::sync::Arc::new(error))
}
