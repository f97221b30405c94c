//! Each mistake has its place and its words.

use super::*;

/// The problem of a single policy, with its line.
fn problem(text: &str) -> (u32, Problem) {
    let mut found = problems(cedar(text));
    assert_eq!(found.len(), 1, "{found:?}");
    let error = found.remove(0);
    (error.line, error.problem)
}

/// The problem of a condition of sharing.
fn condition(text: &str) -> Problem {
    problem(&format!(
        "@id(\"x\")\npermit (principal, action == Action::\"share\", resource)\nwhen {{ {text} }};"
    ))
    .1
}

#[test]
fn policies_that_cannot_be_read_are_refused() {
    let share = "(principal, action == Action::\"share\", resource);";
    assert!(matches!(
        problem("\n@id(\"x\") permt (principal, action, resource);"),
        (2, Problem::Syntax(_))
    ));
    assert!(matches!(
        problem("@id(\"x\") permit (principal, action"),
        (1, Problem::Syntax(_))
    ));
    assert_eq!(problem(&format!("// ours\npermit {share}")), (2, Problem::NoId));
    assert_eq!(
        problem(&format!("@id(\"a b\") permit {share}")),
        (1, Problem::BadId { id: "a b".to_owned() })
    );
    assert_eq!(
        problem("@id(\"x\") permit (principal == ?principal, action, resource);").1,
        Problem::Template
    );
    assert_eq!(
        problem(&format!("@id(\"x\") permit {share}\n@id(\"x\") forbid {share}")),
        (
            2,
            Problem::DuplicateId {
                id: "x".to_owned(),
                file: "a.cedar".to_owned(),
                line: 1
            }
        )
    );
    let deep = condition(&format!("{}true{}", "(".repeat(100), ")".repeat(100)));
    assert!(matches!(deep, Problem::Tangled { .. }));
}

#[test]
fn names_that_nothing_bears_are_refused() {
    let near = |text: &str| Some(text.to_owned());
    assert_eq!(
        condition("principal == Member::\"nort-cert\""),
        Problem::UnknownMember {
            handle: "nort-cert".to_owned(),
            nearest: near("north-cert")
        }
    );
    assert_eq!(
        condition("principal in Circle::\"water\""),
        Problem::UnknownCircle {
            circle: "water".to_owned(),
            nearest: None
        }
    );
    assert_eq!(
        condition("resource in TLP::\"ambr\""),
        Problem::UnknownMarking {
            name: "ambr".to_owned(),
            nearest: near("amber")
        }
    );
    assert_eq!(
        condition("principal in Circel::\"water\""),
        Problem::UnknownEntity {
            name: "Circel".to_owned(),
            nearest: near("Circle")
        }
    );
    assert_eq!(
        condition("principal.sectro == \"water\""),
        Problem::UnknownAttribute {
            name: "sectro".to_owned(),
            of: "principal".to_owned(),
            nearest: near("sector")
        }
    );
    assert_eq!(
        condition("resource has confidense && true"),
        Problem::UnknownAttribute {
            name: "confidense".to_owned(),
            of: "resource".to_owned(),
            nearest: near("confidence")
        }
    );
    assert_eq!(
        condition("resource.confidence > 50"),
        Problem::UnguardedAttribute {
            name: "confidence".to_owned(),
            of: "resource".to_owned()
        }
    );
    let (_, action) = problem("@id(\"x\") permit (principal, action == Action::\"shere\", resource);");
    assert_eq!(
        action,
        Problem::UnknownAction {
            name: "shere".to_owned(),
            nearest: near("share")
        }
    );
    let (_, never) =
        problem("@id(\"x\") permit (principal, action == Action::\"share\", resource == TLP::\"red\");");
    assert_eq!(never, Problem::NeverApplies);
}

