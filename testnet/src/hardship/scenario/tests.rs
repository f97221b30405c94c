//! What is read as a scenario, and what is not.

use super::*;

const SMALL: &str =
    "about = 'x'\nnodes = 3\nlasts = '5s'\n[load]\nrate = 1.0\n[promises]\nconverge = '9s'\nmemory = 100\n";

#[test]
fn every_shipped_scenario_reads_and_has_a_short_form() {
    for (name, text) in SHIPPED {
        let scenario = Scenario::parse(name, text).unwrap_or_else(|error| panic!("{error:?}"));
        let short = scenario
            .clone()
            .shortened()
            .unwrap_or_else(|error| panic!("{error:?}"));
        assert!(short.lasts <= Duration::from_secs(20) && short.nodes <= scenario.nodes);
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let wrong = format!("{SMALL}[[event]]\nat = '1s'\ndo = 'join'\nhowmany = 3\n");
    let Err(ScenarioError::Written { source, .. }) = Scenario::parse("wrong", &wrong) else {
        panic!("it was read");
    };
    let told = source.to_string();
    assert!(told.contains("line 12") && told.contains("howmany"), "{told}");
}

#[test]
fn what_cannot_be_is_refused() {
    for wrong in [
        "[[event]]\nat = '1s'\ndo = 'partition'\nsizes = [5, 5]\nlasts = '2s'\n",
        "[[event]]\nat = '1s'\ndo = 'partition'\nsizes = [2, 1]\n",
        "[[event]]\nat = '1s'\ndo = 'kill'\ndown = '1s'\ntimes = 3\n",
        "[[event]]\nat = '1s'\ndo = 'join'\nsizes = [3]\n",
        "[[event]]\nat = '9s'\ndo = 'join'\n",
        "[[hostile]]\ndoes = 'forger'\ncount = 200\n",
        "[[hostile]]\ndoes = 'forger'\nrate = -1.0\n",
    ] {
        let text = format!("{SMALL}{wrong}");
        let read = Scenario::parse("wrong", &text);
        assert!(
            matches!(read, Err(ScenarioError::Impossible { .. })),
            "{wrong}: {read:?}"
        );
    }
    assert!(Scenario::parse("right", SMALL).is_ok());
}

#[test]
fn clocks_are_off_either_way() {
    let text = format!("{SMALL}[[event]]\nat = '1s'\ndo = 'skew'\nby = ['3h', '-90m']\nlasts = '2s'\n");
    let scenario = Scenario::parse("skew", &text).unwrap();
    let by = scenario.events[0].by.clone().unwrap();
    assert_eq!(by, [Offset(10_800_000), Offset(-5_400_000)]);
}
