//! Who comes in, by which files, and how one is shown out.

use hanse_protocol::frame::Carried;
use hanse_protocol::local::{Change, Readable};
use hanse_protocol::record::Header;
use hanse_tests::api::{Terms, to};
use hanse_tests::evil::Pantry;
use hanse_tests::forge::{carried, frame, id_of, open_body};
use hanse_tests::league::{has, texts};
use hanse_tests::objects::address;
use hanse_tests::{Candidate, League, Node, eventually, hansed};

#[tokio::test]
async fn swapped_files_are_caught_by_their_fingerprints() {
    let mut steward = Node::init(hansed!(), "port-city");
    let mut candidate = Node::init(hansed!(), "st-mary");
    let mut mallory = Node::init(hansed!(), "mallory");
    for node in [&mut steward, &mut candidate, &mut mallory] {
        node.launch();
    }
    for node in [&mut steward, &mut candidate, &mut mallory] {
        node.is_up().await;
    }
    let founded = steward.api().found("Port City League").await.unwrap();
    assert_eq!(founded.recovery_key.len(), 64);
    assert_eq!(
        steward.api().found("Another").await.err().unwrap().problem().kind,
        "urn:hanse:problem:has-community"
    );
    assert_eq!(
        candidate.api().members().await.unwrap_err().problem().kind,
        "urn:hanse:problem:no-community"
    );

    // On its way to the steward the request is swapped for one of the same name with other keys.
    let request = candidate.api().request().await;
    let (swapped, _) = Candidate::new("st-mary").request();
    let caught = steward
        .api()
        .admit(&swapped, &request.fingerprint)
        .await
        .unwrap_err()
        .problem();
    assert_eq!(caught.kind, "urn:hanse:problem:fingerprint");
    // A request that was changed rather than swapped is none at all.
    let at = request.file.len() / 2;
    let letter = if &request.file[at..=at] == "A" { "B" } else { "A" };
    let changed = format!("{}{letter}{}", &request.file[..at], &request.file[at + 1..]);
    let caught = steward
        .api()
        .admit(&changed, &request.fingerprint)
        .await
        .unwrap_err()
        .problem();
    assert!(
        caught.kind.ends_with("invalid") || caught.kind.ends_with("fingerprint"),
        "{}",
        caught.kind
    );
    assert_eq!(steward.api().members().await.unwrap().members.len(), 1);
    // However the fingerprint is spelt, the true one admits.
    let spelt = request.fingerprint.to_lowercase().replace('-', " ");
    let admission = steward.api().admit(&request.file, &spelt).await.unwrap();

    // On its way back the invite is swapped for one to a community of mallory's.
    mallory.api().found("Port City League").await.unwrap();
    let trap = mallory
        .api()
        .admit(&request.file, &request.fingerprint)
        .await
        .unwrap();
    let caught = candidate
        .api()
        .join(&trap.invite, &admission.fingerprint)
        .await
        .unwrap_err()
        .problem();
    assert_eq!(caught.kind, "urn:hanse:problem:fingerprint");
    // An invite that lists somebody else is of no use, whoever reads its fingerprint.
    let (file, fingerprint) = Candidate::new("region-cert").request();
    let other = steward.api().admit(&file, &fingerprint).await.unwrap();
    let joined = candidate
        .api()
        .join(&admission.invite, &admission.fingerprint)
        .await
        .unwrap();
    assert_eq!(joined.community, founded.community);
    let stranger = mallory
        .api()
        .join(&other.invite, &other.fingerprint)
        .await
        .unwrap_err()
        .problem();
    assert_eq!(stranger.kind, "urn:hanse:problem:has-community");

    // The handle is taken now, for these very keys: the same request gets its invite again, another none.
    let again = steward
        .api()
        .admit(&request.file, &request.fingerprint)
        .await
        .unwrap();
    assert_eq!(again.member.as_str(), "st-mary");
    let (file, fingerprint) = Candidate::new("st-mary").request();
    let taken = steward
        .api()
        .admit(&file, &fingerprint)
        .await
        .unwrap_err()
        .problem();
    assert!(taken.detail.contains("never given twice"), "{}", taken.detail);
}

