//! Charters: their form, their signatures, and how one follows another.

use hanse_protocol::charter::member::{AcceptedRun, MemberSealingKey, MemberSigningKey, SuiteKey};
use hanse_protocol::charter::{Charter, SignedCharter};
use hanse_protocol::identity::RecordId;
use hanse_protocol::seal::SUITE_X25519;
use serde_json::{Value, json};

use super::raw::{and, replaced};
use super::{Cast, Org, bad, good, signed, successor};
use crate::vectors::{Vector, describe, hex};

mod following;

pub(super) fn vectors() -> Vec<Vector> {
    let mut all = sound();
    all.extend(ill_formed());
    all.extend(following::unsigned());
    all.extend(following::unfollowing());
    all
}

fn given(charters: &[&[u8]]) -> Value {
    json!({"charters": charters.iter().map(|charter| hex(charter)).collect::<Vec<_>>()})
}

fn in_order(charters: &[&SignedCharter]) -> Value {
    let encoded: Vec<String> = charters.iter().map(|charter| hex(&charter.encode())).collect();
    json!({"charters": encoded})
}

/// Stewards city and water company, both needed.
fn two_stewards(cast: &Cast) -> Charter {
    let mut first = cast.first();
    first.stewards = vec![cast.water.handle.clone(), cast.city.handle.clone()];
    first.threshold = 2;
    first
}

/// City, water company and hospital of three stewards, two needed.
fn three_stewards(cast: &Cast) -> Charter {
    let mut first = two_stewards(cast);
    first.stewards.push(cast.mary.handle.clone());
    first
}

fn with_mallory(cast: &Cast, parent: &SignedCharter) -> Charter {
    let mut next = successor(parent);
    next.members.insert(1, cast.mallory.listed());
    next
}

/// A successor with another name, so that it is another charter.
fn renamed(parent: &SignedCharter, name: &str) -> Charter {
    Charter {
        name: name.to_owned(),
        ..successor(parent)
    }
}

fn of_suite(suite: u8, bytes: usize) -> SuiteKey {
    let key = vec![7; bytes];
    SuiteKey::Unknown { suite, key }
}

fn closing(last: u64) -> AcceptedRun {
    AcceptedRun {
        lane: 0,
        epoch: 0,
        first: 1,
        last,
        id: RecordId([7; 32]),
    }
}

fn reading(chain: &[(&SignedCharter, &str)], newest: &SignedCharter, fork_open: bool) -> Value {
    json!({
        "community": chain[0].0.founds(),
        "became": chain.iter().map(|(_, became)| *became).collect::<Vec<_>>(),
        "hash": hex(&newest.hash().0),
        "fork_open": fork_open,
        "charter": describe::charter(newest.charter()),
    })
}

