//! Records and the objects in them: publishing, looking up, searching.

use axum::Json as Answer;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use hanse_protocol::identity::RecordId;
use hanse_protocol::local;
use hanse_protocol::tlp::Tlp;
use serde::Deserialize;

use super::State as Held;
use super::auth::{Publisher, Reader};
use super::backend::Backend;
use super::body::{Json, read};
use super::problem::Failure;
use crate::reading::ReadingError;

/// Records of a request that are opened to see whether its token may read them.
const LOOKED_AT: usize = 16;

/// `POST /v1/records`.
pub(super) async fn publish<B: Backend>(
    State(shared): State<Held<B>>,
    caller: Publisher,
    Json(request): Json<local::PublishRequest>,
) -> Result<Answer<local::PublishReply>, Failure> {
    check_size(&request)?;
    let mut reply = shared.backend.publish(caller.actor(), request).await?;
    reply.warnings.extend(shared.backend.shown_out());
    let ceiling = caller.ceiling();
    let doubtful = doubtful(&reply.records, ceiling);
    if !doubtful.is_empty() {
        let looked = read(&shared, move |backend| Ok(hidden(backend, &doubtful, ceiling))).await;
        // It is on disk: what cannot be told beside is no reason to say otherwise.
        reply.warnings.extend(looked.ok().flatten());
    }
    Ok(Answer(reply))
}

/// `POST /v1/preview`.
pub(super) async fn preview<B: Backend>(
    State(shared): State<Held<B>>,
    _caller: Publisher,
    Json(request): Json<local::PublishRequest>,
) -> Result<Answer<local::PreviewReply>, Failure> {
    check_size(&request)?;
    Ok(Answer(
        read(&shared, move |backend| backend.preview(&request)).await?,
    ))
}

fn check_size(request: &local::PublishRequest) -> Result<(), Failure> {
    if request.objects.is_empty() {
        return Err(Failure::invalid("there are no objects to publish"));
    }
    if request.objects.len() > local::PUBLISH_OBJECTS {
        let reason = format!(
            "{} objects in one request; {} may be",
            request.objects.len(),
            local::PUBLISH_OBJECTS
        );
        return Err(Failure::invalid(&reason));
    }
    Ok(())
}

/// The records of which all may lie above a ceiling: what is open is GREEN at most, what is sealed may
/// be RED.
fn doubtful(records: &[local::Published], ceiling: Tlp) -> Vec<RecordId> {
    let sealed = |record: &local::Published| matches!(record.readers, local::Readers::Members(_));
    records
        .iter()
        .filter(|record| ceiling < Tlp::Green || (ceiling < Tlp::Red && sealed(record)))
        .take(LOOKED_AT)
        .map(|record| record.id)
        .collect()
}

/// What is said of records that the token which published them is not shown again.
fn hidden<B: Backend>(backend: &B, records: &[RecordId], ceiling: Tlp) -> Option<String> {
    let unseen = |id: &&RecordId| matches!(backend.record(id, ceiling), Err(ReadingError::NotFound));
    let id = records.iter().find(unseen)?;
    Some(format!(
        "this token's ceiling is {ceiling}, so it is not shown record {id} again, nor what else is stricter: \
         `hansed token add red --role read --ceiling red` makes a token that is"
    ))
}

/// The query of `GET /v1/records`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
    #[serde(default)]
    objects: bool,
}

/// `GET /v1/records`.
pub(super) async fn page<B: Backend>(
    State(shared): State<Held<B>>,
    caller: Reader,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Answer<local::RecordPage>, Failure> {
    let Query(query) = query.map_err(|rejection| Failure::malformed(&rejection.body_text()))?;
    let limit = checked_limit(query.limit)?;
    let ceiling = caller.ceiling();
    let look = move |backend: &B| backend.page(query.after, limit, query.objects, ceiling);
    Ok(Answer(read(&shared, look).await?))
}

/// `GET /v1/records/{id}`.
pub(super) async fn record<B: Backend>(
    State(shared): State<Held<B>>,
    caller: Reader,
    id: Result<Path<String>, PathRejection>,
) -> Result<Answer<local::RecordView>, Failure> {
    let id: RecordId = segment(id)?
        .parse()
        .map_err(|error: hanse_protocol::identity::NameError| Failure::malformed(&error.to_string()))?;
    let ceiling = caller.ceiling();
    Ok(Answer(
        read(&shared, move |backend| backend.record(&id, ceiling)).await?,
    ))
}

/// `GET /v1/objects/{id}`.
pub(super) async fn object<B: Backend>(
    State(shared): State<Held<B>>,
    caller: Reader,
    id: Result<Path<String>, PathRejection>,
) -> Result<Answer<local::ObjectReply>, Failure> {
    let id = segment(id)?;
    let ceiling = caller.ceiling();
    Ok(Answer(
        read(&shared, move |backend| backend.object(&id, ceiling)).await?,
    ))
}

/// `POST /v1/search`.
pub(super) async fn search<B: Backend>(
    State(shared): State<Held<B>>,
    caller: Reader,
    Json(mut request): Json<local::SearchRequest>,
) -> Result<Answer<local::SearchReply>, Failure> {
    request.limit = Some(checked_limit(request.limit)?);
    let ceiling = caller.ceiling();
    Ok(Answer(
        read(&shared, move |backend| backend.search(&request, ceiling)).await?,
    ))
}

/// A variable segment of the path.
pub(super) fn segment(path: Result<Path<String>, PathRejection>) -> Result<String, Failure> {
    match path {
        Ok(Path(segment)) => Ok(segment),
        Err(rejection) => Err(Failure::malformed(&rejection.body_text())),
    }
}

/// The limit a caller gave, if it is one.
pub(super) fn checked_limit(limit: Option<usize>) -> Result<usize, Failure> {
    match limit {
        None => Ok(local::PAGE),
        Some(limit) if (1..=local::PAGE).contains(&limit) => Ok(limit),
        Some(limit) => Err(Failure::invalid(&format!(
            "a limit of {limit}; 1 to {} may be",
            local::PAGE
        ))),
    }
}
