//! What nodes say beside records: frames, presence, heads, charter calls, healing.

use hanse_protocol::charter::CharterChain;
use hanse_protocol::charter::call::{self, CharterAnswer, CharterQuestion};
use hanse_protocol::frame::{Carried, Frame};
use hanse_protocol::heal::{self, Answer, KeyChoice, Question};
use hanse_protocol::identity::{CommunityId, RecordId};
use hanse_protocol::presence::{Head, Presence};
use hanse_protocol::reconcile::{Asked, Key, Part, Place, Span, Sum, Told};
use hanse_protocol::timestamp::Timestamp;
use serde_json::{Value, json};

use super::raw::{and, flipped};
use super::{Cast, DAY, FOUNDED, MINUTE, Org, at, bad, good};
use crate::vectors::{Vector, describe, hex};

pub(super) fn vectors() -> Vec<Vector> {
    let mut all = frames();
    all.extend(presences());
    all.extend(heads());
    all.extend(calls());
    all.extend(healing());
    all.extend(retractions());
    all.extend(receipts());
    all
}

/// The content of a retraction's body.
fn retractions() -> Vec<Vector> {
    let ids = [RecordId([1; 32]), RecordId([2; 32])];
    let list = |ids: &[RecordId]| {
        let mut content = vec![0x80 | u8::try_from(ids.len()).expect("few")];
        for id in ids {
            content.extend_from_slice(&[0x58, 32]);
            content.extend_from_slice(id.as_bytes());
        }
        bytes(&content)
    };
    let says = |ids: &[RecordId]| json!({"records": ids});
    let mut many = vec![0x99, 0x03, 0xe9];
    for number in 0..1_001u16 {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&number.to_be_bytes());
        many.extend_from_slice(&[0x58, 32]);
        many.extend_from_slice(&id);
    }
    let refused = |what, about, given| bad("retraction", what, about, given, "malformed");
    vec![
        good(
            "retraction",
            "alone",
            "No record beside the one that the header names.",
            list(&[]),
            says(&[]),
        ),
        good(
            "retraction",
            "of-two-more",
            "Two more records.",
            list(&ids),
            says(&ids),
        ),
        refused("disorder", "The ids do not rise.", list(&[ids[1], ids[0]])),
        refused("double", "An id stands twice.", list(&[ids[0], ids[0]])),
        refused("short-id", "An id of one byte.", bytes(&[0x81, 0x41, 1])),
        refused("too-many", "1,001 ids.", bytes(&many)),
        refused("bytes-after", "A byte follows.", bytes(&[0x80, 0])),
    ]
}

/// The content of a receipt's body.
fn receipts() -> Vec<Vector> {
    let at = super::FOUNDED;
    let one = |id: u8, code: u8| (RecordId([id; 32]), code, at + u64::from(id));
    let list = |told: &[(RecordId, u8, u64)]| {
        let mut content = vec![0x80 | u8::try_from(told.len()).expect("few")];
        for (id, code, at) in told {
            content.extend_from_slice(&[0x83, 0x58, 32]);
            content.extend_from_slice(id.as_bytes());
            content.push(*code);
            content.push(0x1b);
            content.extend_from_slice(&at.to_be_bytes());
        }
        bytes(&content)
    };
    let says = |told: &[(RecordId, u8, u64)]| {
        let one = |(record, outcome, at): &(RecordId, u8, u64)| json!({"record": record, "outcome": outcome, "at": at});
        json!({"told": told.iter().map(one).collect::<Vec<_>>()})
    };
    let mut many = vec![0x99, 0x03, 0xe9];
    for number in 0..1_001u16 {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&number.to_be_bytes());
        many.extend_from_slice(&[0x83, 0x58, 32]);
        many.extend_from_slice(&id);
        many.extend_from_slice(&[0, 1]);
    }
    let all = [one(1, 0), one(2, 1), one(3, 2)];
    let refused = |what, about, given| bad("receipt", what, about, given, "malformed");
    vec![
        good(
            "receipt",
            "of-one",
            "One record that is kept.",
            list(&all[..1]),
            says(&all[..1]),
        ),
        good(
            "receipt",
            "of-three",
            "One record is kept, one in quarantine, one refused.",
            list(&all),
            says(&all),
        ),
        refused("of-none", "It tells of no record.", list(&[])),
        refused("disorder", "The ids do not rise.", list(&[all[1], all[0]])),
        refused("double", "A record stands twice.", list(&[one(1, 0), one(1, 1)])),
        refused("unknown-outcome", "An outcome that is none.", list(&[one(1, 3)])),
        refused(
            "long-instant",
            "An instant in more bytes than it needs.",
            list(&[(RecordId([1; 32]), 0, 7)]),
        ),
        refused(
            "short-id",
            "An id of one byte.",
            bytes(&[0x81, 0x83, 0x41, 1, 0, 1]),
        ),
        refused("too-many", "1,001 records.", bytes(&many)),
        refused("bytes-after", "A byte follows.", {
            let mut content = vec![0x81, 0x83, 0x58, 32];
            content.extend_from_slice(&[1; 32]);
            content.extend_from_slice(&[0, 1, 0]);
            bytes(&content)
        }),
    ]
}

