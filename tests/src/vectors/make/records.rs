//! Whole records: a header, its body, and who reads.

use hanse_protocol::compress::Packed;
use hanse_protocol::record::{Header, Kind};
use hanse_protocol::seal::Body;
use hanse_protocol::tlp::Tlp;
use serde_json::{Value, json};

use super::bodies::{ADDRESS, INDICATOR, sealed_to};
use super::headers::header;
use super::raw::{flipped, packed, stored};
use super::{Cast, FOUNDED, MINUTE, Org, bad, good};
use crate::vectors::{Vector, hex};

/// Records.
pub(super) fn records() -> Vec<Vector> {
    let cast = Cast::new();
    let Cast {
        city, water, mary, ..
    } = &cast;
    let charters = cast.community();
    let key = &water.signing;
    let chain: Vec<String> = charters.encode().iter().map(|charter| hex(charter)).collect();
    let made = |body: &[u8], change: &dyn Fn(&mut Header)| {
        let mut head = header(water, charters.newest(), body);
        change(&mut head);
        (
            head.sign(charters.community(), key),
            head.id(charters.community(), &key.verifying_key()),
        )
    };
    let given = |header: &[u8], body: &[u8], reader: &Org| {
        json!({"header": hex(header), "body": hex(body), "charters": chain, "now": FOUNDED + 2 * MINUTE,
            "by": "healing", "reader": [reader.secret()]})
    };
    let open = |objects: &[&str]| Body::Open(packed(Tlp::Green, objects)).encode();
    let body = open(&[ADDRESS, INDICATOR]);
    let (bytes, id) = made(&body, &|_| ());
    let head = header(water, charters.newest(), b"");
    let secret = sealed_to(
        "record",
        &packed(Tlp::Red, &[ADDRESS]),
        &[city.sealing.public()],
        water,
        &charters,
        &head,
    );
    let (sealed, sealed_id) = made(&secret, &|_| ());
    let (later, later_id) = made(b"of a later version", &|h| h.kind = Kind::Unknown(9));
    let spoiled = flipped(&secret, 4);
    let object = |text: &str, tlp: Tlp| json!({"text": text, "tlp": tlp});
    let read = |id, sealed: bool, unmarked, objects: Value| {
        json!({"id": id, "sealed": sealed,
        "unmarked": unmarked, "floor": Tlp::Clear, "objects": objects})
    };
    let mut all = vec![
        good(
            "record",
            "open",
            "A record in the open, two objects.",
            given(&bytes, &body, mary),
            read(
                id,
                false,
                Tlp::Green,
                json!([object(ADDRESS, Tlp::Green), object(INDICATOR, Tlp::Green)]),
            ),
        ),
        good(
            "record",
            "sealed",
            "A sealed record, read by its reader.",
            given(&sealed, &secret, city),
            read(sealed_id, true, Tlp::Red, json!([object(ADDRESS, Tlp::Red)])),
        ),
        good(
            "record",
            "sealed-for-others",
            "The same, held by another.",
            given(&sealed, &secret, mary),
            json!({"id": sealed_id, "opaque": true}),
        ),
        good(
            "record",
            "of-a-later-kind",
            "Carried, never opened.",
            given(&later, b"of a later version", city),
            json!({"id": later_id, "opaque": true}),
        ),
    ];
    let amber = Body::Open(packed(Tlp::Amber, &[ADDRESS])).encode();
    let unsound = open(&[
        ADDRESS,
        &ADDRESS
            .replace("198.51.100.7", "nowhere")
            .replace("\"value\"", "\"valve\""),
    ]);
    let envelope = br#"{"unmarked":"green","objects":[]}"#;
    let envelope = Body::Open(Packed {
        dictionary: 0,
        raw_len: 33,
        bytes: stored(envelope),
    })
    .encode();
    let of = |body: &[u8]| given(&made(body, &|_| ()).0, body, city);
    let refused: Vec<(&str, &str, Value, &str)> = vec![
        (
            "other-body",
            "A body of the same length that is not the header's.",
            given(&bytes, &flipped(&body, body.len() - 4), city),
            "body-hash",
        ),
        (
            "body-cut-short",
            "The body's last byte is missing.",
            given(&bytes, &body[..body.len() - 1], city),
            "body-hash",
        ),
        (
            "amber-in-the-open",
            "An object above GREEN in the open.",
            of(&amber),
            "open-beyond-floor",
        ),
        (
            "unsound-object",
            "The second object lacks a property.",
            of(&unsound),
            "object",
        ),
        ("no-floor", "Content without its floor.", of(&envelope), "content"),
        (
            "two-content-keys",
            "The author committed to another key than it sealed to this reader.",
            of(&spoiled),
            "commitment",
        ),
        (
            "body-of-garbage",
            "A body that is none.",
            of(b"garbage"),
            "body-malformed",
        ),
    ];
    all.extend(
        refused
            .into_iter()
            .map(|(what, about, given, reason)| bad("record", what, about, given, reason)),
    );
    all
}
