//! What is taken out of objects before an audience gets them: properties, matches of patterns in free
//! text, internal host names and addresses, victims, parts that are marked more strictly, and what
//! refers to objects that the audience may not see. Pure: the same input gives the same text, so that
//! what a preview shows is what is sent.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use crate::stix::{Object, StixError};
use crate::tlp::Tlp;

mod alone;
mod bundle;
mod ids;
mod internal;
mod markings;
mod names;
mod rules;
#[cfg(test)]
mod tests;
mod text;
mod trail;
mod victims;
mod work;

pub use rules::{RuleError, Rules};

/// What policies ask to be taken out for an audience. What several ask for adds up.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Redaction {
    /// Top-level properties to strike, by name: `description`, `x_acme_ticket`.
    pub properties: BTreeSet<String>,
    /// Names of the patterns whose matches in free text are replaced.
    pub patterns: BTreeSet<String>,
    /// Whether internal host names and addresses are replaced or dropped.
    pub internal: bool,
    /// Whether what tells who a victim is is taken out.
    pub victims: bool,
    /// Whether victims appear under pseudonyms, stable for each partner, and are not taken out.
    pub pseudonyms: bool,
}

impl Redaction {
    /// Whether nothing is asked to be taken out.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what `other` asks for.
    pub fn add(&mut self, other: &Self) {
        self.properties.extend(other.properties.iter().cloned());
        self.patterns.extend(other.patterns.iter().cloned());
        self.internal |= other.internal;
        self.victims |= other.victims;
        self.pseudonyms |= other.pseudonyms;
    }
}

/// One object of a publication, and what one audience sees of it. An object of which it sees nothing is
/// named too: others may refer to it, or tell its name.
#[derive(Clone, Copy, Debug)]
pub struct Glance<'o, 'r> {
    /// The object as issued.
    pub object: &'o Object<'o>,
    /// What the audience sees of it, if anything.
    pub sight: Option<Sight<'r>>,
}

/// What an audience sees of an object that is for it.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'r> {
    /// Parts whose granular marking is stricter than this are struck.
    pub parts: Tlp,
    /// What is taken out beside.
    pub redaction: &'r Redaction,
}

/// What holds for all objects that one audience gets.
#[derive(Clone, Copy)]
pub struct Outlook<'a> {
    /// What the names that redactions use mean.
    pub rules: &'a Rules,
    /// The secret without which nobody can guess what a replacement id or a pseudonym stands for.
    pub secret: &'a [u8; 32],
    /// Who the audience is: what replacement ids and pseudonyms hang on beside the secret.
    pub audience: &'a [u8],
    /// Whether an object that is not in this publication, by its id in lower case, must not be known to
    /// the audience.
    pub hidden: &'a dyn Fn(&str) -> bool,
}

/// What an audience gets of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut<'o> {
    /// This text.
    Shown {
        /// A sound object; borrowed, and byte for byte as issued, if nothing was struck.
        text: Cow<'o, str>,
        /// What was struck or replaced, by place.
        strikes: Vec<Strike>,
    },
    /// Nothing.
    Dropped(DropReason),
}

/// One thing that was struck or replaced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Strike {
    /// Where it was in the object as issued: `description`, `external_references[0].url`.
    pub path: String,
    /// Why.
    pub why: Why,
}

/// Why something was struck or replaced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The redaction names the property.
    Property,
    /// The part is marked more strictly than this audience may see.
    Marking(Tlp),
    /// The pattern of this name matched in the text.
    Pattern(String),
    /// The text named an internal host or address.
    Internal,
    /// It told who a victim is.
    Victim,
    /// A victim appears under a pseudonym.
    Pseudonym,
    /// It referred to an object that this audience may not see.
    Reference,
    /// An id that could be guessed from what was struck was replaced.
    Id,
    /// It was about something else that was struck: its marking, or its translation.
    About,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Property => f.write_str("by `@redact`"),
            Self::Marking(tlp) => write!(f, "as it is marked {tlp}"),
            Self::Pattern(name) => write!(f, "where the pattern `{name}` matches"),
            Self::Internal => f.write_str("where it names something internal"),
            Self::Victim => f.write_str("as it tells who a victim is"),
            Self::Pseudonym => f.write_str("for a pseudonym"),
            Self::Reference => f.write_str("as it refers to what this audience may not see"),
            Self::Id => f.write_str("as an id that could be guessed from what was struck"),
            Self::About => f.write_str("as it is about what was struck"),
        }
    }
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.why {
            Why::Pattern(_) | Why::Internal | Why::Pseudonym | Why::Id => "replaced",
            _ => "struck",
        };
        write!(f, "`{}` was {verb} {}", self.path, self.why)
    }
}

/// Why an audience gets nothing of an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DropReason {
    /// It is not for this audience at all.
    #[error("it is not for this audience")]
    NotForAudience,
    /// The redaction names a property that is never struck: one that says what the object is, or who may
    /// read it.
    #[error("`{0}` is to be struck, and no object goes without it")]
    Kept(String),
    /// Without what was struck it is no sound object.
    #[error("it is no sound object once `{}` is struck {}: {reason}", strike.path, strike.why)]
    Unsound {
        /// What had to be struck.
        strike: Strike,
        /// What it is without that.
        reason: StixError,
    },
    /// A granular marking of it cannot be followed to the part it marks.
    #[error("`{0}` marks a part that is not found, more strictly than this audience may see")]
    Marking(String),
    /// The redaction asks for a pattern that the rules do not have.
    #[error("there is no pattern `{0}` to redact by")]
    NoPattern(String),
    /// What makes it the object it is matches a pattern: its value, or what an indicator looks for.
    #[error("its `{path}` matches the pattern `{pattern}`")]
    Pattern {
        /// Where.
        path: String,
        /// The pattern's name.
        pattern: String,
    },
    /// It is an internal host or address, or an indicator that looks for one.
    #[error("its `{0}` is internal")]
    Internal(String),
    /// It is a victim, or what makes it the object it is names one.
    #[error("it tells who a victim is")]
    Victim,
}

/// What one audience gets of a publication: one [`Cut`] for each object, in their order.
///
/// Every text shown is a sound [`Object`], and what was not touched keeps every byte. No property, list
/// element or dictionary member that refers to an object which the audience does not get (its sight is
/// `None`, it was dropped here, or [`Outlook::hidden`] says so) is left; an object that needs it is
/// dropped, and so is what needs that one. References to marking definitions are no such references: they
/// say who may read, and stay.
///
/// An id that its object's content can be guessed from (a name-based UUID, RFC 9562, as section 2.9 of
/// STIX 2.1 has it for observables) is replaced, and references with it, when something it may be made
/// from was struck.
pub fn cut<'o>(objects: &[Glance<'o, '_>], outlook: &Outlook<'_>) -> Vec<Cut<'o>> {
    bundle::Bundle::new(objects, outlook).cut()
}
