//! The policies that decide on one action, and how Cedar is asked.

use std::collections::BTreeSet;

use cedar_policy::{
    Authorizer, Decision as Answer, Effect, Entities, EntityUid, PolicyId, PolicySet, Request, Response,
};
use hanse_protocol::timestamp::Timestamp;

use super::entities::{Situation, item_uid};
use super::rule::Rule;
use super::schema::{Action, Kind};

/// The policies that decide on one action.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    pub(super) set: PolicySet,
    /// Its permits alone.
    pub(super) permitting: PolicySet,
    /// Whether one of them permits anything.
    pub(super) permits: bool,
    /// Names of attributes they read.
    pub(super) reads: BTreeSet<String>,
    /// Circles they name.
    pub(super) circles: BTreeSet<String>,
    /// Members they name.
    pub(super) members: BTreeSet<String>,
}

impl Sheet {
    /// Those of `rules` that decide on `action`.
    pub(super) fn new<'a>(rules: impl Iterator<Item = &'a Rule>, action: Action) -> Self {
        let mut sheet = Self::default();
        for rule in rules.filter(|rule| rule.is_for(action)) {
            sheet.reads.extend(rule.reads.attributes.iter().cloned());
            sheet.circles.extend(rule.circles().map(str::to_owned));
            sheet.members.extend(rule.members().map(str::to_owned));
            // Ids are checked to be unique before.
            drop(sheet.set.add(rule.policy.clone()));
            if rule.policy.effect() == Effect::Permit {
                sheet.permits = true;
                drop(sheet.permitting.add(rule.policy.clone()));
            }
        }
        sheet
    }
}

/// What Cedar said.
pub(super) struct Said {
    pub(super) allowed: bool,
    pub(super) deciding: Vec<PolicyId>,
    pub(super) error: Option<String>,
}

/// Asks whether the member called `principal` may do `action` with the item among `entities`.
pub(super) fn ask(
    sheet: &Sheet,
    action: Action,
    principal: &str,
    situation: (&Situation, Timestamp),
    entities: &Entities,
) -> Result<Said, String> {
    let request = request(action, principal, situation)?;
    let response = Authorizer::new().is_authorized(&request, &sheet.set, entities);
    Ok(Said::of(&response))
}

/// The permits that hold for a member, whatever forbids it.
pub(super) fn satisfied(
    sheet: &Sheet,
    action: Action,
    principal: &str,
    situation: (&Situation, Timestamp),
    entities: &Entities,
) -> Result<Vec<PolicyId>, String> {
    let request = request(action, principal, situation)?;
    let response = Authorizer::new().is_authorized(&request, &sheet.permitting, entities);
    Ok(response.diagnostics().reason().cloned().collect())
}

/// A question as Cedar is handed it.
pub(super) fn request(
    action: Action,
    principal: &str,
    (situation, now): (&Situation, Timestamp),
) -> Result<Request, String> {
    let context = situation.context(now)?;
    let principal = Kind::Member.named(principal);
    let request = Request::new(principal, action_uid(action), item_uid(), context, None);
    request.map_err(|error| error.to_string())
}

/// The name of an action.
pub(super) fn action_uid(action: Action) -> EntityUid {
    Kind::Action.named(action.name())
}

impl Said {
    /// An error of any policy makes it a no: Cedar would leave out the one that failed, and if that
    /// forbade, say yes.
    fn of(response: &Response) -> Self {
        let error = response.diagnostics().errors().map(ToString::to_string).min();
        Self {
            allowed: response.decision() == Answer::Allow && error.is_none(),
            deciding: response.diagnostics().reason().cloned().collect(),
            error,
        }
    }
}
