//! Which charters this node put its name to. A steward signs one successor a version: two of them
//! would be a fork. The memory is in the log before a signature leaves the node.

use hanse_protocol::charter::CharterHash;
use minicbor::{Decode, Encode};

use crate::exchange::ExchangeError;

/// The note that holds the memory.
pub(super) const NOTE: &str = "charters-signed";

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
pub(in crate::exchange) struct Signed(Vec<Once>);

impl Signed {
    /// Takes up what was kept.
    pub(super) fn restore(bytes: &[u8]) -> Self {
        Self(minicbor::decode(bytes).unwrap_or_default())
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        minicbor::to_vec(&self.0).unwrap_or_default()
    }

    /// Notes a signature that is about to be given, and tells its round.
    ///
    /// # Errors
    /// [`ExchangeError::Endorsed`] if another charter of that version was signed, unless the operator
    /// says `again`.
    pub(super) fn sign(
        &mut self,
        version: u64,
        charter: CharterHash,
        again: bool,
    ) -> Result<u32, ExchangeError> {
        if let Some(same) = self.0.iter().find(|once| once.charter == charter) {
            return Ok(same.round);
        }
        let before = self.0.iter().filter(|once| once.version == version);
        let last = before.max_by_key(|once| once.round);
        let round = match last {
            None => 1,
            Some(last) if again => last.round.saturating_add(1),
            Some(last) => {
                return Err(ExchangeError::Endorsed {
                    version,
                    hash: last.charter,
                });
            }
        };
        self.0.push(Once {
            version,
            charter,
            round,
        });
        let surplus = self.0.len().saturating_sub(MOST);
        self.0.sort_by_key(|once| once.version);
        self.0.drain(..surplus);
        Ok(round)
    }
}
