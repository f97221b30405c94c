//! The starter set, expectations, and lint.

use super::*;

/// The community that the starter set's members.toml speaks of.
fn harbour() -> Charter {
    charter_of(vec![
        member("cheap-parts", MemberKind::Company, "manufacturing", "DE"),
        member("city-telecom", MemberKind::Company, "telecom", "DE"),
        member("east-hospital", MemberKind::Hospital, "health", "DE"),
        member("harbour-city", MemberKind::City, "", "DE"),
        member("harbour-water", MemberKind::Utility, "water", "DE"),
        member("north-cert", MemberKind::Cert, "", "DE"),
        member("river-city", MemberKind::City, "", "NL"),
        member("scada-works", MemberKind::Company, "manufacturing", "DE"),
        member("west-hospital", MemberKind::Hospital, "health", "DE"),
    ])
}

#[test]
fn the_starter_set_does_what_it_says_and_nothing_in_it_is_idle() {
    let policies =
        Policies::from_files(starter(), Some(&harbour())).unwrap_or_else(|errors| panic!("{errors}"));
    let results = policies.check_expectations(&harbour(), noon());
    let failed: Vec<_> = results.iter().filter(|result| result.failure.is_some()).collect();
    assert!(results.len() > 25 && failed.is_empty(), "{failed:#?}");
    let tested: BTreeSet<&str> = results
        .iter()
        .flat_map(|result| &result.deciding)
        .map(String::as_str)
        .collect();
    let untested: Vec<_> = policies.ids().filter(|(id, _, _)| !tested.contains(id)).collect();
    assert_eq!(untested, [], "every policy decides in some expectation");
    let lints = policies.lint(&harbour(), None, noon());
    assert_eq!(
        lints,
        [],
        "{}",
        lints.iter().map(|lint| format!("{lint}\n")).collect::<String>()
    );
}

#[test]
fn the_folder_it_makes_is_read_back_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for file in starter() {
        std::fs::write(folder.path().join(&file.name), &file.text).unwrap();
    }
    std::fs::write(folder.path().join(".water.cedar.swp"), [0xff]).unwrap();
    std::fs::write(folder.path().join("README.md"), "ours").unwrap();
    let read = Policies::load(folder.path(), Some(&harbour())).unwrap();
    let kept = Policies::from_files(read.files().to_vec(), None).unwrap();
    assert_eq!(read.hash(), kept.hash());
    let mut other = starter();
    other[0].text.push('\n');
    assert_ne!(Policies::from_files(other, None).unwrap().hash(), kept.hash());
    std::fs::write(folder.path().join("bytes.cedar"), [0xff]).unwrap();
    let errors = Policies::load(folder.path(), None).unwrap_err().0;
    assert!(matches!(
        errors[..],
        [PolicyError {
            problem: Problem::Unreadable(_),
            ..
        }]
    ));
    std::fs::remove_file(folder.path().join("bytes.cedar")).unwrap();
    assert!(Policies::load(&folder.path().join("nowhere"), None).is_err());
    for missed in ["more", "Never.Cedar"] {
        let path = folder.path().join(missed);
        if missed == "more" {
            std::fs::create_dir(&path).unwrap();
        } else {
            std::fs::write(&path, "").unwrap();
        }
        let errors = Policies::load(folder.path(), None).unwrap_err().0;
        assert_eq!(
            errors[0].problem,
            Problem::StrangeFile {
                name: missed.to_owned()
            }
        );
        if missed == "more" {
            std::fs::remove_dir(&path).unwrap();
        }
    }
}

/// A set of one policy with expectations.
fn expecting(expectations: &str) -> Vec<PolicyFile> {
    vec![
        PolicyFile::new(
            "a.cedar",
            "@id(\"cert\") @redact(\"description\")\n\
             permit (principal, action == Action::\"share\", resource) when { principal.kind == \"cert\" };",
        ),
        PolicyFile::new("tests.toml", expectations),
    ]
}

#[test]
fn an_expectation_that_does_not_hold_says_why() {
    let policies = loaded(expecting(
        r#"
        [[expect]]
        name = "to the cert"
        partner = "north-cert"
        item = { type = "indicator", tlp = "green" }
        outcome = "no"
        [[expect]]
        name = "without description"
        partner = { kind = "cert" }
        item = { type = "indicator", tlp = "green" }
        outcome = "yes"
        by = "cert"
        redact = []
        [[expect]]
        name = "to a stranger"
        partner = "nobody-here"
        item = { type = "indicator", tlp = "green" }
        outcome = "no"
        "#,
    ));
    let results = policies.check_expectations(&charter(), noon());
    let failures: Vec<_> = results
        .iter()
        .map(|result| result.failure.as_deref().unwrap())
        .collect();
    assert_eq!(
        failures,
        [
            "expected no, the policies say yes",
            "expected nothing to be taken out, the policies take out `description`",
            "`nobody-here` is no member of the community"
        ]
    );
}

