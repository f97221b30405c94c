//! Records as they become complete, pushed as server-sent events (WHATWG HTML, section 9.2). A
//! client is a cursor over the log: what it is sent is read for it, from where it stands, when it
//! has taken what came before. So nothing is missed or doubled however slow it is or how often it
//! comes back, and no more than one page is held for it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use hanse_protocol::local::{Gap, Readable, RecordView};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::State as Held;
use super::auth::Reader;
use super::backend::Backend;
use super::body::read;
use super::problem::Failure;
use crate::store::entry::Position;
use crate::tokens::{Token, Tokens};

/// Most records read for a client at once; their objects are bounded in bytes as in every answer.
const PAGE: usize = 100;

/// How long a client hears nothing at most. It may hold silence of thrice that for a lost
/// connection.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The query of `GET /v1/events`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    after: Option<u64>,
    #[serde(default)]
    objects: bool,
}

/// `GET /v1/events`.
pub(super) async fn events<B: Backend>(
    State(shared): State<Held<B>>,
    caller: Reader,
    headers: HeaderMap,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(query) = query.map_err(|rejection| Failure::malformed(&rejection.body_text()))?;
    let positions = shared.backend.positions();
    let newest = positions.borrow().0;
    // A browser that comes back asks for the address it first had: the header is newer.
    let after = last_event_id(&headers)?.or(query.after).unwrap_or(newest);
    if after > newest {
        let reason = format!("position {after} is past this node's newest, {newest}: it is another node's");
        return Err(Failure::invalid(&reason));
    }
    let place = Arc::clone(&shared.events).try_acquire_owned();
    let place = place.map_err(|_| Failure::busy("as many clients follow events as may"))?;
    let feed = Feed {
        tokens: shared.tokens.clone(),
        shared,
        token: caller.into_token(),
        objects: query.objects,
        cursor: after,
        ready: VecDeque::new(),
        gaps: VecDeque::new(),
        positions,
        spoke: None,
        ended: false,
        _place: place,
    };
    let chunks = futures::stream::unfold(feed, async |mut feed| {
        let chunk = feed.next().await?;
        Some((Ok::<_, Infallible>(chunk), feed))
    });
    let kind = [(CONTENT_TYPE, "text/event-stream")];
    Ok((kind, Body::from_stream(chunks)).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let position = value.to_str().ok().and_then(|text| text.parse().ok());
    let reason = "Last-Event-ID is no position: the id of the last event is";
    position.map(Some).ok_or_else(|| Failure::malformed(reason))
}

/// One client's cursor.
struct Feed<B> {
    shared: Held<B>,
    token: Arc<Token>,
    objects: bool,
    /// What is complete up to here was sent or is ready.
    cursor: u64,
    ready: VecDeque<RecordView>,
    gaps: VecDeque<Gap>,
    positions: watch::Receiver<Position>,
    tokens: watch::Receiver<Arc<Tokens>>,
    /// When the client last heard something.
    spoke: Option<Instant>,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

impl<B: Backend> Feed<B> {
    /// What to send next, when there is something; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        let stop = self.shared.stop.clone();
        if self.ended {
            return None;
        }
        let told = stop.run_until_cancelled(self.tell()).await?;
        self.spoke = Some(Instant::now());
        Some(told.unwrap_or_else(|failure| {
            self.ended = true;
            block("problem", None, &failure.problem())
        }))
    }

    async fn tell(&mut self) -> Result<Bytes, Failure> {
        loop {
            // Looked at in every turn: a revoked token ends what it began.
            if !self
                .tokens
                .borrow_and_update()
                .list()
                .any(|known| *known == *self.token)
            {
                return Err(Failure::unauthenticated(
                    "this token is not known here any longer",
                ));
            }
            // In the order of their positions, which are where a client comes back to.
            let next = self.ready.front().map_or(u64::MAX, |record| record.position);
            if let Some(gap) = self.gaps.pop_front_if(|gap| gap.first < next) {
                return Ok(block("gap", Some(gap.last), &gap));
            }
            if let Some(record) = self.ready.pop_front() {
                return Ok(block("record", Some(record.position), &record));
            }
            let due = self.spoke.map_or_else(Instant::now, |spoke| spoke + HEARTBEAT);
            if due <= Instant::now() {
                return Ok(alive(self.cursor));
            }
            // Marked as seen before it is read, so that what comes meanwhile wakes this again.
            self.positions.borrow_and_update();
            if self.look().await? || !self.ready.is_empty() || !self.gaps.is_empty() {
                continue;
            }
            tokio::select! {
                changed = self.positions.changed() => changed.map_err(|_| Failure::stopping())?,
                changed = self.tokens.changed() => changed.map_err(|_| Failure::stopping())?,
                () = tokio::time::sleep_until(due) => {}
            }
        }
    }

    /// Reads on from the cursor; tells whether there is more.
    async fn look(&mut self) -> Result<bool, Failure> {
        let (cursor, objects, ceiling) = (self.cursor, self.objects, self.token.ceiling);
        let page = read(&self.shared, move |backend: &B| {
            backend.page(cursor, PAGE, objects, ceiling)
        });
        let page = page.await?;
        // A record whose body is still missing comes again where the body does.
        let complete = page
            .records
            .into_iter()
            .filter(|record| record.state != Readable::Awaited);
        self.ready.extend(complete);
        self.gaps.extend(page.gaps);
        self.cursor = page.next;
        Ok(page.more)
    }
}

/// A comment, with the position the client may come back to: an id without data is kept by it and
/// is no event.
fn alive(cursor: u64) -> Bytes {
    format!(": alive\nid: {cursor}\n\n").into()
}

/// One event. A line of data ends at CR, LF or both, and reads as LF: so do line breaks between the
/// tokens of an object.
fn block(event: &str, id: Option<u64>, data: &impl Serialize) -> Bytes {
    let json = serde_json::to_string(data).unwrap_or_default();
    let mut text = String::with_capacity(json.len() + 64);
    if let Some(id) = id {
        text.push_str(&format!("id: {id}\n"));
    }
    text.push_str(&format!("event: {event}\n"));
    for line in json.replace("\r\n", "\n").split(['\n', '\r']) {
        text.push_str("data: ");
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
    text.into()
}
