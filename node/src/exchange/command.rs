//! The pieces of work that wait for the exchange's thread, and what becomes of each when there is no room.

use hanse_protocol::frame::Carried;
use hanse_protocol::identity::{Handle, NodeId, RecordId};
use hanse_protocol::local;
use tokio::sync::oneshot;

use super::{
    Actor, BodyFate, CharterFate, Deed, ExchangeError, Forward, ForwardFate, Healed, Idle, Review, Verdict,
    VerdictReply, ahead, membership,
};
use crate::store::entry::Origin;

/// Where the answer to a piece of work goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, ExchangeError>>;

/// A piece of work.
pub(super) enum Command {
    Publish(Actor, local::PublishRequest, Reply<local::PublishReply>),
    Request(Actor, Reply<local::RequestReply>),
    Found(Actor, local::FoundRequest, Reply<local::Founded>),
    Admit(Actor, local::AdmitRequest, Reply<local::Admission>),
    Expel(Actor, Handle, Reply<local::CharterReply>),
    Join(Actor, local::JoinRequest, Reply<local::CharterReply>),
    Propose(Actor, local::ProposeRequest, Reply<local::ProposalReply>),
    Endorse(Actor, local::ProposalFile, Reply<local::ProposalReply>),
    Submit(Actor, local::ProposalFile, Reply<local::ProposalReply>),
    Head {
        courier: NodeId,
        head: Vec<u8>,
        verdict: VerdictReply,
    },
    Frame {
        courier: NodeId,
        records: Vec<Carried>,
        verdict: VerdictReply,
    },
    Records {
        courier: NodeId,
        records: Vec<ahead::Looked>,
        origin: Origin,
        reply: Reply<Healed>,
    },
    Body {
        id: RecordId,
        body: Vec<u8>,
        origin: Origin,
        reply: Reply<BodyFate>,
    },
    Charters {
        charters: membership::charters::Looked,
        reply: Reply<CharterFate>,
    },
    Note {
        kind: String,
        bytes: Vec<u8>,
    },
    Witness(Vec<Deed>, Option<(String, Vec<u8>)>, Reply<()>),
    Forward(Box<Forward>, Reply<ForwardFate>),
    Retract(Actor, RecordId, Reply<local::RetractReply>),
    Review(Actor, RecordId, Review, Reply<local::ReviewReply>),
    Retain(Actor, bool, Reply<local::RetainReply>),
    Compared {
        peer: NodeId,
        whole: bool,
        connected: Vec<NodeId>,
    },
}

impl Command {
    /// Answers that the disk is full, and leaves everything as it is; gives back what is to be
    /// done all the same. Nobody else is to blame, so what gossip brought is ignored, and healing
    /// brings it again.
    pub(super) fn refuse_for_room(self) -> Option<Self> {
        fn refuse<T>(reply: Reply<T>) {
            drop(reply.send(Err(ExchangeError::Full)));
        }
        match self {
            Self::Publish(_, _, reply) => refuse(reply),
            Self::Request(_, reply) => refuse(reply),
            Self::Found(_, _, reply) => refuse(reply),
            Self::Admit(_, _, reply) => refuse(reply),
            Self::Expel(_, _, reply) => refuse(reply),
            Self::Join(_, _, reply) => refuse(reply),
            Self::Propose(_, _, reply) | Self::Endorse(_, _, reply) | Self::Submit(_, _, reply) => {
                refuse(reply);
            }
            Self::Head { verdict, .. } | Self::Frame { verdict, .. } => verdict(Verdict::Ignore, Idle(0)),
            Self::Records { reply, .. } => refuse(reply),
            Self::Body { reply, .. } => refuse(reply),
            Self::Charters { reply, .. } => refuse(reply),
            // What the API witnessed is offered again with the next look at the tokens.
            Self::Witness(_, _, reply) => refuse(reply),
            Self::Retract(_, _, reply) => refuse(reply),
            Self::Review(_, _, _, reply) => refuse(reply),
            Self::Forward(_, reply) => refuse(reply),
            // What leaves makes room.
            other @ (Self::Retain(..) | Self::Compared { .. }) => return Some(other),
            // A cursor that has moved on: a few bytes, and only after something was committed.
            note @ Self::Note { .. } => return Some(note),
        }
        None
    }
}
