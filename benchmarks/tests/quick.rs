//! The benchmarks run to their end: tiny sizes, every group, every figure a number. So they do not
//! rot; what they measure is for a quiet machine.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use serde_json::Value;

#[test]
fn every_group_gives_its_figures() {
    let run = Command::new(env!("CARGO_BIN_EXE_hanse-bench"))
        .args(["--quick", "--json"])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", run.status);
    let table: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(table["quick"], true);
    let figures = table["figures"].as_array().unwrap();
    let groups: BTreeSet<&str> = figures
        .iter()
        .map(|figure| figure["group"].as_str().unwrap())
        .collect();
    let all = [
        "catchup",
        "commit",
        "league",
        "lines",
        "memory",
        "policy",
        "protocol",
        "reconcile",
        "search",
        "startup",
        "store",
    ];
    assert_eq!(groups, BTreeSet::from(all));
    for figure in figures {
        let beside = figure.get("beside").map(|beside| &beside["runs"]);
        for runs in [Some(&figure["runs"]), beside].into_iter().flatten() {
            let runs = runs.as_array().unwrap();
            assert!(!runs.is_empty(), "{figure}");
            // A figure that is no number is null in JSON.
            assert!(
                runs.iter().all(|run| run.as_f64().is_some_and(|run| run > 0.0)),
                "{figure}"
            );
        }
        let aimed = figure.get("aim").is_some();
        assert_eq!(aimed, figure.get("holds").is_some(), "{figure}");
    }
}
