//! Range-based set reconciliation (after Meyer, "Range-Based Set Reconciliation", 2022): how a node
//! learns, at a cost proportional to the difference, which records a peer holds that it lacks.
//!
//! A record's [`Place`] is (created, id). The asker sends spans of places, each with the digest of
//! what it holds there; the answerer says of each that it holds the same, or lists its places if they
//! are few, or cuts the span into parts with a digest each. The answerer keeps nothing between two
//! questions, and the asker takes only: what the answerer lacks, the answerer asks for itself. Where
//! the asker holds next to nothing of what is there, it takes the whole span rather than descend.

use std::time::Duration;

use minicbor::{Decode, Encode};

use crate::identity::RecordId;
use crate::limits;
use crate::timestamp::Timestamp;

mod blocks;
mod edge;
mod pass;
mod sum;
#[cfg(test)]
mod tests;

pub use blocks::{Blocks, Kept, MOST as BLOCK, Places};
pub use pass::{Need, Pass, PassError};
pub use sum::{Digest, Key, Sum};

/// Up to this many places are listed rather than cut further: their 44 bytes each cost no more than
/// another round.
pub const LISTED: usize = 64;

/// Most parts that an answerer cuts a span into.
pub const PARTS: usize = 32;

/// Most pieces that an asker cuts a part into, before it asks about them.
pub const PIECES: usize = 16;

/// How many places each side leaves in a part when it cuts: half of what is listed, so that a part is
/// listed still where the other side holds somewhat more.
const AIM: u64 = 32;

/// Most spans of one question.
pub const SPANS: usize = 256;

/// Most bytes of one answer: what more is asked stays unanswered and is asked again.
pub const ANSWER: usize = 256 << 10;

/// The partitions of time: a day of UTC, milliseconds.
pub const DAY: u64 = 86_400_000;

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

    /// Behind every record: none is made at the last instant there is.
    pub const END: Self = Self::at(Timestamp::from_millis(u64::MAX));

    /// Before every record made at `created` or later.
    pub const fn at(created: Timestamp) -> Self {
        let id = RecordId([0; 32]);
        Self { created, id }
    }

    /// The first place of its day.
    pub const fn day(&self) -> Self {
        let millis = self.created.as_millis();
        Self::at(Timestamp::from_millis(millis - millis % DAY))
    }

    /// The first place of the day after its day.
    pub const fn next_day(&self) -> Self {
        let millis = self.day().created.as_millis();
        Self::at(Timestamp::from_millis(millis.saturating_add(DAY)))
    }

    /// A short place that divides `before`, which comes first, from this one: behind the former, and
    /// not behind this one.
    pub fn divide(&self, before: &Self) -> Self {
        if before.created < self.created {
            return Self::at(self.created);
        }
        let same = self.id.0.iter().zip(before.id.0).take_while(|(a, b)| **a == *b);
        let kept = same.count() + 1;
        let mut short = Self::at(self.created);
        for (to, from) in short.id.0.iter_mut().zip(self.id.0).take(kept) {
            *to = from;
        }
        short
    }
}

