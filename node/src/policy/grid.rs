//! Cases that could matter to some policies: every combination of the constants they compare with, and
//! one other value each, of the attributes they read. What does not fit a bound is not looked at, so that
//! nothing is said of policies that was not tried in full.

use std::collections::BTreeSet;

use cedar_policy::{Authorizer, Entities, PolicySet};
use hanse_protocol::charter::member::MemberKind;
use hanse_protocol::identity::Handle;
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;

use super::entities::{Person, Situation, item_entity, minute};
use super::item::Item;
use super::reads::Sample;
use super::rule::Rule;
use super::schema::{Action, Kind};
use super::sheet;
use super::terms::TRUST;

/// The most cases that are tried for one question.
const CASES: usize = 4_096;
/// The other value of a text.
const ELSE: &str = "something-else";
/// The name of whoever no policy names.
const SOMEBODY: &str = "#";

/// A member, an item and a situation.
#[derive(Clone, Debug)]
pub(super) struct Case {
    action: Action,
    name: String,
    person: Person,
    item: Item,
    situation: Situation,
    now: Timestamp,
}

/// One value of one attribute, put into a case.
type Setter = Box<dyn Fn(&mut Case)>;

/// Every combination of some values.
pub(super) struct Grid {
    base: Case,
    dimensions: Vec<Vec<Setter>>,
}

impl Case {
    fn blank(action: Action, now: Timestamp) -> Self {
        Self {
            action,
            name: SOMEBODY.to_owned(),
            person: Person {
                kind: MemberKind::Company.to_string(),
                sector: ELSE.to_owned(),
                country: "ZZ".to_owned(),
                trust: TRUST,
                ..Person::default()
            },
            item: Item {
                kind: ELSE.to_owned(),
                tlp: Tlp::Green,
                labels: BTreeSet::new(),
                confidence: None,
                sightings: 0,
                kill_chain: BTreeSet::new(),
                targets: BTreeSet::new(),
                personal_data: false,
                revoked: false,
            },
            situation: match action {
                Action::Share => Situation::Share { named: false },
                Action::Accept => Situation::Accept {
                    size: 1_000,
                    rate: 1,
                    sealed: false,
                },
                Action::Forward => Situation::Forward {
                    from: ELSE.to_owned(),
                    to: ELSE.to_owned(),
                    author: some_author(),
                },
            },
            now,
        }
    }

    /// The ids of the policies of a set that hold in this case, whatever the others say. The set has
    /// policies of one effect only.
    pub(super) fn held(&self, set: &PolicySet) -> BTreeSet<String> {
        let entities = self.person.entity(&self.name).and_then(|person| {
            let entities = Entities::from_entities([person, item_entity(&self.item)?], None);
            entities.map_err(|error| error.to_string())
        });
        let request = sheet::request(self.action, &self.name, (&self.situation, minute(self.now)));
        let (Ok(entities), Ok(request)) = (entities, request) else {
            return BTreeSet::new();
        };
        let response = Authorizer::new().is_authorized(&request, set, &entities);
        response.diagnostics().reason().map(ToString::to_string).collect()
    }
}

#[expect(clippy::expect_used, reason = "a fixed handle that is one")]
fn some_author() -> Handle {
    ELSE.parse().expect("a handle")
}

impl Grid {
    /// The cases that could matter to `rules`, which all decide on `action`; none if they are too many.
    pub(super) fn of(rules: &[&Rule], action: Action, now: Timestamp) -> Option<Self> {
        let mut dimensions = of_member(rules);
        dimensions.extend(beside_member(rules, None, action, now));
        Self::bounded(Case::blank(action, now), dimensions)
    }

    /// The same, about one member as it is.
    pub(super) fn about(
        rules: &[&Rule],
        action: Action,
        now: Timestamp,
        (name, person): (&str, &Person),
    ) -> Option<Self> {
        let mut base = Case::blank(action, now);
        (base.name, base.person) = (name.to_owned(), person.clone());
        Self::bounded(base, beside_member(rules, Some(person), action, now))
    }

