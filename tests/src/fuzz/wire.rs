//! What travels, signatures apart.

use std::collections::BTreeSet;
use std::convert::Infallible;

use hanse_protocol::charter::call::{self, CharterAnswer, CharterQuestion};
use hanse_protocol::compress::Packed;
use hanse_protocol::frame::Frame;
use hanse_protocol::heal::{self, Answer, Question};
use hanse_protocol::identity::keys::{SealingPublic, VerifyingKey};
use hanse_protocol::identity::{CommunityId, RecordId};
use hanse_protocol::limits;
use hanse_protocol::reconcile::{
    Blocks, Kept, Key, LISTED, Need, PARTS, Pass, Place, Places, SPANS, Span, Told,
};
use hanse_protocol::seal::Body;
use hanse_protocol::timestamp::Timestamp;

pub(super) fn body(data: &[u8]) {
    if let Ok(body) = Body::decode(data) {
        assert_eq!(body.encode(), data, "its one spelling");
        if let Body::Open(packed) = body {
            unpack(&packed);
        }
    }
}

fn unpack(packed: &Packed) {
    if let Ok(content) = packed.unpack() {
        assert_eq!(content.len(), packed.raw_len as usize, "what it claims");
        assert!(content.len() <= limits::CONTENT, "within bounds");
        super::texts::content(&content);
    }
}

/// A dictionary, a length in four bytes and a zstd frame.
pub(super) fn packed(data: &[u8]) {
    if let [dictionary, a, b, c, d, frame @ ..] = data {
        unpack(&Packed {
            dictionary: u16::from(*dictionary),
            raw_len: u32::from_le_bytes([*a, *b, *c, *d]),
            bytes: frame.to_vec(),
        });
    }
}

/// The bytes of [`packed`] for an open body.
pub(super) fn as_packed(body: &[u8]) -> Vec<u8> {
    match Body::decode(body) {
        Ok(Body::Open(packed)) => {
            let mut data = vec![packed.dictionary as u8];
            data.extend(packed.raw_len.to_le_bytes());
            data.extend(packed.bytes);
            data
        }
        _ => body.to_vec(),
    }
}

pub(super) fn frame(data: &[u8]) {
    if let Ok(frame) = Frame::decode(data) {
        assert_eq!(frame.encode(), data, "its one spelling");
        match frame {
            Frame::Records(records) => {
                assert!(records.len() <= limits::FRAME_RECORDS, "within bounds");
                let other = CommunityId([0; 32]);
                for record in records {
                    drop(hanse_protocol::admission::Signed::decode(&record.header, &other));
                    record.body.as_deref().into_iter().for_each(body);
                }
            }
            Frame::Charter(bytes) => super::signed::charter(&bytes),
            Frame::Presence(bytes) => super::signed::presence(&bytes),
            Frame::Head(bytes) => super::signed::head(&bytes),
        }
    }
}

pub(super) fn charter_question(data: &[u8]) {
    if let Ok(question) = call::decode::<CharterQuestion>(data) {
        assert_eq!(call::encode(&question), data, "its one spelling");
    }
}

pub(super) fn charter_answer(data: &[u8]) {
    if let Ok(answer) = call::decode::<CharterAnswer>(data) {
        assert_eq!(call::encode(&answer), data, "its one spelling");
    }
}

pub(super) fn heal_question(data: &[u8]) {
    if let Ok(question) = heal::decode::<Question>(data) {
        assert_eq!(heal::encode(&question), data, "its one spelling");
    }
}

pub(super) fn heal_answer(data: &[u8]) {
    if let Ok(answer) = heal::decode::<Answer>(data) {
        assert_eq!(heal::encode(&answer), data, "its one spelling");
    }
}

pub(super) fn retraction(data: &[u8]) {
    if let Ok(ids) = hanse_protocol::retraction::decode(data) {
        assert_eq!(hanse_protocol::retraction::encode(&ids), data, "its one spelling");
    }
}

pub(super) fn receipt(data: &[u8]) {
    if let Ok(told) = hanse_protocol::receipt::decode(data) {
        assert_eq!(hanse_protocol::receipt::encode(&told), data, "its one spelling");
    }
}

pub(super) fn signing_key(data: &[u8]) {
    if let Ok(bytes) = <[u8; 32]>::try_from(data) {
        if let Ok(key) = VerifyingKey::from_bytes(&bytes) {
            assert_eq!(*key.as_bytes(), bytes, "its one spelling");
        }
        if let Ok(key) = SealingPublic::from_bytes(&bytes) {
            assert_eq!(*key.as_bytes(), bytes, "its one spelling");
        }
    }
}

/// What a peer tells of spans, whatever it was asked: what comes of it is bounded, and lies where it was
/// asked about.
pub(super) fn told(data: &[u8]) {
    let Ok(told) = heal::decode::<Vec<Told>>(data) else {
        return;
    };
    assert_eq!(heal::encode(&told), data, "its one spelling");
    let places = (0..300u64).map(|number| Place {
        created: Timestamp::from_millis(1_767_225_600_000 + number),
        id: RecordId([number as u8; 32]),
    });
    let shelf = Shelf(places.collect());
    let key = Key::of_pass(&[3; 32], &[4; 32]);
    let Ok(blocks) = Blocks::of(key.clone(), shelf.0.iter().copied().map(Ok::<_, Infallible>));
    let held = Kept::new(blocks, shelf);
    let spans: Vec<Span> = std::iter::repeat_n(Span::ALL, told.len().min(SPANS)).collect();
    let mut pass = Pass::new(spans);
    let Ok(outcome) = pass.answered(&held, &key, &told);
    let needs = outcome.unwrap_or_default();
    let most = told.len() * LISTED.max(PARTS);
    assert!(needs.len() <= most, "no more needs than were told of");
    for need in needs {
        match need {
            Need::Record(place) => assert!(!held.places().0.contains(&place), "what is held is no need"),
            Need::Span(span, count) => assert!(span.from < span.to && count > LISTED as u64, "a span"),
        }
    }
    let Ok(asked) = pass.question(&held, &key);
    assert!(asked.len() <= SPANS, "within bounds");
}

struct Shelf(BTreeSet<Place>);

impl Places for Shelf {
    type Error = Infallible;

    fn places(&self, span: &Span, limit: usize) -> Result<Vec<Place>, Infallible> {
        let within = self.0.iter().filter(|place| span.contains(place));
        Ok(within.take(limit).copied().collect())
    }
}