/// The places from one up to, but without, another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Span {
    /// The first place of it.
    #[cbor(n(0), with = "edge")]
    pub from: Place,
    /// The first place behind it.
    #[cbor(n(1), with = "edge")]
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

    /// One that ends before it begins holds nothing: none is read so.
    fn forward(&self) -> Self {
        Self {
            from: self.from,
            to: self.to.max(self.from),
        }
    }

    /// What two members compare at `now`, rising: the closed days inside the horizon, and the open one.
    /// The farthest two days are left out, for there one of them may have removed what the other
    /// still holds: their clocks differ, though by less than a day.
    pub fn horizon(now: Timestamp, horizon: Duration) -> Vec<Self> {
        let today = Place::at(now).day();
        let from = Place::at(now.before(horizon)).next_day().next_day().min(today);
        let spans = [(from, today), (today, Place::END)];
        let spans = spans.into_iter().filter(|(from, to)| from < to);
        spans.map(|(from, to)| Self { from, to }).collect()
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
    #[cbor(n(0), with = "edge")]
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
///
/// It need not stand still between two calls: what comes or leaves meanwhile shows as a difference, or
/// does not show yet, and the next pass finds it.
pub trait Held {
    /// Why it could not be read.
    type Error;

    /// The sum of a span under a key.
    ///
    /// # Errors
    /// If it could not be read.
    fn sum(&self, key: &Key, span: &Span) -> Result<Sum, Self::Error>;

    /// The sums of adjacent spans: the first begins at `from`, each ends where the next begins. Whoever
    /// has to read places reads them once for all.
    ///
    /// # Errors
    /// If it could not be read.
    fn sums(&self, key: &Key, from: Place, tos: &[Place]) -> Result<Vec<Sum>, Self::Error> {
        let mut from = from;
        let sum = |to: &Place| {
            let span = Span { from, to: *to };
            from = *to;
            self.sum(key, &span)
        };
        tos.iter().map(sum).collect()
    }

    /// The first places of a span, rising, at most `limit`.
    ///
    /// # Errors
    /// If it could not be read.
    fn places(&self, span: &Span, limit: usize) -> Result<Vec<Place>, Self::Error>;

    /// Places that cut a span into at most `parts` parts of about the same count, rising, all of them
    /// behind its first place and before its end. None if it holds fewer than two.
    ///
    /// # Errors
    /// If it could not be read.
    fn cuts(&self, span: &Span, parts: usize) -> Result<Vec<Place>, Self::Error>;
}

/// The digests of spans, newest first; those that adjoin are summed in one reading.
fn digests<H: Held>(held: &H, key: &Key, newest_first: &[Span]) -> Result<Vec<Sum>, H::Error> {
    let mut sums = Vec::with_capacity(newest_first.len());
    for run in newest_first.chunk_by(|newer, older| older.to == newer.from) {
        let tos: Vec<Place> = run.iter().rev().map(|span| span.to).collect();
        let Some(oldest) = run.last() else { continue };
        sums.extend(held.sums(key, oldest.from, &tos)?.into_iter().rev());
    }
    Ok(sums)
}

/// How many parts a count is cut into, at most `most`.
fn parts_of(count: u64, most: usize) -> usize {
    usize::try_from(count / AIM).unwrap_or(most).clamp(2, most)
}

/// Answers spans in their order, as many as an answer holds and at least one.
///
/// # Errors
/// If what is held could not be read.
pub fn answer<H: Held>(held: &H, key: &Key, asked: &[Asked]) -> Result<Vec<Told>, H::Error> {
    let mut told = Vec::new();
    let mut bytes = 0;
    for asked in asked.get(..SPANS).unwrap_or(asked).chunks(PIECES) {
        let spans: Vec<Span> = asked.iter().map(|asked| asked.span.forward()).collect();
        let sums = digests(held, key, &spans)?;
        for ((asked, span), sum) in asked.iter().zip(&spans).zip(sums) {
            let answer = tell(held, key, span, &asked.digest, sum)?;
            bytes += answer.size();
            if bytes > ANSWER && !told.is_empty() {
                return Ok(told);
            }
            told.push(answer);
        }
    }
    Ok(told)
}

fn tell<H: Held>(held: &H, key: &Key, span: &Span, asked: &Digest, sum: Sum) -> Result<Told, H::Error> {
    if sum.digest(key) == *asked {
        return Ok(Told::Same);
    }
    let mut cuts = Vec::new();
    if sum.count() > LISTED as u64 {
        cuts = held.cuts(span, parts_of(sum.count(), PARTS))?;
    }
    if cuts.is_empty() {
        let mut places = held.places(span, LISTED + 1)?;
        if places.len() <= LISTED {
            return Ok(Told::Places(places));
        }
        // More came since they were counted.
        cuts.extend(places.pop());
    }
    let tos: Vec<Place> = cuts.into_iter().chain([span.to]).collect();
    let sums = held.sums(key, span.from, &tos)?;
    let part = |(to, sum): (Place, Sum)| Part {
        to,
        count: sum.count(),
        digest: sum.digest(key),
    };
    Ok(Told::Parts(tos.into_iter().zip(sums).map(part).collect()))
}

impl Told {
    /// Its bytes on the wire, at most.
    fn size(&self) -> usize {
        const PLACE: usize = 1 + 9 + 34;
        5 + match self {
            Self::Same => 0,
            Self::Places(places) => places.len() * PLACE,
            Self::Parts(parts) => parts.iter().map(|part| 30 + edge::size(&part.to)).sum(),
        }
    }
}

const _: () = assert!(
    ANSWER + 1_024 < limits::BODY,
    "an answer fits a message of the healing protocol"
);
