//! What a scenario and a seed come to: who publishes what for whom and when, and what happens to whom.
//! The same seed gives the same plan, whatever the league then makes of it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use serde_json::value::RawValue;

use super::scenario::{Deed, Does, Event, Scenario};
use crate::dice::Dice;
use crate::proxy::Way;

/// Something that is done to the league.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// SIGKILL.
    Kill(usize),
    /// Told to end.
    Stop(usize),
    /// Started again.
    Start(usize),
    /// Started again under a clock that is off by so many milliseconds; right again at 0.
    Skew(usize, i64),
    /// These ways are cut, and the connections over them reset or not.
    Cut(Vec<Way>, bool),
    /// They carry again.
    Mend(Vec<Way>),
    /// A new member joins, which gets this number.
    Join(usize),
}

/// A record that is to be published.
#[derive(Clone, Debug)]
pub struct Item {
    /// When, from the start.
    pub at: Duration,
    /// By whom.
    pub author: usize,
    /// For whom beside the author; `None` for everybody.
    pub readers: Option<Vec<usize>>,
    /// At whom it is searched for once it is there.
    pub probe: usize,
    /// The objects' ids.
    pub ids: Vec<String>,
    /// A value in the first object that is in no other record.
    pub value: String,
    /// A text in it that is to be found nowhere outside.
    pub telling: String,
    /// Bytes of each description.
    lengths: Vec<usize>,
}

/// A hostile member.
#[derive(Clone, Debug, PartialEq)]
pub struct Foe {
    /// What it does.
    pub does: Does,
    /// From when on.
    pub at: Duration,
    /// Frames a second.
    pub rate: f64,
    /// To whom it is connected.
    pub hosts: Vec<usize>,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In the order of time.
    pub actions: Vec<(Duration, Action)>,
    /// In the order of time.
    pub items: Vec<Item>,
    /// Hostile members; the first has the number after the last honest one.
    pub foes: Vec<Foe>,
}

impl Plan {
    /// Draws a scenario's choices from a seed.
    pub fn of(scenario: &Scenario, seed: u64) -> Self {
        let mut actions = Vec::new();
        let mut joined = scenario.nodes;
        // One who is down cannot be killed, whichever event it was.
        let mut down = Down::default();
        for (number, event) in scenario.events.iter().enumerate() {
            let mut dice = Dice::new(seed, &format!("event {number}"));
            draw(
                event,
                scenario.nodes,
                &mut joined,
                &mut down,
                &mut dice,
                &mut actions,
            );
        }
        actions.sort_by_key(|(at, _)| *at);
        let mut dice = Dice::new(seed, "hostile");
        let honest: Vec<usize> = (0..scenario.nodes).collect();
        let foes = scenario
            .hostiles
            .iter()
            .flat_map(|hostile| (0..hostile.count).map(|_| (hostile.does, hostile.at, hostile.rate)));
        let foe = |(does, at, rate)| Foe {
            does,
            at,
            rate,
            hosts: dice.some(&honest, 3),
        };
        Self {
            actions,
            items: items(scenario, seed),
            foes: foes.map(foe).collect(),
        }
    }

    /// Twelve hexadecimal digits that tell plans apart.
    pub fn digest(&self) -> String {
        let told = format!("{:?}{:?}{:?}", self.actions, self.items, self.foes);
        blake3::hash(told.as_bytes()).to_hex().chars().take(12).collect()
    }
}

/// Until when each node is down.
#[derive(Default)]
struct Down(BTreeMap<usize, Duration>);

impl Down {
    /// One that is up then, if there is one, and is down until `until` from now on.
    fn one_up(&mut self, nodes: usize, at: Duration, until: Duration, dice: &mut Dice) -> Option<usize> {
        let is_up = |node: &usize| self.0.get(node).is_none_or(|until| *until <= at);
        let up: Vec<usize> = (0..nodes).filter(is_up).collect();
        let node = up.get(dice.below(up.len())).copied()?;
        self.0.insert(node, until);
        Some(node)
    }

