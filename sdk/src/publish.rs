//! Publishing any amount of input: in batches, two on their way at once so that the node always has
//! one to write, with the answers in the order of the input and every refusal by its line.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesOrdered;
use hanse_protocol::local::{PreviewReply, PublishReply, PublishRequest, Published, RECORD_OBJECTS, REQUEST};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::client::Client;
use crate::draft::Terms;
use crate::error::SdkError;
use crate::source::{Item, Source, SourceError};

#[cfg(test)]
mod tests;

/// Most objects of a batch: records come out full.
const BATCH: usize = 10 * RECORD_OBJECTS;

/// Size at which a batch is sent once its records are full, bytes.
const ENOUGH: usize = 2 << 20;

/// Size a batch never reaches, bytes: a request's bound less what stands around the objects.
const MOST: usize = REQUEST - (1 << 20);

/// Batches on their way at once.
const AT_ONCE: usize = 2;

/// How often a batch is offered to a node that says it is busy.
const TRIES: u32 = 30;

/// Longest wait between two tries.
const WAIT: Duration = Duration::from_secs(10);

/// Longest id that is repeated, bytes: a type of 250 characters and a UUID.
const ID: usize = 288;

/// Most sentences of the node that are passed on.
const WARNINGS: usize = 4;

/// A line of the input that was not published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedLine {
    /// The line the object begins on, from 1.
    pub line: u64,
    /// The object's id, if it has one that can be read.
    pub id: Option<String>,
    /// Why.
    pub reason: String,
}

/// How far publishing has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Objects that are published.
    pub published: u64,
    /// Records they are in.
    pub records: u64,
    /// Objects and lines that were refused.
    pub refused: u64,
}

/// Why publishing ended before the input did.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A batch was not taken. What comes before its first line is decided, and the report tells
    /// how; of what comes after it, that which the report names is published.
    #[error("the objects from line {line} on were not all published")]
    Node {
        /// The first line of the batch.
        line: u64,
        /// Why.
        #[source]
        source: SdkError,
    },
    /// The input could not be read on.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// What became of an input.
#[derive(Debug, Default)]
pub struct Report {
    /// Records that were published, in the order of the input.
    pub records: Vec<Published>,
    /// Lines that were refused, in order.
    pub refused: Vec<RefusedLine>,
    /// What the node says beside, each sentence once.
    pub warnings: Vec<String>,
    /// Why it ended early, if it did.
    pub ended: Option<PublishError>,
}

