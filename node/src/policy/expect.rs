//! `tests.toml`: what people expect of the policies beside it, read. Each expectation is a question with
//! its answer; two answers to one question are refused.

use std::collections::BTreeSet;
use std::str::FromStr;

use hanse_protocol::identity::Handle;
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;
use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use super::accept::Arriving;
use super::decision::Verdict;
use super::entities::{Person, Situation};
use super::error::{PolicyError, Problem};
use super::files::{PolicyFile, TESTS};
use super::item::Item;
use super::place::{Places, nearest};
use super::schema::Action;
use super::share::Forwarding;
use super::terms::{TRUST, instant, unreadable};

/// The most expectations.
const EXPECTATIONS: usize = 2_000;

/// A question with its answer.
#[derive(Clone, Debug)]
pub(super) struct Expectation {
    pub(super) name: String,
    pub(super) line: u32,
    pub(super) question: Question,
    pub(super) outcome: Outcome,
    /// A policy that must be among those that decide.
    pub(super) by: Option<String>,
    /// Everything that is taken out.
    pub(super) redact: Option<BTreeSet<String>>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) action: Action,
    pub(super) who: Who,
    pub(super) item: Item,
    pub(super) situation: Situation,
    /// When; the time of asking where none is written.
    pub(super) at: Option<Timestamp>,
}

/// About whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// A member of the charter.
    Member(Handle),
    /// One that is made up.
    MadeUp(Person),
}

/// What is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Allowed(bool),
    Kept(Verdict),
}

