//! What is known to be missing: each peer's claims to hold what this node lacks, while it is talked with.
//! A peer is asked for what it claims itself, and for nothing else; what several claim is asked of one at a
//! time. A claim goes once what it is about is held or turned away, or once its peer was asked in vain.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hanse_protocol::heal::IDS;
use hanse_protocol::identity::NodeId;
use hanse_protocol::reconcile::{Need, Place, SPANS as LOOKED_AT, Span};
use tokio::sync::Notify;
use tokio::time::Instant;

#[cfg(test)]
mod tests;

/// Records that one peer claims; with so many, comparing with it waits until some have come.
pub(super) const RECORDS: usize = 16_384;

/// Spans that one peer claims whole; with so many, comparing with it waits.
const SPANS: usize = 4_096;

/// What one answer may bring beyond either: what is more is found again.
const BEYOND: usize = 16_384;

/// Most records that a span is taken to hold, whatever its peer says.
const MOST: u64 = 1 << 32;

/// How long a peer may go without sending anything of what it was asked for before another that claims
/// it, too, is asked for it.
const OVERDUE: Duration = Duration::from_secs(5);

/// More records than this are worth asking several peers.
const SHARED: u64 = 256;

/// A span that a peer claims to hold much of.
#[derive(Clone, Copy, Debug)]
struct Claim {
    from: Place,
    /// How many records, it says.
    count: u64,
    /// Another peer sent records of it since: it is to be compared again before it is fetched.
    doubtful: bool,
}

#[derive(Debug, Default)]
struct Claims {
    records: BTreeSet<Place>,
    /// By where each ends; none overlaps another.
    spans: BTreeMap<Place, Claim>,
}

/// Who fetches a piece, and how that goes.
#[derive(Debug)]
struct Holder {
    peer: NodeId,
    piece: Piece,
    heard: Instant,
    /// Whether it is we who keep the peer waiting.
    ours: bool,
}

#[derive(Debug, Default)]
struct Wanted {
    claims: HashMap<NodeId, Claims>,
    leases: HashMap<u64, Holder>,
    next_lease: u64,
}

/// What is wanted. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Needs {
    wanted: Arc<Mutex<Wanted>>,
    /// Wakes who waits for something to fetch.
    changed: Arc<Notify>,
    /// Wakes who finds further peers to fetch from.
    many: Arc<Notify>,
}

/// What a lease is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Records by id, at most [`IDS`].
    Records(Vec<Place>),
    /// A span, all of it.
    Span(Span),
}

/// What there is to do with a peer.
#[derive(Debug)]
pub(super) enum Work {
    /// This is to be fetched from it.
    Fetch(Lease),
    /// These spans, rising, are to be compared with it again: what it claimed there another sent, or said so.
    Look(Vec<Span>),
    /// Others are at all of what it claims; something may be left by them.
    Wait,
    /// Nothing is left of what it claims.
    Nothing,
}

/// The right to fetch something from one peer. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    number: u64,
    peer: NodeId,
    pub(super) piece: Piece,
    needs: Needs,
}

impl Needs {
    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what a peer claims to hold.
    pub(super) fn add(&self, peer: NodeId, found: Vec<Need>) {
        let mut wanted = self.lock();
        let claims = wanted.claims.entry(peer).or_default();
        for need in found {
            match need {
                Need::Record(place) => claims.add(place),
                Need::Span(span, count) => claims.add_span(span, count),
            }
        }
        let behind = wanted.behind();
        drop(wanted);
        self.changed.notify_waiters();
        if behind > SHARED {
            self.many.notify_one();
        }
    }

    /// About how many records are wanted, as peers say: as many as the one that claims most.
    pub(super) fn behind(&self) -> u64 {
        self.lock().behind()
    }

    /// Whether comparing with a peer should wait: what others claim does not matter.
    pub(super) fn is_full(&self, peer: &NodeId) -> bool {
        let wanted = self.lock();
        let claims = wanted.claims.get(peer);
        claims.is_some_and(|claims| claims.records.len() >= RECORDS || claims.spans.len() >= SPANS)
    }

