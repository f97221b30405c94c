//! The recursive-descent parser behind [`Json`]. Its recursion is bounded by
//! [`limits::JSON_DEPTH`], and the path of an error is gathered only on the way out of one.

use std::borrow::Cow;

use super::{Json, JsonError, JsonErrorKind, Step};
use crate::limits;

/// From here on a double no longer tells neighbouring integers apart.
const LARGEST: f64 = 9_007_199_254_740_992.0;

/// Up to this many keys are compared pair by pair, which is quicker than sorting them.
const FEW_KEYS: usize = 16;

/// A refusal on its way out: its steps are gathered innermost first.
struct Failure<'a> {
    kind: JsonErrorKind,
    steps: Vec<Step<'a>>,
}

type Outcome<'a, T> = Result<T, Box<Failure<'a>>>;

pub(super) fn parse<'a>(text: &'a str, values: &mut usize) -> Result<Json<'a>, JsonError> {
    let mut parser = Parser {
        text,
        at: 0,
        values: *values,
    };
    let document = parser.document();
    *values = parser.values;
    document.map_err(|failure| JsonError {
        path: std::iter::once("$".to_owned())
            .chain(failure.steps.iter().rev().map(Step::to_string))
            .collect(),
        kind: failure.kind,
    })
}

fn failure<'a, T>(kind: JsonErrorKind) -> Outcome<'a, T> {
    Err(Box::new(Failure {
        kind,
        steps: Vec::new(),
    }))
}

fn within<'a, T>(outcome: Outcome<'a, T>, step: impl FnOnce() -> Step<'a>) -> Outcome<'a, T> {
    outcome.map_err(|mut failure| {
        failure.steps.push(step());
        failure
    })
}

struct Parser<'a> {
    text: &'a str,
    /// The byte to read next. Moves past whole ASCII characters or whole runs of a string only, so
    /// it always lies on a character boundary where a slice starts or ends.
    at: usize,
    /// How many values may still come.
    values: usize,
}

impl<'a> Parser<'a> {
    fn document(&mut self) -> Outcome<'a, Json<'a>> {
        self.skip_space();
        let value = self.value(0)?;
        self.skip_space();
        if self.peek().is_some() {
            return self.syntax();
        }
        Ok(value)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Takes `byte` and the white space after it if it is next.
    fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        if taken {
            self.at += 1;
            self.skip_space();
        }
        taken
    }

