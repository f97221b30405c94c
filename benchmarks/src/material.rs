//! What is published: made-up indicators, numbered so that any can be searched for, and real ones
//! where they are at hand.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use flate2::read::MultiGzDecoder;
use serde_json::value::RawValue;

use crate::measure::Failure;

/// The file of real indicators, one a line.
const REAL: &str = "indicators-100k.ndjson.gz";

/// The made-up indicator of this number: some 500 bytes of TLP:GREEN, like no other.
pub(crate) fn indicator(number: u64) -> String {
    let hash = blake3::hash(&number.to_be_bytes()).to_hex();
    let part = |from: usize, to: usize| hash.get(from..to).unwrap_or_default();
    let id = format!(
        "{}-{}-4{}-8{}-{}",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    );
    let path = match number % 4 {
        0 => "domain-name:value",
        1 => "ipv4-addr:value",
        2 => "url:value",
        _ => "file:hashes.'SHA-256'",
    };
    let value = value(number);
    let marking = hanse_protocol::tlp::Tlp::Green.marking();
    format!(
        r#"{{"type":"indicator","spec_version":"2.1","id":"indicator--{id}","created":"2026-05-04T08:15:00.000Z","modified":"2026-05-04T08:15:00.000Z","name":"Seen in incident {number}","indicator_types":["malicious-activity"],"pattern":"[{path} = '{value}']","pattern_type":"stix","pattern_version":"2.1","valid_from":"2026-05-04T08:15:00Z","confidence":80,"object_marking_refs":["{marking}"]}}"#
    )
}

/// The value that the indicator of this number has in its pattern.
pub(crate) fn value(number: u64) -> String {
    let hash = blake3::hash(&number.to_le_bytes()).to_hex();
    let word = hash.get(..10).unwrap_or_default();
    match number % 4 {
        0 => format!("{word}.n{number}.example"),
        // Four numbers share an address space of 2^24 below 10/8 and up: distinct up to 67 million.
        1 => {
            let [_, a, b, c] = u32::try_from(number / 4).unwrap_or_default().to_be_bytes();
            format!("11.{a}.{b}.{c}")
        }
        2 => format!("http://{word}.example/{number}/gate.php"),
        _ => blake3::hash(&number.to_be_bytes()).to_hex().to_string(),
    }
}

/// The first objects of the real file, with their values, or `None` where it is not at hand.
pub(crate) fn real(count: usize) -> Result<Option<Vec<(String, String)>>, Failure> {
    let Some(folder) = std::env::var_os("HANSE_DATA") else {
        return Ok(None);
    };
    let path = PathBuf::from(folder).join(REAL);
    if !path.exists() {
        return Ok(None);
    }
    let lines = BufReader::new(MultiGzDecoder::new(std::fs::File::open(path)?)).lines();
    let mut objects = Vec::new();
    for line in lines.take(count) {
        let line = line?;
        let value = pattern_value(&line).unwrap_or_default();
        objects.push((line, value));
    }
    Ok((objects.len() == count).then_some(objects))
}

/// The text between the first quotes after the comparison of an indicator's pattern.
fn pattern_value(object: &str) -> Option<String> {
    let object: serde_json::Value = serde_json::from_str(object).ok()?;
    let pattern = object.get("pattern")?.as_str()?;
    let (_, after) = pattern.split_once("= '")?;
    let (value, _) = after.split_once('\'')?;
    Some(value.to_owned())
}

/// Text as an object to publish.
pub(crate) fn raw(object: String) -> Result<Box<RawValue>, Failure> {
    Ok(RawValue::from_string(object)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn made_up_indicators_are_sound_distinct_and_found_by_their_value() {
        let mut ids = BTreeSet::new();
        for number in 0..200 {
            let text = indicator(number);
            let object = hanse_protocol::stix::Object::parse(&text).unwrap();
            assert!(ids.insert(object.id().to_string()));
            assert_eq!(pattern_value(&text).unwrap(), value(number));
            hanse_protocol::observable::Observable::parse(&value(number)).unwrap();
        }
    }
}
