//! A charter on its way from steward to steward: a text file that is mailed around and gathers
//! signatures. Whoever is to sign reads its fingerprint first, since a mailed file can be swapped.

use minicbor::{Decode, Encode};

use super::join::{JoinError, armour, unarmour};
use super::{CharterHash, SignedCharter};
use crate::identity::{CommunityId, Fingerprint};
use crate::limits;

const LABEL: &str = "HANSE PROPOSAL";

/// A charter that is not in force yet, with the signatures so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The community it is meant for.
    pub community: CommunityId,
    /// The charter.
    pub charter: SignedCharter,
}

/// As it stands in the file.
#[derive(Encode, Decode)]
struct Mailed {
    #[n(0)]
    community: CommunityId,
    #[cbor(n(1), with = "minicbor::bytes")]
    charter: Vec<u8>,
}

impl Proposal {
    /// The file: text between two lines that say what it is.
    pub fn write(&self) -> String {
        let mailed = Mailed {
            community: self.community,
            charter: self.charter.encode(),
        };
        armour(LABEL, &minicbor::to_vec(&mailed).unwrap_or_default())
    }

    /// Reads a file. Whether the charter may be followed, and who signed it, is the reader's to ask.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn read(text: &str) -> Result<Self, JoinError> {
        let bytes = unarmour(LABEL, "proposal", text, limits::PROPOSAL)?;
        let malformed = || JoinError::Malformed("proposal");
        let mailed: Mailed = minicbor::decode(&bytes).map_err(|_| malformed())?;
        if minicbor::to_vec(&mailed).ok().as_ref() != Some(&bytes) {
            return Err(malformed());
        }
        let charter = SignedCharter::decode(&mailed.charter).map_err(JoinError::Charter)?;
        Ok(Self {
            community: mailed.community,
            charter,
        })
    }

    /// What stewards read to each other: it covers what is proposed and not who signed so far.
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint(&self.community, &self.charter.hash())
    }
}

/// The fingerprint of a proposal of that charter.
pub fn fingerprint(community: &CommunityId, charter: &CharterHash) -> Fingerprint {
    Fingerprint::of(
        "hanse proposal fingerprint v1",
        &[community.as_bytes(), &charter.0],
    )
}
