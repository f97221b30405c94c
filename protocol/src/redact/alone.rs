//! What is taken out of one object by what it says itself: properties by name, parts by their marking,
//! matches in its free text, what is internal, and who a victim is.

use super::ids::Mint;
use super::text::{self, Search};
use super::trail::walk;
use super::work::Work;
use super::{DropReason, Redaction, Sight, Why, markings, victims};
use crate::json::Json;
use crate::json::edit::quoted;
use crate::pattern::{Pattern, Step, Value};
use crate::redact::internal::Internal;
use crate::stix::Object;

/// Properties without which an object is no object, or another one, or freer: it does not go without.
pub(super) const KEPT: [&str; 8] = [
    "type",
    "id",
    "spec_version",
    "created",
    "modified",
    "revoked",
    "object_marking_refs",
    "granular_markings",
];

/// What is left of a victim that appears under a pseudonym, beside its new name.
const FACELESS: [&str; 13] = [
    "type",
    "id",
    "spec_version",
    "created",
    "modified",
    "created_by_ref",
    "revoked",
    "confidence",
    "lang",
    "identity_class",
    "sectors",
    "object_marking_refs",
    "granular_markings",
];

/// Takes out of an object what it says itself. `pseudonym` is given with a victim that is to have one.
pub(super) fn cut<'o>(
    object: &'o Object<'o>,
    sight: &Sight<'_>,
    search: &Search<'_>,
    pseudonym: Option<&Mint>,
) -> Result<Work<'o>, DropReason> {
    let mut work = Work::new(object);
    let Sight { parts, redaction } = sight;
    properties(&mut work, redaction)?;
    if object.strictest_part().is_some_and(|part| part > *parts) {
        markings::strike_stricter(&mut work, *parts)?;
    }
    if let Some(mint) = pseudonym {
        unname(&mut work, mint);
    }
    if redaction.victims || redaction.pseudonyms {
        traces(&mut work, redaction);
    }
    if !search.is_empty() {
        itself(object, search)?;
        inner(&mut work, search);
        free_text(&mut work, search);
    }
    Ok(work)
}

fn members<'o>(object: &'o Object<'o>) -> impl Iterator<Item = (usize, &'o str, &'o Json<'o>)> {
    let members = object.json().as_object().unwrap_or_default();
    members
        .iter()
        .enumerate()
        .map(|(place, (key, value))| (place, key.as_ref(), value))
}

/// Strikes the properties that the redaction names, and their translations in language content.
fn properties(work: &mut Work<'_>, redaction: &Redaction) -> Result<(), DropReason> {
    if redaction.properties.is_empty() {
        return Ok(());
    }
    for (place, key, _) in members(work.object()) {
        if redaction.properties.contains(key) {
            if KEPT.contains(&key) {
                return Err(DropReason::Kept(key.to_owned()));
            }
            work.strike(&[place], Why::Property);
        }
    }
    translations(
        work,
        &|property| redaction.properties.contains(property),
        &Why::Property,
    );
    Ok(())
}

/// Strikes the translations of some properties, if the object is language content (section 7.1).
pub(super) fn translations(work: &mut Work<'_>, of: &dyn Fn(&str) -> bool, why: &Why) {
    let object = work.object();
    if object.kind() != "language-content" {
        return;
    }
    for (place, _, contents) in members(object).filter(|(_, key, _)| *key == "contents") {
        for (language, (_, translated)) in contents.as_object().unwrap_or_default().iter().enumerate() {
            let translated = translated.as_object().unwrap_or_default().iter().enumerate();
            for (property, _) in translated.filter(|(_, (key, _))| of(key)) {
                work.strike(&[place, language, property], why.clone());
            }
        }
    }
}

/// Leaves of a victim what many have in common, and gives it another name.
fn unname(work: &mut Work<'_>, mint: &Mint) {
    let object = work.object();
    for (place, key, _) in members(object) {
        if key == "name" {
            work.replace(&[place], quoted(&mint.name(object.id())), Why::Pseudonym);
        } else if !FACELESS.contains(&key) {
            work.strike(&[place], Why::Victim);
        }
    }
}

/// Strikes what tells of victims beside references to them: where something was seen, and properties
/// that are about victims by their name.
fn traces(work: &mut Work<'_>, redaction: &Redaction) {
    let object = work.object();
    for (place, key, value) in members(object) {
        if object.kind() == "sighting" && key == "where_sighted_refs" {
            if !redaction.pseudonyms {
                work.strike(&[place], Why::Victim);
                continue;
            }
            for (number, element) in value.as_array().unwrap_or_default().iter().enumerate() {
                // A place tells who was there; identities get their pseudonyms.
                if !element.as_str().is_some_and(|id| id.starts_with("identity--")) {
                    work.strike(&[place, number], Why::Victim);
                }
            }
        } else if victims::is_victim(key) {
            let refers = key.ends_with("_ref") || key.ends_with("_refs");
            if !(refers && redaction.pseudonyms) {
                work.strike(&[place], Why::Victim);
            }
        }
    }
}

fn refusal(why: Why, path: &str) -> DropReason {
    let path = path.to_owned();
    match why {
        Why::Pattern(pattern) => DropReason::Pattern { path, pattern },
        Why::Victim | Why::Pseudonym => DropReason::Victim,
        _ => DropReason::Internal(path),
    }
}

