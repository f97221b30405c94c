//! What the nodes were asked to publish and what they said they had: against this everything they show
//! is held.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hanse_protocol::identity::RecordId;

use super::plan::Item;
use crate::report::Quantiles;

/// What became of an item.
#[derive(Clone, Debug, Default)]
struct Fate {
    asked: Option<Instant>,
    acknowledged: Option<Instant>,
    records: Vec<RecordId>,
    searchable: Option<Instant>,
    /// Published by a node whose clock was off.
    astray: bool,
}

/// A record that a node said it had published.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Its id.
    pub record: RecordId,
    /// Whose node said so.
    pub author: usize,
    /// Whether that node's clock was off.
    pub astray: bool,
}

#[derive(Default)]
struct Inner {
    items: Vec<Item>,
    fates: Vec<Fate>,
    by_object: HashMap<String, usize>,
    /// What each node acknowledged, in order.
    told: BTreeMap<usize, Vec<Told>>,
    spread: Vec<Duration>,
    counts: Counts,
    invented: Option<Told>,
    calm_until: Option<Duration>,
}

/// How asking went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Records that a node was asked to publish.
    pub asked: usize,
    /// Those it said it had.
    pub acknowledged: usize,
    /// Those it refused or could not be asked for, since it was down or its clock was off.
    pub refused: usize,
    /// Those of which nobody knows, since the node was killed before it answered.
    pub unknown: usize,
}

/// Shared by those who publish and those who look.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Inner>>);

/// The part of an item that who sees one of its objects wants to know.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The item's number.
    pub number: usize,
    /// How many objects it has.
    pub objects: usize,
    /// Whether this node may read it.
    pub allowed: bool,
    /// What to search for here, if this is where it is searched for.
    pub probe: Option<String>,
}

impl Ledger {
    /// A ledger for these items. Records asked for before `calm_until` were before the hardship.
    pub fn new(items: Vec<Item>, calm_until: Option<Duration>) -> Self {
        let by_object = items
            .iter()
            .enumerate()
            .flat_map(|(number, item)| item.ids.iter().map(move |id| (id.clone(), number)))
            .collect();
        let fates = vec![Fate::default(); items.len()];
        Self(Arc::new(Mutex::new(Inner {
            items,
            fates,
            by_object,
            calm_until,
            ..Inner::default()
        })))
    }

    /// A node is asked for an item now.
    pub fn asks(&self, number: usize, astray: bool) {
        let mut inner = self.inner();
        inner.counts.asked += 1;
        if let Some(fate) = inner.fates.get_mut(number) {
            fate.asked = Some(Instant::now());
            fate.astray = astray;
        }
    }

    /// The node said that it had published it, as these records.
    pub fn acknowledged(&self, number: usize, records: Vec<RecordId>) {
        let mut inner = self.inner();
        inner.counts.acknowledged += 1;
        let author = inner.items.get(number).map(|item| item.author);
        let Some(fate) = inner.fates.get_mut(number) else {
            return;
        };
        fate.acknowledged = Some(Instant::now());
        fate.records.clone_from(&records);
        let astray = fate.astray;
        if let Some(author) = author {
            let told = records.into_iter().map(|record| Told {
                record,
                author,
                astray,
            });
            inner.told.entry(author).or_default().extend(told);
        }
    }

    /// A record that no node was asked for counts as acknowledged by this one: sabotage.
    pub fn invent(&self, author: usize) {
        self.inner().invented = Some(Told {
            record: RecordId([0xab; 32]),
            author,
            astray: false,
        });
    }

    /// The node refused, or was not there to be asked.
    pub fn refused(&self) {
        self.inner().counts.refused += 1;
    }

    /// The node did not answer.
    pub fn unknown(&self) {
        self.inner().counts.unknown += 1;
    }

