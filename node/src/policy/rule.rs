//! One policy as it is written, read: its id, what it decides on, what it demands, and what it reads.

use std::collections::BTreeSet;

use cedar_policy::ffi::DetailedError;
use cedar_policy::{ActionConstraint, EntityUid, ParseErrors, Policy, PolicyId};

use super::duty::{self, Duty};
use super::error::{PolicyError, Problem};
use super::place::{Places, nearest};
use super::reads::Reads;
use super::schema::{Action, Kind};
use super::split::{DEPTH, Piece};

/// The longest id, bytes.
const ID: usize = 64;
/// The most signs that are told to be possible where a text stops being a policy.
const MAY_FOLLOW: usize = 6;

/// A policy that could be read.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// Its id.
    pub(super) id: String,
    /// The file it is in.
    pub(super) file: String,
    /// Where it begins in its file.
    pub(super) start: usize,
    /// Its line.
    pub(super) line: u32,
    /// Its text.
    pub(super) text: String,
    /// What it decides on.
    pub(super) actions: BTreeSet<Action>,
    /// Its effect, scope and conditions, however they are spaced.
    pub(super) said: String,
    /// What it demands.
    pub(super) duty: Duty,
    /// What it reads.
    pub(super) reads: Reads,
    /// Itself, under its id.
    pub(super) policy: Policy,
}

/// Reads a piece of a file. What is wrong with it goes to `errors`; a policy that is at least one comes back.
pub(super) fn read(
    file: &str,
    text: &str,
    piece: &Piece,
    places: &Places<'_>,
    errors: &mut Vec<PolicyError>,
) -> Option<Rule> {
    let source = text.get(piece.start..piece.end).unwrap_or_default();
    let mut complain = |at: usize, id: Option<&str>, problem| errors.push(places.error(at, id, problem));
    if piece.tangled {
        complain(piece.start, None, Problem::Tangled { depth: DEPTH });
        return None;
    }
    if let Some(slot) = piece.slot {
        complain(slot, None, Problem::Template);
        return None;
    }
    let policy = match Policy::parse(None, source) {
        Ok(policy) => policy,
        Err(error) => {
            for (at, said) in syntax(&error) {
                complain(piece.start + at, None, Problem::Syntax(said));
            }
            return None;
        }
    };
    let id = match id(&policy) {
        Ok(id) => id,
        Err(problem) => {
            complain(piece.start, None, problem);
            // Read on under a name that cannot be an id, so that more mistakes are told.
            format!("{file}:{}", piece.start)
        }
    };
    let told = policy.annotation("id").map(|_| id.as_str());
    let actions = actions(&policy);
    let mut duty = Duty::default();
    for (name, value) in policy.annotations() {
        if let Err(problem) = duty::read(&mut duty, (name, value), (policy.effect(), &actions)) {
            let at = piece.annotations.iter().find(|(known, _)| known == name);
            complain(at.map_or(piece.start, |(_, at)| *at), told, problem);
        }
    }
    let json = policy.to_json().unwrap_or_default();
    let reads = Reads::of(&json);
    if reads.depth > DEPTH {
        complain(piece.start, told, Problem::Tangled { depth: DEPTH });
        return None;
    }
    Some(Rule {
        file: file.to_owned(),
        start: piece.start,
        line: places.of(piece.start).0,
        text: source.to_owned(),
        actions,
        said: said(&json),
        duty,
        reads,
        policy: policy.new_id(PolicyId::new(&id)),
        id,
    })
}

fn id(policy: &Policy) -> Result<String, Problem> {
    let id = policy.annotation("id").ok_or(Problem::NoId)?;
    let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if (1..=ID).contains(&id.len()) && id.bytes().all(letters) {
        Ok(id.to_owned())
    } else {
        let id = id.chars().take(ID).collect();
        Err(Problem::BadId { id })
    }
}

/// A policy in Cedar's JSON form without its annotations.
fn said(json: &serde_json::Value) -> String {
    let parts = ["effect", "principal", "action", "resource", "conditions"];
    let parts = parts.map(|part| json.get(part).map(ToString::to_string).unwrap_or_default());
    parts.join("\n")
}

/// What a policy decides on: everything if it names no action.
fn actions(policy: &Policy) -> BTreeSet<Action> {
    let known = |uid: &EntityUid| {
        let name: &str = uid.id().as_ref();
        let action = Action::ALL.into_iter().find(|action| action.name() == name);
        action.filter(|_| *uid.type_name() == Kind::Action.type_name())
    };
    match policy.action_constraint() {
        ActionConstraint::Any => Action::ALL.into_iter().collect(),
        ActionConstraint::Eq(uid) => known(&uid).into_iter().collect(),
        ActionConstraint::In(uids) => uids.iter().filter_map(known).collect(),
    }
}

/// Where a text stops being a policy, and what is said of it.
fn syntax(error: &ParseErrors) -> Vec<(usize, String)> {
    let told = error.iter().map(|error| {
        let error = DetailedError::from(error);
        let place = error.source_locations.first();
        let mut said = error.message;
        let label = place.and_then(|place| place.label.as_ref());
        // A long list of signs that could follow helps nobody.
        match label.filter(|label| label.matches('`').count() <= MAY_FOLLOW * 2) {
            Some(label) => said = format!("{said}, {label}"),
            None if label.is_some() => said.push_str("; is something missing before it?"),
            None => {}
        }
        if let Some(help) = error.help {
            said = format!("{said} ({help})");
        }
        (place.map_or(0, |place| place.loc.start), said)
    });
    told.collect()
}

impl Rule {
    /// Whether it decides on `action`.
    pub(super) fn is_for(&self, action: Action) -> bool {
        self.actions.contains(&action)
    }

    /// Where in its file a text of it first stands.
    pub(super) fn find(&self, text: &str) -> usize {
        self.start + self.text.find(text).unwrap_or(0)
    }

    /// Where it names a thing.
    pub(super) fn find_name(&self, kind: &str, name: &str) -> usize {
        self.find(&format!("{kind}::\"{name}\""))
    }

    /// The members it names.
    pub(super) fn members(&self) -> impl Iterator<Item = &str> {
        self.named(Kind::Member)
    }

    /// The circles it names.
    pub(super) fn circles(&self) -> impl Iterator<Item = &str> {
        self.named(Kind::Circle)
    }

    /// The things of that kind it names.
    pub(super) fn named(&self, kind: Kind) -> impl Iterator<Item = &str> {
        let names = self.reads.names.iter();
        names
            .filter(move |(named, _)| named == kind.name())
            .map(|(_, name)| name.as_str())
    }

    /// Things named of a kind that there is not.
    pub(super) fn strange_kinds(&self) -> impl Iterator<Item = (&str, Problem)> {
        let known = Kind::ALL.map(Kind::name);
        let strange = self
            .reads
            .names
            .iter()
            .filter(move |(kind, _)| !known.contains(&kind.as_str()));
        strange.map(move |(kind, _)| {
            let (name, nearest) = (kind.clone(), nearest(kind, known));
            (kind.as_str(), Problem::UnknownEntity { name, nearest })
        })
    }
}
