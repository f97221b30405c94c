//! Both journeys of a record, and all writing: what is published here and what arrives from peers
//! meet in one synchronous thread, which is the only one that changes anything.

use std::sync::Arc;

use hanse_protocol::charter::CharterChain;
use hanse_protocol::charter::member::Profile;
use hanse_protocol::identity::{Handle, NodeId};
use hanse_protocol::local;

/// Who asked for something: for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor(pub String);

/// Where this node stands: replaced as a whole whenever it changes.
#[derive(Clone)]
pub struct Standing {
    /// Who we are.
    pub profile: Profile,
    /// This node.
    pub node: NodeId,
    /// The community's charters, if this node belongs to one.
    pub charters: Option<Arc<CharterChain>>,
}

/// Why the exchange did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The node belongs to no community yet.
    #[error("this node belongs to no community yet")]
    NoCommunity,
    /// The node belongs to a community already.
    #[error("this node belongs to a community already")]
    HasCommunity,
    /// What was asked breaks a rule; the reason says which.
    #[error("{0}")]
    Invalid(String),
    /// The fingerprint that was confirmed is not that of the file.
    #[error("the fingerprint is not that of the file: it was changed on the way, or misread")]
    Fingerprint,
    /// No such member.
    #[error("`{0}` is no member")]
    UnknownMember(Handle),
    /// More work is waiting than may wait.
    #[error("the node is busy")]
    Busy,
    /// The store did not take it; nothing was acknowledged.
    #[error("the store did not take it")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The node is shutting down.
    #[error("the node is shutting down")]
    Stopped,
}

/// The way to the exchange.
#[derive(Clone)]
pub struct Exchange {}

impl Exchange {
    /// Publishes objects; answers after the commit.
    pub async fn publish(
        &self,
        _: Actor,
        _: local::PublishRequest,
    ) -> Result<local::PublishReply, ExchangeError> {
        Err(ExchangeError::Stopped)
    }
    /// Writes this node's request to join.
    pub async fn request(&self, _: Actor) -> Result<local::RequestReply, ExchangeError> {
        Err(ExchangeError::Stopped)
    }
    /// Founds a community.
    pub async fn found(&self, _: Actor, _: local::FoundRequest) -> Result<local::Founded, ExchangeError> {
        Err(ExchangeError::Stopped)
    }
    /// Admits a member.
    pub async fn admit(&self, _: Actor, _: local::AdmitRequest) -> Result<local::Admission, ExchangeError> {
        Err(ExchangeError::Stopped)
    }
    /// Expels a member.
    pub async fn expel(&self, _: Actor, _: Handle) -> Result<local::CharterReply, ExchangeError> {
        Err(ExchangeError::Stopped)
    }
    /// Joins a community.
    pub async fn join(&self, _: Actor, _: local::JoinRequest) -> Result<local::CharterReply, ExchangeError> {
        Err(ExchangeError::Stopped)
    }
    /// Where the node stands now.
    pub fn standing(&self) -> Arc<Standing> {
        Arc::new(Standing {
            profile: todo!(),
            node: todo!(),
            charters: None,
        })
    }
}