/// Publishes everything in `source` on the same terms. What is committed before something goes
/// wrong stays published, so there is a report in any case. `progress` is called after each batch.
pub async fn publish_all(
    client: &Client,
    source: Source,
    terms: &Terms,
    mut progress: impl FnMut(Progress),
) -> Report {
    let mut read = batches(source);
    let mut reading = true;
    let mut under_way = FuturesOrdered::new();
    let mut report = Report::default();
    let mut so_far = Progress::default();
    loop {
        let takes = reading && report.ended.is_none() && under_way.len() < AT_ONCE;
        if !takes && under_way.is_empty() {
            break;
        }
        tokio::select! {
            piece = read.recv(), if takes => match piece {
                None => reading = false,
                Some(Piece::Batch(batch)) => under_way.push_back(offer(client, batch, terms)),
                Some(Piece::Bad(line)) => {
                    so_far.refused += 1;
                    report.refused.push(line);
                }
                Some(Piece::Failed(error)) => report.ended = Some(error.into()),
            },
            Some((names, answer)) = under_way.next() => {
                merge(&mut report, &mut so_far, &names, answer);
                progress(so_far);
            }
        }
    }
    // Bad lines are met before the answers about lines around them.
    report.refused.sort_by_key(|refused| refused.line);
    report
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// More than the node rules on at once.
    #[error("there is more than fits one request: a preview is of at most {BATCH} objects")]
    TooMuch,
    /// A line that is no object.
    #[error("line {}: {}", .0.line, .0.reason)]
    Line(RefusedLine),
    /// There is no object in it.
    #[error("there is no object to preview")]
    Empty,
    /// The input could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The node did not answer.
    #[error(transparent)]
    Node(#[from] SdkError),
}

/// Asks who would get what of everything in `source`, which is one request's worth, and does nothing.
///
/// # Errors
/// [`PreviewError`].
pub async fn preview(client: &Client, source: Source, terms: &Terms) -> Result<PreviewReply, PreviewError> {
    let mut read = batches(source);
    let mut one: Option<Batch> = None;
    while let Some(piece) = read.recv().await {
        match piece {
            Piece::Batch(_) if one.is_some() => return Err(PreviewError::TooMuch),
            Piece::Batch(batch) => one = Some(batch),
            Piece::Bad(line) => return Err(PreviewError::Line(line)),
            Piece::Failed(error) => return Err(error.into()),
        }
    }
    let batch = one.ok_or(PreviewError::Empty)?;
    Ok(client.preview(&request(batch.objects, terms)).await?)
}

fn request(objects: Vec<Box<RawValue>>, terms: &Terms) -> PublishRequest {
    PublishRequest {
        objects,
        to: terms.to.clone(),
        tlp: terms.tlp,
        expires: terms.expires,
        preview: terms.preview.clone(),
    }
}

fn merge(report: &mut Report, so_far: &mut Progress, names: &Names, answer: Result<PublishReply, SdkError>) {
    let first = names.lines.first().copied().unwrap_or_default();
    match answer {
        Ok(reply) => {
            for record in &reply.records {
                so_far.published += u64::try_from(record.objects).unwrap_or(0);
                so_far.records += 1;
            }
            report.records.extend(reply.records);
            for warning in reply.warnings {
                // A sentence about one record of many batches is enough.
                if report.warnings.len() < WARNINGS && !report.warnings.contains(&warning) {
                    report.warnings.push(warning);
                }
            }
            for refused in reply.refused {
                so_far.refused += 1;
                let line = names.lines.get(refused.index).copied().unwrap_or(first);
                report.refused.push(RefusedLine {
                    line,
                    id: names.refused.get(&refused.index).cloned(),
                    reason: refused.reason,
                });
            }
        }
        Err(source) if report.ended.is_none() => {
            report.ended = Some(PublishError::Node { line: first, source });
        }
        // The first failure says why; a second one at its side adds nothing.
        Err(_) => {}
    }
}

/// Offers a batch until the node has time for it.
async fn offer(client: &Client, batch: Batch, terms: &Terms) -> (Names, Result<PublishReply, SdkError>) {
    let request = request(batch.objects, terms);
    let mut tries = 1;
    loop {
        match client.publish_request(&request).await {
            Err(SdkError::Busy { after, .. }) if tries < TRIES => {
                tries += 1;
                tokio::time::sleep(after.min(WAIT)).await;
            }
            answer => {
                let refused = answer.iter().flat_map(|reply| &reply.refused);
                let named = refused.filter_map(|refused| {
                    let id = id_of(request.objects.get(refused.index)?)?;
                    Some((refused.index, id))
                });
                let refused = named.collect();
                let lines = batch.lines;
                return (Names { lines, refused }, answer);
            }
        }
    }
}

/// What the objects of a batch are called when it is told what became of them.
struct Names {
    lines: Vec<u64>,
    /// Ids of those that were refused, by their places.
    refused: HashMap<usize, String>,
}

/// The id of an object, if it has one that is no longer than ids are.
fn id_of(object: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    let named: Named = serde_json::from_str(object.get()).ok()?;
    (named.id.len() <= ID).then_some(named.id)
}

/// Objects that are sent together.
#[derive(Debug, Default)]
struct Batch {
    objects: Vec<Box<RawValue>>,
    lines: Vec<u64>,
    bytes: usize,
}

/// What the reading thread hands over.
#[derive(Debug)]
enum Piece {
    Batch(Batch),
    Bad(RefusedLine),
    Failed(SourceError),
}

/// Reads a source on a blocking thread, one batch ahead.
fn batches(source: Source) -> mpsc::Receiver<Piece> {
    let (pieces, receiver) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || {
        for piece in (Batches {
            source,
            batch: Batch::default(),
            ready: VecDeque::new(),
            ended: false,
        }) {
            // Nobody listens any longer: nothing is left to read for.
            if pieces.blocking_send(piece).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A source, cut into batches.
struct Batches {
    source: Source,
    batch: Batch,
    ready: VecDeque<Piece>,
    ended: bool,
}

impl Iterator for Batches {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        while self.ready.is_empty() && !self.ended {
            match self.source.next() {
                Some(Ok(Item::Object(object))) => self.take(object.line, object.raw),
                Some(Ok(Item::Bad { line, reason })) => {
                    let id = None;
                    self.ready.push_back(Piece::Bad(RefusedLine { line, id, reason }));
                }
                Some(Err(error)) => {
                    self.ended = true;
                    self.cut();
                    self.ready.push_back(Piece::Failed(error));
                }
                None => {
                    self.ended = true;
                    self.cut();
                }
            }
        }
        self.ready.pop_front()
    }
}

impl Batches {
    fn take(&mut self, line: u64, raw: Box<RawValue>) {
        let bytes = raw.get().len() + 1;
        if self.batch.bytes + bytes > MOST {
            self.cut();
        }
        self.batch.bytes += bytes;
        self.batch.objects.push(raw);
        self.batch.lines.push(line);
        let count = self.batch.objects.len();
        if count >= BATCH || (count.is_multiple_of(RECORD_OBJECTS) && self.batch.bytes >= ENOUGH) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if !self.batch.objects.is_empty() {
            self.ready
                .push_back(Piece::Batch(std::mem::take(&mut self.batch)));
        }
    }
}
