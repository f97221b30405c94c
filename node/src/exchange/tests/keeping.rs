//! What is taken back is gone everywhere; what was restored signs nothing twice.

use super::*;
use crate::store::entry::Origin;

async fn healed(to: &Node, records: Vec<Carried>) -> Healed {
    let healed = to.exchange.heal(NodeId([0; 32]), records, Origin::Heal).await;
    healed.unwrap()
}

fn is_gone(node: &Node, id: &RecordId) {
    let stored = node.reader.record(id).unwrap().unwrap();
    assert_eq!((stored.state, stored.body), (BodyState::Gone, None));
}

#[tokio::test]
async fn what_an_author_takes_back_is_gone_wherever_the_word_arrives() {
    let (city, water) = league().await;
    let first = city.publish(1, None, None).await.records[0].id;
    let second = city
        .publish(1, Some("acme-water"), Some(Tlp::Amber))
        .await
        .records[0]
        .id;
    // Healing answers after the commit.
    assert_eq!(healed(&water, vec![city.carried(&first)]).await.admitted, 1);
    assert_eq!(water.reader.stats().unwrap().objects, 1);
    let before = city.carried(&second);

    let words: Vec<Carried> = {
        let one = city.exchange.retract(BY(), first).await.unwrap();
        is_gone(&city, &first);
        let other = city.exchange.retract(BY(), second).await.unwrap();
        [one.id, other.id].iter().map(|id| city.carried(id)).collect()
    };
    assert_eq!(city.reader.stats().unwrap().objects, 0);
    let twice = city.exchange.retract(BY(), first).await;
    assert!(matches!(twice, Err(ExchangeError::Invalid(_))));
    let own = water.publish(1, None, None).await.records[0].id;
    assert_eq!(city.frame(vec![water.carried(&own)]).await, Verdict::Accept);
    let not_ours = city.exchange.retract(BY(), own).await;
    assert!(matches!(not_ours, Err(ExchangeError::Invalid(_))));

    // One word comes long after what it is about, one together with it.
    assert_eq!(healed(&water, vec![words[0].clone()]).await.admitted, 1);
    is_gone(&water, &first);
    assert_eq!(healed(&water, vec![before, words[1].clone()]).await.admitted, 2);
    // Whatever comes next is committed after what was taken back.
    water.publish(1, None, None).await;
    is_gone(&water, &second);
    let water = water.restart();
    is_gone(&water, &first);
    is_gone(&water, &second);
    assert_eq!(water.reader.stats().unwrap().objects, 2, "its own two are left");
    // It was carried through: who missed it gets header and word of the water company.
    assert_eq!(water.carried(&first).body, None);
}

#[tokio::test]
async fn nobody_takes_back_what_is_anothers() {
    let (city, water) = league().await;
    let id = city.publish(1, None, None).await.records[0].id;
    water.frame(vec![city.carried(&id)]).await;
    // The water company signs a retraction of the city's record.
    let own = water.publish(1, None, None).await.records[0].id;
    let own = hanse_protocol::admission::Admitted::from_log(
        &water.carried(&own).header,
        &water.reader.record(&own).unwrap().unwrap().community,
    );
    let packed = hanse_protocol::compress::pack(&hanse_protocol::retraction::encode(&[id])).unwrap();
    let body = hanse_protocol::seal::Body::Open(packed).encode();
    let before = own.unwrap();
    let header = Header {
        seq: before.header().seq + 1,
        prev: Some(*before.id()),
        kind: hanse_protocol::record::Kind::Retraction,
        replaces: Some(id),
        body_length: u32::try_from(body.len()).unwrap(),
        body_hash: BodyHash::of(&body),
        ..before.header().clone()
    };
    let community = *city.exchange.standing().charters.clone().unwrap().community();
    let forged = Carried {
        header: header.sign(&community, &water.member.signing),
        body: Some(body),
    };
    assert_eq!(
        city.frame(vec![forged]).await,
        Verdict::Accept,
        "it is a record like any other"
    );
    city.publish(1, None, None).await;
    assert_eq!(city.reader.holds(&id).unwrap(), Some(BodyState::Readable));
}

/// Copies a node's folder as a backup would.
fn copied(node: &Node) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for part in ["keys", "store"] {
        let copied = std::process::Command::new("cp")
            .args([
                "-r".as_ref(),
                node.folder.path().join(part).as_os_str(),
                to.path().as_os_str(),
            ])
            .status();
        assert!(copied.unwrap().success());
    }
    to
}

/// Opens a backup: whoever restores it leaves a note.
fn restored(handle: &str, folder: TempDir, how: Restored) -> Node {
    let keystore = Keystore::open(&folder.path().join("keys")).unwrap();
    let member = Arc::new(Member::open(profile(handle), &keystore).unwrap());
    let settings = StoreSettings {
        engine: Engine::Memory,
        ..StoreSettings::default()
    };
    let mut deriver = Deriver::new(member);
    let store = folder.path().join("store");
    let (mut store, _) = Store::open(&store, keystore.master(), &settings, &mut deriver).unwrap();
    store.commit(vec![(how.note(), None)]).unwrap();
    store.close().unwrap();
    Node::open(handle, folder)
}

