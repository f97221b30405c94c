//! What a run found: a table for people, one JSON document for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::promises::{Kept, Promise};

/// The report of one run. Its JSON is what `--json` prints. *Input* is the file of `--input`, or the
/// two built-in incidents when there is none.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Nodes.
    pub nodes: usize,
    /// Distinct records that any node holds.
    pub records: usize,
    /// Distinct objects of the input that the first node took for publishing.
    pub objects: usize,
    /// Objects and lines of the input that it refused.
    pub refused: usize,
    /// What each node can read.
    pub members: Vec<MemberLine>,
    /// From a publish being acknowledged to its record being in another node's listing, over every
    /// record that was published on its own (the incidents and each member's bulletins) and every
    /// other node, which is asked every three milliseconds.
    pub latency_ms: Quantiles,
    /// The same for the records of an input file, which come as fast as the first node takes them;
    /// the others are asked ten times a second only, so as to leave them their processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_latency_ms: Option<Quantiles>,
    /// From the first request that published the input to its last record being at every node.
    pub seconds: f64,
    /// Objects of the input by that time.
    pub objects_per_second: f64,
    /// Seconds until all daemons were up, in one community and connected.
    pub setup_seconds: f64,
    /// Bytes over the links between nodes, both ways together, since they were connected.
    pub wire: Wire,
    /// The most memory each daemon ever held, bytes (VmHWM of /proc).
    pub peak_rss_bytes: BTreeMap<String, u64>,
    /// Which promises held.
    pub promises: BTreeMap<&'static str, bool>,
    /// Why others did not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<String>,
}

/// What one node can read.
#[derive(Clone, Debug, Serialize)]
pub struct MemberLine {
    /// Its member.
    pub member: String,
    /// Distinct objects of the input that it lists and can read.
    pub readable: usize,
    /// Distinct objects of the input that it may read and does not list.
    pub missing: usize,
    /// Records it holds and cannot open.
    pub opaque: usize,
    /// Whether it can read the open incident.
    pub open_incident: bool,
    /// Whether it can read anything of the sealed incident.
    pub sealed_incident: bool,
}

/// Two quantiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// Half of all took no longer.
    pub p50: f64,
    /// Of a hundred, ninety-nine took no longer.
    pub p99: f64,
    /// How many were measured.
    pub deliveries: usize,
}

impl Quantiles {
    /// Quantiles in milliseconds, by nearest rank; zero for none.
    pub fn of(mut spans: Vec<Duration>) -> Self {
        spans.sort_unstable();
        let at = |percent: usize| {
            let rank = (spans.len() * percent).div_ceil(100).saturating_sub(1);
            // Tenths of a millisecond are finer than what is measured.
            spans
                .get(rank)
                .map_or(0.0, |span| (span.as_secs_f64() * 10_000.0).round() / 10.0)
        };
        Self {
            p50: at(50),
            p99: at(99),
            deliveries: spans.len(),
        }
    }
}

/// Bytes over links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Wire {
    /// How many links there are.
    pub links: usize,
    /// Over the busiest.
    pub max_bytes: u64,
    /// Over all of them.
    pub total_bytes: u64,
}

impl Wire {
    /// Of the bytes of each link.
    pub fn of(links: &[u64]) -> Self {
        Self {
            links: links.len(),
            max_bytes: links.iter().copied().max().unwrap_or(0),
            total_bytes: links.iter().sum(),
        }
    }
}

impl Report {
    /// Notes which promises held.
    pub fn judge(&mut self, kept: &Kept) {
        self.promises = Promise::ALL
            .iter()
            .map(|promise| (promise.name(), kept.held(*promise)))
            .collect();
        let reasons = |promise: &Promise| {
            let tell = |reason: &String| format!("{promise}: {reason}");
            kept.reasons(*promise).iter().map(tell).collect::<Vec<_>>()
        };
        self.broken = Promise::ALL.iter().flat_map(reasons).collect();
    }