fn bytes(bytes: &[u8]) -> Value {
    json!({"bytes": hex(bytes)})
}

fn frames() -> Vec<Vector> {
    let bare = Carried {
        header: vec![1],
        body: None,
    };
    let carried = Carried {
        header: vec![2; 300],
        body: Some(vec![3; 9]),
    };
    let many = Frame::Records(vec![bare.clone(); 257]);
    let of = |what: &str, about: &str, frame: Frame| {
        good(
            "frame",
            what,
            about,
            bytes(&frame.encode()),
            describe::frame(&frame),
        )
    };
    let encoded = Frame::Charter(vec![3]).encode();
    let refused = [
        ("empty", "No bytes.", vec![], "malformed"),
        (
            "trailing-byte",
            "One byte follows.",
            and(&encoded, &[0]),
            "malformed",
        ),
        (
            "long-array-head",
            "The array's length in two bytes.",
            and(&[0x98, 2], &encoded[1..]),
            "malformed",
        ),
        (
            "null-body",
            "A body that is null instead of left out.",
            vec![0x82, 0, 0x81, 0x81, 0x82, 0x41, 1, 0xf6],
            "malformed",
        ),
        ("later-kind", "Kind 4.", vec![0x82, 4, 0x81, 0x41, 0], "malformed"),
        (
            "promised-records",
            "2^32 records promised, none sent.",
            vec![0x82, 0, 0x81, 0x9b, 0, 0, 0, 1, 0, 0, 0, 0],
            "malformed",
        ),
        (
            "records-257",
            "More records than a frame may hold.",
            many.encode(),
            "too-large",
        ),
    ];
    let mut all = vec![
        of(
            "records",
            "One record with its body, one without.",
            Frame::Records(vec![carried, bare]),
        ),
        of(
            "charter",
            "A charter, opaque to the frame.",
            Frame::Charter(vec![3]),
        ),
        of(
            "presence",
            "A presence, opaque to the frame.",
            Frame::Presence(vec![4]),
        ),
        of(
            "head",
            "A head, opaque to the frame, here empty.",
            Frame::Head(vec![]),
        ),
    ];
    all.extend(refused.map(|(what, about, raw, reason)| bad("frame", what, about, bytes(&raw), reason)));
    all
}

fn under(charters: &CharterChain, said: &[u8], now: u64) -> Value {
    let charters: Vec<String> = charters.encode().iter().map(|charter| hex(charter)).collect();
    json!({"bytes": hex(said), "charters": charters, "now": now})
}

fn presences() -> Vec<Vector> {
    let cast = Cast::new();
    let charters = cast.community();
    let (community, now) = (charters.community(), FOUNDED + MINUTE);
    let of = |org: &Org| Presence {
        node: org.node_id(),
        addresses: vec!["/ip4/192.0.2.11/tcp/7475".to_owned()],
        agent: "hansed/0.1.0".to_owned(),
        charter: charters.newest().reference(),
        audit_count: 7,
        audit_hash: [6; 32],
        at: at(FOUNDED),
        expires: at(FOUNDED + DAY),
    };
    let presence = of(&cast.city);
    let said = presence.sign(community, &cast.city.node);
    let crowded = Presence {
        addresses: vec![String::new(); 9],
        ..presence.clone()
    };
    let refused = [
        (
            "of-a-stranger",
            "A node that no member lists.",
            of(&cast.mallory).sign(community, &cast.mallory.node),
            now,
            "unknown-signer",
        ),
        (
            "signed-by-another",
            "Signed with another key than the node's.",
            presence.sign(community, &cast.mallory.node),
            now,
            "signature",
        ),
        (
            "spoiled-signature",
            "One bit of the signature changed.",
            flipped(&said, said.len() - 1),
            now,
            "signature",
        ),
        (
            "other-community",
            "Signed for another community.",
            presence.sign(&CommunityId([9; 32]), &cast.city.node),
            now,
            "signature",
        ),
        (
            "expired",
            "Its time is over.",
            said.clone(),
            FOUNDED + DAY,
            "out-of-time",
        ),
        (
            "from-the-future",
            "Five minutes and a millisecond ahead.",
            said.clone(),
            FOUNDED - 5 * MINUTE - 1,
            "out-of-time",
        ),
        (
            "nine-addresses",
            "More addresses than a node may have.",
            crowded.sign(community, &cast.city.node),
            now,
            "malformed",
        ),
        (
            "trailing-byte",
            "One byte follows.",
            and(&said, &[0]),
            now,
            "malformed",
        ),
    ];
    let mut all = vec![good(
        "presence",
        "of-a-member",
        "A listed node says where it is.",
        under(&charters, &said, now),
        describe::presence(&presence),
    )];
    all.extend(refused.map(|(what, about, said, now, reason)| {
        bad("presence", what, about, under(&charters, &said, now), reason)
    }));
    all
}

