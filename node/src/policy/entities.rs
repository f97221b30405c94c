//! Members, items and situations as Cedar is handed them.

use std::collections::{BTreeSet, HashMap, HashSet};

use cedar_policy::{Context, Entity, EntityUid, RestrictedExpression as Value};
use hanse_protocol::charter::{Charter, Member};
use hanse_protocol::identity::Handle;
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;

use super::item::Item;
use super::schema::Kind;
use super::terms::Terms;

/// What policies know of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Person {
    pub(super) kind: String,
    pub(super) sector: String,
    pub(super) country: String,
    pub(super) trust: u8,
    pub(super) steward: bool,
    pub(super) contract_from: Option<Timestamp>,
    pub(super) contract_until: Option<Timestamp>,
    pub(super) tags: BTreeSet<String>,
    pub(super) circles: BTreeSet<String>,
}

impl Person {
    /// A member of our community: its charter's word, and our terms with it.
    pub(super) fn of(member: &Member, charter: &Charter, terms: &Terms) -> Self {
        let term = terms.of(&member.handle);
        Self {
            trust: term.trust,
            contract_from: term.contract_from,
            contract_until: term.contract_until,
            tags: term.tags,
            circles: terms.circles_of(&member.handle),
            ..Self::stranger(member, charter)
        }
    }

    /// A member of another community: our terms and circles are about members of ours, whom it may only
    /// share its handle with.
    pub(super) fn stranger(member: &Member, charter: &Charter) -> Self {
        Self {
            kind: member.profile.kind.to_string(),
            sector: member.profile.sector.clone(),
            country: member.profile.country.clone(),
            trust: super::terms::TRUST,
            steward: charter.stewards.contains(&member.handle),
            ..Self::default()
        }
    }

    /// Whoever is no member: nothing is known, and nothing trusted.
    pub(super) fn nobody() -> Self {
        Self::default()
    }

    /// Itself under that name.
    pub(super) fn entity(&self, name: &str) -> Result<Entity, String> {
        let mut attributes = HashMap::from([
            text("kind", &self.kind),
            text("sector", &self.sector),
            text("country", &self.country),
            number("trust", self.trust),
            yes("steward", self.steward),
            texts("tags", &self.tags),
        ]);
        attributes.extend(self.contract_from.map(|at| instant("contract_from", at)));
        attributes.extend(self.contract_until.map(|at| instant("contract_until", at)));
        let circles = self
            .circles
            .iter()
            .map(|circle| Kind::Circle.named(circle))
            .collect();
        Entity::new(Kind::Member.named(name), attributes, circles).map_err(|error| error.to_string())
    }
}

/// The name under which the one item of a question is known.
pub(super) fn item_uid() -> EntityUid {
    Kind::Item.named("item")
}

/// The item of a question. It lies within its marking and every stricter one.
pub(super) fn item_entity(item: &Item) -> Result<Entity, String> {
    let mut attributes = HashMap::from([
        text("type", &item.kind),
        text("tlp", item.tlp.name()),
        texts("labels", &item.labels),
        number("sightings", item.sightings),
        texts("kill_chain", &item.kill_chain),
        texts("targets", &item.targets),
        yes("personal_data", item.personal_data),
        yes("revoked", item.revoked),
    ]);
    attributes.extend(item.confidence.map(|confidence| number("confidence", confidence)));
    let within = Tlp::ALL.into_iter().filter(|tlp| item.tlp <= *tlp);
    let parents: HashSet<EntityUid> = within.map(|tlp| Kind::Marking.named(tlp.name())).collect();
    Entity::new(item_uid(), attributes, parents).map_err(|error| error.to_string())
}

/// What is known of the situation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Situation {
    Share {
        named: bool,
    },
    Accept {
        size: u64,
        rate: u32,
        sealed: bool,
    },
    Forward {
        from: String,
        to: String,
        author: Handle,
    },
}

impl Situation {
    /// As Cedar is handed it, at that instant.
    pub(super) fn context(&self, now: Timestamp) -> Result<Context, String> {
        let mut pairs = vec![instant("now", now)];
        match self {
            Self::Share { named } => pairs.push(yes("named", *named)),
            Self::Accept { size, rate, sealed } => {
                let size = i64::try_from(*size).unwrap_or(i64::MAX);
                pairs.extend([
                    number("size", size),
                    number("rate", *rate),
                    yes("sealed", *sealed),
                ]);
            }
            Self::Forward { from, to, author } => {
                pairs.extend([
                    text("from", from),
                    text("to", to),
                    text("author", author.as_str()),
                ]);
            }
        }
        Context::from_pairs(pairs).map_err(|error| error.to_string())
    }
}

/// The minute that an instant is in: what policies are told of time, so that a question asked again
/// within it, or from the log, has the same answer.
pub(super) fn minute(now: Timestamp) -> Timestamp {
    const MINUTE: u64 = 60_000;
    Timestamp::from_millis(now.as_millis() / MINUTE * MINUTE)
}

type Pair = (String, Value);

fn text(name: &str, value: &str) -> Pair {
    (name.to_owned(), Value::new_string(value.to_owned()))
}

fn texts(name: &str, values: &BTreeSet<String>) -> Pair {
    let values = values.iter().map(|value| Value::new_string(value.clone()));
    (name.to_owned(), Value::new_set(values))
}

fn number(name: &str, value: impl Into<i64>) -> Pair {
    (name.to_owned(), Value::new_long(value.into()))
}

fn yes(name: &str, value: bool) -> Pair {
    (name.to_owned(), Value::new_bool(value))
}

fn instant(name: &str, at: Timestamp) -> Pair {
    (name.to_owned(), Value::new_datetime(at.to_string()))
}
