//! Hardships: a league of real daemons that is published to while its links are cut, its nodes are
//! killed, its clocks are wrong and some of its members are hostile, and whether what Hanse promises
//! held all along.
//!
//! A [`scenario`] is a file; with a seed it becomes a [`plan`], which is the same each time. [`run`]
//! does what the plan says. Meanwhile [`ledger`] remembers what was told, `subscriber`s are told of
//! records, and `watch` looks at memory; each notes in [`kept`] what broke a promise at the moment
//! it does. [`hostile`] members have true keys and no manners.

pub mod hostile;
pub mod kept;
pub mod kernel;
pub mod ledger;
pub mod plan;
mod publishing;
pub mod report;
pub mod run;
pub mod scenario;
mod stock;
mod subscriber;
mod watch;

pub use kept::Promise;
pub use report::Report;
pub use run::{HardshipError, Orders};
pub use scenario::{Scenario, ScenarioError};