#[test]
fn things_of_different_kinds_are_not_compared() {
    let rule = |text: &str| match condition(text) {
        Problem::WrongType { text, rule } => (text, rule),
        other => panic!("{other:?}"),
    };
    let numbers = "numbers are written without quotation marks, text with them";
    assert_eq!(
        rule("principal.trust == \"50\""),
        ("principal.trust == \"50\"".to_owned(), numbers)
    );
    assert_eq!(rule("principal.trust > \"50\"").0, "\"50\"");
    assert_eq!(
        rule("principal.tags == \"x\"").1,
        "look into a list with `.contains(...)`"
    );
    assert_eq!(
        rule("principal.sector").1,
        "a condition is yes or no: compare it with something, or leave the comparison out"
    );
    assert_eq!(
        condition("context.now > datetime(\"19.6.2026\")"),
        Problem::BadLiteral {
            text: "datetime(\"19.6.2026\")".to_owned()
        }
    );
}

#[test]
fn obligations_that_say_nothing_or_stand_wrong_are_refused() {
    let on = |annotation: &str, effect: &str, action: &str| {
        problem(&format!(
            "@id(\"x\")\n{annotation}\n{effect} (principal, action == Action::\"{action}\", resource);"
        ))
    };
    assert_eq!(
        on("@redcat(\"description\")", "permit", "share"),
        (
            2,
            Problem::UnknownObligation {
                name: "redcat".to_owned(),
                nearest: Some("redact".to_owned())
            }
        )
    );
    for bad in [
        "@delay(\"soon\")",
        "@hide(\"all\")",
        "@redact(\"\")",
        "@redact(\"id\")",
        "@receipt(\"yes\")",
        "@note(\"\")",
    ] {
        assert!(
            matches!(on(bad, "permit", "share"), (2, Problem::BadObligation { .. })),
            "{bad}"
        );
    }
    for (annotation, effect, action) in [
        ("@delay(\"2h\")", "forbid", "share"),
        ("@delay(\"2h\")", "permit", "accept"),
        ("@redact(\"description\")", "permit", "accept"),
        ("@quarantine(\"why\")", "permit", "share"),
        ("@redact(\"description\")", "permit", "forward"),
        ("@receipt(\"\")", "permit", "forward"),
        ("@backfill(\"2h\")", "permit", "forward"),
    ] {
        let (_, found) = on(annotation, effect, action);
        assert!(
            matches!(found, Problem::MisplacedObligation { .. }),
            "{annotation}"
        );
    }
    assert_eq!(
        on("@redact_text(\"fone\")", "permit", "share").1,
        Problem::UnknownPattern {
            name: "fone".to_owned(),
            nearest: None
        }
    );
}

#[test]
fn files_are_bounded_and_misspelt_ones_are_seen() {
    let file = |name: &str, text: &str| problems(vec![PolicyFile::new(name, text)]).remove(0);
    let strange = file("member.toml", "").problem;
    assert_eq!(
        strange,
        Problem::StrangeFile {
            name: "member.toml".to_owned()
        }
    );
    let large = file("a.cedar", &" ".repeat(FILE_SIZE + 1)).problem;
    assert_eq!(
        large,
        Problem::TooLarge {
            size: FILE_SIZE + 1,
            limit: FILE_SIZE
        }
    );
    let unknown = file("members.toml", "[members.acme-vendor]\ntrsut = 5");
    assert!(matches!(
        (unknown.line, unknown.problem),
        (2, Problem::Settings(_))
    ));
    let trust = file("members.toml", "[members.acme-vendor]\ntrust = 101");
    assert!(matches!(
        (trust.line, trust.problem),
        (2, Problem::OutOfBounds { .. })
    ));
    let name = file("members.toml", "[circles]\nwater = ['Acme Water']");
    assert_eq!(
        (name.line, name.problem),
        (
            2,
            Problem::BadHandle {
                text: "Acme Water".to_owned()
            }
        )
    );
    let many: String = (0..=POLICIES)
        .map(|n| format!("@id(\"p{n}\") permit (principal, action, resource);"))
        .collect();
    assert_eq!(
        file("a.cedar", &many).problem,
        Problem::TooManyPolicies { limit: POLICIES }
    );
}

