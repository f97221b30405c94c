//! What a body holds once it is opened: the objects, byte for byte as issued, how freely those without a
//! marking may be shared, and which of them are variants, something having been struck for their readers.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::limits;
use crate::tlp::Tlp;

/// An opened body: `{"unmarked":"green","floor":"clear","objects":[…]}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content<'a> {
    /// What objects without a marking count as.
    pub unmarked: Tlp,
    /// Below which none of the objects is read, whatever its marking.
    pub floor: Tlp,
    /// The objects as issued, unparsed, each at most [`limits::OBJECT`] bytes, together at most
    /// [`limits::OBJECTS`].
    pub objects: Vec<&'a str>,
    /// How much was struck out of each object before it was signed, in their order: zero as issued.
    /// Empty if all are as issued.
    pub redacted: Vec<u16>,
}

/// Why bytes are no content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// More than [`limits::CONTENT`].
    #[error("content of {bytes} bytes is over {}", limits::CONTENT)]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// No UTF-8.
    #[error("content is no UTF-8 at byte {offset}")]
    NotUtf8 {
        /// Where.
        offset: usize,
    },
    /// No JSON object, or one that breaks off.
    #[error("content is no JSON in line {line}, column {column}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 0 as `serde_json` counts.
        column: usize,
    },
    /// A key other than the four.
    #[error("content has no key `{0}`")]
    UnknownKey(String),
    /// One of the four keys occurs twice.
    #[error("content has `{0}` twice")]
    DuplicateKey(&'static str),
    /// One of the keys `unmarked`, `floor` and `objects` is missing.
    #[error("content lacks `{0}`")]
    MissingKey(&'static str),
    /// `unmarked` or `floor` is no TLP label in its one spelling, lower case, or `redacted` no list of
    /// whole numbers up to 65,535.
    #[error("`{0}` of content has an unknown value")]
    Value(&'static str),
    /// More than [`limits::OBJECTS`].
    #[error("content has over {} objects", limits::OBJECTS)]
    TooManyObjects,
    /// An object larger than [`limits::OBJECT`].
    #[error("object {index} of {bytes} bytes is over {}", limits::OBJECT)]
    ObjectTooLarge {
        /// Which, from 0.
        index: usize,
        /// Its size.
        bytes: usize,
    },
    /// `redacted` does not say of each object how much was struck.
    #[error("content has {objects} objects, and says of {counts} how much was struck")]
    RedactedCount {
        /// The objects.
        objects: usize,
        /// Those that it speaks of.
        counts: usize,
    },
    /// `redacted` is there though nothing was struck: then it is left out.
    #[error("content has `redacted` though nothing was struck")]
    NothingRedacted,
}

impl<'a> Content<'a> {
    /// Writes content. The objects are spliced in as they are, white space around them apart; each
    /// must be a JSON text, as the raw text of a [`crate::stix::Object`] is. Bounds are not checked
    /// here but by [`Content::read`] and by [`crate::compress::pack`].
    pub fn write(unmarked: Tlp, floor: Tlp, objects: &[&str]) -> Vec<u8> {
        Self::write_variants(unmarked, floor, objects, &[])
    }

    /// As [`Content::write`], with how much was struck out of each object; if that is nothing of all, as
    /// if it had not been said.
    pub fn write_variants(unmarked: Tlp, floor: Tlp, objects: &[&str], redacted: &[u16]) -> Vec<u8> {
        let room: usize = objects.iter().map(|object| object.len() + 1).sum();
        let mut content = Vec::with_capacity(room + 64);
        let (unmarked, floor) = (unmarked.name(), floor.name());
        content.extend_from_slice(format!(r#"{{"unmarked":"{unmarked}","floor":"{floor}""#).as_bytes());
        if redacted.iter().any(|count| *count > 0) {
            let counts: Vec<String> = redacted.iter().map(u16::to_string).collect();
            content.extend_from_slice(format!(r#","redacted":[{}]"#, counts.join(",")).as_bytes());
        }
        content.extend_from_slice(br#","objects":["#);
        for (index, object) in objects.iter().enumerate() {
            if index > 0 {
                content.push(b',');
            }
            content.extend_from_slice(object.trim_matches([' ', '\t', '\n', '\r']).as_bytes());
        }
        content.extend_from_slice(b"]}");
        content
    }

    /// How much was struck out of the object at a place before it was signed; zero as issued.
    pub fn redacted_at(&self, place: usize) -> u16 {
        self.redacted.get(place).copied().unwrap_or_default()
    }

    /// Reads content, finding where each object starts and ends; the objects are not looked into.
    pub fn read(bytes: &'a [u8]) -> Result<Self, ContentError> {
        if bytes.len() > limits::CONTENT {
            return Err(ContentError::TooLarge { bytes: bytes.len() });
        }
        let text = std::str::from_utf8(bytes).map_err(|error| ContentError::NotUtf8 {
            offset: error.valid_up_to(),
        })?;
        let mut refusal = None;
        let mut json = serde_json::Deserializer::from_str(text);
        let content = Whole {
            refusal: &mut refusal,
        }
        .deserialize(&mut json);
        match content.and_then(|content| json.end().map(|()| content)) {
            Ok(content) => Ok(content),
            Err(error) => Err(refusal.unwrap_or_else(|| ContentError::Syntax {
                line: error.line(),
                column: error.column(),
            })),
        }
    }
}

/// Leaves a refusal of ours where [`Content::read`] finds it, and stops the parser.
fn refuse<T, E: Error>(place: &mut Option<ContentError>, refusal: ContentError) -> Result<T, E> {
    let error = E::custom(&refusal);
    *place = Some(refusal);
    Err(error)
}

/// Reads the whole.
struct Whole<'r> {
    refusal: &'r mut Option<ContentError>,
}

impl<'a> DeserializeSeed<'a> for Whole<'_> {
    type Value = Content<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Content<'a>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Whole<'_> {
    type Value = Content<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("content")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Content<'a>, A::Error> {
        let (mut unmarked, mut floor, mut objects, mut redacted) = (None, None, None, None);
        while let Some(Key(key)) = map.next_key()? {
            match key.as_ref() {
                "unmarked" if unmarked.is_none() => {
                    unmarked = Some(label(self.refusal, "unmarked", map.next_value()?)?);
                }
                "floor" if floor.is_none() => floor = Some(label(self.refusal, "floor", map.next_value()?)?),
                "objects" if objects.is_none() => {
                    let refusal = &mut *self.refusal;
                    objects = Some(map.next_value_seed(Objects { refusal })?);
                }
                "redacted" if redacted.is_none() => {
                    let refusal = &mut *self.refusal;
                    redacted = Some(map.next_value_seed(Counts { refusal })?);
                }
                "redacted" => return refuse(self.refusal, ContentError::DuplicateKey("redacted")),
                "unmarked" => return refuse(self.refusal, ContentError::DuplicateKey("unmarked")),
                "floor" => return refuse(self.refusal, ContentError::DuplicateKey("floor")),
                "objects" => return refuse(self.refusal, ContentError::DuplicateKey("objects")),
                other => return refuse(self.refusal, ContentError::UnknownKey(limits::echo(other))),
            }
        }
        match (unmarked, floor, objects) {
            (None, ..) => refuse(self.refusal, ContentError::MissingKey("unmarked")),
            (_, None, _) => refuse(self.refusal, ContentError::MissingKey("floor")),
            (.., None) => refuse(self.refusal, ContentError::MissingKey("objects")),
            (Some(unmarked), Some(floor), Some(objects)) => {
                if let Some(refusal) = redacted
                    .as_deref()
                    .and_then(|counts| unfit(counts, objects.len()))
                {
                    return refuse(self.refusal, refusal);
                }
                Ok(Content {
                    unmarked,
                    floor,
                    objects,
                    redacted: redacted.unwrap_or_default(),
                })
            }
        }
    }
}

/// A key, borrowed unless it is written with escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads a label from its one spelling on the wire.
fn label<E: Error>(
    refusal: &mut Option<ContentError>,
    key: &'static str,
    value: &RawValue,
) -> Result<Tlp, E> {
    let name = value
        .get()
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    match Tlp::ALL.into_iter().find(|tlp| Some(tlp.name()) == name) {
        Some(tlp) => Ok(tlp),
        None => refuse(refusal, ContentError::Value(key)),
    }
}

/// Why these counts do not go with that many objects.
fn unfit(redacted: &[u16], objects: usize) -> Option<ContentError> {
    let counts = redacted.len();
    if counts != objects {
        Some(ContentError::RedactedCount { objects, counts })
    } else if redacted.iter().all(|count| *count == 0) {
        Some(ContentError::NothingRedacted)
    } else {
        None
    }
}

/// Reads how much was struck out of each object.
struct Counts<'r> {
    refusal: &'r mut Option<ContentError>,
}

impl<'a> DeserializeSeed<'a> for Counts<'_> {
    type Value = Vec<u16>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Vec<u16>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'a> Visitor<'a> for Counts<'_> {
    type Value = Vec<u16>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of counts")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<Vec<u16>, A::Error> {
        let mut counts = Vec::new();
        while let Some(count) = list.next_element::<&RawValue>()? {
            // More than that are more than there may be objects, which is told in the end.
            if counts.len() > limits::OBJECTS {
                continue;
            }
            match count.get().parse() {
                Ok(count) => counts.push(count),
                Err(_) => return refuse(self.refusal, ContentError::Value("redacted")),
            }
        }
        Ok(counts)
    }
}

/// Reads the list of objects, counting and measuring as it goes.
struct Objects<'r> {
    refusal: &'r mut Option<ContentError>,
}

impl<'a> DeserializeSeed<'a> for Objects<'_> {
    type Value = Vec<&'a str>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Vec<&'a str>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'a> Visitor<'a> for Objects<'_> {
    type Value = Vec<&'a str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<Vec<&'a str>, A::Error> {
        let mut objects = Vec::new();
        while objects.len() < limits::OBJECTS {
            let Some(object) = list.next_element::<&RawValue>()? else {
                return Ok(objects);
            };
            let object = object.get();
            if object.len() > limits::OBJECT {
                let (index, bytes) = (objects.len(), object.len());
                return refuse(self.refusal, ContentError::ObjectTooLarge { index, bytes });
            }
            objects.push(object);
        }
        match list.next_element::<IgnoredAny>()? {
            None => Ok(objects),
            Some(_) => refuse(self.refusal, ContentError::TooManyObjects),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(text: &str) -> ContentError {
        Content::read(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn what_is_no_content_is_refused_with_its_reason() {
        use ContentError::*;
        let ok = r#" {"floor":"clear","objects":[ {"a" : 1} , [] ],"unmarked":"amber+strict"} "#;
        let content = Content::read(ok.as_bytes()).unwrap();
        assert_eq!(content.objects, [r#"{"a" : 1}"#, "[]"]);
        assert_eq!((content.unmarked, content.floor), (Tlp::AmberStrict, Tlp::Clear));

        let green = r#""unmarked":"green","floor":"clear""#;
        assert_eq!(refusal(r#"{"unmarked":"white"}"#), Value("unmarked"));
        assert_eq!(refusal(r#"{"floor":7}"#), Value("floor"));
        assert_eq!(refusal(&format!("{{{green}}}")), MissingKey("objects"));
        assert_eq!(refusal(&format!("{{{green},{green}}}")), DuplicateKey("unmarked"));
        assert_eq!(refusal(r#"{"ob\u006aectz":[]}"#), UnknownKey("objectz".into()));
        assert!(matches!(
            refusal(&format!(r#"{{{green},"objects":[1,]}}"#)),
            Syntax { line: 1, .. }
        ));
        assert!(matches!(
            refusal(&format!(r#"{{{green},"objects":7}}"#)),
            Syntax { .. }
        ));
        assert!(matches!(
            refusal(&format!(r#"{{{green},"objects":[]}} x"#)),
            Syntax { .. }
        ));
        assert!(matches!(refusal("[]"), Syntax { .. }));
        assert_eq!(Content::read(b"{\"\xff\"}"), Err(NotUtf8 { offset: 2 }));
        assert!(matches!(
            Content::read(&vec![b' '; limits::CONTENT + 1]),
            Err(TooLarge { .. })
        ));
    }

    #[test]
    fn what_was_struck_is_counted_in_one_way() {
        use ContentError::*;
        let of = |redacted: &str| {
            let text =
                format!(r#"{{"unmarked":"green","floor":"clear","objects":[1,2],"redacted":{redacted}}}"#);
            Content::read(text.as_bytes()).map(|content| content.redacted)
        };
        assert_eq!(of("[0,65535]"), Ok(vec![0, 65_535]));
        assert_eq!(of("[0,0]"), Err(NothingRedacted));
        assert_eq!(
            of("[]"),
            Err(RedactedCount {
                objects: 2,
                counts: 0
            })
        );
        assert_eq!(
            of("[1]"),
            Err(RedactedCount {
                objects: 2,
                counts: 1
            })
        );
        for odd in [
            "[65536,0]",
            "[1.0,0]",
            "[1e0,0]",
            "[-0,1]",
            "[\"1\",0]",
            "[null,1]",
        ] {
            assert_eq!(of(odd), Err(Value("redacted")), "{odd}");
        }
        assert_eq!(of("[1,0],\"redacted\":[1,0]"), Err(DuplicateKey("redacted")));
        assert!(matches!(of("7"), Err(Syntax { .. })));
        // Beyond the bound they are not kept.
        let many = format!("[{}1]", "1,".repeat(2 * limits::OBJECTS));
        assert!(matches!(of(&many), Err(RedactedCount { objects: 2, .. })));
        let content = Content::write_variants(Tlp::Green, Tlp::Clear, &["1", "2"], &[0, 0]);
        assert_eq!(content, Content::write(Tlp::Green, Tlp::Clear, &["1", "2"]));
    }

    #[test]
    fn objects_are_counted_and_measured() {
        let many = |count: usize| Content::write(Tlp::Green, Tlp::Clear, &vec!["{}"; count]);
        assert_eq!(
            Content::read(&many(limits::OBJECTS)).unwrap().objects.len(),
            limits::OBJECTS
        );
        assert_eq!(
            Content::read(&many(limits::OBJECTS + 1)),
            Err(ContentError::TooManyObjects)
        );
        let large = format!("\"{}\"", "x".repeat(limits::OBJECT));
        assert_eq!(
            Content::read(&Content::write(Tlp::Green, Tlp::Clear, &["{}", &large])),
            Err(ContentError::ObjectTooLarge {
                index: 1,
                bytes: large.len()
            })
        );
        // However deep an object is nested, finding its end needs no stack.
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let content = Content::write(Tlp::Green, Tlp::Clear, &[&deep]);
        assert_eq!(Content::read(&content).unwrap().objects, [deep]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn what_was_written_is_read_to_the_byte(
            texts in prop::collection::vec((".*", ".*", "[ \n]{0,3}", -1e9..1e9f64), 0..6),
            counts in prop::collection::vec(0..3u16, 0..6),
            unmarked in prop::sample::select(&Tlp::ALL[..]),
            floor in prop::sample::select(&Tlp::ALL[..]),
        ) {
            let objects: Vec<String> = texts
                .iter()
                .map(|(key, text, space, number)| {
                    let quote = |text| serde_json::to_string(text).unwrap();
                    format!("{{{space}{}:{space}[{},{number:e}]{space}}}", quote(key), quote(text))
                })
                .collect();
            let objects: Vec<&str> = objects.iter().map(String::as_str).collect();
            let struck: Vec<u16> = counts.into_iter().take(objects.len()).collect();
            let redacted = if struck.len() == objects.len() && struck.iter().any(|count| *count > 0) {
                struck
            } else {
                Vec::new()
            };
            let bytes = Content::write_variants(unmarked, floor, &objects, &redacted);
            prop_assert_eq!(Content::read(&bytes), Ok(Content { unmarked, floor, objects, redacted }));
            let _ = Content::read(&bytes[..bytes.len() / 2]);
        }
    }
}
