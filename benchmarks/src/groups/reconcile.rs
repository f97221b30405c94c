//! Two nodes compare what they hold: bytes, messages and CPU of each side, beside negentropy on its
//! own sealed vector in the same run.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use hanse_protocol::heal;
use hanse_protocol::identity::{CommunityId, RecordId};
use hanse_protocol::reconcile::{Asked, Blocks, Kept, Key, Need, Pass, Place, Places, Span, Told, answer};
use hanse_protocol::timestamp::Timestamp;
use negentropy::{Id, Negentropy, NegentropyStorageVector};

use crate::measure::{Failure, Scale, median, say};
use crate::table::{Aim, Figure, Table};

const GROUP: &str = "reconcile";

/// All records are of so many days.
const DAYS: u64 = 90;
/// The last instant of them.
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// How often one comparing is repeated in a run; its middle counts. Where much is missing, negentropy
/// takes minutes, and once must do.
const REPEATS: usize = 5;

/// Half-rounds and bytes that finding ten differences in a million may take.
const MESSAGES: f64 = 6.0;
const BYTES: f64 = 65_536.0;
/// Bytes that two who hold the same million may exchange.
const BYTES_EQUAL: f64 = 1_024.0;
/// Part of negentropy's CPU.
const CPU: f64 = 0.2;

/// What one comparing took.
#[derive(Clone, Default)]
struct Cost {
    bytes: usize,
    messages: usize,
    asker: Duration,
    answerer: Duration,
    found: usize,
}

/// A sorted set.
struct Shelf(Vec<Place>);

impl Places for Shelf {
    type Error = Infallible;

    fn places(&self, span: &Span, limit: usize) -> Result<Vec<Place>, Infallible> {
        let from = self.0.partition_point(|place| *place < span.from);
        let rest = self.0.get(from..).unwrap_or_default();
        let within = rest.iter().take(limit).take_while(|place| **place < span.to);
        Ok(within.copied().collect())
    }
}

/// A side of a comparing.
struct Side {
    kept: Kept<Blocks, Shelf>,
    sealed: NegentropyStorageVector,
}

impl Side {
    fn of(places: Vec<Place>) -> Result<Self, Failure> {
        let mut sealed = NegentropyStorageVector::with_capacity(places.len());
        for place in &places {
            sealed.insert(place.created.as_millis(), Id::from_byte_array(place.id.0))?;
        }
        sealed.seal()?;
        let kept = Kept::new(blocks(key(), &places)?, Shelf(places));
        Ok(Self { kept, sealed })
    }
}

fn key() -> Key {
    Key::of_community(&CommunityId([7; 32]))
}

fn blocks(key: Key, places: &[Place]) -> Result<Blocks, Infallible> {
    Blocks::of(key, places.iter().map(|place| Ok(*place)))
}

/// So many records, evenly over the days.
fn places(count: usize) -> Vec<Place> {
    let span = DAYS * hanse_protocol::reconcile::DAY;
    let first = NOW.as_millis() - span;
    let place = |number: u64| Place {
        created: Timestamp::from_millis(first + number * span / count as u64),
        id: RecordId(*blake3::hash(&number.to_be_bytes()).as_bytes()),
    };
    (0..count as u64).map(place).collect()
}

/// What the asker lacks.
#[derive(Clone, Copy)]
enum Lack {
    Nothing,
    /// So many, evenly spread.
    Spread(usize),
    /// So many of the newest.
    Newest(usize),
}

impl Lack {
    fn label(self, scale: &str) -> String {
        match self {
            Self::Nothing => format!("{scale}, equal"),
            Self::Spread(count) => format!("{scale}, {count} spread"),
            Self::Newest(count) => format!("{scale}, newest {count}"),
        }
    }

    fn count(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Spread(count) | Self::Newest(count) => count,
        }
    }

    fn without(self, places: &[Place]) -> Vec<Place> {
        match self {
            Self::Nothing => places.to_vec(),
            Self::Newest(count) => {
                let left = places.len().saturating_sub(count);
                places.get(..left).unwrap_or_default().to_vec()
            }
            Self::Spread(count) => {
                let step = (places.len() / count.max(1)).max(1);
                let kept = places.iter().enumerate();
                kept.filter(|(at, _)| at % step != step / 2)
                    .map(|(_, place)| *place)
                    .collect()
            }
        }
    }
}

pub(super) fn run(scale: &Scale, table: &mut Table) -> Result<(), Failure> {
    let many = scale.size(100_000, 200);
    let mut of_ten = Vec::new();
    for (label, count) in [
        ("100k", scale.size(100_000, 2_000)),
        ("1M", scale.size(1_000_000, 5_000)),
        ("5M", scale.size(5_000_000, 10_000)),
    ] {
        let all = places(count);
        let answerer = Side::of(all.clone())?;
        for lack in [
            Lack::Nothing,
            Lack::Spread(10),
            Lack::Spread(many),
            Lack::Newest(many),
        ] {
            if lack.count() >= count {
                continue;
            }
            let what = lack.label(label);
            say(&format!("reconcile: {what}"));
            let asker = Side::of(lack.without(&all))?;
            let runs = (0..scale.runs)
                .map(|_| both(&asker, &answerer, if lack.count() > 1_000 { 1 } else { REPEATS }));
            let runs = runs.collect::<Result<Vec<_>, Failure>>()?;
            if matches!(lack, Lack::Spread(10)) {
                of_ten.push(column(&runs, |(ours, _)| millis(ours.asker + ours.answerer)));
            }
            tell(table, &what, label == "1M", lack, &runs);
        }
        let fresh = column(&(0..scale.runs).collect::<Vec<_>>(), |_| {
            let begun = Instant::now();
            let of = blocks(Key::of_pass(&[1; 32], &[2; 32]), &all);
            let took = millis(begun.elapsed());
            drop(of);
            took
        });
        table.add(Figure::new(
            GROUP,
            format!("{label}, hashed under a fresh key"),
            "ms",
            fresh,
        ));
    }
    if let (Some(small), Some(large)) = (of_ten.first(), of_ten.last()) {
        let figure = Figure::new(GROUP, "CPU of both, 10 spread, 5M to 100k", "ms", large.clone());
        // The square root of fifty.
        table.add(
            figure
                .beside("at 100k", small.clone())
                .aim(Aim::TimesAtMost(7.07)),
        );
    }
    Ok(())
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1_000.0
}

