//! Questions about policies: what is to be said of them, and why somebody got something or did not.

use axum::Json as Answer;
use axum::extract::State;
use hanse_protocol::local;

use super::State as Held;
use super::auth::Reader;
use super::backend::Backend;
use super::body::{Json, read};
use super::problem::Failure;

/// `POST /v1/policy/check`.
pub(super) async fn check<B: Backend>(
    State(shared): State<Held<B>>,
    _caller: Reader,
    Json(request): Json<local::PolicyCheckRequest>,
) -> Result<Answer<local::PolicyCheckReply>, Failure> {
    Ok(Answer(
        read(&shared, move |backend| backend.check_policies(request)).await?,
    ))
}

/// `POST /v1/policy/explain`.
pub(super) async fn explain<B: Backend>(
    State(shared): State<Held<B>>,
    _caller: Reader,
    Json(request): Json<local::ExplainRequest>,
) -> Result<Answer<local::Explanation>, Failure> {
    Ok(Answer(
        read(&shared, move |backend| backend.explain(&request)).await?,
    ))
}
