//! The community: who belongs to it, how this node stands, and what changes membership.

use axum::Json as Answer;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use hanse_protocol::identity::{Handle, HandleError};
use hanse_protocol::local;

use super::State as Held;
use super::auth::{Admin, Reader};
use super::backend::Backend;
use super::body::{Json, read};
use super::problem::Failure;
use super::records::segment;

/// `GET /v1/members`.
pub(super) async fn members<B: Backend>(
    State(shared): State<Held<B>>,
    _: Reader,
) -> Result<Answer<local::MembersReply>, Failure> {
    let members = read(&shared, Backend::members).await?;
    members.map(Answer).ok_or_else(Failure::no_community)
}

/// `POST /v1/members`.
pub(super) async fn admit<B: Backend>(
    State(shared): State<Held<B>>,
    caller: Admin,
    Json(request): Json<local::AdmitRequest>,
) -> Result<Answer<local::Admission>, Failure> {
    Ok(Answer(shared.backend.admit(caller.actor(), request).await?))
}

/// `DELETE /v1/members/{handle}`.
pub(super) async fn expel<B: Backend>(
    State(shared): State<Held<B>>,
    caller: Admin,
    handle: Result<Path<String>, PathRejection>,
) -> Result<Answer<local::CharterReply>, Failure> {
    let handle: Handle = segment(handle)?
        .parse()
        .map_err(|error: HandleError| Failure::malformed(&error.to_string()))?;
    Ok(Answer(shared.backend.expel(caller.actor(), handle).await?))
}

/// `GET /v1/status`.
pub(super) async fn status<B: Backend>(
    State(shared): State<Held<B>>,
    _: Reader,
) -> Result<Answer<local::StatusReply>, Failure> {
    Ok(Answer(shared.backend.status().await?))
}

/// `POST /v1/request`.
pub(super) async fn request<B: Backend>(
    State(shared): State<Held<B>>,
    caller: Admin,
) -> Result<Answer<local::RequestReply>, Failure> {
    Ok(Answer(shared.backend.request(caller.actor()).await?))
}

/// `POST /v1/community`.
pub(super) async fn found<B: Backend>(
    State(shared): State<Held<B>>,
    caller: Admin,
    Json(request): Json<local::FoundRequest>,
) -> Result<Answer<local::Founded>, Failure> {
    Ok(Answer(shared.backend.found(caller.actor(), request).await?))
}

/// `POST /v1/join`.
pub(super) async fn join<B: Backend>(
    State(shared): State<Held<B>>,
    caller: Admin,
    Json(request): Json<local::JoinRequest>,
) -> Result<Answer<local::CharterReply>, Failure> {
    Ok(Answer(shared.backend.join(caller.actor(), request).await?))
}
