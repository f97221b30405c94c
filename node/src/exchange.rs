//! Both journeys of a record, and all writing: what is published here and what arrives from peers
//! meet in one synchronous thread, which is the only one that changes anything.
//!
//! Work comes in over two bounded queues, one for what peers bring and one for what is asked here, which
//! take turns. The thread drains what is ready, takes each piece up to
//! the point of the commit, commits all of it as one frame of the log, and only then answers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hanse_protocol::charter::member::Profile;
use hanse_protocol::charter::proposal::Proposal;
use hanse_protocol::charter::{CharterChain, CharterHash};
use hanse_protocol::frame::Carried;
use hanse_protocol::identity::{Handle, NodeId, RecordId};
use hanse_protocol::local;
use hanse_protocol::reconcile::{Place, Span};
use hanse_protocol::timestamp::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clocks;
use crate::heads::{self, Freeze};
use crate::member::Member;
use crate::store::entry::{Origin, Position};

pub(crate) mod accepting;
mod ahead;
mod batch;
mod beyond;
mod budget;
mod chains;
mod command;
mod complaints;
mod derive;
pub(crate) mod elsewhere;
mod ended;
mod error;
mod forwarding;
mod held;
mod judging;
mod keeping;
mod membership;
mod packing;
pub(crate) mod publish;
mod rates;
mod receipts;
mod receive;
mod recent;
mod restored;
mod retracting;
mod review;
mod shedding;
#[cfg(test)]
mod tests;
mod turns;
mod worker;

pub use accepting::Accepting;
pub(crate) use beyond::counts;
pub use budget::Overdrawn;
use command::{Command, Reply};
pub(crate) use complaints::Complaints;
pub use derive::{BrokenCharters, Deriver};
pub use error::ExchangeError;
pub use forwarding::{Forward, ForwardFate, passed_on};
pub(crate) use held::ASIDE_RECORDS;
pub use held::{Flaws, Missing, Twin};
pub(crate) use keeping::trusting;
pub use keeping::{Retention, trusted};
pub(crate) use membership::view_of;
pub use receipts::{Receipt, receipts};
pub use restored::{Home, Restored};
pub(crate) use review::Review;
pub use worker::{Parts, StartError, Thread, start};

/// Pieces of work that peers brought and that may wait for the exchange; a full queue means Ignore for
/// gossip.
pub const INBOX: usize = 1_024;

/// Pieces of work that were asked for here and may wait; callers wait for a place.
pub const DESK: usize = 256;

/// Who asked for something: for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor(pub String);

/// Something that was done beside the exchange and is for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// Who did it.
    pub actor: Actor,
    /// What was done.
    pub action: &'static str,
    /// To what: names, ids and hashes.
    pub subject: String,
}

/// Where this node stands: replaced as a whole whenever it changes.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Who we are.
    pub profile: Profile,
    /// This node.
    pub node: NodeId,
    /// The community's charters, if this node belongs to one.
    pub charters: Option<Arc<CharterChain>>,
    /// Proposals known here that may still come into force.
    pub proposals: Arc<Vec<Proposal>>,
    /// Why nothing is sealed now, if nothing is.
    pub frozen: Option<Freeze>,
}

/// What the mesh is told of a gossip frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// New and admitted: pass it on.
    Accept,
    /// The courier should not have passed it on.
    Reject,
    /// Nothing new, or nothing anybody is to blame for.
    Ignore,
}

/// What a frame cost us that brought nothing, in signatures checked or about as much work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Idle(pub u32);

impl Idle {
    /// For a word that is not a record and told nothing: a signature checked.
    pub const WORD: Self = Self(8);
}

/// Takes the verdict to the mesh, with what came of no use. Called once, before the commit: passing on
/// needs admission only.
pub type VerdictReply = Box<dyn FnOnce(Verdict, Idle) + Send>;

/// What the exchange noticed that someone else should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nudge {
    /// A body is wanted; the courier may hold it.
    Body(RecordId, NodeId),
    /// Records before one that came from this courier are missing.
    Gap(NodeId),
    /// This courier knows a charter we do not.
    Charter(NodeId),
}

