//! The journey out: objects are checked, ruled on, cut for each audience, packed, sealed if narrower than the
//! community, chained, signed, and join the commit.

use std::collections::BTreeSet;
use std::time::Duration;

use hanse_protocol::admission::{self, Arrival, By};
use hanse_protocol::audience::Audience;
use hanse_protocol::charter::CharterChain;
use hanse_protocol::compress;
use hanse_protocol::identity::keys::SealingPublic;
use hanse_protocol::identity::{Handle, RecordId};
use hanse_protocol::local::{self, All, Published, Readers, RefusedObject};
use hanse_protocol::record::{BodyHash, Header, Kind};
use hanse_protocol::seal::{self, Binding, Body};
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;

use super::packing::Ready;
use super::worker::Worker;
use super::{Actor, ExchangeError, Reply, derive, elsewhere, named_readers};
use crate::clock;
use crate::policy::Policies;
use crate::sharing::handed::Handed;
use crate::sharing::papers::PublicationId;
use crate::sharing::plan::Plan;
use crate::sharing::token::{NoToken, Token};
use crate::sharing::{self, Rulebook};
use crate::store::entry::{BodyState, Drawer, Entry, Origin, PaperEntry, Position, RecordEntry};
use crate::store::facts::RecordFacts;

/// How much longer than its trial a header may be, bytes: the predecessor that a first one lacks, and
/// larger numbers.
const HEADER_GROWTH: usize = 48;

/// What holds for all records of one publish.
pub(super) struct Terms {
    lane: u16,
    pub(super) created: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) unmarked: Tlp,
    pub(super) floor: Tlp,
    pub(super) to: Option<BTreeSet<Handle>>,
}

/// What a publish came to, before the commit.
struct Issued {
    records: Vec<Joined>,
    refused: Vec<RefusedObject>,
    warnings: Vec<String>,
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
        match self.prepare(actor, &request) {
            Ok(issued) => self.batch.answer(reply, move |positions| local::PublishReply {
                records: issued
                    .records
                    .into_iter()
                    .map(|record| record.published(positions))
                    .collect(),
                refused: issued.refused,
                warnings: issued.warnings,
            }),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn prepare(&mut self, actor: &Actor, request: &local::PublishRequest) -> Result<Issued, ExchangeError> {
        let charters = self.charters.clone().ok_or(ExchangeError::NoCommunity)?;
        let terms = self.terms(&charters, request)?;
        let frozen = self.freeze(clock::now());
        let policies = self.accepting.now();
        let handed = Handed::read(request.objects.iter().map(|raw| raw.get()));
        let asked = sharing::Terms {
            own: &self.member.profile.handle,
            unmarked: terms.unmarked,
            floor: terms.floor,
            to: terms.to.as_ref(),
            now: terms.created,
            frozen,
        };
        let mut plan = self.plan(&policies, &charters, &asked, &handed);
        if let Some(token) = &request.preview {
            let previewed: Token = token
                .parse()
                .map_err(|error: NoToken| ExchangeError::Invalid(error.to_string()))?;
            let now = Token::of(request, &policies.hash(), &charters.newest().hash(), &plan);
            previewed.check(&now).map_err(ExchangeError::Preview)?;
        }
        let later = plan.hold_back();
        let refused = plan.refusals(&handed);
        if plan.variants.is_empty()
            && let Some(freeze) = frozen
            && refused.iter().any(|object| object.reason == freeze.to_string())
        {
            return Err(ExchangeError::Frozen(freeze));
        }
        // All that can fail comes before the first record is chained: a publish that is refused
        // has sent nothing.
        let ready = self.ready(&charters, &terms, &plan, &handed)?;
        let bodies = ready.iter().map(|ready| ready.body.len());
        self.check_room(&charters, &terms, bodies)?;
        let contents = ready.iter().map(|ready| ready.content);
        self.fits_content(&charters.charter().budget, terms.created, contents)?;
        let mut warnings = plan.warnings(terms.to.as_ref());
        warnings.extend(later);
        let publication = PublicationId(rand::random());
        self.file_policies(&policies);
        let records = ready
            .into_iter()
            .map(|ready| self.issue(actor, &charters, &terms, (publication, &policies, &plan), ready));
        Ok(Issued {
            records: records.collect(),
            refused,
            warnings,
        })
    }

    /// Rules on what was handed in.
    fn plan<'o>(
        &self,
        policies: &Policies,
        charters: &CharterChain,
        asked: &sharing::Terms<'_>,
        handed: &'o Handed<'_>,
    ) -> Plan<'o> {
        let elsewhere = elsewhere::Shelves {
            reader: &self.reader,
            own: asked.own,
        };
        let roster = self.accepting.roster(policies, charters, asked.own);
        let rulebook = Rulebook {
            policies,
            roster: &roster,
            secret: self.member.redaction(),
            elsewhere: &elsewhere,
        };
        Plan::make(&rulebook, asked, &handed.objects)
    }

    /// Keeps the policies that a ruling names, so that it can be asked for again later.
    fn file_policies(&mut self, policies: &Policies) {
        let hash = policies.hash();
        if self.filed == Some(hash) {
            return;
        }
        self.filed = Some(hash);
        // What cannot be read is written again.
        if !matches!(self.reader.paper(Drawer::Policies, &hash), Ok(Some(_))) {
            let files: Vec<(&str, &str)> = policies
                .files()
                .iter()
                .map(|file| (file.name.as_str(), file.text.as_str()))
                .collect();
            let files = minicbor::to_vec(files).unwrap_or_default();
            let paper = PaperEntry::put(Drawer::Policies, hash, files, clock::now());
            self.batch.push(Entry::Paper(paper), None);
        }
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

    /// Chains and signs a record and adds it to the commit, with the ruling on it.
    fn issue(
        &mut self,
        actor: &Actor,
        charters: &CharterChain,
        terms: &Terms,
        (publication, policies, plan): (PublicationId, &Policies, &Plan<'_>),
        ready: Ready<'_>,
    ) -> Joined {
        let Ready {
            variant,
            draft,
            body,
            content,
        } = ready;
        let header = self.next_header(charters, terms, &body);
        let budget = &charters.charter().budget;
        let objects = draft.texts.len();
        let ruling = plan.ruling(variant, &draft.pieces, publication);
        let ruling = crate::sharing::papers::Ruling {
            policies: policies.hash(),
            charter: charters.newest().reference(),
            at: terms.created,
            to: terms.to.clone(),
            ..ruling
        }
        .fitting();
        let facts = RecordFacts {
            objects: draft.facts,
            ..derive::header_facts(&header)
        };
        self.afford(budget, &header, content);
        let created = header.created;
        let (entry, id) = self.log_own(charters, header, body, facts);
        let key = elsewhere::ruling_key(created, &id);
        let paper = PaperEntry::put(Drawer::Rulings, key, ruling.encode(), clock::now());
        self.batch.push(Entry::Paper(paper), None);
        self.audit(&actor.0, "publish", id.to_string(), Some(ruling.hash()));
        Joined {
            entry,
            id,
            objects,
            readers: readers(&variant.audience),
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

pub(crate) fn readers(audience: &Audience) -> Readers {
    match audience {
        Audience::Community => Readers::Community(All::All),
        Audience::Members(members) => Readers::Members(members.iter().cloned().collect()),
    }
}