fn sound() -> Vec<Vector> {
    let cast = Cast::new();
    let Cast {
        city, water, mary, ..
    } = &cast;
    let first = signed(cast.first(), &[city]);
    let grown = signed(with_mallory(&cast, &first), &[city]);
    let mut later_suite = successor(&first);
    later_suite.members[0].sealing.push(MemberSealingKey {
        key: of_suite(2, 1_216),
        closed: false,
    });
    let later_suite = signed(later_suite, &[city]);
    let mut closed = successor(&grown);
    closed.members[0].signing = vec![
        MemberSigningKey {
            key: water.signing.verifying_key(),
            closed: Some(vec![closing(9)]),
        },
        MemberSigningKey {
            key: hanse_protocol::identity::keys::SigningKey::from_seed(&[15; 32]).verifying_key(),
            closed: None,
        },
    ];
    closed.members[1].ended = Some(vec![]);
    closed.members[3].lanes[0].closed = Some(vec![closing(4)]);
    let closed = signed(closed, &[city]);
    let three = signed(three_stewards(&cast), &[city, water]);
    let two_of_three = signed(renamed(&three, "Two of three"), &[water, mary]);
    let mut recovered = signed(renamed(&three, "Recovered"), &[mary]);
    recovered.endorse_with_recovery(&cast.recovery);
    let (left, right) = (
        signed(renamed(&first, "Left"), &[city]),
        signed(renamed(&first, "Right"), &[city]),
    );
    let mut joint = renamed(&left, "Joint");
    joint.parents = vec![left.hash(), right.hash()];
    joint.parents.sort();
    let joint = signed(joint, &[city]);
    let what = [
        (
            "first",
            "A founding charter of one steward.",
            vec![(&first, "founded")],
            &first,
            false,
        ),
        (
            "grown",
            "A member is admitted.",
            vec![(&first, "founded"), (&grown, "adopted")],
            &grown,
            false,
        ),
        (
            "later-suite",
            "A member has a sealing key of a suite that is not known yet.",
            vec![(&first, "founded"), (&later_suite, "adopted")],
            &later_suite,
            false,
        ),
        (
            "closings",
            "A key, a lane and a membership are closed.",
            vec![(&first, "founded"), (&grown, "adopted"), (&closed, "adopted")],
            &closed,
            false,
        ),
        (
            "two-of-three",
            "Two of three stewards suffice.",
            vec![(&three, "founded"), (&two_of_three, "adopted")],
            &two_of_three,
            false,
        ),
        (
            "recovery-key-for-one-steward",
            "A recovery key stands in for one of two stewards.",
            vec![(&three, "founded"), (&recovered, "adopted")],
            &recovered,
            false,
        ),
        (
            "told-twice",
            "The same charter again changes nothing.",
            vec![(&first, "founded"), (&grown, "adopted"), (&grown, "known")],
            &grown,
            false,
        ),
        (
            "fork",
            "Of two charters of one version the first seen is in force.",
            vec![(&first, "founded"), (&left, "adopted"), (&right, "sibling")],
            &left,
            true,
        ),
        (
            "fork-joined",
            "A charter that names both closes the fork.",
            vec![
                (&first, "founded"),
                (&left, "adopted"),
                (&right, "sibling"),
                (&joint, "adopted"),
            ],
            &joint,
            false,
        ),
        (
            "fork-joined-unseen",
            "The side that a charter joins need not be known, and is kept when it comes.",
            vec![
                (&first, "founded"),
                (&left, "adopted"),
                (&joint, "adopted"),
                (&right, "sibling"),
            ],
            &joint,
            false,
        ),
    ];
    what.into_iter()
        .map(|(what, about, chain, newest, open)| {
            let charters: Vec<&SignedCharter> = chain.iter().map(|(charter, _)| *charter).collect();
            good(
                "charter",
                what,
                about,
                in_order(&charters),
                reading(&chain, newest, open),
            )
        })
        .collect()
}

/// A charter as it travels, form unchecked.
fn unchecked(charter: &Charter, by: &[&Org]) -> Vec<u8> {
    envelope(&minicbor::to_vec(charter).expect("into memory"), by)
}

fn envelope(payload: &[u8], by: &[&Org]) -> Vec<u8> {
    let mut endorsements: Vec<_> = by
        .iter()
        .map(|org| {
            let message = and(b"hanse charter signature v1", payload);
            let id = org.signing.verifying_key().id();
            (
                id,
                org.handle.clone(),
                minicbor::bytes::ByteArray::from(org.signing.sign(&message)),
            )
        })
        .collect();
    endorsements.sort_by_key(|(id, ..)| *id);
    let endorsements: Vec<_> = endorsements
        .into_iter()
        .map(|(id, handle, signature)| (handle, id, signature))
        .collect();
    let payload: &minicbor::bytes::ByteSlice = payload.into();
    minicbor::to_vec((payload, endorsements)).expect("into memory")
}

