//! The rules an object must meet: the common properties of its class, those its type requires, and
//! what binds several properties together.

use super::kind::{Class, Kind};
use super::{Shape, StixError, echo};
use crate::json::Json;
use crate::pattern::Pattern;
use crate::pattern::instant::Instant;

/// Length of a UUID in text (RFC 9562, section 4).
const UUID: usize = 36;

/// Lengths a type may have (STIX 2.1, section 3.2).
const TYPE: std::ops::RangeInclusive<usize> = 3..=250;

pub(super) fn check(json: &Json<'_>) -> Result<(), StixError> {
    if json.as_object().is_none() {
        return Err(StixError::NotAnObject);
    }
    let name = name(json)?;
    let kind = Kind::of(name);
    // A custom type with a history says so itself; one without is taken for an observable.
    let class = kind.map_or_else(
        || match json.get("created").or_else(|| json.get("modified")) {
            Some(_) => Class::Versioned,
            None => Class::Fact,
        },
        |kind| kind.class,
    );
    id(json, name)?;
    spec_version(json, name, class)?;
    history(json, name, class)?;
    common(json)?;
    if let Some(kind) = kind {
        required(json, kind)?;
    }
    match name {
        "indicator" => indicator(json),
        "malware" if json.get("is_family") == Some(&Json::Bool(true)) => {
            property(json, name, "name", Shape::Text).map(drop)
        }
        _ => Ok(()),
    }
}

fn missing(kind: &str, property: &'static str) -> StixError {
    StixError::Missing {
        kind: echo(kind),
        property,
    }
}

fn misshapen(path: impl Into<String>, shape: Shape) -> StixError {
    StixError::Shape {
        path: path.into(),
        shape,
    }
}

fn name<'j>(json: &'j Json<'_>) -> Result<&'j str, StixError> {
    let name = json.get("type").ok_or_else(|| missing("object", "type"))?;
    let name = name.as_str().ok_or_else(|| misshapen("type", Shape::Text))?;
    let usable = TYPE.contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    match (usable, name) {
        (true, "bundle") => Err(StixError::Bundle),
        (true, _) => Ok(name),
        (false, _) => Err(StixError::Type(echo(name))),
    }
}

fn id(json: &Json<'_>, name: &str) -> Result<(), StixError> {
    let id = json.get("id").ok_or_else(|| missing(name, "id"))?;
    let id = id.as_str().ok_or_else(|| misshapen("id", Shape::Id))?;
    if type_of_id(id) == Some(name) {
        Ok(())
    } else {
        Err(StixError::Id {
            kind: echo(name),
            id: echo(id),
        })
    }
}

