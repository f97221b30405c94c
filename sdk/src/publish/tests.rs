use std::collections::HashSet;
use std::io::Cursor;
use std::sync::Mutex;

use super::*;
use crate::fake::{Asked, Fake, TOKEN, problem};

/// Answers as a node does that makes one record of a request and refuses objects that say so.
fn node(asked: &Asked) -> (u16, String) {
    let request: PublishRequest = serde_json::from_str(&asked.body).unwrap();
    let refused: Vec<usize> = (0..request.objects.len())
        .filter(|index| request.objects[*index].get().contains("refuse"))
        .collect();
    let first: serde_json::Value = serde_json::from_str(request.objects[0].get()).unwrap();
    let refusals: Vec<String> = refused
        .iter()
        .map(|index| format!(r#"{{"index":{index},"reason":"no"}}"#))
        .collect();
    let body = format!(
        r#"{{"records":[{{"id":"{}","position":{},"objects":{},"readers":"all"}}],"refused":[{}]}}"#,
        "00".repeat(32),
        first["n"],
        request.objects.len() - refused.len(),
        refusals.join(",")
    );
    (200, body)
}

fn source(text: String) -> Source {
    Source::reader("test", Cursor::new(text)).unwrap()
}

#[tokio::test]
async fn a_long_input_arrives_in_full_records_with_refusals_by_line() {
    let fake = Fake::start(node);
    let client = Client::new(&fake.api, TOKEN).unwrap();
    let lines: Vec<String> = (1..=4_500)
        .map(|n| match n {
            7 => "nonsense".to_owned(),
            2_500 => format!(r#"{{"n":{n},"refuse":1}}"#),
            _ => format!(r#"{{"n":{n}}}"#),
        })
        .collect();
    let mut told = Vec::new();
    let report = publish_all(&client, source(lines.join("\n")), &Terms::default(), |now| {
        told.push(now)
    })
    .await;
    assert!(report.ended.is_none(), "{:?}", report.ended);
    let objects: Vec<usize> = report.records.iter().map(|record| record.objects).collect();
    assert_eq!(objects, [2_000, 1_999, 499]);
    let positions: Vec<u64> = report.records.iter().map(|record| record.position).collect();
    assert_eq!(positions, [1, 2_002, 4_002]);
    let refused: Vec<u64> = report.refused.iter().map(|refused| refused.line).collect();
    assert_eq!(refused, [7, 2_500]);
    let last = told.last().unwrap();
    assert_eq!((last.published, last.records, last.refused), (4_498, 3, 2));
}

#[tokio::test]
async fn batches_are_cut_by_bytes_at_full_records_and_stay_under_the_request_bound() {
    let fake = Fake::start(node);
    let client = Client::new(&fake.api, TOKEN).unwrap();
    let filler = "x".repeat(7_000);
    let many: Vec<String> = (0..700)
        .map(|n| format!(r#"{{"n":{n},"x":"{filler}"}}"#))
        .collect();
    let huge: Vec<String> = (0..5)
        .map(|n| format!(r#"{{"n":{n},"x":"{}"}}"#, filler.repeat(400)))
        .collect();
    publish_all(&client, source(many.join("\n")), &Terms::default(), |_| {}).await;
    publish_all(&client, source(huge.join("\n")), &Terms::default(), |_| {}).await;
    let counts: Vec<usize> = fake
        .asked()
        .iter()
        .map(|asked| {
            assert!(asked.body.len() <= REQUEST);
            serde_json::from_str::<PublishRequest>(&asked.body)
                .unwrap()
                .objects
                .len()
        })
        .collect();
    assert_eq!(counts.iter().sum::<usize>(), 705);
    assert_eq!(
        counts.iter().filter(|count| **count == 400).count(),
        1,
        "{counts:?}"
    );
    assert!(
        counts
            .iter()
            .all(|count| count % RECORD_OBJECTS == 0 || *count <= 300)
    );
}

#[tokio::test]
async fn a_busy_node_is_asked_again_and_a_refusing_one_is_not() {
    let seen = Mutex::new(HashSet::new());
    let fake = Fake::start(move |asked| {
        if seen.lock().unwrap().insert(asked.body.clone()) {
            problem("busy", 503)
        } else if asked.body.contains(r#""n":2000"#) {
            problem("invalid", 422)
        } else {
            node(asked)
        }
    });
    let client = Client::new(&fake.api, TOKEN).unwrap();
    let lines: Vec<String> = (0..50_000).map(|n| format!(r#"{{"n":{n}}}"#)).collect();
    let report = publish_all(&client, source(lines.join("\n")), &Terms::default(), |_| {}).await;
    match report.ended {
        Some(PublishError::Node {
            line: 2_001,
            source: SdkError::Problem(problem),
        }) => {
            assert_eq!(problem.detail, "the detail");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(report.records.first().map(|record| record.objects), Some(2_000));
    assert!(fake.asked().len() < 10);
}
