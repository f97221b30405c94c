//! What people and scripts do at a terminal, with the real command line against real daemons.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use hanse_protocol::local::Readable;
use hanse_protocol::tlp::Tlp;
use hanse_tests::league::{has, texts};
use hanse_tests::node::{free_port, said};
use hanse_tests::objects::{address, id, nth_address};
use hanse_tests::{League, Node, eventually, hansed};
use serde_json::Value;
use tempfile::TempDir;

const HANSE: &str = env!("CARGO_BIN_EXE_hanse-under-test");

/// The command line in a folder of its own, without anything of the environment.
struct Terminal {
    folder: TempDir,
    api: String,
    token: PathBuf,
}

impl Terminal {
    fn at(node: &Node) -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            api: format!("http://127.0.0.1:{}", node.api_port),
            token: node.folder().join("tokens/admin.token"),
        }
    }

    fn bare(&self) -> Command {
        let mut command = Command::new(HANSE);
        command.env_remove("HANSE_API").env_remove("HANSE_TOKEN_FILE");
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs a command that says which node and token it means.
    fn run(&self, arguments: &[&str]) -> Output {
        self.fed(arguments, b"")
    }

    /// The same, with bytes on standard input.
    fn fed(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.bare();
        command
            .env("HANSE_API", &self.api)
            .env("HANSE_TOKEN_FILE", &self.token);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It need not read all of it, or any.
        drop(child.stdin.take().unwrap().write_all(input));
        child.wait_with_output().unwrap()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it was not killed")
}

/// The one document on standard output, of a command that ended with this code.
fn document(output: &Output, expected: i32) -> Value {
    assert_eq!(code(output), expected, "{}", said(output));
    let text = std::str::from_utf8(&output.stdout).unwrap();
    serde_json::from_str(text).unwrap_or_else(|error| panic!("not one JSON document ({error}): {text}"))
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn an_organisation_is_taken_in_and_shown_out_at_the_terminal() {
    let mut city = Node::init(hansed!(), "port-city");
    let mut utility = Node::init(hansed!(), "acme-water");
    for node in [&mut city, &mut utility] {
        node.start().await;
    }
    let (city_terminal, utility_terminal) = (Terminal::at(&city), Terminal::at(&utility));

    assert_eq!(
        code(&city_terminal.run(&["members"])),
        4,
        "there is no community yet"
    );
    let created = city_terminal.run(&["community", "create", "--name", "Port City League", "--json"]);
    let created = document(&created, 0);
    assert_eq!(keys(&created), ["community", "recovery_file"]);
    let recovery = city_terminal.path("hanse-recovery.key");
    assert_eq!(
        std::fs::metadata(&recovery).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(std::fs::read_to_string(&recovery).unwrap().trim().len(), 64);

    let request = utility_terminal.path("acme.request");
    let asked = utility_terminal.run(&["request", "--out", text(&request), "--json"]);
    let asked = document(&asked, 0);
    assert_eq!(keys(&asked), ["file", "fingerprint", "profile"]);
    assert_eq!(asked["file"], std::fs::read_to_string(&request).unwrap());
    let fingerprint = asked["fingerprint"].as_str().unwrap();

    // Nobody is at the terminal to confirm, so the fingerprint has to be given, and has to be right.
    let invite = city_terminal.path("acme.invite");
    let admit = [
        "community",
        "admit",
        text(&request),
        "--out",
        text(&invite),
        "--json",
    ];
    assert_eq!(code(&city_terminal.run(&admit)), 2);
    let wrong = [&admit[..], &["--fingerprint", "AAAA-BBBB-CCCC-DDDD-EEEE"]].concat();
    assert_eq!(code(&city_terminal.run(&wrong)), 4);
    assert!(!invite.exists());
    let right = [&admit[..], &["--fingerprint", fingerprint]].concat();
    let admitted = document(&city_terminal.run(&right), 0);
    assert_eq!(keys(&admitted), ["charter", "fingerprint", "invite", "member"]);

    let join = ["join", text(&invite), "--json"];
    assert_eq!(code(&utility_terminal.run(&join)), 2);
    let join = [
        &join[..],
        &["--fingerprint", admitted["fingerprint"].as_str().unwrap()],
    ]
    .concat();
    let joined = document(&utility_terminal.run(&join), 0);
    assert_eq!(keys(&joined), ["charter", "community", "members", "name"]);
    assert_eq!(
        (&joined["community"], &joined["members"]),
        (&created["community"], &2.into())
    );

    eventually("both are connected", async || {
        let members = document(&city_terminal.run(&["members", "--json"]), 0);
        let acme = &members["members"][0];
        assert_eq!(acme["handle"], "acme-water");
        (acme["connected"] == 1).then_some(())
    })
    .await;
    let status = document(&utility_terminal.run(&["status", "--json"]), 0);
    assert_eq!(
        keys(&status),
        [
            "agent",
            "chains",
            "clock",
            "community",
            "healing",
            "listening",
            "member",
            "over_budget",
            "peer_id",
            "peers",
            "started",
            "store"
        ]
    );
    assert_eq!(
        (
            &status["community"]["name"],
            status["peers"].as_array().unwrap().len()
        ),
        (&"Port City League".into(), 1)
    );
    for (arguments, word) in [(["status"], "Port City League"), (["members"], "acme-water")] {
        let told = city_terminal.run(&arguments);
        assert!(code(&told) == 0 && said(&told).contains(word), "{}", said(&told));
    }

    assert_eq!(code(&city_terminal.run(&["community", "expel", "acme-water"])), 2);
    let expelled = city_terminal.run(&["--json", "community", "expel", "acme-water", "--yes"]);
    assert_eq!(document(&expelled, 0)["members"], 1);
    assert_eq!(
        code(&city_terminal.run(&["community", "expel", "acme-water", "--yes"])),
        4
    );
}

/// The objects of a command's records, and the node's word for each record.
async fn published(league: &League, output: &Output, expected: i32) -> (Value, Vec<String>) {
    let document = document(output, expected);
    assert_eq!(keys(&document), ["records", "refused"]);
    let mut objects = Vec::new();
    for record in document["records"].as_array().unwrap() {
        assert_eq!(keys(record), ["id", "objects", "position", "readers"]);
        let id = record["id"].as_str().unwrap().parse().unwrap();
        let held = has(league.node("port-city"), &id).await;
        if held.state == Readable::Readable {
            objects.extend(texts(&held).into_iter().map(str::to_owned));
        }
        assert!(record["position"].as_u64().unwrap() > 0);
    }
    (document, objects)
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn files_of_every_shape_are_published_as_they_are() {
    let league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    let terminal = Terminal::at(league.node("acme-water"));
    let objects: Vec<String> = (0..3).map(|_| address("203.0.113.80", None)).collect();
    let lines: String = objects
        .iter()
        .map(|object| format!("{}\n", object.replace('\n', " ")))
        .collect();
    let on_lines: Vec<String> = objects.iter().map(|object| object.replace('\n', " ")).collect();
    let list = objects.join(" ,\n");
    let bundle = format!(
        r#"{{"type":"bundle","id":"{}","objects":[{list}]}}"#,
        id("bundle")
    );
    let shapes: [(&str, Vec<u8>, &[String]); 6] = [
        ("bundle.json", bundle.clone().into_bytes(), &objects),
        ("array.json", format!("[{list}]").into_bytes(), &objects),
        (
            "envelope.json",
            format!(r#"{{"more":false,"objects":[{list}]}}"#).into_bytes(),
            &objects,
        ),
        ("one.json", objects[0].clone().into_bytes(), &objects[..1]),
        ("lines.ndjson", lines.clone().into_bytes(), &on_lines),
        ("bundle.json.gz", gzipped(bundle.as_bytes()), &objects),
    ];
    for (name, bytes, expected) in &shapes {
        let path = terminal.write(name, bytes);
        let output = terminal.run(&["publish", text(&path), "--json"]);
        let (document, read) = published(&league, &output, 0).await;
        assert_eq!(read, *expected, "{name}");
        assert_eq!(document["records"][0]["readers"], "all");
        assert_eq!(document["records"][0]["objects"], expected.len());
        assert_eq!(document["refused"].as_array().unwrap().len(), 0);
        let piped = terminal.fed(&["publish", "-", "--json"], bytes);
        assert_eq!(
            published(&league, &piped, 0).await.1,
            *expected,
            "{name} by standard input"
        );
    }

    // Readers are named, and told.
    let path = terminal.write("sealed.json", &objects[0]);
    let sealed = terminal.run(&[
        "--json",
        "publish",
        text(&path),
        "--to",
        "port-city",
        "--tlp",
        "amber",
        "--expires",
        "7d",
    ]);
    let (document, read) = published(&league, &sealed, 0).await;
    assert_eq!(
        document["records"][0]["readers"],
        serde_json::json!(["port-city"])
    );
    assert_eq!(read, objects[..1]);

    // A bad line is named by its number; the others go.
    let red = address("203.0.113.81", Some(Tlp::Red)).replace('\n', " ");
    let mixed = format!("{}\n{{\"type\":\n\n{red}\n{}\n", on_lines[0], on_lines[1]);
    let path = terminal.write("mixed.ndjson", mixed);
    let partly = terminal.run(&["publish", text(&path), "--json"]);
    let (document, read) = published(&league, &partly, 3).await;
    assert_eq!(read, on_lines[..2]);
    let refused: Vec<_> = document["refused"].as_array().unwrap().iter().collect();
    assert!(refused.iter().all(|refused| {
        keys(refused)
            .iter()
            .filter(|key| **key != "id")
            .eq(&["file", "line", "reason"])
    }));
    let at: Vec<u64> = refused
        .iter()
        .map(|refused| refused["line"].as_u64().unwrap())
        .collect();
    assert_eq!(at, [2, 4]);
    assert!(refused[1]["reason"].as_str().unwrap().contains("TLP:RED"));

    // Many objects are few records, whatever the size of a request.
    let many: String = (0..2_500)
        .map(|n| address(&nth_address(n), None).replace('\n', " ") + "\n")
        .collect();
    let path = terminal.write("feed.ndjson.gz", gzipped(many.as_bytes()));
    let (document, read) = published(&league, &terminal.run(&["publish", text(&path), "--json"]), 0).await;
    assert_eq!(read.len(), 2_500);
    assert_eq!(document["records"].as_array().unwrap().len(), 13);
    let last = terminal.run(&["search", &nth_address(2_499), "--json"]);
    assert_eq!(code(&last), 0, "{}", said(&last));
}

#[tokio::test]
async fn searches_answer_scripts_and_leave_no_trace_in_the_daemons_messages() {
    let mut league = League::of(hansed!(), &["port-city"]).await;
    let node = league.node_mut("port-city");
    node.stop().await;
    node.set(
        "#level = \"info,fjall=warn,lsm_tree=warn,libp2p=warn,libp2p_gossipsub=error\"",
        "level = \"info,hanse_node=trace\"",
    );
    node.start().await;
    let terminal = Terminal::at(node);
    let object = address("203.0.113.82", None);
    let path = terminal.write("object.json", &object);
    assert_eq!(code(&terminal.run(&["publish", text(&path)])), 0);

    let found = terminal.run(&["search", "203.0.113.82", "--json"]);
    let shape = document(&found, 0);
    assert_eq!(keys(&shape), ["matches", "more"]);
    assert_eq!(keys(&shape["matches"][0]), ["author", "object", "record", "tlp"]);
    assert_eq!(shape["matches"][0]["author"], "port-city");
    let printed = String::from_utf8(found.stdout).unwrap();
    assert!(
        printed.contains(&object),
        "the object is not printed as it was issued: {printed}"
    );
    let piped = terminal.fed(&["search", "-", "--json"], b"203[.]0[.]113[.]82\n");
    assert_eq!(document(&piped, 0), shape);
    let nothing = terminal.run(&["--json", "search", "198.51.100.83"]);
    let nothing_shape = document(&nothing, 1);
    assert_eq!(nothing_shape["matches"], Value::Array(Vec::new()));
    assert!(nothing.stdout.starts_with(br#"{"matches":[]"#));
    assert_eq!(code(&terminal.run(&["search", "198.51.100.83"])), 1);

    let record = shape["matches"][0]["record"].as_str().unwrap();
    let shown = document(&terminal.run(&["show", record, "--json"]), 0);
    assert_eq!(shown["objects"][0]["tlp"], "green");
    assert!(
        shown["created"].as_str().unwrap().ends_with('Z'),
        "instants are RFC 3339"
    );
    let stix = shape["matches"][0]["object"]["id"].as_str().unwrap();
    assert_eq!(
        document(&terminal.run(&["show", stix, "--json"]), 0)["versions"][0]["record"],
        record
    );
    assert_eq!(code(&terminal.run(&["show", &"0".repeat(64)])), 1);

    // Refused by the node: a value it cannot read.
    let nonsense = terminal.run(&["search", "unsearchable-nonsense", "--json"]);
    let told = document(&nonsense, 2);
    assert_eq!(told["error"]["type"], "urn:hanse:problem:invalid");
    assert!(String::from_utf8_lossy(&nonsense.stderr).starts_with("error: "));
    let token = std::fs::read_to_string(&terminal.token).unwrap();
    let messages = node.messages();
    assert!(messages.contains("/v1/search"), "searches are told of at all");
    for secret in [
        "203.0.113.82",
        "203[.]0",
        "198.51.100.83",
        "unsearchable-nonsense",
        "x_ticket",
        stix,
        token.trim(),
    ] {
        assert!(
            !messages.contains(secret),
            "`{secret}` is in the daemon's messages"
        );
    }
}

#[tokio::test]
async fn the_command_line_says_how_it_ended() {
    let league = League::of(hansed!(), &["port-city"]).await;
    let node = league.node("port-city");
    let terminal = Terminal::at(node);
    let ends = |command: &mut Command| code(&command.output().unwrap());
    let (api, token) = (terminal.api.as_str(), text(&terminal.token).to_owned());

    // Before and after the command, or from the environment, which a flag overrules.
    assert_eq!(
        ends(
            terminal
                .bare()
                .args(["--api", api, "--token-file", &token, "status"])
        ),
        0
    );
    assert_eq!(
        ends(
            terminal
                .bare()
                .args(["status", "--token-file", &token, "--api", api])
        ),
        0
    );
    assert_eq!(
        ends(
            terminal
                .bare()
                .args(["status", "--api", api])
                .env("HANSE_TOKEN_FILE", &token)
        ),
        0
    );
    let nobody = format!("http://127.0.0.1:{}", free_port());
    assert_eq!(
        ends(
            terminal
                .bare()
                .args(["status", "--token-file", &token])
                .env("HANSE_API", &nobody)
        ),
        5
    );
    let overruled = ["status", "--token-file", &token, "--api", api];
    assert_eq!(ends(terminal.bare().args(overruled).env("HANSE_API", &nobody)), 0);

    assert_eq!(
        ends(terminal.bare().args(["status", "--api", api])),
        2,
        "no token"
    );
    assert_eq!(ends(terminal.bare().args(["frobnicate"])), 2);
    assert_eq!(ends(terminal.bare().args(["--help"])), 0);
    assert_eq!(code(&terminal.run(&["publish", "nowhere.json"])), 2);
    assert_eq!(
        code(&terminal.run(&["search", "203.0.113.84", "--limit", "0"])),
        2
    );

    // A token of another's making, and one that may not do this.
    let forged = terminal.write("forged.token", format!("hanse_{}\n", "A".repeat(43)));
    assert_eq!(
        ends(
            terminal
                .bare()
                .args(["status", "--api", api, "--token-file", text(&forged)])
        ),
        4
    );
    node.add_token("dashboard", &["--role", "read"]).await;
    let reader = node.folder().join("tokens/dashboard.token");
    let path = terminal.write("object.json", address("203.0.113.84", None));
    let publish = [
        "publish",
        text(&path),
        "--api",
        api,
        "--token-file",
        text(&reader),
    ];
    let refused = terminal.bare().args(publish).output().unwrap();
    assert_eq!((code(&refused), refused.stdout.len()), (4, 0));
    assert!(said(&refused).contains("`publish`"), "{}", said(&refused));
    assert!(said(&refused).starts_with("error: "));
}
