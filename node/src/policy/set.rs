//! A set of policies: loaded whole from the files of a folder, or refused with all that is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cedar_policy::PolicyId;
use hanse_protocol::charter::Charter;
use hanse_protocol::redact::Rules;

use super::cache::Cache;
use super::error::{PolicyError, PolicyErrors, Problem};
use super::expect::{self, Expectation};
use super::files::{self, MEMBERS, POLICIES, PolicyFile, REDACTION, TESTS};
use super::place::Places;
use super::redaction::{self, RedactionFile};
use super::rule::{self, Rule};
use super::schema::Action;
use super::sheet::Sheet;
use super::split::split;
use super::terms::{self, Terms};
use super::validate;

/// Policies, and what is kept beside them. Does not change: another set takes its place.
#[derive(Debug)]
pub struct Policies {
    files: Vec<PolicyFile>,
    hash: [u8; 32],
    pub(super) rules: BTreeMap<String, Rule>,
    pub(super) terms: Terms,
    redaction: RedactionFile,
    rules_of_redaction: Rules,
    pub(super) expectations: Vec<Expectation>,
    pub(super) share: Sheet,
    pub(super) accept: Sheet,
    pub(super) forward: Sheet,
    pub(super) cache: Cache,
}

impl Policies {
    /// Reads the folder at `path`. With a charter, members that policies name must be in it or in a circle.
    ///
    /// # Errors
    /// Everything that is wrong with the folder.
    pub fn load(path: &Path, charter: Option<&Charter>) -> Result<Self, PolicyErrors> {
        Self::from_files(files::read(path)?, charter)
    }

    /// Reads the files of a folder: of a new one, or of one that the log kept.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn from_files(mut files: Vec<PolicyFile>, charter: Option<&Charter>) -> Result<Self, PolicyErrors> {
        // What is too large is not read.
        PolicyErrors::of(files::check(&mut files))?;
        let mut errors = Vec::new();
        let file = |name: &str| files.iter().find(|file| file.name == name);
        let terms = file(MEMBERS).map(|file| terms::read(file, &mut errors));
        let redaction = file(REDACTION).map(|file| redaction::read(file, &mut errors));
        let (terms, redaction) = (terms.unwrap_or_default(), redaction.unwrap_or_default());
        let places = files.iter().filter(|file| file.is_cedar());
        let places: BTreeMap<&str, Places<'_>> = places
            .map(|file| (file.name.as_str(), Places::new(&file.name, &file.text)))
            .collect();
        let rules = rules(&files, &places, &mut errors);
        let patterns: BTreeSet<&str> = redaction.patterns.keys().map(String::as_str).collect();
        errors.extend(validate::check(&rules, &places, &terms, &patterns, charter));
        let circles = terms.circles.keys().map(String::as_str).collect();
        let ids = rules.iter().map(|rule| rule.id.as_str()).collect();
        let expectations = file(TESTS).map(|file| expect::read(file, &ids, &circles, &mut errors));
        let expectations = expectations.unwrap_or_default();
        PolicyErrors::of(errors)?;
        let rules_of_redaction = redaction::rules(&redaction)?;
        let sheet = |action| Sheet::new(rules.iter(), action);
        Ok(Self {
            hash: files::hash(&files),
            share: sheet(Action::Share),
            accept: sheet(Action::Accept),
            forward: sheet(Action::Forward),
            rules: rules.into_iter().map(|rule| (rule.id.clone(), rule)).collect(),
            terms,
            redaction,
            rules_of_redaction,
            expectations,
            cache: Cache::default(),
            files,
        })
    }

    /// What holds where no folder is set: whatever its marking allows to every member, and to named
    /// readers what is meant for them.
    #[expect(
        clippy::expect_used,
        reason = "the text is part of the program and read by its tests"
    )]
    pub fn built_in() -> Self {
        let file = PolicyFile::new("built-in.cedar", include_str!("built_in.cedar"));
        Self::from_files(vec![file], None).expect("the built-in policies are well formed")
    }

    /// The files it was read from, in the order of their names.
    pub fn files(&self) -> &[PolicyFile] {
        &self.files
    }

    /// Names the set: BLAKE3 over the names and texts of its files.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// What `redaction.toml` says.
    pub fn redaction(&self) -> &RedactionFile {
        &self.redaction
    }

    /// What the names that redactions use mean.
    pub fn rules(&self) -> &Rules {
        &self.rules_of_redaction
    }

    /// The ids of all policies, with the file and line of each.
    pub fn ids(&self) -> impl Iterator<Item = (&str, &str, u32)> {
        let rules = self.rules.values();
        rules.map(|rule| (rule.id.as_str(), rule.file.as_str(), rule.line))
    }

    /// The text of a policy, annotations included.
    pub fn text(&self, id: &str) -> Option<&str> {
        self.rules.get(id).map(|rule| rule.text.as_str())
    }

    pub(super) fn rule(&self, id: &PolicyId) -> Option<&Rule> {
        let id: &str = id.as_ref();
        self.rules.get(id)
    }
}

/// The policies of all files whose ids are their own.
fn rules(
    files: &[PolicyFile],
    places: &BTreeMap<&str, Places<'_>>,
    errors: &mut Vec<PolicyError>,
) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let mut count = 0;
    for file in files.iter().filter(|file| file.is_cedar()) {
        let Some(places) = places.get(file.name.as_str()) else {
            continue;
        };
        for piece in split(&file.text) {
            count += 1;
            if count > POLICIES {
                let limit = POLICIES;
                errors.push(places.error(piece.start, None, Problem::TooManyPolicies { limit }));
                return rules;
            }
            let Some(rule) = rule::read(&file.name, &file.text, &piece, places, errors) else {
                continue;
            };
            let other = taken.get(&rule.id).and_then(|index| rules.get(*index));
            if let Some(other) = other {
                let (id, file, line) = (rule.id.clone(), other.file.clone(), other.line);
                let problem = Problem::DuplicateId { id, file, line };
                errors.push(places.error(piece.start, Some(&rule.id), problem));
                continue;
            }
            taken.insert(rule.id.clone(), rules.len());
            rules.push(rule);
        }
    }
    rules
}
