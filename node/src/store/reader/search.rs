//! Finding records and objects: by observable, by object, in an author's chain, in time.

use std::cmp::Reverse;
use std::ops::Bound;

use hanse_protocol::identity::{CommunityId, Handle, RecordId};
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;

use super::{CHUNK, Reader};
use crate::store::StoreError;
use crate::store::catalogue::{self, AuthorTag, Fields, Keyspace, key};
use crate::store::entry::Position;
use crate::store::index::{Direction, IndexError, after_prefix};

/// One version of one object in one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectHit {
    /// The object's version.
    pub version: Timestamp,
    /// How much its author struck out of it; zero as issued.
    pub redacted: u16,
    /// Position of the entry that brought the body.
    pub position: Position,
    /// The object's place in the body.
    pub object: u16,
    /// Who signed the record: compare with [`Reader::author_tag`].
    pub author: AuthorTag,
}

fn up_to(ceiling: Tlp) -> impl Iterator<Item = Tlp> {
    Tlp::ALL.into_iter().filter(move |tlp| *tlp <= ceiling)
}

fn object_hit(key: &[u8]) -> Result<ObjectHit, IndexError> {
    let mut fields = Fields(key);
    let _: [u8; 16] = fields.take()?;
    Ok(ObjectHit {
        author: AuthorTag(fields.take()?),
        version: fields.instant()?,
        redacted: u16::MAX - fields.u16()?,
        position: fields.position()?,
        object: fields.u16()?,
    })
}

/// A record in its author's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainLink {
    /// Epoch of the lane.
    pub epoch: u32,
    /// Number in lane and epoch. Two links of one number are an equivocation.
    pub seq: u64,
    /// The record.
    pub id: RecordId,
    /// Where its header is.
    pub position: Position,
}

/// What is held of one lane and epoch of an author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The signing node.
    pub lane: u16,
    /// Its epoch.
    pub epoch: u32,
    /// First and last number of each unbroken run, rising.
    pub runs: Vec<(u64, u64)>,
    /// Numbers that more than one record bears, rising.
    pub twins: Vec<u64>,
}

/// A record on the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineItem {
    /// When its author made it.
    pub created: Timestamp,
    /// The record.
    pub id: RecordId,
    /// Where its header is.
    pub position: Position,
}

impl Reader {
    /// Places of objects up to `ceiling` that contain an observable, newest arrival first, at most
    /// `limit`: the position of the entry that brought the body, and the object's place in it.
    pub fn by_observable(
        &self,
        observable: &[u8],
        ceiling: Tlp,
        limit: usize,
    ) -> Result<Vec<(Position, u16)>, StoreError> {
        let mut hits = Vec::new();
        for tlp in up_to(ceiling) {
            let tag = self.shared.tags.observable(tlp, observable);
            let pairs = self
                .index()
                .prefixed(Keyspace::Observables, &tag, Direction::Backward, limit)?;
            for (key, _) in &pairs {
                let mut fields = Fields(key);
                let _: [u8; 16] = fields.take()?;
                hits.push((fields.position()?, fields.u16()?));
            }
        }
        hits.sort_unstable_by(|a, b| b.cmp(a));
        hits.truncate(limit);
        Ok(hits)
    }

