//! The answering half: what we hold, the records of a run, a body. Each stream is answered by a
//! task of its own; the disk is read on blocking threads, and the peer's reading speed is the pace.

use std::collections::VecDeque;
use std::sync::Arc;

use hanse_protocol::admission::Admitted;
use hanse_protocol::charter::CharterChain;
use hanse_protocol::charter::call::{self, CharterAnswer, CharterQuestion};
use hanse_protocol::frame::Carried;
use hanse_protocol::heal::{Answer, Question, Run};
use hanse_protocol::identity::{NodeId, RecordId};
use hanse_protocol::limits;

use super::talk::{self, Patience, TalkError};
use crate::exchange::{CharterFate, Exchange};
use crate::mesh::{self, MeshStream};
use crate::store::entry::BodyState;
use crate::store::{ChainLink, Reader, StoreError, unless_damaged};

/// Largest question, bytes.
const QUESTION: usize = 4 << 10;

/// Records looked up at once, and bytes after which no further one is: what waits for a slow reader
/// waits in memory.
const PAGE: usize = 64;
const PAGE_BYTES: usize = 1 << 20;

/// Why an answer stopped.
#[derive(Debug, thiserror::Error)]
enum AnswerError {
    #[error(transparent)]
    Talk(#[from] TalkError),
    #[error("the store could not be read")]
    Store(#[from] StoreError),
    #[error("a reading thread ended early")]
    Thread(#[from] tokio::task::JoinError),
}

/// Answers one peer's questions until it closes the stream.
pub async fn stream(exchange: Exchange, store: Reader, from: NodeId, mut stream: MeshStream) {
    if let Err(error) = questions(&exchange, &store, &mut stream).await {
        tracing::debug!(peer = %from, %error, "a healing stream ended early");
    }
}

async fn questions(exchange: &Exchange, store: &Reader, stream: &mut MeshStream) -> Result<(), AnswerError> {
    let mut patience = Patience::default();
    while let Some(question) = talk::receive(stream, QUESTION, &mut patience).await? {
        match question {
            Question::Holdings(theirs) => {
                let standing = exchange.standing();
                let ours = standing
                    .charters
                    .as_ref()
                    .map(|charters| charters.newest().reference());
                let answer = match ours {
                    Some(ours) if ours != theirs => Answer::OtherCharter(ours),
                    _ => Answer::Holdings(exchange.held()),
                };
                talk::send(stream, &answer, &mut patience).await?;
            }
            Question::Records(run) => records(exchange, store, stream, run, &mut patience).await?,
            Question::Body(id) => {
                let store = store.clone();
                let answer = tokio::task::spawn_blocking(move || body(&store, &id)).await??;
                talk::send(stream, &answer, &mut patience).await?;
            }
        }
        talk::flush(stream, &mut patience).await?;
    }
    Ok(())
}

async fn records(
    exchange: &Exchange,
    store: &Reader,
    stream: &mut MeshStream,
    run: Run,
    patience: &mut Patience,
) -> Result<(), AnswerError> {
    let standing = exchange.standing();
    let mut next = run.first;
    while let Some(charters) = &standing.charters
        && next <= run.last
    {
        let (store, charters, asked) = (store.clone(), Arc::clone(charters), run.clone());
        let page = tokio::task::spawn_blocking(move || page(&store, &charters, &asked, next));
        let (page, after) = page.await??;
        for carried in page {
            talk::send(stream, &Answer::Record(carried), patience).await?;
        }
        let Some(after) = after else { break };
        next = after;
    }
    Ok(talk::send(stream, &Answer::End, patience).await?)
}

/// The next records of a run, and where to go on.
fn page(
    store: &Reader,
    charters: &CharterChain,
    run: &Run,
    from: u64,
) -> Result<(Vec<Carried>, Option<u64>), StoreError> {
    let found = store.chain(charters.community(), &run.author, run.lane, run.epoch, from, PAGE)?;
    let after = found
        .last()
        .filter(|_| found.len() == PAGE)
        .and_then(|link| link.seq.checked_add(1));
    let mut page = Vec::new();
    let (mut bytes, mut last) = (0, None);
    for ChainLink { seq, id, .. } in found {
        if seq > run.last {
            return Ok((page, None));
        }
        // Two records of one number are not torn apart.
        if bytes >= PAGE_BYTES && last != Some(seq) {
            return Ok((page, Some(seq)));
        }
        last = Some(seq);
        if let Some(stored) = unless_damaged(store.record(&id))?
            && counts(charters, &stored.header)
        {
            let body = stored.body.filter(|_| stored.state != BodyState::Gone);
            bytes += stored.header.len() + body.as_ref().map_or(0, Vec::len);
            page.push(Carried {
                header: stored.header,
                body,
            });
        }
    }
    Ok((page, after))
}

/// Whether a record lies within every ending of its author, and of the very key that signed it:
/// what lies beyond is kept as evidence and not served.
pub(crate) fn counts(charters: &CharterChain, header: &[u8]) -> bool {
    let Ok(admitted) = Admitted::from_log(header, charters.community()) else {
        return false;
    };
    let (header, id) = (admitted.header(), admitted.id());
    let Some(member) = charters.charter().member(&header.author) else {
        return false;
    };
    let mut keys = member.signing.iter();
    let signing = keys.find(|signing| signing.key.id() == admitted.key());
    let ended = charters.ended_at(&header.author, header.lane, admitted.key());
    ended.is_none_or(|ended| header.created <= ended.after(limits::SKEW))
        && signing
            .is_some_and(|signing| member.accepts(&signing.key, header.lane, header.epoch, header.seq, id))
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
        CharterQuestion::Offer(offered) => match exchange.charters(strip(charters, offered)).await {
            Ok(CharterFate::Adopted) if listed => CharterAnswer::Adopted,
            Ok(_) if listed => CharterAnswer::NotAdopted,
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
