//! Range-based set reconciliation (after Meyer, "Range-Based Set Reconciliation", 2022): how a node
//! learns, at a cost proportional to the difference, which records a peer holds that it lacks.
//!
//! A record's [`Place`] is (created, id). The asker sends spans of places, each with the digest of
//! what it holds there; the answerer says of each that it holds the same, or lists its places if they
//! are few, or cuts the span into parts with a digest each. The answerer keeps nothing between two
//! questions, and the asker takes only: what the answerer lacks, the answerer asks for itself. Where
//! the asker holds next to nothing of what is there, it takes the whole span rather than descend.

use minicbor::{Decode, Encode};

use crate::identity::RecordId;
use crate::limits;
use crate::timestamp::Timestamp;

mod pass;
mod sum;
#[cfg(test)]
mod tests;

pub use pass::{Need, Pass, PassError};
pub use sum::{Digest, Key, Sum};

/// Up to this many places are listed rather than cut further: their 40 bytes each cost no more than
/// two more rounds.
pub const LISTED: usize = 64;

/// Parts that a span is cut into.
pub const PARTS: usize = 16;

/// Most spans of one question.
pub const SPANS: usize = 256;

/// Most bytes of one answer: what more is asked stays unanswered and is asked again.
pub const ANSWER: usize = 64 << 10;

/// Where a record stands: by when it was made, then by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Place {
    /// When its author made it.
    #[n(0)]
    pub created: Timestamp,
    /// Its id.
    #[n(1)]
    pub id: RecordId,
}

impl Place {
    /// Before every record.
    pub const FIRST: Self = Self::at(Timestamp::from_millis(0));

    /// Behind every record.
    pub const END: Self = Self {
        created: Timestamp::from_millis(u64::MAX),
        id: RecordId([u8::MAX; 32]),
    };

    /// Before every record made at `created` or later.
    pub const fn at(created: Timestamp) -> Self {
        let id = RecordId([0; 32]);
        Self { created, id }
    }
}

/// The places from one up to, but without, another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Span {
    /// The first place of it.
    #[n(0)]
    pub from: Place,
    /// The first place behind it.
    #[n(1)]
    pub to: Place,
}

impl Span {
    /// Everything.
    pub const ALL: Self = Self {
        from: Place::FIRST,
        to: Place::END,
    };

    /// Whether a place lies in it.
    pub fn contains(&self, place: &Place) -> bool {
        (self.from..self.to).contains(place)
    }
}

/// A span and what the asker holds in it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Asked {
    /// The span.
    #[n(0)]
    pub span: Span,
    /// The digest of what the asker holds there.
    #[n(1)]
    pub digest: Digest,
}

/// A part of a span that was cut.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Part {
    /// The first place behind it. It begins where the part before it ends.
    #[n(0)]
    pub to: Place,
    /// How many places the answerer holds in it.
    #[n(1)]
    pub count: u64,
    /// Their digest.
    #[n(2)]
    pub digest: Digest,
}

/// What the answerer says of one span.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Told {
    /// It holds the same.
    #[n(0)]
    Same,
    /// All that it holds there, at most [`LISTED`], rising.
    #[n(1)]
    Places(#[n(0)] Vec<Place>),
    /// It holds more than it lists: two to [`PARTS`] parts, rising, the last of them ending where the
    /// span does.
    #[n(2)]
    Parts(#[n(0)] Vec<Part>),
}

/// What a node holds, in the order of places.
pub trait Held {
    /// Why it could not be read.
    type Error;

    /// The sum of a span under a key.
    ///
    /// # Errors
    /// If it could not be read.
    fn sum(&self, key: &Key, span: &Span) -> Result<Sum, Self::Error>;

    /// The first places of a span, rising, at most `limit`.
    ///
    /// # Errors
    /// If it could not be read.
    fn places(&self, span: &Span, limit: usize) -> Result<Vec<Place>, Self::Error>;

    /// Places that cut a span into at most `parts` parts of about the same count, rising, all of them
    /// behind its first place. None if it holds fewer than two.
    ///
    /// # Errors
    /// If it could not be read.
    fn cuts(&self, span: &Span, parts: usize) -> Result<Vec<Place>, Self::Error>;
}

/// Answers spans in their order, as many as an answer holds and at least one.
///
/// # Errors
/// If what is held could not be read.
pub fn answer<H: Held>(held: &H, key: &Key, asked: &[Asked]) -> Result<Vec<Told>, H::Error> {
    let mut told = Vec::new();
    let mut bytes = 0;
    for asked in asked.iter().take(SPANS) {
        let answer = tell(held, key, asked)?;
        bytes += answer.size();
        if bytes > ANSWER && !told.is_empty() {
            break;
        }
        told.push(answer);
    }
    Ok(told)
}

fn tell<H: Held>(held: &H, key: &Key, asked: &Asked) -> Result<Told, H::Error> {
    if held.sum(key, &asked.span)?.digest(key) == asked.digest {
        return Ok(Told::Same);
    }
    let places = held.places(&asked.span, LISTED + 1)?;
    if places.len() <= LISTED {
        return Ok(Told::Places(places));
    }
    let mut parts = Vec::with_capacity(PARTS);
    let mut from = asked.span.from;
    let cuts = held.cuts(&asked.span, PARTS)?;
    for to in cuts.into_iter().chain([asked.span.to]) {
        let sum = held.sum(key, &Span { from, to })?;
        parts.push(Part {
            to,
            count: sum.count(),
            digest: sum.digest(key),
        });
        from = to;
    }
    Ok(Told::Parts(parts))
}

impl Told {
    /// Its bytes on the wire, at most.
    fn size(&self) -> usize {
        const PLACE: usize = 1 + 9 + 34;
        4 + match self {
            Self::Same => 0,
            Self::Places(places) => places.len() * PLACE,
            Self::Parts(parts) => parts.len() * (1 + PLACE + 9 + 17),
        }
    }
}

const _: () = assert!(
    ANSWER + 1_024 < limits::BODY,
    "an answer fits a message of the healing protocol"
);