    /// Whether all promises held.
    pub fn all_held(&self) -> bool {
        self.promises.values().all(|held| *held)
    }

    /// The report for people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let width = self
            .members
            .iter()
            .map(|line| line.member.len())
            .max()
            .unwrap_or(0)
            .max(6);
        writeln!(
            text,
            "{:width$}  {:>8}  {:>7}  {:>6}  {:>11}  {:>13}  {:>11}",
            "member", "readable", "missing", "opaque", "open report", "sealed report", "peak memory"
        )?;
        for line in &self.members {
            let reads = |reads| if reads { "reads it" } else { "-" };
            let peak = self.peak_rss_bytes.get(&line.member).copied().unwrap_or(0);
            writeln!(
                text,
                "{:width$}  {:>8}  {:>7}  {:>6}  {:>11}  {:>13}  {:>11}",
                line.member,
                line.readable,
                line.missing,
                line.opaque,
                reads(line.open_incident),
                reads(line.sealed_incident),
                mebibytes(peak),
            )?;
        }
        writeln!(text)?;
        self.write_figures(text)?;
        writeln!(text)?;
        for (promise, held) in &self.promises {
            writeln!(text, "{}  {promise}", if *held { "held   " } else { "BROKEN " })?;
        }
        for reason in &self.broken {
            writeln!(text, "         {reason}")?;
        }
        Ok(())
    }

    fn write_figures(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "{} nodes up in {:.1} s; {} records; {} objects of the input at all of them in {:.2} s ({:.0} a second)",
            self.nodes, self.setup_seconds, self.records, self.objects, self.seconds, self.objects_per_second
        )?;
        if self.refused > 0 {
            writeln!(
                text,
                "{} objects or lines of the input were refused",
                self.refused
            )?;
        }
        writeln!(
            text,
            "from acknowledged to listed elsewhere: half within {} ms, 99 % within {} ms ({} deliveries)",
            self.latency_ms.p50, self.latency_ms.p99, self.latency_ms.deliveries
        )?;
        writeln!(
            text,
            "{} links carried {}, the busiest {}",
            self.wire.links,
            mebibytes(self.wire.total_bytes),
            mebibytes(self.wire.max_bytes)
        )
    }
}

/// Bytes for people, with one place.
pub(crate) fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_nearest_rank() {
        let spans = |range: std::ops::RangeInclusive<u64>| range.rev().map(Duration::from_millis).collect();
        assert_eq!(
            Quantiles::of(spans(1..=100)),
            Quantiles {
                p50: 50.0,
                p99: 99.0,
                deliveries: 100
            }
        );
        assert_eq!(
            Quantiles::of(spans(7..=7)),
            Quantiles {
                p50: 7.0,
                p99: 7.0,
                deliveries: 1
            }
        );
        assert_eq!(Quantiles::of(Vec::new()), Quantiles::default());
    }

    #[test]
    fn a_broken_promise_is_told_in_the_table_and_in_json() {
        let mut kept = Kept::default();
        kept.broken(Promise::NothingMissing, "st-mary lacks 3 objects");
        let mut report = Report {
            members: vec![MemberLine {
                member: "st-mary".to_owned(),
                readable: 7,
                missing: 3,
                opaque: 1,
                open_incident: true,
                sealed_incident: false,
            }],
            ..Report::default()
        };
        report.judge(&kept);
        assert!(!report.all_held());
        let table = report.table();
        assert!(table.contains("BROKEN   nothing-missing"), "{table}");
        assert!(table.contains("st-mary lacks 3 objects"));
        let json: serde_json::Value = serde_json::to_value(&report).unwrap();
        assert_eq!(json["promises"]["nothing-missing"], false);
        assert_eq!(json["promises"]["daemons-still-run"], true);
        assert_eq!(json["members"][0]["missing"], 3);
    }
}
