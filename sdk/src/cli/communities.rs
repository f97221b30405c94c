//! `hanse communities`: which communities the node belongs to.

use clap::Args;
use hanse_protocol::local::CommunityEntry;

use super::failure::Failure;
use super::text::{shown, table};
use super::{Console, Exit};
use crate::client::Client;

/// List the communities that the node belongs to
///
/// Every command speaks for the first one, or for another by the name it is listed under, such as
/// `hanse members --community north`.
///
/// With --json: {"communities":[{"name","member","community","title","charter"}]}, without the last three
/// before a community was founded or joined.
#[derive(Args)]
pub(super) struct Communities {}

impl Communities {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let reply = client.communities().await?;
        if console.json {
            console.document(&reply)?;
            return Ok(Exit::Done);
        }
        let rows: Vec<[String; 5]> = reply.communities.iter().map(row).collect();
        console.say(&table(["NAME", "MEMBER", "CHARTER", "TITLE", "COMMUNITY"], &rows))?;
        Ok(Exit::Done)
    }
}

fn row(entry: &CommunityEntry) -> [String; 5] {
    let none = || "none yet".to_owned();
    [
        entry.name.clone(),
        entry.member.to_string(),
        entry
            .charter
            .map_or_else(String::new, |version| version.to_string()),
        entry.title.as_deref().map_or_else(none, shown),
        entry.community.map_or_else(String::new, |id| id.to_string()),
    ]
}
