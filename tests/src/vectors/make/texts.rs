//! Keys, content and observables.

use hanse_protocol::content::Content;
use hanse_protocol::tlp::Tlp;
use serde_json::json;

use super::{Cast, bad, good};
use crate::vectors::{Vector, hex};

pub(super) fn vectors() -> Vec<Vector> {
    let mut all = keys();
    all.extend(contents());
    all.extend(observables());
    all
}

fn keys() -> Vec<Vector> {
    let cast = Cast::new();
    let given = |key: &[u8]| json!({"key": hex(key)});
    let key = cast.city.signing.verifying_key();
    let sealing = cast.city.sealing.public();
    let mut one = [0; 32];
    one[0] = 1;
    // The identity again, its y raised by the field's prime: a second spelling.
    let mut second = [0xff; 32];
    (second[0], second[31]) = (0xee, 0x7f);
    let mut prime = second;
    prime[0] = 0xed;
    let mut top = *sealing.as_bytes();
    top[31] |= 0x80;
    vec![
        good(
            "signing-key",
            "of-a-seed",
            "The key of 32 bytes of 01, with its id.",
            given(key.as_bytes()),
            json!({"id": key.id()}),
        ),
        bad(
            "signing-key",
            "identity",
            "The neutral point.",
            given(&one),
            "weak",
        ),
        bad(
            "signing-key",
            "order-four",
            "A point of order four.",
            given(&[0; 32]),
            "weak",
        ),
        bad(
            "signing-key",
            "torsioned",
            "A full point with a part of small order.",
            given(&torsioned()),
            "weak",
        ),
        bad(
            "signing-key",
            "second-spelling",
            "A coordinate above the prime.",
            given(&second),
            "malformed",
        ),
        bad(
            "signing-key",
            "no-point",
            "No point of the curve.",
            given(&[2; 32]),
            "malformed",
        ),
        good(
            "sealing-key",
            "of-a-secret",
            "The key of 32 bytes of 03.",
            given(sealing.as_bytes()),
            json!({"key": hex(sealing.as_bytes())}),
        ),
        bad(
            "sealing-key",
            "zero",
            "Every shared secret would be zero.",
            given(&[0; 32]),
            "non-contributory",
        ),
        bad(
            "sealing-key",
            "one",
            "Every shared secret would be zero.",
            given(&one),
            "non-contributory",
        ),
        bad(
            "sealing-key",
            "prime",
            "A second spelling of zero.",
            given(&prime),
            "malformed",
        ),
        bad(
            "sealing-key",
            "top-bit",
            "The top bit is set.",
            given(&top),
            "malformed",
        ),
    ]
}

/// The sum of the base point and the point of order two: in the curve's coordinates (-x, -y), so the
/// base point's bytes with y and the sign of x turned over.
fn torsioned() -> [u8; 32] {
    let mut y = [0x95; 32];
    // y = 4/5 is 0x66…6658; p - y is 0x19…1995, and x, even at the base point, is odd at -x.
    y.fill(0x99);
    (y[0], y[31]) = (0x95, 0x19 | 0x80);
    y
}

fn contents() -> Vec<Vector> {
    let given = |bytes: &[u8]| json!({"bytes": hex(bytes)});
    let spaced = r#"{ "type" : "x-thing", "n":1.50 }"#;
    let written = Content::write(Tlp::AmberStrict, Tlp::Green, &[spaced, "{}"]);
    let variants = Content::write_variants(Tlp::Green, Tlp::Clear, &["{}", "{}"], &[0, 65_535]);
    let reordered = br#" {"objects":[],"floor":"red","unmarked":"clear"} "#;
    let many = format!(
        r#"{{"unmarked":"clear","floor":"clear","objects":[{}{{}}]}}"#,
        "{},".repeat(1_000)
    );
    let refused: Vec<(&str, &str, Vec<u8>, &str)> = vec![
        ("empty", "No bytes.", vec![], "syntax"),
        (
            "not-utf8",
            "Bytes that are no UTF-8.",
            vec![b'{', 0xff],
            "not-utf8",
        ),
        (
            "trailing-comma",
            "No JSON.",
            br#"{"unmarked":"clear","floor":"clear","objects":[],}"#.to_vec(),
            "syntax",
        ),
        (
            "bytes-after",
            "Something behind the content.",
            br#"{"unmarked":"clear","floor":"clear","objects":[]}{}"#.to_vec(),
            "syntax",
        ),
        (
            "unknown-key",
            "A key of no meaning.",
            br#"{"unmarked":"clear","floor":"clear","objects":[],"x":1}"#.to_vec(),
            "unknown-key",
        ),
        (
            "floor-twice",
            "A key twice.",
            br#"{"unmarked":"clear","floor":"clear","floor":"red","objects":[]}"#.to_vec(),
            "duplicate-key",
        ),
        (
            "no-objects",
            "A key is missing.",
            br#"{"unmarked":"clear","floor":"clear"}"#.to_vec(),
            "missing-key",
        ),
        (
            "unknown-label",
            "A label that is none.",
            br#"{"unmarked":"blue","floor":"clear","objects":[]}"#.to_vec(),
            "value",
        ),
        (
            "redacted-nothing",
            "Counts of what was struck, though nothing was.",
            br#"{"unmarked":"clear","floor":"clear","redacted":[0],"objects":[{}]}"#.to_vec(),
            "nothing-redacted",
        ),
        (
            "redacted-fewer",
            "Fewer counts than objects.",
            br#"{"unmarked":"clear","floor":"clear","redacted":[1],"objects":[{},{}]}"#.to_vec(),
            "redacted-count",
        ),
        (
            "redacted-more",
            "More counts than objects.",
            br#"{"unmarked":"clear","floor":"clear","redacted":[1],"objects":[]}"#.to_vec(),
            "redacted-count",
        ),
        (
            "redacted-fraction",
            "A count that is written as a fraction.",
            br#"{"unmarked":"clear","floor":"clear","redacted":[1.0],"objects":[{}]}"#.to_vec(),
            "value",
        ),
        (
            "redacted-65536",
            "A count that is too large.",
            br#"{"unmarked":"clear","floor":"clear","redacted":[65536],"objects":[{}]}"#.to_vec(),
            "value",
        ),
        (
            "redacted-twice",
            "Counts twice.",
            br#"{"unmarked":"clear","floor":"clear","redacted":[1],"redacted":[1],"objects":[{}]}"#.to_vec(),
            "duplicate-key",
        ),
        (
            "objects-1001",
            "More objects than one record may hold.",
            many.into_bytes(),
            "too-many-objects",
        ),
    ];
    let mut all = vec![
        good(
            "content",
            "verbatim",
            "Objects keep every byte, white space and digits too.",
            given(&written),
            json!({"unmarked": Tlp::AmberStrict, "floor": Tlp::Green, "objects": [spaced, "{}"]}),
        ),
        good(
            "content",
            "variants",
            "Something was struck out of the second object.",
            given(&variants),
            json!({"unmarked": Tlp::Green, "floor": Tlp::Clear, "redacted": [0, 65_535], "objects": ["{}", "{}"]}),
        ),
        good(
            "content",
            "reordered",
            "Keys in another order, white space around.",
            given(reordered),
            json!({"unmarked": Tlp::Clear, "floor": Tlp::Red, "objects": []}),
        ),
    ];
    all.extend(
        refused
            .into_iter()
            .map(|(what, about, bytes, reason)| bad("content", what, about, given(&bytes), reason)),
    );
    all
}

