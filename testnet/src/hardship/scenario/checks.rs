//! What is written well and cannot be all the same.

use std::time::Duration;

use super::{Deed, Event, Scenario, ScenarioError};
use crate::league::{FEWEST, MOST};

/// Longest that a scenario may take.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// Most of anything that is counted: events, kills, hostile members.
const MANY: usize = 10_000;

/// Most records a second.
const RATE: f64 = 10_000.0;

impl Scenario {
    pub(super) fn checked(self) -> Result<Self, ScenarioError> {
        match self.impossible() {
            None => Ok(self),
            Some(what) => Err(ScenarioError::Impossible {
                name: self.name,
                what,
            }),
        }
    }

    fn impossible(&self) -> Option<String> {
        let share = |share: f64| (0.0..=1.0).contains(&share);
        let hostile: usize = self.hostiles.iter().map(|hostile| hostile.count.min(MANY)).sum();
        if self.nodes < FEWEST || self.honest() + hostile > MOST {
            return Some(format!("a league has {FEWEST} to {MOST} members"));
        }
        if self.lasts.is_zero() || self.lasts > LONGEST {
            return Some("`lasts` is more than nothing and at most a day".to_owned());
        }
        let rates = self
            .hostiles
            .iter()
            .map(|hostile| hostile.rate)
            .chain([self.load.rate]);
        if rates.into_iter().any(|rate| !(rate > 0.0 && rate <= RATE)) {
            return Some(format!("a `rate` is above 0 and at most {RATE}"));
        }
        if !share(self.load.sealed) || !share(self.links.loss) || self.links.loss > 0.9 {
            return Some("`sealed` and `loss` are shares, 0 to 1; `loss` is at most 0.9".to_owned());
        }
        let [least, most] = self.load.objects;
        if least == 0 || least > most || most > 100 {
            return Some("`objects` are 1 to 100, the fewest first".to_owned());
        }
        let [least, most] = self.load.bytes;
        if least > most || most > 16 << 10 {
            return Some("`bytes` are 0 to 16,384, the fewest first".to_owned());
        }
        self.events.iter().find_map(|event| self.wrong_with(event))
    }

    fn wrong_with(&self, event: &Event) -> Option<String> {
        let Event {
            count,
            sizes,
            lasts,
            reset,
            times,
            every,
            down,
            by,
            ..
        } = event;
        let given = [
            ("count", count.is_some()),
            ("sizes", sizes.is_some()),
            ("lasts", lasts.is_some()),
            ("reset", reset.is_some()),
            ("times", times.is_some()),
            ("every", every.is_some()),
            ("down", down.is_some()),
            ("by", by.is_some()),
        ];
        let (needed, allowed): (&[&str], &[&str]) = match event.deed {
            Deed::Partition => (&["sizes", "lasts"], &["reset"]),
            Deed::OneWay => (&["lasts"], &["count"]),
            Deed::Kill | Deed::Stop => (&["down"], &["times", "every"]),
            Deed::Skew => (&["by", "lasts"], &["count"]),
            Deed::Join => (&[], &["count"]),
        };
        for (key, is_given) in given {
            if needed.contains(&key) && !is_given {
                return Some(format!("an event `{:?}` needs `{key}`", event.deed).to_lowercase());
            }
            if is_given && !needed.contains(&key) && !allowed.contains(&key) {
                return Some(format!("an event `{:?}` knows no `{key}`", event.deed).to_lowercase());
            }
        }
        if event.at > self.lasts {
            return Some("an event comes after the end".to_owned());
        }
        if count.unwrap_or(1).max(times.unwrap_or(1)) > MANY {
            return Some(format!("nothing happens more than {MANY} times"));
        }
        if times.unwrap_or(1) > 1 && every.is_none_or(|every| every.is_zero()) {
            return Some("what happens several times needs `every`".to_owned());
        }
        let grouped: usize = sizes.iter().flatten().sum();
        if sizes.is_some() && grouped != self.nodes {
            return Some(format!(
                "the groups of a partition have {grouped} of {} nodes",
                self.nodes
            ));
        }
        if by.as_ref().is_some_and(Vec::is_empty) {
            return Some("`by` is empty".to_owned());
        }
        None
    }
}
