//! Bodies, open and sealed.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hanse_protocol::charter::CharterChain;
use hanse_protocol::compress::Packed;
use hanse_protocol::identity::keys::SealingPublic;
use hanse_protocol::record::{Header, Kind};
use hanse_protocol::seal::{Body, seal};
use hanse_protocol::tlp::Tlp;
use rand_core::Rng;
use serde_json::{Value, json};

use super::headers::header;
use super::raw::{Seeded, and, byte_string, flipped, packed, stored};
use super::{Cast, Org, bad, good};
use crate::vectors::{Vector, describe, hex, unhex};

pub(super) const ADDRESS: &str =
    r#"{"type":"ipv4-addr","id":"ipv4-addr--0198f97b-e65d-5025-87e5-58bc39d4bdb4","value":"198.51.100.7"}"#;
pub(super) const INDICATOR: &str = r#"{"type":"indicator","spec_version":"2.1","id":"indicator--0198f97b-e65d-4025-87e5-58bc39d4bdb4","created":"2026-01-01T00:00:00.000Z","modified":"2026-01-01T00:00:00.000Z","pattern":"[ipv4-addr:value = '198.51.100.7']","pattern_type":"stix","valid_from":"2026-01-01T00:00:00Z"}"#;

/// `Content::write(Green, Clear, [ADDRESS])` compressed with dictionary 1, made once: other versions
/// of the compressor may write other bytes, but all must read these.
const WITH_DICTIONARY: &str = include_str!("with-dictionary.hex");

pub(super) fn vectors() -> Vec<Vector> {
    let mut all = open();
    all.extend(sealed());
    all
}

fn with_content(packed: &Packed) -> Value {
    let mut read = describe::packed(packed);
    let content = packed.unpack().expect("it unpacks");
    read["content"] = json!(String::from_utf8(content).expect("text"));
    read
}

fn open() -> Vec<Vector> {
    let plain = packed(Tlp::Green, &[ADDRESS]);
    let dictionary = Packed {
        dictionary: 1,
        raw_len: plain.raw_len,
        bytes: unhex(WITH_DICTIONARY.trim()),
    };
    let given = |bytes: &[u8]| json!({"bytes": hex(bytes)});
    let of = |change: &dyn Fn(&mut Packed)| {
        let mut packed = plain.clone();
        change(&mut packed);
        Body::Open(packed).encode()
    };
    let bytes = of(&|_| ());
    let mut all = vec![
        good(
            "body",
            "open",
            "Content in the open, in a frame of one stored block.",
            given(&bytes),
            with_content(&plain),
        ),
        good(
            "body",
            "open-with-dictionary",
            "Content compressed with dictionary 1.",
            given(&Body::Open(dictionary.clone()).encode()),
            with_content(&dictionary),
        ),
    ];
    let spoil = |bytes: &[u8]| flipped(bytes, 1);
    let refused = [
        ("empty", "No bytes.", vec![], "body-malformed"),
        (
            "trailing-byte",
            "One byte follows.",
            and(&bytes, &[0]),
            "body-malformed",
        ),
        (
            "long-array-head",
            "The array's length in two bytes.",
            and(&[0x98, 4], &bytes[1..]),
            "body-malformed",
        ),
        (
            "five-fields",
            "An open body of five fields.",
            and(&and(&[0x85], &bytes[1..]), &[0]),
            "body-malformed",
        ),
        (
            "reserved-suite",
            "Suite 2: kept unopened.",
            vec![0x82, 2, 0],
            "unknown-suite",
        ),
        (
            "later-suite",
            "Suite 23: kept unopened.",
            vec![0x82, 23, 0],
            "unknown-suite",
        ),
        (
            "later-dictionary",
            "Dictionary 7: kept unopened.",
            of(&|p| p.dictionary = 7),
            "unknown-dictionary",
        ),
        (
            "dictionary-not-needed-named",
            "A compressed frame under dictionary 0 that needs dictionary 1.",
            Body::Open(Packed {
                dictionary: 0,
                ..dictionary
            })
            .encode(),
            "body-malformed",
        ),
        (
            "length-too-short",
            "The content is longer than it claims.",
            of(&|p| p.raw_len -= 1),
            "body-malformed",
        ),
        (
            "length-too-long",
            "The content is shorter than it claims.",
            of(&|p| p.raw_len += 1),
            "body-malformed",
        ),
        (
            "length-beyond-bound",
            "It claims more than 4 MiB.",
            of(&|p| p.raw_len = (4 << 20) + 1),
            "body-malformed",
        ),
        (
            "two-frames",
            "Two zstd frames.",
            of(&|p| p.bytes.extend(stored(b""))),
            "body-malformed",
        ),
        (
            "bytes-after-frame",
            "A byte behind the zstd frame.",
            of(&|p| p.bytes.push(0)),
            "body-malformed",
        ),
        (
            "no-frame",
            "Another magic number.",
            of(&|p| p.bytes = spoil(&p.bytes)),
            "body-malformed",
        ),
        (
            "three-stanzas",
            "A sealed body whose stanzas are no power of two.",
            stanzas(3),
            "body-malformed",
        ),
        (
            "no-stanzas",
            "A sealed body without stanzas.",
            stanzas(0),
            "body-malformed",
        ),
    ];
    all.extend(refused.map(|(what, about, bytes, reason)| bad("body", what, about, given(&bytes), reason)));
    all
}

