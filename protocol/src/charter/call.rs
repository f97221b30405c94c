//! How two nodes settle which charter is the newest: the one protocol that strangers may speak,
//! and from which a stranger learns nothing but whether it was let in.

use minicbor::{Decode, Encode};

use super::CharterRef;
use crate::limits;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum CharterQuestion {
    /// I stand under this charter; do you?
    #[n(0)]
    Head(#[n(0)] CharterRef),
    /// These charters may be new to you, oldest first.
    #[n(1)]
    Offer(#[cbor(n(0), with = "crate::frame::byte_strings")] Vec<Vec<u8>>),
}

/// What is answered. To a stranger only [`CharterAnswer::Unlisted`], [`CharterAnswer::Adopted`] or
/// a closed link.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum CharterAnswer {
    /// I stand under the same.
    #[n(0)]
    Same,
    /// Mine is newer: these follow yours.
    #[n(1)]
    Newer(#[cbor(n(0), with = "crate::frame::byte_strings")] Vec<Vec<u8>>),
    /// Mine is this older one: offer me what follows it.
    #[n(2)]
    Older(#[n(0)] CharterRef),
    /// I do not know you: offer me the chain that lists you.
    #[n(3)]
    Unlisted,
    /// I stand under what you offered now. If you were a stranger, dial again.
    #[n(4)]
    Adopted,
    /// What you offered changes nothing here.
    #[n(5)]
    NotAdopted,
}

/// Bytes that are no message of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message of the charter protocol")]
pub struct CallError;

/// The bytes of a question or answer.
pub fn encode<M: Encode<()>>(message: &M) -> Vec<u8> {
    minicbor::to_vec(message).unwrap_or_default()
}

/// Reads a question or answer, insisting on its one spelling.
///
/// # Errors
/// [`CallError`].
pub fn decode<M: Encode<()> + for<'b> Decode<'b, ()>>(bytes: &[u8]) -> Result<M, CallError> {
    if bytes.len() > limits::CHARTER_CHAIN {
        return Err(CallError);
    }
    let message: M = minicbor::decode(bytes).map_err(|_| CallError)?;
    if encode(&message) == bytes {
        Ok(message)
    } else {
        Err(CallError)
    }
}
