//! The answering half: what we hold in a span, records, a body. Each stream is answered by a task of its
//! own, which remembers nothing from one question to the next; the disk is read on blocking threads, and
//! the peer's reading speed is the pace.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hanse_protocol::charter::call::{self, CharterAnswer, CharterQuestion};
use hanse_protocol::charter::{CharterChain, CharterHash, CharterRef};
use hanse_protocol::frame::Carried;
use hanse_protocol::heal::{Answer, IDS, KeyChoice, PAGE, QUESTION, Question, STREAMED, STREAMED_BYTES};
use hanse_protocol::identity::{NodeId, RecordId};
use hanse_protocol::limits;
use hanse_protocol::reconcile::{self, Asked, Blocks, Key, Place, Span};
use tokio::time::Instant;

use super::talk::{self, Patience, TalkError};
use super::view::{self, Hashed};
use crate::exchange::{CharterFate, Exchange, counts};
use crate::mesh::{self, MeshStream};
use crate::store::entry::BodyState;
use crate::store::{Reader, StoreError, unless_damaged};

/// Records looked up at once.
const LOOKED_UP: usize = 256;

/// Pages of one answer about a span, whether or not anything in them counts.
const PAGES: usize = 256;

/// How soon a peer may ask again to be compared with under another key: it costs a look at all there is.
const PASS: Duration = Duration::from_secs(10 * 60);

/// How long a peer waits for its answer while a new charter's endings are looked through.
pub(super) const JUDGED: Duration = Duration::from_secs(10);

/// Peers whose pass is remembered summed up; with more, each is summed up anew at its next question.
const HASHED: usize = 8;

