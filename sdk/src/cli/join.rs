//! `hanse join`: joins the community of an invite.

use std::path::PathBuf;

use clap::Args;
use hanse_protocol::charter::join::{Invite, invite_fingerprint};
use hanse_protocol::local::JoinRequest;

use super::failure::Failure;
use super::text::{counted, facts, shown};
use super::{Console, Exit, confirm, files, status};
use crate::client::Client;

/// Join the community of an invite
///
/// Shows which community it is and the invite's fingerprint, and asks whether it is the one that the
/// steward read to you. Without a terminal --fingerprint is needed.
///
/// With --json: {"community","name","charter","members"} where `members` is a count.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse join acme-water.invite")]
pub(super) struct Join {
    /// The invite
    #[arg(value_name = "INVITE_FILE")]
    invite: PathBuf,
    /// The invite's fingerprint as the steward read it to you
    #[arg(long)]
    fingerprint: Option<String>,
}

impl Join {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let file = files::read(&self.invite)?;
        let (invite, chain) = Invite::read(&file).map_err(|error| {
            let message = format!("`{}` is refused: {error}", self.invite.display());
            Failure::new(Exit::Refused, message)
                .hint("ask the steward for the file again; `hanse community admit` writes it")
        })?;
        let charter = chain.charter();
        let stewards: Vec<&str> = charter.stewards.iter().map(|handle| handle.as_str()).collect();
        let own = invite_fingerprint(&invite.community, &chain.newest().hash());
        let told = facts(&[
            ("community", shown(&charter.name)),
            ("id", invite.community.to_string()),
            ("charter", charter.version.to_string()),
            ("members", charter.active().count().to_string()),
            ("stewards", stewards.join(", ")),
            ("fingerprint", own.to_string()),
        ]);
        console.note(told.trim_end())?;
        let fingerprint = confirm::fingerprint(console, &own, self.fingerprint.as_deref(), "the steward")?;
        let reply = client.join(&JoinRequest { file, fingerprint }).await?;
        if console.json {
            console.document(&reply)?;
        } else {
            let name = shown(&reply.name);
            console.say(&format!(
                "joined {name}: charter {}, {}\n",
                reply.charter,
                counted(reply.members, "member")
            ))?;
        }
        status::warn(client, console).await?;
        Ok(Exit::Done)
    }
}
