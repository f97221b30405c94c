//! What policies keep back of what arrives: nobody is shown it here, and nobody elsewhere notices.

use hanse_protocol::local::Accepted;
use hanse_protocol::receipt::Outcome;

use super::*;
use crate::healer::Progress;
use crate::policy::{Policies, PolicyFile};
use crate::reading::{Reading, ReadingError};
use crate::receiver::Links;

/// AMBER waits for a person and its author is told; CLEAR is dropped; the rest is kept.
const BY_COLOUR: &str = r#"
    @id("rest")
    permit (principal, action == Action::"accept", resource);
    @id("amber-waits") @quarantine("amber is looked at first") @receipt("")
    permit (principal, action == Action::"accept", resource) when { resource.tlp == "amber" };
    @id("no-clear")
    forbid (principal, action == Action::"accept", resource) when { resource.tlp == "clear" };
"#;

const NOTHING: &str = r#"@id("nothing") forbid (principal, action == Action::"accept", resource);"#;

const RECEIPTS: &str = r#"
    @id("told") @receipt("")
    permit (principal, action == Action::"accept", resource);
"#;

fn receive_by(node: &Node, text: &str) {
    // What it publishes goes where its marking allows, as without a folder.
    let mut files = Policies::built_in().files().to_vec();
    files.push(PolicyFile::new("receive.cedar", text));
    let policies = Policies::from_files(files, None);
    node.exchange.accepting().replace(Arc::new(policies.unwrap()));
}

fn reading(node: &Node) -> Reading {
    Reading::new(
        node.reader.clone(),
        Arc::clone(&node.member),
        node.exchange.clone(),
        watch::channel(None).1,
        Links::default(),
        Progress::default(),
    )
}

async fn heals(to: &Node, records: Vec<Carried>) -> Healed {
    let healed = to.exchange.heal(NodeId([0; 32]), records, Origin::Heal).await;
    healed.unwrap()
}

fn state(node: &Node, id: &RecordId) -> Option<BodyState> {
    node.reader.holds(id).unwrap()
}

/// Where the first object of a publish is found.
fn found(node: &Node) -> Vec<Position> {
    let key = hanse_protocol::observable::Observable::parse("203.0.0.0").unwrap();
    let found = node.reader.by_observable(&key.to_key_bytes(), Tlp::Red, 10);
    found.unwrap().into_iter().map(|(position, _)| position).collect()
}

/// A third member.
async fn joins(handle: &str, city: &Node, water: &Node) -> Node {
    let node = Node::new(handle);
    let local::RequestReply {
        file, fingerprint, ..
    } = node.exchange.request(BY()).await.unwrap();
    let asks = local::AdmitRequest { file, fingerprint };
    let admitted = city.exchange.admit(BY(), asks).await.unwrap();
    let join = local::JoinRequest {
        file: admitted.invite,
        fingerprint: admitted.fingerprint,
    };
    node.exchange.join(BY(), join).await.unwrap();
    let charters = city.exchange.standing().charters.clone().unwrap();
    water.exchange.charters(charters.encode()).await.unwrap();
    node
}

