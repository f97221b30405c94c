use futures::StreamExt;

use crate::client::Client;
use crate::error::SdkError;
use crate::fake::{Fake, TOKEN, problem};

fn event(position: u64) -> String {
    let id = "ab".repeat(32);
    format!(
        "id: {position}\nevent: record\ndata: {{\"id\":\"{id}\",\"position\":{position},\"author\":\"acme\",\"lane\":0,\ndata: \
         \"epoch\":1,\"seq\":1,\"charter\":1,\"created\":\"2026-01-01T00:00:00Z\",\"expires\":\"2026-02-01T00:00:00Z\",\
         \"kind\":\"objects\",\"body_bytes\":1,\"state\":\"readable\"}}\n\n"
    )
}

/// A node that holds records at every third position up to 60 and cuts each answer off somewhere.
fn cutting() -> Fake {
    let visits = std::sync::atomic::AtomicUsize::new(0);
    Fake::start(move |asked| {
        let visit = visits.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if visit % 5 == 3 {
            return problem("busy", 503);
        }
        let after = asked.line.split(['=', '&']).nth(3);
        let after: u64 = after.map_or(0, |after| after.parse().unwrap());
        let mut text = format!(": alive\nid: {after}\n\n");
        let events = (1..=20)
            .map(|number| number * 3)
            .filter(|position| *position > after);
        text.extend(events.map(event));
        // One whole event at least, so that it ends; then any byte of the next ones.
        let cut = text.len().min(2 * event(10).len() + 37 * visit);
        (200, text[..cut].to_owned())
    })
}

#[tokio::test]
async fn a_stream_that_is_cut_anywhere_goes_on_with_nothing_missed_or_doubled() {
    let fake = cutting();
    let client = Client::new(&fake.api, TOKEN).unwrap();
    let heard: Vec<u64> = client
        .events(None, false)
        .take(20)
        .map(|record| record.unwrap().position)
        .collect()
        .await;
    assert_eq!(heard, (1..=20).map(|number| number * 3).collect::<Vec<_>>());
    let asked = fake.asked();
    assert_eq!(asked[0].line, "GET /v1/events?objects=false");
    assert!(asked.len() > 3, "{asked:?}");
}

#[tokio::test]
async fn what_ends_for_good_is_told_once() {
    let fake = Fake::start(|_| {
        let (_, body) = problem("unauthenticated", 401);
        (200, format!("{}event: problem\ndata: {body}\n\n", event(3)))
    });
    let client = Client::new(&fake.api, TOKEN).unwrap();
    let mut events = Box::pin(client.events(Some(0), true));
    assert_eq!(events.next().await.unwrap().unwrap().position, 3);
    assert!(matches!(events.next().await, Some(Err(SdkError::Problem(told))) if told.status == 401));
    assert!(events.next().await.is_none());

    let busy = Fake::start(|_| problem("busy", 503));
    let client = Client::new(&busy.api, TOKEN).unwrap();
    let mut events = Box::pin(client.events(None, false));
    assert!(matches!(events.next().await, Some(Err(SdkError::Busy { .. }))));
}