fn header_of(node: &Node, id: &RecordId) -> Header {
    let stored = node.reader.record(id).unwrap().unwrap();
    let admitted = hanse_protocol::admission::Admitted::from_log(&stored.header, &stored.community);
    admitted.unwrap().header().clone()
}

#[tokio::test]
async fn a_restored_node_signs_nothing_before_it_knows_its_own_records() {
    let (city, _water) = league().await;
    for _ in 0..10 {
        city.publish(1, None, None).await;
    }
    let backup = copied(&city);
    let mut later = Vec::new();
    for _ in 0..5 {
        let id = city.publish(1, None, None).await.records[0].id;
        later.push(city.carried(&id));
    }
    let last = city.publish(1, None, None).await.records[0].id;
    later.push(city.carried(&last));
    drop(city);

    let city = restored("port-city", backup, Restored::Wait);
    let refused = city.exchange.publish(BY(), request(1, None, None)).await;
    assert!(matches!(refused, Err(ExchangeError::Restored)));
    let city = city.restart();
    let refused = city.exchange.publish(BY(), request(1, None, None)).await;
    assert!(
        matches!(refused, Err(ExchangeError::Restored)),
        "a restart changes nothing"
    );
    assert_eq!(healed(&city, later).await.admitted, 6);
    city.exchange.compared();
    // Opened with a peer, and kept over a restart before anything is published.
    let city = city.restart();
    let id = city.publish(1, None, None).await.records[0].id;
    let header = header_of(&city, &id);
    assert_eq!((header.epoch, header.seq, header.prev), (1, 1, Some(last)));
    let city = city.restart();
    let next = header_of(&city, &city.publish(1, None, None).await.records[0].id);
    assert_eq!((next.epoch, next.seq, next.prev), (1, 2, Some(id)));
}

#[tokio::test]
async fn an_operator_may_go_on_alone() {
    let (city, _water) = league().await;
    let last = city.publish(1, None, None).await.records[0].id;
    let backup = copied(&city);
    drop(city);
    let city = restored("port-city", backup, Restored::Alone);
    let header = header_of(&city, &city.publish(1, None, None).await.records[0].id);
    assert_eq!((header.epoch, header.seq, header.prev), (1, 1, Some(last)));
}

#[tokio::test]
async fn an_old_copy_that_hears_what_it_said_since_opens_a_new_epoch() {
    let (city, _water) = league().await;
    city.publish(1, None, None).await;
    let backup = copied(&city);
    let mut later = Vec::new();
    let mut last = None;
    for _ in 0..3 {
        let id = city.publish(1, None, None).await.records[0].id;
        later.push(city.carried(&id));
        last = Some(id);
    }
    drop(city);
    // Nobody said that it is old. The first that comes is not the last there is.
    let city = Node::open("port-city", backup);
    for carried in later {
        assert_eq!(healed(&city, vec![carried]).await.admitted, 1);
    }
    let city = city.restart();
    let header = header_of(&city, &city.publish(1, None, None).await.records[0].id);
    assert_eq!((header.epoch, header.seq, header.prev), (1, 1, last));
}

#[tokio::test]
async fn a_number_whose_record_is_refused_is_not_given_again() {
    let (city, _water) = league().await;
    city.publish(1, None, None).await;
    let backup = copied(&city);
    let expires = crate::clock::now().after(std::time::Duration::from_millis(300));
    let short = local::PublishRequest {
        expires: Some(expires),
        ..request(1, None, None)
    };
    let lost = city.exchange.publish(BY(), short).await.unwrap().records[0].id;
    let carried = city.carried(&lost);
    drop(city);
    let city = Node::open("port-city", backup);
    while crate::clock::now() <= expires {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(healed(&city, vec![carried]).await.refused, 1, "it has expired");
    let header = header_of(&city, &city.publish(1, None, None).await.records[0].id);
    assert_eq!((header.epoch, header.seq, header.prev), (1, 1, Some(lost)));
}

#[tokio::test]
async fn who_had_said_nothing_when_it_was_backed_up_speaks_in_a_later_epoch() {
    let (city, water) = league().await;
    let backup = copied(&city);
    drop(city);
    let city = restored("port-city", backup, Restored::Wait);
    city.exchange.compared();
    let id = city.publish(1, None, None).await.records[0].id;
    let header = header_of(&city, &id);
    assert_eq!((header.epoch, header.seq, header.prev), (1, 1, None));
    assert_eq!(healed(&water, vec![city.carried(&id)]).await.admitted, 1);
}
