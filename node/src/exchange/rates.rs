//! How much authors send: records by the minute they were signed in, so that what healing brings late
//! counts for when it was made.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use hanse_protocol::charter::CharterChain;
use hanse_protocol::identity::{Handle, RecordId};
use hanse_protocol::timestamp::Timestamp;

use super::worker::Worker;
use crate::clock;
use crate::store::StoreError;

/// Minutes that are told apart of one author; beyond that the oldest are forgotten.
const MINUTES: usize = 24 * 60;

/// Milliseconds of a minute.
const MINUTE: u64 = 60_000;

/// Most records of the last hour that are counted when the node starts.
const COUNTED: usize = 20_000;

/// Records by author and minute.
#[derive(Default)]
pub(super) struct Rates(HashMap<Handle, BTreeMap<u64, u32>>);

impl Rates {
    /// Counts a record.
    pub(super) fn note(&mut self, author: &Handle, created: Timestamp) {
        if !self.0.contains_key(author) {
            self.0.insert(author.clone(), BTreeMap::new());
        }
        let Some(minutes) = self.0.get_mut(author) else {
            return;
        };
        let count = minutes.entry(created.as_millis() / MINUTE).or_default();
        *count = count.saturating_add(1);
        while minutes.len() > MINUTES {
            minutes.pop_first();
        }
    }

    /// Records of an author in the hour up to `at`.
    pub(super) fn hour_before(&self, author: &Handle, at: Timestamp) -> u32 {
        let last = at.as_millis() / MINUTE;
        let minutes = self.0.get(author).into_iter();
        minutes
            .flat_map(|minutes| minutes.range(last.saturating_sub(59)..=last))
            .fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }
}

impl Worker {
    /// Counts what was signed in the hour before the start, so that a restart wipes no slate clean.
    pub(super) fn load_rates(&mut self, charters: &CharterChain) -> Result<(), StoreError> {
        let now = clock::now();
        let hour = Duration::from_secs(3_600).as_millis();
        let from = now
            .as_millis()
            .saturating_sub(u64::try_from(hour).unwrap_or_default());
        let from = (Timestamp::from_millis(from), RecordId([0; 32]));
        let to = (Timestamp::from_millis(u64::MAX), RecordId([u8::MAX; 32]));
        let community = charters.community();
        let members = &charters.charter().members;
        let tag = |handle: &Handle| self.reader.author_tag(community, handle);
        let authors: HashMap<_, _> = members
            .iter()
            .map(|member| (tag(&member.handle), &member.handle))
            .collect();
        let newest = self.reader.timeline(community, from, to, COUNTED, true)?;
        for item in newest {
            let author = self.reader.author_of(&item.id)?;
            if let Some(author) = author.and_then(|author| authors.get(&author)) {
                self.rates.note(author, item.created);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_counted_by_when_records_were_signed() {
        let author: Handle = "acme-water".parse().unwrap();
        let minute = |number: u64| Timestamp::from_millis(number * MINUTE + 17);
        let mut rates = Rates::default();
        for number in [100, 100, 130, 159, 160] {
            rates.note(&author, minute(number));
        }
        assert_eq!(rates.hour_before(&author, minute(159)), 4);
        assert_eq!(rates.hour_before(&author, minute(160)), 3);
        assert_eq!(rates.hour_before(&author, minute(100)), 2);
        assert_eq!(rates.hour_before(&"port-city".parse().unwrap(), minute(160)), 0);
        for number in 1_000..9_000 {
            rates.note(&author, minute(number));
        }
        assert_eq!(rates.0[&author].len(), MINUTES);
    }
}
