//! What each author has sent, by the day its records are signed for, held against what the charter
//! allows: within the budget a record is taken whole, up to four times of it without its body, and
//! beyond that not at all. The tally is kept in notes of the same commits that it counts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hanse_protocol::charter::Budget;
use hanse_protocol::identity::{Handle, NodeId};
use hanse_protocol::record::Header;
use hanse_protocol::timestamp::Timestamp;

use super::ExchangeError;
use super::worker::Worker;
use crate::store::entry::{Entry, NoteEntry};

/// How many budgets an author's headers may fill before they are turned away, too.
const HEADERS: u64 = 4;

/// Tallies kept in memory; the others are read again from their notes.
const TALLIES: usize = 4_096;

/// Tallies over their budget that are shown.
const SHOWN: usize = 256;

const DAY: u64 = 24 * 3_600 * 1_000;

/// A day of UTC, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Day(u64);

impl Day {
    /// The day that an instant falls on.
    pub(super) fn of(at: Timestamp) -> Self {
        Self(at.as_millis() / DAY)
    }

    /// When it begins.
    fn start(self) -> Timestamp {
        Timestamp::from_millis(self.0.saturating_mul(DAY))
    }

    /// When it is over.
    fn end(self) -> Timestamp {
        self.start().after(Duration::from_millis(DAY))
    }
}

/// What one author sent for one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    /// Bytes of headers and of the bodies they name.
    bytes: u64,
    records: u64,
    /// Bytes of what was unpacked and read here, counted apart: not everybody can read the same.
    content: u64,
}

/// What is taken of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// Header and body.
    Whole,
    /// The header: its body is not held.
    Header,
    /// Nothing.
    Nothing,
}

impl Tally {
    fn with(self, records: u64, bytes: u64) -> Self {
        Self {
            bytes: self.bytes.saturating_add(bytes),
            records: self.records.saturating_add(records),
            ..self
        }
    }

    fn with_content(self, bytes: usize) -> Self {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        Self {
            content: self.content.saturating_add(bytes),
            ..self
        }
    }

    /// Whether this is no more than so many budgets.
    fn within(self, budget: &Budget, times: u64) -> bool {
        self.bytes <= budget.bytes.saturating_mul(times)
            && self.records <= u64::from(budget.records).saturating_mul(times)
    }

    /// What a record that brings the tally here gets.
    fn grants(self, budget: &Budget) -> Grant {
        if self.within(budget, 1) {
            Grant::Whole
        } else if self.within(budget, HEADERS) {
            Grant::Header
        } else {
            Grant::Nothing
        }
    }

    fn encode(self) -> Vec<u8> {
        [self.bytes, self.records, self.content]
            .map(u64::to_be_bytes)
            .concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (bytes, rest) = bytes.split_first_chunk()?;
        let (records, rest) = rest.split_first_chunk()?;
        // Older notes count no content.
        let content = rest.first_chunk().copied().unwrap_or_default();
        Some(Self {
            bytes: u64::from_be_bytes(*bytes),
            records: u64::from_be_bytes(*records),
            content: u64::from_be_bytes(content),
        })
    }
}

/// An author over its budget, as it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overdrawn {
    /// Records counted for the day, those turned away left out.
    pub records: u64,
    /// Bytes of headers and of the bodies they name, those turned away left out.
    pub bytes: u64,
    /// Records of which only the header was taken, since this node started.
    pub without_body: u64,
    /// Headers turned away since this node started, each time they came.
    pub refused: u64,
}

/// Who is over its budget, by author and by when the day began. The oldest days are forgotten first.
type Shown = BTreeMap<(Timestamp, Handle), Overdrawn>;

/// The tallies, and who is over its budget.
#[derive(Default)]
pub(super) struct Ledger {
    tallies: HashMap<(Handle, Day), Tally>,
    /// Those that changed since the last commit.
    changed: BTreeSet<(Handle, Day)>,
    /// How many records of an author and day, turned away here, a courier brought that may have found
    /// them within what it takes.
    excused: HashMap<(NodeId, Handle, Day), u32>,
    shown: Overdrafts,
}