#[tokio::test]
async fn who_drops_everything_still_carries_it_and_heals_its_neighbours() {
    let (city, water) = league().await;
    let mary = joins("st-mary", &city, &water).await;
    receive_by(&water, NOTHING);
    let open = city.publish(1, None, None).await.records[0].id;
    let sealed = city
        .publish(1, Some("acme-water"), Some(Tlp::Amber))
        .await
        .records[0]
        .id;
    let verdict = water.frame(vec![city.carried(&open)]).await;
    assert_eq!(verdict, Verdict::Accept, "it is passed on");
    assert_eq!(heals(&water, vec![city.carried(&sealed)]).await.admitted, 1);
    for id in [&open, &sealed] {
        assert_eq!(state(&water, id), Some(BodyState::Refused));
        let (theirs, ours) = (city.carried(id), water.carried(id));
        assert_eq!((theirs.header, theirs.body), (ours.header, ours.body));
    }
    assert_eq!(
        (found(&water), water.reader.stats().unwrap().objects),
        (vec![], 0)
    );
    // What members compare is the same.
    let community = *city.exchange.standing().charters.clone().unwrap().community();
    let summed = |node: &Node| {
        use hanse_protocol::reconcile::Held;
        let key = hanse_protocol::reconcile::Key::of_community(&community);
        node.reader
            .held(&community)
            .unwrap()
            .sum(&key, &Span::ALL)
            .unwrap()
    };
    assert_eq!(summed(&water), summed(&city));
    // Its neighbour has it from there.
    let water = water.restart();
    assert_eq!(
        state(&water, &open),
        Some(BodyState::Refused),
        "after a restart, too"
    );
    assert_eq!(heals(&mary, vec![water.carried(&open)]).await.admitted, 1);
    assert_eq!(state(&mary, &open), Some(BodyState::Readable));
    // What we said ourselves is ours to read, whatever the policy says of others.
    receive_by(&water, NOTHING);
    let own = water.publish(1, None, None).await.records[0].id;
    assert_eq!(state(&water, &own), Some(BodyState::Readable));
    let lines = water.reader.audit(1, 1_000).unwrap();
    let refused = lines.iter().filter(|line| line.action == "refuse-policy");
    let subjects: Vec<&str> = refused.map(|line| line.subject.as_str()).collect();
    assert_eq!(subjects.len(), 2);
    assert!(subjects[0].ends_with("by nothing"), "{subjects:?}");
}

#[tokio::test]
async fn what_waits_is_seen_by_reviewers_only_and_released_at_a_place_of_its_own() {
    let (city, mut water) = league().await;
    receive_by(&water, BY_COLOUR);
    let id = city
        .publish(1, Some("acme-water"), Some(Tlp::Amber))
        .await
        .records[0]
        .id;
    // The body comes apart from its header.
    let whole = city.carried(&id);
    let bare = Carried {
        body: None,
        ..whole.clone()
    };
    assert_eq!(water.frame(vec![bare]).await, Verdict::Accept);
    assert!(water.nudges.recv().await.is_some());
    let pulled = water.exchange.body(id, whole.body.unwrap(), Origin::Heal).await;
    assert_eq!(pulled.unwrap(), BodyFate::Kept);
    assert_eq!(state(&water, &id), Some(BodyState::Quarantined));
    assert_eq!(found(&water), []);

    let shown = reading(&water);
    let view = shown.record(&id, Tlp::Red).unwrap();
    assert_eq!(view.state, local::Readable::Quarantined);
    assert!(view.objects.is_none());
    let page = shown.quarantine(None, 10, Tlp::Amber).unwrap();
    let waits = &page.records[0];
    assert_eq!((waits.record.id, page.next), (id, None));
    assert_eq!(waits.then.policies, ["amber-waits", "rest"]);
    assert_eq!(waits.then.reason.as_deref(), Some("amber is looked at first"));
    let whole = shown.quarantined(&id, Tlp::Amber).unwrap();
    assert_eq!(whole.record.objects.unwrap()[0].object.get(), object(0).get());
    // Nothing is told below its colour.
    assert!(shown.quarantine(None, 10, Tlp::Green).unwrap().records.is_empty());
    let below = shown.quarantined(&id, Tlp::Green);
    assert!(matches!(below, Err(ReadingError::NotFound)));
    assert!(matches!(
        shown.record(&id, Tlp::Green),
        Err(ReadingError::NotFound)
    ));
    assert!(matches!(
        shown.reviewable(&id, Tlp::Green),
        Err(ReadingError::NotFound)
    ));

    // New policies release nothing by themselves, but it is said what they would do.
    receive_by(&water, RECEIPTS);
    let now = reading(&water).quarantine(None, 10, Tlp::Red).unwrap();
    assert_eq!(now.records[0].now.verdict, Accepted::Keep);
    assert_eq!(now.records[0].then.verdict, Accepted::Quarantine);
    drop(shown);
    let water = water.restart();
    assert_eq!(state(&water, &id), Some(BodyState::Quarantined));
    assert_eq!(
        reading(&water)
            .quarantine(None, 10, Tlp::Red)
            .unwrap()
            .records
            .len(),
        1
    );

    let released = water.exchange.review(BY(), id, Review::Release).await.unwrap();
    let position = Position(released.position);
    assert_eq!(found(&water), [position]);
    let after = reading(&water).page(position.0 - 1, 1, true, Tlp::Red).unwrap();
    assert_eq!(after.records[0].id, id);
    assert_eq!(after.records[0].objects.as_ref().unwrap().len(), 1);
    assert!(
        reading(&water)
            .quarantine(None, 10, Tlp::Red)
            .unwrap()
            .records
            .is_empty()
    );
    let again = water.exchange.review(BY(), id, Review::Release).await;
    assert!(matches!(again, Err(ExchangeError::Invalid(_))));
    let water = water.restart();
    assert_eq!(
        (state(&water, &id), found(&water)),
        (Some(BodyState::Readable), vec![position])
    );
}

