//! `hanse community`: founding a community, and what changes its charter.

use clap::Subcommand;

use super::failure::Failure;
use super::{Console, Exit, admit, change, charter, create, endorse, expel, recover};
use crate::client::Client;

#[derive(Subcommand)]
pub(super) enum Community {
    Create(create::Create),
    Show(charter::Show),
    Admit(admit::Admit),
    Expel(expel::Expel),
    Endorse(endorse::Endorse),
    Recover(recover::Recover),
    /// Say who the stewards are
    #[command(subcommand)]
    Stewards(change::Stewards),
    AddLane(change::AddLane),
    CloseLane(change::CloseLane),
    CloseKey(change::CloseKey),
    Rotate(change::Rotate),
    Set(change::Set),
    Addresses(change::Addresses),
    Renew(change::Renew),
    JoinFork(change::JoinFork),
}

impl Community {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Create(command) => command.run(client, console).await,
            Self::Show(command) => command.run(client, console).await,
            Self::Admit(command) => command.run(client, console).await,
            Self::Expel(command) => command.run(client, console).await,
            Self::Endorse(command) => command.run(client, console).await,
            Self::Recover(command) => command.run(client, console).await,
            Self::Stewards(change::Stewards::Set(command)) => command.run(client, console).await,
            Self::AddLane(command) => command.run(client, console).await,
            Self::CloseLane(command) => command.run(client, console).await,
            Self::CloseKey(command) => command.run(client, console).await,
            Self::Rotate(command) => command.run(client, console).await,
            Self::Set(command) => command.run(client, console).await,
            Self::Addresses(command) => command.run(client, console).await,
            Self::Renew(command) => command.run(client, console).await,
            Self::JoinFork(command) => command.run(client, console).await,
        }
    }
}
