//! STIX timestamps (STIX 2.1, section 2.16): RFC 3339 in UTC, written with a `Z`.

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
        let Some(fraction) = fraction else {
            return text.parse().ok().map(Self);
        };
        if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let fraction = fraction.get(..FRACTION).unwrap_or(fraction);
        format!("{second}.{fraction}Z").parse().ok().map(Self)
    }

    /// In milliseconds, as Hanse carries instants; those before 1970 are the epoch.
    pub(crate) fn timestamp(self) -> Timestamp {
        Timestamp::from_millis(u64::try_from(self.0.as_millisecond()).unwrap_or(0))
    }
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
        for wrong in [
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
