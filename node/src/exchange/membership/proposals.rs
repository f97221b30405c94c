//! Proposals: a change is written down as a charter, stewards sign it one after the other, and with
//! the last signature needed it is in force.

use std::sync::Arc;

use hanse_protocol::charter::chain::{self, Offered};
use hanse_protocol::charter::proposal::Proposal;
use hanse_protocol::charter::{CharterChain, CharterError, SignedCharter};
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::{limits, local};

use super::changes::{self, successor};
use super::charters::HEADS;
use super::signed::{self, Signed};
use super::{invalid, names};
use crate::clock;
use crate::exchange::worker::Worker;
use crate::exchange::{Actor, ExchangeError, Reply};
use crate::heads::Heads;
use crate::store::{StoreError, unless_damaged};

/// Most proposals that are kept; the oldest makes room.
const MOST: usize = 8;

impl Worker {
    /// Takes up from the store what membership keeps there.
    pub(in crate::exchange) fn load_membership(&mut self) -> Result<(), StoreError> {
        match self.reader.note(signed::NOTE) {
            Err(StoreError::Damaged { .. }) => self.forget_signed(),
            noted => self.signed = Signed::restore(&noted?.unwrap_or_default()),
        }
        let forgotten = unless_damaged(self.reader.note(signed::FORGOTTEN))?;
        if let Some(then) = forgotten.and_then(|bytes| bytes.try_into().ok()) {
            self.signed
                .forget(Timestamp::from_millis(u64::from_be_bytes(then)));
        }
        if let Some(bytes) = unless_damaged(self.reader.note(HEADS))? {
            self.heads.with(|heads| *heads = Heads::restore(&bytes));
        }
        let Some(charters) = self.charters.clone() else {
            return Ok(());
        };
        for slot in 0..MOST {
            let Some(bytes) = unless_damaged(self.reader.note(&slot_name(slot)))? else {
                continue;
            };
            let Ok(charter) = SignedCharter::decode(&bytes) else {
                continue;
            };
            if charter.charter().version > charters.charter().version {
                let community = *charters.community();
                self.proposals.insert(slot, Proposal { community, charter });
            }
        }
        Ok(())
    }

    /// Notes that this node may have signed charters that it knows nothing of: what follows a charter
    /// issued so far it signs on the operator's word only.
    pub(in crate::exchange) fn forget_signed(&mut self) {
        // The clock of whoever issued it may be ahead of ours.
        let then = clock::now().after(limits::SKEW);
        self.signed.forget(then);
        self.keep(signed::FORGOTTEN, then.as_millis().to_be_bytes().to_vec());
    }

    pub(in crate::exchange) fn propose(
        &mut self,
        actor: &Actor,
        request: local::ProposeRequest,
        reply: Reply<local::ProposalReply>,
    ) {
        let told = self.try_propose(actor, request);
        self.answer(told, reply);
    }

    pub(in crate::exchange) fn endorse(
        &mut self,
        actor: &Actor,
        file: &local::ProposalFile,
        reply: Reply<local::ProposalReply>,
    ) {
        let told = self.try_endorse(actor, file);
        self.answer(told, reply);
    }

    pub(in crate::exchange) fn submit(
        &mut self,
        actor: &Actor,
        file: &local::ProposalFile,
        reply: Reply<local::ProposalReply>,
    ) {
        let told = self.try_submit(actor, file);
        self.answer(told, reply);
    }

