//! Who gets what: what a preview promised is what each member opens, and a policy is what decides.

use std::collections::BTreeMap;

use hanse_protocol::admission::{Admitted, Reading as Opening};
use tokio::sync::watch;

use super::*;
use crate::healer::Progress;
use crate::policy::{Policies, PolicyFile};
use crate::reading::Reading;
use crate::receiver::Links;

const POLICIES: &str = r#"
    @id("green-to-all")
    permit (principal, action == Action::"share", resource in TLP::"green");
    @id("amber-to-utilities") @redact("description")
    permit (principal, action == Action::"share", resource) when { resource.tlp == "amber" && principal.kind == "utility" };
    @id("amber-to-the-water-board")
    permit (principal == Member::"acme-water", action == Action::"share", resource) when { resource.tlp == "amber" };
    @id("nothing-of-malware-to-mary")
    forbid (principal, action == Action::"share", resource)
    when { resource.type == "malware" && principal == Member::"st-mary" };
"#;

fn rule_by(node: &Node, text: &str) {
    let policies = Policies::from_files(vec![PolicyFile::new("share.cedar", text)], None);
    node.exchange.accepting().replace(Arc::new(policies.unwrap()));
}

fn reading(node: &Node) -> Reading {
    Reading::new(
        node.reader.clone(),
        Arc::clone(&node.member),
        node.exchange.clone(),
        watch::channel(None).1,
        Links::default(),
        Progress::default(),
    )
}

fn bundle() -> Vec<Box<RawValue>> {
    let identity = |number: u8| format!("0000000{number}-0000-4000-8000-000000000000");
    let common =
        r#""spec_version":"2.1","created":"2026-11-01T00:00:00.000Z","modified":"2026-11-01T00:00:00.000Z""#;
    let amber = r#""object_marking_refs":["marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"]"#;
    let red = r#""object_marking_refs":["marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"]"#;
    let texts = [
        format!(
            r#"{{"type":"campaign","id":"campaign--{}",{common},"name":"Low tide","description":"open"}}"#,
            identity(1)
        ),
        format!(
            r#"{{"type":"malware","id":"malware--{}",{common},{amber},"is_family":false,"name":"Brine","description":"found at pump 7"}}"#,
            identity(2)
        ),
        format!(
            r#"{{"type":"relationship","id":"relationship--{}",{common},"relationship_type":"uses","source_ref":"campaign--{}","target_ref":"malware--{}"}}"#,
            identity(3),
            identity(1),
            identity(2)
        ),
        format!(
            r#"{{"type":"tool","id":"tool--{}",{common},{red},"name":"for nobody"}}"#,
            identity(4)
        ),
    ];
    texts
        .into_iter()
        .map(|text| RawValue::from_string(text).unwrap())
        .collect()
}

fn asked(preview: Option<String>) -> local::PublishRequest {
    local::PublishRequest {
        objects: bundle(),
        preview,
        ..local::PublishRequest::default()
    }
}

/// What a member makes of a record as it travels: its objects, if it can open it.
fn opened_by(node: &Node, carried: &Carried) -> Vec<String> {
    let standing = node.exchange.standing();
    let charters = standing.charters.as_ref().unwrap();
    let admitted = Admitted::from_log(&carried.header, charters.community()).unwrap();
    let whole = admitted.with_body(carried.body.clone().unwrap()).unwrap();
    let Ok(Opening::Opened(opened)) = whole.open(&node.member.reader, charters) else {
        return Vec::new();
    };
    let sound = opened.sound().unwrap();
    sound
        .objects
        .iter()
        .map(|object| object.raw().to_owned())
        .collect()
}

/// What each partner would see, as the preview tells it.
fn promised(preview: &local::PreviewReply) -> BTreeMap<String, Vec<String>> {
    let issued = bundle();
    let mut promised = BTreeMap::new();
    for audience in &preview.audiences {
        let shared = audience.objects.iter().filter(|object| object.shared);
        let texts = shared.map(|object| match &object.text {
            Some(text) => text.get().to_owned(),
            None => issued[object.index].get().to_owned(),
        });
        let mut texts: Vec<String> = texts.collect();
        texts.sort();
        for partner in &audience.partners {
            promised.insert(partner.to_string(), texts.clone());
        }
    }
    promised
}

