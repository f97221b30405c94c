//! Who was attacked is not told, or told under another name.

use super::*;

/// A water board that was attacked, and what is said of it.
fn attack() -> Vec<String> {
    let board = id("identity", 1, 5);
    vec![
        object("identity", 1, r#""name":"Acme Water","identity_class":"organization","sectors":["water"],"contact_information":"bob@acme.example","aliases":["ACW"]"#)
            .replace(&id("identity", 1, 4), &board),
        object("relationship", 2, &format!(
            r#""relationship_type":"targets","source_ref":"{}","target_ref":"{board}""#, id("malware", 4, 4)
        )),
        object("sighting", 3, &format!(
            r#""sighting_of_ref":"{}","where_sighted_refs":["{board}","{}"],"description":"seen at ACME-WATER by acw""#,
            id("malware", 4, 4), id("location", 9, 4)
        )),
        object("malware", 4, r#""is_family":false,"description":"macaws fly to acmewater.example""#),
        object("report", 5, &format!(
            r#""name":"r","published":"2026-01-01T00:00:00Z","object_refs":["{}","{}","{board}"]"#,
            id("malware", 4, 4), id("relationship", 2, 4)
        )),
        object("language-content", 6, &format!(
            r#""object_ref":"{board}","contents":{{"de":{{"name":"Acme Wasser"}}}}"#
        )),
    ]
}

#[test]
fn victims_go_with_all_that_tells_of_them() {
    let texts = attack();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let cuts = cut_all(&texts, Tlp::Red, &asking(|it| it.victims = true));
    assert_eq!(cuts[0], Cut::Dropped(DropReason::Victim));
    assert!(
        matches!(&cuts[1], Cut::Dropped(DropReason::Unsound { strike, .. }) if strike.path == "target_ref")
    );
    assert!(text(&cuts[2]).ends_with(r#""description":"seen at [redacted] by [redacted]"}"#));
    assert_eq!(paths(&cuts[2]), ["description", "where_sighted_refs"]);
    assert!(
        text(&cuts[3]).ends_with(r#""macaws fly to [redacted].example"}"#),
        "{}",
        text(&cuts[3])
    );
    let left = format!(r#""object_refs":["{}"]}}"#, id("malware", 4, 4));
    assert!(text(&cuts[4]).ends_with(&left), "{}", text(&cuts[4]));
    assert!(matches!(&cuts[5], Cut::Dropped(DropReason::Unsound { .. })));
}

#[test]
fn pseudonyms_are_the_same_for_one_partner_and_others_for_the_next() {
    let texts = attack();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let redaction = asking(|it| it.pseudonyms = true);
    let cuts = cut_all(&texts, Tlp::Red, &redaction);
    assert_eq!(cuts, cut_all(&texts, Tlp::Red, &redaction));
    let board = serde_json::from_str::<serde_json::Value>(text(&cuts[0])).unwrap();
    let (new, name) = (board["id"].as_str().unwrap(), board["name"].as_str().unwrap());
    assert!(name.starts_with("Organisation ") && name.len() == 17, "{name}");
    assert_eq!(board["sectors"][0], "water");
    assert_eq!(board.get("contact_information").or(board.get("aliases")), None);
    assert!(text(&cuts[1]).contains(&format!(r#""target_ref":"{new}""#)));
    assert!(text(&cuts[2]).contains(&format!(r#""where_sighted_refs":["{new}"]"#)));
    assert!(text(&cuts[2]).contains(&format!("seen at {name} by {name}")));
    assert!(text(&cuts[4]).contains(new));
    // What is left of the translation would be nothing.
    assert!(matches!(&cuts[5], Cut::Dropped(_)), "{}", told(&cuts[5]));
    for cut in &cuts {
        let told = told(cut).to_lowercase();
        let told = told.split('\n').next().unwrap();
        assert!(
            !told.contains(&id("identity", 1, 5)) && !told.contains("acme"),
            "{told}"
        );
    }
}

#[test]
fn a_victim_is_nowhere_even_where_only_its_own_object_asks_for_it() {
    let texts = attack();
    let objects: Vec<Object<'_>> = texts.iter().map(|text| Object::parse(text).unwrap()).collect();
    let (none, victims) = (Redaction::default(), asking(|it| it.victims = true));
    let glances: Vec<Glance<'_, '_>> = objects
        .iter()
        .map(|object| Glance {
            object,
            sight: Some(Sight {
                parts: Tlp::Red,
                redaction: if object.kind() == "identity" {
                    &victims
                } else {
                    &none
                },
            }),
        })
        .collect();
    let rules = rules();
    let outlook = Outlook {
        rules: &rules,
        secret: &SECRET,
        audience: b"acme",
        hidden: &|_| false,
    };
    for cut in cut(&glances, &outlook) {
        if let Cut::Shown { text, .. } = cut {
            let text = text.to_lowercase();
            assert!(
                !text.contains("acme") && !text.contains(&id("identity", 1, 5)),
                "{text}"
            );
        }
    }
}

#[test]
fn a_victim_is_found_by_what_people_call_it() {
    let victim = object(
        "identity",
        1,
        r#""name":"Acme Wasser & Co. KG","roles":["victim"],"contact_information":"Bob <bob@acme.example>, +49 431 1""#,
    );
    let note = |content: &str| {
        let more = format!(r#""content":"{content}","object_refs":["{}"]"#, id("tool", 2, 4));
        object("note", 2, &more)
    };
    let redaction = asking(|it| it.victims = true);
    for (content, left) in [
        ("Acme Wasser's and ACME WASSERS", "[redacted]'s and [redacted]S"),
        (
            "acmewasser.example/Acme%20Wasser",
            "[redacted].example/[redacted]",
        ),
        (
            "Acme Wasser & Co. KG, Acme-Wasser&Co",
            "[redacted], [redacted]&Co",
        ),
        ("ask bob@acme.example", "ask [redacted]"),
        ("the acme of wasser", "the acme of wasser"),
    ] {
        let cuts = cut_all(&[&victim, &note(content)], Tlp::Red, &redaction);
        assert!(
            text(&cuts[1]).contains(&format!(r#""content":"{left}""#)),
            "{}",
            text(&cuts[1])
        );
    }
    let packed = fact(
        "artifact",
        3,
        r#""url":"http://a.example/","payload_bin":"c2VlbiBhdCBBY21lIFdhc3Nlcg==""#,
    );
    let cuts = cut_all(&[&victim, &packed], Tlp::Red, &redaction);
    assert_eq!(paths(&cuts[1]), ["id", "payload_bin"]);
}
