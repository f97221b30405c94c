//! Strict, bounded JSON (RFC 8259) over borrowed text: what two readers could take in two ways
//! (duplicate keys, lone surrogates, numbers a double cannot hold) is refused, and every refusal
//! names the path at which it lies.

use std::borrow::Cow;
use std::fmt;

use crate::limits;

pub(crate) mod edit;
mod parser;
#[cfg(test)]
mod tests;

/// A JSON value. Strings and keys borrow from the text they were read from unless they had escapes.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number of a magnitude below 2^53, so that no integer has lost a digit.
    Number(f64),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Json<'a>>),
    /// An object: its members in the order they were written, keys unique.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// Why a text was refused, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at `{path}`")]
pub struct JsonError {
    /// Where, from the root `$`: `$.objects[3].name`.
    pub path: String,
    /// What is wrong there.
    pub kind: JsonErrorKind,
}

/// What is wrong with a JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonErrorKind {
    /// The text breaks the grammar of RFC 8259.
    #[error("no JSON in line {line}, column {column}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// A key occurs twice in one object, once escapes are resolved. Readers differ on which counts.
    #[error("duplicate key")]
    DuplicateKey,
    /// A `\u` escape is half of a surrogate pair, which no UTF-8 can hold.
    #[error("lone surrogate")]
    LoneSurrogate,
    /// A number of 2^53 or beyond, where readers start to lose digits (RFC 7493, section 2.2).
    #[error("number of 2^53 or beyond")]
    NumberTooLarge,
    /// Arrays and objects are nested deeper than [`limits::JSON_DEPTH`].
    #[error("nesting deeper than {} levels", limits::JSON_DEPTH)]
    TooDeep,
    /// More than [`limits::JSON_VALUES`], here or together with what was read before.
    #[error("more than {} values", limits::JSON_VALUES)]
    TooManyValues,
}

impl<'a> Json<'a> {
    /// Reads a text that is one JSON value, surrounded at most by white space. Time is linear in
    /// the text but for sorting the keys of large objects; the caller bounds the text.
    pub fn parse(text: &'a str) -> Result<Self, JsonError> {
        Self::parse_within(text, &mut { limits::JSON_VALUES })
    }

    /// As [`Self::parse`], of at most `values` values. What was used up is taken off, so that several
    /// texts share one bound.
    pub fn parse_within(text: &'a str, values: &mut usize) -> Result<Self, JsonError> {
        parser::parse(text, values)
    }

    /// The member `key` of an object; `None` if this is no object or has no such member.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_object()?
            .iter()
            .find_map(|(name, value)| (name == key).then_some(value))
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a Boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The value of a number.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(value) => Some(*value),
            _ => None,
        }
    }

    /// The value of a number without a fraction.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53 as parsed")]
            Self::Number(value) if value.fract() == 0.0 => Some(*value as i64),
            _ => None,
        }
    }

    /// The elements of an array.
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The members of an object, as written.
    pub fn as_object(&self) -> Option<&[(Cow<'a, str>, Self)]> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }
}

/// One step of a path from the root to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    Key(Cow<'a, str>),
    Index(usize),
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "[{index}]"),
            Self::Key(key) if is_plain(key) => write!(f, ".{key}"),
            Self::Key(key) => write!(f, "['{}']", limits::echo(key)),
        }
    }
}

/// Whether a key needs no quotes in a path.
fn is_plain(key: &str) -> bool {
    (1..=limits::ECHO).contains(&key.len())
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}
