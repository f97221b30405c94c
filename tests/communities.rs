//! One node in two communities: what each answers, what is kept and backed up of both, and that members of
//! one do not learn of the other.

use std::path::Path;

use hanse_protocol::identity::CommunityId;
use hanse_protocol::tlp::Tlp;
use hanse_tests::node::said;
use hanse_tests::objects::address;
use hanse_tests::{Api, Node, api, eventually};

/// alice belongs to bob's community, with `alice-water` for her handle, and to carol's, with `alice-works`.
struct Two {
    alice: Node,
    bob: Node,
    carol: Node,
    /// bob's community, alice's first.
    south: CommunityId,
    /// carol's, which alice calls `north`.
    north: CommunityId,
}

impl Two {
    async fn start() -> Self {
        let nodes = ["alice-water", "bob-city", "carol-clinic"];
        let [mut alice, mut bob, mut carol] = nodes.map(|handle| Node::init(hanse_tests::hansed!(), handle));
        alice.add_community("north", &["--handle", "alice-works", "--display", "Works"]);
        for node in [&mut alice, &mut bob, &mut carol] {
            node.launch();
        }
        for node in [&mut alice, &mut bob, &mut carol] {
            node.is_up().await;
        }
        let south = takes_in(&bob.api(), "South League", &alice.api()).await;
        let north = takes_in(&carol.api(), "North League", &alice.api().in_community("north")).await;
        let two = Self {
            alice,
            bob,
            carol,
            south,
            north,
        };
        two.is_connected().await;
        two
    }

    /// alice's client in carol's community.
    fn alice_north(&self) -> Api {
        self.alice.api().in_community("north")
    }

    async fn is_connected(&self) {
        for (steward, member) in [(&self.bob, "alice-water"), (&self.carol, "alice-works")] {
            eventually("alice is connected in both", async || {
                let status = steward.api().status().await;
                let member = |peer: &&hanse_protocol::local::PeerStatus| {
                    peer.member
                        .as_ref()
                        .is_some_and(|handle| handle.as_str() == member)
                };
                status.peers.iter().find(member).map(drop)
            })
            .await;
        }
    }
}

/// Founds a community and takes another member in.
async fn takes_in(steward: &Api, name: &str, member: &Api) -> CommunityId {
    let founded = steward.found(name).await.expect("a community is founded");
    let request = member.request().await;
    let admission = steward.admit(&request.file, &request.fingerprint).await;
    let admission = admission.expect("the steward admits");
    let joined = member.join(&admission.invite, &admission.fingerprint).await;
    assert_eq!(joined.expect("it joins").community, founded.community);
    founded.community
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_answers_for_each_of_its_communities_and_both_come_back_from_a_backup() {
    let mut two = Two::start().await;
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
