//! The ladder that takes bytes to belief. Each rung consumes one type and yields the next, and only
//! the check can make it: `Signed` (the bytes are a header) → `Admitted` (its author may say it,
//! so it may travel) → `Opened` or `Opaque` (read, or sealed for others) → `Sound` (STIX).

use std::time::Duration;

use crate::charter::{CharterChain, Member};
use crate::identity::keys::VerifyingKey;
use crate::identity::{CommunityId, KeyId, RecordId};
use crate::limits;
use crate::record::cose::{self, CoseError, Sign1};
use crate::record::{self, Header};
use crate::refusal::Refusal;
use crate::timestamp::Timestamp;

mod body;

pub use body::{Opened, Placed, Reader, Reading, Sound, Unsealed, Whole, WrongBody, binding};

/// A header in its one spelling, with its id. Nothing is verified yet: nothing may be remembered
/// of it.
#[derive(Clone, Debug)]
pub struct Signed {
    bytes: Vec<u8>,
    parts: Sign1,
    header: Header,
    id: RecordId,
}

impl Signed {
    /// Reads a header.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::Malformed`], [`Refusal::Unprotected`],
    /// [`Refusal::Algorithm`], [`Refusal::NotDeterministic`], [`Refusal::UnknownLayout`].
    pub fn decode(bytes: &[u8], community: &CommunityId) -> Result<Self, Refusal> {
        if bytes.len() > limits::HEADER {
            return Err(Refusal::TooLarge);
        }
        let parts = cose::parse(bytes).map_err(|error| match error {
            CoseError::Malformed => Refusal::Malformed,
            CoseError::Unprotected => Refusal::Unprotected,
            CoseError::Algorithm => Refusal::Algorithm,
            CoseError::NotDeterministic => Refusal::NotDeterministic,
            CoseError::UnknownLayout(_) => Refusal::UnknownLayout,
        })?;
        let header: Header = minicbor::decode(&parts.payload).map_err(|_| Refusal::Malformed)?;
        if minicbor::to_vec(&header).ok().as_ref() != Some(&parts.payload) {
            return Err(Refusal::NotDeterministic);
        }
        let id = record::id(community, &parts.protected, &parts.payload);
        Ok(Self {
            bytes: bytes.to_vec(),
            parts,
            header,
            id,
        })
    }

    /// The record's id. It says nothing of the signature.
    pub fn id(&self) -> &RecordId {
        &self.id
    }

    /// What the header claims.
    pub fn claims(&self) -> &Header {
        &self.header
    }

    /// The key it claims to be signed with.
    pub fn key(&self) -> KeyId {
        self.parts.key
    }

    /// Whether the signature is this key's, over what it is bound to. What a charter says is not asked.
    pub(crate) fn is_by(&self, external: &[u8], key: &VerifyingKey) -> bool {
        self.parts.verifies(external, key)
    }

    /// Asks whether the author may say this, now and in this way. What was verified before need
    /// not come here again, but only if its *bytes* are the same: an id alone proves nothing.
    ///
    /// # Errors
    /// The first [`Refusal`] in the order charter, author, signature, endings, chain, dates; no
    /// permanent one is given before the signature verified but those that are the courier's fault.
    pub fn admit(self, charters: &CharterChain, arrival: Arrival) -> Result<Admitted, Refusal> {
        self.verify(charters)?.admit(charters, arrival)
    }

    /// The part of [`Signed::admit`] that costs time and needs to know of no other record, so that it
    /// can be done beside the one thread that decides.
    ///
    /// # Errors
    /// The first [`Refusal`] in the order charter, author, signature.
    pub fn verify(self, charters: &CharterChain) -> Result<Verified, Refusal> {
        let key = self.key_under(charters)?;
        if !self.parts.verifies(&record::external(charters.community()), &key) {
            return Err(Refusal::Signature);
        }
        Ok(Verified {
            signed: self,
            key,
            community: *charters.community(),
        })
    }

    /// The key that the charter named has for this header.
    fn key_under(&self, charters: &CharterChain) -> Result<VerifyingKey, Refusal> {
        let named = charters
            .find(&self.header.charter)
            .ok_or(Refusal::UnknownCharter)?;
        let author = named
            .charter()
            .member(&self.header.author)
            .ok_or(Refusal::UnknownAuthor)?;
        self.key_of(author)
    }

