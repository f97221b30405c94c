//! What is published for whom: an incident in the open, what only two partners may know of it, and
//! small bulletins of every member. All of it is made up; addresses and names are those that are set
//! apart for documentation (RFC 5737, RFC 2606).

use std::io::Cursor;

use hanse_protocol::timestamp::Timestamp;
use hanse_sdk::source::{Item, Source, SourceError};
use rand::RngExt;
use serde_json::Value;
use serde_json::value::RawValue;

const OPEN: &str = include_str!("scene/open.json");
const SEALED: &str = include_str!("scene/sealed.json");

/// Properties whose text must not lie about.
const TELLING: [&str; 5] = ["name", "description", "abstract", "content", "pattern"];

/// Shortest text of a property that is looked for, bytes.
const TELLING_LENGTH: usize = 12;

/// An address that the open incident names, for users to search for.
pub const OPEN_VALUE: &str = "203.0.113.7";

/// An address that only the sealed part names.
pub const SEALED_VALUE: &str = "198.51.100.77";

/// The incident for everybody: TLP:CLEAR and TLP:GREEN.
///
/// # Errors
/// [`SourceError`]; the built-in bundle is tested to have none.
pub fn open() -> Result<Vec<Box<RawValue>>, SourceError> {
    objects("the open incident", OPEN)
}

/// What only named partners may read: TLP:RED.
///
/// # Errors
/// [`SourceError`]; the built-in bundle is tested to have none.
pub fn sealed() -> Result<Vec<Box<RawValue>>, SourceError> {
    objects("the sealed incident", SEALED)
}

fn objects(name: &str, text: &'static str) -> Result<Vec<Box<RawValue>>, SourceError> {
    let mut objects = Vec::new();
    for item in Source::reader(name, Cursor::new(text))? {
        if let Item::Object(object) = item? {
            objects.push(object.raw);
        }
    }
    Ok(objects)
}

/// A bulletin: one indicator, TLP:GREEN, unlike any other.
///
/// # Errors
/// What serde has against it, which is nothing.
pub fn bulletin(now: Timestamp) -> Result<Box<RawValue>, serde_json::Error> {
    let random: u128 = rand::rng().random();
    // Version 4 and its variant (RFC 9562, section 5.4).
    let id = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let text = format!("{id:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| text.get(range).unwrap_or_default());
    let object = serde_json::json!({
        "type": "indicator",
        "spec_version": "2.1",
        "id": format!("indicator--{}", parts.join("-")),
        "created": now.to_string(),
        "modified": now.to_string(),
        "name": format!("Bulletin {text}"),
        "indicator_types": ["anomalous-activity"],
        "pattern": format!("[domain-name:value = 'host-{text}.example']"),
        "pattern_type": "stix",
        "pattern_version": "2.1",
        "valid_from": now.to_string(),
        "object_marking_refs": [hanse_protocol::tlp::Tlp::Green.marking()],
    });
    serde_json::value::to_raw_value(&object)
}

/// The texts of objects that must be found nowhere outside of a reader's answers.
pub fn telling_texts(objects: &[Box<RawValue>]) -> Vec<String> {
    let mut texts = Vec::new();
    for object in objects {
        let Ok(Value::Object(properties)) = serde_json::from_str(object.get()) else {
            continue;
        };
        let told = TELLING.iter().filter_map(|name| properties.get(*name)?.as_str());
        texts.extend(
            told.filter(|text| text.len() >= TELLING_LENGTH)
                .map(str::to_owned),
        );
    }
    texts
}

#[cfg(test)]
mod tests {
    use hanse_protocol::stix::Object;
    use hanse_protocol::tlp::Tlp;

    use super::*;

    fn tlps(objects: &[Box<RawValue>]) -> Vec<Tlp> {
        let tlp = |raw: &RawValue| Object::parse(raw.get()).unwrap().tlp(Tlp::Red, Tlp::Clear);
        objects.iter().map(|raw| tlp(raw)).collect()
    }

    #[test]
    fn the_built_in_incident_is_sound_and_marked_for_its_readers() {
        let (open, sealed) = (open().unwrap(), sealed().unwrap());
        assert!(tlps(&open).iter().all(|tlp| tlp.openly()));
        assert!(tlps(&sealed).iter().all(|tlp| *tlp == Tlp::Red));
        let holds = |objects: &[Box<RawValue>], value: &str| {
            objects.iter().any(|raw| {
                let object = Object::parse(raw.get()).unwrap();
                object
                    .observables()
                    .iter()
                    .any(|observable| observable.as_str() == value)
            })
        };
        assert!(holds(&open, OPEN_VALUE) && !holds(&open, SEALED_VALUE));
        assert!(holds(&sealed, SEALED_VALUE) && !holds(&sealed, OPEN_VALUE));
    }

    #[test]
    fn no_text_that_is_looked_for_is_written_otherwise_in_json() {
        for objects in [open().unwrap(), sealed().unwrap()] {
            let json: String = objects.iter().map(|raw| raw.get().to_owned()).collect();
            let texts = telling_texts(&objects);
            assert!(texts.len() >= 3);
            assert!(texts.iter().all(|text| json.contains(text.as_str())));
        }
    }

    #[test]
    fn bulletins_are_sound_and_unlike() {
        let now = Timestamp::parse_rfc3339("2026-11-23T08:00:00Z").unwrap();
        let (one, other) = (bulletin(now).unwrap(), bulletin(now).unwrap());
        assert_ne!(one.get(), other.get());
        assert_eq!(tlps(&[one, other]), [Tlp::Green, Tlp::Green]);
    }
}
