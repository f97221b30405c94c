//! What stewards' heads say of the charter in force, and the freeze that follows when they say
//! nothing: whoever is kept from hearing that somebody was expelled must not go on sealing to them.
//! Times are arguments.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hanse_protocol::charter::{CharterChain, CharterHash};
use hanse_protocol::identity::Handle;
use hanse_protocol::presence::Head;
use hanse_protocol::timestamp::Timestamp;
use minicbor::{Decode, Encode};

/// How long a steward's word counts.
pub const FRESH: Duration = Duration::from_secs(7 * 24 * 3_600);

/// How much newer a head must be than the one kept on disk before it is kept there too: stewards
/// speak every minute.
const KEEP: Duration = Duration::from_secs(3_600);

/// How much later than its last a steward's word must be to be heard and passed on: it cannot make all
/// others talk of it without pause.
const SOONEST: Duration = Duration::from_secs(1);

/// What a steward said last.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Said {
    #[n(0)]
    steward: Handle,
    #[n(1)]
    at: Timestamp,
    #[n(2)]
    version: u64,
    #[n(3)]
    charter: CharterHash,
}

/// Why nothing is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freeze {
    /// The charter has expired.
    Expired(Timestamp),
    /// Too few stewards have said of late that this charter is the newest.
    Silent {
        /// Since when.
        since: Timestamp,
    },
}

impl fmt::Display for Freeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired(at) => write!(
                f,
                "frozen: the charter expired at {at}, so nothing is sealed until its stewards renew it"
            ),
            Self::Silent { since } => write!(
                f,
                "frozen: since {since} too few stewards have confirmed the charter, so nothing is sealed \
                 until they are heard"
            ),
        }
    }
}

/// The newest head of each steward.
#[derive(Clone, Debug, Default)]
pub struct Heads {
    said: BTreeMap<Handle, Said>,
    kept: BTreeMap<Handle, Said>,
}

/// The heads, as the exchange writes and others read them.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<Heads>>);

impl Shared {
    /// Looks at the heads, or changes them.
    pub fn with<T>(&self, look: impl FnOnce(&mut Heads) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Heads {
    /// Takes up what was kept; bytes that are no heads are none.
    pub fn restore(bytes: &[u8]) -> Self {
        let said: Vec<Said> = minicbor::decode(bytes).unwrap_or_default();
        let said: BTreeMap<_, _> = said
            .into_iter()
            .map(|said| (said.steward.clone(), said))
            .collect();
        Self {
            kept: said.clone(),
            said,
        }
    }

    /// Hears a head that was verified. `false` if it says nothing new: a later word replaces an
    /// earlier one, never the reverse, and one that follows at once says next to nothing.
    pub fn hear(&mut self, head: &Head) -> bool {
        let before = self.said.get(&head.steward);
        // A second node of the steward may lag behind the first.
        if before.is_some_and(|before| before.at.after(SOONEST) > head.at || before.version > head.version) {
            return false;
        }
        let said = Said {
            steward: head.steward.clone(),
            at: head.at,
            version: head.version,
            charter: head.hash,
        };
        self.said.insert(head.steward.clone(), said);
        true
    }

    /// What is to be kept on disk, if that is much newer than what is there. Heads of those who are
    /// no stewards any longer are dropped.
    pub fn to_keep(&mut self, charters: &CharterChain) -> Option<Vec<u8>> {
        let stewards = &charters.charter().stewards;
        self.said.retain(|steward, _| stewards.contains(steward));
        let newer = self.said.values().any(|said| {
            self.kept
                .get(&said.steward)
                .is_none_or(|kept| kept.charter != said.charter || said.at.since(kept.at) >= KEEP)
        });
        if !newer {
            return None;
        }
        self.kept = self.said.clone();
        minicbor::to_vec(self.said.values().collect::<Vec<_>>()).ok()
    }

    /// When `steward` last said that the charter in force is the newest.
    pub fn of(&self, steward: &Handle, charters: &CharterChain) -> Option<Timestamp> {
        let said = self.said.get(steward)?;
        (said.charter == charters.newest().hash()).then_some(said.at)
    }

    /// Whether and why nothing may be sealed now. `own` is this node's member if it speaks as a
    /// steward itself.
    pub fn freeze(&self, charters: &CharterChain, own: Option<&Handle>, now: Timestamp) -> Option<Freeze> {
        let charter = charters.charter();
        if charter.expires <= now {
            return Some(Freeze::Expired(charter.expires));
        }
        let confirmed = charter.stewards.iter().filter_map(|steward| match own {
            Some(own) if own == steward => Some(now),
            // A clock that runs ahead makes no word last longer.
            _ => self.of(steward, charters).map(|at| at.min(now)),
        });
        let mut confirmed: Vec<Timestamp> = confirmed.collect();
        confirmed.sort_unstable_by(|a, b| b.cmp(a));
        let last = usize::try_from(charter.threshold)
            .ok()
            .and_then(|threshold| threshold.checked_sub(1));
        let by_heads = last.and_then(|last| confirmed.get(last)).copied();
        // The charter itself was the word of a threshold, when it was issued.
        let since = by_heads.unwrap_or_default().max(charter.issued.min(now));
        (now.since(since) >= FRESH).then_some(Freeze::Silent { since })
    }
}
