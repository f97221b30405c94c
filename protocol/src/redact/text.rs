//! Free text: which values are, and what is replaced in it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use regex::Regex;

use super::internal::Internal;
use super::names::Names;
use super::trail::Trail;
use super::{DropReason, Redaction, Rules, Why};
use crate::pattern::instant::Instant;
use crate::stix::type_of_id;

/// What stands where something was taken out.
pub(super) const MARK: &str = "[redacted]";

/// What is looked for in the free text of one object.
pub(super) struct Search<'s> {
    patterns: Vec<(&'s str, &'s Regex)>,
    internal: Option<&'s Internal>,
    names: Vec<&'s Names>,
}

/// A stretch of text, what takes its place, and why.
struct Find<'s> {
    range: Range<usize>,
    by: Cow<'s, str>,
    why: Why,
}

impl<'s> Search<'s> {
    pub(super) fn new(
        rules: &'s Rules,
        redaction: &'s Redaction,
        names: Vec<&'s Names>,
    ) -> Result<Self, DropReason> {
        let pattern = |name: &'s String| match rules.pattern(name) {
            Some(regex) => Ok((name.as_str(), regex)),
            None => Err(DropReason::NoPattern(name.clone())),
        };
        Ok(Self {
            patterns: redaction.patterns.iter().map(pattern).collect::<Result<_, _>>()?,
            internal: redaction.internal.then(|| rules.internal()),
            names: names.into_iter().filter(|names| !names.is_empty()).collect(),
        })
    }

    /// What is internal, if that is looked for.
    pub(super) const fn internal(&self) -> Option<&'s Internal> {
        self.internal
    }

    /// Whether nothing is looked for.
    pub(super) fn is_empty(&self) -> bool {
        self.patterns.is_empty() && self.internal.is_none() && self.names.is_empty()
    }

    fn find(&self, text: &str) -> Vec<Find<'s>> {
        let mut found = Vec::new();
        let mark = || Cow::Borrowed(MARK);
        for (name, regex) in &self.patterns {
            // What matches no character takes nothing out.
            let matches = regex.find_iter(text).filter(|found| !found.is_empty());
            found.extend(matches.map(|found| Find {
                range: found.range(),
                by: mark(),
                why: Why::Pattern((*name).to_owned()),
            }));
        }
        if let Some(internal) = self.internal {
            let stretches = internal.find(text).into_iter();
            found.extend(stretches.map(|range| Find {
                range,
                by: mark(),
                why: Why::Internal,
            }));
        }
        for names in &self.names {
            found.extend(names.find(text).into_iter().map(|(range, pseudonym)| Find {
                range,
                by: pseudonym.map_or_else(mark, Cow::Owned),
                why: names.why(),
            }));
        }
        found
    }

    /// Why something would be taken out of `text`, if something would.
    pub(super) fn matches(&self, text: &str) -> Option<Why> {
        self.find(text).into_iter().map(|found| found.why).min()
    }

    /// The text without what was found in it, and why it changed; `None` if nothing was found.
    pub(super) fn replace(&self, text: &str) -> Option<(String, BTreeSet<Why>)> {
        let mut found = self.find(text);
        if found.is_empty() {
            return None;
        }
        found.sort_by_key(|found| (found.range.start, std::cmp::Reverse(found.range.end)));
        let mut replaced = String::with_capacity(text.len());
        let mut whys = BTreeSet::new();
        let mut at = 0;
        let mut found = found.into_iter().peekable();
        while let Some(Find { range, mut by, why }) = found.next() {
            whys.insert(why);
            let mut end = range.end;
            while let Some(next) = found.next_if(|next| next.range.start < end) {
                end = end.max(next.range.end);
                whys.insert(next.why);
                // Of two that overlap, a pseudonym tells more than it should.
                if next.by != by {
                    by = MARK.into();
                }
            }
            replaced.push_str(text.get(at..range.start).unwrap_or_default());
            replaced.push_str(&by);
            at = end;
        }
        replaced.push_str(text.get(at..).unwrap_or_default());
        Some((replaced, whys))
    }
}

/// Properties that are no text whatever they hold: what the norm counts, or what machines decide by.
const NO_TEXT: [&str; 17] = [
    "type",
    "id",
    "spec_version",
    "lang",
    "pattern_type",
    "pattern_version",
    "relationship_type",
    "identity_class",
    "sectors",
    "opinion",
    "kill_chain_phases",
    "protocols",
    "mime_type",
    "payload_bin",
    "encryption_algorithm",
    "extension_type",
    "extension_types",
];

/// Whether a string of an object of type `kind` is free text. Words from open vocabularies are: they may
/// be anybody's. So is everything under a property of somebody's own making.
pub(super) fn is_free(kind: &str, trail: &Trail<'_>, text: &str) -> bool {
    let property = trail.property();
    let named = NO_TEXT.contains(&property)
        || matches!(property, "object_marking_refs" | "granular_markings")
        || (kind == "indicator" && property == "pattern")
        || matches!(trail.key(), "payload_bin" | "extension_type" | "mime_type")
        || trail.keys().any(|key| key == "hashes");
    !named && type_of_id(text).is_none() && Instant::parse(text).is_none()
}

/// Whether a key is more than the name of a property, so that it may tell something itself: a key of a
/// dictionary that is not spelt as properties are, or one of somebody's own making.
pub(super) fn is_telling(trail: &Trail<'_>) -> bool {
    let Some(key) = trail.last_key() else {
        return false;
    };
    let plain = key
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    let own = trail.property().starts_with("x_") || trail.property() == "extensions";
    type_of_id(key).is_none() && (!plain || own)
}