    /// What a node showing this object is to know; `None` if it is no object of ours.
    pub fn sees(&self, node: usize, object: &str) -> Option<Seen> {
        let inner = self.inner();
        let number = inner.by_object.get(object).copied()?;
        let item = inner.items.get(number)?;
        let allowed = |readers: &Vec<usize>| readers.contains(&node) || item.author == node;
        Some(Seen {
            number,
            objects: item.ids.len(),
            allowed: item.readers.as_ref().is_none_or(allowed),
            probe: (item.probe == node).then(|| item.value.clone()),
        })
    }

    /// A node is told of an item.
    pub fn arrives(&self, node: usize, number: usize) {
        let mut inner = self.inner();
        let elsewhere = inner.items.get(number).is_some_and(|item| item.author != node);
        let acknowledged = inner.fates.get(number).and_then(|fate| fate.acknowledged);
        if let Some(acknowledged) = acknowledged.filter(|_| elsewhere) {
            inner.spread.push(acknowledged.elapsed());
        }
    }

    /// A search at its probe found an item.
    pub fn searchable(&self, number: usize) {
        if let Some(fate) = self.inner().fates.get_mut(number) {
            fate.searchable.get_or_insert_with(Instant::now);
        }
    }

    /// Whether all that was published before the hardship has been found by searching.
    pub fn calm_is_over(&self) -> bool {
        let inner = self.inner();
        let calm = |item: &Item| inner.calm_until.is_none_or(|until| item.at < until);
        let found = |fate: &Fate| fate.acknowledged.is_none() || fate.searchable.is_some();
        let mut fates = inner.items.iter().zip(&inner.fates);
        fates.all(|(item, fate)| !calm(item) || found(fate))
    }

    /// Everything a node acknowledged, the newest last.
    pub fn told_by(&self, author: usize) -> Vec<Told> {
        let inner = self.inner();
        let mut told = inner.told.get(&author).cloned().unwrap_or_default();
        told.extend(inner.invented.filter(|invented| invented.author == author));
        told
    }

    /// Everything that was acknowledged.
    pub fn told(&self) -> Vec<Told> {
        self.inner().told.values().flatten().copied().collect()
    }

    /// How asking went.
    pub fn counts(&self) -> Counts {
        self.inner().counts
    }

    /// An item.
    pub fn item(&self, number: usize) -> Option<Item> {
        self.inner().items.get(number).cloned()
    }

    /// Sealed items that were acknowledged, evenly spread, at most so many.
    pub fn sealed(&self, most: usize) -> Vec<Item> {
        let inner = self.inner();
        let those = inner.items.iter().zip(&inner.fates);
        let those: Vec<&Item> = those
            .filter(|(item, fate)| item.readers.is_some() && fate.acknowledged.is_some())
            .map(|(item, _)| item)
            .collect();
        let step = those.len().div_ceil(most).max(1);
        those.into_iter().step_by(step).cloned().collect()
    }

    /// Texts of sealed items, evenly spread, at most so many, and the same of open ones.
    pub fn telling(&self, most: usize) -> Vec<String> {
        let inner = self.inner();
        let of = |sealed: bool| {
            let those = inner
                .items
                .iter()
                .filter(move |item| item.readers.is_some() == sealed);
            let step = those.clone().count().div_ceil(most).max(1);
            those.step_by(step)
        };
        let texts = |item: &Item| [item.telling.clone(), item.value.clone()];
        of(true).chain(of(false)).flat_map(texts).collect()
    }

    /// From the acknowledgement to others being told.
    pub fn spread(&self) -> Quantiles {
        Quantiles::of(self.inner().spread.clone())
    }

    /// From asking to a search elsewhere finding it: before the hardship, and after.
    pub fn searchable_within(&self) -> (Quantiles, Quantiles) {
        let inner = self.inner();
        let (mut calm, mut hard) = (Vec::new(), Vec::new());
        for (item, fate) in inner.items.iter().zip(&inner.fates) {
            if let (Some(asked), Some(found)) = (fate.asked, fate.searchable) {
                let span = found.saturating_duration_since(asked);
                match inner.calm_until.is_none_or(|until| item.at < until) {
                    true => calm.push(span),
                    false => hard.push(span),
                }
            }
        }
        (Quantiles::of(calm), Quantiles::of(hard))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
