//! Tokens of a STIX pattern (STIX 2.1, section 9.2), each with the byte at which it starts.

use std::borrow::Cow;

use super::instant::Instant;
use super::{PatternError, PatternErrorKind, Value};

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// A keyword, an object type or a property name.
    Word(&'a str),
    /// A constant, apart from `true` and `false`, which are words until they are due as values.
    Value(Value<'a>),
    /// Punctuation or an operator of one or two characters.
    Mark(&'static str),
    /// The end of the pattern.
    End,
}

/// Longest first, so that `<=` is not read as `<`.
const MARKS: [&str; 16] = [
    "==", "!=", "<>", "<=", ">=", "=", "<", ">", "[", "]", "(", ")", ":", ".", ",", "*",
];

pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next token and where it starts.
    pub(super) fn next(&mut self) -> Result<(usize, Token<'a>), PatternError> {
        self.skip_space()?;
        let start = self.at;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok((start, Token::End));
        };
        let token = match first {
            '\'' => Token::Value(Value::Text(self.string()?)),
            'a'..='z' | 'A'..='Z' | '_' => self.word()?,
            '0'..='9' | '+' | '-' => self.number()?,
            '.' if rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit) => self.number()?,
            _ => {
                let Some(mark) = MARKS.into_iter().find(|mark| rest.starts_with(mark)) else {
                    return refuse(start, PatternErrorKind::Character);
                };
                self.at += mark.len();
                Token::Mark(mark)
            }
        };
        Ok((start, token))
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Moves past white space and comments.
    fn skip_space(&mut self) -> Result<(), PatternError> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("//") {
                self.at += trimmed.find(['\n', '\r']).unwrap_or(trimmed.len());
            } else if trimmed.starts_with("/*") {
                let Some(length) = trimmed.get(2..).and_then(|inside| inside.find("*/")) else {
                    return refuse(self.at, PatternErrorKind::Unclosed);
                };
                self.at += length + 4;
            } else {
                return Ok(());
            }
        }
    }

    /// Takes the longest run of bytes that `keep` allows; they must be ASCII.
    fn run(&mut self, keep: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.bytes().take_while(|b| keep(*b)).count();
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    fn word(&mut self) -> Result<Token<'a>, PatternError> {
        let start = self.at;
        let word = self.run(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !(matches!(word, "b" | "h" | "t") && self.rest().starts_with('\'')) {
            return Ok(Token::Word(word));
        }
        let text = self.string()?;
        let value = match word {
            "t" => Instant::parse(&text).map(|instant| Value::Instant(instant.timestamp())),
            "h" => data_encoding::HEXLOWER_PERMISSIVE
                .decode(text.as_bytes())
                .ok()
                .map(Value::Binary),
            _ => data_encoding::BASE64
                .decode(text.as_bytes())
                .ok()
                .map(Value::Binary),
        };
        match value {
            Some(value) => Ok(Token::Value(value)),
            None => refuse(start, PatternErrorKind::Literal),
        }
    }

    fn number(&mut self) -> Result<Token<'a>, PatternError> {
        let start = self.at;
        let sign = self.run(|b| b == b'+' || b == b'-');
        let whole = self.run(|b| b.is_ascii_digit());
        let fraction = if self.rest().starts_with('.') {
            self.at += 1;
            Some(self.run(|b| b.is_ascii_digit()))
        } else {
            None
        };
        let text = self.text.get(start..self.at).unwrap_or_default();
        let padded = whole.len() > 1 && whole.starts_with('0') && fraction.is_none();
        let value = match fraction {
            _ if sign.len() > 1 || padded => None,
            None => text.parse().ok().map(Value::Integer),
            Some("") => None,
            Some(_) => text
                .parse()
                .ok()
                .filter(|n: &f64| n.is_finite())
                .map(Value::Float),
        };
        match value {
            Some(value) => Ok(Token::Value(value)),
            None => refuse(start, PatternErrorKind::Number),
        }
    }

    /// Reads a string from its opening quote on.
    fn string(&mut self) -> Result<Cow<'a, str>, PatternError> {
        let start = self.at;
        self.at += 1;
        let mut text = Cow::Borrowed("");
        loop {
            let rest = self.rest();
            let Some(plain) = rest.find(['\'', '\\']) else {
                return refuse(start, PatternErrorKind::Unclosed);
            };
            // Adding to an empty borrowed text only borrows; a copy is made behind an escape.
            text += rest.get(..plain).unwrap_or_default();
            self.at += plain;
            if self.rest().starts_with('\'') {
                self.at += 1;
                return Ok(text);
            }
            text += match self.rest().as_bytes().get(1) {
                Some(b'\'') => "'",
                Some(b'\\') => "\\",
                _ => return refuse(self.at, PatternErrorKind::Escape),
            };
            self.at += 2;
        }
    }
}

pub(super) const fn refuse<T>(offset: usize, kind: PatternErrorKind) -> Result<T, PatternError> {
    Err(PatternError { offset, kind })
}
