//! The city sends the water board several texts of one object, with more or less struck out of each.

use tokio::sync::watch;

use super::abuse::Pen;
use super::*;
use crate::healer::Progress;
use crate::reading::Reading;
use crate::receiver::Links;

const ID: &str = "tool--115a7497-e13b-4ba9-af77-c26994dc0ce5";

/// A version of the tool, and what its description says.
fn tool(day: u8, description: &str) -> String {
    format!(
        r#"{{"type":"tool","id":"{ID}","spec_version":"2.1","created":"2026-01-01T00:00:00Z","modified":"2026-01-{day:02}T00:00:00Z","name":"x"{description}}}"#
    )
}

#[tokio::test]
async fn of_several_texts_of_one_version_the_least_redacted_is_found() {
    let (city, water) = league().await;
    let mut pen = Pen::of(&city);
    let now = crate::clock::now();
    let whole = tool(3, r#","description":"of ACME-7, at 203.0.113.7""#);
    let less = tool(3, r#","description":"of [redacted], at 203.0.113.7""#);
    let bare = tool(3, "");
    let older = tool(2, "");
    let mut told = Vec::new();
    for (text, redacted) in [(&older, 0), (&bare, 2), (&less, 1), (&bare, 2)] {
        let (id, carried) = pen.says_variants(now, &[text], &[redacted]);
        assert_eq!(water.frame(vec![carried]).await, Verdict::Accept);
        assert_eq!(water.state(&id).await, Some(BodyState::Readable));
        told.push(id);
    }
    let reading = Reading::new(
        water.reader.clone(),
        Arc::clone(&water.member),
        water.exchange.clone(),
        watch::channel(None).1,
        Links::default(),
        Progress::default(),
    );
    let shown = |ceiling: Tlp| {
        let versions = reading.object(ID, ceiling).unwrap().versions.into_iter();
        let shown = versions.map(|found| (found.record, found.redacted, found.object.get().to_owned()));
        shown.collect::<Vec<_>>()
    };
    assert_eq!(
        shown(Tlp::Red),
        [(told[2], 1, less.clone()), (told[0], 0, older.clone())]
    );
    let found = |value: &str| {
        let request = local::SearchRequest {
            value: value.to_owned(),
            limit: None,
        };
        let matches = reading.search(&request, Tlp::Red).unwrap().matches.into_iter();
        matches.map(|found| found.record).collect::<Vec<_>>()
    };
    assert_eq!(found(ID), [told[2], told[0]]);
    let record = reading.record(&told[1], Tlp::Red).unwrap();
    assert_eq!(
        record.objects.unwrap()[0].redacted,
        2,
        "a record shows what it holds"
    );

    // What came as it was issued wins over both, though it came last.
    let (id, carried) = pen.says_variants(now, &[&whole], &[]);
    assert_eq!(water.frame(vec![carried]).await, Verdict::Accept);
    assert_eq!(water.state(&id).await, Some(BodyState::Readable));
    assert_eq!(shown(Tlp::Red), [(id, 0, whole), (told[0], 0, older)]);
    let plain = serde_json::to_value(reading.object(ID, Tlp::Red).unwrap()).unwrap();
    assert!(
        plain["versions"][0].get("redacted").is_none(),
        "as issued it is not mentioned"
    );
}
