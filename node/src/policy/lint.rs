//! What is probably a mistake in policies that are all well formed: those that never decide, circles of
//! nobody, and permits that say more than their author may have meant.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cedar_policy::{Effect, PolicySet};
use hanse_protocol::charter::Charter;
use hanse_protocol::charter::member::MemberKind;
use hanse_protocol::identity::Handle;
use hanse_protocol::stix;
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;

use super::Policies;
use super::entities::Person;
use super::files::MEMBERS;
use super::grid::{Case, Grid};
use super::place::nearest;
use super::reads::Sample;
use super::rule::Rule;
use super::schema::{Action, Kind, OF_MEMBER};

/// Something that is probably a mistake, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lint {
    /// The file.
    pub file: String,
    /// The line; 0 if it is the file as a whole.
    pub line: u32,
    /// The policy, if it is about one.
    pub policy: Option<String>,
    /// What it is.
    pub finding: Finding,
}

/// What is probably a mistake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Finding {
    /// It holds in no case at all.
    #[error("never applies: its conditions cannot all hold")]
    Impossible,
    /// It holds for no member of today.
    #[error("applies to no member of the community as it is today")]
    Nobody,
    /// Whenever it permits, others forbid.
    #[error("never decides: whatever it permits is forbidden by {}", listed(by))]
    Shadowed {
        /// The policies that forbid it.
        by: BTreeSet<String>,
    },
    /// Whenever it holds, another one does that says the same.
    #[error("adds nothing: `{by}` says the same of all it applies to, and more")]
    Covered {
        /// The other one.
        by: String,
    },
    /// Another one says the same word for word.
    #[error("says the same as `{other}`")]
    Identical {
        /// The other one.
        other: String,
    },
    /// It asks nothing of the partner or the marking.
    #[error("shares with everybody, whoever joins later too: it asks nothing of the partner or the marking")]
    Everybody,
    /// It permits every action there is.
    #[error("permits everything at once: say `action == Action::\"share\"`, or which it is for")]
    EveryAction,
    /// It compares with a word that no member or object ever bears.
    #[error(
        "compares `{attribute}` with `{word}`, which it never is{}",
        super::error::did_you_mean(nearest)
    )]
    OddWord {
        /// The attribute.
        attribute: &'static str,
        /// The word.
        word: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// It never decided, as far as is known.
    #[error("has decided on nothing so far")]
    NeverUsed,
    /// A circle has no member.
    #[error("the circle `{circle}` has no member: what is for it goes to nobody")]
    EmptyCircle {
        /// Its name.
        circle: String,
    },
    /// A circle lists who is no member of the community.
    #[error("the circle `{circle}` lists `{handle}`, which is no member of the community")]
    StrangerInCircle {
        /// Its name.
        circle: String,
        /// Who is no member.
        handle: Handle,
    },
    /// There are terms with who is no member of the community.
    #[error("there are terms with `{handle}`, which is no member of the community")]
    TermsWithStranger {
        /// Who is no member.
        handle: Handle,
    },
}

fn listed(ids: &BTreeSet<String>) -> String {
    ids.iter()
        .map(|id| format!("`{id}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {} of ", self.line)?;
        }
        write!(f, "{}", self.file)?;
        if let Some(policy) = &self.policy {
            write!(f, ", policy `{policy}`")?;
        }
        write!(f, ": {}", self.finding)
    }
}

impl Policies {
    /// What is probably a mistake, in the order of files and lines. `used` are the policies that decided
    /// on something so far, where that is known. Claims only what was tried in full: of policies that
    /// compare too much at once it says less.
    pub fn lint(&self, charter: &Charter, used: Option<&BTreeSet<String>>, now: Timestamp) -> Vec<Lint> {
        let mut lints = self.lint_members(charter);
        for rule in self.rules.values() {
            let findings = self.lint_rule(rule, charter, used, now);
            lints.extend(findings.into_iter().map(|finding| Lint {
                file: rule.file.clone(),
                line: rule.line,
                policy: Some(rule.id.clone()),
                finding,
            }));
        }
        lints.sort();
        lints.dedup();
        lints
    }

    fn lint_members(&self, charter: &Charter) -> Vec<Lint> {
        let stranger = |handle: &&Handle| charter.member(handle).is_none();
        let mut findings = Vec::new();
        for (circle, members) in &self.terms.circles {
            let line = self.terms.lines.get(circle).copied().unwrap_or(0);
            let circle = circle.clone();
            if members.is_empty() {
                findings.push((
                    line,
                    Finding::EmptyCircle {
                        circle: circle.clone(),
                    },
                ));
            }
            for handle in members.iter().filter(stranger).cloned() {
                findings.push((
                    line,
                    Finding::StrangerInCircle {
                        circle: circle.clone(),
                        handle,
                    },
                ));
            }
        }
        for handle in self.terms.members.keys().filter(stranger).cloned() {
            findings.push((0, Finding::TermsWithStranger { handle }));
        }
        let lint = |(line, finding)| Lint {
            file: MEMBERS.to_owned(),
            line,
            policy: None,
            finding,
        };
        findings.into_iter().map(lint).collect()
    }

