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
use super::compare::{Comparing, Hidden};
use super::needs::{Needs, Work};
use super::talk::{self, Patience, TalkError};
use crate::exchange::{CharterFate, ExchangeError};
use crate::mesh::{MeshError, MeshStream};
use crate::store::StoreError;
use crate::store::entry::Position;

/// How often one conversation compares to the end, fetching in between.
const ROUNDS: usize = 16;

/// How long one conversation may take in all: then it is another peer's turn, and this one's goes on later
/// where it stopped.
const TURN: Duration = Duration::from_secs(2 * 60);

/// Of one conversation so many new records are much, so that who is waited for may send more of them: no
/// member can make up so many within the budget.
const MUCH: usize = 1_024;

/// Records of one conversation that may be refused, known already or never come, beside as many as became
/// known meanwhile, from whomever: what comes twice at once is nobody's fault.
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
    #[error("nothing of use came in the time of a conversation")]
    Barren,
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
                | Self::Barren
                | Self::Talk(TalkError::TooLarge(_) | TalkError::Malformed)
        );
        garbage || self.is_silence()
    }

    /// Whether what was compared so far stands: the peer answered as it should, as far as it did.
    fn is_cut(&self) -> bool {
        !self.is_waste() || self.is_silence() || matches!(self, Self::Slow | Self::Barren)
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

/// What a conversation that was not broken off entitles to conclude of this one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was compared with from one end to the other, and all it told that this node lacked is held or
    /// was turned away.
    Whole,
    /// It holds what it did not give, or says so.
    Left,
    /// Its time was up while new records came, so many: there may be more.
    More(usize),
}

impl Outcome {
    /// Whether the conversation is only to be continued.
    pub(super) const fn goes_on(self) -> bool {
        matches!(self, Self::More(_))
    }

    /// Whether so much came that the rest is worth waiting for.
    pub(super) const fn brings_much(self) -> bool {
        matches!(self, Self::More(admitted) if admitted >= MUCH)
    }
}

/// A conversation under way.
pub(super) struct Conversation<'a> {
    pub(super) healer: &'a Healer,
    pub(super) peer: NodeId,
    pub(super) line: Line,
    pub(super) charters: Arc<CharterChain>,
    /// What is being compared.
    pub(super) comparing: Option<Comparing>,
    /// What is being compared under a key of the two.
    pub(super) hidden: Option<Hidden>,
    /// Records that were new.
    pub(super) admitted: usize,
    /// Records that were of no use.
    pub(super) idle: usize,
    /// The store's newest entry when it began.
    began_at: Position,
    /// Whether it is we who keep the peer waiting.
    pub(super) ours: bool,
}

impl Drop for Conversation<'_> {
    /// However it ends, what was compared is kept, and what its peer claimed is for its next conversation.
    fn drop(&mut self) {
        self.healer.progress.needs().forget(&self.peer);
        if let Some(comparing) = self.comparing.take() {
            self.healer.passes.put(self.peer, comparing.pass);
        }
        if let Some(hidden) = self.hidden.take() {
            self.healer.daily.put_off(self.peer, hidden);
        }
    }
}

impl Healer {
    /// One conversation with one peer, and what came of it. `grace` is given to gossip before what is
    /// missing is fetched.
    pub(super) async fn ask(&self, peer: NodeId, grace: Duration) -> Result<Outcome, AskError> {
        self.settle_charter(peer).await?;
        let standing = self.exchange.standing();
        let Some(charters) = standing.charters.clone() else {
            return Ok(Outcome::Left);
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
            comparing: self.passes.take(&peer).map(Comparing::resumed),
            hidden: None,
            admitted: 0,
            idle: 0,
            began_at: self.store.newest(),
            ours: false,
        };
        match tokio::time::timeout(TURN, conversation.run(grace)).await {
            Ok(Err(error)) if !error.is_cut() => {
                // Whoever answers wrongly begins anew.
                (conversation.comparing, conversation.hidden) = (None, None);
                Err(error)
            }
            Ok(outcome) => outcome,
            Err(_) => time_is_up(conversation.admitted, conversation.ours),
        }
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

/// What is concluded when the time of a conversation is up: `ours` says that it is we who kept the peer
/// waiting.
const fn time_is_up(admitted: usize, ours: bool) -> Result<Outcome, AskError> {
    if admitted > 0 || ours {
        Ok(Outcome::More(admitted))
    } else {
        Err(AskError::Barren)
    }
}

impl Conversation<'_> {
    async fn run(&mut self, grace: Duration) -> Result<Outcome, AskError> {
        self.check_daily().await?;
        let (mut least, mut before, mut passes) = (usize::MAX, self.admitted, 0);
        let mut grace = Some(grace).filter(|grace| !grace.is_zero());
        loop {
            let found = self.compare().await?;
            if found > 0 {
                self.healer.progress.lacks();
                if let Some(grace) = grace.take() {
                    tokio::time::sleep(grace).await;
                }
            }
            self.fetch_all().await?;
            let Some(ended) = self.comparing.take_if(|comparing| comparing.pass.is_done()) else {
                continue;
            };
            // What went on where it stopped says nothing of what was compared before.
            if ended.whole {
                if ended.found == 0 {
                    self.still_stands()?;
                    let left = !self.fruitless().is_empty() || self.healer.daily.is_owing(&self.peer);
                    return Ok(if left { Outcome::Left } else { Outcome::Whole });
                }
                // What is still missing is what this peer cannot serve or this node cannot take.
                passes += 1;
                if passes == ROUNDS || (self.admitted == before && ended.found >= least) {
                    return Ok(Outcome::Left);
                }
                least = least.min(ended.found);
            }
            before = self.admitted;
        }
    }

    /// Fetches from this peer until nothing is left that it claims.
    pub(super) async fn fetch_all(&mut self) -> Result<(), AskError> {
        let needs: Needs = self.healer.progress.needs().clone();
        let mut waits = 0;
        loop {
            match needs.work(self.peer, Instant::now()) {
                Work::Fetch(lease) => {
                    waits = 0;
                    self.fetch(&lease).await?;
                }
                Work::Look(spans) => {
                    waits = 0;
                    self.look(spans).await?;
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
        let came = self.healer.store.newest().0.saturating_sub(self.began_at.0);
        let came = usize::try_from(came).unwrap_or(usize::MAX).max(self.admitted);
        if self.idle <= IDLE.saturating_add(came) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_drags_a_conversation_out_is_left_alone_and_not_waited_for() {
        let barren = time_is_up(0, false).unwrap_err();
        // What was compared is kept all the same: an honest one on a thin line gets through some day.
        assert!(barren.is_waste() && barren.is_cut() && !barren.is_silence());
        let drip = time_is_up(1, false).unwrap();
        assert!(drip.goes_on() && !drip.brings_much() && drip != Outcome::Whole);
        assert!(time_is_up(5_000, false).unwrap().brings_much());
        // Our own disk is no fault of a peer's.
        assert!(time_is_up(0, true).is_ok());
    }
}
