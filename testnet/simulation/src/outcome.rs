//! What came of a run.

use std::time::Duration;

use serde::Serialize;

use crate::ledger::Ledger;
use crate::meters::Meters;
use crate::plan::Plan;

/// Half of it was below, one in a hundred above, and nothing beyond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// The middle.
    pub p50: f64,
    /// Only one in a hundred is above.
    pub p99: f64,
    /// The greatest.
    pub max: f64,
}

impl Quantiles {
    /// Those of some numbers; zeros of none.
    pub(crate) fn of(mut numbers: Vec<f64>) -> Self {
        numbers.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (numbers.len() as f64 * share).ceil() as usize;
            numbers.get(place.saturating_sub(1)).copied().unwrap_or_default()
        };
        Self {
            p50: at(0.5),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}

/// What came of one run. Only honest nodes are counted, unless something else is said.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// What was simulated.
    pub plan: Plan,
    /// A hash over the ids of all records, in their order: it repeats with the seed to the last bit.
    pub drawn: String,
    /// Records published.
    pub records: usize,
    /// Deliveries there had to be: each record to each node but its author's.
    pub due: usize,
    /// Deliveries that gossip made.
    pub gossiped: usize,
    /// Deliveries that healing made.
    pub healed: usize,
    /// Deliveries that nobody made.
    pub missing: usize,
    /// From publishing to admission of what gossip brought, milliseconds.
    pub spread: Quantiles,
    /// The same of all deliveries, healed ones included, milliseconds.
    pub reached: Quantiles,
    /// Links over which a record came by gossip.
    pub hops: Quantiles,
    /// The mean of the same.
    pub mean_hops: f64,
    /// Copies of a frame that a node receives, the first included; frames nobody passed on left out.
    pub copies: f64,
    /// Links of each node before the first record.
    pub links: Quantiles,
    /// Gossip neighbours of each node before the first record.
    pub neighbours: Quantiles,
    /// The mean of the same.
    pub mean_neighbours: f64,
    /// Bytes on all lines for each delivery, from the first record to the last delivery, what an idle
    /// league says meanwhile included.
    pub bytes: f64,
    /// Bytes of a frame as its author sends it, the mean.
    pub frame_bytes: f64,
    /// Bytes a second that each node sends while nothing is published.
    pub idle_bytes: f64,
    /// Frames refused as forged, and frames that were nothing new.
    pub rejected: f64,
    /// Frames that were nothing new to the node though their bytes were.
    pub ignored: f64,
    /// Frames that found no room at the node.
    pub full: f64,
    /// Links closed for what their peer did or did not do.
    pub closed: f64,
    /// Virtual time from the first record to the last delivery, seconds.
    pub virtual_seconds: f64,
    /// Real time of the whole run, seconds.
    pub real_seconds: f64,
    /// The most memory this process ever had, MiB; 0 where the system does not tell.
    pub memory: f64,
}

/// What is read beside ledger and meters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readings {
    pub(crate) links: Vec<(usize, usize)>,
    pub(crate) bytes: u64,
    pub(crate) idle_bytes: f64,
    pub(crate) took: Duration,
    pub(crate) real: Duration,
}

impl Outcome {
    pub(crate) fn of(plan: &Plan, ledger: &Ledger, meters: &Meters, readings: Readings) -> Self {
        let arrivals: Vec<_> = ledger.arrivals().collect();
        let gossiped: Vec<_> = arrivals.iter().filter(|arrival| !arrival.healed).collect();
        let millis = |after: Duration| after.as_secs_f64() * 1e3;
        let hops: Vec<f64> = gossiped.iter().map(|arrival| f64::from(arrival.hops)).collect();
        let ratio = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
        Self {
            plan: plan.clone(),
            drawn: ledger.drawn(),
            records: ledger.records(),
            due: ledger.records() * plan.honest().saturating_sub(1),
            gossiped: gossiped.len(),
            healed: arrivals.len() - gossiped.len(),
            missing: ledger.missing(),
            spread: Quantiles::of(gossiped.iter().map(|arrival| millis(arrival.after)).collect()),
            reached: Quantiles::of(arrivals.iter().map(|arrival| millis(arrival.after)).collect()),
            mean_hops: ratio(hops.iter().sum(), hops.len() as f64),
            hops: Quantiles::of(hops),
            copies: meters.copies_of_each(),
            links: Quantiles::of(readings.links.iter().map(|(links, _)| *links as f64).collect()),
            neighbours: Quantiles::of(readings.links.iter().map(|(_, mesh)| *mesh as f64).collect()),
            mean_neighbours: ratio(
                readings.links.iter().map(|(_, mesh)| *mesh as f64).sum(),
                readings.links.len() as f64,
            ),
            bytes: ratio(readings.bytes as f64, arrivals.len() as f64),
            frame_bytes: ratio(meters.copied_bytes, meters.copies),
            idle_bytes: readings.idle_bytes,
            rejected: meters.rejected,
            ignored: meters.ignored,
            full: meters.full,
            closed: meters.closed,
            virtual_seconds: readings.took.as_secs_f64(),
            real_seconds: readings.real.as_secs_f64(),
            memory: memory(),
        }
    }

    /// Whether every honest node had every record.
    pub fn is_whole(&self) -> bool {
        self.missing == 0 && self.records == self.plan.messages
    }
}

/// The most memory this process ever had, MiB.
fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}
