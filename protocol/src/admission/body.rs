//! The upper rungs of the ladder, from where a header has its body beside it: whole, opened or opaque, sound.

use std::sync::Arc;

use super::{Admitted, Verified};
use crate::charter::CharterChain;
use crate::compress::{CompressError, Packed};
use crate::content::Content;
use crate::forwarded::{Forwarded, Provenance};
use crate::identity::keys::{SealingKey, SealingPublic};
use crate::identity::{CommunityId, RecordId};
use crate::limits;
use crate::receipt::Told;
use crate::record::{BodyHash, Header, Kind};
use crate::refusal::Refusal;
use crate::seal::{Binding, Body};
use crate::stix::Object;
use crate::tlp::Tlp;

/// The same before it is decompressed.
type Unlocked = Option<(Packed, bool)>;

/// Content that was unpacked.
#[derive(Clone, Debug)]
struct Plain {
    content: Vec<u8>,
    /// Bytes that were unpacked for it.
    cost: usize,
    sealed: bool,
    /// Of a forwarded record: where it came from.
    provenance: Option<Arc<Provenance>>,
}

/// Content; `None` if it is not ours to read.
type Unpacked = Option<Plain>;

impl Verified {
    /// Opens the body that came along, before it is known whether the header is admitted: what
    /// [`Whole::open`] then need not do. `None` if it is not the body the header names, or if there is
    /// no `room` for as many bytes as its content has.
    pub fn unseal(
        &self,
        body: &[u8],
        reader: &Reader,
        charters: &CharterChain,
        room: impl FnMut(usize) -> bool,
    ) -> Option<Unsealed> {
        let header = &self.signed.header;
        if body.len() > limits::BODY || BodyHash::of(body) != header.body_hash {
            return None;
        }
        let content = match unpack_within(unseal(header, body, reader, charters), header, charters, room) {
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

impl Admitted {
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
}

/// What opening a body gave, ahead of its header's admission.
#[derive(Clone, Debug)]
pub struct Unsealed {
    id: RecordId,
    /// The author's keys that it was opened against.
    author: Vec<SealingPublic>,
    content: Result<Unpacked, Refusal>,
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
        mut room: impl FnMut(usize) -> bool,
    ) -> Result<Reading, (Box<Self>, Refusal)> {
        // One id names one body hash, and both bodies have that hash.
        let header = &self.admitted.header;
        let fits =
            |found: &Unsealed| found.id == self.admitted.id && found.author == author_keys(charters, header);
        let content = match ahead.filter(fits).map(|found| found.content) {
            Some(Ok(Some(found))) => {
                let within = room(found.cost);
                within.then_some(Some(found)).ok_or(Refusal::OverBudget)
            }
            Some(nothing) => nothing,
            None => {
                let unlocked = unseal(header, &self.body, reader, charters);
                unpack_within(unlocked, header, charters, room)
            }
        };
        self.opened(content)
    }

    fn opened(self, content: Result<Unpacked, Refusal>) -> Result<Reading, (Box<Self>, Refusal)> {
        match content {
            Ok(Some(found)) => Ok(Reading::Opened(Opened {
                admitted: self.admitted,
                body: self.body,
                content: found.content,
                cost: found.cost,
                sealed: found.sealed,
                provenance: found.provenance,
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

/// Unpacks what was opened, if there is room for as many bytes as it declares. Of a forwarded record what
/// it holds is checked and unpacked, too.
fn unpack_within(
    unlocked: Result<Unlocked, Refusal>,
    header: &Header,
    charters: &CharterChain,
    mut room: impl FnMut(usize) -> bool,
) -> Result<Unpacked, Refusal> {
    let Some((packed, sealed)) = unlocked? else {
        return Ok(None);
    };
    let content = unpack(&packed, &mut room)?;
    let cost = content.len();
    if header.kind != Kind::Forwarded {
        return Ok(Some(Plain {
            content,
            cost,
            sealed,
            provenance: None,
        }));
    }
    let (provenance, packed) = Forwarded::decode(&content)?.check(charters.community(), header)?;
    let content = unpack(&packed, &mut room)?;
    Ok(Some(Plain {
        cost: cost.saturating_add(content.len()),
        content,
        sealed,
        provenance: Some(Arc::new(provenance)),
    }))
}

fn unpack(packed: &Packed, room: &mut impl FnMut(usize) -> bool) -> Result<Vec<u8>, Refusal> {
    // What declares more than content may have is refused without being unpacked.
    let declared = usize::try_from(packed.raw_len).unwrap_or(usize::MAX);
    if declared <= limits::CONTENT && !room(declared) {
        return Err(Refusal::OverBudget);
    }
    packed.unpack().map_err(|error| match error {
        CompressError::UnknownDictionary(_) => Refusal::UnknownDictionary,
        _ => Refusal::BodyMalformed,
    })
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
    cost: usize,
    sealed: bool,
    provenance: Option<Arc<Provenance>>,
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

    /// What a receipt says became of records. It must have been sealed: what became of a record is its
    /// author's to know.
    ///
    /// # Errors
    /// [`Refusal::Content`].
    pub fn receipts(&self) -> Result<Vec<Told>, Refusal> {
        if !self.sealed {
            return Err(Refusal::Content);
        }
        crate::receipt::decode(&self.content).map_err(|_| Refusal::Content)
    }

    /// Bytes that were unpacked for the content.
    pub fn content_bytes(&self) -> usize {
        self.cost
    }

    /// Of a forwarded record: where it came from. The objects are those of its author there, whose
    /// signature was verified.
    pub fn provenance(&self) -> Option<&Provenance> {
        self.provenance.as_deref()
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
        // What is passed on came in the open at its origin, however it came here.
        Sound::read(&self.content, !self.sealed || self.provenance.is_some())
    }

    /// The objects at these places with their markings, without a look at the others: for a record
    /// that was found sound before. Places without an object are left out.
    ///
    /// # Errors
    /// [`Refusal::Content`], [`Refusal::Object`].
    pub fn objects_at(&self, places: &[usize]) -> Result<Vec<Placed<'_>>, Refusal> {
        let content = Content::read(&self.content).map_err(|_| Refusal::Content)?;
        let found = places.iter().filter_map(|place| {
            let raw = content.objects.get(*place)?;
            Some((*place, *raw))
        });
        let marked = found.map(|(index, raw)| {
            let object = Object::parse(raw).map_err(|reason| Refusal::Object { index, reason })?;
            Ok(Placed {
                tlp: object.tlp(content.unmarked, content.floor),
                redacted: content.redacted_at(index),
                object,
            })
        });
        marked.collect()
    }
}

/// One object of a body, and what its envelope says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed<'a> {
    /// The object.
    pub object: Object<'a>,
    /// How freely it may be shared.
    pub tlp: Tlp,
    /// How much was struck out of it before it was signed; zero as issued.
    pub redacted: u16,
}

impl<'a> Sound<'a> {
    /// Checks the objects of a content, that came in the open or did not.
    ///
    /// # Errors
    /// Those of [`Opened::sound`].
    pub fn read(content: &'a [u8], open: bool) -> Result<Self, Refusal> {
        let content = Content::read(content).map_err(|_| Refusal::Content)?;
        let mut objects = Vec::with_capacity(content.objects.len());
        let mut values = limits::JSON_VALUES;
        for (index, raw) in content.objects.iter().enumerate() {
            let object =
                Object::parse_within(raw, &mut values).map_err(|reason| Refusal::Object { index, reason })?;
            let tlp = object.tlp(content.unmarked, content.floor);
            if open && !tlp.openly() {
                return Err(Refusal::OpenBeyondFloor(tlp));
            }
            objects.push(object);
        }
        Ok(Self { content, objects })
    }
}

/// Objects that may be believed to be what their author said.
pub struct Sound<'a> {
    /// The envelope they came in.
    pub content: Content<'a>,
    /// The objects, in the author's order.
    pub objects: Vec<Object<'a>>,
}
