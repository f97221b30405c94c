//! What every change of a charter has in common: it is proposed, and either it is in force then or a
//! file goes round among the stewards.

use std::path::{Path, PathBuf};

use clap::Args;
use hanse_protocol::identity::Handle;
use hanse_protocol::local::{Change, ProposalReply, ProposalView, ProposeRequest};

use super::failure::Failure;
use super::text::{facts, shown};
use super::{Console, Exit, confirm, files};
use crate::client::Client;

/// What commands that change a charter take.
#[derive(Args)]
pub(super) struct Terms {
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Sign although this node has signed another charter of that version: it is kept as evidence
    #[arg(long)]
    again: bool,
    /// File for the proposal, where several stewards must sign; standard output if it is left out
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Terms {
    /// Asks whether `what` is meant, and proposes it.
    pub(super) async fn propose(
        &self,
        client: &Client,
        console: &mut Console<'_>,
        what: &str,
        change: Change,
    ) -> Result<Exit, Failure> {
        if !self.yes {
            confirm::word(console, &format!("{what}?"), "yes")?;
        }
        self::change(client, console, change, self.again, self.out.as_deref()).await
    }
}

/// Proposes a change, and tells or hands out what came of it.
pub(super) async fn change(
    client: &Client,
    console: &mut Console<'_>,
    change: Change,
    again: bool,
    out: Option<&Path>,
) -> Result<Exit, Failure> {
    let reply = client.propose(&ProposeRequest { change, again }).await?;
    told(console, &reply, out)
}

/// Tells what came of a proposal; if more must sign, its file goes to `out` or standard output.
pub(super) fn told(
    console: &mut Console<'_>,
    reply: &ProposalReply,
    out: Option<&Path>,
) -> Result<Exit, Failure> {
    if !reply.in_force
        && let Some(path) = out
    {
        files::write(path, &reply.file)?;
    }
    if console.json {
        console.document(reply)?;
        return Ok(Exit::Done);
    }
    let proposal = &reply.proposal;
    let lines = view(proposal);
    if reply.in_force {
        console.say(&format!("{lines}\ncharter {} is in force\n", proposal.version))?;
        return Ok(Exit::Done);
    }
    let lacking = proposal.needed.saturating_sub(proposal.valid);
    let note = format!(
        "{lines}\n{lacking} more must sign. Give the file to other stewards for `hanse community endorse`, \
         and read the fingerprint to them."
    );
    match out {
        Some(path) => console.say(&format!("proposal     {}\n{note}\n", path.display()))?,
        None => {
            console.say(&reply.file)?;
            console.note(&note)?;
        }
    }
    Ok(Exit::Done)
}

/// A proposal in words.
pub(super) fn view(proposal: &ProposalView) -> String {
    let signed: Vec<&str> = proposal.endorsed.iter().map(Handle::as_str).collect();
    let mut signed = signed.join(", ");
    if proposal.recovery {
        signed.push_str(" and a recovery key");
    }
    let mut text = facts(&[
        ("charter", proposal.version.to_string()),
        ("issued", proposal.issued.to_string()),
        (
            "signed by",
            format!("{signed} ({} of {} needed)", proposal.valid, proposal.needed),
        ),
        ("fingerprint", shown(&proposal.fingerprint)),
    ]);
    if proposal.changes.is_empty() {
        text.push_str("  changes nothing but the dates\n");
    }
    for change in &proposal.changes {
        text.push_str(&format!("  {}\n", shown(change)));
    }
    text
}
