//! What is wrong with a folder of policies, in words for the person who answers for it: the place, and
//! what to write instead. All that is wrong is told at once.

use std::fmt;

/// Everything that is wrong with a folder: never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyErrors(pub Vec<PolicyError>);

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyError {
    /// The file's name in the folder; of the folder itself, its path.
    pub file: String,
    /// The line, from 1; 0 if it is the file as a whole.
    pub line: u32,
    /// The character in the line, from 1; 0 if it is the file as a whole.
    pub column: u32,
    /// The policy it is in, if it is in one that says its id.
    pub policy: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

/// What may be wrong with a folder of policies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Problem {
    /// The folder or file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// A file that is none of those a folder may hold.
    #[error(
        "a folder of policies holds `*.cedar`, `members.toml`, `redaction.toml` and `tests.toml`, no `{name}`"
    )]
    StrangeFile {
        /// Its name.
        name: String,
    },
    /// Two files of one name.
    #[error("there are two files of this name")]
    DoubleFile,
    /// A file is too large.
    #[error("has {size} bytes, {limit} are the most")]
    TooLarge {
        /// Its size, bytes.
        size: usize,
        /// The most, bytes.
        limit: usize,
    },
    /// All files together are too large.
    #[error("all files together have {size} bytes, {limit} are the most")]
    TooLargeTogether {
        /// Their size, bytes.
        size: usize,
        /// The most, bytes.
        limit: usize,
    },
    /// More policies than a folder may hold.
    #[error("this is policy number {limit} and one: {limit} are the most")]
    TooManyPolicies {
        /// The most.
        limit: usize,
    },
    /// A policy nests too deep or is too long to be evaluated safely.
    #[error(
        "the policy is too tangled: at most {depth} conditions may be joined or lie within each other; make two of it"
    )]
    Tangled {
        /// The most.
        depth: usize,
    },
    /// The text is no policy.
    #[error("this is not how a policy is written: {0}")]
    Syntax(String),
    /// A policy with a slot to be filled later.
    #[error("`?principal` and `?resource` are for templates, which are not read: name the member or circle")]
    Template,
    /// A policy without an id.
    #[error("the policy has no id: write `@id(\"a-name-of-your-own\")` above it")]
    NoId,
    /// An id that cannot be one.
    #[error("`{id}` cannot be an id: 1 to 64 letters, digits, hyphens, dots and underscores are")]
    BadId {
        /// What is written.
        id: String,
    },
    /// Two policies of one id.
    #[error("the id `{id}` is taken: {file} has it on line {line}")]
    DuplicateId {
        /// The id.
        id: String,
        /// The file of the other policy.
        file: String,
        /// The line of the other policy.
        line: u32,
    },
    /// An annotation that is none of ours.
    #[error(
        "`@{name}` is no obligation: redact, redact_text, hide, delay, receipt, backfill, quarantine, id, note are{}",
        did_you_mean(nearest)
    )]
    UnknownObligation {
        /// Its name.
        name: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// An obligation whose value says nothing.
    #[error("`@{name}(\"{value}\")` says nothing: {rule}")]
    BadObligation {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
        /// What it should be.
        rule: &'static str,
    },
    /// An obligation on a policy that cannot have it.
    #[error("`@{name}` makes no sense here: {rule}")]
    MisplacedObligation {
        /// Its name.
        name: String,
        /// Where it belongs.
        rule: &'static str,
    },
    /// A pattern, domain or network of `redaction.toml` that cannot be used.
    #[error("{0}")]
    Redaction(String),
    /// A pattern that `redaction.toml` does not have.
    #[error("no pattern is called `{name}` in redaction.toml{}", did_you_mean(nearest))]
    UnknownPattern {
        /// Its name.
        name: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// A member that neither the charter nor a circle has.
    #[error(
        "`{handle}` is no member of the community and in no circle{}",
        did_you_mean(nearest)
    )]
    UnknownMember {
        /// Its handle.
        handle: String,
        /// Who was probably meant.
        nearest: Option<String>,
    },
    /// A circle that `members.toml` does not define.
    #[error("there is no circle `{circle}` in members.toml{}", did_you_mean(nearest))]
    UnknownCircle {
        /// Its name.
        circle: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// A marking that is none.
    #[error(
        "`{name}` is no TLP marking: clear, green, amber, amber+strict and red are{}",
        did_you_mean(nearest)
    )]
    UnknownMarking {
        /// What is written.
        name: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// An action that there is not.
    #[error(
        "`{name}` is no action: share, accept and forward are{}",
        did_you_mean(nearest)
    )]
    UnknownAction {
        /// What is written.
        name: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// Something that policies do not speak of.
    #[error(
        "policies do not know `{name}`: Member, Circle, Item, TLP and Action are what they speak of{}",
        did_you_mean(nearest)
    )]
    UnknownEntity {
        /// What is written.
        name: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// An attribute that a member, an item or a situation does not have.
    #[error("`{name}` is nothing that is known here of `{of}`{}", did_you_mean(nearest))]
    UnknownAttribute {
        /// Its name.
        name: String,
        /// Whose it would be: `principal`, `resource`, `context`.
        of: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// An attribute that is not always there, and is not asked for first.
    #[error("`{name}` is not always known: ask first, `{of} has {name} && ...`")]
    UnguardedAttribute {
        /// Its name.
        name: String,
        /// Whose it is.
        of: String,
    },
    /// Things of different kinds are compared, or one stands where another is needed.
    #[error("in `{text}` things of different kinds meet: {rule}")]
    WrongType {
        /// The text.
        text: String,
        /// What is wrong with it.
        rule: &'static str,
    },
    /// A date, a span or another literal that is none.
    #[error(
        "`{text}` cannot be read: dates are written like datetime(\"2026-06-19\"), spans like duration(\"2h\")"
    )]
    BadLiteral {
        /// The text.
        text: String,
    },
    /// A function that there is not.
    #[error("there is no function as in `{text}`")]
    UnknownFunction {
        /// The text.
        text: String,
    },
    /// A policy that can never apply, whatever is shared.
    #[error(
        "the policy can never apply: share, accept and forward are about a Member as principal and an Item as resource"
    )]
    NeverApplies,
    /// Text that looks like other text than it is.
    #[error(
        "the policy holds characters that look like others or turn the direction of writing: type the word again"
    )]
    Disguised,
    /// Something else that policies may not say.
    #[error("`{text}` is not allowed in a policy")]
    NotAllowed {
        /// The text.
        text: String,
    },
    /// A settings file that cannot be read as one.
    #[error("{0}")]
    Settings(String),
    /// A handle that cannot be one.
    #[error("`{text}` is no handle: two to 40 lower-case letters, digits and inner hyphens are")]
    BadHandle {
        /// What is written.
        text: String,
    },
    /// A value out of its bounds.
    #[error("`{name}` is {value}: {rule}")]
    OutOfBounds {
        /// Whose value.
        name: String,
        /// The value.
        value: String,
        /// What it should be.
        rule: &'static str,
    },
    /// An expectation of a policy that there is not.
    #[error("there is no policy `{id}`{}", did_you_mean(nearest))]
    UnknownPolicy {
        /// Its id.
        id: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// Two expectations of one question that cannot both hold.
    #[error("contradicts the expectation `{other}` on line {line}: the same question, another answer")]
    Contradiction {
        /// The other's name.
        other: String,
        /// The other's line.
        line: u32,
    },
}

pub(super) fn did_you_mean(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"))
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {} of ", self.line)?;
        }
        write!(f, "{}", self.file)?;
        if let Some(policy) = &self.policy {
            write!(f, ", policy `{policy}`")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for PolicyError {}

impl fmt::Display for PolicyErrors {
    /// One a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyErrors {}

impl PolicyErrors {
    /// The errors in the order of their places, each once; nothing if there are none.
    pub(super) fn of(mut errors: Vec<PolicyError>) -> Result<(), Self> {
        errors.sort();
        errors.dedup();
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Self(errors))
        }
    }
}
