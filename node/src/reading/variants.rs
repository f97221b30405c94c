//! Of one version of an object its author may sign several texts, each with something else struck out of
//! it for its readers. Who holds more than one of them is told the least redacted.

use std::collections::HashMap;

use hanse_protocol::identity::{CommunityId, Handle};
use hanse_protocol::local::Match;
use hanse_protocol::timestamp::Timestamp;

/// What variants have in common. Another author's object of the same id is another object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) author: Handle,
    /// Of what was passed on: the community it was signed in, and by whom.
    pub(super) origin: Option<(CommunityId, Handle)>,
    pub(super) id: String,
    pub(super) version: Timestamp,
}

/// Matches, of variants only the least redacted.
#[derive(Default)]
pub(super) struct Variants {
    matches: Vec<Option<Match>>,
    /// How much was struck out of those that are told, and where they are.
    told: HashMap<Key, (u16, Vec<usize>)>,
}

impl Variants {
    pub(super) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// Adds a match, if less was struck out of it than of what is there; then that goes. What was issued
    /// twice as it is, is told twice; of variants alike the first.
    pub(super) fn add(&mut self, key: Key, found: Match) {
        let place = self.matches.len();
        let redacted = found.redacted;
        let (least, places) = self.told.entry(key).or_insert((redacted, Vec::new()));
        if redacted > *least || (redacted == *least && redacted > 0 && !places.is_empty()) {
            return;
        }
        if redacted < *least {
            *least = redacted;
            for place in places.drain(..) {
                if let Some(other) = self.matches.get_mut(place) {
                    *other = None;
                }
            }
        }
        places.push(place);
        self.matches.push(Some(found));
    }

    /// What is told, in the order it was added.
    pub(super) fn into_matches(self) -> Vec<Match> {
        self.matches.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use hanse_protocol::identity::RecordId;
    use hanse_protocol::tlp::Tlp;
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn of_variants_the_least_redacted_is_told_and_of_others_all() {
        let told = |given: &[(&str, u64, u16)]| {
            let mut variants = Variants::default();
            for (number, (author, version, redacted)) in (0u8..).zip(given) {
                let author: Handle = author.parse().unwrap();
                let key = Key {
                    author: author.clone(),
                    origin: None,
                    id: "tool--1".to_owned(),
                    version: Timestamp::from_millis(*version),
                };
                let found = Match {
                    record: RecordId([number; 32]),
                    author,
                    forwarded: None,
                    tlp: Tlp::Green,
                    redacted: *redacted,
                    object: RawValue::from_string("{}".to_owned()).unwrap(),
                };
                variants.add(key, found);
            }
            let told = variants.into_matches().into_iter();
            told.map(|found| found.record.0[0]).collect::<Vec<_>>()
        };
        // The city got the water board's report twice, the second time with less struck out of it.
        assert_eq!(
            told(&[("acme-water", 5, 3), ("acme-water", 5, 1), ("acme-water", 5, 2)]),
            [1]
        );
        assert_eq!(
            told(&[("acme-water", 5, 3), ("acme-water", 5, 0), ("acme-water", 5, 0)]),
            [1, 2]
        );
        assert_eq!(told(&[("acme-water", 5, 3), ("acme-water", 5, 3)]), [0]);
        // Neither an older version nor another author's object is a variant.
        assert_eq!(
            told(&[("acme-water", 5, 3), ("acme-water", 4, 0), ("cert", 5, 0)]),
            [0, 1, 2]
        );
    }
}
