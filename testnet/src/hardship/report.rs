//! What a run found: a table for people, one JSON document for programs.

use std::fmt::Write as _;
use std::sync::PoisonError;

use serde::Serialize;

use super::hostile::Mischief;
use super::kept::{Kept, Promise};
use super::ledger::{Counts, Ledger};
use super::plan::Plan;
use super::run::{self, Deeds, Orders};
use super::scenario::Scenario;
use super::stock::Converged;
use super::watch::Peaks;
use crate::proxy::Carried;
use crate::report::{Quantiles, mebibytes};

/// One promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its name.
    pub promise: &'static str,
    /// Whether it held all along.
    pub held: bool,
    /// What was found, with the bound.
    pub figure: String,
    /// How often it was broken.
    pub broken: usize,
    /// The first reasons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// The report of one run. Its JSON is what `--json` prints.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The scenario.
    pub scenario: String,
    /// What all choices came from.
    pub seed: u64,
    /// Tells plans apart: the same for the same scenario and seed.
    pub plan: String,
    /// The command that repeats this run.
    pub command: String,
    /// Honest members in the end.
    pub nodes: usize,
    /// How long the league suffered, seconds.
    pub suffered: f64,
    /// The same with everything that was looked at afterwards.
    pub seconds: f64,
    /// How publishing went.
    pub published: Counts,
    /// What was done to the league.
    pub deeds: Deeds,
    /// What hostile members did.
    pub hostile: Vec<Mischief>,
    /// What went over the links.
    pub links: Carried,
    /// From a record being acknowledged to another node's subscriber being told, milliseconds.
    pub told_ms: Quantiles,
    /// From asking a node to publish to a search at another finding it, before hostile members were at
    /// work; all of it, where there are none.
    pub searchable_ms: Quantiles,
    /// The same while they were.
    pub searchable_under_attack_ms: Quantiles,
    /// Records of honest members that all nodes hold in the end.
    pub records: usize,
    /// Records dated ahead by a clock that was off: kept by their author until their day.
    pub dated_ahead: usize,
    /// Bytes from the wire that were searched for plaintext.
    pub wire_searched: u64,
    /// Why the kernel did not treat packets as the scenario wants, if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netem_skipped: Option<String>,
    /// What held.
    pub promises: Vec<Line>,
}

impl Report {
    pub(super) fn new(orders: &Orders, plan: &Plan) -> Self {
        Self {
            scenario: orders.scenario.name.clone(),
            seed: orders.seed,
            plan: plan.digest(),
            command: orders.command.clone(),
            nodes: orders.scenario.honest(),
            ..Self::default()
        }
    }

    pub(super) fn tell(
        &mut self,
        kept: &Kept,
        ledger: &Ledger,
        converged: &Converged,
        peaks: &Peaks,
        scenario: &Scenario,
    ) {
        self.published = ledger.counts();
        self.told_ms = ledger.spread();
        (self.searchable_ms, self.searchable_under_attack_ms) = ledger.searchable_within();
        self.records = converged.records;
        self.dated_ahead = converged.dated_ahead;
        let pace = self.pace(kept, scenario);
        let peak = {
            let peaks = peaks.lock().unwrap_or_else(PoisonError::into_inner);
            peaks.values().max().copied().unwrap_or(0)
        };
        let bound = scenario.promises.converge.as_secs();
        for promise in Promise::ALL {
            let figure = match promise {
                Promise::Convergence => match converged.within {
                    Some(within) => format!(
                        "all nodes equal after {:.1} of {bound} s, {} records",
                        within.as_secs_f64(),
                        self.records
                    ),
                    None => format!("not equal after {bound} s"),
                },
                Promise::Confidentiality => format!(
                    "{} of wire, every file and message searched",
                    mebibytes(self.wire_searched)
                ),
                Promise::NothingLost => format!(
                    "{} acknowledged, {} unknown, {} refused",
                    self.published.acknowledged, self.published.unknown, self.published.refused
                ),
                Promise::NothingPartial => format!("{} records at {} nodes", self.records, self.nodes),
                Promise::NoDuplicates => format!("{} arrivals told", self.told_ms.deliveries),
                Promise::BoundedMemory => {
                    format!("{} of {} MiB at most", peak >> 20, scenario.promises.memory)
                }
                Promise::EveryStartOpens => format!(
                    "{} kills, {} starts: {} answered, {} were ended before, the slowest took {:.1} s",
                    self.deeds.kills,
                    self.deeds.starts,
                    self.deeds.answered,
                    self.deeds.killed_while_starting,
                    self.deeds.slowest_start
                ),
                Promise::HonestPace => match &pace {
                    Some(pace) => pace.clone(),
                    None => continue,
                },
            };
            self.promises.push(Line {
                promise: promise.name(),
                held: kept.times_broken(promise) == 0,
                figure,
                broken: kept.times_broken(promise),
                reasons: kept.reasons(promise),
            });
        }
    }

