//! How much is taken in: requests at once, bytes of a body, and reads of the store at once.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hanse_protocol::local;
use serde::de::DeserializeOwned;

use super::State as Held;
use super::backend::Backend;
use super::problem::Failure;
use crate::reading::ReadingError;

/// How long a client may take to send its body, which comes from this machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Lets as many requests through as may be under way at once, and tells the others to come back.
pub(super) async fn few_at_once<B: Send + Sync + 'static>(
    State(shared): State<Held<B>>,
    request: Request,
    next: Next,
) -> Response {
    match shared.requests.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => Failure::busy("too many requests are under way").into_response(),
    }
}

/// A JSON body, bounded in size and in time.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        // Asking for this type keeps a foreign page's plain form post out, which needs no consent.
        if !is_json(request.headers()) {
            return Err(Failure::media_type());
        }
        let declared = text(request.headers(), CONTENT_LENGTH).and_then(|length| length.parse().ok());
        if declared.is_some_and(|length: usize| length > local::REQUEST) {
            return Err(Failure::too_large());
        }
        let bytes = match tokio::time::timeout(PATIENCE, Bytes::from_request(request, state)).await {
            Err(_) => return Err(Failure::slow()),
            Ok(Err(BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)))) => {
                return Err(Failure::too_large());
            }
            Ok(Err(_)) => return Err(Failure::malformed("the body ended early")),
            Ok(Ok(bytes)) => bytes,
        };
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Failure::malformed(&error.to_string()))
    }
}

/// The bound that reading a body keeps to.
pub(super) fn limit() -> DefaultBodyLimit {
    DefaultBodyLimit::max(local::REQUEST)
}

fn is_json(headers: &HeaderMap) -> bool {
    let media = text(headers, CONTENT_TYPE).and_then(|value| value.split(';').next());
    media.is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Reads the store on a blocking thread, when one of few is free.
pub(super) async fn read<B, T>(
    shared: &Held<B>,
    look: impl FnOnce(&B) -> Result<T, ReadingError> + Send + 'static,
) -> Result<T, Failure>
where
    B: Backend,
    T: Send + 'static,
{
    let permit = Arc::clone(&shared.reads).acquire_owned().await;
    let permit = permit.map_err(|_| Failure::stopping())?;
    let backend = shared.backend.clone();
    let look = move || {
        // Kept until the read ends, though the asker may have left long before.
        let _permit = permit;
        look(&backend)
    };
    let looked = tokio::task::spawn_blocking(look).await;
    match looked {
        Ok(looked) => looked.map_err(Failure::from),
        Err(error) => {
            tracing::error!(%error, "a read of the store ended early");
            Err(Failure::internal(
                "the read ended early; the daemon's messages say more",
            ))
        }
    }
}
