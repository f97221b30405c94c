//! What rules are refused for, and what is internal.

use super::*;

#[test]
fn rules_that_cannot_be_used_are_refused_with_their_reason() {
    let new = |patterns: &[(&str, &str)]| Rules::new(patterns, &[], &[]).unwrap_err();
    assert_eq!(new(&[("a", "x"), ("a", "y")]), RuleError::Twice("a".into()));
    assert_eq!(new(&[("", "x")]), RuleError::Name(String::new()));
    assert!(
        matches!(new(&[("a", "(")]), RuleError::Syntax { reason, .. } if reason.contains("unclosed group"))
    );
    assert_eq!(new(&[("a", r"\w{1000}{100}")]), RuleError::TooLarge("a".into()));
    let long = "x".repeat(1_025);
    assert_eq!(
        new(&[("a", &long)]),
        RuleError::TooLong {
            name: "a".into(),
            bytes: 1_025
        }
    );
    let many = vec![("a", "x"); 65];
    assert_eq!(new(&many), RuleError::TooMany { count: 65, bound: 64 });
    assert_eq!(
        Rules::new(&[], &["a b"], &[]).unwrap_err(),
        RuleError::Domain("a b".into())
    );
    assert_eq!(
        Rules::new(&[], &[], &["10.0.0.0/33"]).unwrap_err(),
        RuleError::Network("10.0.0.0/33".into())
    );
    let unknown = asking(|it| {
        it.patterns.insert("nobody".into());
    });
    let cuts = cut_all(&[&object("tool", 1, r#""name":"x""#)], Tlp::Red, &unknown);
    assert_eq!(cuts, [Cut::Dropped(DropReason::NoPattern("nobody".into()))]);
}

#[test]
fn internal_names_are_found_however_they_are_written() {
    let rules = Rules::new(&[], &["corp", "acme.example", "bücher.example"], &Rules::NETWORKS).unwrap();
    let found = |text: &str| {
        let mut found = rules.internal().find(text);
        found.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
        found.first().map(|range| text[range.clone()].to_owned())
    };
    for (text, stretch) in [
        ("at db1.corp.", "db1.corp"),
        ("at db1[.]corp now", "db1[.]corp"),
        ("at DB1 (dot) corp", ""),
        ("at db1(dot)corp", "db1(dot)corp"),
        ("ask acme.example.Then go", "acme.example.Then"),
        ("im Wiki.BÜCHER.example", "Wiki.BÜCHER.example"),
        ("10.0.0.1:8080", "10.0.0.1"),
        ("x010.000.000.001", "010.000.000.001"),
        ("net 192.168.0.0/16.", "192.168.0.0/16"),
        ("110.0.0.1", ""),
        ("198.51.100.1", ""),
        ("1.0.0.10.in-addr.arpa", "1.0.0.10.in-addr.arpa"),
        ("FE80::1, and", "FE80::1"),
        ("at fd00[:]12::9.", "fd00[:]12::9."),
        ("12:30:45 on the 2001:db8::1", ""),
        (r"\\nas\share\a.txt!", r"\\nas\share\a.txt!"),
        (r"\\a.example\share", ""),
        (
            "hxxp://user@wiki[.]corp:80/p.html and",
            "hxxp://user@wiki[.]corp:80/p.html",
        ),
        ("http://[fd00::1]/x", "http://[fd00::1]/x"),
        ("http://evil.example/?u=a.corp", "a.corp"),
        ("bob[at]mail.corp", "bob[at]mail.corp"),
        ("corporate.example of Acme Corp.", ""),
    ] {
        assert_eq!(found(text).unwrap_or_default(), stretch, "{text}");
    }
}
