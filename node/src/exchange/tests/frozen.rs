//! A node that stewards have not confirmed the charter to seals nothing, and says why.

use std::time::Duration;

use hanse_protocol::charter::join::{Invite, Request, invite_fingerprint};
use hanse_protocol::charter::member::{Lane, MemberSealingKey, MemberSigningKey, SuiteKey};
use hanse_protocol::charter::{Budget, Charter, CharterChain, Member as Listed, SignedCharter};
use hanse_protocol::identity::CommunityId;
use hanse_protocol::presence::Head;
use hanse_protocol::timestamp::Timestamp;

use super::*;
use crate::clock;
use crate::heads::{FRESH, Freeze, Heads};

const DAY: Duration = Duration::from_secs(24 * 3_600);
const HOUR: Duration = Duration::from_secs(3_600);

/// A charter of the city and others, issued some days ago for a year; all are stewards.
pub(super) async fn charters(issued: Timestamp, threshold: u32, nodes: &[&Node]) -> CharterChain {
    let mut members = Vec::new();
    for node in nodes {
        let request = Request::read(&node.exchange.request(BY()).await.unwrap().file).unwrap();
        members.push(Listed {
            handle: request.profile.handle.clone(),
            profile: request.profile,
            admitted: issued,
            signing: vec![MemberSigningKey {
                key: request.signing,
                closed: None,
            }],
            sealing: vec![MemberSealingKey {
                key: SuiteKey::X25519(request.sealing),
                closed: false,
            }],
            lanes: vec![Lane {
                number: 0,
                node: request.node,
                addresses: vec![],
                closed: None,
            }],
            ended: None,
        });
    }
    members.sort_by(|a, b| a.handle.cmp(&b.handle));
    let stewards: Vec<Handle> = members.iter().map(|member| member.handle.clone()).collect();
    // The last one is only a member.
    let last = &nodes.last().unwrap().member.profile.handle;
    let stewards = stewards.into_iter().filter(|steward| steward != last).collect();
    let charter = Charter {
        name: "League".to_owned(),
        version: 1,
        parents: vec![],
        issued,
        expires: issued.after(DAY * 366),
        stewards,
        threshold,
        recovery: vec![],
        members,
        unmarked: Tlp::Green,
        budget: Budget {
            bytes: 1 << 30,
            records: 1_000,
        },
        horizon: u64::try_from((DAY * 365).as_millis()).unwrap(),
    };
    let mut first = SignedCharter::issue(charter).unwrap();
    for node in nodes {
        first.endorse(&node.member.profile.handle, &node.member.signing);
    }
    CharterChain::found(first).unwrap()
}

pub(super) async fn joins(node: &Node, charters: &CharterChain) {
    let invite = Invite {
        community: *charters.community(),
        charters: charters.encode(),
    };
    let fingerprint = invite_fingerprint(charters.community(), &charters.newest().hash());
    let join = local::JoinRequest {
        file: invite.write(),
        fingerprint: fingerprint.to_string(),
    };
    node.exchange.join(BY(), join).await.unwrap();
}

fn head(steward: &Node, charters: &CharterChain, at: Timestamp) -> Head {
    Head {
        steward: steward.member.profile.handle.clone(),
        version: charters.charter().version,
        hash: charters.newest().hash(),
        at,
        expires: at.after(FRESH),
    }
}

async fn hears(node: &Node, bytes: Vec<u8>) -> Verdict {
    let (told, verdict) = oneshot::channel();
    let told = Mutex::new(Some(told));
    let reply = move |verdict, _| told.lock().unwrap().take().unwrap().send(verdict).unwrap();
    assert!(
        node.exchange
            .offer_head(NodeId([0; 32]), bytes, Box::new(reply))
            .is_ok()
    );
    verdict.await.unwrap()
}

