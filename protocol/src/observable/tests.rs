use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use proptest::string::string_regex;

use super::ObservableKind::*;
use super::*;

fn spelt(text: &str) -> (ObservableKind, String) {
    let observable = Observable::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    (observable.kind(), observable.to_string())
}

#[test]
fn many_spellings_have_one_canonical_form() {
    for (text, kind, canonical) in [
        (" 203.0.113.7 ", Ipv4, "203.0.113.7"),
        ("203[.]0(.)113{.}7", Ipv4, "203.0.113.7"),
        ("::ffff:203.0.113.7", Ipv4, "203.0.113.7"),
        ("0:0:0:0:0:FFFF:cb00:7107", Ipv4, "203.0.113.7"),
        ("2001:0DB8:0:0:1:0:0:1", Ipv6, "2001:db8::1:0:0:1"),
        ("[2001:db8::1]", Ipv6, "2001:db8::1"),
        ("2001[:]db8[:][:]1", Ipv6, "2001:db8::1"),
        ("10.1.2.3/8", Ipv4Network, "10.0.0.0/8"),
        ("10.1.2.3/32", Ipv4, "10.1.2.3"),
        ("10.1.2.3/0", Ipv4Network, "0.0.0.0/0"),
        ("::ffff:10.1.2.3/104", Ipv4Network, "10.0.0.0/8"),
        ("2001:db8::7/32", Ipv6Network, "2001:db8::/32"),
        ("Evil.Example.ORG.", Domain, "evil.example.org"),
        ("evil[dot]example[.]org", Domain, "evil.example.org"),
        ("_dmarc.example.org", Domain, "_dmarc.example.org"),
        ("bücher.example", Domain, "xn--bcher-kva.example"),
        (
            "<hxxps://Evil[.]example[.]org:443/a/../b#c>",
            Url,
            "https://evil.example.org/b",
        ),
        (
            "hXXp[://]evil(.)example/x[.]html",
            Url,
            "http://evil.example/x.html",
        ),
        ("http://evil.example./?q=[.]", Url, "http://evil.example/?q=[.]"),
        ("http://[::ffff:1.2.3.4]:80", Url, "http://1.2.3.4/"),
        ("http://0x7f.1/", Url, "http://127.0.0.1/"),
        ("tcp://EVIL.example:99", Url, "tcp://evil.example:99"),
        ("\"Bob.Smith(at)Example[.]org\"", Email, "bob.smith@example.org"),
        (
            "D41D8CD98F00B204E9800998ECF8427E",
            Md5,
            "d41d8cd98f00b204e9800998ecf8427e",
        ),
    ] {
        assert_eq!(spelt(text), (kind, canonical.to_owned()), "{text}");
    }
}

#[test]
fn what_is_ambiguous_or_nothing_is_refused() {
    use ObservableError::*;
    assert_eq!(
        Observable::parse("010.0.0.1"),
        Err(AmbiguousIpv4("010.0.0.1".into()))
    );
    assert_eq!(Observable::parse("0x7f.1"), Err(AmbiguousIpv4("0x7f.1".into())));
    assert_eq!(Observable::parse(" '' "), Err(Empty));
    assert_eq!(Observable::parse(&"a".repeat(5_000)), Err(TooLong));
    assert!(matches!(
        Observable::parse("a.example\nb.example"),
        Err(Control(_))
    ));
    for text in [
        "localhost",
        "1.2.3.4/33",
        "1.2.3.4/+8",
        "1.2.3.4:80",
        "a..b",
        "a b.c",
        "fe80::1%eth0",
        "-",
        "mailto:a@b.c",
        "http://",
        "data:text/plain,x",
        "@b.c",
        "a@",
        "a@@b.c",
        "evil.com%00.example",
        "999.1.1.1",
    ] {
        assert!(Observable::parse(text).is_err(), "{text}");
    }
    let long = format!("{}.example", "a".repeat(64));
    assert!(Observable::parse(&long).is_err());
    // A URL that only its percent-encoding makes too long.
    assert_eq!(
        Observable::parse(&format!("http://a.example/{}", "é".repeat(2_000))),
        Err(TooLong)
    );
}

#[test]
fn a_kind_asked_for_is_kept_to() {
    assert_eq!(
        Observable::of_kind(Domain, "LOCALHOST").unwrap().as_str(),
        "localhost"
    );
    assert!(Observable::of_kind(Ipv4, "2001:db8::1").is_err());
    assert!(Observable::of_kind(Ipv6, "10.0.0.1").is_err());
    assert_eq!(Observable::of_kind(Ipv6, "::ffff:10.0.0.1").unwrap().kind(), Ipv4);
    assert_eq!(
        Observable::of_kind(Ipv4, "10.0.0.0/8").unwrap().kind(),
        Ipv4Network
    );
    assert!(Observable::of_kind(Sha1, "d41d8cd98f00b204e9800998ecf8427e").is_err());
    assert!(Observable::of_kind(Domain, "evil.example/x").is_err());
}

