//! A community's charters from the first to the newest, and what happens when another arrives.

use std::sync::Arc;

use super::{Charter, CharterError, CharterHash, CharterRef, SignedCharter};
use crate::identity::{CommunityId, Handle, KeyId};
use crate::limits;
use crate::timestamp::Timestamp;

/// Bytes left for the message in which a chain travels.
const MESSAGE: usize = 16 << 10;

/// What came of a charter that was offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It is in force now.
    Adopted,
    /// It was known.
    Known,
    /// It is valid and a sibling of the charter in force, or of an earlier one that a joiner names:
    /// what was seen first stays in force, this one is kept as evidence.
    Sibling,
}

/// A community's charters. What it holds has been verified back to the community id.
#[derive(Clone, Debug)]
pub struct CharterChain {
    community: CommunityId,
    /// In force, version 1 first. Never empty.
    charters: Vec<Arc<SignedCharter>>,
    /// Valid charters that follow the parent of one in force, in the order they came.
    siblings: Vec<Arc<SignedCharter>>,
    newest: Arc<SignedCharter>,
}

impl CharterChain {
    /// Starts a chain with a first charter, which its own stewards must have signed.
    ///
    /// # Errors
    /// [`CharterError::Form`] if it is not a first charter, [`CharterError::Signatures`].
    pub fn found(mut first: SignedCharter) -> Result<Self, CharterError> {
        if first.charter().version != 1 {
            return Err(CharterError::Form("a chain starts with version 1"));
        }
        first.check_signatures(first.charter())?;
        let charter = first.charter().clone();
        first.prune(&[&charter]);
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
    /// It is adopted if the charter in force is among its parents and that charter's threshold
    /// signed it. A joiner's other parent need not be known: it takes nothing from those who signed,
    /// and gives nothing to those who did not. Nothing else can stop the charter in force from being
    /// followed but a sibling, signed by the very threshold that made it; so whoever has lost a
    /// stewardship can neither freeze the community nor undo what came since.
    ///
    /// # Errors
    /// [`CharterError::UnknownParent`] if charters between are missing, or what is wrong with it.
    pub fn offer(&mut self, offered: SignedCharter) -> Result<Offered, CharterError> {
        if self.find_hash(&offered.hash()).is_some() {
            return Ok(Offered::Known);
        }
        if offered.charter().version == 1 {
            return Err(CharterError::OtherCommunity);
        }
        if !offered.charter().parents.contains(&self.newest.hash()) {
            return self.set_aside(offered);
        }
        check_succession(self.newest.charter(), &offered)?;
        if self.fork_open() && offered.charter().parents.len() != 2 {
            return Err(CharterError::ForkOpen);
        }
        let offered = self.pruned(offered);
        self.newest = Arc::new(offered);
        self.charters.push(Arc::clone(&self.newest));
        Ok(Offered::Adopted)
    }

    /// Keeps a charter that cannot be in force, if it is a sibling that anybody needs to know.
    fn set_aside(&mut self, offered: SignedCharter) -> Result<Offered, CharterError> {
        let version = offered.charter().version;
        let mut parents = offered.charter().parents.iter();
        let parent = parents.find_map(|parent| self.find_hash(parent));
        let parent = parent.ok_or(CharterError::UnknownParent(version))?;
        check_succession(parent.charter(), &offered)?;
        let offered = self.pruned(offered);
        // What a charter in force names as the other side is kept, and there is one for each.
        if !self.joins(&offered.hash()) {
            if self.siblings.contains(&parent) {
                return Err(CharterError::OtherSide(version));
            }
            if !self.is_open(&offered) {
                return Err(CharterError::Late(version));
            }
            // The first always finds room, so that a fork shows.
            let bytes: usize = self.open_siblings().map(|held| held.encode().len()).sum();
            if self.open_siblings().count() >= limits::SIBLINGS
                || bytes.saturating_add(offered.encode().len()) > limits::SIBLING_BYTES
            {
                return Err(CharterError::TooManySiblings(version));
            }
        }
        self.siblings.push(Arc::new(offered));
        Ok(Offered::Sibling)
    }

    /// `offered` without the signatures that count for no parent, or a courier could make every charter
    /// as large as one may be. Where a parent is not known, nobody can tell which count.
    fn pruned(&self, mut offered: SignedCharter) -> SignedCharter {
        let parents: Option<Vec<_>> = offered
            .charter()
            .parents
            .iter()
            .map(|parent| self.find_hash(parent))
            .collect();
        if let Some(parents) = parents {
            let parents: Vec<&Charter> = parents.iter().map(|parent| parent.charter()).collect();
            offered.prune(&parents);
        }
        offered
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

    /// The charter a record or peer names, if it is or was in force here or on another side of a
    /// fork that is known.
    pub fn find(&self, reference: &CharterRef) -> Option<&SignedCharter> {
        let mut all = self.charters.iter().rev().chain(&self.siblings);
        let found = all.find(|charter| charter.reference() == *reference)?;
        Some(found.as_ref())
    }

    /// All charters that are or were in force, version 1 first, each followed by its siblings, as
    /// they travel: a sibling comes before the charter that joins it. Siblings travel if a charter in
    /// force names them or their fork is open, and as far as there is room: whoever signs them must not
    /// keep those in force from travelling.
    pub fn encode(&self) -> Vec<Vec<u8>> {
        self.encode_where(|_| true)
    }

    /// What a peer lacks that stands under `head`: charters of later versions, and those of the same
    /// version that stand beside it.
    pub fn encode_after(&self, head: &CharterRef) -> Vec<Vec<u8>> {
        self.encode_where(|charter| charter.charter().version >= head.version && charter.reference() != *head)
    }

    fn encode_where(&self, wanted: impl Fn(&SignedCharter) -> bool) -> Vec<Vec<u8>> {
        let travels = |charter: &Arc<SignedCharter>| (charter.charter().version, charter.encode());
        let in_force = self.charters.iter().filter(|charter| wanted(charter));
        let mut travelling: Vec<(u64, Vec<u8>)> = in_force.map(travels).collect();
        let taken: usize = travelling.iter().map(|(_, bytes)| bytes.len()).sum();
        let mut room = (limits::CHARTER_CHAIN - MESSAGE).saturating_sub(taken);
        let (joined, others): (Vec<_>, Vec<_>) = self
            .siblings
            .iter()
            .filter(|sibling| wanted(sibling))
            .partition(|sibling| self.joins(&sibling.hash()));
        let open = others.into_iter().filter(|sibling| self.is_open(sibling));
        for (version, bytes) in joined.into_iter().chain(open).map(travels) {
            if let Some(left) = room.checked_sub(bytes.len()) {
                room = left;
                travelling.push((version, bytes));
            }
        }
        // Sorting is stable: of one version the charter in force comes first.
        travelling.sort_by_key(|(version, _)| *version);
        travelling.into_iter().map(|(_, bytes)| bytes).collect()
    }

    /// When the charter in force was issued in which something of `author` first ended that touches what
    /// `key` signs in `lane`: its membership, that lane or that key.
    pub fn ended_at(&self, author: &Handle, lane: u16, key: KeyId) -> Option<Timestamp> {
        let ended = |charter: &Arc<SignedCharter>| {
            let members = &charter.charter().members;
            let found = members.binary_search_by(|member| member.handle.cmp(author));
            let member = found.ok().and_then(|place| members.get(place));
            member.is_some_and(|member| member.has_ended(lane, key))
        };
        if !ended(&self.newest) {
            return None;
        }
        // No charter lifts an ending.
        let first = self.charters.partition_point(|charter| !ended(charter));
        let first = self.charters.get(first)?;
        Some(first.charter().issued)
    }

    /// What to tell a peer that one stands under: the charter in force, or, as long as the other
    /// side of a fork that was joined is missing here, the first, so that the answer brings it.
    pub fn head(&self) -> CharterRef {
        let mut parents = self.charters.iter().flat_map(|held| &held.charter().parents);
        let lacking = parents.any(|parent| self.find_hash(parent).is_none());
        let first = self.charters.first().filter(|_| lacking);
        first.map_or_else(|| self.newest.reference(), |first| first.reference())
    }

    /// Whether a second charter beside the one in force is known.
    pub fn fork_open(&self) -> bool {
        self.open_siblings().next().is_some()
    }

    /// Valid charters that stand beside the one in force and came second.
    pub fn open_siblings(&self) -> impl Iterator<Item = &SignedCharter> {
        let open = self.siblings.iter().filter(|sibling| self.is_open(sibling));
        open.map(AsRef::as_ref)
    }

    /// Valid charters that came second, those of forks that were joined included.
    pub fn siblings(&self) -> impl Iterator<Item = &SignedCharter> {
        self.siblings.iter().map(AsRef::as_ref)
    }

    /// The stewards who signed a sibling, whom the charter before it lists.
    pub fn signers(&self, sibling: &SignedCharter) -> Vec<Handle> {
        let mut parents = sibling.charter().parents.iter();
        let parent = parents.find_map(|parent| self.find_hash(parent));
        parent.map_or_else(Vec::new, |parent| sibling.endorsed(parent.charter()).stewards)
    }

    /// Whether `sibling` and the charter in force have a parent in common.
    fn is_open(&self, sibling: &SignedCharter) -> bool {
        let beside = &self.newest.charter().parents;
        sibling
            .charter()
            .parents
            .iter()
            .any(|parent| beside.contains(parent))
    }

    /// Whether a charter in force names `hash` as the other side it joined.
    fn joins(&self, hash: &CharterHash) -> bool {
        let mut joiners = self
            .charters
            .iter()
            .filter(|held| held.charter().parents.len() == 2);
        joiners.any(|joiner| joiner.charter().parents.contains(hash))
    }

    pub(super) fn find_hash(&self, hash: &CharterHash) -> Option<Arc<SignedCharter>> {
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
    // A joiner follows the longer side of the fork, so it may lie further ahead of the shorter.
    let follows = match next.parents.len() {
        2 => next.version > parent.version,
        _ => Some(next.version) == parent.version.checked_add(1),
    };
    if !follows {
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
