//! `hanse community endorse`: signs a proposal of another steward.

use std::path::{Path, PathBuf};

use clap::Args;
use hanse_protocol::charter::proposal::Proposal;
use hanse_protocol::local::ProposalFile;

use super::failure::Failure;
use super::{Console, Exit, confirm, files, propose};
use crate::client::Client;

/// Sign a proposal as a steward
///
/// Shows what it changes, and asks whether its fingerprint is the one that the proposer read to you. The
/// last signature needed puts it in force; until then the file goes on to the next steward, with all
/// signatures so far.
///
/// With --json: {"proposal":{"version","hash","fingerprint","issued","changes","endorsed","recovery",
/// "valid","needed"},"file","in_force"}.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse community endorse st-mary.proposal --out st-mary.proposal")]
pub(super) struct Endorse {
    /// The proposal
    #[arg(value_name = "PROPOSAL_FILE")]
    proposal: PathBuf,
    /// The proposal's fingerprint as the proposer read it to you
    #[arg(long)]
    fingerprint: Option<String>,
    /// Do not ask, and take the file for the one that was meant
    #[arg(long, conflicts_with = "fingerprint")]
    yes: bool,
    /// Sign although this node has signed another charter of that version: it is kept as evidence
    #[arg(long)]
    again: bool,
    /// File for the proposal if more must sign; standard output if it is left out
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Endorse {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let (file, proposal) = read(&self.proposal)?;
        shown(client, console, &file).await?;
        let own = proposal.fingerprint();
        let given = if self.yes {
            Some(own.to_string())
        } else {
            self.fingerprint
        };
        let fingerprint = confirm::fingerprint(console, &own, given.as_deref(), "the proposer")?;
        let endorsed = client
            .endorse(&ProposalFile {
                file,
                fingerprint,
                again: self.again,
            })
            .await?;
        propose::told(console, &endorsed, self.out.as_deref())
    }
}

/// Reads a proposal file.
pub(super) fn read(path: &Path) -> Result<(String, Proposal), Failure> {
    let file = files::read(path)?;
    let proposal = Proposal::read(&file).map_err(|error| {
        let message = format!("`{}` is refused: {error}", path.display());
        Failure::new(Exit::Refused, message).hint("ask for the file again")
    })?;
    Ok((file, proposal))
}

/// Shows what a proposal changes, before it is signed.
pub(super) async fn shown(client: &Client, console: &mut Console<'_>, file: &str) -> Result<(), Failure> {
    let asked = ProposalFile {
        file: file.to_owned(),
        fingerprint: String::new(),
        again: false,
    };
    let view = client.review(&asked).await?;
    console.note(propose::view(&view).trim_end())
}
