//! What was handed in to be published: sound objects, and what is none.

use hanse_protocol::limits;
use hanse_protocol::local::RefusedObject;
use hanse_protocol::stix::Object;

/// The objects of a request that are sound, with where each stood in it.
pub(crate) struct Handed<'a> {
    /// The sound objects.
    pub(crate) objects: Vec<Object<'a>>,
    /// The place of each in the request, from 0.
    pub(crate) places: Vec<usize>,
    /// How many JSON values each has.
    pub(crate) values: Vec<usize>,
    /// What is no sound object.
    pub(crate) refused: Vec<RefusedObject>,
}

impl<'a> Handed<'a> {
    /// Reads the texts of a request.
    pub(crate) fn read(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut handed = Self {
            objects: Vec::new(),
            places: Vec::new(),
            values: Vec::new(),
            refused: Vec::new(),
        };
        for (index, raw) in texts.into_iter().enumerate() {
            let mut values = limits::JSON_VALUES;
            match Object::parse_within(raw, &mut values) {
                Ok(object) => {
                    handed.objects.push(object);
                    handed.places.push(index);
                    handed.values.push(limits::JSON_VALUES - values);
                }
                Err(error) => handed.refused.push(RefusedObject {
                    index,
                    reason: error.to_string(),
                }),
            }
        }
        handed
    }

    /// The place in the request of the sound object of this number.
    pub(crate) fn place(&self, number: usize) -> usize {
        self.places.get(number).copied().unwrap_or(number)
    }
}
