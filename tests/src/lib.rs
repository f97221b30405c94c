//! What the stories are told with: real daemons in folders of their own, a client that speaks plain
//! HTTP to them, and members whose keys the test holds and who therefore need not be honest.
//!
//! Nothing here sleeps to let something happen: [`eventually`] looks again until it has happened, or
//! the story has failed. Beside them: the frozen vectors, how they are made and read, and the fuzz
//! targets.

pub mod api;
pub mod evil;
pub mod forge;
pub mod fuzz;
pub mod league;
pub mod node;
pub mod objects;
pub mod two;
pub mod vectors;
pub mod wire;

use std::time::Duration;

pub use api::{Api, Failure};
pub use evil::{Candidate, Evil};
pub use league::League;
pub use node::Node;
use tokio::time::Instant;

/// How long anything may take before a story has failed. Never waited out in one that holds.
pub const DEADLINE: Duration = Duration::from_secs(45);

/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(60);

/// Looks until there is something, and gives it.
///
/// # Panics
/// After [`DEADLINE`], naming `what` did not happen.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let last = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            Instant::now() < last,
            "this did not happen in {DEADLINE:?}: {what}"
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// The path of the daemon's binary. A macro, because only the story that is being compiled knows it.
#[macro_export]
macro_rules! hansed {
    () => {
        env!("CARGO_BIN_EXE_hansed-under-test")
    };
}