    /// When the next of them comes up after `at`, if all are down.
    fn soonest(&self, at: Duration) -> Duration {
        let later = self.0.values().filter(|until| **until > at);
        later.min().copied().unwrap_or(at + Duration::from_secs(1))
    }
}

fn draw(
    event: &Event,
    nodes: usize,
    joined: &mut usize,
    down: &mut Down,
    dice: &mut Dice,
    actions: &mut Vec<(Duration, Action)>,
) {
    let over = event.at + event.lasts.unwrap_or_default();
    let count = event.count.unwrap_or(1);
    match event.deed {
        Deed::Partition => {
            let ways = between_groups(nodes, event.sizes.as_deref().unwrap_or_default(), dice);
            actions.push((event.at, Action::Cut(ways.clone(), event.reset.unwrap_or(true))));
            actions.push((over, Action::Mend(ways)));
        }
        Deed::OneWay => {
            let all = |from: usize| (0..nodes).filter_map(move |to| (to != from).then_some((from, to)));
            let all: Vec<Way> = (0..nodes).flat_map(all).collect();
            let ways = dice.some(&all, count);
            actions.push((event.at, Action::Cut(ways.clone(), false)));
            actions.push((over, Action::Mend(ways)));
        }
        Deed::Kill | Deed::Stop => {
            let mut at = event.at;
            for _ in 0..event.times.unwrap_or(1) {
                let (node, until) = loop {
                    let until = at + dice.around(event.down.unwrap_or_default());
                    match down.one_up(nodes, at, until, dice) {
                        Some(node) => break (node, until),
                        None => at = down.soonest(at),
                    }
                };
                let end = if event.deed == Deed::Kill {
                    Action::Kill(node)
                } else {
                    Action::Stop(node)
                };
                actions.push((at, end));
                actions.push((until, Action::Start(node)));
                at += dice.around(event.every.unwrap_or_default());
            }
        }
        Deed::Skew => {
            let all: Vec<usize> = (0..nodes).collect();
            let by = event.by.as_deref().unwrap_or_default();
            for (number, node) in dice.some(&all, count).into_iter().enumerate() {
                let by = by.get(number % by.len().max(1)).map_or(0, |offset| offset.0);
                down.0.insert(node, over);
                actions.push((event.at, Action::Skew(node, by)));
                actions.push((over, Action::Skew(node, 0)));
            }
        }
        Deed::Join => {
            for _ in 0..count {
                actions.push((event.at, Action::Join(*joined)));
                *joined += 1;
            }
        }
    }
}

/// Every way between two nodes of different groups, both ways.
fn between_groups(nodes: usize, sizes: &[usize], dice: &mut Dice) -> Vec<Way> {
    let mut order: Vec<usize> = (0..nodes).collect();
    dice.shuffle(&mut order);
    let groups = sizes
        .iter()
        .enumerate()
        .flat_map(|(group, size)| std::iter::repeat_n(group, *size));
    let grouped: Vec<(usize, usize)> = order.into_iter().zip(groups).collect();
    let mut ways = Vec::new();
    for (from, group) in &grouped {
        let others = grouped.iter().filter(|(_, other)| other != group);
        ways.extend(others.map(|(to, _)| (*from, *to)));
    }
    ways
}