#[test]
fn a_listed_network_or_parent_is_among_the_keys_looked_up() {
    let address = Observable::parse("10.1.2.3").unwrap();
    let networks: Vec<String> = address
        .networks_containing()
        .map(|network| network.to_string())
        .collect();
    assert_eq!(networks.len(), 32);
    assert_eq!(networks[0], "10.1.2.2/31");
    assert!(networks.contains(&"10.1.0.0/16".to_owned()));
    assert_eq!(networks[31], "0.0.0.0/0");
    assert_eq!(
        Observable::parse("2001:db8::1")
            .unwrap()
            .networks_containing()
            .count(),
        128
    );
    assert_eq!(
        Observable::parse("10.0.0.0/8")
            .unwrap()
            .networks_containing()
            .count(),
        8
    );
    assert_eq!(
        Observable::parse("a.example")
            .unwrap()
            .networks_containing()
            .count(),
        0
    );

    let parents = |text| -> Vec<String> {
        Observable::parse(text)
            .unwrap()
            .parents()
            .map(|parent| parent.to_string())
            .collect()
    };
    assert_eq!(
        parents("a.b.example.org"),
        ["b.example.org", "example.org", "org"]
    );
    assert!(parents("http://a.example/").is_empty());

    let host = |text| {
        Observable::parse(text)
            .unwrap()
            .host()
            .map(|host| host.to_string())
    };
    assert_eq!(host("http://u:p@A.example:8080/x").as_deref(), Some("a.example"));
    assert_eq!(host("http://[2001:db8::1]/").as_deref(), Some("2001:db8::1"));
    assert_eq!(host("tcp://10.0.0.1:4444").as_deref(), Some("10.0.0.1"));
    assert_eq!(host("bob@example.org").as_deref(), Some("example.org"));
    assert_eq!(host("example.org"), None);
}

#[test]
fn keys_start_with_the_byte_of_the_kind() {
    assert_eq!(
        Observable::parse("10.0.0.1").unwrap().to_key_bytes(),
        b"\x0110.0.0.1"
    );
    for (byte, kind) in (1..).zip(ObservableKind::ALL) {
        assert_eq!(kind as u8, byte);
        assert_eq!(minicbor::to_vec(kind).unwrap(), [byte]);
        assert_eq!(
            serde_json::to_string(&kind).unwrap(),
            format!("\"{}\"", kind.name())
        );
    }
}

/// Texts near every kind, well formed or not.
fn candidate() -> impl Strategy<Value = String> {
    let domain = "[a-zA-Z0-9_éß-]{1,8}(\\.[a-zA-Z0-9ü-]{1,8}){0,3}\\.?";
    let tail = "([/?#][a-z.%\\[\\](){}'\" é;:@/?#*-]{0,16})?";
    prop_oneof![
        any::<Ipv4Addr>().prop_map(|address| address.to_string()),
        any::<Ipv6Addr>().prop_map(|address| address.to_string()),
        any::<Ipv4Addr>().prop_map(|address| format!("::ffff:{address}")),
        (any::<Ipv4Addr>(), 0..=33u8).prop_map(|(address, prefix)| format!("{address}/{prefix}")),
        (any::<Ipv6Addr>(), 0..=129u8).prop_map(|(address, prefix)| format!("{address}/{prefix}")),
        (any::<Ipv4Addr>(), 80..=128u8).prop_map(|(address, prefix)| format!("::ffff:{address}/{prefix}")),
        string_regex(domain).unwrap(),
        string_regex(&format!(
            "(https?|hxxps?|ftp|tcp|HTTP|ldap)://([a-z(.){{}}:]{{0,9}}@)?{domain}(:[0-9]{{1,5}})?{tail}"
        ))
        .unwrap(),
        string_regex(&format!(
            "http://\\[([0-9a-f]{{0,4}}:){{1,7}}[0-9a-f]{{0,4}}\\]{tail}"
        ))
        .unwrap(),
        string_regex(&format!("['a-zA-Z0-9.+/{{}}é-]{{1,12}}@{domain}")).unwrap(),
        "[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64}|[0-9a-fA-F]{128}",
        "[a-z0-9.:/@\\[\\](){}'\"<>%#? -]{0,30}",
        any::<String>(),
    ]
}

/// The text as an analyst would pass it on.
fn defanged(text: &str, dot: &str, at: &str) -> String {
    let text = match text.strip_prefix("http") {
        Some(rest) if rest.contains("://") => format!("hxxp{rest}"),
        _ => text.to_owned(),
    };
    text.replace('.', dot).replace('@', at)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_canonical_spelling_reads_back_as_itself(text in candidate()) {
        if let Ok(observable) = Observable::parse(&text) {
            prop_assert_eq!(Observable::parse(observable.as_str()), Ok(observable.clone()));
            prop_assert!(observable.as_str().len() <= limits::OBSERVABLE);
        }
        for kind in ObservableKind::ALL {
            if let Ok(observable) = Observable::of_kind(kind, &text) {
                prop_assert_eq!(
                    Observable::of_kind(observable.kind(), observable.as_str()),
                    Ok(observable)
                );
            }
        }
    }

    #[test]
    fn a_defanged_value_is_the_value(
        text in prop_oneof![
            any::<Ipv4Addr>().prop_map(|address| address.to_string()),
            "[a-z]{1,8}\\.[a-z]{1,8}\\.example",
            "[a-z]{1,8}@[a-z]{1,8}\\.example",
            "https?://[a-z]{1,8}\\.example/[a-z.?=]{0,8}",
        ],
        dot in prop::sample::select(vec!["[.]", "(.)", "{.}", "[dot]", "(DOT)", "."]),
        at in prop::sample::select(vec!["[@]", "[at]", "(at)", "@"]),
        around in prop::sample::select(vec![("", ""), (" ", "\t"), ("'", "'"), ("<\"", "\">"), ("“", "” ")]),
    ) {
        let (before, after) = around;
        let found = Observable::parse(&format!("{before}{}{after}", defanged(&text, dot, at)));
        prop_assert_eq!(found, Observable::parse(&text));
    }

    #[test]
    fn every_address_is_inside_the_networks_named(address: Ipv4Addr, prefix in 0..32u8) {
        let network = Observable::parse(&format!("{address}/{prefix}")).unwrap();
        let address = Observable::parse(&address.to_string()).unwrap();
        prop_assert!(address.networks_containing().any(|wider| wider == network));
    }
}
