//! What authors took back: remembered before it is here, so that it is never shown when it comes, and
//! while it is here all the same, so that an erasure that got lost is made good at the next start. All
//! of it follows from the retractions in the log.

use std::collections::HashMap;
use std::ops::Bound;

use hanse_protocol::identity::RecordId;

use super::catalogue::{AuthorTag, Fields, Keyspace, key};
use super::index::{Batch, Direction, Index, IndexError};

/// Most records that are remembered as taken back by one author before they are here. An author over it
/// takes back what comes later in vain; what is here already is erased in any case.
pub const AHEAD: u32 = 16_384;

/// First bytes of the keys.
const COUNT: [u8; 1] = [0];
const AHEAD_OF: [u8; 1] = [1];
const DUE: [u8; 1] = [2];

/// Keys read at once.
const CHUNK: usize = 1_024;

/// How a record stands that its author took back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is not here.
    Ahead,
    /// It is here, and its body is not said to be gone.
    Due,
}

fn row(standing: Standing, author: AuthorTag, id: &RecordId) -> Vec<u8> {
    let first = match standing {
        Standing::Ahead => AHEAD_OF,
        Standing::Due => DUE,
    };
    key(&[&first, &author.0, id.as_bytes()])
}

/// Changes gathered with those of [`super::indexing::Updates`], which the index does not show yet.
#[derive(Default)]
pub(super) struct Withdrawals {
    counts: HashMap<AuthorTag, u32>,
    rows: HashMap<(AuthorTag, RecordId), Option<Standing>>,
}

impl Withdrawals {
    /// An author took a record back that is `here`, or not.
    pub(super) fn take_back(
        &mut self,
        (index, batch): (&dyn Index, &mut Batch),
        author: AuthorTag,
        id: &RecordId,
        here: bool,
    ) -> Result<(), IndexError> {
        let count = self.count(index, author)?;
        if count >= AHEAD || self.standing(index, author, id)?.is_some() {
            return Ok(());
        }
        let standing = if here { Standing::Due } else { Standing::Ahead };
        self.put_count(batch, author, count + 1);
        self.put(batch, author, id, standing);
        Ok(())
    }

    /// A record of an author came, or part of it.
    pub(super) fn came(
        &mut self,
        (index, batch): (&dyn Index, &mut Batch),
        author: AuthorTag,
        id: &RecordId,
    ) -> Result<(), IndexError> {
        if self.count(index, author)? > 0 && self.standing(index, author, id)? == Some(Standing::Ahead) {
            batch.remove(Keyspace::Withdrawn, row(Standing::Ahead, author, id));
            self.put(batch, author, id, Standing::Due);
        }
        Ok(())
    }

    /// A record's body is gone, or the record is, or what took it back.
    pub(super) fn settled(
        &mut self,
        (index, batch): (&dyn Index, &mut Batch),
        author: AuthorTag,
        id: &RecordId,
    ) -> Result<(), IndexError> {
        let count = self.count(index, author)?;
        if count > 0
            && let Some(standing) = self.standing(index, author, id)?
        {
            batch.remove(Keyspace::Withdrawn, row(standing, author, id));
            self.rows.insert((author, *id), None);
            self.put_count(batch, author, count - 1);
        }
        Ok(())
    }

    /// What was gathered was applied.
    pub(super) fn clear(&mut self) {
        self.counts.clear();
        self.rows.clear();
    }

    fn count(&mut self, index: &dyn Index, author: AuthorTag) -> Result<u32, IndexError> {
        if let Some(count) = self.counts.get(&author) {
            return Ok(*count);
        }
        let count = index.get(Keyspace::Withdrawn, &key(&[&COUNT, &author.0]))?;
        let count = count.map_or(Ok(0), |bytes| Fields(&bytes).u32())?;
        self.counts.insert(author, count);
        Ok(count)
    }

    fn put_count(&mut self, batch: &mut Batch, author: AuthorTag, count: u32) {
        let place = key(&[&COUNT, &author.0]);
        match count {
            0 => batch.remove(Keyspace::Withdrawn, place),
            _ => batch.put(Keyspace::Withdrawn, place, count.to_be_bytes()),
        }
        self.counts.insert(author, count);
    }

    fn standing(
        &self,
        index: &dyn Index,
        author: AuthorTag,
        id: &RecordId,
    ) -> Result<Option<Standing>, IndexError> {
        match self.rows.get(&(author, *id)) {
            Some(standing) => Ok(*standing),
            None => standing(index, author, id),
        }
    }

    fn put(&mut self, batch: &mut Batch, author: AuthorTag, id: &RecordId, standing: Standing) {
        batch.put(Keyspace::Withdrawn, row(standing, author, id), []);
        self.rows.insert((author, *id), Some(standing));
    }
}

fn standing(index: &dyn Index, author: AuthorTag, id: &RecordId) -> Result<Option<Standing>, IndexError> {
    for standing in [Standing::Ahead, Standing::Due] {
        if index
            .get(Keyspace::Withdrawn, &row(standing, author, id))?
            .is_some()
        {
            return Ok(Some(standing));
        }
    }
    Ok(None)
}

/// Whether an author took back a record whose body is not said to be gone here.
pub(super) fn is_taken_back(index: &dyn Index, author: AuthorTag, id: &RecordId) -> Result<bool, IndexError> {
    Ok(standing(index, author, id)?.is_some())
}

/// All records that are here though somebody took them back, with who did. At most [`AHEAD`] an author.
pub(super) fn due(index: &dyn Index) -> Result<Vec<(AuthorTag, RecordId)>, IndexError> {
    let mut due = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let from = after
            .as_deref()
            .map_or(Bound::Included(&DUE[..]), Bound::Excluded);
        let pairs = index.range(
            Keyspace::Withdrawn,
            from,
            Bound::Unbounded,
            Direction::Forward,
            CHUNK,
        )?;
        for (key, _) in &pairs {
            let mut fields = Fields(key.get(1..).unwrap_or_default());
            due.push((AuthorTag(fields.take()?), fields.id()?));
        }
        match pairs.into_iter().next_back() {
            Some((last, _)) => after = Some(last),
            None => return Ok(due),
        }
    }
}
