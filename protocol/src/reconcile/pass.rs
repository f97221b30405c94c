//! The asker's side: which spans are still to be compared, what each answer leaves to ask, and what
//! turns out to be needed.

use super::{Asked, Held, Key, LISTED, PARTS, Part, Place, SPANS, Span, Told};

/// How many times what we hold there a peer must claim to hold for the whole span to be taken.
const MOSTLY_MISSING: u64 = 8;

/// Most spans one pass asks about, whatever the answers say: a peer that makes up differences without
/// end is given up. An honest one of a million records that shares none is through after 70,000.
const MOST_SPANS: usize = 1 << 18;

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
        let newest = self.pending.iter().rev().take(SPANS);
        let asked = newest.map(|span| {
            let digest = held.sum(key, span)?.digest(key);
            Ok(Asked { span: *span, digest })
        });
        asked.collect()
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
        for (span, told) in compared.into_iter().zip(told) {
            match told {
                Told::Same => {}
                Told::Places(places) => match self.listed(held, &span, places)? {
                    Ok(missing) => needs.extend(missing.into_iter().rev().map(Need::Record)),
                    Err(error) => return Ok(Err(error)),
                },
                Told::Parts(parts) => match cut(held, key, &span, parts)? {
                    Ok((pending, whole)) => {
                        needs.extend(whole.into_iter().rev());
                        left.push(pending);
                    }
                    Err(error) => return Ok(Err(error)),
                },
            }
        }
        self.pending.extend(left.into_iter().rev().flatten());
        Ok(Ok(needs))
    }

    /// Which of the listed places we lack.
    fn listed<H: Held>(
        &self,
        held: &H,
        span: &Span,
        places: &[Place],
    ) -> Result<Result<Vec<Place>, PassError>, H::Error> {
        let rising = places.is_sorted_by(|a, b| a < b);
        if places.len() > LISTED || !rising || !places.iter().all(|place| span.contains(place)) {
            return Ok(Err(PassError::Places));
        }
        let mut missing = Vec::new();
        for place in places {
            // Ours may be far more than theirs in this span: each place is looked up by itself.
            let ours = held.places(
                &Span {
                    from: *place,
                    to: span.to,
                },
                1,
            )?;
            if ours.first() != Some(place) {
                missing.push(*place);
            }
        }
        Ok(Ok(missing))
    }
}

/// The parts that differ, and those that are needed whole.
type Differing = (Vec<Span>, Vec<Need>);

fn cut<H: Held>(
    held: &H,
    key: &Key,
    span: &Span,
    parts: &[Part],
) -> Result<Result<Differing, PassError>, H::Error> {
    let rising = parts.is_sorted_by(|a, b| a.to < b.to);
    let inside = parts.first().is_some_and(|part| part.to > span.from);
    let whole = parts.last().is_some_and(|part| part.to == span.to);
    if !(2..=PARTS).contains(&parts.len()) || !rising || !inside || !whole {
        return Ok(Err(PassError::Parts));
    }
    let (mut pending, mut needs) = (Vec::new(), Vec::new());
    let mut from = span.from;
    for part in parts {
        let span = Span { from, to: part.to };
        from = part.to;
        let ours = held.sum(key, &span)?;
        if ours.digest(key) == part.digest {
            continue;
        }
        let listed = u64::try_from(LISTED).unwrap_or(u64::MAX);
        if part.count > listed && ours.count() < part.count / MOSTLY_MISSING {
            needs.push(Need::Span(span, part.count));
        } else {
            pending.push(span);
        }
    }
    Ok(Ok((pending, needs)))
}