fn ill_formed() -> Vec<Vector> {
    let cast = Cast::new();
    let Cast {
        city, water, mary, ..
    } = &cast;
    let of = |change: &dyn Fn(&mut Charter)| {
        let mut charter = cast.first();
        change(&mut charter);
        unchecked(&charter, &[city])
    };
    let bytes = of(&|_| ());
    assert_eq!(
        bytes,
        signed(cast.first(), &[city]).encode(),
        "two ways to one charter"
    );
    let payload = minicbor::to_vec(cast.first()).expect("into memory");
    let mut weak = [0; 32];
    weak[0] = 1;
    let weak = envelope(
        &replaced(&payload, water.signing.verifying_key().as_bytes(), &weak),
        &[city],
    );
    let nulled = envelope(
        &replaced(
            &payload,
            &and(&[0x83, 0], &and(&[0x58, 32], mary.node_id().as_bytes())),
            &and(&[0x84, 0], &and(&[0x58, 32], mary.node_id().as_bytes())),
        ),
        &[city],
    );
    let refused: Vec<(&str, &str, Vec<u8>, &str)> = vec![
        ("empty", "No bytes.", vec![], "malformed"),
        ("trailing-byte", "One byte follows.", and(&bytes, &[0]), "form"),
        (
            "long-array-head",
            "The envelope's length in two bytes.",
            and(&[0x98, 2], &bytes[1..]),
            "form",
        ),
        ("weak-key", "A signing key of small order.", weak, "malformed"),
        (
            "lane-with-fourth-field-promised",
            "A lane claims a field that is not there.",
            nulled,
            "malformed",
        ),
        ("nameless", "The name is empty.", of(&|c| c.name.clear()), "form"),
        (
            "version-zero",
            "Versions count from 1.",
            of(&|c| c.version = 0),
            "form",
        ),
        (
            "first-with-parent",
            "A first charter that follows one.",
            of(&|c| c.parents.push(hanse_protocol::charter::CharterHash([1; 32]))),
            "form",
        ),
        (
            "expires-when-issued",
            "It lives for no time.",
            of(&|c| c.expires = c.issued),
            "form",
        ),
        ("no-horizon", "Nothing is kept.", of(&|c| c.horizon = 0), "form"),
        (
            "members-disorder",
            "Members not in the order of their handles.",
            of(&|c| c.members.swap(0, 1)),
            "form",
        ),
        (
            "member-twice",
            "A member twice.",
            of(&|c| c.members.insert(0, water.listed())),
            "form",
        ),
        (
            "node-twice",
            "One node for two members.",
            of(&|c| c.members[2].lanes[0].node = water.node_id()),
            "form",
        ),
        (
            "signing-key-twice",
            "One signing key for two members.",
            of(&|c| c.members[2].signing = water.listed().signing),
            "form",
        ),
        (
            "sealing-key-twice",
            "One sealing key for two members.",
            of(&|c| c.members[2].sealing = water.listed().sealing),
            "form",
        ),
        (
            "sealing-key-short",
            "A key of suite 1 of 31 bytes.",
            of(&|c| c.members[0].sealing[0].key = of_suite(SUITE_X25519, 31)),
            "malformed",
        ),
        (
            "sealing-key-of-suite-0",
            "There is no such suite of keys.",
            of(&|c| c.members[0].sealing[0].key = of_suite(0, 32)),
            "malformed",
        ),
        (
            "sealing-key-too-long",
            "A key of a later suite of 2,049 bytes.",
            of(&|c| c.members[0].sealing[0].key = of_suite(2, 2_049)),
            "malformed",
        ),
        (
            "recovery-key-of-member",
            "A recovery key that is a member's.",
            of(&|c| c.recovery = vec![city.signing.verifying_key()]),
            "form",
        ),
        (
            "steward-no-member",
            "A steward that is no member.",
            of(&|c| c.stewards = vec![cast.mallory.handle.clone()]),
            "form",
        ),
        (
            "steward-ended",
            "A steward whose membership ended.",
            of(&|c| c.members[1].ended = Some(vec![])),
            "form",
        ),
        (
            "threshold-half",
            "Half of the stewards is not more than half.",
            of(&|c| {
                c.stewards = vec![water.handle.clone(), city.handle.clone()];
            }),
            "form",
        ),
        (
            "threshold-above-all",
            "More signatures needed than stewards exist.",
            of(&|c| c.threshold = 2),
            "form",
        ),
        (
            "threshold-zero",
            "Nobody need sign.",
            of(&|c| (c.threshold, c.stewards) = (0, vec![])),
            "form",
        ),
        (
            "country-in-small-letters",
            "A country that is none.",
            of(&|c| c.members[0].profile.country = "de".to_owned()),
            "form",
        ),
        (
            "profile-of-another",
            "A profile with another handle.",
            of(&|c| c.members[0].profile.handle = mary.handle.clone()),
            "form",
        ),
        (
            "no-lane",
            "A member without a node.",
            of(&|c| c.members[0].lanes.clear()),
            "form",
        ),
        (
            "closing-disorder",
            "A closing whose runs overlap.",
            of(&|c| c.members[0].ended = Some(vec![closing(1), closing(2)])),
            "form",
        ),
        (
            "closing-of-nothing",
            "A run that ends before it begins.",
            of(&|c| c.members[0].ended = Some(vec![closing(0)])),
            "form",
        ),
        (
            "closing-of-too-many",
            "A closing of 129 runs.",
            of(&|c| {
                let runs = (0..129).map(|epoch| AcceptedRun { epoch, ..closing(1) });
                c.members[0].ended = Some(runs.collect());
            }),
            "form",
        ),
    ];
    refused
        .into_iter()
        .map(|(what, about, bytes, reason)| bad("charter", what, about, given(&[&bytes]), reason))
        .collect()
}
