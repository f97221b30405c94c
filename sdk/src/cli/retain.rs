//! `hanse retain`: has what has passed its time looked for now.

use clap::Args;
use hanse_protocol::local::RetainRequest;

use super::failure::Failure;
use super::text::shown;
use super::{Console, Exit};
use crate::client::Client;

/// Have the node look now for what has expired, or say that its clock is right
///
/// The node looks every hour by itself. After its clock jumped by more than a day it lets nothing
/// expire before another member's clock agrees, or this command says with --confirm that it is right.
///
/// With --json: {"held"}: why nothing leaves, or null.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse retain --confirm")]
pub(super) struct Retain {
    /// The clock is right, although it jumped
    #[arg(long)]
    confirm: bool,
}

impl Retain {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let confirm = self.confirm;
        let reply = client.retain(&RetainRequest { confirm }).await?;
        if console.json {
            console.document(&reply)?;
        } else {
            console.say(&match &reply.held {
                None => "what has expired is being looked for\n".to_owned(),
                Some(why) => format!("nothing leaves by expiry: {}\n", shown(why)),
            })?;
        }
        Ok(if reply.held.is_none() {
            Exit::Done
        } else {
            Exit::Refused
        })
    }
}
