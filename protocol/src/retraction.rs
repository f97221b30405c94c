//! What the body of a retraction says: which records its author takes back, beside the one that the
//! header names. An author can take back its own records only.

use minicbor::{Decoder, Encoder};

use crate::identity::RecordId;

/// Most records that one retraction takes back beside the one its header names: a body of them stays
/// small enough to travel with its header.
pub const RECORDS: usize = 1_000;

/// Bytes that are no list of records to take back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a list of records to take back")]
pub struct RetractionError;

/// The content of a retraction's body: CBOR, an array of ids of 32 bytes, rising, none twice. Ids
/// beyond [`RECORDS`] are left out.
pub fn encode(ids: &[RecordId]) -> Vec<u8> {
    let mut ids: Vec<RecordId> = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    ids.truncate(RECORDS);
    let mut encoder = Encoder::new(Vec::new());
    // Writing to memory does not fail.
    let _ = encoder.array(ids.len() as u64);
    for id in &ids {
        let _ = encoder.bytes(id.as_bytes());
    }
    encoder.into_writer()
}

/// Reads the content of a retraction's body, insisting on its one spelling.
///
/// # Errors
/// [`RetractionError`].
pub fn decode(content: &[u8]) -> Result<Vec<RecordId>, RetractionError> {
    let mut decoder = Decoder::new(content);
    let count = decoder.array().ok().flatten().ok_or(RetractionError)?;
    let count = usize::try_from(count).ok().filter(|count| *count <= RECORDS);
    let mut ids = Vec::with_capacity(count.ok_or(RetractionError)?);
    for _ in 0..ids.capacity().min(count.unwrap_or_default()) {
        let bytes = decoder.bytes().map_err(|_| RetractionError)?;
        ids.push(RecordId(bytes.try_into().map_err(|_| RetractionError)?));
    }
    if encode(&ids) == content {
        Ok(ids)
    } else {
        Err(RetractionError)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_list_has_one_spelling(numbers in prop::collection::btree_set(any::<[u8; 32]>(), 0..40)) {
            let ids: Vec<RecordId> = numbers.into_iter().map(RecordId).collect();
            let mut bytes = encode(&ids);
            prop_assert_eq!(decode(&bytes), Ok(ids.clone()));
            let mut turned = ids;
            turned.reverse();
            prop_assert_eq!(&encode(&turned), &bytes);
            bytes.push(0);
            prop_assert_eq!(decode(&bytes), Err(RetractionError));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(ids) = decode(&bytes) {
                prop_assert_eq!(encode(&ids), bytes);
            }
        }
    }
}
