//! `hanse-testnet up` as its users run it: what it reports, that it notices every promise that is
//! broken, and that it leaves nothing behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const TESTNET: &str = env!("CARGO_BIN_EXE_hanse-testnet");

fn up(arguments: &[&str]) -> Command {
    let mut command = Command::new(TESTNET);
    command.arg("up").args(arguments).stdin(Stdio::null());
    command
}

/// A small input of its own, so that the incidents and the input are told apart.
fn input(folder: &Path) -> PathBuf {
    let path = folder.join("input.ndjson");
    let mut file = std::fs::File::create(&path).unwrap();
    for number in 0..30 {
        writeln!(
            file,
            r#"{{"type":"indicator","spec_version":"2.1","id":"indicator--0b7c2f5e-91a4-4d3b-8c55-{number:012}","created":"2026-03-02T08:00:00.000Z","modified":"2026-03-02T08:00:00.000Z","name":"listed {number}","pattern":"[domain-name:value = 'listed-{number}.example']","pattern_type":"stix","valid_from":"2026-03-02T08:00:00.000Z"}}"#,
        )
        .unwrap();
    }
    writeln!(file, "this line is no object").unwrap();
    path
}

fn report(output: &Output) -> Value {
    let told = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("no report: {error}\n{told}"))
}

fn broken(report: &Value) -> Vec<String> {
    let promises = report["promises"].as_object().unwrap();
    promises
        .iter()
        .filter(|(_, held)| **held == Value::Bool(false))
        .map(|(name, _)| name.clone())
        .collect()
}

#[test]
fn a_league_of_four_keeps_every_promise() {
    let output = up(&["--nodes", "4", "--once", "--json"]).output().unwrap();
    let report = report(&output);
    assert_eq!(broken(&report), [""; 0], "{report:#}");
    assert!(output.status.success());
    assert_eq!(report["nodes"], 4);
    let objects = report["objects"].as_u64().unwrap();
    let members = report["members"].as_array().unwrap();
    assert_eq!(members.len(), 4);
    for (number, member) in members.iter().enumerate() {
        let reader = number < 3;
        assert_eq!(member["missing"], 0);
        assert_eq!(member["sealed_incident"], reader, "{member}");
        assert_eq!(
            member["readable"].as_u64().unwrap() == objects,
            reader,
            "{member}"
        );
        assert_eq!(member["opaque"], u64::from(!reader), "{member}");
        assert!(
            report["peak_rss_bytes"][member["member"].as_str().unwrap()]
                .as_u64()
                .unwrap()
                > 0
        );
    }
    assert!(report["latency_ms"]["deliveries"].as_u64().unwrap() > 0);
    assert!(report["wire"]["max_bytes"].as_u64().unwrap() > 0);
}

#[test]
fn an_input_reaches_everyone_and_its_bad_line_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let input = input(folder.path());
    let output = up(&[
        "--nodes",
        "3",
        "--once",
        "--json",
        "--input",
        input.to_str().unwrap(),
    ])
    .output()
    .unwrap();
    let report = report(&output);
    assert!(output.status.success(), "{report:#}");
    assert_eq!((&report["objects"], &report["refused"]), (&30.into(), &1.into()));
    assert!(
        report["members"]
            .as_array()
            .unwrap()
            .iter()
            .all(|member| member["readable"] == 30)
    );
}

/// Runs a sabotage and sees that it breaks this promise and no other.
fn breaks_only(promise: &str) {
    let folder = tempfile::tempdir().unwrap();
    let input = input(folder.path());
    let arguments = [
        "--nodes",
        "3",
        "--once",
        "--json",
        "--sabotage",
        promise,
        "--input",
    ];
    let output = up(&arguments).arg(input).output().unwrap();
    let report = report(&output);
    assert_eq!(broken(&report), [promise], "{report:#}");
    assert_eq!(output.status.code(), Some(1));
}

macro_rules! sabotages {
    ($($name:ident: $promise:literal,)*) => { $(
        #[test]
        fn $name() { breaks_only($promise); }
    )* };
}

