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
    is_gone(&water, &second);
    let water = water.restart();
    is_gone(&water, &first);
    is_gone(&water, &second);
    assert_eq!(water.reader.stats().unwrap().objects, 1, "its own one is left");
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
    let signed_by = |node: &Node, author: &Node| {
        let author = &author.member.profile.handle;
        node.reader.is_by(&community, author, &id).unwrap()
    };
    assert!(signed_by(&city, &city) && !signed_by(&city, &water) && !signed_by(&water, &water));
    city.publish(1, None, None).await;
    assert_eq!(city.reader.holds(&id).unwrap(), Some(BodyState::Readable));
    let city = city.restart();
    assert!(
        city.reader
            .is_by(&community, &city.member.profile.handle, &id)
            .unwrap()
    );
}

/// All bodies that a node's log holds of a record, and what its index shows.
fn is_nowhere(node: &Node, id: &RecordId) {
    is_gone(node, id);
    let entries = node
        .reader
        .entries_from(Position(1), usize::MAX, usize::MAX)
        .unwrap();
    for (_, entry) in entries {
        match entry {
            Entry::Record(record) if record.id == *id => assert_eq!(record.body, None),
            Entry::Body(body) if body.id == *id => assert!(body.body.is_empty()),
            _ => {}
        }
    }
    let key = hanse_protocol::observable::Observable::parse("203.0.0.0").unwrap();
    let shown = node
        .reader
        .by_observable(&key.to_key_bytes(), Tlp::Red, 10)
        .unwrap();
    for (position, _) in shown {
        let found = node.reader.entry(position).unwrap();
        assert!(!matches!(found, Some(Entry::Record(record)) if record.id == *id));
    }
}

/// A record of the city and the word that takes it back.
async fn taken_back(city: &Node, to: Option<&str>) -> (RecordId, Carried, Carried) {
    let id = city.publish(1, to, to.map(|_| Tlp::Amber)).await.records[0].id;
    let before = city.carried(&id);
    let word = city.exchange.retract(BY(), id).await.unwrap().id;
    (id, before, city.carried(&word))
}

#[tokio::test]
async fn a_word_that_comes_before_what_it_takes_back_waits_for_it() {
    let (city, water) = league().await;
    let (open, open_before, open_word) = taken_back(&city, None).await;
    let (sealed, sealed_before, sealed_word) = taken_back(&city, Some("acme-water")).await;
    assert_eq!(water.frame(vec![open_word]).await, Verdict::Accept);
    assert_eq!(healed(&water, vec![sealed_word]).await.admitted, 1);
    assert_eq!(water.reader.holds(&open).unwrap(), None);
    // The word outlives a restart; the header is taken in like any other, the body never is.
    let mut water = water.restart();
    assert_eq!(water.frame(vec![open_before.clone()]).await, Verdict::Accept);
    let bare = Carried {
        body: None,
        ..sealed_before
    };
    assert_eq!(healed(&water, vec![bare]).await.admitted, 1);
    is_nowhere(&water, &open);
    is_nowhere(&water, &sealed);
    assert_eq!(
        water.carried(&open).header,
        open_before.header,
        "others are told of it"
    );
    let body = open_before.body.unwrap();
    let fate = water.exchange.body(open, body, Origin::Heal).await.unwrap();
    assert_eq!(fate, BodyFate::NotAwaited);
    while let Ok(nudge) = water.nudges.try_recv() {
        assert!(!matches!(nudge, Nudge::Body(..)), "nobody is asked for a body");
    }
    is_nowhere(&water.restart(), &open);
}

#[tokio::test]
async fn what_comes_in_one_batch_with_the_word_is_in_no_log() {
    let (city, water) = league().await;
    let (first, first_before, first_word) = taken_back(&city, None).await;
    let (second, second_before, second_word) = taken_back(&city, Some("acme-water")).await;
    let batch = vec![first_before, first_word, second_word, second_before];
    assert_eq!(healed(&water, batch).await.admitted, 4);
    is_nowhere(&water, &first);
    is_nowhere(&water, &second);
    assert_eq!(water.reader.stats().unwrap().objects, 0);
    is_nowhere(&water.restart(), &first);
}

