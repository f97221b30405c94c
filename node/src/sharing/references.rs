//! What objects of a publication refer to, and who may know of what is not in it.

use std::collections::{BTreeMap, BTreeSet};

use hanse_protocol::audience::Audience;
use hanse_protocol::identity::Handle;
use hanse_protocol::json::Json;
use hanse_protocol::stix::{self, Object};

/// Knows objects that were published before or came from others.
pub(crate) trait Elsewhere {
    /// Who may know of the object with this id; `None` if nothing is known here of it.
    fn readers(&self, id: &str) -> Option<Audience>;
}

/// The ids that an object names beside its own, in lower case, each with a spelling of it. Whatever looks like an
/// id is one, as for those who cut: a property of anybody's own may refer, too. Markings are no references.
pub(crate) fn named(object: &Object<'_>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let own = object.id().to_ascii_lowercase();
    collect(object.json(), hanse_protocol::limits::JSON_DEPTH, &mut |id| {
        let lower = id.to_ascii_lowercase();
        if lower != own && !lower.starts_with("marking-definition--") {
            found.entry(lower).or_insert_with(|| id.to_owned());
        }
    });
    found
}

/// The objects referred to that are not in the publication and that not everybody may know of, with who may.
pub(crate) fn restricted(
    objects: &[Object<'_>],
    named: &[BTreeMap<String, String>],
    elsewhere: &dyn Elsewhere,
) -> BTreeMap<String, BTreeSet<Handle>> {
    let here: BTreeSet<String> = objects
        .iter()
        .map(|object| object.id().to_ascii_lowercase())
        .collect();
    let all: BTreeMap<&String, &String> = named.iter().flatten().collect();
    let readers = |(id, spelt): (&String, &String)| {
        // Ids are found as they are spelt: the strictest answer of either spelling holds.
        let spellings = [id.as_str(), spelt.as_str()];
        let spellings = spellings.into_iter().collect::<BTreeSet<&str>>();
        let known = spellings
            .into_iter()
            .filter_map(|spelling| elsewhere.readers(spelling));
        let members = known.filter_map(|readers| match readers {
            Audience::Community => None,
            Audience::Members(members) => Some(members),
        });
        let members = members.reduce(|one, other| &one & &other)?;
        Some((id.clone(), members))
    };
    all.into_iter()
        .filter(|(id, _)| !here.contains(*id))
        .filter_map(readers)
        .collect()
}

/// Finds every text that looks like an id, keys included.
fn collect(json: &Json<'_>, depth: usize, found: &mut impl FnMut(&str)) {
    if depth == 0 {
        return;
    }
    match json {
        Json::Object(members) => {
            for (key, value) in members {
                if stix::is_id(key) {
                    found(key);
                }
                collect(value, depth - 1, found);
            }
        }
        Json::Array(elements) => {
            for element in elements {
                collect(element, depth - 1, found);
            }
        }
        Json::String(text) if stix::is_id(text) => found(text),
        _ => {}
    }
}
