//! What was acknowledged is kept: through kills, outages, restarts and lost indexes. What rots on
//! disk is named.

use std::path::PathBuf;

use hanse_protocol::identity::RecordId;
use hanse_protocol::local::Readable;
use hanse_tests::api::{Terms, to};
use hanse_tests::league::{has, texts};
use hanse_tests::node::said;
use hanse_tests::objects::{address, nth_address};
use hanse_tests::{Api, League, Node, eventually, hansed};

/// Publishes one object after the other until the node is gone; gives what was acknowledged.
async fn publishes_until_it_is_gone(
    api: Api,
    from: u32,
    told: tokio::sync::watch::Sender<usize>,
) -> Vec<(RecordId, String)> {
    let mut acknowledged = Vec::new();
    for number in from.. {
        let object = address(&nth_address(number), None);
        let Ok(reply) = api
            .try_publish(std::slice::from_ref(&object), &Terms::default())
            .await
        else {
            break;
        };
        acknowledged.push((reply.records[0].id, object));
        told.send_replace(acknowledged.len());
    }
    acknowledged
}

/// Kills a node in the middle of two clients' publishing.
async fn is_killed_while_publishing(node: &mut Node, round: u32) -> Vec<(RecordId, String)> {
    let (told, mut count) = tokio::sync::watch::channel(0);
    let first = tokio::spawn(publishes_until_it_is_gone(node.api(), round * 10_000, told));
    let (other_told, _other) = tokio::sync::watch::channel(0);
    let second = tokio::spawn(publishes_until_it_is_gone(
        node.api(),
        round * 10_000 + 5_000,
        other_told,
    ));
    let enough = 5 + 7 * usize::try_from(round).unwrap();
    count
        .wait_for(|count| *count >= enough)
        .await
        .expect("publishing goes on");
    node.kill();
    let mut acknowledged = first.await.unwrap();
    acknowledged.extend(second.await.unwrap());
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_has_every_record_it_acknowledged_and_its_peers_get_them() {
    let mut league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let node = league.node_mut("acme-water");
        acknowledged.extend(is_killed_while_publishing(node, round).await);
        node.start().await;
        for (id, object) in &acknowledged {
            let record = node.api().record(id).await;
            let record = record.unwrap_or_else(|| panic!("{id} was acknowledged in round {round} or before"));
            assert_eq!(record.state, Readable::Readable);
            assert_eq!(texts(&record), [object.as_str()]);
        }
    }
    let ids: Vec<RecordId> = acknowledged.iter().map(|(id, _)| *id).collect();
    let (author, peer) = (league.node("acme-water").api(), league.node("port-city").api());
    eventually("both hold the same records", async || {
        let mut held = Vec::new();
        for api in [&author, &peer] {
            let records = api.records().await;
            let whole = records.iter().filter(|record| record.state == Readable::Readable);
            let mut whole: Vec<RecordId> = whole.map(|record| record.id).collect();
            whole.sort();
            held.push(whole);
        }
        (held[0] == held[1] && ids.iter().all(|id| held[1].contains(id))).then_some(())
    })
    .await;
    // One unbroken chain: no number was given twice, none is missing.
    let mut chain: Vec<(u32, u64)> = peer
        .records()
        .await
        .iter()
        .map(|record| (record.epoch, record.seq))
        .collect();
    chain.sort_unstable();
    let whole: Vec<(u32, u64)> = (1..=chain.len() as u64).map(|seq| (0, seq)).collect();
    assert_eq!(chain, whole);
}

#[tokio::test]
async fn a_node_that_was_down_gets_what_it_missed() {
    let mut league = League::of(hansed!(), &["port-city", "acme-water", "st-mary"]).await;
    let before = league
        .node("acme-water")
        .api()
        .publish_one(&address("203.0.113.30", None), &Terms::default())
        .await;
    league.holds(&before).await;
    league.node_mut("st-mary").kill();
    let author = league.node("acme-water").api();
    let objects: Vec<String> = (0..40).map(|n| address(&nth_address(n), None)).collect();
    let mut missed = Vec::new();
    for object in &objects {
        missed.push(author.publish_one(object, &Terms::default()).await);
    }
    let sealed = author
        .publish_one(&address("203.0.113.31", None), &to(&["st-mary"]))
        .await;
    // A body too large to ride along with its header.
    let large = address("203.0.113.32", None).replace(
        "\"x_odd\"",
        &format!("\"x_noise\":\"{}\",\"x_odd\"", noise(200_000)),
    );
    let large_id = author.publish_one(&large, &Terms::default()).await;
    has(league.node("port-city"), &large_id).await;
    // The author is away too: it is the others that heal.
    has(league.node("port-city"), &sealed).await;
    league.node_mut("acme-water").stop().await;
    league.node_mut("st-mary").start().await;
    let late = league.node("st-mary");
    for (id, object) in missed.iter().zip(&objects) {
        assert_eq!(texts(&has(late, id).await), [object.as_str()]);
    }
    assert_eq!(has(late, &sealed).await.state, Readable::Readable);
    assert_eq!(texts(&has(late, &large_id).await), [large.as_str()]);
}

