//! Taking figures: rates, spans and their order statistics.

use std::io::{Write, stderr};
use std::time::{Duration, Instant};

use hanse_node::store::index::Engine;

/// Whatever kept a figure from being taken: a benchmark stops at the first surprise.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How much is measured.
pub(crate) struct Scale {
    /// Tiny sizes.
    pub(crate) quick: bool,
    /// How often each figure is taken.
    pub(crate) runs: usize,
    /// How long a rate is taken.
    pub(crate) span: Duration,
    /// The engines to compare.
    pub(crate) engines: Vec<Engine>,
}

impl Scale {
    /// A size, or the tiny one.
    pub(crate) fn size(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

/// What an engine is called in the table.
pub(crate) fn name(engine: Engine) -> &'static str {
    match engine {
        Engine::Fjall => "fjall",
        Engine::Sled => "sled",
        Engine::Memory => "memory",
    }
}

/// How often a second `work` can be done on one core.
pub(crate) fn rate(span: Duration, mut work: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    work()?;
    let (start, mut done) = (Instant::now(), 0u32);
    loop {
        work()?;
        done += 1;
        let took = start.elapsed();
        if took >= span {
            return Ok(f64::from(done) / took.as_secs_f64());
        }
    }
}

/// The middle of some figures; the lower of two.
pub(crate) fn median(figures: &[f64]) -> f64 {
    percentile(figures, 0.5)
}

/// The figure that this share of all does not exceed.
pub(crate) fn percentile(figures: &[f64], share: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let at = (share * last as f64).floor() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// Tells, beside the table, what is being done: some of it takes minutes.
pub(crate) fn say(what: &str) {
    // Nobody may be listening.
    drop(writeln!(stderr(), "{what} …"));
}

/// A number that changes evenly and is the same in every run.
pub(crate) struct Pick(pub(crate) u64);

impl Pick {
    /// The next, below a bound.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_statistics_are_figures_that_were_taken() {
        let figures = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!(median(&figures), 3.0);
        assert_eq!(percentile(&figures, 0.0), 1.0);
        assert_eq!(percentile(&figures, 1.0), 5.0);
        assert_eq!(median(&[1.0, 2.0]), 1.0);
        assert!(median(&[]).is_nan());
    }
}
