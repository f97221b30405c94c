//! Who is a member: founding, joining, and what this node's operator wants of it. What changes a
//! charter is beside: `changes` says what is to be otherwise, `proposals` gathers signatures, `charters`
//! takes what peers offer, `signed` remembers what this node put its name to.

use std::time::Duration;

use hanse_protocol::charter::join::{self, Invite, Request};
use hanse_protocol::charter::member::{Lane, Member, MemberSealingKey, MemberSigningKey, SuiteKey};
use hanse_protocol::charter::{Budget, Charter, CharterChain, SignedCharter};
use hanse_protocol::identity::Handle;
use hanse_protocol::identity::keys::SigningKey;
use hanse_protocol::local;
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;

use super::worker::Worker;
use super::{Actor, ExchangeError, Reply};
use crate::clock;
use crate::store::StoreError;

mod changes;
pub(super) mod charters;
mod proposals;
pub(super) mod signed;

pub(crate) use proposals::view as view_of;

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
        let candidate = changes::confirmed(&request.file, &request.fingerprint)?;
        let handle = candidate.profile.handle.clone();
        // A mailed invite may be lost: who is listed with these very keys gets it again.
        let charters = if is_listed(charters.charter(), &candidate) {
            charters
        } else {
            self.change_alone(
                actor,
                local::Change::Admit {
                    file: request.file.clone(),
                    fingerprint: request.fingerprint.clone(),
                },
            )?
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
        let member = handle.clone();
        let charters = self.change_alone(actor, local::Change::Expel { member })?;
        Ok(charter_reply(&charters))
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
        for bytes in invite.charters {
            let version = SignedCharter::decode(&bytes).map_err(invalid)?.charter().version;
            self.log_charter(&charters, version, bytes);
        }
        self.audit(&actor.0, "join", charters.community().to_string(), None);
        let told = charter_reply(&charters);
        self.stand_under(charters);
        Ok(told)
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
fn is_listed(charter: &Charter, candidate: &Request) -> bool {
    let member = charter.member(&candidate.profile.handle);
    member.is_some_and(|member| {
        member.ended.is_none()
            && member.signing.iter().any(|key| key.key == candidate.signing)
            && member.lanes.iter().any(|lane| lane.node == candidate.node)
    })
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
