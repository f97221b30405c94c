//! Expectations held against the policies beside them.

use std::collections::BTreeSet;

use hanse_protocol::charter::Charter;
use hanse_protocol::redact::Redaction;
use hanse_protocol::timestamp::Timestamp;

use super::Policies;
use super::entities::{Person, Situation};
use super::expect::{Expectation, Outcome, Who};
use super::schema::Action;

/// Whether the policies answer as somebody expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectationResult {
    /// What the expectation is called.
    pub name: String,
    /// Its line in `tests.toml`.
    pub line: u32,
    /// What the policies answered: `yes`, `no`, `keep`, `quarantine` or `drop`.
    pub answered: String,
    /// The policies that decided.
    pub deciding: BTreeSet<String>,
    /// Why it does not hold, in words; none if it does.
    pub failure: Option<String>,
}

/// The policies' answer to a question.
struct Answer {
    outcome: Outcome,
    deciding: BTreeSet<String>,
    redaction: BTreeSet<String>,
    error: Option<String>,
}

impl Policies {
    /// Holds every expectation of `tests.toml` against the policies, in the order they are written.
    /// Members named in them are those of `charter`; where one says no time, it is `now`.
    pub fn check_expectations(&self, charter: &Charter, now: Timestamp) -> Vec<ExpectationResult> {
        let expectations = self.expectations.iter();
        expectations
            .map(|expectation| self.check(expectation, charter, now))
            .collect()
    }

    fn check(&self, expectation: &Expectation, charter: &Charter, now: Timestamp) -> ExpectationResult {
        let mut result = ExpectationResult {
            name: expectation.name.clone(),
            line: expectation.line,
            answered: String::new(),
            deciding: BTreeSet::new(),
            failure: None,
        };
        let answer = match self.answer(expectation, charter, now) {
            Ok(answer) => answer,
            Err(failure) => {
                result.failure = Some(failure);
                return result;
            }
        };
        let mut failures = Vec::new();
        if answer.outcome != expectation.outcome {
            let (wanted, got) = (expectation.outcome.name(), answer.outcome.name());
            failures.push(format!("expected {wanted}, the policies say {got}"));
            failures.extend(answer.error);
        }
        if let Some(by) = expectation
            .by
            .as_ref()
            .filter(|by| !answer.deciding.contains(*by))
        {
            failures.push(format!("`{by}` did not decide"));
        }
        if let Some(redact) = expectation
            .redact
            .as_ref()
            .filter(|redact| **redact != answer.redaction)
        {
            let (wanted, got) = (listed(redact), listed(&answer.redaction));
            failures.push(format!(
                "expected {wanted} to be taken out, the policies take out {got}"
            ));
        }
        result.answered = answer.outcome.name().to_owned();
        result.deciding = answer.deciding;
        result.failure = (!failures.is_empty()).then(|| failures.join("; "));
        result
    }

    fn answer(&self, expectation: &Expectation, charter: &Charter, now: Timestamp) -> Result<Answer, String> {
        let question = &expectation.question;
        let now = question.at.unwrap_or(now);
        let (handle, person) = match &question.who {
            // No handle, so that no policy names whoever is made up.
            Who::MadeUp(person) => (None, person.clone()),
            Who::Member(handle) => {
                let member = charter.member(handle).filter(|member| member.ended.is_none());
                let member = member.ok_or_else(|| format!("`{handle}` is no member of the community"))?;
                let person = match question.action {
                    Action::Forward => Person::stranger(member, charter),
                    _ => Person::of(member, charter, &self.terms),
                };
                (Some(handle.clone()), person)
            }
        };
        if let Situation::Accept { .. } = question.situation {
            let name = handle.map_or_else(|| "#".to_owned(), |handle| handle.to_string());
            let answer = self.accept_in(&name, &person, &question.item, &question.situation, now);
            return Ok(Answer {
                outcome: Outcome::Kept(answer.verdict),
                deciding: answer.deciding,
                redaction: BTreeSet::new(),
                error: answer.reason,
            });
        }
        let roster = self.roster_of_one(question.action, handle, person);
        let situation = (&question.situation, now);
        let decision = self.decide_one(question.action, &roster, &question.item, situation);
        Ok(Answer {
            outcome: Outcome::Allowed(decision.allowed),
            deciding: decision.deciding,
            redaction: names(&decision.obligations.redaction),
            error: decision.error,
        })
    }
}

/// What is taken out, by the names that annotations use.
fn names(redaction: &Redaction) -> BTreeSet<String> {
    let hidden = [
        (redaction.internal, "internal"),
        (redaction.victims, "victims"),
        (redaction.pseudonyms, "pseudonyms"),
    ];
    let hidden = hidden
        .into_iter()
        .filter(|(is, _)| *is)
        .map(|(_, name)| name.to_owned());
    let named = redaction.properties.iter().chain(&redaction.patterns).cloned();
    named.chain(hidden).collect()
}

fn listed(names: &BTreeSet<String>) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
