//! What peers claim, and what they do not.

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

fn nothing(needs: &Needs, peer: NodeId) -> bool {
    matches!(needs.work(peer, Instant::now()), Work::Nothing)
}

#[test]
fn each_piece_is_fetched_from_one_who_claims_it_and_from_the_next_if_it_does_not_come() {
    let needs = Needs::default();
    let found = vec![
        Need::Span(span(10, 20), 100),
        Need::Record(place(5)),
        Need::Record(place(30)),
    ];
    needs.add(A, found.clone());
    needs.add(B, found);
    // The newest first.
    let newest = fetch(&needs, A);
    assert_eq!(newest.piece, Piece::Records(vec![place(30), place(5)]));
    let other = fetch(&needs, B);
    assert_eq!(other.piece, Piece::Span(span(10, 20)));
    assert!(matches!(needs.work(B, Instant::now()), Work::Wait));
    newest.settle(&[place(30)]);
    newest.unserved(&[place(5)]);
    drop(newest);
    // A was asked for the other in vain.
    assert!(matches!(needs.work(A, Instant::now()), Work::Wait));
    let again = fetch(&needs, B);
    assert_eq!(again.piece, Piece::Records(vec![place(5)]));
    again.settle(&[place(5)]);
    drop(again);
    // What is left of a span is for whoever claims it and is idle.
    assert!(other.renew());
    other.through(Some(place(15)), 60, 60);
    drop(other);
    let rest = fetch(&needs, A);
    assert_eq!(rest.piece, Piece::Span(span(10, 15)));
    // It stalls.
    let Work::Fetch(taken_over) = needs.work(B, Instant::now() + OVERDUE) else {
        panic!("it is not given to another");
    };
    assert!(!rest.renew());
    taken_over.through(None, 40, 40);
    drop((rest, taken_over));
    // What A claimed besides, others have sent: that is compared, not fetched.
    let Work::Look(looks) = needs.work(A, Instant::now()) else {
        panic!("it is compared again");
    };
    assert_eq!(looks, [span(15, 20)]);
    assert!(nothing(&needs, A) && nothing(&needs, B));
    assert_eq!(needs.behind(), 0);
}

#[test]
fn nobody_is_asked_for_what_another_makes_up() {
    let needs = Needs::default();
    needs.add(A, vec![Need::Span(Span::ALL, u64::MAX), Need::Record(place(4))]);
    needs.add(B, vec![Need::Record(place(3))]);
    assert!(needs.behind() <= MOST + 1);
    let honest = fetch(&needs, B);
    assert_eq!(honest.piece, Piece::Records(vec![place(3)]));
    honest.settle(&[place(3)]);
    drop(honest);
    assert!(nothing(&needs, B));
}

#[test]
fn one_who_makes_up_ever_so_much_does_not_keep_others_from_being_compared_with() {
    let needs = Needs::default();
    let made_up = (0..40_000).map(|number| Need::Record(place(number)));
    needs.add(A, made_up.collect());
    assert!(needs.is_full(&A) && !needs.is_full(&B));
    needs.add(B, vec![Need::Record(place(50_000))]);
    assert_eq!(fetch(&needs, B).piece, Piece::Records(vec![place(50_000)]));
    needs.forget(&A);
    assert_eq!(needs.behind(), 1);
}

#[test]
fn one_who_sends_junk_for_a_span_settles_only_what_it_claims_itself() {
    let needs = Needs::default();
    needs.add(A, vec![Need::Span(span(10, 90), 1_000)]);
    needs.add(B, vec![Need::Span(span(0, 100), 1_000)]);
    let junk = fetch(&needs, B);
    assert!(matches!(needs.work(A, Instant::now()), Work::Wait));
    junk.through(None, 1, 0);
    drop(junk);
    assert!(nothing(&needs, B));
    let honest = fetch(&needs, A);
    assert_eq!(honest.piece, Piece::Span(span(10, 90)));
    drop(honest);
    // One record that was new is not all of it either.
    needs.add(B, vec![Need::Span(span(50, 100), 1_000)]);
    let junk = fetch(&needs, B);
    junk.through(None, 1, 1);
    drop(junk);
    let rest = fetch(&needs, A);
    assert_eq!(rest.piece, Piece::Span(span(10, 50)));
    rest.through(None, 400, 400);
    drop(rest);
    assert!(matches!(needs.work(A, Instant::now()), Work::Look(looks) if looks == [span(50, 90)]));
}

#[test]
fn who_waits_for_our_own_disk_is_not_late() {
    let needs = Needs::default();
    needs.add(A, vec![Need::Record(place(1))]);
    needs.add(B, vec![Need::Record(place(1))]);
    let lease = fetch(&needs, A);
    assert!(lease.waits_for_us(true));
    let later = Instant::now() + 10 * OVERDUE;
    assert!(matches!(needs.work(B, later), Work::Wait));
    assert!(lease.waits_for_us(false));
    assert!(matches!(needs.work(B, later), Work::Fetch(_)));
    assert!(!lease.renew());
}

#[test]
fn a_conversation_that_was_cut_is_nobodys_fault() {
    let needs = Needs::default();
    needs.add(A, vec![Need::Record(place(1)), Need::Span(span(3, 9), 80)]);
    drop(fetch(&needs, A));
    fetch(&needs, A).asked_in_vain();
    fetch(&needs, A).asked_in_vain();
    assert!(nothing(&needs, A));
}

proptest! {
    #[test]
    fn spans_that_overlap_are_wanted_once(spans in prop::collection::vec((0u64..90, 1u64..30), 0..20)) {
        let needs = Needs::default();
        let mut all = BTreeSet::new();
        for (from, length) in spans {
            needs.add(A, vec![Need::Record(place(from)), Need::Span(span(from, from + length), 9)]);
            all.extend(from..from + length);
        }
        let mut seen = BTreeSet::new();
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

    /// Whatever one peer sends or does not, what another claims stays claimed, or is compared again.
    #[test]
    fn no_claim_is_lost_to_another_peer(
        honest in (0u64..60, 1u64..40),
        others in prop::collection::vec((0u64..90, 1u64..30, 0usize..2), 0..12),
    ) {
        let needs = Needs::default();
        let (from, length) = honest;
        needs.add(A, vec![Need::Span(span(from, from + length), 9)]);
        for (from, length, useful) in others {
            needs.add(B, vec![Need::Span(span(from, from + length), 9)]);
            if let Work::Fetch(lease) = needs.work(B, Instant::now()) {
                lease.through(None, 1, useful);
            }
        }
        let mut left = BTreeSet::new();
        loop {
            match needs.work(A, Instant::now()) {
                Work::Fetch(lease) => {
                    let Piece::Span(span) = lease.piece.clone() else { panic!("only spans") };
                    left.extend(span.from.created.as_millis()..span.to.created.as_millis());
                    lease.asked_in_vain();
                }
                Work::Look(looks) => for span in looks {
                    left.extend(span.from.created.as_millis()..span.to.created.as_millis());
                },
                Work::Wait => panic!("nobody is at it"),
                Work::Nothing => break,
            }
        }
        prop_assert_eq!(left, (from..from + length).collect());
    }
}