/// Refuses an object that is what it is by something that would have to be taken out.
fn itself(object: &Object<'_>, search: &Search<'_>) -> Result<(), DropReason> {
    let json = object.json();
    if let Some(why) = value(json, search) {
        return Err(refusal(why, "value"));
    }
    if object.kind() != "indicator" {
        return Ok(());
    }
    let text = |property| json.get(property).and_then(Json::as_str);
    let Some(pattern) = text("pattern") else {
        return Ok(());
    };
    let why = match (text("pattern_type"), Pattern::parse(pattern)) {
        (Some("stix"), Ok(pattern)) => constants(&pattern, search),
        _ => search.matches(pattern),
    };
    why.map_or(Ok(()), |why| Err(refusal(why, "pattern")))
}

/// Why the value of an observable would have to be taken out, if it would.
fn value(json: &Json<'_>, search: &Search<'_>) -> Option<Why> {
    let value = json.get("value")?.as_str()?;
    let host = match json.get("type")?.as_str()? {
        "ipv4-addr" | "ipv6-addr" | "domain-name" => value,
        "email-addr" => value.rsplit_once('@').map_or(value, |(_, host)| host),
        "url" | "mac-addr" => "",
        _ => return None,
    };
    let internal = search.internal().is_some_and(|internal| internal.is_host(host));
    search.matches(value).or(internal.then_some(Why::Internal))
}

/// Why what a pattern looks for would have to be taken out, if it would. Hashes tell nothing.
fn constants(pattern: &Pattern<'_>, search: &Search<'_>) -> Option<Why> {
    pattern.comparisons().find_map(|comparison| {
        let path = &comparison.path;
        let is_hash = |step: &Step<'_>| matches!(step, Step::Property(name) if name == "hashes");
        if path.steps.iter().any(is_hash) {
            return None;
        }
        let is_host = |internal: &Internal, text: &str| {
            let host = matches!(path.object, "ipv4-addr" | "ipv6-addr" | "domain-name");
            (host && internal.is_host(text)) || internal.is_wildcard(text)
        };
        comparison.values.iter().find_map(|value| match value {
            Value::Text(text) => search.matches(text).or_else(|| {
                let internal = search.internal().is_some_and(|internal| is_host(internal, text));
                internal.then_some(Why::Internal)
            }),
            _ => None,
        })
    })
}

/// Strikes what an object inside observed data (the older form, section 4.14) is by something that would
/// have to be taken out, and what refers to it there.
fn inner(work: &mut Work<'_>, search: &Search<'_>) {
    let object = work.object();
    if object.kind() != "observed-data" {
        return;
    }
    for (place, _, objects) in members(object).filter(|(_, key, _)| *key == "objects") {
        let objects = objects.as_object().unwrap_or_default();
        let mut gone: Vec<&str> = Vec::new();
        for (number, (key, inner)) in objects.iter().enumerate() {
            if let Some(why) = value(inner, search) {
                work.strike(&[place, number], why);
                gone.push(key);
            }
        }
        if gone.is_empty() {
            continue;
        }
        for (number, (_, inner)) in objects.iter().enumerate() {
            let mut refs = 0;
            let mut left = 0;
            walk(inner, &mut |trail, value| {
                let refers = trail
                    .keys()
                    .any(|key| key.ends_with("_ref") || key.ends_with("_refs"));
                if let (true, Some(name)) = (refers, value.as_str()) {
                    let is_gone = gone.contains(&name);
                    if is_gone {
                        let places: Vec<usize> = [place, number]
                            .into_iter()
                            .chain(trail.places().iter().copied())
                            .collect();
                        work.strike(&places, Why::Reference);
                    }
                    if matches!(trail.property(), "src_ref" | "dst_ref") {
                        refs += 1;
                        left += usize::from(!is_gone);
                    }
                }
                true
            });
            if refs > 0 && left == 0 {
                // Traffic from nowhere to nowhere is none (section 6.12).
                work.strike(&[place, number], Why::Reference);
            }
        }
    }
}

/// Replaces what is found in free text, and strikes members whose key tells it and packed data that
/// holds it.
fn free_text(work: &mut Work<'_>, search: &Search<'_>) {
    let kind = work.object().kind();
    walk(work.object().json(), &mut |trail, value| {
        if text::is_telling(trail)
            && let Some(why) = search.matches(trail.key())
        {
            work.strike(trail.places(), why);
            return false;
        }
        if let Some(why) = packed(trail.key(), value).and_then(|packed| search.matches(&packed)) {
            work.strike(trail.places(), why);
            return false;
        }
        if let Some(found) = value.as_str()
            && text::is_free(kind, trail, found)
            && let Some((replaced, whys)) = search.replace(found)
        {
            work.replace_for(trail.places(), quoted(&replaced), whys);
        }
        true
    });
}

/// What an artifact (section 6.1) holds, as far as it is text.
fn packed(key: &str, value: &Json<'_>) -> Option<String> {
    let data = value.as_str().filter(|_| key == "payload_bin")?;
    let data = data_encoding::BASE64.decode(data.as_bytes()).ok()?;
    Some(String::from_utf8_lossy(&data).into_owned())
}