    fn bounded(base: Case, dimensions: Vec<Vec<Setter>>) -> Option<Self> {
        let cases = dimensions
            .iter()
            .try_fold(1usize, |product, values| product.checked_mul(values.len()));
        cases.filter(|cases| *cases <= CASES)?;
        Some(Self { base, dimensions })
    }

    /// Each case.
    pub(super) fn cases(&self) -> impl Iterator<Item = Case> {
        let count: usize = self.dimensions.iter().map(Vec::len).product();
        (0..count).map(|number| {
            let (mut case, mut rest) = (self.base.clone(), number);
            for values in &self.dimensions {
                if let Some(set) = values.get(rest % values.len()) {
                    set(&mut case);
                }
                rest /= values.len();
            }
            case
        })
    }
}

/// What some policies read, put together.
struct Read<'a> {
    rules: &'a [&'a Rule],
    /// The member that it is about, if it is about one.
    person: Option<&'a Person>,
}

impl Read<'_> {
    fn has(&self, attribute: &str) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.reads.attributes.contains(attribute))
    }

    /// What an attribute is compared with, and what those are compared with that it is compared with.
    fn samples(&self, attribute: &str) -> BTreeSet<Sample> {
        let mut found = BTreeSet::new();
        for rule in self.rules {
            let reads = &rule.reads;
            let beside = reads
                .pairs
                .iter()
                .filter(|(one, _)| one == attribute)
                .map(|(_, other)| other.as_str());
            for name in beside.chain([attribute, ""]) {
                found.extend(reads.samples.get(name).into_iter().flatten().cloned());
                found.extend(self.person.into_iter().flat_map(|person| own(person, name)));
            }
        }
        found
    }

    /// Texts it is compared with, and another one.
    fn texts(&self, attribute: &str, other: &str) -> BTreeSet<String> {
        let texts = self
            .samples(attribute)
            .into_iter()
            .filter_map(|sample| match sample {
                Sample::Text(text) => Some(text),
                _ => None,
            });
        texts.chain([other.to_owned()]).collect()
    }

    /// Sets of texts: none, each alone, all together.
    fn sets(&self, attribute: &str) -> BTreeSet<BTreeSet<String>> {
        let all = self.texts(attribute, ELSE);
        let alone = all.iter().map(|text| BTreeSet::from([text.clone()]));
        alone.chain([BTreeSet::new(), all.clone()]).collect()
    }

    /// Numbers at, below and above those it is compared with.
    fn numbers(&self, attribute: &str, least: i64, most: i64) -> BTreeSet<i64> {
        let around = self
            .samples(attribute)
            .into_iter()
            .filter_map(|sample| match sample {
                Sample::Number(number) => Some([number.saturating_sub(1), number, number.saturating_add(1)]),
                _ => None,
            });
        let numbers = around.flatten().filter(|number| (least..=most).contains(number));
        numbers.chain([least, 50.clamp(least, most)]).collect()
    }

    /// Instants before, at and after those it is compared with and now.
    fn instants(&self, attribute: &str, now: Timestamp) -> BTreeSet<Timestamp> {
        const APART: std::time::Duration = std::time::Duration::from_secs(120);
        let written = self
            .samples(attribute)
            .into_iter()
            .filter_map(|sample| match sample {
                // As Cedar reads a day without a time.
                Sample::Instant(text) => Timestamp::parse_rfc3339(&text)
                    .or_else(|| Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z"))),
                _ => None,
            });
        let middle: BTreeSet<Timestamp> = written.chain([now]).collect();
        middle
            .into_iter()
            .flat_map(|at| [at.before(APART), at, at.after(APART)])
            .collect()
    }

    fn named(&self, kind: Kind) -> BTreeSet<String> {
        self.rules
            .iter()
            .flat_map(|rule| rule.named(kind))
            .map(str::to_owned)
            .collect()
    }
}

