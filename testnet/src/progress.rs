//! How far a run has come, on standard error: a moving line at a terminal, nothing elsewhere; and
//! notes, which are always written.

use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the line moves.
const TICK: Duration = Duration::from_millis(120);

/// Where a run tells how far it is.
pub struct Progress(ProgressBar);

impl Progress {
    /// A line at the terminal, if standard error is one.
    pub fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        if stderr().is_terminal() {
            let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(TICK);
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self(bar)
    }

    /// Shows nothing but notes.
    pub fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// What is being done now.
    pub fn step(&self, doing: impl Into<String>) {
        self.0.set_message(doing.into());
    }

    /// Something the user should know.
    pub fn note(&self, text: &str) {
        // Where standard error is closed there is nobody to tell.
        self.0
            .suspend(|| drop(writeln!(stderr(), "hanse-testnet: {text}")));
    }

    /// Takes the line away.
    pub fn done(&self) {
        self.0.finish_and_clear();
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
