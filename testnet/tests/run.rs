//! `hanse-testnet run` as its users run it: the short form of every scenario that comes with it keeps
//! every promise, every promise that is broken on purpose is noticed, and what is no scenario is
//! refused with its place.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A small league for a few seconds, one of whose nodes is killed.
const SMALL: &str = "
about = 'three nodes for a few seconds'
nodes = 3
lasts = '4s'
[load]
rate = 10.0
sealed = 0.5
[[event]]
at = '1s'
do = 'kill'
down = '300ms'
[promises]
converge = 'CONVERGE'
memory = 400
";

/// The part of it that kills.
const KILL: &str = "[[event]]
at = '1s'
do = 'kill'
down = '300ms'
";

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hanse-testnet"));
    command.arg("run").args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}

fn report(output: &Output) -> Value {
    let told = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("no report: {error}\n{told}"))
}

fn broken(report: &Value) -> Vec<&str> {
    let promises = report["promises"].as_array().unwrap();
    let broken = promises.iter().filter(|line| line["held"] == false);
    broken.map(|line| line["promise"].as_str().unwrap()).collect()
}

fn holds(scenario: &str) -> Value {
    let output = run(&[scenario, "--short", "--seed", "1", "--json"]);
    let report = report(&output);
    assert_eq!(broken(&report), [""; 0], "{report:#}");
    assert!(output.status.success());
    assert!(
        report["published"]["acknowledged"].as_u64().unwrap() > 5,
        "{report:#}"
    );
    report
}

#[test]
fn two_halves_that_published_apart_are_one_again() {
    let report = holds("partition");
    assert_eq!(report["deeds"]["cuts"], 8);
    assert_eq!(report["links"]["unknown"], 0);
    assert_eq!(report["command"], "hanse-testnet run partition --seed 1 --short");
}

#[test]
fn twenty_kills_under_load_lose_nothing() {
    let report = holds("kills");
    assert_eq!(report["deeds"]["kills"], 20);
}

#[test]
fn who_comes_and_goes_and_joins_late_has_everything() {
    let report = holds("churn");
    assert_eq!(report["deeds"]["joined"], 3);
}

#[test]
fn clocks_that_are_hours_off_are_survived() {
    let report = holds("skew");
    assert_eq!(report["deeds"]["clocks"], 2);
}

#[test]
fn slow_and_lossy_links_lose_nothing() {
    let report = holds("slow-links");
    assert!(report["links"]["losses"].as_u64().unwrap() > 0);
    assert!(report["links"]["reset"].as_u64().unwrap() > 0);
}

#[test]
fn links_that_carry_one_way_only_are_gone_round() {
    holds("one-way");
}

#[test]
fn a_flood_does_not_drown_honest_records() {
    let report = holds("flood");
    assert!(report["hostile"][0]["frames"].as_u64().unwrap() > 100);
}

#[test]
fn every_kind_of_hostile_member_at_once_breaks_nothing() {
    let report = holds("hostile");
    assert_eq!(report["hostile"].as_array().unwrap().len(), 6);
}

#[test]
fn where_the_kernel_may_not_lose_packets_the_report_says_so() {
    let report = holds("packet-loss");
    let skipped = &report["netem_skipped"];
    assert!(skipped.is_null() || skipped.as_str().unwrap().contains("was skipped"));
}

/// Breaks a promise of a small league and sees that it is told, and no other.
fn breaks_only(promise: &str, converge: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("small.toml");
    std::fs::write(&path, SMALL.replace("CONVERGE", converge)).unwrap();
    let output = run(&[
        path.to_str().unwrap(),
        "--seed",
        "3",
        "--json",
        "--sabotage",
        promise,
    ]);
    let report = report(&output);
    assert_eq!(broken(&report), [promise], "{report:#}");
    assert_eq!(output.status.code(), Some(1));
}

macro_rules! sabotages {
    ($($name:ident: $promise:literal, $converge:literal;)*) => { $(
        #[test]
        fn $name() { breaks_only($promise, $converge); }
    )* };
}

sabotages! {
    a_node_that_stays_cut_off_is_noticed: "convergence", "3s";
    a_record_sealed_to_too_many_is_noticed: "confidentiality", "60s";
    a_record_that_is_not_there_is_noticed: "nothing-lost", "60s";
    a_record_that_is_not_whole_is_noticed: "nothing-partial", "60s";
    a_subscriber_who_is_told_twice_is_noticed: "no-duplicates", "60s";
    a_daemon_that_takes_too_much_is_noticed: "bounded-memory", "60s";
    a_daemon_that_ends_by_itself_is_noticed: "every-start-opens", "60s";
}

#[test]
fn honest_records_that_come_late_are_noticed() {
    let small = SMALL.replace(KILL, "").replace("CONVERGE", "60s");
    let small = small
        .replace("rate = 10.0", "rate = 30.0")
        .replace("'4s'", "'15s'");
    let hostile = "slowed-at-most = 2.0\n[[hostile]]\ndoes = 'forger'\nat = '4s'\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("late.toml");
    std::fs::write(&path, small + hostile).unwrap();
    let sabotage = ["--seed", "3", "--json", "--sabotage", "honest-pace"];
    let output = run(&[&[path.to_str().unwrap()], &sabotage[..]].concat());
    let report = report(&output);
    assert_eq!(broken(&report), ["honest-pace"], "{report:#}");
}

#[test]
fn what_is_no_scenario_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrong.toml");
    let wrong = SMALL.replace("CONVERGE", "60s") + "colour = 'red'\n";
    std::fs::write(&path, wrong).unwrap();
    let output = run(&[path.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3));
    assert!(told.contains("colour") && told.contains("line 15"), "{told}");
    let output = run(&["no-such-scenario"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("hanse-testnet scenarios"));
}
