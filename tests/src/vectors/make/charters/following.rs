//! Charters that are not signed enough, or that follow nothing they could.

use hanse_protocol::charter::Charter;
use hanse_protocol::charter::SignedCharter;
use hanse_protocol::charter::member::{AcceptedRun, MemberSigningKey};
use hanse_protocol::identity::RecordId;
use serde_json::Value;

use super::{closing, given, in_order, renamed, three_stewards, two_stewards};
use crate::vectors::Vector;
use crate::vectors::make::raw::flipped;
use crate::vectors::make::{Cast, FOUNDED, at, bad, signed, successor};

pub(super) fn unsigned() -> Vec<Vector> {
    let cast = Cast::new();
    let Cast {
        city,
        water,
        mary,
        mallory,
        ..
    } = &cast;
    let first = signed(cast.first(), &[city]);
    let bytes = first.encode();
    let three = signed(three_stewards(&cast), &[city, water]);
    let next = renamed(&three, "Next");
    let mut twice = signed(next.clone(), &[]);
    twice.endorse_with_recovery(&cast.recovery);
    let mut posing = signed(next.clone(), &[water]);
    posing.endorse(&mary.handle, &mallory.signing);
    let mut closed = successor(&three);
    closed.members[0].signing = vec![
        MemberSigningKey {
            key: water.signing.verifying_key(),
            closed: Some(vec![]),
        },
        MemberSigningKey {
            key: hanse_protocol::identity::keys::SigningKey::from_seed(&[15; 32]).verifying_key(),
            closed: None,
        },
    ];
    let closed = signed(closed, &[city, mary]);
    let by_closed = signed(renamed(&closed, "By a closed key"), &[city, water]);
    let two = signed(next.clone(), &[city, water]).encode();
    let (start, size) = swapped_ends(&two);
    let swapped = [&two[..start], &two[start + size.0..], &two[start..start + size.0]].concat();
    let other = signed(two_stewards(&cast), &[city, water]);
    vec![
        bad(
            "charter",
            "spoiled-signature",
            "One bit of the only signature changed.",
            given(&[&flipped(&bytes, bytes.len() - 1)]),
            "signatures",
        ),
        bad(
            "charter",
            "half-signed",
            "One of two stewards signed.",
            in_order(&[&signed(two_stewards(&cast), &[city])]),
            "signatures",
        ),
        bad(
            "charter",
            "signed-by-a-member",
            "Signed by a member that is no steward.",
            in_order(&[&signed(cast.first(), &[water])]),
            "signatures",
        ),
        bad(
            "charter",
            "signed-for-a-steward",
            "A steward's name over another's key.",
            in_order(&[&three, &posing]),
            "signatures",
        ),
        bad(
            "charter",
            "signed-with-a-closed-key",
            "A steward's key that the parent closed.",
            in_order(&[&three, &closed, &by_closed]),
            "signatures",
        ),
        bad(
            "charter",
            "recovery-key-alone",
            "A recovery key stands in for one steward, not for two.",
            in_order(&[&three, &twice]),
            "signatures",
        ),
        bad(
            "charter",
            "signatures-disorder",
            "Signatures not in the order of their keys.",
            given(&[&three.encode(), &swapped]),
            "form",
        ),
        bad(
            "charter",
            "another-first",
            "A second founding charter.",
            in_order(&[&first, &other]),
            "other-community",
        ),
    ]
}

/// Where two endorsements at the end of a charter start, and their sizes.
fn swapped_ends(charter: &[u8]) -> (usize, (usize, usize)) {
    let size = |handle: usize| 1 + 1 + handle + 9 + 66;
    let (a, b) = (size("port-city".len()), size("acme-water".len()));
    let start = charter.len() - a - b;
    let first = if charter[start + 1] == 0x60 + 9 { a } else { b };
    (start, (first, a + b - first))
}

