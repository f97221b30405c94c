use proptest::prelude::*;

use super::*;

fn refusal(text: &str) -> (String, JsonErrorKind) {
    let error = Json::parse(text).unwrap_err();
    (error.path, error.kind)
}

#[test]
fn a_value_is_read_without_copying_what_needs_no_copy() {
    let json =
        Json::parse(r#" {"a": [1, -2.5e1, "x", "\u00e9\ud83d\ude00\n"], "b": {"c": null, "d": true}} "#)
            .unwrap();
    let list = json.get("a").unwrap().as_array().unwrap();
    assert_eq!(list[1].as_f64(), Some(-25.0));
    assert!(matches!(&list[2], Json::String(Cow::Borrowed("x"))));
    assert_eq!(list[3].as_str(), Some("é😀\n"));
    assert_eq!(json.get("b").unwrap().get("d").unwrap().as_bool(), Some(true));
    assert_eq!(json.get("z"), None);
}

#[test]
fn what_two_readers_could_take_in_two_ways_is_refused_with_its_path() {
    use JsonErrorKind::*;
    assert_eq!(
        refusal(r#"{"objects":[0,0,0,{"name":1,"na\u006de":2}]}"#),
        ("$.objects[3].name".into(), DuplicateKey)
    );
    assert_eq!(refusal(r#"{"a":["\ud800"]}"#), ("$.a[0]".into(), LoneSurrogate));
    assert_eq!(refusal(r#"["\ud800\u0041"]"#), ("$[0]".into(), LoneSurrogate));
    assert_eq!(refusal(r#"["\udc00"]"#), ("$[0]".into(), LoneSurrogate));
    assert_eq!(
        refusal(r#"{"a b":9007199254740993}"#),
        ("$['a b']".into(), NumberTooLarge)
    );
    assert_eq!(refusal("-1e400"), ("$".into(), NumberTooLarge));
    assert_eq!(
        Json::parse("9007199254740991").unwrap().as_i64(),
        Some((1 << 53) - 1)
    );
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(Json::parse(&deep(limits::JSON_DEPTH)).is_ok());
    assert_eq!(refusal(&deep(limits::JSON_DEPTH + 1)).1, TooDeep);
    assert_eq!(refusal(&"[".repeat(1_000_000)).1, TooDeep);
}

#[test]
fn a_text_of_too_many_values_is_given_up_and_several_share_the_bound() {
    let list = |values: usize| format!("[{}0]", "0,".repeat(values - 2));
    assert!(Json::parse(&list(limits::JSON_VALUES)).is_ok());
    let (path, kind) = refusal(&list(limits::JSON_VALUES + 1));
    assert_eq!(kind, JsonErrorKind::TooManyValues);
    assert_eq!(path, format!("$[{}]", limits::JSON_VALUES - 1));
    let mut left = 10;
    assert!(Json::parse_within(&list(6), &mut left).is_ok());
    assert_eq!(left, 4);
    assert!(Json::parse_within(&list(5), &mut left).is_err());
}

#[test]
fn a_slip_of_syntax_is_told_by_line_and_column() {
    assert_eq!(
        refusal("{\"a\":1,\n \"é\": x}"),
        ("$['é']".into(), JsonErrorKind::Syntax { line: 2, column: 7 })
    );
    for text in [
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "\"\t\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "nul",
        "[1]]",
        "{1:2}",
        "\u{feff}{}",
        "'a'",
        "NaN",
        "-",
    ] {
        assert!(
            matches!(
                Json::parse(text),
                Err(JsonError {
                    kind: JsonErrorKind::Syntax { .. },
                    ..
                })
            ),
            "{text}"
        );
    }
}

#[test]
fn an_object_of_sixty_thousand_keys_is_read_and_a_late_twin_found() {
    let keys = |last: usize| {
        let members: Vec<String> = (0..60_000)
            .chain([last])
            .map(|n| format!("\"k{n}\":{n}"))
            .collect();
        format!("{{{}}}", members.join(","))
    };
    assert!(Json::parse(&keys(60_000)).is_ok());
    assert_eq!(refusal(&keys(77)), ("$.k77".into(), JsonErrorKind::DuplicateKey));
}

/// Any JSON value serde_json can write, a few levels deep.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        (-(1i64 << 53) + 1..1 << 53).prop_map(Into::into),
        (-1e15..1e15f64).prop_map(Into::into),
        ".*".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 64, 24, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..24).prop_map(Into::into),
            prop::collection::btree_map(".*", inner, 0..24)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

fn same(ours: &Json<'_>, theirs: &serde_json::Value) -> bool {
    match (ours, theirs) {
        (Json::Array(a), serde_json::Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Json::Object(a), serde_json::Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key.as_ref()).is_some_and(|b| same(a, b)))
        }
        (Json::Null, serde_json::Value::Null) => true,
        (Json::Bool(a), serde_json::Value::Bool(b)) => a == b,
        (Json::Number(a), b) => b.as_f64() == Some(*a),
        (Json::String(a), b) => b.as_str() == Some(a),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_serde_json_writes_is_read_alike(value in value(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        prop_assert!(same(&Json::parse(&text).unwrap(), &value));
    }

    #[test]
    fn what_we_accept_serde_json_accepts(text in r#"[\[\]{}:,"\\u0-9a-f.eE+\- tn]{0,24}"#) {
        if Json::parse(&text).is_ok() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_cut_or_dented_text_is_refused_or_read_but_never_a_panic(value in value(), at: prop::sample::Index, by: char) {
        let mut text = serde_json::to_string(&value).unwrap();
        let at = text.floor_char_boundary(at.index(text.len()));
        let _ = Json::parse(&text[..at]);
        text.insert(at, by);
        let _ = Json::parse(&text);
    }
}