/// A retraction with a list, which this node's own never has.
fn listing(author: &Node, after: &RecordId, ids: &[RecordId]) -> Carried {
    let stored = author.reader.record(after).unwrap().unwrap();
    let packed = hanse_protocol::compress::pack(&hanse_protocol::retraction::encode(ids)).unwrap();
    let body = hanse_protocol::seal::Body::Open(packed).encode();
    let before = header_of(author, after);
    let header = Header {
        seq: before.seq + 1,
        prev: Some(*after),
        kind: hanse_protocol::record::Kind::Retraction,
        replaces: None,
        body_length: u32::try_from(body.len()).unwrap(),
        body_hash: BodyHash::of(&body),
        ..before
    };
    Carried {
        header: header.sign(&stored.community, &author.member.signing),
        body: Some(body),
    }
}

#[tokio::test]
async fn a_list_of_what_is_taken_back_waits_too_and_only_for_its_authors() {
    let (city, water) = league().await;
    let id = city.publish(1, None, None).await.records[0].id;
    let carried = city.carried(&id);
    let own = water.publish(1, None, None).await.records[0].id;
    // Water lists the city's record; the city its own, and one of water's.
    let theirs = listing(&water, &own, &[id]);
    let last = city.publish(1, None, None).await.records[0].id;
    let ours = listing(&city, &last, &[own, id]);
    let (city_says, water_says) = (water.carried(&own), carried);
    let city = city.restart();
    assert_eq!(city.frame(vec![ours]).await, Verdict::Accept);
    assert_eq!(city.frame(vec![city_says]).await, Verdict::Accept);
    assert_eq!(water.frame(vec![theirs]).await, Verdict::Accept);
    assert_eq!(water.frame(vec![water_says]).await, Verdict::Accept);
    // An answer after the verdict's commit.
    city.exchange.request(BY()).await.unwrap();
    water.exchange.request(BY()).await.unwrap();
    is_gone(&city, &id);
    assert_eq!(
        city.reader.holds(&own).unwrap(),
        Some(BodyState::Readable),
        "not the city's to take back"
    );
    assert_eq!(
        water.reader.holds(&id).unwrap(),
        Some(BodyState::Readable),
        "not water's to take back"
    );
}

/// As it was before retractions were acted upon in the commit that brings them: both are in the log, and
/// the power went before the erasure came.
#[tokio::test]
async fn an_erasure_that_a_power_cut_took_is_made_good_at_the_next_start() {
    let (city, water) = league().await;
    let (id, before, word) = taken_back(&city, None).await;
    let word_id = {
        let community = *city.exchange.standing().charters.clone().unwrap().community();
        *hanse_protocol::admission::Admitted::from_log(&word.header, &community)
            .unwrap()
            .id()
    };
    let community = *water.exchange.standing().charters.clone().unwrap().community();
    let (handle, folder) = water.stop();
    commit_to(&handle, &folder, |member, charters| {
        let entry = |id, carried: Carried| {
            let entry = Entry::Record(crate::store::entry::RecordEntry {
                community,
                id,
                header: carried.header,
                body: carried.body,
                arrived: crate::clock::now(),
                origin: Origin::Gossip,
                state: BodyState::Readable,
            });
            let facts = crate::store::facts::Derive::facts(
                &mut super::super::derive::Known { member, charters },
                &entry,
                None,
            );
            (entry, facts)
        };
        vec![entry(id, before), entry(word_id, word)]
    });
    let water = Node::open(&handle, folder);
    is_gone(&water, &id);
    assert_eq!(water.reader.stats().unwrap().objects, 0);
}