pub(super) fn unfollowing() -> Vec<Vector> {
    let cast = Cast::new();
    let city = &cast.city;
    let first = signed(cast.first(), &[city]);
    let after = |change: &dyn Fn(&mut Charter)| {
        let mut next = successor(&first);
        change(&mut next);
        in_order(&[&first, &signed(next, &[city])])
    };
    let mut ended = successor(&first);
    ended.members[0].ended = Some(vec![closing(5)]);
    let ended = signed(ended, &[city]);
    let ending_from = |parent: &SignedCharter, first| {
        let mut next = successor(parent);
        next.members[0].ended = Some(vec![AcceptedRun { first, ..closing(5) }]);
        signed(next, &[city])
    };
    let began_later = ending_from(&first, 2);
    let began_earlier = ending_from(&began_later, 1);
    let then = |ended_then: Option<Vec<AcceptedRun>>| {
        let mut next = successor(&ended);
        next.members[0].ended = ended_then;
        in_order(&[&first, &ended, &signed(next, &[city])])
    };
    let (left, right) = (
        signed(renamed(&first, "Left"), &[city]),
        signed(renamed(&first, "Right"), &[city]),
    );
    let one_sided = signed(renamed(&left, "One-sided"), &[city]);
    let later = signed(renamed(&ended, "Later"), &[city]);
    let other_side = signed(renamed(&right, "Other side"), &[city]);
    let beside: Vec<_> = (0..9)
        .map(|n| signed(renamed(&first, &format!("Beside {n}")), &[city]))
        .collect();
    let too_many: Vec<_> = [&first, &left].into_iter().chain(&beside).collect();
    let refused: Vec<(&str, &str, Value, &str)> = vec![
        (
            "begins-with-the-second",
            "A chain that does not start with version 1.",
            in_order(&[&ended]),
            "form",
        ),
        (
            "version-skipped",
            "Version 3 after version 1.",
            after(&|c| c.version = 3),
            "form",
        ),
        (
            "parent-missing",
            "The charter between is missing.",
            in_order(&[&first, &later]),
            "unknown-parent",
        ),
        (
            "dated-before-its-parent",
            "Issued before its parent.",
            after(&|c| c.issued = at(FOUNDED - 1)),
            "history",
        ),
        (
            "member-dropped",
            "A member is no longer listed.",
            after(&|c| c.members.truncate(2)),
            "history",
        ),
        (
            "admission-changed",
            "Another date of admission.",
            after(&|c| c.members[0].admitted = at(0)),
            "history",
        ),
        (
            "key-dropped",
            "A signing key is no longer listed.",
            after(&|c| c.members[0].signing = cast.mallory.listed().signing),
            "history",
        ),
        (
            "sealing-key-dropped",
            "A sealing key is no longer listed.",
            after(&|c| c.members[0].sealing = cast.mallory.listed().sealing),
            "history",
        ),
        (
            "lane-renumbered",
            "A lane under another number.",
            after(&|c| c.members[0].lanes[0].number = 1),
            "history",
        ),
        (
            "node-of-a-lane-changed",
            "A lane of another node.",
            after(&|c| c.members[0].lanes[0].node = cast.mallory.node_id()),
            "history",
        ),
        (
            "closing-widened",
            "An ending reaches further than it did.",
            then(Some(vec![closing(6)])),
            "history",
        ),
        (
            "closing-widened-below",
            "A run of an ending begins earlier than it did.",
            in_order(&[&first, &began_later, &began_earlier]),
            "history",
        ),
        (
            "closing-of-another-record",
            "An ending names another record in its place.",
            then(Some(vec![AcceptedRun {
                id: RecordId([8; 32]),
                ..closing(5)
            }])),
            "history",
        ),
        (
            "closing-lifted",
            "An ended member is active again.",
            then(None),
            "history",
        ),
        (
            "fork-late",
            "A sibling that comes after its side was passed by.",
            in_order(&[&first, &left, &one_sided, &right]),
            "late",
        ),
        (
            "fork-other-side",
            "A charter that follows the side that is not in force.",
            in_order(&[&first, &left, &right, &other_side]),
            "other-side",
        ),
        (
            "fork-siblings-too-many",
            "Nine siblings of the charter in force.",
            in_order(&too_many),
            "too-many-siblings",
        ),
        (
            "fork-continued",
            "While a fork is open, a charter that names one side.",
            in_order(&[&first, &left, &right, &one_sided]),
            "fork-open",
        ),
    ];
    refused
        .into_iter()
        .map(|(what, about, given, reason)| bad("charter", what, about, given, reason))
        .collect()
}
