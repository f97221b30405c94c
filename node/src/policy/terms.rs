//! `members.toml`: our terms with partners, and circles of them.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::Duration;

use hanse_protocol::charter::Charter;
use hanse_protocol::identity::Handle;
use hanse_protocol::timestamp::Timestamp;
use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use super::error::{PolicyError, Problem};
use super::files::{MEMBERS, PolicyFile};
use super::place::Places;

/// The trust in a member of whom nothing is said.
pub(super) const TRUST: u8 = 50;
/// The most trust.
const MOST: i64 = 100;
/// The most tags of a member, and the longest, bytes.
const TAGS: (usize, usize) = (32, 64);
/// The longest name of a circle, bytes.
const CIRCLE: usize = 64;

/// What we agreed on with one partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) trust: u8,
    pub(super) contract_from: Option<Timestamp>,
    pub(super) contract_until: Option<Timestamp>,
    pub(super) tags: BTreeSet<String>,
}

impl Default for Term {
    fn default() -> Self {
        Self {
            trust: TRUST,
            contract_from: None,
            contract_until: None,
            tags: BTreeSet::new(),
        }
    }
}

/// Terms with partners and circles of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) members: BTreeMap<Handle, Term>,
    pub(super) circles: BTreeMap<String, BTreeSet<Handle>>,
    /// The line each circle is on.
    pub(super) lines: BTreeMap<String, u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    members: BTreeMap<Spanned<String>, WrittenTerm>,
    #[serde(default)]
    circles: BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTerm {
    trust: Option<Spanned<i64>>,
    contract_from: Option<Spanned<Datetime>>,
    contract_until: Option<Spanned<Datetime>>,
    #[serde(default)]
    tags: Vec<Spanned<String>>,
}

/// Reads the file.
pub(super) fn read(file: &PolicyFile, errors: &mut Vec<PolicyError>) -> Terms {
    let places = Places::new(MEMBERS, &file.text);
    let written: Written = match toml::from_str(&file.text) {
        Ok(written) => written,
        Err(error) => {
            errors.push(unreadable(&places, &error));
            return Terms::default();
        }
    };
    let mut terms = Terms::default();
    for (handle, term) in written.members {
        let term = term.read(&places, errors);
        if let Some(handle) = handle_of(&handle, &places, errors) {
            terms.members.insert(handle, term);
        }
    }
    for (name, members) in written.circles {
        let members = members
            .iter()
            .filter_map(|member| handle_of(member, &places, errors))
            .collect();
        let line = places.of(name.span().start).0;
        let name = name.into_inner();
        if name.is_empty() || name.len() > CIRCLE || name.chars().any(char::is_control) {
            let rule = "a circle has a name of 1 to 64 bytes";
            let problem = Problem::OutOfBounds {
                name: "circle".to_owned(),
                value: name,
                rule,
            };
            errors.push(PolicyError {
                line,
                ..places.error(0, None, problem)
            });
            continue;
        }
        terms.lines.insert(name.clone(), line);
        terms.circles.insert(name, members);
    }
    terms
}

/// A settings file that cannot be read, at its place.
pub(super) fn unreadable(places: &Places<'_>, error: &toml::de::Error) -> PolicyError {
    let at = error.span().map_or(0, |span| span.start);
    places.error(at, None, Problem::Settings(error.message().replace('\n', " ")))
}

fn handle_of(text: &Spanned<String>, places: &Places<'_>, errors: &mut Vec<PolicyError>) -> Option<Handle> {
    let handle = Handle::from_str(text.get_ref());
    if handle.is_err() {
        let shown = text.get_ref().chars().take(TAGS.1).collect();
        errors.push(places.error(text.span().start, None, Problem::BadHandle { text: shown }));
    }
    handle.ok()
}

impl WrittenTerm {
    fn read(self, places: &Places<'_>, errors: &mut Vec<PolicyError>) -> Term {
        let mut wrong = |at: usize, name: &str, value: String, rule| {
            let name = name.to_owned();
            errors.push(places.error(at, None, Problem::OutOfBounds { name, value, rule }));
        };
        let mut term = Term::default();
        if let Some(trust) = self.trust {
            match u8::try_from(*trust.get_ref()) {
                Ok(value) if i64::from(value) <= MOST => term.trust = value,
                _ => wrong(
                    trust.span().start,
                    "trust",
                    trust.get_ref().to_string(),
                    "0 to 100 is",
                ),
            }
        }
        let mut date = |name, date: Option<Spanned<Datetime>>, end| {
            let date = date?;
            let instant = instant(date.get_ref(), end);
            if instant.is_none() {
                let rule = "write a date like 2026-06-19, or an instant like 2026-06-19T12:00:00Z";
                wrong(date.span().start, name, date.get_ref().to_string(), rule);
            }
            instant
        };
        term.contract_from = date("contract_from", self.contract_from, false);
        term.contract_until = date("contract_until", self.contract_until, true);
        let (most, longest) = TAGS;
        for (index, tag) in self.tags.into_iter().enumerate() {
            if index >= most || tag.get_ref().len() > longest || tag.get_ref().is_empty() {
                wrong(
                    tag.span().start,
                    "tags",
                    tag.into_inner(),
                    "a member has at most 32 tags of 64 bytes",
                );
            } else {
                term.tags.insert(tag.into_inner());
            }
        }
        term
    }
}

/// The instant of a date as people mean it: a day alone is its beginning in UTC, or its end.
pub(super) fn instant(date: &Datetime, end: bool) -> Option<Timestamp> {
    let day = date.date?;
    match (date.time, date.offset) {
        (None, None) => {
            let midnight = Timestamp::parse_rfc3339(&format!("{day}T00:00:00Z"))?;
            Some(midnight.after(Duration::from_secs(if end { 24 * 3600 } else { 0 })))
        }
        (Some(_), Some(_)) => Timestamp::parse_rfc3339(&date.to_string()),
        _ => None,
    }
}

impl Terms {
    /// Handles that policies may name: of the charter, and of the circles.
    pub(super) fn known<'a>(&'a self, charter: Option<&'a Charter>) -> impl Iterator<Item = &'a str> {
        let members = charter.into_iter().flat_map(|charter| &charter.members);
        let circles = self.circles.values().flatten();
        members
            .map(|member| member.handle.as_str())
            .chain(circles.map(Handle::as_str))
    }

    /// Whether a policy may name `handle`: a member, or one of a circle. Where no charter is at hand, or
    /// members of another community are meant, whatever can be a handle.
    pub(super) fn may_name(&self, handle: &str, charter: Option<&Charter>, foreign: bool) -> bool {
        if charter.is_none() || foreign {
            return handle.parse::<Handle>().is_ok();
        }
        self.known(charter).any(|known| known == handle)
    }

    /// The circles that a member is in.
    pub(super) fn circles_of(&self, handle: &Handle) -> BTreeSet<String> {
        let circles = self
            .circles
            .iter()
            .filter(|(_, members)| members.contains(handle));
        circles.map(|(name, _)| name.clone()).collect()
    }

    /// The terms with a member.
    pub(super) fn of(&self, handle: &Handle) -> Term {
        self.members.get(handle).cloned().unwrap_or_default()
    }
}
