//! `hanse request`: the file by which this organisation asks to be admitted.

use std::path::{Path, PathBuf};

use clap::Args;
use hanse_protocol::charter::join;

use super::failure::Failure;
use super::{Console, Exit, files};
use crate::client::Client;

/// Write this organisation's request to join a community
///
/// Give the file to a steward of the community, by mail or otherwise, and read the fingerprint to
/// them by telephone or in person: a mailed file can be swapped. They answer with an invite. Every
/// request is dated and so has a fingerprint of its own: the file you gave away is the one to keep, and
/// an existing file is not overwritten.
///
/// With --json: {"file","fingerprint","profile":{"handle","name","kind","sector","country"}} where
/// `file` is the file's text, whether or not --out writes it too.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse request --out acme-water.request")]
pub(super) struct Request {
    /// File to write; standard output if it is left out
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Refuses a file that is there, which may be the request that a steward has already been given.
fn not_there(path: &Path) -> Result<(), Failure> {
    if !path.exists() {
        return Ok(());
    }
    let message = format!("`{}` exists already and is not overwritten", path.display());
    let failure = Failure::new(Exit::Usage, message);
    let earlier = files::read(path)
        .ok()
        .and_then(|text| join::Request::read(&text).ok());
    Err(match earlier {
        Some(earlier) => failure.hint(format!(
            "it is the request of {} of {}, with the fingerprint {}; for a new one name another file",
            earlier.profile.handle,
            earlier.at,
            earlier.fingerprint()
        )),
        None => failure.hint("name another file"),
    })
}

impl Request {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        if let Some(path) = &self.out {
            not_there(path)?;
        }
        let reply = client.request().await?;
        if let Some(path) = &self.out {
            files::write(path, &reply.file)?;
        }
        if console.json {
            console.document(&reply)?;
            return Ok(Exit::Done);
        }
        let told = format!(
            "fingerprint  {}\n\nGive the file to a steward, and read the fingerprint to them.\n",
            reply.fingerprint
        );
        match &self.out {
            Some(path) => console.say(&format!("file         {}\n{told}", path.display()))?,
            // The file is the output then; what is said about it goes beside.
            None => {
                console.say(&reply.file)?;
                console.note(told.trim_end())?;
            }
        }
        Ok(Exit::Done)
    }
}