/// A sealed body of `count` empty stanzas.
fn stanzas(count: u8) -> Vec<u8> {
    let mut bytes = and(&[0x85, 1], &byte_string(&[0; 32]));
    bytes.extend(byte_string(&[0; 24]));
    bytes.push(0x80 + count);
    let fields = [8, 32, 48].map(|size| byte_string(&vec![0; size]));
    let stanza = and(&[0x83], &fields.concat());
    bytes.extend(stanza.repeat(usize::from(count)));
    bytes.extend(byte_string(&[0; 272]));
    bytes
}

/// What a sealed body is bound to, as a vector gives it.
fn bound(charters: &CharterChain, header: &Header, author: &Org, body: &[u8], reader: &[&Org]) -> Value {
    json!({
        "bytes": hex(body),
        "community": charters.community(),
        "author": header.author,
        "author_sealing": [hex(author.sealing.public().as_bytes())],
        "kind": header.kind.code(),
        "created": header.created.as_millis(),
        "expires": header.expires.as_millis(),
        "replaces": header.replaces,
        "reader": reader.iter().map(|org| org.secret()).collect::<Vec<_>>(),
    })
}

/// Seals under the randomness of this name, whose first 56 bytes are content key and nonce.
pub(super) fn sealed_to(
    name: &str,
    packed: &Packed,
    readers: &[SealingPublic],
    author: &Org,
    charters: &CharterChain,
    header: &Header,
) -> Vec<u8> {
    let binding = hanse_protocol::admission::binding(charters.community(), header);
    let sealed = seal(packed, readers, &author.sealing, &binding, &mut Seeded::new(name));
    Body::Sealed(sealed.expect("sealed")).encode()
}

/// `body` with another plaintext under its own key.
fn encrypted(name: &str, body: &[u8], plain: &[u8], charters: &CharterChain, header: &Header) -> Vec<u8> {
    let mut rng = Seeded::new(name);
    let (mut key, mut nonce) = ([0; 32], [0; 24]);
    rng.fill_bytes(&mut key);
    rng.fill_bytes(&mut nonce);
    let data = (1, charters.community(), &header.author, header.kind);
    let mut data = minicbor::to_vec(data).expect("into memory");
    data[0] = 0x87;
    for rest in [
        minicbor::to_vec(header.created),
        minicbor::to_vec(header.expires),
        minicbor::to_vec(header.replaces),
    ] {
        data.extend(rest.expect("into memory"));
    }
    let cipher = XChaCha20Poly1305::new(&blake3::derive_key("hanse content encryption v1", &key).into());
    let message = Payload {
        msg: plain,
        aad: &data,
    };
    let ciphertext = cipher.encrypt(&XNonce::from(nonce), message).expect("encrypted");
    let fields: usize = 2 + 34 + 26;
    let count = usize::from(body[fields] - 0x80);
    let head = fields + 1 + count * (1 + 9 + 34 + 50);
    and(&body[..head], &byte_string(&ciphertext))
}

/// `[dictionary, raw length, zstd]` padded to `size`.
fn plaintext(packed: &Packed, size: usize) -> Vec<u8> {
    let mut plain = minicbor::to_vec(packed).expect("into memory");
    assert!(plain.len() <= size);
    plain.resize(size, 0);
    plain
}

