//! The one call to the system clock.

use std::time::{SystemTime, UNIX_EPOCH};

use hanse_protocol::timestamp::Timestamp;

/// Now, by the system clock. A clock set before 1970 reads as the epoch.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
