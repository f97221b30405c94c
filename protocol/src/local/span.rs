//! Spans of time as people write them in settings and on the command line: `30s`, `5m`, `7d`.

use std::time::Duration;

/// Why a text is no span of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no span of time: a whole number and one of ms, s, m, h or d is, such as `30s` or `7d`")]
pub struct SpanError(String);

/// The units that are read, with their length in milliseconds. A month has no fixed length, so
/// nothing longer than a day is among them.
const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Reads a whole number with its unit.
///
/// # Errors
/// [`SpanError`] when number or unit is missing or unknown, or the span is longer than 2^64 ms.
pub fn parse(text: &str) -> Result<Duration, SpanError> {
    let refused = || SpanError(crate::limits::echo(text));
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at_checked(digits).ok_or_else(refused)?;
    let number: u64 = number.parse().map_err(|_| refused())?;
    let unit = unit.trim_start();
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refused)?;
    let millis = number.checked_mul(*millis).ok_or_else(refused)?;
    Ok(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_with_their_unit_and_not_without() {
        assert_eq!(parse("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse(" 7 d "), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        for wrong in [
            "",
            "30",
            "s",
            "-1s",
            "1.5h",
            "1w",
            "99999999999999999999s",
            "18446744073709551615d",
            "５s",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