fn items(scenario: &Scenario, seed: u64) -> Vec<Item> {
    let mut dice = Dice::new(seed, "load");
    let load = &scenario.load;
    let (mut items, mut at) = (Vec::new(), Duration::ZERO);
    loop {
        at += dice.around(Duration::from_secs_f64(1.0 / load.rate));
        if at > scenario.lasts {
            return items;
        }
        let author = dice.below(scenario.nodes);
        let others: Vec<usize> = (0..scenario.nodes).filter(|node| *node != author).collect();
        let sealed = dice.unit() < load.sealed;
        let count = dice.between(1, 2);
        let readers = sealed.then(|| dice.some(&others, count));
        let mut may = readers.clone().unwrap_or(others);
        dice.shuffle(&mut may);
        let token = dice.hex();
        let objects = dice.between(load.objects[0], load.objects[1]);
        items.push(Item {
            at,
            author,
            readers,
            probe: may.first().copied().unwrap_or(author),
            ids: (0..objects).map(|_| indicator_id(&mut dice)).collect(),
            value: format!("host-{token}.example"),
            telling: format!("Case {token}"),
            lengths: (0..objects)
                .map(|_| dice.between(load.bytes[0], load.bytes[1]))
                .collect(),
        });
    }
}

/// An id with a UUID of version 4 (RFC 9562, section 5.4).
fn indicator_id(dice: &mut Dice) -> String {
    let (high, low) = (dice.number(), dice.number());
    let (high, low) = ((high & !0xf000) | 0x4000, (low & !(3 << 62)) | (2 << 62));
    let text = format!("{high:016x}{low:016x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| text.get(range).unwrap_or_default());
    format!("indicator--{}", parts.join("-"))
}

impl Item {
    /// The objects, made now.
    ///
    /// # Errors
    /// What serde has against them, which is nothing.
    pub fn objects(&self, now: &str) -> Result<Vec<Box<RawValue>>, serde_json::Error> {
        let marking = match self.readers {
            Some(_) => hanse_protocol::tlp::Tlp::Amber,
            None => hanse_protocol::tlp::Tlp::Green,
        };
        let objects = self.ids.iter().zip(&self.lengths).enumerate();
        let object = |(number, (id, length)): (usize, (&String, &usize))| {
            let host = if number == 0 {
                self.value.clone()
            } else {
                format!("n{number}.{}", self.value)
            };
            let text = self
                .telling
                .as_str()
                .chars()
                .cycle()
                .take(*length)
                .collect::<String>();
            serde_json::value::to_raw_value(&json!({
                "type": "indicator",
                "spec_version": "2.1",
                "id": id,
                "created": now,
                "modified": now,
                "name": self.telling,
                "description": text,
                "pattern": format!("[domain-name:value = '{host}']"),
                "pattern_type": "stix",
                "valid_from": now,
                "object_marking_refs": [marking.marking()],
            }))
        };
        objects.map(object).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hardship::scenario::SHIPPED;

    fn scenario(name: &str) -> Scenario {
        Scenario::find(name).unwrap()
    }

    #[test]
    fn a_seed_says_it_all() {
        for (name, _) in SHIPPED {
            let scenario = scenario(name);
            let (one, again) = (Plan::of(&scenario, 7), Plan::of(&scenario, 7));
            assert_eq!(one.digest(), again.digest(), "{name}");
            assert_ne!(one.digest(), Plan::of(&scenario, 8).digest(), "{name}");
        }
    }

    #[test]
    fn a_partition_cuts_every_way_between_its_groups_and_mends_them() {
        let plan = Plan::of(&scenario("partition"), 3);
        let [(_, Action::Cut(cut, true)), (_, Action::Mend(mended))] = plan.actions.as_slice() else {
            panic!("{:?}", plan.actions);
        };
        assert_eq!((cut.len(), cut), (50, mended));
    }

    #[test]
    fn nobody_is_killed_twice_without_being_started_between() {
        let plan = Plan::of(&scenario("kills"), 5);
        let mut up = [true; 64];
        let mut kills = 0;
        for (_, action) in &plan.actions {
            match action {
                Action::Kill(node) => {
                    assert!(std::mem::replace(&mut up[*node], false));
                    kills += 1;
                }
                Action::Start(node) => assert!(!std::mem::replace(&mut up[*node], true)),
                other => panic!("{other:?}"),
            }
        }
        assert!(kills >= 500 && up.iter().all(|up| *up), "{kills}");
    }
}