/// Text that does not compress.
fn noise(length: usize) -> String {
    (0..length)
        .map(|_| char::from(rand::random_range(b'a'..=b'z')))
        .collect()
}

#[tokio::test]
async fn tokens_ports_and_membership_outlive_a_restart() {
    let mut league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    let node = league.node_mut("acme-water");
    let reader = node.add_token("dashboard", &["--role", "read"]).await;
    let doomed = node.add_token("left-the-company", &["--role", "read"]).await;
    let revoked = node.hansed(&["token", "revoke", "left-the-company"]);
    assert!(revoked.status.success(), "{}", said(&revoked));
    eventually("a revoked token is refused without a restart", async || {
        doomed
            .members()
            .await
            .is_err_and(|failure| failure.problem().status == 401)
            .then_some(())
    })
    .await;
    let before = node.api().status().await;
    node.terminate().await;
    node.start().await;
    let after = node.api().status().await;
    assert_eq!(before.community, after.community);
    assert_eq!(
        (before.peer_id, before.listening),
        (after.peer_id, after.listening)
    );
    assert!(reader.members().await.is_ok());
    assert_eq!(doomed.members().await.unwrap_err().problem().status, 401);
    let role = reader
        .try_publish(&[address("203.0.113.33", None)], &Terms::default())
        .await;
    assert_eq!(role.unwrap_err().problem().kind, "urn:hanse:problem:role");
    league.is_connected().await;
    let id = league
        .node("acme-water")
        .api()
        .publish_one(&address("203.0.113.34", None), &Terms::default())
        .await;
    has(league.node("port-city"), &id).await;
}

/// Everything a node answers, as far as it does not depend on when it is asked.
async fn answers(node: &Node) -> String {
    let api = node.api();
    let records = serde_json::to_string(&api.records().await).unwrap();
    let mut found = Vec::new();
    for value in ["203.0.113.35", "203.0.113.36", "203.0.113.37"] {
        found.push(serde_json::to_string(&api.try_search(value, None).await.unwrap()).unwrap());
    }
    let members = serde_json::to_string(&api.members().await.unwrap().members.len()).unwrap();
    format!("{records}\n{}\n{members}", found.join("\n"))
}

#[tokio::test]
async fn an_index_made_anew_gives_the_same_answers() {
    let mut league = League::of(hansed!(), &["port-city", "acme-water", "st-mary"]).await;
    let author = league.node("acme-water").api();
    let objects: Vec<String> = (0..5).map(|_| address("203.0.113.35", None)).collect();
    let mut ids = author.publish(&objects, &Terms::default()).await;
    ids.push(
        author
            .publish_one(&address("203.0.113.36", None), &to(&["port-city"]))
            .await,
    );
    ids.push(
        author
            .publish_one(&address("203.0.113.37", None), &to(&["st-mary"]))
            .await,
    );
    for id in &ids {
        has(league.node("port-city"), id).await;
    }
    for handle in ["acme-water", "st-mary"] {
        league.node_mut(handle).stop().await;
    }
    let node = league.node_mut("port-city");
    let before = answers(node).await;

    node.stop().await;
    let reindexed = node.hansed(&["reindex"]);
    assert!(reindexed.status.success(), "{}", said(&reindexed));
    assert!(
        said(&reindexed).contains("3 records indexed"),
        "{}",
        said(&reindexed)
    );
    node.start().await;
    assert_eq!(answers(node).await, before);

    node.stop().await;
    std::fs::remove_dir_all(node.folder().join("store/index")).expect("the index is deleted");
    node.start().await;
    assert_eq!(answers(node).await, before);

    node.kill();
    let index = node.folder().join("store/index");
    scribble(&index);
    node.start().await;
    assert_eq!(answers(node).await, before);
}

/// Overwrites the start of every file below a folder.
fn scribble(folder: &std::path::Path) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            scribble(&path);
        } else if let Ok(mut bytes) = std::fs::read(&path) {
            bytes.iter_mut().take(64).for_each(|byte| *byte ^= 0xa5);
            std::fs::write(&path, bytes).expect("the file is written");
        }
    }
}

