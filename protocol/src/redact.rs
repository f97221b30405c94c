//! What is taken out of objects before an audience gets them: properties, matches of patterns in free
//! text, internal host names and addresses, victims. Pure: the same input gives the same text, so that
//! what a preview shows is what is sent.

use std::collections::BTreeSet;

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
    /// Whether identities are replaced by pseudonyms, stable for each partner.
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