/// What came of records that healing brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Healed {
    /// Newly admitted records.
    pub admitted: usize,
    /// Records that were refused.
    pub refused: usize,
    /// Those of them that nobody knew before to be turned away here: their author signed them, and their
    /// courier may well hold them.
    pub turned_away: usize,
    /// Those of them that have expired, if nobody has said yet that our clock is right: they may be
    /// taken later.
    pub early: usize,
}

/// What came of a body that was pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFate {
    /// It is kept.
    Kept,
    /// It was not awaited any longer.
    NotAwaited,
    /// It is not the body the header names: the courier's fault.
    Wrong,
}

/// What came of charters that were offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CharterFate {
    /// At least one is new and in force now.
    Adopted,
    /// All were known.
    Known,
    /// A second charter of a version that is in force was kept as evidence.
    Sibling,
    /// Charters between are missing.
    Gap,
    /// Nothing that can be in force here, and nobody is to blame: it came too late, or follows the
    /// other side of a fork.
    Beside,
    /// Something is wrong with them.
    Refused(String),
}

/// The way to the exchange. Cheap to clone.
#[derive(Clone)]
pub struct Exchange {
    inbox: mpsc::Sender<Command>,
    desk: mpsc::Sender<Command>,
    /// Held by whoever has charters read.
    reading: Arc<tokio::sync::Mutex<()>>,
    standing: watch::Receiver<Arc<Standing>>,
    position: watch::Receiver<Position>,
    held: held::Shared,
    heads: heads::Shared,
    member: Arc<Member>,
    accepting: Accepting,
    overdrafts: budget::Overdrafts,
    clocks: clocks::Clocks,
    /// Under which charter what is compared was judged last.
    judged: watch::Receiver<Option<CharterHash>>,
}

impl Exchange {
    /// Publishes objects; answers after the commit.
    ///
    /// # Errors
    /// [`ExchangeError`].
    pub async fn publish(
        &self,
        actor: Actor,
        request: local::PublishRequest,
    ) -> Result<local::PublishReply, ExchangeError> {
        self.demand(|reply| Command::Publish(actor, request, reply)).await
    }

    /// Writes this node's request to join a community.
    ///
    /// # Errors
    /// [`ExchangeError`].
    pub async fn request(&self, actor: Actor) -> Result<local::RequestReply, ExchangeError> {
        self.demand(|reply| Command::Request(actor, reply)).await
    }

    /// Founds a community with this node's member as its one steward.
    ///
    /// # Errors
    /// [`ExchangeError::HasCommunity`], [`ExchangeError::Invalid`].
    pub async fn found(
        &self,
        actor: Actor,
        request: local::FoundRequest,
    ) -> Result<local::Founded, ExchangeError> {
        self.demand(|reply| Command::Found(actor, request, reply)).await
    }

    /// Admits who wrote a request, by a new charter.
    ///
    /// # Errors
    /// [`ExchangeError::Fingerprint`], [`ExchangeError::Invalid`], [`ExchangeError::NoCommunity`].
    pub async fn admit(
        &self,
        actor: Actor,
        request: local::AdmitRequest,
    ) -> Result<local::Admission, ExchangeError> {
        self.demand(|reply| Command::Admit(actor, request, reply)).await
    }

    /// Ends a membership, by a new charter.
    ///
    /// # Errors
    /// [`ExchangeError::UnknownMember`], [`ExchangeError::Invalid`], [`ExchangeError::NoCommunity`].
    pub async fn expel(&self, actor: Actor, member: Handle) -> Result<local::CharterReply, ExchangeError> {
        self.demand(|reply| Command::Expel(actor, member, reply)).await
    }

    /// Joins the community of an invite.
    ///
    /// # Errors
    /// [`ExchangeError::Fingerprint`], [`ExchangeError::Invalid`], [`ExchangeError::HasCommunity`].
    pub async fn join(
        &self,
        actor: Actor,
        request: local::JoinRequest,
    ) -> Result<local::CharterReply, ExchangeError> {
        self.demand(|reply| Command::Join(actor, request, reply)).await
    }

