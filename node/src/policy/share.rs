//! Who gets it: decisions for all partners, for those who may join later, and for members of other
//! communities.

use std::sync::Arc;

use cedar_policy::{Authorizer, Decision as Answer, Entities, PolicyId, Request};
use hanse_protocol::charter::Charter;
use hanse_protocol::identity::Handle;
use hanse_protocol::timestamp::Timestamp;

use super::Policies;
use super::cache::Key;
use super::decision::Decision;
use super::entities::{Person, Situation, item_entity, item_uid, minute};
use super::item::Item;
use super::roster::{Base, Roster};
use super::schema::{Action, Kind};
use super::sheet::{Said, Sheet, action_uid, ask, satisfied};

/// From where to where something is passed on, and who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarding {
    /// The name of the community it came in.
    pub from: String,
    /// The name of the community it would go to.
    pub to: String,
    /// Who signed it.
    pub author: Handle,
}

impl Forwarding {
    pub(super) fn situation(self) -> Situation {
        let Self { from, to, author } = self;
        Situation::Forward { from, to, author }
    }
}

impl Policies {
    /// Our partners: the active members of a charter but ourselves.
    pub fn roster(&self, charter: &Charter, own: &Handle) -> Roster {
        let others = charter.active().filter(|member| member.handle != *own);
        let people = others.map(|member| (member.handle.clone(), Person::of(member, charter, &self.terms)));
        Roster::new((self.hash(), Action::Share), people, &self.share)
    }

    /// The active members of another community but ourselves, to forward to. Our terms and circles are
    /// about members of ours, so these are in no circle and of middle trust.
    pub fn foreign_roster(&self, charter: &Charter, own: &Handle) -> Roster {
        let others = charter.active().filter(|member| member.handle != *own);
        let people = others.map(|member| (member.handle.clone(), Person::stranger(member, charter)));
        Roster::new((self.hash(), Action::Forward), people, &self.forward)
    }

    /// Who of a roster made by [`Policies::roster`] gets an item that we publish: one decision a class.
    /// Answers are the same within a minute, and from the log.
    pub fn share(&self, roster: &Roster, item: &Item, now: Timestamp) -> Vec<Arc<Decision>> {
        let reads = |name: &str| self.share.reads.contains(name);
        let now = minute(now);
        let key = |named: bool| Key {
            roster: roster.base.number,
            item: item.clone(),
            named: named && reads("named"),
            minute: if reads("now") { now.as_millis() } else { 0 },
        };
        let mut entities = None;
        let mut decisions = vec![None; roster.len()];
        for named in [false, true] {
            let classes = roster.classes.iter().zip(&mut decisions);
            let classes: Vec<_> = classes.filter(|(class, _)| class.named == named).collect();
            if classes.is_empty() {
                continue;
            }
            let key = key(named);
            let mut row = self.cache.row(&key, roster.base.principals.len());
            let mut learnt = false;
            for (class, decision) in classes {
                let held = row.get(class.principal).cloned().flatten();
                *decision = held.or_else(|| {
                    let entities = entities.get_or_insert_with(|| with_item(&roster.base.entities, item));
                    let situation = Situation::Share { named };
                    let asked = (&*roster.base, class.principal);
                    let made = self.decide(Action::Share, asked, (&situation, now), entities);
                    let made = Arc::new(made);
                    learnt = true;
                    if let Some(place) = row.get_mut(class.principal) {
                        *place = Some(Arc::clone(&made));
                    }
                    Some(made)
                });
            }
            if learnt {
                self.cache.hold(key, row);
            }
        }
        decisions.into_iter().flatten().collect()
    }

    /// Which members of another community, in a roster made by [`Policies::foreign_roster`], get what
    /// arrived here: one decision a class. No, unless a policy says yes.
    pub fn forward(
        &self,
        roster: &Roster,
        item: &Item,
        forwarding: &Forwarding,
        now: Timestamp,
    ) -> Vec<Decision> {
        let situation = forwarding.clone().situation();
        let entities = with_item(&roster.base.entities, item);
        let decide = |class: &super::roster::Class| {
            let asked = (&*roster.base, class.principal);
            self.decide(Action::Forward, asked, (&situation, minute(now)), &entities)
        };
        roster.classes.iter().map(decide).collect()
    }

