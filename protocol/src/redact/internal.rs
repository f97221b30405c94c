//! Internal host names and addresses, found in free text however they are defanged.

use std::ops::Range;

use regex::Regex;

use super::rules::{RuleError, regex};
use crate::limits;
use crate::observable::address::Network;
use crate::observable::{Observable, ObservableKind};

/// A dot, as it stands or defanged, or escaped as patterns have it.
const DOT: &str = r"(?:\\{0,2}[.。．｡]|[\[({]\s?(?:[.]|(?i:dot))\s?[\])}])";

/// A colon, as it stands or defanged.
const COLON: &str = r"(?:\\?:|[\[({]:[\])}])";

/// What is internal.
#[derive(Clone, Debug)]
pub(super) struct Internal {
    domains: Vec<String>,
    networks: Vec<Network>,
    dot: Regex,
    host: Regex,
    ipv4: Regex,
    ipv6: Regex,
    url: Regex,
    share: Regex,
}

impl Internal {
    pub(super) fn new(domains: &[&str], networks: &[&str]) -> Result<Self, RuleError> {
        let domain = |text: &&str| {
            let name = text.trim_start_matches('.');
            let read = Observable::of_kind(ObservableKind::Domain, name);
            let read = read.map_err(|_| RuleError::Domain(limits::echo(text)))?;
            Ok(read.as_str().to_owned())
        };
        let network = |text: &&str| Network::read(text).ok_or_else(|| RuleError::Network(limits::echo(text)));
        let own = |pattern: &str| regex("internal", pattern);
        Ok(Self {
            domains: domains.iter().map(domain).collect::<Result<_, _>>()?,
            networks: networks.iter().map(network).collect::<Result<_, _>>()?,
            dot: own(DOT)?,
            host: own(&format!(r"[\pL\pN_][\pL\pN_-]*(?:{DOT}[\pL\pN_-]+)+"))?,
            ipv4: own(&format!(
                r"[0-9]{{1,3}}(?:{DOT}[0-9]{{1,3}}){{3}}(?:/[0-9]{{1,2}})?"
            ))?,
            ipv6: own(&format!(
                r"(?:[0-9A-Fa-f]{{0,4}}{COLON}){{2,8}}(?:[0-9A-Fa-f.]+)?(?:/[0-9]{{1,3}})?"
            ))?,
            url: own(&format!(
                r#"[A-Za-z][A-Za-z0-9+.*-]{{0,15}}(?:{COLON}//|[\[({{]://[\])}}])[^\s"'<>`]+"#
            ))?,
            share: own(r"\\\\[\pL\pN_.$-]+(?:\\[^\s\x22'<>|]+)*")?,
        })
    }

