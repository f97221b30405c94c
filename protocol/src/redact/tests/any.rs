//! What holds for any publication and any reader.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Ids that objects have and refer to: some may turn out to be of no object.
const NUMBERS: u32 = 12;

/// Kinds of objects, and whether their ids are made from what they say.
const KINDS: [(&str, bool); 14] = [
    ("identity", true),
    ("malware", false),
    ("tool", true),
    ("indicator", false),
    ("relationship", false),
    ("relationship", true),
    ("sighting", false),
    ("report", false),
    ("note", false),
    ("file", true),
    ("network-traffic", true),
    ("ipv4-addr", true),
    ("language-content", false),
    ("observed-data", false),
];

/// The id of the object of a number.
fn id_of(number: u32) -> String {
    let (kind, made) = KINDS[number as usize % KINDS.len()];
    id(kind, number, if made { 5 } else { 4 })
}

/// What one object is made of; every text that may be struck is told apart by its words.
#[derive(Clone, Debug)]
struct Seed {
    number: u32,
    refs: Vec<u32>,
    words: Vec<String>,
    labels: usize,
    /// Of parts, by number: what they are, and how they are marked.
    marked: Vec<(usize, Tlp)>,
    victims: bool,
}

/// Selectors that parts are marked by.
const SELECTORS: [&str; 8] = [
    "description",
    "labels.[0]",
    "labels.[1]",
    "labels.[2]",
    "x_deep.a.[1].b",
    "x_deep.a",
    "name",
    "external_references.[0].source_name",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{3,6}",
        Just("ACME-77".to_owned()),
        Just("db1.corp".to_owned()),
        Just("10.1.2[.]3".to_owned()),
        Just("http://wiki.corp/a?b=\"".to_owned()),
        Just("Stadtwerke".to_owned()),
        Just("\u{1F4A7}\n\\ \t\"".to_owned()),
    ]
}

fn seed() -> impl Strategy<Value = Seed> {
    (
        0..NUMBERS,
        prop::collection::vec(0..NUMBERS + 4, 4),
        prop::collection::vec(word(), 1..5),
        0..4usize,
        prop::collection::vec((0..SELECTORS.len(), prop::sample::select(&Tlp::ALL[..])), 0..3),
        any::<bool>(),
    )
        .prop_map(|(number, refs, words, labels, marked, victims)| Seed {
            number,
            refs,
            words,
            labels,
            marked,
            victims,
        })
}

/// The text of an object. What is marked is told by a word of its own: `part-3-red-9`.
fn written(seed: &Seed, place: usize) -> String {
    let (kind, _) = KINDS[seed.number as usize % KINDS.len()];
    let reference = |place: usize| id_of(seed.refs[place]);
    let secret = |part: usize| {
        let strictest = seed
            .marked
            .iter()
            .filter(|(marked, _)| covers(*marked, part))
            .map(|(_, tlp)| *tlp);
        match strictest.max() {
            Some(tlp) => format!("part-{tlp:?}-{place}-{part}"),
            None => "plain".to_owned(),
        }
    };
    let text = seed.words.join(" ");
    let mut object = json!({
        "type": kind, "id": id_of(seed.number), "spec_version": "2.1",
        "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-02T00:00:00.000Z",
        "name": secret(6), "description": format!("{} {text}", secret(0)),
        "created_by_ref": reference(0),
        "x_deep": {"a": [{"b": "first"}, {"b": secret(4)}], "c": {"by": reference(1), text.clone(): 1}},
        "external_references": [{"source_name": secret(7), "url": text}],
    });
    if seed.labels > 0 {
        let labels: Vec<String> = (0..seed.labels).map(|label| secret(label + 1)).collect();
        object["labels"] = json!(labels);
    }
    let more = match kind {
        "identity" => json!({"identity_class": "organization", "contact_information": text}),
        "malware" => json!({"is_family": false, "sample_refs": [reference(2), reference(3)]}),
        "indicator" => json!({"pattern_type": "stix", "valid_from": "2026-01-01T00:00:00Z",
            "pattern": format!("[file:name = '{}']", secret(9).replace("plain", "ACME-x"))}),
        "relationship" => json!({"source_ref": reference(2), "target_ref": reference(3),
            "relationship_type": if seed.victims { "targets" } else { "uses" }}),
        "sighting" => {
            json!({"sighting_of_ref": reference(2), "where_sighted_refs": [reference(3), id_of(0)]})
        }
        "report" => json!({"published": "2026-01-01T00:00:00Z", "object_refs": [reference(2), reference(3)]}),
        "note" => json!({"content": text, "object_refs": [reference(3)]}),
        "network-traffic" => json!({"protocols": ["tcp"], "src_ref": reference(2), "dst_ref": reference(3)}),
        "ipv4-addr" => json!({"value": if seed.victims { "10.0.0.9" } else { "203.0.113.9" }}),
        "language-content" => json!({"object_ref": reference(2), "contents": {"de": {"description": text}}}),
        "observed-data" => {
            json!({"first_observed": "2026-01-01T00:00:00Z", "last_observed": "2026-01-01T00:00:00Z",
            "number_observed": 1, "objects": {
                "0": {"type": "ipv4-addr", "value": "10.0.0.9"}, "1": {"type": "file", "name": text},
                "2": {"type": "network-traffic", "src_ref": "0", "dst_ref": "1", "protocols": ["tcp"]}}})
        }
        _ => json!({}),
    };
    object
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let parts: Vec<Value> = seed
        .marked
        .iter()
        .filter(|(part, _)| !(1..=3).contains(part) || *part <= seed.labels)
        .map(|(part, tlp)| json!({"marking_ref": tlp.marking(), "selectors": [SELECTORS[*part]]}))
        .collect();
    if !parts.is_empty() {
        object["granular_markings"] = json!(parts);
    }
    object.to_string().replacen("\"type\":", " \"type\"  :\n", 1)
}