    /// What follows once the signature is known to be the key's.
    fn admit_verified(
        self,
        key: VerifyingKey,
        charters: &CharterChain,
        arrival: Arrival,
    ) -> Result<Admitted, Refusal> {
        let newest = charters.charter();
        let named = charters
            .find(&self.header.charter)
            .ok_or(Refusal::UnknownCharter)?;
        // The named charter may be the other side of a fork: what only that side admitted waits until
        // the sides are joined.
        let author = newest
            .member(&self.header.author)
            .ok_or(Refusal::UnknownCharter)?;
        let Header { lane, epoch, seq, .. } = self.header;
        if author.lane(lane).is_none() || author.signing.iter().all(|signing| signing.key != key) {
            return Err(Refusal::UnknownCharter);
        }
        if !author.accepts(&key, lane, epoch, seq, &self.id) {
            return Err(Refusal::Ended);
        }
        // Between the first and the last of a run only the date tells what was signed afterwards.
        let ended = charters.ended_at(&self.header.author, lane, self.parts.key);
        if ended.is_some_and(|ended| self.header.created > ended.after(limits::SKEW)) {
            return Err(Refusal::Ended);
        }
        self.check_chain()?;
        // It is signed under the horizon of the charter it names; the newest decides what is compared. So
        // a shorter horizon keeps nobody from what was rightly said before.
        let horizons = (named.charter().horizon(), newest.horizon());
        self.check_dates(author, horizons, arrival)?;
        Ok(Admitted {
            bytes: self.bytes,
            header: self.header,
            id: self.id,
            key: self.parts.key,
        })
    }

    fn key_of(&self, author: &Member) -> Result<VerifyingKey, Refusal> {
        author.lane(self.header.lane).ok_or(Refusal::UnknownAuthor)?;
        let known = author
            .signing
            .iter()
            .find(|signing| signing.key.id() == self.parts.key);
        known.map(|signing| signing.key).ok_or(Refusal::UnknownAuthor)
    }

    fn check_chain(&self) -> Result<(), Refusal> {
        let header = &self.header;
        // A first record of a first epoch follows nothing; every other names what it follows.
        let first = header.seq == 1 && header.prev.is_none();
        let later = header.prev.is_some() && (header.seq > 1 || header.epoch > 0);
        if header.seq == 0 || !(first || later) {
            return Err(Refusal::Chain);
        }
        Ok(())
    }

    fn check_dates(
        &self,
        author: &Member,
        (signed_under, compared): (Duration, Duration),
        arrival: Arrival,
    ) -> Result<(), Refusal> {
        let Header { created, expires, .. } = self.header;
        if created < author.admitted {
            return Err(Refusal::BeforeAdmission);
        }
        if expires <= created || expires > created.after(signed_under) {
            return Err(Refusal::Expiry);
        }
        // Until the horizon has passed members compare what has expired, too: what is in that set must
        // not hang on when somebody came.
        let healing = arrival.by == By::Healing && created.after(compared) > arrival.now;
        if expires <= arrival.now && !healing {
            return Err(Refusal::Expired);
        }
        if created > arrival.now.after(limits::SKEW) {
            return Err(Refusal::FutureDated);
        }
        if arrival.by == By::Gossip && created < arrival.now.before(limits::GOSSIP_AGE) {
            return Err(Refusal::Stale);
        }
        Ok(())
    }
}

/// When and how a record came.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Our clock.
    pub now: Timestamp,
    /// By which way.
    pub by: By,
}

/// By which way a record came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// We wrote it.
    Own,
    /// It was told while new.
    Gossip,
    /// We asked for what we missed, or read it from a file. Of a record whose time has passed the header
    /// is admitted, as long as the charter's horizon lets one live; its body is not to be kept.
    Healing,
}

/// A header that one key signed. Whether its author may say it, now, is still to be asked.
#[derive(Clone, Debug)]
pub struct Verified {
    signed: Signed,
    key: VerifyingKey,
    community: CommunityId,
}

impl Verified {
    /// The record's id.
    pub fn id(&self) -> &RecordId {
        &self.signed.id
    }

    /// What the header claims.
    pub fn claims(&self) -> &Header {
        &self.signed.header
    }

    /// As [`Signed::admit`], without verifying a second time. Charters that came since it was verified
    /// count: if they have another key for it, that one must have signed.
    ///
    /// # Errors
    /// Those of [`Signed::admit`].
    pub fn admit(self, charters: &CharterChain, arrival: Arrival) -> Result<Admitted, Refusal> {
        let same = self.signed.key_under(charters)? == self.key && self.community == *charters.community();
        if !same {
            return self.signed.admit(charters, arrival);
        }
        self.signed.admit_verified(self.key, charters, arrival)
    }
}

/// A header whose author may say it: it may travel. Its body is checked apart.
#[derive(Clone, Debug)]
pub struct Admitted {
    bytes: Vec<u8>,
    header: Header,
    id: RecordId,
    key: KeyId,
}

impl Admitted {
    /// The record's id.
    pub fn id(&self) -> &RecordId {
        &self.id
    }

    /// What the author signed.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The key it was signed with.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// The header as it travels.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes up again a header that this node admitted before, from its own log.
    ///
    /// # Errors
    /// [`Refusal`] if the bytes are no header.
    pub fn from_log(bytes: &[u8], community: &CommunityId) -> Result<Self, Refusal> {
        let Signed {
            bytes,
            parts,
            header,
            id,
        } = Signed::decode(bytes, community)?;
        let key = parts.key;
        Ok(Self {
            bytes,
            header,
            id,
            key,
        })
    }
}

#[cfg(test)]
mod tests;
