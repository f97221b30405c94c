//! What policies are told of the objects of a publication: attributes, some of which stand in other objects
//! published along with it.

use std::collections::{BTreeSet, HashMap};

use hanse_protocol::json::Json;
use hanse_protocol::observable::ObservableKind;
use hanse_protocol::stix::Object;
use hanse_protocol::tlp::Tlp;

use crate::policy::Item;

/// Most labels, phases or sectors of one object that policies are told of; what lies beyond is not looked at.
const WORDS: usize = 64;

/// Longest label, phase or sector that policies are told of, bytes.
const WORD: usize = 128;

/// Open vocabularies that sort objects of a type, told as labels (STIX 2.1 section 10).
const TYPED: [&str; 8] = [
    "indicator_types",
    "malware_types",
    "threat_actor_types",
    "infrastructure_types",
    "report_types",
    "tool_types",
    "roles",
    "labels",
];

/// The attributes of each object of a publication, in order, under these terms.
pub(crate) fn items(objects: &[Object<'_>], unmarked: Tlp, floor: Tlp) -> Vec<Item> {
    let said = Said::of(objects);
    objects
        .iter()
        .map(|object| item(object, object.tlp(unmarked, floor), &said))
        .collect()
}

/// The attributes of one object whose marking is known.
fn item(object: &Object<'_>, tlp: Tlp, said: &Said<'_>) -> Item {
    let json = object.json();
    let confidence = json.get("confidence").and_then(Json::as_i64);
    let own = matches!(object.kind(), "observed-data")
        .then(|| count(json, "number_observed"))
        .or_else(|| (object.kind() == "sighting").then(|| count(json, "count")));
    let seen = said.sightings.get(object.id()).copied().unwrap_or(0);
    Item {
        kind: object.kind().to_owned(),
        tlp,
        labels: TYPED
            .iter()
            .flat_map(|property| words(json.get(property)))
            .collect(),
        confidence: confidence.and_then(|value| u8::try_from(value).ok()),
        sightings: seen.saturating_add(own.unwrap_or(0)),
        kill_chain: phases(json),
        targets: said.targets.get(object.id()).cloned().unwrap_or_default(),
        personal_data: is_personal(object),
        revoked: object.revoked(),
    }
}

/// What objects of a publication say of each other.
struct Said<'o> {
    /// How often each was seen.
    sightings: HashMap<&'o str, u32>,
    /// The sectors each is aimed at.
    targets: HashMap<&'o str, BTreeSet<String>>,
}

impl<'o> Said<'o> {
    fn of(objects: &'o [Object<'_>]) -> Self {
        let mut said = Self {
            sightings: HashMap::new(),
            targets: HashMap::new(),
        };
        let mut sectors: Option<HashMap<&str, BTreeSet<String>>> = None;
        for object in objects {
            let json = object.json();
            let text = |property| json.get(property).and_then(Json::as_str);
            match object.kind() {
                "sighting" => {
                    if let Some(of) = text("sighting_of_ref") {
                        let seen = said.sightings.entry(of).or_default();
                        *seen = seen.saturating_add(count(json, "count"));
                    }
                }
                "relationship" if text("relationship_type") == Some("targets") => {
                    let sectors = sectors.get_or_insert_with(|| sectors_of(objects));
                    if let (Some(source), Some(target)) = (text("source_ref"), text("target_ref"))
                        && let Some(aimed) = sectors.get(target)
                    {
                        said.targets
                            .entry(source)
                            .or_default()
                            .extend(aimed.iter().cloned());
                    }
                }
                _ => {}
            }
        }
        said
    }
}

/// The sectors of each identity (STIX 2.1 section 4.5).
fn sectors_of<'o>(objects: &'o [Object<'_>]) -> HashMap<&'o str, BTreeSet<String>> {
    let identities = objects.iter().filter(|object| object.kind() == "identity");
    identities
        .map(|object| (object.id(), words(object.json().get("sectors")).collect()))
        .collect()
}

/// A count, 1 where none is given.
fn count(json: &Json<'_>, property: &str) -> u32 {
    let count = json.get(property).and_then(Json::as_i64).unwrap_or(1);
    u32::try_from(count.max(0)).unwrap_or(u32::MAX)
}

fn words(list: Option<&Json<'_>>) -> impl Iterator<Item = String> {
    let list = list.and_then(Json::as_array).unwrap_or_default();
    list.iter()
        .filter_map(Json::as_str)
        .filter(|word| word.len() <= WORD)
        .take(WORDS)
        .map(str::to_owned)
}

/// Phases as `chain:phase` (STIX 2.1 section 2.11).
fn phases(json: &Json<'_>) -> BTreeSet<String> {
    let phases = json.get("kill_chain_phases").and_then(Json::as_array);
    let name = |phase: &Json<'_>| {
        let (chain, phase) = (
            phase.get("kill_chain_name")?.as_str()?,
            phase.get("phase_name")?.as_str()?,
        );
        (chain.len() + phase.len() < WORD).then(|| format!("{chain}:{phase}"))
    };
    phases
        .unwrap_or_default()
        .iter()
        .filter_map(name)
        .take(WORDS)
        .collect()
}

/// Whether it holds data of a person, as far as its type and observables tell (GDPR article 4).
fn is_personal(object: &Object<'_>) -> bool {
    let json = object.json();
    match object.kind() {
        "email-addr" | "email-message" | "user-account" => true,
        "identity" => json.get("identity_class").and_then(Json::as_str) == Some("individual"),
        _ => object
            .observables()
            .iter()
            .any(|observable| observable.kind() == ObservableKind::Email),
    }
}