#[tokio::test]
async fn what_a_preview_promised_is_what_each_member_opens_and_a_stranger_nothing() {
    let (city, water) = league().await;
    let mary = Node::new("st-mary");
    join(&city, &mary).await;
    let eve = Node::new("eve-later");
    rule_by(&city, POLICIES);
    let preview = reading(&city).preview(&asked(None)).unwrap();
    assert_eq!(preview.refused.len(), 1, "RED goes to nobody who is not named");
    assert!(
        preview.refused[0].reason.contains("--to"),
        "{:?}",
        preview.refused
    );
    let published = city
        .exchange
        .publish(BY(), asked(Some(preview.token.clone())))
        .await
        .unwrap();
    let carried: Vec<Carried> = published
        .records
        .iter()
        .map(|record| city.carried(&record.id))
        .collect();
    join(&city, &eve).await;
    let mut promised = promised(&preview);
    assert_eq!(promised.len(), 2);
    for node in [&water, &mary] {
        let mut opened: Vec<String> = carried
            .iter()
            .flat_map(|carried| opened_by(node, carried))
            .collect();
        opened.sort();
        let promised = promised.remove(node.member.profile.handle.as_str()).unwrap();
        assert_eq!(opened, promised, "{}", node.member.profile.handle);
    }
    // The water board is a utility, too: what any deciding policy strikes is struck.
    let malware = |node: &Node| {
        let all = carried.iter().flat_map(|carried| opened_by(node, carried));
        all.filter(|text| text.contains("malware--"))
            .collect::<Vec<String>>()
    };
    assert!(malware(&water).iter().any(|text| text.contains("Brine")));
    assert!(malware(&water).iter().all(|text| !text.contains("pump 7")));
    // Whoever may not have the malware does not learn from a relationship that there is one.
    assert_eq!(malware(&mary), Vec::<String>::new());
    // Who joins later reads what was open, and nothing that was sealed.
    let later: Vec<String> = carried
        .iter()
        .flat_map(|carried| opened_by(&eve, carried))
        .collect();
    assert!(later.iter().all(|text| !text.contains("malware--")), "{later:?}");
    assert_eq!(later.len(), 1);
}

#[tokio::test]
async fn a_policy_reload_between_preview_and_delivery_is_noticed() {
    let (city, _water) = league().await;
    rule_by(&city, POLICIES);
    let preview = reading(&city).preview(&asked(None)).unwrap();
    rule_by(&city, &POLICIES.replace("\"description\"", "\"name\""));
    let before = city.reader.newest();
    let told = city
        .exchange
        .publish(BY(), asked(Some(preview.token.clone())))
        .await;
    let Err(ExchangeError::Preview(stale)) = told else {
        panic!("{told:?}")
    };
    assert_eq!(stale.to_string(), "the policies changed since the preview");
    assert_eq!(city.reader.newest(), before, "nothing was written");
    rule_by(&city, POLICIES);
    let mut other = asked(Some(preview.token.clone()));
    other.objects.pop();
    assert!(matches!(
        city.exchange.publish(BY(), other).await,
        Err(ExchangeError::Preview(_))
    ));
    let published = city
        .exchange
        .publish(BY(), asked(Some(preview.token)))
        .await
        .unwrap();
    assert!(!published.records.is_empty());
    let nonsense = asked(Some("of yesterday".to_owned()));
    assert!(matches!(
        city.exchange.publish(BY(), nonsense).await,
        Err(ExchangeError::Invalid(_))
    ));
}

#[tokio::test]
async fn an_empty_circle_is_nobody_and_not_everybody() {
    let (city, _water) = league().await;
    let policies = r#"
        @id("to-the-circle")
        permit (principal in Circle::"water", action == Action::"share", resource);
    "#;
    let files = vec![
        PolicyFile::new("share.cedar", policies),
        PolicyFile::new("members.toml", "[circles]\nwater = []\n"),
    ];
    let policies = Policies::from_files(files, None).unwrap();
    city.exchange.accepting().replace(Arc::new(policies));
    let told = city.exchange.publish(BY(), asked(None)).await.unwrap();
    assert_eq!(told.records, vec![]);
    assert_eq!(told.refused.len(), 4);
}

#[tokio::test]
async fn what_was_ruled_is_kept_with_the_policies_of_then_also_over_a_restart() {
    let (city, _water) = league().await;
    rule_by(&city, POLICIES);
    let published = city.exchange.publish(BY(), asked(None)).await.unwrap();
    let id = published.records[0].id;
    let city = city.restart();
    let stored = city.reader.record(&id).unwrap().unwrap();
    let created = Admitted::from_log(&stored.header, &stored.community)
        .unwrap()
        .header()
        .created;
    let ruling = elsewhere::ruling_of(&city.reader, created, &id).unwrap().unwrap();
    let files = city
        .reader
        .paper(crate::store::entry::Drawer::Policies, &ruling.policies);
    let files: Vec<(String, String)> = minicbor::decode(&files.unwrap().unwrap()).unwrap();
    assert_eq!(files, [("share.cedar".to_owned(), POLICIES.to_owned())]);
    let lines = city.reader.audit(1, 1_000).unwrap();
    let line = lines.iter().find(|line| line.subject == id.to_string()).unwrap();
    assert_eq!(
        line.ruling,
        Some(ruling.hash()),
        "the audit log vouches for what is kept"
    );
}