    fn syntax<T>(&self) -> Outcome<'a, T> {
        let before = String::from_utf8_lossy(self.text.as_bytes().get(..self.at).unwrap_or_default());
        let line = 1 + before.bytes().filter(|b| *b == b'\n').count();
        let column = 1 + before.chars().rev().take_while(|c| *c != '\n').count();
        failure(JsonErrorKind::Syntax { line, column })
    }

    fn value(&mut self, depth: usize) -> Outcome<'a, Json<'a>> {
        match self.values.checked_sub(1) {
            Some(left) => self.values = left,
            None => return failure(JsonErrorKind::TooManyValues),
        }
        match self.peek() {
            Some(b'"') => self.string().map(Json::String),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'-' | b'0'..=b'9') => self.number().map(Json::Number),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => self.syntax(),
        }
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Outcome<'a, Json<'a>> {
        if self.rest().starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(value)
        } else {
            self.syntax()
        }
    }

    fn array(&mut self, depth: usize) -> Outcome<'a, Json<'a>> {
        if depth > limits::JSON_DEPTH {
            return failure(JsonErrorKind::TooDeep);
        }
        let mut elements = Vec::new();
        self.take(b'[');
        if self.take(b']') {
            // The white space after a closing bracket is skipped again by whoever holds it.
            return Ok(Json::Array(elements));
        }
        loop {
            let element = self.value(depth);
            elements.push(within(element, || Step::Index(elements.len()))?);
            self.skip_space();
            if self.take(b']') {
                return Ok(Json::Array(elements));
            }
            if !self.take(b',') {
                return self.syntax();
            }
        }
    }

    fn object(&mut self, depth: usize) -> Outcome<'a, Json<'a>> {
        if depth > limits::JSON_DEPTH {
            return failure(JsonErrorKind::TooDeep);
        }
        let mut members = Vec::new();
        self.take(b'{');
        if self.take(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            if self.peek() != Some(b'"') {
                return self.syntax();
            }
            let key = self.string()?;
            self.skip_space();
            if !self.take(b':') {
                return self.syntax();
            }
            let value = self.value(depth);
            let value = within(value, || Step::Key(key.clone()))?;
            members.push((key, value));
            self.skip_space();
            if self.take(b'}') {
                return unique(members).map(Json::Object);
            }
            if !self.take(b',') {
                return self.syntax();
            }
        }
    }

    fn number(&mut self) -> Outcome<'a, f64> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let Some(number) = self
            .text
            .get(start..self.at)
            .and_then(|text| text.parse::<f64>().ok())
        else {
            return self.syntax();
        };
        if number.abs() < LARGEST {
            Ok(number)
        } else {
            failure(JsonErrorKind::NumberTooLarge)
        }
    }

    /// Takes one digit or more.
    fn digits(&mut self) -> Outcome<'a, ()> {
        let count = self.rest().iter().take_while(|b| b.is_ascii_digit()).count();
        if count == 0 {
            return self.syntax();
        }
        self.at += count;
        Ok(())
    }

    /// Moves to the next byte that means something inside a string and hands back the run before it.
    fn run(&mut self) -> Outcome<'a, &'a str> {
        let start = self.at;
        let plain = self
            .rest()
            .iter()
            .position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f));
        let Some(plain) = plain else {
            self.at = self.text.len();
            return self.syntax();
        };
        self.at += plain;
        match self.text.get(start..self.at) {
            Some(run) => Ok(run),
            None => self.syntax(),
        }
    }

    /// Reads a string from its opening quote on.
    fn string(&mut self) -> Outcome<'a, Cow<'a, str>> {
        self.at += 1;
        let first = self.run()?;
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(first));
        }
        let mut text = first.to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => text.push(self.escape()?),
                _ => return self.syntax(),
            }
            text.push_str(self.run()?);
        }
    }

    /// Reads an escape from its backslash on.
    fn escape(&mut self) -> Outcome<'a, char> {
        self.at += 1;
        let plain = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return self.syntax(),
        };
        self.at += 1;
        Ok(plain)
    }

    /// Reads `uXXXX`, and the second half of a pair with it.
    fn unicode(&mut self) -> Outcome<'a, char> {
        let first = self.unit()?;
        let code = match first {
            0xd800..=0xdbff => {
                if !self.rest().starts_with(b"\\u") {
                    return failure(JsonErrorKind::LoneSurrogate);
                }
                self.at += 1;
                match self.unit()? {
                    second @ 0xdc00..=0xdfff => 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                    _ => return failure(JsonErrorKind::LoneSurrogate),
                }
            }
            code => code,
        };
        match char::from_u32(code) {
            Some(character) => Ok(character),
            None => failure(JsonErrorKind::LoneSurrogate),
        }
    }

    /// Reads `uXXXX` as one UTF-16 unit.
    fn unit(&mut self) -> Outcome<'a, u32> {
        self.at += 1;
        let digits = self.rest().get(..4).unwrap_or_default();
        if digits.len() < 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return self.syntax();
        }
        let unit = digits
            .iter()
            .filter_map(|digit| char::from(*digit).to_digit(16))
            .fold(0, |unit, digit| unit * 16 + digit);
        self.at += 4;
        Ok(unit)
    }
}

type Members<'a> = Vec<(Cow<'a, str>, Json<'a>)>;

/// Hands `members` back if no key occurs twice.
fn unique(members: Members<'_>) -> Outcome<'_, Members<'_>> {
    let twice = if members.len() <= FEW_KEYS {
        members
            .iter()
            .enumerate()
            .find(|(index, (key, _))| members.iter().take(*index).any(|(earlier, _)| earlier == key))
            .map(|(_, (key, _))| key.clone())
    } else {
        let mut keys: Vec<&Cow<'_, str>> = members.iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        keys.windows(2).find_map(|pair| match pair {
            [a, b] if a == b => Some((*b).clone()),
            _ => None,
        })
    };
    match twice {
        None => Ok(members),
        Some(key) => within(failure(JsonErrorKind::DuplicateKey), || Step::Key(key)),
    }
}
