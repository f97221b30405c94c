//! Asking a person before something is done that a swapped file or a slip would turn against them.

use std::io::{BufRead, Read};

use hanse_protocol::identity::Fingerprint;

use super::failure::Failure;
use super::{Console, Exit};

/// Longest answer at a terminal, bytes.
const ANSWER: u64 = 1 << 10;

/// Has it confirmed that `fingerprint` is what the other side reads. Returns it as it was spelt.
pub(super) fn fingerprint(
    console: &mut Console<'_>,
    fingerprint: &Fingerprint,
    given: Option<&str>,
    other_side: &str,
) -> Result<String, Failure> {
    if let Some(given) = given {
        return match fingerprint.is_spelt(given) {
            true => Ok(given.to_owned()),
            false => Err(differs()),
        };
    }
    if !console.asks {
        let message = "nobody is at the terminal to confirm the fingerprint";
        return Err(
            Failure::new(Exit::Usage, message).hint("have it read to you and pass it with --fingerprint")
        );
    }
    console.note(&format!(
        "\nHave {other_side} read their fingerprint to you, by telephone or in person: a mailed file can be swapped.\n\
         Type what you hear, or `yes` if it is the one above; anything else ends this."
    ))?;
    let answer = answer(console)?;
    if answer.eq_ignore_ascii_case("yes") {
        return Ok(fingerprint.to_string());
    }
    match answer.chars().filter(char::is_ascii_alphanumeric).count() >= 8 {
        true if fingerprint.is_spelt(&answer) => Ok(answer),
        true => Err(differs()),
        false => Err(Failure::new(Exit::Refused, "not confirmed: nothing was done")),
    }
}

/// Has it confirmed by typing `word` that something grave is meant.
pub(super) fn word(console: &mut Console<'_>, question: &str, word: &str) -> Result<(), Failure> {
    if !console.asks {
        let message = "nobody is at the terminal to confirm this";
        return Err(Failure::new(Exit::Usage, message).hint("pass --yes if it is meant"));
    }
    console.note(&format!(
        "{question}\nType `{word}` to go on; anything else ends this."
    ))?;
    if answer(console)? == word {
        Ok(())
    } else {
        Err(Failure::new(Exit::Refused, "not confirmed: nothing was done"))
    }
}

fn answer(console: &mut Console<'_>) -> Result<String, Failure> {
    let mut line = String::new();
    (&mut *console.input)
        .take(ANSWER)
        .read_line(&mut line)
        .map_err(|error| Failure::new(Exit::Usage, format!("the answer cannot be read: {error}")))?;
    Ok(line.trim().to_owned())
}

fn differs() -> Failure {
    let message =
        "the fingerprint is not that of the file: it was misread, or the file was changed on its way";
    Failure::new(Exit::Refused, message)
        .hint("have it read once more; if it still differs, ask for the file again by another way")
}
