//! What is known to be missing, shared by all conversations: what one peer was found to hold another may
//! send, each piece is fetched from one peer at a time, and one that does not come is given to another.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hanse_protocol::heal::IDS;
use hanse_protocol::identity::NodeId;
use hanse_protocol::reconcile::{Need, Place, Span};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Records wanted by id; with so many, comparing waits until some have come.
pub(super) const RECORDS: usize = 32_768;

/// Spans wanted whole.
const SPANS: usize = 4_096;

/// How long a peer may go without sending anything of what it was asked for before another that has
/// nothing to do is asked for it.
const OVERDUE: Duration = Duration::from_secs(5);

/// More records than this are worth asking several peers.
const SHARED: u64 = 256;

/// Wanted, and who was asked in vain.
#[derive(Debug, Default)]
struct Want {
    /// Who was found to hold it.
    of: Vec<NodeId>,
    tried: Vec<NodeId>,
    /// The lease it is fetched under.
    lease: Option<u64>,
    /// How many records it stands for, as its peer says.
    count: u64,
}

#[derive(Debug)]
struct Holder {
    peer: NodeId,
    heard: Instant,
}

#[derive(Debug, Default)]
struct Wanted {
    records: BTreeMap<Place, Want>,
    /// By where each ends, with where it begins; none overlaps another.
    spans: BTreeMap<Place, (Place, Want)>,
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

/// What there is to do for a peer.
#[derive(Debug)]
pub(super) enum Work {
    /// This.
    Fetch(Lease),
    /// Others are at all of it; something may be left by them.
    Wait,
    /// Nothing that this peer was not asked for in vain.
    Nothing,
}

/// The right to fetch something from one peer. What is not settled when it is dropped is given back.
#[derive(Debug)]
pub(super) struct Lease {
    number: u64,
    peer: NodeId,
    pub(super) piece: Piece,
    /// What of it the peer says it holds; of a span where that ends.
    said: BTreeSet<Place>,
    needs: Needs,
}

impl Needs {
    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what a peer was found to hold.
    pub(super) fn add(&self, peer: NodeId, found: Vec<Need>) {
        let mut wanted = self.lock();
        for need in found {
            match need {
                Need::Record(place) => {
                    if wanted.records.len() < 2 * RECORDS && !wanted.covers(&place) {
                        let want = wanted.records.entry(place).or_default();
                        want.count = 1;
                        if !want.of.contains(&peer) {
                            want.of.push(peer);
                        }
                    }
                }
                Need::Span(span, count) => wanted.add_span(peer, span, count),
            }
        }
        let behind = wanted.behind();
        drop(wanted);
        self.changed.notify_waiters();
        if behind > SHARED {
            self.many.notify_one();
        }
    }

    /// About how many records are wanted.
    pub(super) fn behind(&self) -> u64 {
        self.lock().behind()
    }

    /// Whether comparing should wait.
    pub(super) fn is_full(&self) -> bool {
        self.lock().records.len() >= RECORDS
    }

