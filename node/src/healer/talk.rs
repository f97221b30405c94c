//! Messages on a healing stream: a length of four bytes, big endian, then the message.

use std::io;
use std::time::Duration;

use hanse_protocol::heal;
use minicbor::{Decode, Encode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

/// How long a peer may take over one message.
const OF_A_MESSAGE: Duration = Duration::from_secs(20);

/// How long a peer may be waited for in one conversation.
const OF_A_CONVERSATION: Duration = Duration::from_secs(30);

/// What each byte that passes gives back of it: two KiB a second keep a conversation up, and one that
/// drips does not.
const A_BYTE: Duration = Duration::from_micros(488);

/// How much longer the other end of a conversation is waited for.
#[derive(Debug)]
pub(super) struct Patience {
    left: Duration,
    most: Duration,
    of_a_message: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self::of(OF_A_CONVERSATION, OF_A_MESSAGE)
    }
}

impl Patience {
    fn of(a_conversation: Duration, of_a_message: Duration) -> Self {
        Self {
            left: a_conversation,
            most: a_conversation,
            of_a_message,
        }
    }

    /// Waits for `step`, which tells how many bytes it passed.
    async fn wait<T>(
        &mut self,
        step: impl Future<Output = Result<(T, usize), TalkError>>,
    ) -> Result<T, TalkError> {
        let started = Instant::now();
        let stepped = tokio::time::timeout(self.left.min(self.of_a_message), step).await;
        self.left = self.left.saturating_sub(started.elapsed());
        let (value, bytes) = stepped.map_err(|_| TalkError::TooSlow)??;
        let gained = A_BYTE.saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX));
        self.left = self.left.saturating_add(gained).min(self.most);
        Ok(value)
    }
}

/// Why a conversation stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum TalkError {
    #[error("the stream failed")]
    Stream(#[from] io::Error),
    #[error("the peer took too long")]
    TooSlow,
    #[error("the peer sent a message of {0} bytes")]
    TooLarge(usize),
    #[error("the peer sent what is no message")]
    Malformed,
}

/// Sends one message.
pub(super) async fn send<M: Encode<()>>(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &M,
    patience: &mut Patience,
) -> Result<(), TalkError> {
    let bytes = heal::encode(message);
    let length = u32::try_from(bytes.len()).map_err(|_| TalkError::TooLarge(bytes.len()))?;
    let write = async {
        stream.write_all(&length.to_be_bytes()).await?;
        stream.write_all(&bytes).await?;
        Ok(((), bytes.len()))
    };
    patience.wait(write).await
}

/// Lets what was sent go out.
pub(super) async fn flush(
    stream: &mut (impl AsyncWrite + Unpin),
    patience: &mut Patience,
) -> Result<(), TalkError> {
    patience.wait(async { Ok((stream.flush().await?, 0)) }).await
}

/// Receives one message of at most `most` bytes; `None` at the end of the stream.
pub(super) async fn receive<M: Encode<()> + for<'b> Decode<'b, ()>>(
    stream: &mut (impl AsyncRead + Unpin),
    most: usize,
    patience: &mut Patience,
) -> Result<Option<M>, TalkError> {
    let read = async {
        let mut length = [0; 4];
        match stream.read_exact(&mut length).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok((None, 0)),
            Err(error) => return Err(error.into()),
        }
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > most {
            return Err(TalkError::TooLarge(length));
        }
        // Grown as bytes come: a length alone allocates nothing.
        let mut bytes = Vec::new();
        let limit = u64::try_from(length).unwrap_or(u64::MAX);
        (&mut *stream).take(limit).read_to_end(&mut bytes).await?;
        if bytes.len() < length {
            return Ok((None, 0));
        }
        let message = heal::decode(&bytes).map_err(|_| TalkError::Malformed)?;
        Ok((Some(message), length))
    };
    patience.wait(read).await
}

#[cfg(test)]
mod tests {
    use hanse_protocol::heal::Answer;
    use tokio::io::duplex;

    use super::*;

    /// A message as it travels, of a body of this size.
    fn message(size: usize) -> Vec<u8> {
        let bytes = heal::encode(&Answer::Body(vec![7; size]));
        [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), &bytes[..]].concat()
    }

    fn short() -> Patience {
        Patience::of(Duration::from_millis(400), Duration::from_millis(250))
    }

    #[tokio::test]
    async fn small_messages_that_drip_end_a_conversation() {
        let (mut near, mut far) = duplex(1 << 20);
        let drip = tokio::spawn(async move {
            // Each message comes in time; together they would go on for ever.
            while far.write_all(&message(30)).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let mut patience = short();
        let ended = loop {
            match receive::<Answer>(&mut near, 1 << 20, &mut patience).await {
                Ok(Some(_)) => {}
                other => break other,
            }
        };
        assert!(matches!(ended, Err(TalkError::TooSlow)));
        drip.abort();
    }

    #[tokio::test]
    async fn a_byte_now_and_then_ends_a_message() {
        let (mut near, mut far) = duplex(1 << 20);
        let drip = tokio::spawn(async move {
            for byte in message(300) {
                far.write_all(&[byte]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let ended = receive::<Answer>(&mut near, 1 << 20, &mut short()).await;
        assert!(matches!(ended, Err(TalkError::TooSlow)));
        drip.abort();
    }

    #[tokio::test]
    async fn one_that_does_not_read_ends_a_conversation() {
        let (mut near, _far) = duplex(64);
        let ended = send(&mut near, &Answer::Body(vec![7; 1_000]), &mut short()).await;
        assert!(matches!(ended, Err(TalkError::TooSlow)));
    }

    #[tokio::test]
    async fn a_thin_line_may_take_as_long_as_it_needs() {
        let (mut near, mut far) = duplex(1 << 20);
        tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_millis(80)).await;
                far.write_all(&message(32 << 10)).await.unwrap();
            }
        });
        let mut patience = short();
        for _ in 0..10 {
            let received = receive::<Answer>(&mut near, 1 << 20, &mut patience).await;
            assert!(matches!(received, Ok(Some(_))));
        }
    }
}
