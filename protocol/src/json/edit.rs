//! Takes values out of a JSON text, or puts others in their place, and leaves every other byte as it
//! was: what was not touched is not written anew.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Json;

/// What becomes of one value. Places are numbers: the nth member of an object, the nth element of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    /// It goes, and its key with it.
    Strike,
    /// This JSON text takes its place.
    Replace(String),
    /// Something inside it changes.
    Within(Edits),
}

/// What becomes of the members of an object or the elements of a list; those not named stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edits(BTreeMap<usize, Edit>);

impl Edits {
    /// No changes.
    pub(crate) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Whether nothing changes.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The places that change, rising.
    pub(crate) fn touched(&self) -> impl Iterator<Item = usize> {
        self.0.keys().copied()
    }

    /// What becomes of the value at one place.
    pub(crate) fn get(&self, place: usize) -> Option<&Edit> {
        self.0.get(&place)
    }

    /// Whether the value at one place goes.
    pub(crate) fn strikes(&self, place: usize) -> bool {
        self.get(place) == Some(&Edit::Strike)
    }

    /// Sets what becomes of the value at a path of places; whether that changed anything. Nothing is
    /// set inside what goes or was replaced, and what goes does not come back.
    pub(crate) fn set(&mut self, path: &[usize], edit: Edit) -> bool {
        let Some((place, rest)) = path.split_first() else {
            return false;
        };
        if rest.is_empty() {
            if self.strikes(*place) || self.get(*place) == Some(&edit) {
                return false;
            }
            self.0.insert(*place, edit);
            return true;
        }
        match self.0.get_mut(place) {
            Some(Edit::Within(inner)) => inner.set(rest, edit),
            Some(_) => false,
            None => {
                let mut inner = Self::default();
                let changed = inner.set(rest, edit);
                self.0.insert(*place, Edit::Within(inner));
                changed
            }
        }
    }

    /// Strikes what would be left empty, since STIX knows no empty lists and dictionaries (section 3.2),
    /// and what `whole` says is nothing without what was struck in it.
    pub(crate) fn settle(&mut self, json: &Json<'_>, whole: &dyn Fn(&str, &str) -> bool) {
        self.settle_in(json, "", whole);
    }

    fn settle_in(&mut self, json: &Json<'_>, name: &str, whole: &dyn Fn(&str, &str) -> bool) {
        for (place, edit) in &mut self.0 {
            let Edit::Within(inner) = edit else { continue };
            // The elements of a list go by the list's name.
            let (value, name) = match json {
                Json::Array(elements) => (elements.get(*place), name),
                Json::Object(members) => match members.get(*place) {
                    Some((key, value)) => (Some(value), key.as_ref()),
                    None => (None, name),
                },
                _ => (None, name),
            };
            let Some(value) = value else { continue };
            inner.settle_in(value, name, whole);
            let count = match value {
                Json::Array(elements) => elements.len(),
                Json::Object(members) => members.len(),
                _ => 0,
            };
            let struck = inner.0.iter().filter(|(_, edit)| **edit == Edit::Strike);
            let broken = struck.clone().any(|(place, _)| {
                let members = value.as_object().unwrap_or_default();
                members.get(*place).is_some_and(|(key, _)| whole(name, key))
            });
            if broken || struck.count() == count {
                *edit = Edit::Strike;
            }
        }
    }

    /// The text with these changes. `text` is the JSON that the places were counted in.
    pub(crate) fn apply(&self, text: &str) -> String {
        let mut writer = Writer {
            text,
            out: String::with_capacity(text.len()),
        };
        let start = skip_space(text, 0);
        writer.copy(0..start);
        let end = writer.container(start, self);
        writer.copy(end..text.len());
        writer.out
    }
}

/// A string as JSON writes it.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

struct Writer<'t> {
    text: &'t str,
    out: String,
}

