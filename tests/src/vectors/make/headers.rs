//! Headers, and their admission.

use hanse_protocol::charter::member::AcceptedRun;
use hanse_protocol::charter::{Charter, CharterChain, SignedCharter};
use hanse_protocol::identity::RecordId;
use hanse_protocol::record::{BodyHash, Header, Kind};
use serde_json::{Value, json};

use super::raw::{Message, and, flipped, malleated, protected, replaced};
use super::{Cast, DAY, FOUNDED, MINUTE, Org, at, bad, good, signed, successor};
use crate::vectors::{Vector, describe, hex};

/// A first record of the water company, a minute after the founding.
pub(super) fn header(author: &Org, charter: &SignedCharter, body: &[u8]) -> Header {
    Header {
        author: author.handle.clone(),
        lane: 0,
        charter: charter.reference(),
        epoch: 0,
        seq: 1,
        prev: None,
        created: at(FOUNDED + MINUTE),
        expires: at(FOUNDED + 30 * DAY),
        kind: Kind::Objects,
        replaces: None,
        body_length: u32::try_from(body.len()).expect("short"),
        body_hash: BodyHash::of(body),
    }
}

pub(super) fn vectors() -> Vec<Vector> {
    let mut all = headers();
    all.extend(admissions());
    all
}

fn headers() -> Vec<Vector> {
    let cast = Cast::new();
    let charters = cast.community();
    let community = charters.community();
    let key = &cast.water.signing;
    let first = header(&cast.water, charters.newest(), b"body");
    let mut second = first.clone();
    (second.seq, second.prev, second.replaces) = (2, Some(RecordId([5; 32])), Some(RecordId([6; 32])));
    (second.lane, second.epoch, second.kind) = (3, 2, Kind::Unknown(9));
    let given = |bytes: &[u8]| json!({"bytes": hex(bytes), "community": community});
    let external = and(b"hanse record", community.as_bytes());
    let payload = minicbor::to_vec(&first).expect("into memory");
    let message = || Message::new(external.clone(), payload.clone(), key);
    let with_payload = |payload: Vec<u8>| Message::new(external.clone(), payload, key).sign(key);
    let with_protected = |protected: Vec<u8>| {
        let mut message = message();
        message.protected = protected;
        message.sign(key)
    };
    let unprotected = |bytes: &[u8]| {
        let mut message = message();
        message.unprotected = bytes.to_vec();
        message.sign(key)
    };
    let bytes = first.sign(community, key);
    assert_eq!(bytes, message().sign(key), "two ways to one message");
    let mut extra = protected(-19, key, Some(1));
    extra.extend([0x3a, 0, 1, 0, 1, 0]);
    extra[0] = 0xa4;
    let mut disorder = vec![0xa3, 0x3a, 0, 1, 0, 0, 1];
    disorder.extend(&protected(-19, key, None)[1..]);
    let long_handle = replaced(&payload, b"\x6aacme-water", b"\x78\x0aacme-water");
    let indefinite = and(&and(&[0x9f], &payload[1..]), &[0xff]);
    let mut all: Vec<Vector> = [
        (
            "first",
            first,
            "A first record: no predecessor, nothing replaced.",
        ),
        (
            "full",
            second,
            "Every field in use, a lane and an epoch above 0, and a kind of a later version.",
        ),
    ]
    .into_iter()
    .map(|(what, header, about)| {
        let id = header.id(community, &key.verifying_key());
        let mut expect = describe::header(&header, &id);
        expect["key"] = json!(key.verifying_key().id());
        good("header", what, about, given(&header.sign(community, key)), expect)
    })
    .collect();
    let refused = [
        ("empty", "No bytes.", vec![], "malformed"),
        (
            "cut-short",
            "The last byte is missing.",
            bytes[..bytes.len() - 1].to_vec(),
            "malformed",
        ),
        (
            "trailing-byte",
            "One byte follows the message.",
            and(&bytes, &[0]),
            "malformed",
        ),
        (
            "untagged",
            "COSE_Sign1 without its tag.",
            bytes[1..].to_vec(),
            "malformed",
        ),
        (
            "injected-unprotected",
            "A key id in the unprotected header.",
            unprotected(&[0xa1, 4, 0x41, 7]),
            "unprotected",
        ),
        (
            "deprecated-algorithm",
            "Algorithm -8 (EdDSA) in place of -19.",
            with_protected(protected(-8, key, Some(1))),
            "algorithm",
        ),
        (
            "unknown-layout",
            "Layout 2: to be deferred.",
            with_protected(protected(-19, key, Some(2))),
            "unknown-layout",
        ),
        (
            "no-layout",
            "The layout is missing.",
            with_protected(protected(-19, key, None)),
            "malformed",
        ),
        (
            "extra-protected",
            "One protected label more.",
            with_protected(extra),
            "not-deterministic",
        ),
        (
            "protected-disorder",
            "Protected labels in another order.",
            with_protected(disorder),
            "not-deterministic",
        ),
        (
            "long-array-head",
            "The array's length in two bytes.",
            replaced(&bytes, &[0xd2, 0x84], &[0xd2, 0x98, 4]),
            "not-deterministic",
        ),
        (
            "long-text-head",
            "The author's length in two bytes.",
            with_payload(long_handle),
            "not-deterministic",
        ),
        (
            "indefinite-array",
            "A payload of indefinite length.",
            with_payload(indefinite),
            "not-deterministic",
        ),
        (
            "field-missing",
            "A payload of eleven fields.",
            with_payload(and(&[0x8b], &payload[1..payload.len() - 34])),
            "malformed",
        ),
        (
            "field-more",
            "A payload of thirteen fields.",
            with_payload(and(&and(&[0x8d], &payload[1..]), &[0])),
            "not-deterministic",
        ),
        (
            "handle-in-capitals",
            "An author that is no handle.",
            with_payload(replaced(&payload, b"acme", b"ACME")),
            "malformed",
        ),
        (
            "short-signature",
            "A signature of 63 bytes.",
            message().with_signature(&[1; 63]),
            "malformed",
        ),
        ("too-large", "More than 1,024 bytes.", vec![0; 1_025], "too-large"),
    ];
    all.extend(refused.map(|(what, about, bytes, reason)| bad("header", what, about, given(&bytes), reason)));
    all
}

