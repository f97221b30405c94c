//! Scenarios: files that say what a league goes through, and what has to hold all the same. Read
//! strictly: a key that nobody knows is refused, with its line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hanse_protocol::local::span;
use serde::{Deserialize, Deserializer};

use crate::proxy::Shape;

mod checks;
#[cfg(test)]
mod tests;

/// Largest file of a scenario, bytes.
const FILE: u64 = 64 << 10;

/// Those that come with the program: name and text.
pub const SHIPPED: [(&str, &str); 9] = [
    ("partition", include_str!("../../scenarios/partition.toml")),
    ("kills", include_str!("../../scenarios/kills.toml")),
    ("churn", include_str!("../../scenarios/churn.toml")),
    ("skew", include_str!("../../scenarios/skew.toml")),
    ("slow-links", include_str!("../../scenarios/slow-links.toml")),
    ("one-way", include_str!("../../scenarios/one-way.toml")),
    ("flood", include_str!("../../scenarios/flood.toml")),
    ("hostile", include_str!("../../scenarios/hostile.toml")),
    ("packet-loss", include_str!("../../scenarios/packet-loss.toml")),
];

/// Why there is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Neither one that comes with the program nor a file.
    #[error("`{0}` is no scenario: `hanse-testnet scenarios` lists them, and a path to a file is one too")]
    Unknown(String),
    /// The file cannot be read.
    #[error("`{}` cannot be read", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is not written as a scenario is.
    #[error("the scenario `{name}` cannot be read")]
    Written {
        /// Which.
        name: String,
        /// What is wrong, and where.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// It is written well and asks for what cannot be.
    #[error("the scenario `{name}` cannot be: {what}")]
    Impossible {
        /// Which.
        name: String,
        /// What.
        what: String,
    },
}

/// What a league goes through.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// What it is called: that of the shipped one, or the file.
    #[serde(skip)]
    pub name: String,
    /// What it is for, in a sentence.
    pub about: String,
    /// Honest members at the start, each with a node.
    pub nodes: usize,
    /// How long the league is published to and suffers.
    #[serde(deserialize_with = "span")]
    pub lasts: Duration,
    /// What is published.
    pub load: Load,
    /// What every link is like all the time.
    #[serde(default)]
    pub links: LinkShape,
    /// What happens, and when.
    #[serde(default, rename = "event")]
    pub events: Vec<Event>,
    /// Members who do not keep to the rules.
    #[serde(default, rename = "hostile")]
    pub hostiles: Vec<Hostile>,
    /// What has to hold.
    pub promises: Bounds,
    /// Arguments of `tc qdisc ... netem`, for the kernel to treat every packet of the run so, in a network
    /// namespace of its own. Where that is not allowed, the report says that it was skipped.
    #[serde(default)]
    pub netem: Option<String>,
    /// What is less in the short form.
    #[serde(default)]
    pub short: Short,
}

/// What is published: each record at some member, drawn anew.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Load {
    /// Records a second, all members together.
    pub rate: f64,
    /// Objects a record, least and most.
    #[serde(default = "one_to_three")]
    pub objects: [usize; 2],
    /// Bytes of an object's description, least and most.
    #[serde(default = "a_paragraph")]
    pub bytes: [usize; 2],
    /// The share that is sealed to one or two others, 0 to 1.
    #[serde(default)]
    pub sealed: f64,
}

fn one_to_three() -> [usize; 2] {
    [1, 3]
}

fn a_paragraph() -> [usize; 2] {
    [100, 600]
}

/// What links are like.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct LinkShape {
    /// How long bytes are under way.
    #[serde(deserialize_with = "span")]
    pub delay: Duration,
    /// How much longer at most.
    #[serde(deserialize_with = "span")]
    pub jitter: Duration,
    /// The share of packets that are lost and come late, 0 to 1.
    pub loss: f64,
    /// Bytes a second; absent for any.
    pub bandwidth: Option<u64>,
    /// After how long a connection is reset, on average.
    #[serde(deserialize_with = "maybe_span")]
    pub reset_every: Option<Duration>,
}