impl Outcome {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Allowed(true) => "yes",
            Self::Allowed(false) => "no",
            Self::Kept(verdict) => verdict.name(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    expect: Vec<Spanned<WrittenExpectation>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenExpectation {
    name: Spanned<String>,
    action: Option<Spanned<String>>,
    partner: Spanned<WrittenWho>,
    item: WrittenItem,
    at: Option<Spanned<Datetime>>,
    #[serde(default)]
    named: bool,
    #[serde(default)]
    size: u32,
    #[serde(default)]
    rate: u32,
    #[serde(default)]
    sealed: bool,
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
    author: Option<Spanned<String>>,
    outcome: Spanned<String>,
    by: Option<Spanned<String>>,
    redact: Option<BTreeSet<String>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a handle, or what a made-up member is like")]
enum WrittenWho {
    Handle(String),
    MadeUp(WrittenPerson),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPerson {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    sector: String,
    #[serde(default)]
    country: String,
    trust: Option<u8>,
    #[serde(default)]
    steward: bool,
    contract_from: Option<Datetime>,
    contract_until: Option<Datetime>,
    #[serde(default)]
    tags: BTreeSet<String>,
    #[serde(default)]
    circles: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenItem {
    r#type: String,
    tlp: Spanned<String>,
    #[serde(default)]
    labels: BTreeSet<String>,
    confidence: Option<u8>,
    #[serde(default)]
    sightings: u32,
    #[serde(default)]
    kill_chain: BTreeSet<String>,
    #[serde(default)]
    targets: BTreeSet<String>,
    #[serde(default)]
    personal_data: bool,
    #[serde(default)]
    revoked: bool,
}

/// Reads the file. `ids` are those of the policies beside it.
pub(super) fn read(
    file: &PolicyFile,
    ids: &BTreeSet<&str>,
    circles: &BTreeSet<&str>,
    errors: &mut Vec<PolicyError>,
) -> Vec<Expectation> {
    let places = Places::new(TESTS, &file.text);
    let written: Written = match toml::from_str(&file.text) {
        Ok(written) => written,
        Err(error) => {
            errors.push(unreadable(&places, &error));
            return Vec::new();
        }
    };
    let mut read: Vec<Expectation> = Vec::new();
    for written in written.expect.into_iter().take(EXPECTATIONS) {
        let start = written.span().start;
        let mut expectation = match written.into_inner().read(start, ids, circles) {
            Ok(expectation) => expectation,
            Err((at, problem)) => {
                errors.push(places.error(at, None, problem));
                continue;
            }
        };
        expectation.line = places.of(start).0;
        if let Some(other) = read.iter().find(|other| other.contradicts(&expectation)) {
            let (line, other) = (other.line, other.name.clone());
            errors.push(places.error(start, None, Problem::Contradiction { other, line }));
        }
        read.push(expectation);
    }
    read
}

/// Where something is wrong, and what.
type Wrong = (usize, Problem);

fn wrong(at: usize, name: &str, value: &str, rule: &'static str) -> Wrong {
    let (name, value) = (name.to_owned(), value.chars().take(80).collect());
    (at, Problem::OutOfBounds { name, value, rule })
}

impl WrittenExpectation {
    fn read(
        self,
        start: usize,
        ids: &BTreeSet<&str>,
        circles: &BTreeSet<&str>,
    ) -> Result<Expectation, Wrong> {
        let action = match &self.action {
            None => Action::Share,
            Some(name) => {
                let known = Action::ALL
                    .into_iter()
                    .find(|action| action.name() == name.get_ref());
                known.ok_or_else(|| {
                    let nearest = nearest(name.get_ref(), Action::ALL.map(Action::name));
                    let problem = Problem::UnknownAction {
                        name: name.get_ref().clone(),
                        nearest,
                    };
                    (name.span().start, problem)
                })?
            }
        };
        let at = self.at.map(|at| {
            let rule = "write an instant like 2026-06-19T12:00:00Z";
            instant(at.get_ref(), false)
                .ok_or_else(|| wrong(at.span().start, "at", &at.get_ref().to_string(), rule))
        });
        let question = Question {
            action,
            who: who(self.partner, circles)?,
            item: self.item.read()?,
            situation: match action {
                Action::Share => Situation::Share { named: self.named },
                Action::Accept => Arriving {
                    size: self.size.into(),
                    rate: self.rate,
                    sealed: self.sealed,
                }
                .situation(),
                Action::Forward => {
                    let (from, to) = (self.from, self.to);
                    let author = self.author.ok_or_else(|| {
                        wrong(start, "author", "", "an expectation of forward names the author")
                    })?;
                    let handle = handle(author.get_ref(), author.span().start)?;
                    Forwarding {
                        from,
                        to,
                        author: handle,
                    }
                    .situation()
                }
            },
            at: at.transpose()?,
        };
        if let Some(by) = &self.by
            && !ids.contains(by.get_ref().as_str())
        {
            let nearest = nearest(by.get_ref(), ids.iter().copied());
            let problem = Problem::UnknownPolicy {
                id: by.get_ref().clone(),
                nearest,
            };
            return Err((by.span().start, problem));
        }
        Ok(Expectation {
            name: self.name.into_inner(),
            line: 0,
            question,
            outcome: outcome(action, &self.outcome)?,
            by: self.by.map(Spanned::into_inner),
            redact: self.redact,
        })
    }
}

fn outcome(action: Action, written: &Spanned<String>) -> Result<Outcome, Wrong> {
    let (at, text) = (written.span().start, written.get_ref().as_str());
    match (action, text) {
        (Action::Share | Action::Forward, "yes") => Ok(Outcome::Allowed(true)),
        (Action::Share | Action::Forward, "no") => Ok(Outcome::Allowed(false)),
        (Action::Accept, "keep") => Ok(Outcome::Kept(Verdict::Keep)),
        (Action::Accept, "quarantine") => Ok(Outcome::Kept(Verdict::Quarantine)),
        (Action::Accept, "drop") => Ok(Outcome::Kept(Verdict::Drop)),
        (Action::Accept, _) => Err(wrong(
            at,
            "outcome",
            text,
            "keep, quarantine and drop are outcomes of accept",
        )),
        _ => Err(wrong(
            at,
            "outcome",
            text,
            "yes and no are outcomes of share and forward",
        )),
    }
}

fn handle(text: &str, at: usize) -> Result<Handle, Wrong> {
    let text = text.to_owned();
    Handle::from_str(&text).map_err(|_| (at, Problem::BadHandle { text }))
}

fn who(written: Spanned<WrittenWho>, circles: &BTreeSet<&str>) -> Result<Who, Wrong> {
    let at = written.span().start;
    let person = match written.into_inner() {
        WrittenWho::Handle(text) => return handle(&text, at).map(Who::Member),
        WrittenWho::MadeUp(person) => person,
    };
    if let Some(circle) = person
        .circles
        .iter()
        .find(|circle| !circles.contains(circle.as_str()))
    {
        let nearest = nearest(circle, circles.iter().copied());
        let circle = circle.clone();
        return Err((at, Problem::UnknownCircle { circle, nearest }));
    }
    let date = |date: Option<Datetime>, end| match date {
        None => Ok(None),
        Some(date) => match instant(&date, end) {
            None => Err(wrong(
                at,
                "contract",
                &date.to_string(),
                "write a date like 2026-06-19",
            )),
            instant => Ok(instant),
        },
    };
    Ok(Who::MadeUp(Person {
        contract_from: date(person.contract_from, false)?,
        contract_until: date(person.contract_until, true)?,
        kind: person.kind,
        sector: person.sector,
        country: person.country,
        trust: person.trust.unwrap_or(TRUST),
        steward: person.steward,
        tags: person.tags,
        circles: person.circles,
    }))
}

impl WrittenItem {
    fn read(self) -> Result<Item, Wrong> {
        let tlp = Tlp::from_str(self.tlp.get_ref()).map_err(|_| {
            let nearest = nearest(self.tlp.get_ref(), Tlp::ALL.map(Tlp::name));
            let name = self.tlp.get_ref().clone();
            (self.tlp.span().start, Problem::UnknownMarking { name, nearest })
        })?;
        Ok(Item {
            kind: self.r#type,
            tlp,
            labels: self.labels,
            confidence: self.confidence,
            sightings: self.sightings,
            kill_chain: self.kill_chain,
            targets: self.targets,
            personal_data: self.personal_data,
            revoked: self.revoked,
        })
    }
}

impl Expectation {
    /// Whether no policies could meet both.
    fn contradicts(&self, other: &Self) -> bool {
        let redactions = self.redact.as_ref().zip(other.redact.as_ref());
        self.question == other.question
            && (self.outcome != other.outcome || redactions.is_some_and(|(ours, theirs)| ours != theirs))
    }
}
