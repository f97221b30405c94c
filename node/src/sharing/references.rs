//! Objects that a publication refers to and does not hold: who may know of them.

use std::collections::{BTreeMap, BTreeSet};

use hanse_protocol::audience::Audience;
use hanse_protocol::identity::Handle;
use hanse_protocol::json::Json;
use hanse_protocol::stix::Object;

/// Deepest that references are looked for in an object; JSON itself is no deeper than its limit.
const DEEPEST: usize = hanse_protocol::limits::JSON_DEPTH;

/// Knows objects that were published before or came from others.
pub(crate) trait Elsewhere {
    /// Who may know of the object with this id; `None` if nothing is known here of it.
    fn readers(&self, id: &str) -> Option<Audience>;
}

/// The objects referred to that are not in the publication and that not everybody may know of, with who may.
pub(crate) fn restricted(
    objects: &[Object<'_>],
    elsewhere: &dyn Elsewhere,
) -> BTreeMap<String, BTreeSet<Handle>> {
    let here: BTreeSet<&str> = objects.iter().map(Object::id).collect();
    let mut named = BTreeSet::new();
    for object in objects {
        collect(object.json(), DEEPEST, &mut |id| {
            if !here.contains(id) {
                named.insert(id.to_owned());
            }
        });
    }
    let readers = |id: String| match elsewhere.readers(&id)? {
        Audience::Community => None,
        Audience::Members(members) => Some((id, members)),
    };
    named.into_iter().filter_map(readers).collect()
}

/// Finds what `*_ref` and `*_refs` name (STIX 2.1 section 2.9).
fn collect(json: &Json<'_>, depth: usize, found: &mut impl FnMut(&str)) {
    if depth == 0 {
        return;
    }
    match json {
        Json::Object(members) => {
            for (key, value) in members {
                if key == "object_marking_refs" {
                    continue;
                }
                if key.ends_with("_ref") && key != "marking_ref" {
                    value.as_str().into_iter().for_each(&mut *found);
                }
                if key.ends_with("_refs") {
                    let list = value.as_array().unwrap_or_default();
                    list.iter().filter_map(Json::as_str).for_each(&mut *found);
                }
                collect(value, depth - 1, found);
            }
        }
        Json::Array(elements) => {
            for element in elements {
                collect(element, depth - 1, found);
            }
        }
        _ => {}
    }
}
