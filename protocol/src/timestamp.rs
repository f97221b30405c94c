//! Instants as they travel: milliseconds since the Unix epoch, UTC. The clock that yields them
//! lives outside this crate.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::limits;

/// An instant: milliseconds since 1970-01-01T00:00:00Z. On the wire a number; in text and JSON an
/// RFC 3339 instant in UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[cbor(transparent)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(#[n(0)] u64);

/// A text that is no RFC 3339 instant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no instant: one like 2026-06-19T01:16:32Z is")]
pub struct TimestampError(String);

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        Self::parse_rfc3339(text).ok_or_else(|| TimestampError(limits::echo(text)))
    }
}

impl TryFrom<String> for Timestamp {
    type Error = TimestampError;

    fn try_from(text: String) -> Result<Self, TimestampError> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.to_string()
    }
}

impl Timestamp {
    /// The instant `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This instant plus `span`, held at the largest instant that can be written.
    pub fn after(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// This instant less `span`, held at the epoch.
    pub fn before(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// How long after `earlier` this instant lies; zero if it lies before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Reads an RFC 3339 instant with any number of fraction digits, as STIX writes them.
    /// Instants before 1970 are read as the epoch. `None` if the text is no instant.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let instant: jiff::Timestamp = text.parse().ok()?;
        Some(Self(u64::try_from(instant.as_millisecond()).unwrap_or(0)))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds: `2026-06-19T01:16:32.866Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_millisecond(millis) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_prints_and_reads_back() {
        let instant = Timestamp::parse_rfc3339("2026-06-19T01:16:32.866Z").unwrap();
        assert_eq!(instant.to_string(), "2026-06-19T01:16:32.866Z");
        assert_eq!(
            Timestamp::parse_rfc3339("2026-06-19T01:16:32.866123Z"),
            Some(instant)
        );
        assert_eq!(Timestamp::parse_rfc3339("yesterday"), None);
    }
}
