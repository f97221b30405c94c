//! The journey out: objects are checked, ruled on, grouped by audience, packed, sealed if narrower
//! than the community, chained, signed, and join the commit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hanse_protocol::admission::{self, Arrival, By};
use hanse_protocol::audience::Audience;
use hanse_protocol::charter::CharterChain;
use hanse_protocol::compress;
use hanse_protocol::content::Content;
use hanse_protocol::identity::keys::SealingPublic;
use hanse_protocol::identity::{Handle, RecordId};
use hanse_protocol::limits;
use hanse_protocol::local::{self, All, Published, Readers, RefusedObject};
use hanse_protocol::record::{BodyHash, Header, Kind};
use hanse_protocol::seal::{self, Binding, Body};
use hanse_protocol::stix::Object;
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;

use super::worker::Worker;
use super::{Actor, ExchangeError, Reply, derive, named_readers};
use crate::clock;
use crate::policy::{self, Ruling};
use crate::store::entry::{BodyState, Entry, Origin, Position, RecordEntry};
use crate::store::facts::{ObjectFacts, RecordFacts};

/// Most objects of one record that this node writes.
const RECORD_OBJECTS: usize = 200;

/// Size at which a record is closed, bytes of objects: small objects share a signature, large ones
/// go nearly alone.
const RECORD_BYTES: usize = 512 << 10;

/// How much longer than its trial a header may be, bytes: the predecessor that a first one lacks, and
/// larger numbers.
const HEADER_GROWTH: usize = 48;

/// What holds for all records of one publish.
pub(super) struct Terms {
    lane: u16,
    pub(super) created: Timestamp,
    pub(super) expires: Timestamp,
    unmarked: Tlp,
    floor: Tlp,
    to: Option<BTreeSet<Handle>>,
}

/// Objects that will share a record.
#[derive(Default)]
struct Draft<'a> {
    objects: Vec<&'a str>,
    facts: Vec<ObjectFacts>,
    bytes: usize,
    values: usize,
}

/// A record but for its place in the chain.
struct Ready<'a> {
    ruling: Ruling,
    audience: Audience,
    draft: Draft<'a>,
    body: Vec<u8>,
    /// Bytes of the content in it.
    content: usize,
}

/// A record that joined the commit: its entry's place in the batch, and what the caller is told.
struct Joined {
    entry: usize,
    id: RecordId,
    objects: usize,
    readers: Readers,
}

impl Joined {
    fn published(self, positions: &[Position]) -> Published {
        let Self {
            entry,
            id,
            objects,
            readers,
        } = self;
        let position = positions.get(entry).map_or(0, |position| position.0);
        Published {
            id,
            position,
            objects,
            readers,
        }
    }
}

impl Terms {
    /// When a record is made.
    pub(super) fn created(&self) -> Timestamp {
        self.created
    }

    /// Has it expire no later than this.
    pub(super) fn expiring(self, at_latest: Timestamp) -> Self {
        Self {
            expires: self.expires.min(at_latest),
            ..self
        }
    }
}