    /// Where `text` names something internal. Stretches may overlap.
    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        if !text.contains(['.', ':', '\\', '[', '(', '{', '。', '．', '｡']) {
            return found;
        }
        self.urls(text, &mut found);
        self.hosts(text, &mut found);
        self.addresses(text, &mut found);
        // A share is named by its host, mostly by one label.
        for share in self.share.find_iter(text) {
            let host = share.as_str().trim_start_matches('\\');
            let host = host.split('\\').next().unwrap_or_default();
            if !host.contains('.') || self.is_host(host) {
                found.push(share.range());
            }
        }
        found
    }

    /// Whether a text, all of it, is an internal host or address: the value of an observable. A host of
    /// one label is one, since nobody else could reach it.
    pub(super) fn is_host(&self, text: &str) -> bool {
        let text = self.plain(text);
        let text = text.trim().trim_end_matches('.').to_lowercase();
        match Network::read(&text) {
            Some(network) => self.is_network(network),
            None => !text.is_empty() && (!text.contains('.') || self.is_name(&text)),
        }
    }

    /// Whether a text with `%` for anything, as `LIKE` has it, asks for what is internal: `%.corp`, `10.%`.
    pub(super) fn is_wildcard(&self, text: &str) -> bool {
        let Some(start) = text.strip_suffix('%') else {
            let end = self.plain(text.trim_start_matches('%')).to_lowercase();
            return text.starts_with('%') && end.starts_with('.') && self.is_name(&format!("x{end}"));
        };
        let numbers: Vec<&str> = start.trim_end_matches('.').split('.').collect();
        let mut address = numbers.clone();
        address.resize(4, "0");
        let network = format!("{}/{}", address.join("."), 8 * numbers.len());
        Network::read(&network).is_some_and(|network| self.is_network(network))
    }

    fn is_network(&self, network: Network) -> bool {
        self.networks.iter().any(|internal| internal.holds(network))
    }

    /// Whether a name in lower case, without a final dot, lies under an internal domain. A domain of one
    /// label is no host itself.
    fn is_name(&self, name: &str) -> bool {
        if !name.is_ascii() {
            let read = Observable::of_kind(ObservableKind::Domain, name);
            return read.is_ok_and(|domain| self.is_name(domain.as_str()));
        }
        self.domains
            .iter()
            .any(|domain| match name.strip_suffix(domain.as_str()) {
                Some("") => domain.contains('.'),
                Some(before) => before.ends_with('.'),
                None => false,
            })
            || self.is_reverse(name)
    }

    /// Whether a name is that of an internal address in `in-addr.arpa` (RFC 1035, section 3.5).
    fn is_reverse(&self, name: &str) -> bool {
        name.strip_suffix(".in-addr.arpa").is_some_and(|reversed| {
            let mut numbers: Vec<&str> = reversed.rsplit('.').collect();
            numbers.resize(4, "0");
            Network::read(&numbers.join(".")).is_some_and(|network| self.is_network(network))
        })
    }

    /// A text with its dots as they were before they were defanged.
    fn plain(&self, text: &str) -> String {
        self.dot.replace_all(text, ".").into_owned()
    }

    /// URLs of internal hosts, path and all.
    fn urls(&self, text: &str, found: &mut Vec<Range<usize>>) {
        for url in self.url.find_iter(text) {
            let behind = url.as_str().split_once("//").map_or("", |(_, behind)| behind);
            let behind = behind.trim_start_matches([']', ')', '}']);
            let authority = behind.split(['/', '?', '#', '\\']).next().unwrap_or_default();
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            let host = match host.strip_prefix('[') {
                // An IPv6 address, or a defanged dot.
                Some(inner) if inner.contains("::") || inner.matches(':').count() > 1 => {
                    inner.split(']').next().unwrap_or_default()
                }
                _ => host.split(':').next().unwrap_or_default(),
            };
            let host = host.trim_end_matches(['.', ',', ';', ')', ']']);
            if self.is_host(host) {
                found.push(url.range());
            }
        }
    }

    /// Host names, and the mailboxes at them.
    fn hosts(&self, text: &str, found: &mut Vec<Range<usize>>) {
        for host in self.host.find_iter(text) {
            let plain = self.plain(host.as_str());
            // Where a sentence follows without a space, the name ends before its capital.
            let glued = plain.match_indices('.').filter(|(at, _)| {
                let behind = plain.get(at + 1..).and_then(|rest| rest.chars().next());
                behind.is_some_and(char::is_uppercase)
            });
            let mut ends = glued.map(|(at, _)| at).chain([plain.len()]);
            if ends.any(|end| self.is_name(&tail(&plain, end).to_lowercase())) {
                let start = mailbox(text, host.start());
                found.push(start..host.end());
            }
        }
    }

    fn addresses(&self, text: &str, found: &mut Vec<Range<usize>>) {
        for address in self.ipv4.find_iter(text) {
            let plain = self.plain(address.as_str());
            let (address_only, prefix) = plain.split_once('/').unwrap_or((&plain, "32"));
            // Leading zeros are read as people mean them.
            let numbers = address_only
                .split('.')
                .map(|number| match number.trim_start_matches('0') {
                    "" => "0",
                    number => number,
                });
            let numbers = numbers.collect::<Vec<_>>().join(".");
            let network = Network::read(&format!("{numbers}/{prefix}")).or_else(|| Network::read(&numbers));
            if network.is_some_and(|network| self.is_network(network)) {
                found.push(address.range());
            }
        }
        for address in self.ipv6.find_iter(text) {
            if self.is_ipv6(address.as_str()) {
                found.push(address.range());
            }
        }
    }

    /// Whether a run of hexadecimal digits and colons is, or ends in, an internal address.
    fn is_ipv6(&self, text: &str) -> bool {
        let plain: String = text.chars().filter(|c| !"[](){}\\".contains(*c)).collect();
        let plain = plain.trim_end_matches('.');
        let starts = plain.match_indices(':').map(|(at, _)| at + 1);
        let candidates = std::iter::once(0)
            .chain(starts)
            .filter_map(|start| plain.get(start..));
        candidates
            .flat_map(|candidate| [candidate, candidate.strip_suffix(':').unwrap_or(candidate)])
            .filter(|candidate| candidate.contains(':'))
            .any(|candidate| Network::read(candidate).is_some_and(|network| self.is_network(network)))
    }
}

/// Longest end of a host name that is looked at, bytes: more than a name has.
const HOST: usize = 512;

/// What ends at `end`, as far as a host name may reach back.
fn tail(text: &str, end: usize) -> &str {
    let start = text.floor_char_boundary(end.saturating_sub(HOST));
    text.get(start..end).unwrap_or_default()
}

/// Where the mailbox starts whose host starts at `host`: there, if it is no mailbox's.
fn mailbox(text: &str, host: usize) -> usize {
    const AT: [&str; 7] = ["@", "[@]", "(@)", "{@}", "[at]", "(at)", "{at}"];
    let before = text.get(..host).unwrap_or_default();
    let local = AT.iter().find_map(|at| {
        let cut = before.len().checked_sub(at.len())?;
        let end = before.get(cut..)?;
        end.eq_ignore_ascii_case(at).then(|| before.get(..cut)).flatten()
    });
    local.map_or(host, |local| {
        let is_part = |c: char| c.is_alphanumeric() || "._%+-'".contains(c);
        local.trim_end_matches(is_part).len()
    })
}