    /// Proposes a change; with a threshold of one it is in force when the answer comes.
    ///
    /// # Errors
    /// [`ExchangeError::Invalid`], [`ExchangeError::Endorsed`], [`ExchangeError::Fingerprint`],
    /// [`ExchangeError::UnknownMember`], [`ExchangeError::NoCommunity`].
    pub async fn propose(
        &self,
        actor: Actor,
        request: local::ProposeRequest,
    ) -> Result<local::ProposalReply, ExchangeError> {
        self.demand(|reply| Command::Propose(actor, request, reply)).await
    }

    /// Signs a proposal, and puts it in force if enough have.
    ///
    /// # Errors
    /// [`ExchangeError::Invalid`], [`ExchangeError::Endorsed`], [`ExchangeError::Fingerprint`],
    /// [`ExchangeError::NoCommunity`].
    pub async fn endorse(
        &self,
        actor: Actor,
        file: local::ProposalFile,
    ) -> Result<local::ProposalReply, ExchangeError> {
        self.demand(|reply| Command::Endorse(actor, file, reply)).await
    }

    /// Takes in the signatures of a proposal, and puts it in force if there are enough.
    ///
    /// # Errors
    /// [`ExchangeError::Invalid`], [`ExchangeError::Fingerprint`], [`ExchangeError::NoCommunity`].
    pub async fn submit(
        &self,
        actor: Actor,
        file: local::ProposalFile,
    ) -> Result<local::ProposalReply, ExchangeError> {
        self.demand(|reply| Command::Submit(actor, file, reply)).await
    }

    /// Hands over a steward's head, or gives the reply back if the inbox is full.
    pub fn offer_head(
        &self,
        courier: NodeId,
        head: Vec<u8>,
        verdict: VerdictReply,
    ) -> Result<(), VerdictReply> {
        let command = Command::Head {
            courier,
            head,
            verdict,
        };
        self.inbox
            .try_send(command)
            .map_err(|error| match error.into_inner() {
                Command::Head { verdict, .. } => verdict,
                _ => Box::new(|_, _| ()),
            })
    }

    /// What stewards said last.
    pub fn heads(&self) -> heads::Shared {
        self.heads.clone()
    }

    /// Takes back a record of this node's own: its text leaves every node that hears of it.
    ///
    /// # Errors
    /// [`ExchangeError::Invalid`], [`ExchangeError::NoCommunity`], [`ExchangeError::Restored`].
    pub async fn retract(&self, actor: Actor, id: RecordId) -> Result<local::RetractReply, ExchangeError> {
        self.demand(|reply| Command::Retract(actor, id, reply)).await
    }

    /// Decides of a record that the receiving policy keeps back.
    ///
    /// # Errors
    /// [`ExchangeError::Invalid`], [`ExchangeError::NoCommunity`].
    pub(crate) async fn review(
        &self,
        actor: Actor,
        id: RecordId,
        review: Review,
    ) -> Result<local::ReviewReply, ExchangeError> {
        self.demand(|reply| Command::Review(actor, id, review, reply))
            .await
    }

    /// The policies that answer for what arrives.
    pub fn accepting(&self) -> &Accepting {
        &self.accepting
    }

    /// Looks at what has passed its time now; with `confirm` the clock is taken for right.
    ///
    /// # Errors
    /// [`ExchangeError`].
    pub async fn retain(&self, actor: Actor, confirm: bool) -> Result<local::RetainReply, ExchangeError> {
        self.demand(|reply| Command::Retain(actor, confirm, reply)).await
    }

    /// Tells that a conversation with a peer ended: whether it was found to hold nothing that this node
    /// lacks, and who is connected. Best effort.
    pub fn compared(&self, peer: NodeId, whole: bool, connected: Vec<NodeId>) {
        let _ = self.desk.try_send(Command::Compared {
            peer,
            whole,
            connected,
        });
    }

    /// Hands over the records of a gossip frame, or gives the reply back if the inbox is full.
    pub fn offer_frame(
        &self,
        courier: NodeId,
        records: Vec<Carried>,
        verdict: VerdictReply,
    ) -> Result<(), VerdictReply> {
        let command = Command::Frame {
            courier,
            records,
            verdict,
        };
        self.inbox
            .try_send(command)
            .map_err(|error| match error.into_inner() {
                Command::Frame { verdict, .. } => verdict,
                _ => Box::new(|_, _| ()),
            })
    }