    /// The newest of what a peer claims that nobody is at.
    pub(super) fn work(&self, peer: NodeId, now: Instant) -> Work {
        let mut guard = self.lock();
        let wanted = &mut *guard;
        wanted.call_in(&peer, now);
        let Some(claims) = wanted.claims.get_mut(&peer) else {
            return Work::Nothing;
        };
        let (mut taken, mut busy) = (BTreeSet::new(), Vec::new());
        for holder in wanted.leases.values() {
            match &holder.piece {
                Piece::Records(places) => taken.extend(places.iter().copied()),
                Piece::Span(span) => busy.push(*span),
            }
        }
        let is_free = |(to, claim): &(&Place, &Claim)| !busy.iter().any(|span| claim.overlaps(to, span));
        let span = claims.spans.iter().rev();
        let span = span.filter(|(_, claim)| !claim.doubtful).find(is_free);
        let span = span.map(|(to, claim)| Span {
            from: claim.from,
            to: *to,
        });
        let is_idle =
            |place: &&Place| !taken.contains(place) && !busy.iter().any(|span| span.contains(place));
        let mut records = claims.records.iter().rev().filter(is_idle).peekable();
        let piece = match (span, records.peek()) {
            (Some(span), place) if place.is_none_or(|place| **place < span.to) => Piece::Span(span),
            (_, Some(_)) => Piece::Records(records.take(IDS).copied().collect()),
            _ => {
                let looks = claims.spans.iter().filter(is_free).rev().take(LOOKED_AT);
                let tos: Vec<Place> = looks.map(|(to, _)| *to).collect();
                let looks = tos.iter().rev().filter_map(|to| {
                    let Claim { from, .. } = claims.spans.remove(to)?;
                    Some(Span { from, to: *to })
                });
                let looks: Vec<Span> = looks.collect();
                return match looks.is_empty() {
                    false => Work::Look(looks),
                    true if claims.is_empty() => Work::Nothing,
                    true => Work::Wait,
                };
            }
        };
        let number = wanted.next_lease;
        wanted.next_lease += 1;
        let holder = Holder {
            peer,
            piece: piece.clone(),
            heard: now,
            ours: false,
        };
        wanted.leases.insert(number, holder);
        drop(guard);
        Work::Fetch(Lease {
            number,
            peer,
            piece,
            needs: self.clone(),
        })
    }

    /// Waits until there may be something to fetch, at most a second.
    pub(super) async fn changed(&self) {
        drop(tokio::time::timeout(Duration::from_secs(1), self.changed.notified()).await);
    }

    /// Waits until there is so much to fetch that several peers should be asked.
    pub(super) async fn many(&self) {
        self.many.notified().await;
    }

    /// Lets go of everything. What is under way is taken in.
    pub(super) fn clear(&self) {
        self.lock().claims.clear();
        self.changed.notify_waiters();
    }

    /// Forgets what a peer claims: it is not talked with any longer, and says it anew next time.
    pub(super) fn forget(&self, peer: &NodeId) {
        self.lock().claims.remove(peer);
        self.changed.notify_waiters();
    }
}

impl Claim {
    fn overlaps(&self, to: &Place, span: &Span) -> bool {
        self.from < span.to && span.from < *to
    }
}

impl Claims {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.spans.is_empty()
    }

    fn count(&self) -> u64 {
        let records = u64::try_from(self.records.len()).unwrap_or(u64::MAX);
        let spans = self.spans.values().map(|claim| claim.count);
        spans.fold(records, u64::saturating_add)
    }

    /// Where the spans end that overlap one, rising.
    fn overlapping(&self, span: &Span) -> Vec<Place> {
        let behind = (std::ops::Bound::Excluded(span.from), std::ops::Bound::Unbounded);
        let overlapping = self.spans.range::<Place, _>(behind);
        let overlapping = overlapping.take_while(|(_, claim)| claim.from < span.to);
        overlapping.map(|(to, _)| *to).collect()
    }

    /// Adds a record, unless a span holds it.
    fn add(&mut self, place: Place) {
        let behind = (std::ops::Bound::Excluded(place), std::ops::Bound::Unbounded);
        let within = self.spans.range::<Place, _>(behind).next();
        let within = within.is_some_and(|(_, claim)| claim.from <= place);
        if !within && self.records.len() < RECORDS + BEYOND {
            self.records.insert(place);
        }
    }

    /// Adds what of a span is not claimed already.
    fn add_span(&mut self, span: Span, count: u64) {
        let mut from = span.from;
        let mut left = Vec::new();
        for to in self.overlapping(&span) {
            let Some(claim) = self.spans.get(&to) else {
                continue;
            };
            if from < claim.from {
                left.push((from, claim.from));
            }
            from = to;
        }
        if from < span.to {
            left.push((from, span.to));
        }
        let pieces = u64::try_from(left.len()).unwrap_or(u64::MAX).max(1);
        for (from, to) in left {
            if self.spans.len() >= SPANS + BEYOND {
                return;
            }
            let within: Vec<Place> = self.records.range(from..to).copied().collect();
            for place in within {
                self.records.remove(&place);
            }
            let claim = Claim {
                from,
                count: count.min(MOST) / pieces,
                doubtful: false,
            };
            self.spans.insert(to, claim);
        }
    }

    /// What of a span is claimed is to be compared again.
    fn doubt(&mut self, span: &Span) {
        for to in self.overlapping(span) {
            let Some(claim) = self.spans.remove(&to) else {
                continue;
            };
            // What lies before it and behind it is as it was.
            if claim.from < span.from {
                self.spans.insert(span.from, claim);
            }
            if span.to < to {
                self.spans.insert(
                    to,
                    Claim {
                        from: span.to,
                        ..claim
                    },
                );
            }
            let within = Claim {
                from: claim.from.max(span.from),
                count: 1,
                doubtful: true,
            };
            self.spans.insert(to.min(span.to), within);
        }
    }

    fn claims_of(&self, piece: &Piece) -> bool {
        match piece {
            Piece::Records(places) => places.iter().any(|place| self.records.contains(place)),
            Piece::Span(span) => !self.overlapping(span).is_empty(),
        }
    }

    fn remove(&mut self, piece: &Piece) {
        match piece {
            Piece::Records(places) => self.remove_records(places),
            Piece::Span(span) => drop(self.spans.remove(&span.to)),
        }
    }

    fn remove_records(&mut self, places: &[Place]) {
        for place in places {
            self.records.remove(place);
        }
    }
}