    /// Versions up to `ceiling` of the object with this STIX id, newest version first, and of one version
    /// the least redacted first: of each author its newest, `limit` of them and perhaps more, so that none
    /// crowds out what another said, and no variants of one version the versions before it.
    pub fn by_object(&self, id: &str, ceiling: Tlp, limit: usize) -> Result<Vec<ObjectHit>, StoreError> {
        let mut hits = Vec::new();
        for tlp in up_to(ceiling) {
            let tag = self.shared.tags.object(tlp, id);
            let mut end = after_prefix(&tag);
            let mut current = None;
            let mut versions = 0;
            loop {
                let to = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
                let from = Bound::Included(tag.as_slice());
                let pairs = self
                    .index()
                    .range(Keyspace::Objects, from, to, Direction::Backward, limit)?;
                let Some((last, _)) = pairs.first() else { break };
                let author = object_hit(last)?.author;
                if current != Some(author) {
                    (current, versions) = (Some(author), 0);
                }
                let mut oldest = None;
                let mut read = 0;
                for (key, _) in &pairs {
                    let hit = object_hit(key)?;
                    if hit.author != author {
                        break;
                    }
                    versions += usize::from(oldest != Some(hit.version));
                    oldest = Some(hit.version);
                    read += 1;
                    hits.push(hit);
                }
                end = match oldest {
                    // There may be older versions behind the variants of this one.
                    Some(oldest) if read == limit && versions < limit => {
                        Some(key(&[&tag, &author.0, &catalogue::millis(oldest)]))
                    }
                    // What lies before this author's entries is another's.
                    _ => Some(key(&[&tag, &author.0])),
                };
            }
        }
        hits.sort_unstable_by_key(|hit| {
            Reverse((hit.version, Reverse(hit.redacted), hit.position, hit.object))
        });
        Ok(hits)
    }

    /// What stands for an author in [`ObjectHit::author`].
    pub fn author_tag(&self, community: &CommunityId, author: &Handle) -> AuthorTag {
        self.shared.tags.author(community, author)
    }

    /// An author's records in one lane and epoch from number `from` on, rising.
    pub fn chain(
        &self,
        community: &CommunityId,
        author: &Handle,
        lane: u16,
        epoch: u32,
        from: u64,
        limit: usize,
    ) -> Result<Vec<ChainLink>, StoreError> {
        let author = self.author_tag(community, author);
        let start = catalogue::chain_seq(author, lane, epoch, from);
        let mut end = catalogue::chain_seq(author, lane, epoch, u64::MAX);
        end.extend_from_slice(&[u8::MAX; 32]);
        let (from, to) = (Bound::Included(start.as_slice()), Bound::Included(end.as_slice()));
        let pairs = self
            .index()
            .range(Keyspace::Chain, from, to, Direction::Forward, limit)?;
        pairs.iter().map(|(key, value)| Ok(link(key, value)?.1)).collect()
    }

    /// The runs of numbers held of an author, for every lane and epoch, rising; at most
    /// `max_runs` runs in all. Walks the author's whole chain in the index.
    pub fn holdings(
        &self,
        community: &CommunityId,
        author: &Handle,
        max_runs: usize,
    ) -> Result<Vec<Holding>, StoreError> {
        let prefix = self.author_tag(community, author).0;
        let end = after_prefix(&prefix);
        let to = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut holdings = Vec::new();
        let mut runs = 0;
        let mut after: Option<Vec<u8>> = None;
        loop {
            let from = after
                .as_deref()
                .map_or(Bound::Included(prefix.as_slice()), Bound::Excluded);
            let pairs = self
                .index()
                .range(Keyspace::Chain, from, to, Direction::Forward, CHUNK)?;
            for (key, value) in &pairs {
                let (lane, link) = link(key, value)?;
                runs += usize::from(extend(&mut holdings, lane, &link));
                if runs > max_runs {
                    trim(&mut holdings);
                    return Ok(holdings);
                }
            }
            match pairs.into_iter().next_back() {
                Some((key, _)) => after = Some(key),
                None => return Ok(holdings),
            }
        }
    }

    /// The last record, by epoch and number, that is held of an author's lane.
    pub fn newest_in_chain(
        &self,
        community: &CommunityId,
        author: &Handle,
        lane: u16,
    ) -> Result<Option<ChainLink>, StoreError> {
        let prefix = key(&[&self.author_tag(community, author).0, &lane.to_be_bytes()]);
        let pairs = self
            .index()
            .prefixed(Keyspace::Chain, &prefix, Direction::Backward, 1)?;
        let newest = pairs.first().map(|(key, value)| link(key, value));
        Ok(newest.transpose()?.map(|(_, link)| link))
    }

