//! What holds for any policies, members and items.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

/// Handles of the members that policies may name, and of one that they never do.
const MEMBERS: [&str; 5] = ["m-one", "m-two", "m-three", "m-four", "never-named"];

fn atom() -> impl Strategy<Value = String> {
    let fixed = select(vec![
        "principal.kind == \"cert\"",
        "principal.kind != \"city\"",
        "principal.trust > 40",
        "principal.trust + 9223372036854775750 > 0",
        "principal.sector == \"water\"",
        "principal.country == \"DE\"",
        "principal.steward",
        "principal.tags.contains(\"scada\")",
        "principal has contract_until && context.now < principal.contract_until",
        "principal has contract_from",
        "principal is Member",
        "principal is Circle",
        "principal in Circle::\"one\"",
        "principal in [Circle::\"one\", Circle::\"two\"]",
        "principal == Member::\"m-one\"",
        "[Member::\"m-one\", Member::\"m-two\"].contains(principal)",
        "context.named",
        "resource.targets.contains(principal.sector)",
        "resource in TLP::\"amber\"",
        "resource.tlp == \"green\"",
        "resource has confidence && resource.confidence > 50",
        "resource.sightings + 9223372036854775807 > 0",
        "resource.revoked",
        "principal == principal",
        "true",
    ]);
    fixed.prop_map(str::to_owned)
}

fn condition() -> impl Strategy<Value = String> {
    atom().prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) && ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) || ({b})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("if {a} then {b} else {c}")),
        ]
    })
}

fn policy() -> impl Strategy<Value = String> {
    let annotations = vec![
        "",
        "",
        "",
        "@note(\"x\")",
        "@receipt(\"\")",
        "@delay(\"1h\")",
        "@redact(\"name\")",
    ];
    let scope = vec![
        "principal",
        "principal",
        "principal",
        "principal is Member",
        "principal == Member::\"m-three\"",
        "principal in Circle::\"two\"",
        "principal is Member in Circle::\"one\"",
    ];
    (
        prop::bool::weighted(0.75),
        select(annotations),
        select(scope),
        prop::option::of(condition()),
    )
        .prop_map(|(permits, annotation, scope, condition)| {
            let (effect, annotation) = if permits {
                ("permit", annotation)
            } else {
                ("forbid", "")
            };
            let condition = condition.map_or_else(String::new, |text| format!("when {{ {text} }}"));
            format!("{annotation} {effect} ({scope}, action == Action::\"share\", resource) {condition};\n")
        })
}

fn policies() -> impl Strategy<Value = String> {
    prop::collection::vec(policy(), 1..6).prop_map(|policies| {
        let numbered = policies.iter().enumerate();
        numbered
            .map(|(number, text)| format!("@id(\"p{number}\") {text}"))
            .collect()
    })
}

/// Members of any kind, and a members.toml about them.
fn people() -> impl Strategy<Value = (Charter, String)> {
    let one = (
        select(MemberKind::NAMES.map(|(kind, _)| kind).to_vec()),
        select(vec!["", "water", "health"]),
        select(vec!["DE", "SE"]),
        (0u8..=100, any::<bool>(), any::<bool>(), any::<bool>()),
    );
    let circle = || subsequence(MEMBERS.to_vec(), 0..=MEMBERS.len());
    let all = prop::collection::vec(one, MEMBERS.len());
    (all, circle(), circle(), any::<bool>()).prop_map(|(all, first, second, stewards)| {
        let (mut members, mut text) = (Vec::new(), String::new());
        for (name, (kind, sector, country, (trust, tagged, from, until))) in MEMBERS.into_iter().zip(all) {
            members.push(member(name, kind, sector, country));
            text += &format!("[members.{name}]\ntrust = {trust}\n");
            text += if tagged { "tags = ['scada']\n" } else { "" };
            text += if from { "contract_from = 2026-01-01\n" } else { "" };
            text += if until {
                "contract_until = 2026-12-31\n"
            } else {
                ""
            };
        }
        text += &format!("[circles]\none = {first:?}\ntwo = {second:?}\n");
        let mut charter = charter_of(members);
        charter.stewards = stewards.then(|| handle("m-two")).into_iter().collect();
        (charter, text)
    })
}

