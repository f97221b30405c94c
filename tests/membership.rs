//! Who comes in, by which files, and how one is shown out.

use hanse_protocol::frame::Carried;
use hanse_protocol::heal::Run;
use hanse_protocol::local::Readable;
use hanse_protocol::record::Header;
use hanse_tests::api::Terms;
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
    accomplice.offers(Pantry {
        runs: vec![Run {
            author: mallory.handle().clone(),
            lane: 0,
            epoch: 0,
            first: 3,
            last: 3,
        }],
        records: vec![third],
        ..Pantry::default()
    });
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
