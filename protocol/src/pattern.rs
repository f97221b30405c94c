//! STIX patterns (STIX 2.1, part 9): read once into a tree, with every bound checked on the way, so
//! that what is kept can be searched and matched without parsing anew.

use std::borrow::Cow;

use crate::limits;
use crate::timestamp::Timestamp;

pub(crate) mod instant;
mod lexer;
mod parser;
#[cfg(test)]
mod tests;

/// A pattern that was read: observation expressions and how they are joined.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern<'a> {
    root: Observation<'a>,
}

/// An observation expression and the qualifiers behind it (section 9.5).
#[derive(Clone, Debug, PartialEq)]
pub struct Observation<'a> {
    /// What is to be observed.
    pub what: Observed<'a>,
    /// How often, and within what span, in the order written; all of them must hold.
    pub qualifiers: Vec<Qualifier>,
}

/// What an observation expression asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Observed<'a> {
    /// `[…]`: one observation that meets a condition.
    One(Condition<'a>),
    /// All of them, in any order (`AND`). Two parts or more.
    And(Vec<Observation<'a>>),
    /// Any of them (`OR`). Two parts or more.
    Or(Vec<Observation<'a>>),
    /// All of them, each not before the one in front of it (`FOLLOWEDBY`). Two parts or more.
    FollowedBy(Vec<Observation<'a>>),
}

/// A qualifier of an observation expression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Qualifier {
    /// `WITHIN x SECONDS`: above zero.
    Within {
        /// The span, seconds.
        seconds: f64,
    },
    /// `REPEATS x TIMES`: one or more.
    Repeats {
        /// How often.
        times: u64,
    },
    /// `START … STOP …`: from the first instant on, before the second.
    Between {
        /// The first instant that counts.
        start: Timestamp,
        /// The first instant that no longer counts, after `start`.
        stop: Timestamp,
    },
}

/// What the inside of one `[…]` asks of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition<'a> {
    /// One comparison.
    Test(Comparison<'a>),
    /// `EXISTS path`, or `NOT EXISTS path`.
    Exists {
        /// The property asked for.
        path: Path<'a>,
        /// Whether `NOT` stands before it.
        negated: bool,
    },
    /// All of them. Two parts or more.
    And(Vec<Condition<'a>>),
    /// Any of them. Two parts or more.
    Or(Vec<Condition<'a>>),
}

/// `path operator value`, perhaps negated (section 9.6).
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison<'a> {
    /// The property compared.
    pub path: Path<'a>,
    /// Whether `NOT` stands before the operator.
    pub negated: bool,
    /// How it is compared.
    pub operator: Operator,
    /// What it is compared to: one value, or any number of them behind `IN`.
    pub values: Vec<Value<'a>>,
}

/// A comparison operator (section 9.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=` or `==`.
    Equal,
    /// `!=` or `<>`.
    NotEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterOrEqual,
    /// `<`.
    Less,
    /// `<=`.
    LessOrEqual,
    /// `IN (…)`.
    In,
    /// `LIKE`: `%` and `_` as in SQL.
    Like,
    /// `MATCHES`: a PCRE.
    Matches,
    /// `ISSUBSET`: an address or network inside the network named.
    IsSubset,
    /// `ISSUPERSET`: a network around the address or network named.
    IsSuperset,
}

/// An object path (section 9.7): `file:hashes.'SHA-256'`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path<'a> {
    /// The type of the object: `file`.
    pub object: &'a str,
    /// The way from the object to the property; one step or more, the first a property.
    pub steps: Vec<Step<'a>>,
}

/// One step of an object path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A property by name, unquoted.
    Property(Cow<'a, str>),
    /// `[n]`: one element of a list.
    Index(i64),
    /// `[*]`: any element of a list.
    Any,
}

/// A constant of a pattern (section 9.2).
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `'text'`, unescaped.
    Text(Cow<'a, str>),
    /// `b'…'` or `h'…'`, decoded.
    Binary(Vec<u8>),
    /// `t'…'`.
    Instant(Timestamp),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
}

/// Why a pattern was refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}, at byte {offset} of the pattern")]
pub struct PatternError {
    /// The byte of the pattern, from 0, at which the fault was seen.
    pub offset: usize,
    /// What is wrong there.
    pub kind: PatternErrorKind,
}

/// What is wrong with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternErrorKind {
    /// The pattern is longer than [`limits::PATTERN`].
    #[error("pattern over {} bytes", limits::PATTERN)]
    TooLong,
    /// Brackets and parentheses are nested deeper than [`limits::PATTERN_DEPTH`].
    #[error("nesting deeper than {} levels", limits::PATTERN_DEPTH)]
    TooDeep,
    /// A character that starts no token.
    #[error("unknown character")]
    Character,
    /// A quote or comment that is never closed.
    #[error("unclosed quote or comment")]
    Unclosed,
    /// A backslash in a string before anything but a quote or a backslash.
    #[error("backslash before neither quote nor backslash")]
    Escape,
    /// A number that is malformed, out of range, or not allowed where it stands.
    #[error("unusable number")]
    Number,
    /// A `b''` that is no base64, an `h''` that is no hexadecimal, or a `t''` that is no instant.
    #[error("unusable literal")]
    Literal,
    /// `STOP` is not after `START`.
    #[error("STOP is not after START")]
    Span,
    /// Another token was due.
    #[error("expected {0}")]
    Expected(Expected),
}

