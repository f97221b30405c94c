//! STIX objects and patterns.

use serde_json::{Value, json};

use super::{bad, good};
use crate::vectors::Vector;

const SPAN: &str =
    r#""spec_version":"2.1","created":"2026-01-01T00:00:00.000Z","modified":"2026-01-01T00:00:00.000Z""#;
const UUID: &str = "0198f97b-e65d-4025-87e5-58bc39d4bdb4";

/// STIX objects.
pub(super) fn objects() -> Vec<Vector> {
    let given = |text: &str| json!({"text": text, "unmarked": "green", "floor": "clear"});
    let of = |kind: &str, rest: &str| format!(r#"{{"type":"{kind}","id":"{kind}--{UUID}",{SPAN}{rest}}}"#);
    let indicator = |pattern: &str, rest: &str| {
        of(
            "indicator",
            &format!(
                r#","pattern":"{pattern}","pattern_type":"stix","valid_from":"2026-01-01T00:00:00Z"{rest}"#
            ),
        )
    };
    let marked = |id: &str| {
        of(
            "malware",
            &format!(r#","is_family":false,"object_marking_refs":["marking-definition--{id}"]"#),
        )
    };
    let read = |kind: &str, tlp: &str, observables: Value| {
        let id = format!("{kind}--{UUID}");
        json!({"type": kind, "id": id, "tlp": tlp, "observables": observables})
    };
    let plain = indicator("[ipv4-addr:value = '198.51.100.7']", "");
    let either = indicator(
        "[domain-name:value IN ('A.example.org', 'b.example.org') AND url:value != 'http://c.example.org/']",
        "",
    );
    let file = format!(
        r#"{{"type":"file","id":"file--{UUID}","hashes":{{"MD5":"D41D8CD98F00B204E9800998ECF8427E"}}}}"#
    );
    let granular = of(
        "malware",
        r#","is_family":true,"name":"Rain","granular_markings":[{"marking_ref":"marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421","selectors":["name"]}]"#,
    );
    let mut all = vec![
        good(
            "object",
            "indicator",
            "Its observable is taken from its pattern.",
            given(&plain),
            read(
                "indicator",
                "green",
                json!([{"kind": "ipv4", "value": "198.51.100.7"}]),
            ),
        ),
        good(
            "object",
            "indicator-of-two",
            "A list's values are taken, a negated one is not.",
            given(&either),
            read(
                "indicator",
                "green",
                json!([{"kind": "domain", "value": "a.example.org"}, {"kind": "domain", "value": "b.example.org"}]),
            ),
        ),
        good(
            "object",
            "file",
            "A cyber observable needs no version.",
            given(&file),
            read(
                "file",
                "green",
                json!([{"kind": "md5", "value": "d41d8cd98f00b204e9800998ecf8427e"}]),
            ),
        ),
        good(
            "object",
            "custom",
            "Types and properties of one's own are taken.",
            given(&of("x-thing", r#","x_a":[1]"#)),
            read("x-thing", "green", json!([])),
        ),
        good(
            "object",
            "marked-tlp1-amber",
            "TLP 1 AMBER is read as AMBER+STRICT.",
            given(&marked("f88d31f6-486f-44da-b317-01333bde0b82")),
            read("malware", "amber+strict", json!([])),
        ),
        good(
            "object",
            "marked-clear",
            "A marking more open than the default.",
            given(&marked("94868c89-83c2-464b-929b-a1a8aa3c8487")),
            read("malware", "clear", json!([])),
        ),
        good(
            "object",
            "marked-unknown",
            "An unknown marking is RED.",
            given(&marked(UUID)),
            read("malware", "red", json!([])),
        ),
        good(
            "object",
            "marked-in-part",
            "A granular marking counts for the whole.",
            given(&granular),
            read("malware", "amber", json!([])),
        ),
    ];
    let deep = of(
        "malware",
        &format!(r#","is_family":true,"x_a":{}{}"#, "[".repeat(60), "]".repeat(60)),
    );
    let refused: Vec<(&str, &str, String, &str)> = vec![
        ("no-json", "No JSON.", "{".to_owned(), "json"),
        (
            "duplicate-key",
            "A key twice, one spelling escaped.",
            r#"{"type":"file","\u0074ype":"url"}"#.to_owned(),
            "json",
        ),
        (
            "lone-surrogate",
            "Half a character.",
            of("malware", r#","is_family":true,"name":"\ud800""#),
            "json",
        ),
        (
            "number-too-large",
            "A number that not every reader keeps.",
            of("malware", r#","is_family":true,"x_n":9007199254740993"#),
            "json",
        ),
        ("too-deep", "Sixty levels.", deep, "json"),
        ("no-object", "A list.", "[]".to_owned(), "not-an-object"),
        (
            "bundle",
            "A bundle is no object.",
            format!(r#"{{"type":"bundle","id":"bundle--{UUID}","objects":[]}}"#),
            "bundle",
        ),
        (
            "no-id",
            "No id.",
            r#"{"type":"url","value":"http://a.example.org/"}"#.to_owned(),
            "missing",
        ),
        (
            "id-of-another-type",
            "An id that bears another type.",
            format!(r#"{{"type":"url","id":"file--{UUID}","value":"http://a.example.org/"}}"#),
            "id",
        ),
        (
            "id-without-uuid",
            "An id without a UUID.",
            r#"{"type":"url","id":"url--1","value":"http://a.example.org/"}"#.to_owned(),
            "id",
        ),
        (
            "type-in-capitals",
            "A type that is none.",
            of("Malware", ""),
            "type",
        ),
        (
            "stix-2-0",
            "An object of STIX 2.0.",
            plain.replace(r#""spec_version":"2.1","#, ""),
            "version20",
        ),
        (
            "spec-version-3",
            "Another version.",
            plain.replace(r#""2.1""#, r#""3.0""#),
            "spec-version",
        ),
        (
            "modified-before-created",
            "Changed before it was made.",
            plain.replacen(r#""modified":"2026"#, r#""modified":"2025"#, 1),
            "order",
        ),
        (
            "valid-for-no-time",
            "It ends when it starts.",
            indicator("[url:value = 'a']", r#","valid_until":"2026-01-01T00:00:00Z""#),
            "order",
        ),
        (
            "created-yesterday",
            "A date that is none.",
            plain.replacen("2026-01-01T00:00:00.000Z", "yesterday", 1),
            "shape",
        ),
        (
            "indicator-without-pattern",
            "No pattern.",
            of(
                "indicator",
                r#","pattern_type":"stix","valid_from":"2026-01-01T00:00:00Z""#,
            ),
            "missing",
        ),
        (
            "pattern-unclosed",
            "A pattern without its end.",
            indicator("[url:value = 'a'", ""),
            "pattern",
        ),
        (
            "relationship-to-nothing",
            "A relationship without its target.",
            of(
                "relationship",
                &format!(r#","relationship_type":"uses","source_ref":"malware--{UUID}""#),
            ),
            "missing",
        ),
    ];
    all.extend(
        refused
            .into_iter()
            .map(|(what, about, text, reason)| bad("object", what, about, given(&text), reason)),
    );
    all
}

/// STIX patterns.
pub(super) fn patterns() -> Vec<Vector> {
    let given = |text: &str| json!({"text": text});
    let sound = [
        (
            "two-observations",
            "([file:hashes.'SHA-256' = 'aa'] FOLLOWEDBY [domain-name:value LIKE '%.example.org']) WITHIN 300 SECONDS",
            2,
        ),
        (
            "comments-and-index",
            "[ /* why */ email-message:from_ref.value = 'a@b.example' OR process:opened_connection_refs[*].dst_port IN (1, 2)]",
            2,
        ),
        (
            "repeats",
            "[ipv4-addr:value ISSUBSET '10.0.0.0/8'] REPEATS 3 TIMES START t'2026-01-01T00:00:00Z' STOP t'2026-01-02T00:00:00Z'",
            1,
        ),
    ];
    let mut all: Vec<Vector> = sound
        .into_iter()
        .map(|(what, text, comparisons)| {
            good(
                "pattern",
                what,
                "A pattern that holds together.",
                given(text),
                json!({"comparisons": comparisons}),
            )
        })
        .collect();
    let nested = format!("{}[a:b = 1]{}", "(".repeat(2_000), ")".repeat(2_000));
    let refused = [
        ("empty", "Nothing.", "", "expected"),
        (
            "unclosed-quote",
            "A quote without its end.",
            "[a:b = 'c]",
            "unclosed",
        ),
        (
            "no-operator",
            "Nothing between path and value.",
            "[a:b 'c']",
            "expected",
        ),
        ("nested-2000", "Two thousand parentheses.", &nested, "too-deep"),
        (
            "stop-before-start",
            "A span that runs backwards.",
            "[a:b = 1] START t'2026-01-02T00:00:00Z' STOP t'2026-01-01T00:00:00Z'",
            "span",
        ),
        (
            "half-a-byte",
            "Hexadecimal digits that make no bytes.",
            "[a:b = h'abc']",
            "literal",
        ),
    ];
    all.extend(refused.map(|(what, about, text, reason)| bad("pattern", what, about, given(text), reason)));
    all
}
