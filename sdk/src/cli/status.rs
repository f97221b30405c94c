//! `hanse status`: health and numbers of the node.

use clap::Args;
use hanse_protocol::local::{PeerStatus, StatusReply};

use super::failure::Failure;
use super::text::{bytes, facts, shown, table};
use super::{Console, Exit};
use crate::client::Client;

/// Show how the node stands
///
/// With --json: {"agent","member","peer_id","started","community":{"id","name","charter",
/// "charter_hash","expires","members","fork","frozen"} or null,"store":{"position","records","awaited",
/// "quarantined","log_bytes","index_bytes"},"peers":[{"member","peer_id","address","bytes_in","bytes_out",
/// "last_healed"}],"listening":[…],"over_budget":[{"author","day","records","bytes","without_body",
/// "refused"}],"clock":{"seconds","ahead","members"} or null,"healing":{"behind","records","bytes",
/// "last":{"member","peer_id","at"} or null,"catching_up":{"since","records","bytes",
/// "records_per_second"} or null},"chains":{"gaps","missing":[{"author","lane","epoch","first","last"}],
/// "equivocations","given_twice":[{"author","lane","epoch","seq"}]},"warnings":[…]} with instants in
/// RFC 3339; `warnings` are sentences, and absent if there are none.
#[derive(Args)]
pub(super) struct Status {}

impl Status {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let reply = client.status().await?;
        if console.json {
            console.document(&reply)?;
            return Ok(Exit::Done);
        }
        console.say(&told(&reply))?;
        if !reply.peers.is_empty() {
            let rows: Vec<[String; 5]> = reply.peers.iter().map(row).collect();
            let heads = ["PEER", "IN", "OUT", "HEALED", "ADDRESS"];
            console.say(&format!("\n{}", table(heads, &rows)))?;
        }
        for warning in &reply.warnings {
            console.say(&format!("\nwarning: {}\n", shown(warning)))?;
        }
        Ok(Exit::Done)
    }
}

/// Notes what there is to mend at the node, after something that may have made it so.
pub(super) async fn warn(client: &Client, console: &mut Console<'_>) -> Result<(), Failure> {
    // What was done is done; a node or a token that tells nothing more is no failure of it.
    let Ok(status) = client.status().await else {
        return Ok(());
    };
    for warning in &status.warnings {
        console.note(&format!("warning: {}", shown(warning)))?;
    }
    Ok(())
}

fn told(status: &StatusReply) -> String {
    let mut lines = vec![
        ("member", status.member.to_string()),
        ("node", shown(&status.peer_id)),
        ("program", shown(&status.agent)),
        ("started", status.started.to_string()),
        ("listening", shown(&status.listening.join(", "))),
    ];
    match &status.community {
        None => lines.push(("community", "none yet".to_owned())),
        Some(community) => {
            let fork = if community.fork { ", FORKED" } else { "" };
            lines.push((
                "community",
                format!("{} ({})", shown(&community.name), community.id),
            ));
            lines.push((
                "charter",
                format!("{}{fork}, expires {}", community.charter, community.expires),
            ));
            lines.push(("members", community.members.to_string()));
            lines.extend(community.frozen.as_ref().map(|why| ("sealing", shown(why))));
        }
    }
    let store = &status.store;
    lines.extend([
        ("records", store.records.to_string()),
        ("awaited", store.awaited.to_string()),
        ("position", store.position.to_string()),
        (
            "disk",
            format!(
                "log {}, index {}",
                bytes(store.log_bytes),
                bytes(store.index_bytes)
            ),
        ),
        ("peers", status.peers.len().to_string()),
    ]);
    if store.quarantined > 0 {
        let text = format!(
            "{} records: `hanse quarantine list` shows them",
            store.quarantined
        );
        lines.push(("quarantine", text));
    }
    lines.push(("behind", behind(status)));
    lines.push(("healed", healed(status)));
    lines.extend(flaws(status).into_iter().map(|flaw| ("chain", flaw)));
    if let Some(clock) = &status.clock {
        let way = if clock.ahead { "ahead of" } else { "behind" };
        let text = format!(
            "{} s {way} those of {} members: nothing is published before it is right",
            clock.seconds, clock.members
        );
        lines.push(("clock", text));
    }
    for over in &status.over_budget {
        let text = format!(
            "{} for {}: {} records, {}; {} held without body, {} turned away",
            over.author,
            over.day,
            over.records,
            bytes(over.bytes),
            over.without_body,
            over.refused
        );
        lines.push(("over budget", text));
    }
    facts(&lines)
}

/// What is known to be missing, and how fast it comes.
fn behind(status: &StatusReply) -> String {
    let healing = &status.healing;
    match &healing.catching_up {
        Some(catching) => format!(
            "{} records; catching up since {}: {} records, {}, {} a second",
            healing.behind,
            catching.since,
            catching.records,
            bytes(catching.bytes),
            catching.records_per_second
        ),
        None => format!("{} records", healing.behind),
    }
}

/// What healing brought, and when it was last done.
fn healed(status: &StatusReply) -> String {
    let healing = &status.healing;
    let last = healing.last.as_ref().map_or_else(
        || "never done yet".to_owned(),
        |last| {
            let who = last
                .member
                .as_ref()
                .map_or_else(|| shown(&last.peer_id), ToString::to_string);
            format!("last with {who} at {}", last.at)
        },
    );
    format!("{last}; {} records, {}", healing.records, bytes(healing.bytes))
}

/// What is wrong with authors' chains.
fn flaws(status: &StatusReply) -> Vec<String> {
    let chains = &status.chains;
    let missing = chains.missing.iter().map(|gap| {
        format!(
            "{}, lane {} epoch {}: numbers {} to {} are missing",
            gap.author, gap.lane, gap.epoch, gap.first, gap.last
        )
    });
    let twice = chains.given_twice.iter().map(|twice| {
        format!(
            "{}, lane {} epoch {}: number {} was given to more than one record",
            twice.author, twice.lane, twice.epoch, twice.seq
        )
    });
    missing.chain(twice).collect()
}

fn row(peer: &PeerStatus) -> [String; 5] {
    let member = peer
        .member
        .as_ref()
        .map_or_else(|| shown(&peer.peer_id), ToString::to_string);
    let healed = peer
        .last_healed
        .map_or_else(|| "never".to_owned(), |at| at.to_string());
    [
        member,
        bytes(peer.bytes_in),
        bytes(peer.bytes_out),
        healed,
        shown(&peer.address),
    ]
}
