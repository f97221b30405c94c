//! The one table: each figure with its spread, what was measured beside it, and whether its aim holds.

use serde::Serialize;

use crate::measure::{Scale, median};

/// What a figure should be.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Aim {
    /// At most so much, in the figure's unit.
    AtMost(f64),
    /// At least so many times what was measured beside it.
    TimesAtLeast(f64),
    /// At most so many times what was measured beside it.
    TimesAtMost(f64),
}

/// A figure, taken once a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    group: &'static str,
    what: String,
    unit: &'static str,
    runs: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    beside: Option<Beside>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aim: Option<Aim>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holds: Option<bool>,
}

/// What was measured in the same run, in the same unit.
#[derive(Clone, Debug, Serialize)]
struct Beside {
    what: String,
    runs: Vec<f64>,
}

impl Figure {
    /// A figure of a group, in a unit, with what each run gave.
    pub(crate) fn new(
        group: &'static str,
        what: impl Into<String>,
        unit: &'static str,
        runs: Vec<f64>,
    ) -> Self {
        Self {
            group,
            what: what.into(),
            unit,
            runs,
            beside: None,
            ratio: None,
            aim: None,
            holds: None,
        }
    }

    /// Names what was measured beside it.
    pub(crate) fn beside(mut self, what: impl Into<String>, runs: Vec<f64>) -> Self {
        self.ratio = Some(median(&self.runs) / median(&runs));
        self.beside = Some(Beside {
            what: what.into(),
            runs,
        });
        self.judged()
    }

    /// Says what it should be.
    pub(crate) fn aim(mut self, aim: Aim) -> Self {
        self.aim = Some(aim);
        self.judged()
    }

    fn judged(mut self) -> Self {
        self.holds = match (self.aim, self.ratio) {
            (Some(Aim::AtMost(bound)), _) => Some(median(&self.runs) <= bound),
            (Some(Aim::TimesAtLeast(bound)), Some(ratio)) => Some(ratio >= bound),
            (Some(Aim::TimesAtMost(bound)), Some(ratio)) => Some(ratio <= bound),
            _ => None,
        };
        self
    }

    /// The cells of its line.
    fn cells(&self) -> [String; 9] {
        let least = self.runs.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.runs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let aim = match (self.aim, self.holds) {
            (Some(aim), holds) => {
                let holds = match holds {
                    Some(true) => "holds",
                    Some(false) => "MISSED",
                    None => "open",
                };
                format!("{}: {holds}", aim.text())
            }
            (None, _) => String::new(),
        };
        [
            self.group.to_owned(),
            self.what.clone(),
            self.unit.to_owned(),
            short(least),
            short(median(&self.runs)),
            short(most),
            self.beside.as_ref().map_or_else(String::new, |beside| {
                format!("{} {}", short(median(&beside.runs)), beside.what)
            }),
            self.ratio
                .map_or_else(String::new, |ratio| format!("{ratio:.2}x")),
            aim,
        ]
    }
}

impl Aim {
    fn text(self) -> String {
        match self {
            Self::AtMost(bound) => format!("<= {}", short(bound)),
            Self::TimesAtLeast(bound) => format!(">= {bound}x"),
            Self::TimesAtMost(bound) => format!("<= {bound}x"),
        }
    }
}

/// All figures of a run of the program.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    program: &'static str,
    cores: usize,
    quick: bool,
    optimised: bool,
    figures: Vec<Figure>,
}

const HEAD: [&str; 9] = [
    "group",
    "figure",
    "unit",
    "min",
    "median",
    "max",
    "beside it",
    "ratio",
    "aim",
];

impl Table {
    /// A table without figures yet.
    pub(crate) fn new(scale: &Scale) -> Self {
        Self {
            program: hanse_node::AGENT,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            quick: scale.quick,
            optimised: !cfg!(debug_assertions),
            figures: Vec::new(),
        }
    }

    /// Adds a figure.
    pub(crate) fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// The table as people read it.
    pub(crate) fn text(&self) -> String {
        let rows: Vec<[String; 9]> = self.figures.iter().map(Figure::cells).collect();
        let head = HEAD.map(str::to_owned);
        let mut widths = [0; 9];
        for row in rows.iter().chain([&head]) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = format!("{}, {} cores", self.program, self.cores);
        if self.quick {
            text.push_str("; quick: these figures say nothing of speed");
        }
        if !self.optimised {
            text.push_str("; NOT OPTIMISED: run with --release");
        }
        text.push_str("\n\n");
        for row in [&head].into_iter().chain(&rows) {
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                // Numbers to the right, words to the left.
                let cell = match column {
                    3..=5 | 7 => format!("{cell:>width$}"),
                    _ => format!("{cell:<width$}"),
                };
                text.push_str(&cell);
                text.push_str("  ");
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        text
    }
}

/// A number with three or four digits that count.
fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 1_000_000.0 => format!("{:.2}M", number / 1_000_000.0),
        size if size >= 10_000.0 => format!("{:.1}k", number / 1_000.0),
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        size if size >= 0.1 => format!("{number:.2}"),
        _ => format!("{number:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_holds_or_is_missed_by_the_median() {
        let figure = || Figure::new("group", "what", "1/s", vec![10.0, 50.0, 60.0]);
        let half = figure().beside("bare", vec![100.0]).aim(Aim::TimesAtLeast(0.5));
        assert_eq!((half.ratio, half.holds), (Some(0.5), Some(true)));
        let twice = figure().aim(Aim::TimesAtMost(2.0)).beside("bare", vec![20.0]);
        assert_eq!((twice.ratio, twice.holds), (Some(2.5), Some(false)));
        assert_eq!(figure().aim(Aim::AtMost(49.0)).holds, Some(false));
        assert_eq!(
            figure().aim(Aim::TimesAtMost(2.0)).holds,
            None,
            "nothing beside it"
        );
        assert!(twice.cells().contains(&"<= 2x: MISSED".to_owned()));
    }
}