/// The charter that lists the candidate is brought to the others by the candidate itself.
#[tokio::test]
async fn a_candidate_joins_through_a_member_that_has_never_heard_of_it() {
    let mut league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    let mut candidate = Node::init(hansed!(), "region-cert");
    candidate.start().await;
    league.node_mut("acme-water").stop().await;
    let admission = league.admits(&candidate).await;
    league.node_mut("port-city").stop().await;
    league.node_mut("acme-water").start().await;
    let host = league.node("acme-water").api();
    assert_eq!(
        host.members().await.unwrap().members.len(),
        2,
        "it has not heard of it"
    );

    candidate
        .api()
        .join(&admission.invite, &admission.fingerprint)
        .await
        .unwrap();
    eventually("the host has adopted the charter and is connected", async || {
        let members = host.members().await.unwrap().members;
        members
            .iter()
            .any(|member| member.handle == candidate.handle && member.connected == 1)
            .then_some(())
    })
    .await;
    let object = address("203.0.113.40", None);
    let record = host.publish_one(&object, &Terms::default()).await;
    assert_eq!(texts(&has(&candidate, &record).await), [object.as_str()]);
    let answer = candidate
        .api()
        .publish_one(&address("203.0.113.41", None), &Terms::default())
        .await;
    assert_eq!(
        has(league.node("acme-water"), &answer).await.author,
        candidate.handle
    );
}

#[tokio::test]
async fn only_stewards_admit_and_expel_and_not_themselves() {
    let league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    let member = league.node("acme-water").api();
    let (file, fingerprint) = Candidate::new("mallory").request();
    for refused in [
        member.admit(&file, &fingerprint).await.unwrap_err().problem(),
        member.expel("acme-water").await.unwrap_err().problem(),
        member.expel("port-city").await.unwrap_err().problem(),
    ] {
        assert_eq!(refused.kind, "urn:hanse:problem:invalid");
        assert!(
            refused.detail.contains("no steward") && refused.detail.contains("port-city"),
            "{}",
            refused.detail
        );
    }
    let steward = league.steward().api();
    let itself = steward.expel("port-city").await.unwrap_err().problem();
    assert!(itself.detail.contains("steward"), "{}", itself.detail);
    let nobody = steward.expel("mallory").await.unwrap_err().problem();
    assert_eq!(nobody.kind, "urn:hanse:problem:unknown-member");
    for api in [member, steward] {
        let members = api.members().await.unwrap();
        assert_eq!((members.charter, members.members.len()), (2, 2));
    }
}

#[tokio::test]
async fn an_expelled_node_is_disconnected_everywhere_and_comes_not_back() {
    let mut league = League::of(hansed!(), &["port-city", "acme-water", "st-mary"]).await;
    let earlier = league
        .node("st-mary")
        .api()
        .publish_one(&address("203.0.113.42", None), &Terms::default())
        .await;
    league.holds(&earlier).await;
    let told = league.steward().api().expel("st-mary").await.unwrap();
    assert_eq!(told.members, 2);
    for handle in ["port-city", "acme-water"] {
        let api = league.node(handle).api();
        eventually("the expelled node is disconnected", async || {
            let status = api.status().await;
            let charter = status.community.unwrap();
            let gone = status
                .peers
                .iter()
                .all(|peer| peer.member.as_ref().is_some_and(|m| m.as_str() != "st-mary"));
            (charter.charter == told.charter && gone).then_some(())
        })
        .await;
        let members = api.members().await.unwrap().members;
        let expelled = members
            .iter()
            .find(|member| member.handle.as_str() == "st-mary")
            .unwrap();
        assert!(expelled.ended);
        assert_eq!(expelled.connected, 0);
    }
    // It dials again, and is nobody.
    league.node_mut("st-mary").restart().await;
    let outside = league.node("st-mary").api();
    let later = outside
        .try_publish(&[address("203.0.113.43", None)], &Terms::default())
        .await;
    let probe = league
        .node("acme-water")
        .api()
        .publish_one(&address("203.0.113.44", None), &Terms::default())
        .await;
    for handle in ["port-city", "acme-water"] {
        let node = league.node(handle);
        has(node, &probe).await;
        assert_eq!(
            has(node, &earlier).await.state,
            Readable::Readable,
            "what it said before stays"
        );
        assert!(node.api().search("203.0.113.43").await.is_empty());
        assert!(
            node.api()
                .status()
                .await
                .peers
                .iter()
                .all(|peer| peer.member.is_some())
        );
    }
    // Its own node may have learnt that it is out, or not; it has nothing of what followed.
    assert!(
        later.is_ok()
            || later
                .unwrap_err()
                .problem()
                .detail
                .contains("membership has ended")
    );
    assert!(outside.record(&probe).await.is_none());
    // It is told so, as far as it can know, where its operator looks.
    eventually("the expelled node says what is wrong", async || {
        let warnings = outside.status().await.warnings;
        let told = |warning: &String| warning.contains("does not know") || warning.contains("has ended");
        warnings.iter().any(told).then_some(())
    })
    .await;
    let asked = outside.request().await;
    let again = league
        .steward()
        .api()
        .admit(&asked.file, &asked.fingerprint)
        .await;
    let again = again.unwrap_err().problem();
    assert!(again.detail.contains("for ever"), "{}", again.detail);
}

