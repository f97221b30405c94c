//! What the store can tell: records opened again for those who may look, bounded and synchronous
//! (call it from a blocking thread). Nothing above the asker's TLP ceiling is told; of a record that
//! this node cannot read, sealed for others or still awaited, what its header says.

use std::collections::HashSet;
use std::str::FromStr;
use std::sync::Arc;

use hanse_protocol::admission::{self, Admitted, Opened, Placed};
use hanse_protocol::audit::{AuditLine, Head};
use hanse_protocol::identity::{Handle, RecordId};
use hanse_protocol::local::{self, Match, ObjectView, Readable, RecordView};
use hanse_protocol::observable::Observable;
use hanse_protocol::tlp::Tlp;
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::exchange::Exchange;
use crate::healer::Progress;
use crate::member::Member;
use crate::mesh::{self, MeshHandle};
use crate::presence::heads::Heads;
use crate::receiver::Links;
use crate::store::entry::{BodyState, Entry, Position};
use crate::store::{Reader, StoreError, StoredRecord, unless_damaged};

mod community;
mod explaining;
mod healing;
mod preview;
mod quarantine;
mod variants;
mod warnings;

use variants::Variants;

/// Most bytes of log read for one page.
const PAGE_BYTES: usize = 4 << 20;

/// Most places of a value that one search looks at.
const HITS: usize = 16 * local::PAGE;

/// Most versions of an object that are told of one author.
const VERSIONS: usize = 64;

/// Size at which an answer is closed, bytes of objects.
const ANSWER_BYTES: usize = 8 << 20;