#[tokio::test]
async fn without_heads_of_a_threshold_nothing_is_sealed_and_green_still_goes() {
    let (city, cert, mary, water) = (
        Node::new("port-city"),
        Node::new("region-cert"),
        Node::new("st-mary"),
        Node::new("acme-water"),
    );
    let now = clock::now();
    let charters = charters(now.before(DAY * 8), 2, &[&city, &cert, &mary, &water]).await;
    joins(&water, &charters).await;
    joins(&city, &charters).await;
    let community = charters.community();
    let amber = || water.exchange.publish(BY(), request(1, None, Some(Tlp::Amber)));
    let refused = amber().await;
    assert!(
        matches!(refused, Err(ExchangeError::Frozen(Freeze::Silent { .. }))),
        "{refused:?}"
    );
    let named = request(1, Some("port-city"), None);
    assert!(matches!(
        water.exchange.publish(BY(), named).await,
        Err(ExchangeError::Frozen(_))
    ));
    let green = water.publish(1, None, None).await;
    assert_eq!(green.records.len(), 1);
    assert!(water.exchange.standing().frozen.is_some());
    let stored = city.publish(1, None, None).await;
    assert_eq!(
        water.frame(vec![city.carried(&stored.records[0].id)]).await,
        Verdict::Accept
    );

    // One steward speaks, and its word is replayed, and it speaks again: it is still one.
    let word = head(&city, &charters, now).sign(community, &city.member.signing);
    assert_eq!(hears(&water, word.clone()).await, Verdict::Accept);
    assert_eq!(hears(&water, word).await, Verdict::Ignore);
    let again = head(&city, &charters, now.after(Duration::from_secs(1)));
    assert_eq!(
        hears(&water, again.sign(community, &city.member.signing)).await,
        Verdict::Accept
    );
    // Words that do not count: of another community, of the future, long past, over another's name,
    // of another charter.
    let of_cert = head(&cert, &charters, now);
    let elsewhere = of_cert.sign(&CommunityId([9; 32]), &cert.member.signing);
    assert_eq!(hears(&water, elsewhere).await, Verdict::Reject);
    let ahead = head(&cert, &charters, now.after(HOUR));
    assert_eq!(
        hears(&water, ahead.sign(community, &cert.member.signing)).await,
        Verdict::Ignore
    );
    let past = head(&cert, &charters, now.before(DAY * 8));
    assert_eq!(
        hears(&water, past.sign(community, &cert.member.signing)).await,
        Verdict::Ignore
    );
    assert_eq!(
        hears(&water, of_cert.sign(community, &city.member.signing)).await,
        Verdict::Ignore
    );
    let member = head(&water, &charters, now);
    assert_eq!(
        hears(&water, member.sign(community, &water.member.signing)).await,
        Verdict::Ignore
    );
    let other = Head {
        hash: hanse_protocol::charter::CharterHash([3; 32]),
        ..head(&mary, &charters, now)
    };
    assert_eq!(
        hears(&water, other.sign(community, &mary.member.signing)).await,
        Verdict::Accept
    );
    assert!(matches!(amber().await, Err(ExchangeError::Frozen(_))));

    assert_eq!(
        hears(&water, of_cert.sign(community, &cert.member.signing)).await,
        Verdict::Accept
    );
    assert_eq!(amber().await.unwrap().records.len(), 1);
    // Heads are known after a restart.
    let water = water.restart();
    assert_eq!(water.exchange.standing().frozen, None);
    assert_eq!(water.publish(1, None, Some(Tlp::Amber)).await.records.len(), 1);
    let lines = water.reader.audit(1, 1_000).unwrap();
    let told: Vec<&str> = lines.iter().map(|line| line.action.as_str()).collect();
    assert!(told.contains(&"freeze") && told.contains(&"thaw"), "{told:?}");
}

#[tokio::test]
async fn past_its_expiry_a_charter_seals_nothing_whoever_confirms_it() {
    let (city, water) = (Node::new("port-city"), Node::new("acme-water"));
    let now = clock::now();
    let charters = charters(now.before(DAY * 367), 1, &[&city, &water]).await;
    joins(&water, &charters).await;
    let word = head(&city, &charters, now).sign(charters.community(), &city.member.signing);
    assert_eq!(hears(&water, word).await, Verdict::Accept);
    let mixed = local::PublishRequest {
        to: None,
        ..request(1, None, Some(Tlp::Amber))
    };
    assert!(matches!(
        water.exchange.publish(BY(), mixed).await,
        Err(ExchangeError::Frozen(Freeze::Expired(_)))
    ));
    assert_eq!(water.publish(1, None, None).await.records.len(), 1);
    // What is green and goes to some only would be sealed, too.
    let text =
        r#"@id("some") permit (principal == Member::"port-city", action == Action::"share", resource);"#;
    let file = crate::policy::PolicyFile::new("share.cedar", text);
    let policies = crate::policy::Policies::from_files(vec![file], None).unwrap();
    water.exchange.accepting().replace(Arc::new(policies));
    assert!(matches!(
        water.exchange.publish(BY(), request(1, None, None)).await,
        Err(ExchangeError::Frozen(Freeze::Expired(_)))
    ));
}

