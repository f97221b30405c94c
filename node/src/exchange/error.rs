//! Why the exchange did not do what it was asked.

use std::sync::Arc;

use hanse_protocol::charter::CharterHash;
use hanse_protocol::identity::Handle;
use hanse_protocol::timestamp::Timestamp;

use crate::clocks;
use crate::heads::Freeze;
use crate::store::StoreError;

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
    /// This node's signature alone puts no charter in force.
    #[error("{0} stewards must sign: this is to be proposed and endorsed")]
    Endorsements(u32),
    /// This node has signed another charter of that version.
    #[error("this node has endorsed another charter of version {version}, {hash}")]
    Endorsed {
        /// The version.
        version: u64,
        /// The hash of the other one.
        hash: CharterHash,
    },
    /// What this node has signed is not known for sure.
    #[error(
        "this node is a backup or lost entries, and may have endorsed another charter of version {0} that the \
         other stewards know of"
    )]
    Forgotten(u64),
    /// Nothing is sealed now.
    #[error("{0}")]
    Frozen(Freeze),
    /// It would not go as it was previewed.
    #[error("nothing was published: {0}; preview it again")]
    Preview(crate::sharing::token::Stale),
    /// More work is waiting than may wait.
    #[error("the node is busy")]
    Busy,
    /// It would be more than the charter lets one author send a day: nothing was done.
    #[error(
        "this would exceed the day's budget: {} of {} records and {} of {} bytes are used, until {renewed}",
        records.0, records.1, bytes.0, bytes.1
    )]
    Budget {
        /// Records sent, and records allowed.
        records: (u64, u64),
        /// Bytes sent, and bytes allowed.
        bytes: (u64, u64),
        /// When the next day begins.
        renewed: Timestamp,
    },
    /// This node's clock is not that of the others: nothing was done.
    #[error("{0}")]
    Clock(clocks::Astray),
    /// The disk has too little room: nothing was done.
    #[error("the disk is full: nothing new is taken before there is room again")]
    Full,
    /// The store lost entries, or is a backup: our own chain may go on elsewhere.
    #[error("restored: waiting for own records from a peer; `hansed restore --alone` goes on without")]
    Restored,
    /// The store did not take it; nothing was acknowledged.
    #[error("the store did not take it")]
    Store(#[source] Arc<StoreError>),
    /// The node is shutting down.
    #[error("the node is shutting down")]
    Stopped,
}
