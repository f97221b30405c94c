//! What is published, who reads it, and what is not sent at all.

use std::time::Duration;

use hanse_protocol::local::{All, Readable, Readers};
use hanse_protocol::tlp::Tlp;
use hanse_tests::api::{Terms, to};
use hanse_tests::evil::now;
use hanse_tests::league::{has, texts};
use hanse_tests::objects::{address, id, indicator, indicator_of, nth_address};
use hanse_tests::{League, Node, eventually, hansed};

#[tokio::test]
async fn what_is_published_openly_is_found_by_all_as_it_was_issued() {
    let league = League::of(hansed!(), &["port-city", "acme-water", "st-mary"]).await;
    let object = address("203.0.113.7", Some(Tlp::Green));
    let record = league
        .node("acme-water")
        .api()
        .publish_one(&object, &Terms::default())
        .await;
    for node in &league.nodes {
        let held = has(node, &record).await;
        assert_eq!(
            (held.author.as_str(), held.state),
            ("acme-water", Readable::Readable)
        );
        assert_eq!(texts(&held), [object.as_str()], "{} changed a byte", node.handle);
        let found = node.api().search("203.0.113.7").await;
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].record, found[0].author.as_str()),
            (record, "acme-water")
        );
        assert_eq!(
            (found[0].object.get(), found[0].tlp),
            (object.as_str(), Tlp::Green)
        );
    }
}

#[tokio::test]
async fn what_is_sealed_is_read_by_its_readers_and_its_author_only() {
    let mut league = League::of(hansed!(), &["port-city", "acme-water", "st-mary"]).await;
    let author = league.node("acme-water").api();

    // To named readers: the others hold it, and cannot tell what it is.
    let secret = address("203.0.113.8", Some(Tlp::Green));
    let named = author.publish_one(&secret, &to(&["port-city"])).await;
    // AMBER without readers: to the members of today.
    let amber = address("203.0.113.9", Some(Tlp::Amber));
    let today = author.publish_one(&amber, &Terms::default()).await;
    league.holds(&named).await;
    league.holds(&today).await;
    for handle in ["port-city", "acme-water"] {
        let node = league.node(handle);
        assert_eq!(texts(&has(node, &named).await), [secret.as_str()]);
        assert_eq!(node.api().search("203.0.113.8").await.len(), 1);
    }
    let outside = league.node("st-mary");
    let held = has(outside, &named).await;
    assert_eq!((held.state, held.objects.is_none()), (Readable::Opaque, true));
    assert!(outside.api().search("203.0.113.8").await.is_empty());
    assert_eq!(texts(&has(outside, &today).await), [amber.as_str()]);

    // Who comes later holds both by healing, and reads neither.
    let mut later = Node::init(hansed!(), "region-cert");
    later.start().await;
    league.takes_in(later).await;
    let open = author
        .publish_one(&address("203.0.113.10", None), &Terms::default())
        .await;
    let later = league.node("region-cert");
    assert_eq!(has(later, &open).await.state, Readable::Readable);
    for record in [&named, &today] {
        assert_eq!(has(later, record).await.state, Readable::Opaque);
    }
    for value in ["203.0.113.8", "203.0.113.9"] {
        assert!(later.api().search(value).await.is_empty());
    }
}

#[tokio::test]
async fn red_goes_to_named_readers_and_is_shown_to_tokens_that_may_see_it() {
    let league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    let author = league.node("acme-water").api();
    let red = address("203.0.113.11", Some(Tlp::Red));
    let unnamed = author
        .try_publish(std::slice::from_ref(&red), &Terms::default())
        .await
        .unwrap();
    assert!(unnamed.records.is_empty());
    assert_eq!(unnamed.refused[0].index, 0);
    assert!(
        unnamed.refused[0].reason.contains("named readers"),
        "{}",
        unnamed.refused[0].reason
    );

    // In one record with a GREEN object, for the same reader.
    let green = address("203.0.113.11", Some(Tlp::Green));
    let published = author
        .publish(&[red.clone(), green.clone()], &to(&["port-city"]))
        .await;
    assert_eq!(published.len(), 1);
    let node = league.node("port-city");
    let plain = node.api();
    let cleared = node
        .add_token("incident-team", &["--role", "read", "--ceiling", "red"])
        .await;
    has(node, &published[0]).await;

    let seen = cleared.record(&published[0]).await.unwrap();
    assert_eq!(texts(&seen), [red.as_str(), green.as_str()]);
    assert_eq!(cleared.search("203.0.113.11").await.len(), 2);
    let seen = plain.record(&published[0]).await.unwrap();
    assert_eq!(texts(&seen), [green.as_str()]);
    let found = plain.search("203.0.113.11").await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].object.get(), green);
    let listed = plain.records().await;
    assert!(
        listed
            .iter()
            .all(|record| texts(record).iter().all(|text| *text != red))
    );
    let red_id = serde_json::from_str::<serde_json::Value>(&red).unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(plain.object(&red_id).await.unwrap_err().problem().status, 404);

    // Of a record that says nothing below RED, a token without RED is not even told that it is there.
    let secret = author
        .publish_one(&address("203.0.113.12", Some(Tlp::Red)), &to(&["port-city"]))
        .await;
    eventually("the secret is here", async || cleared.record(&secret).await).await;
    assert!(plain.record(&secret).await.is_none());
    assert!(plain.records().await.iter().all(|record| record.id != secret));
    assert!(cleared.records().await.iter().any(|record| record.id == secret));
    assert_eq!(cleared.object(&red_id).await.unwrap().versions.len(), 1);
}

