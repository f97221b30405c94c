//! The charter: how it stands, and the proposals that change it.

use axum::Json as Answer;
use axum::extract::State;
use hanse_protocol::local;

use super::State as Held;
use super::auth::{Admin, Reader};
use super::backend::Backend;
use super::body::{Json, read};
use super::problem::Failure;

/// `GET /v1/community`.
pub(super) async fn community<B: Backend>(
    State(shared): State<Held<B>>,
    _: Reader,
) -> Result<Answer<local::CommunityView>, Failure> {
    let community = read(&shared, |backend| Ok(backend.community())).await?;
    community.map(Answer).ok_or_else(Failure::no_community)
}

/// `POST /v1/proposals`.
pub(super) async fn propose<B: Backend>(
    State(shared): State<Held<B>>,
    caller: Admin,
    Json(request): Json<local::ProposeRequest>,
) -> Result<Answer<local::ProposalReply>, Failure> {
    Ok(Answer(shared.backend.propose(caller.actor(), request).await?))
}

/// `POST /v1/proposals/review`.
pub(super) async fn review<B: Backend>(
    State(shared): State<Held<B>>,
    _: Admin,
    Json(file): Json<local::ProposalFile>,
) -> Result<Answer<local::ProposalView>, Failure> {
    let view = read(&shared, move |backend| backend.review(&file.file)).await?;
    view.map(Answer).ok_or_else(Failure::no_community)
}

/// `POST /v1/proposals/endorse`.
pub(super) async fn endorse<B: Backend>(
    State(shared): State<Held<B>>,
    caller: Admin,
    Json(file): Json<local::ProposalFile>,
) -> Result<Answer<local::ProposalReply>, Failure> {
    Ok(Answer(shared.backend.endorse(caller.actor(), file).await?))
}

/// `POST /v1/proposals/submit`.
pub(super) async fn submit<B: Backend>(
    State(shared): State<Held<B>>,
    caller: Admin,
    Json(file): Json<local::ProposalFile>,
) -> Result<Answer<local::ProposalReply>, Failure> {
    Ok(Answer(shared.backend.submit(caller.actor(), file).await?))
}
