//! `hanse community create`: founds a community.

use std::path::{Path, PathBuf};

use clap::Args;
use hanse_protocol::identity::CommunityId;
use hanse_protocol::local::FoundRequest;
use hanse_protocol::tlp::Tlp;
use serde::Serialize;

use super::failure::Failure;
use super::files::Reserved;
use super::{Console, Exit, status};
use crate::client::Client;

/// Found a community, with this organisation as its first steward
///
/// Writes the recovery key into a new file that only you may read. The node does not keep it; it
/// can sign in a steward's place when their key is lost. Move the file to a medium that is kept
/// offline.
///
/// With --json: {"community","recovery_file"}.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse community create --name 'Northern Water' --tlp-default green --horizon-days 365")]
pub(super) struct Create {
    /// The community's name as people read it
    #[arg(long)]
    name: String,
    /// New file for the recovery key
    #[arg(long, value_name = "FILE", default_value = "hanse-recovery.key")]
    recovery_out: PathBuf,
    /// Marking of objects that bear none; green if it is left out
    #[arg(long, value_name = "TLP")]
    tlp_default: Option<Tlp>,
    /// Days that records are kept; 365 if it is left out
    #[arg(long, value_name = "DAYS")]
    horizon_days: Option<u32>,
}

#[derive(Serialize)]
struct Document<'a> {
    community: CommunityId,
    recovery_file: &'a Path,
}

impl Create {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let request = FoundRequest {
            name: self.name,
            unmarked: self.tlp_default,
            horizon_days: self.horizon_days,
        };
        let recovery = Reserved::new(&self.recovery_out)?;
        let founded = match client.found(&request).await {
            Ok(founded) => founded,
            Err(error) => {
                recovery.discard();
                return Err(error.into());
            }
        };
        if let Err(failure) = recovery.fill(&format!("{}\n", founded.recovery_key)) {
            // The community exists and this key is shown once: better on the screen than lost.
            console.note(&format!(
                "the recovery key could not be written; copy it by hand: {}",
                founded.recovery_key
            ))?;
            return Err(failure);
        }
        let document = Document {
            community: founded.community,
            recovery_file: &self.recovery_out,
        };
        if console.json {
            console.document(&document)?;
        } else {
            let file = self.recovery_out.display();
            console.say(&format!(
                "community     {}\nrecovery key  {file}\n",
                founded.community
            ))?;
        }
        console.note(
            "Take the recovery key offline now, to a medium in a safe, and remove the file here.\n\
             warning: with fewer than three stewards a single key decides who belongs to the community; \
             `hanse community stewards set` names more",
        )?;
        status::warn(client, console).await?;
        Ok(Exit::Done)
    }
}
