//! Who asks: the token a request bears, the role a route needs, and the Host and Origin by which a
//! web page that reaches for this machine is told from a client that is meant to.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hanse_protocol::local::Role;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::problem::{Failure, name};
use super::{Shared, State as Held, witness};
use crate::exchange::Actor;
use crate::tokens::{Token, Tokens};

/// Answered, by being dropped, once the book of tokens has been looked at.
pub(super) type Miss = oneshot::Sender<()>;

/// What a request's Authorization header turned out to be.
#[derive(Clone, Debug)]
pub(super) enum Presented {
    Nothing,
    Unknown,
    Known(Arc<Token>),
}

/// Looks up the token of every request, before anything else is done with it.
pub(super) async fn presented<B: Send + Sync + 'static>(
    State(shared): State<Held<B>>,
    mut request: Request,
    next: Next,
) -> Response {
    let presented = match bearer(request.headers()) {
        Ok(None) => Presented::Nothing,
        Err(()) => Presented::Unknown,
        Ok(Some(bearer)) => known(&shared, bearer).await,
    };
    request.extensions_mut().insert(presented.clone());
    let place = witness::place(&request);
    let response = next.run(request).await;
    let allowed = !Failure::lacks_role(&response);
    if let Some(used) = witness::used(&presented, allowed) {
        // Where many wait already, the next use tells of this one too.
        drop(shared.uses.try_send((used, place)));
    }
    response
}

/// The token, if it is known now: one that was made a moment ago is found by looking once more.
async fn known<B>(shared: &Shared<B>, bearer: &str) -> Presented {
    let find = || shared.tokens.borrow().check(bearer).map(Arc::new);
    if let Some(token) = find() {
        return Presented::Known(token);
    }
    let (looked, answer) = oneshot::channel();
    // Where others had it looked at already, this one is not worth a wait.
    if shared.misses.try_send(looked).is_ok() {
        drop(answer.await);
    }
    find().map_or(Presented::Unknown, Presented::Known)
}

/// The token in a request's headers: at most one, after the word Bearer in any case (RFC 6750).
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, ()> {
    let Some(value) = single(headers, AUTHORIZATION)? else {
        return Ok(None);
    };
    let (scheme, token) = value.split_once(' ').ok_or(())?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(Some(token.trim()))
    } else {
        Err(())
    }
}

fn single(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, ()> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match (first, values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// A caller whose token has the role a route needs. A handler that takes none is open to all.
pub(super) struct Caller<const ROLE: u8>(Arc<Token>);

/// May search and look.
pub(super) type Reader = Caller<{ Role::Read as u8 }>;
/// May publish.
pub(super) type Publisher = Caller<{ Role::Publish as u8 }>;
/// May change membership.
pub(super) type Admin = Caller<{ Role::Admin as u8 }>;

impl<const ROLE: u8> Caller<ROLE> {
    /// What this caller is shown at most.
    pub(super) fn ceiling(&self) -> hanse_protocol::tlp::Tlp {
        self.0.ceiling
    }

    /// The token itself, for what outlasts the request.
    pub(super) fn into_token(self) -> Arc<Token> {
        self.0
    }

    /// Who the audit log names.
    pub(super) fn actor(&self) -> Actor {
        Actor(format!("token {}", self.0.name))
    }
}

impl<const ROLE: u8, S: Sync> FromRequestParts<S> for Caller<ROLE> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let token = match parts.extensions.get::<Presented>() {
            Some(Presented::Known(token)) => token,
            Some(Presented::Unknown) => return Err(Failure::unauthenticated("this token is not known here")),
            Some(Presented::Nothing) | None => {
                return Err(Failure::unauthenticated("the request bears no token"));
            }
        };
        if token.roles.iter().any(|role| *role as u8 == ROLE) {
            return Ok(Self(Arc::clone(token)));
        }
        let needed = [Role::Read, Role::Publish, Role::Admin];
        let needed = needed.into_iter().find(|role| *role as u8 == ROLE);
        let needed = match needed {
            Some(Role::Publish) => "publish",
            Some(Role::Admin) => "admin",
            Some(Role::Read) | None => "read",
        };
        let detail = format!(
            "this needs a token with the role `{needed}`, which `{}` lacks",
            token.name
        );
        Err(Failure::forbidden(name::ROLE, detail))
    }
}

/// Lets through only what names this machine as its host, and no page of another origin: a name
/// that resolves to loopback must not make a browser speak for its user here.
pub(super) async fn own_host<B: Send + Sync + 'static>(
    State(shared): State<Held<B>>,
    request: Request,
    next: Next,
) -> Response {
    match check_host(&shared, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    }
}

fn check_host<B>(shared: &Shared<B>, headers: &HeaderMap) -> Result<(), Failure> {
    let host = single(headers, HOST).ok().flatten().unwrap_or_default();
    let listed = shared
        .hosts
        .iter()
        .any(|listed| listed.eq_ignore_ascii_case(host));
    if !listed && !is_loopback(host, shared.port) {
        let detail =
            "the Host header names neither this machine's loopback with this port nor a host of `api.hosts`";
        return Err(Failure::forbidden(name::HOST, detail.to_owned()));
    }
    match single(headers, ORIGIN) {
        Ok(None) => Ok(()),
        Ok(Some(origin)) if same_origin(origin, host) => Ok(()),
        _ => Err(Failure::forbidden(
            name::ORIGIN,
            "requests of other origins are not answered".to_owned(),
        )),
    }
}

fn is_loopback(host: &str, port: u16) -> bool {
    let Some((name, stated)) = host.rsplit_once(':') else {
        return false;
    };
    let address = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    let loopback = name.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    loopback && stated.parse() == Ok(port)
}

fn same_origin(origin: &str, host: &str) -> bool {
    let named = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    named.is_some_and(|named| named.eq_ignore_ascii_case(host))
}

/// Follows the book of tokens: the newest one that could be read, or one that knows nobody. It is
/// looked at every so often, and whenever a token is `missed`.
pub(super) fn follow(
    mut tokens: Tokens,
    every: Duration,
    mut missed: mpsc::Receiver<Miss>,
    stop: CancellationToken,
) -> watch::Receiver<Arc<Tokens>> {
    let (newest, receiver) = watch::channel(Arc::new(tokens.clone()));
    let following = async move {
        let mut said = None;
        loop {
            let mut missing = None;
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                Some(miss) = missed.recv() => missing = Some(miss),
            }
            let looked = tokio::task::spawn_blocking(move || {
                let looked = tokens.reload_if_changed();
                (tokens, looked)
            });
            let Ok((looked_at, looked)) = looked.await else {
                return;
            };
            tokens = looked_at;
            match looked {
                Ok(false) => {
                    drop(missing);
                    continue;
                }
                Ok(true) => said = None,
                Err(error) => {
                    let message = error.to_string();
                    if said.as_ref() != Some(&message) {
                        tracing::error!(error = %message, "tokens cannot be read: nobody is let in");
                        said = Some(message);
                    }
                }
            }
            newest.send_replace(Arc::new(tokens.clone()));
            // Whoever missed it looks again now.
            drop(missing);
        }
    };
    tokio::spawn(async move { stop.run_until_cancelled(following).await });
    receiver
}