/// The expelled cannot speak through a friend either, by gossip or by healing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_expelled_member_says_later_is_refused_whoever_brings_it() {
    let league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    let mallory = Candidate::new("mallory").admitted_by(league.steward()).await;
    let friend = Candidate::new("mallorys-friend")
        .admitted_by(league.steward())
        .await;
    let acme = league.node("acme-water");

    let earlier_object = address("203.0.113.45", None);
    let earlier = mallory.true_record(&earlier_object);
    let earlier_id = id_of(&earlier.header, mallory.community());
    let on_mesh = mallory.visits(&[league.steward(), acme]).await;
    on_mesh.gossips(frame(vec![earlier])).await;
    league.holds(&earlier_id).await;
    league.steward().api().expel("mallory").await.unwrap();
    on_mesh.is_alone().await;

    let body = open_body(&[&address("203.0.113.46", None)]);
    let later = |seq, prev| Carried {
        header: mallory.signs(&mallory.header(seq, Some(prev), &body)),
        body: Some(body.clone()),
    };
    let second = later(2, earlier_id);
    let third = later(3, id_of(&second.header, mallory.community()));
    let accomplice = friend.visits(&[acme]).await;
    accomplice.gossips(frame(vec![second])).await;
    let api = acme.api();
    eventually("the later record is refused", async || {
        (api.metrics().await.refused("ended") == 1).then_some(())
    })
    .await;
    accomplice.offers(Pantry::of(&league.community, vec![third]));
    eventually("healing refuses it too", async || {
        (api.metrics().await.refused("ended") == 2).then_some(())
    })
    .await;
    assert_eq!(texts(&has(acme, &earlier_id).await), [earlier_object.as_str()]);
    assert!(api.search("203.0.113.46").await.is_empty());
    // The friend brought what nobody can be blamed for, and is still heard.
    let own = friend.true_record(&address("203.0.113.47", None));
    let own_id = id_of(&own.header, friend.community());
    accomplice.gossips(frame(vec![own])).await;
    league.holds(&own_id).await;
    assert_eq!(league.steward().api().metrics().await.refused("ended"), 0);
}

/// Mallory sees it coming and takes the last number there is, so that all its later records lie before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_taken_in_advance_does_not_outlive_the_membership() {
    let league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    let mallory = Candidate::new("mallory").admitted_by(league.steward()).await;
    let friend = Candidate::new("mallorys-friend")
        .admitted_by(league.steward())
        .await;
    league.is_connected().await;
    let on_mesh = mallory.visits(&[league.steward()]).await;
    let mut prev = None;
    let mut sent = Vec::new();
    for (epoch, seq) in [(0, 1), (0, 2), (0, u64::MAX), (7, 1), (u32::MAX, u64::MAX)] {
        let body = open_body(&[&address("203.0.113.48", None)]);
        let header = Header {
            epoch,
            ..mallory.header(seq, prev, &body)
        };
        let header = mallory.signs(&header);
        let id = id_of(&header, mallory.community());
        on_mesh.gossips(frame(vec![carried(header, &body)])).await;
        league.holds(&id).await;
        prev = Some(id);
        sent.push(id);
    }
    league.steward().api().expel("mallory").await.unwrap();
    on_mesh.is_alone().await;
    league.is_connected().await;

    let acme = league.node("acme-water");
    let accomplice = friend.visits(&[acme]).await;
    let body = open_body(&[&address("203.0.113.49", None)]);
    for (times, (epoch, seq)) in [(0, 3), (0, 1_000_000), (1, 1), (7, 2), (u32::MAX, 9)]
        .into_iter()
        .enumerate()
    {
        let header = Header {
            epoch,
            ..mallory.header(seq, Some(sent[1]), &body)
        };
        accomplice
            .gossips(frame(vec![carried(mallory.signs(&header), &body)]))
            .await;
        let api = acme.api();
        eventually("the later record is refused", async || {
            (api.metrics().await.refused("ended") > times as u64).then_some(())
        })
        .await;
    }
    assert!(acme.api().search("203.0.113.49").await.is_empty());
    assert_eq!(has(acme, &sent[1]).await.state, Readable::Readable);
}

