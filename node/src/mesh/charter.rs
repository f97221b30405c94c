//! The one call a stranger may make: `/hanse/charter/1`, a question and an answer of opaque bytes,
//! each preceded by its length (four bytes, big endian) and bounded before a byte is held.

use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use hanse_protocol::limits;
use libp2p::StreamProtocol;
use libp2p::request_response::{Behaviour, Codec, Config, Event, ProtocolSupport, ResponseChannel};
use std::time::Duration;

/// The name it is negotiated by.
pub(super) const PROTOCOL: StreamProtocol = StreamProtocol::new("/hanse/charter/1");

/// How long a question may take from its first byte to its answer.
pub(super) const CALL_TIME: Duration = Duration::from_secs(10);

/// Questions one connection may have open, both ways together. Each may hold `CHARTER_CHAIN` bytes.
const OPEN_CALLS: usize = 2;

/// First room made for a message; more only as its bytes arrive.
const FIRST_ROOM: usize = 8 << 10;

/// The behaviour of the charter protocol.
pub(super) type Calls = Behaviour<CharterCodec>;
/// What it reports.
pub(super) type CallEvent = Event<Vec<u8>, Option<Vec<u8>>>;
/// Where an answer goes; no answer closes the stream with nothing written.
pub(super) type AnswerTo = ResponseChannel<Option<Vec<u8>>>;

/// The charter protocol, in and out.
pub(super) fn calls() -> Calls {
    let config = Config::default()
        .with_request_timeout(CALL_TIME)
        .with_max_concurrent_streams(OPEN_CALLS);
    Behaviour::new([(PROTOCOL, ProtocolSupport::Full)], config)
}

/// Reads and writes length-prefixed bytes.
#[derive(Clone, Default)]
pub(super) struct CharterCodec;

impl Codec for CharterCodec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Option<Vec<u8>>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Option<Vec<u8>>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io).await.map(Some)
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, question: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &question).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        answer: Option<Vec<u8>>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        match answer {
            Some(answer) => write(io, &answer).await,
            None => Ok(()),
        }
    }
}

async fn read<T: AsyncRead + Unpin + Send>(io: &mut T) -> io::Result<Vec<u8>> {
    let mut prefix = [0; 4];
    io.read_exact(&mut prefix).await?;
    let length = u32::from_be_bytes(prefix) as usize;
    if length > limits::CHARTER_CHAIN {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a charter message beyond its bound",
        ));
    }
    let mut message = Vec::with_capacity(length.min(FIRST_ROOM));
    io.take(length as u64).read_to_end(&mut message).await?;
    if message.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(message)
}

async fn write<T: AsyncWrite + Unpin + Send>(io: &mut T, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len())
        .ok()
        .filter(|_| message.len() <= limits::CHARTER_CHAIN)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a charter message beyond its bound"))?;
    io.write_all(&length.to_be_bytes()).await?;
    io.write_all(message).await?;
    io.flush().await
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::io::Cursor;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_is_read(message in proptest::collection::vec(any::<u8>(), 0..20_000)) {
            let mut wire = Cursor::new(Vec::new());
            block_on(write(&mut wire, &message)).unwrap();
            wire.set_position(0);
            prop_assert_eq!(block_on(read(&mut wire)).unwrap(), message);
        }

        #[test]
        fn any_bytes_are_a_message_or_an_error(wire in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(message) = block_on(read(&mut Cursor::new(&wire))) {
                prop_assert!(message.len() + 4 <= wire.len());
            }
        }
    }

    #[test]
    fn a_length_beyond_the_bound_is_refused_before_anything_is_read() {
        let wire = (limits::CHARTER_CHAIN as u32 + 1).to_be_bytes();
        let refused = block_on(read(&mut Cursor::new(wire))).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        let too_long = vec![0; limits::CHARTER_CHAIN + 1];
        assert!(block_on(write(&mut Cursor::new(Vec::new()), &too_long)).is_err());
    }
}