/// Commits something to the store of a node that does not run.
fn commit_to(
    handle: &str,
    folder: &TempDir,
    entries: impl FnOnce(
        &Member,
        &hanse_protocol::charter::CharterChain,
    ) -> Vec<(Entry, Option<crate::store::facts::RecordFacts>)>,
) {
    let keystore = Keystore::open(&folder.path().join("keys")).unwrap();
    let member = Arc::new(Member::open(profile(handle), &keystore).unwrap());
    let settings = StoreSettings {
        engine: Engine::Memory,
        ..StoreSettings::default()
    };
    let mut deriver = Deriver::new(Arc::clone(&member));
    let store = folder.path().join("store");
    let (mut store, _) = Store::open(&store, keystore.master(), &settings, &mut deriver).unwrap();
    let charters = deriver.into_charters().unwrap().unwrap();
    store.commit(entries(&member, &charters)).unwrap();
    store.close().unwrap();
}

/// Copies a node's folder as a backup would. Not by a command: between fork and exec that would hold the
/// locks of other tests' stores.
fn copied(node: &Node) -> TempDir {
    fn copy(from: &std::path::Path, to: &std::path::Path) {
        std::fs::create_dir(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            match entry.file_type().unwrap().is_dir() {
                true => copy(&entry.path(), &to),
                false => drop(std::fs::copy(entry.path(), to).unwrap()),
            }
        }
    }
    let to = tempfile::tempdir().unwrap();
    for part in ["keys", "store"] {
        copy(&node.folder.path().join(part), &to.path().join(part));
    }
    to
}

/// Opens a backup: whoever restores it leaves a note.
fn restored(handle: &str, folder: TempDir, how: Restored) -> Node {
    commit_to(handle, &folder, |_, _| vec![(how.note(), None)]);
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
    let [near, far, liar] = [1, 2, 3].map(|peer| NodeId([peer; 32]));
    // Two peers are here: what one holds is not what the other does.
    city.exchange.compared(near, true, vec![near, far]);
    let refused = city.exchange.publish(BY(), request(1, None, None)).await;
    assert!(
        matches!(refused, Err(ExchangeError::Restored)),
        "the other was not asked yet"
    );
    city.exchange.compared(far, false, vec![near, far]);
    let refused = city.exchange.publish(BY(), request(1, None, None)).await;
    assert!(
        matches!(refused, Err(ExchangeError::Restored)),
        "the other holds more of our own"
    );
    city.exchange.compared(far, true, vec![near, far, liar]);
    // One tells of more again and again, and gives nothing.
    for _ in 0..2 {
        city.exchange.compared(liar, false, vec![near, far, liar]);
        let refused = city.exchange.publish(BY(), request(1, None, None)).await;
        assert!(
            matches!(refused, Err(ExchangeError::Restored)),
            "perhaps it is slow"
        );
    }
    city.exchange.compared(liar, false, vec![near, far, liar]);
    // Opened with a peer, and kept over a restart before anything is published.
    let city = city.restart();
    let id = city.publish(1, None, None).await.records[0].id;
    let header = header_of(&city, &id);
    assert_eq!((header.epoch > 0, header.seq, header.prev), (true, 1, Some(last)));
    let city = city.restart();
    let next = header_of(&city, &city.publish(1, None, None).await.records[0].id);
    assert_eq!((next.epoch, next.seq, next.prev), (header.epoch, 2, Some(id)));
}

#[tokio::test]
async fn an_operator_may_go_on_alone() {
    let (city, _water) = league().await;
    let last = city.publish(1, None, None).await.records[0].id;
    let backup = copied(&city);
    drop(city);
    let city = restored("port-city", backup, Restored::Alone);
    let header = header_of(&city, &city.publish(1, None, None).await.records[0].id);
    assert_eq!((header.epoch > 0, header.seq, header.prev), (true, 1, Some(last)));
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
    // Nobody said that it is old, and its home does not show it. The first that comes is not the last
    // there is.
    let city = Node::open_at(|_| None, Arc::new(RealDisk), "port-city", backup);
    for carried in later {
        assert_eq!(healed(&city, vec![carried]).await.admitted, 1);
    }
    let city = city.restart();
    let header = header_of(&city, &city.publish(1, None, None).await.records[0].id);
    assert_eq!((header.epoch > 0, header.seq, header.prev), (true, 1, last));
}

