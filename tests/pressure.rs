//! What a node holds back, and says why: it seals nothing while stewards are silent, takes no more of an
//! author than the charter allows, and gives up what is sealed for others when that becomes too much.

use std::time::Duration;

use hanse_protocol::charter::join::{Invite, Request, invite_fingerprint};
use hanse_protocol::charter::member::{Lane, MemberSealingKey, MemberSigningKey, SuiteKey};
use hanse_protocol::charter::{Budget, Charter, CharterChain, Member, SignedCharter};
use hanse_protocol::frame::Frame;
use hanse_protocol::identity::RecordId;
use hanse_protocol::local::{Change, Readable};
use hanse_protocol::presence::Head;
use hanse_protocol::record::Header;
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;
use hanse_tests::api::{Terms, to};
use hanse_tests::evil::now;
use hanse_tests::forge::{carried, frame, id_of, open_body};
use hanse_tests::league::has;
use hanse_tests::objects::{address, nth_address};
use hanse_tests::{Candidate, Evil, League, Node, eventually, hansed};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// How a member asks to join, and so how a charter lists it.
fn listed(request: &str, issued: Timestamp) -> Member {
    let request = Request::read(request).expect("a request");
    Member {
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
            addresses: request.addresses,
            closed: None,
        }],
        ended: None,
    }
}

