//! Which charters this node put its name to. A steward signs one successor a version: two of them
//! would be a fork. The memory is in the log before a signature leaves the node. A node that is a backup,
//! or lost entries, may have signed what it does not remember.

use hanse_protocol::charter::CharterHash;
use hanse_protocol::timestamp::Timestamp;
use minicbor::{Decode, Encode};

use crate::exchange::ExchangeError;

/// The note that holds the memory.
pub(super) const NOTE: &str = "charters-signed";
/// The note that says until when something may have been signed that is not in that memory:
/// milliseconds, 8 bytes, big endian.
pub(super) const FORGOTTEN: &str = "charters-forgotten";

/// Most signatures that are remembered: those of the latest versions.
const MOST: usize = 256;

/// A charter that was signed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Once {
    #[n(0)]
    version: u64,
    #[n(1)]
    charter: CharterHash,
    /// From 1; a later one was signed beside an earlier one, on the operator's word.
    #[n(2)]
    round: u32,
}

/// The memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::exchange) struct Signed {
    once: Vec<Once>,
    /// Until when more may have been signed than is remembered.
    forgotten: Option<Timestamp>,
}

impl Signed {
    /// Takes up what was kept.
    pub(super) fn restore(bytes: &[u8]) -> Self {
        Self {
            once: minicbor::decode(bytes).unwrap_or_default(),
            forgotten: None,
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        minicbor::to_vec(&self.once).unwrap_or_default()
    }

    /// Whether more may have been signed than is remembered.
    pub(super) fn is_forgetful(&self) -> bool {
        self.forgotten.is_some()
    }

    /// Notes that until `then` more may have been signed than is remembered.
    pub(super) fn forget(&mut self, then: Timestamp) {
        self.forgotten = self.forgotten.max(Some(then));
    }

    /// Notes a signature that is about to be given to what follows a charter issued at `parent`, and
    /// tells its round.
    ///
    /// # Errors
    /// [`ExchangeError::Endorsed`] if another charter of that version was signed,
    /// [`ExchangeError::Forgotten`] if that cannot be known, unless the operator says `again`.
    pub(super) fn sign(
        &mut self,
        version: u64,
        charter: CharterHash,
        parent: Timestamp,
        again: bool,
    ) -> Result<u32, ExchangeError> {
        if let Some(same) = self.once.iter().find(|once| once.charter == charter) {
            return Ok(same.round);
        }
        let before = self.once.iter().filter(|once| once.version == version);
        let last = before.max_by_key(|once| once.round);
        let round = match last {
            // What follows a charter of later was signed after that.
            None if self.forgotten.is_some_and(|then| parent <= then) => {
                if !again {
                    return Err(ExchangeError::Forgotten(version));
                }
                // Nothing that was forgotten follows what is signed now.
                self.forgotten = None;
                1
            }
            None => 1,
            Some(last) if again => last.round.saturating_add(1),
            Some(last) => {
                return Err(ExchangeError::Endorsed {
                    version,
                    hash: last.charter,
                });
            }
        };
        self.once.push(Once {
            version,
            charter,
            round,
        });
        let surplus = self.once.len().saturating_sub(MOST);
        self.once.sort_by_key(|once| once.version);
        self.once.drain(..surplus);
        Ok(round)
    }
}
