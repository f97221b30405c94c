//! STIX 2.1 objects: a thin typed view over one object whose bytes are kept as issued, and the rules
//! an object must meet to be found sound. Unknown types and properties are accepted and survive.

use std::borrow::Cow;
use std::fmt;

use crate::json::{Json, JsonError};
use crate::limits;
use crate::observable::Observable;
use crate::pattern::PatternError;
use crate::pattern::instant::Instant;
use crate::timestamp::Timestamp;
use crate::tlp::Tlp;

mod cyber;
mod domain;
mod kind;
mod meta;
mod observables;
mod relation;
mod rules;
#[cfg(test)]
mod tests;

pub(crate) use rules::type_of_id;

/// One sound STIX 2.1 object.
#[derive(Clone, Debug, PartialEq)]
pub struct Object<'a> {
    raw: &'a str,
    json: Json<'a>,
}

/// The shape a property must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A string.
    Text,
    /// A timestamp (section 2.16): RFC 3339 in UTC, ending in `Z`.
    Instant,
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// An identifier (section 2.9): `type--UUID`.
    Id,
    /// A list of identifiers.
    Ids,
    /// A list.
    List,
    /// An object.
    Map,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "a string",
            Self::Instant => "a timestamp in UTC such as 2026-06-19T01:16:32.866Z",
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Id => "an identifier such as identity--432ff286-31ae-5378-af23-fcc1abf6356c",
            Self::Ids => "a list of identifiers",
            Self::List => "a list",
            Self::Map => "an object",
        })
    }
}

/// Why an object is not sound. Sections are those of STIX 2.1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StixError {
    /// Larger than [`limits::OBJECT`].
    #[error("an object of {bytes} bytes is over {}", limits::OBJECT)]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// No JSON that every reader takes alike.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// JSON, but no object.
    #[error("no JSON object")]
    NotAnObject,
    /// A bundle is a container, and not read as an object in one.
    #[error("a bundle is no object: its objects are")]
    Bundle,
    /// A property that its type requires is missing.
    #[error("`{kind}` lacks `{property}`")]
    Missing {
        /// The object's type.
        kind: String,
        /// The property.
        property: &'static str,
    },
    /// Not one of the properties is there of which the type requires one.
    #[error("`{kind}` lacks all of `{}`", properties.join("`, `"))]
    MissingAll {
        /// The object's type.
        kind: String,
        /// The properties.
        properties: &'static [&'static str],
    },
    /// A property has another shape than it must.
    #[error("`{path}` is not {shape}")]
    Shape {
        /// Where: `object_marking_refs[2]`.
        path: String,
        /// What it must be.
        shape: Shape,
    },
    /// The type is not 3 to 250 lower-case letters, digits and hyphens (section 3.2).
    #[error("`{0}` is no type")]
    Type(String),
    /// The id is not `type--UUID` with the object's own type (section 2.9).
    #[error("`{id}` is no id of an object of type `{kind}`")]
    Id {
        /// The object's type.
        kind: String,
        /// The id as found.
        id: String,
    },
    /// There is no `spec_version`, so this is STIX 2.0, which is converted before it is shared.
    #[error("`{kind}` lacks `spec_version`: this is STIX 2.0, and 2.1 is needed")]
    Version20 {
        /// The object's type.
        kind: String,
    },
    /// Another `spec_version` than 2.1.
    #[error("`spec_version` is `{0}`, and 2.1 is needed")]
    SpecVersion(String),
    /// Two instants are in the wrong order: `modified` before `created`, or `valid_until` not after
    /// `valid_from`.
    #[error("`{later}` is too early for `{earlier}`")]
    Order {
        /// The property that comes first.
        earlier: &'static str,
        /// The property that must follow it.
        later: &'static str,
    },
    /// A pattern in STIX's own language cannot be read.
    #[error("`pattern` cannot be read: {0}")]
    Pattern(PatternError),
}

impl<'a> Object<'a> {
    /// Reads one object and checks it against the rules of its type. White space around it is not
    /// part of it.
    pub fn parse(raw: &'a str) -> Result<Self, StixError> {
        Self::parse_within(raw, &mut { limits::JSON_VALUES })
    }

    /// As [`Self::parse`], of at most `values` JSON values, which are taken off: the objects of one
    /// record share [`limits::JSON_VALUES`].
    pub fn parse_within(raw: &'a str, values: &mut usize) -> Result<Self, StixError> {
        let raw = raw.trim_matches([' ', '\t', '\n', '\r']);
        if raw.len() > limits::OBJECT {
            return Err(StixError::TooLarge { bytes: raw.len() });
        }
        let json = Json::parse_within(raw, values)?;
        rules::check(&json)?;
        Ok(Self { raw, json })
    }

