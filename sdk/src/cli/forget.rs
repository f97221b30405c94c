//! `hanse forget`: gives up a record's content on this node.

use clap::Args;
use hanse_protocol::identity::RecordId;

use super::failure::Failure;
use super::{Console, Exit, confirm};
use crate::client::Client;

/// Give up a record's content on this node
///
/// For what this node must not keep. It is found and shown no longer at once, and is off this node's
/// disk within `store.erase_within` (24 hours unless the node's settings say otherwise). The signed
/// header stays, so that the record is not fetched again. Other members keep what they have.
///
/// With --json: {"record","off_disk_by"} with the instant in RFC 3339.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse forget 5f0c…9a")]
pub(super) struct Forget {
    /// The record's id, 64 hexadecimal digits
    record: RecordId,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Forget {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        if !self.yes {
            let question = "Give up this record's content on this node? It does not come back.";
            confirm::word(console, question, "forget")?;
        }
        let forgotten = client.forget(&self.record).await?;
        if console.json {
            console.document(&forgotten)?;
        } else {
            console.say(&format!(
                "forgot {}: its content is off the disk by {}\n",
                forgotten.record, forgotten.off_disk_by
            ))?;
        }
        Ok(Exit::Done)
    }
}