/// Has three members decide, two of them together, and waits until all stand under that.
async fn council(league: &League) {
    let stewards = league.nodes.iter().map(|node| node.handle.clone()).collect();
    let change = Change::Stewards {
        stewards,
        threshold: 2,
    };
    let handed = league.steward().api().propose(change).await.unwrap();
    assert!(handed.in_force);
    stand_under(league, handed.proposal.version).await;
}

async fn stand_under(league: &League, version: u64) {
    for node in &league.nodes {
        let api = node.api();
        eventually("the charter is adopted", async || {
            let community = api.status().await.community?;
            (community.charter == version && !community.fork).then_some(())
        })
        .await;
    }
}

async fn admission(node: &Node) -> Change {
    let request = node.api().request().await;
    Change::Admit {
        file: request.file,
        fingerprint: request.fingerprint,
    }
}

#[tokio::test]
async fn two_of_three_stewards_admit_by_a_file_that_goes_round() {
    let league = League::of(hansed!(), &["port-city", "acme-water", "st-mary"]).await;
    council(&league).await;
    let mut cert = Node::init(hansed!(), "region-cert");
    cert.start().await;
    let [city, water] = ["port-city", "acme-water"].map(|handle| league.node(handle).api());
    let request = cert.api().request().await;
    let alone = city.admit(&request.file, &request.fingerprint).await;
    assert_eq!(
        alone.unwrap_err().problem().kind,
        "urn:hanse:problem:endorsements"
    );

    let proposed = city.propose(admission(&cert).await).await.unwrap();
    assert!(!proposed.in_force);
    assert_eq!(city.community().await.proposals.first(), Some(&proposed.proposal));
    let another = city.propose(Change::Renew {}).await;
    assert_eq!(another.unwrap_err().problem().kind, "urn:hanse:problem:endorsed");
    let done = water.endorse(&proposed, false).await.unwrap();
    assert!(done.in_force);
    stand_under(&league, done.proposal.version).await;
    assert!(city.community().await.proposals.is_empty());
    let late = league.node("st-mary").api().endorse(&proposed, false).await;
    assert!(late.unwrap_err().problem().detail.contains("passed"));

    let admission = water.admit(&request.file, &request.fingerprint).await.unwrap();
    let joined = cert
        .api()
        .join(&admission.invite, &admission.fingerprint)
        .await
        .unwrap();
    assert_eq!((joined.charter, joined.members), (done.proposal.version, 4));
    let record = cert
        .api()
        .publish_one(&address("203.0.113.60", None), &Terms::default())
        .await;
    has(league.node("st-mary"), &record).await;
}