    /// Compares honest records' way before and while hostile members were at work.
    fn pace(&self, kept: &Kept, scenario: &Scenario) -> Option<String> {
        let most = scenario.promises.slowed_at_most?;
        let (calm, hard) = (self.searchable_ms, self.searchable_under_attack_ms);
        if !run::enough(calm.deliveries, hard.deliveries) {
            kept.broken(
                Promise::HonestPace,
                format!(
                    "{} and {} records were found by searching: too few to tell",
                    calm.deliveries, hard.deliveries
                ),
            );
        }
        let ratio = hard.p99 / calm.p99.max(0.1);
        let told = format!(
            "p99 {} ms under attack to {} ms before: {ratio:.2} of {most} times, {} and {} samples",
            hard.p99, calm.p99, hard.deliveries, calm.deliveries
        );
        if ratio > most {
            kept.broken(Promise::HonestPace, told.clone());
        }
        Some(told)
    }

    /// Whether all promises held.
    pub fn all_held(&self) -> bool {
        self.promises.iter().all(|line| line.held)
    }

    /// The report for people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "{}, seed {}, plan {}: {} nodes, {:.0} s",
            self.scenario, self.seed, self.plan, self.nodes, self.suffered
        )?;
        let Deeds {
            kills,
            stops,
            starts,
            cuts,
            clocks,
            joined,
            ..
        } = self.deeds;
        writeln!(
            text,
            "{kills} kills, {stops} stops, {starts} starts, {cuts} ways cut, {clocks} clocks off, {joined} joined; {} connections, {} reset, {} carried, {} losses",
            self.links.connections,
            self.links.reset,
            mebibytes(self.links.bytes),
            self.links.losses
        )?;
        let Counts {
            asked,
            acknowledged,
            refused,
            unknown,
        } = self.published;
        writeln!(
            text,
            "{asked} records asked for: {acknowledged} acknowledged, {refused} refused, {unknown} unknown; {} at all nodes, {} dated ahead",
            self.records, self.dated_ahead
        )?;
        writeln!(
            text,
            "told elsewhere: half within {} ms, 99 % within {} ms; searchable: {} and {} ms",
            self.told_ms.p50, self.told_ms.p99, self.searchable_ms.p50, self.searchable_ms.p99
        )?;
        for Mischief {
            does,
            member,
            frames,
            streams,
            answers,
        } in &self.hostile
        {
            writeln!(
                text,
                "{member}, {}: {frames} frames, {streams} streams, {answers} lies",
                does.name()
            )?;
        }
        if let Some(skipped) = &self.netem_skipped {
            writeln!(text, "SKIPPED  {skipped}")?;
        }
        writeln!(text)?;
        for line in &self.promises {
            let held = if line.held { "held   " } else { "BROKEN " };
            writeln!(text, "{held}  {:18}  {}", line.promise, line.figure)?;
            for reason in &line.reasons {
                writeln!(text, "         {reason}")?;
            }
        }
        writeln!(text, "\nagain: {}", self.command)
    }
}
