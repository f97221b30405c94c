use proptest::prelude::*;

use super::*;

fn refusal(text: &str) -> (usize, PatternErrorKind) {
    let error = Pattern::parse(text).unwrap_err();
    (error.offset, error.kind)
}

fn property(name: &str) -> Step<'_> {
    Step::Property(name.into())
}

#[test]
fn a_pattern_of_every_kind_of_part_is_read_in_order() {
    let text = r"([ipv4-addr:value = '198.51.100.1/32' AND network-traffic:dst_ref.value NOT IN ('a', 'b')]
        FOLLOWEDBY [file:hashes.'SHA-256' = 'aec0' OR (file:name LIKE '%.e\'x\\e' AND NOT EXISTS file:size)]) // why
        WITHIN 5.5 SECONDS REPEATS 2 TIMES START t'2026-01-01T00:00:00Z' STOP t'2026-02-01T00:00:00Z'
        OR [x-a:'b c'[*].d[-1] != true /* or so */ AND a:b > h'ff00' AND a:b <= b'AAE=' AND a:b = -3]";
    let pattern = Pattern::parse(text).unwrap();
    let Observed::Or(parts) = &pattern.root().what else {
        panic!("{pattern:?}")
    };
    assert!(matches!(&parts[0].what, Observed::FollowedBy(parts) if parts.len() == 2));
    assert_eq!(parts[0].qualifiers.len(), 3);
    assert_eq!(parts[0].qualifiers[1], Qualifier::Repeats { times: 2 });

    let comparisons: Vec<_> = pattern.comparisons().collect();
    assert_eq!(comparisons.len(), 8);
    assert_eq!(
        comparisons[1].path.steps,
        [property("dst_ref"), property("value")]
    );
    assert!(comparisons[1].negated);
    assert_eq!(comparisons[1].values.len(), 2);
    assert_eq!(
        comparisons[2].path.steps,
        [property("hashes"), property("SHA-256")]
    );
    assert_eq!(comparisons[3].values, [Value::Text(r"%.e'x\e".into())]);
    assert_eq!(
        comparisons[4].path.steps,
        [property("b c"), Step::Any, property("d"), Step::Index(-1)]
    );
    assert_eq!(comparisons[5].values, [Value::Binary(vec![0xff, 0])]);
    assert_eq!(comparisons[6].values, [Value::Binary(vec![0, 1])]);
    assert_eq!(comparisons[7].values, [Value::Integer(-3)]);
}

#[test]
fn and_binds_tighter_than_or() {
    let pattern = Pattern::parse("[a:b = 1 OR a:c = 2 AND a:d = 3]").unwrap();
    let Observed::One(Condition::Or(parts)) = &pattern.root().what else {
        panic!("{pattern:?}")
    };
    assert!(matches!(&parts[1], Condition::And(parts) if parts.len() == 2));
}

#[test]
fn a_malformed_pattern_is_refused_where_it_breaks() {
    use PatternErrorKind::*;
    for (text, offset, kind) in [
        ("", 0, Expected(super::Expected::Observation)),
        ("a:b = 1", 0, Expected(super::Expected::Observation)),
        ("[a:b = 1", 8, Expected(super::Expected::Bracket)),
        ("[(a:b = 1]", 9, Expected(super::Expected::Parenthesis)),
        ("[a:b = 1]]", 9, Expected(super::Expected::End)),
        ("[a = 1]", 3, Expected(super::Expected::Path)),
        ("[a:b. = 1]", 6, Expected(super::Expected::Step)),
        ("[a:b 1]", 5, Expected(super::Expected::Operator)),
        ("[a:b = c]", 7, Expected(super::Expected::Value)),
        ("[a:b LIKE 3]", 10, Expected(super::Expected::Value)),
        ("[a:b IN 'x']", 8, Expected(super::Expected::Set)),
        ("[NOT a:b = 1]", 5, Expected(super::Expected::Path)),
        ("[a:b = 1] WITHIN 5", 18, Expected(super::Expected::Qualifier)),
        ("[a:b = 1] REPEATS 0 TIMES", 18, Number),
        (
            "[a:b = 1] START t'2026-01-01T00:00:00Z' STOP t'2026-01-01T00:00:00Z'",
            45,
            Span,
        ),
        ("[a:b = 007]", 7, Number),
        ("[a:b = 99999999999999999999]", 7, Number),
        ("[a:b = 'x]", 7, Unclosed),
        ("[a:b = 'x\\y']", 9, Escape),
        ("[a:b = h'0']", 7, Literal),
        ("[a:b = t'now']", 7, Literal),
        ("[a:b = \"x\"]", 7, Character),
        ("/* [a:b = 1]", 0, Unclosed),
    ] {
        assert_eq!(refusal(text), (offset, kind), "{text}");
    }
}

#[test]
fn nesting_is_bounded_and_thousands_of_parentheses_are_no_crash() {
    let nested = |levels: usize| format!("{}[a:b = 1]{}", "(".repeat(levels), ")".repeat(levels));
    assert!(Pattern::parse(&nested(limits::PATTERN_DEPTH - 1)).is_ok());
    assert_eq!(refusal(&nested(2_000)).1, PatternErrorKind::TooDeep);
    let inner = format!("[{}a:b = 1{}]", "(".repeat(2_000), ")".repeat(2_000));
    assert_eq!(refusal(&inner).1, PatternErrorKind::TooDeep);
    let long = format!("[a:b = '{}']", "x".repeat(limits::PATTERN));
    assert_eq!(refusal(&long).1, PatternErrorKind::TooLong);
    let qualified = format!("[a:b = 1]{}", " REPEATS 2 TIMES".repeat(3_000));
    assert_eq!(Pattern::parse(&qualified).unwrap().root().qualifiers.len(), 3_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_survives_quoting(text: String, name in "[a-z_]{1,9}") {
        let quoted = text.replace('\\', r"\\").replace('\'', r"\'");
        let pattern = format!("[x-{name}:{name}.'{quoted}' = '{quoted}']");
        let pattern = Pattern::parse(&pattern).unwrap();
        let comparison = pattern.comparisons().next().unwrap();
        prop_assert_eq!(&comparison.values, &[Value::Text(text.as_str().into())]);
        prop_assert_eq!(&comparison.path.steps[1], &property(&text));
    }

    #[test]
    fn no_heap_of_tokens_is_a_panic(tokens in prop::collection::vec(prop::sample::select(vec![
        "[", "]", "(", ")", "a", ":", "b", ".", "=", "'x'", "AND", "OR", "NOT", "IN", ",", "1", "-", "t'", "'", "*",
        "WITHIN", "SECONDS", "START", "\\", "é", "/*", "//", "h'00'", "EXISTS", "FOLLOWEDBY", " ", "5.5",
    ]), 0..40)) {
        let text = tokens.concat();
        if let Err(error) = Pattern::parse(&text) {
            prop_assert!(error.offset <= text.len());
        }
    }
}
