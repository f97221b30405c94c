//! Observables: what logs and reports name (addresses, domains, URLs, mailboxes, file hashes), in one
//! canonical spelling each, so that two who saw the same thing find each other.

use std::fmt;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::limits;

pub(crate) mod address;
mod name;
mod refang;
#[cfg(test)]
mod tests;

/// What kind of thing an observable is. The number is its byte in search keys and never changes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[cbor(index_only)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum ObservableKind {
    /// An IPv4 address: `192.0.2.1`.
    #[n(1)]
    Ipv4 = 1,
    /// An IPv6 address as RFC 5952 writes it: `2001:db8::1`.
    #[n(2)]
    Ipv6 = 2,
    /// An IPv4 network, host bits zero: `192.0.2.0/24`. Never `/32`, which is an address.
    #[n(3)]
    Ipv4Network = 3,
    /// An IPv6 network, host bits zero: `2001:db8::/32`. Never `/128`, which is an address.
    #[n(4)]
    Ipv6Network = 4,
    /// A domain or host name: lower case, A-labels, no final dot.
    #[n(5)]
    Domain = 5,
    /// A URL as the WHATWG URL Standard writes it, without its fragment.
    #[n(6)]
    Url = 6,
    /// A mailbox, `local@domain`, in lower case.
    #[n(7)]
    Email = 7,
    /// An MD5 hash: 32 lower-case hexadecimal digits.
    #[n(8)]
    Md5 = 8,
    /// A SHA-1 hash: 40 digits.
    #[n(9)]
    Sha1 = 9,
    /// A SHA-256 hash: 64 digits.
    #[n(10)]
    Sha256 = 10,
    /// A SHA-512 hash: 128 digits.
    #[n(11)]
    Sha512 = 11,
}

impl ObservableKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Ipv4,
        Self::Ipv6,
        Self::Ipv4Network,
        Self::Ipv6Network,
        Self::Domain,
        Self::Url,
        Self::Email,
        Self::Md5,
        Self::Sha1,
        Self::Sha256,
        Self::Sha512,
    ];

    /// The kind in words, as messages and the API write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Ipv4Network => "ipv4-network",
            Self::Ipv6Network => "ipv6-network",
            Self::Domain => "domain",
            Self::Url => "url",
            Self::Email => "email",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The kind of a hash of that many hexadecimal digits.
    const fn of_digits(count: usize) -> Option<Self> {
        match count {
            32 => Some(Self::Md5),
            40 => Some(Self::Sha1),
            64 => Some(Self::Sha256),
            128 => Some(Self::Sha512),
            _ => None,
        }
    }
}

impl fmt::Display for ObservableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An observable in its one canonical spelling: reading that spelling yields the same observable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Observable {
    kind: ObservableKind,
    value: String,
}

/// Why a text is no observable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObservableError {
    /// Nothing is left once spaces and quotes are off.
    #[error("an observable is empty")]
    Empty,
    /// It is longer than [`limits::OBSERVABLE`], as written or in its canonical spelling.
    #[error("an observable is longer than {} bytes", limits::OBSERVABLE)]
    TooLong,
    /// It holds a control character, such as a line break.
    #[error("`{0}` holds a control character")]
    Control(String),
    /// An IPv4 address that readers take in several ways, such as `010.0.0.1` or `0x7f.1`.
    #[error("`{0}` is ambiguous: an address is four decimal numbers without leading zeros")]
    AmbiguousIpv4(String),
    /// It is no observable of the kind asked for.
    #[error("`{text}` is no {kind}")]
    NotOfKind {
        /// The kind asked for.
        kind: ObservableKind,
        /// The text, shortened.
        text: String,
    },
    /// It looks like none of the kinds.
    #[error("`{0}` is no address, network, domain, URL, mailbox or hash")]
    Unrecognised(String),
}

impl Observable {
    /// Reads what an analyst typed or pasted and guesses its kind. Defanging (`hxxp`, `[.]`, `(at)`),
    /// spaces, quotes and angle brackets around it are undone first. A single label is no domain here.
    pub fn parse(text: &str) -> Result<Self, ObservableError> {
        let text = refang::refang(text)?;
        if is_hex(&text)
            && let Some(kind) = ObservableKind::of_digits(text.len())
        {
            return Ok(Self::new(kind, text.to_ascii_lowercase()));
        }
        if let Some(address) = address::read(&text) {
            return Ok(address);
        }
        let found = if text.contains("://") {
            name::url(&text)
        } else if text.contains('@') {
            name::email(&text)
        } else {
            name::domain(&text).and_then(|domain| {
                if domain.value.contains('.') {
                    Ok(domain)
                } else {
                    Err(name::Refusal::Malformed)
                }
            })
        };
        found.map_err(|refusal| {
            refusal.into_error(&text, || ObservableError::Unrecognised(limits::echo(&text)))
        })
    }

