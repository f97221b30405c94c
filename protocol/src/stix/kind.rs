//! What the types of STIX 2.1 have in common, and the look-up of a type in the families' tables.

use super::{Shape, cyber, domain, meta, relation};

/// How an object of a type is versioned and which common properties it must carry (section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Created, modified, versioned: domain and relationship objects, language content, extensions.
    Versioned,
    /// Created once and never modified: marking definitions.
    Fixed,
    /// A fact without a history: observables. Needs no `spec_version`.
    Fact,
}

/// One type of object.
pub(super) struct Kind {
    /// Its `type`.
    pub(super) name: &'static str,
    /// How it is versioned.
    pub(super) class: Class,
    /// Properties it must have beside the common ones, and their shapes.
    pub(super) required: &'static [(&'static str, Shape)],
    /// Properties of which it must have one; none if empty.
    pub(super) any_of: &'static [&'static str],
}

impl Kind {
    pub(super) const fn new(
        class: Class,
        name: &'static str,
        required: &'static [(&'static str, Shape)],
    ) -> Self {
        Self {
            name,
            class,
            required,
            any_of: &[],
        }
    }

    pub(super) const fn any_of(mut self, properties: &'static [&'static str]) -> Self {
        self.any_of = properties;
        self
    }

    /// Every type of the norm.
    pub(super) fn all() -> impl Iterator<Item = &'static Self> {
        [cyber::KINDS, domain::KINDS, relation::KINDS, meta::KINDS]
            .into_iter()
            .flatten()
    }

    /// The type `name` of the norm; `None` for a custom type.
    pub(super) fn of(name: &str) -> Option<&'static Self> {
        Self::all().find(|kind| kind.name == name)
    }
}
