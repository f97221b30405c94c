//! Charters before they are read. Reading one checks every key that it lists, which takes long; whether
//! enough stewards signed it shows from its bytes and from the charter before it, so that nobody else can
//! make a node read one.

use minicbor::Decoder;

use super::{
    Charter, CharterChain, CharterError, CharterHash, Endorsed, Endorsement, Envelope, SignedCharter,
};
use crate::limits;

/// A charter of which nothing is known but who it says it follows, and what signatures it bears.
#[derive(Clone, Debug)]
pub struct Unread {
    payload: Vec<u8>,
    endorsements: Vec<Endorsement>,
    hash: CharterHash,
    version: u64,
    parents: Vec<CharterHash>,
}

impl Unread {
    /// Looks at a charter as it travels.
    ///
    /// # Errors
    /// [`CharterError::TooLarge`], [`CharterError::Malformed`] or [`CharterError::Form`].
    pub fn peek(bytes: &[u8]) -> Result<Self, CharterError> {
        if bytes.len() > limits::CHARTER {
            return Err(CharterError::TooLarge { size: bytes.len() });
        }
        let envelope: Envelope = minicbor::decode(bytes).map_err(malformed)?;
        if minicbor::to_vec(&envelope).ok().as_deref() != Some(bytes) {
            return Err(CharterError::Form("not in deterministic encoding"));
        }
        let Envelope {
            payload,
            endorsements,
        } = envelope;
        if !endorsements.is_sorted_by(|a, b| a.key < b.key) {
            return Err(CharterError::Form("signatures out of order or doubled"));
        }
        let (version, parents) = place(&payload)?;
        Ok(Self {
            hash: super::hash_of(&payload),
            payload,
            endorsements,
            version,
            parents,
        })
    }

    /// Whether it names two parents.
    pub fn joins(&self) -> bool {
        self.parents.len() == 2
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`CharterError::Malformed`] or [`CharterError::Form`].
    pub fn read(self) -> Result<SignedCharter, CharterError> {
        let charter: Charter = minicbor::decode(&self.payload).map_err(malformed)?;
        charter.check_form()?;
        if minicbor::to_vec(&charter).ok().as_ref() != Some(&self.payload) {
            return Err(CharterError::Form("not in deterministic encoding"));
        }
        Ok(SignedCharter {
            charter,
            payload: self.payload,
            endorsements: self.endorsements,
            hash: self.hash,
        })
    }

    fn endorsed(&self, parent: &Charter) -> Endorsed {
        super::endorsed(&self.payload, &self.endorsements, parent)
    }
}

impl CharterChain {
    /// What [`CharterChain::offer`] would say of a charter, as far as it shows unread: `true` if it is
    /// known.
    ///
    /// # Errors
    /// [`CharterError::OtherCommunity`], [`CharterError::UnknownParent`] or
    /// [`CharterError::Signatures`].
    pub fn foresee(&self, unread: &Unread) -> Result<bool, CharterError> {
        if self.find_hash(&unread.hash).is_some() {
            return Ok(true);
        }
        if unread.version == 1 {
            return Err(CharterError::OtherCommunity);
        }
        let Endorsed { valid, needed, .. } = if unread.parents.contains(&self.newest().hash()) {
            unread.endorsed(self.charter())
        } else {
            let held = unread.parents.iter().find_map(|parent| self.find_hash(parent));
            let parent = held.ok_or(CharterError::UnknownParent(unread.version))?;
            unread.endorsed(parent.charter())
        };
        if valid < needed {
            return Err(CharterError::Signatures { valid, needed });
        }
        Ok(false)
    }
}

/// Version and parents, from the front of a charter's payload.
fn place(payload: &[u8]) -> Result<(u64, Vec<CharterHash>), CharterError> {
    let mut decoder = Decoder::new(payload);
    decoder.array().map_err(malformed)?;
    decoder.skip().map_err(malformed)?;
    let version = decoder.u64().map_err(malformed)?;
    let count = decoder.array().map_err(malformed)?;
    let count = count
        .filter(|count| *count <= 2)
        .ok_or(CharterError::Form("parents"))?;
    let parents = (0..count).map(|_| decoder.decode().map_err(malformed));
    Ok((version, parents.collect::<Result<_, _>>()?))
}

fn malformed(error: minicbor::decode::Error) -> CharterError {
    CharterError::Malformed(error.to_string())
}
