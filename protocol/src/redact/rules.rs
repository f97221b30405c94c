//! What the names that redactions use mean: patterns by name, and what is internal.

use regex::{Regex, RegexBuilder};

use super::internal::Internal;
use crate::limits;

/// Most patterns.
const PATTERNS: usize = 64;

/// Longest pattern, bytes.
const PATTERN: usize = 1_024;

/// Most room that one pattern takes once it is read, bytes.
const PATTERN_ROOM: usize = 1 << 20;

/// Most internal domains, and most internal networks.
const INTERNAL: usize = 1_024;

/// What the names that redactions use mean.
#[derive(Clone, Debug)]
pub struct Rules {
    patterns: Vec<(String, Regex)>,
    internal: Internal,
}

/// Why rules are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// More than 64 patterns, or more than 1,024 domains or networks.
    #[error("{count} are over the bound of {bound}")]
    TooMany {
        /// How many there are.
        count: usize,
        /// How many there may be.
        bound: usize,
    },
    /// A name is empty or longer than [`limits::NAME`].
    #[error("`{0}` is no name of a pattern")]
    Name(String),
    /// Two patterns of one name.
    #[error("there are two patterns `{0}`")]
    Twice(String),
    /// A pattern is longer than 1 KiB.
    #[error("the pattern `{name}` of {bytes} bytes is over 1024")]
    TooLong {
        /// Its name.
        name: String,
        /// Its size.
        bytes: usize,
    },
    /// A pattern takes more than 1 MiB once it is read, as `\w{1000}{1000}` does.
    #[error("the pattern `{0}` takes too much room once it is read")]
    TooLarge(String),
    /// A pattern cannot be read.
    #[error("the pattern `{name}` cannot be read: {reason}")]
    Syntax {
        /// Its name.
        name: String,
        /// What is wrong with it, of the syntax of the `regex` crate.
        reason: String,
    },
    /// A domain is none.
    #[error("`{0}` is no domain")]
    Domain(String),
    /// A network is none in CIDR notation.
    #[error("`{0}` is no network such as 10.0.0.0/8")]
    Network(String),
}

impl Rules {
    /// Domains that are internal if nothing else is said: none of them is delegated in the public DNS
    /// (RFC 6762, RFC 8375, ICANN's resolution on `internal`, and the names RFC 6762 warns of).
    pub const DOMAINS: [&str; 6] = ["local", "lan", "internal", "corp", "home.arpa", "intranet"];

    /// Networks that are internal if nothing else is said: private (RFC 1918, RFC 4193), shared by
    /// carriers (RFC 6598), link-local (RFC 3927, RFC 4291) and loopback.
    pub const NETWORKS: [&str; 9] = [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "127.0.0.0/8",
        "fc00::/7",
        "fe80::/10",
        "::1/128",
    ];

    /// Reads rules: patterns by name in the syntax of the `regex` crate, domains under which hosts are
    /// internal, and internal networks in CIDR notation.
    ///
    /// # Errors
    /// [`RuleError`] at the first that cannot be used.
    pub fn new(patterns: &[(&str, &str)], domains: &[&str], networks: &[&str]) -> Result<Self, RuleError> {
        bounded(patterns.len(), PATTERNS)?;
        bounded(domains.len(), INTERNAL)?;
        bounded(networks.len(), INTERNAL)?;
        let mut read: Vec<(String, Regex)> = Vec::with_capacity(patterns.len());
        for (name, pattern) in patterns {
            if !(1..=limits::NAME).contains(&name.len()) {
                return Err(RuleError::Name(limits::echo(name)));
            }
            if read.iter().any(|(earlier, _)| earlier == name) {
                return Err(RuleError::Twice(limits::echo(name)));
            }
            if pattern.len() > PATTERN {
                let (name, bytes) = (limits::echo(name), pattern.len());
                return Err(RuleError::TooLong { name, bytes });
            }
            read.push(((*name).to_owned(), regex(name, pattern)?));
        }
        Ok(Self {
            patterns: read,
            internal: Internal::new(domains, networks)?,
        })
    }

    /// The pattern of a name.
    pub(super) fn pattern(&self, name: &str) -> Option<&Regex> {
        let mut patterns = self.patterns.iter();
        patterns.find_map(|(known, regex)| (known == name).then_some(regex))
    }

    /// Whether there is a pattern of this name.
    pub fn has_pattern(&self, name: &str) -> bool {
        self.pattern(name).is_some()
    }

    pub(super) const fn internal(&self) -> &Internal {
        &self.internal
    }
}

fn bounded(count: usize, bound: usize) -> Result<(), RuleError> {
    if count > bound {
        return Err(RuleError::TooMany { count, bound });
    }
    Ok(())
}

/// Reads a pattern within bounds: matching takes time linear in the text, whatever it is.
pub(super) fn regex(name: &str, pattern: &str) -> Result<Regex, RuleError> {
    let read = RegexBuilder::new(pattern).size_limit(PATTERN_ROOM).build();
    read.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => RuleError::TooLarge(limits::echo(name)),
        other => RuleError::Syntax {
            name: limits::echo(name),
            // Its last line says what is wrong, those before it draw where.
            reason: other.to_string().lines().last().unwrap_or_default().to_owned(),
        },
    })
}