    /// Hands over records that healing or a file brought; waits for room, and for the commit.
    ///
    /// # Errors
    /// [`ExchangeError::NoCommunity`], [`ExchangeError::Store`], [`ExchangeError::Stopped`].
    pub async fn heal(
        &self,
        courier: NodeId,
        records: Vec<Carried>,
        origin: Origin,
    ) -> Result<Healed, ExchangeError> {
        let charters = self.standing().charters.clone();
        let charters = charters.ok_or(ExchangeError::NoCommunity)?;
        let records = ahead::look(records, charters, Arc::clone(&self.member)).await?;
        self.ask(|reply| Command::Records {
            courier,
            records,
            origin,
            reply,
        })
        .await
    }

    /// Hands over a body that was pulled; waits for the commit.
    ///
    /// # Errors
    /// [`ExchangeError::NoCommunity`], [`ExchangeError::Store`], [`ExchangeError::Stopped`].
    pub async fn body(&self, id: RecordId, body: Vec<u8>, origin: Origin) -> Result<BodyFate, ExchangeError> {
        self.ask(|reply| Command::Body {
            id,
            body,
            origin,
            reply,
        })
        .await
    }

    /// Offers charters, oldest first; answers after the commit. They are read one offer after another,
    /// beside the exchange's thread.
    ///
    /// # Errors
    /// [`ExchangeError::NoCommunity`], [`ExchangeError::Store`], [`ExchangeError::Stopped`].
    pub async fn charters(&self, charters: Vec<Vec<u8>>) -> Result<CharterFate, ExchangeError> {
        let turn = self.reading.lock().await;
        self.read_charters(charters, turn).await
    }

    /// As [`Self::charters`], if no other offer is being read: what strangers offer waits for nothing, so
    /// that it does not crowd out what members offer.
    ///
    /// # Errors
    /// [`ExchangeError::Busy`], and those of [`Self::charters`].
    pub async fn charters_now(&self, charters: Vec<Vec<u8>>) -> Result<CharterFate, ExchangeError> {
        let turn = self.reading.try_lock().map_err(|_| ExchangeError::Busy)?;
        self.read_charters(charters, turn).await
    }

    /// The turn is held until what was adopted is in the standing, which the next offer is held against.
    async fn read_charters(
        &self,
        offered: Vec<Vec<u8>>,
        _turn: tokio::sync::MutexGuard<'_, ()>,
    ) -> Result<CharterFate, ExchangeError> {
        let charters = self.standing().charters.clone();
        let charters = charters.ok_or(ExchangeError::NoCommunity)?;
        let look = move || membership::charters::Looked::at(offered, &charters);
        let looked = tokio::task::spawn_blocking(look).await;
        let charters = looked.map_err(|_| ExchangeError::Stopped)?;
        match charters.settled() {
            Some(fate) => Ok(fate),
            None => self.ask(|reply| Command::Charters { charters, reply }).await,
        }
    }

    /// Keeps a small durable fact, such as a cursor. Best effort: `false` if there was no room.
    pub fn note(&self, kind: &str, bytes: Vec<u8>) -> bool {
        self.inbox
            .try_send(Command::Note {
                kind: kind.to_owned(),
                bytes,
            })
            .is_ok()
    }