    /// What holds for whoever may join later, whatever it is like: yes only if that is certain and
    /// nothing but a receipt is demanded; none if it depends.
    pub fn future(&self, item: &Item, now: Timestamp) -> Option<Decision> {
        let entities = Entities::from_entities([item_entity(item).ok()?], None).ok()?;
        let context = Situation::Share { named: false }.context(minute(now)).ok()?;
        let request = Request::builder()
            .unknown_principal_with_type(Kind::Member.type_name())
            .action(action_uid(Action::Share))
            .resource(item_uid())
            .context(context)
            .build();
        let response = Authorizer::new().is_authorized_partial(&request, &self.share.set, &entities);
        if response.decision() != Some(Answer::Allow) || response.definitely_errored().next().is_some() {
            return None;
        }
        // A policy that may decide for some must demand nothing of them, and must not fail for them: what
        // fails is a no.
        let light = |id: &PolicyId| self.rule(id).is_some_and(|rule| rule.duty.obligations.is_light());
        let sure = |id: &PolicyId| self.rule(id).is_some_and(|rule| !rule.reads.calculates);
        let certain = response.may_be_determining().all(|policy| light(policy.id()))
            && response.nontrivial_residuals().all(|policy| sure(policy.id()));
        let deciding: Vec<PolicyId> = response
            .must_be_determining()
            .map(|policy| policy.id().clone())
            .collect();
        certain.then(|| {
            self.decision(
                Said {
                    allowed: true,
                    deciding,
                    error: None,
                },
                false,
            )
        })
    }

    pub(super) fn sheet(&self, action: Action) -> &Sheet {
        match action {
            Action::Share => &self.share,
            Action::Accept => &self.accept,
            Action::Forward => &self.forward,
        }
    }

    /// One member alone, with all that is known of it.
    pub(super) fn roster_of_one(&self, action: Action, handle: Option<Handle>, person: Person) -> Roster {
        Roster::of_one((self.hash(), action), (handle, person), self.sheet(action))
    }

    /// Decides for the one member of a roster.
    pub(super) fn decide_one(
        &self,
        action: Action,
        roster: &Roster,
        item: &Item,
        (situation, now): (&Situation, Timestamp),
    ) -> Decision {
        let entities = with_item(&roster.base.entities, item);
        self.decide(action, (&roster.base, 0), (situation, minute(now)), &entities)
    }

    /// Decides for one principal, and whether a deciding policy names it.
    pub(super) fn decide(
        &self,
        action: Action,
        (base, principal): (&Base, usize),
        situation: (&Situation, Timestamp),
        entities: &Result<Entities, String>,
    ) -> Decision {
        let asked = |name: &str| {
            let entities = entities.as_ref().map_err(Clone::clone)?;
            ask(self.sheet(action), action, name, situation, entities)
        };
        let failed = |error: String| Decision {
            error: Some(error),
            ..Decision::default()
        };
        // Other policies may tell members of a class apart.
        let fits = base.made_for == (self.hash(), action);
        let Some(principal) = base.principals.get(principal).filter(|_| fits) else {
            return failed("the roster was made for other policies".to_owned());
        };
        let said = match asked(&principal.name) {
            Ok(said) => said,
            Err(error) => return failed(error),
        };
        let names = said.allowed
            && principal.twin.as_ref().is_some_and(|twin| {
                let entities = entities.as_ref().map_err(Clone::clone);
                let of_all = entities
                    .and_then(|entities| satisfied(self.sheet(action), action, twin, situation, entities));
                of_all.is_ok_and(|of_all| said.deciding.iter().any(|id| !of_all.contains(id)))
            });
        self.decision(said, names)
    }

    /// The decision that Cedar's answer makes, with what deciding policies demand.
    fn decision(&self, said: Said, names_member: bool) -> Decision {
        let mut decision = Decision {
            allowed: said.allowed,
            names_member,
            error: said.error,
            ..Decision::default()
        };
        for id in &said.deciding {
            decision.deciding.insert(id.to_string());
            if let Some(rule) = self.rule(id) {
                if said.allowed {
                    decision.obligations.add(&rule.duty.obligations);
                }
                decision.notes.extend(rule.duty.note.clone());
            }
        }
        decision
    }
}

/// The principals of a roster with the item of a question.
pub(super) fn with_item(principals: &Result<Entities, String>, item: &Item) -> Result<Entities, String> {
    let principals = principals.clone()?;
    let with = principals.add_entities([item_entity(item)?], None);
    with.map_err(|error| error.to_string())
}
