//! The OpenAPI document against the router, the problems and the types it describes.

use hanse_protocol::audit::{AuditEntry, AuditLine, Head};
use serde_json::{Value, json};

use super::*;

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str));
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_has_exactly_the_routes_that_answer_and_every_problem_they_tell() {
    let daemon = daemon(Fake::default()).await;
    let head = "GET /v1/openapi.json HTTP/1.1\nhost: {host}\n";
    let document: Value = serde_json::from_str(&daemon.raw(head, "").await.body).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in ["get", "post", "delete", "put", "patch"] {
            let line = format!("{} {}", method.to_uppercase(), path.replace(['{', '}'], ""));
            let reply = daemon
                .raw(&format!("{line} HTTP/1.1\nhost: {{host}}\n"), "")
                .await;
            // Without a token: 405 where there is no such method, 401 where a role is needed.
            let wanted = match operations.get(method) {
                None => 405,
                Some(operation) if operation["security"] == json!([]) => 200,
                Some(_) => 401,
            };
            assert_eq!(reply.status, wanted, "{line}");
        }
    }
    // The list of routes with their roles that the tests of tokens go through is whole, too.
    let summaries = document["paths"].as_object().unwrap().values();
    let summaries = summaries.flat_map(|path| path.as_object().unwrap().values());
    let guarded = summaries
        .filter(|operation| operation["security"] != json!([]))
        .count();
    assert_eq!(guarded, ROUTES.len());

    let mut found = Vec::new();
    references(&document, &mut found);
    for reference in found {
        let place = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(place).is_some(), "{reference}");
    }
    let names = &document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"];
    let source = include_str!("../problem.rs");
    let defined = source
        .lines()
        .filter(|line| line.contains("pub(crate) const") && line.contains(": &str"));
    assert_eq!(names.as_array().unwrap().len(), defined.count());
}

#[test]
fn the_schemas_have_the_fields_that_are_written() {
    let document = super::openapi::document::<Fake>().unwrap();
    let hash = "ab".repeat(32);
    let at = "2026-01-01T00:00:00.000Z";
    let record = json!({"id": hash, "position": 1, "author": "acme", "lane": 0, "epoch": 1, "seq": 1,
        "charter": 1, "created": at, "expires": at, "kind": "objects", "replaces": hash, "body_bytes": 1,
        "state": "readable", "objects": [{"tlp": "amber+strict", "object": {}}]});
    let record: local::RecordView = serde_json::from_value(record).unwrap();
    let line = AuditEntry::new(Timestamp::from_millis(1), "a", "b", "c", Some([1; 32]));
    let audit = local::AuditPage {
        lines: vec![AuditLine::from(line)],
        head: Head::default(),
        ..Default::default()
    };
    let head = json!({"lines": 1, "hash": hash, "at": at});
    let heads = json!({"nodes": [{"member": "acme", "peer_id": "12D3", "heard": head,
        "broken": {"was": head, "then": head}}]});
    let heads: local::HeardAudits = serde_json::from_value(heads).unwrap();
    let publish = json!({"objects": [{}], "to": ["acme"], "tlp": "red", "expires": at});
    let publish: local::PublishRequest = serde_json::from_value(publish).unwrap();
    let answer = json!({"verdict": "quarantine", "policies": ["no-flood"], "reason": "too much"});
    let waits: local::QuarantinedRecord =
        serde_json::from_value(json!({"record": record, "since": at, "then": answer, "now": answer}))
            .unwrap();
    let quarantine = local::QuarantinePage {
        records: vec![waits],
        next: Some(RecordId([1; 32])),
    };
    let written = [
        ("QuarantinePage", json!(quarantine)),
        (
            "RecordPage",
            json!(local::RecordPage {
                records: vec![record],
                ..Default::default()
            }),
        ),
        ("AuditPage", json!(audit)),
        ("HeardAudits", json!(heads)),
        ("PublishRequest", json!(publish)),
        ("CharterReply", json!(Fake::charter())),
        ("SearchReply", json!(local::SearchReply::default())),
        ("PublishReply", json!(local::PublishReply::default())),
        ("Problem", json!(Failure::invalid("x").problem())),
    ];
    for (name, value) in &written {
        fits(&document, &document["components"]["schemas"][name], value, name);
    }
}

/// Checks a value against as much of JSON Schema as the document uses.
fn fits(document: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = document.pointer(&reference[1..]).unwrap();
        return fits(document, schema, value, place);
    }
    if let Some(choices) = schema["enum"].as_array() {
        assert!(choices.contains(value), "{place}: {value}");
    }
    if let (Some(fields), Some(properties)) = (value.as_object(), schema["properties"].as_object()) {
        for (field, value) in fields {
            let schema = properties
                .get(field)
                .unwrap_or_else(|| panic!("{place}.{field} is not described"));
            fits(document, schema, value, &format!("{place}.{field}"));
        }
        for field in schema["required"].as_array().unwrap() {
            assert!(
                fields.contains_key(field.as_str().unwrap()),
                "{place}.{field} is missing"
            );
        }
    }
    for element in value.as_array().into_iter().flatten() {
        fits(document, &schema["items"], element, place);
    }
}