    fn answer<T: Send + 'static>(&mut self, told: Result<T, ExchangeError>, reply: Reply<T>) {
        match told {
            Ok(told) => self.batch.answer(reply, move |_| told),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn try_propose(
        &mut self,
        actor: &Actor,
        request: local::ProposeRequest,
    ) -> Result<local::ProposalReply, ExchangeError> {
        let charters = self.charters.clone().ok_or(ExchangeError::NoCommunity)?;
        self.check_steward(&charters)?;
        let (next, deed) = self.changed(&charters, request.change)?;
        let mut signed = SignedCharter::issue(next).map_err(invalid)?;
        self.sign_as_steward(&charters, &mut signed, request.again)?;
        let reply = self.advance(&charters, signed)?;
        let action = if reply.in_force { deed.action } else { "propose" };
        self.audit(&actor.0, action, deed.subject, None);
        Ok(reply)
    }

    /// Makes a change that this node's signature alone puts in force.
    pub(super) fn change_alone(
        &mut self,
        actor: &Actor,
        change: local::Change,
    ) -> Result<Arc<CharterChain>, ExchangeError> {
        let charters = self.charters.clone().ok_or(ExchangeError::NoCommunity)?;
        // Who may not decide is told that, rather than what else is wrong.
        self.check_steward(&charters)?;
        let (next, deed) = self.changed(&charters, change)?;
        if charters.charter().threshold > 1 {
            return Err(ExchangeError::Endorsements(charters.charter().threshold));
        }
        let mut signed = SignedCharter::issue(next).map_err(invalid)?;
        self.sign_as_steward(&charters, &mut signed, false)?;
        self.advance(&charters, signed)?;
        self.audit(&actor.0, deed.action, deed.subject, None);
        self.charters.clone().ok_or(ExchangeError::NoCommunity)
    }

    fn try_endorse(
        &mut self,
        actor: &Actor,
        file: &local::ProposalFile,
    ) -> Result<local::ProposalReply, ExchangeError> {
        let charters = self.charters.clone().ok_or(ExchangeError::NoCommunity)?;
        let mut proposed = self.confirmed(&charters, file)?;
        self.sign_as_steward(&charters, &mut proposed, file.again)?;
        let reply = self.advance(&charters, proposed)?;
        self.audit(&actor.0, "endorse", reply.proposal.hash.clone(), None);
        Ok(reply)
    }

    fn try_submit(
        &mut self,
        actor: &Actor,
        file: &local::ProposalFile,
    ) -> Result<local::ProposalReply, ExchangeError> {
        let charters = self.charters.clone().ok_or(ExchangeError::NoCommunity)?;
        let proposed = self.confirmed(&charters, file)?;
        let reply = self.advance(&charters, proposed)?;
        self.audit(&actor.0, "submit-proposal", reply.proposal.hash.clone(), None);
        Ok(reply)
    }

    /// Reads a proposal whose fingerprint was confirmed and that may still come into force, with the
    /// signatures known here besides.
    fn confirmed(
        &self,
        charters: &CharterChain,
        file: &local::ProposalFile,
    ) -> Result<SignedCharter, ExchangeError> {
        let proposal = Proposal::read(&file.file).map_err(invalid)?;
        if !proposal.fingerprint().is_spelt(&file.fingerprint) {
            return Err(ExchangeError::Fingerprint);
        }
        if proposal.community != *charters.community() {
            return Err(invalid(CharterError::OtherCommunity));
        }
        let mut charter = proposal.charter;
        for known in self.proposals.values() {
            charter.merge(&known.charter);
        }
        self.check_followable(charters, &charter)?;
        Ok(charter)
    }

    /// Whether a proposal may still come into force, whoever has signed.
    fn check_followable(
        &self,
        charters: &CharterChain,
        charter: &SignedCharter,
    ) -> Result<(), ExchangeError> {
        let said = charter.charter();
        let (version, newest) = (said.version, charters.charter().version);
        if !said.parents.contains(&charters.newest().hash()) {
            return Err(ExchangeError::Invalid(if version <= newest {
                format!("version {version} has passed: charter {newest} is in force; propose it anew")
            } else {
                format!("version {version} does not follow charter {newest}, which is in force here")
            }));
        }
        if charters.fork_open() && said.parents.len() != 2 {
            return Err(invalid(CharterError::ForkOpen));
        }
        if said.issued > clock::now().after(limits::SKEW) {
            return Err(ExchangeError::Invalid(format!(
                "it is dated ahead, {}",
                said.issued
            )));
        }
        if said.expires > said.issued.after(super::CHARTER_LIFE) {
            return Err(ExchangeError::Invalid(format!(
                "it would count until {}, longer than a charter may",
                said.expires
            )));
        }
        match charters.clone().offer(charter.clone()) {
            Ok(Offered::Adopted | Offered::Known) | Err(CharterError::Signatures { .. }) => Ok(()),
            Ok(Offered::Sibling) => Err(invalid(CharterError::ForkOpen)),
            Err(error) => Err(invalid(error)),
        }
    }

    pub(super) fn check_steward(&self, charters: &CharterChain) -> Result<(), ExchangeError> {
        let own = &self.member.profile.handle;
        if charters.charter().stewards.contains(own) {
            return Ok(());
        }
        Err(ExchangeError::Invalid(format!(
            "`{own}` is no steward of this community: ask one of {}",
            names(&charters.charter().stewards)
        )))
    }

    /// Signs as a steward, once a version; the memory of it is in the commit that the answer waits for.
    fn sign_as_steward(
        &mut self,
        charters: &CharterChain,
        charter: &mut SignedCharter,
        again: bool,
    ) -> Result<(), ExchangeError> {
        self.check_steward(charters)?;
        self.check_followable(charters, charter)?;
        let (version, hash) = (charter.charter().version, charter.hash());
        let parent = charters.charter().issued;
        let round = self.signed.clone().sign(version, hash, parent, again)?;
        changes::check_stewards(charter.charter())?;
        let key = self.member.signing_under(charters.charter());
        charter.endorse(&self.member.profile.handle, key);
        if !charter
            .endorsed(charters.charter())
            .stewards
            .contains(&self.member.profile.handle)
        {
            return Err(ExchangeError::Invalid(
                "this node's signing key is not one of its member's open keys".to_owned(),
            ));
        }
        let forgetful = self.signed.is_forgetful();
        self.signed.sign(version, hash, parent, again)?;
        if forgetful && !self.signed.is_forgetful() {
            self.keep(signed::FORGOTTEN, Vec::new());
        }
        self.keep(signed::NOTE, self.signed.to_bytes());
        if round > 1 {
            let subject = format!("{} round {round}", charter.hash());
            self.audit("node", "endorse-sibling", subject, None);
        }
        Ok(())
    }

    /// Puts a proposal in force if enough have signed it, and keeps it otherwise.
    fn advance(
        &mut self,
        charters: &CharterChain,
        mut charter: SignedCharter,
    ) -> Result<local::ProposalReply, ExchangeError> {
        let other_sides = charters.siblings().map(SignedCharter::charter);
        let parents: Vec<_> = [charters.charter()].into_iter().chain(other_sides).collect();
        charter.prune(&parents);
        let proposal = Proposal {
            community: *charters.community(),
            charter,
        };
        let view = view(charters, &proposal);
        let in_force = view.valid >= view.needed;
        if in_force {
            self.put_in_force(charters, proposal.charter.clone())?;
        } else {
            self.keep_proposal(proposal.clone());
        }
        Ok(local::ProposalReply {
            file: proposal.write(),
            proposal: view,
            in_force,
        })
    }

    fn put_in_force(&mut self, charters: &CharterChain, charter: SignedCharter) -> Result<(), ExchangeError> {
        let (version, bytes) = (charter.charter().version, charter.encode());
        let mut changed = charters.clone();
        match changed.offer(charter).map_err(invalid)? {
            Offered::Adopted => {}
            Offered::Known | Offered::Sibling => return Err(invalid(CharterError::ForkOpen)),
        }
        // Whoever joins has to read the chain in one piece.
        chain::check_length(&changed.encode()).map_err(invalid)?;
        self.log_charter(&changed, version, bytes);
        self.adopt(changed);
        Ok(())
    }

    /// Stands under new charters, and forgets proposals that have passed.
    pub(super) fn adopt(&mut self, charters: CharterChain) {
        let version = charters.charter().version;
        let passed = self
            .proposals
            .iter()
            .filter(|(_, held)| held.charter.charter().version <= version);
        for slot in passed.map(|(slot, _)| *slot).collect::<Vec<_>>() {
            self.proposals.remove(&slot);
            self.keep(&slot_name(slot), Vec::new());
        }
        self.stand_under(charters);
    }

    fn keep_proposal(&mut self, proposal: Proposal) {
        let hash = proposal.charter.hash();
        let same = self
            .proposals
            .iter()
            .find(|(_, held)| held.charter.hash() == hash);
        let same = same.map(|(slot, _)| *slot);
        let free = || (0..MOST).find(|slot| !self.proposals.contains_key(slot));
        let oldest = || {
            let mut held = self.proposals.iter();
            let first = held.next()?;
            let oldest = held.fold(first, |a, b| {
                if b.1.charter.charter().issued < a.1.charter.charter().issued {
                    b
                } else {
                    a
                }
            });
            Some(*oldest.0)
        };
        let slot = same.or_else(free).or_else(oldest).unwrap_or_default();
        self.keep(&slot_name(slot), proposal.charter.encode());
        self.proposals.insert(slot, proposal);
        self.stand_anew();
    }

    /// The charter that follows the one in force, changed; and what is done by it.
    fn changed(
        &self,
        charters: &CharterChain,
        change: local::Change,
    ) -> Result<(hanse_protocol::charter::Charter, changes::Deed), ExchangeError> {
        self.apply(charters, successor(charters), change)
    }
}

/// A proposal as an operator sees it.
pub(crate) fn view(charters: &CharterChain, proposal: &Proposal) -> local::ProposalView {
    let charter = &proposal.charter;
    let endorsed = charter.endorsed(charters.charter());
    local::ProposalView {
        version: charter.charter().version,
        hash: charter.hash().to_string(),
        fingerprint: proposal.fingerprint().to_string(),
        issued: charter.charter().issued,
        changes: changes::told(charters, charter.charter()),
        endorsed: endorsed.stewards,
        recovery: endorsed.recovery,
        valid: endorsed.valid,
        needed: endorsed.needed,
    }
}

/// The note that holds a proposal.
fn slot_name(slot: usize) -> String {
    format!("proposal-{slot}")
}
