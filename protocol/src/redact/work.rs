//! One object in the making: what is to be struck or replaced in it so far, and what it reads like then.

use std::collections::BTreeSet;

use super::{DropReason, Strike, Why, markings};
use crate::json::Json;
use crate::json::edit::{Edit, Edits};
use crate::stix::{Object, StixError};

/// One object in the making.
#[derive(Clone)]
pub(super) struct Work<'o> {
    object: &'o Object<'o>,
    edits: Edits,
    strikes: BTreeSet<Strike>,
}

impl<'o> Work<'o> {
    pub(super) const fn new(object: &'o Object<'o>) -> Self {
        Self {
            object,
            edits: Edits::new(),
            strikes: BTreeSet::new(),
        }
    }

    pub(super) const fn object(&self) -> &'o Object<'o> {
        self.object
    }

    /// Whether it is as issued.
    pub(super) fn is_untouched(&self) -> bool {
        self.edits.is_empty()
    }

    /// Strikes a value, unless something around it goes already.
    pub(super) fn strike(&mut self, places: &[usize], why: Why) {
        self.change(places, Edit::Strike, [why]);
    }

    /// Puts JSON in a value's place, unless something around it goes already.
    pub(super) fn replace(&mut self, places: &[usize], json: String, why: Why) {
        self.replace_for(places, json, [why]);
    }

    /// As [`Self::replace`], for several reasons.
    pub(super) fn replace_for(
        &mut self,
        places: &[usize],
        json: String,
        whys: impl IntoIterator<Item = Why>,
    ) {
        self.change(places, Edit::Replace(json), whys);
    }

    fn change(&mut self, places: &[usize], edit: Edit, whys: impl IntoIterator<Item = Why>) {
        if self.edits.set(places, edit) {
            let path = self.path(places);
            let strikes = whys.into_iter().map(|why| Strike {
                path: path.clone(),
                why,
            });
            self.strikes.extend(strikes);
        }
    }

    /// Whether a value goes, or something around it.
    pub(super) fn is_struck(&self, places: &[usize]) -> bool {
        let mut edits = &self.edits;
        for place in places {
            match edits.get(*place) {
                Some(Edit::Strike) => return true,
                Some(Edit::Within(inner)) => edits = inner,
                _ => return false,
            }
        }
        false
    }

    /// How many elements before one of the list at `places` go.
    pub(super) fn struck_before(&self, places: &[usize], place: usize) -> usize {
        let mut edits = &self.edits;
        for place in places {
            match edits.get(*place) {
                Some(Edit::Within(inner)) => edits = inner,
                _ => return 0,
            }
        }
        let before = edits.touched().take_while(|earlier| *earlier < place);
        before.filter(|earlier| edits.strikes(*earlier)).count()
    }

    /// The properties of the object in which something changes.
    pub(super) fn touched(&self) -> impl Iterator<Item = &'o str> {
        let members = self.object.json().as_object().unwrap_or_default();
        let places = self.edits.touched();
        places.filter_map(|place| members.get(place).map(|(key, _)| key.as_ref()))
    }

    /// A place as people read it.
    pub(super) fn path(&self, places: &[usize]) -> String {
        let mut json = self.object.json();
        let mut steps = Vec::with_capacity(places.len());
        for place in places {
            let step = match json {
                Json::Object(members) => members
                    .get(*place)
                    .map(|(key, value)| (crate::json::Step::Key(key.as_ref().into()), value)),
                Json::Array(elements) => elements
                    .get(*place)
                    .map(|value| (crate::json::Step::Index(*place), value)),
                _ => None,
            };
            let Some((step, value)) = step else { break };
            steps.push(step);
            json = value;
        }
        super::trail::spelt(&steps)
    }

    /// Brings everything else in line with what was struck: what would be empty goes, and what marks
    /// parts that went.
    pub(super) fn settle(&mut self) {
        if self.edits.is_empty() {
            return;
        }
        let json = self.object.json();
        self.edits.settle(json, &markings::is_vital);
        markings::follow(self);
        self.edits.settle(json, &markings::is_vital);
    }

    /// The text, which is a sound object, and what was struck for it.
    pub(super) fn finish(self) -> Result<(String, Vec<Strike>), DropReason> {
        let text = self.edits.apply(self.object.raw());
        match Object::parse(&text) {
            Ok(_) => Ok((text, self.strikes.into_iter().collect())),
            Err(reason) => Err(self.unsound(reason)),
        }
    }

    /// That the object cannot go without what was struck: the strike that did it, as far as can be told.
    fn unsound(self, reason: StixError) -> DropReason {
        let lacking: &[&str] = match &reason {
            StixError::Missing { property, .. } => &[property],
            StixError::MissingAll { properties, .. } => properties,
            _ => &[],
        };
        let property = |strike: &&Strike| {
            let end = strike.path.find(['.', '[']).unwrap_or(strike.path.len());
            lacking.contains(&strike.path.get(..end).unwrap_or_default())
        };
        let strike = self.strikes.iter().find(property).or(self.strikes.first());
        match strike {
            Some(strike) => DropReason::Unsound {
                strike: strike.clone(),
                reason,
            },
            None => DropReason::Kept("id".to_owned()),
        }
    }
}