/// The count of what a token may not see is itself something it may not see, and what it may see is
/// not crowded out by it.
#[tokio::test]
async fn what_a_token_may_not_see_leaves_no_trace_in_a_search() {
    let league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    let author = league.node("acme-water").api();
    let green = address("203.0.113.12", Some(Tlp::Green));
    author.publish_one(&green, &Terms::default()).await;
    let red: Vec<String> = (0..3).map(|_| address("203.0.113.12", Some(Tlp::Red))).collect();
    author.publish(&red, &to(&["port-city"])).await;
    let hidden = address("203.0.113.13", Some(Tlp::Red));
    author
        .publish(
            &[hidden.clone(), address("203.0.113.13", Some(Tlp::Red))],
            &to(&["port-city"]),
        )
        .await;

    let one = author.try_search("203.0.113.12", Some(1)).await.unwrap();
    assert_eq!(one.matches.len(), 1, "the GREEN object is behind newer RED ones");
    assert_eq!((one.matches[0].object.get(), one.more), (green.as_str(), false));
    let none = author.try_search("203.0.113.13", Some(1)).await.unwrap();
    assert!(none.matches.is_empty());
    assert!(!none.more, "`more` tells of RED objects");
}

#[tokio::test]
async fn what_is_wrong_in_a_request_is_named_and_the_rest_goes() {
    let league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    let author = league.node("acme-water").api();
    let good = address("203.0.113.14", None);
    let unsound = format!(
        r#"{{"type":"indicator","spec_version":"2.1","id":"{}"}}"#,
        id("indicator")
    );
    let objects = [
        good.clone(),
        unsound,
        "[]".to_owned(),
        indicator("[ipv4-addr:value = ", None),
    ];
    let reply = author.try_publish(&objects, &Terms::default()).await.unwrap();
    let refused: Vec<usize> = reply.refused.iter().map(|refused| refused.index).collect();
    assert_eq!(refused, [1, 2, 3]);
    assert!(reply.refused.iter().all(|refused| !refused.reason.is_empty()));
    assert_eq!((reply.records.len(), reply.records[0].objects), (1, 1));
    assert_eq!(reply.records[0].readers, Readers::Community(All::All));
    assert_eq!(
        texts(&has(league.node("port-city"), &reply.records[0].id).await),
        [good]
    );

    let problem = async |objects: &[String], terms: Terms| {
        author.try_publish(objects, &terms).await.unwrap_err().problem()
    };
    let one = [address("203.0.113.15", None)];
    assert_eq!(
        problem(&[], Terms::default()).await.kind,
        "urn:hanse:problem:invalid"
    );
    let unknown = problem(&one, to(&["mallory"])).await;
    assert_eq!(unknown.kind, "urn:hanse:problem:unknown-member");
    assert!(unknown.detail.contains("`mallory`"));
    let day = Duration::from_secs(24 * 3_600);
    for (expires, word) in [(now().before(day), "passed"), (now().after(400 * day), "at most")] {
        let terms = Terms {
            expires: Some(expires),
            ..Terms::default()
        };
        let refused = problem(&one, terms).await;
        assert_eq!(refused.kind, "urn:hanse:problem:invalid");
        assert!(refused.detail.contains(word), "{}", refused.detail);
    }
    assert!(author.search("203.0.113.15").await.is_empty());
    let soon = now().after(day);
    let terms = Terms {
        expires: Some(soon),
        ..Terms::default()
    };
    let record = author.publish_one(&one[0], &terms).await;
    assert_eq!(has(league.node("port-city"), &record).await.expires, soon);
}

