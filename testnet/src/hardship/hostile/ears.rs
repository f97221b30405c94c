//! What reaches a hostile member, and what it answers.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hanse_node::mesh::{CharterAnswer, Membership, MeshEvent, MeshHandle, MeshStream, Verdict};
use hanse_protocol::charter::call::{self, CharterAnswer as Told};
use hanse_protocol::heal::{self, Answer, Run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::super::scenario::Does;
use super::Tally;
use crate::dice::Dice;

/// Frames that are remembered to be played again.
const REMEMBERED: usize = 256;

/// Largest question that is read, bytes.
const QUESTION: u32 = 1 << 20;

/// Frames that were heard, the newest last.
pub(super) type Heard = Arc<Mutex<VecDeque<Vec<u8>>>>;

/// A frame that was heard, drawn.
pub(super) fn one_of(heard: &Heard, dice: &mut Dice) -> Option<Vec<u8>> {
    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    heard.get(dice.below(heard.len())).cloned()
}

/// The listening half of a hostile member.
pub(super) struct Ears {
    mesh: MeshHandle,
    events: mpsc::Receiver<MeshEvent>,
    /// Kept, for whom it lists it dials.
    listed: watch::Sender<Arc<Membership>>,
    heard: Heard,
    tally: Arc<Tally>,
}

impl Ears {
    pub(super) fn new(
        mesh: MeshHandle,
        events: mpsc::Receiver<MeshEvent>,
        listed: watch::Sender<Arc<Membership>>,
        heard: Heard,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            mesh,
            events,
            listed,
            heard,
            tally,
        }
    }

    /// Passes nothing on, and answers as its kind does.
    pub(super) async fn listen(mut self, does: Does, mut dice: Dice) {
        let mut talks = JoinSet::new();
        while let Some(event) = self.events.recv().await {
            while talks.try_join_next().is_some() {}
            match event {
                MeshEvent::Frame { ticket, bytes, .. } => {
                    self.mesh.verdict(ticket, Verdict::Ignore);
                    let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
                    heard.push_back(bytes);
                    if heard.len() > REMEMBERED {
                        heard.pop_front();
                    }
                }
                // It says that it stands under the same charter, so that it is talked to further.
                MeshEvent::CharterCall { answer, .. } => {
                    drop(answer.send(CharterAnswer::Send(call::encode(&Told::Same))));
                }
                MeshEvent::Stream { stream, .. } => {
                    self.tally.streams.fetch_add(1, Ordering::Relaxed);
                    let (tally, dice) = (Arc::clone(&self.tally), dice.split());
                    match does {
                        Does::Liar => drop(talks.spawn(async move { drop(lie(stream, &tally, dice).await) })),
                        Does::Withholder | Does::SlowReader => drop(talks.spawn(hold(stream))),
                        _ => drop(stream),
                    }
                }
                MeshEvent::Connected(_) | MeshEvent::Disconnected(_) => {}
            }
        }
        drop(self.listed);
    }
}

/// Takes questions and says nothing, for as long as the other side bears it.
async fn hold(mut stream: MeshStream) {
    let mut buffer = [0; 1_024];
    while stream.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
}

/// Answers every question with something else.
async fn lie(mut stream: MeshStream, tally: &Tally, mut dice: Dice) -> std::io::Result<()> {
    loop {
        let length = stream.read_u32().await?;
        if length > QUESTION {
            return Ok(());
        }
        let mut question = vec![0; usize::try_from(length).unwrap_or_default()];
        stream.read_exact(&mut question).await?;
        tally.answers.fetch_add(1, Ordering::Relaxed);
        match dice.below(5) {
            // It holds what nobody ever wrote.
            0 => answer(&mut stream, &heal::encode(&Answer::Holdings(invented(&mut dice)))).await?,
            // The question is its own answer.
            1 => answer(&mut stream, &question).await?,
            // No message at all, of a length that could be one.
            2 => {
                let length = dice.between(1, 4_096);
                let noise: Vec<u8> = (0..length).map(|_| noise(&mut dice)).collect();
                answer(&mut stream, &noise).await?;
            }
            // Parts without an end.
            3 => loop {
                answer(&mut stream, &heal::encode(&Answer::NotHeld)).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            },
            // A long answer is announced and comes a byte at a time.
            _ => {
                stream.write_u32(200_000).await?;
                loop {
                    stream.write_u8(noise(&mut dice)).await?;
                    stream.flush().await?;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }
}

fn noise(dice: &mut Dice) -> u8 {
    u8::try_from(dice.below(256)).unwrap_or_default()
}

fn invented(dice: &mut Dice) -> Vec<Run> {
    let run = |number: usize| {
        Some(Run {
            author: format!("nobody-{number}").parse().ok()?,
            lane: 0,
            epoch: 0,
            first: 1,
            last: dice.number() >> 20,
        })
    };
    (10..40).filter_map(run).collect()
}

async fn answer(stream: &mut MeshStream, bytes: &[u8]) -> std::io::Result<()> {
    stream
        .write_u32(u32::try_from(bytes.len()).unwrap_or_default())
        .await?;
    stream.write_all(bytes).await?;
    stream.flush().await
}