/// What a member's own attribute is, as what another may be compared with.
fn own(person: &Person, attribute: &str) -> Vec<Sample> {
    let text = |text: &String| vec![Sample::Text(text.clone())];
    match attribute {
        "kind" => text(&person.kind),
        "sector" => text(&person.sector),
        "country" => text(&person.country),
        "trust" => vec![Sample::Number(person.trust.into())],
        "tags" => person.tags.iter().cloned().map(Sample::Text).collect(),
        _ => Vec::new(),
    }
}

/// Values, each as what it sets.
fn each<T: 'static>(values: impl IntoIterator<Item = T>, set: fn(&mut Case, &T)) -> Vec<Setter> {
    let setter = |value: T| -> Setter { Box::new(move |case| set(case, &value)) };
    values.into_iter().map(setter).collect()
}

fn of_member(rules: &[&Rule]) -> Vec<Vec<Setter>> {
    let read = Read { rules, person: None };
    let mut found = Vec::new();
    let mut add = |is_read: bool, values: fn(&Read<'_>) -> Vec<Setter>| {
        if is_read {
            found.push(values(&read));
        }
    };
    add(read.has("kind"), |_| {
        let kinds = MemberKind::NAMES.map(|(_, name)| name).into_iter();
        // Whoever is no member has none.
        each(kinds.chain([""]), |case, kind| {
            (*kind).clone_into(&mut case.person.kind)
        })
    });
    add(read.has("sector"), |read| {
        each(read.texts("sector", ELSE), |case, sector| {
            case.person.sector.clone_from(sector)
        })
    });
    add(read.has("country"), |read| {
        each(read.texts("country", "ZZ"), |case, country| {
            case.person.country.clone_from(country)
        })
    });
    add(read.has("trust"), |read| {
        let trust = read.numbers("trust", 0, 100);
        each(trust, |case, trust| {
            case.person.trust = u8::try_from(*trust).unwrap_or(TRUST)
        })
    });
    add(read.has("steward"), |_| {
        each([false, true], |case, is| case.person.steward = *is)
    });
    add(read.has("tags"), |read| {
        each(read.sets("tags"), |case, tags| case.person.tags.clone_from(tags))
    });
    // Contracts lie around the time that is asked for, whatever that is.
    const YEAR: std::time::Duration = std::time::Duration::from_secs(365 * 24 * 3600);
    add(read.has("contract_from"), |_| {
        each([None, Some(true), Some(false)], |case, past| {
            let now = case.now;
            case.person.contract_from =
                past.map(|past| if past { now.before(YEAR) } else { now.after(YEAR) });
        })
    });
    add(read.has("contract_until"), |_| {
        each([None, Some(true), Some(false)], |case, past| {
            let now = case.now;
            case.person.contract_until =
                past.map(|past| if past { now.before(YEAR) } else { now.after(YEAR) });
        })
    });
    add(!read.named(Kind::Circle).is_empty(), |read| {
        let circles = read.named(Kind::Circle);
        let alone = circles.iter().map(|circle| BTreeSet::from([circle.clone()]));
        let sets: BTreeSet<_> = alone.chain([BTreeSet::new(), circles.clone()]).collect();
        each(sets, |case, circles| case.person.circles.clone_from(circles))
    });
    add(!read.named(Kind::Member).is_empty(), |read| {
        let names = read.named(Kind::Member).into_iter().chain([SOMEBODY.to_owned()]);
        each(names, |case, name| case.name.clone_from(name))
    });
    found
}

