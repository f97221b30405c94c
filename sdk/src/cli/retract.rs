//! `hanse retract`: takes a record of this member's own back.

use clap::Args;
use hanse_protocol::identity::RecordId;

use super::failure::Failure;
use super::{Console, Exit, confirm};
use crate::client::Client;

/// Take back a record that this member published
///
/// Every node that hears of it shows the record's text to nobody any longer and takes it off its disk
/// within the time it has set (`store.erase_within`); the header stays, so that it does not come
/// again. What others have read, or passed on elsewhere, is not taken back.
///
/// With --json: {"id","position"} of the retraction.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse retract 5f0c…9a")]
pub(super) struct Retract {
    /// The record's id
    record: RecordId,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Retract {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        if !self.yes {
            let question = format!("Take back record {} for good?", self.record);
            confirm::word(console, &question, "retract")?;
        }
        let reply = client.retract(&self.record).await?;
        if console.json {
            console.document(&reply)?;
        } else {
            console.say(&format!("took back {}\nretraction {}\n", self.record, reply.id))?;
        }
        Ok(Exit::Done)
    }
}