    /// Records of a community by (created, id), from `from` up to but without `to`; `reverse`
    /// gives the latest first.
    pub fn timeline(
        &self,
        community: &CommunityId,
        from: (Timestamp, RecordId),
        to: (Timestamp, RecordId),
        limit: usize,
        reverse: bool,
    ) -> Result<Vec<TimelineItem>, StoreError> {
        let tag = self.shared.tags.community(community);
        let (from, to) = (
            catalogue::timeline(tag, from.0, &from.1),
            catalogue::timeline(tag, to.0, &to.1),
        );
        let direction = if reverse {
            Direction::Backward
        } else {
            Direction::Forward
        };
        let pairs = self.index().range(
            Keyspace::Timeline,
            Bound::Included(&from),
            Bound::Excluded(&to),
            direction,
            limit,
        )?;
        let item = |key: &[u8], value: &[u8]| {
            let mut fields = Fields(key);
            let _: [u8; 8] = fields.take()?;
            let (created, id) = (fields.instant()?, fields.id()?);
            Ok(TimelineItem {
                created,
                id,
                position: Fields(value).position()?,
            })
        };
        pairs.iter().map(|(key, value)| item(key, value)).collect()
    }

    /// Headers of a community whose body is not here yet, by id, after the one given, each with
    /// when it was made.
    pub fn awaited(
        &self,
        community: &CommunityId,
        after: Option<RecordId>,
        limit: usize,
    ) -> Result<Vec<(RecordId, Timestamp)>, StoreError> {
        let tag = self.shared.tags.community(community);
        let start = after.map_or_else(|| tag.to_vec(), |id| key(&[&tag, id.as_bytes()]));
        let end = key(&[&tag, &[u8::MAX; 33]]);
        let from = if after.is_some() {
            Bound::Excluded(&*start)
        } else {
            Bound::Included(&*start)
        };
        let to = Bound::Included(end.as_slice());
        let pairs = self
            .index()
            .range(Keyspace::Awaited, from, to, Direction::Forward, limit)?;
        let item = |key: &[u8], value: &[u8]| {
            let mut fields = Fields(key);
            let _: [u8; 8] = fields.take()?;
            Ok((fields.id()?, Fields(value).instant()?))
        };
        pairs.iter().map(|(key, value)| item(key, value)).collect()
    }
}

/// The lane and the link that a pair of `chain` stands for.
fn link(key: &[u8], value: &[u8]) -> Result<(u16, ChainLink), IndexError> {
    let mut fields = Fields(key);
    let _: [u8; 16] = fields.take()?;
    let lane = fields.u16()?;
    let (epoch, seq, id) = (fields.u32()?, fields.u64()?, fields.id()?);
    Ok((
        lane,
        ChainLink {
            epoch,
            seq,
            id,
            position: Fields(value).position()?,
        },
    ))
}

/// Adds a link to the runs; whether a new run began.
fn extend(holdings: &mut Vec<Holding>, lane: u16, link: &ChainLink) -> bool {
    let seq = link.seq;
    let current = holdings
        .last_mut()
        .filter(|h| h.lane == lane && h.epoch == link.epoch);
    match current {
        Some(holding) => {
            if let Some((_, last)) = holding.runs.last_mut()
                && seq <= last.saturating_add(1)
            {
                if *last == seq && holding.twins.last() != Some(&seq) {
                    holding.twins.push(seq);
                }
                *last = seq;
                return false;
            }
            holding.runs.push((seq, seq));
        }
        None => holdings.push(Holding {
            lane,
            epoch: link.epoch,
            runs: vec![(seq, seq)],
            twins: Vec::new(),
        }),
    }
    true
}

/// Takes the last run off again.
fn trim(holdings: &mut Vec<Holding>) {
    if let Some(holding) = holdings.last_mut() {
        holding.runs.pop();
        if holding.runs.is_empty() {
            holdings.pop();
        }
    }
}
