//! Policies held against the schema, strictly, and against the names there are: what Cedar says of them
//! is told in words of our own.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::ffi::DetailedError;
use cedar_policy::{PolicySet, ValidationError, ValidationMode, ValidationWarning};
use hanse_protocol::charter::Charter;
use hanse_protocol::tlp::Tlp;

use super::error::{PolicyError, Problem};
use super::place::{Places, nearest};
use super::rule::Rule;
use super::schema::{Action, Kind, OF_CONTEXT, OF_ITEM, OF_MEMBER, VALIDATOR};
use super::terms::Terms;

/// The longest text of a policy that an error repeats, characters.
const SHOWN: usize = 80;

/// Checks all policies; `places` are those of their files.
pub(super) fn check(
    rules: &[Rule],
    places: &BTreeMap<&str, Places<'_>>,
    terms: &Terms,
    patterns: &BTreeSet<&str>,
    charter: Option<&Charter>,
) -> Vec<PolicyError> {
    let mut errors = Vec::new();
    let mut complain = |rule: &Rule, at: usize, problem: Problem| {
        let id = rule.policy.annotation("id");
        let place = places.get(rule.file.as_str());
        errors.extend(place.map(|places| places.error(at, id, problem)));
    };
    let mut misnaming = BTreeSet::new();
    for rule in rules {
        for (at, problem) in names(rule, terms, patterns, charter) {
            misnaming.insert(rule.id.as_str());
            complain(rule, at, problem);
        }
    }
    let by_id: BTreeMap<&str, &Rule> = rules.iter().map(|rule| (rule.id.as_str(), rule)).collect();
    let Ok(set) = PolicySet::from_policies(by_id.values().map(|rule| rule.policy.clone())) else {
        // Ids are the map's keys, and templates are never read.
        return errors;
    };
    let result = VALIDATOR.validate(&set, ValidationMode::Strict);
    for error in result.validation_errors() {
        let id: &str = error.policy_id().as_ref();
        if let Some(rule) = by_id.get(id) {
            let (at, text) = shown(rule, &DetailedError::from(error));
            if let Some((at, problem)) = retold(rule, error, (at, text)) {
                complain(rule, at, problem);
            }
        }
    }
    for warning in result.validation_warnings() {
        let id: &str = warning.policy_id().as_ref();
        let problem = match warning {
            // That may be for a name that nothing bears.
            ValidationWarning::InvalidActionApplication(_) if misnaming.contains(id) => continue,
            ValidationWarning::InvalidActionApplication(_) => Problem::NeverApplies,
            ValidationWarning::MixedScriptString(_)
            | ValidationWarning::BidiCharsInString(_)
            | ValidationWarning::BidiCharsInIdentifier(_)
            | ValidationWarning::MixedScriptIdentifier(_)
            | ValidationWarning::ConfusableIdentifier(_) => Problem::Disguised,
            // Found by lint: nothing is wrong with the set.
            _ => continue,
        };
        if let Some(rule) = by_id.get(id) {
            let (at, _) = shown(rule, &DetailedError::from(warning));
            complain(rule, at, problem);
        }
    }
    errors
}

/// Names in a policy that nothing bears.
fn names(
    rule: &Rule,
    terms: &Terms,
    patterns: &BTreeSet<&str>,
    charter: Option<&Charter>,
) -> Vec<(usize, Problem)> {
    let mut found: Vec<(usize, Problem)> = Vec::new();
    let mut unknown =
        |kind: Kind, name: &str, problem| found.push((rule.find_name(kind.name(), name), problem));
    // What is forwarded goes to members of another community, whom we do not list.
    let foreign = !rule.is_for(Action::Share) && !rule.is_for(Action::Accept);
    for handle in rule.members() {
        if !terms.may_name(handle, charter, foreign) {
            let nearest = nearest(handle, terms.known(charter));
            let handle = handle.to_owned();
            unknown(
                Kind::Member,
                &handle.clone(),
                Problem::UnknownMember { handle, nearest },
            );
        }
    }
    for circle in rule
        .circles()
        .filter(|circle| !terms.circles.contains_key(*circle))
    {
        let nearest = nearest(circle, terms.circles.keys().map(String::as_str));
        let problem = Problem::UnknownCircle {
            circle: circle.to_owned(),
            nearest,
        };
        unknown(Kind::Circle, circle, problem);
    }
    let markings = Tlp::ALL.map(Tlp::name);
    for name in rule.named(Kind::Marking).filter(|name| !markings.contains(name)) {
        let nearest = nearest(name, markings);
        let problem = Problem::UnknownMarking {
            name: name.to_owned(),
            nearest,
        };
        unknown(Kind::Marking, name, problem);
    }
    let actions = Action::ALL.map(Action::name);
    for name in rule.named(Kind::Action).filter(|name| !actions.contains(name)) {
        let nearest = nearest(name, actions);
        let problem = Problem::UnknownAction {
            name: name.to_owned(),
            nearest,
        };
        unknown(Kind::Action, name, problem);
    }
    for (kind, problem) in rule.strange_kinds() {
        found.push((rule.find(&format!("{kind}::")), problem));
    }
    for pattern in &rule.duty.obligations.redaction.patterns {
        if !patterns.contains(pattern.as_str()) {
            let nearest = nearest(pattern, patterns.iter().copied());
            let problem = Problem::UnknownPattern {
                name: pattern.clone(),
                nearest,
            };
            found.push((rule.find("@redact_text"), problem));
        }
    }
    for (variable, name) in &rule.reads.asked {
        let known = known_of(variable);
        if !known.contains(&name.as_str()) {
            let (of, nearest) = (variable.clone(), nearest(name, known.iter().copied()));
            let problem = Problem::UnknownAttribute {
                name: name.clone(),
                of,
                nearest,
            };
            found.push((rule.find(&format!("has {name}")), problem));
        }
    }
    found
}

