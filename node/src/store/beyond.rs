//! What lies beyond an ending of its author stays as evidence and is not among what members compare. Only
//! the charter in force says what does, so an author's records are judged anew whenever its endings change:
//! a few at a time, and after a kill from where that stood. Nothing of it is in the log: an index that is
//! made anew has everything compared, and then all of it is judged again.

use std::ops::Bound;

use hanse_protocol::identity::{CommunityId, Handle, RecordId};

use super::catalogue::{Fields, Keyspace, key, meta};
use super::entry::Entry;
use super::index::{Direction, IndexError, after_prefix};
use super::indexing::{Updates, is_beyond};
use super::replay::readable;
use super::{Store, StoreError};

/// Records looked at in one step.
const LOOKED_AT: usize = 128;

/// What stands for all endings of an author: the same only if they judge every record alike. All zero if
/// nothing of it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endings(pub [u8; 16]);

/// What one step came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Records that are not compared any longer.
    pub left: u64,
    /// Records that are compared again.
    pub back: u64,
    /// Whether there are more to look at.
    pub more: bool,
}

/// How far an author's records were judged.
#[derive(Default)]
struct Standing {
    endings: Endings,
    /// The key of `chain` after which it goes on; empty once all were.
    after: Vec<u8>,
}

impl Standing {
    fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        let mut fields = Fields(bytes);
        Ok(Self {
            endings: Endings(fields.take()?),
            after: fields.0.to_vec(),
        })
    }
}

impl Store {
    /// Whether all records of an author stand where these endings put them.
    ///
    /// # Errors
    /// [`StoreError::Index`].
    pub fn is_judged(
        &self,
        community: &CommunityId,
        author: &Handle,
        endings: Endings,
    ) -> Result<bool, StoreError> {
        let standing = self.judged_so_far(community, author)?;
        Ok(standing.endings == endings && standing.after.is_empty())
    }

    fn judged_so_far(&self, community: &CommunityId, author: &Handle) -> Result<Standing, IndexError> {
        let row = self
            .shared
            .index
            .get(Keyspace::Meta, &self.judged_key(community, author))?;
        row.map_or_else(|| Ok(Standing::default()), |row| Standing::decode(&row))
    }

    fn judged_key(&self, community: &CommunityId, author: &Handle) -> Vec<u8> {
        let tags = &self.shared.tags;
        let author = tags.author(community, author);
        key(&[meta::JUDGED, &tags.community(community), &author.0])
    }

    /// Judges the next few records of an author: `counts` says of a header, as it travelled, whether it
    /// lies within the endings that `endings` stands for. What came under them, or under later ones, need
    /// not be judged: it was admitted.
    ///
    /// # Errors
    /// As [`Store::commit`]: after a failure the store must be opened again.
    pub fn judge(
        &mut self,
        community: &CommunityId,
        author: &Handle,
        endings: Endings,
        counts: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Judged, StoreError> {
        if self.behind {
            return Err(StoreError::Behind);
        }
        self.behind = true;
        let judged = self.judge_some(community, author, endings, counts)?;
        self.behind = false;
        Ok(judged)
    }

    fn judge_some(
        &self,
        community: &CommunityId,
        author: &Handle,
        endings: Endings,
        counts: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Judged, StoreError> {
        let (index, tags) = (&*self.shared.index, &self.shared.tags);
        let standing = self.judged_so_far(community, author)?;
        let prefix = tags.author(community, author).0;
        let end = after_prefix(&prefix);
        let from = if standing.endings == endings && !standing.after.is_empty() {
            Bound::Excluded(standing.after.as_slice())
        } else {
            Bound::Included(prefix.as_slice())
        };
        let to = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let links = index.range(Keyspace::Chain, from, to, Direction::Forward, LOOKED_AT)?;
        let mut judged = Judged {
            more: links.len() == LOOKED_AT,
            ..Judged::default()
        };
        let mut updates = Updates::new(tags, index, &self.shared.sums)?;
        for (link, _) in &links {
            let id: RecordId = Fields(link.get(30..).unwrap_or_default()).id()?;
            let Some(row) = updates.row(&id)? else { continue };
            // What has rotted stays where it is: the next opening makes the index anew.
            let Some(Entry::Record(record)) = readable(&self.shared.files, index, row.header)? else {
                continue;
            };
            let beyond = !counts(&record.header);
            if beyond != is_beyond(tags, index, community, &id, row.created)? {
                updates.set_beyond(community, &id, row, beyond);
                judged.left += u64::from(beyond);
                judged.back += u64::from(!beyond);
            }
        }
        let after = links.last().filter(|_| judged.more);
        let after = after.map_or(&[][..], |(link, _)| link.as_slice());
        let row = key(&[&endings.0, after]);
        updates.note_meta(&self.judged_key(community, author), row);
        updates.apply(index.reflects()?)?;
        Ok(judged)
    }
}
