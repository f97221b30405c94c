//! Who would get what if it were published now: the plan that publishing would carry out, told in full.

use std::collections::{BTreeMap, BTreeSet};

use hanse_protocol::audience::Audience;
use hanse_protocol::local::{self, PreviewAudience, PreviewObject, PreviewRecord, PreviewReply};
use hanse_protocol::redact::Cut;
use hanse_protocol::tlp::Tlp;
use serde_json::value::RawValue;

use super::{Reading, ReadingError};
use crate::clock;
use crate::exchange::elsewhere::Shelves;
use crate::exchange::publish::readers;
use crate::sharing::answers::Answer;
use crate::sharing::handed::Handed;
use crate::sharing::plan::{Plan, View};
use crate::sharing::token::Token;
use crate::sharing::{Rulebook, Terms};

impl Reading {
    /// What publishing this now would come to. Does nothing.
    ///
    /// # Errors
    /// [`ReadingError::Value`] if the node belongs to no community or a named reader is no member.
    pub fn preview(&self, request: &local::PublishRequest) -> Result<PreviewReply, ReadingError> {
        let standing = self.exchange.standing();
        let none = || ReadingError::Value("this node belongs to no community yet".to_owned());
        let charters = standing.charters.as_ref().ok_or_else(none)?;
        let charter = charters.charter();
        let unknown = |handle: &&hanse_protocol::identity::Handle| {
            charter.member(handle).is_none_or(|member| member.ended.is_some())
        };
        if let Some(unknown) = request.to.iter().flatten().find(unknown) {
            return Err(ReadingError::Value(format!("`{unknown}` is no member")));
        }
        let to: Option<BTreeSet<_>> = request.to.as_ref().map(|to| to.iter().cloned().collect());
        let own = &self.member.profile.handle;
        let terms = Terms {
            own,
            unmarked: request.tlp.unwrap_or(charter.unmarked),
            floor: request.tlp.unwrap_or(Tlp::Clear),
            to: to.as_ref(),
            now: clock::now(),
            frozen: standing.frozen,
        };
        let policies = self.exchange.accepting().now();
        let roster = self.exchange.accepting().roster(&policies, charters, own);
        let elsewhere = Shelves {
            reader: &self.store,
            own,
        };
        let rulebook = Rulebook {
            policies: &policies,
            roster: &roster,
            secret: self.member.redaction(),
            elsewhere: &elsewhere,
        };
        let handed = Handed::read(request.objects.iter().map(|raw| raw.get()));
        let mut plan = Plan::make(&rulebook, &terms, &handed.objects);
        // As publishing does it: what would be told of a plan is what would be done.
        let token = Token::of(request, &policies.hash(), &charters.newest().hash(), &plan);
        let audiences = audiences(&plan, &handed);
        let mut warnings = plan.warnings(to.as_ref());
        warnings.extend(plan.hold_back());
        Ok(PreviewReply {
            token: token.to_string(),
            policies: data_encoding::HEXLOWER.encode(&policies.hash()),
            charter: charter.version,
            records: records(&plan, &handed),
            audiences,
            refused: plan.refusals(&handed),
            warnings,
        })
    }
}

fn records(plan: &Plan<'_>, handed: &Handed<'_>) -> Vec<PreviewRecord> {
    let record = |variant: &crate::sharing::plan::Variant<'_>| PreviewRecord {
        readers: readers(&variant.audience),
        objects: variant
            .pieces
            .iter()
            .map(|piece| handed.place(piece.object))
            .collect(),
        policies: variant.deciding.iter().cloned().collect(),
    };
    plan.variants.iter().map(record).collect()
}

/// Partners who are answered alike: those of one view and class.
fn audiences(plan: &Plan<'_>, handed: &Handed<'_>) -> Vec<PreviewAudience> {
    let mut alike: BTreeMap<(usize, usize), BTreeSet<_>> = BTreeMap::new();
    for (index, view) in plan.views.iter().enumerate() {
        for (class, of) in plan.answers.classes.iter().enumerate() {
            let members: BTreeSet<_> = view.members.intersection(&of.members).cloned().collect();
            if !members.is_empty() {
                alike.insert((index, class), members);
            }
        }
    }
    let open: BTreeSet<usize> = plan
        .variants
        .iter()
        .filter(|variant| variant.audience == Audience::Community)
        .flat_map(|variant| variant.pieces.iter().map(|piece| piece.object))
        .collect();
    let audience = |((index, class), partners): ((usize, usize), BTreeSet<_>)| {
        let view = plan.views.get(index)?;
        let objects = (0..handed.objects.len()).filter_map(|number| {
            let is_open = open.contains(&number);
            object(plan, handed, view, class, number, is_open)
        });
        Some(PreviewAudience {
            partners: partners.into_iter().collect(),
            objects: objects.collect(),
        })
    };
    alike.into_iter().filter_map(audience).collect()
}

fn object(
    plan: &Plan<'_>,
    handed: &Handed<'_>,
    view: &View<'_>,
    class: usize,
    number: usize,
    open: bool,
) -> Option<PreviewObject> {
    let issued = handed.objects.get(number)?;
    let own = plan.facets.get(number)?.own;
    let answer = plan.answer(class, own)?;
    let tlp = plan.answers.items.get(own)?.tlp;
    let mut told = PreviewObject {
        index: handed.place(number),
        id: issued.id().to_owned(),
        tlp,
        shared: false,
        open,
        policies: answer.decision.deciding.iter().cloned().collect(),
        reason: why_not(answer),
        wait: None,
        struck: Vec::new(),
        text: None,
    };
    match view.cuts.get(number)? {
        Some(Cut::Shown { text, strikes }) => {
            told.shared = answer.decision.obligations.delay.is_zero();
            told.wait = (!told.shared).then(|| answer.decision.obligations.delay.as_secs());
            told.struck = strikes.iter().map(ToString::to_string).collect();
            if !strikes.is_empty() {
                told.text = RawValue::from_string(text.clone().into_owned()).ok();
            }
        }
        Some(Cut::Dropped(reason)) => told.reason = Some(reason.to_string()),
        None => {}
    }
    Some(told)
}

/// Why they do not get it, where it is not a policy that forbids it.
pub(super) fn why_not(answer: &Answer) -> Option<String> {
    if answer.allows() {
        return None;
    }
    if let Some(error) = &answer.decision.error {
        return Some(format!("the policies cannot be applied: {error}"));
    }
    match answer.held {
        Some(held) if answer.decision.allowed => Some(held.to_string()),
        _ if answer.decision.deciding.is_empty() => Some("no policy allows it".to_owned()),
        _ => Some("a policy forbids it".to_owned()),
    }
}
