//! Who gets what, over real daemons: policies in a folder, previews that are kept to, reloads.

use hanse_protocol::local::Readable;
use hanse_protocol::tlp::Tlp;
use hanse_tests::league::{has, texts};
use hanse_tests::objects::address;
use hanse_tests::{League, eventually, hansed};

const POLICIES: &str = r#"
// Everybody gets what is green, without our ticket numbers.
@id("green-to-all") @redact("x_ticket")
permit (principal, action == Action::"share", resource in TLP::"green");

// The hospital gets what is amber, too.
@id("amber-to-the-hospital")
permit (principal == Member::"st-mary", action == Action::"share", resource)
when { resource.tlp == "amber" };
"#;

/// Waits until a node's policies are others than these, and gives their hash.
async fn other_policies(league: &League, than: &str) -> String {
    let api = league.node("acme-water").api();
    let object = address("203.0.113.1", Some(Tlp::Green));
    eventually("the policies were read again", async || {
        let preview = api.preview(std::slice::from_ref(&object)).await.ok()?;
        (preview.policies != than).then_some(preview.policies)
    })
    .await
}

#[tokio::test]
async fn what_was_previewed_under_policies_is_what_each_partner_reads_also_after_a_restart() {
    let mut league = League::of(hansed!(), &["port-city", "acme-water", "st-mary"]).await;
    let objects = [
        address("203.0.113.7", Some(Tlp::Green)),
        address("203.0.113.8", Some(Tlp::Amber)),
    ];
    let water = league.node("acme-water");
    let before = water.api().preview(&objects).await.unwrap();
    water.rule_by("share.cedar", POLICIES);
    water.reloads();
    other_policies(&league, &before.policies).await;

    // The token of before is refused, and nothing was sent.
    let stale = water.api().publish_previewed(&objects, &before.token).await;
    let problem = stale.unwrap_err().problem();
    assert!(problem.detail.contains("policies changed"), "{}", problem.title);

    let preview = water.api().preview(&objects).await.unwrap();
    let of = |handle: &str| {
        let audience = preview
            .audiences
            .iter()
            .find(|audience| audience.partners.iter().any(|partner| partner.as_str() == handle));
        &audience.expect("each partner is told of").objects
    };
    let (city, mary) = (of("port-city"), of("st-mary"));
    assert!(city[0].shared && !city[1].shared && mary[1].shared);
    let promised = city[0]
        .text
        .as_ref()
        .expect("something was struck")
        .get()
        .to_owned();
    assert!(!promised.contains("x_ticket"));
    let published = water
        .api()
        .publish_previewed(&objects, &preview.token)
        .await
        .unwrap();
    assert_eq!(published.records.len(), 2, "one for both, one for the hospital");
    let (mut both, mut one) = (None, None);
    for record in &published.records {
        let held = has(league.node("port-city"), &record.id).await;
        match held.state {
            Readable::Readable => both = Some(texts(&held).join("\n")),
            state => one = Some((record.id, state)),
        }
    }
    assert_eq!(both.as_deref(), Some(promised.as_str()), "to the byte");
    let (sealed, state) = one.expect("one is not the city's to read");
    assert_eq!(state, Readable::Opaque);
    let held = has(league.node("st-mary"), &sealed).await;
    assert_eq!(texts(&held), [objects[1].as_str()]);

    // A set that does not hold changes nothing, says why, and does not start a node either.
    water.rule_by(
        "more.cedar",
        "permit (principal, action == Action::\"share\", resource);",
    );
    water.reloads();
    eventually("it says what is wrong", async || {
        let messages = league.node("acme-water").messages();
        (messages.contains("those in force stay") && messages.contains("more.cedar")).then_some(())
    })
    .await;
    let still = league.node("acme-water").api().preview(&objects).await.unwrap();
    assert_eq!(still.policies, preview.policies);
    league.node("acme-water").rule_by("more.cedar", "");

    // After a restart the same policies are in force.
    league.node_mut("acme-water").restart().await;
    let after = league.node("acme-water").api().preview(&objects).await.unwrap();
    assert!(!after.audiences.is_empty());
    let refused = after.audiences.iter().flat_map(|audience| &audience.objects);
    assert_eq!(
        refused.filter(|object| !object.shared).count(),
        1,
        "amber is not the city's"
    );
}
