//! `hanse community recover`: a recovery key signs in place of a steward.

use std::path::PathBuf;

use clap::Args;
use hanse_protocol::identity::keys::SigningKey;
use hanse_protocol::local::ProposalFile;
use zeroize::Zeroizing;

use super::failure::Failure;
use super::{Console, Exit, confirm, endorse, files, propose};
use crate::client::Client;

/// Sign a proposal with a recovery key, in place of one steward
///
/// The key signs here, in this process, and is not given to the node. It counts for one steward who did
/// not sign, and never more.
///
/// With --json: {"proposal":{…},"file","in_force"} as for `endorse`.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse community recover stewards.proposal --key /media/safe/hanse-recovery.key")]
pub(super) struct Recover {
    /// The proposal
    #[arg(value_name = "PROPOSAL_FILE")]
    proposal: PathBuf,
    /// File that holds the recovery key
    #[arg(long, value_name = "KEY_FILE")]
    key: PathBuf,
    /// The proposal's fingerprint as the proposer read it to you
    #[arg(long)]
    fingerprint: Option<String>,
    /// File for the proposal if more must sign; standard output if it is left out
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Recover {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let (file, mut proposal) = endorse::read(&self.proposal)?;
        let text = Zeroizing::new(files::read(&self.key)?);
        let seed = data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes());
        let seed: Option<Zeroizing<[u8; 32]>> = seed
            .ok()
            .map(Zeroizing::new)
            .and_then(|seed| seed.as_slice().try_into().ok().map(Zeroizing::new));
        let seed = seed.ok_or_else(|| {
            let message = format!(
                "`{}` holds no recovery key of 64 hexadecimal digits",
                self.key.display()
            );
            Failure::new(Exit::Usage, message).hint("`hanse community create` wrote it")
        })?;
        endorse::shown(client, console, &file).await?;
        let own = proposal.fingerprint();
        let given = self.fingerprint.as_deref();
        let fingerprint = confirm::fingerprint(console, &own, given, "the proposer")?;
        proposal
            .charter
            .endorse_with_recovery(&SigningKey::from_seed(&seed));
        let submitted = client
            .submit(&ProposalFile {
                file: proposal.write(),
                fingerprint,
                again: false,
            })
            .await?;
        if !submitted.proposal.recovery {
            let message = "the key is none of this community's recovery keys: its signature does not count";
            return Err(Failure::new(Exit::Refused, message));
        }
        propose::told(console, &submitted, self.out.as_deref())
    }
}