#[tokio::test]
async fn who_got_a_record_is_explained_by_the_policies_of_then_and_of_now() {
    let (city, water) = league().await;
    let mary = Node::new("st-mary");
    join(&city, &mary).await;
    rule_by(&city, POLICIES);
    let published = city.exchange.publish(BY(), asked(None)).await.unwrap();
    let sealed = |record: &&local::Published| !opened_by(&water, &city.carried(&record.id)).is_empty();
    let for_water = published
        .records
        .iter()
        .filter(sealed)
        .find(|record| matches!(&record.readers, local::Readers::Members(to) if to.len() == 1))
        .unwrap();
    let record = for_water.id;
    // A year later there are other policies, and the node was started anew.
    let city = city.restart();
    rule_by(
        &city,
        r#"@id("all") permit (principal, action == Action::"share", resource in TLP::"amber");"#,
    );
    let ask = |partner: &str| local::ExplainRequest {
        record,
        partner: partner.parse().unwrap(),
    };
    let mary = reading(&city).explain(&ask("st-mary")).unwrap();
    assert!(!mary.reader);
    let then = mary.then.unwrap();
    let malware = |explained: &local::Explained| {
        let mut items = explained.items.iter();
        items.find(|item| item.kind == "malware").unwrap().clone()
    };
    assert!(!malware(&then).shared && malware(&mary.now).shared);
    assert_eq!(malware(&then).policies, ["nothing-of-malware-to-mary"]);
    assert_eq!(malware(&mary.now).policies, ["all"]);
    let water = reading(&city).explain(&ask("acme-water")).unwrap();
    assert!(water.reader && malware(&water.then.unwrap()).shared);
    let eve = reading(&city).explain(&ask("eve")).unwrap();
    assert_eq!(
        malware(&eve.now).reason.as_deref(),
        Some("it is no partner of that time")
    );
}

#[tokio::test]
async fn policies_are_tried_without_being_put_in_force() {
    let (city, _water) = league().await;
    let mary = Node::new("st-mary");
    join(&city, &mary).await;
    let before = reading(&city)
        .check_policies(local::PolicyCheckRequest::default())
        .unwrap();
    assert!(before.in_force && before.errors.is_empty());
    let tried = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(name, text)| local::PolicyText {
            name: (*name).to_owned(),
            text: (*text).to_owned(),
        });
        let files = Some(files.collect());
        reading(&city)
            .check_policies(local::PolicyCheckRequest { files })
            .unwrap()
    };
    let tests = r#"
        [[expect]]
        name = "the water board gets malware that is amber"
        item = { type = "malware", tlp = "amber" }
        partner = "acme-water"
        outcome = "no"
    "#;
    let wrong = tried(&[("share.cedar", POLICIES), ("tests.toml", tests)]);
    assert_eq!((wrong.errors.as_slice(), wrong.in_force), (&[][..], false));
    assert_eq!(wrong.tests[0].answered, "yes");
    assert!(wrong.tests[0].failure.is_some());
    let broken = tried(&[("share.cedar", "permit (principal, action, resource);")]);
    assert!(broken.hash.is_none() && !broken.errors.is_empty(), "{broken:?}");
    let after = reading(&city)
        .check_policies(local::PolicyCheckRequest::default())
        .unwrap();
    assert_eq!(after, before, "nothing was put in force");
}

#[tokio::test]
async fn who_joins_later_learns_no_id_of_what_was_sealed_from_what_was_open() {
    let (city, water) = league().await;
    let amber = r#""object_marking_refs":["marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"]"#;
    // In capitals, too: ids are the same in either case.
    let secret = "ipv4-addr--AB5820D4-5bf9-5f5d-8f5d-000000000001";
    let address = format!(
        r#"{{"type":"ipv4-addr","spec_version":"2.1","id":"{secret}",{amber},"value":"198.51.100.7"}}"#
    );
    let note = |number: u8, property: &str| {
        format!(
            r#"{{"type":"note","spec_version":"2.1","id":"note--0000000{number}-0000-4000-8000-000000000000","created":"2026-11-01T00:00:00.000Z","modified":"2026-11-01T00:00:00.000Z","content":"seen","object_refs":["note--00000009-0000-4000-8000-000000000000"],{property}}}"#
        )
    };
    let beside = note(1, &format!(r#""x_about":"{}""#, secret.to_ascii_lowercase()));
    let of_that = note(2, r#""x_see":"note--00000001-0000-4000-8000-000000000000""#);
    let plain = note(3, r#""x_free":"nothing""#);
    let publish = async |texts: &[&String]| {
        let raw = texts
            .iter()
            .map(|text| RawValue::from_string((*text).clone()).unwrap());
        let request = local::PublishRequest {
            objects: raw.collect(),
            ..local::PublishRequest::default()
        };
        city.exchange.publish(BY(), request).await.unwrap().records
    };
    let mut records = publish(&[&address, &beside, &of_that, &plain]).await;
    // The day after, in a publication of its own.
    records.extend(publish(&[&note(4, &format!(r#""x_about":"{secret}""#))]).await);
    let eve = Node::new("eve-later");
    join(&city, &eve).await;
    let read = |node: &Node| -> Vec<String> {
        let carried = records.iter().map(|record| city.carried(&record.id));
        carried.flat_map(|carried| opened_by(node, &carried)).collect()
    };
    assert_eq!(read(&water).len(), 5, "who was there reads all");
    let later = read(&eve);
    assert_eq!(later, [plain], "and who came later what names nothing sealed");
}