    fn lint_rule(
        &self,
        rule: &Rule,
        charter: &Charter,
        used: Option<&BTreeSet<String>>,
        now: Timestamp,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        let permits = rule.policy.effect() == Effect::Permit;
        if permits && rule.actions.len() == Action::ALL.len() {
            findings.push(Finding::EveryAction);
        }
        if permits && rule.is_for(Action::Share) && asks_nothing(rule) {
            findings.push(Finding::Everybody);
        }
        if used.is_some_and(|used| !used.contains(&rule.id)) {
            findings.push(Finding::NeverUsed);
        }
        findings.extend(odd_words(rule));
        if let Some(other) = self.identical(rule) {
            findings.push(Finding::Identical {
                other: other.id.clone(),
            });
            return findings;
        }
        findings.extend(self.idle(rule, charter, now));
        findings
    }

    /// A policy before this one that says the same.
    fn identical(&self, rule: &Rule) -> Option<&Rule> {
        let mut before = self
            .rules
            .values()
            .filter(|other| (&other.file, other.line) < (&rule.file, rule.line));
        before.find(|other| other.duty == rule.duty && other.said == rule.said)
    }

    /// Why a policy never decides, if it does not.
    fn idle(&self, rule: &Rule, charter: &Charter, now: Timestamp) -> Option<Finding> {
        let mut holds: BTreeMap<Action, Vec<Case>> = BTreeMap::new();
        let set = set_of([rule]);
        for action in rule.actions.iter().copied() {
            // Sums and spans have more edges than constants show.
            if rule.reads.calculates {
                return None;
            }
            let grid = Grid::of(&[rule], action, now)?;
            let cases: Vec<Case> = grid.cases().filter(|case| !case.held(&set).is_empty()).collect();
            if !cases.is_empty() {
                holds.insert(action, cases);
            }
        }
        if holds.is_empty() {
            return Some(Finding::Impossible);
        }
        if self.concerns_nobody(rule, charter, now) {
            return Some(Finding::Nobody);
        }
        self.shadowed(rule, &holds, now)
            .or_else(|| self.covered(rule, &holds, now))
    }

    /// Whether a policy of sharing or keeping holds for no member as it is.
    fn concerns_nobody(&self, rule: &Rule, charter: &Charter, now: Timestamp) -> bool {
        let reads = OF_MEMBER.iter().any(|name| rule.reads.attributes.contains(*name));
        // What is said of a circle without members is said once, of the circle.
        if !reads || rule.is_for(Action::Forward) {
            return false;
        }
        let set = set_of([rule]);
        let mut people: Vec<(String, Person)> = charter
            .active()
            .map(|member| {
                (
                    member.handle.to_string(),
                    Person::of(member, charter, &self.terms),
                )
            })
            .collect();
        people.push(("#".to_owned(), Person::nobody()));
        rule.actions.iter().all(|action| {
            people.iter().all(|(name, person)| {
                let grid = Grid::about(&[rule], *action, now, (name, person));
                grid.is_some_and(|grid| grid.cases().all(|case| case.held(&set).is_empty()))
            })
        })
    }

    /// Whether whatever a permit permits is forbidden.
    fn shadowed(&self, rule: &Rule, holds: &BTreeMap<Action, Vec<Case>>, now: Timestamp) -> Option<Finding> {
        if rule.policy.effect() != Effect::Permit {
            return None;
        }
        let mut all = BTreeSet::new();
        for (action, cases) in holds {
            let forbids: Vec<&Rule> = self.others(rule, *action, Effect::Forbid).collect();
            let set = set_of(forbids.iter().copied());
            let mut by = BTreeSet::new();
            for case in cases {
                let held = case.held(&set);
                if held.is_empty() {
                    return None;
                }
                by.extend(held);
            }
            // They seem to: try what they read as well.
            let with: Vec<&Rule> = forbids
                .into_iter()
                .filter(|forbid| by.contains(&forbid.id))
                .chain([rule])
                .collect();
            let (forbids, alone) = (
                set_of(with.iter().copied().filter(|other| other.id != rule.id)),
                set_of([rule]),
            );
            let grid = Grid::of(&with, *action, now)?;
            let open = |case: &Case| !case.held(&alone).is_empty() && case.held(&forbids).is_empty();
            if with.iter().any(|rule| rule.reads.calculates) || grid.cases().any(|case| open(&case)) {
                return None;
            }
            all.extend(by);
        }
        Some(Finding::Shadowed { by: all })
    }