/// A community in which the water company ended with one run of records, the last of this id.
fn ended(cast: &Cast, (first, last): (u64, u64), id: RecordId) -> CharterChain {
    let mut charters = cast.community();
    let mut next = successor(charters.newest());
    next.members[0].ended = Some(vec![AcceptedRun {
        lane: 0,
        epoch: 0,
        first,
        last,
        id,
    }]);
    charters.offer(signed(next, &[&cast.city])).expect("adopted");
    charters
}

fn given(charters: &CharterChain, bytes: &[u8], now: u64, by: &str) -> Value {
    let charters: Vec<String> = charters.encode().iter().map(|charter| hex(charter)).collect();
    json!({"bytes": hex(bytes), "charters": charters, "now": now, "by": by})
}

fn admissions() -> Vec<Vector> {
    let cast = Cast::new();
    let charters = cast.community();
    let (community, key, now) = (charters.community(), &cast.water.signing, FOUNDED + 2 * MINUTE);
    let first = header(&cast.water, charters.newest(), b"body");
    let bytes = first.sign(community, key);
    let id = first.id(community, &key.verifying_key());
    let after = ended(&cast, (1, 1), id);
    let after_ten = ended(&cast, (1, 10), RecordId([9; 32]));
    let mut shorter = charters.clone();
    let shortened = Charter {
        horizon: 20 * DAY,
        ..successor(charters.newest())
    };
    shorter
        .offer(signed(shortened, &[&cast.city]))
        .expect("a charter");
    let after_jump = ended(&cast, (u64::MAX, u64::MAX), RecordId([9; 32]));
    let changed = |change: &dyn Fn(&mut Header)| {
        let mut header = first.clone();
        change(&mut header);
        header.sign(community, key)
    };
    let gossip = |bytes: &[u8]| given(&charters, bytes, now, "gossip");
    let second = changed(&|h| (h.seq, h.prev) = (2, Some(id)));
    let external = and(b"hanse record", community.as_bytes());
    let payload = minicbor::to_vec(&first).expect("into memory");
    let message = Message::new(external, payload, key);
    let other = hanse_protocol::identity::CommunityId([9; 32]);
    let week = FOUNDED + 8 * DAY;
    let expect = json!({"id": id});
    let mut all = vec![
        good(
            "admission",
            "by-gossip",
            "A first record, told while new.",
            gossip(&bytes),
            expect.clone(),
        ),
        good(
            "admission",
            "by-healing-when-old",
            "Too old for gossip, asked for in healing.",
            given(&charters, &bytes, week, "healing"),
            expect.clone(),
        ),
        good(
            "admission",
            "by-healing-when-expired",
            "Its time is over: in healing its header is taken, without its body.",
            given(&charters, &bytes, FOUNDED + 30 * DAY, "healing"),
            expect.clone(),
        ),
        good(
            "admission",
            "last-of-an-ended-member",
            "The very record an ending names still counts.",
            given(&after, &bytes, now, "healing"),
            expect.clone(),
        ),
        good(
            "admission",
            "under-a-longer-horizon",
            "It lives longer than the newest charter's horizon, and not than that of the charter it names.",
            given(&shorter, &bytes, now, "gossip"),
            expect,
        ),
    ];
    let refused: Vec<(&str, &str, Value, &str)> = vec![
        (
            "spoiled-signature",
            "One bit of the signature changed.",
            gossip(&flipped(&bytes, bytes.len() - 1)),
            "signature",
        ),
        (
            "malleated-signature",
            "The signature's scalar raised by the group's order.",
            gossip(&message.with_signature(&malleated(&message.signature(key)))),
            "signature",
        ),
        (
            "other-community",
            "Signed for another community.",
            gossip(&first.sign(&other, key)),
            "signature",
        ),
        (
            "forged-with-claimed-key",
            "The author's key id over the signature of another.",
            gossip(&message.sign(&cast.mallory.signing)),
            "signature",
        ),
        (
            "own-key-in-anothers-name",
            "Signed with a key the author does not have.",
            gossip(&first.sign(community, &cast.mallory.signing)),
            "unknown-author",
        ),
        (
            "unlisted-author",
            "No such member.",
            gossip(&changed(&|h| h.author = cast.mallory.handle.clone())),
            "unknown-author",
        ),
        (
            "unlisted-lane",
            "No such lane.",
            gossip(&changed(&|h| h.lane = 3)),
            "unknown-author",
        ),
        (
            "charter-of-later-version",
            "A charter that is not held.",
            gossip(&changed(&|h| h.charter.version = 2)),
            "unknown-charter",
        ),
        (
            "charter-of-other-hash",
            "Another charter of that version.",
            gossip(&changed(&|h| h.charter.hash = [0; 8])),
            "unknown-charter",
        ),
        (
            "beyond-an-ending",
            "The record after the one an ending names.",
            given(&after, &second, now, "gossip"),
            "ended",
        ),
        (
            "below-a-number-taken-ahead",
            "A number below the only one that an ending names.",
            given(&after_jump, &second, now, "gossip"),
            "ended",
        ),
        (
            "epoch-nobody-heard-of",
            "An epoch of which an ending names nothing.",
            given(
                &after,
                &changed(&|h| (h.epoch, h.prev) = (1, Some(id))),
                now,
                "gossip",
            ),
            "ended",
        ),
        (
            "twin-of-the-last",
            "Another record in the place an ending names.",
            given(&after, &changed(&|h| h.body_length = 5), now, "gossip"),
            "ended",
        ),
        (
            "signed-after-an-ending",
            "A number inside a run, dated more than five minutes after the charter that ended its author.",
            given(
                &after_ten,
                &changed(&|h| {
                    (h.seq, h.prev) = (5, Some(id));
                    h.created = at(after_ten.charter().issued.as_millis() + 5 * MINUTE + 1);
                }),
                week,
                "healing",
            ),
            "ended",
        ),
        (
            "seq-zero",
            "Sequences count from 1.",
            gossip(&changed(&|h| h.seq = 0)),
            "chain",
        ),
        (
            "second-without-predecessor",
            "A second record that follows nothing.",
            gossip(&changed(&|h| h.seq = 2)),
            "chain",
        ),
        (
            "first-with-predecessor",
            "A first record of a first epoch that follows one.",
            gossip(&changed(&|h| h.prev = Some(RecordId([5; 32])))),
            "chain",
        ),
        (
            "before-admission",
            "Dated before its author was a member.",
            gossip(&changed(&|h| h.created = at(FOUNDED - 1))),
            "before-admission",
        ),
        (
            "expires-when-created",
            "It lives for no time.",
            gossip(&changed(&|h| h.expires = h.created)),
            "expiry",
        ),
        (
            "beyond-horizon",
            "It lives longer than the horizon of the charter it names.",
            gossip(&changed(&|h| {
                h.expires = at(h.created.as_millis() + 365 * DAY + 1)
            })),
            "expiry",
        ),
        (
            "expired",
            "Its time is over.",
            given(&charters, &bytes, FOUNDED + 30 * DAY, "gossip"),
            "expired",
        ),
        (
            "expired-beyond-horizon",
            "Its time is over, and so is the longest it could have had.",
            given(
                &charters,
                &bytes,
                first.created.as_millis() + 365 * DAY,
                "healing",
            ),
            "expired",
        ),
        (
            "future-dated",
            "Five minutes and a millisecond ahead.",
            given(
                &charters,
                &bytes,
                first.created.as_millis() - 5 * MINUTE - 1,
                "gossip",
            ),
            "future-dated",
        ),
        (
            "stale-by-gossip",
            "Eight days old, by gossip.",
            given(&charters, &bytes, week, "gossip"),
            "stale",
        ),
    ];
    all.extend(
        refused
            .into_iter()
            .map(|(what, about, given, reason)| bad("admission", what, about, given, reason)),
    );
    all
}
