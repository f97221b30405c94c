//! Every route, in one table: the router is made from it, and so is the OpenAPI document.

use axum::Router;
use axum::routing::{MethodRouter, any, delete, get, post};
use hanse_protocol::local::Role;

use super::backend::Backend;
use super::{
    State, audit, charter, communities, community, events, health, keeping, openapi, policy, quarantine,
    records,
};

/// What an answer holds.
#[derive(Clone, Copy)]
pub(super) enum Gives {
    /// JSON of this schema.
    Json(&'static str),
    /// Any JSON object.
    Document,
    /// Server-sent events, whose data have this schema.
    Events(&'static str),
    /// Text of this media type.
    Text(&'static str),
}

/// One route and method.
pub(super) struct Route<B> {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// The role it needs; `None` if no token is needed.
    pub(super) role: Option<Role>,
    pub(super) summary: &'static str,
    /// Its query: names, and the types of JSON their values have.
    pub(super) query: &'static [(&'static str, &'static str)],
    /// Schema of the body it takes.
    pub(super) takes: Option<&'static str>,
    pub(super) gives: Gives,
    handler: MethodRouter<State<B>>,
}

impl<B> Route<B> {
    fn new(
        (method, path): (&'static str, &'static str),
        role: Option<Role>,
        summary: &'static str,
        gives: Gives,
        handler: MethodRouter<State<B>>,
    ) -> Self {
        Self {
            method,
            path,
            role,
            summary,
            query: &[],
            takes: None,
            gives,
            handler,
        }
    }

    fn query(self, query: &'static [(&'static str, &'static str)]) -> Self {
        Self { query, ..self }
    }

    fn takes(self, schema: &'static str) -> Self {
        Self {
            takes: Some(schema),
            ..self
        }
    }
}

/// The table. What each route takes and answers is in `hanse_protocol::local`.
pub(super) fn table<B: Backend>() -> Vec<Route<B>> {
    let (reads, publishes, administers) = (Some(Role::Read), Some(Role::Publish), Some(Role::Admin));
    let text = "application/openmetrics-text";
    #[rustfmt::skip]
    let table = vec![
        Route::new(("post", "/v1/records"), publishes, "Publish objects; answers after the commit", Gives::Json("PublishReply"), post(records::publish::<B>)).takes("PublishRequest"),
        Route::new(("post", "/v1/preview"), publishes, "Who would get what; does nothing", Gives::Json("PreviewReply"), post(records::preview::<B>)).takes("PublishRequest"),
        Route::new(("post", "/v1/policy/check"), reads, "Errors, likely mistakes and expectations of policies", Gives::Json("PolicyCheckReply"), post(policy::check::<B>)).takes("PolicyCheckRequest"),
        Route::new(("post", "/v1/policy/explain"), reads, "Why a partner got a record, or did not", Gives::Json("Explanation"), post(policy::explain::<B>)).takes("ExplainRequest"),
        Route::new(("get", "/v1/records"), reads, "Records in the order they became complete here", Gives::Json("RecordPage"), get(records::page::<B>)).query(&[("after", "integer"), ("limit", "integer"), ("objects", "boolean")]),
        Route::new(("get", "/v1/records/{id}"), reads, "One record", Gives::Json("RecordView"), get(records::record::<B>)),
        Route::new(("post", "/v1/records/{id}/retract"), publishes, "Take back a record of this member", Gives::Json("RetractReply"), post(keeping::retract::<B>)),
        Route::new(("get", "/v1/objects/{id}"), reads, "The versions of a STIX object", Gives::Json("ObjectReply"), get(records::object::<B>)),
        Route::new(("post", "/v1/search"), reads, "Objects that hold an observable", Gives::Json("SearchReply"), post(records::search::<B>)).takes("SearchRequest"),
        Route::new(("get", "/v1/events"), reads, "Records as they become complete; resumable by Last-Event-ID or after", Gives::Events("RecordView"), get(events::events::<B>)).query(&[("after", "integer"), ("objects", "boolean")]),
        Route::new(("get", "/v1/quarantine"), reads, "Records that wait for a person to look at them", Gives::Json("QuarantinePage"), get(quarantine::page::<B>)).query(&[("after", "string"), ("limit", "integer")]),
        Route::new(("get", "/v1/quarantine/{id}"), reads, "A record in quarantine, with its objects", Gives::Json("QuarantinedRecord"), get(quarantine::one::<B>)),
        Route::new(("post", "/v1/quarantine/{id}/release"), publishes, "Show a record that was in quarantine, or was dropped", Gives::Json("ReviewReply"), post(quarantine::release::<B>)),
        Route::new(("post", "/v1/quarantine/{id}/drop"), publishes, "Do not show a record that is in quarantine", Gives::Json("ReviewReply"), post(quarantine::put_away::<B>)),
        Route::new(("get", "/v1/members"), reads, "The members of the community", Gives::Json("MembersReply"), get(community::members::<B>)),
        Route::new(("post", "/v1/members"), administers, "Admit who wrote a request", Gives::Json("Admission"), post(community::admit::<B>)).takes("AdmitRequest"),
        Route::new(("delete", "/v1/members/{handle}"), administers, "Expel a member", Gives::Json("CharterReply"), delete(community::expel::<B>)),
        Route::new(("get", "/v1/status"), reads, "Health and numbers of the node", Gives::Json("StatusReply"), get(community::status::<B>)),
        Route::new(("post", "/v1/request"), administers, "Write a request to join a community", Gives::Json("RequestReply"), post(community::request::<B>)),
        Route::new(("post", "/v1/community"), administers, "Found a community", Gives::Json("Founded"), post(community::found::<B>)).takes("FoundRequest"),
        Route::new(("get", "/v1/community"), reads, "The charter in force and what is known beside it", Gives::Json("CommunityView"), get(charter::community::<B>)),
        Route::new(("post", "/v1/proposals"), administers, "Propose a change of the charter", Gives::Json("ProposalReply"), post(charter::propose::<B>)).takes("ProposeRequest"),
        Route::new(("post", "/v1/proposals/review"), administers, "What a proposal changes; does nothing", Gives::Json("ProposalView"), post(charter::review::<B>)).takes("ProposalFile"),
        Route::new(("post", "/v1/proposals/endorse"), administers, "Sign a proposal", Gives::Json("ProposalReply"), post(charter::endorse::<B>)).takes("ProposalFile"),
        Route::new(("post", "/v1/proposals/submit"), administers, "Take in a proposal's signatures", Gives::Json("ProposalReply"), post(charter::submit::<B>)).takes("ProposalFile"),
        Route::new(("post", "/v1/join"), administers, "Join the community of an invite", Gives::Json("CharterReply"), post(community::join::<B>)).takes("JoinRequest"),
        Route::new(("post", "/v1/retain"), administers, "Look now for what has expired; the clock may be confirmed", Gives::Json("RetainReply"), post(keeping::retain::<B>)).takes("RetainRequest"),
        Route::new(("get", "/v1/audit"), administers, "Lines of the audit log", Gives::Json("AuditPage"), get(audit::page::<B>)).query(&[("from", "integer"), ("limit", "integer")]),
        Route::new(("get", "/v1/audit/heads"), reads, "What other nodes said of their audit logs", Gives::Json("HeardAudits"), get(audit::heads::<B>)),
        Route::new(("get", "/v1/communities"), reads, "The communities of this node", Gives::Json("CommunitiesReply"), get(communities::list::<B>)),
        Route::new(("get", "/v1/openapi.json"), None, "This document", Gives::Document, get(openapi::openapi::<B>)),
        Route::new(("get", "/healthz"), None, "Whether the daemon answers", Gives::Text("text/plain"), get(health::healthz)),
        Route::new(("get", "/metrics"), None, "Numbers, without members' names", Gives::Text(text), get(health::metrics::<B>)),
    ];
    table
}

impl<B> Route<B> {
    /// Whether it is there for each community, rather than once for the node.
    pub(super) fn is_of_a_community(&self) -> bool {
        self.path.starts_with("/v1/")
    }
}

/// The router of the table, for the first community.
pub(super) fn router<B: Backend>() -> Router<State<B>> {
    let routes = table().into_iter().fold(Router::new(), add);
    let elsewhere = format!("{}/{{name}}/{{*rest}}", communities::ROOT);
    routes.route(&elsewhere, any(communities::elsewhere::<B>))
}

/// The routes that are there for each community, to be mounted under its name.
pub(super) fn named<B: Backend>() -> Router<State<B>> {
    let routes = table().into_iter().filter(Route::is_of_a_community);
    routes.fold(Router::new(), add)
}

fn add<B: Backend>(router: Router<State<B>>, route: Route<B>) -> Router<State<B>> {
    router.route(route.path, route.handler)
}
