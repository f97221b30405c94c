//! Many Hanse nodes in one process, over a network made of memory, in virtual time.
//!
//! What is real: the mesh of `hanse-node` whole (its door, dialler, gossip settings, message ids, Noise and
//! Yamux), frames as the sender fills them, couriers' tabs and turns, signed records under a signed charter
//! on the ladder of `hanse-protocol`, and the protocol machine of reconciliation. What is modelled: sockets
//! (`line`), their delays and losses (`network`), storage (a set in memory), the exchange's judgement
//! (`judgement`), the time a node's work takes (`desk`), and the messages in which two nodes that heal ask
//! and answer (`healing`). Presence and charters are not gossiped.
//!
//! - `plan`: what is simulated. `run`: one run of it. `outcome`, `report`: what came of it, and how it is told
//! - `community`: members, keys, the charter, records. `member`: one node. `hostile`: one that is no friend
//! - `draws`: numbers from a seed. `ledger`: who had what, when. `meters`: what the mesh counted

mod community;
mod desk;
mod draws;
mod healing;
mod hostile;
mod judgement;
mod ledger;
mod line;
mod member;
mod meters;
mod network;
mod outcome;
mod plan;
mod report;
mod run;
mod shelf;
mod world;

pub use outcome::{Outcome, Quantiles};
pub use plan::Plan;
pub use report::table;
pub use run::{Failure, simulate};
