//! What leaves: records that are taken back, and what has passed its time.

use axum::Json as Answer;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use hanse_protocol::identity::RecordId;
use hanse_protocol::local;

use super::State as Held;
use super::auth::{Admin, Publisher};
use super::backend::Backend;
use super::body::Json;
use super::problem::Failure;
use super::records::segment;

/// `POST /v1/records/{id}/retract`.
pub(super) async fn retract<B: Backend>(
    State(shared): State<Held<B>>,
    caller: Publisher,
    id: Result<Path<String>, PathRejection>,
) -> Result<Answer<local::RetractReply>, Failure> {
    let id: RecordId = segment(id)?
        .parse()
        .map_err(|error: hanse_protocol::identity::NameError| Failure::malformed(&error.to_string()))?;
    Ok(Answer(shared.backend.retract(caller.actor(), id).await?))
}

/// `POST /v1/retain`.
pub(super) async fn retain<B: Backend>(
    State(shared): State<Held<B>>,
    caller: Admin,
    Json(request): Json<local::RetainRequest>,
) -> Result<Answer<local::RetainReply>, Failure> {
    let answer = shared.backend.retain(caller.actor(), request.confirm);
    Ok(Answer(answer.await?))
}