fn column<T>(runs: &[T], of: impl FnMut(&T) -> f64) -> Vec<f64> {
    runs.iter().map(of).collect()
}

fn tell(table: &mut Table, what: &str, aimed: bool, lack: Lack, runs: &[(Cost, Cost)]) {
    let mut add = |kind: &str, unit, of: fn(&Cost) -> f64, aim: Option<Aim>| {
        let figure = Figure::new(
            GROUP,
            format!("{what}: {kind}"),
            unit,
            column(runs, |(ours, _)| of(ours)),
        )
        .beside("negentropy", column(runs, |(_, theirs)| of(theirs)));
        table.add(match aim {
            Some(aim) if aimed => figure.aim(aim),
            _ => figure,
        });
    };
    let (bytes, messages, cpu) = match lack {
        Lack::Nothing => (Some(BYTES_EQUAL), None, Some(CPU)),
        Lack::Spread(10) => (Some(BYTES), Some(MESSAGES), Some(CPU)),
        _ => (None, None, None),
    };
    add("bytes", "B", |cost| cost.bytes as f64, bytes.map(Aim::AtMost));
    add(
        "half-rounds",
        "",
        |cost| cost.messages as f64,
        messages.map(Aim::AtMost),
    );
    add(
        "asker's CPU",
        "ms",
        |cost| millis(cost.asker),
        cpu.map(Aim::TimesAtMost),
    );
    add(
        "answerer's CPU",
        "ms",
        |cost| millis(cost.answerer),
        cpu.map(Aim::TimesAtMost),
    );
}

/// Both ways of comparing, one after the other; the middle of some.
fn both(asker: &Side, answerer: &Side, repeats: usize) -> Result<(Cost, Cost), Failure> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..repeats {
        ours.push(compare(asker, answerer)?);
        theirs.push(by_negentropy(asker, answerer)?);
    }
    let (ours, theirs) = (middle(&ours), middle(&theirs));
    if ours.found != theirs.found {
        return Err(format!(
            "{} differences found, and {} by negentropy",
            ours.found, theirs.found
        )
        .into());
    }
    Ok((ours, theirs))
}

fn middle(costs: &[Cost]) -> Cost {
    let of = |of: fn(&Cost) -> Duration| {
        Duration::from_secs_f64(median(&column(costs, |cost| of(cost).as_secs_f64())))
    };
    Cost {
        asker: of(|cost| cost.asker),
        answerer: of(|cost| cost.answerer),
        ..costs.first().cloned().unwrap_or_default()
    }
}

fn compare(asker: &Side, answerer: &Side) -> Result<Cost, Failure> {
    let key = key();
    let mut cost = Cost::default();
    let mut pass = Pass::new(Span::horizon(NOW, Duration::from_secs(2 * DAYS * 86_400)));
    while !pass.is_done() {
        let begun = Instant::now();
        let question = heal::encode(&pass.question(&asker.kept, &key)?);
        cost.asker += begun.elapsed();

        let begun = Instant::now();
        let asked: Vec<Asked> = heal::decode(&question)?;
        let told = heal::encode(&answer(&answerer.kept, &key, &asked)?);
        cost.answerer += begun.elapsed();

        let begun = Instant::now();
        let heard: Vec<Told> = heal::decode(&told)?;
        let needs = pass.answered(&asker.kept, &key, &heard)??;
        cost.asker += begun.elapsed();

        cost.bytes += question.len() + told.len();
        cost.messages += 2;
        for need in needs {
            cost.found += match need {
                Need::Record(_) => 1,
                // What of it is held already is not needed; nothing is, in what is measured here.
                Need::Span(span, count) => {
                    let held = asker.kept.places().places(&span, usize::MAX)?.len();
                    usize::try_from(count)?.saturating_sub(held)
                }
            };
        }
    }
    Ok(cost)
}

fn by_negentropy(asker: &Side, answerer: &Side) -> Result<Cost, Failure> {
    let mut cost = Cost::default();
    let (mut have, mut need) = (Vec::new(), Vec::new());
    // As large as ours are at most.
    let frame = hanse_protocol::reconcile::ANSWER as u64;
    let begun = Instant::now();
    let mut client = Negentropy::borrowed(&asker.sealed, frame)?;
    let mut message = Some(client.initiate()?);
    cost.asker += begun.elapsed();
    while let Some(question) = message {
        let begun = Instant::now();
        let mut server = Negentropy::borrowed(&answerer.sealed, frame)?;
        let told = server.reconcile(&question)?;
        cost.answerer += begun.elapsed();

        let begun = Instant::now();
        message = client.reconcile_with_ids(&told, &mut have, &mut need)?;
        cost.asker += begun.elapsed();

        cost.bytes += question.len() + told.len();
        cost.messages += 2;
    }
    need.sort_unstable_by_key(|id| id.to_bytes());
    need.dedup_by_key(|id| id.to_bytes());
    cost.found = need.len();
    Ok(cost)
}