fn heads() -> Vec<Vector> {
    let cast = Cast::new();
    let charters = cast.community();
    let (community, now) = (charters.community(), FOUNDED + MINUTE);
    let of = |org: &Org| Head {
        steward: org.handle.clone(),
        version: 1,
        hash: charters.newest().hash(),
        at: at(FOUNDED),
        expires: at(FOUNDED + DAY),
    };
    let head = of(&cast.city);
    let said = head.sign(community, &cast.city.signing);
    let refused = [
        (
            "of-a-member",
            "A member that is no steward.",
            of(&cast.water).sign(community, &cast.water.signing),
            now,
            "unknown-signer",
        ),
        (
            "signed-with-the-node-key",
            "Signed with the steward's node key.",
            head.sign(community, &cast.city.node),
            now,
            "unknown-signer",
        ),
        (
            "other-community",
            "Signed for another community.",
            head.sign(&CommunityId([9; 32]), &cast.city.signing),
            now,
            "signature",
        ),
        (
            "expired",
            "Its time is over.",
            said.clone(),
            FOUNDED + DAY,
            "out-of-time",
        ),
        (
            "cut-short",
            "The last byte is missing.",
            said[..said.len() - 1].to_vec(),
            now,
            "malformed",
        ),
    ];
    let mut all = vec![good(
        "head",
        "of-a-steward",
        "A steward says which charter is the newest.",
        under(&charters, &said, now),
        describe::head(&head),
    )];
    all.extend(refused.map(|(what, about, said, now, reason)| {
        bad("head", what, about, under(&charters, &said, now), reason)
    }));
    all
}

fn calls() -> Vec<Vector> {
    let charters = Cast::new().community();
    let head = charters.newest().reference();
    let question = |what: &str, about: &str, question: CharterQuestion| {
        good(
            "charter-question",
            what,
            about,
            bytes(&call::encode(&question)),
            describe::charter_question(&question),
        )
    };
    let answer = |what: &str, about: &str, answer: CharterAnswer| {
        good(
            "charter-answer",
            what,
            about,
            bytes(&call::encode(&answer)),
            describe::charter_answer(&answer),
        )
    };
    vec![
        question("head", "I stand under this; you?", CharterQuestion::Head(head)),
        question(
            "offer",
            "Charters, oldest first.",
            CharterQuestion::Offer(charters.encode()),
        ),
        answer("same", "An answer without fields.", CharterAnswer::Same),
        answer(
            "newer",
            "Charters that follow.",
            CharterAnswer::Newer(charters.encode()),
        ),
        answer("older", "An older charter.", CharterAnswer::Older(head)),
        answer("unlisted", "To a stranger.", CharterAnswer::Unlisted),
        answer("adopted", "The offer counts.", CharterAnswer::Adopted),
        answer(
            "not-adopted",
            "The offer does not count.",
            CharterAnswer::NotAdopted,
        ),
        bad(
            "charter-question",
            "later-kind",
            "Kind 2.",
            bytes(&[0x82, 2, 0x80]),
            "malformed",
        ),
        bad(
            "charter-question",
            "trailing-byte",
            "One byte follows.",
            bytes(&and(&call::encode(&CharterQuestion::Head(head)), &[0])),
            "malformed",
        ),
        bad(
            "charter-question",
            "promised-charters",
            "2^32 charters promised, none sent.",
            bytes(&[0x82, 1, 0x81, 0x9b, 0, 0, 0, 1, 0, 0, 0, 0]),
            "malformed",
        ),
        bad(
            "charter-answer",
            "bare-kind",
            "A kind without its fields.",
            bytes(&[0]),
            "malformed",
        ),
        bad(
            "charter-answer",
            "later-kind",
            "Kind 6.",
            bytes(&[0x82, 6, 0x80]),
            "malformed",
        ),
    ]
}

