//! A whole document: a bundle, a TAXII envelope, an array of objects or a single one. It is held as
//! text; objects are ranges of it.

use std::io::Read;
use std::ops::Range;

use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::lines::reason;
use super::{DOCUMENT, Input, Item, LINE, Object, SourceError};

/// A document and what is still to be read of it.
pub(super) struct Document {
    text: String,
    objects: std::vec::IntoIter<Range<usize>>,
    /// How far lines were counted, and the line there.
    counted: usize,
    line: u64,
}

/// What of an object tells whether others are inside it.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    objects: Option<&'a RawValue>,
}

impl Envelope<'_> {
    fn is_bundle(&self) -> bool {
        self.kind.is_some_and(|kind| kind.get() == "\"bundle\"")
    }

    fn holds_objects(&self) -> bool {
        self.is_bundle() || (self.kind.is_none() && self.objects.is_some())
    }
}

/// What the first line of an input can be.
pub(super) enum FirstLine {
    /// An object that holds no others: the first of objects one a line, or the only one.
    Object,
    /// A document, or the beginning of one.
    Document,
    /// Nothing that a JSON document could begin with.
    Broken,
}

/// Tells what a first line is.
pub(super) fn first_line(bytes: &[u8]) -> FirstLine {
    if !bytes.starts_with(b"{") {
        return FirstLine::Document;
    }
    match serde_json::from_slice::<Envelope<'_>>(bytes) {
        Ok(envelope) if envelope.holds_objects() => FirstLine::Document,
        Ok(_) => FirstLine::Object,
        Err(error) => match error.classify() {
            // A document over several lines breaks between its parts, not within a string.
            Category::Eof => FirstLine::Document,
            Category::Data => FirstLine::Object,
            Category::Syntax | Category::Io => FirstLine::Broken,
        },
    }
}

impl Document {
    pub(super) fn read(name: &str, input: Input) -> Result<Self, SourceError> {
        let name = name.to_owned();
        let mut bytes = Vec::new();
        let limit = u64::try_from(DOCUMENT + 1).unwrap_or(u64::MAX);
        if let Err(source) = input.reader.take(limit).read_to_end(&mut bytes) {
            return Err(SourceError::Io { name, source });
        }
        if bytes.len() > DOCUMENT {
            return Err(SourceError::TooLarge { name });
        }
        let first = input.line;
        let syntax = |line: u64, reason: String| SourceError::Syntax {
            name: name.clone(),
            line,
            reason,
        };
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = error
                .as_bytes()
                .get(..error.utf8_error().valid_up_to())
                .unwrap_or_default();
            syntax(first + newlines(valid), "it is no UTF-8 text".to_owned())
        })?;
        let objects = ranges(&text).map_err(|(line, reason)| syntax(first + line, reason))?;
        Ok(Self {
            text,
            objects: objects.into_iter(),
            counted: 0,
            line: first,
        })
    }

    pub(super) fn next(&mut self) -> Option<Item> {
        let range = self.objects.next()?;
        let before = self.text.get(self.counted..range.start).unwrap_or_default();
        self.line += newlines(before.as_bytes());
        self.counted = range.start;
        let line = self.line;
        let text = self.text.get(range).unwrap_or_default();
        let bad = |reason: String| Some(Item::Bad { line, reason });
        if text.len() > LINE {
            return bad(format!("the object is larger than {} MiB", LINE >> 20));
        }
        if !text.starts_with('{') {
            return bad("it is no JSON object".to_owned());
        }
        match RawValue::from_string(text.to_owned()) {
            Ok(raw) => Some(Item::Object(Object { line, raw })),
            Err(error) => bad(reason(&error)),
        }
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.iter().filter(|byte| **byte == b'\n').count()).unwrap_or(0)
}

/// Where in the text the objects are; or after how many lines it is wrong, and why.
fn ranges(text: &str) -> Result<Vec<Range<usize>>, (u64, String)> {
    let range = |part: &str| {
        // A part that was borrowed from the text begins this far into it.
        let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        start..start.saturating_add(part.len())
    };
    let array = |part: &str| -> Result<Vec<Range<usize>>, (u64, String)> {
        let base = range(part).start;
        let objects: Vec<&RawValue> = serde_json::from_str(part).map_err(|error| {
            let before = newlines(text.as_bytes().get(..base).unwrap_or_default());
            let (lines, told) = wrong(&error);
            (before + lines, told)
        })?;
        // The array was parsed as part of the text, so its items lie in the text as well.
        Ok(objects.into_iter().map(|object| range(object.get())).collect())
    };
    match text.as_bytes().first() {
        Some(b'[') => array(text),
        Some(b'{') => {
            let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|error| wrong(&error))?;
            match envelope.objects {
                Some(objects) if envelope.holds_objects() => array(objects.get()),
                None if envelope.is_bundle() => Err((0, "the bundle has no `objects`".to_owned())),
                _ => Ok(vec![range(text.trim_end())]),
            }
        }
        Some(_) => Err((
            0,
            "neither a JSON document nor JSON objects one a line".to_owned(),
        )),
        None => Err((0, "it is empty".to_owned())),
    }
}

fn wrong(error: &serde_json::Error) -> (u64, String) {
    let lines = u64::try_from(error.line().saturating_sub(1)).unwrap_or(0);
    (lines, reason(error))
}
