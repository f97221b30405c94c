//! Every error a caller can meet, as an RFC 9457 problem. The only place with HTTP statuses.

use std::error::Error;

use axum::Json;
use axum::extract::OriginalUri;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use hanse_protocol::local::{Problem, REQUEST};

use crate::exchange::ExchangeError;
use crate::reading::ReadingError;

/// Longest text a detail repeats from elsewhere, characters.
const DETAIL: usize = 400;

/// The stable names of problems, after `urn:hanse:problem:`.
pub(super) mod name {
    pub(crate) const UNAUTHENTICATED: &str = "unauthenticated";
    pub(crate) const ROLE: &str = "role";
    pub(crate) const HOST: &str = "host";
    pub(crate) const ORIGIN: &str = "origin";
    pub(crate) const NO_ROUTE: &str = "no-route";
    pub(crate) const METHOD: &str = "method";
    pub(crate) const MEDIA_TYPE: &str = "media-type";
    pub(crate) const TOO_LARGE: &str = "too-large";
    pub(crate) const SLOW: &str = "slow";
    pub(crate) const MALFORMED: &str = "malformed";
    pub(crate) const INVALID: &str = "invalid";
    pub(crate) const NOT_FOUND: &str = "not-found";
    pub(crate) const UNKNOWN_MEMBER: &str = "unknown-member";
    pub(crate) const NO_COMMUNITY: &str = "no-community";
    pub(crate) const UNKNOWN_COMMUNITY: &str = "unknown-community";
    pub(crate) const HAS_COMMUNITY: &str = "has-community";
    pub(crate) const FINGERPRINT: &str = "fingerprint";
    pub(crate) const ENDORSEMENTS: &str = "endorsements";
    pub(crate) const ENDORSED: &str = "endorsed";
    pub(crate) const FROZEN: &str = "frozen";
    pub(crate) const PREVIEW: &str = "preview";
    pub(crate) const BUSY: &str = "busy";
    pub(crate) const BUDGET: &str = "budget";
    pub(crate) const CLOCK: &str = "clock";
    pub(crate) const FULL: &str = "full";
    pub(crate) const RESTORED: &str = "restored";
    pub(crate) const STOPPING: &str = "stopping";
    pub(crate) const INTERNAL: &str = "internal";

    /// All of them.
    pub(crate) const ALL: [&str; 28] = [
        UNAUTHENTICATED,
        ROLE,
        HOST,
        ORIGIN,
        NO_ROUTE,
        METHOD,
        MEDIA_TYPE,
        TOO_LARGE,
        SLOW,
        MALFORMED,
        INVALID,
        NOT_FOUND,
        UNKNOWN_MEMBER,
        NO_COMMUNITY,
        UNKNOWN_COMMUNITY,
        HAS_COMMUNITY,
        FINGERPRINT,
        ENDORSEMENTS,
        ENDORSED,
        FROZEN,
        PREVIEW,
        BUSY,
        BUDGET,
        CLOCK,
        FULL,
        RESTORED,
        STOPPING,
        INTERNAL,
    ];
}

/// An answer that is a problem.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    name: &'static str,
    title: &'static str,
    detail: String,
}

impl Failure {
    fn new(status: StatusCode, name: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self {
            status,
            name,
            title,
            detail,
        }
    }

    pub(super) fn unauthenticated(detail: &str) -> Self {
        let detail = format!("{detail}; `hansed token list` shows the tokens there are");
        let title = "a known token is needed";
        Self::new(StatusCode::UNAUTHORIZED, name::UNAUTHENTICATED, title, detail)
    }

    pub(super) fn forbidden(name: &'static str, detail: String) -> Self {
        Self::new(StatusCode::FORBIDDEN, name, "not allowed", detail)
    }

    /// Whether an answer turns a caller away for what its token may not.
    pub(super) fn lacks_role(response: &Response) -> bool {
        response.status() == StatusCode::FORBIDDEN
    }

