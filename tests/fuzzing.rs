//! Every decoder takes its corpus and some thousand seeded mutations of it. The long run is
//! `cargo run --release -p hanse-tests --bin mutate`.

use hanse_tests::fuzz::mutation::hammer;
use hanse_tests::fuzz::{TARGETS, corpora, corpus};

/// Mutations of each target; the same ones each time.
const MUTATIONS: u64 = 6_000;

#[test]
fn no_decoder_breaks_its_promise() {
    for target in &TARGETS {
        let corpus = corpus(target);
        assert!(!corpus.is_empty(), "{} has seeds", target.name);
        let fed = hammer(target, &corpus, MUTATIONS / target.rarity, 1);
        let crashes: Vec<String> = fed
            .crashes
            .iter()
            .map(|crash| crash.escape_ascii().to_string())
            .collect();
        assert!(crashes.is_empty(), "{}: {}", target.name, crashes.join("\n"));
    }
}

#[test]
fn every_target_has_its_harness() {
    let harnesses = corpora().with_file_name("fuzz_targets");
    for target in &TARGETS {
        let path = harnesses.join(format!("{}.rs", target.name));
        let harness = std::fs::read_to_string(&path).expect("a harness");
        assert!(
            harness.contains(&format!("feed(\"{}\", data)", target.name)),
            "{}",
            path.display()
        );
    }
}