/// A community that was founded eight days ago by a member whose keys the story holds, and of which two
/// daemons hear today.
async fn old_community(steward: &Candidate, nodes: [&Node; 2]) -> CharterChain {
    let issued = now().before(DAY * 8);
    let mut members = vec![listed(&steward.request().0, issued)];
    for node in nodes {
        members.push(listed(&node.api().request().await.file, issued));
    }
    members.sort_by(|a, b| a.handle.cmp(&b.handle));
    let charter = Charter {
        name: "League".to_owned(),
        version: 1,
        parents: vec![],
        issued,
        expires: issued.after(DAY * 366),
        stewards: vec![steward.member.profile.handle.clone()],
        threshold: 1,
        recovery: vec![],
        members,
        unmarked: Tlp::Green,
        budget: Budget {
            bytes: 1 << 30,
            records: 1_000,
        },
        horizon: u64::try_from((DAY * 365).as_millis()).unwrap(),
    };
    let mut first = SignedCharter::issue(charter).expect("a charter");
    first.endorse(&steward.member.profile.handle, &steward.member.signing);
    let charters = CharterChain::found(first).expect("a community");
    let invite = Invite {
        community: *charters.community(),
        charters: charters.encode(),
    };
    let fingerprint = invite_fingerprint(charters.community(), &charters.newest().hash());
    for node in nodes {
        let joined = node.api().join(&invite.write(), &fingerprint.to_string()).await;
        joined.expect("it joins");
    }
    charters
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_stewards_are_silent_nothing_is_sealed_and_green_still_travels() {
    let steward = Candidate::new("port-city");
    let (mut water, mut mary) = (
        Node::init(hansed!(), "acme-water"),
        Node::init(hansed!(), "st-mary"),
    );
    water.start().await;
    mary.start().await;
    let charters = old_community(&steward, [&water, &mary]).await;
    let api = water.api();
    let frozen = eventually("it is said why", async || api.status().await.community?.frozen).await;
    assert!(frozen.contains("too few stewards"), "{frozen}");

    let amber = address("203.0.113.10", Some(Tlp::Amber));
    for terms in [Terms::default(), to(&["st-mary"])] {
        let refused = api.try_publish(std::slice::from_ref(&amber), &terms).await;
        let problem = refused.expect_err("it is sealed to nobody").problem();
        assert_eq!(
            (problem.status, &*problem.kind),
            (409, "urn:hanse:problem:frozen")
        );
    }
    let green = api
        .publish_one(&address("203.0.113.11", None), &Terms::default())
        .await;
    assert_eq!(has(&mary, &green).await.state, Readable::Readable);
    // Of a mixed lot the green part goes, and it is told why the other did not.
    let lot = [amber.clone(), address("203.0.113.12", None)];
    let reply = api
        .try_publish(&lot, &Terms::default())
        .await
        .expect("one of them goes");
    assert_eq!((reply.records.len(), reply.refused.len()), (1, 1));
    assert!(reply.refused[0].index == 0 && reply.refused[0].reason.contains("frozen"));
    // A restart changes nothing.
    water.restart().await;
    let api = water.api();
    let refused = api
        .try_publish(std::slice::from_ref(&amber), &Terms::default())
        .await;
    assert_eq!(refused.unwrap_err().problem().status, 409);

    let member = steward.member;
    let steward = Evil { member, charters };
    let mesh = steward.visits(&[&water]).await;
    let at = now();
    let head = Head {
        steward: steward.handle().clone(),
        version: 1,
        hash: steward.charters.newest().hash(),
        at,
        expires: at.after(DAY),
    };
    let word = head.sign(steward.community(), &steward.member.signing);
    mesh.gossips(Frame::Head(word).encode()).await;
    eventually("the steward was heard", async || {
        api.status().await.community?.frozen.is_none().then_some(())
    })
    .await;
    let sealed = api.publish_one(&amber, &to(&["st-mary"])).await;
    assert_eq!(has(&mary, &sealed).await.state, Readable::Readable);
}

/// Fourteen true records of one author and day.
fn writes(mallory: &Evil) -> Vec<(RecordId, Vec<u8>)> {
    let created = now();
    let mut prev = None;
    let mut written = Vec::new();
    for seq in 1..=14 {
        let body = open_body(&[&address(&format!("203.0.113.{seq}"), None)]);
        let header = Header {
            created,
            expires: created.after(DAY),
            ..mallory.header(seq, prev, &body)
        };
        let header = mallory.signs(&header);
        let id = id_of(&header, mallory.community());
        prev = Some(id);
        written.push((id, frame(vec![carried(header, &body)])));
    }
    written
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_author_over_its_budget_headers_are_held_and_no_bodies() {
    let league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    let mallory = Candidate::new("mallory").admitted_by(league.steward()).await;
    let records = 3;
    let budget = Change::Budget {
        bytes: 1 << 30,
        records,
    };
    let api = league.steward().api();
    api.propose(budget).await.expect("the budget is set");
    league.is_connected().await;

    let mesh = mallory.visits(&[league.steward()]).await;
    let written = writes(&mallory);
    for (_, frame) in &written {
        mesh.gossips(frame.clone()).await;
    }
    let over = eventually("the steward is told who sends too much", async || {
        let over = api.status().await.over_budget.into_iter().next()?;
        (over.without_body == 9 && over.refused >= 2).then_some(over)
    })
    .await;
    assert_eq!((over.author.as_str(), over.records), ("mallory", 12));
    for (number, (id, _)) in written.iter().enumerate() {
        let state = api.record(id).await.map(|record| record.state);
        let expected = match number {
            0..3 => Some(Readable::Readable),
            3..12 => Some(Readable::Shed),
            _ => None,
        };
        assert_eq!(state, expected, "record {}", number + 1);
    }
    // Healing is no way around it: it brings headers.
    let water = league.node("acme-water").api();
    eventually("the others heal the headers", async || {
        let mut states = Vec::new();
        for (id, _) in &written {
            states.extend(water.record(id).await.map(|record| record.state));
        }
        let bodies = states.iter().filter(|state| **state == Readable::Readable);
        assert!(bodies.count() <= 3, "{states:?}");
        (states.len() == 12).then_some(())
    })
    .await;
    assert!(water.search("203.0.113.9").await.is_empty());
    // What mallory spent is its own. An honest node is told before its own is spent.
    for number in 0..records {
        let object = address(&nth_address(number), None);
        let id = water.publish_one(&object, &Terms::default()).await;
        assert_eq!(has(league.steward(), &id).await.state, Readable::Readable);
    }
    let refused = water
        .try_publish(&[address("203.0.113.99", None)], &Terms::default())
        .await;
    let problem = refused.expect_err("a fourth is too much").problem();
    assert_eq!(
        (problem.status, &*problem.kind),
        (429, "urn:hanse:problem:budget")
    );
}

#[tokio::test]
async fn bodies_sealed_for_others_are_given_up_oldest_first_and_their_readers_keep_theirs() {
    let mut league = League::of(hansed!(), &["port-city", "acme-water", "st-mary"]).await;
    let mary = league.node_mut("st-mary");
    mary.stop().await;
    mary.set("#opaque_max = 10737418240", "opaque_max = 8192");
    mary.start().await;
    league.is_connected().await;
    let author = league.node("acme-water").api();
    let mut sealed = Vec::new();
    for lot in 0..12 {
        let objects: Vec<String> = (0..60)
            .map(|number| address(&nth_address(lot * 60 + number), None))
            .collect();
        let ids = author.publish(&objects, &to(&["port-city"])).await;
        // Each is there before the next: what is oldest is so for all.
        for id in &ids {
            has(league.node("st-mary"), id).await;
        }
        sealed.extend(ids);
    }
    let open = author
        .publish_one(&address("203.0.113.1", None), &Terms::default())
        .await;
    has(league.node("st-mary"), &open).await;
    let mary = league.node("st-mary").api();
    let states = eventually("room is made", async || {
        let mut states = Vec::new();
        for id in &sealed {
            states.push(mary.record(id).await.expect("headers stay").state);
        }
        states.contains(&Readable::Shed).then_some(states)
    })
    .await;
    let given_up = states
        .iter()
        .take_while(|state| **state == Readable::Shed)
        .count();
    assert!(given_up > 0 && given_up < states.len(), "{states:?}");
    assert!(
        states[given_up..].iter().all(|state| *state == Readable::Opaque),
        "the oldest go first: {states:?}"
    );
    assert_eq!(
        mary.record(&open).await.unwrap().state,
        Readable::Readable,
        "what it reads stays"
    );
    // It does not ask for them again, and takes nothing from those who read them.
    league.node_mut("st-mary").restart().await;
    league.is_connected().await;
    let next = league
        .steward()
        .api()
        .publish_one(&address("203.0.113.2", None), &Terms::default())
        .await;
    has(league.node("st-mary"), &next).await;
    let mary = league.node("st-mary").api();
    assert_eq!(mary.record(&sealed[0]).await.unwrap().state, Readable::Shed);
    for id in &sealed {
        assert_eq!(has(league.steward(), id).await.state, Readable::Readable);
    }
}
