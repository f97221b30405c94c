//! What a policy reads: attributes, names and constants, found in its parsed form. By it members of equal
//! answers are put together, misspelt names are found, and cases are made up that could matter to it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// A constant that an attribute is compared with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sample {
    Text(String),
    Number(i64),
    /// As the policy writes it: `2026-06-19`.
    Instant(String),
}

/// What a policy reads.
#[derive(Clone, Debug, Default)]
pub(super) struct Reads {
    /// Names of attributes of anything.
    pub(super) attributes: BTreeSet<String>,
    /// Attributes whose presence is asked of `principal`, `resource` or `context`.
    pub(super) asked: BTreeSet<(String, String)>,
    /// Things named, as kind and name: `("Circle", "water")`.
    pub(super) names: BTreeSet<(String, String)>,
    /// What attributes are compared with. Constants that stand beside no attribute are under "".
    pub(super) samples: BTreeMap<String, BTreeSet<Sample>>,
    /// Attributes that stand beside each other in one operation.
    pub(super) pairs: BTreeSet<(String, String)>,
    /// Whether it matches texts with patterns (`like`).
    pub(super) matches: bool,
    /// How deep it nests.
    pub(super) depth: usize,
    /// Whether it calculates: sums and spans may overflow, which is an error.
    pub(super) calculates: bool,
}

/// Operators whose result may not fit.
const CALCULATING: [&str; 9] = [
    "+",
    "-",
    "*",
    "neg",
    "offset",
    "durationSince",
    "toDate",
    "toTime",
    "toMilliseconds",
];

impl Reads {
    /// Of a policy in Cedar's JSON form.
    pub(super) fn of(policy: &Value) -> Self {
        let mut reads = Self::default();
        for scope in ["principal", "action", "resource"] {
            if let Some(scope) = policy.get(scope) {
                reads.scope(scope);
            }
        }
        let mut clauses = 0;
        let conditions = policy.get("conditions").and_then(Value::as_array);
        for condition in conditions.into_iter().flatten() {
            if let Some(body) = condition.get("body") {
                reads.expression(body);
                // Conditions are joined, each a level below the one before.
                clauses += 1;
                reads.depth = reads.depth.max(clauses + depth(body));
            }
        }
        reads
    }

    fn scope(&mut self, scope: &Value) {
        self.entity(scope.get("entity"));
        self.entity(scope.get("in").and_then(|inner| inner.get("entity")));
        let several = scope.get("entities").and_then(Value::as_array);
        for entity in several.into_iter().flatten() {
            self.entity(Some(entity));
        }
    }

    fn entity(&mut self, entity: Option<&Value>) {
        let part = |name| entity.and_then(|entity| entity.get(name)).and_then(Value::as_str);
        if let (Some(kind), Some(name)) = (part("type"), part("id")) {
            self.names.insert((kind.to_owned(), name.to_owned()));
        }
    }

    /// The depth is bounded by what is parsed at all.
    fn expression(&mut self, expression: &Value) {
        match expression {
            Value::Array(parts) => parts.iter().for_each(|part| self.expression(part)),
            Value::Object(node) => {
                for (operator, operands) in node {
                    self.node(operator, operands);
                }
            }
            _ => {}
        }
    }

    fn node(&mut self, operator: &str, operands: &Value) {
        match operator {
            "Value" => return self.constant(operands),
            "." | "has" => {
                if let Some(attribute) = operands.get("attr").and_then(Value::as_str) {
                    self.attributes.insert(attribute.to_owned());
                    let variable = operands.get("left").and_then(|left| left.get("Var"));
                    if let Some(variable) = variable.and_then(Value::as_str)
                        && operator == "has"
                    {
                        self.asked.insert((variable.to_owned(), attribute.to_owned()));
                    }
                }
            }
            _ => self.compare(operands),
        }
        self.matches |= operator == "like";
        self.calculates |= CALCULATING.contains(&operator);
        match operands {
            Value::Object(parts) => parts.values().for_each(|part| self.expression(part)),
            other => self.expression(other),
        }
    }

    fn constant(&mut self, value: &Value) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| self.constant(value)),
            Value::Object(object) => self.entity(object.get("__entity")),
            _ => {}
        }
    }

    /// Notes constants under the attributes they stand beside in one operation.
    fn compare(&mut self, operands: &Value) {
        let sides: Vec<&Value> = match operands {
            Value::Object(parts) => parts.values().collect(),
            Value::Array(parts) => parts.iter().collect(),
            _ => return,
        };
        let accesses = sides.iter().filter_map(|side| side.get("."));
        let names = accesses
            .filter_map(|access| access.get("attr"))
            .filter_map(Value::as_str);
        let mut names: BTreeSet<String> = names.map(str::to_owned).collect();
        for one in &names {
            let others = names.iter().filter(|other| *other != one);
            self.pairs
                .extend(others.map(|other| (one.clone(), other.clone())));
        }
        if names.is_empty() {
            names.insert(String::new());
        }
        let mut found = BTreeSet::new();
        sides.iter().for_each(|side| samples(side, &mut found));
        if found.is_empty() {
            return;
        }
        for name in names {
            self.samples
                .entry(name)
                .or_default()
                .extend(found.iter().cloned());
        }
    }
}

/// How many operations lie within each other.
fn depth(expression: &Value) -> usize {
    let deepest = |parts: &mut dyn Iterator<Item = &Value>| parts.map(depth).max().unwrap_or(0);
    match expression {
        Value::Array(parts) => deepest(&mut parts.iter()),
        Value::Object(node) if node.contains_key("Value") || node.contains_key("Var") => 0,
        // An operation is an object in an object: its name, then its operands.
        Value::Object(node) => {
            let operands = node.values().flat_map(|operands| match operands {
                Value::Object(operands) => operands.values().collect::<Vec<_>>(),
                other => vec![other],
            });
            1 + deepest(&mut operands.into_iter())
        }
        _ => 0,
    }
}

fn samples(side: &Value, found: &mut BTreeSet<Sample>) {
    if let Some(value) = side.get("Value") {
        scalars(value, found);
    }
    let elements = side.get("Set").and_then(Value::as_array);
    elements
        .into_iter()
        .flatten()
        .for_each(|element| samples(element, found));
    let instant = side.get("datetime").and_then(|arguments| arguments.get(0));
    if let Some(text) = instant
        .and_then(|argument| argument.get("Value"))
        .and_then(Value::as_str)
    {
        found.insert(Sample::Instant(text.to_owned()));
    }
    // A pattern of `like` comes as an array of wildcards and texts: one text that it matches.
    if let Some(parts) = side.as_array() {
        let literal = |part: &Value| part.get("Literal").and_then(Value::as_str).map(str::to_owned);
        let text: String = parts
            .iter()
            .map(|part| literal(part).unwrap_or_else(|| "x".to_owned()))
            .collect();
        found.insert(Sample::Text(text));
    }
}

fn scalars(value: &Value, found: &mut BTreeSet<Sample>) {
    match value {
        Value::String(text) => drop(found.insert(Sample::Text(text.clone()))),
        Value::Number(number) => found.extend(number.as_i64().map(Sample::Number)),
        Value::Array(values) => values.iter().for_each(|value| scalars(value, found)),
        _ => {}
    }
}