impl LinkShape {
    /// As the proxy wants it.
    pub fn shape(&self) -> Shape {
        Shape {
            delay: self.delay,
            jitter: self.jitter,
            loss: self.loss,
            bandwidth: self.bandwidth,
            reset_every: self.reset_every,
        }
    }
}

/// What an event does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Nodes fall into groups of the given `sizes`, drawn; nothing passes between groups until `lasts`
    /// is over. `reset` tells whether connections are reset (the default) or only fall silent.
    Partition,
    /// Nothing passes from one node to another, though it does the other way: so many ways, drawn.
    OneWay,
    /// SIGKILL, `times` times, one about every `every`; started again after about `down`.
    Kill,
    /// Nodes are told to end, `times` times; started again after about `down`.
    Stop,
    /// So many nodes are started again under a clock that is off by one of `by`, and under a right one
    /// when `lasts` is over.
    Skew,
    /// So many more members join.
    Join,
}

/// Something that happens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Event {
    /// When, from the start of the load.
    #[serde(deserialize_with = "span")]
    pub at: Duration,
    /// What.
    #[serde(rename = "do")]
    pub deed: Deed,
    /// How many nodes, or ways.
    #[serde(default)]
    pub count: Option<usize>,
    /// Sizes of the groups of a partition.
    #[serde(default)]
    pub sizes: Option<Vec<usize>>,
    /// Until when it is undone.
    #[serde(default, deserialize_with = "maybe_span")]
    pub lasts: Option<Duration>,
    /// Whether connections across a partition are reset.
    #[serde(default)]
    pub reset: Option<bool>,
    /// How many times.
    #[serde(default)]
    pub times: Option<usize>,
    /// What passes between two times, on average.
    #[serde(default, deserialize_with = "maybe_span")]
    pub every: Option<Duration>,
    /// How long a node is down, on average.
    #[serde(default, deserialize_with = "maybe_span")]
    pub down: Option<Duration>,
    /// How far clocks are off: spans, `-` before one that is behind.
    #[serde(default)]
    pub by: Option<Vec<Offset>>,
}

/// A span either way, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset(pub i64);

impl<'de> Deserialize<'de> for Offset {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let (sign, text) = text
            .strip_prefix('-')
            .map_or((1, text.as_str()), |rest| (-1, rest));
        let span = span::parse(text).map_err(serde::de::Error::custom)?;
        let millis = i64::try_from(span.as_millis()).map_err(serde::de::Error::custom)?;
        Ok(Self(sign * millis))
    }
}

/// How a hostile member misbehaves. Each has true keys and was admitted like anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Does {
    /// Gossips records in other members' names, with spoiled signatures, dated ahead, in odd spellings.
    Forger,
    /// Gossips what it heard once more, and old frames in new clothes.
    Replayer,
    /// Gossips records of its own, true and false, far more than anybody honest.
    Flooder,
    /// Asks for everything over many streams and reads nothing.
    SlowReader,
    /// Takes everything, passes nothing on and answers nothing.
    Withholder,
    /// Answers questions of healing with what is not so.
    Liar,
}

impl Does {
    /// Its name in files and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forger => "forger",
            Self::Replayer => "replayer",
            Self::Flooder => "flooder",
            Self::SlowReader => "slow-reader",
            Self::Withholder => "withholder",
            Self::Liar => "liar",
        }
    }
}

/// Hostile members of one kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Hostile {
    /// What they do.
    pub does: Does,
    /// From when on.
    #[serde(default, deserialize_with = "span")]
    pub at: Duration,
    /// How many of them.
    #[serde(default = "one")]
    pub count: usize,
    /// Frames a second of each, where it gossips.
    #[serde(default = "five")]
    pub rate: f64,
}

fn one() -> usize {
    1
}

fn five() -> f64 {
    5.0
}

/// Bounds of the promises.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bounds {
    /// All nodes hold the same this long after the last hardship.
    #[serde(deserialize_with = "span")]
    pub converge: Duration,
    /// Most memory of a daemon, MiB.
    pub memory: u64,
    /// Honest records' publish-to-searchable p99 once hostile members are at work, to that before.
    #[serde(default)]
    pub slowed_at_most: Option<f64>,
}

