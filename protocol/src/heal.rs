//! Healing between two members: what do you hold that I lack, and please send me that. Questions and
//! answers are framed by a length, four bytes big endian, on a byte stream; the answerer remembers
//! nothing from one question to the next.

use minicbor::{Decode, Encode};

use crate::charter::CharterRef;
use crate::frame::Carried;
use crate::identity::RecordId;
use crate::limits;
use crate::reconcile::{Asked, Place, SPANS, Span, Told};

/// Largest message of this protocol, bytes: a header and a body of the largest size.
pub const MESSAGE: usize = limits::BODY + limits::HEADER + 64;

/// Largest question, bytes: [`SPANS`] spans of 108 bytes, or [`IDS`] ids.
pub const QUESTION: usize = 32 << 10;

/// Most records that one question asks for by id.
pub const IDS: usize = 512;

/// Once a message has this many bytes of records, no further one joins it: with one more it still fits
/// [`MESSAGE`], since bodies over [`limits::INLINE_BODY`] do not come along.
pub const PAGE: usize = 32 << 10;

/// Records, and bytes of them, after which an answer about a span ends and says where to go on.
pub const STREAMED: usize = 2_048;
/// See [`STREAMED`].
pub const STREAMED_BYTES: usize = 4 << 20;

const _: () = assert!(
    SPANS * 108 + 128 < QUESTION && IDS * 34 + 128 < QUESTION,
    "questions of the largest size fit"
);
const _: () = assert!(PAGE + limits::INLINE_BODY + limits::HEADER + 128 < MESSAGE);

/// Under which key spans are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum KeyChoice {
    /// [`Key::of_community`](crate::reconcile::Key::of_community).
    #[n(0)]
    Community,
    /// [`Key::of_pass`](crate::reconcile::Key::of_pass), with this nonce of the asker and the one that
    /// the answerer gave for it.
    #[n(1)]
    Pass(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32]),
}

/// What is asked. All but bodies only under the charter that the answerer stands under.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Question {
    /// Do you hold the same in these spans?
    #[n(0)]
    Compare(#[n(0)] CharterRef, #[n(1)] KeyChoice, #[n(2)] Vec<Asked>),
    /// Send me these records, at most [`IDS`].
    #[n(1)]
    Records(#[n(0)] CharterRef, #[n(1)] Vec<RecordId>),
    /// Send me the body of this record.
    #[n(2)]
    Body(#[n(0)] RecordId),
    /// Send me the records of this span, the newest first.
    #[n(3)]
    Span(#[n(0)] CharterRef, #[n(1)] Span),
    /// Here is my nonce for comparing under a key of our own; what is yours?
    #[n(4)]
    Nonce(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32]),
}

/// What is answered. Records come in any number of messages, then [`Answer::End`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Answer {
    /// Of the first spans of the question what is held there.
    #[n(0)]
    Compared(#[n(0)] Vec<Told>),
    /// Records; without their body if that is not held or is over [`limits::INLINE_BODY`].
    #[n(1)]
    Records(#[n(0)] Vec<Carried>),
    /// No more records. What is left of the span is what lies before this place.
    #[n(2)]
    End(#[n(0)] Option<Place>),
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
    /// The answerer's nonce.
    #[n(7)]
    Nonce(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32]),
    /// Not so soon again.
    #[n(8)]
    Later,
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
    use crate::reconcile::{Key, Sum};

    #[test]
    fn questions_and_answers_read_back() {
        let charter = CharterRef {
            version: 5,
            hash: [6; 8],
        };
        let (id, place) = (RecordId([7; 32]), Place::END);
        let key = Key::of_pass(&[1; 32], &[2; 32]);
        let digest = Sum::of(&key, &place).digest(&key);
        let asked = Asked {
            span: Span::ALL,
            digest,
        };
        let questions = [
            Question::Compare(charter, KeyChoice::Community, vec![asked.clone(); SPANS]),
            Question::Compare(charter, KeyChoice::Pass([3; 32]), vec![]),
            Question::Records(charter, vec![id; IDS]),
            Question::Body(id),
            Question::Span(charter, Span::ALL),
            Question::Nonce([4; 32]),
        ];
        for question in questions {
            let bytes = encode(&question);
            assert!(bytes.len() <= QUESTION);
            assert_eq!(decode::<Question>(&bytes), Ok(question));
        }
        let answers = [
            Answer::Compared(vec![Told::Same, Told::Places(vec![place])]),
            Answer::Records(vec![Carried {
                header: vec![8],
                body: None,
            }]),
            Answer::End(None),
            Answer::End(Some(place)),
            Answer::Body(vec![9]),
            Answer::Gone,
            Answer::NotHeld,
            Answer::OtherCharter(charter),
            Answer::Nonce([4; 32]),
            Answer::Later,
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
