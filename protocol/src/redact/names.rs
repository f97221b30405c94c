//! The names by which victims go, looked for in free text.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use regex::{Regex, RegexBuilder};

use super::ids::{Mint, canonical};
use super::{Glance, Why};
use crate::json::Json;
use crate::stix::Object;

/// Most characters of a name that are looked for: a longer one is found by how it begins.
const NAME: usize = 256;

/// Up to how many characters a name is looked for as a word of its own only.
const SHORT: usize = 4;

/// Characters of names that one expression looks for together.
const TOGETHER: usize = 4_096;

/// Room that such an expression may take: each character may come in either case.
const ROOM: usize = 64 << 20;

/// What may stand between two words of a name.
const JOINT: &str = r"(?:[\s_.+-]|%20)*";

/// Words that say of what legal form somebody is.
const LEGAL: [&str; 30] = [
    "&",
    "ab",
    "ag",
    "as",
    "asbl",
    "bv",
    "b.v",
    "co",
    "company",
    "corp",
    "corporation",
    "e.v",
    "eg",
    "gmbh",
    "inc",
    "kg",
    "limited",
    "llc",
    "llp",
    "ltd",
    "mbh",
    "nv",
    "n.v",
    "oy",
    "plc",
    "s.a",
    "sa",
    "sarl",
    "se",
    "spa",
];

/// Names to look for in free text.
#[derive(Default)]
pub(super) struct Names {
    expressions: Vec<Expression>,
    pseudonyms: bool,
}

struct Expression {
    /// None if the names cannot be looked for, which takes names that nobody has: then any text may hold
    /// them.
    regex: Option<Regex>,
    /// What takes the place of each name, by number of its group.
    by: Vec<String>,
}

impl Names {
    /// The names by which `victims` go in `objects`, and their pseudonyms if they are to have some.
    pub(super) fn of(
        objects: &[Glance<'_, '_>],
        victims: &BTreeSet<Cow<'_, str>>,
        pseudonyms: Option<&Mint>,
    ) -> Self {
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        for Glance { object, .. } in objects {
            if object.kind() != "identity" || !victims.contains(&canonical(object.id())) {
                continue;
            }
            let by = pseudonyms.map_or_else(String::new, |mint| mint.name(object.id()));
            for name in known_as(object) {
                names.entry(name).or_insert_with(|| by.clone());
            }
        }
        // Of two names that start alike, the longer is meant.
        let mut names: Vec<(String, String)> = names.into_iter().collect();
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.chars().count()));
        let mut expressions = Vec::new();
        let mut rest = names.as_slice();
        while !rest.is_empty() {
            let mut size = 0;
            let fits = rest.iter().take_while(|(name, _)| {
                size += name.chars().count();
                size <= TOGETHER
            });
            let (these, others) = rest.split_at_checked(fits.count().max(1)).unwrap_or((rest, &[]));
            expressions.push(Expression::new(these));
            rest = others;
        }
        Self {
            expressions,
            pseudonyms: pseudonyms.is_some(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.expressions.is_empty()
    }

    /// Why what is found is replaced.
    pub(super) const fn why(&self) -> Why {
        if self.pseudonyms {
            Why::Pseudonym
        } else {
            Why::Victim
        }
    }

    /// Where one of the names is, and the pseudonym that stands for it.
    pub(super) fn find(&self, text: &str) -> Vec<(Range<usize>, Option<String>)> {
        let mut found = Vec::new();
        for expression in &self.expressions {
            let Some(regex) = &expression.regex else {
                found.push((0..text.len(), None));
                continue;
            };
            for groups in regex.captures_iter(text) {
                let mut named = groups.iter().enumerate().skip(1);
                let Some((number, range)) = named.find_map(|(number, group)| Some((number, group?.range())))
                else {
                    continue;
                };
                let by = expression.by.get(number - 1).filter(|by| !by.is_empty());
                found.push((range, by.cloned()));
            }
        }
        found
    }
}

impl Expression {
    fn new(names: &[(String, String)]) -> Self {
        let part = |(name, _): &(String, String)| format!("({})", expression(name));
        let parts: Vec<String> = names.iter().map(part).collect();
        let regex = RegexBuilder::new(&parts.join("|"))
            .case_insensitive(true)
            .size_limit(ROOM)
            .dfa_size_limit(ROOM)
            .build();
        Self {
            regex: regex.ok(),
            by: names.iter().map(|(_, by)| by.clone()).collect(),
        }
    }
}

/// The expression that finds a name: in either case, and however its words are joined, so that `Acme
/// Water` is found in `acme-water.example` too.
fn expression(name: &str) -> String {
    let is_joint = |c: char| c.is_whitespace() || matches!(c, '-' | '_' | '+');
    let words = name.split(is_joint).filter(|word| !word.is_empty());
    let joined = words.map(regex::escape).collect::<Vec<_>>().join(JOINT);
    match joined.is_empty() {
        // A name of nothing but joints.
        true => regex::escape(name),
        false if name.chars().count() > SHORT => joined,
        false => {
            // A boundary stands where a letter or digit would go on.
            let edge = |c: Option<char>, edge| match c {
                Some(c) if c.is_alphanumeric() || c == '_' => edge,
                _ => "",
            };
            let before = edge(name.chars().next(), r"\b{start-half}");
            let behind = edge(name.chars().next_back(), r"\b{end-half}");
            format!("{before}{joined}{behind}")
        }
    }
}

/// What an identity goes by: its name, others it is known under, each also without its legal form, and
/// where it is reached.
fn known_as(identity: &Object<'_>) -> Vec<String> {
    let json = identity.json();
    let lists = ["aliases", "x_aliases", "x_opencti_aliases"];
    let aliases = lists
        .iter()
        .filter_map(|list| json.get(list)?.as_array())
        .flatten()
        .filter_map(Json::as_str);
    let names = identity.name().into_iter().chain(aliases);
    let contact = json.get("contact_information").and_then(Json::as_str);
    // Each mailbox by itself, since texts hold hardly the whole of it.
    let boxes = contact.into_iter().flat_map(|contact| {
        let parts = contact.split(|c: char| c.is_whitespace() || ",;<>()\"'".contains(c));
        parts.filter(|part| part.contains('@'))
    });
    names
        .flat_map(|name| [name, shortened(name)])
        .chain(contact)
        .chain(boxes)
        .map(|name| trimmed(name).chars().take(NAME).collect())
        .filter(|name: &String| !name.is_empty())
        .collect()
}

/// A name without what need not stand around it.
fn trimmed(name: &str) -> &str {
    name.trim_matches(|c: char| c.is_whitespace() || ".,;:".contains(c))
}

/// A name without the words at its end that say of what legal form it is: `Acme Ltd.` goes by `Acme`.
fn shortened(name: &str) -> &str {
    let mut short = trimmed(name);
    while let Some((before, last)) = short.rsplit_once(char::is_whitespace) {
        let last = trimmed(last).to_lowercase();
        let before = trimmed(before);
        if before.is_empty() || !LEGAL.contains(&last.as_str()) {
            break;
        }
        short = before;
    }
    short
}
