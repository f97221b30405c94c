//! What policies may speak of, in Cedar's own notation, and the names of it all.

use std::sync::LazyLock;

use cedar_policy::{EntityTypeName, EntityUid, Schema, Validator};

/// The schema that policies are held against, as text.
pub fn schema_text() -> &'static str {
    include_str!("schema.cedarschema")
}

/// The schema, parsed once.
#[expect(
    clippy::expect_used,
    reason = "the text is part of the program and read by its tests"
)]
pub(super) static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let (schema, _) = Schema::from_cedarschema_str(schema_text()).expect("the schema is well formed");
    schema
});

/// Its validator.
pub(super) static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| Validator::new(SCHEMA.clone()));

/// What a policy decides on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Whether a partner gets what we publish.
    Share,
    /// Whether what an author sent is kept.
    Accept,
    /// Whether a member of another community gets what arrived.
    Forward,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 3] = [Self::Share, Self::Accept, Self::Forward];

    /// Its name in policies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Share => "share",
            Self::Accept => "accept",
            Self::Forward => "forward",
        }
    }
}

/// The kinds of things that have names of their own in policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Member,
    Circle,
    Marking,
    Item,
    Action,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [
        Self::Member,
        Self::Circle,
        Self::Marking,
        Self::Item,
        Self::Action,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Member => "Member",
            Self::Circle => "Circle",
            Self::Marking => "TLP",
            Self::Item => "Item",
            Self::Action => "Action",
        }
    }

    pub(super) fn type_name(self) -> EntityTypeName {
        static NAMES: LazyLock<[EntityTypeName; 5]> = LazyLock::new(|| {
            #[expect(clippy::expect_used, reason = "five fixed names, read by every test")]
            Kind::ALL.map(|kind| kind.name().parse().expect("a name of the schema"))
        });
        let [member, circle, marking, item, action] = &*NAMES;
        match self {
            Self::Member => member,
            Self::Circle => circle,
            Self::Marking => marking,
            Self::Item => item,
            Self::Action => action,
        }
        .clone()
    }

    /// The thing of this kind called `name`.
    pub(super) fn named(self, name: &str) -> EntityUid {
        EntityUid::from_type_name_and_id(self.type_name(), cedar_policy::EntityId::new(name))
    }
}

/// What is known of a member.
pub(super) const OF_MEMBER: [&str; 8] = [
    "kind",
    "sector",
    "country",
    "trust",
    "steward",
    "contract_from",
    "contract_until",
    "tags",
];

/// What is known of an item.
pub(super) const OF_ITEM: [&str; 9] = [
    "type",
    "tlp",
    "labels",
    "confidence",
    "sightings",
    "kill_chain",
    "targets",
    "personal_data",
    "revoked",
];

/// What is known of a situation.
pub(super) const OF_CONTEXT: [&str; 8] = ["now", "named", "size", "rate", "sealed", "from", "to", "author"];
