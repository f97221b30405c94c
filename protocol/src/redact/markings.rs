//! Granular markings (STIX 2.1, section 7.2.3): which parts they mark, and what becomes of them when
//! parts go.

use super::alone::KEPT;
use super::work::Work;
use super::{DropReason, Why};
use crate::json::Json;
use crate::json::edit::quoted;
use crate::tlp::Tlp;

/// One granular marking: where it is, and what it says.
struct Part<'o> {
    /// The place of `granular_markings`, and this one's place in it.
    places: [usize; 2],
    tlp: Option<Tlp>,
    /// The place of `selectors`, and the list; `None` if there is none.
    selectors: Option<(usize, &'o [Json<'o>])>,
}

fn parts<'o>(json: &'o Json<'o>) -> Vec<Part<'o>> {
    let members = json.as_object().unwrap_or_default();
    let property = members
        .iter()
        .position(|(key, value)| key == "granular_markings" && value.as_array().is_some());
    let list = json.get("granular_markings").and_then(Json::as_array);
    let (Some(property), Some(list)) = (property, list) else {
        return Vec::new();
    };
    let part = |(place, part): (usize, &'o Json<'o>)| {
        let members = part.as_object().unwrap_or_default();
        let selectors = members.iter().position(|(key, _)| key == "selectors");
        Part {
            places: [property, place],
            tlp: part
                .get("marking_ref")
                .and_then(Json::as_str)
                .map(Tlp::of_marking),
            selectors: selectors.zip(part.get("selectors").and_then(Json::as_array)),
        }
    };
    list.iter().enumerate().map(part).collect()
}

/// Strikes the parts that are marked more strictly than `allowed`, and those markings, which would tell
/// of them.
pub(super) fn strike_stricter(work: &mut Work<'_>, allowed: Tlp) -> Result<(), DropReason> {
    let json = work.object().json();
    for part in parts(json) {
        let Some(tlp) = part.tlp.filter(|tlp| *tlp > allowed) else {
            continue;
        };
        let path = work.path(&part.places);
        // A part that cannot be found cannot be kept back.
        let (_, selectors) = part.selectors.ok_or_else(|| DropReason::Marking(path.clone()))?;
        let why = Why::Marking(tlp);
        for selector in selectors {
            let found = selector.as_str().map(|selector| resolve(json, selector));
            let found = found.unwrap_or_default();
            if found.is_empty() {
                return Err(DropReason::Marking(path));
            }
            for places in found {
                let property = places
                    .first()
                    .map(|place| work.path(&[*place]))
                    .unwrap_or_default();
                // Without its markings it would be freer than it is.
                if KEPT.contains(&property.as_str()) {
                    return Err(DropReason::Kept(property));
                }
                work.strike(&places, why.clone());
            }
        }
        work.strike(&part.places, why);
    }
    Ok(())
}

/// Takes out of the markings that are left what marks nothing any more, and counts the elements of lists
/// anew where some before them went.
pub(super) fn follow(work: &mut Work<'_>) {
    let json = work.object().json();
    for part in parts(json) {
        let Some((property, selectors)) = part.selectors else {
            continue;
        };
        for (number, selector) in selectors.iter().enumerate() {
            let Some(text) = selector.as_str() else { continue };
            let found = resolve(json, text);
            if found.is_empty() {
                continue;
            }
            let [list, place] = part.places;
            let here = [list, place, property, number];
            let left = found.iter().find(|places| !work.is_struck(places));
            match left.map(|places| respelt(work, json, places)) {
                None => work.strike(&here, Why::About),
                Some(Some(moved)) if moved != text => {
                    work.replace(&here, quoted(&moved), Why::About);
                }
                Some(_) => {}
            }
        }
    }
}

/// The values that a selector names, as paths of places. Keys that hold a dot themselves are found, too;
/// where a selector can be read in two ways, both are meant.
fn resolve(json: &Json<'_>, selector: &str) -> Vec<Vec<usize>> {
    let mut found = Vec::new();
    descend(json, selector, &mut Vec::new(), &mut found);
    found
}

fn descend(json: &Json<'_>, selector: &str, path: &mut Vec<usize>, found: &mut Vec<Vec<usize>>) {
    match json {
        Json::Object(members) => {
            for (place, (key, value)) in members.iter().enumerate() {
                let Some(rest) = selector.strip_prefix(key.as_ref()) else {
                    continue;
                };
                path.push(place);
                onwards(value, rest, path, found);
                path.pop();
            }
        }
        Json::Array(elements) => {
            let index = selector.strip_prefix('[').and_then(|rest| rest.split_once(']'));
            let Some((number, rest)) = index else { return };
            let Some((place, value)) = number
                .parse::<usize>()
                .ok()
                .and_then(|place| Some((place, elements.get(place)?)))
            else {
                return;
            };
            path.push(place);
            onwards(value, rest, path, found);
            path.pop();
        }
        _ => {}
    }
}

/// Goes on behind a key or an index: the selector ends there, or a dot follows. Before an index some
/// leave it out.
fn onwards(value: &Json<'_>, rest: &str, path: &mut Vec<usize>, found: &mut Vec<Vec<usize>>) {
    if rest.is_empty() {
        found.push(path.clone());
    } else if let Some(rest) = rest.strip_prefix('.') {
        descend(value, rest, path, found);
    } else if rest.starts_with('[') {
        descend(value, rest, path, found);
    }
}

/// The selector of a value in the text without what is struck; `None` if it stays as it is.
fn respelt(work: &Work<'_>, json: &Json<'_>, places: &[usize]) -> Option<String> {
    let mut here = json;
    let mut selector = String::new();
    let mut moved = false;
    for (depth, place) in places.iter().enumerate() {
        if depth > 0 {
            selector.push('.');
        }
        match here {
            Json::Object(members) => {
                let (key, value) = members.get(*place)?;
                selector.push_str(key);
                here = value;
            }
            Json::Array(elements) => {
                let gone = work.struck_before(places.get(..depth)?, *place);
                moved |= gone > 0;
                selector.push_str(&format!("[{}]", place - gone));
                here = elements.get(*place)?;
            }
            _ => return None,
        }
    }
    moved.then_some(selector)
}

/// Whether a member cannot leave what is named `name` without that being nothing any more: external
/// references (section 2.5) and kill chain phases (section 2.11) require it, and a marking marks nothing
/// without its selectors.
pub(super) fn is_vital(name: &str, key: &str) -> bool {
    matches!(
        (name, key),
        ("external_references", "source_name")
            | ("kill_chain_phases", "kill_chain_name" | "phase_name")
            | ("granular_markings", "selectors" | "marking_ref")
    )
}
