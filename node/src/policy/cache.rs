//! Decisions that were made, so that a second object like the first costs nothing. Bounded; a set of
//! policies has its own, so a new set begins with an empty one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::decision::Decision;
use super::item::Item;

/// The most decisions that are held; beyond it all are forgotten.
const DECISIONS: usize = 1 << 18;

/// What a row of decisions is about. What no policy reads is left at its blank, so that it makes no
/// difference.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) roster: u64,
    pub(super) item: Item,
    pub(super) named: bool,
    /// Milliseconds since the epoch.
    pub(super) minute: u64,
}

/// The decision for each principal of a roster, as far as they were asked for.
pub(super) type Row = Vec<Option<Arc<Decision>>>;

#[derive(Debug, Default)]
pub(super) struct Cache {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    rows: HashMap<Key, Row>,
    decisions: usize,
}

impl Cache {
    /// What is held of a row; blank if nothing is.
    pub(super) fn row(&self, key: &Key, principals: usize) -> Row {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.rows
            .get(key)
            .cloned()
            .unwrap_or_else(|| vec![None; principals])
    }

    /// Holds a row.
    pub(super) fn hold(&self, key: Key, row: Row) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.decisions + row.len() > DECISIONS {
            *held = Held::default();
        }
        held.decisions += row.len();
        if let Some(before) = held.rows.insert(key, row) {
            held.decisions = held.decisions.saturating_sub(before.len());
        }
    }
}