/// Most awaited bodies that are counted.
const AWAITED: usize = 10_000;

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum ReadingError {
    /// The value is nothing that is indexed.
    #[error("{0}")]
    Value(String),
    /// Not held, or not for this reader.
    #[error("no such record")]
    NotFound,
    /// The store failed.
    #[error("the store could not be read")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<StoreError> for ReadingError {
    fn from(error: StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}

/// A reader of the store. Cheap to clone.
#[derive(Clone)]
pub struct Reading {
    store: Reader,
    member: Arc<Member>,
    exchange: Exchange,
    mesh: watch::Receiver<Option<MeshHandle>>,
    links: Links,
    healing: Progress,
    started: hanse_protocol::timestamp::Timestamp,
}

/// A record opened again.
struct Book {
    stored: StoredRecord,
    admitted: Admitted,
    opened: Option<Opened>,
}

impl Reading {
    /// Reads `store` with the member's keys.
    pub fn new(
        store: Reader,
        member: Arc<Member>,
        exchange: Exchange,
        mesh: watch::Receiver<Option<MeshHandle>>,
        links: Links,
        healing: Progress,
    ) -> Self {
        Self {
            store,
            member,
            exchange,
            mesh,
            links,
            healing,
            started: crate::clock::now(),
        }
    }

    /// Objects that hold a value, or that have it as their id, newest first; none above `ceiling`.
    ///
    /// # Errors
    /// [`ReadingError::Value`] if it is neither an observable nor a STIX id.
    pub fn search(
        &self,
        request: &local::SearchRequest,
        ceiling: Tlp,
    ) -> Result<local::SearchReply, ReadingError> {
        let limit = request.limit.unwrap_or(local::PAGE).clamp(1, local::PAGE);
        let value = request.value.trim();
        let mut looked_at = limit + 1;
        loop {
            let (hits, all) = self.hits(value, ceiling, looked_at)?;
            let (mut matches, cut) = self.matches(&hits, ceiling)?;
            // What is above the ceiling is not among the hits; what has expired is, and crowds out nothing:
            // more is looked at until the limit is full.
            if all || cut || matches.len() > limit || looked_at >= HITS {
                let more = cut || !all || matches.len() > limit;
                matches.truncate(limit);
                return Ok(local::SearchReply { matches, more });
            }
            looked_at = looked_at.saturating_mul(4).min(HITS);
        }
    }

    /// The newest places where a value is, at most `limit`; and whether that is all of them.
    fn hits(
        &self,
        value: &str,
        ceiling: Tlp,
        limit: usize,
    ) -> Result<(Vec<(Position, u16)>, bool), ReadingError> {
        let mut hits = if is_stix_id(value) {
            let hits = self.store.by_object(value, ceiling, limit)?;
            hits.into_iter().map(|hit| (hit.position, hit.object)).collect()
        } else {
            self.observed(value, ceiling, limit)?
        };
        // Several keys may be looked up, each with its own limit: fewer hits than one limit are all.
        let all = hits.len() < limit;
        hits.sort_by(|a, b| b.cmp(a));
        hits.dedup();
        hits.truncate(limit);
        Ok((hits, all))
    }

    /// Where objects hold an observable; for an address, also where they hold a network around it.
    fn observed(
        &self,
        value: &str,
        ceiling: Tlp,
        limit: usize,
    ) -> Result<Vec<(Position, u16)>, ReadingError> {
        let observable = Observable::parse(value).map_err(|error| ReadingError::Value(error.to_string()))?;
        let mut hits = self
            .store
            .by_observable(&observable.to_key_bytes(), ceiling, limit)?;
        for network in observable.networks_containing() {
            hits.extend(
                self.store
                    .by_observable(&network.to_key_bytes(), ceiling, limit)?,
            );
        }
        Ok(hits)
    }

    /// The objects at these places, and whether there were more than an answer holds. What has
    /// expired is no match, nor is what its author gave us with less struck out of it.
    fn matches(&self, hits: &[(Position, u16)], ceiling: Tlp) -> Result<(Vec<Match>, bool), ReadingError> {
        let now = crate::clock::now();
        let mut bytes = 0;
        let mut variants = Variants::default();
        // Hits of one record in a row: it is opened once.
        for hits in hits.chunk_by(|a, b| a.0 == b.0) {
            let Some((position, _)) = hits.first() else {
                continue;
            };
            let Some(book) = self.book_at(*position)? else {
                continue;
            };
            if book.admitted.header().expires <= now {
                continue;
            }
            let places: Vec<_> = hits.iter().map(|(_, place)| usize::from(*place)).collect();
            for (key, found) in book.objects_at(&places) {
                if found.tlp > ceiling {
                    continue;
                }
                bytes += found.object.get().len();
                if bytes > ANSWER_BYTES && !variants.is_empty() {
                    return Ok((variants.into_matches(), true));
                }
                variants.add(key, found);
            }
        }
        Ok((variants.into_matches(), false))
    }

    /// One record.
    ///
    /// # Errors
    /// [`ReadingError::NotFound`].
    pub fn record(&self, id: &RecordId, ceiling: Tlp) -> Result<RecordView, ReadingError> {
        let book = self.book(id)?.filter(|book| book.is_below(ceiling));
        Ok(self.view(&book.ok_or(ReadingError::NotFound)?, Some(ceiling)))
    }

    /// The newest versions of a STIX object that each author signed, newest first.
    ///
    /// # Errors
    /// [`ReadingError::NotFound`] if none is held that may be told.
    pub fn object(&self, id: &str, ceiling: Tlp) -> Result<local::ObjectReply, ReadingError> {
        let hits = self.store.by_object(id, ceiling, VERSIONS)?;
        let hits: Vec<_> = hits.into_iter().map(|hit| (hit.position, hit.object)).collect();
        let (versions, _) = self.matches(&hits, ceiling)?;
        if versions.is_empty() {
            Err(ReadingError::NotFound)
        } else {
            Ok(local::ObjectReply { versions })
        }
    }

    /// Records that became complete, or known without their body, after a position.
    ///
    /// # Errors
    /// [`ReadingError::Store`].
    pub fn page(
        &self,
        after: u64,
        limit: usize,
        objects: bool,
        ceiling: Tlp,
    ) -> Result<local::RecordPage, ReadingError> {
        let limit = limit.clamp(1, local::PAGE);
        let newest = self.store.newest();
        let mut page = local::RecordPage {
            next: after,
            ..Default::default()
        };
        let mut seen = HashSet::new();
        let mut bytes = 0;
        while page.records.len() < limit && bytes < ANSWER_BYTES && page.next < newest.0 {
            let from = Position(page.next).next();
            let entries = match self.store.entries_from(from, limit, PAGE_BYTES) {
                Err(error) => {
                    let last = error.goes_on_after().ok_or(error)?;
                    page.gaps.push(local::Gap {
                        first: from.0,
                        last: last.0,
                    });
                    page.next = page.next.max(last.0);
                    continue;
                }
                Ok(entries) => entries,
            };
            if entries.is_empty() {
                // What was there has left.
                page.next = newest.0;
                break;
            }
            for (position, entry) in entries {
                let id = match &entry {
                    Entry::Record(record) => Some(record.id),
                    Entry::Body(body) => Some(body.id),
                    _ => None,
                };
                if let Some(id) = id
                    && let Some(book) = self.completed_at(&id, position)?
                    && book.is_below(ceiling)
                    && seen.insert(id)
                {
                    bytes += if objects { book.content_bytes() } else { 0 };
                    page.records.push(self.view(&book, objects.then_some(ceiling)));
                }
                page.next = position.0;
                if page.records.len() >= limit || bytes >= ANSWER_BYTES {
                    break;
                }
            }
        }
        page.more = page.next < newest.0;
        Ok(page)
    }

    /// The record, if the entry at `position` is the one that completed it.
    fn completed_at(&self, id: &RecordId, position: Position) -> Result<Option<Book>, ReadingError> {
        let book = self.book(id)?;
        Ok(book.filter(|book| book.stored.complete_at == position))
    }

    /// Members, or `None` without a community.
    ///
    /// # Errors
    /// [`ReadingError::Store`].
    pub fn members(&self) -> Result<Option<local::MembersReply>, ReadingError> {
        let standing = self.exchange.standing();
        let Some(charters) = &standing.charters else {
            return Ok(None);
        };
        let charter = charters.charter();
        let counts = self.exchange.counts();
        let connected = self.links.now();
        let view = |member: &hanse_protocol::charter::Member| local::MemberView {
            handle: member.handle.clone(),
            name: member.profile.name.clone(),
            kind: member.profile.kind,
            sector: member.profile.sector.clone(),
            country: member.profile.country.clone(),
            admitted: member.admitted,
            steward: charter.stewards.contains(&member.handle),
            ended: member.ended.is_some(),
            own: member.handle == self.member.profile.handle,
            connected: member
                .lanes
                .iter()
                .filter(|lane| connected.contains(&lane.node))
                .count(),
            records: counts.get(&member.handle).copied().unwrap_or_default(),
        };
        Ok(Some(local::MembersReply {
            community: *charters.community(),
            name: charter.name.clone(),
            charter: charter.version,
            fork: charters.fork_open(),
            members: charter.members.iter().map(view).collect(),
        }))
    }

    /// The content of the latest note of a kind.
    ///
    /// # Errors
    /// [`ReadingError::Store`].
    pub fn noted(&self, kind: &str) -> Result<Option<Vec<u8>>, ReadingError> {
        Ok(self.store.note(kind)?)
    }

    /// Lines of the audit log from number `from` on.
    ///
    /// # Errors
    /// [`ReadingError::Store`].
    pub fn audit(&self, from: u64, limit: usize) -> Result<local::AuditPage, ReadingError> {
        let head = self.store.audit_head()?;
        let lines = self.store.audit(from, limit.clamp(1, local::PAGE))?;
        let next = lines.last().map_or(from, |line| line.seq.saturating_add(1));
        Ok(local::AuditPage {
            lines: lines.into_iter().map(AuditLine::from).collect(),
            next,
            more: next <= head.lines,
            head: Head {
                lines: head.lines,
                hash: head.hash,
            },
        })
    }

    /// What other nodes said of their audit logs.
    ///
    /// # Errors
    /// [`ReadingError::Store`].
    pub fn audit_heads(&self) -> Result<local::HeardAudits, ReadingError> {
        let Some(charters) = self.exchange.standing().charters.clone() else {
            return Ok(local::HeardAudits::default());
        };
        Ok(Heads::load(&self.store)?.shown(&charters))
    }

    /// Health and numbers.
    ///
    /// # Errors
    /// [`ReadingError::Store`].
    pub async fn status(&self) -> Result<local::StatusReply, ReadingError> {
        let standing = self.exchange.standing();
        let mesh = self.mesh.borrow().clone();
        let (peers, listening) = match &mesh {
            Some(mesh) => (mesh.peers().await, mesh.listening().await),
            None => (Vec::new(), Vec::new()),
        };
        let owner = |node: &hanse_protocol::identity::NodeId| {
            let charters = standing.charters.as_ref()?;
            charters
                .charter()
                .owner_of(node)
                .map(|(member, _)| member.handle.clone())
        };
        let peer = |peer: mesh::PeerInfo| local::PeerStatus {
            member: owner(&peer.node),
            peer_id: mesh::peer_id_text(&peer.node),
            address: peer.address,
            bytes_in: peer.bytes_in,
            bytes_out: peer.bytes_out,
            last_healed: self.healing.of(&peer.node),
        };
        let healing = self.healing_status(owner);
        let community = standing.charters.as_ref().map(|charters| local::CommunityStatus {
            id: *charters.community(),
            name: charters.charter().name.clone(),
            charter: charters.charter().version,
            charter_hash: charters.newest().hash().to_string(),
            expires: charters.charter().expires,
            members: charters.charter().active().count(),
            fork: charters.fork_open(),
            frozen: standing.frozen.map(|freeze| freeze.to_string()),
        });
        Ok(local::StatusReply {
            agent: crate::AGENT.to_owned(),
            member: standing.profile.handle.clone(),
            peer_id: mesh::peer_id_text(&standing.node),
            started: self.started,
            community,
            store: self.store_status()?,
            peers: peers.into_iter().map(peer).collect(),
            listening,
            over_budget: self.over_budget(),
            clock: self.exchange.clock_astray().map(|astray| local::ClockStatus {
                seconds: astray.by.as_secs(),
                ahead: astray.ahead,
                members: u64::try_from(astray.members).unwrap_or(u64::MAX),
            }),
            healing,
            chains: self.chains(),
            warnings: self.warnings(),
        })
    }

    fn over_budget(&self) -> Vec<local::OverBudget> {
        let overdrafts = self.exchange.overdrafts().into_iter();
        let view = |(author, day, overdrawn): (Handle, _, crate::exchange::Overdrawn)| local::OverBudget {
            author,
            day,
            records: overdrawn.records,
            bytes: overdrawn.bytes,
            without_body: overdrawn.without_body,
            refused: overdrawn.refused,
        };
        overdrafts.map(view).collect()
    }

    fn store_status(&self) -> Result<local::StoreStatus, ReadingError> {
        let stats = self.store.stats()?;
        let standing = self.exchange.standing();
        let awaited = match &standing.charters {
            Some(charters) => self.store.awaited(charters.community(), None, AWAITED)?.len(),
            None => 0,
        };
        Ok(local::StoreStatus {
            position: self.store.newest().0,
            records: stats.records,
            awaited: u64::try_from(awaited).unwrap_or(u64::MAX),
            quarantined: self.quarantined_count()?,
            log_bytes: stats.log_bytes,
            index_bytes: stats.index_bytes,
        })
    }

    fn book_at(&self, position: Position) -> Result<Option<Book>, ReadingError> {
        let id = match unless_damaged(self.store.entry(position))? {
            Some(Entry::Record(record)) => record.id,
            Some(Entry::Body(body)) => body.id,
            _ => return Ok(None),
        };
        self.book(&id)
    }

    fn book(&self, id: &RecordId) -> Result<Option<Book>, ReadingError> {
        let Some(stored) = unless_damaged(self.store.record(id))? else {
            return Ok(None);
        };
        let Ok(admitted) = Admitted::from_log(&stored.header, &stored.community) else {
            return Ok(None);
        };
        let opened = self.open(&stored, &admitted);
        Ok(Some(Book {
            stored,
            admitted,
            opened,
        }))
    }

    fn open(&self, stored: &StoredRecord, admitted: &Admitted) -> Option<Opened> {
        // What is not shown is opened, too: nobody is told of it who may not see what it says.
        if !matches!(
            stored.state,
            BodyState::Readable | BodyState::Quarantined | BodyState::Refused
        ) {
            return None;
        }
        let charters = self.exchange.standing().charters.clone()?;
        let whole = admitted.clone().with_body(stored.body.clone()?).ok()?;
        match whole.open(&self.member.reader, &charters) {
            Ok(admission::Reading::Opened(opened)) => Some(opened),
            _ => None,
        }
    }
}

impl Book {
    /// The objects at these places, each with what its variants have in common.
    fn objects_at(&self, places: &[usize]) -> Vec<(variants::Key, Match)> {
        let header = self.admitted.header();
        let forwarded = self.forwarded();
        let opened = self.opened.as_ref().filter(|_| self.is_shown());
        let objects = opened.and_then(|opened| opened.objects_at(places).ok());
        let matched = |placed: Placed<'_>| {
            let Placed {
                object,
                tlp,
                redacted,
            } = placed;
            let key = variants::Key {
                author: header.author.clone(),
                origin: forwarded
                    .as_ref()
                    .map(|from| (from.community, from.author.clone())),
                id: object.id().to_owned(),
                version: object.version().unwrap_or(header.created),
            };
            let found = Match {
                record: *self.admitted.id(),
                author: header.author.clone(),
                forwarded: forwarded.clone(),
                tlp,
                redacted,
                object: RawValue::from_string(object.raw().to_owned()).ok()?,
            };
            Some((key, found))
        };
        objects
            .unwrap_or_default()
            .into_iter()
            .filter_map(matched)
            .collect()
    }

    /// Whether anything of it may be told under `ceiling`: not if all it says lies above.
    fn is_below(&self, ceiling: Tlp) -> bool {
        if ceiling == Tlp::Red {
            return true;
        }
        let sound = self.opened.as_ref().and_then(|opened| opened.sound().ok());
        sound.is_none_or(|sound| {
            let (unmarked, floor) = (sound.content.unmarked, sound.content.floor);
            let mut objects = sound.objects.iter();
            objects.len() == 0 || objects.any(|object| object.tlp(unmarked, floor) <= ceiling)
        })
    }

    /// Where it came from, if it was passed on from another community.
    fn forwarded(&self) -> Option<local::ForwardedFrom> {
        let from = self.opened.as_ref()?.provenance()?;
        Some(local::ForwardedFrom {
            community: from.community,
            author: from.header.author.clone(),
            record: from.record,
            key: data_encoding::HEXLOWER.encode(from.key.as_bytes()),
        })
    }

    fn content_bytes(&self) -> usize {
        let shown = self.opened.as_ref().filter(|_| self.is_shown());
        shown.map_or(0, Opened::content_bytes)
    }

    /// Whether its objects are shown to those who may see them.
    fn is_shown(&self) -> bool {
        self.stored.state == BodyState::Readable
    }

    fn view(&self, objects_up_to: Option<Tlp>) -> RecordView {
        let header = self.admitted.header();
        RecordView {
            id: *self.admitted.id(),
            position: self.stored.complete_at.0,
            author: header.author.clone(),
            forwarded: self.forwarded(),
            lane: header.lane,
            epoch: header.epoch,
            seq: header.seq,
            equivocation: false,
            charter: header.charter.version,
            created: header.created,
            expires: header.expires,
            kind: header.kind,
            replaces: header.replaces,
            body_bytes: u64::from(header.body_length),
            state: match header.expires <= crate::clock::now() {
                true if self.stored.state == BodyState::Readable => Readable::Gone,
                _ => readable(self.stored.state),
            },
            objects: objects_up_to
                .filter(|_| self.is_shown())
                .and_then(|ceiling| self.objects(ceiling)),
        }
    }

    fn objects(&self, ceiling: Tlp) -> Option<Vec<ObjectView>> {
        if self.admitted.header().expires <= crate::clock::now() {
            return None;
        }
        let sound = self.opened.as_ref()?.sound().ok()?;
        let (unmarked, floor) = (sound.content.unmarked, sound.content.floor);
        let views = sound.objects.iter().enumerate().filter_map(|(place, object)| {
            let tlp = object.tlp(unmarked, floor);
            let redacted = sound.content.redacted_at(place);
            let object = RawValue::from_string(object.raw().to_owned()).ok()?;
            (tlp <= ceiling).then_some(ObjectView {
                tlp,
                redacted,
                object,
            })
        });
        Some(views.collect())
    }
}

fn readable(state: BodyState) -> Readable {
    match state {
        BodyState::Awaited => Readable::Awaited,
        BodyState::Readable => Readable::Readable,
        BodyState::Opaque => Readable::Opaque,
        BodyState::Unsound => Readable::Unsound,
        BodyState::Gone => Readable::Gone,
        BodyState::Shed => Readable::Shed,
        BodyState::Quarantined => Readable::Quarantined,
        BodyState::Refused => Readable::Refused,
    }
}

/// Whether a text has the form of a STIX id: `type--` and a UUID.
fn is_stix_id(text: &str) -> bool {
    text.split_once("--").is_some_and(|(kind, uuid)| {
        !kind.is_empty()
            && uuid.len() == 36
            && uuid.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
            && char::from_str(kind.get(..1).unwrap_or_default()).is_ok_and(|c| c.is_ascii_lowercase())
    })
}