fn any_item() -> impl Strategy<Value = Item> {
    (
        select(Tlp::ALL.to_vec()),
        prop::option::of(0u8..=100),
        0u32..3,
        any::<bool>(),
        subsequence(vec!["water".to_owned(), "health".to_owned()], 0..=2),
    )
        .prop_map(|(tlp, confidence, sightings, revoked, targets)| Item {
            confidence,
            sightings,
            revoked,
            targets: targets.into_iter().collect(),
            ..item("indicator", tlp)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_promise_for_those_to_come_is_kept_for_everybody(
        text in policies(), (charter, terms) in people(), item in any_item()
    ) {
        let files = vec![PolicyFile::new("a.cedar", text), PolicyFile::new("members.toml", terms)];
        let policies = Policies::from_files(files, Some(&charter)).unwrap();
        let Some(promise) = policies.future(&item, noon()) else { return Ok(()) };
        prop_assert!(promise.allowed && promise.obligations.is_light());
        let roster = policies.roster(&charter, &handle("city-hall"));
        for decision in policies.share(&roster, &item, noon()) {
            prop_assert!(decision.allowed && decision.obligations.is_light(), "{decision:?}");
            prop_assert!(promise.deciding.is_subset(&decision.deciding));
        }
    }

    #[test]
    fn a_class_decides_as_each_of_its_members_would_alone(
        text in policies(), (charter, terms) in people(), items in prop::collection::vec(any_item(), 1..4),
        named in subsequence(MEMBERS.to_vec(), 0..=3)
    ) {
        let files = vec![PolicyFile::new("a.cedar", text), PolicyFile::new("members.toml", terms)];
        let policies = Policies::from_files(files, Some(&charter)).unwrap();
        let named: BTreeSet<Handle> = named.into_iter().map(handle).collect();
        let roster = policies.roster(&charter, &handle("m-four")).naming(&named);
        let mut asked: Vec<&str> = Vec::new();
        for item in items.iter().chain(&items) {
            for (class, decision) in policies.share(&roster, item, noon()).into_iter().enumerate() {
                for member in roster.members(class) {
                    let alone = charter.member(member).unwrap();
                    let person = entities::Person::of(alone, &charter, &policies.terms);
                    let one = policies.roster_of_one(Action::Share, Some(member.clone()), person);
                    let situation = entities::Situation::Share { named: named.contains(member) };
                    let alone = policies.decide_one(Action::Share, &one, item, (&situation, noon()));
                    prop_assert_eq!(&alone, decision.as_ref());
                    prop_assert!(!decision.names_member || member.as_str() != "never-named");
                    asked.push(MEMBERS.into_iter().find(|name| *name == member.as_str()).unwrap());
                }
            }
        }
        asked.sort_unstable();
        asked.dedup();
        prop_assert_eq!(asked.len(), MEMBERS.len() - 1, "everybody but ourselves is in a class");
    }

    #[test]
    fn no_text_is_too_wild_to_be_refused_in_good_order(text in "[ -~\n\u{e4}\u{202e}]{0,200}") {
        for name in ["a.cedar", "members.toml", "redaction.toml", "tests.toml"] {
            drop(Policies::from_files(vec![PolicyFile::new(name, text.clone())], None));
        }
        let cut = text.len().min(40);
        let cut = (0..=cut).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        let set = format!("@id(\"x\") permit (principal, action, resource) when {{ {} }};", &text[..cut]);
        if let Err(errors) = Policies::from_files(cedar(&set), None) {
            prop_assert!(!errors.0.is_empty() && !errors.to_string().is_empty());
        }
    }
}
