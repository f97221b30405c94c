//! The asking half: settle the charter, compare holdings, fetch what is missing, pull bodies.

use std::time::Duration;

use hanse_protocol::charter::call::{self, CharterAnswer, CharterQuestion};
use hanse_protocol::frame::Carried;
use hanse_protocol::heal::{Answer, MESSAGE, Question, Run};
use hanse_protocol::identity::{NodeId, RecordId};
use rand::seq::SliceRandom;

use super::Healer;
use super::talk::{self, Patience, TalkError};
use crate::exchange::{BodyFate, CharterFate, ExchangeError};
use crate::mesh::{MeshError, MeshStream};
use crate::store::entry::Origin;

/// Records and bytes handed to the exchange at once while healing.
const BATCH_RECORDS: usize = 128;
const BATCH_BYTES: usize = 1 << 20;

/// Most runs fetched in one conversation; the rest follows in the next.
const RUNS: usize = 4_096;

/// Most records of one conversation that may be refused or known already.
const IDLE: usize = 4_096;

/// Why healing with a peer stopped early.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("the mesh: {0}")]
    Mesh(#[from] MeshError),
    #[error("the stream: {0}")]
    Talk(#[from] TalkError),
    #[error("the exchange: {0}")]
    Exchange(#[from] ExchangeError),
    #[error("the peer closed the stream: it is busy, or gone")]
    Closed,
    #[error("the peer broke the protocol")]
    Protocol,
    #[error("the peer stands under another charter")]
    OtherCharter,
    #[error("the peer does not list us yet; it closes and is dialled again")]
    Redial,
}

impl AskError {
    /// Whether the peer wasted our time, and may wait for the next conversation.
    pub(super) fn is_waste(&self) -> bool {
        let garbage = matches!(
            self,
            Self::Protocol | Self::Talk(TalkError::TooLarge(_) | TalkError::Malformed)
        );
        garbage || self.is_silence()
    }

    /// Whether the link itself may be dead: the other end took it up and then said nothing.
    pub(super) fn is_silence(&self) -> bool {
        matches!(
            self,
            Self::Talk(TalkError::TooSlow) | Self::Mesh(MeshError::Timeout(_))
        )
    }
}

impl Healer {
    /// One conversation with one peer. `grace` is given to gossip before what is missing is fetched. Answers
    /// what the peer says it holds.
    pub(super) async fn ask(&self, peer: NodeId, grace: Duration) -> Result<Vec<Run>, AskError> {
        self.settle_charter(peer).await?;
        let standing = self.exchange.standing();
        let Some(charters) = &standing.charters else {
            return Ok(Vec::new());
        };
        let mut stream = self.mesh.open_stream(peer).await?;
        let mut patience = Patience::default();
        let question = Question::Holdings(charters.newest().reference());
        talk::send(&mut stream, &question, &mut patience).await?;
        talk::flush(&mut stream, &mut patience).await?;
        let theirs = match talk::receive(&mut stream, MESSAGE, &mut patience).await? {
            Some(Answer::Holdings(runs)) => runs,
            Some(Answer::OtherCharter(_)) => return Err(AskError::OtherCharter),
            None => return Err(AskError::Closed),
            _ => return Err(AskError::Protocol),
        };
        if !grace.is_zero() && theirs.iter().any(|run| !self.exchange.lacking(run).is_empty()) {
            tokio::time::sleep(grace).await;
        }
        // What a peer tells of authors that no charter lists is nothing to ask for.
        let listed = theirs
            .iter()
            .filter(|run| charters.charter().member(&run.author).is_some());
        let lacking = listed.flat_map(|run| self.exchange.lacking(run)).take(RUNS);
        let mut idle = 0;
        for run in lacking.collect::<Vec<_>>() {
            self.fetch(peer, (&mut stream, &mut patience), run, &mut idle)
                .await?;
        }
        Ok(theirs)
    }

    /// Fetches one run and hands it to the exchange in batches, waiting for each commit.
    /// `idle` counts what was sent and is of no use: a peer that sends much of it is left alone.
    async fn fetch(
        &self,
        peer: NodeId,
        (stream, patience): (&mut MeshStream, &mut Patience),
        run: Run,
        idle: &mut usize,
    ) -> Result<(), AskError> {
        talk::send(stream, &Question::Records(run), patience).await?;
        talk::flush(stream, patience).await?;
        let mut batch: Vec<Carried> = Vec::new();
        let mut bytes = 0;
        loop {
            match talk::receive(stream, MESSAGE, patience).await? {
                Some(Answer::Record(carried)) => {
                    bytes += carried.header.len() + carried.body.as_ref().map_or(0, Vec::len);
                    batch.push(carried);
                    if batch.len() >= BATCH_RECORDS || bytes >= BATCH_BYTES {
                        self.hand_over(peer, std::mem::take(&mut batch), idle).await?;
                        bytes = 0;
                    }
                }
                Some(Answer::End) => break,
                None => return Err(AskError::Closed),
                _ => return Err(AskError::Protocol),
            }
        }
        if !batch.is_empty() {
            self.hand_over(peer, batch, idle).await?;
        }
        Ok(())
    }

    async fn hand_over(&self, peer: NodeId, batch: Vec<Carried>, idle: &mut usize) -> Result<(), AskError> {
        let sent = batch.len();
        let healed = self.exchange.heal(peer, batch, Origin::Heal).await?;
        *idle += sent.saturating_sub(healed.admitted);
        if *idle > IDLE {
            Err(AskError::Protocol)
        } else {
            Ok(())
        }
    }

    /// Makes both sides stand under the newer of their charters.
    async fn settle_charter(&self, peer: NodeId) -> Result<(), AskError> {
        let standing = self.exchange.standing();
        let Some(charters) = &standing.charters else {
            return Ok(());
        };
        let head = CharterQuestion::Head(charters.head());
        let answer = self.call(peer, &head).await?;
        let away = answer == CharterAnswer::Unlisted;
        self.healed_at.note_turned_away(peer, away);
        match answer {
            CharterAnswer::Same => Ok(()),
            CharterAnswer::Newer(newer) => match self.exchange.charters(newer).await? {
                CharterFate::Refused(_) => Err(AskError::Protocol),
                _ => Ok(()),
            },
            CharterAnswer::Older(older) => {
                let offer = CharterQuestion::Offer(charters.encode_after(&older));
                self.call(peer, &offer).await.map(drop)
            }
            CharterAnswer::Unlisted => {
                let offer = CharterQuestion::Offer(charters.encode());
                self.call(peer, &offer).await?;
                // It did not close: it has let this node in.
                self.healed_at.note_turned_away(peer, false);
                Err(AskError::Redial)
            }
            CharterAnswer::Adopted | CharterAnswer::NotAdopted => Err(AskError::Protocol),
        }
    }

    async fn call(&self, peer: NodeId, question: &CharterQuestion) -> Result<CharterAnswer, AskError> {
        let answer = self.mesh.call_charter(peer, call::encode(question)).await?;
        call::decode(&answer).map_err(|_| AskError::Protocol)
    }

    /// Pulls a body: from who announced it, then from others, until one gives the true one.
    pub(super) async fn pull_body(&self, id: RecordId, courier: Option<NodeId>) -> &'static str {
        let mut peers: Vec<NodeId> = self.links.now().into_iter().collect();
        peers.shuffle(&mut rand::rng());
        peers.retain(|peer| Some(*peer) != courier);
        let mut peers: Vec<NodeId> = courier.into_iter().chain(peers).collect();
        // Who lately wasted our time is asked last.
        peers.sort_by_key(|peer| self.shunned.is(peer));
        for peer in peers {
            match self.pull_from(peer, id).await {
                Ok(Some(BodyFate::Kept | BodyFate::NotAwaited)) => return "kept",
                Ok(Some(BodyFate::Wrong)) => {
                    tracing::warn!(record = %id, peer = %peer, "a peer sent a body that is not the record's");
                }
                Ok(None) => {}
                Err(error) => {
                    if error.is_waste() {
                        self.shunned.add(peer);
                    }
                    tracing::debug!(record = %id, peer = %peer, %error, "body not pulled");
                }
            }
        }
        "not-found"
    }

    async fn pull_from(&self, peer: NodeId, id: RecordId) -> Result<Option<BodyFate>, AskError> {
        let mut stream = self.mesh.open_stream(peer).await?;
        let mut patience = Patience::default();
        talk::send(&mut stream, &Question::Body(id), &mut patience).await?;
        talk::flush(&mut stream, &mut patience).await?;
        match talk::receive(&mut stream, MESSAGE, &mut patience).await? {
            Some(Answer::Body(body)) => Ok(Some(self.exchange.body(id, body, Origin::Heal).await?)),
            Some(Answer::NotHeld | Answer::Gone) => Ok(None),
            None => Err(AskError::Closed),
            _ => Err(AskError::Protocol),
        }
    }
}