/// The type in front of `--UUID`; `None` if `id` has another shape.
pub(crate) fn type_of_id(id: &str) -> Option<&str> {
    let (kind, uuid) = id.split_at_checked(id.len().checked_sub(UUID)?)?;
    let hyphens = [8, 13, 18, 23];
    let shaped = uuid.bytes().enumerate().all(|(at, byte)| {
        if hyphens.contains(&at) {
            byte == b'-'
        } else {
            byte.is_ascii_hexdigit()
        }
    });
    // Running text that ends like an id is none: it would be taken for a reference, and not for text.
    let word = |kind: &str| {
        kind.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    kind.strip_suffix("--")
        .filter(|kind| shaped && TYPE.contains(&kind.len()) && word(kind))
}

fn spec_version(json: &Json<'_>, name: &str, class: Class) -> Result<(), StixError> {
    match json.get("spec_version") {
        Some(Json::String(version)) if version == "2.1" => Ok(()),
        Some(Json::String(version)) => Err(StixError::SpecVersion(echo(version))),
        Some(_) => Err(misshapen("spec_version", Shape::Text)),
        None if class == Class::Fact => Ok(()),
        None => Err(StixError::Version20 { kind: echo(name) }),
    }
}

/// `created` and `modified`, as far as the class has them.
fn history(json: &Json<'_>, name: &str, class: Class) -> Result<(), StixError> {
    match class {
        Class::Fact => Ok(()),
        Class::Fixed => instant(json, name, "created").map(drop),
        Class::Versioned => {
            let created = instant(json, name, "created")?;
            let modified = instant(json, name, "modified")?;
            if modified < created {
                return Err(StixError::Order {
                    earlier: "created",
                    later: "modified",
                });
            }
            Ok(())
        }
    }
}

/// Common properties that any object may have, and that decide who may read it or what it is taken
/// for, so that none may be there in a shape that is then overlooked.
fn common(json: &Json<'_>) -> Result<(), StixError> {
    let optional = [
        ("created_by_ref", Shape::Id),
        ("revoked", Shape::Bool),
        ("object_marking_refs", Shape::Ids),
        ("granular_markings", Shape::List),
    ];
    for (property, shape) in optional {
        if let Some(value) = json.get(property) {
            shaped(value, property, shape)?;
        }
    }
    let parts = json.get("granular_markings").and_then(Json::as_array);
    for (index, part) in parts.unwrap_or_default().iter().enumerate() {
        let path = || format!("granular_markings[{index}]");
        match part.get("marking_ref") {
            Some(marking) => shaped(marking, &format!("{}.marking_ref", path()), Shape::Id)?,
            None if part.get("lang").is_some() => {}
            None => return Err(misshapen(format!("{}.marking_ref", path()), Shape::Id)),
        }
    }
    Ok(())
}

fn required(json: &Json<'_>, kind: &Kind) -> Result<(), StixError> {
    for (name, shape) in kind.required {
        property(json, kind.name, name, *shape)?;
    }
    if kind.any_of.is_empty() || kind.any_of.iter().any(|name| json.get(name).is_some()) {
        Ok(())
    } else {
        Err(StixError::MissingAll {
            kind: kind.name.to_owned(),
            properties: kind.any_of,
        })
    }
}

fn property<'j, 'a>(
    json: &'j Json<'a>,
    kind: &str,
    name: &'static str,
    shape: Shape,
) -> Result<&'j Json<'a>, StixError> {
    let value = json.get(name).ok_or_else(|| missing(kind, name))?;
    shaped(value, name, shape)?;
    Ok(value)
}

fn instant(json: &Json<'_>, kind: &str, name: &'static str) -> Result<Instant, StixError> {
    let value = json.get(name).ok_or_else(|| missing(kind, name))?;
    read_instant(value).ok_or_else(|| misshapen(name, Shape::Instant))
}

fn read_instant(value: &Json<'_>) -> Option<Instant> {
    value.as_str().and_then(Instant::parse)
}

fn is_id(value: &Json<'_>) -> bool {
    value.as_str().and_then(type_of_id).is_some()
}

fn shaped(value: &Json<'_>, path: &str, shape: Shape) -> Result<(), StixError> {
    let met = match shape {
        Shape::Text => value.as_str().is_some(),
        Shape::Instant => read_instant(value).is_some(),
        Shape::Bool => value.as_bool().is_some(),
        Shape::Number => value.as_f64().is_some(),
        Shape::Id => is_id(value),
        Shape::List => value.as_array().is_some(),
        Shape::Map => value.as_object().is_some(),
        Shape::Ids => match value.as_array() {
            Some(values) => {
                return match values.iter().position(|value| !is_id(value)) {
                    Some(index) => Err(misshapen(format!("{path}[{index}]"), Shape::Id)),
                    None => Ok(()),
                };
            }
            None => false,
        },
    };
    if met { Ok(()) } else { Err(misshapen(path, shape)) }
}

/// Section 4.7: the span in which an indicator holds, and its pattern if it is in STIX's language.
fn indicator(json: &Json<'_>) -> Result<(), StixError> {
    if json.get("valid_until").is_some()
        && instant(json, "indicator", "valid_until")? <= instant(json, "indicator", "valid_from")?
    {
        return Err(StixError::Order {
            earlier: "valid_from",
            later: "valid_until",
        });
    }
    match (json.get("pattern_type"), json.get("pattern")) {
        (Some(Json::String(language)), Some(Json::String(pattern))) if language == "stix" => {
            Pattern::parse(pattern).map(drop).map_err(StixError::Pattern)
        }
        _ => Ok(()),
    }
}
