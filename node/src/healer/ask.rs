//! One conversation with one peer: settle the charter, compare, fetch what is missing, compare again
//! until nothing is.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use hanse_protocol::charter::call::{self, CharterAnswer, CharterQuestion};
use hanse_protocol::charter::{CharterChain, CharterHash};
use hanse_protocol::heal::{Answer, MESSAGE, Question};
use hanse_protocol::identity::NodeId;
use hanse_protocol::reconcile::{PassError, Place};
use tokio::time::Instant;

use super::Healer;
use super::answer::JUDGED;
use super::needs::{Needs, Work};
use super::talk::{self, Patience, TalkError};
use crate::exchange::{CharterFate, ExchangeError};
use crate::mesh::{MeshError, MeshStream};
use crate::store::StoreError;

/// How often one conversation compares, fetching in between.
const ROUNDS: usize = 16;

/// Records of one conversation that may be refused, known already or never come, beside as many as are
/// of use.
const IDLE: usize = 4_096;

/// How often it is looked again, a second each, whether others left something to fetch.
const WAITS: usize = 12;

/// Why healing with a peer stopped early.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("the mesh: {0}")]
    Mesh(#[from] MeshError),
    #[error("the stream: {0}")]
    Talk(#[from] TalkError),
    #[error("the exchange: {0}")]
    Exchange(#[from] ExchangeError),
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    #[error("a reading thread ended early")]
    Thread(#[from] tokio::task::JoinError),
    #[error("the peer closed the stream: it is busy, or gone")]
    Closed,
    #[error("the peer broke the protocol")]
    Protocol,
    #[error("the peer does not answer as it should: {0}")]
    Pass(#[from] PassError),
    #[error("the peer sends what is of no use, or not what it says it has")]
    Useless,
    #[error("the peer was too slow: another was asked")]
    Slow,
    #[error("the peer asks to be asked later")]
    Later,
    #[error("the peer stands under another charter, or this node since")]
    OtherCharter,
    #[error("what a new charter ended is still being looked through here")]
    Judging,
    #[error("the peer does not list us yet; it closes and is dialled again")]
    Redial,
}

impl AskError {
    /// Whether the peer wasted our time, and may wait for the next conversation.
    pub(super) fn is_waste(&self) -> bool {
        let garbage = matches!(
            self,
            Self::Protocol
                | Self::Pass(_)
                | Self::Useless
                | Self::Slow
                | Self::Talk(TalkError::TooLarge(_) | TalkError::Malformed)
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

/// A healing stream.
pub(super) struct Line {
    stream: MeshStream,
    patience: Patience,
}

impl Line {
    pub(super) async fn open(healer: &Healer, peer: NodeId) -> Result<Self, AskError> {
        Ok(Self {
            stream: healer.mesh.open_stream(peer).await?,
            patience: Patience::default(),
        })
    }

    pub(super) async fn ask(&mut self, question: &Question) -> Result<(), AskError> {
        talk::send(&mut self.stream, question, &mut self.patience).await?;
        Ok(talk::flush(&mut self.stream, &mut self.patience).await?)
    }

    pub(super) async fn hear(&mut self) -> Result<Answer, AskError> {
        match talk::receive(&mut self.stream, MESSAGE, &mut self.patience).await? {
            Some(Answer::OtherCharter(_)) => Err(AskError::OtherCharter),
            Some(answer) => Ok(answer),
            None => Err(AskError::Closed),
        }
    }
}

/// A conversation under way.
pub(super) struct Conversation<'a> {
    pub(super) healer: &'a Healer,
    pub(super) peer: NodeId,
    pub(super) line: Line,
    pub(super) charters: Arc<CharterChain>,
    /// Records that were new.
    pub(super) admitted: usize,
    /// Records that were of no use.
    pub(super) idle: usize,
}

impl Healer {
    /// One conversation with one peer; whether it holds nothing now that this node lacks. `grace` is
    /// given to gossip before what is missing is fetched.
    pub(super) async fn ask(&self, peer: NodeId, grace: Duration) -> Result<bool, AskError> {
        self.settle_charter(peer).await?;
        let standing = self.exchange.standing();
        let Some(charters) = standing.charters.clone() else {
            return Ok(false);
        };
        let newest = charters.newest().hash();
        if !self.exchange.is_judged_under(&newest, JUDGED).await {
            return Err(AskError::Judging);
        }
        self.start_under(newest);
        let mut conversation = Conversation {
            healer: self,
            peer,
            line: Line::open(self, peer).await?,
            charters,
            admitted: 0,
            idle: 0,
        };
        conversation.check_daily().await?;
        conversation.run(grace).await
    }

    /// Forgets what was found under another charter: what it ended is served by nobody any longer, and
    /// what was asked for in vain may be there.
    fn start_under(&self, newest: CharterHash) {
        let mut under = self.under.lock().unwrap_or_else(PoisonError::into_inner);
        if under.replace(newest).is_some_and(|before| before != newest) {
            self.progress.needs().clear();
            self.fruitless.clear();
            self.passes.clear();
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
        self.progress.note_turned_away(peer, away);
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
                self.progress.note_turned_away(peer, false);
                Err(AskError::Redial)
            }
            CharterAnswer::Adopted | CharterAnswer::NotAdopted => Err(AskError::Protocol),
        }
    }

    async fn call(&self, peer: NodeId, question: &CharterQuestion) -> Result<CharterAnswer, AskError> {
        let answer = self.mesh.call_charter(peer, call::encode(question)).await?;
        call::decode(&answer).map_err(|_| AskError::Protocol)
    }
}

impl Conversation<'_> {
    async fn run(&mut self, grace: Duration) -> Result<bool, AskError> {
        let mut least = usize::MAX;
        for round in 0..ROUNDS {
            let admitted = self.admitted;
            let missing = self.compare().await?;
            if missing == 0 {
                return Ok(self.fruitless().is_empty());
            }
            self.healer.progress.lacks();
            if round == 0 && !grace.is_zero() {
                tokio::time::sleep(grace).await;
            }
            self.fetch_all().await?;
            // What is still missing is what this peer cannot serve or this node cannot take.
            if self.admitted == admitted && missing >= least {
                break;
            }
            least = least.min(missing);
        }
        Ok(false)
    }

    /// Fetches from this peer until nothing is left that it may have.
    async fn fetch_all(&mut self) -> Result<(), AskError> {
        let needs: Needs = self.healer.progress.needs().clone();
        let mut waits = 0;
        loop {
            match needs.work(self.peer, Instant::now()) {
                Work::Fetch(lease) => {
                    waits = 0;
                    self.fetch(&lease).await?;
                }
                Work::Wait if waits < WAITS => {
                    waits += 1;
                    needs.changed().await;
                }
                Work::Wait | Work::Nothing => return Ok(()),
            }
        }
    }

    /// Counts what came and was of use or not. A peer that sends much that is not is left alone.
    pub(super) fn count(&mut self, useful: usize, idle: usize) -> Result<(), AskError> {
        self.admitted += useful;
        self.idle += idle;
        if self.idle <= IDLE + self.admitted {
            return Ok(());
        }
        // What a new charter ended here is of no use, and the peer may not have heard of it.
        self.still_stands()?;
        Err(AskError::Useless)
    }

    /// Whether the charter in force here is still that of this conversation.
    pub(super) fn still_stands(&self) -> Result<(), AskError> {
        let standing = self.healer.exchange.standing();
        let newest = standing
            .charters
            .as_ref()
            .map(|charters| charters.newest().hash());
        if newest == Some(self.charters.newest().hash()) {
            Ok(())
        } else {
            Err(AskError::OtherCharter)
        }
    }

    /// What this peer was asked for in vain.
    pub(super) fn fruitless(&self) -> Arc<BTreeSet<Place>> {
        self.healer.fruitless.of(&self.peer)
    }
}