/// What was due where something else stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Expected {
    /// `[` or `(` of an observation expression.
    #[error("an observation in brackets")]
    Observation,
    /// `]`.
    #[error("a closing bracket")]
    Bracket,
    /// `)`.
    #[error("a closing parenthesis")]
    Parenthesis,
    /// An object path.
    #[error("an object path")]
    Path,
    /// A step of an object path.
    #[error("a step of an object path")]
    Step,
    /// A comparison operator.
    #[error("a comparison operator")]
    Operator,
    /// A constant of a kind that the operator takes.
    #[error("a value that the operator takes")]
    Value,
    /// `(` or `,` of a set.
    #[error("a set of values")]
    Set,
    /// The second half of a qualifier.
    #[error("the rest of a qualifier")]
    Qualifier,
    /// The end of the pattern.
    #[error("the end of the pattern")]
    End,
}

impl<'a> Pattern<'a> {
    /// Reads a pattern. White space and comments may stand between tokens. Hyphens are also taken
    /// in unquoted steps (`file:hashes.SHA-256`), as some tools write them.
    pub fn parse(text: &'a str) -> Result<Self, PatternError> {
        if text.len() > limits::PATTERN {
            return Err(PatternError {
                offset: limits::PATTERN,
                kind: PatternErrorKind::TooLong,
            });
        }
        Ok(Self {
            root: parser::parse(text)?,
        })
    }

    /// The outermost observation expression.
    pub const fn root(&self) -> &Observation<'a> {
        &self.root
    }

    /// Every comparison of the pattern, in the order written.
    pub fn comparisons<'p>(&'p self) -> impl Iterator<Item = &'p Comparison<'a>> {
        let mut waiting = vec![Node::Observation(&self.root)];
        std::iter::from_fn(move || {
            while let Some(node) = waiting.pop() {
                match node {
                    Node::Observation(observation) => match &observation.what {
                        Observed::One(condition) => waiting.push(Node::Condition(condition)),
                        Observed::And(parts) | Observed::Or(parts) | Observed::FollowedBy(parts) => {
                            waiting.extend(parts.iter().rev().map(Node::Observation));
                        }
                    },
                    Node::Condition(Condition::Test(comparison)) => return Some(comparison),
                    Node::Condition(Condition::Exists { .. }) => {}
                    Node::Condition(Condition::And(parts) | Condition::Or(parts)) => {
                        waiting.extend(parts.iter().rev().map(Node::Condition));
                    }
                }
            }
            None
        })
    }
}

/// What a walk of the tree still has to visit.
enum Node<'p, 'a> {
    Observation(&'p Observation<'a>),
    Condition(&'p Condition<'a>),
}
