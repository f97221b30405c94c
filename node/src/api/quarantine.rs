//! What the receiving policy keeps back: looked at by readers, decided of by who may publish.

use axum::Json as Answer;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use hanse_protocol::identity::{NameError, RecordId};
use hanse_protocol::local;
use serde::Deserialize;

use super::State as Held;
use super::auth::{Publisher, Reader};
use super::backend::Backend;
use super::body::read;
use super::problem::Failure;
use super::records::{checked_limit, segment};

/// The query of `GET /v1/quarantine`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    after: Option<RecordId>,
    limit: Option<usize>,
}

/// `GET /v1/quarantine`.
pub(super) async fn page<B: Backend>(
    State(shared): State<Held<B>>,
    caller: Reader,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Answer<local::QuarantinePage>, Failure> {
    let Query(query) = query.map_err(|rejection| Failure::malformed(&rejection.body_text()))?;
    let limit = checked_limit(query.limit)?;
    let ceiling = caller.ceiling();
    let look = move |backend: &B| backend.quarantine(query.after, limit, ceiling);
    Ok(Answer(read(&shared, look).await?))
}

/// `GET /v1/quarantine/{id}`.
pub(super) async fn one<B: Backend>(
    State(shared): State<Held<B>>,
    caller: Reader,
    id: Result<Path<String>, PathRejection>,
) -> Result<Answer<local::QuarantinedRecord>, Failure> {
    let id = named(id)?;
    let ceiling = caller.ceiling();
    let look = move |backend: &B| backend.quarantined(&id, ceiling);
    Ok(Answer(read(&shared, look).await?))
}

/// `POST /v1/quarantine/{id}/release`.
pub(super) async fn release<B: Backend>(
    State(shared): State<Held<B>>,
    caller: Publisher,
    id: Result<Path<String>, PathRejection>,
) -> Result<Answer<local::ReviewReply>, Failure> {
    let id = seen(&shared, &caller, id).await?;
    Ok(Answer(shared.backend.release(caller.actor(), id).await?))
}

/// `POST /v1/quarantine/{id}/drop`.
pub(super) async fn put_away<B: Backend>(
    State(shared): State<Held<B>>,
    caller: Publisher,
    id: Result<Path<String>, PathRejection>,
) -> Result<Answer<local::ReviewReply>, Failure> {
    let id = seen(&shared, &caller, id).await?;
    Ok(Answer(shared.backend.put_away(caller.actor(), id).await?))
}

/// The record that is meant, if this caller may know of it: who does not see what it says does not decide
/// of it.
async fn seen<B: Backend>(
    shared: &Held<B>,
    caller: &Publisher,
    id: Result<Path<String>, PathRejection>,
) -> Result<RecordId, Failure> {
    let id = named(id)?;
    let ceiling = caller.ceiling();
    read(shared, move |backend: &B| backend.reviewable(&id, ceiling)).await?;
    Ok(id)
}

fn named(id: Result<Path<String>, PathRejection>) -> Result<RecordId, Failure> {
    segment(id)?
        .parse()
        .map_err(|error: NameError| Failure::malformed(&error.to_string()))
}
