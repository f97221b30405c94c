//! `redaction.toml`: named patterns of text, and what counts as internal.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::error::{PolicyError, Problem};
use super::files::{PolicyFile, REDACTION};
use super::place::Places;
use super::terms::unreadable;

/// The most patterns, suffixes or networks.
const LIST: usize = 256;
/// The longest of each, bytes.
const LONGEST: usize = 1_024;

/// What `redaction.toml` says, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct RedactionFile {
    /// Regular expressions by their names.
    pub patterns: BTreeMap<String, String>,
    /// Ends of internal host names: `intern.example`.
    pub suffixes: Vec<String>,
    /// Internal networks: `10.0.0.0/8`.
    pub networks: Vec<String>,
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
    #[serde(default)]
    suffixes: Vec<Spanned<String>>,
    #[serde(default)]
    networks: Vec<Spanned<String>>,
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
    let WrittenInternal { suffixes, networks } = written.internal;
    let suffixes = suffixes.into_iter().enumerate();
    let suffixes = suffixes
        .map(|(index, suffix)| bounded(index, "suffixes", suffix))
        .collect();
    let networks = networks.into_iter().enumerate();
    let networks = networks
        .map(|(index, network)| bounded(index, "networks", network))
        .collect();
    RedactionFile {
        patterns,
        suffixes,
        networks,
    }
}
