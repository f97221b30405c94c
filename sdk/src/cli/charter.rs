//! `hanse community show`: the charter in force and what is known beside it.

use clap::Args;
use hanse_protocol::identity::Handle;
use hanse_protocol::local::{CommunityView, ForkView, KeyView, LaneView};

use super::failure::Failure;
use super::propose;
use super::text::{bytes, facts, shown, table};
use super::{Console, Exit};
use crate::client::Client;

/// Show the charter in force, open proposals, forks and endings
///
/// With --json: {"id","name","version","hash","issued","expires","stewards","threshold","recovery",
/// "unmarked","budget_bytes","budget_records","horizon_days","proposals","forks":[{"version","hash",
/// "open","endorsed","changes"}],"frozen","heads":[{"steward","at"}],"keys":[{"member","key",
/// "closed"}],"lanes":[{"member","lane","peer_id","addresses","closed"}],"endings":[{"member",
/// "closed"}]}; proposals as in `endorse`, instants in RFC 3339.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse community show")]
pub(super) struct Show {}

impl Show {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let view = client.community().await?;
        if console.json {
            console.document(&view)?;
            return Ok(Exit::Done);
        }
        console.say(&told(&view))?;
        for proposal in &view.proposals {
            console.say(&format!("\nproposed\n{}", propose::view(proposal)))?;
        }
        for fork in &view.forks {
            console.say(&beside(fork))?;
        }
        let lanes: Vec<[String; 5]> = view.lanes.iter().map(lane).collect();
        console.say(&format!(
            "\n{}",
            table(["MEMBER", "LANE", "CLOSED", "NODE", "ADDRESSES"], &lanes)
        ))?;
        let keys: Vec<[String; 3]> = view.keys.iter().map(key).collect();
        console.say(&format!(
            "\n{}",
            table(["MEMBER", "SIGNING KEY", "CLOSED"], &keys)
        ))?;
        for ending in &view.endings {
            console.say(&format!("\nended {}: {}\n", ending.member, shown(&ending.closed)))?;
        }
        Ok(Exit::Done)
    }
}

fn told(view: &CommunityView) -> String {
    let stewards: Vec<&str> = view.stewards.iter().map(Handle::as_str).collect();
    let mut lines = vec![
        ("community", format!("{} ({})", shown(&view.name), view.id)),
        ("charter", format!("{} ({})", view.version, shown(&view.hash))),
        ("issued", format!("{}, expires {}", view.issued, view.expires)),
        (
            "stewards",
            format!("{}; {} must sign", stewards.join(", "), view.threshold),
        ),
        ("recovery", shown(&view.recovery.join(", "))),
        ("unmarked", view.unmarked.to_string()),
        (
            "budget",
            format!(
                "{} records, {} an author and day",
                view.budget_records,
                bytes(view.budget_bytes)
            ),
        ),
        ("horizon", format!("{} days", view.horizon_days)),
    ];
    for head in &view.heads {
        let at = head
            .at
            .map_or_else(|| "not heard".to_owned(), |at| at.to_string());
        lines.push(("confirmed", format!("{} by {}", at, head.steward)));
    }
    lines.extend(view.frozen.as_ref().map(|why| ("sealing", shown(why))));
    facts(&lines)
}

fn beside(fork: &ForkView) -> String {
    let stand = if fork.open {
        "FORK: beside it stands"
    } else {
        "joined:"
    };
    let signed: Vec<&str> = fork.endorsed.iter().map(Handle::as_str).collect();
    let mut text = format!(
        "\n{stand} charter {} ({}), signed by {}\n",
        fork.version,
        shown(&fork.hash),
        signed.join(", ")
    );
    for change in &fork.changes {
        text.push_str(&format!("  {}\n", shown(change)));
    }
    text
}

fn lane(lane: &LaneView) -> [String; 5] {
    [
        lane.member.to_string(),
        lane.lane.to_string(),
        closed(lane.closed.as_deref()),
        shown(&lane.peer_id),
        shown(&lane.addresses.join(", ")),
    ]
}

fn key(key: &KeyView) -> [String; 3] {
    [
        key.member.to_string(),
        shown(&key.key),
        closed(key.closed.as_deref()),
    ]
}

fn closed(closed: Option<&str>) -> String {
    closed.map_or_else(|| "open".to_owned(), shown)
}
