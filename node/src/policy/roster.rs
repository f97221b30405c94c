//! The partners that are asked about, in classes that no policy can tell apart: a decision for one member
//! of a class is the decision for all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cedar_policy::{Entities, Entity};
use hanse_protocol::identity::Handle;

use super::entities::Person;

/// The partners of one charter as one set of policies sees them. Made by
/// [`Policies::roster`](super::Policies::roster); good until the charter or the policies change.
#[derive(Clone, Debug)]
pub struct Roster {
    pub(super) base: Arc<Base>,
    pub(super) classes: Vec<Class>,
}

/// Partners of one answer.
#[derive(Clone, Debug)]
pub(super) struct Class {
    /// Which of the base's principals stands for them.
    pub(super) principal: usize,
    /// Whether the publisher named them.
    pub(super) named: bool,
    pub(super) members: Vec<Handle>,
}

/// What does not change with whom a publisher names.
#[derive(Debug)]
pub(super) struct Base {
    /// Tells rosters apart in the cache.
    pub(super) number: u64,
    pub(super) principals: Vec<Principal>,
    /// The principals as Cedar knows them, and their twins; or why it would not take them.
    pub(super) entities: Result<Entities, String>,
}

/// Who stands for a class.
#[derive(Debug)]
pub(super) struct Principal {
    /// The name it is known to Cedar under: its handle if a policy names it.
    pub(super) name: String,
    /// For a member that a policy names: a member of equal attributes that none names.
    pub(super) twin: Option<String>,
}

impl Roster {
    /// Puts members in classes. `literal` are those that policies name, `reads` the attributes and
    /// `circles` the circles that policies read: what none of them reads tells no members apart.
    pub(super) fn new(
        members: impl IntoIterator<Item = (Handle, Person)>,
        literal: &BTreeSet<String>,
        reads: &BTreeSet<String>,
        circles: &BTreeSet<String>,
    ) -> Self {
        let mut sorted: BTreeMap<(Option<Handle>, Person), Vec<Handle>> = BTreeMap::new();
        for (handle, person) in members {
            let named = literal.contains(handle.as_str()).then(|| handle.clone());
            let seen = seen(person, reads, circles);
            sorted.entry((named, seen)).or_default().push(handle);
        }
        Self::of_sorted(sorted)
    }

    fn of_sorted(sorted: BTreeMap<(Option<Handle>, Person), Vec<Handle>>) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let (mut principals, mut classes, mut entities) = (Vec::new(), Vec::new(), Vec::new());
        for (number, ((literal, person), members)) in sorted.into_iter().enumerate() {
            // No handle begins so.
            let anonymous = format!("#{number}");
            entities.push(person.entity(&anonymous));
            let (name, twin) = match literal {
                Some(handle) => (handle.to_string(), Some(anonymous)),
                None => (anonymous, None),
            };
            if twin.is_some() {
                entities.push(person.entity(&name));
            }
            principals.push(Principal { name, twin });
            let principal = number;
            classes.push(Class {
                principal,
                members,
                named: false,
            });
        }
        let entities = entities.into_iter().collect::<Result<Vec<Entity>, String>>();
        let entities = entities
            .and_then(|entities| Entities::from_entities(entities, None).map_err(|error| error.to_string()));
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let base = Arc::new(Base {
            number,
            principals,
            entities,
        });
        Self { base, classes }
    }

    /// One member alone, with all that is known of it. Without a handle it is nobody that a policy names.
    pub(super) fn of_one(handle: Option<Handle>, person: Person, literal: &BTreeSet<String>) -> Self {
        let name = handle.filter(|handle| literal.contains(handle.as_str()));
        let sorted = [((name, person), Vec::new())];
        Self::of_sorted(sorted.into())
    }

    /// The same partners after a publisher named some: classes of which only some are named are split.
    pub fn naming(&self, named: &BTreeSet<Handle>) -> Self {
        let mut classes = Vec::new();
        for class in &self.classes {
            let (yes, no): (Vec<_>, Vec<_>) = class
                .members
                .iter()
                .cloned()
                .partition(|member| named.contains(member));
            for (members, named) in [(no, class.named), (yes, true)] {
                if !members.is_empty() {
                    classes.push(Class {
                        members,
                        named,
                        principal: class.principal,
                    });
                }
            }
        }
        let base = Arc::clone(&self.base);
        Self { base, classes }
    }

    /// How many classes there are.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there is no partner.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// The members of a class, in the order of their handles.
    pub fn members(&self, class: usize) -> &[Handle] {
        self.classes.get(class).map_or(&[], |class| &class.members)
    }

    /// The class that a member is in.
    pub fn class_of(&self, handle: &Handle) -> Option<usize> {
        self.classes
            .iter()
            .position(|class| class.members.contains(handle))
    }
}

/// What policies that read only these attributes and circles see of a member.
fn seen(person: Person, reads: &BTreeSet<String>, circles: &BTreeSet<String>) -> Person {
    let blank = Person::default();
    let read = |name: &str| reads.contains(name);
    Person {
        kind: if read("kind") { person.kind } else { blank.kind },
        sector: if read("sector") {
            person.sector
        } else {
            blank.sector
        },
        country: if read("country") {
            person.country
        } else {
            blank.country
        },
        trust: if read("trust") { person.trust } else { blank.trust },
        steward: read("steward") && person.steward,
        contract_from: person.contract_from.filter(|_| read("contract_from")),
        contract_until: person.contract_until.filter(|_| read("contract_until")),
        tags: if read("tags") { person.tags } else { blank.tags },
        circles: person.circles.intersection(circles).cloned().collect(),
    }
}
