//! Looking at the daemons' memory all the time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::kept::{Kept, Promise};
use crate::proxy::Net;

/// How often.
const LOOK: Duration = Duration::from_millis(500);

/// The most memory each node was seen to take, bytes.
pub(super) type Peaks = Arc<Mutex<BTreeMap<usize, u64>>>;

/// Looks until it is dropped. A bound that is passed is told once a node.
pub(super) async fn memory(net: Net, nodes: usize, bound: u64, kept: Kept, peaks: Peaks) {
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tick.tick().await;
        for node in 0..nodes {
            let Some(held) = net.pid(node).and_then(high_water) else {
                continue;
            };
            let mut peaks = peaks.lock().unwrap_or_else(PoisonError::into_inner);
            let peak = peaks.entry(node).or_default();
            if held > bound && *peak <= bound {
                let reason = format!("node {node} took {} of {} MiB", held >> 20, bound >> 20);
                kept.broken(Promise::BoundedMemory, reason);
            }
            *peak = held.max(*peak);
        }
    }
}

/// The most memory a process ever held, bytes (proc(5)).
fn high_water(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes << 10)
}
