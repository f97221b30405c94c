use super::*;

mod any;
mod rules;
mod victims;

const SECRET: [u8; 32] = [7; 32];

fn rules() -> Rules {
    Rules::new(&[("ticket", "ACME-[0-9]+")], &Rules::DOMAINS, &Rules::NETWORKS).unwrap()
}

/// What somebody sees of `texts` under one redaction, parts up to a marking counted.
fn cut_all(texts: &[&str], parts: Tlp, redaction: &Redaction) -> Vec<Cut<'static>> {
    let objects: Vec<Object<'_>> = texts.iter().map(|text| Object::parse(text).unwrap()).collect();
    let glances: Vec<Glance<'_, '_>> = objects
        .iter()
        .map(|object| Glance {
            object,
            sight: Some(Sight { parts, redaction }),
        })
        .collect();
    let rules = rules();
    let outlook = Outlook {
        rules: &rules,
        secret: &SECRET,
        audience: b"acme",
        hidden: &|_| false,
    };
    cut(&glances, &outlook).into_iter().map(owned).collect()
}

fn owned(cut: Cut<'_>) -> Cut<'static> {
    match cut {
        Cut::Shown { text, strikes } => Cut::Shown {
            text: text.into_owned().into(),
            strikes,
        },
        Cut::Dropped(reason) => Cut::Dropped(reason),
    }
}

fn told(cut: &Cut<'_>) -> String {
    match cut {
        Cut::Shown { text, strikes } => {
            let strikes: Vec<String> = strikes.iter().map(ToString::to_string).collect();
            format!("{text}\n{}", strikes.join("\n"))
        }
        Cut::Dropped(reason) => reason.to_string(),
    }
}

const HEAD: &str =
    r#""spec_version":"2.1","created":"2026-01-01T00:00:00.000Z","modified":"2026-01-02T00:00:00.000Z""#;

/// An id of a type, random or made from content.
fn id(kind: &str, number: u32, version: u32) -> String {
    format!("{kind}--115a7497-e13b-{version}ba9-af77-{number:012x}")
}

fn object(kind: &str, number: u32, more: &str) -> String {
    format!(
        r#"{{"type":"{kind}","id":"{}",{HEAD},{more}}}"#,
        id(kind, number, 4)
    )
}

fn fact(kind: &str, number: u32, more: &str) -> String {
    format!(r#"{{"type":"{kind}","id":"{}",{more}}}"#, id(kind, number, 5))
}

fn asking(ask: impl FnOnce(&mut Redaction)) -> Redaction {
    let mut redaction = Redaction::default();
    ask(&mut redaction);
    redaction
}

fn text<'c>(cut: &'c Cut<'_>) -> &'c str {
    match cut {
        Cut::Shown { text, .. } => text,
        Cut::Dropped(reason) => panic!("{reason}"),
    }
}

fn paths(cut: &Cut<'_>) -> Vec<String> {
    match cut {
        Cut::Shown { strikes, .. } => strikes.iter().map(|strike| strike.path.clone()).collect(),
        Cut::Dropped(reason) => panic!("{reason}"),
    }
}

#[test]
fn a_property_is_struck_by_name_and_what_needs_it_is_dropped() {
    let redaction = asking(|it| it.properties.extend(["description".into(), "name".into()]));
    let malware = object(
        "malware",
        1,
        r#""is_family" : false, "description":"ours\u0021" , "x_odd":1.0e0"#,
    );
    let cuts = cut_all(
        &[&malware, &object("tool", 2, r#""name":"nmap""#)],
        Tlp::Red,
        &redaction,
    );
    assert_eq!(
        text(&cuts[0]),
        malware.replace(r#", "description":"ours\u0021""#, "")
    );
    assert!(told(&cuts[0]).ends_with("`description` was struck by `@redact`"));
    assert_eq!(
        told(&cuts[1]),
        "it is no sound object once `name` is struck by `@redact`: `tool` lacks `name`"
    );
    let markings = asking(|it| it.properties.extend(["object_marking_refs".into()]));
    let marked = object(
        "malware",
        1,
        &format!(
            r#""is_family":true,"name":"x","object_marking_refs":["{}"]"#,
            Tlp::Amber.marking()
        ),
    );
    let cuts = cut_all(&[&marked], Tlp::Red, &markings);
    assert_eq!(
        cuts,
        [Cut::Dropped(DropReason::Kept("object_marking_refs".into()))]
    );
}

#[test]
fn matches_and_internal_names_are_replaced_in_free_text_only() {
    let redaction = asking(|it| {
        it.patterns.insert("ticket".into());
        it.internal = true;
    });
    let note = object(
        "note",
        1,
        &format!(
            r#""content":"ACME-17: from 10.1.2[.]3 and fe80::1%eth0 to hxxps://wiki.corp/a?b see bob@mail.lan, ok 198.51.100.7 a.example","object_refs":["{}"],"labels":["ACME-18 x","kept"],"x_host":{{"db1.internal":1,"n":"db2.internal"}}"#,
            id("tool", 2, 4)
        ),
    );
    let cuts = cut_all(&[&note], Tlp::Red, &redaction);
    let shown = text(&cuts[0]);
    assert!(
        shown.contains(
            r#""content":"[redacted]: from [redacted] and [redacted]%eth0 to [redacted] see [redacted], ok 198.51.100.7 a.example""#
        ),
        "{shown}"
    );
    assert!(
        shown.contains(r#""labels":["[redacted] x","kept"],"x_host":{"n":"[redacted]"}"#),
        "{shown}"
    );
    assert_eq!(
        paths(&cuts[0]),
        [
            "content",
            "content",
            "labels[0]",
            "x_host.n",
            "x_host['db1.internal']"
        ]
    );
}

#[test]
fn what_is_internal_by_what_it_is_is_dropped() {
    let redaction = asking(|it| it.internal = true);
    let indicator = |number, pattern: &str| {
        object(
            "indicator",
            number,
            &format!(r#""pattern":"{pattern}","pattern_type":"stix","valid_from":"2026-01-01T00:00:00Z""#),
        )
    };
    let texts = [
        fact("ipv4-addr", 1, r#""value":"10.0.0.0/24""#),
        fact("domain-name", 2, r#""value":"fileserver""#),
        fact("url", 3, r#""value":"https://intranet/x""#),
        fact("email-addr", 4, r#""value":"bob@corp.local""#),
        fact("ipv6-addr", 5, r#""value":"::ffff:192.168.0.1""#),
        indicator(
            6,
            "[ipv4-addr:value = '203.0.113.1'] AND [domain-name:value LIKE '%x.db.corp']",
        ),
        indicator(
            11,
            "[ipv4-addr:value LIKE '192.168.%'] OR [url:value = 'http://a.example/']",
        ),
        fact("ipv4-addr", 7, r#""value":"203.0.113.1""#),
        indicator(8, "[url:value = 'http://a.example/corp']"),
        fact(
            "network-traffic",
            9,
            &format!(
                r#""protocols":["tcp"],"src_ref":"{}","dst_ref":"{}""#,
                id("ipv4-addr", 1, 5),
                id("ipv4-addr", 7, 5)
            ),
        ),
        fact(
            "network-traffic",
            10,
            &format!(r#""protocols":["tcp"],"src_ref":"{}""#, id("ipv4-addr", 1, 5)),
        ),
    ];
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let cuts = cut_all(&texts, Tlp::Red, &redaction);
    for (number, cut) in cuts.iter().enumerate().take(5) {
        assert_eq!(
            *cut,
            Cut::Dropped(DropReason::Internal("value".into())),
            "{number}"
        );
    }
    assert_eq!(cuts[5], Cut::Dropped(DropReason::Internal("pattern".into())));
    assert_eq!(cuts[6], Cut::Dropped(DropReason::Internal("pattern".into())));
    let cuts = [&cuts[..6], &cuts[7..]].concat();
    let texts = [&texts[..6], &texts[7..]].concat();
    assert_eq!(text(&cuts[6]), texts[6]);
    assert_eq!(text(&cuts[7]), texts[7]);
    // What the traffic came from cannot be guessed from its id any more.
    let traffic = text(&cuts[8]);
    assert!(
        traffic.contains("dst_ref") && !traffic.contains("src_ref"),
        "{traffic}"
    );
    assert!(!traffic.contains(&id("network-traffic", 9, 5)), "{traffic}");
    assert!(
        matches!(&cuts[9], Cut::Dropped(DropReason::Unsound { .. })),
        "{}",
        told(&cuts[9])
    );

    let observed = object(
        "observed-data",
        11,
        r#""first_observed":"2026-01-01T00:00:00Z",
        "last_observed":"2026-01-01T00:00:00Z","number_observed":1,"objects":{
        "0":{"type":"ipv4-addr","value":"10.0.0.1"},"1":{"type":"ipv4-addr","value":"203.0.113.9"},
        "2":{"type":"network-traffic","src_ref":"0","dst_ref":"1","protocols":["tcp"]},
        "3":{"type":"network-traffic","src_ref":"0","protocols":["tcp"]}}"#,
    );
    let cuts = cut_all(&[&observed], Tlp::Red, &redaction);
    assert_eq!(
        paths(&cuts[0]),
        ["objects.0", "objects.2.src_ref", "objects.3", "objects.3.src_ref"]
    );
    assert!(!text(&cuts[0]).contains("10.0.0.1"));
}

#[test]
fn stricter_parts_go_with_their_markings_and_the_others_are_counted_anew() {
    let part = |tlp: Tlp, selectors: &str| {
        format!(
            r#"{{"marking_ref":"{}","selectors":[{selectors}]}}"#,
            tlp.marking()
        )
    };
    let tool = |markings: &[String]| {
        object(
            "tool",
            1,
            &format!(
                r#""name":"nmap","description":"d","labels":["a","b","c"],"external_references":[{{"source_name":"s","url":"u"}}],"granular_markings":[{}]"#,
                markings.join(",")
            ),
        )
    };
    let none = Redaction::default();
    let marked = tool(&[
        part(Tlp::Red, r#""labels.[0]","description""#),
        part(Tlp::Green, r#""labels.[2]","description""#),
        part(Tlp::Amber, r#""external_references.[0].source_name""#),
    ]);
    let cuts = cut_all(&[&marked], Tlp::Green, &none);
    let shown = text(&cuts[0]);
    assert!(
        shown.contains(&format!(
            r#""name":"nmap","labels":["b","c"],"granular_markings":[{}]"#,
            part(Tlp::Green, r#""labels.[1]""#)
        )),
        "{shown}"
    );
    assert_eq!(
        Object::parse(shown).unwrap().tlp(Tlp::Clear, Tlp::Clear),
        Tlp::Green
    );
    let Cut::Shown { text, strikes } = &cut_all(&[&marked], Tlp::Red, &none)[0] else {
        panic!("dropped");
    };
    assert_eq!((text.as_ref(), strikes.len()), (marked.as_str(), 0));

    let unmarked = tool(&[part(Tlp::Red, r#""granular_markings""#)]);
    let cuts = cut_all(&[&unmarked], Tlp::Green, &none);
    assert_eq!(cuts, [Cut::Dropped(DropReason::Kept("granular_markings".into()))]);
    for lost in [
        part(Tlp::Red, r#""nmae""#),
        part(Tlp::Red, "7"),
        part(Tlp::Red, "").replace("selectors", "x"),
    ] {
        let Cut::Dropped(reason) = &cut_all(&[&tool(&[lost])], Tlp::Green, &none)[0] else {
            panic!("shown");
        };
        assert!(
            matches!(reason, DropReason::Marking(path) if path == "granular_markings[0]"),
            "{reason}"
        );
    }
    let named = tool(&[part(Tlp::Red, r#""name""#)]);
    let reason = told(&cut_all(&[&named], Tlp::AmberStrict, &none)[0]);
    assert_eq!(
        reason,
        "it is no sound object once `name` is struck as it is marked TLP:RED: `tool` lacks `name`"
    );
}

#[test]
fn references_to_what_is_not_seen_go_and_so_does_what_needs_them() {
    let texts = [
        object(
            "indicator",
            1,
            r#""pattern":"[a:b = 1]","pattern_type":"stix","valid_from":"2026-01-01T00:00:00Z""#,
        ),
        object(
            "malware",
            2,
            &format!(
                r#""is_family":false,"created_by_ref":"{}","x_kin":{{"parent":"{}"}},"extensions":{{"{}":{{"a":1}}}}"#,
                id("identity", 9, 4),
                id("indicator", 1, 4)
                    .to_uppercase()
                    .replace("INDICATOR", "indicator"),
                id("extension-definition", 9, 4)
            ),
        ),
        object(
            "relationship",
            3,
            &format!(
                r#""relationship_type":"indicates","source_ref":"{}","target_ref":"{}""#,
                id("indicator", 1, 4),
                id("malware", 2, 4)
            ),
        ),
        object(
            "note",
            4,
            &format!(r#""content":"c","object_refs":["{}"]"#, id("relationship", 3, 4)),
        ),
        object(
            "opinion",
            5,
            &format!(
                r#""opinion":"agree","object_refs":["{}","{}"]"#,
                id("note", 4, 4),
                id("malware", 2, 4)
            ),
        ),
    ];
    let objects: Vec<Object<'_>> = texts.iter().map(|text| Object::parse(text).unwrap()).collect();
    let none = Redaction::default();
    let glances: Vec<Glance<'_, '_>> = objects
        .iter()
        .enumerate()
        .map(|(number, object)| Glance {
            object,
            sight: (number > 0).then_some(Sight {
                parts: Tlp::Red,
                redaction: &none,
            }),
        })
        .collect();
    let rules = rules();
    let hidden = |id: &str| id.ends_with("000000000009");
    let outlook = Outlook {
        rules: &rules,
        secret: &SECRET,
        audience: b"acme",
        hidden: &hidden,
    };
    let cuts: Vec<Cut<'_>> = cut(&glances, &outlook);
    assert_eq!(cuts[0], Cut::Dropped(DropReason::NotForAudience));
    assert!(
        text(&cuts[1]).ends_with(r#""is_family":false}"#),
        "{}",
        text(&cuts[1])
    );
    assert!(
        matches!(&cuts[2], Cut::Dropped(DropReason::Unsound { strike, .. }) if strike.path == "source_ref")
    );
    assert!(
        matches!(&cuts[3], Cut::Dropped(DropReason::Unsound { strike, .. }) if strike.path == "object_refs[0]"),
        "{}",
        told(&cuts[3])
    );
    assert!(text(&cuts[4]).ends_with(&format!(r#""object_refs":["{}"]}}"#, id("malware", 2, 4))));
}

#[test]
fn an_id_made_from_what_was_struck_is_replaced_wherever_it_stands() {
    let file = |name: &str| {
        fact(
            "file",
            1,
            &format!(r#""hashes":{{"MD5":"d41d8cd98f00b204e9800998ecf8427e"}},"name":"{name}""#),
        )
    };
    let texts = [
        file("ACME-1.doc"),
        fact(
            "directory",
            2,
            &format!(r#""path":"/x","contains_refs":["{}"]"#, id("file", 1, 5)),
        ),
        fact(
            "email-message",
            3,
            &format!(r#""is_multipart":false,"from_ref":"{}""#, id("file", 1, 5)),
        ),
    ];
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let redaction = asking(|it| {
        it.patterns.insert("ticket".into());
    });
    let cuts = cut_all(&texts, Tlp::Red, &redaction);
    let new = serde_json::from_str::<serde_json::Value>(text(&cuts[0])).unwrap();
    let new = new["id"].as_str().unwrap();
    assert_eq!(new.as_bytes()["file--".len() + 14], b'4');
    assert!(text(&cuts[1]).contains(new) && text(&cuts[1]).contains(&id("directory", 2, 5)));
    // An id that was made from the replaced one tells as much.
    assert!(text(&cuts[2]).contains(new) && !text(&cuts[2]).contains(&id("email-message", 3, 5)));
    let same = cut_all(&[&file("x.doc")], Tlp::Red, &redaction);
    assert_eq!(text(&same[0]), file("x.doc"));
}

#[test]
fn what_is_struck_is_struck_in_its_translations_too() {
    let texts = [
        object("tool", 1, r#""name":"x","description":"ours""#),
        object(
            "language-content",
            2,
            &format!(
                r#""object_ref":"{}","contents":{{"de":{{"description":"unseres","name":"y"}},"fr":{{"description":"notre"}}}}"#,
                id("tool", 1, 4)
            ),
        ),
    ];
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let all = asking(|it| it.properties.extend(["description".into()]));
    let cuts = cut_all(&texts, Tlp::Red, &all);
    assert!(
        text(&cuts[1]).ends_with(r#""contents":{"de":{"name":"y"}}}"#),
        "{}",
        text(&cuts[1])
    );
    // Also where the part is marked, and the translation is not.
    let marked = texts[0].replace(
        r#""name""#,
        &format!(
            r#""granular_markings":[{{"marking_ref":"{}","selectors":["description"]}}],"name""#,
            Tlp::Red.marking()
        ),
    );
    let cuts = cut_all(&[&marked, texts[1]], Tlp::Green, &Redaction::default());
    assert!(
        text(&cuts[1]).ends_with(r#""contents":{"de":{"name":"y"}}}"#),
        "{}",
        text(&cuts[1])
    );
}