    pub(super) fn media_type() -> Self {
        let detail = "the Content-Type is to be `application/json`";
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            name::MEDIA_TYPE,
            "the body is no JSON",
            detail,
        )
    }

    pub(super) fn too_large() -> Self {
        let detail = format!("a body may have {REQUEST} bytes: send fewer objects at once");
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            name::TOO_LARGE,
            "the body is too large",
            detail,
        )
    }

    pub(super) fn slow() -> Self {
        let detail = "the body did not arrive in time";
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            name::SLOW,
            "the request took too long",
            detail,
        )
    }

    pub(super) fn malformed(reason: &str) -> Self {
        let title = "the request cannot be read";
        Self::new(StatusCode::BAD_REQUEST, name::MALFORMED, title, shortened(reason))
    }

    pub(super) fn invalid(reason: &str) -> Self {
        let title = "the request breaks a rule";
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            name::INVALID,
            title,
            shortened(reason),
        )
    }

    pub(super) fn no_community() -> Self {
        ExchangeError::NoCommunity.into()
    }

    pub(super) fn no_such_community(name: &str) -> Self {
        let detail = format!(
            "this node belongs to none called `{}`; `GET /v1/communities` and `hanse communities` list them",
            shortened(name)
        );
        Self::not_found(name::UNKNOWN_COMMUNITY, "no such community here", detail)
    }

    pub(super) fn busy(detail: &str) -> Self {
        let detail = format!("{detail}; try again in a second");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            name::BUSY,
            "the node is busy",
            detail,
        )
    }

    pub(super) fn stopping() -> Self {
        let detail = "the node is shutting down: nothing was done";
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            name::STOPPING,
            "the node is shutting down",
            detail,
        )
    }

    pub(super) fn internal(detail: &str) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            name::INTERNAL,
            "the node failed",
            detail,
        )
    }

    fn conflict(name: &'static str, title: &'static str, detail: String) -> Self {
        Self::new(StatusCode::CONFLICT, name, title, detail)
    }

    fn not_found(name: &'static str, title: &'static str, detail: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, name, title, detail)
    }
}

impl From<ExchangeError> for Failure {
    fn from(error: ExchangeError) -> Self {
        let text = error.to_string();
        match error {
            ExchangeError::NoCommunity => {
                let detail = format!("{text}: found one, or join one with an invite");
                Self::conflict(name::NO_COMMUNITY, "no community", detail)
            }
            ExchangeError::HasCommunity => Self::conflict(name::HAS_COMMUNITY, "a community already", text),
            ExchangeError::Fingerprint => Self::conflict(name::FINGERPRINT, "another fingerprint", text),
            ExchangeError::Endorsements(_) => {
                Self::conflict(name::ENDORSEMENTS, "more stewards must sign", text)
            }
            ExchangeError::Endorsed { .. } => {
                let detail = format!("{text}; `again` opens a later round, which is kept as evidence");
                Self::conflict(name::ENDORSED, "another was endorsed", detail)
            }
            ExchangeError::Forgotten(_) => {
                let detail = format!(
                    "{text}; `again` signs all the same: after `hanse community renew --again`, if nobody \
                     knows of another, further changes go on as ever"
                );
                Self::conflict(name::ENDORSED, "another may have been endorsed", detail)
            }
            ExchangeError::Preview(_) => Self::conflict(name::PREVIEW, "not as it was previewed", text),
            ExchangeError::Frozen(_) => Self::conflict(name::FROZEN, "nothing is sealed now", text),
            ExchangeError::Invalid(reason) => Self::invalid(&reason),
            ExchangeError::UnknownMember(_) => Self::not_found(name::UNKNOWN_MEMBER, "no such member", text),
            ExchangeError::Busy => Self::busy(&text),
            ExchangeError::Stopped => Self::stopping(),
            ExchangeError::Budget { .. } => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                name::BUDGET,
                "the day's budget is spent",
                text,
            ),
            ExchangeError::Clock(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                name::CLOCK,
                "the clock is astray",
                text,
            ),
            ExchangeError::Full => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                name::FULL,
                "the disk is full",
                text,
            ),
            ExchangeError::Restored => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                name::RESTORED,
                "waiting for own records",
                text,
            ),
            ExchangeError::Store(source) => {
                tracing::error!(error = chain(source.as_ref()), "{text}");
                Self::internal(
                    "the store did not take it and nothing was acknowledged; the daemon's messages say more",
                )
            }
        }
    }
}

impl From<ReadingError> for Failure {
    fn from(error: ReadingError) -> Self {
        let text = error.to_string();
        match error {
            ReadingError::Value(reason) => Self::invalid(&reason),
            ReadingError::NotFound => {
                let detail = format!("{text} is held here that this token may see");
                Self::not_found(name::NOT_FOUND, "not found", detail)
            }
            ReadingError::Store(source) => {
                tracing::error!(error = chain(source.as_ref()), "{text}");
                Self::internal("the store could not be read; the daemon's messages say more")
            }
        }
    }
}

impl Failure {
    /// The document that tells it.
    pub(super) fn problem(&self) -> Problem {
        Problem {
            kind: format!("urn:hanse:problem:{}", self.name),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.problem())).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"hanse\""),
            );
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Answers what asks for a route there is none of.
pub(super) async fn no_route(OriginalUri(_): OriginalUri) -> Failure {
    let detail = "there is no such route; those there are begin with /v1 or /communities/NAME/v1".to_owned();
    Failure::not_found(name::NO_ROUTE, "no such route", detail)
}

/// Answers what asks a route for something it does not do.
pub(super) async fn no_method(method: Method) -> Failure {
    let detail = format!("this route does not answer {}", shortened(method.as_str()));
    Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        name::METHOD,
        "no such method here",
        detail,
    )
}

fn shortened(text: &str) -> String {
    text.chars().take(DETAIL).collect()
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
