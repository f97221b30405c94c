//! Annotations of policies, read as obligations: refused where they are misspelt, say nothing, or stand
//! on a policy that cannot have them.

use std::collections::BTreeSet;
use std::time::Duration;

use cedar_policy::Effect;
use hanse_protocol::redact::Redaction;

use super::decision::Obligations;
use super::error::Problem;
use super::place::nearest;
use super::schema::Action;

/// The annotations there are.
const NAMES: [&str; 9] = [
    "id",
    "redact",
    "redact_text",
    "hide",
    "delay",
    "receipt",
    "backfill",
    "quarantine",
    "note",
];

/// The longest delay or backfill.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// The longest note or reason, bytes.
const NOTE: usize = 200;
/// The most names in one annotation.
const LIST: usize = 64;
/// Properties without which nothing is an object.
const NEEDED: [&str; 3] = ["type", "id", "spec_version"];

/// What a policy says beside permit or forbid.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Duty {
    /// What must be kept to if it decides.
    pub(super) obligations: Obligations,
    /// Why what it decides on is quarantined, if it is.
    pub(super) quarantine: Option<String>,
    /// What people are to be told, if anything.
    pub(super) note: Option<String>,
}

/// Reads one annotation of a policy of that effect, on those actions, into `duty`.
pub(super) fn read(
    duty: &mut Duty,
    (name, value): (&str, &str),
    (effect, actions): (Effect, &BTreeSet<Action>),
) -> Result<(), Problem> {
    let known = NAMES.into_iter().find(|known| *known == name);
    let Some(known) = known else {
        return Err(Problem::UnknownObligation {
            name: name.to_owned(),
            nearest: nearest(name, NAMES),
        });
    };
    if let Some(rule) = misplaced(known, effect, actions) {
        let name = name.to_owned();
        return Err(Problem::MisplacedObligation { name, rule });
    }
    let read = match known {
        "redact" => list(value).and_then(|names| {
            properties(&names)?;
            duty.obligations.redaction.properties.extend(names);
            Ok(())
        }),
        "redact_text" => list(value).map(|names| duty.obligations.redaction.patterns.extend(names)),
        "hide" => list(value).and_then(|names| hide(&names, &mut duty.obligations.redaction)),
        "delay" => span(value).map(|span| duty.obligations.delay = span),
        "backfill" => span(value).map(|span| duty.obligations.backfill = Some(span)),
        "receipt" if value.is_empty() => {
            duty.obligations.receipt = true;
            Ok(())
        }
        "receipt" => Err("it takes no value, write `@receipt(\"\")`"),
        "quarantine" => note(value).map(|reason| duty.quarantine = Some(reason)),
        "note" => note(value).map(|note| duty.note = Some(note)),
        // The id is read with the policy.
        _ => Ok(()),
    };
    read.map_err(|rule| Problem::BadObligation {
        name: name.to_owned(),
        value: value.chars().take(NOTE).collect(),
        rule,
    })
}

/// Why a policy of that effect on those actions cannot have this annotation, if it cannot.
fn misplaced(name: &str, effect: Effect, actions: &BTreeSet<Action>) -> Option<&'static str> {
    let only = |allowed: &[Action]| actions.iter().all(|action| allowed.contains(action));
    let permits = effect == Effect::Permit;
    match name {
        "id" | "note" => None,
        "redact" | "redact_text" | "hide" => {
            // What is forwarded bears its author's signature, so its text stays as it is.
            let fits = permits && only(&[Action::Share]);
            (!fits).then_some("what is taken out belongs to a permit of share")
        }
        "delay" => (!(permits && only(&[Action::Share]))).then_some("a delay belongs to a permit of share"),
        "backfill" => {
            (!(permits && only(&[Action::Share]))).then_some("a backfill belongs to a permit of share")
        }
        "receipt" => {
            let fits = permits && only(&[Action::Share, Action::Accept]);
            (!fits).then_some(
                "a receipt belongs to a permit of share, which asks for one, or of accept, which gives it",
            )
        }
        _ => (!only(&[Action::Accept])).then_some("quarantine belongs to a policy of accept alone"),
    }
}

/// Names between commas, at least one.
fn list(value: &str) -> Result<BTreeSet<String>, &'static str> {
    let names: Vec<&str> = value.split(',').map(str::trim).collect();
    if names.iter().any(|name| name.is_empty()) || names.len() > LIST {
        return Err("write names with commas between them");
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

fn properties(names: &BTreeSet<String>) -> Result<(), &'static str> {
    let fits = |name: &String| {
        let spelt = name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        spelt && name.len() <= 250
    };
    if !names.iter().all(fits) {
        return Err("properties are written in lower-case letters, digits and underscores");
    }
    if names.iter().any(|name| NEEDED.contains(&name.as_str())) {
        return Err("type, id and spec_version stay, or it would be no object");
    }
    Ok(())
}

fn hide(names: &BTreeSet<String>, redaction: &mut Redaction) -> Result<(), &'static str> {
    for name in names {
        match name.as_str() {
            "internal" => redaction.internal = true,
            "victims" => redaction.victims = true,
            "pseudonyms" => redaction.pseudonyms = true,
            _ => return Err("internal, victims and pseudonyms are what can be hidden"),
        }
    }
    Ok(())
}

fn span(value: &str) -> Result<Duration, &'static str> {
    const RULE: &str = "write a whole number and s, m, h or d, at most 30d: `2h`";
    let digits = value.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match value.strip_prefix(digits).unwrap_or_default() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(RULE),
    };
    let fits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = fits.then(|| digits.parse().ok()).flatten().ok_or(RULE)?;
    let span = Duration::from_secs(number.checked_mul(unit).ok_or(RULE)?);
    if span.is_zero() || span > LONGEST {
        return Err(RULE);
    }
    Ok(span)
}

fn note(value: &str) -> Result<String, &'static str> {
    let value = value.trim();
    if value.is_empty() || value.len() > NOTE || value.chars().any(char::is_control) {
        return Err("write a short sentence in it, at most 200 bytes");
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_whole_and_bounded() {
        assert_eq!(span("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(span("30d"), Ok(LONGEST));
        for wrong in [
            "",
            "2",
            "h",
            "31d",
            "0s",
            "-2h",
            "2 h",
            "1.5h",
            "99999999999999999999d",
            "2hh",
        ] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
