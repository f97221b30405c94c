//! Victims: who they are, as far as a publication tells.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::Glance;
use super::ids::canonical;
use super::trail::{Trail, walk};
use crate::json::Json;
use crate::stix::{Object, type_of_id};

/// Types of relationships whose target suffers from their source.
const TARGETING: [&str; 6] = [
    "targets",
    "compromises",
    "attacks",
    "affects",
    "impacts",
    "impersonates",
];

/// Types of relationships whose source suffers from their target.
const TARGETED: [&str; 5] = [
    "targeted-by",
    "compromised-by",
    "attacked-by",
    "affected-by",
    "victim-of",
];

/// Ids of the victims that a publication names, in their canonical spelling: identities that something
/// targets, that saw something or that are said to be victims. A class of identities, such as a sector,
/// is nobody.
pub(super) fn victims<'o>(objects: &[Glance<'o, '_>]) -> BTreeSet<Cow<'o, str>> {
    let mut victims = BTreeSet::new();
    let mut classes = BTreeSet::new();
    for Glance { object, .. } in objects {
        let json = object.json();
        match object.kind() {
            "identity" => {
                if json.get("identity_class").and_then(Json::as_str) == Some("class") {
                    classes.insert(canonical(object.id()));
                }
                let mut roles = json
                    .get("roles")
                    .and_then(Json::as_array)
                    .unwrap_or_default()
                    .iter();
                if roles.any(|role| role.as_str().is_some_and(is_victim)) {
                    victims.insert(canonical(object.id()));
                }
            }
            "relationship" => victims.extend(suffering(object)),
            "sighting" => {
                let places = json.get("where_sighted_refs").and_then(Json::as_array);
                let places = places.unwrap_or_default().iter().filter_map(identity);
                victims.extend(places);
            }
            _ => {}
        }
        walk(json, &mut |trail: &Trail<'o>, value| {
            if trail.keys().any(is_victim) {
                victims.extend(identity(value));
            }
            true
        });
    }
    victims.retain(|victim| !classes.contains(victim));
    victims
}

/// Whether a word says that it is about a victim.
pub(super) fn is_victim(word: &str) -> bool {
    let mut letters = word.as_bytes().windows(6);
    letters.any(|letters| letters.eq_ignore_ascii_case(b"victim"))
}

fn identity<'o>(value: &'o Json<'o>) -> Option<Cow<'o, str>> {
    let id = value.as_str()?;
    (type_of_id(id)? == "identity").then(|| canonical(id))
}

fn suffering<'o>(relationship: &'o Object<'o>) -> Option<Cow<'o, str>> {
    let json = relationship.json();
    let kind = json.get("relationship_type")?.as_str()?.to_ascii_lowercase();
    if TARGETING.contains(&kind.as_str()) {
        identity(json.get("target_ref")?)
    } else if TARGETED.contains(&kind.as_str()) {
        identity(json.get("source_ref")?)
    } else {
        None
    }
}
