//! A backup and what comes after it; what an author takes back.

use std::path::{Path, PathBuf};

use hanse_node::daemon;
use hanse_node::store::entry::{Entry, Position};
use hanse_protocol::identity::RecordId;
use hanse_protocol::local::Readable;
use hanse_protocol::record::{Header, Kind};
use hanse_protocol::seal::Body;
use hanse_protocol::{compress, retraction};
use hanse_tests::api::{Terms, to};
use hanse_tests::forge::{carried, frame, id_of};
use hanse_tests::league::has;
use hanse_tests::node::said;
use hanse_tests::objects::{address, nth_address};
use hanse_tests::{Candidate, Failure, League, Node, eventually, hansed};

async fn publishes(node: &Node, numbers: std::ops::Range<u32>) -> Vec<RecordId> {
    let mut ids = Vec::new();
    for number in numbers {
        let object = address(&nth_address(number), None);
        ids.push(node.api().publish_one(&object, &Terms::default()).await);
    }
    ids
}

fn does(node: &Node, arguments: &[&str]) -> String {
    let output = node.hansed(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    said(&output)
}

/// Loses a node's folder but for its keys, and makes it anew from a backup.
fn is_restored_from(node: &Node, backup: &Path) -> PathBuf {
    let lost = node.folder().with_extension("lost");
    std::fs::rename(node.folder(), &lost).expect("the folder is moved");
    let (backup, keys) = (
        backup.display().to_string(),
        lost.join("keys").display().to_string(),
    );
    let told = does(node, &["restore", "--from", &backup, "--keys", &keys]);
    assert!(told.contains("signs nothing before its peers"), "{told}");
    // One that was broken off does not start: it would sign numbers that were given already.
    let broken_off = node.folder().join("restoring");
    assert!(!broken_off.exists());
    std::fs::write(&broken_off, "").expect("a file");
    let refused = node.hansed(&["serve"]);
    assert!(said(&refused).contains("broken off"), "{}", said(&refused));
    std::fs::remove_file(&broken_off).expect("the file is there");
    does(
        node,
        &[
            "token", "add", "admin", "--role", "read", "--role", "publish", "--role", "admin",
        ],
    );
    lost
}

#[tokio::test]
async fn a_restored_node_gets_its_own_records_back_before_it_signs_another() {
    let mut league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    let mut ids = publishes(league.node("acme-water"), 0..10).await;
    let made = does(
        league.node("acme-water"),
        &["backup", "--to", &backup.display().to_string()],
    );
    assert!(made.contains("without keys"), "{made}");
    ids.extend(publishes(league.node("acme-water"), 10..15).await);
    for id in &ids {
        has(league.node("port-city"), id).await;
    }
    league.node_mut("acme-water").kill();
    league.node_mut("port-city").stop().await;
    is_restored_from(league.node("acme-water"), &backup);

    // Nobody is there to ask.
    league.node_mut("acme-water").start().await;
    let api = league.node("acme-water").api();
    assert_eq!(api.records().await.len(), 10);
    let object = address("203.0.113.77", None);
    match api
        .try_publish(std::slice::from_ref(&object), &Terms::default())
        .await
    {
        Err(Failure::Problem(problem)) => {
            assert_eq!(
                (problem.status, problem.kind.as_str()),
                (503, "urn:hanse:problem:restored")
            );
        }
        other => panic!("{other:?}"),
    }
    // Then somebody is.
    league.node_mut("port-city").start().await;
    let id = eventually("the restored node signs again", async || {
        let reply = api
            .try_publish(std::slice::from_ref(&object), &Terms::default())
            .await;
        Some(reply.ok()?.records[0].id)
    })
    .await;
    for known in &ids {
        has(league.node("acme-water"), known).await;
    }
    let city = league.node("port-city");
    let record = has(city, &id).await;
    assert_eq!((record.epoch > 0, record.seq), (true, 1));
    let epoch = record.epoch;
    let mut places: Vec<(u32, u64)> = city
        .api()
        .records()
        .await
        .iter()
        .map(|r| (r.epoch, r.seq))
        .collect();
    places.sort_unstable();
    let whole: Vec<(u32, u64)> = (1..=15).map(|seq| (0, seq)).chain([(epoch, 1)]).collect();
    assert_eq!(places, whole, "no number was given twice");
    // It goes on from there.
    league.node_mut("acme-water").restart().await;
    let next = publishes(league.node("acme-water"), 20..21).await;
    let record = has(league.node("port-city"), &next[0]).await;
    assert_eq!((record.epoch, record.seq), (epoch, 2));
}

#[tokio::test]
async fn a_backup_holds_keys_only_under_a_passphrase_and_a_changed_one_is_refused() {
    let mut league = League::of(hansed!(), &["port-city"]).await;
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let id = publishes(league.steward(), 0..1).await[0];
    let refused = league
        .steward()
        .hansed(&["backup", "--to", &place("bare"), "--with-keys"]);
    assert!(
        !refused.status.success() && said(&refused).contains("passphrase"),
        "{}",
        said(&refused)
    );
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "a passphrase for the backup\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&secret, mode).unwrap();
    let source = format!("file:{}", secret.display());
    let with_keys = [
        "backup",
        "--to",
        &place("whole"),
        "--with-keys",
        "--passphrase",
        &source,
    ];
    does(league.steward(), &with_keys);
    let key = std::fs::read(league.steward().folder().join("keys/master.key")).unwrap();
    let kept = std::fs::read(folder.path().join("whole/keys/master.key")).unwrap();
    assert_ne!(key, kept);
    let node = league.node_mut("port-city");
    node.kill();
    std::fs::rename(node.folder(), node.folder().with_extension("lost")).unwrap();

    let segment = folder.path().join("whole/log/0000000000000001.seg");
    let bytes = std::fs::read(&segment).unwrap();
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    std::fs::write(&segment, &changed).unwrap();
    let restore = [
        "restore",
        "--from",
        &place("whole"),
        "--passphrase",
        &source,
        "--alone",
    ];
    let refused = node.hansed(&restore);
    assert!(
        !refused.status.success() && said(&refused).contains("0001.seg"),
        "{}",
        said(&refused)
    );
    std::fs::write(&segment, &bytes).unwrap();
    // Whoever mistakes the passphrase tries again; so does whoever was broken off.
    std::fs::write(&secret, "another passphrase for it\n").unwrap();
    let refused = node.hansed(&restore);
    assert!(!refused.status.success(), "{}", said(&refused));
    assert!(!node.folder().join("store").exists() && !node.folder().join("keys").exists());
    std::fs::write(&secret, "a passphrase for the backup\n").unwrap();
    std::fs::create_dir_all(node.folder().join("store/log")).unwrap();
    std::fs::write(node.folder().join("store/log/0000000000000001.seg"), "half").unwrap();
    std::fs::write(node.folder().join("restoring"), "").unwrap();
    does(node, &restore);
    does(
        node,
        &[
            "token", "add", "admin", "--role", "read", "--role", "publish", "--role", "admin",
        ],
    );
    node.start().await;
    assert_eq!(has(node, &id).await.state, Readable::Readable);
    let next = publishes(node, 1..2).await;
    let record = has(node, &next[0]).await;
    assert_eq!(
        (record.epoch > 0, record.seq),
        (true, 1),
        "alone it goes on at once"
    );
    let again = node.hansed(&restore);
    assert!(!again.status.success(), "a node is never overwritten");
}

#[tokio::test]
async fn what_is_taken_back_is_shown_by_nobody_and_leaves_the_disk() {
    let mut league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    for handle in ["port-city", "acme-water"] {
        let node = league.node_mut(handle);
        node.stop().await;
        node.set("#erase_within = \"24h\"", "erase_within = \"0s\"");
        node.start().await;
    }
    league.is_connected().await;
    let author = league.node("acme-water").api();
    let wrong = author
        .publish_one(&address("203.0.113.90", None), &Terms::default())
        .await;
    let sealed = author
        .publish_one(&address("203.0.113.91", None), &to(&["port-city"]))
        .await;
    let right = author
        .publish_one(&address("203.0.113.92", None), &Terms::default())
        .await;
    for id in [&wrong, &sealed, &right] {
        has(league.node("port-city"), id).await;
    }
    for id in [&wrong, &sealed] {
        author.retract(id).await.expect("it is taken back");
    }
    for node in [league.node("port-city"), league.node("acme-water")] {
        for (id, value) in [(&wrong, "203.0.113.90"), (&sealed, "203.0.113.91")] {
            eventually("it is gone", async || {
                let record = node.api().record(id).await?;
                (record.state == Readable::Gone).then_some(())
            })
            .await;
            assert!(node.api().search(value).await.is_empty());
        }
        assert_eq!(node.api().search("203.0.113.92").await.len(), 1);
        eventually("the log was rewritten", async || {
            // A segment that was recast is closed, so there is another after it.
            let log = std::fs::read_dir(node.folder().join("store/log")).ok()?;
            (log.count() > 1).then_some(())
        })
        .await;
    }
    let foreign = league.node("port-city").api().retract(&right).await;
    assert_eq!(foreign.unwrap_err().problem().status, 422);
    let held = author.retain(false).await.unwrap().held;
    assert_eq!(held, None, "the clock is as it should be");
}

/// What a stopped node has on disk of a record beside its header.
fn text_on_disk(node: &Node, id: &RecordId) -> bool {
    let settings = hanse_node::settings::Settings::load(&node.folder()).expect("settings");
    let (keystore, member) = daemon::open_member(&node.folder(), &settings).expect("keys");
    let opened = daemon::open_store(&node.folder(), &settings, &keystore, &member).expect("a store");
    let reader = opened.store.reader();
    let entries = reader
        .entries_from(Position(1), usize::MAX, usize::MAX)
        .expect("entries");
    let text = entries.iter().any(|(_, entry)| match entry {
        Entry::Record(record) => record.id == *id && record.body.is_some(),
        Entry::Body(body) => body.id == *id && !body.body.is_empty(),
        _ => false,
    });
    opened.store.close().expect("it closes");
    text
}

/// The one that takes back is heard at one node before what it takes back, which another holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_that_is_ahead_of_what_it_takes_back_holds_when_that_comes() {
    let mut league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    for handle in ["port-city", "acme-water"] {
        let node = league.node_mut(handle);
        node.stop().await;
        node.set("#erase_within = \"24h\"", "erase_within = \"0s\"");
        node.start().await;
    }
    let author = Candidate::new("harbour-it").admitted_by(league.steward()).await;
    league.is_connected().await;
    let text = author.true_record(&address("203.0.113.95", None));
    let id = id_of(&text.header, author.community());
    let body = Body::Open(compress::pack(&retraction::encode(&[])).expect("it is small")).encode();
    let word = Header {
        kind: Kind::Retraction,
        replaces: Some(id),
        ..author.header(2, Some(id), &body)
    };
    let word = carried(author.signs(&word), &body);
    let word_id = id_of(&word.header, author.community());

    // Only the city hears the text, only the water company that it is taken back.
    league.node_mut("acme-water").stop().await;
    let mesh = author.visits(&[league.steward()]).await;
    mesh.gossips(frame(vec![text])).await;
    assert_eq!(has(league.steward(), &id).await.state, Readable::Readable);
    assert_eq!(league.steward().api().search("203.0.113.95").await.len(), 1);
    drop(mesh);
    league.node_mut("port-city").stop().await;
    league.node_mut("acme-water").start().await;
    let mesh = author.visits(&[league.node("acme-water")]).await;
    mesh.gossips(frame(vec![word])).await;
    has(league.node("acme-water"), &word_id).await;
    drop(mesh);
    assert!(league.node("acme-water").api().record(&id).await.is_none());
    league.node_mut("acme-water").kill();
    league.node_mut("acme-water").start().await;

    // They meet, and heal from each other.
    league.node_mut("port-city").start().await;
    for node in &league.nodes {
        eventually("it is gone", async || {
            let record = node.api().record(&id).await?;
            assert!(
                record.state == Readable::Gone || node.handle.as_str() == "port-city",
                "it was shown"
            );
            (record.state == Readable::Gone).then_some(())
        })
        .await;
        assert!(node.api().search("203.0.113.95").await.is_empty());
    }
    eventually("the log of the city was rewritten", async || {
        let log = std::fs::read_dir(league.steward().folder().join("store/log")).ok()?;
        (log.count() > 1).then_some(())
    })
    .await;
    for node in &mut league.nodes {
        node.stop().await;
        assert!(!text_on_disk(node, &id), "{} has the text still", node.handle);
    }
}
