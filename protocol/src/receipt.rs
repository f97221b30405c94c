//! What a receipt says: what became of records at the member that signed it. It goes to their author
//! alone, sealed.

use minicbor::{Decoder, Encoder};

use crate::identity::RecordId;
use crate::timestamp::Timestamp;

/// Most records that one receipt tells of: a body of them stays small enough to travel with its header.
pub const RECORDS: usize = 1_000;

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It was opened and found sound, and can be read (code 0).
    Kept,
    /// It was opened and found sound; a person is to look at it before it can be read (code 1).
    Quarantined,
    /// It was opened and found sound, and a policy or a person refused it (code 2).
    Refused,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Kept, Self::Quarantined, Self::Refused];

    /// The code on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Kept => 0,
            Self::Quarantined => 1,
            Self::Refused => 2,
        }
    }

    /// The outcome of a code, if it is one.
    pub fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.code() == code)
    }
}

/// What became of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Told {
    /// The record.
    pub record: RecordId,
    /// What became of it.
    pub outcome: Outcome,
    /// When, by the clock of who says so.
    pub at: Timestamp,
}

/// Bytes that are no list of what became of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a list of what became of records")]
pub struct ReceiptError;

/// The content of a receipt's body: CBOR, an array of 1 to [`RECORDS`] arrays of a record's id, a code and
/// an instant, by rising ids, none twice. Of two that tell of one record the later one counts; what is
/// beyond [`RECORDS`] is left out.
pub fn encode(told: &[Told]) -> Vec<u8> {
    let mut told = told.to_vec();
    told.sort_by(|a, b| (a.record, b.at, b.outcome).cmp(&(b.record, a.at, a.outcome)));
    told.dedup_by_key(|told| told.record);
    told.truncate(RECORDS);
    let mut encoder = Encoder::new(Vec::new());
    // Writing to memory does not fail.
    let _ = encoder.array(told.len() as u64);
    for Told { record, outcome, at } in &told {
        let _ = encoder.array(3);
        let _ = encoder.bytes(record.as_bytes());
        let _ = encoder.u8(outcome.code());
        let _ = encoder.u64(at.as_millis());
    }
    encoder.into_writer()
}

/// Reads the content of a receipt's body, insisting on its one spelling.
///
/// # Errors
/// [`ReceiptError`].
pub fn decode(content: &[u8]) -> Result<Vec<Told>, ReceiptError> {
    let mut decoder = Decoder::new(content);
    let count = decoder.array().ok().flatten().ok_or(ReceiptError)?;
    let count = usize::try_from(count).map_err(|_| ReceiptError)?;
    if count == 0 || count > RECORDS {
        return Err(ReceiptError);
    }
    let mut told = Vec::with_capacity(count);
    for _ in 0..count {
        told.push(one(&mut decoder).ok_or(ReceiptError)?);
    }
    if encode(&told) == content {
        Ok(told)
    } else {
        Err(ReceiptError)
    }
}

fn one(decoder: &mut Decoder<'_>) -> Option<Told> {
    decoder.array().ok().flatten().filter(|parts| *parts == 3)?;
    Some(Told {
        record: RecordId(decoder.bytes().ok()?.try_into().ok()?),
        outcome: Outcome::of_code(decoder.u8().ok()?)?,
        at: Timestamp::from_millis(decoder.u64().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(number: u8, outcome: Outcome, at: u64) -> Told {
        Told {
            record: RecordId([number; 32]),
            outcome,
            at: Timestamp::from_millis(at),
        }
    }

    #[test]
    fn of_two_words_the_later_one_counts() {
        let first = told(7, Outcome::Quarantined, 5);
        let later = told(7, Outcome::Kept, 6);
        for both in [[first, later], [later, first]] {
            assert_eq!(decode(&encode(&both)), Ok(vec![later]));
        }
        assert_eq!(decode(&encode(&[])), Err(ReceiptError), "nothing is told");
    }

    proptest! {
        #[test]
        fn a_list_has_one_spelling(
            records in prop::collection::btree_map(any::<[u8; 32]>(), (0u8..3, any::<u64>()), 1..40),
        ) {
            let told: Vec<Told> = records
                .into_iter()
                .map(|(id, (code, at))| Told {
                    record: RecordId(id),
                    outcome: Outcome::of_code(code).unwrap(),
                    at: Timestamp::from_millis(at),
                })
                .collect();
            let mut bytes = encode(&told);
            prop_assert_eq!(decode(&bytes), Ok(told.clone()));
            let mut turned = told;
            turned.reverse();
            prop_assert_eq!(&encode(&turned), &bytes);
            bytes.push(0);
            prop_assert_eq!(decode(&bytes), Err(ReceiptError));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            if let Ok(told) = decode(&bytes) {
                prop_assert_eq!(encode(&told), bytes);
            }
        }
    }
}
