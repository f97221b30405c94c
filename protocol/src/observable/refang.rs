//! Undoes what analysts do to a dangerous value so that nobody clicks it.

use std::borrow::Cow;

use super::ObservableError;
use crate::limits;

/// What stands for a character so that it is not taken for a link. Every mark ends in a bracket and
/// none of the replacements does, so one pass leaves no mark behind.
const MARKS: [(&str, &str); 21] = [
    ("[.]", "."),
    ("(.)", "."),
    ("{.}", "."),
    ("[dot]", "."),
    ("(dot)", "."),
    ("{dot}", "."),
    ("[:]", ":"),
    ("(:)", ":"),
    ("{:}", ":"),
    ("[@]", "@"),
    ("(@)", "@"),
    ("{@}", "@"),
    ("[at]", "@"),
    ("(at)", "@"),
    ("{at}", "@"),
    ("[/]", "/"),
    ("(/)", "/"),
    ("[//]", "//"),
    ("[://]", "://"),
    ("(://)", "://"),
    ("[:/]", ":/"),
];

/// Schemes as they are defanged, and what they stand for.
const SCHEMES: [(&str, &str); 6] = [
    ("hxxp", "http"),
    ("h**p", "http"),
    ("hxtp", "http"),
    ("htxp", "http"),
    ("fxp", "ftp"),
    ("f*p", "ftp"),
];

/// What may surround a pasted value; taken off in pairs only, since an apostrophe may end a URL.
const PAIRS: [(char, char); 6] = [
    ('"', '"'),
    ('\'', '\''),
    ('`', '`'),
    ('<', '>'),
    ('“', '”'),
    ('‘', '’'),
];

/// The text as it was before it was defanged and quoted. Refuses what is empty, too long or holds
/// control characters.
///
/// Marks count only up to the end of the host. If there is one there, the whole text was defanged
/// and marks in the path are undone too; otherwise a path or query keeps its brackets.
pub(super) fn refang(text: &str) -> Result<Cow<'_, str>, ObservableError> {
    if text.len() > limits::OBSERVABLE {
        return Err(ObservableError::TooLong);
    }
    let text = unwrap(text);
    if text.is_empty() {
        return Err(ObservableError::Empty);
    }
    if text.chars().any(char::is_control) {
        return Err(ObservableError::Control(limits::echo(text)));
    }
    let marked = matches!(replace_marks(head(text)), Cow::Owned(_));
    let mut plain = if marked {
        replace_marks(text)
    } else {
        Cow::Borrowed(text)
    };
    if let Some(fixed) = replace_scheme(&plain) {
        // A scheme that was defanged says as much as a mark does.
        plain = replace_marks(&fixed).into_owned().into();
    }
    Ok(plain)
}

/// Takes spaces and pairs of quotes or angle brackets off both ends.
fn unwrap(text: &str) -> &str {
    let mut text = text.trim();
    while let Some(inner) = PAIRS
        .iter()
        .find_map(|(open, close)| text.strip_prefix(*open)?.strip_suffix(*close))
    {
        text = inner.trim();
    }
    text
}

/// The part up to the end of the host: what lies before the first `/`, `?` or `#` behind `//`, or of
/// the whole text if it has no `//`.
fn head(text: &str) -> &str {
    let authority = text.find("//").map_or(0, |slashes| slashes + 2);
    let (_, behind) = text.split_at_checked(authority).unwrap_or_default();
    let ends = |c| matches!(c, '/' | '?' | '#');
    // The bracket that closes a defanged `[://]` stands behind the slashes.
    let length = behind.find(ends).unwrap_or(behind.len());
    text.get(..authority + length).unwrap_or(text)
}

fn replace_marks(text: &str) -> Cow<'_, str> {
    if !text.contains([']', ')', '}']) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut replaced = false;
    for character in text.chars() {
        plain.push(character);
        if !matches!(character, ']' | ')' | '}') {
            continue;
        }
        if let Some((mark, meaning)) = MARKS.iter().find(|(mark, _)| ends_with(&plain, mark)) {
            plain.truncate(plain.len() - mark.len());
            plain.push_str(meaning);
            replaced = true;
        }
    }
    if replaced {
        Cow::Owned(plain)
    } else {
        Cow::Borrowed(text)
    }
}

/// Whether `text` ends with `mark` in either case.
fn ends_with(text: &str, mark: &str) -> bool {
    text.len()
        .checked_sub(mark.len())
        .and_then(|start| text.as_bytes().get(start..))
        .is_some_and(|end| end.eq_ignore_ascii_case(mark.as_bytes()))
}

/// The text with its scheme as it was, if the scheme was defanged.
fn replace_scheme(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    SCHEMES.iter().find_map(|(defanged, plain)| {
        let found = scheme.get(..defanged.len())?;
        let secure = scheme.get(defanged.len()..)?;
        (found.eq_ignore_ascii_case(defanged) && matches!(secure, "" | "s" | "S"))
            .then(|| format!("{plain}{secure}://{rest}"))
    })
}
