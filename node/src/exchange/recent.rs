//! What the exchange remembers of records that came lately, so that the same bytes are not
//! verified twice, and so that a courier does not pay for what was news when it passed it on. Bounded:
//! the oldest is forgotten first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hanse_protocol::identity::{Handle, NodeId, RecordId};
use hanse_protocol::reconcile::Place;
use hanse_protocol::record::{BodyHash, Header};
use hanse_protocol::timestamp::Timestamp;

/// How many headers are remembered, and how many records are news at once: what a flood brings in
/// several seconds, in which frames of all neighbours have crossed.
const HEADERS: usize = 32_768;

/// How long a record is news: longer than a frame waits for its verdict or is asked for by name.
const NEWS: Duration = Duration::from_secs(60);

/// Headers whose bytes were judged, by the hash of the very bytes: an id says nothing of the
/// signature, so a spoiled copy must not speak for the true one.
#[derive(Default)]
pub(super) struct Recent {
    judged: HashMap<[u8; 32], (Judged, Arc<Claims>)>,
    order: VecDeque<[u8; 32]>,
    news: HashMap<RecordId, News>,
    news_order: VecDeque<RecordId>,
}

/// A record that was admitted lately.
struct News {
    since: Instant,
    /// Whether it waits for a frame that may be passed on.
    untold: bool,
    /// Who brought it, by the front of their names.
    brought: Vec<u64>,
}

/// What a known record is to the courier who brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Novelty {
    /// Admitted lately, and not passed on yet; whether this courier brings it for the first time.
    Untold { first: bool },
    /// Admitted lately, and brought by this courier for the first time: it was as new to it.
    First,
    /// Admitted lately, and brought by this courier before.
    Again,
    /// No news any longer.
    Old,
}

/// What a header claims that a copy of it is held against: a known header beside another body, or
/// beside another author's record, is a courier's trick like an unknown one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) id: RecordId,
    pub(super) author: Handle,
    created: Timestamp,
    body_length: u32,
    body_hash: BodyHash,
}

impl Claims {
    pub(super) fn of(id: RecordId, header: &Header) -> Self {
        Self {
            id,
            author: header.author.clone(),
            created: header.created,
            body_length: header.body_length,
            body_hash: header.body_hash,
        }
    }

    /// Where the record stands for healing.
    pub(super) fn place(&self) -> Place {
        Place {
            created: self.created,
            id: self.id,
        }
    }

    /// Whether this is the body the header names.
    pub(super) fn names(&self, body: &[u8]) -> bool {
        usize::try_from(self.body_length) == Ok(body.len()) && BodyHash::of(body) == self.body_hash
    }
}

/// What came of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// Admitted before; whether its body came is for the store to say.
    Admitted,
    /// Refused for good; this says whether the courier should have known.
    Refused {
        /// Whether whoever passes it on is to blame.
        courier: bool,
    },
    /// Its author said it, and it was turned away for now.
    Deferred {
        /// When it is judged again.
        until: Timestamp,
    },
}

impl Recent {
    /// What came of these very bytes before.
    pub(super) fn find(&self, header: &[u8]) -> Option<(Judged, Arc<Claims>)> {
        self.judged.get(blake3::hash(header).as_bytes()).cloned()
    }

    /// Lets be judged again what was turned away, for now or for good: what counts has changed. What
    /// its courier should have known hangs on the charter it names alone.
    pub(super) fn judge_again(&mut self) {
        for (judged, _) in self.judged.values_mut() {
            if let Judged::Deferred { .. } | Judged::Refused { courier: false } = judged {
                let until = Timestamp::default();
                *judged = Judged::Deferred { until };
            }
        }
    }

    /// Notes that a record is newly admitted, and who brought it if a frame did.
    pub(super) fn came(&mut self, id: &RecordId, courier: Option<&NodeId>, now: Instant) {
        let news = News {
            since: now,
            untold: false,
            brought: courier.map(front).into_iter().collect(),
        };
        if self.news.insert(*id, news).is_none() {
            self.news_order.push_back(*id);
        }
        while self.news_order.len() > HEADERS {
            if let Some(oldest) = self.news_order.pop_front() {
                self.news.remove(&oldest);
            }
        }
    }

    /// What a known record is to the courier who brings it now.
    pub(super) fn brings(&mut self, id: &RecordId, courier: &NodeId, now: Instant) -> Novelty {
        let news = self.news.get_mut(id);
        let Some(news) = news.filter(|news| now.saturating_duration_since(news.since) < NEWS) else {
            return Novelty::Old;
        };
        let again = news.brought.contains(&front(courier));
        if !again {
            news.brought.push(front(courier));
        }
        match (news.untold, again) {
            (true, again) => Novelty::Untold { first: !again },
            (false, true) => Novelty::Again,
            (false, false) => Novelty::First,
        }
    }

    /// Notes whether the frame that brought a record was passed on.
    pub(super) fn told(&mut self, id: &RecordId, told: bool) {
        if let Some(news) = self.news.get_mut(id) {
            news.untold = !told;
        }
    }

    /// Remembers what came of these bytes.
    pub(super) fn remember(&mut self, header: &[u8], judged: Judged, claims: Claims) {
        let hash = *blake3::hash(header).as_bytes();
        if self.judged.insert(hash, (judged, Arc::new(claims))).is_none() {
            self.order.push_back(hash);
        }
        while self.order.len() > HEADERS {
            if let Some(oldest) = self.order.pop_front() {
                self.judged.remove(&oldest);
            }
        }
    }
}

fn front(courier: &NodeId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = courier.0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_is_for_a_minute_and_once_for_each_courier() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        let (id, first, second) = (RecordId([1; 32]), NodeId([1; 32]), NodeId([2; 32]));
        recent.came(&id, Some(&first), now);
        assert_eq!(recent.brings(&id, &first, now), Novelty::Again);
        assert_eq!(recent.brings(&id, &second, now), Novelty::First);
        assert_eq!(recent.brings(&id, &second, now), Novelty::Again);
        assert_eq!(recent.brings(&id, &NodeId([3; 32]), now + NEWS), Novelty::Old);
        assert_eq!(recent.brings(&RecordId([2; 32]), &first, now), Novelty::Old);
    }

    #[test]
    fn a_flood_of_news_is_bounded() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        for number in 0..2 * HEADERS {
            let hash = blake3::hash(&number.to_be_bytes());
            recent.came(&RecordId(*hash.as_bytes()), None, now);
        }
        assert_eq!(recent.news.len(), HEADERS);
        assert_eq!(recent.news_order.len(), HEADERS);
    }
}