fn known_of(variable: &str) -> &'static [&'static str] {
    match variable {
        "principal" => &OF_MEMBER,
        "resource" => &OF_ITEM,
        "context" => &OF_CONTEXT,
        _ => &[],
    }
}

/// Where in its file something of a rule is wrong, and the text that is.
fn shown(rule: &Rule, error: &DetailedError) -> (usize, String) {
    let Some(place) = error.source_locations.first() else {
        return (rule.start, String::new());
    };
    let text = rule.text.get(place.loc.start..place.loc.end).unwrap_or_default();
    let mut text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() > SHOWN {
        text = text.chars().take(SHOWN).chain(['…']).collect();
    }
    (rule.start + place.loc.start, text)
}

/// What Cedar finds, in words of our own, and where; none if it was told already.
fn retold(rule: &Rule, error: &ValidationError, (at, text): (usize, String)) -> Option<(usize, Problem)> {
    let problem = match error {
        // Told by the names that a policy reads.
        ValidationError::UnrecognizedEntityType(_) if rule.strange_kinds().next().is_some() => return None,
        ValidationError::UnrecognizedActionId(_) => return None,
        ValidationError::UnrecognizedEntityType(_) => Problem::UnknownEntity {
            nearest: nearest(&text, Kind::ALL.map(Kind::name)),
            name: text,
        },
        ValidationError::UnsafeAttributeAccess(_) => {
            let (at, of, name) = access(rule, at, &error.to_string())?;
            let nearest = nearest(&name, known_of(&of).iter().copied());
            return Some((at, Problem::UnknownAttribute { name, of, nearest }));
        }
        ValidationError::UnsafeOptionalAttributeAccess(_) => {
            let (at, of, name) = access(rule, at, &error.to_string())?;
            return Some((at, Problem::UnguardedAttribute { name, of }));
        }
        ValidationError::UnexpectedType(_) | ValidationError::IncompatibleTypes(_) => {
            let rule = kinds(&error.to_string());
            Problem::WrongType { text, rule }
        }
        ValidationError::FunctionArgumentValidation(_) | ValidationError::NonLitExtConstructor(_) => {
            Problem::BadLiteral { text }
        }
        ValidationError::UndefinedFunction(_) | ValidationError::WrongNumberArguments(_) => {
            Problem::UnknownFunction { text }
        }
        ValidationError::EmptySetForbidden(_) => Problem::WrongType {
            text,
            rule: "an empty list says nothing; ask with `.isEmpty()`",
        },
        _ => Problem::NotAllowed { text },
    };
    Some((at, problem))
}

/// Where at or behind a place an attribute is read that Cedar complains of, of what, and its name.
fn access(rule: &Rule, at: usize, said: &str) -> Option<(usize, String, String)> {
    let (_, behind) = said.split_once("attribute `")?;
    let (name, _) = behind.split_once('`')?;
    // Of `a.b.c` only the last is the attribute.
    let name = name.rsplit('.').next()?;
    let from = at.saturating_sub(rule.start);
    let found = rule
        .text
        .get(from..)
        .and_then(|rest| rest.find(&format!(".{name}")));
    let dot = found.map_or(from, |found| from + found);
    let before = rule.text.get(..dot).unwrap_or_default();
    let of = before
        .rsplit(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
        .unwrap_or_default();
    Some((
        rule.start + dot.saturating_sub(of.len()),
        of.to_owned(),
        name.to_owned(),
    ))
}

/// What to do about a comparison of unlike things, by the kinds that Cedar says it saw.
fn kinds(said: &str) -> &'static str {
    let has = |kind: &str| said.contains(kind);
    let list = has("Set<");
    if list && has("expected Set") {
        "a list is needed; a single thing is compared with `==`"
    } else if list {
        "look into a list with `.contains(...)`"
    } else if has("Long") && has("String") {
        "numbers are written without quotation marks, text with them"
    } else if has("datetime") || has("duration") {
        "a date is compared with datetime(\"2026-06-19\") or context.now, a span with duration(\"2h\")"
    } else if has("expected Bool") || has("Bool") {
        "a condition is yes or no: compare it with something, or leave the comparison out"
    } else if has("Long") {
        "a number is needed, written without quotation marks"
    } else if has("String") {
        "a text is needed, written in quotation marks"
    } else {
        "both sides must be of one kind"
    }
}
