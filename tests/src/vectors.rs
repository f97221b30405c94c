//! Frozen vectors: bytes of every message, good and bad, with what a reader makes of them. One JSON
//! file a vector under `tests/vectors/`; see the README there.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

pub mod describe;
pub mod make;
pub mod read;

/// One frozen vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector {
    /// Its file's name: what it is, and for a bad one what is wrong with it.
    pub name: String,
    /// Whether what it gives is to be believed.
    pub good: bool,
    /// Which reader it is for: see [`read::outcome`].
    pub kind: String,
    /// What it shows, in a sentence.
    pub about: String,
    /// What the reader is given; bytes in hexadecimal digits.
    pub given: Value,
    /// What the reader makes of it; `{"refused": …}` for a bad one.
    pub expect: Value,
}

/// Where the vectors are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

impl Vector {
    /// The file, below `folder`.
    pub fn path(&self, folder: &Path) -> PathBuf {
        let side = if self.good { "good" } else { "bad" };
        folder.join(side).join(format!("{}.json", self.name))
    }

    /// The file's text: keys in order, so that it does not depend on how JSON maps are kept.
    pub fn text(&self) -> String {
        let whole = sorted(&json!({
            "kind": self.kind,
            "about": self.about,
            "given": self.given,
            "expect": self.expect,
        }));
        serde_json::to_string_pretty(&whole).expect("plain JSON") + "\n"
    }

    /// Reads a file.
    ///
    /// # Panics
    /// If it is no vector.
    pub fn load(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a vector's file");
        let whole: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let text = |key: &str| whole[key].as_str().expect("a text").to_owned();
        Self {
            name: path.file_stem().expect("a name").to_string_lossy().into_owned(),
            good: path.parent().is_some_and(|side| side.ends_with("good")),
            kind: text("kind"),
            about: text("about"),
            given: whole["given"].clone(),
            expect: whole["expect"].clone(),
        }
    }
}

/// Every vector below `folder`, in the order of their paths.
///
/// # Panics
/// If a file cannot be read.
pub fn load_all(folder: &Path) -> Vec<Vector> {
    let mut paths: Vec<PathBuf> = ["good", "bad"]
        .iter()
        .filter_map(|side| fs::read_dir(folder.join(side)).ok())
        .flat_map(|entries| entries.map(|entry| entry.expect("an entry").path()))
        .filter(|path| path.extension().is_some_and(|kind| kind == "json"))
        .collect();
    paths.sort();
    paths.iter().map(|path| Vector::load(path)).collect()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let sorted = entries
                .into_iter()
                .map(|(key, value)| (key.clone(), sorted(value)));
            Value::Object(sorted.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// Bytes as vectors write them.
pub fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// Bytes that a vector wrote.
///
/// # Panics
/// If the text is not in lower-case hexadecimal digits.
pub fn unhex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER
        .decode(text.as_bytes())
        .expect("lower-case hexadecimal digits")
}
