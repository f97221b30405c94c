//! What needs no token: whether the daemon answers, and its numbers, which name no member.

use std::sync::PoisonError;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::State as Held;
use super::problem::Failure;
use crate::metrics::merged;

/// `GET /healthz`.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /metrics`, in the OpenMetrics text format: of every community, by a label.
pub(super) async fn metrics<B: Send + Sync + 'static>(
    State(shared): State<Held<B>>,
) -> Result<Response, Failure> {
    let written = shared.all.iter().map(|mounted| {
        let registry = mounted.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).map(|()| text)
    });
    let texts: Result<Vec<String>, _> = written.collect();
    let texts = texts.map_err(|_| Failure::internal("the metrics could not be written"))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, kind)], merged(&texts)).into_response())
}