    /// Reads a text known to be of a kind, undoing defanging as [`Observable::parse`] does. Of the
    /// four address kinds each reads addresses and networks alike, and what is returned may be of
    /// another of the four: `10.0.0.1/32` is an address, `::ffff:10.0.0.1` is `10.0.0.1`. The two
    /// families are otherwise kept apart.
    pub fn of_kind(kind: ObservableKind, text: &str) -> Result<Self, ObservableError> {
        use ObservableKind::*;
        let text = refang::refang(text)?;
        let found = match kind {
            Ipv4 | Ipv4Network => address::read(&text)
                .filter(|found| matches!(found.kind, Ipv4 | Ipv4Network))
                .ok_or(name::Refusal::Malformed),
            Ipv6 | Ipv6Network => address::read(&text)
                .filter(|_| text.contains(':'))
                .ok_or(name::Refusal::Malformed),
            Domain => name::domain(&text),
            Url => name::url(&text),
            Email => name::email(&text),
            Md5 | Sha1 | Sha256 | Sha512 => {
                if is_hex(&text) && ObservableKind::of_digits(text.len()) == Some(kind) {
                    Ok(Self::new(kind, text.to_ascii_lowercase()))
                } else {
                    Err(name::Refusal::Malformed)
                }
            }
        };
        found.map_err(|refusal| {
            refusal.into_error(&text, || ObservableError::NotOfKind {
                kind,
                text: limits::echo(&text),
            })
        })
    }

    /// Reads an address, a network or a host name, guessing which; a single label is a host name.
    pub(crate) fn host_of(text: &str) -> Result<Self, ObservableError> {
        let text = refang::refang(text)?;
        address::read(&text)
            .map_or_else(|| name::domain(&text), Ok)
            .map_err(|refusal| {
                refusal.into_error(&text, || ObservableError::Unrecognised(limits::echo(&text)))
            })
    }

    const fn new(kind: ObservableKind, value: String) -> Self {
        Self { kind, value }
    }

    /// What kind of thing it is.
    pub const fn kind(&self) -> ObservableKind {
        self.kind
    }

    /// The canonical spelling.
    pub fn as_str(&self) -> &str {
        &self.value
    }

    /// What search keys are made from: the byte of the kind, then the canonical spelling in UTF-8.
    pub fn to_key_bytes(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(1 + self.value.len());
        key.push(self.kind as u8);
        key.extend_from_slice(self.value.as_bytes());
        key
    }

    /// Every network that contains this address, or that is wider than this network and contains it,
    /// narrowest first: at most 32 for IPv4, 128 for IPv6. Nothing for other kinds. An IPv4 address
    /// is not looked for in IPv6 networks.
    pub fn networks_containing(&self) -> impl Iterator<Item = Self> + use<> {
        address::wider(self)
    }

    /// The domains above this one, nearest first, the top-level one included: `b.example.org` lies
    /// under `example.org` and `org`. Nothing for other kinds.
    pub fn parents(&self) -> impl Iterator<Item = Self> + use<'_> {
        let mut rest = match self.kind {
            ObservableKind::Domain => Some(self.value.as_str()),
            _ => None,
        };
        std::iter::from_fn(move || {
            rest = rest?.split_once('.').map(|(_, parent)| parent);
            rest.map(|parent| Self::new(ObservableKind::Domain, parent.to_owned()))
        })
    }

    /// The domain or address that a URL or mailbox names, `None` for other kinds: a log line with the
    /// URL is evidence of the host too.
    pub fn host(&self) -> Option<Self> {
        match self.kind {
            ObservableKind::Url => name::host_of_url(&self.value),
            ObservableKind::Email => self
                .value
                .rsplit_once('@')
                .map(|(_, domain)| Self::new(ObservableKind::Domain, domain.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Observable {
    /// The canonical spelling.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.value)
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}