/// Whether a marking of one part marks another.
fn covers(marked: usize, part: usize) -> bool {
    marked == part || (marked, part) == (5, 4)
}

#[derive(Clone, Debug)]
struct View {
    shown: bool,
    parts: Tlp,
    redaction: Redaction,
}

fn redaction() -> impl Strategy<Value = Redaction> {
    let properties = prop::collection::btree_set(
        prop::sample::select(vec!["description", "name", "labels", "x_deep", "object_refs"])
            .prop_map(str::to_owned),
        0..2,
    );
    let asked = (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    (properties, asked).prop_map(|(properties, (ticket, internal, victims, pseudonyms, none))| {
        if none {
            return Redaction::default();
        }
        Redaction {
            properties,
            patterns: if ticket {
                BTreeSet::from(["ticket".to_owned()])
            } else {
                BTreeSet::new()
            },
            internal,
            victims,
            pseudonyms,
        }
    })
}

fn view() -> impl Strategy<Value = View> {
    (
        prop::bool::weighted(0.8),
        prop::sample::select(&Tlp::ALL[..]),
        redaction(),
    )
        .prop_map(|(shown, parts, redaction)| View {
            shown,
            parts,
            redaction,
        })
}

/// Every id in a text, wherever it stands.
fn ids_in(value: &Value, found: &mut BTreeSet<String>) {
    let texts: Vec<&str> = match value {
        Value::String(text) => vec![text],
        Value::Object(members) => members.keys().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    let is_id = |text: &&str| crate::stix::type_of_id(text).is_some_and(|kind| kind != "marking-definition");
    found.extend(texts.into_iter().filter(is_id).map(str::to_owned));
    match value {
        Value::Array(elements) => elements.iter().for_each(|element| ids_in(element, found)),
        Value::Object(members) => members.values().for_each(|value| ids_in(value, found)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn nothing_that_is_not_for_a_reader_is_in_what_it_gets(
        seeds in prop::collection::vec((seed(), view()), 1..10),
        away in prop::collection::btree_set(0..NUMBERS + 4, 0..4),
    ) {
        let texts: Vec<String> =
            seeds.iter().enumerate().map(|(place, (seed, _))| written(seed, place)).collect();
        let objects: Vec<Object<'_>> = texts.iter().map(|text| Object::parse(text).unwrap()).collect();
        let glances: Vec<Glance<'_, '_>> = objects
            .iter()
            .zip(&seeds)
            .map(|(object, (_, view))| Glance {
                object,
                sight: view.shown.then_some(Sight { parts: view.parts, redaction: &view.redaction }),
            })
            .collect();
        let rules = rules();
        let hidden_ids: BTreeSet<String> = away.into_iter().map(id_of).collect();
        let hidden = |id: &str| hidden_ids.contains(id);
        let outlook = Outlook { rules: &rules, secret: &SECRET, audience: b"acme", hidden: &hidden };
        let cuts = cut(&glances, &outlook);
        prop_assert_eq!(&cuts, &cut(&glances, &outlook), "the same once more");

        let present: BTreeSet<&str> = objects.iter().map(Object::id).collect();
        let mut got = BTreeSet::new();
        for (cut, object) in cuts.iter().zip(&objects) {
            let Cut::Shown { text, .. } = cut else { continue };
            let shown = Object::parse(text);
            prop_assert!(shown.is_ok(), "{shown:?}");
            got.insert(shown.unwrap().id().to_owned());
            let _ = object;
        }
        let mut targets = BTreeSet::new();
        for seed in seeds.iter().map(|(seed, _)| seed) {
            let object: Value = serde_json::from_str(&written(seed, 0)).unwrap();
            if seed.victims && object["type"] == "relationship" {
                targets.insert(object["target_ref"].as_str().unwrap().to_owned());
            }
            if object["type"] == "sighting" {
                for place in object["where_sighted_refs"].as_array().unwrap() {
                    targets.insert(place.as_str().unwrap().to_owned());
                }
            }
        }
        targets.retain(|target| target.starts_with("identity--"));

        for ((cut, text), (_, view)) in cuts.iter().zip(&texts).zip(&seeds) {
            let Cut::Shown { text: shown, strikes } = cut else { continue };
            prop_assert_eq!(strikes.is_empty(), matches!(shown, Cow::Borrowed(_)));
            if strikes.is_empty() {
                prop_assert_eq!(shown.as_ref(), text.as_str(), "byte for byte");
            }
            prop_assert!(view.shown);
            prop_assert!(shown.contains(" \"type\"  :\n"), "what was not touched stays: {shown}");
            // No id of what is not seen.
            let mut ids = BTreeSet::new();
            ids_in(&serde_json::from_str(shown).unwrap(), &mut ids);
            for id in &ids {
                let seen = got.contains(id) || (!present.contains(id.as_str()) && !hidden_ids.contains(id));
                prop_assert!(seen, "{id} in {shown}");
            }
            let asked = &view.redaction;
            // No part that is marked more strictly, nor its marking.
            for tlp in Tlp::ALL.into_iter().filter(|tlp| *tlp > view.parts) {
                prop_assert!(!shown.contains(&format!("part-{tlp:?}-")), "{tlp}: {shown}");
                prop_assert!(!shown.contains(tlp.marking()), "{tlp}: {shown}");
            }
            let object: Value = serde_json::from_str(shown).unwrap();
            for property in &asked.properties {
                prop_assert!(object.get(property).is_none());
            }
            if asked.patterns.contains("ticket") {
                prop_assert!(!shown.contains("ACME-7"), "{shown}");
            }
            if asked.internal {
                for internal in ["corp", "10.1.2", "10.0.0.9"] {
                    prop_assert!(!shown.contains(internal), "{internal}: {shown}");
                }
            }
            if asked.victims || asked.pseudonyms {
                prop_assert!(targets.iter().all(|target| !shown.contains(target)), "{shown}");
            }
            // What is left of markings marks what is there.
            for part in object["granular_markings"].as_array().into_iter().flatten() {
                for selector in part["selectors"].as_array().unwrap() {
                    let pointer = format!("/{}", selector.as_str().unwrap().replace('.', "/").replace(['[', ']'], ""));
                    let marked = object.pointer(&pointer);
                    prop_assert!(marked.is_some(), "{selector} in {shown}");
                    if let Some(Value::String(word)) = marked {
                        let allowed = word.starts_with("part-") || !word.contains("plain");
                        prop_assert!(allowed, "{selector} is {word} in {shown}");
                    }
                }
            }
        }
    }

    #[test]
    fn who_may_see_all_gets_what_was_issued(seeds in prop::collection::vec(seed(), 1..10)) {
        let texts: Vec<String> = seeds.iter().enumerate().map(|(place, seed)| written(seed, place)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        for (cut, issued) in cut_all(&texts, Tlp::Red, &Redaction::default()).iter().zip(texts) {
            prop_assert_eq!(text(cut), issued);
        }
    }

    /// Patterns, names and selectors of any text do no harm.
    #[test]
    fn any_text_is_searched(words in prop::collection::vec(r##"[a-z0-9.:@/\\\[\](){}%_ "#-]{0,40}"##, 3)) {
        let note = object("note", 1, &format!(
            r#""content":{},"object_refs":["{}"],"granular_markings":[{{"marking_ref":"{}","selectors":[{}]}}]"#,
            json!(words[0]), id("identity", 2, 4), Tlp::Red.marking(), json!(words[1])
        ));
        let victim = object("identity", 2, &format!(r#""name":{},"roles":["Victim"]"#, json!(words[2])));
        let redaction = asking(|it| {
            it.internal = true;
            it.pseudonyms = true;
            it.patterns.insert("ticket".into());
        });
        for cut in cut_all(&[&note, &victim], Tlp::Green, &redaction) {
            if let Cut::Shown { text, .. } = cut {
                prop_assert!(Object::parse(&text).is_ok());
            }
        }
    }
}
