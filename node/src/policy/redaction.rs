//! `redaction.toml`: named patterns of text, and what counts as internal.

use std::collections::BTreeMap;

use hanse_protocol::redact::Rules;
use serde::Deserialize;
use toml::Spanned;

use super::error::{PolicyError, PolicyErrors, Problem};
use super::files::{PolicyFile, REDACTION};
use super::place::Places;
use super::terms::unreadable;

/// The most patterns, suffixes or networks.
const LIST: usize = 256;
/// The longest of each, bytes.
const LONGEST: usize = 1_024;

/// What `redaction.toml` says, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedactionFile {
    /// Regular expressions by their names.
    pub patterns: BTreeMap<String, String>,
    /// Domains whose hosts are internal: `intern.example`. None if it says nothing of them.
    pub domains: Option<Vec<String>>,
    /// Internal networks: `10.0.0.0/8`. None if it says nothing of them.
    pub networks: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    patterns: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    internal: WrittenInternal,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenInternal {
    domains: Option<Vec<Spanned<String>>>,
    networks: Option<Vec<Spanned<String>>>,
}

/// Reads the file.
pub(super) fn read(file: &PolicyFile, errors: &mut Vec<PolicyError>) -> RedactionFile {
    let places = Places::new(REDACTION, &file.text);
    let written: Written = match toml::from_str(&file.text) {
        Ok(written) => written,
        Err(error) => {
            errors.push(unreadable(&places, &error));
            return RedactionFile::default();
        }
    };
    let mut bounded = |index: usize, name: &str, value: Spanned<String>| {
        if index >= LIST || value.get_ref().is_empty() || value.get_ref().len() > LONGEST {
            let shown = value.get_ref().chars().take(40).collect();
            let rule = "at most 256 of 1 to 1024 bytes each are read";
            let problem = Problem::OutOfBounds {
                name: name.to_owned(),
                value: shown,
                rule,
            };
            errors.push(places.error(value.span().start, None, problem));
        }
        value.into_inner()
    };
    let patterns = written.patterns.into_iter().enumerate();
    let patterns = patterns.map(|(index, (name, pattern))| {
        let pattern = bounded(index, &name, pattern);
        (name, pattern)
    });
    let patterns = patterns.collect();
    let mut list = |name: &str, values: Vec<Spanned<String>>| -> Vec<String> {
        let values = values.into_iter().enumerate();
        values.map(|(index, value)| bounded(index, name, value)).collect()
    };
    let WrittenInternal { domains, networks } = written.internal;
    RedactionFile {
        patterns,
        domains: domains.map(|domains| list("domains", domains)),
        networks: networks.map(|networks| list("networks", networks)),
    }
}

/// Compiles what the file says.
pub(super) fn rules(file: &RedactionFile) -> Result<Rules, PolicyErrors> {
    let patterns: Vec<(&str, &str)> = file
        .patterns
        .iter()
        .map(|(name, pattern)| (name.as_str(), pattern.as_str()))
        .collect();
    let listed = |list: &Option<Vec<String>>, default: &[&'static str]| -> Vec<String> {
        list.clone()
            .unwrap_or_else(|| default.iter().map(|entry| (*entry).to_owned()).collect())
    };
    let (domains, networks) = (
        listed(&file.domains, &Rules::DOMAINS),
        listed(&file.networks, &Rules::NETWORKS),
    );
    let domains: Vec<&str> = domains.iter().map(String::as_str).collect();
    let networks: Vec<&str> = networks.iter().map(String::as_str).collect();
    Rules::new(&patterns, &domains, &networks).map_err(|error| {
        PolicyErrors(vec![PolicyError {
            file: REDACTION.to_owned(),
            line: 0,
            column: 0,
            policy: None,
            problem: Problem::Redaction(error.to_string()),
        }])
    })
}
