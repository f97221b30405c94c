//! The asker's side: which spans are still to be compared, what each answer leaves to ask, and what
//! turns out to be needed.

use super::{Asked, Held, Key, LISTED, PARTS, PIECES, Part, Place, SPANS, Span, Told, digests, parts_of};

/// How many times what we hold there a peer must claim to hold for the whole span to be taken.
const MOSTLY_MISSING: u64 = 8;

/// How many of our places are read at once beside those that a peer lists.
const OURS: usize = 4 * LISTED;

/// Most spans one pass asks about, whatever the answers say: a peer that makes up differences without
/// end is given up. An honest one of a million records that shares none is through after 70,000.
const MOST_SPANS: usize = 1 << 18;

/// With so many spans pending, what differs is no longer cut before it is asked about.
const MANY_PENDING: usize = 1 << 15;

/// Most spans pending: an honest peer comes to some 20,000 at most, for the newest are asked first.
const MOST_PENDING: usize = 1 << 16;

/// What we lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// This record.
    Record(Place),
    /// All of this span, of which we hold next to nothing: the peer claims so many.
    Span(Span, u64),
}

/// Why a pass with a peer was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    /// It answered nothing, or more than was asked.
    #[error("the number of answers does not fit the question")]
    Answers,
    /// It listed places out of order, out of the span or too many.
    #[error("places are out of order, out of their span, or too many")]
    Places,
    /// It cut a span into parts that do not make it up.
    #[error("parts do not make up their span")]
    Parts,
    /// It keeps making up differences.
    #[error("differences without end")]
    Endless,
}

/// Comparing with one peer. It can be put away after any answer and taken up again, with another peer
/// even: what is left to compare is all it knows.
#[derive(Clone, Debug)]
pub struct Pass {
    /// Spans to compare; the last is the newest.
    pending: Vec<Span>,
    asked: usize,
}

impl Pass {
    /// Compares these spans, which are rising in time; the newest first.
    pub fn new(spans: Vec<Span>) -> Self {
        Self {
            pending: spans,
            asked: 0,
        }
    }

    /// Whether all is compared.
    pub fn is_done(&self) -> bool {
        self.pending.is_empty()
    }

    /// The next question, of the newest spans.
    ///
    /// # Errors
    /// If what is held could not be read.
    pub fn question<H: Held>(&self, held: &H, key: &Key) -> Result<Vec<Asked>, H::Error> {
        let spans: Vec<Span> = self.pending.iter().rev().take(SPANS).copied().collect();
        let sums = digests(held, key, &spans)?;
        let asked = spans.into_iter().zip(sums).map(|(span, sum)| Asked {
            span,
            digest: sum.digest(key),
        });
        Ok(asked.collect())
    }

    /// Takes in the answers to the last question, and gives what is needed, newest first.
    ///
    /// # Errors
    /// [`PassError`] if the peer does not answer as it should, or if what is held could not be read.
    pub fn answered<H: Held>(
        &mut self,
        held: &H,
        key: &Key,
        told: &[Told],
    ) -> Result<Result<Vec<Need>, PassError>, H::Error> {
        if told.is_empty() || told.len() > self.pending.len().min(SPANS) {
            return Ok(Err(PassError::Answers));
        }
        self.asked = self.asked.saturating_add(told.len());
        if self.asked > MOST_SPANS {
            return Ok(Err(PassError::Endless));
        }
        let mut needs = Vec::new();
        let first = self.pending.len() - told.len();
        let compared: Vec<Span> = self.pending.drain(first..).rev().collect();
        // Their parts take their place in the same order: the newest last.
        let mut left: Vec<Vec<Span>> = Vec::new();
        let many = self.pending.len() > MANY_PENDING;
        for (span, told) in compared.into_iter().zip(told) {
            match told {
                Told::Same => {}
                Told::Places(places) => match listed(held, &span, places)? {
                    Ok(missing) => needs.extend(missing.into_iter().rev().map(Need::Record)),
                    Err(error) => return Ok(Err(error)),
                },
                Told::Parts(parts) => match cut(held, key, &span, parts, many)? {
                    Ok((pending, whole)) => {
                        needs.extend(whole.into_iter().rev());
                        left.push(pending);
                    }
                    Err(error) => return Ok(Err(error)),
                },
            }
        }
        self.pending.extend(left.into_iter().rev().flatten());
        if self.pending.len() > MOST_PENDING {
            return Ok(Err(PassError::Endless));
        }
        Ok(Ok(needs))
    }
}

/// Which of the listed places we lack.
fn listed<H: Held>(
    held: &H,
    span: &Span,
    places: &[Place],
) -> Result<Result<Vec<Place>, PassError>, H::Error> {
    let rising = places.is_sorted_by(|a, b| a < b);
    if places.len() > LISTED || !rising || !places.iter().all(|place| span.contains(place)) {
        return Ok(Err(PassError::Places));
    }
    let Some(first) = places.first() else {
        return Ok(Ok(Vec::new()));
    };
    let from = |place: &Place| Span {
        from: *place,
        to: span.to,
    };
    let ours = held.places(&from(first), OURS)?;
    let mut missing = Vec::new();
    for place in places {
        let known = match ours.last() {
            // Ours are far more than theirs in this span: what lies behind is looked up by itself.
            Some(last) if ours.len() == OURS && place > last => {
                held.places(&from(place), 1)?.first() == Some(place)
            }
            _ => ours.binary_search(place).is_ok(),
        };
        if !known {
            missing.push(*place);
        }
    }
    Ok(Ok(missing))
}

/// The parts that differ, and those that are needed whole.
type Differing = (Vec<Span>, Vec<Need>);

fn cut<H: Held>(
    held: &H,
    key: &Key,
    span: &Span,
    parts: &[Part],
    many: bool,
) -> Result<Result<Differing, PassError>, H::Error> {
    let rising = parts.is_sorted_by(|a, b| a.to < b.to);
    let inside = parts.first().is_some_and(|part| part.to > span.from);
    let whole = parts.last().is_some_and(|part| part.to == span.to);
    if !(2..=PARTS).contains(&parts.len()) || !rising || !inside || !whole {
        return Ok(Err(PassError::Parts));
    }
    let tos: Vec<Place> = parts.iter().map(|part| part.to).collect();
    let sums = held.sums(key, span.from, &tos)?;
    let (mut pending, mut needs) = (Vec::new(), Vec::new());
    let mut from = span.from;
    for (part, ours) in parts.iter().zip(sums) {
        let mut span = Span { from, to: part.to };
        from = part.to;
        // Where they hold nothing, there is nothing to take.
        if part.count == 0 || ours.digest(key) == part.digest {
            continue;
        }
        let listed = part.count <= LISTED as u64;
        if !listed && ours.count() < part.count / MOSTLY_MISSING {
            needs.push(Need::Span(span, part.count));
            continue;
        }
        if !listed && !many {
            let count = part.count.max(ours.count());
            for to in held.cuts(&span, parts_of(count, PIECES))? {
                pending.push(Span { from: span.from, to });
                span.from = to;
            }
        }
        pending.push(span);
    }
    Ok(Ok((pending, needs)))
}
