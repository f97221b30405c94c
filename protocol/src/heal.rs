//! The plain healing between two members: what do you hold of each author, and please send me
//! that. Questions and answers are framed by a length, four bytes big endian, on a byte stream.

use minicbor::{Decode, Encode};

use crate::charter::CharterRef;
use crate::frame::Carried;
use crate::identity::{Handle, RecordId};
use crate::limits;

/// Largest message of this protocol, bytes: a header and a body of the largest size.
pub const MESSAGE: usize = limits::BODY + limits::HEADER + 64;

/// Most ranges one answer tells of: at 75 bytes each, with the longest handle and the largest numbers,
/// they fit [`MESSAGE`].
pub const RANGES: usize = 13_000;

const _: () = assert!(RANGES * (limits::HANDLE + 35) < limits::BODY);

/// An unbroken run of sequence numbers of one lane and epoch.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Run {
    /// The author.
    #[n(0)]
    pub author: Handle,
    /// Its lane.
    #[n(1)]
    pub lane: u16,
    /// The lane's epoch.
    #[n(2)]
    pub epoch: u32,
    /// The first sequence number held.
    #[n(3)]
    pub first: u64,
    /// The last sequence number held.
    #[n(4)]
    pub last: u64,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Question {
    /// What do you hold? Answered only under the same charter.
    #[n(0)]
    Holdings(#[n(0)] CharterRef),
    /// Send me the records of this run that you hold.
    #[n(1)]
    Records(#[n(0)] Run),
    /// Send me the body of this record.
    #[n(2)]
    Body(#[n(0)] RecordId),
}

/// What is answered. A run of records is answered by one message each, then [`Answer::End`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Answer {
    /// What is held, in order.
    #[n(0)]
    Holdings(#[n(0)] Vec<Run>),
    /// A record; without its body if that is not held.
    #[n(1)]
    Record(#[n(0)] Carried),
    /// No more records of that run.
    #[n(2)]
    End,
    /// A body.
    #[n(3)]
    Body(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// The body was retracted or has expired: no use asking others.
    #[n(4)]
    Gone,
    /// Not held here.
    #[n(5)]
    NotHeld,
    /// We stand under another charter; settle that first.
    #[n(6)]
    OtherCharter(#[n(0)] CharterRef),
}

/// Bytes that are no message of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message of the healing protocol")]
pub struct HealError;

/// The bytes of a question or answer, without the length before them.
pub fn encode<M: Encode<()>>(message: &M) -> Vec<u8> {
    minicbor::to_vec(message).unwrap_or_default()
}

/// Reads a question or answer, insisting on its one spelling.
///
/// # Errors
/// [`HealError`].
pub fn decode<M: Encode<()> + for<'b> Decode<'b, ()>>(bytes: &[u8]) -> Result<M, HealError> {
    if bytes.len() > MESSAGE {
        return Err(HealError);
    }
    let message: M = minicbor::decode(bytes).map_err(|_| HealError)?;
    if encode(&message) == bytes {
        Ok(message)
    } else {
        Err(HealError)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn questions_and_answers_read_back() {
        let run = Run {
            author: "acme-water".parse().unwrap(),
            lane: 1,
            epoch: 2,
            first: 3,
            last: 4,
        };
        let charter = CharterRef {
            version: 5,
            hash: [6; 8],
        };
        let questions = [
            Question::Holdings(charter),
            Question::Records(run.clone()),
            Question::Body(RecordId([7; 32])),
        ];
        for question in questions {
            assert_eq!(decode::<Question>(&encode(&question)), Ok(question));
        }
        let answers = [
            Answer::Holdings(vec![run]),
            Answer::Record(Carried {
                header: vec![8],
                body: None,
            }),
            Answer::End,
            Answer::Body(vec![9]),
            Answer::Gone,
            Answer::NotHeld,
            Answer::OtherCharter(charter),
        ];
        for answer in answers {
            assert_eq!(decode::<Answer>(&encode(&answer)), Ok(answer));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_message_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(question) = decode::<Question>(&bytes) {
                prop_assert_eq!(encode(&question), bytes.clone());
            }
            if let Ok(answer) = decode::<Answer>(&bytes) {
                prop_assert_eq!(encode(&answer), bytes.clone());
            }
            drop(crate::charter::call::decode::<crate::charter::call::CharterQuestion>(&bytes));
            drop(crate::charter::call::decode::<crate::charter::call::CharterAnswer>(&bytes));
        }
    }
}