    /// The object's bytes, as issued.
    pub const fn raw(&self) -> &'a str {
        self.raw
    }

    /// All of the object, parsed.
    pub const fn json(&self) -> &Json<'a> {
        &self.json
    }

    fn text(&self, property: &str) -> Option<&str> {
        self.json.get(property).and_then(Json::as_str)
    }

    fn instant(&self, property: &str) -> Option<Timestamp> {
        self.text(property)
            .and_then(Instant::parse)
            .map(Instant::timestamp)
    }

    /// Its `type`: `indicator`.
    pub fn kind(&self) -> &str {
        self.text("type").unwrap_or_default()
    }

    /// Its id: `indicator--` and a UUID.
    pub fn id(&self) -> &str {
        self.text("id").unwrap_or_default()
    }

    /// When it was created, if its type says so.
    pub fn created(&self) -> Option<Timestamp> {
        self.instant("created")
    }

    /// When this version of it was made, if its type has versions.
    pub fn modified(&self) -> Option<Timestamp> {
        self.instant("modified")
    }

    /// What tells its versions apart: `modified`, else `created`, else nothing.
    pub fn version(&self) -> Option<Timestamp> {
        self.modified().or_else(|| self.created())
    }

    /// When what it says stops holding, where it says so.
    pub fn valid_until(&self) -> Option<Timestamp> {
        self.instant("valid_until")
    }

    /// The identity it names as its maker: a claim, shown and never trusted.
    pub fn created_by_ref(&self) -> Option<&str> {
        self.text("created_by_ref")
    }

    /// Whether its maker has taken it back.
    pub fn revoked(&self) -> bool {
        self.json.get("revoked").and_then(Json::as_bool).unwrap_or(false)
    }

    /// Its name, where it has one.
    pub fn name(&self) -> Option<&str> {
        self.text("name")
    }

    /// Its `spec_version`: `2.1`, or nothing, as observables may leave it out.
    pub fn spec_version(&self) -> Option<&str> {
        self.text("spec_version")
    }

    /// The ids of the markings of the whole object, then of those of its parts.
    pub fn marking_refs(&self) -> impl Iterator<Item = &str> {
        self.own_markings().chain(self.granular_markings())
    }

    fn own_markings(&self) -> impl Iterator<Item = &str> {
        let refs = self.json.get("object_marking_refs").and_then(Json::as_array);
        refs.unwrap_or_default().iter().filter_map(Json::as_str)
    }

    fn granular_markings(&self) -> impl Iterator<Item = &str> {
        let parts = self.json.get("granular_markings").and_then(Json::as_array);
        parts
            .unwrap_or_default()
            .iter()
            .filter_map(|part| part.get("marking_ref")?.as_str())
    }

    /// How freely the object as a whole may be shared: the strictest of its markings, those of its
    /// parts counted, and never under `floor`. An object without a marking of its own counts as
    /// marked `unmarked`, even if parts of it are marked.
    pub fn tlp(&self, unmarked: Tlp, floor: Tlp) -> Tlp {
        let own = self.own_tlp(unmarked, floor);
        self.strictest_part().map_or(own, |part| own.max(part))
    }

    /// How freely the object may be shared but for parts that are marked more strictly: the strictest
    /// marking of the object as a whole, `unmarked` if it has none, and never under `floor`.
    pub fn own_tlp(&self, unmarked: Tlp, floor: Tlp) -> Tlp {
        let own = self.own_markings().map(Tlp::of_marking).max();
        own.unwrap_or(unmarked).max(floor)
    }

    /// The markings of its parts, each once, rising. One that is freer than that of the object as a
    /// whole widens nothing.
    pub fn part_tlps(&self) -> Vec<Tlp> {
        let mut parts: Vec<Tlp> = self.granular_markings().map(Tlp::of_marking).collect();
        parts.sort_unstable();
        parts.dedup();
        parts
    }

    /// The strictest marking of a part of it, if a part is marked.
    pub fn strictest_part(&self) -> Option<Tlp> {
        self.granular_markings().map(Tlp::of_marking).max()
    }

    /// The observables it names, each once, in the order found, at most [`limits::OBSERVABLES`]: its
    /// own value or hashes if it is an observable itself, those of the objects inside observed data,
    /// and what the pattern of an indicator asks to equal, to be one of, or to lie in a network.
    /// Negated comparisons name what is *not* meant and are left out.
    pub fn observables(&self) -> Vec<Observable> {
        observables::of(&self.json)
    }
}

/// The types of objects that STIX 2.1 defines: `indicator`, `ipv4-addr`, ...
pub fn types() -> impl Iterator<Item = &'static str> {
    kind::Kind::all().map(|kind| kind.name)
}

/// Whether a text looks like an identifier (section 2.9), in either case: `type--UUID`.
pub fn is_id(text: &str) -> bool {
    rules::type_of_id(text).is_some()
}

/// A piece of the object as an error may show it.
fn echo(text: &str) -> String {
    limits::echo(text)
}

/// The members of an object, none for other values.
fn members<'j, 'a>(json: &'j Json<'a>) -> &'j [(Cow<'a, str>, Json<'a>)] {
    json.as_object().unwrap_or_default()
}
