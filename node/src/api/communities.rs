//! The communities that this node belongs to, and what stands where one is not.

use axum::Json as Answer;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use hanse_protocol::local;

use super::State as Held;
use super::auth::Reader;
use super::backend::Backend;
use super::problem::{self, Failure};

/// Below this each community's routes stand under its name.
pub(super) const ROOT: &str = "/communities";

/// `GET /v1/communities`.
pub(super) async fn list<B: Backend>(
    State(shared): State<Held<B>>,
    _: Reader,
) -> Answer<local::CommunitiesReply> {
    let communities = shared.all.iter().map(|mounted| {
        let charter = mounted.backend.community();
        local::CommunityEntry {
            name: mounted.name.clone(),
            member: mounted.member.clone(),
            community: charter.as_ref().map(|charter| charter.id),
            charter: charter.as_ref().map(|charter| charter.version),
            title: charter.map(|charter| charter.name),
        }
    });
    Answer(local::CommunitiesReply {
        communities: communities.collect(),
    })
}

/// Any route of a community that this node does not belong to, and none of one that it does.
pub(super) async fn elsewhere<B: Backend>(
    State(shared): State<Held<B>>,
    path: Result<Path<(String, String)>, PathRejection>,
    uri: axum::extract::OriginalUri,
) -> Failure {
    let named = path.map(|Path((name, _))| name).unwrap_or_default();
    if shared.all.iter().any(|mounted| mounted.name == named) {
        return problem::no_route(uri).await;
    }
    Failure::no_such_community(&named)
}
