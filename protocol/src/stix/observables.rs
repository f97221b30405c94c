//! Which observables an object names.

use std::collections::BTreeSet;

use super::members;
use crate::json::Json;
use crate::limits;
use crate::observable::{Observable, ObservableError, ObservableKind};
use crate::pattern::{Comparison, Operator, Path, Pattern, Step, Value};

/// The observables of `object`, each once, in the order found.
pub(super) fn of(object: &Json<'_>) -> Vec<Observable> {
    let mut found = Found::default();
    found.object(object);
    if text(object, "type") == Some("observed-data") {
        // The older form of observed data holds its objects inside, under local names.
        for (_, inner) in object.get("objects").map(members).unwrap_or_default() {
            found.object(inner);
        }
    }
    found.list
}

fn text<'j>(object: &'j Json<'_>, property: &str) -> Option<&'j str> {
    object.get(property).and_then(Json::as_str)
}

#[derive(Default)]
struct Found {
    list: Vec<Observable>,
    seen: BTreeSet<Observable>,
}

impl Found {
    /// Keeps what could be read; what could not is no observable, and the object is kept all the same.
    fn add(&mut self, observable: Result<Observable, ObservableError>) {
        if let Ok(observable) = observable
            && self.list.len() < limits::OBSERVABLES
            && self.seen.insert(observable.clone())
        {
            self.list.push(observable);
        }
    }

    fn object(&mut self, object: &Json<'_>) {
        match text(object, "type") {
            Some("indicator") => self.indicator(object),
            Some("file" | "artifact" | "x509-certificate") => self.hashes(object),
            Some(kind) => {
                if let (Some(kind), Some(value)) = (kind_of_type(kind), text(object, "value")) {
                    self.add(Observable::of_kind(kind, value));
                }
            }
            None => {}
        }
    }

    fn hashes(&mut self, object: &Json<'_>) {
        for (name, value) in object.get("hashes").map(members).unwrap_or_default() {
            if let (Some(kind), Some(value)) = (kind_of_hash(name), value.as_str()) {
                self.add(Observable::of_kind(kind, value));
            }
        }
    }

    fn indicator(&mut self, object: &Json<'_>) {
        if text(object, "pattern_type") != Some("stix") {
            return;
        }
        let pattern = text(object, "pattern").map(Pattern::parse);
        let Some(Ok(pattern)) = pattern else { return };
        for comparison in pattern.comparisons() {
            if self.list.len() >= limits::OBSERVABLES {
                return;
            }
            self.comparison(comparison);
        }
    }

    fn comparison(&mut self, comparison: &Comparison<'_>) {
        let Some(target) = Target::of(&comparison.path) else {
            return;
        };
        let taken = match comparison.operator {
            Operator::Equal | Operator::In => true,
            Operator::IsSubset => target.is_address(),
            _ => false,
        };
        if comparison.negated || !taken {
            return;
        }
        for value in &comparison.values {
            if let Value::Text(value) = value {
                self.add(target.read(value));
            }
        }
    }
}

/// What a property holds.
#[derive(Clone, Copy)]
enum Target {
    /// An observable of this kind.
    Kind(ObservableKind),
    /// An address or a host name.
    Host,
}

impl Target {
    fn of(path: &Path<'_>) -> Option<Self> {
        let mut back = path.steps.iter().rev();
        let Some(Step::Property(last)) = back.next() else {
            return None;
        };
        let before = back.find_map(|step| match step {
            Step::Property(name) => Some(name.as_ref()),
            Step::Index(_) | Step::Any => None,
        });
        match (before, last.as_ref()) {
            (None, "value") => kind_of_type(path.object).map(Self::Kind),
            (Some("src_ref" | "dst_ref" | "resolves_to_refs"), "value") => Some(Self::Host),
            (Some("from_ref" | "sender_ref" | "to_refs" | "cc_refs" | "bcc_refs"), "value") => {
                Some(Self::Kind(ObservableKind::Email))
            }
            (Some("hashes"), name) => kind_of_hash(name).map(Self::Kind),
            _ => None,
        }
    }

    const fn is_address(self) -> bool {
        matches!(
            self,
            Self::Host | Self::Kind(ObservableKind::Ipv4 | ObservableKind::Ipv6)
        )
    }

    fn read(self, value: &str) -> Result<Observable, ObservableError> {
        match self {
            Self::Kind(kind) => Observable::of_kind(kind, value),
            Self::Host => Observable::host_of(value),
        }
    }
}

/// The kind of the `value` of an observable object.
fn kind_of_type(kind: &str) -> Option<ObservableKind> {
    match kind {
        "ipv4-addr" => Some(ObservableKind::Ipv4),
        "ipv6-addr" => Some(ObservableKind::Ipv6),
        "domain-name" => Some(ObservableKind::Domain),
        "url" => Some(ObservableKind::Url),
        "email-addr" => Some(ObservableKind::Email),
        _ => None,
    }
}

/// The kind of a hash by its name in a hashes dictionary (STIX 2.1, section 10.6), in any case and
/// with or without its hyphen, as tools write it.
fn kind_of_hash(name: &str) -> Option<ObservableKind> {
    let is = |wanted: &str| {
        let letters = name.bytes().filter(|b| !matches!(b, b'-' | b'_'));
        letters.map(|b| b.to_ascii_lowercase()).eq(wanted.bytes())
    };
    [
        ("md5", ObservableKind::Md5),
        ("sha1", ObservableKind::Sha1),
        ("sha256", ObservableKind::Sha256),
        ("sha512", ObservableKind::Sha512),
    ]
    .into_iter()
    .find_map(|(wanted, kind)| is(wanted).then_some(kind))
}