/// What the short form has instead.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Short {
    /// Nodes.
    pub nodes: Option<usize>,
    /// How long; every time in the scenario is squeezed alike.
    #[serde(deserialize_with = "maybe_span")]
    pub lasts: Option<Duration>,
    /// Records a second.
    pub rate: Option<f64>,
    /// Most kills and stops of one event.
    pub times: Option<usize>,
    /// Sizes of the groups of a partition.
    pub sizes: Option<Vec<usize>>,
    /// Share of a rate of hostile frames.
    pub hostile_rate: Option<f64>,
    /// How many times later honest records may be: there are few in a short form.
    pub slowed_at_most: Option<f64>,
}

fn span<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    span::parse(&text).map_err(serde::de::Error::custom)
}

fn maybe_span<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    span(from).map(Some)
}

impl Scenario {
    /// The shipped one of this name, or the file at this path.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn find(name: &str) -> Result<Self, ScenarioError> {
        if let Some((name, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
            return Self::parse(name, text);
        }
        let path = Path::new(name);
        if !path.is_file() {
            return Err(ScenarioError::Unknown(name.to_owned()));
        }
        let read = |source| ScenarioError::Read {
            path: path.to_owned(),
            source,
        };
        if std::fs::metadata(path).map_err(read)?.len() > FILE {
            return Err(read(std::io::Error::other("it is larger than any scenario")));
        }
        let text = std::fs::read_to_string(path).map_err(read)?;
        Self::parse(name, &text)
    }

    /// Reads a scenario.
    ///
    /// # Errors
    /// [`ScenarioError::Written`], which names the line; [`ScenarioError::Impossible`].
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        let mut scenario: Self = toml::from_str(text).map_err(|error| ScenarioError::Written {
            name: name.to_owned(),
            source: Box::new(error),
        })?;
        scenario.name = name.to_owned();
        scenario.checked()
    }

    /// The short form: fewer nodes, less time, fewer times.
    ///
    /// # Errors
    /// [`ScenarioError::Impossible`].
    pub fn shortened(mut self) -> Result<Self, ScenarioError> {
        let short = std::mem::take(&mut self.short);
        let lasts = short.lasts.unwrap_or(self.lasts);
        let factor = lasts.as_secs_f64() / self.lasts.as_secs_f64().max(0.001);
        self.nodes = short.nodes.unwrap_or(self.nodes);
        self.lasts = lasts;
        self.load.rate = short.rate.unwrap_or(self.load.rate);
        self.promises.slowed_at_most = short.slowed_at_most.or(self.promises.slowed_at_most);
        for event in &mut self.events {
            event.at = event.at.mul_f64(factor);
            event.lasts = event.lasts.map(|lasts| lasts.mul_f64(factor));
            event.times = match (event.times, short.times) {
                (Some(times), Some(most)) => Some(times.min(most)),
                (times, _) => times,
            };
            if event.deed == Deed::Partition && short.sizes.is_some() {
                event.sizes.clone_from(&short.sizes);
            }
            if event.times.is_some_and(|times| times > 1) {
                let room = lasts.saturating_sub(event.at);
                let times = u32::try_from(event.times.unwrap_or(1)).unwrap_or(u32::MAX);
                event.every = event.every.map(|every| every.min(room / times));
            }
        }
        for hostile in &mut self.hostiles {
            hostile.at = hostile.at.mul_f64(factor);
            hostile.rate *= short.hostile_rate.unwrap_or(1.0);
        }
        self.checked()
    }

    /// So many kills, about every as long as before: the scenario grows with them.
    #[must_use]
    pub fn with_kills(mut self, kills: usize) -> Self {
        for event in self.events.iter_mut().filter(|event| event.deed == Deed::Kill) {
            event.times = Some(kills);
            let every = event.every.unwrap_or_default();
            let whole = event.at + every.saturating_mul(u32::try_from(kills).unwrap_or(u32::MAX));
            self.lasts = self.lasts.max(whole);
        }
        self
    }

    /// Members that join on the way.
    pub fn joiners(&self) -> usize {
        let joins = self.events.iter().filter(|event| event.deed == Deed::Join);
        joins.map(|event| event.count.unwrap_or(1)).sum()
    }

    /// Honest members in the end.
    pub fn honest(&self) -> usize {
        self.nodes + self.joiners()
    }
}
