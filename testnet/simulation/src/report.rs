//! An outcome as a table, beside what others published.

use std::fmt::Write;

use crate::outcome::Outcome;

/// What is asked of a run of a thousand nodes.
const COPIES: f64 = 5.0;

/// The table.
pub fn table(outcome: &Outcome) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = write(&mut text, outcome);
    text
}

fn write(text: &mut String, o: &Outcome) -> std::fmt::Result {
    let plan = &o.plan;
    writeln!(
        text,
        "{} nodes ({} hostile), seed {}: {} records at {}/s, loss {} %, churn {} %, lines of {} ms",
        plan.nodes,
        plan.hostile,
        plan.seed,
        o.records,
        plan.rate,
        plan.loss * 100.0,
        plan.churn * 100.0,
        plan.delay.as_millis()
    )?;
    let share = |part: usize| 100.0 * part as f64 / o.due.max(1) as f64;
    let mut line = |name: &str, value: String| writeln!(text, "  {name:<34}{value}");
    line("hash of what was drawn", o.drawn.clone())?;
    line("deliveries due", o.due.to_string())?;
    line(
        "  by gossip",
        format!("{} ({:.3} %)", o.gossiped, share(o.gossiped)),
    )?;
    line("  by healing", format!("{} ({:.3} %)", o.healed, share(o.healed)))?;
    line("  missing", o.missing.to_string())?;
    let span = |q: crate::Quantiles| format!("{:.0} / {:.0} / {:.0} ms", q.p50, q.p99, q.max);
    line("spread by gossip, p50/p99/max", span(o.spread))?;
    line("with healing, p50/p99/max", span(o.reached))?;
    line(
        "hops, mean / p99 / max",
        format!("{:.2} / {:.0} / {:.0}", o.mean_hops, o.hops.p99, o.hops.max),
    )?;
    line("copies a delivery", format!("{:.2}", o.copies))?;
    line("bytes a frame", format!("{:.0}", o.frame_bytes))?;
    line("bytes on all lines a delivery", format!("{:.0}", o.bytes))?;
    line(
        "bytes a second and node when idle",
        format!("{:.0}", o.idle_bytes),
    )?;
    let few = |q: crate::Quantiles| format!("{:.0} / {:.0}", q.p50, q.max);
    line("links a node, p50/max", few(o.links))?;
    line(
        "gossip neighbours, mean/p50/max",
        format!("{:.2} / {}", o.mean_neighbours, few(o.neighbours)),
    )?;
    line(
        "frames forged / stale / no room",
        format!("{} / {} / {}", o.rejected, o.ignored, o.full),
    )?;
    line("links closed for misbehaviour", o.closed.to_string())?;
    line("virtual time", format!("{:.1} s", o.virtual_seconds))?;
    line(
        "real time, peak memory",
        format!("{:.1} s, {:.0} MiB", o.real_seconds, o.memory),
    )?;
    verdict(text, o)?;
    anchors(text)
}

fn verdict(text: &mut String, o: &Outcome) -> std::fmt::Result {
    let told = |holds: bool| if holds { "holds" } else { "FAILS" };
    writeln!(
        text,
        "  {:<34}{}",
        "every honest node has everything",
        told(o.is_whole())
    )?;
    writeln!(
        text,
        "  {:<34}{}",
        format!("under {COPIES} copies a delivery"),
        told(o.copies < COPIES)
    )
}

fn anchors(text: &mut String) -> std::fmt::Result {
    text.push_str(
        "Published, of gossipsub:
  95 nodes at 200 messages/s: 99.3 to 100 % delivered. Like for like: nodes, rate (`--nodes 95
    --rate 200`) and what a delivery is. Not: their machines and lines were real.
  1,000 nodes: all within 400 ms, 6.3 copies. Like for like: nodes and the count of copies. Not:
    their lines were real and of one data centre or several; ours are drawn (`--delay`, `--bandwidth`).
",
    );
    Ok(())
}
