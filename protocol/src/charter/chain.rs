//! A community's charters from the first to the newest, and what happens when another arrives.

use std::sync::Arc;

use super::{Charter, CharterError, CharterHash, CharterRef, SignedCharter};
use crate::identity::CommunityId;
use crate::limits;

/// What came of a charter that was offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It is in force now.
    Adopted,
    /// It was known.
    Known,
    /// It is valid and of a version that is held already: a fork. What was seen first stays in
    /// force; the sibling is kept as evidence.
    Sibling,
}

/// A community's charters. What it holds has been verified back to the community id.
#[derive(Clone, Debug)]
pub struct CharterChain {
    community: CommunityId,
    /// In force, version 1 first. Never empty.
    charters: Vec<Arc<SignedCharter>>,
    siblings: Vec<Arc<SignedCharter>>,
    newest: Arc<SignedCharter>,
}

impl CharterChain {
    /// Starts a chain with a first charter, which its own stewards must have signed.
    ///
    /// # Errors
    /// [`CharterError::Form`] if it is not a first charter, [`CharterError::Signatures`].
    pub fn found(first: SignedCharter) -> Result<Self, CharterError> {
        if first.charter().version != 1 {
            return Err(CharterError::Form("a chain starts with version 1"));
        }
        first.check_signatures(first.charter())?;
        let first = Arc::new(first);
        Ok(Self {
            community: first.founds(),
            charters: vec![Arc::clone(&first)],
            siblings: Vec::new(),
            newest: first,
        })
    }

    /// Reads a whole chain, version 1 first, and checks it against the community's id.
    ///
    /// # Errors
    /// The first [`CharterError`] met.
    pub fn read(community: &CommunityId, charters: &[Vec<u8>]) -> Result<Self, CharterError> {
        check_length(charters)?;
        let mut charters = charters.iter();
        let first = charters.next().ok_or(CharterError::Form("the chain is empty"))?;
        let mut chain = Self::found(SignedCharter::decode(first)?)?;
        if chain.community != *community {
            return Err(CharterError::OtherCommunity);
        }
        for bytes in charters {
            chain.offer(SignedCharter::decode(bytes)?)?;
        }
        Ok(chain)
    }

    /// Offers a charter.
    ///
    /// # Errors
    /// [`CharterError::UnknownParent`] if charters between are missing, or what is wrong with it.
    pub fn offer(&mut self, offered: SignedCharter) -> Result<Offered, CharterError> {
        if self.find_hash(&offered.hash()).is_some() {
            return Ok(Offered::Known);
        }
        let version = offered.charter().version;
        if version == 1 {
            return Err(CharterError::OtherCommunity);
        }
        let parents: Option<Vec<_>> = offered
            .charter()
            .parents
            .iter()
            .map(|parent| self.find_hash(parent))
            .collect();
        let parents = parents.ok_or(CharterError::UnknownParent(version))?;
        for parent in &parents {
            check_succession(parent.charter(), &offered)?;
        }
        let follows_newest = offered.charter().parents.contains(&self.newest.hash());
        if !follows_newest {
            self.siblings.push(Arc::new(offered));
            return Ok(Offered::Sibling);
        }
        if self.fork_open() && offered.charter().parents.len() != 2 {
            return Err(CharterError::ForkOpen);
        }
        self.newest = Arc::new(offered);
        self.charters.push(Arc::clone(&self.newest));
        Ok(Offered::Adopted)
    }

    /// The community.
    pub fn community(&self) -> &CommunityId {
        &self.community
    }

    /// The charter in force.
    pub fn newest(&self) -> &SignedCharter {
        &self.newest
    }

    /// What the charter in force says.
    pub fn charter(&self) -> &Charter {
        self.newest.charter()
    }

    /// The charter a record or peer names, if it is or was in force.
    pub fn find(&self, reference: &CharterRef) -> Option<&SignedCharter> {
        let index = usize::try_from(reference.version.checked_sub(1)?).ok()?;
        let found = self.charters.get(index)?;
        (found.reference() == *reference).then_some(found)
    }

    /// All charters that are or were in force, version 1 first, as they travel.
    pub fn encode(&self) -> Vec<Vec<u8>> {
        self.charters.iter().map(|charter| charter.encode()).collect()
    }

    /// The charters after `version`, as they travel.
    pub fn encode_after(&self, version: u64) -> Vec<Vec<u8>> {
        let skip = usize::try_from(version).unwrap_or(usize::MAX);
        self.charters
            .iter()
            .skip(skip)
            .map(|charter| charter.encode())
            .collect()
    }

    /// Whether a second charter of the version in force is known.
    pub fn fork_open(&self) -> bool {
        let version = self.charter().version;
        self.siblings
            .iter()
            .any(|sibling| sibling.charter().version == version)
    }

    /// Valid charters that came second.
    pub fn siblings(&self) -> impl Iterator<Item = &SignedCharter> {
        self.siblings.iter().map(AsRef::as_ref)
    }

    fn find_hash(&self, hash: &CharterHash) -> Option<Arc<SignedCharter>> {
        let mut all = self.charters.iter().rev().chain(&self.siblings);
        all.find(|charter| charter.hash() == *hash).map(Arc::clone)
    }
}

/// Checks that a chain as it travels is within its bound.
///
/// # Errors
/// [`CharterError::TooLarge`] with the sum of the sizes.
pub fn check_length(charters: &[Vec<u8>]) -> Result<(), CharterError> {
    let size = charters.iter().map(Vec::len).sum();
    if size > limits::CHARTER_CHAIN {
        Err(CharterError::TooLarge { size })
    } else {
        Ok(())
    }
}

fn check_succession(parent: &Charter, offered: &SignedCharter) -> Result<(), CharterError> {
    let next = offered.charter();
    if next.version != parent.version + 1 {
        return Err(CharterError::Form("the version does not follow its parent's"));
    }
    if next.issued < parent.issued {
        return Err(CharterError::History("it is dated before its parent"));
    }
    for member in &parent.members {
        let kept = next
            .member(&member.handle)
            .ok_or(CharterError::History("a member's listing"))?;
        member.check_successor(kept)?;
    }
    offered.check_signatures(parent)
}