#[test]
fn all_that_is_wrong_is_told_at_once_in_plain_words() {
    let files = vec![
        PolicyFile::new("members.toml", "[members.acme-vendor]\ntrsut = 5"),
        PolicyFile::new(
            "water.cedar",
            r#"// Water works get what is aimed at water.
@id("water")
@redcat("description")
permit (principal in Circle::"watr", action == Action::"share", resource)
when { resource.tragets.contains("water") && principal.trust > "50" };

permit (principal, action == Action::"share", resource);

@id("broken") permit (principal, action == Action::"share" resource);
"#,
        ),
    ];
    let errors = Policies::from_files(files, Some(&charter())).unwrap_err();
    let told = "\
line 2 of members.toml: unknown field `trsut`, expected one of `trust`, `contract_from`, `contract_until`, `tags`
line 3 of water.cedar, policy `water`: `@redcat` is no obligation: redact, redact_text, hide, delay, receipt, backfill, quarantine, id, note are; did you mean `redact`?
line 4 of water.cedar, policy `water`: there is no circle `watr` in members.toml
line 5 of water.cedar, policy `water`: `tragets` is nothing that is known here of `resource`; did you mean `targets`?
line 5 of water.cedar, policy `water`: in `\"50\"` things of different kinds meet: numbers are written without quotation marks, text with them
line 7 of water.cedar: the policy has no id: write `@id(\"a-name-of-your-own\")` above it
line 9 of water.cedar: this is not how a policy is written: unexpected token `resource`; is something missing before it?";
    assert_eq!(errors.to_string(), told);
}

#[test]
fn what_is_as_tangled_as_may_be_decides_on_a_small_stack_and_one_knot_more_is_refused() {
    type Chain = fn(usize) -> String;
    let chains: [(Chain, usize); 6] = [
        (|n| format!("{}true", "true && ".repeat(n)), 23),
        (
            |n| format!("{}true{}", "if true then ".repeat(n), " else false".repeat(n)),
            23,
        ),
        (|n| format!("{}true{}", "(true && ".repeat(n), ")".repeat(n)), 23),
        (
            |n| format!("principal.trust > 5{}", " && principal.trust > 5".repeat(n)),
            21,
        ),
        (|n| format!("resource.sightings{} >= 0", " + 1".repeat(n)), 21),
        (|n| format!("{}true{}", "[".repeat(n), "].isEmpty()".repeat(n)), 8),
    ];
    let load = |condition: String| {
        let text = format!(
            "@id(\"x\") permit (principal, action == Action::\"share\", resource) when {{ {condition} }};"
        );
        Policies::from_files(cedar(&text), Some(&charter())).map_err(|errors| errors.0)
    };
    for (chain, most) in chains {
        let decide = move || {
            let policies = match load(chain(most)) {
                Ok(policies) => policies,
                // Nobody may compare lists of lists.
                Err(errors) => return assert!(!errors[0].to_string().contains("tangled"), "{errors:?}"),
            };
            let decision = share(&policies, "north-cert", &item("indicator", Tlp::Green));
            assert!(decision.error.is_none(), "{decision:?}");
            policies.future(&item("indicator", Tlp::Green), noon());
            policies.lint(&charter(), None, noon());
        };
        // Threads have 2 MiB as a rule, and something lies on it already.
        let thread = std::thread::Builder::new()
            .stack_size(7 << 18)
            .spawn(decide)
            .unwrap();
        thread.join().unwrap();
        for more in [most + 1, 60, 500, 10_000] {
            let errors = load(chain(more)).unwrap_err();
            assert!(
                matches!(errors[0].problem, Problem::Tangled { .. }),
                "{more}: {errors:?}"
            );
        }
    }
    let dots = load(format!("principal{}", ".kind".repeat(50_000))).unwrap_err();
    assert!(matches!(dots[0].problem, Problem::Tangled { .. }));
}
