//! Domain objects (STIX 2.1, section 4): what adversaries, defenders and their tools are.

use super::Shape::{Bool, Ids, Instant, Number, Text};
use super::kind::{Class, Kind};

const fn kind(name: &'static str, required: &'static [(&'static str, super::Shape)]) -> Kind {
    Kind::new(Class::Versioned, name, required)
}

/// Required properties of every domain object, in the order of the norm.
pub(super) const KINDS: &[Kind] = &[
    kind("attack-pattern", &[("name", Text)]),
    kind("campaign", &[("name", Text)]),
    kind("course-of-action", &[("name", Text)]),
    kind("grouping", &[("context", Text), ("object_refs", Ids)]),
    kind("identity", &[("name", Text)]),
    kind("incident", &[("name", Text)]),
    kind(
        "indicator",
        &[("pattern", Text), ("pattern_type", Text), ("valid_from", Instant)],
    ),
    kind("infrastructure", &[("name", Text)]),
    kind("intrusion-set", &[("name", Text)]),
    kind("location", &[]).any_of(&["region", "country", "latitude"]),
    kind("malware", &[("is_family", Bool)]),
    kind("malware-analysis", &[("product", Text)]).any_of(&["result", "analysis_sco_refs"]),
    kind("note", &[("content", Text), ("object_refs", Ids)]),
    kind(
        "observed-data",
        &[
            ("first_observed", Instant),
            ("last_observed", Instant),
            ("number_observed", Number),
        ],
    )
    .any_of(&["object_refs", "objects"]),
    kind("opinion", &[("opinion", Text), ("object_refs", Ids)]),
    kind(
        "report",
        &[("name", Text), ("published", Instant), ("object_refs", Ids)],
    ),
    kind("threat-actor", &[("name", Text)]),
    kind("tool", &[("name", Text)]),
    kind("vulnerability", &[("name", Text)]),
];
