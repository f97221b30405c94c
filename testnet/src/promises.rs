//! What Hanse promises, and whether it held in a league. Each is decided by what the nodes' own APIs
//! and folders show, not by the word of who published.

use std::collections::BTreeMap;
use std::fmt;

use clap::ValueEnum;

pub mod leaks;
pub mod links;
pub mod stock;

/// A promise, and the sabotage that breaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Promise {
    /// Every node can read the incident that was published in the open.
    EveryoneHasTheOpenIncident,
    /// The partners it was sealed to can read the sealed incident, whole.
    ReadersHaveTheSealedIncident,
    /// No other node can, though it holds the record.
    NobodyElseReadsIt,
    /// Every node can read what each of the others published.
    EveryoneIsHeard,
    /// No object of the input is missing at a node that may read it.
    NothingMissing,
    /// A sample of the input is found at every node by searching for values in it.
    SearchesFindIt,
    /// Nothing of what was published lies readable in a node's folder, in whatever spelling.
    NoPlaintextOnDisk,
    /// Nor in its messages or its metrics, and no value that was searched for either.
    NoPlaintextInLogsAndMetrics,
    /// Every node is linked to every member's node, and to nobody who was not invited.
    LinksAreMembersOnly,
    /// Every process that was started runs still, and answers.
    DaemonsStillRun,
}

impl Promise {
    /// Every promise.
    pub const ALL: [Self; 10] = [
        Self::EveryoneHasTheOpenIncident,
        Self::ReadersHaveTheSealedIncident,
        Self::NobodyElseReadsIt,
        Self::EveryoneIsHeard,
        Self::NothingMissing,
        Self::SearchesFindIt,
        Self::NoPlaintextOnDisk,
        Self::NoPlaintextInLogsAndMetrics,
        Self::LinksAreMembersOnly,
        Self::DaemonsStillRun,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EveryoneHasTheOpenIncident => "everyone-has-the-open-incident",
            Self::ReadersHaveTheSealedIncident => "readers-have-the-sealed-incident",
            Self::NobodyElseReadsIt => "nobody-else-reads-it",
            Self::EveryoneIsHeard => "everyone-is-heard",
            Self::NothingMissing => "nothing-missing",
            Self::SearchesFindIt => "searches-find-it",
            Self::NoPlaintextOnDisk => "no-plaintext-on-disk",
            Self::NoPlaintextInLogsAndMetrics => "no-plaintext-in-logs-and-metrics",
            Self::LinksAreMembersOnly => "links-are-members-only",
            Self::DaemonsStillRun => "daemons-still-run",
        }
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What broke each promise; nothing if it held. No reason repeats what was published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept(BTreeMap<Promise, Vec<String>>);

impl Kept {
    /// Notes why a promise was broken.
    pub fn broken(&mut self, promise: Promise, reason: impl Into<String>) {
        self.0.entry(promise).or_default().push(reason.into());
    }

    /// Why a promise was broken; empty if it held.
    pub fn reasons(&self, promise: Promise) -> &[String] {
        self.0.get(&promise).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a promise held.
    pub fn held(&self, promise: Promise) -> bool {
        self.reasons(promise).is_empty()
    }

    /// Whether all of them held.
    pub fn all_held(&self) -> bool {
        self.0.values().all(Vec::is_empty)
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
