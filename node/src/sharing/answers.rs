//! What floor and policies say of every partner and every distinct item of a publication.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use hanse_protocol::identity::Handle;
use hanse_protocol::tlp::Tlp;

use super::{Rulebook, Terms};
use crate::policy::{Decision, Item, Policies, Roster};

/// Why a partner does not get what its policies would let it have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Held {
    /// The publisher named readers, and this is none of them.
    NotNamed,
    /// TLP:RED goes to nobody who is not named, by the publisher or by the deciding policy.
    Red,
    /// Nothing is sealed while stewards are silent.
    Frozen,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotNamed => "not among the readers that --to names",
            Self::Red => "TLP:RED goes to named readers only; name them with --to",
            Self::Frozen => "nothing is sealed while stewards do not confirm the charter",
        })
    }
}

/// The answer for one partner and one item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Answer {
    /// What the policies say.
    pub(crate) decision: Arc<Decision>,
    /// What holds it back all the same.
    pub(crate) held: Option<Held>,
}

impl Answer {
    /// Whether the partner gets the item.
    pub(crate) fn allows(&self) -> bool {
        self.decision.allowed && self.held.is_none()
    }
}

/// The answers of a publication.
pub(crate) struct Answers {
    /// The distinct items.
    pub(crate) items: Vec<Item>,
    /// Partners whose answers are the same for every item, with those answers.
    pub(crate) classes: Vec<Class>,
}

/// Partners that get the same answers.
pub(crate) struct Class {
    /// The partners.
    pub(crate) members: BTreeSet<Handle>,
    /// An answer for each distinct item, in their order.
    pub(crate) answers: Vec<Answer>,
}

impl Answers {
    /// Asks floor and policies of every partner about every item.
    pub(crate) fn ask(rulebook: &Rulebook<'_>, terms: &Terms<'_>, items: Vec<Item>) -> Self {
        let named = terms.to.map(|to| rulebook.roster.naming(to));
        let roster = named.as_ref().unwrap_or(rulebook.roster);
        let decided: Vec<_> = items
            .iter()
            .map(|item| rulebook.policies.share(roster, item, terms.now))
            .collect();
        let mut classes: Vec<Class> = Vec::new();
        for index in 0..roster.len() {
            let members: BTreeSet<Handle> = roster.members(index).iter().cloned().collect();
            let Some(one) = members.first() else { continue };
            // Whom the publisher named has a class apart.
            let named = terms.to.map(|to| to.contains(one));
            let answers = items.iter().zip(&decided).filter_map(|(item, decided)| {
                let decision = Arc::clone(decided.get(index)?);
                let held = held(item.tlp, named, &decision, terms);
                Some(Answer { decision, held })
            });
            let answers = answers.collect();
            classes.push(Class { members, answers });
        }
        Self { items, classes }
    }
}

/// What one partner is answered about one item; none if it is no partner.
pub(crate) fn answer(
    policies: &Policies,
    roster: &Roster,
    terms: &Terms<'_>,
    item: &Item,
    partner: &Handle,
) -> Option<Answer> {
    let named = terms.to.map(|to| roster.naming(to));
    let roster = named.as_ref().unwrap_or(roster);
    let class = roster.class_of(partner)?;
    let decision = Arc::clone(policies.share(roster, item, terms.now).get(class)?);
    let named = terms.to.map(|to| to.contains(partner));
    let held = held(item.tlp, named, &decision, terms);
    Some(Answer { decision, held })
}

/// What no policy can widen.
fn held(tlp: Tlp, named: Option<bool>, decision: &Decision, terms: &Terms<'_>) -> Option<Held> {
    if named == Some(false) {
        return Some(Held::NotNamed);
    }
    if tlp == Tlp::Red && named != Some(true) && !decision.names_member {
        return Some(Held::Red);
    }
    let sealed = terms.to.is_some() || !tlp.openly();
    (sealed && terms.frozen.is_some()).then_some(Held::Frozen)
}

/// Numbers distinct items.
#[derive(Default)]
pub(crate) struct Distinct {
    items: Vec<Item>,
    numbers: HashMap<Item, usize>,
}

impl Distinct {
    /// The number of an item.
    pub(crate) fn number(&mut self, item: Item) -> usize {
        let next = self.items.len();
        *self.numbers.entry(item).or_insert_with_key(|item| {
            self.items.push(item.clone());
            next
        })
    }

    pub(crate) fn into_items(self) -> Vec<Item> {
        self.items
    }
}