/// The clock is an argument: a week passes in a line.
#[tokio::test]
async fn the_week_counts_from_the_word_that_made_the_threshold() {
    let (city, cert, mary, water) = (
        Node::new("port-city"),
        Node::new("region-cert"),
        Node::new("st-mary"),
        Node::new("acme-water"),
    );
    let issued = Timestamp::from_millis(1_800_000_000_000);
    let charters = charters(issued, 2, &[&city, &cert, &mary, &water]).await;
    let mut heads = Heads::default();
    let at = |days: u32| issued.after(DAY * days);
    assert_eq!(
        heads.freeze(&charters, None, at(7).before(HOUR)),
        None,
        "the charter's own word"
    );
    assert_eq!(
        heads.freeze(&charters, None, at(7)),
        Some(Freeze::Silent { since: issued })
    );
    for (steward, day) in [(&city, 10), (&cert, 12), (&mary, 3)] {
        assert!(heads.hear(&head(steward, &charters, at(day))));
    }
    // The second newest of the three makes two: the tenth day's.
    assert_eq!(heads.freeze(&charters, None, at(16)), None);
    assert_eq!(
        heads.freeze(&charters, None, at(17)),
        Some(Freeze::Silent { since: at(10) })
    );
    // A steward's own node needs one other.
    let own = city.member.profile.handle.clone();
    assert_eq!(heads.freeze(&charters, Some(&own), at(18)), None);
    assert_eq!(
        heads.freeze(&charters, Some(&own), at(19)),
        Some(Freeze::Silent { since: at(12) })
    );
    // An older word replaces nothing, kept or not.
    assert!(!heads.hear(&head(&city, &charters, at(9))));
    let mut kept = Heads::restore(&heads.to_keep(&charters).unwrap());
    assert!(!kept.hear(&head(&city, &charters, at(10))));
    assert_eq!(kept.freeze(&charters, None, at(16)), None);
    assert_eq!(kept.to_keep(&charters), None);
    assert_eq!(
        heads.freeze(&charters, Some(&own), at(366)),
        Some(Freeze::Expired(charters.charter().expires))
    );
}

/// A steward that speaks without pause would have everybody check and pass on each word.
#[tokio::test]
async fn a_steward_is_heard_once_a_second() {
    let (city, water) = league().await;
    let charters = city.exchange.standing().charters.clone().unwrap();
    let now = clock::now();
    let mut heads = Heads::default();
    let said = |ms| head(&city, &charters, now.after(Duration::from_millis(ms)));
    let heard = (0..3_000).filter(|ms| heads.hear(&said(*ms))).count();
    assert_eq!(heard, 3);
    let mut verdicts = Vec::new();
    for ms in [0, 1, 999, 1_000] {
        let bytes = said(ms).sign(charters.community(), &city.member.signing);
        verdicts.push(hears(&water, bytes).await);
    }
    let (accept, ignore) = (Verdict::Accept, Verdict::Ignore);
    assert_eq!(verdicts, [accept, ignore, ignore, accept]);
}

/// Who stands under another charter knows other keys of a steward: that is no forgery.
#[tokio::test]
async fn a_head_signed_with_a_key_that_only_another_charter_lists_is_not_rejected() {
    let (city, water) = league().await;
    let charters = city.exchange.standing().charters.clone().unwrap();
    let said = head(&city, &charters, clock::now());
    let rotated = SigningKey::generate(&mut rand::rng());
    let bytes = said.sign(charters.community(), &rotated);
    assert_eq!(hears(&water, bytes).await, Verdict::Ignore);
    let mut forged = said.sign(charters.community(), &city.member.signing);
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(hears(&water, forged).await, Verdict::Reject);
}
