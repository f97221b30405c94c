//! `hanse members`: who belongs to the community.

use clap::Args;
use hanse_protocol::local::MemberView;

use super::failure::Failure;
use super::text::{shown, table};
use super::{Console, Exit};
use crate::client::Client;

/// List the members of the community
///
/// With --json: {"community","name","charter","fork","members":[{"handle","name","kind","sector","country",
/// "admitted","steward","ended","own","connected","records"}]} with instants in RFC 3339;
/// `connected` counts a member's nodes that are connected to this one now.
#[derive(Args)]
pub(super) struct Members {}

impl Members {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let reply = client.members().await?;
        if console.json {
            console.document(&reply)?;
            return Ok(Exit::Done);
        }
        let rows: Vec<[String; 8]> = reply.members.iter().map(row).collect();
        let fork = if reply.fork { ", FORKED" } else { "" };
        console.say(&format!(
            "{}, charter {}{fork}\n\n",
            shown(&reply.name),
            reply.charter
        ))?;
        let heads = [
            "HANDLE", "KIND", "SECTOR", "COUNTRY", "STANDING", "NODES", "RECORDS", "NAME",
        ];
        console.say(&table(heads, &rows))?;
        Ok(Exit::Done)
    }
}

fn row(member: &MemberView) -> [String; 8] {
    let standing = match member {
        MemberView { ended: true, .. } => "ended",
        MemberView { steward: true, .. } => "steward",
        _ => "member",
    };
    let nodes = match member.own {
        true => "this".to_owned(),
        false => member.connected.to_string(),
    };
    [
        member.handle.to_string(),
        member.kind.to_string(),
        shown(&member.sector),
        shown(&member.country),
        standing.to_owned(),
        nodes,
        member.records.to_string(),
        shown(&member.name),
    ]
}