/// The segments of a node's log, in order.
fn segments(node: &Node) -> Vec<PathBuf> {
    let folder = node.folder().join("store/log");
    let files = std::fs::read_dir(folder)
        .expect("the log")
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn what_rots_in_the_log_is_named_and_comes_back_from_a_peer() {
    let mut league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    let author = league.node("acme-water").api();
    let mut ids = Vec::new();
    for number in 0..10 {
        ids.push(
            author
                .publish_one(&address(&nth_address(number), None), &Terms::default())
                .await,
        );
    }
    let mut positions = Vec::new();
    for id in &ids {
        positions.push(has(league.node("port-city"), id).await.position);
    }
    let node = league.node_mut("port-city");
    node.stop().await;
    let healthy = node.hansed(&["check"]);
    assert!(healthy.status.success(), "{}", said(&healthy));

    // In several of the frames that hold the records, with whole frames behind.
    let path = segments(node).remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    for percent in [40, 50, 60] {
        let at = bytes.len() * percent / 100;
        bytes[at] ^= 0x10;
    }
    std::fs::write(&path, bytes).unwrap();
    let checked = node.hansed(&["check"]);
    assert_eq!(checked.status.code(), Some(1), "{}", said(&checked));
    let text = said(&checked);
    assert!(text.contains("WRONG  log") && text.contains("damaged"), "{text}");
    assert!(
        ids.iter().any(|id| text.contains(&format!("record     {id}"))),
        "what was lost is named: {text}"
    );

    node.start().await;
    assert!(
        node.messages()
            .contains("a damaged stretch of the log was skipped"),
        "it is told at the start too"
    );
    let mut came_back = 0;
    for (id, position) in ids.iter().zip(positions) {
        let record = has(league.node("port-city"), id).await;
        assert_eq!(record.state, Readable::Readable);
        came_back += usize::from(record.position != position);
    }
    assert!(came_back > 0, "no record lay where the log was damaged");
}

#[tokio::test]
async fn membership_is_as_durable_as_records() {
    let mut city = Node::init(hansed!(), "port-city");
    let mut utility = Node::init(hansed!(), "acme-water");
    for node in [&mut city, &mut utility] {
        node.start().await;
    }
    // The answer to each step is the last thing that each node does.
    let Ok(founded) = city.api().found("Port City League").await else {
        panic!("the community is not founded");
    };
    city.kill();
    city.start().await;
    assert_eq!(city.api().status().await.community.unwrap().id, founded.community);
    let request = utility.api().request().await;
    let admission = city
        .api()
        .admit(&request.file, &request.fingerprint)
        .await
        .unwrap();
    city.kill();
    utility
        .api()
        .join(&admission.invite, &admission.fingerprint)
        .await
        .unwrap();
    utility.kill();
    for node in [&mut city, &mut utility] {
        node.start().await;
    }
    let object = address("203.0.113.38", None);
    let id = utility.api().publish_one(&object, &Terms::default()).await;
    assert_eq!(texts(&has(&city, &id).await), [object]);
    city.api().expel("acme-water").await.unwrap();
    city.kill();
    city.start().await;
    let members = city.api().members().await.unwrap();
    assert_eq!((members.charter, members.members[0].ended), (3, true));
}

#[tokio::test]
async fn a_folder_has_one_daemon_at_a_time() {
    let league = League::of(hansed!(), &["port-city"]).await;
    let node = league.steward();
    let looked = node.hansed(&["check"]);
    assert!(looked.status.success(), "{}", said(&looked));
    assert!(said(&looked).contains("running"), "{}", said(&looked));
    for command in [["serve"], ["reindex"], ["retain"]] {
        let output = node.hansed(&command);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {}", said(&output));
        assert!(said(&output).contains("in use"), "{command:?}: {}", said(&output));
    }
    node.api()
        .publish_one(&address("203.0.113.39", None), &Terms::default())
        .await;
}

/// Every byte below a folder, file by file.
fn files(folder: &std::path::Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).expect("a file");
            found.push((path, bytes));
        }
    }
    found
}

#[tokio::test]
async fn who_takes_the_disk_reads_nothing_and_other_users_see_no_file() {
    let mut league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    let object = address("203.0.113.39", Some(hanse_protocol::tlp::Tlp::Amber));
    let id = league
        .node("acme-water")
        .api()
        .publish_one(&object, &Terms::default())
        .await;
    has(league.node("port-city"), &id).await;
    let metrics = league.node("port-city").api().metrics_text().await;
    let node = league.node_mut("port-city");
    node.stop().await;
    let spoken = [
        "203.0.113.39",
        "x_ticket",
        "indicator--",
        "acme-water",
        "Port City League",
    ];
    for word in spoken {
        assert!(!metrics.contains(word), "`{word}` is in the metrics");
    }
    for (path, bytes) in files(&node.folder().join("store")) {
        for word in spoken {
            let plain = bytes.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(!plain, "`{word}` is plain in {}", path.display());
        }
    }
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o077;
    assert_eq!(mode(node.folder()), 0);
    for (path, _) in files(&node.folder().join("keys"))
        .into_iter()
        .chain(files(&node.folder().join("tokens")))
    {
        assert_eq!(mode(path.clone()), 0, "{}", path.display());
    }
}
