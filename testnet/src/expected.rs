//! What a node should hold, remembered by hashes: a hundred thousand objects take a few megabytes.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use hanse_protocol::stix::Object;
use hanse_sdk::source::{Item, Source, SourceError};
use serde::Deserialize;

#[cfg(test)]
mod tests;

/// Most objects that are searched for by value at each node.
pub const SAMPLE: usize = 200;

/// BLAKE3, cut to 16 bytes: enough against chance, and nobody here plans a collision.
type Digest = [u8; 16];

fn digest(text: &str) -> Digest {
    let mut digest = Digest::default();
    blake3::Hasher::new()
        .update(text.as_bytes())
        .finalize_xof()
        .fill(&mut digest);
    digest
}

/// An object that is searched for.
#[derive(Clone)]
pub struct Wanted {
    /// Its STIX id.
    pub id: String,
    /// An observable in it, if it has one.
    pub value: Option<String>,
    content: Digest,
}

impl Wanted {
    /// An object to be searched for; `None` if it is none.
    pub fn new(raw: &str) -> Option<Self> {
        let object = Object::parse(raw).ok()?;
        let value = object
            .observables()
            .first()
            .map(|observable| observable.as_str().to_owned());
        Some(Self {
            id: object.id().to_owned(),
            value,
            content: digest(raw),
        })
    }

    /// Whether `raw` is that object, byte for byte.
    pub fn is(&self, raw: &str) -> bool {
        self.content == digest(raw)
    }
}

/// A set of distinct objects: distinct by id and version, each known by its bytes. An id and version
/// that comes with several contents is one object, found if any of them is.
#[derive(Default)]
pub struct Expected {
    by_content: HashMap<Digest, u32>,
    by_version: HashMap<Digest, u32>,
    /// Which object each line of the input held, in the order of the lines.
    lines: Vec<(u64, u32)>,
    /// How many lines hold each object; none once all were refused.
    holders: Vec<u32>,
    sample: Vec<Wanted>,
    /// Every how many objects one joins the sample.
    stride: usize,
}

/// The parts of an object that tell its version.
#[derive(Deserialize)]
struct Version<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    modified: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    created: Option<Cow<'a, str>>,
}

impl Expected {
    /// Everything in a file that can be read as an object.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn read(path: &Path) -> Result<Self, SourceError> {
        let mut expected = Self::default();
        for item in Source::open(path)? {
            if let Item::Object(object) = item? {
                expected.add(object.line, object.raw.get());
            }
        }
        Ok(expected)
    }

    /// Adds an object of a line, which may then join the sample.
    pub fn add(&mut self, line: u64, raw: &str) {
        let before = self.holders.len();
        self.add_unsought(line, raw);
        if self.holders.len() > before {
            self.consider(raw);
        }
    }

    /// Adds an object of a line that is not to be searched for.
    pub fn add_unsought(&mut self, line: u64, raw: &str) {
        let content = digest(raw);
        let version = version_of(raw).unwrap_or(content);
        let next = u32::try_from(self.holders.len()).unwrap_or(u32::MAX);
        let place = *self.by_version.entry(version).or_insert(next);
        if place == next {
            self.holders.push(0);
        }
        self.by_content.entry(content).or_insert(place);
        self.lines.push((line, place));
        if let Some(holders) = usize::try_from(place)
            .ok()
            .and_then(|place| self.holders.get_mut(place))
        {
            *holders += 1;
        }
    }

    /// Takes back what a line holds: the node refused it.
    pub fn withdraw(&mut self, line: u64) {
        let Ok(at) = self.lines.binary_search_by_key(&line, |(line, _)| *line) else {
            return;
        };
        let place = self
            .lines
            .get(at)
            .and_then(|(_, place)| usize::try_from(*place).ok());
        if let Some(holders) = place.and_then(|place| self.holders.get_mut(place)) {
            *holders = holders.saturating_sub(1);
        }
    }

    /// Adds an object to what is searched for, and to nothing else.
    pub fn want(&mut self, wanted: Wanted) {
        self.sample.push(wanted);
    }

    /// How many distinct objects there are.
    pub fn objects(&self) -> usize {
        self.holders.iter().filter(|holders| **holders > 0).count()
    }

    /// What to search for: at most [`SAMPLE`] objects, evenly spread, and what was added by
    /// [`Expected::want`]; none that was taken back.
    pub fn sample(&self) -> impl Iterator<Item = &Wanted> {
        let stays = |wanted: &&Wanted| {
            let place = self
                .by_content
                .get(&wanted.content)
                .and_then(|place| usize::try_from(*place).ok());
            place.is_none_or(|place| self.holders.get(place).is_some_and(|holders| *holders > 0))
        };
        let evenly = self.sample.len().div_ceil(SAMPLE).max(1);
        self.sample
            .iter()
            .rev()
            .step_by(evenly)
            .filter(stays)
            .take(SAMPLE)
    }

    /// Keeps an object for the sample, if it is its turn; halves the sample when it grows too large.
    fn consider(&mut self, raw: &str) {
        self.stride = self.stride.max(1);
        if !(self.holders.len() - 1).is_multiple_of(self.stride) {
            return;
        }
        self.sample.extend(Wanted::new(raw));
        if self.sample.len() > 2 * SAMPLE {
            self.stride *= 2;
            let mut odd = true;
            self.sample.retain(|_| {
                odd = !odd;
                !odd
            });
        }
    }

    fn place(&self, raw: &str) -> Option<u32> {
        let place = *self.by_content.get(&digest(raw))?;
        let holders = self.holders.get(usize::try_from(place).ok()?)?;
        (*holders > 0).then_some(place)
    }
}

fn version_of(raw: &str) -> Option<Digest> {
    let version: Version<'_> = serde_json::from_str(raw).ok()?;
    let instant = version.modified.or(version.created).unwrap_or_default();
    Some(digest(&format!("{}\0{instant}", version.id)))
}

/// Which of the expected objects were found at one node.
#[derive(Default)]
pub struct Found(HashSet<u32>);

impl Found {
    /// Notes an object; tells whether it is one of those expected.
    pub fn see(&mut self, expected: &Expected, raw: &str) -> bool {
        let place = expected.place(raw);
        self.0.extend(place);
        place.is_some()
    }

    /// How many distinct expected objects were found.
    pub fn objects(&self) -> usize {
        self.0.len()
    }
}