#[tokio::test]
async fn what_was_dropped_can_be_released_and_nothing_else() {
    let (city, water) = league().await;
    receive_by(&water, BY_COLOUR);
    let amber = city
        .publish(1, Some("acme-water"), Some(Tlp::Amber))
        .await
        .records[0]
        .id;
    let clear = city.publish(1, None, Some(Tlp::Clear)).await.records[0].id;
    let green = city.publish(1, None, Some(Tlp::Green)).await.records[0].id;
    let all = [amber, clear, green];
    let carried: Vec<Carried> = all.iter().map(|id| city.carried(id)).collect();
    assert_eq!(heals(&water, carried).await.admitted, 3);
    let states = all.map(|id| state(&water, &id).unwrap());
    assert_eq!(
        states,
        [BodyState::Quarantined, BodyState::Refused, BodyState::Readable]
    );
    let put_away = water.exchange.review(BY(), amber, Review::Drop).await;
    assert!(put_away.is_ok());
    assert_eq!(state(&water, &amber), Some(BodyState::Refused));
    assert_eq!(crate::exchange::accepting::count(&water.reader).unwrap(), 0);
    for (id, review) in [
        (amber, Review::Drop),
        (green, Review::Drop),
        (green, Review::Release),
        (RecordId([1; 32]), Review::Release),
    ] {
        let refused = water.exchange.review(BY(), id, review).await;
        assert!(matches!(refused, Err(ExchangeError::Invalid(_))), "{refused:?}");
    }
    for id in [amber, clear] {
        water.exchange.review(BY(), id, Review::Release).await.unwrap();
        assert_eq!(state(&water, &id), Some(BodyState::Readable));
    }
    let water = water.restart();
    assert_eq!(found(&water).len(), 3);
    let lines = water.reader.audit(1, 1_000).unwrap();
    let actions = ["quarantine", "refuse-policy", "drop", "release"];
    let counts = actions.map(|action| lines.iter().filter(|line| line.action == action).count());
    assert_eq!(counts, [1, 1, 1, 2]);
}

#[tokio::test]
async fn what_its_author_takes_back_leaves_quarantine_by_itself() {
    let (city, water) = league().await;
    receive_by(&water, BY_COLOUR);
    let amber = |city| async move {
        let city: &Node = city;
        city.publish(1, Some("acme-water"), Some(Tlp::Amber))
            .await
            .records[0]
            .id
    };
    let (early, late) = (amber(&city).await, amber(&city).await);
    heals(&water, vec![city.carried(&early)]).await;
    let before = city.carried(&late);
    let mut words = Vec::new();
    for id in [early, late] {
        let word = city.exchange.retract(BY(), id).await.unwrap().id;
        words.push(city.carried(&word));
    }
    // One was there, one comes together with the word.
    let together = vec![words[0].clone(), before, words[1].clone()];
    heals(&water, together).await;
    for id in [early, late] {
        assert_eq!(state(&water, &id), Some(BodyState::Gone));
        let paper = water
            .reader
            .paper(crate::store::entry::Drawer::Quarantine, id.as_bytes());
        assert_eq!(paper.unwrap(), None);
    }
}

