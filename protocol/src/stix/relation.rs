//! Relationship objects (STIX 2.1, section 5): how other objects hang together.

use super::Shape::{Id, Text};
use super::kind::{Class, Kind};

/// Required properties of both relationship objects.
pub(super) const KINDS: &[Kind] = &[
    Kind::new(
        Class::Versioned,
        "relationship",
        &[
            ("relationship_type", Text),
            ("source_ref", Id),
            ("target_ref", Id),
        ],
    ),
    Kind::new(Class::Versioned, "sighting", &[("sighting_of_ref", Id)]),
];
