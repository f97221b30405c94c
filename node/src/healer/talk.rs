//! Messages on a healing stream: a length of four bytes, big endian, then the message.

use std::io;
use std::time::Duration;

use hanse_protocol::heal;
use minicbor::{Decode, Encode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// How long a peer may take over one message.
const PATIENCE: Duration = Duration::from_secs(20);

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
) -> Result<(), TalkError> {
    let bytes = heal::encode(message);
    let length = u32::try_from(bytes.len()).map_err(|_| TalkError::TooLarge(bytes.len()))?;
    let write = async {
        stream.write_all(&length.to_be_bytes()).await?;
        stream.write_all(&bytes).await
    };
    Ok(tokio::time::timeout(PATIENCE, write)
        .await
        .map_err(|_| TalkError::TooSlow)??)
}

/// Lets what was sent go out.
pub(super) async fn flush(stream: &mut (impl AsyncWrite + Unpin)) -> Result<(), TalkError> {
    Ok(tokio::time::timeout(PATIENCE, stream.flush())
        .await
        .map_err(|_| TalkError::TooSlow)??)
}

/// Receives one message of at most `most` bytes; `None` at the end of the stream.
pub(super) async fn receive<M: Encode<()> + for<'b> Decode<'b, ()>>(
    stream: &mut (impl AsyncRead + Unpin),
    most: usize,
) -> Result<Option<M>, TalkError> {
    let read = async {
        let mut length = [0; 4];
        match stream.read_exact(&mut length).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
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
            return Ok(None);
        }
        heal::decode(&bytes).map(Some).map_err(|_| TalkError::Malformed)
    };
    tokio::time::timeout(PATIENCE, read)
        .await
        .map_err(|_| TalkError::TooSlow)?
}
