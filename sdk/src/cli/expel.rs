//! `hanse community expel`: ends a membership.

use clap::Args;
use hanse_protocol::identity::Handle;

use super::failure::Failure;
use super::text::shown;
use super::{Console, Exit, confirm};
use crate::client::Client;

/// Expel a member
///
/// Every node ends its connections to that member and accepts nothing more of it. What it published
/// before stays, and what it has read it has read.
///
/// With --json: {"community","name","charter","members"} where `members` counts those that remain.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse community expel acme-water")]
pub(super) struct Expel {
    /// The member's handle
    handle: Handle,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Expel {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        if !self.yes {
            let question = format!(
                "Expel `{}` from the community? Other nodes follow at once.",
                self.handle
            );
            confirm::word(console, &question, self.handle.as_str())?;
        }
        let reply = client.expel(&self.handle).await?;
        if console.json {
            console.document(&reply)?;
        } else {
            console.say(&format!(
                "expelled {} from {}: charter {}, {} members remain\n",
                self.handle,
                shown(&reply.name),
                reply.charter,
                reply.members
            ))?;
        }
        Ok(Exit::Done)
    }
}