    /// Whether another policy of the same effect and demands holds whenever this one does.
    fn covered(&self, rule: &Rule, holds: &BTreeMap<Action, Vec<Case>>, now: Timestamp) -> Option<Finding> {
        let effect = rule.policy.effect();
        let same = |other: &&Rule| other.duty == rule.duty && other.actions.is_superset(&rule.actions);
        // It speaks for members by name: that is more than to permit.
        if rule.named(Kind::Member).next().is_some() {
            return None;
        }
        let mut others = self
            .rules
            .values()
            .filter(|other| other.id != rule.id)
            .filter(same);
        let by = others.find(|other| {
            other.policy.effect() == effect
                && !other.reads.calculates
                && other.said != rule.said
                && covers(other, rule, holds, now)
                // Of two that hold in the same cases only the later is told.
                && !(is_before(rule, other) && self.covered_by(other, rule, now))
        })?;
        Some(Finding::Covered { by: by.id.clone() })
    }

    /// Whether `rule` holds in no case but those in which `other` does.
    fn covered_by(&self, rule: &Rule, other: &Rule, now: Timestamp) -> bool {
        rule.actions == other.actions && covers(other, rule, &BTreeMap::new(), now)
    }

    /// Other policies of an action and effect.
    fn others(&self, rule: &Rule, action: Action, effect: Effect) -> impl Iterator<Item = &Rule> {
        let id = rule.id.clone();
        let rules = self
            .rules
            .values()
            .filter(move |other| other.is_for(action) && other.id != id);
        rules.filter(move |other| other.policy.effect() == effect)
    }
}

/// Words that stand beside an attribute which has a closed list of values, and are not in it.
fn odd_words(rule: &Rule) -> Vec<Finding> {
    let kinds = MemberKind::NAMES.iter().map(|(_, name)| *name);
    // Whoever is no member has no kind.
    let lists: [(&'static str, Vec<&str>); 3] = [
        ("kind", kinds.chain([""]).collect()),
        ("tlp", Tlp::ALL.map(Tlp::name).to_vec()),
        ("type", stix::types().collect()),
    ];
    let mut odd = Vec::new();
    for (attribute, known) in lists {
        for sample in rule.reads.samples.get(attribute).into_iter().flatten() {
            let Sample::Text(word) = sample else { continue };
            // Types of one's own begin so, and patterns of `like` are compared with a word made up here.
            let own = attribute == "type" && word.starts_with("x-");
            if own || rule.reads.matches || known.contains(&word.as_str()) {
                continue;
            }
            let (word, nearest) = (word.clone(), nearest(word, known.iter().copied()));
            odd.push(Finding::OddWord {
                attribute,
                word,
                nearest,
            });
        }
    }
    odd
}

/// Whether a policy is written before another.
fn is_before(rule: &Rule, other: &Rule) -> bool {
    (&rule.file, rule.start) < (&other.file, other.start)
}

/// Whether `other` holds whenever `rule` does. `holds` are cases in which `rule` does, tried first.
fn covers(other: &Rule, rule: &Rule, holds: &BTreeMap<Action, Vec<Case>>, now: Timestamp) -> bool {
    let (both, alone) = (set_of([rule, other]), set_of([other]));
    if holds.values().flatten().any(|case| case.held(&alone).is_empty()) {
        return false;
    }
    rule.actions.iter().all(|action| {
        let uncovered = |case: Case| {
            let held = case.held(&both);
            held.contains(&rule.id) && !held.contains(&other.id)
        };
        Grid::of(&[rule, other], *action, now).is_some_and(|grid| !grid.cases().any(uncovered))
    })
}

/// Whether a permit asks nothing of the partner, nor of the marking.
fn asks_nothing(rule: &Rule) -> bool {
    let reads = &rule.reads;
    let partner = OF_MEMBER.iter().any(|name| reads.attributes.contains(*name))
        || reads.attributes.contains("named")
        || rule.members().next().is_some()
        || rule.circles().next().is_some();
    let marking = reads.attributes.contains("tlp") || rule.named(Kind::Marking).next().is_some();
    !partner && !marking
}

/// Those policies alone.
fn set_of<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> PolicySet {
    // Their ids are their own.
    PolicySet::from_policies(rules.into_iter().map(|rule| rule.policy.clone())).unwrap_or_default()
}