fn observables() -> Vec<Vector> {
    let found = [
        ("address", "198.51.100.7", "ipv4", "198.51.100.7", 1),
        (
            "address-defanged",
            " 198[.]51[.]100[.]7 ",
            "ipv4",
            "198.51.100.7",
            1,
        ),
        ("address-mapped", "::ffff:198.51.100.7", "ipv4", "198.51.100.7", 1),
        (
            "address-mapped-in-hex",
            "::FFFF:c633:6407",
            "ipv4",
            "198.51.100.7",
            1,
        ),
        ("address-v6", "2001:DB8:0:0:0::1", "ipv6", "2001:db8::1", 2),
        ("network", "198.51.100.7/24", "ipv4-network", "198.51.100.0/24", 3),
        ("network-of-one", "198.51.100.7/32", "ipv4", "198.51.100.7", 1),
        ("network-v6", "2001:db8::1/32", "ipv6-network", "2001:db8::/32", 4),
        (
            "network-mapped",
            "::ffff:198.51.100.0/120",
            "ipv4-network",
            "198.51.100.0/24",
            3,
        ),
        ("domain", "Evil.Example.ORG.", "domain", "evil.example.org", 5),
        (
            "domain-defanged",
            "evil(.)example[dot]org",
            "domain",
            "evil.example.org",
            5,
        ),
        (
            "domain-international",
            "bücher.example",
            "domain",
            "xn--bcher-kva.example",
            5,
        ),
        (
            "domain-underscore",
            "_dmarc.example.org",
            "domain",
            "_dmarc.example.org",
            5,
        ),
        (
            "url",
            "HTTP://Example.org:80/a/../b?c#d",
            "url",
            "http://example.org/b?c",
            6,
        ),
        (
            "url-defanged",
            "hxxps[:]//evil[.]example[.]org/x",
            "url",
            "https://evil.example.org/x",
            6,
        ),
        (
            "mailbox",
            "Mallory[at]Example.ORG",
            "email",
            "mallory@example.org",
            7,
        ),
        (
            "md5",
            "D41D8CD98F00B204E9800998ECF8427E",
            "md5",
            "d41d8cd98f00b204e9800998ecf8427e",
            8,
        ),
        (
            "sha1",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "sha1",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            9,
        ),
        (
            "sha256",
            "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
            "sha256",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            10,
        ),
    ];
    let mut all: Vec<Vector> = found
        .into_iter()
        .map(|(what, text, kind, value, code)| {
            let key = [&[code], value.as_bytes()].concat();
            good(
                "observable",
                what,
                "One spelling, and the bytes a search key is made of.",
                json!({"text": text}),
                json!({"kind": kind, "value": value, "key": hex(&key)}),
            )
        })
        .collect();
    let refused = [
        ("empty", "Nothing.", "  ".to_owned(), "empty"),
        (
            "octal",
            "Leading zeros could be octal.",
            "198.051.100.007".to_owned(),
            "ambiguous-ipv4",
        ),
        ("word", "A word of no kind.", "evil".to_owned(), "unrecognised"),
        (
            "control",
            "A control character inside.",
            "exa\u{7}mple.org".to_owned(),
            "control",
        ),
        (
            "too-long",
            "More than 4,096 bytes.",
            "a".repeat(4_097),
            "too-long",
        ),
        (
            "prefix-33",
            "A prefix beyond the address.",
            "198.51.100.0/33".to_owned(),
            "unrecognised",
        ),
        (
            "label-64",
            "A label of 64 letters.",
            format!("{}.org", "a".repeat(64)),
            "unrecognised",
        ),
    ];
    all.extend(
        refused
            .map(|(what, about, text, reason)| bad("observable", what, about, json!({"text": text}), reason)),
    );
    all
}