#[tokio::test]
async fn what_expires_leaves_quarantine_by_itself() {
    let (city, water) = league().await;
    receive_by(&water, BY_COLOUR);
    let expires = crate::clock::now().after(Duration::from_millis(1_500));
    let soon = local::PublishRequest {
        expires: Some(expires),
        ..request(1, Some("acme-water"), Some(Tlp::Amber))
    };
    let id = city.exchange.publish(BY(), soon).await.unwrap().records[0].id;
    heals(&water, vec![city.carried(&id)]).await;
    assert_eq!(state(&water, &id), Some(BodyState::Quarantined));
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    let drawer = crate::store::entry::Drawer::Quarantine;
    while water.reader.paper(drawer, id.as_bytes()).unwrap().is_some() {
        if crate::clock::now() > expires {
            assert!(
                reading(&water)
                    .quarantine(None, 10, Tlp::Red)
                    .unwrap()
                    .records
                    .is_empty()
            );
            water.exchange.retain(BY(), true).await.unwrap();
        }
        assert!(std::time::Instant::now() < deadline, "it stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let late = water.exchange.review(BY(), id, Review::Release).await;
    assert!(matches!(late, Err(ExchangeError::Invalid(_))));
    assert_eq!(state(&water, &id), Some(BodyState::Gone));
}

#[tokio::test]
async fn who_sends_too_much_is_looked_at_also_after_a_restart() {
    const FLOOD: &str = r#"
        @id("flood") @quarantine("too much at once")
        forbid (principal, action == Action::"accept", resource) when { context.rate > 3 };
    "#;
    let (city, water) = league().await;
    receive_by(&water, FLOOD);
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(city.publish(1, None, None).await.records[0].id);
    }
    let some = |ids: &[RecordId]| ids.iter().map(|id| city.carried(id)).collect();
    heals(&water, some(&ids[..3])).await;
    let water = water.restart();
    receive_by(&water, FLOOD);
    heals(&water, some(&ids[3..])).await;
    let states: Vec<_> = ids.iter().map(|id| state(&water, id).unwrap()).collect();
    let (kept, waits) = (BodyState::Readable, BodyState::Quarantined);
    assert_eq!(states, [kept, kept, kept, waits, waits]);
}

/// A receipt that `by` signs, of whatever it likes.
fn receipt_by(
    by: &Node,
    before: &RecordId,
    to: Option<&Node>,
    told: &[hanse_protocol::receipt::Told],
) -> Carried {
    let charters = by.exchange.standing().charters.clone().unwrap();
    let stored = by.reader.record(before).unwrap().unwrap();
    let before = hanse_protocol::admission::Admitted::from_log(&stored.header, &stored.community).unwrap();
    let packed = hanse_protocol::compress::pack(&hanse_protocol::receipt::encode(told)).unwrap();
    let mut header = Header {
        seq: before.header().seq + 1,
        prev: Some(*before.id()),
        kind: hanse_protocol::record::Kind::Receipt,
        ..before.header().clone()
    };
    let body = match to {
        None => hanse_protocol::seal::Body::Open(packed),
        Some(to) => {
            let member = charters.charter().member(&to.member.profile.handle).unwrap();
            let keys: Vec<_> = member.sealing_keys().copied().collect();
            let own = by.member.sealing_under(charters.charter()).unwrap();
            let binding = hanse_protocol::admission::binding(charters.community(), &header);
            let sealed = hanse_protocol::seal::seal(&packed, &keys, own, &binding, &mut rand::rng());
            hanse_protocol::seal::Body::Sealed(sealed.unwrap())
        }
    };
    let body = body.encode();
    header.body_length = u32::try_from(body.len()).unwrap();
    header.body_hash = BodyHash::of(&body);
    Carried {
        header: header.sign(charters.community(), &by.member.signing),
        body: Some(body),
    }
}

#[tokio::test]
async fn a_receipt_counts_for_its_readers_own_records_and_only_where_it_was_sealed() {
    use hanse_protocol::receipt::Told;
    let (city, water) = league().await;
    let ours = city.publish(1, None, None).await.records[0].id;
    let theirs = water.publish(1, None, None).await.records[0].id;
    heals(&city, vec![water.carried(&theirs)]).await;
    let told = |record, seconds: u64| Told {
        record,
        outcome: Outcome::Kept,
        at: Timestamp::from_millis(1_700_000_000_000 + seconds),
    };
    let open = receipt_by(&water, &theirs, None, &[told(ours, 1)]);
    assert_eq!(
        heals(&city, vec![open]).await.admitted,
        1,
        "it travels all the same"
    );
    assert_eq!(receipts(&city.reader, &ours).unwrap(), []);
    let all = [told(ours, 2), told(theirs, 2), told(RecordId([9; 32]), 2)];
    let sealed = receipt_by(&water, &theirs, Some(&city), &all);
    assert_eq!(heals(&city, vec![sealed]).await.admitted, 1);
    let known = receipts(&city.reader, &ours).unwrap();
    assert_eq!(known.len(), 1);
    for not_ours in [theirs, RecordId([9; 32])] {
        assert_eq!(receipts(&city.reader, &not_ours).unwrap(), []);
    }
    // The same again, later, is no news and takes no room.
    let papers = |node: &Node| {
        let entries = node.reader.entries_from(Position(1), usize::MAX, usize::MAX);
        let entries = entries.unwrap().into_iter();
        entries
            .filter(|(_, entry)| matches!(entry, Entry::Paper(_)))
            .count()
    };
    let before = papers(&city);
    let again = receipt_by(&water, &theirs, Some(&city), &[told(ours, 3)]);
    assert_eq!(heals(&city, vec![again]).await.admitted, 1);
    assert_eq!(
        (papers(&city), receipts(&city.reader, &ours).unwrap()),
        (before, known)
    );
}

/// Waits for a record of a node's own that is none of those known.
async fn next_own(node: &Node, known: &[RecordId]) -> RecordId {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let entries = node.reader.entries_from(Position(1), usize::MAX, usize::MAX);
        let new = entries.unwrap().into_iter().find_map(|(_, entry)| match entry {
            Entry::Record(record) if record.origin == Origin::Own && !known.contains(&record.id) => {
                Some(record.id)
            }
            _ => None,
        });
        if let Some(id) = new {
            return id;
        }
        assert!(std::time::Instant::now() < deadline, "nothing came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_author_is_told_once_what_became_of_its_records_also_after_a_kill() {
    let (city, water) = league().await;
    let mary = joins("st-mary", &city, &water).await;
    receive_by(&water, RECEIPTS);
    let first = city.publish(1, None, None).await.records[0].id;
    let second = city
        .publish(1, Some("acme-water"), Some(Tlp::Amber))
        .await
        .records[0]
        .id;
    heals(&water, vec![city.carried(&first)]).await;
    heals(&water, vec![city.carried(&second)]).await;
    // It ends before it has told anybody.
    let water = water.restart();
    let receipt = next_own(&water, &[]).await;
    let carried = water.carried(&receipt);
    for node in [&city, &mary] {
        assert_eq!(heals(node, vec![carried.clone()]).await.admitted, 1);
    }
    assert_eq!(
        state(&mary, &receipt),
        Some(BodyState::Opaque),
        "it is the city's alone"
    );
    for id in [first, second] {
        let told = receipts(&city.reader, &id).unwrap();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].reader.as_str(), "acme-water");
        assert_eq!((told[0].outcome, told[0].receipt), (Outcome::Kept, receipt));
    }
    assert_eq!(receipts(&mary.reader, &first).unwrap(), []);
    // What was told is not owed any longer, and a receipt is not told of.
    let owed = |node: &Node| {
        node.reader
            .paper_keys(crate::store::entry::Drawer::Owed, None, 10)
            .unwrap()
    };
    assert!(owed(&water).is_empty());
    receive_by(&city, RECEIPTS);
    receive_by(&water, BY_COLOUR);
    let third = city
        .publish(1, Some("acme-water"), Some(Tlp::Amber))
        .await
        .records[0]
        .id;
    heals(&water, vec![city.carried(&third)]).await;
    let waits = next_own(&water, &[receipt]).await;
    water.exchange.review(BY(), third, Review::Release).await.unwrap();
    let released = next_own(&water, &[receipt, waits]).await;
    // They come newest first, and the later word counts.
    let both = vec![water.carried(&released), water.carried(&waits)];
    heals(&city, both).await;
    let told = receipts(&city.reader, &third).unwrap();
    assert_eq!((told.len(), told[0].outcome), (1, Outcome::Kept));
    let city = city.restart();
    assert_eq!(receipts(&city.reader, &third).unwrap(), told);
    assert!(owed(&city).is_empty(), "no receipt for a receipt");
    let record = city.reader.record(&receipt).unwrap().unwrap();
    assert_eq!(record.state, BodyState::Readable);
}
