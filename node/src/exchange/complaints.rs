//! Audit lines of what others do wrong, so few that a flood of it is no flood of lines: the first of a
//! kind is told at once, those that follow within a minute, or an hour, are counted in the next.

use std::collections::HashMap;
use std::time::Duration;

use hanse_protocol::timestamp::Timestamp;

/// How long refusals that follow are only counted.
const MINUTE: Duration = Duration::from_secs(60);

/// Kinds remembered at once; with more, all are forgotten and may be told once more.
const KINDS: usize = 1_024;

/// When refusals of a kind were last told, and how many came since.
pub(crate) struct Complaints {
    told: HashMap<(String, &'static str), (Timestamp, u64)>,
    /// How long those that follow are only counted.
    span: Duration,
}

impl Default for Complaints {
    fn default() -> Self {
        Self::every(MINUTE)
    }
}

impl Complaints {
    /// None yet; of each kind one is told in `span`.
    pub(crate) fn every(span: Duration) -> Self {
        let told = HashMap::new();
        Self { told, span }
    }

    /// Counts a refusal by who is named for it and why. `Some` if it is to be told, with how many
    /// were counted and not told before it.
    pub(crate) fn tell(&mut self, actor: &str, reason: &'static str, now: Timestamp) -> Option<u64> {
        if self.told.len() >= KINDS {
            self.told.clear();
        }
        let kind = (actor.to_owned(), reason);
        match self.told.get_mut(&kind) {
            // A clock that went back tells at once rather than never.
            Some((told, more)) if now >= *told && now.since(*told) < self.span => {
                *more += 1;
                None
            }
            Some((told, more)) => {
                *told = now;
                Some(std::mem::take(more))
            }
            None => {
                self.told.insert(kind, (now, 0));
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_a_minute_with_its_count() {
        let mut complaints = Complaints::default();
        let start = Timestamp::from_millis(1_000_000);
        let told: Vec<u64> = (0..6_000)
            .filter_map(|number| {
                let now = start.after(Duration::from_millis(number * 20));
                complaints.tell("courier a", "signature", now)
            })
            .collect();
        assert_eq!(told, [0, 2_999], "two minutes of fifty a second");
        assert_eq!(complaints.tell("courier b", "signature", start), Some(0));
        assert_eq!(complaints.tell("courier a", "malformed", start), Some(0));
    }

    #[test]
    fn a_clock_that_went_back_silences_nobody() {
        let mut complaints = Complaints::default();
        let now = Timestamp::from_millis(10_000_000);
        assert_eq!(complaints.tell("a", "x", now), Some(0));
        assert_eq!(complaints.tell("a", "x", Timestamp::from_millis(1_000)), Some(0));
    }
}
