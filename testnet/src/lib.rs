//! A league of real Hanse nodes on one machine: cities and companies that do not exist, each with a
//! daemon of its own, what they publish for whom, and whether what Hanse promises held.
//!
//! [`league`] brings nodes up and ends them, and serves tests on its own. [`rehearsal`] is a whole
//! run: [`scene`] is what is published, [`expected`] remembers it, [`follower`] times its arrival,
//! [`promises`] are decided from what the nodes show, [`plaintext`] searches for what leaked, and
//! [`report`] tells. [`hardship`] is the same under faults: a scenario, drawn from a seed by [`dice`],
//! over links that [`proxy`] makes as bad as it wants.

pub mod dice;
pub mod expected;
pub mod follower;
pub mod hardship;
pub mod league;
pub mod plaintext;
pub mod progress;
pub mod promises;
pub mod proxy;
pub mod rehearsal;
pub mod report;
pub mod scene;
