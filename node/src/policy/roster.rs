//! The partners that are asked about, in classes that no policy can tell apart: a decision for one member
//! of a class is the decision for all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cedar_policy::{Entities, Entity};
use hanse_protocol::identity::Handle;

use super::entities::Person;
use super::schema::Action;
use super::sheet::Sheet;

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
    /// The set of policies that put its members in classes, and what for: others may tell them apart.
    pub(super) made_for: ([u8; 32], Action),
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
    /// Puts members in classes. What no policy of the sheet reads or names tells no members apart.
    pub(super) fn new(
        made_for: ([u8; 32], Action),
        members: impl IntoIterator<Item = (Handle, Person)>,
        sheet: &Sheet,
    ) -> Self {
        let mut sorted: BTreeMap<(Option<Handle>, Person), Vec<Handle>> = BTreeMap::new();
        for (handle, person) in members {
            let named = sheet.members.contains(handle.as_str()).then(|| handle.clone());
            let seen = seen(person, &sheet.reads, &sheet.circles);
            sorted.entry((named, seen)).or_default().push(handle);
        }
        Self::of_sorted(made_for, sorted)
    }

    fn of_sorted(
        made_for: ([u8; 32], Action),
        sorted: BTreeMap<(Option<Handle>, Person), Vec<Handle>>,
    ) -> Self {
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
            made_for,
            number,
            principals,
            entities,
        });
        Self { base, classes }
    }

    /// One member alone, with all that is known of it. Without a handle it is nobody that a policy names.
    pub(super) fn of_one(
        made_for: ([u8; 32], Action),
        (handle, person): (Option<Handle>, Person),
        sheet: &Sheet,
    ) -> Self {
        let name = handle.filter(|handle| sheet.members.contains(handle.as_str()));
        let sorted = [((name, person), Vec::new())];
        Self::of_sorted(made_for, sorted.into())
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