fn sealed() -> Vec<Vector> {
    let cast = Cast::new();
    let Cast {
        city,
        water,
        mary,
        mallory,
        ..
    } = &cast;
    let charters = cast.community();
    let head = header(water, charters.newest(), b"");
    let content = packed(Tlp::Red, &[ADDRESS]);
    let long = packed(Tlp::Amber, &[INDICATOR]);
    let public = |org: &Org| org.sealing.public();
    let name = "sealed";
    let body = sealed_to(name, &content, &[public(city)], water, &charters, &head);
    let four = sealed_to(
        "four",
        &long,
        &[public(city), public(mary)],
        water,
        &charters,
        &head,
    );
    let given = |bytes: &[u8], reader: &[&Org]| bound(&charters, &head, water, bytes, reader);
    let again = encrypted(name, &body, &plaintext(&content, 256), &charters, &head);
    assert_eq!(again, body, "two ways to one body");
    let twice = |size| encrypted(name, &body, &plaintext(&content, size), &charters, &head);
    let mut not_zero = plaintext(&content, 256);
    not_zero[255] = 1;
    let mut receipt = head.clone();
    (receipt.kind, receipt.replaces) = (Kind::Receipt, Some(hanse_protocol::identity::RecordId([6; 32])));
    let bound_receipt = sealed_to("receipt", &content, &[public(city)], water, &charters, &receipt);
    let mut all = vec![
        good(
            "sealed-body",
            "to-two",
            "Sealed to one reader and the author; the reader opens it.",
            given(&body, &[city]),
            with_content(&content),
        ),
        good(
            "sealed-body",
            "opened-by-its-author",
            "The author opens what it sealed.",
            given(&body, &[water]),
            with_content(&content),
        ),
        good(
            "sealed-body",
            "with-a-throw-away-stanza",
            "Three readers, four stanzas, content beyond the least size.",
            given(&four, &[mary]),
            with_content(&long),
        ),
        good(
            "sealed-body",
            "for-others",
            "A member that it is not sealed to finds no stanza.",
            given(&body, &[mary]),
            json!({"opaque": true}),
        ),
        good(
            "sealed-body",
            "opened-with-an-older-key",
            "A reader with two keys tries both.",
            given(&body, &[mallory, city]),
            with_content(&content),
        ),
        good(
            "sealed-body",
            "of-a-receipt",
            "Bound to another kind and to the record it names.",
            bound(&charters, &receipt, water, &bound_receipt, &[city]),
            with_content(&content),
        ),
    ];
    let moved = |key: &str, value: Value| {
        let mut given = given(&body, &[city]);
        given[key] = value;
        given
    };
    let stanza = 2 + 34 + 26 + 1;
    let size = 1 + 9 + 34 + 50;
    let both = and(
        &and(&body[..stanza], &body[stanza..stanza + size].repeat(2)),
        &body[stanza + 2 * size..],
    );
    // The seeded shuffle leaves one of the two first.
    let first = [city, water]
        .into_iter()
        .find(|org| refuses(&given(&both, &[org]), "ambiguous-stanza"));
    let first = first.expect("one of them is first");
    let place = if std::ptr::eq(first, city) {
        stanza
    } else {
        stanza + size
    };
    let refused: Vec<(&str, &str, Value, &str)> = vec![
        (
            "wrong-commitment",
            "The commitment is not the content key's.",
            given(&flipped(&body, 4), &[city]),
            "commitment",
        ),
        (
            "spoiled-ciphertext",
            "One bit of the ciphertext changed.",
            given(&flipped(&body, body.len() - 1), &[city]),
            "decryption",
        ),
        (
            "spoiled-stanza",
            "One bit of the reader's wrapped key changed.",
            given(&flipped(&body, place + size - 1), &[city]),
            "stanza",
        ),
        (
            "spoiled-encapsulation",
            "One bit of the reader's encapsulated key changed.",
            given(&flipped(&body, place + 20), &[city]),
            "stanza",
        ),
        (
            "stanza-twice",
            "Two stanzas with the reader's hint.",
            given(&both, &[first]),
            "ambiguous-stanza",
        ),
        (
            "other-community",
            "Moved to another community.",
            moved("community", json!(hex(&[9; 32]))),
            "stanza",
        ),
        (
            "other-creation",
            "Moved to a record of another instant.",
            moved("created", json!(head.created.as_millis() + 1)),
            "stanza",
        ),
        (
            "other-expiry",
            "Moved to a record of another expiry.",
            moved("expires", json!(head.expires.as_millis() + 1)),
            "stanza",
        ),
        (
            "other-kind",
            "Moved to a record of another kind.",
            moved("kind", json!(1)),
            "stanza",
        ),
        (
            "other-replaces",
            "Moved to a record that replaces one.",
            moved("replaces", json!(hex(&[6; 32]))),
            "stanza",
        ),
        (
            "padding-not-zero",
            "The padding ends in a one.",
            given(&encrypted(name, &body, &not_zero, &charters, &head), &[city]),
            "body-malformed",
        ),
        (
            "padding-too-long",
            "Padded further than the rule says.",
            given(&twice(288), &[city]),
            "body-malformed",
        ),
        (
            "padding-missing",
            "Not padded.",
            given(
                &twice(minicbor::to_vec(&content).expect("into memory").len()),
                &[city],
            ),
            "body-malformed",
        ),
    ];
    all.extend(
        refused
            .into_iter()
            .map(|(what, about, given, reason)| bad("sealed-body", what, about, given, reason)),
    );
    all
}

fn refuses(given: &Value, reason: &str) -> bool {
    crate::vectors::read::outcome("sealed-body", given)["refused"] == reason
}
