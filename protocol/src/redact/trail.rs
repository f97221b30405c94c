//! The way from an object down to one of its values.

use std::borrow::Cow;

use crate::json::{Json, Step};

/// Where a value is: as numbers for an edit, and as names for people.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail<'j> {
    places: Vec<usize>,
    steps: Vec<Step<'j>>,
}

impl<'j> Trail<'j> {
    /// The place of each step: the nth member, the nth element.
    pub(super) fn places(&self) -> &[usize] {
        &self.places
    }

    /// The key at a depth, if there is one: 0 is the property of the object itself.
    pub(super) fn key_at(&self, depth: usize) -> Option<&str> {
        match self.steps.get(depth) {
            Some(Step::Key(key)) => Some(key),
            _ => None,
        }
    }

    /// The property of the object itself.
    pub(super) fn property(&self) -> &str {
        self.key_at(0).unwrap_or_default()
    }

    /// The keys on the way, from the object down.
    pub(super) fn keys(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.steps.iter().filter_map(|step| match step {
            Step::Key(key) => Some(key.as_ref()),
            Step::Index(_) => None,
        })
    }

    /// The nearest key above the value.
    pub(super) fn key(&self) -> &str {
        self.keys().next_back().unwrap_or_default()
    }

    /// How many steps it has.
    pub(super) fn depth(&self) -> usize {
        self.steps.len()
    }

    /// The key of its last step, if that is not the place in a list.
    pub(super) fn last_key(&self) -> Option<&'j str> {
        match self.steps.last() {
            Some(Step::Key(Cow::Borrowed(key))) => Some(key),
            _ => None,
        }
    }

    fn push(&mut self, place: usize, step: Step<'j>) {
        self.places.push(place);
        self.steps.push(step);
    }

    fn pop(&mut self) {
        self.places.pop();
        self.steps.pop();
    }

    /// Shows every value under `json` to `visit`, which says whether to go inside. The depth of JSON is
    /// bounded, and so is this.
    pub(super) fn walk(&mut self, json: &'j Json<'_>, visit: &mut dyn FnMut(&Self, &'j Json<'_>) -> bool) {
        match json {
            Json::Object(members) => {
                for (place, (key, value)) in members.iter().enumerate() {
                    self.push(place, Step::Key(Cow::Borrowed(key)));
                    if visit(self, value) {
                        self.walk(value, visit);
                    }
                    self.pop();
                }
            }
            Json::Array(elements) => {
                for (place, value) in elements.iter().enumerate() {
                    self.push(place, Step::Index(place));
                    if visit(self, value) {
                        self.walk(value, visit);
                    }
                    self.pop();
                }
            }
            _ => {}
        }
    }
}

/// Shows every value of an object to `visit`, which says whether to go inside.
pub(super) fn walk<'j>(json: &'j Json<'_>, visit: &mut dyn FnMut(&Trail<'j>, &'j Json<'_>) -> bool) {
    Trail::default().walk(json, visit);
}

/// Steps as people read them: `external_references[0].url`.
pub(super) fn spelt(steps: &[Step<'_>]) -> String {
    let path: String = steps.iter().map(ToString::to_string).collect();
    path.strip_prefix('.').map(str::to_owned).unwrap_or(path)
}
