//! Large batches on sled: the changes are written down as pages first, then a mark that they are
//! complete, then they are made in steps. What a kill breaks off before the mark is forgotten,
//! what it breaks off after is made at the next opening: whole or not at all either way.
//!
//! sled keeps what was applied in order: after a kill it may lack the last of its own batches, but
//! never one with a later one present.

use super::{Change, Keyspace, STEP, code, together};
use crate::store::catalogue::Fields;
use crate::store::index::IndexError;

/// The byte before pages and mark.
const STAGE: u8 = 0;
/// Size at which a page is full, bytes. sled puts up to 17 values in a node of its tree, and nodes
/// over 128 KiB into files that it never syncs.
const PAGE: usize = 4 << 10;
/// Pages written in one of sled's batches.
const PAGES: usize = 64;
/// Key of the mark, past every page's; its value is the number of pages.
const MARK: [u8; 5] = [STAGE, 0xff, 0xff, 0xff, 0xff];

/// Applies changes in steps, with the strength of one.
pub(super) fn apply(database: &sled::Db, changes: &[Change]) -> Result<(), IndexError> {
    let pages = pages(changes);
    let count = u32::try_from(pages.len()).map_err(|_| IndexError::Malformed("batch"))?;
    let numbered: Vec<(u32, Vec<u8>)> = (0..count).zip(pages).collect();
    for some in numbered.chunks(PAGES) {
        let mut batch = sled::Batch::default();
        for (number, page) in some {
            batch.insert(&place(*number), page.as_slice());
        }
        database.apply_batch(batch)?;
    }
    database.insert(MARK, &count.to_be_bytes())?;
    make(database, changes, count)
}

/// Makes what was marked complete but broken off, and forgets pages without a mark.
pub(super) fn finish(database: &sled::Db) -> Result<(), IndexError> {
    let Some(mark) = database.get(MARK)? else {
        return forget(database);
    };
    let count = Fields(&mark).u32()?;
    let mut changes = Vec::new();
    for number in 0..count {
        let page = database
            .get(place(number))?
            .ok_or(IndexError::Malformed("page"))?;
        read(&page, &mut changes)?;
    }
    make(database, &changes, count)
}

/// Makes the changes in steps, the last of which removes mark and pages too. Made twice they come
/// to the same, so a kill between steps does no harm.
fn make(database: &sled::Db, changes: &[Change], pages: u32) -> Result<(), IndexError> {
    for step in changes.chunks(STEP) {
        database.apply_batch(together(step))?;
    }
    let mut last = sled::Batch::default();
    last.remove(&MARK);
    (0..pages).for_each(|number| last.remove(&place(number)));
    Ok(database.apply_batch(last)?)
}

fn forget(database: &sled::Db) -> Result<(), IndexError> {
    let mut batch = sled::Batch::default();
    for key in database.scan_prefix([STAGE]).keys() {
        batch.remove(key?);
    }
    Ok(database.apply_batch(batch)?)
}

fn place(number: u32) -> [u8; 5] {
    let [a, b, c, d] = number.to_be_bytes();
    [STAGE, a, b, c, d]
}

/// Changes one after another: keyspace 1 · key length 4 · key · 1 and value length 4 and value, or 0.
fn pages(changes: &[Change]) -> Vec<Vec<u8>> {
    let mut pages = Vec::new();
    let mut page = Vec::new();
    let field = |page: &mut Vec<u8>, bytes: &[u8]| {
        // Keys and values of the catalogue are far below four gigabytes.
        page.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        page.extend_from_slice(bytes);
    };
    for change in changes {
        page.push(code(change.keyspace));
        field(&mut page, &change.key);
        page.push(u8::from(change.value.is_some()));
        if let Some(value) = &change.value {
            field(&mut page, value);
        }
        if page.len() >= PAGE {
            pages.push(std::mem::take(&mut page));
        }
    }
    pages.extend(Some(page).filter(|page| !page.is_empty()));
    pages
}

fn read(page: &[u8], changes: &mut Vec<Change>) -> Result<(), IndexError> {
    let mut fields = Fields(page);
    while !fields.0.is_empty() {
        let [number] = fields.take()?;
        let keyspace = Keyspace::ALL.into_iter().find(|one| code(*one) == number);
        let keyspace = keyspace.ok_or(IndexError::Malformed("page"))?;
        let key = bytes(&mut fields)?;
        let value = match fields.take()? {
            [0] => None,
            _ => Some(bytes(&mut fields)?),
        };
        changes.push(Change { keyspace, key, value });
    }
    Ok(())
}

fn bytes(fields: &mut Fields<'_>) -> Result<Vec<u8>, IndexError> {
    let length = fields.u32()? as usize;
    let (bytes, rest) = fields
        .0
        .split_at_checked(length)
        .ok_or(IndexError::Malformed("page"))?;
    fields.0 = rest;
    Ok(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::super::SledIndex;
    use super::*;
    use crate::store::entry::Position;
    use crate::store::index::{Batch, Direction, Index, Reflects};
    use std::ops::Bound;

    fn large() -> (Vec<Change>, Reflects) {
        let reflects = Reflects {
            next: Position(7),
            segment: 1,
            offset: 9,
        };
        let mut batch = Batch::default();
        for n in 0..2_000u32 {
            batch.put(Keyspace::Timeline, n.to_be_bytes(), vec![1; 60]);
            if n % 3 == 0 {
                batch.remove(Keyspace::Timeline, n.to_be_bytes());
            }
        }
        (batch.reflecting(reflects), reflects)
    }

    fn found(index: &SledIndex) -> usize {
        let all = (Bound::Unbounded, Bound::Unbounded);
        let pairs = index.range(Keyspace::Timeline, all.0, all.1, Direction::Forward, 9_999);
        pairs.unwrap().len()
    }

    /// Stops the staging after so many pages, and steps after the mark, as a kill would.
    fn broken_off(database: &sled::Db, changes: &[Change], marked: bool, steps: usize) {
        let pages = pages(changes);
        let written = if marked { pages.len() } else { pages.len() / 2 };
        for (number, page) in (0..).zip(&pages[..written]) {
            database.insert(place(number), page.as_slice()).unwrap();
        }
        if marked {
            let count = u32::try_from(pages.len()).unwrap();
            database.insert(MARK, &count.to_be_bytes()).unwrap();
        }
        for step in changes.chunks(STEP).take(steps) {
            database.apply_batch(together(step)).unwrap();
        }
    }

    #[test]
    fn a_large_batch_broken_off_anywhere_is_whole_or_absent() {
        let (changes, reflects) = large();
        for (marked, steps) in [(false, 0), (true, 0), (true, 1), (true, 3), (true, 99)] {
            let home = tempfile::tempdir().unwrap();
            let index = SledIndex::open(home.path()).unwrap();
            broken_off(&index.database, &changes, marked, steps);
            drop(index);
            let index = SledIndex::open(home.path()).unwrap();
            let expected = if marked {
                (2_000 - 667, Some(reflects))
            } else {
                (0, None)
            };
            assert_eq!((found(&index), index.reflects().unwrap()), expected);
            assert_eq!(index.database.scan_prefix([STAGE]).count(), 0);
        }
    }
}
