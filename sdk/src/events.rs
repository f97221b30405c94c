//! Records as they become complete at the node: a stream that goes on by itself where it was cut
//! off, with nothing missed or doubled.

use std::time::Duration;

use futures::Stream;
use hanse_protocol::local::{Problem, RecordView};
use reqwest::Response;

use crate::client::Client;
use crate::error::SdkError;
use blocks::{Block, Blocks};

mod blocks;
#[cfg(test)]
mod tests;

/// How long the node is quiet at most, thrice over: it says that it is alive every 15 s.
const SILENCE: Duration = Duration::from_secs(45);

/// First wait before coming back; each that follows is twice as long.
const FIRST: Duration = Duration::from_millis(250);

/// Longest wait before coming back.
const LONGEST: Duration = Duration::from_secs(30);

/// What following the events of a node comes upon.
#[derive(Debug)]
pub enum Heard {
    /// A record became complete.
    Record(Box<RecordView>),
    /// The node cannot be reached, and is tried again and again. Told once until it is back.
    Away,
    /// The node that was away is back. Nothing was missed.
    Back,
}

/// A client's cursor over the node's log.
pub(crate) struct Following {
    client: Client,
    after: Option<u64>,
    objects: bool,
    connection: Option<(Response, Blocks)>,
    /// Whether the node answered ever: until it does, an error is the caller's to hear.
    met: bool,
    wait: Duration,
    away: bool,
    ended: bool,
}

/// What comes of asking for the next record.
enum Step {
    Heard(Heard),
    Nothing,
    ComeBack,
}

impl Following {
    pub(crate) fn new(client: Client, after: Option<u64>, objects: bool) -> Self {
        Self {
            client,
            after,
            objects,
            connection: None,
            met: false,
            wait: FIRST,
            away: false,
            ended: false,
        }
    }

    pub(crate) fn stream(self) -> impl Stream<Item = Result<Heard, SdkError>> + Send {
        futures::stream::unfold(self, async |mut following| {
            let next = following.next().await?;
            Some((next, following))
        })
    }

    async fn next(&mut self) -> Option<Result<Heard, SdkError>> {
        while !self.ended {
            match self.step().await {
                Ok(Step::Heard(heard)) => return Some(Ok(heard)),
                Ok(Step::Nothing) => {}
                Ok(Step::ComeBack) => {
                    self.connection = None;
                    tokio::time::sleep(self.wait).await;
                    self.wait = self.wait.saturating_mul(2).min(LONGEST);
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }

    async fn step(&mut self) -> Result<Step, SdkError> {
        let Some((response, blocks)) = &mut self.connection else {
            return self.connect().await;
        };
        if let Some(block) = blocks.next() {
            return self.take(block);
        }
        match tokio::time::timeout(SILENCE, response.chunk()).await {
            Ok(Ok(Some(chunk))) => blocks.push(&chunk).map(|()| Step::Nothing),
            // The end, an error and silence are one: what was not taken whole comes again.
            Ok(Ok(None) | Err(_)) | Err(_) => Ok(Step::ComeBack),
        }
    }

    async fn connect(&mut self) -> Result<Step, SdkError> {
        match self.client.follow(self.after, self.objects).await {
            Ok(response) => {
                self.met = true;
                self.connection = Some((response, Blocks::default()));
                Ok(match std::mem::take(&mut self.away) {
                    true => Step::Heard(Heard::Back),
                    false => Step::Nothing,
                })
            }
            Err(
                SdkError::Unreachable { .. }
                | SdkError::Silent { .. }
                | SdkError::Broken { .. }
                | SdkError::Busy { .. },
            ) if self.met => Ok(match std::mem::replace(&mut self.away, true) {
                true => Step::ComeBack,
                false => Step::Heard(Heard::Away),
            }),
            Err(error) => Err(error),
        }
    }

    fn take(&mut self, block: Block) -> Result<Step, SdkError> {
        if block.event == "problem" {
            let problem: Problem = self.read(&block.data)?;
            return match problem.status {
                503 => Ok(Step::ComeBack),
                _ => Err(SdkError::Problem(problem)),
            };
        }
        let position = block.id.and_then(|id| id.parse().ok());
        if !block.data.is_empty() && block.event == "record" {
            let record: RecordView = self.read(&block.data)?;
            self.after = Some(record.position);
            self.wait = FIRST;
            return Ok(Step::Heard(Heard::Record(Box::new(record))));
        }
        // A sign of life says how far the node has looked.
        self.after = position.or(self.after);
        Ok(Step::Nothing)
    }

    fn read<T: serde::de::DeserializeOwned>(&self, data: &str) -> Result<T, SdkError> {
        serde_json::from_str(data).map_err(|source| SdkError::Answer {
            api: self.client.api().to_owned(),
            status: 200,
            source: Some(source),
        })
    }
}
