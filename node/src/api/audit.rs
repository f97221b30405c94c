//! The audit log, for those who administer the node.

use axum::Json as Answer;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use hanse_protocol::local;
use serde::Deserialize;

use super::State as Held;
use super::auth::{Admin, Reader};
use super::backend::Backend;
use super::body::read;
use super::problem::Failure;
use super::records::checked_limit;

/// The query of `GET /v1/audit`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditQuery {
    #[serde(default)]
    from: u64,
    limit: Option<usize>,
}

/// `GET /v1/audit`.
pub(super) async fn page<B: Backend>(
    State(shared): State<Held<B>>,
    _: Admin,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Result<Answer<local::AuditPage>, Failure> {
    let Query(query) = query.map_err(|rejection| Failure::malformed(&rejection.body_text()))?;
    let limit = checked_limit(query.limit)?;
    Ok(Answer(
        read(&shared, move |backend| backend.audit(query.from, limit)).await?,
    ))
}

/// `GET /v1/audit/heads`.
pub(super) async fn heads<B: Backend>(
    State(shared): State<Held<B>>,
    _: Reader,
) -> Result<Answer<local::HeardAudits>, Failure> {
    Ok(Answer(read(&shared, |backend| backend.audit_heads()).await?))
}
