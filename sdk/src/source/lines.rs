//! One object a line: a bad line is told and the rest goes on; a line too long for an object is
//! passed over without being held.

use std::io::{self, BufRead, Read};

use serde_json::value::RawValue;

use super::{Input, Item, LINE, Object};

/// Reads objects one a line.
pub(super) struct Lines {
    input: Input,
}

impl Lines {
    pub(super) fn new(input: Input) -> Self {
        Self { input }
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Item>> {
        loop {
            let line = self.input.line;
            let read = read(&mut self.input.reader)?;
            self.input.line += 1;
            match read {
                Line::None => return Ok(None),
                Line::Unfinished(_) => {
                    skip(&mut self.input.reader)?;
                    let reason = format!("the line is longer than {} MiB", LINE >> 20);
                    return Ok(Some(Item::Bad { line, reason }));
                }
                Line::Whole(bytes) if bytes.trim_ascii().is_empty() => {}
                Line::Whole(bytes) => {
                    return Ok(Some(match object(&bytes) {
                        Ok(raw) => Item::Object(Object { line, raw }),
                        Err(reason) => Item::Bad { line, reason },
                    }));
                }
            }
        }
    }
}

/// A line with its end.
pub(super) enum Line {
    /// The end of the input.
    None,
    /// A line; the last may lack its line end.
    Whole(Vec<u8>),
    /// The first bytes of a line longer than [`LINE`].
    Unfinished(Vec<u8>),
}

impl Line {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Whole(bytes) | Self::Unfinished(bytes) => bytes,
        }
    }
}

/// Reads a line, as far as one may be long.
pub(super) fn read(reader: &mut (impl BufRead + ?Sized)) -> io::Result<Line> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(LINE + 1).unwrap_or(u64::MAX);
    let count = reader.take(limit).read_until(b'\n', &mut bytes)?;
    Ok(match count {
        0 => Line::None,
        count if count > LINE && bytes.last() != Some(&b'\n') => Line::Unfinished(bytes),
        _ => Line::Whole(bytes),
    })
}

/// Skips the rest of a line without holding it.
fn skip(reader: &mut (impl BufRead + ?Sized)) -> io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let count = end.map_or(buffer.len(), |end| end + 1);
        let ended = end.is_some() || buffer.is_empty();
        reader.consume(count);
        if ended {
            return Ok(());
        }
    }
}

/// The object that a line is.
pub(super) fn object(bytes: &[u8]) -> Result<Box<RawValue>, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| "it is no UTF-8 text".to_owned())?
        .trim();
    if !text.starts_with('{') {
        return Err("it is no JSON object".to_owned());
    }
    serde_json::from_str(text).map_err(|error| reason(&error))
}

/// serde's reason without its place, which is told apart.
pub(super) fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let told = text.strip_suffix(&place).unwrap_or(&text);
    match error.column() {
        0 => told.to_owned(),
        column => format!("{told} (column {column})"),
    }
}