/// Who is over its budget: written by the exchange, read by whoever shows it.
#[derive(Clone, Default)]
pub(super) struct Overdrafts(Arc<RwLock<Shown>>);

impl Overdrafts {
    /// Authors over their budget, with when the day began, the oldest first.
    pub(super) fn now(&self) -> Vec<(Handle, Timestamp, Overdrawn)> {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let one = |((day, author), overdrawn): (&(Timestamp, Handle), &Overdrawn)| {
            (author.clone(), *day, *overdrawn)
        };
        shown.iter().map(one).collect()
    }

    fn note(&self, author: &Handle, day: Day, tally: Tally, grant: Grant) {
        let mut shown = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let overdrawn = shown.entry((day.start(), author.clone())).or_default();
        overdrawn.without_body += u64::from(grant == Grant::Header);
        overdrawn.refused += u64::from(grant == Grant::Nothing);
        if grant != Grant::Nothing {
            (overdrawn.records, overdrawn.bytes) = (tally.records, tally.bytes);
        }
        while shown.len() > SHOWN {
            shown.pop_first();
        }
    }
}

impl Ledger {
    /// Where it is shown who is over its budget.
    pub(super) fn overdrafts(&self) -> Overdrafts {
        self.shown.clone()
    }

    /// Whether an honest courier may have passed on this record, which is turned away here: so many as
    /// one author may send a day.
    pub(super) fn excuse(&mut self, courier: &NodeId, header: &Header, budget: &Budget) -> bool {
        if self.excused.len() >= TALLIES {
            self.excused.clear();
        }
        let key = (*courier, header.author.clone(), Day::of(header.created));
        let brought = self.excused.entry(key).or_default();
        *brought = brought.saturating_add(1);
        *brought <= budget.records
    }

    /// Charges what was granted.
    fn charge(&mut self, author: &Handle, day: Day, tally: Tally) {
        let key = (author.clone(), day);
        self.changed.insert(key.clone());
        self.tallies.insert(key, tally);
    }

    /// The notes that make the tallies survive, for the commit that holds what they count.
    pub(super) fn notes(&mut self) -> Vec<Entry> {
        let changed = std::mem::take(&mut self.changed);
        let note = |(author, day): (Handle, Day)| {
            let tally = self.tallies.get(&(author.clone(), day))?;
            Some(Entry::Note(NoteEntry {
                kind: kind(&author, day),
                bytes: tally.encode(),
            }))
        };
        let notes = changed.into_iter().filter_map(note).collect();
        if self.tallies.len() > TALLIES {
            self.tallies.clear();
        }
        notes
    }
}

/// What a tally's note is called.
fn kind(author: &Handle, day: Day) -> String {
    format!("budget {author} {}", day.0)
}

impl Worker {
    /// Charges a newly admitted record to its author, and says what is taken of it.
    pub(super) fn charge(&mut self, budget: &Budget, header: &Header, header_bytes: usize) -> Grant {
        let day = Day::of(header.created);
        let cost = cost(header_bytes, header.body_length);
        let tally = self.tally(&header.author, day).with(1, cost);
        // What we said ourselves and lost is wanted back whatever it comes to.
        let own = header.author == self.member.profile.handle;
        let grant = if own { Grant::Whole } else { tally.grants(budget) };
        if grant != Grant::Whole {
            self.ledger.shown.note(&header.author, day, tally, grant);
        }
        if grant != Grant::Nothing {
            self.ledger.charge(&header.author, day, tally);
        }
        grant
    }

    /// Charges the content of a record before it is unpacked: a few hundred bytes may hold megabytes, and
    /// the author chooses. `false` if that is more than it may send a day.
    pub(super) fn afford(&mut self, budget: &Budget, header: &Header, content: usize) -> bool {
        let day = Day::of(header.created);
        let before = self.tally(&header.author, day);
        let after = before.with_content(content);
        let own = header.author == self.member.profile.handle;
        let within = own || after.content <= budget.bytes;
        if within {
            self.ledger.charge(&header.author, day, after);
        } else {
            // Its header was granted and counted.
            self.ledger.shown.note(&header.author, day, before, Grant::Header);
        }
        within
    }

