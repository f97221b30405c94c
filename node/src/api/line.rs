//! One line a request in the daemon's messages, and what every answer carries. The route's pattern
//! is written, never the path: ids and values of callers stay out of messages.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::Next;
use axum::response::Response;

use super::auth::Presented;

/// Serves a request and writes its line.
pub(super) async fn written(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let token = match request.extensions().get::<Presented>() {
        Some(Presented::Known(token)) => token.name.clone(),
        Some(Presented::Unknown) => "unknown".to_owned(),
        Some(Presented::Nothing) | None => "none".to_owned(),
    };
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    tracing::info!(
        %method,
        route = route.as_ref().map_or("none", MatchedPath::as_str),
        status = response.status().as_u16(),
        micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        token,
        "request"
    );
    response
}