#[tokio::test]
async fn objects_of_one_audience_share_records_and_the_tlp_flag_is_a_floor() {
    let league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    let author = league.node("acme-water").api();
    let many: Vec<String> = (0..201)
        .map(|n| address(&nth_address(n), Some(Tlp::Clear)))
        .collect();
    let reply = author.try_publish(&many, &Terms::default()).await.unwrap();
    let sizes: Vec<usize> = reply.records.iter().map(|record| record.objects).collect();
    assert_eq!(sizes, [200, 1]);

    // Two audiences are two records, however few the objects.
    let mixed = [
        address("203.0.113.16", Some(Tlp::Clear)),
        address("203.0.113.16", Some(Tlp::Amber)),
    ];
    let reply = author.try_publish(&mixed, &Terms::default()).await.unwrap();
    assert_eq!(reply.records.len(), 2);

    // The flag marks what bears no marking, raises what bears a lower one, and lowers nothing.
    let markings = [None, Some(Tlp::Clear), Some(Tlp::Amber), Some(Tlp::AmberStrict)];
    let objects = markings.map(|marking| address("203.0.113.17", marking));
    let floor = Terms {
        tlp: Some(Tlp::Amber),
        ..Terms::default()
    };
    let ids = author.publish(&objects, &floor).await;
    for id in &ids {
        has(league.node("port-city"), id).await;
    }
    let mut found: Vec<_> = league.node("port-city").api().search("203.0.113.17").await;
    found.sort_by_key(|found| found.tlp);
    let labels: Vec<Tlp> = found.iter().map(|found| found.tlp).collect();
    assert_eq!(labels, [Tlp::Amber, Tlp::Amber, Tlp::Amber, Tlp::AmberStrict]);
}

#[tokio::test]
async fn a_value_is_found_however_it_is_spelt() {
    let league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    let author = league.node("acme-water").api();
    let patterns = [
        "[ipv4-addr:value = '203.0.113.20']",
        "[ipv4-addr:value = '198.51.100.0/24']",
        "[domain-name:value = 'Pump-Station.EXAMPLE.org']",
        "[url:value = 'http://evil.example/Path?q=1']",
        "[file:hashes.'SHA-256' = 'AEC070645FE53EE3B3763059376134F058CC337247C978ADD178B6CCDFB0019F']",
    ];
    let objects: Vec<String> = patterns.iter().map(|pattern| indicator(pattern, None)).collect();
    let ids = author.publish(&objects, &Terms::default()).await;
    let node = league.node("port-city");
    has(node, &ids[0]).await;
    let spelt = [
        ("203[.]0[.]113[.]20", 0),
        ("  203.0.113[.]20 ", 0),
        ("::ffff:203.0.113.20", 0),
        ("198.51.100.77", 1),
        ("198.51.100.0/24", 1),
        ("pump-station[.]example[.]ORG", 2),
        ("hxxp://EVIL[.]example/Path?q=1", 3),
        (
            "aec070645fe53ee3b3763059376134f058cc337247c978add178b6ccdfb0019f",
            4,
        ),
    ];
    for (value, which) in spelt {
        let found = node.api().search(value).await;
        let found: Vec<&str> = found.iter().map(|found| found.object.get()).collect();
        assert_eq!(found, [objects[which].as_str()], "searching for `{value}`");
    }
    for value in ["198.51.101.77", "203.0.113.2", "station.example.org"] {
        assert!(node.api().search(value).await.is_empty(), "`{value}` is nowhere");
    }
    let nothing = node.api().try_search("neither here nor there", None).await;
    assert_eq!(nothing.unwrap_err().problem().status, 422);
}

#[tokio::test]
async fn two_members_objects_of_one_id_stand_beside_each_other() {
    let league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    let shared = id("indicator");
    let theirs = ["203.0.113.21", "203.0.113.22"]
        .map(|value| indicator_of(&shared, &format!("[ipv4-addr:value = '{value}']"), None));
    for (node, object) in league.nodes.iter().zip(&theirs) {
        node.api().publish_one(object, &Terms::default()).await;
    }
    for node in &league.nodes {
        eventually("both versions are held", async || {
            let versions = node.api().object(&shared).await.ok()?.versions;
            let mut told: Vec<_> = versions
                .iter()
                .map(|version| (version.author.to_string(), version.object.get().to_owned()))
                .collect();
            told.sort();
            let wanted = [("acme-water", &theirs[1]), ("port-city", &theirs[0])]
                .map(|(author, object)| (author.to_owned(), object.clone()));
            (told == wanted).then_some(())
        })
        .await;
    }
}
