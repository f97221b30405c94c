//! What has to hold through every hardship, and what broke it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clap::ValueEnum;

/// Reasons that are kept of each promise: the first say enough.
const REASONS: usize = 12;

/// A promise, and the sabotage that breaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Promise {
    /// So many seconds after the last hardship all nodes hold the same records.
    Convergence,
    /// Nobody outside its audience is shown a sealed record, and its text is in no file, message, metric
    /// or packet.
    Confidentiality,
    /// What a node said it had published is there, at that node after each of its starts and at all of
    /// them in the end.
    NothingLost,
    /// No record is there in part: each has all of its objects, or is not there.
    NothingPartial,
    /// No subscriber is told of a record twice, nor out of order.
    NoDuplicates,
    /// No daemon takes more memory than it may.
    BoundedMemory,
    /// Every daemon answers after each start, and none ends by itself.
    EveryStartOpens,
    /// While hostile members are at work, honest records are searchable at most so many times later.
    HonestPace,
}

impl Promise {
    /// Every promise.
    pub const ALL: [Self; 8] = [
        Self::Convergence,
        Self::Confidentiality,
        Self::NothingLost,
        Self::NothingPartial,
        Self::NoDuplicates,
        Self::BoundedMemory,
        Self::EveryStartOpens,
        Self::HonestPace,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Convergence => "convergence",
            Self::Confidentiality => "confidentiality",
            Self::NothingLost => "nothing-lost",
            Self::NothingPartial => "nothing-partial",
            Self::NoDuplicates => "no-duplicates",
            Self::BoundedMemory => "bounded-memory",
            Self::EveryStartOpens => "every-start-opens",
            Self::HonestPace => "honest-pace",
        }
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Default)]
struct Notes {
    reasons: BTreeMap<Promise, Vec<String>>,
    broken: BTreeMap<Promise, usize>,
}

/// What broke promises so far, shared by all who look. No reason repeats what was published.
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<Notes>>);

impl Kept {
    /// Notes that a promise was broken.
    pub fn broken(&self, promise: Promise, reason: impl Into<String>) {
        let mut notes = self.notes();
        *notes.broken.entry(promise).or_default() += 1;
        let reasons = notes.reasons.entry(promise).or_default();
        if reasons.len() < REASONS {
            reasons.push(reason.into());
        }
    }

    /// How often a promise was broken.
    pub fn times_broken(&self, promise: Promise) -> usize {
        self.notes().broken.get(&promise).copied().unwrap_or(0)
    }

    /// The first reasons.
    pub fn reasons(&self, promise: Promise) -> Vec<String> {
        self.notes().reasons.get(&promise).cloned().unwrap_or_default()
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sabotage_bears_the_name_of_its_promise() {
        for promise in Promise::ALL {
            assert_eq!(promise.to_possible_value().unwrap().get_name(), promise.name());
        }
        assert_eq!(Promise::value_variants(), Promise::ALL);
    }
}