    /// Whether contents of ours of these sizes fit into what others will unpack of us that day.
    pub(super) fn fits_content(
        &self,
        budget: &Budget,
        created: Timestamp,
        contents: impl Iterator<Item = usize>,
    ) -> Result<(), ExchangeError> {
        let day = Day::of(created);
        let before = self.tally(&self.member.profile.handle, day);
        if contents.fold(before, Tally::with_content).content <= budget.bytes {
            return Ok(());
        }
        Err(ExchangeError::Budget {
            records: (before.records, u64::from(budget.records)),
            bytes: (before.content, budget.bytes),
            renewed: day.end(),
        })
    }

    /// Whether records of ours with bodies of these sizes and headers of about this one fit into our
    /// own budget of the day: what peers would not hold is not published.
    pub(super) fn fits_own_budget(
        &self,
        budget: &Budget,
        created: Timestamp,
        header_bytes: usize,
        bodies: impl Iterator<Item = usize>,
    ) -> Result<(), ExchangeError> {
        let author = self.member.profile.handle.clone();
        let day = Day::of(created);
        let before = self.tally(&author, day);
        let body = |bytes| u32::try_from(bytes).unwrap_or(u32::MAX);
        let after = bodies.fold(before, |tally, bytes| {
            tally.with(1, cost(header_bytes, body(bytes)))
        });
        if after.within(budget, 1) {
            return Ok(());
        }
        Err(ExchangeError::Budget {
            records: (before.records, u64::from(budget.records)),
            bytes: (before.bytes, budget.bytes),
            renewed: day.end(),
        })
    }

    /// Charges a record of ours to ourselves.
    pub(super) fn charge_own(&mut self, header: &Header, header_bytes: usize) {
        let day = Day::of(header.created);
        let tally = self.tally(&header.author, day);
        let tally = tally.with(1, cost(header_bytes, header.body_length));
        self.ledger.charge(&header.author, day, tally);
    }

    fn tally(&self, author: &Handle, day: Day) -> Tally {
        if let Some(tally) = self.ledger.tallies.get(&(author.clone(), day)) {
            return *tally;
        }
        // A store that cannot be read fails the next commit; here it only means not known.
        let note = self.reader.note(&kind(author, day)).ok().flatten();
        note.and_then(|bytes| Tally::decode(&bytes)).unwrap_or_default()
    }
}

fn cost(header: usize, body: u32) -> u64 {
    u64::try_from(header)
        .unwrap_or(u64::MAX)
        .saturating_add(u64::from(body))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BUDGET: Budget = Budget {
        bytes: 1_000,
        records: 10,
    };

    #[test]
    fn a_day_of_utc_begins_and_ends_at_midnight() {
        let late: Timestamp = "2026-11-23T23:59:59.999Z".parse().unwrap();
        let early: Timestamp = "2026-11-24T00:00:00Z".parse().unwrap();
        assert_ne!(Day::of(late), Day::of(early));
        assert_eq!(Day::of(late).end(), early);
        assert_eq!(Day::of(early).start(), early);
    }

    #[test]
    fn either_bound_is_reached_and_then_passed() {
        let spent = Tally::default().with(10, 1_000);
        assert_eq!(spent.grants(&BUDGET), Grant::Whole);
        assert_eq!(spent.with(1, 0).grants(&BUDGET), Grant::Header);
        assert_eq!(spent.with(0, 1).grants(&BUDGET), Grant::Header);
        assert_eq!(spent.with(30, 3_000).grants(&BUDGET), Grant::Header);
        assert_eq!(spent.with(31, 0).grants(&BUDGET), Grant::Nothing);
        assert_eq!(spent.with(0, 3_001).grants(&BUDGET), Grant::Nothing);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn tallies_read_back(bytes: u64, records: u64, content: u64) {
            let tally = Tally { bytes, records, content };
            prop_assert_eq!(Tally::decode(&tally.encode()), Some(tally));
            let older = Tally { content: 0, ..tally };
            prop_assert_eq!(Tally::decode(&tally.encode()[..16]), Some(older));
        }
    }
}
