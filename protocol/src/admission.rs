//! The ladder that takes bytes to belief. Each rung consumes one type and yields the next, and only
//! the check can make it: `Signed` (the bytes are a header) → `Admitted` (its author may say it,
//! so it may travel) → `Opened` or `Opaque` (read, or sealed for others) → `Sound` (STIX).

use std::time::Duration;

use crate::charter::{CharterChain, Member};
use crate::compress::{CompressError, Packed};
use crate::content::Content;
use crate::identity::keys::{SealingKey, SealingPublic, VerifyingKey};
use crate::identity::{CommunityId, KeyId, RecordId};
use crate::limits;
use crate::record::cose::{self, CoseError, Sign1};
use crate::record::{self, BodyHash, Header, Kind};
use crate::refusal::Refusal;
use crate::seal::{Binding, Body};
use crate::stix::Object;
use crate::timestamp::Timestamp;
use crate::tlp::Tlp;

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

    /// Opens the body that came along, before it is known whether the header is admitted: what
    /// [`Whole::open`] then need not do. `None` if it is not the body the header names, or if there is
    /// no `room` for as many bytes as its content has.
    pub fn unseal(
        &self,
        body: &[u8],
        reader: &Reader,
        charters: &CharterChain,
        room: impl FnOnce(usize) -> bool,
    ) -> Option<Unsealed> {
        let header = &self.signed.header;
        if body.len() > limits::BODY || BodyHash::of(body) != header.body_hash {
            return None;
        }
        let content = match unpack_within(unseal(header, body, reader, charters), room) {
            Err(Refusal::OverBudget) => return None,
            content => content,
        };
        Some(Unsealed {
            id: self.signed.id,
            author: author_keys(charters, header),
            content,
        })
    }
}

/// What opening a body gave, ahead of its header's admission.
#[derive(Clone, Debug)]
pub struct Unsealed {
    id: RecordId,
    /// The author's keys that it was opened against.
    author: Vec<SealingPublic>,
    content: Result<Unpacked, Refusal>,
}

/// Content and whether it was sealed; `None` if it is not ours to read.
type Unpacked = Option<(Vec<u8>, bool)>;

/// The same before it is decompressed.
type Unlocked = Option<(Packed, bool)>;

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

    /// Checks a body's length and hash, readable or not. A mismatch is the courier's fault and is
    /// never remembered against the id.
    ///
    /// # Errors
    /// [`WrongBody`] with [`Refusal::TooLarge`] or [`Refusal::BodyHash`].
    pub fn with_body(self, body: Vec<u8>) -> Result<Whole, Box<WrongBody>> {
        if body.len() > limits::BODY {
            return Err(Box::new(WrongBody {
                admitted: self,
                refusal: Refusal::TooLarge,
            }));
        }
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        if length != self.header.body_length || BodyHash::of(&body) != self.header.body_hash {
            return Err(Box::new(WrongBody {
                admitted: self,
                refusal: Refusal::BodyHash,
            }));
        }
        Ok(Whole { admitted: self, body })
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

/// A body that is not the one its header names. The header stays admitted.
#[derive(Clone, Debug)]
pub struct WrongBody {
    /// The header.
    pub admitted: Admitted,
    /// What is wrong with the body.
    pub refusal: Refusal,
}

/// An admitted header with the very body it names.
#[derive(Clone, Debug)]
pub struct Whole {
    admitted: Admitted,
    body: Vec<u8>,
}

/// What a reader can make of a record.
#[derive(Clone, Debug)]
pub enum Reading {
    /// It is ours to read.
    Opened(Opened),
    /// It is sealed for others, or of a kind of a later version: kept, so that the mesh heals.
    Opaque(Whole),
}

/// Who reads: the secret keys of the member this node belongs to.
pub struct Reader {
    /// Its sealing keys, the newest and older ones.
    pub sealing: Vec<SealingKey>,
}

impl Whole {
    /// The header.
    pub fn admitted(&self) -> &Admitted {
        &self.admitted
    }

    /// The body as it travels.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Gives header and body back.
    pub fn into_parts(self) -> (Admitted, Vec<u8>) {
        (self.admitted, self.body)
    }

    /// Opens the body, if it is open or sealed to `reader`.
    ///
    /// # Errors
    /// A [`Refusal`] that is the author's fault, or deferred.
    pub fn open(self, reader: &Reader, charters: &CharterChain) -> Result<Reading, (Box<Self>, Refusal)> {
        self.open_within(None, reader, charters, |_| true)
    }

    /// As [`Whole::open`], if there is `room` for as many bytes as the content has: it is asked before
    /// the content is unpacked or read. What was found ahead is taken over, if it is of this very record
    /// and the author's keys are still those it was opened against.
    ///
    /// # Errors
    /// Those of [`Whole::open`], and [`Refusal::OverBudget`] if there is no room.
    pub fn open_within(
        self,
        ahead: Option<Unsealed>,
        reader: &Reader,
        charters: &CharterChain,
        room: impl FnOnce(usize) -> bool,
    ) -> Result<Reading, (Box<Self>, Refusal)> {
        // One id names one body hash, and both bodies have that hash.
        let header = &self.admitted.header;
        let fits =
            |found: &Unsealed| found.id == self.admitted.id && found.author == author_keys(charters, header);
        let content = match ahead.filter(fits).map(|found| found.content) {
            Some(Ok(Some((content, sealed)))) => {
                let within = room(content.len());
                within
                    .then_some(Some((content, sealed)))
                    .ok_or(Refusal::OverBudget)
            }
            Some(nothing) => nothing,
            None => unpack_within(unseal(header, &self.body, reader, charters), room),
        };
        self.opened(content)
    }

    fn opened(self, content: Result<Unpacked, Refusal>) -> Result<Reading, (Box<Self>, Refusal)> {
        match content {
            Ok(Some((content, sealed))) => Ok(Reading::Opened(Opened {
                admitted: self.admitted,
                body: self.body,
                content,
                sealed,
            })),
            Ok(None) => Ok(Reading::Opaque(self)),
            Err(refusal) => Err((Box::new(self), refusal)),
        }
    }
}

/// Opens a body, if it is open or sealed to `reader`.
fn unseal(
    header: &Header,
    body: &[u8],
    reader: &Reader,
    charters: &CharterChain,
) -> Result<Unlocked, Refusal> {
    if matches!(header.kind, Kind::Unknown(_)) {
        return Ok(None);
    }
    match Body::decode(body)? {
        Body::Open(packed) => Ok(Some((packed, false))),
        Body::Sealed(sealed) => {
            let author = author_keys(charters, header);
            let packed = sealed.open(&reader.sealing, &author, &binding(charters.community(), header))?;
            Ok(packed.map(|packed| (packed, true)))
        }
    }
}

/// Unpacks what was opened, if there is room for as many bytes as it declares.
fn unpack_within(
    unlocked: Result<Unlocked, Refusal>,
    room: impl FnOnce(usize) -> bool,
) -> Result<Unpacked, Refusal> {
    let Some((packed, sealed)) = unlocked? else {
        return Ok(None);
    };
    // What declares more than content may have is refused without being unpacked.
    let declared = usize::try_from(packed.raw_len).unwrap_or(usize::MAX);
    if declared <= limits::CONTENT && !room(declared) {
        return Err(Refusal::OverBudget);
    }
    let content = packed.unpack().map_err(|error| match error {
        CompressError::UnknownDictionary(_) => Refusal::UnknownDictionary,
        _ => Refusal::BodyMalformed,
    })?;
    Ok(Some((content, sealed)))
}

fn author_keys(charters: &CharterChain, header: &Header) -> Vec<SealingPublic> {
    let author = charters.charter().member(&header.author);
    let sealing = author.into_iter().flat_map(|author| &author.sealing);
    sealing
        .filter_map(|sealing| sealing.key.x25519().copied())
        .collect()
}

/// What a header's body is bound to.
pub fn binding<'a>(community: &'a CommunityId, header: &'a Header) -> Binding<'a> {
    Binding {
        community,
        author: &header.author,
        kind: header.kind,
        created: header.created,
        expires: header.expires,
        replaces: header.replaces.as_ref(),
    }
}

/// A record whose content we may read. Nothing is known of the content's form.
#[derive(Clone)]
pub struct Opened {
    admitted: Admitted,
    body: Vec<u8>,
    content: Vec<u8>,
    sealed: bool,
}

impl std::fmt::Debug for Opened {
    /// Names the record, never its content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened")
            .field("id", &self.admitted.id)
            .field("sealed", &self.sealed)
            .finish()
    }
}