    /// Writes deeds to the audit log, and with them a small durable fact; answers after the commit.
    ///
    /// # Errors
    /// [`ExchangeError::Store`], [`ExchangeError::Stopped`].
    pub async fn witness(
        &self,
        deeds: Vec<Deed>,
        note: Option<(&'static str, Vec<u8>)>,
    ) -> Result<(), ExchangeError> {
        let note = note.map(|(kind, bytes)| (kind.to_owned(), bytes));
        self.ask(|reply| Command::Witness(deeds, note, reply)).await
    }

    /// As [`Self::witness`], with a small durable fact whose kind is made up as it comes.
    ///
    /// # Errors
    /// Those of [`Self::witness`].
    pub async fn witness_with(
        &self,
        deeds: Vec<Deed>,
        (kind, bytes): (String, Vec<u8>),
    ) -> Result<(), ExchangeError> {
        self.ask(|reply| Command::Witness(deeds, Some((kind, bytes)), reply))
            .await
    }

    /// Passes on a record of another community, once; answers after the commit.
    ///
    /// # Errors
    /// [`ExchangeError`]; [`ExchangeError::Invalid`] if it is not to be passed on at all.
    pub async fn forward(&self, forward: Box<Forward>) -> Result<ForwardFate, ExchangeError> {
        self.demand(|reply| Command::Forward(forward, reply)).await
    }

    /// Where the node stands now.
    pub fn standing(&self) -> Arc<Standing> {
        Arc::clone(&self.standing.borrow())
    }

    /// Tells whenever the standing changes.
    pub fn standings(&self) -> watch::Receiver<Arc<Standing>> {
        self.standing.clone()
    }

    /// Tells the newest position whenever it grows.
    pub fn positions(&self) -> watch::Receiver<Position> {
        self.position.clone()
    }

    /// How many records of each author are held, or were before their time passed.
    pub fn counts(&self) -> std::collections::BTreeMap<Handle, u64> {
        self.held.counts()
    }

    /// Numbers that are missing in authors' chains, and numbers that were given twice.
    pub fn flaws(&self) -> Flaws {
        self.held.flaws()
    }

    /// Whether an author gave this number to more than one record.
    pub fn is_twin(&self, author: &Handle, lane: u16, epoch: u32, seq: u64) -> bool {
        self.held.is_twin(author, lane, epoch, seq)
    }

    /// Authors over their budget, with when the day of it began: what a community's stewards should
    /// see. At most a few hundred, the newest days.
    pub fn overdrafts(&self) -> Vec<(Handle, Timestamp, Overdrawn)> {
        self.overdrafts.now()
    }

    /// Whether our clock is too far from the others', for which nothing is published.
    pub fn clock_astray(&self) -> Option<clocks::Astray> {
        self.clocks.astray(crate::clock::now(), std::time::Instant::now())
    }

    /// Records of a span that were turned away and are not to be asked for now, rising, at most
    /// `limit`.
    pub fn aside(&self, span: &Span, limit: usize) -> Vec<Place> {
        self.held.aside(span, limit)
    }

    /// Whether a record was turned away and is not to be asked for now.
    pub fn is_aside(&self, place: &Place) -> bool {
        self.held.is_aside(place)
    }

    /// Waits at most so long until what is compared with peers is what this charter makes of what is held;
    /// whether it is.
    pub async fn is_judged_under(&self, charter: &CharterHash, patience: Duration) -> bool {
        let mut judged = self.judged.clone();
        let done = judged.wait_for(|judged| judged.as_ref() == Some(charter));
        matches!(tokio::time::timeout(patience, done).await, Ok(Ok(_)))
    }

    /// As [`Self::ask`], of what is asked for here: it does not wait behind what peers bring.
    async fn demand<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, ExchangeError> {
        Self::answer(&self.desk, command).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, ExchangeError> {
        Self::answer(&self.inbox, command).await
    }

    async fn answer<T>(
        queue: &mpsc::Sender<Command>,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, ExchangeError> {
        let (reply, answer) = oneshot::channel();
        queue
            .send(command(reply))
            .await
            .map_err(|_| ExchangeError::Stopped)?;
        answer.await.map_err(|_| ExchangeError::Stopped)?
    }
}

/// The readers a caller named, checked against the charter.
fn named_readers(
    to: Option<Vec<Handle>>,
    charters: &CharterChain,
) -> Result<Option<BTreeSet<Handle>>, ExchangeError> {
    let Some(to) = to else { return Ok(None) };
    for handle in &to {
        let member = charters.charter().member(handle);
        if member.is_none_or(|member| member.ended.is_some()) {
            return Err(ExchangeError::UnknownMember(handle.clone()));
        }
    }
    Ok(Some(to.into_iter().collect()))
}