impl Writer<'_> {
    fn copy(&mut self, range: Range<usize>) {
        self.out.push_str(self.text.get(range).unwrap_or_default());
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    /// Writes the list or object that starts at `start`; where it ends.
    fn container(&mut self, start: usize, edits: &Edits) -> usize {
        let object = self.byte(start) == Some(b'{');
        self.copy(start..start + 1);
        let mut place = 0;
        let mut kept = false;
        // Behind what was last read: the opening bracket, or an element.
        let mut behind = start + 1;
        loop {
            let mut at = skip_space(self.text, behind);
            match self.byte(at) {
                None | Some(b']' | b'}') => {
                    self.copy(behind..at + 1);
                    return at + 1;
                }
                Some(b',') => at = skip_space(self.text, at + 1),
                Some(_) => {}
            }
            let (gap, element) = (behind..at, at);
            let value = if object {
                let colon = skip_space(self.text, skip_value(self.text, element));
                skip_space(self.text, colon + 1)
            } else {
                element
            };
            let end = skip_value(self.text, value);
            let edit = edits.get(place);
            if edit != Some(&Edit::Strike) {
                // The first that is kept has no comma before it.
                let gap = if kept || place == 0 {
                    gap
                } else {
                    after_comma(self.text, gap)
                };
                self.copy(gap);
                self.copy(element..value);
                kept = true;
            }
            match edit {
                Some(Edit::Strike) => {}
                Some(Edit::Replace(text)) => self.out.push_str(text),
                Some(Edit::Within(inner)) => {
                    self.container(value, inner);
                }
                None => self.copy(value..end),
            }
            behind = end;
            place += 1;
        }
    }
}

/// What of the gap between two elements lies behind its comma.
fn after_comma(text: &str, gap: Range<usize>) -> Range<usize> {
    let comma = text.get(gap.clone()).and_then(|gap| gap.find(','));
    comma.map_or(gap.clone(), |comma| gap.start + comma + 1..gap.end)
}

fn skip_space(text: &str, from: usize) -> usize {
    let rest = text.as_bytes().get(from..).unwrap_or_default();
    let space = rest
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    from + space.count()
}

/// Behind the value that starts at `from`, of a text known to be JSON.
fn skip_value(text: &str, from: usize) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (from, 0usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = skip_string(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            _ => {
                let word = bytes.get(at..).unwrap_or_default().iter();
                at += word
                    .take_while(|b| !matches!(b, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r'))
                    .count();
            }
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

/// Behind the string whose quote is at `from`.
fn skip_string(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    loop {
        match bytes.get(at) {
            Some(b'\\') => at += 2,
            Some(b'"') => return at + 1,
            Some(_) => at += 1,
            None => return bytes.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, edits: &[(&[usize], Edit)]) -> String {
        let mut set = Edits::default();
        for (path, edit) in edits {
            assert!(set.set(path, edit.clone()));
        }
        set.settle(&Json::parse(text).unwrap(), &|_, _| false);
        set.apply(text)
    }

    #[test]
    fn what_is_not_touched_keeps_every_byte() {
        let text =
            "{ \"a\" : 1.0e0,\n  \"b\":[1 , \"x\\\"]\" ,3],\t\"c\":{\"d\":{\"e\":\"}\"}}, \"f\" : null }";
        let strike = || Edit::Strike;
        assert_eq!(
            edited(text, &[(&[0], strike())]),
            "{\n  \"b\":[1 , \"x\\\"]\" ,3],\t\"c\":{\"d\":{\"e\":\"}\"}}, \"f\" : null }"
        );
        assert_eq!(
            edited(text, &[(&[1, 0], strike()), (&[3], strike())]),
            "{ \"a\" : 1.0e0,\n  \"b\":[ \"x\\\"]\" ,3],\t\"c\":{\"d\":{\"e\":\"}\"}} }"
        );
        assert_eq!(
            edited(text, &[(&[1, 1], Edit::Replace(quoted("q\"")))]),
            text.replace("x\\\"]", "q\\\"")
        );
        // What would be empty goes, up to the first thing that is left.
        assert_eq!(
            edited(
                text,
                &[
                    (&[2, 0, 0], strike()),
                    (&[1, 0], strike()),
                    (&[1, 1], strike()),
                    (&[1, 2], strike())
                ]
            ),
            "{ \"a\" : 1.0e0, \"f\" : null }"
        );
        let all: Vec<(&[usize], Edit)> = vec![
            (&[0], strike()),
            (&[1], strike()),
            (&[2], strike()),
            (&[3], strike()),
        ];
        assert_eq!(edited(text, &all), "{ }");
    }

    #[test]
    fn what_goes_does_not_come_back() {
        let mut edits = Edits::default();
        assert!(edits.set(&[0, 1], Edit::Replace("1".into())));
        assert!(edits.set(&[0], Edit::Strike));
        assert!(!edits.set(&[0, 1], Edit::Replace("2".into())));
        assert!(!edits.set(&[0], Edit::Replace("2".into())));
        assert_eq!(edits.apply("[[1,2],3]"), "[3]");
    }
}