/// Why an answer stopped.
#[derive(Debug, thiserror::Error)]
enum AnswerError {
    #[error(transparent)]
    Talk(#[from] TalkError),
    #[error("the store could not be read")]
    Store(#[from] StoreError),
    #[error("a reading thread ended early")]
    Thread(#[from] tokio::task::JoinError),
    #[error("this node belongs to no community")]
    NoCommunity,
    #[error("the question breaks the protocol")]
    Protocol,
}

/// A nonce that a peer named.
struct Named {
    nonce: [u8; 32],
    at: Instant,
    /// What is held, summed up under the key of it, once that was asked for; and under which charter.
    hashed: Option<(CharterHash, Arc<Blocks>)>,
}

/// What answers are made from. Cheap to clone.
#[derive(Clone)]
pub struct Answerer {
    exchange: Exchange,
    store: Reader,
    /// From which this node's nonces are made, so that none need be remembered.
    secret: [u8; 32],
    /// Which nonce each peer named last.
    passes: Arc<Mutex<HashMap<NodeId, Named>>>,
}

impl Answerer {
    /// Answers from what this store holds.
    pub fn new(exchange: Exchange, store: Reader) -> Self {
        Self {
            exchange,
            store,
            secret: rand::random(),
            passes: Arc::default(),
        }
    }

    /// Answers one peer's questions until it closes the stream.
    pub async fn stream(&self, from: NodeId, mut stream: MeshStream) {
        if let Err(error) = self.questions(from, &mut stream).await {
            tracing::debug!(peer = %from, %error, "a healing stream ended early");
        }
    }

    async fn questions(&self, from: NodeId, stream: &mut MeshStream) -> Result<(), AnswerError> {
        let mut patience = Patience::default();
        while let Some(question) = talk::receive(stream, QUESTION, &mut patience).await? {
            match question {
                Question::Compare(charter, key, asked) => match self.under(&charter)? {
                    Err(other) => talk::send(stream, &other, &mut patience).await?,
                    // Before what lies beyond endings is found, a difference would say nothing.
                    Ok(charters) if !self.is_judged(&charters).await => {
                        talk::send(stream, &Answer::Later, &mut patience).await?;
                    }
                    Ok(charters) => {
                        let answer = self.compare(from, &charters, key, asked).await?;
                        talk::send(stream, &answer, &mut patience).await?;
                    }
                },
                Question::Records(charter, ids) => match self.under(&charter)? {
                    Err(other) => talk::send(stream, &other, &mut patience).await?,
                    Ok(charters) => self.by_id(charters, ids, stream, &mut patience).await?,
                },
                Question::Span(charter, span) => match self.under(&charter)? {
                    Err(other) => talk::send(stream, &other, &mut patience).await?,
                    Ok(charters) => self.by_span(charters, span, stream, &mut patience).await?,
                },
                Question::Body(id) => {
                    let store = self.store.clone();
                    let answer = tokio::task::spawn_blocking(move || body(&store, &id)).await??;
                    talk::send(stream, &answer, &mut patience).await?;
                }
                Question::Nonce(theirs) => {
                    talk::send(stream, &self.nonce(from, theirs), &mut patience).await?;
                }
            }
            talk::flush(stream, &mut patience).await?;
        }
        Ok(())
    }

    /// Our charters if the peer stands under the same, else what it is told.
    fn under(&self, theirs: &CharterRef) -> Result<Result<Arc<CharterChain>, Answer>, AnswerError> {
        let standing = self.exchange.standing();
        let charters = standing.charters.clone().ok_or(AnswerError::NoCommunity)?;
        let ours = charters.newest().reference();
        Ok(if ours == *theirs {
            Ok(charters)
        } else {
            Err(Answer::OtherCharter(ours))
        })
    }

    async fn is_judged(&self, charters: &CharterChain) -> bool {
        self.exchange
            .is_judged_under(&charters.newest().hash(), JUDGED)
            .await
    }

    async fn compare(
        &self,
        from: NodeId,
        charters: &CharterChain,
        key: KeyChoice,
        asked: Vec<Asked>,
    ) -> Result<Answer, AnswerError> {
        // The newest first and none twice, so that no question costs more than a look at all there is.
        let falling = asked.is_sorted_by(|a, b| b.span.to <= a.span.from);
        if asked.is_empty() || !falling || asked.iter().any(|asked| asked.span.from >= asked.span.to) {
            return Err(AnswerError::Protocol);
        }
        let community = *charters.community();
        let told = match key {
            KeyChoice::Community => {
                let (held, key) = (self.store.held(&community)?, Key::of_community(&community));
                tokio::task::spawn_blocking(move || reconcile::answer(&held, &key, &asked)).await??
            }
            KeyChoice::Pass(theirs) => {
                let Some(hashed) = self.hashed(from, &theirs, charters).await? else {
                    return Ok(Answer::Later);
                };
                let held = Hashed::new(hashed, self.store.places(&community));
                let answer = move || reconcile::answer(&held, held.blocks().key(), &asked);
                tokio::task::spawn_blocking(answer).await??
            }
        };
        Ok(Answer::Compared(told))
    }

    /// What is held under the key of a pass, hashed at its first question; `None` if the nonce is not the
    /// last one the peer named.
    async fn hashed(
        &self,
        from: NodeId,
        theirs: &[u8; 32],
        charters: &CharterChain,
    ) -> Result<Option<Arc<Blocks>>, AnswerError> {
        let under = charters.newest().hash();
        match self.passes().get(&from) {
            Some(named) if named.nonce == *theirs => {
                if let Some((_, hashed)) = named.hashed.as_ref().filter(|(then, _)| *then == under) {
                    return Ok(Some(Arc::clone(hashed)));
                }
            }
            _ => return Ok(None),
        }
        let key = Key::of_pass(theirs, &self.nonce_for(&from, theirs));
        let (store, community) = (self.store.clone(), *charters.community());
        let hashed = tokio::task::spawn_blocking(move || view::hash(&store, &community, key)).await??;
        let mut passes = self.passes();
        if passes.values().filter(|named| named.hashed.is_some()).count() >= HASHED {
            passes.values_mut().for_each(|named| named.hashed = None);
        }
        if let Some(named) = passes.get_mut(&from).filter(|named| named.nonce == *theirs) {
            named.hashed = Some((under, Arc::clone(&hashed)));
        }
        Ok(Some(hashed))
    }

    fn passes(&self) -> MutexGuard<'_, HashMap<NodeId, Named>> {
        self.passes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Our nonce for a peer's.
    fn nonce(&self, from: NodeId, theirs: [u8; 32]) -> Answer {
        let mut passes = self.passes();
        let now = Instant::now();
        passes.retain(|_, named| now.duration_since(named.at) < PASS);
        if passes.get(&from).is_some_and(|named| named.nonce != theirs) {
            return Answer::Later;
        }
        passes.entry(from).or_insert(Named {
            nonce: theirs,
            at: now,
            hashed: None,
        });
        Answer::Nonce(self.nonce_for(&from, &theirs))
    }

    fn nonce_for(&self, from: &NodeId, theirs: &[u8; 32]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(&from.0).update(theirs);
        *hasher.finalize().as_bytes()
    }

    async fn by_id(
        &self,
        charters: Arc<CharterChain>,
        ids: Vec<RecordId>,
        stream: &mut MeshStream,
        patience: &mut Patience,
    ) -> Result<(), AnswerError> {
        if ids.len() > IDS {
            return Err(AnswerError::Protocol);
        }
        let mut ids = VecDeque::from(ids);
        while !ids.is_empty() {
            let (store, charters) = (self.store.clone(), Arc::clone(&charters));
            let page = tokio::task::spawn_blocking(move || {
                let mut page = Page::default();
                while let Some(id) = ids.front()
                    && !page.is_full()
                {
                    page.add(&store, &charters, id)?;
                    ids.pop_front();
                }
                Ok::<_, StoreError>((page, ids))
            });
            let (page, rest) = page.await??;
            ids = rest;
            if !page.records.is_empty() {
                talk::send(stream, &Answer::Records(page.records), patience).await?;
            }
        }
        Ok(talk::send(stream, &Answer::End(None), patience).await?)
    }

    async fn by_span(
        &self,
        charters: Arc<CharterChain>,
        span: Span,
        stream: &mut MeshStream,
        patience: &mut Patience,
    ) -> Result<(), AnswerError> {
        let (mut records, mut bytes, mut pages, mut left) = (0, 0, 0, Some(span.to));
        while let Some(to) = left
            && pages < PAGES
            && records < STREAMED
            && bytes < STREAMED_BYTES
        {
            let (store, charters) = (self.store.clone(), Arc::clone(&charters));
            let span = Span { from: span.from, to };
            let page = tokio::task::spawn_blocking(move || newest(&store, &charters, &span));
            let (page, before) = page.await??;
            left = before;
            pages += 1;
            records += page.records.len();
            bytes += page.bytes;
            if !page.records.is_empty() {
                talk::send(stream, &Answer::Records(page.records), patience).await?;
            }
        }
        Ok(talk::send(stream, &Answer::End(left), patience).await?)
    }
}

/// Records that make one message.
#[derive(Default)]
struct Page {
    records: Vec<Carried>,
    bytes: usize,
}

impl Page {
    fn is_full(&self) -> bool {
        self.bytes >= PAGE
    }

    /// Adds a record if it is held and counts.
    fn add(&mut self, store: &Reader, charters: &CharterChain, id: &RecordId) -> Result<(), StoreError> {
        if let Some(stored) = unless_damaged(store.record(id))?
            && stored.community == *charters.community()
            && counts(charters, &stored.header)
        {
            let kept = stored.state != BodyState::Gone;
            let body = stored
                .body
                .filter(|body| kept && body.len() <= limits::INLINE_BODY);
            self.bytes += stored.header.len() + body.as_ref().map_or(0, Vec::len);
            self.records.push(Carried {
                header: stored.header,
                body,
            });
        }
        Ok(())
    }
}

/// The newest records of a span, and the place before which there may be more.
fn newest(store: &Reader, charters: &CharterChain, span: &Span) -> Result<(Page, Option<Place>), StoreError> {
    let mut page = Page::default();
    if span.from >= span.to {
        return Ok((page, None));
    }
    let (from, to) = ((span.from.created, span.from.id), (span.to.created, span.to.id));
    let items = store.timeline(charters.community(), from, to, LOOKED_UP, true)?;
    let all = items.len() < LOOKED_UP;
    let mut before = None;
    for item in items {
        if page.is_full() {
            return Ok((page, before));
        }
        page.add(store, charters, &item.id)?;
        before = Some(Place {
            created: item.created,
            id: item.id,
        });
    }
    Ok((page, before.filter(|_| !all)))
}

fn body(store: &Reader, id: &RecordId) -> Result<Answer, StoreError> {
    Ok(match unless_damaged(store.record(id))? {
        Some(stored) if stored.state == BodyState::Gone => Answer::Gone,
        Some(stored) => stored.body.map_or(Answer::NotHeld, Answer::Body),
        None => Answer::NotHeld,
    })
}

/// Answers a charter call. A stranger is told nothing but whether it was let in.
pub async fn charter_call(
    exchange: Exchange,
    from: NodeId,
    listed: bool,
    question: Vec<u8>,
) -> mesh::CharterAnswer {
    let Ok(question) = call::decode(&question) else {
        return mesh::CharterAnswer::Close;
    };
    let standing = exchange.standing();
    let Some(charters) = &standing.charters else {
        return mesh::CharterAnswer::Close;
    };
    let answer = match question {
        CharterQuestion::Head(_) if !listed => CharterAnswer::Unlisted,
        CharterQuestion::Head(head) => compare(charters, &head),
        CharterQuestion::Offer(offered) if listed => {
            match exchange.charters(strip(charters, offered)).await {
                Ok(CharterFate::Adopted) => CharterAnswer::Adopted,
                Ok(_) => CharterAnswer::NotAdopted,
                Err(_) => return mesh::CharterAnswer::Close,
            }
        }
        CharterQuestion::Offer(offered) => match exchange.charters_now(strip(charters, offered)).await {
            // It may have come while the charter that lists it came another way.
            Ok(_) if lists(&exchange, &from) => CharterAnswer::Adopted,
            _ => return mesh::CharterAnswer::Close,
        },
    };
    let reply = call::encode(&answer);
    match answer {
        // Let in: the link of a stranger is closed so that a member's link can be made.
        CharterAnswer::Adopted if !listed => mesh::CharterAnswer::SendThenClose(reply),
        _ => mesh::CharterAnswer::Send(reply),
    }
}

/// Whether the charter in force lists a node.
fn lists(exchange: &Exchange, node: &NodeId) -> bool {
    let standing = exchange.standing();
    standing
        .charters
        .as_ref()
        .is_some_and(|charters| charters.charter().owner_of(node).is_some())
}

fn compare(charters: &CharterChain, head: &hanse_protocol::charter::CharterRef) -> CharterAnswer {
    let ours = charters.newest().reference();
    if ours == *head {
        CharterAnswer::Same
    } else if charters.find(head).is_some() {
        CharterAnswer::Newer(charters.encode_after(head))
    } else {
        CharterAnswer::Older(ours)
    }
}

/// Drops what we hold already from the front of an offer.
fn strip(charters: &CharterChain, offered: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let held: Vec<Vec<u8>> = charters.encode();
    let mut offered = VecDeque::from(offered);
    let mut held = held.into_iter();
    while let (Some(first), Some(ours)) = (offered.front(), held.next()) {
        if *first != ours {
            break;
        }
        offered.pop_front();
    }
    offered.into()
}
