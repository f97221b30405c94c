//! The API's description (OpenAPI 3.1), made from the table of routes, the names of problems and
//! the schemas in the file beside.

use axum::Json as Answer;
use hanse_protocol::local::Role;
use serde_json::{Map, Value, json};

use super::backend::Backend;
use super::problem::{Failure, name};
use super::routes::{Gives, Route, table};
use crate::settings::FIRST;

/// The schemas of what is taken and given, which mirror `hanse_protocol::local`.
const SCHEMAS: &str = include_str!("openapi/schemas.json");

/// `GET /v1/openapi.json`.
pub(super) async fn openapi<B: Backend>() -> Result<Answer<Value>, Failure> {
    document::<B>()
        .map(Answer)
        .map_err(|_| Failure::internal("the description cannot be made"))
}

/// The whole document.
pub(super) fn document<B: Backend>() -> Result<Value, serde_json::Error> {
    let mut schemas: Value = serde_json::from_str(SCHEMAS)?;
    let names = name::ALL.map(|name| format!("urn:hanse:problem:{name}"));
    if let Some(kind) = schemas.pointer_mut("/Problem/properties/type") {
        *kind = json!({"type": "string", "enum": names});
    }
    let mut paths: Map<String, Value> = Map::new();
    for route in table::<B>() {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(route.method.to_owned(), operation(&route));
        }
    }
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "The local API of a Hanse node",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "servers": [
            {"url": "/", "description": "the node's first community"},
            {
                "url": "/communities/{community}",
                "description": "any community of the node, by its name",
                "variables": {"community": {"default": FIRST}},
            },
        ],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }))
}

fn operation<B>(route: &Route<B>) -> Value {
    let summary = match route.role {
        Some(role) => format!("{} (role {})", route.summary, role_name(role)),
        None => route.summary.to_owned(),
    };
    let security = match route.role {
        Some(_) => json!([{"token": []}]),
        None => json!([]),
    };
    let mut operation = json!({
        "summary": summary,
        "security": security,
        "parameters": parameters(route),
        "responses": {
            "200": {"description": "done", "content": content(route.gives)},
            "default": {
                "description": "refused; the problem says why",
                "content": {"application/problem+json": {"schema": reference("Problem")}},
            },
        },
    });
    if let (false, Some(operation)) = (route.is_of_a_community(), operation.as_object_mut()) {
        operation.insert("servers".to_owned(), json!([{"url": "/"}]));
    }
    if let (Some(schema), Some(operation)) = (route.takes, operation.as_object_mut()) {
        let content = json!({"application/json": {"schema": reference(schema)}});
        operation.insert(
            "requestBody".to_owned(),
            json!({"required": true, "content": content}),
        );
    }
    operation
}

fn parameters<B>(route: &Route<B>) -> Vec<Value> {
    let segments = route.path.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        Some(json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
    });
    let query = route
        .query
        .iter()
        .map(|(name, kind)| json!({"name": name, "in": "query", "schema": {"type": kind}}));
    let mut parameters: Vec<Value> = segments.chain(query).collect();
    if matches!(route.gives, Gives::Events(_)) {
        let position = json!({"type": "integer"});
        parameters.push(json!({"name": "Last-Event-ID", "in": "header", "schema": position}));
    }
    parameters
}

fn content(gives: Gives) -> Value {
    match gives {
        Gives::Json(schema) => json!({"application/json": {"schema": reference(schema)}}),
        Gives::Document => json!({"application/json": {"schema": {"type": "object"}}}),
        // OpenAPI 3.1 has no word for a stream: the schema is that of an event's data.
        Gives::Events(schema) => json!({"text/event-stream": {"schema": reference(schema)}}),
        Gives::Text(media) => json!({media: {"schema": {"type": "string"}}}),
    }
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Read => "read",
        Role::Publish => "publish",
        Role::Admin => "admin",
    }
}
