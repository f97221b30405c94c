//! What has passed its time, and what is to be forgotten, leaves a node that goes on working.

use std::time::Instant;

use hanse_protocol::observable::Observable;

use super::*;
use crate::clock;

const DEADLINE: Duration = Duration::from_secs(30);

impl Node {
    fn finds(&self, address: &str) -> usize {
        let key = Observable::parse(address).unwrap().to_key_bytes();
        self.reader.by_observable(&key, Tlp::Red, 100).unwrap().len()
    }

    fn log_bytes(&self) -> u64 {
        self.reader.stats().unwrap().log_bytes
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !holds(self) {
            assert!(started.elapsed() < DEADLINE, "{what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn what_expires_leaves_and_what_counts_stays() {
    let (city, _water) = league().await;
    let brief = local::PublishRequest {
        expires: Some(clock::now().after(Duration::from_secs(1))),
        ..request(2, None, Some(Tlp::Green))
    };
    let brief = city.exchange.publish(BY(), brief).await.unwrap();
    let lasting = city.publish(3, None, Some(Tlp::Green)).await;
    // 203.0.0.1 is in both, 203.0.0.2 in the lasting record only.
    assert_eq!((city.finds("203.0.0.1"), city.finds("203.0.0.2")), (2, 1));
    let (brief, lasting) = (brief.records[0].id, lasting.records[0].id);
    city.until("the brief one leaves the index", |city| {
        city.finds("203.0.0.1") == 1
    })
    .await;
    assert_eq!(city.finds("203.0.0.2"), 1);
    // An index made anew from the log, as this engine's is at each start, is looked through again.
    let city = city.restart();
    city.until("and leaves it again", |city| city.finds("203.0.0.1") == 1)
        .await;
    assert_eq!(city.finds("203.0.0.2"), 1);
    let stored = city.reader.record(&brief).unwrap();
    assert!(stored.is_none_or(|stored| stored.body.is_none()));
    let stored = city.reader.record(&lasting).unwrap().unwrap();
    assert_eq!(stored.state, BodyState::Readable);
}

/// The operator must not keep it: it is told to nobody at once, and its room on disk comes back.
#[tokio::test]
async fn what_is_forgotten_is_off_the_disk_and_does_not_come_back() {
    let (city, water) = league().await;
    let published = city.publish(150, None, Some(Tlp::Green)).await;
    let id = published.records[0].id;
    let copy = city.carried(&id);
    assert_eq!(water.frame(vec![copy]).await, Verdict::Accept);
    water
        .until("it arrives", |water| water.finds("203.0.0.7") == 1)
        .await;
    let (kept, before) = (water.publish(1, None, Some(Tlp::Green)).await, water.log_bytes());

    let forgotten = water.exchange.forget(BY(), id).await.unwrap();
    assert_eq!(forgotten.record, id);
    assert_eq!(water.finds("203.0.0.7"), 0);
    assert_eq!(water.reader.record(&id).unwrap().unwrap().state, BodyState::Gone);
    let again = water.exchange.forget(BY(), id).await.unwrap_err();
    assert!(matches!(again, ExchangeError::UnknownRecord(unknown) if unknown == id));
    water
        .until("its room comes back", |water| water.log_bytes() < before)
        .await;

    // Whoever brings it again brings nothing.
    assert_eq!(water.frame(vec![city.carried(&id)]).await, Verdict::Ignore);
    let water = water.restart();
    assert_eq!(water.frame(vec![city.carried(&id)]).await, Verdict::Ignore);
    assert_eq!(water.reader.record(&id).unwrap().unwrap().state, BodyState::Gone);
    assert_eq!(water.finds("203.0.0.7"), 0);
    let kept = water.reader.record(&kept.records[0].id).unwrap().unwrap();
    assert_eq!(kept.state, BodyState::Readable);
}