fn healing() -> Vec<Vector> {
    let cast = Cast::new();
    let charter = cast.community().newest().reference();
    let place = |number: u8| Place {
        created: Timestamp::from_millis(FOUNDED + u64::from(number)),
        id: RecordId([number; 32]),
    };
    let key = Key::of_community(cast.community().community());
    let digest = |number: u8| Sum::of(&key, &place(number)).digest(&key);
    let span = Span {
        from: place(1),
        to: Place::at(Timestamp::from_millis(FOUNDED + 9)),
    };
    let asked = vec![Asked {
        span,
        digest: digest(3),
    }];
    let carried = Carried {
        header: vec![8; 30],
        body: None,
    };
    let question = |what: &str, about: &str, question: Question| {
        good(
            "heal-question",
            what,
            about,
            bytes(&heal::encode(&question)),
            describe::heal_question(&question),
        )
    };
    let answer = |what: &str, about: &str, answer: Answer| {
        good(
            "heal-answer",
            what,
            about,
            bytes(&heal::encode(&answer)),
            describe::heal_answer(&answer),
        )
    };
    vec![
        question(
            "compare",
            "Do you hold the same in this span?",
            Question::Compare(charter, KeyChoice::Community, asked.clone()),
        ),
        question(
            "compare-under-a-key-of-ours",
            "The same under the key of two nonces.",
            Question::Compare(charter, KeyChoice::Pass([5; 32]), asked),
        ),
        question(
            "records",
            "Send me these records.",
            Question::Records(charter, vec![RecordId([6; 32]), RecordId([7; 32])]),
        ),
        question("body", "Send me this body.", Question::Body(RecordId([7; 32]))),
        question(
            "span",
            "Send me the records of this span.",
            Question::Span(charter, span),
        ),
        question("nonce", "My nonce; and yours?", Question::Nonce([5; 32])),
        answer(
            "compared",
            "Of three spans: the same, two places, two parts.",
            Answer::Compared(vec![
                Told::Same,
                Told::Places(vec![place(1), place(2)]),
                Told::Parts(vec![
                    Part {
                        to: place(4),
                        count: 70,
                        digest: digest(1),
                    },
                    Part {
                        to: Place::END,
                        count: 80,
                        digest: digest(2),
                    },
                ]),
            ]),
        ),
        answer(
            "records",
            "Two records, the body of one of which is to be asked for.",
            Answer::Records(vec![
                Carried {
                    body: Some(vec![9]),
                    ..carried.clone()
                },
                carried,
            ]),
        ),
        answer("end", "No more records.", Answer::End(None)),
        answer(
            "go-on",
            "No more records now; what is left lies before this place.",
            Answer::End(Some(place(3))),
        ),
        answer("body", "A body.", Answer::Body(vec![9; 40])),
        answer("gone", "The body was let go.", Answer::Gone),
        answer("not-held", "Not here.", Answer::NotHeld),
        answer(
            "other-charter",
            "I stand under another.",
            Answer::OtherCharter(charter),
        ),
        answer("nonce", "The answerer's nonce.", Answer::Nonce([6; 32])),
        answer("later", "Not so soon again.", Answer::Later),
        bad(
            "heal-question",
            "later-kind",
            "Kind 5.",
            bytes(&[0x82, 5, 0x80]),
            "malformed",
        ),
        bad(
            "heal-question",
            "short-id",
            "An id of 31 bytes.",
            bytes(&and(&[0x82, 2, 0x81, 0x58, 31], &[7; 31])),
            "malformed",
        ),
        bad(
            "heal-question",
            "short-nonce",
            "A nonce of 31 bytes.",
            bytes(&and(&[0x82, 4, 0x81, 0x58, 31], &[7; 31])),
            "malformed",
        ),
        bad(
            "heal-question",
            "trailing-byte",
            "One byte follows.",
            bytes(&and(&heal::encode(&Question::Body(RecordId([7; 32]))), &[0])),
            "malformed",
        ),
        bad(
            "heal-answer",
            "promised-records",
            "2^32 records promised, none sent.",
            bytes(&[0x82, 1, 0x81, 0x9b, 0, 0, 0, 1, 0, 0, 0, 0]),
            "malformed",
        ),
        bad(
            "heal-answer",
            "later-told",
            "Something of kind 3 is told of a span.",
            bytes(&[0x82, 0, 0x81, 0x81, 0x82, 3, 0x80]),
            "malformed",
        ),
    ]
}