#[test]
fn expectations_that_contradict_each_other_are_refused() {
    let question = "[[expect]]\nname = \"one\"\npartner = \"north-cert\"\nitem = { type = \"indicator\", tlp = \"green\" }\n";
    let found = problems(expecting(&format!(
        "{question}outcome = \"yes\"\n{question}outcome = \"no\"\n"
    )));
    let told: Vec<_> = found
        .into_iter()
        .map(|error| (error.line, error.problem))
        .collect();
    assert_eq!(
        told,
        [(
            6,
            Problem::Contradiction {
                other: "one".to_owned(),
                line: 1
            }
        )]
    );
    let one = |text: &str| {
        problems(expecting(&format!("{question}{text}")))
            .remove(0)
            .problem
    };
    assert!(matches!(one("outcome = \"maybe\""), Problem::OutOfBounds { .. }));
    assert_eq!(
        one("outcome = \"yes\"\nby = \"crt\""),
        Problem::UnknownPolicy {
            id: "crt".to_owned(),
            nearest: Some("cert".to_owned())
        }
    );
    assert!(matches!(one("outcome = \"yes\"\nwhen = 1"), Problem::Settings(_)));
}

#[test]
fn lint_finds_what_never_decides() {
    let policies = loaded(vec![
        PolicyFile::new(
            "members.toml",
            "[members.gone-away]\ntrust = 5\n[circles]\nempty = []\nold = ['gone-away']",
        ),
        PolicyFile::new(
            "a.cedar",
            r#"
            @id("all") permit (principal, action == Action::"share", resource);
            @id("kind") permit (principal, action == Action::"share", resource) when { principal.kind == "hospitl" };
            @id("both") permit (principal, action == Action::"share", resource)
            when { principal.trust < 10 && principal.trust > 20 };
            @id("watr") @delay("1h") permit (principal, action == Action::"share", resource)
            when { principal.sector == "watr" };
            @id("shadowed") @note("x") permit (principal, action == Action::"share", resource)
            when { resource.type == "note" };
            @id("ban") forbid (principal, action == Action::"share", resource)
            when { resource.type == "note" || resource.revoked };
            @id("covered") permit (principal, action == Action::"share", resource) when { principal.kind == "cert" };
            @id("fine") @delay("2h") permit (principal, action == Action::"share", resource)
            when { resource.targets.contains(principal.sector) };
            @id("same") @delay("2h") permit(principal,action==Action::"share",resource)
            when { resource.targets.contains(principal.sector) };
            @id("everything") @note("really") permit (principal, action, resource) when { principal.kind == "cert" };
            "#,
        ),
    ]);
    let used = ["all", "ban", "fine", "same", "covered", "everything"]
        .map(str::to_owned)
        .into();
    let lints = policies.lint(&charter(), Some(&used), noon());
    let of = |policy: &str| -> Vec<Finding> {
        let of = lints.iter().filter(|lint| lint.policy.as_deref() == Some(policy));
        of.map(|lint| lint.finding.clone()).collect()
    };
    assert_eq!(of("all"), [Finding::Everybody]);
    let word = Finding::OddWord {
        attribute: "kind",
        word: "hospitl".to_owned(),
        nearest: Some("hospital".to_owned()),
    };
    assert_eq!(of("kind"), [Finding::Impossible, word, Finding::NeverUsed]);
    assert_eq!(of("both"), [Finding::Impossible, Finding::NeverUsed]);
    assert_eq!(of("watr"), [Finding::Nobody, Finding::NeverUsed]);
    assert_eq!(
        of("shadowed"),
        [
            Finding::Shadowed {
                by: ["ban".to_owned()].into()
            },
            Finding::Everybody,
            Finding::NeverUsed
        ]
    );
    assert_eq!(of("covered"), [Finding::Covered { by: "all".to_owned() }]);
    assert_eq!(of("ban"), []);
    assert_eq!(of("fine"), []);
    assert_eq!(
        of("same"),
        [Finding::Identical {
            other: "fine".to_owned()
        }]
    );
    assert_eq!(of("everything"), [Finding::EveryAction]);
    let told: Vec<String> = lints
        .iter()
        .filter(|lint| lint.policy.is_none())
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        told,
        [
            "members.toml: there are terms with `gone-away`, which is no member of the community",
            "line 4 of members.toml: the circle `empty` has no member: what is for it goes to nobody",
            "line 5 of members.toml: the circle `old` lists `gone-away`, which is no member of the community"
        ]
    );
}