impl Worker {
    /// Publishes objects; the reply goes out after the commit.
    pub(super) fn publish(
        &mut self,
        actor: &Actor,
        request: local::PublishRequest,
        reply: Reply<local::PublishReply>,
    ) {
        match self.prepare(actor, request) {
            Ok((joined, refused)) => self.batch.answer(reply, move |positions| local::PublishReply {
                records: joined
                    .into_iter()
                    .map(|record| record.published(positions))
                    .collect(),
                refused,
                warnings: Vec::new(),
            }),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn prepare(
        &mut self,
        actor: &Actor,
        request: local::PublishRequest,
    ) -> Result<(Vec<Joined>, Vec<RefusedObject>), ExchangeError> {
        let charters = self.charters.clone().ok_or(ExchangeError::NoCommunity)?;
        let terms = self.terms(&charters, &request)?;
        let objects: Vec<&str> = request.objects.iter().map(|raw| raw.get()).collect();
        let (drafts, refused) = self.draft(&charters, &terms, &objects);
        if drafts.is_empty()
            && let Some(freeze) = self.freeze(clock::now())
            && refused.iter().any(|object| object.reason == freeze.to_string())
        {
            return Err(ExchangeError::Frozen(freeze));
        }
        // All that can fail comes before the first record is chained: a publish that is refused
        // has sent nothing.
        let mut ready = Vec::new();
        for (ruling, drafts) in drafts {
            let Ruling::Send { audience, .. } = &ruling else {
                continue;
            };
            for draft in drafts {
                let (body, content) = self.body_for(&charters, &terms, audience, &draft)?;
                ready.push(Ready {
                    ruling: ruling.clone(),
                    audience: audience.clone(),
                    draft,
                    body,
                    content,
                });
            }
        }
        let bodies = ready.iter().map(|ready| ready.body.len());
        self.check_room(&charters, &terms, bodies)?;
        let contents = ready.iter().map(|ready| ready.content);
        self.fits_content(&charters.charter().budget, terms.created, contents)?;
        let joined = ready
            .into_iter()
            .map(|ready| self.issue(actor, &charters, &terms, ready));
        Ok((joined.collect(), refused))
    }

    fn terms(
        &self,
        charters: &CharterChain,
        request: &local::PublishRequest,
    ) -> Result<Terms, ExchangeError> {
        if request.objects.is_empty() {
            let reason = "there is no object to publish".to_owned();
            return Err(ExchangeError::Invalid(reason));
        }
        let charter = charters.charter();
        let plain = self.plain_terms(charters)?;
        Ok(Terms {
            expires: expiry(plain.created, request.expires, charter.horizon())?,
            unmarked: request.tlp.unwrap_or(charter.unmarked),
            floor: request.tlp.unwrap_or(Tlp::Clear),
            to: named_readers(request.to.clone(), charters)?,
            ..plain
        })
    }

    /// What holds for any record that is made now.
    pub(super) fn plain_terms(&self, charters: &CharterChain) -> Result<Terms, ExchangeError> {
        let ended = || {
            let reason = "this node's membership has ended; it can no longer publish";
            ExchangeError::Invalid(reason.to_owned())
        };
        let lane = self.own_lane().ok_or_else(ended)?;
        // What is dated wrongly is refused by the others, and spoils the dates of what follows it.
        if let Some(astray) = self.clocks.astray(clock::now(), std::time::Instant::now()) {
            return Err(ExchangeError::Clock(astray));
        }
        let charter = charters.charter();
        let admitted = charter
            .member(&self.member.profile.handle)
            .map(|member| member.admitted);
        // Dates rise along the chain whatever the clock does.
        let created = clock::now()
            .max(self.own.created)
            .max(admitted.unwrap_or_default());
        Ok(Terms {
            lane,
            created,
            expires: created.after(charter.horizon()),
            unmarked: charter.unmarked,
            floor: Tlp::Clear,
            to: None,
        })
    }

    /// Refuses what our peers would refuse, or what is over our own budget.
    pub(super) fn check_room(
        &self,
        charters: &CharterChain,
        terms: &Terms,
        bodies: impl Iterator<Item = usize>,
    ) -> Result<(), ExchangeError> {
        let header = self.check_next(charters, terms)?;
        self.fits_own_budget(
            &charters.charter().budget,
            terms.created,
            header + HEADER_GROWTH,
            bodies,
        )
    }

    /// Checks and rules on each object and puts those of one ruling together.
    fn draft<'a>(
        &self,
        charters: &CharterChain,
        terms: &Terms,
        objects: &[&'a str],
    ) -> (BTreeMap<Ruling, Vec<Draft<'a>>>, Vec<RefusedObject>) {
        let mut drafts: BTreeMap<Ruling, Vec<Draft<'a>>> = BTreeMap::new();
        let mut refused = Vec::new();
        let frozen = self.freeze(clock::now());
        for (index, raw) in objects.iter().enumerate() {
            let mut values = limits::JSON_VALUES;
            let object = match Object::parse_within(raw, &mut values) {
                Ok(object) => object,
                Err(error) => {
                    refused.push(RefusedObject {
                        index,
                        reason: error.to_string(),
                    });
                    continue;
                }
            };
            let tlp = object.tlp(terms.unmarked, terms.floor);
            let author = &self.member.profile.handle;
            match policy::rule(tlp, terms.to.as_ref(), author, charters.charter()) {
                Ruling::Hold { reason } => {
                    refused.push(RefusedObject {
                        index,
                        reason: reason.to_owned(),
                    });
                }
                Ruling::Send {
                    audience: Audience::Members(_),
                    ..
                } if let Some(freeze) = &frozen => refused.push(RefusedObject {
                    index,
                    reason: freeze.to_string(),
                }),
                ruling @ Ruling::Send { .. } => {
                    let facts = derive::object_facts(&object, tlp, terms.created);
                    let values = limits::JSON_VALUES - values;
                    Draft::add(drafts.entry(ruling).or_default(), raw, values, facts);
                }
            }
        }
        (drafts, refused)
    }

    /// Chains and signs a record and adds it to the commit.
    fn issue(&mut self, actor: &Actor, charters: &CharterChain, terms: &Terms, ready: Ready<'_>) -> Joined {
        let Ready {
            ruling,
            audience,
            draft,
            body,
            content,
        } = ready;
        let header = self.next_header(charters, terms, &body);
        let budget = &charters.charter().budget;
        let objects = draft.objects.len();
        let facts = RecordFacts {
            objects: draft.facts,
            ..derive::header_facts(&header)
        };
        self.afford(budget, &header, content);
        let (entry, id) = self.log_own(charters, header, body, facts);
        self.audit(&actor.0, "publish", id.to_string(), Some(ruling.hash()));
        Joined {
            entry,
            id,
            objects,
            readers: readers(&audience),
        }
    }

    /// Signs a record, adds it to the commit and to our chain; gives its entry's place in the batch.
    pub(super) fn log_own(
        &mut self,
        charters: &CharterChain,
        header: Header,
        body: Vec<u8>,
        facts: RecordFacts,
    ) -> (usize, RecordId) {
        let Signed { bytes, id } = self.sign(charters, &header);
        self.charge_own(&header, bytes.len());
        // Who heard of it in another frame than ours brings it back as news.
        self.recent.came(&id, None, std::time::Instant::now());
        self.own.seq = header.seq;
        self.own.last = Some(id);
        self.own.created = header.created;
        self.held
            .insert(&header.author, header.lane, header.epoch, header.seq);
        let entry = RecordEntry {
            community: *charters.community(),
            id,
            header: bytes,
            body: Some(body),
            arrived: clock::now(),
            origin: Origin::Own,
            state: BodyState::Readable,
        };
        let entry = self.batch.push(Entry::Record(entry), Some(facts));
        self.metrics.admitted(Origin::Own);
        (entry, id)
    }

    /// A body as it travels, and the bytes of the content in it.
    fn body_for(
        &self,
        charters: &CharterChain,
        terms: &Terms,
        audience: &Audience,
        draft: &Draft<'_>,
    ) -> Result<(Vec<u8>, usize), ExchangeError> {
        let content = Content::write(terms.unmarked, terms.floor, &draft.objects);
        let invalid = |error: &dyn std::fmt::Display| ExchangeError::Invalid(error.to_string());
        let packed = compress::pack(&content).map_err(|error| invalid(&error))?;
        let body = self.locked(charters, terms, Kind::Objects, audience, packed)?;
        Ok((body.encode(), content.len()))
    }

    /// A body in the open, or sealed to its readers.
    pub(super) fn locked(
        &self,
        charters: &CharterChain,
        terms: &Terms,
        kind: Kind,
        audience: &Audience,
        packed: compress::Packed,
    ) -> Result<Body, ExchangeError> {
        match audience {
            Audience::Community => Ok(Body::Open(packed)),
            Audience::Members(readers) => self.seal_to(charters, terms, kind, &packed, readers),
        }
    }

    /// A body sealed to these members, and to our own nodes.
    pub(super) fn seal_to(
        &self,
        charters: &CharterChain,
        terms: &Terms,
        kind: Kind,
        packed: &compress::Packed,
        readers: &BTreeSet<Handle>,
    ) -> Result<Body, ExchangeError> {
        let keys = sealing_keys(charters, &self.member.profile.handle, readers)?;
        let own = self.member.sealing_under(charters.charter());
        let own = own.ok_or(ExchangeError::NoCommunity)?;
        let binding = Binding {
            community: charters.community(),
            author: &self.member.profile.handle,
            kind,
            created: terms.created,
            expires: terms.expires,
            replaces: None,
        };
        let sealed = seal::seal(packed, &keys, own, &binding, &mut rand::rng());
        let sealed = sealed.map_err(|error| ExchangeError::Invalid(error.to_string()))?;
        Ok(Body::Sealed(sealed))
    }

    pub(super) fn next_header(&self, charters: &CharterChain, terms: &Terms, body: &[u8]) -> Header {
        Header {
            author: self.member.profile.handle.clone(),
            lane: terms.lane,
            charter: charters.newest().reference(),
            epoch: self.own.epoch,
            seq: self.own.seq + 1,
            prev: self.own.last,
            created: terms.created,
            expires: terms.expires,
            kind: Kind::Objects,
            replaces: None,
            body_length: u32::try_from(body.len()).unwrap_or(u32::MAX),
            body_hash: BodyHash::of(body),
        }
    }

    fn sign(&self, charters: &CharterChain, header: &Header) -> Signed {
        let key = self.member.signing_under(charters.charter());
        let bytes = header.sign(charters.community(), key);
        let id = header.id(charters.community(), &key.verifying_key());
        Signed { bytes, id }
    }

    /// What we sign goes through the door that everybody's records go through: what a peer would
    /// refuse is not sent. One trial header stands for all records of a publish, which differ in
    /// body and place only.
    /// Answers how many bytes the trial header has.
    fn check_next(&self, charters: &CharterChain, terms: &Terms) -> Result<usize, ExchangeError> {
        let refused = |refusal: hanse_protocol::refusal::Refusal| {
            ExchangeError::Invalid(format!("this node's own record would be refused: {refusal}"))
        };
        let Signed { bytes, id } = self.sign(charters, &self.next_header(charters, terms, &[]));
        let size = bytes.len();
        let signed = admission::Signed::decode(&bytes, charters.community()).map_err(refused)?;
        debug_assert_eq!(*signed.id(), id, "an id is what its readers make of it");
        let arrival = Arrival {
            now: clock::now(),
            by: By::Own,
        };
        signed.admit(charters, arrival).map_err(refused)?;
        Ok(size)
    }
}

/// A signed header with its id.
struct Signed {
    bytes: Vec<u8>,
    id: RecordId,
}

impl<'a> Draft<'a> {
    /// Adds an object to the last draft, or to a new one if that is full.
    fn add(drafts: &mut Vec<Self>, raw: &'a str, values: usize, facts: ObjectFacts) {
        let full = |draft: &Self| {
            draft.objects.len() >= RECORD_OBJECTS
                || draft.bytes + raw.len() > RECORD_BYTES
                || draft.values + values > limits::JSON_VALUES
        };
        if drafts.last().is_none_or(full) {
            drafts.push(Self::default());
        }
        if let Some(draft) = drafts.last_mut() {
            draft.objects.push(raw);
            draft.facts.push(facts);
            draft.bytes += raw.len();
            draft.values += values;
        }
    }
}

fn expiry(
    created: Timestamp,
    wanted: Option<Timestamp>,
    horizon: Duration,
) -> Result<Timestamp, ExchangeError> {
    let latest = created.after(horizon);
    match wanted {
        None => Ok(latest),
        Some(wanted) if wanted <= created => Err(ExchangeError::Invalid(format!(
            "`{wanted}` is no expiry: it has passed already"
        ))),
        Some(wanted) if wanted > latest => Err(ExchangeError::Invalid(format!(
            "`{wanted}` is no expiry: the community keeps records until {latest} at most"
        ))),
        Some(wanted) => Ok(wanted),
    }
}

fn sealing_keys(
    charters: &CharterChain,
    author: &Handle,
    readers: &BTreeSet<Handle>,
) -> Result<Vec<SealingPublic>, ExchangeError> {
    let mut keys = Vec::new();
    for handle in readers {
        let member = charters.charter().member(handle);
        let before = keys.len();
        keys.extend(member.into_iter().flat_map(|member| member.sealing_keys()));
        if keys.len() == before {
            return Err(ExchangeError::Invalid(format!(
                "`{handle}` has no key to seal to"
            )));
        }
    }
    // The author's other nodes read what this one says.
    let own = charters.charter().member(author);
    keys.extend(own.into_iter().flat_map(|member| member.sealing_keys()));
    Ok(keys)
}

fn readers(audience: &Audience) -> Readers {
    match audience {
        Audience::Community => Readers::Community(All::All),
        Audience::Members(members) => Readers::Members(members.iter().cloned().collect()),
    }
}
