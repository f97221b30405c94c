//! What the exchange remembers of records that came lately, so that the same bytes are not
//! verified twice. Bounded: the oldest is forgotten first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use hanse_protocol::identity::{Handle, RecordId};
use hanse_protocol::record::{BodyHash, Header};
use hanse_protocol::timestamp::Timestamp;

/// How many headers are remembered.
const HEADERS: usize = 16_384;

/// Headers whose bytes were judged, by the hash of the very bytes: an id says nothing of the
/// signature, so a spoiled copy must not speak for the true one.
#[derive(Default)]
pub(super) struct Recent {
    judged: HashMap<[u8; 32], (Judged, Arc<Claims>)>,
    order: VecDeque<[u8; 32]>,
}

/// What a header claims that a copy of it is held against: a known header beside another body, or
/// beside another author's record, is a courier's trick like an unknown one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) id: RecordId,
    pub(super) author: Handle,
    body_length: u32,
    body_hash: BodyHash,
}

impl Claims {
    pub(super) fn of(id: RecordId, header: &Header) -> Self {
        Self {
            id,
            author: header.author.clone(),
            body_length: header.body_length,
            body_hash: header.body_hash,
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

    /// Lets be judged again what was turned away for now.
    pub(super) fn judge_again(&mut self) {
        for (judged, _) in self.judged.values_mut() {
            if let Judged::Deferred { until } = judged {
                *until = Timestamp::default();
            }
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
