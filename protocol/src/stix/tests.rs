use std::io::Read;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::json::JsonErrorKind;
use crate::pattern::PatternErrorKind;

const COMMON: &str =
    r#""spec_version":"2.1","created":"2026-01-01T00:00:00.000Z","modified":"2026-01-02T00:00:00.000Z""#;
const UUID: &str = "115a7497-e13b-5ba9-af77-c26994dc0ce5";

/// An object of a type with the common properties and these more.
fn object(kind: &str, more: &str) -> String {
    format!(r#"{{"type":"{kind}","id":"{kind}--{UUID}",{COMMON},{more}}}"#)
}

fn indicator(pattern: &str) -> String {
    let more = format!(
        r#""pattern":{},"pattern_type":"stix","valid_from":"2026-01-01T00:00:00Z""#,
        serde_json::to_string(pattern).unwrap()
    );
    object("indicator", &more)
}

fn refusal(raw: &str) -> StixError {
    Object::parse(raw).unwrap_err()
}

fn found(raw: &str) -> Vec<String> {
    let object = Object::parse(raw).unwrap();
    object.observables().iter().map(|o| o.to_string()).collect()
}

#[test]
fn an_object_tells_what_it_is_and_keeps_its_bytes() {
    let raw = object(
        "malware",
        r#""name":"x","is_family":false,  "x_odd":1.0e0,"revoked":true"#,
    );
    let padded = format!(" {raw}\n");
    let malware = Object::parse(&padded).unwrap();
    assert_eq!(malware.raw(), raw);
    assert_eq!(
        (malware.kind(), malware.name(), malware.revoked()),
        ("malware", Some("x"), true)
    );
    assert_eq!(malware.id(), format!("malware--{UUID}"));
    assert_eq!(malware.version().unwrap().to_string(), "2026-01-02T00:00:00.000Z");
    assert_eq!(malware.spec_version(), Some("2.1"));
}

#[test]
fn an_unsound_object_is_refused_with_the_property_at_fault() {
    assert_eq!(refusal("[]"), StixError::NotAnObject);
    assert_eq!(refusal(&object("bundle", r#""objects":[]"#)), StixError::Bundle);
    assert_eq!(refusal(r#"{"type":"X!x"}"#), StixError::Type("X!x".into()));
    let foreign = format!(r#"{{"type":"tool","id":"malware--{UUID}"}}"#);
    assert!(matches!(refusal(&foreign), StixError::Id { .. }));
    let twenty =
        format!(r#"{{"type":"tool","id":"tool--{UUID}","name":"x","created":"2026-01-01T00:00:00Z"}}"#);
    assert_eq!(refusal(&twenty), StixError::Version20 { kind: "tool".into() });
    assert_eq!(
        refusal(&object("tool", r#""x":1"#)),
        StixError::Missing {
            kind: "tool".into(),
            property: "name"
        }
    );
    assert_eq!(
        refusal(&object("malware", r#""is_family":true"#)),
        StixError::Missing {
            kind: "malware".into(),
            property: "name"
        }
    );
    assert!(matches!(
        refusal(&object("location", r#""name":"x""#)),
        StixError::MissingAll { .. }
    ));
    assert_eq!(
        refusal(&object("tool", r#""name":"x","object_marking_refs":["TLP:RED"]"#)),
        StixError::Shape {
            path: "object_marking_refs[0]".into(),
            shape: Shape::Id
        }
    );
    assert_eq!(
        refusal(&object("tool", r#""name":"x","object_marking_refs":"TLP:RED""#)),
        StixError::Shape {
            path: "object_marking_refs".into(),
            shape: Shape::Ids
        }
    );
    assert_eq!(
        refusal(&object(
            "tool",
            r#""name":"x","granular_markings":[{"selectors":["name"]}]"#
        )),
        StixError::Shape {
            path: "granular_markings[0].marking_ref".into(),
            shape: Shape::Id
        }
    );
    let early = object("tool", r#""name":"x""#).replace("2026-01-02", "2025-01-02");
    assert_eq!(
        refusal(&early),
        StixError::Order {
            earlier: "created",
            later: "modified"
        }
    );
    let naive =
        object("tool", r#""name":"x""#).replace("2026-01-02T00:00:00.000Z", "2026-01-02T00:00:00+01:00");
    assert_eq!(
        refusal(&naive),
        StixError::Shape {
            path: "modified".into(),
            shape: Shape::Instant
        }
    );
    let spent = indicator("[a:b = 1]").replace("{", r#"{"valid_until":"2026-01-01T00:00:00.000Z","#);
    assert_eq!(
        refusal(&spent),
        StixError::Order {
            earlier: "valid_from",
            later: "valid_until"
        }
    );
    let nested = indicator(&format!("{}[a:b = 1]", "(".repeat(2_000)));
    assert!(matches!(
        refusal(&nested),
        StixError::Pattern(PatternError {
            kind: PatternErrorKind::TooDeep,
            ..
        })
    ));
    let twice = object("tool", r#""name":"x","x":{"a":1,"a":2}"#);
    assert!(matches!(
        refusal(&twice),
        StixError::Json(JsonError { kind: JsonErrorKind::DuplicateKey, path }) if path == "$.x.a"
    ));
    let large = object("tool", &format!(r#""name":"{}""#, "x".repeat(limits::OBJECT)));
    assert!(matches!(refusal(&large), StixError::TooLarge { .. }));
}

#[test]
fn custom_types_and_patterns_in_other_languages_are_accepted() {
    assert!(Object::parse(&object("x-acme-thing", r#""what":"ever""#)).is_ok());
    assert!(Object::parse(&format!(r#"{{"type":"x-fact","id":"x-fact--{UUID}"}}"#)).is_ok());
    let sigma = indicator("title: x").replace(r#""pattern_type":"stix""#, r#""pattern_type":"sigma""#);
    assert!(Object::parse(&sigma).unwrap().observables().is_empty());
}

#[test]
fn the_strictest_marking_counts_and_an_unmarked_rest_counts_as_unmarked() {
    let marked = |more: &str| object("tool", &format!(r#""name":"x"{more}"#));
    let tlp = |more: &str, unmarked, floor| Object::parse(&marked(more)).unwrap().tlp(unmarked, floor);
    assert_eq!(tlp("", Tlp::Green, Tlp::Clear), Tlp::Green);
    assert_eq!(tlp("", Tlp::Green, Tlp::Amber), Tlp::Amber);

    let own = format!(
        r#","object_marking_refs":["{}","{}"]"#,
        Tlp::Clear.marking(),
        Tlp::Amber.marking()
    );
    assert_eq!(tlp(&own, Tlp::Red, Tlp::Clear), Tlp::Amber);
    let part = |tlp: Tlp| {
        format!(
            r#","granular_markings":[{{"marking_ref":"{}","selectors":["name"]}}]"#,
            tlp.marking()
        )
    };
    assert_eq!(tlp(&part(Tlp::Red), Tlp::Green, Tlp::Clear), Tlp::Red);
    assert_eq!(tlp(&part(Tlp::Clear), Tlp::Amber, Tlp::Clear), Tlp::Amber);
    let both = own + &part(Tlp::AmberStrict);
    assert_eq!(tlp(&both, Tlp::Green, Tlp::Clear), Tlp::AmberStrict);
    let whole = marked(&both);
    let object = Object::parse(&whole).unwrap();
    assert_eq!(object.own_tlp(Tlp::Green, Tlp::Clear), Tlp::Amber);
    assert_eq!(object.own_tlp(Tlp::Green, Tlp::Red), Tlp::Red);
    assert_eq!(
        (object.part_tlps(), object.strictest_part()),
        (vec![Tlp::AmberStrict], Some(Tlp::AmberStrict))
    );
    let unknown = format!(r#","object_marking_refs":["marking-definition--{UUID}"]"#);
    assert_eq!(tlp(&unknown, Tlp::Green, Tlp::Clear), Tlp::Red);
}

#[test]
fn observables_come_from_facts_and_from_what_patterns_ask_to_equal() {
    let fact = |kind: &str, more: &str| format!(r#"{{"type":"{kind}","id":"{kind}--{UUID}",{more}}}"#);
    assert_eq!(
        found(&fact("ipv6-addr", r#""value":"2001:DB8::/32""#)),
        ["2001:db8::/32"]
    );
    assert_eq!(
        found(&fact("email-addr", r#""value":"Bob@Example.org""#)),
        ["bob@example.org"]
    );
    let md5 = "d41d8cd98f00b204e9800998ecf8427e";
    let hashes = format!(r#""hashes":{{"MD5":"{md5}","SHA-256":"short","SSDEEP":"x"}}"#);
    assert_eq!(found(&fact("file", &hashes)), [md5]);
    let observed = r#""first_observed":"2026-01-01T00:00:00Z","last_observed":"2026-01-01T00:00:00Z",
        "number_observed":1,"objects":{"0":{"type":"domain-name","value":"a.example"}}"#;
    assert_eq!(found(&object("observed-data", observed)), ["a.example"]);

    let pattern = format!(
        "[ipv4-addr:value IN ('10.0.0.1', '10.0.0.1', 'x') AND ipv4-addr:value ISSUBSET '10.0.0.0/8'
          AND file:hashes.'sha1' = '{md5}' AND file:hashes.md5 = '{md5}' AND domain-name:value != 'no.example'
          AND domain-name:value NOT = 'no.example' AND url:value LIKE 'http://no.example/%'
          AND domain-name:resolves_to_refs[*].value = '2001:db8::1' AND network-traffic:dst_ref.value = 'c2'
          AND email-message:from_ref.value = 'x@y.example']"
    );
    assert_eq!(
        found(&indicator(&pattern)),
        ["10.0.0.1", "10.0.0.0/8", md5, "2001:db8::1", "c2", "x@y.example"]
    );

    let many: Vec<String> = (0..2_000).map(|n| format!("'{n}.example'")).collect();
    let many = indicator(&format!("[domain-name:value IN ({})]", many.join(",")));
    assert_eq!(found(&many).len(), limits::OBSERVABLES);
}

/// A file of the folder of real data, unpacked; `None`, said aloud, where there is no such folder.
fn real(file: &str) -> Option<String> {
    let folder =
        std::env::var_os("HANSE_DATA").map_or_else(|| PathBuf::from("../../shared/data"), PathBuf::from);
    let Ok(packed) = std::fs::File::open(folder.join(file)) else {
        println!("skipped: no {file} in {} (set HANSE_DATA)", folder.display());
        return None;
    };
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed)
        .read_to_string(&mut text)
        .unwrap();
    Some(text)
}

#[test]
fn a_hundred_thousand_real_indicators_are_sound_and_searchable() {
    let Some(text) = real("indicators-100k.ndjson.gz") else {
        return;
    };
    let mut odd = Vec::new();
    for line in text.lines() {
        let object = Object::parse(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(object.raw(), line);
        assert_eq!(object.tlp(Tlp::Red, Tlp::Clear), Tlp::Clear);
        if object.observables().len() != 1 {
            odd.push(line);
        }
    }
    // A handful of the list's URLs and domains are debris no reader of URLs takes.
    println!("{} without an observable: {odd:#?}", odd.len());
    assert!(odd.len() < 100, "{odd:#?}");
}

#[test]
fn attack_for_ics_is_sound_and_its_statement_markings_are_red() {
    let Some(text) = real("ics-attack.json.gz") else {
        return;
    };
    let bundle: serde_json::Value = serde_json::from_str(&text).unwrap();
    for object in bundle["objects"].as_array().unwrap() {
        let raw = object.to_string();
        let object = Object::parse(&raw).unwrap_or_else(|error| panic!("{error}: {raw}"));
        let expected = if object.kind() == "marking-definition" {
            Tlp::Green
        } else {
            Tlp::Red
        };
        assert_eq!(object.tlp(Tlp::Green, Tlp::Clear), expected, "{}", object.id());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_object_with_any_value_anywhere_is_refused_or_read_but_never_a_panic(
        property in prop::sample::select(vec![
            "type", "id", "spec_version", "created", "modified", "valid_from", "valid_until", "pattern",
            "pattern_type", "object_marking_refs", "granular_markings", "hashes", "value", "objects", "revoked",
        ]),
        value in prop_oneof![
            Just("null".to_owned()), Just("[]".to_owned()), Just("{}".to_owned()), Just("[{}]".to_owned()),
            Just("-1.5".to_owned()), ".*".prop_map(|text| serde_json::to_string(&text).unwrap()),
        ],
        kind in prop::sample::select(vec!["indicator", "file", "url", "observed-data", "marking-definition"]),
    ) {
        let mut object: serde_json::Value =
            serde_json::from_str(&indicator("[url:value = 'http://a.example/']")).unwrap();
        object["type"] = kind.into();
        object["id"] = format!("{kind}--{UUID}").into();
        object[property] = serde_json::from_str(&value).unwrap();
        let raw = object.to_string();
        if let Ok(object) = Object::parse(&raw) {
            prop_assert_eq!(object.raw(), &raw);
            let _ = (object.observables(), object.version(), object.valid_until());
            prop_assert!(object.tlp(Tlp::Green, Tlp::Amber) >= Tlp::Amber);
        }
    }
}
