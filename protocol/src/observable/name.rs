//! Names: domains, URLs and mailboxes, by the rules of the WHATWG URL Standard and UTS 46, as the
//! `url` crate implements them.

use std::net::IpAddr;

use url::{Host, Url};

use super::{Observable, ObservableError, ObservableKind, address};
use crate::limits;

/// Longest label of a domain name, bytes (RFC 1035, section 2.3.4).
const LABEL: usize = 63;

/// Longest domain name in text without its final dot, bytes (RFC 1035, section 2.3.4).
const DOMAIN: usize = 253;

/// Longest host before it is turned into A-labels, bytes and characters that are no ASCII: mapping
/// takes time in the square of the latter.
const HOST: (usize, usize) = (1_024, 254);

/// Longest local part of a mailbox, bytes (RFC 5321, section 4.5.3.1.1).
const LOCAL: usize = 64;

/// Why a name was refused, before it is known what the text was asked to be.
pub(super) enum Refusal {
    Malformed,
    AmbiguousIpv4,
    TooLong,
}

impl Refusal {
    pub(super) fn into_error(
        self,
        text: &str,
        malformed: impl FnOnce() -> ObservableError,
    ) -> ObservableError {
        match self {
            Self::Malformed => malformed(),
            Self::AmbiguousIpv4 => ObservableError::AmbiguousIpv4(limits::echo(text)),
            Self::TooLong => ObservableError::TooLong,
        }
    }
}

/// Reads a domain of one label or more.
pub(super) fn domain(text: &str) -> Result<Observable, Refusal> {
    // Host names in URLs may be percent-encoded and IPv6 stands in brackets; a domain does neither.
    if text.contains(['%', '[']) || !is_bounded(text) {
        return Err(Refusal::Malformed);
    }
    match Host::parse(text) {
        Ok(Host::Domain(domain)) => {
            checked(&domain).map(|domain| Observable::new(ObservableKind::Domain, domain.to_owned()))
        }
        Ok(Host::Ipv4(_)) => Err(Refusal::AmbiguousIpv4),
        Ok(Host::Ipv6(_)) | Err(_) => Err(Refusal::Malformed),
    }
}

/// A domain in A-labels without its final dot, if its labels are of a usable length and of letters,
/// digits, hyphens and underscores (`_dmarc.example.org`) only.
fn checked(domain: &str) -> Result<&str, Refusal> {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let usable = domain.len() <= DOMAIN
        && domain.split('.').all(|label| {
            (1..=LABEL).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
        });
    if usable {
        Ok(domain)
    } else {
        Err(Refusal::Malformed)
    }
}

fn is_bounded(host: &str) -> bool {
    let (bytes, foreign) = HOST;
    host.len() <= bytes && host.chars().filter(|c| !c.is_ascii()).count() <= foreign
}

/// The host and port of a URL that is yet to be read, as the standard would cut them out.
fn authority(text: &str) -> &str {
    let behind = text.split_once(':').map_or(text, |(_, behind)| behind);
    let behind = behind.trim_start_matches(['/', '\\']);
    let end = behind.find(['/', '\\', '?', '#']).unwrap_or(behind.len());
    let authority = behind.get(..end).unwrap_or(behind);
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// Reads a URL that names a host. Its fragment never reaches a server, so it is dropped.
pub(super) fn url(text: &str) -> Result<Observable, Refusal> {
    if !is_bounded(authority(text)) {
        return Err(Refusal::Malformed);
    }
    let mut url = Url::parse(text).map_err(|_| Refusal::Malformed)?;
    url.set_fragment(None);
    let changed = match url.host().ok_or(Refusal::Malformed)? {
        // In schemes the standard does not know, hosts are opaque text; they are names all the same.
        Host::Domain(host) => match Host::parse(host).map_err(|_| Refusal::Malformed)? {
            Host::Domain(domain) => {
                let domain = checked(&domain)?;
                (domain != host).then(|| domain.to_owned())
            }
            Host::Ipv4(address) => (address.to_string() != host).then(|| address.to_string()),
            Host::Ipv6(_) => return Err(Refusal::Malformed),
        },
        Host::Ipv4(_) => None,
        Host::Ipv6(address) => address.to_ipv4_mapped().map(|address| address.to_string()),
    };
    if let Some(host) = changed {
        url.set_host(Some(&host)).map_err(|_| Refusal::Malformed)?;
    }
    let value = String::from(url);
    if value.len() > limits::OBSERVABLE {
        return Err(Refusal::TooLong);
    }
    Ok(Observable::new(ObservableKind::Url, value))
}

/// The host of a canonical URL.
pub(super) fn host_of_url(url: &str) -> Option<Observable> {
    let url = Url::parse(url).ok()?;
    match url.host()? {
        Host::Domain(host) => address::read(host).or_else(|| domain(host).ok()),
        Host::Ipv4(address) => Some(address::of_address(IpAddr::V4(address))),
        Host::Ipv6(address) => Some(address::of_address(IpAddr::V6(address))),
    }
}

/// Reads `local@domain`. The local part is folded to lower case too: RFC 5321 lets a host tell cases
/// apart, but hardly one does, and a search that misses a mailbox over a capital costs more than
/// one that finds a neighbour.
pub(super) fn email(text: &str) -> Result<Observable, Refusal> {
    let (local, host) = text.rsplit_once('@').ok_or(Refusal::Malformed)?;
    let usable = (1..=LOCAL).contains(&local.len())
        && !local
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || "<>()[]:;,\\\"@".contains(c));
    let host = domain(host)?;
    if !usable {
        return Err(Refusal::Malformed);
    }
    let local = local.to_ascii_lowercase();
    Ok(Observable::new(
        ObservableKind::Email,
        format!("{local}@{}", host.value),
    ))
}