#[tokio::test]
async fn a_fork_made_while_nodes_were_apart_is_shown_everywhere_and_joined() {
    let mut league = League::of(hansed!(), &["port-city", "acme-water", "st-mary"]).await;
    council(&league).await;
    let (mut cert, mut harbour) = (
        Node::init(hansed!(), "region-cert"),
        Node::init(hansed!(), "harbour"),
    );
    cert.start().await;
    harbour.start().await;
    let [city, water, mary] = ["port-city", "acme-water", "st-mary"].map(|handle| league.node(handle).api());
    let left = city.propose(admission(&cert).await).await.unwrap();
    let right = mary.propose(admission(&harbour).await).await.unwrap();
    league.node_mut("acme-water").stop().await;
    let refused = city.endorse(&right, false).await.unwrap_err().problem();
    assert_eq!(refused.kind, "urn:hanse:problem:endorsed");
    assert!(city.endorse(&right, true).await.unwrap().in_force);
    for handle in ["port-city", "st-mary"] {
        league.node_mut(handle).stop().await;
    }
    league.node_mut("acme-water").start().await;
    assert!(water.endorse(&left, false).await.unwrap().in_force);
    for handle in ["port-city", "st-mary"] {
        league.node_mut(handle).start().await;
    }
    for node in &league.nodes {
        let api = node.api();
        eventually("the fork is shown", async || {
            let fork = api.status().await.community?.fork
                && api
                    .metrics_text()
                    .await
                    .contains("hanse_forked{community=\"first\"} 1");
            fork.then_some(())
        })
        .await;
        assert!(api.members().await.unwrap().fork);
        let fork = api.community().await.forks;
        assert!(fork[0].open && fork[0].changes.iter().any(|change| change.contains("admits")));
        let blocked = api.propose(Change::Renew {}).await.unwrap_err().problem();
        assert!(blocked.detail.contains("both as parents"), "{}", blocked.detail);
    }
    let joint = city.propose(Change::JoinFork { with: None }).await.unwrap();
    let done = water.endorse(&joint, false).await.unwrap();
    assert!(done.in_force, "a steward of the other side was the second");
    stand_under(&league, done.proposal.version).await;
    for api in [&city, &water, &mary] {
        assert_eq!(api.members().await.unwrap().members.len(), 5);
        assert_eq!(api.community().await.hash, done.proposal.hash);
    }
    // What was said while they were apart, and what is said now, is everybody's.
    let record = water
        .publish_one(&address("203.0.113.61", None), &Terms::default())
        .await;
    league.holds(&record).await;
}

#[tokio::test]
async fn a_member_with_two_nodes_loses_one_and_goes_on_with_the_other() {
    let league = League::of(hansed!(), &["port-city", "acme-water"]).await;
    let (city, water) = (league.steward().api(), league.node("acme-water").api());
    let mut second = Node::init(hansed!(), "acme-water");
    second.start().await;
    let request = second.api().request().await;
    let lane = Change::AddLane {
        file: request.file.clone(),
        fingerprint: request.fingerprint.clone(),
    };
    assert!(city.propose(lane).await.unwrap().in_force);
    let admission = city.admit(&request.file, &request.fingerprint).await.unwrap();
    let joined = second
        .api()
        .join(&admission.invite, &admission.fingerprint)
        .await
        .unwrap();
    assert_eq!(joined.members, 2);
    eventually("the second node is connected to both", async || {
        (second.api().status().await.peers.len() == 2).then_some(())
    })
    .await;

    let (left, right) = (address("203.0.113.62", None), address("203.0.113.63", None));
    let terms = Terms::default();
    let (one, two) = tokio::join!(water.publish_one(&left, &terms), async {
        second.api().publish_one(&right, &terms).await
    });
    league.holds(&one).await;
    league.holds(&two).await;
    let (one, two) = (
        has(league.steward(), &one).await,
        has(league.steward(), &two).await,
    );
    assert_eq!(
        (one.author, one.lane, one.seq),
        (league.node("acme-water").handle.clone(), 0, 1)
    );
    assert_eq!(
        (two.author, two.lane, two.seq),
        (league.node("acme-water").handle.clone(), 1, 1)
    );
    // Both read what is sealed to the member.
    let secret = address("203.0.113.64", None);
    let sealed = city.publish_one(&secret, &to(&["acme-water"])).await;
    assert_eq!(
        texts(&has(league.node("acme-water"), &sealed).await),
        [secret.as_str()]
    );
    assert_eq!(texts(&has(&second, &sealed).await), [secret.as_str()]);

    let community = city.community().await;
    let keys: Vec<_> = community
        .keys
        .iter()
        .filter(|key| key.member.as_str() == "acme-water")
        .collect();
    let close = Change::CloseLane {
        member: league.node("acme-water").handle.clone(),
        lane: 1,
        key: Some(keys[1].key.clone()),
    };
    assert!(city.propose(close).await.unwrap().in_force);
    for api in [&city, &water] {
        eventually("the second node is shut out", async || {
            (api.status().await.peers.len() == 1).then_some(())
        })
        .await;
    }
    let goes_on = water.publish_one(&address("203.0.113.65", None), &terms).await;
    league.holds(&goes_on).await;
    let community = city.community().await;
    let lanes: Vec<bool> = community
        .lanes
        .iter()
        .filter(|lane| lane.member.as_str() == "acme-water")
        .map(|lane| lane.closed.is_some())
        .collect();
    assert_eq!(lanes, [false, true]);
    assert!(second.api().record(&goes_on).await.is_none());
}
