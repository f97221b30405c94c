//! What reaches a hostile member, and what it answers.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use hanse_node::mesh::{CharterAnswer, Membership, MeshEvent, MeshHandle, MeshStream, Verdict};
use hanse_protocol::charter::call::{self, CharterAnswer as Told};
use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::super::scenario::Does;
use super::{Tally, lying};
use crate::dice::Dice;

/// Frames that are remembered to be played again.
const REMEMBERED: usize = 256;

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
                        Does::Liar => {
                            drop(talks.spawn(async move { drop(lying::lie(stream, &tally, dice).await) }))
                        }
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
