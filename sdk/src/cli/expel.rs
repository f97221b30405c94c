//! `hanse community expel`: ends a membership.

use std::path::PathBuf;

use clap::Args;
use hanse_protocol::identity::Handle;
use hanse_protocol::local::Change;

use super::failure::Failure;
use super::text::{counted, shown};
use super::{Console, Exit, confirm, propose};
use crate::client::Client;

/// Expel a member
///
/// Every node ends its connections to that member and accepts nothing more of it. What it published
/// before stays, and what it has read it has read. This is for ever: neither the handle nor the keys are
/// ever admitted again, only a new node under another handle. Where several stewards must sign, a proposal comes
/// out, to pass on.
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
    /// File for the proposal, where several stewards must sign; standard output if it is left out
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Expel {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        if !self.yes {
            let question = format!(
                "Expel `{}` from the community for ever? Other nodes follow at once; the handle is never admitted again.",
                self.handle
            );
            confirm::word(console, &question, self.handle.as_str())?;
        }
        let reply = match client.expel(&self.handle).await {
            Err(error) if error.problem_name() == Some("endorsements") => {
                let member = self.handle.clone();
                let change = Change::Expel { member };
                return propose::change(client, console, change, false, self.out.as_deref()).await;
            }
            done => done?,
        };
        if console.json {
            console.document(&reply)?;
        } else {
            console.say(&format!(
                "expelled {} from {}: charter {}, {} left\n",
                self.handle,
                shown(&reply.name),
                reply.charter,
                counted(reply.members, "member")
            ))?;
        }
        Ok(Exit::Done)
    }
}
