//! Fuzz targets: one function for every decoder that reads what others wrote. cargo-fuzz, a bounded
//! test and the `mutate` program call the same ones.
//!
//! A target must come back from any bytes. It also holds what it read to a promise: bytes that are
//! read are their one spelling, and whatever bears a signature or a seal that holds is one of the
//! messages that were really made.

use std::fs;
use std::path::{Path, PathBuf};

use crate::vectors::{Vector, unhex};

pub mod mutation;
mod signed;
mod texts;
mod wire;

/// A decoder under fuzzing.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and its corpus's.
    pub name: &'static str,
    /// Feeds it.
    pub run: fn(&[u8]),
    /// One in how many inputs it gets of those the others get: it is so much slower.
    pub rarity: u64,
}

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run, rarity: 1 }
}

/// Every target.
pub const TARGETS: [Target; 26] = [
    target("header", signed::header),
    target("sealed-body", signed::sealed_body),
    target("charter", signed::charter),
    target("presence", signed::presence),
    target("head", signed::head),
    target("request", signed::request),
    target("invite", signed::invite),
    target("proposal", signed::proposal),
    target("body", wire::body),
    target("packed", wire::packed),
    target("frame", wire::frame),
    target("charter-question", wire::charter_question),
    target("charter-answer", wire::charter_answer),
    target("heal-question", wire::heal_question),
    target("heal-answer", wire::heal_answer),
    target("told", wire::told),
    target("retraction", wire::retraction),
    target("receipt", wire::receipt),
    target("forwarded", signed::forwarded),
    target("signing-key", wire::signing_key),
    target("content", texts::content),
    target("json", texts::json),
    target("object", texts::object),
    target("pattern", texts::pattern),
    target("observable", texts::observable),
    Target {
        name: "settings",
        run: texts::settings,
        rarity: 50,
    },
];

/// Feeds the target of this name.
///
/// # Panics
/// If there is none, or if it broke its promise.
pub fn feed(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a target").run)(data);
}

/// Where the corpora are, one folder a target.
pub fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join("corpus")
}

/// The inputs a target starts from, in the order of their names.
///
/// # Panics
/// If its corpus cannot be read.
pub fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(corpora().join(target.name)).expect("a corpus");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a seed")).collect()
}

/// The seeds that a vector gives: the target, and the bytes.
pub fn seeds(vector: &Vector) -> Vec<(&'static str, Vec<u8>)> {
    let text = |key: &str| vector.given[key].as_str();
    let bytes = |key: &str| text(key).map(unhex).unwrap_or_default();
    let words = || text("text").unwrap_or_default().as_bytes().to_vec();
    match vector.kind.as_str() {
        "header" | "admission" => vec![("header", bytes("bytes"))],
        "body" => vec![
            ("body", bytes("bytes")),
            ("packed", wire::as_packed(&bytes("bytes"))),
        ],
        "sealed-body" => vec![("sealed-body", bytes("bytes")), ("body", bytes("bytes"))],
        "record" => vec![("body", bytes("body"))],
        "forwarded" => vec![("forwarded", bytes("bytes"))],
        "charter" => {
            let charters = vector.given["charters"].as_array().into_iter().flatten();
            let newest = charters.last().and_then(|charter| charter.as_str());
            vec![("charter", newest.map(unhex).unwrap_or_default())]
        }
        "sealing-key" => vec![("signing-key", bytes("key"))],
        "signing-key" => vec![("signing-key", bytes("key"))],
        "object" => vec![("object", words()), ("json", words())],
        "content" => vec![("content", bytes("bytes")), ("json", bytes("bytes"))],
        kind => {
            let target = TARGETS.iter().find(|target| target.name == kind);
            let given = if text("text").is_some() {
                words()
            } else {
                bytes("bytes")
            };
            target.map(|target| (target.name, given)).into_iter().collect()
        }
    }
}
