//! Meta objects (STIX 2.1, section 7): what is said about other objects.

use super::Shape::{Id, List, Map, Text};
use super::kind::{Class, Kind};

/// Required properties of the meta objects.
pub(super) const KINDS: &[Kind] = &[
    Kind::new(
        Class::Versioned,
        "extension-definition",
        &[
            ("created_by_ref", Id),
            ("name", Text),
            ("schema", Text),
            ("version", Text),
            ("extension_types", List),
        ],
    ),
    Kind::new(
        Class::Versioned,
        "language-content",
        &[("object_ref", Id), ("contents", Map)],
    ),
    // TLP 2.0's definitions carry an extension in place of a definition.
    Kind::new(Class::Fixed, "marking-definition", &[]).any_of(&["definition", "extensions"]),
];
