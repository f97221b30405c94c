//! One node in two communities: what each answers, what is kept and backed up of both, and that members of
//! one do not learn of the other.

use std::path::Path;

use hanse_node::daemon;
use hanse_node::settings::Settings;
use hanse_node::store::entry::Position;
use hanse_protocol::charter::CharterChain;
use hanse_protocol::local::{Readable, RecordView};
use hanse_protocol::record::Kind;
use hanse_protocol::tlp::Tlp;
use hanse_tests::evil::{Presence, node_of};
use hanse_tests::node::said;
use hanse_tests::objects::address;
use hanse_tests::two::Two;
use hanse_tests::wire::Wire;
use hanse_tests::{Api, Candidate, Node, api, eventually, hansed};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_answers_for_each_of_its_communities_and_both_come_back_from_a_backup() {
    let mut two = Two::start(hansed!()).await;
    let listed = two.alice.api().communities().await;
    let told: Vec<_> = listed
        .iter()
        .map(|entry| {
            (
                entry.name.as_str(),
                entry.member.as_str(),
                entry.title.as_deref(),
                entry.community,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("first", "alice-water", Some("South League"), Some(two.south)),
            ("north", "alice-works", Some("North League"), Some(two.north)),
        ]
    );

    // What is published in one is searchable there and nowhere else.
    let (here, there) = (
        address("192.0.2.1", Some(Tlp::Green)),
        address("192.0.2.2", Some(Tlp::Green)),
    );
    let south = two.alice.api().publish_one(&here, &api::Terms::default()).await;
    let north = two
        .alice_north()
        .publish_one(&there, &api::Terms::default())
        .await;
    hanse_tests::league::has(&two.bob, &south).await;
    hanse_tests::league::has(&two.carol, &north).await;
    assert_eq!(two.alice.api().search("192.0.2.1").await.len(), 1);
    assert_eq!(
        two.alice
            .api()
            .in_community("first")
            .search("192.0.2.1")
            .await
            .len(),
        1
    );
    assert!(two.alice.api().search("192.0.2.2").await.is_empty());
    assert_eq!(two.alice_north().search("192.0.2.2").await.len(), 1);
    assert!(two.alice_north().search("192.0.2.1").await.is_empty());
    assert!(two.carol.api().search("192.0.2.1").await.is_empty());
    assert!(two.bob.api().search("192.0.2.2").await.is_empty());

    // Numbers bear their community, and no metric is described twice.
    let numbers = two.alice.api().metrics_text().await;
    for community in ["first", "north"] {
        let line = format!("hanse_records_admitted_total{{community=\"{community}\",origin=\"own\"}} 1\n");
        assert!(numbers.contains(&line), "{numbers}");
    }
    assert_eq!(numbers.matches("# TYPE hanse_records_admitted ").count(), 1);
    assert_eq!(numbers.matches("# EOF").count(), 1);

    // The command line speaks for the community it is told.
    for (arguments, expected) in [
        (vec!["members"], "South League"),
        (vec!["members", "--community", "north"], "North League"),
        (vec!["communities"], "alice-works"),
        (vec!["search", "192.0.2.2", "--community", "north"], "alice-works"),
    ] {
        let printed = hanse(&two.alice, &arguments);
        assert!(printed.contains(expected), "{arguments:?}: {printed}");
    }
    assert!(hanse(&two.alice, &["status", "--community", "south"]).contains("hanse communities"));

    // Checked, and backed up while it runs, are both.
    let checked = two.alice.hansed(&["check", "--json"]);
    let checked: serde_json::Value = serde_json::from_slice(&checked.stdout).expect("a document");
    let stores = checked["checks"].as_array().expect("checks").iter();
    let stores: Vec<&str> = stores
        .filter(|check| check["what"] == "store")
        .filter_map(|check| check["found"].as_str())
        .collect();
    assert_eq!(stores.len(), 2, "{checked}");
    assert!(
        stores[0].contains("South League") && stores[1].contains("North League"),
        "{stores:?}"
    );
    let home = tempfile::tempdir().expect("a folder");
    let (backup, secret) = (home.path().join("backup"), home.path().join("secret"));
    write_secret(&secret);
    let source = format!("file:{}", secret.display());
    let backed = [
        "backup",
        "--to",
        path(&backup),
        "--with-keys",
        "--passphrase",
        &source,
    ];
    runs(&two.alice, &backed);

    // Taken back into a new folder, both are there and go on once their peers gave them their records.
    two.alice.stop().await;
    std::fs::remove_dir_all(two.alice.folder()).expect("the node is lost");
    runs(
        &two.alice,
        &["restore", "--from", path(&backup), "--passphrase", &source],
    );
    runs(&two.alice, &["reindex"]);
    runs(
        &two.alice,
        &[
            "token", "add", "admin", "--role", "read", "--role", "publish", "--role", "admin",
        ],
    );
    two.alice.start().await;
    assert_eq!(two.alice.api().search("192.0.2.1").await.len(), 1);
    assert_eq!(two.alice_north().search("192.0.2.2").await.len(), 1);
    let again = address("192.0.2.3", Some(Tlp::Green));
    let north = eventually("alice publishes in the north again", async || {
        let reply = two
            .alice_north()
            .try_publish(std::slice::from_ref(&again), &api::Terms::default())
            .await;
        reply.ok().map(|reply| reply.records[0].id)
    })
    .await;
    hanse_tests::league::has(&two.carol, &north).await;
}

/// What tells of a community and of those who belong to it, from a charter of it.
struct Telling {
    /// What it is called in messages, with its bytes.
    what: Vec<(String, Vec<u8>)>,
}

impl Telling {
    fn of(charters: &CharterChain) -> Self {
        let mut what = Vec::new();
        let mut add = |name: String, bytes: &[u8]| what.push((name, bytes.to_vec()));
        let id = charters.community();
        add("the community id".to_owned(), id.as_bytes());
        add("the community id, spelt".to_owned(), id.to_string().as_bytes());
        add("its name".to_owned(), charters.charter().name.as_bytes());
        for member in &charters.charter().members {
            let handle = &member.handle;
            add(format!("the handle {handle}"), handle.as_str().as_bytes());
            add(format!("the name of {handle}"), member.profile.name.as_bytes());
            for signing in &member.signing {
                add(format!("a signing key of {handle}"), signing.key.as_bytes());
            }
            for sealing in member.sealing_keys() {
                add(format!("a sealing key of {handle}"), sealing.as_bytes());
            }
            for lane in &member.lanes {
                add(format!("a node of {handle}"), lane.node.as_bytes());
                let peer = hanse_node::mesh::peer_id_text(&lane.node);
                add(format!("a peer id of {handle}"), peer.as_bytes());
                for address in &lane.addresses {
                    let port = address.rsplit('/').next().unwrap_or_default();
                    add(format!("a port of {handle}"), format!("/tcp/{port}").as_bytes());
                }
            }
        }
        Self { what }
    }

    /// What of it stands in these bytes.
    fn found_in(&self, bytes: &[u8]) -> Vec<&str> {
        let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        let found = self.what.iter().filter(|(_, needle)| holds(needle));
        found.map(|(name, _)| name.as_str()).collect()
    }
}

/// All that a member's node can tell: every answer of its API, its messages, and each entry of its store.
async fn told(node: &mut Node) -> (Vec<u8>, CharterChain) {
    let mut told = Vec::new();
    for route in [
        "/v1/status",
        "/v1/members",
        "/v1/community",
        "/v1/communities",
        "/v1/records?after=0&limit=1000&objects=true",
        "/v1/audit?from=0&limit=1000",
        "/v1/audit/heads",
        "/metrics",
    ] {
        told.extend(node.api().text(route).await.into_bytes());
    }
    node.stop().await;
    told.extend(node.messages().into_bytes());
    let settings = Settings::load(&node.folder()).expect("settings");
    let (keystore, member) = daemon::open_member(&node.folder(), &settings).expect("keys");
    let opened = daemon::open_store(&node.folder(), &settings, &keystore, &member).expect("a store");
    let entries = opened
        .store
        .reader()
        .entries_from(Position(1), usize::MAX, usize::MAX);
    for (_, entry) in entries.expect("entries") {
        told.extend(minicbor::to_vec(&entry).expect("it is encoded"));
    }
    let charters = opened.charters.expect("a community");
    opened.store.close().expect("it closes");
    (told, charters)
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_one_community_do_not_learn_of_the_other() {
    let mut two = Two::start(hansed!()).await;
    // A member of each community whose ears are the test's: it hears what its own link to alice brings.
    let mut spies = Vec::new();
    for (name, steward, handle) in [
        ("marlin-net", &two.carol, "alice-works"),
        ("sprat-net", &two.bob, "alice-water"),
    ] {
        let spy = Candidate::new(name).admitted_by(steward).await;
        let handle = handle.parse().expect("a handle");
        let node = node_of(&spy.charters, &handle);
        let lanes = &spy.charters.charter().member(&handle).expect("a member").lanes;
        let listed = [(node, lanes[0].addresses.clone())].into_iter().collect();
        let presence = Presence::start(&spy.member, *spy.community(), listed);
        presence.is_gossiping_with(node).await;
        spies.push(presence);
    }
    // Everything that a node does is done in both: in the open, sealed, taken back.
    for (alice, other, readers, network) in [
        (two.alice.api(), &two.bob, "bob-city", "203.0.113"),
        (two.alice_north(), &two.carol, "carol-clinic", "198.51.100"),
    ] {
        let open = address(&format!("{network}.1"), Some(Tlp::Green));
        let open = alice.publish_one(&open, &api::Terms::default()).await;
        let sealed = address(&format!("{network}.2"), Some(Tlp::Amber));
        let sealed = alice.publish_one(&sealed, &api::to(&[readers])).await;
        for id in [&open, &sealed] {
            hanse_tests::league::has(other, id).await;
        }
        alice.retract(&open).await.expect("it is taken back");
        let answer = address(&format!("{network}.3"), Some(Tlp::Clear));
        let answer = other.api().publish_one(&answer, &api::Terms::default()).await;
        eventually("alice hears of it and compared what both hold", async || {
            let healed = alice
                .status()
                .await
                .peers
                .iter()
                .any(|peer| peer.last_healed.is_some());
            (alice.record(&answer).await.is_some() && healed).then_some(())
        })
        .await;
        eventually("alice tells of her node, and the other keeps it", async || {
            (!other.api().audit_heads().await.nodes.is_empty()).then_some(())
        })
        .await;
    }
    let heard: Vec<Vec<u8>> = spies
        .iter()
        .map(|spy| {
            let heard = spy.heard();
            heard
                .frames
                .iter()
                .chain(&heard.questions)
                .flatten()
                .copied()
                .collect()
        })
        .collect();
    let (south_told, south) = told(&mut two.bob).await;
    let (north_told, north) = told(&mut two.carol).await;
    two.alice.stop().await;
    let [to_bob, to_alice_south, to_carol, to_alice_north] = two.wires.each_ref().map(Wire::kept);

    // The search finds what is there: every node knows its own community.
    let (south, north) = (Telling::of(&south), Telling::of(&north));
    for (own, told) in [(&south, &south_told), (&north, &north_told)] {
        assert_eq!(
            own.found_in(told).len(),
            own.what.len(),
            "{:?}",
            own.found_in(told)
        );
    }
    assert!(
        heard.iter().all(|heard| heard.len() > 1_000),
        "the spies heard what passed"
    );
    assert!(
        [&to_alice_south, &to_alice_north, &to_bob, &to_carol]
            .iter()
            .any(|kept| kept.len() > 1_000)
    );
    for (other, place, bytes) in [
        (&south, "carol's node", north_told),
        (&south, "what a spy in the north heard", heard[0].clone()),
        (
            &south,
            "the wires of the north",
            [to_carol, to_alice_north].concat(),
        ),
        (&north, "bob's node", south_told),
        (&north, "what a spy in the south heard", heard[1].clone()),
        (
            &north,
            "the wires of the south",
            [to_bob, to_alice_south].concat(),
        ),
    ] {
        assert_eq!(
            other.found_in(&bytes),
            Vec::<&str>::new(),
            "{place} tells of the other community"
        );
    }
}

/// Whatever is green or freer may go to the city's other league.
const PASS_GREEN: &str = r#"
@id("pass-green")
permit (principal, action == Action::"forward", resource in TLP::"green")
when { context.from == "first" && context.to == "north" };
@id("share-green")
permit (principal, action == Action::"share", resource in TLP::"green");
"#;

/// The records that were passed on to a node.
async fn forwarded(api: &Api) -> Vec<RecordView> {
    let records = api.records().await.into_iter();
    records.filter(|record| record.kind == Kind::Forwarded).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_policy_lets_pass_is_read_elsewhere_with_its_authors_signature() {
    let mut two = Two::start_with(hansed!(), |folder| {
        std::fs::create_dir(folder.join("policies")).expect("a folder");
        std::fs::write(folder.join("policies/forward.cedar"), PASS_GREEN).expect("a policy");
    })
    .await;
    let (bob, carol) = (two.bob.api(), two.carol.api());
    let soon = hanse_tests::evil::now().after(std::time::Duration::from_secs(3_600));
    let terms = |tlp| api::Terms {
        tlp: Some(tlp),
        expires: Some(soon),
        ..api::Terms::default()
    };
    // Of three, one is sealed; and what alice says herself is not passed on.
    let (green, amber, clear) = ("203.0.113.7", "203.0.113.8", "203.0.113.9");
    let first = bob
        .publish_one(&address(green, Some(Tlp::Green)), &terms(Tlp::Clear))
        .await;
    let sealed = bob
        .publish_one(&address(amber, Some(Tlp::Amber)), &terms(Tlp::Clear))
        .await;
    hanse_tests::league::has(&two.alice, &sealed).await;
    let own = two
        .alice
        .api()
        .publish_one(&address("203.0.113.10", Some(Tlp::Clear)), &terms(Tlp::Clear))
        .await;
    hanse_tests::league::has(&two.bob, &own).await;
    let second = bob
        .publish_one(&address(clear, Some(Tlp::Clear)), &terms(Tlp::Clear))
        .await;
    let passed = eventually("carol reads what bob said last", async || {
        (!carol.search(clear).await.is_empty()).then_some(())?;
        Some(forwarded(&carol).await)
    })
    .await;
    assert_eq!(passed.len(), 2, "{passed:?}");
    assert!(carol.search(amber).await.is_empty());
    assert!(carol.search("203.0.113.10").await.is_empty());

    // The signature is bob's, under the key that his community lists for him; alice vouches for who that is.
    let from = passed[0].forwarded.clone().expect("where it came from");
    assert_eq!(
        (from.author.as_str(), from.community, from.record),
        ("bob-city", two.south, first)
    );
    assert_eq!(passed[0].author.as_str(), "alice-works");
    assert_eq!(passed[0].expires, soon);
    let said = bob.record(&first).await.expect("bob holds it");
    assert_eq!(
        hanse_tests::league::texts(&passed[0]),
        hanse_tests::league::texts(&said)
    );
    let found = hanse(&two.carol, &["search", green]);
    let shown = format!(
        "bob-city of community {}, forwarded by alice-works",
        two.south.short()
    );
    assert!(found.contains(&shown), "{found}");
    let logs = [two.alice.api(), two.alice_north()]
        .map(|api| async move { api.text("/v1/audit?from=0&limit=1000").await });
    for log in logs {
        let log = log.await;
        assert!(
            log.contains("forward") && log.contains("pass-green") && log.contains(&first.to_string()),
            "{log}"
        );
    }

    // Neither a stop nor a kill doubles or loses any.
    two.alice.restart().await;
    two.alice.kill();
    let third = address("203.0.113.11", Some(Tlp::Green));
    bob.publish_one(&third, &terms(Tlp::Clear)).await;
    two.alice.start().await;
    eventually("carol reads what bob said meanwhile", async || {
        (!carol.search("203.0.113.11").await.is_empty()).then_some(())
    })
    .await;
    let mut ids: Vec<_> = forwarded(&carol)
        .await
        .into_iter()
        .filter_map(|record| record.forwarded)
        .map(|from| from.record)
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), forwarded(&carol).await.len()), (3, 3));
    assert!(forwarded(&bob).await.is_empty(), "nothing comes back");

    // What bob takes back goes at carol's, too; the rest stays.
    bob.retract(&first).await.expect("it is taken back");
    eventually("it is gone at carol's", async || {
        let gone = carol
            .record(&passed[0].id)
            .await
            .is_some_and(|record| record.state == Readable::Gone);
        gone.then_some(())
    })
    .await;
    assert!(carol.search(green).await.is_empty());
    assert_eq!(carol.search(clear).await.len(), 1);
    assert_eq!(
        carol.search(clear).await[0]
            .forwarded
            .as_ref()
            .map(|from| from.record),
        Some(second)
    );
    two.alice.restart().await;
    two.is_connected().await;
    assert_eq!(forwarded(&carol).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_policy_nothing_is_forwarded() {
    let two = Two::start(hansed!()).await;
    let green = address("203.0.113.20", Some(Tlp::Clear));
    let said = two.bob.api().publish_one(&green, &api::Terms::default()).await;
    hanse_tests::league::has(&two.alice, &said).await;
    // What alice says afterwards has come, so what she would have passed on has come.
    let word = address("203.0.113.21", Some(Tlp::Clear));
    let word = two.alice_north().publish_one(&word, &api::Terms::default()).await;
    hanse_tests::league::has(&two.carol, &word).await;
    assert!(forwarded(&two.carol.api()).await.is_empty());
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path of letters")
}

fn write_secret(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, "a long enough passphrase").expect("a file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
}

fn runs(node: &Node, arguments: &[&str]) {
    let done = node.hansed(arguments);
    assert!(done.status.success(), "hansed {arguments:?}: {}", said(&done));
}

/// What `hanse` prints, both ways.
fn hanse(node: &Node, arguments: &[&str]) -> String {
    let token = node.folder().join("tokens/admin.token");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hanse-under-test"));
    command
        .args(arguments)
        .arg("--api")
        .arg(format!("http://127.0.0.1:{}", node.api_port));
    said(
        &command
            .arg("--token-file")
            .arg(token)
            .output()
            .expect("hanse runs"),
    )
}