/// A machine is set back to a snapshot: nobody says that it is old, and it speaks before it hears anybody.
#[tokio::test]
async fn a_copy_that_nobody_told_of_gives_no_number_twice() {
    let (city, water) = league().await;
    let first = city.publish(1, None, None).await.records[0].id;
    let backup = copied(&city);
    let second = city.publish(1, None, None).await.records[0].id;
    let copy = Node::open("port-city", backup);
    let other = copy.publish(1, None, None).await.records[0].id;
    let (second_header, other_header) = (header_of(&city, &second), header_of(&copy, &other));
    assert_eq!(
        (second_header.prev, other_header.prev),
        (Some(first), Some(first))
    );
    assert_eq!(
        (second_header.epoch, second_header.seq),
        (0, 2),
        "the one at home goes on"
    );
    assert_eq!((other_header.epoch > 0, other_header.seq), (true, 1));
    let both = vec![city.carried(&second), copy.carried(&other)];
    assert_eq!(healed(&water, both).await.admitted, 2);
}

#[tokio::test]
async fn a_number_whose_record_has_expired_is_not_given_again() {
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
    let verdict = city.frame(vec![carried]).await;
    assert_eq!(verdict, Verdict::Ignore, "it has expired");
    let header = header_of(&city, &city.publish(1, None, None).await.records[0].id);
    assert_eq!((header.epoch > 0, header.seq, header.prev), (true, 1, Some(lost)));
}

#[tokio::test]
async fn who_had_said_nothing_when_it_was_backed_up_speaks_in_a_later_epoch() {
    let (city, water) = league().await;
    let backup = copied(&city);
    drop(city);
    let city = restored("port-city", backup, Restored::Wait);
    let peer = NodeId([1; 32]);
    city.exchange.compared(peer, false, vec![]);
    let refused = city.exchange.publish(BY(), request(1, None, None)).await;
    assert!(
        matches!(refused, Err(ExchangeError::Restored)),
        "nobody was asked"
    );
    city.exchange.compared(peer, true, vec![peer]);
    let id = city.publish(1, None, None).await.records[0].id;
    let header = header_of(&city, &id);
    assert_eq!((header.epoch > 0, header.seq, header.prev), (true, 1, None));
    assert_eq!(healed(&water, vec![city.carried(&id)]).await.admitted, 1);
}

/// Who comes late holds what has expired by its header, once somebody says that its clock is right.
#[tokio::test]
async fn healing_brings_the_header_of_what_has_expired_and_no_body() {
    let (city, water) = league().await;
    let expires = crate::clock::now().after(std::time::Duration::from_millis(300));
    let short = local::PublishRequest {
        expires: Some(expires),
        ..request(1, None, None)
    };
    let id = city.exchange.publish(BY(), short).await.unwrap().records[0].id;
    let carried = city.carried(&id);
    while crate::clock::now() <= expires {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let early = healed(&water, vec![carried.clone()]).await;
    assert_eq!((early.admitted, early.refused, early.early), (0, 1, 1));
    assert_eq!(water.reader.holds(&id).unwrap(), None);
    // What was set aside is judged again ten minutes on, or after a restart.
    let water = water.restart();
    let (now, at) = (crate::clock::now(), std::time::Instant::now());
    let city_handle = city.member.profile.handle.clone();
    water
        .clocks
        .hear(city.member.node_id(), city_handle, now, at, true);
    assert_eq!(healed(&water, vec![carried]).await.admitted, 1);
    assert_eq!(water.reader.holds(&id).unwrap(), Some(BodyState::Gone));
    let charters = water.exchange.standing().charters.clone().unwrap();
    let awaited = water.reader.awaited(charters.community(), None, 9);
    assert_eq!(awaited.unwrap(), []);
}
