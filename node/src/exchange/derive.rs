//! What the index needs to know of a record: from its header and, where it is ours to read, from
//! its objects. Used at the commit and again when the index is rebuilt from the log.

use std::sync::Arc;
use std::time::Duration;

use hanse_protocol::admission::{Admitted, Reading, Sound};
use hanse_protocol::charter::{CharterChain, SignedCharter};
use hanse_protocol::identity::{CommunityId, RecordId};
use hanse_protocol::observable::Observable;
use hanse_protocol::record::{Header, Kind};
use hanse_protocol::stix::Object;
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;

use crate::member::Member;
use crate::store::entry::{BodyState, CharterEntry, Entry, RecordEntry};
use crate::store::facts::{Derive, ObjectFacts, RecordFacts};

/// The facts of a header whose objects are not read.
pub(super) fn header_facts(header: &Header) -> RecordFacts {
    RecordFacts {
        author: header.author.clone(),
        lane: header.lane,
        epoch: header.epoch,
        seq: header.seq,
        created: header.created,
        expires: header.expires,
        objects: Vec::new(),
        retracts: named(header).collect(),
    }
}

/// The facts of a retraction and the records that its body lists.
pub(super) fn retraction_facts(header: &Header, listed: &[RecordId]) -> RecordFacts {
    RecordFacts {
        retracts: named(header).chain(listed.iter().copied()).collect(),
        ..header_facts(header)
    }
}

/// What the header of a retraction takes back.
fn named(header: &Header) -> impl Iterator<Item = RecordId> {
    header
        .replaces
        .filter(|_| header.kind == Kind::Retraction)
        .into_iter()
}

/// The facts of a header and its objects.
pub(super) fn facts(header: &Header, sound: &Sound<'_>) -> RecordFacts {
    let (unmarked, floor) = (sound.content.unmarked, sound.content.floor);
    let objects = sound
        .objects
        .iter()
        .map(|object| object_facts(object, object.tlp(unmarked, floor), header.created));
    RecordFacts {
        objects: objects.collect(),
        ..header_facts(header)
    }
}

/// What one object is found by.
pub(super) fn object_facts(object: &Object<'_>, tlp: Tlp, created: Timestamp) -> ObjectFacts {
    ObjectFacts {
        object_id: object.id().to_owned(),
        version: object.version().unwrap_or(created),
        tlp,
        observables: object
            .observables()
            .iter()
            .map(Observable::to_key_bytes)
            .collect(),
    }
}

/// Derives facts again from a log: learns the charters as they come by.
pub struct Deriver {
    member: Arc<Member>,
    charters: Option<CharterChain>,
    broken: bool,
}

/// The first charter in the log founds no community.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the charters in the log do not hold")]
pub struct BrokenCharters;

impl Deriver {
    /// For a log of this member.
    pub fn new(member: Arc<Member>) -> Self {
        Self {
            member,
            charters: None,
            broken: false,
        }
    }

    /// The community whose charters came by, and for how long the newest has records kept.
    pub fn community(&self) -> Option<(CommunityId, Duration)> {
        let charters = self.charters.as_ref()?;
        Some((*charters.community(), charters.charter().horizon()))
    }

    /// The charters that came by.
    ///
    /// # Errors
    /// [`BrokenCharters`] if there were some that form no chain.
    pub fn into_charters(self) -> Result<Option<CharterChain>, BrokenCharters> {
        if self.broken {
            Err(BrokenCharters)
        } else {
            Ok(self.charters)
        }
    }

    /// A charter that cannot follow what came before was behind a damaged stretch of the log: peers
    /// bring what is missing, and then it comes again.
    fn learn(&mut self, entry: &CharterEntry) {
        let read = SignedCharter::decode(&entry.bytes);
        let learnt = match (read, &mut self.charters) {
            (Ok(charter), None) => {
                CharterChain::found(charter).map(|charters| self.charters = Some(charters))
            }
            (Ok(charter), Some(charters)) => charters.offer(charter).map(drop),
            (Err(error), _) => Err(error),
        };
        if let Err(error) = learnt {
            tracing::warn!(version = entry.version, %error, "a charter in the log cannot be followed");
            self.broken |= self.charters.is_none();
        } else {
            self.broken = false;
        }
    }
}

impl Derive for Deriver {
    fn facts(&mut self, entry: &Entry, header: Option<&RecordEntry>) -> Option<RecordFacts> {
        if let Entry::Charter(charter) = entry {
            self.learn(charter);
            return None;
        }
        of_entry(&self.member, self.charters.as_ref(), entry, header)
    }
}

/// Derives facts of a log whose charters are known.
pub(super) struct Known<'a> {
    pub(super) member: &'a Member,
    pub(super) charters: &'a CharterChain,
}

impl Derive for Known<'_> {
    fn facts(&mut self, entry: &Entry, header: Option<&RecordEntry>) -> Option<RecordFacts> {
        of_entry(self.member, Some(self.charters), entry, header)
    }
}

fn of_entry(
    member: &Member,
    charters: Option<&CharterChain>,
    entry: &Entry,
    header: Option<&RecordEntry>,
) -> Option<RecordFacts> {
    let (record, body, state) = match entry {
        Entry::Record(record) => (record, record.body.as_deref(), record.state),
        Entry::Body(body) => (header?, Some(body.body.as_slice()), body.state),
        Entry::Charter(_) | Entry::Audit(_) | Entry::Note(_) | Entry::Paper(_) | Entry::Void => return None,
    };
    let admitted = Admitted::from_log(&record.header, &record.community).ok()?;
    let plain = header_facts(admitted.header());
    let (BodyState::Readable, Some(body), Some(charters)) = (state, body, charters) else {
        return Some(plain);
    };
    let whole = admitted.with_body(body.to_vec()).ok()?;
    let Ok(Reading::Opened(opened)) = whole.open(&member.reader, charters) else {
        return Some(plain);
    };
    let header = opened.admitted().header();
    if header.kind == Kind::Retraction {
        return Some(retraction_facts(header, &opened.retracted().unwrap_or_default()));
    }
    let Ok(sound) = opened.sound() else {
        return Some(plain);
    };
    Some(facts(header, &sound))
}