sabotages! {
    an_open_incident_that_not_everyone_has_is_noticed: "everyone-has-the-open-incident",
    a_partner_without_the_sealed_incident_is_noticed: "readers-have-the-sealed-incident",
    a_reader_too_many_is_noticed: "nobody-else-reads-it",
    a_member_who_is_not_heard_is_noticed: "everyone-is-heard",
    a_missing_object_is_noticed: "nothing-missing",
    a_search_that_finds_nothing_is_noticed: "searches-find-it",
    plaintext_on_disk_is_noticed: "no-plaintext-on-disk",
    plaintext_in_messages_is_noticed: "no-plaintext-in-logs-and-metrics",
    an_uninvited_link_is_noticed: "links-are-members-only",
    a_dead_daemon_is_noticed: "daemons-still-run",
}

/// A league that stays up; killed if a test fails.
struct Staying {
    child: Child,
}

impl Staying {
    /// Starts one and waits until it says that it stays up.
    fn new(folder: &Path) -> (Self, BufReader<std::process::ChildStdout>) {
        let arguments = ["--nodes", "3", "--dir", folder.to_str().unwrap()];
        let mut child = up(&arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap());
        let staying = Self { child };
        let mut line = String::new();
        while !line.contains("Ctrl-C ends it") {
            line.clear();
            assert_ne!(told.read_line(&mut line).unwrap(), 0, "it ended early");
        }
        (staying, told)
    }

    fn signal(&self, signal: &str) {
        send(signal, self.child.id());
    }
}

impl Drop for Staying {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send(signal: &str, pid: u32) {
    assert!(
        Command::new("kill")
            .args([signal, &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}

/// Waits until a process is gone: it is nobody's child here.
fn gone(pid: u64) {
    let path = format!("/proc/{pid}");
    let start = std::time::Instant::now();
    while Path::new(&path).exists() {
        assert!(start.elapsed().as_secs() < 60, "{pid} still runs");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn ledger(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("league.json")).unwrap()).unwrap()
}

/// Asks a node what it holds, until it answers.
async fn answers(node: &Value) -> hanse_sdk::local::StatusReply {
    let file = PathBuf::from(node["token_file"].as_str().unwrap());
    let client = hanse_sdk::Client::from_files(node["api"].as_str().unwrap(), &file).unwrap();
    let start = std::time::Instant::now();
    loop {
        match client.status().await {
            Ok(status) => return status,
            Err(error) => assert!(start.elapsed().as_secs() < 60, "{error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_killed_node_is_restarted_by_the_command_of_its_ledger_and_a_signal_ends_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("league");
    let (mut staying, told) = Staying::new(&home);
    let nodes = ledger(&home)["nodes"].as_array().unwrap().clone();
    assert_eq!(nodes.len(), 3);
    let pids: Vec<u64> = nodes.iter().map(|node| node["pid"].as_u64().unwrap()).collect();

    let held = answers(&nodes[2]).await.store.records;
    send("-KILL", u32::try_from(pids[2]).unwrap());
    let command: Vec<&str> = nodes[2]["command"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part.as_str().unwrap())
        .collect();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut again = Command::new(command[0]);
    again
        .args(&command[1..])
        .env_clear()
        .current_dir(&elsewhere)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let again = again.spawn().unwrap();
    let mut again = Staying { child: again };
    let status = answers(&nodes[2]).await;
    assert_eq!(status.member.as_str(), nodes[2]["member"]);
    assert!(status.store.records >= held && held > 0);

    assert!(
        staying.child.try_wait().unwrap().is_none(),
        "a killed node is no reason to end"
    );
    staying.signal("-TERM");
    assert!(staying.child.wait().unwrap().success());
    pids.iter().for_each(|pid| gone(*pid));
    drop(told);

    // What somebody else started is theirs to end; it ends in order.
    assert!(again.child.try_wait().unwrap().is_none());
    again.signal("-TERM");
    assert!(again.child.wait().unwrap().success());
    assert!(home.join("league.json").exists(), "a folder that was named stays");

    let refused = up(&["--dir", home.to_str().unwrap(), "--once"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is not empty"));
}

#[test]
fn nodes_end_with_a_league_that_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("league");
    let (staying, _told) = Staying::new(&home);
    let pids: Vec<u64> = ledger(&home)["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["pid"].as_u64().unwrap())
        .collect();
    staying.signal("-KILL");
    pids.iter().for_each(|pid| gone(*pid));
}