fn beside_member(
    rules: &[&Rule],
    person: Option<&Person>,
    action: Action,
    now: Timestamp,
) -> Vec<Vec<Setter>> {
    let read = Read { rules, person };
    let mut found = Vec::new();
    // First, for what lies around it.
    if read.has("now") {
        found.push(each(read.instants("now", now), |case, now| case.now = *now));
    }
    found.extend(of_item(&read));
    let mut add = |is_read: bool, values: Vec<Setter>| {
        if is_read {
            found.push(values);
        }
    };
    match action {
        Action::Share => add(
            read.has("named"),
            each([false, true], |case, is| {
                case.situation = Situation::Share { named: *is }
            }),
        ),
        Action::Accept => {
            let sizes = read.numbers("size", 0, i64::from(u32::MAX));
            add(
                read.has("size"),
                each(sizes, |case, value| {
                    if let Situation::Accept { size, .. } = &mut case.situation {
                        *size = u64::try_from(*value).unwrap_or_default();
                    }
                }),
            );
            let rates = read.numbers("rate", 0, i64::from(u32::MAX));
            add(
                read.has("rate"),
                each(rates, |case, value| {
                    if let Situation::Accept { rate, .. } = &mut case.situation {
                        *rate = u32::try_from(*value).unwrap_or_default();
                    }
                }),
            );
            add(
                read.has("sealed"),
                each([false, true], |case, is| {
                    if let Situation::Accept { sealed, .. } = &mut case.situation {
                        *sealed = *is;
                    }
                }),
            );
        }
        Action::Forward => {
            add(
                read.has("from"),
                each(read.texts("from", ELSE), |case, value| {
                    if let Situation::Forward { from, .. } = &mut case.situation {
                        from.clone_from(value);
                    }
                }),
            );
            add(
                read.has("to"),
                each(read.texts("to", ELSE), |case, value| {
                    if let Situation::Forward { to, .. } = &mut case.situation {
                        to.clone_from(value);
                    }
                }),
            );
            let authors = read
                .texts("author", ELSE)
                .into_iter()
                .filter_map(|text| text.parse::<Handle>().ok());
            add(
                read.has("author"),
                each(authors, |case, value| {
                    if let Situation::Forward { author, .. } = &mut case.situation {
                        author.clone_from(value);
                    }
                }),
            );
        }
    }
    found
}

fn of_item(read: &Read<'_>) -> Vec<Vec<Setter>> {
    let mut found = Vec::new();
    let mut add = |is_read: bool, values: fn(&Read<'_>) -> Vec<Setter>| {
        if is_read {
            found.push(values(read));
        }
    };
    let marked = read.has("tlp") || !read.named(Kind::Marking).is_empty();
    add(marked, |_| each(Tlp::ALL, |case, tlp| case.item.tlp = *tlp));
    add(read.has("type"), |read| {
        each(read.texts("type", ELSE), |case, kind| {
            case.item.kind.clone_from(kind)
        })
    });
    add(read.has("labels"), |read| {
        each(read.sets("labels"), |case, labels| {
            case.item.labels.clone_from(labels)
        })
    });
    add(read.has("confidence"), |read| {
        let known = read.numbers("confidence", 0, 100).into_iter().map(Some);
        each(known.chain([None]), |case, confidence| {
            case.item.confidence = confidence.and_then(|confidence| u8::try_from(confidence).ok());
        })
    });
    add(read.has("sightings"), |read| {
        let numbers = read.numbers("sightings", 0, i64::from(u32::MAX));
        each(numbers, |case, number| {
            case.item.sightings = u32::try_from(*number).unwrap_or_default()
        })
    });
    add(read.has("kill_chain"), |read| {
        each(read.sets("kill_chain"), |case, phases| {
            case.item.kill_chain.clone_from(phases)
        })
    });
    add(read.has("targets"), |read| {
        each(read.sets("targets"), |case, sectors| {
            case.item.targets.clone_from(sectors)
        })
    });
    add(read.has("personal_data"), |_| {
        each([false, true], |case, is| case.item.personal_data = *is)
    });
    add(read.has("revoked"), |_| {
        each([false, true], |case, is| case.item.revoked = *is)
    });
    found
}