    /// The newest of what is wanted that this peer may have.
    pub(super) fn work(&self, peer: NodeId, now: Instant) -> Work {
        let mut wanted = self.lock();
        wanted.call_in(now);
        let untried = |want: &Want| !want.tried.contains(&peer);
        let free = |want: &Want| want.lease.is_none() && untried(want);
        let span = wanted.spans.iter().rev().find(|(_, (_, want))| free(want));
        let span = span.map(|(to, (from, _))| Span { from: *from, to: *to });
        let record = wanted.records.iter().rev().find(|(_, want)| free(want));
        let record = record.map(|(place, _)| *place);
        let number = wanted.next_lease;
        let mut said = BTreeSet::new();
        let piece = match (span, record) {
            (Some(span), record) if record.is_none_or(|place| place < span.to) => {
                if let Some((_, want)) = wanted.spans.get_mut(&span.to) {
                    want.lease = Some(number);
                    said.extend(Some(span.to).filter(|_| want.of.contains(&peer)));
                }
                Piece::Span(span)
            }
            (_, Some(_)) => {
                let free = wanted.records.iter_mut().rev().filter(|(_, want)| free(want));
                let mut places = Vec::new();
                for (place, want) in free.take(IDS) {
                    want.lease = Some(number);
                    said.extend(Some(*place).filter(|_| want.of.contains(&peer)));
                    places.push(*place);
                }
                Piece::Records(places)
            }
            _ => {
                let mut wants = wanted
                    .records
                    .values()
                    .chain(wanted.spans.values().map(|(_, want)| want));
                return if wants.any(untried) {
                    Work::Wait
                } else {
                    Work::Nothing
                };
            }
        };
        wanted.next_lease += 1;
        wanted.leases.insert(number, Holder { peer, heard: now });
        drop(wanted);
        Work::Fetch(Lease {
            number,
            peer,
            piece,
            said,
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
        let mut wanted = self.lock();
        wanted.records.clear();
        wanted.spans.clear();
    }

    /// Lets go of what none of these peers has; the next comparison finds what is there after all.
    pub(super) fn let_go(&self, peers: &[NodeId]) {
        let mut wanted = self.lock();
        let hope = |want: &Want| want.lease.is_some() || peers.iter().any(|peer| !want.tried.contains(peer));
        wanted.records.retain(|_, want| hope(want));
        wanted.spans.retain(|_, (_, want)| hope(want));
    }
}

impl Wanted {
    fn behind(&self) -> u64 {
        let spans = self.spans.values().map(|(_, want)| want.count);
        let records = u64::try_from(self.records.len()).unwrap_or(u64::MAX);
        spans.fold(records, u64::saturating_add)
    }

    /// Whether a span that is wanted holds a place.
    fn covers(&self, place: &Place) -> bool {
        let behind = (std::ops::Bound::Excluded(place), std::ops::Bound::Unbounded);
        let span = self.spans.range::<Place, _>(behind).next();
        span.is_some_and(|(_, (from, _))| from <= place)
    }

    /// Adds what of a span is not wanted already.
    fn add_span(&mut self, peer: NodeId, span: Span, count: u64) {
        let mut left = vec![span];
        let behind = (std::ops::Bound::Excluded(span.from), std::ops::Bound::Unbounded);
        let known = self.spans.range::<Place, _>(behind);
        for (to, (from, _)) in known.take_while(|(_, (from, _))| *from < span.to) {
            let Some(last) = left.pop() else { break };
            if last.from < *from {
                left.push(Span {
                    from: last.from,
                    to: *from,
                });
            }
            if *to < last.to {
                left.push(Span {
                    from: *to,
                    to: last.to,
                });
            }
        }
        let pieces = u64::try_from(left.len()).unwrap_or(u64::MAX).max(1);
        for span in left {
            if self.spans.len() >= SPANS || span.from >= span.to {
                continue;
            }
            let taken: Vec<Place> = self
                .records
                .range(span.from..span.to)
                .filter(|(_, want)| want.lease.is_none())
                .map(|(place, _)| *place)
                .collect();
            for place in taken {
                self.records.remove(&place);
            }
            let want = Want {
                of: vec![peer],
                count: count / pieces,
                ..Want::default()
            };
            self.spans.insert(span.to, (span.from, want));
        }
    }

    /// Takes back what was leased to peers of which nothing was heard for too long.
    fn call_in(&mut self, now: Instant) {
        let overdue = |(_, holder): &(&u64, &Holder)| now.duration_since(holder.heard) >= OVERDUE;
        let overdue = self.leases.iter().filter(overdue);
        let overdue: Vec<(u64, NodeId)> = overdue.map(|(number, holder)| (*number, holder.peer)).collect();
        for (number, peer) in overdue {
            self.give_back(number, Some(peer));
        }
    }

    /// Gives back what a lease is for; `vain` is who was asked for it in vain.
    fn give_back(&mut self, number: u64, vain: Option<NodeId>) {
        if self.leases.remove(&number).is_none() {
            return;
        }
        let wants = self.records.values_mut();
        for want in wants.chain(self.spans.values_mut().map(|(_, want)| want)) {
            if want.lease == Some(number) {
                want.lease = None;
                want.tried.extend(vain);
            }
        }
    }
}

impl Lease {
    /// What is not settled was asked for in vain: another peer may have it.
    pub(super) fn asked_in_vain(&self) {
        self.needs.lock().give_back(self.number, Some(self.peer));
    }

    /// Whether the peer says that it holds a record, or what is in the span that ends here.
    pub(super) fn is_said(&self, place: &Place) -> bool {
        self.said.contains(place)
    }

    /// Notes that the peer sends; `false` if what it was to send was given to another.
    pub(super) fn renew(&self) -> bool {
        let mut wanted = self.needs.lock();
        match wanted.leases.get_mut(&self.number) {
            Some(holder) => {
                holder.heard = Instant::now();
                true
            }
            None => false,
        }
    }

    /// These are not wanted any longer.
    pub(super) fn settle(&self, places: &[Place]) {
        let mut wanted = self.needs.lock();
        for place in places {
            wanted.records.remove(place);
        }
    }

    /// Of the span only what lies before this place is wanted any longer; nothing if there is none.
    pub(super) fn settle_to(&self, rest: Option<Place>, received: usize) {
        let Piece::Span(span) = &self.piece else { return };
        let mut wanted = self.needs.lock();
        let Some((from, mut want)) = wanted.spans.remove(&span.to) else {
            return;
        };
        if let Some(to) = rest {
            let received = u64::try_from(received).unwrap_or(u64::MAX);
            want.count = want.count.saturating_sub(received).max(1);
            // What is left is for whoever has nothing else to do.
            if want.lease == Some(self.number) {
                want.lease = None;
            }
            wanted.spans.insert(to, (from, want));
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.needs.lock().give_back(self.number, None);
        self.needs.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use hanse_protocol::identity::RecordId;
    use hanse_protocol::timestamp::Timestamp;
    use proptest::prelude::*;

    use super::*;

    const A: NodeId = NodeId([1; 32]);
    const B: NodeId = NodeId([2; 32]);

    fn place(millis: u64) -> Place {
        Place {
            created: Timestamp::from_millis(millis),
            id: RecordId([7; 32]),
        }
    }

    fn span(from: u64, to: u64) -> Span {
        Span {
            from: place(from),
            to: place(to),
        }
    }

    fn fetch(needs: &Needs, peer: NodeId) -> Lease {
        match needs.work(peer, Instant::now()) {
            Work::Fetch(lease) => lease,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_piece_is_fetched_from_one_peer_and_goes_to_another_if_it_does_not_come() {
        let needs = Needs::default();
        needs.add(
            A,
            vec![
                Need::Span(span(10, 20), 100),
                Need::Record(place(5)),
                Need::Record(place(30)),
            ],
        );
        // The newest first.
        let newest = fetch(&needs, A);
        assert_eq!(newest.piece, Piece::Records(vec![place(30), place(5)]));
        let other = fetch(&needs, B);
        assert_eq!(other.piece, Piece::Span(span(10, 20)));
        assert!(newest.is_said(&place(30)) && !other.is_said(&place(20)));
        assert!(matches!(needs.work(B, Instant::now()), Work::Wait));
        newest.settle(&[place(30)]);
        newest.asked_in_vain();
        drop(newest);
        // A was asked for the other in vain.
        assert!(matches!(needs.work(A, Instant::now()), Work::Wait));
        let again = fetch(&needs, B);
        assert_eq!(again.piece, Piece::Records(vec![place(5)]));
        again.settle(&[place(5)]);
        drop(again);
        // What is left of a span is for whoever is idle.
        assert!(other.renew());
        other.settle_to(Some(place(15)), 60);
        drop(other);
        assert_eq!(needs.behind(), 40);
        let rest = fetch(&needs, A);
        assert_eq!(rest.piece, Piece::Span(span(10, 15)));
        // It stalls.
        let Work::Fetch(taken_over) = needs.work(B, Instant::now() + OVERDUE) else {
            panic!("it is not given to another");
        };
        assert!(!rest.renew());
        taken_over.settle_to(None, 40);
        drop((rest, taken_over));
        assert_eq!(needs.behind(), 0);
        assert!(matches!(needs.work(A, Instant::now()), Work::Nothing));
    }

    #[test]
    fn what_nobody_has_is_let_go() {
        let needs = Needs::default();
        needs.add(A, vec![Need::Record(place(1)), Need::Span(span(3, 9), 80)]);
        // A conversation that was cut is nobody's fault.
        drop(fetch(&needs, A));
        fetch(&needs, A).asked_in_vain();
        fetch(&needs, A).asked_in_vain();
        assert!(matches!(needs.work(A, Instant::now()), Work::Nothing));
        needs.let_go(&[A, B]);
        assert_eq!(needs.behind(), 81);
        needs.let_go(&[A]);
        assert_eq!(needs.behind(), 0);
    }

    proptest! {
        #[test]
        fn spans_that_overlap_are_wanted_once(spans in prop::collection::vec((0u64..90, 1u64..30), 0..20)) {
            let needs = Needs::default();
            let mut all = std::collections::BTreeSet::new();
            for (from, length) in spans {
                needs.add(A, vec![Need::Record(place(from)), Need::Span(span(from, from + length), 9)]);
                all.extend(from..from + length);
            }
            let mut seen = std::collections::BTreeSet::new();
            let mut leases = Vec::new();
            while let Work::Fetch(lease) = needs.work(A, Instant::now()) {
                if let Piece::Span(span) = &lease.piece {
                    for at in span.from.created.as_millis()..span.to.created.as_millis() {
                        prop_assert!(seen.insert(at), "wanted twice");
                    }
                } else {
                    prop_assert!(false, "a record in a span is wanted apart");
                }
                leases.push(lease);
            }
            prop_assert_eq!(seen, all);
        }
    }
}