impl Wanted {
    fn behind(&self) -> u64 {
        self.claims.values().map(Claims::count).max().unwrap_or_default()
    }

    /// Takes back what a peer claims and another was asked for of which nothing was heard for too long.
    fn call_in(&mut self, by: &NodeId, now: Instant) {
        let Some(claims) = self.claims.get(by) else { return };
        let overdue = |(_, holder): &(&u64, &Holder)| {
            !holder.ours
                && now.duration_since(holder.heard) >= OVERDUE
                && holder.peer != *by
                && claims.claims_of(&holder.piece)
        };
        let overdue: Vec<u64> = self
            .leases
            .iter()
            .filter(overdue)
            .map(|(number, _)| *number)
            .collect();
        for number in overdue {
            if let Some(Holder { peer, piece, .. }) = self.leases.remove(&number)
                && let Some(claims) = self.claims.get_mut(&peer)
            {
                claims.remove(&piece);
            }
        }
    }
}

impl Lease {
    /// The peer was asked for it in vain, and claims it no longer.
    pub(super) fn asked_in_vain(&self) {
        if let Some(claims) = self.needs.lock().claims.get_mut(&self.peer) {
            claims.remove(&self.piece);
        }
    }

    /// Notes that the peer sends; `false` if what it was to send was given to another.
    pub(super) fn renew(&self) -> bool {
        self.waits_for_us(false)
    }

    /// Notes whether it is we who keep the peer waiting; `false` if what it was to send was given to
    /// another.
    pub(super) fn waits_for_us(&self, ours: bool) -> bool {
        let mut wanted = self.needs.lock();
        match wanted.leases.get_mut(&self.number) {
            Some(holder) => {
                holder.heard = Instant::now();
                holder.ours = ours;
                true
            }
            None => false,
        }
    }

    /// These are held, or turned away: nobody need be asked for them.
    pub(super) fn settle(&self, places: &[Place]) {
        for claims in self.needs.lock().claims.values_mut() {
            claims.remove_records(places);
        }
    }

    /// The peer was asked for these in vain. Others who claim them are asked, too.
    pub(super) fn unserved(&self, places: &[Place]) {
        if let Some(claims) = self.needs.lock().claims.get_mut(&self.peer) {
            claims.remove_records(places);
        }
    }

    /// The peer is through with its span but for what lies before `rest`; `useful` is how many records were
    /// new. What others claim there is compared with them again if any were, and stays as it is if not.
    pub(super) fn through(&self, rest: Option<Place>, received: usize, useful: usize) {
        let Piece::Span(span) = &self.piece else { return };
        let mut wanted = self.needs.lock();
        if let Some(claims) = wanted.claims.get_mut(&self.peer)
            && let Some(claim) = claims.spans.remove(&span.to)
            && let Some(to) = rest
        {
            let received = u64::try_from(received).unwrap_or(u64::MAX);
            let count = claim.count.saturating_sub(received).max(1);
            claims.spans.insert(to, Claim { count, ..claim });
        }
        let through = Span {
            from: rest.unwrap_or(span.from),
            to: span.to,
        };
        for (peer, claims) in &mut wanted.claims {
            if useful > 0 && *peer != self.peer {
                claims.doubt(&through);
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.needs.lock().leases.remove(&self.number);
        self.needs.changed.notify_waiters();
    }
}
