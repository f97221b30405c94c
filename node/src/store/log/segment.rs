//! The head of a segment file: whose it is, where it stands in the log, and under which key.
//!
//! ```text
//! magic 8 · format u16 · store id 16 · segment u32 · first position u64 · key check 16 · last tag 16 · checksum 8
//! ```
//!
//! It is written twice in a row, so that one rotten sector byte in the only segment of a small
//! store does not cost the store id, without which no frame opens.

use super::frame::{CHECKSUM, TAG, checksum};
use crate::store::entry::Position;

/// First bytes of a segment file.
const MAGIC: &[u8; 8] = b"HANSElog";
/// Layout of a segment that holds its frames as they were committed.
const WRITTEN: u16 = 1;
/// Layout of a segment that was recast: it begins and ends with frames that say so. A larger
/// number is refused.
const RECAST: u16 = 2;
/// Bytes of one copy.
const COPY: usize = 8 + 2 + 16 + 4 + 8 + 16 + TAG + CHECKSUM;
/// Bytes before the first frame.
pub(super) const HEADER: usize = 2 * COPY;

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) store: [u8; 16],
    pub(super) segment: u32,
    /// Position of the first entry that will be written to it.
    pub(super) first: Position,
    /// Hash of the log key and the store id: tells a wrong key from damage.
    pub(super) key_check: [u8; 16],
    /// Tag of the last frame of the segment before, as that was written; zero in the first.
    pub(super) last_tag: [u8; TAG],
    /// Whether it is no longer as it was written.
    pub(super) recast: bool,
}

/// What the first bytes of a segment file turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// A header, at least one copy of it whole.
    Good(Header),
    /// A header of a later format.
    Newer(u16),
    /// Neither.
    Bad,
}

impl Header {
    /// Both copies.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(HEADER);
        copy.extend_from_slice(MAGIC);
        copy.extend_from_slice(&if self.recast { RECAST } else { WRITTEN }.to_be_bytes());
        copy.extend_from_slice(&self.store);
        copy.extend_from_slice(&self.segment.to_be_bytes());
        copy.extend_from_slice(&self.first.0.to_be_bytes());
        copy.extend_from_slice(&self.key_check);
        copy.extend_from_slice(&self.last_tag);
        copy.extend_from_slice(&checksum(&copy));
        copy.repeat(2)
    }

    fn decode(copy: &[u8]) -> Option<Self> {
        let (covered, sum) = copy.split_last_chunk::<CHECKSUM>()?;
        if checksum(covered) != *sum {
            return None;
        }
        let (format, rest) = covered.strip_prefix(MAGIC)?.split_first_chunk::<2>()?;
        let recast = match u16::from_be_bytes(*format) {
            WRITTEN => false,
            RECAST => true,
            _ => return None,
        };
        let (store, rest) = rest.split_first_chunk::<16>()?;
        let (segment, rest) = rest.split_first_chunk::<4>()?;
        let (first, rest) = rest.split_first_chunk::<8>()?;
        let (key_check, rest) = rest.split_first_chunk::<16>()?;
        Some(Self {
            store: *store,
            segment: u32::from_be_bytes(*segment),
            first: Position(u64::from_be_bytes(*first)),
            key_check: *key_check,
            last_tag: rest.try_into().ok()?,
            recast,
        })
    }

    /// Reads the first [`HEADER`] bytes of a segment file, or what there is of them.
    pub(super) fn read(bytes: &[u8]) -> Read {
        if let Some(header) = bytes.chunks(COPY).find_map(Self::decode) {
            return Read::Good(header);
        }
        let format = bytes
            .strip_prefix(MAGIC)
            .and_then(|rest| rest.split_first_chunk::<2>());
        match format.map(|(format, _)| u16::from_be_bytes(*format)) {
            Some(format) if format > RECAST => Read::Newer(format),
            _ => Read::Bad,
        }
    }
}

/// File name of a segment.
pub(super) fn file_name(segment: u32) -> String {
    format!("{segment:016x}.seg")
}

/// File name of a segment while it is being recast.
pub(super) fn draft_name(segment: u32) -> String {
    format!("{segment:016x}.cast")
}

/// Whether a file is a recast segment that was never finished.
pub(super) fn is_draft(name: &str) -> bool {
    name.strip_suffix(".cast")
        .is_some_and(|number| u32::from_str_radix(number, 16).is_ok())
}

/// Number of the segment with this file name.
pub(super) fn file_number(name: &str) -> Option<u32> {
    let number = u32::from_str_radix(name.strip_suffix(".seg")?, 16).ok()?;
    (file_name(number) == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_whole_copy_is_enough_and_a_newer_format_is_named() {
        let header = Header {
            store: [1; 16],
            segment: 7,
            first: Position(42),
            key_check: [2; 16],
            last_tag: [3; TAG],
            recast: true,
        };
        let bytes = header.encode();
        assert_eq!(bytes.len(), HEADER);
        for place in 0..HEADER {
            let mut rotten = bytes.clone();
            rotten[place] ^= 0x10;
            assert_eq!(Header::read(&rotten), Read::Good(header.clone()), "byte {place}");
        }
        assert_eq!(Header::read(&bytes[..COPY - 1]), Read::Bad);
        assert_eq!(Header::read(&[]), Read::Bad);
        let mut newer = bytes;
        newer[9] = 9;
        newer[COPY + 9] = 9;
        assert_eq!(Header::read(&newer), Read::Newer(9));
        assert_eq!(file_number(&file_name(0xab)), Some(0xab));
        assert_eq!(file_number("ab.seg"), None);
    }
}
