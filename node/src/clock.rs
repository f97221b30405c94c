//! The one call to the system clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use hanse_protocol::timestamp::Timestamp;

/// How far off the clock of this process is, milliseconds. Zero in `hansed`, which has no way to say
/// otherwise.
static ASTRAY: AtomicI64 = AtomicI64::new(0);

/// Now, by the system clock. A clock set before 1970 reads as the epoch.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(millis.saturating_add_signed(ASTRAY.load(Ordering::Relaxed)))
}

/// Sets the clock of this process off by so many milliseconds: for a program that runs a node under a
/// clock that is wrong on purpose, and calls this first of all.
pub fn set_astray(by_millis: i64) {
    ASTRAY.store(by_millis, Ordering::Relaxed);
}
