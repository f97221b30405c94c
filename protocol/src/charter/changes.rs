//! What one charter changes against another, in words: what a steward reads before signing.

use super::member::{Closing, Lane, Member};
use super::{Charter, VerifyingKey};
use crate::identity::Handle;

/// Milliseconds of a day.
const DAY: u64 = 24 * 3_600 * 1_000;

/// What `next` changes against `now`, a sentence each. Empty if only the dates differ.
pub fn changes(now: &Charter, next: &Charter) -> Vec<String> {
    let mut told = Vec::new();
    if next.parents.len() == 2 {
        told.push("joins the two sides of a fork".to_owned());
    }
    if now.name != next.name {
        told.push(format!("name `{}` → `{}`", shown(&now.name), shown(&next.name)));
    }
    if now.stewards != next.stewards {
        told.push(format!(
            "stewards {} → {}",
            names(&now.stewards),
            names(&next.stewards)
        ));
    }
    if now.threshold != next.threshold {
        told.push(format!("threshold {} → {}", now.threshold, next.threshold));
    }
    recovery(now, next, &mut told);
    for member in &next.members {
        match now.member(&member.handle) {
            None => told.push(admission(member)),
            Some(before) => of_member(before, member, &mut told),
        }
    }
    let dropped = now
        .members
        .iter()
        .filter(|member| next.member(&member.handle).is_none());
    told.extend(dropped.map(|member| format!("drops {} from the list, which no charter may", member.handle)));
    if now.unmarked != next.unmarked {
        told.push(format!("unmarked objects {} → {}", now.unmarked, next.unmarked));
    }
    if now.budget != next.budget {
        told.push(format!(
            "budget a day {} records, {} bytes → {} records, {} bytes",
            now.budget.records, now.budget.bytes, next.budget.records, next.budget.bytes
        ));
    }
    if now.horizon != next.horizon {
        told.push(format!(
            "horizon {} → {} days",
            now.horizon / DAY,
            next.horizon / DAY
        ));
    }
    told
}

fn recovery(now: &Charter, next: &Charter, told: &mut Vec<String>) {
    let added = next.recovery.iter().filter(|key| !now.recovery.contains(key));
    told.extend(added.map(|key| format!("adds recovery key {}", id(key))));
    let gone = now.recovery.iter().filter(|key| !next.recovery.contains(key));
    told.extend(gone.map(|key| format!("drops recovery key {}", id(key))));
}

fn admission(member: &Member) -> String {
    format!(
        "admits {} (`{}`, {}, {})",
        member.handle,
        shown(&member.profile.name),
        member.profile.kind,
        shown(&member.profile.country)
    )
}

fn of_member(before: &Member, after: &Member, told: &mut Vec<String>) {
    let handle = &after.handle;
    if before.profile != after.profile {
        told.push(format!(
            "changes the profile of {handle}: `{}`",
            shown(&after.profile.name)
        ));
    }
    match (&before.ended, &after.ended) {
        (None, Some(ending)) => told.push(format!("expels {handle}; {}", counted(ending))),
        (before, after) if before != after => told.push(format!("changes where {handle} ended")),
        _ => {}
    }
    for key in &after.signing {
        let old = before.signing.iter().find(|old| old.key == key.key);
        match (old, &key.closed) {
            (None, _) => told.push(format!("{handle} signs with key {} too", id(&key.key))),
            (Some(old), Some(ending)) if old.closed.is_none() => {
                told.push(format!(
                    "closes key {} of {handle}; {}",
                    id(&key.key),
                    counted(ending)
                ));
            }
            _ => {}
        }
    }
    let new_sealing = after
        .sealing
        .iter()
        .filter(|key| before.sealing.iter().all(|old| old.key != key.key));
    told.extend(new_sealing.map(|_| format!("{handle} gets another key to be sealed to")));
    for key in after.sealing.iter().filter(|key| key.closed) {
        if before.sealing.iter().any(|old| old.key == key.key && !old.closed) {
            told.push(format!("closes a sealing key of {handle}"));
        }
    }
    after
        .lanes
        .iter()
        .for_each(|lane| of_lane(handle, before.lane(lane.number), lane, told));
}

fn of_lane(handle: &Handle, before: Option<&Lane>, lane: &Lane, told: &mut Vec<String>) {
    let number = lane.number;
    let Some(before) = before else {
        return told.push(format!("adds lane {number} of {handle}, node {}", lane.node));
    };
    if before.addresses != lane.addresses {
        let addresses = shown(&lane.addresses.join(", "));
        told.push(format!("lane {number} of {handle} is dialled at `{addresses}`"));
    }
    if let (None, Some(ending)) = (&before.closed, &lane.closed) {
        told.push(format!("closes lane {number} of {handle}; {}", counted(ending)));
    }
}

fn counted(ending: &Closing) -> String {
    let records: u64 = ending
        .iter()
        .map(|run| run.last.saturating_sub(run.first).saturating_add(1))
        .fold(0, u64::saturating_add);
    match records {
        0 => "none of its records counts".to_owned(),
        1 => "1 record before that counts".to_owned(),
        records => format!("{records} records before that count"),
    }
}

/// A key's short name, as people tell keys apart.
fn id(key: &VerifyingKey) -> String {
    key.id().to_string()
}

fn names(handles: &[Handle]) -> String {
    handles.iter().map(Handle::as_str).collect::<Vec<_>>().join(", ")
}

/// Others' words as a terminal may show them.
fn shown(text: &str) -> String {
    text.chars().flat_map(char::escape_debug).collect()
}
