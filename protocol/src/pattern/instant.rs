//! STIX timestamps (STIX 2.1, section 2.16): RFC 3339 in UTC, written with a `Z`.

use jiff::civil::DateTime;
use jiff::tz::Offset;

use crate::timestamp::Timestamp;

/// Digits of a second's fraction that are compared; what follows them is dropped.
const FRACTION: usize = 9;

/// An instant to the nanosecond, for comparing; [`Instant::timestamp`] is what travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(jiff::Timestamp);

impl Instant {
    /// Reads `2026-06-19T01:16:32.866Z`: exactly that form, with any number of fraction digits.
    /// Offsets other than `Z`, lower-case letters and spaces are no STIX.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let body = text.strip_suffix('Z')?;
        let (second, fraction) = match body.split_once('.') {
            Some((second, fraction)) => (second, Some(fraction)),
            None => (body, None),
        };
        let shape = b"0000-00-00T00:00:00";
        let shaped = second.len() == shape.len()
            && second.bytes().zip(shape).all(|(byte, wanted)| match wanted {
                b'0' => byte.is_ascii_digit(),
                mark => byte == *mark,
            });
        if !shaped {
            return None;
        }
        let nanos = match fraction {
            None => 0,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                nanoseconds(digits)
            }
            Some(_) => return None,
        };
        let part = |range: std::ops::Range<usize>| second.get(range)?.parse::<i16>().ok();
        let small = |range| i8::try_from(part(range)?).ok();
        let time = DateTime::new(
            part(0..4)?,
            small(5..7)?,
            small(8..10)?,
            small(11..13)?,
            small(14..16)?,
            // A leap second is the second before it.
            small(17..19).map(|second| if second == 60 { 59 } else { second })?,
            nanos,
        );
        Offset::UTC.to_timestamp(time.ok()?).ok().map(Self)
    }

    /// In milliseconds, as Hanse carries instants; those before 1970 are the epoch.
    pub(crate) fn timestamp(self) -> Timestamp {
        Timestamp::from_millis(u64::try_from(self.0.as_millisecond()).unwrap_or(0))
    }
}

/// The fraction of a second that `digits` are, cut to nine of them.
fn nanoseconds(digits: &str) -> i32 {
    digits
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .take(FRACTION)
        .fold(0, |nanos, digit| nanos * 10 + i32::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_form_is_read_and_order_goes_beyond_milliseconds() {
        let read = |text| Instant::parse(text);
        let early = read("2026-06-19T01:16:32.866123Z").unwrap();
        assert!(early < read("2026-06-19T01:16:32.866123004Z").unwrap());
        assert_eq!(early, read("2026-06-19T01:16:32.8661230000009999Z").unwrap());
        assert_eq!(early.timestamp().to_string(), "2026-06-19T01:16:32.866Z");
        assert_eq!(read("1969-12-31T23:59:59Z").unwrap().timestamp().as_millis(), 0);
        assert_eq!(
            read("2016-12-31T23:59:60Z"),
            "2016-12-31T23:59:59Z".parse().ok().map(Instant)
        );
        assert_eq!(
            read("0001-01-01T00:00:00Z"),
            "0001-01-01T00:00:00Z".parse().ok().map(Instant)
        );
        for wrong in [
            "2026-02-29T01:16:32Z",
            "2026-06-19T24:00:00Z",
            "2026-06-19T01:16:32+00:00",
            "2026-06-19t01:16:32z",
            "2026-06-19 01:16:32Z",
            "2026-06-19T01:16:32.Z",
            "2026-06-19T01:16Z",
            "2026-13-19T01:16:32Z",
            "2026-06-19T01:16:32Z[UTC]",
            "+002026-06-19T01:16:32Z",
            "",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