impl Opened {
    /// The header.
    pub fn admitted(&self) -> &Admitted {
        &self.admitted
    }

    /// The body as it travels.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The records that a retraction takes back, beside the one its header names.
    ///
    /// # Errors
    /// [`Refusal::Content`].
    pub fn retracted(&self) -> Result<Vec<RecordId>, Refusal> {
        crate::retraction::decode(&self.content).map_err(|_| Refusal::Content)
    }

    /// Size of the content, bytes.
    pub fn content_bytes(&self) -> usize {
        self.content.len()
    }

    /// Whether it was sealed.
    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Gives header and body back.
    pub fn into_parts(self) -> (Admitted, Vec<u8>) {
        (self.admitted, self.body)
    }

    /// Checks the objects: the rules of STIX, the bounds, and that nothing came in the open whose
    /// marking forbids it.
    ///
    /// # Errors
    /// [`Refusal::Content`], [`Refusal::Object`], [`Refusal::OpenBeyondFloor`].
    pub fn sound(&self) -> Result<Sound<'_>, Refusal> {
        let content = Content::read(&self.content).map_err(|_| Refusal::Content)?;
        let mut objects = Vec::with_capacity(content.objects.len());
        let mut values = limits::JSON_VALUES;
        for (index, raw) in content.objects.iter().enumerate() {
            let object =
                Object::parse_within(raw, &mut values).map_err(|reason| Refusal::Object { index, reason })?;
            let tlp = object.tlp(content.unmarked, content.floor);
            if !self.sealed && !tlp.openly() {
                return Err(Refusal::OpenBeyondFloor(tlp));
            }
            objects.push(object);
        }
        Ok(Sound { content, objects })
    }

    /// The objects at these places with their markings, without a look at the others: for a record
    /// that was found sound before. Places without an object are left out.
    ///
    /// # Errors
    /// [`Refusal::Content`], [`Refusal::Object`].
    pub fn objects_at(&self, places: &[usize]) -> Result<Vec<(Tlp, &str)>, Refusal> {
        let content = Content::read(&self.content).map_err(|_| Refusal::Content)?;
        let found = places.iter().filter_map(|place| {
            let raw = content.objects.get(*place)?;
            Some((*place, *raw))
        });
        let marked = found.map(|(index, raw)| {
            let object = Object::parse(raw).map_err(|reason| Refusal::Object { index, reason })?;
            Ok((object.tlp(content.unmarked, content.floor), raw))
        });
        marked.collect()
    }
}

/// Objects that may be believed to be what their author said.
pub struct Sound<'a> {
    /// The envelope they came in.
    pub content: Content<'a>,
    /// The objects, in the author's order.
    pub objects: Vec<Object<'a>>,
}

#[cfg(test)]
mod tests;
