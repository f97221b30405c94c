//! What one gossip message carries, and the names of topics and protocols.

use minicbor::{Decode, Encode};

use crate::identity::CommunityId;
use crate::limits;

/// The gossip topic of a community. The version of the frame's form stands in it.
pub fn topic(community: &CommunityId) -> String {
    format!("/hanse/1/{community}")
}

/// The request protocol by which peers tell each other their charters; open to strangers.
pub const CHARTER_PROTOCOL: &str = "/hanse/charter/1";

/// The stream protocol by which members heal; members only.
pub const HEAL_PROTOCOL: &str = "/hanse/heal/1";

/// A record in a frame: its header, and its body if it is small.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Carried {
    /// The signed header as it travels.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub header: Vec<u8>,
    /// The body as it travels, unless it is to be pulled.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub body: Option<Vec<u8>>,
}

/// One gossip message.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Frame {
    /// Records of one author.
    #[n(0)]
    Records(#[n(0)] Vec<Carried>),
    /// A new charter.
    #[n(1)]
    Charter(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// A node's presence.
    #[n(2)]
    Presence(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// A steward's word on which charter is the newest.
    #[n(3)]
    Head(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Larger than [`limits::FRAME`], or with more than [`limits::FRAME_RECORDS`] records.
    #[error("the frame is too large")]
    TooLarge,
    /// Not a frame in its one spelling.
    #[error("the frame is malformed")]
    Malformed,
}

impl Frame {
    /// The bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        minicbor::to_vec(self).unwrap_or_default()
    }

    /// Reads a frame, insisting on its one spelling.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        if bytes.len() > limits::FRAME {
            return Err(FrameError::TooLarge);
        }
        let frame: Self = minicbor::decode(bytes).map_err(|_| FrameError::Malformed)?;
        if let Self::Records(records) = &frame
            && records.len() > limits::FRAME_RECORDS
        {
            return Err(FrameError::TooLarge);
        }
        if frame.encode() == bytes {
            Ok(frame)
        } else {
            Err(FrameError::Malformed)
        }
    }
}

/// CBOR of a list of byte strings, for fields of other messages.
pub(crate) mod byte_strings {
    use minicbor::bytes::ByteVec;
    use minicbor::{Decoder, Encoder};

    pub(crate) fn encode<C, W: minicbor::encode::Write>(
        items: &[Vec<u8>],
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(u64::try_from(items.len()).unwrap_or(u64::MAX))?;
        for item in items {
            e.bytes(item)?;
        }
        Ok(())
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Vec<Vec<u8>>, minicbor::decode::Error> {
        let items: Vec<ByteVec> = d.decode()?;
        Ok(items.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn carried() -> impl Strategy<Value = Carried> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..64);
        (bytes(), prop::option::of(bytes())).prop_map(|(header, body)| Carried { header, body })
    }

    proptest! {
        #[test]
        fn records_read_back(records in prop::collection::vec(carried(), 0..12)) {
            let frame = Frame::Records(records);
            prop_assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
        }

        #[test]
        fn bytes_that_are_a_frame_are_its_one_spelling(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            at in 0usize..80,
            flip in any::<u8>(),
        ) {
            let mut spoiled = Frame::Charter(bytes.clone()).encode();
            let at = at % spoiled.len();
            spoiled[at] ^= flip;
            for bytes in [bytes, spoiled] {
                if let Ok(frame) = Frame::decode(&bytes) {
                    prop_assert_eq!(frame.encode(), bytes);
                }
            }
        }
    }

    #[test]
    fn a_declared_length_allocates_nothing() {
        // A list of 2^32 records, of which none follows.
        let bytes = [0x82, 0x00, 0x81, 0x9b, 0, 0, 0, 1, 0, 0, 0, 0];
        assert_eq!(Frame::decode(&bytes), Err(FrameError::Malformed));
    }

    #[test]
    fn every_kind_of_frame_reads_back() {
        let carried = Carried {
            header: vec![1; 300],
            body: None,
        };
        let frames = [
            Frame::Records(vec![
                carried.clone(),
                Carried {
                    body: Some(vec![2; 9]),
                    ..carried
                },
            ]),
            Frame::Charter(vec![3]),
            Frame::Presence(vec![4]),
            Frame::Head(vec![]),
        ];
        for frame in frames {
            assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
        }
    }

    #[test]
    fn a_second_spelling_and_an_overlong_list_are_refused() {
        let mut bytes = Frame::Charter(vec![3]).encode();
        bytes.push(0);
        assert_eq!(Frame::decode(&bytes), Err(FrameError::Malformed));
        let carried = Carried {
            header: vec![],
            body: None,
        };
        let many = Frame::Records(vec![carried; limits::FRAME_RECORDS + 1]);
        assert_eq!(Frame::decode(&many.encode()), Err(FrameError::TooLarge));
    }
}
