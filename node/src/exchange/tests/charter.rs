//! Charters that several stewards make, forks, and what ends.

use hanse_protocol::charter::proposal::Proposal;
use hanse_protocol::charter::{CharterChain, SignedCharter};
use hanse_protocol::local::{Change, ProposalFile, ProposalReply, ProposeRequest};

use super::*;
use crate::exchange::beyond::counts;
use crate::store::entry::CharterEntry;
use crate::store::facts::Derive;

impl Node {
    fn charters(&self) -> Arc<CharterChain> {
        self.exchange.standing().charters.clone().unwrap()
    }

    fn version(&self) -> u64 {
        self.charters().charter().version
    }

    fn lists(&self, handle: &str) -> bool {
        let charters = self.charters();
        let handle = handle.parse().unwrap();
        let listed = charters.charter().member(&handle);
        listed.is_some_and(|member| member.ended.is_none())
    }

    /// Takes the charters that another node holds.
    async fn hears(&self, other: &Self) -> CharterFate {
        self.exchange.charters(other.charters().encode()).await.unwrap()
    }

    async fn request(&self) -> (String, String) {
        let told = self.exchange.request(BY()).await.unwrap();
        (told.file, told.fingerprint)
    }

    async fn propose(&self, change: Change) -> Result<ProposalReply, ExchangeError> {
        self.exchange
            .propose(BY(), ProposeRequest { change, again: false })
            .await
    }

    async fn endorse(&self, proposed: &ProposalReply) -> Result<ProposalReply, ExchangeError> {
        self.exchange.endorse(BY(), mailed(proposed)).await
    }

    fn audited(&self, action: &str) -> usize {
        let lines = self.reader.audit(1, 1_000).unwrap();
        lines.iter().filter(|line| line.action == action).count()
    }

    /// Gets the records of another node of the lane's author.
    async fn takes(&self, from: &Self, published: &local::PublishReply) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for record in &published.records {
            verdicts.push(self.frame(vec![from.carried(&record.id)]).await);
        }
        // The verdict goes out before the commit; what is asked afterwards is answered after it.
        self.exchange.witness(vec![], None).await.unwrap();
        verdicts
    }
}

fn mailed(proposed: &ProposalReply) -> ProposalFile {
    ProposalFile {
        file: proposed.file.clone(),
        fingerprint: proposed.proposal.fingerprint.clone(),
        again: false,
    }
}

async fn admission(node: &Node) -> Change {
    let (file, fingerprint) = node.request().await;
    Change::Admit { file, fingerprint }
}

/// Joins `node` to the community of `steward`, which lists it already.
async fn joins(node: &Node, steward: &Node) {
    let (file, fingerprint) = node.request().await;
    let admitted = steward
        .exchange
        .admit(BY(), local::AdmitRequest { file, fingerprint });
    let admitted = admitted.await.unwrap();
    let join = local::JoinRequest {
        file: admitted.invite,
        fingerprint: admitted.fingerprint,
    };
    node.exchange.join(BY(), join).await.unwrap();
}

/// A community of three stewards, two of whom must sign; and its recovery key.
async fn council() -> (Node, Node, Node, SigningKey) {
    let (city, water, mary) = (
        Node::new("port-city"),
        Node::new("acme-water"),
        Node::new("st-mary"),
    );
    let found = local::FoundRequest {
        name: "League".to_owned(),
        unmarked: None,
        horizon_days: None,
    };
    let founded = city.exchange.found(BY(), found).await.unwrap();
    joins(&water, &city).await;
    joins(&mary, &city).await;
    let stewards = ["port-city", "acme-water", "st-mary"];
    let handed = city.propose(Change::Stewards {
        stewards: stewards.map(|steward| steward.parse().unwrap()).to_vec(),
        threshold: 2,
    });
    assert!(handed.await.unwrap().in_force, "one steward decided until now");
    water.hears(&city).await;
    mary.hears(&city).await;
    let seed = data_encoding::HEXLOWER
        .decode(founded.recovery_key.as_bytes())
        .unwrap();
    (
        city,
        water,
        mary,
        SigningKey::from_seed(&seed.try_into().unwrap()),
    )
}

#[tokio::test]
async fn two_of_three_stewards_pass_a_proposal_around() {
    let (city, water, mary, _) = council().await;
    let cert = Node::new("region-cert");
    let (file, fingerprint) = cert.request().await;
    let alone = city
        .exchange
        .admit(BY(), local::AdmitRequest { file, fingerprint })
        .await;
    assert!(matches!(alone, Err(ExchangeError::Endorsements(2))), "a minority");
    let expelled = city.exchange.expel(BY(), "acme-water".parse().unwrap()).await;
    assert!(matches!(expelled, Err(ExchangeError::Invalid(_))), "a steward");
    assert_eq!(city.audited("admit"), 2, "what did not happen is not told");

    let proposed = city.propose(admission(&cert).await).await.unwrap();
    assert!(!proposed.in_force);
    assert_eq!(
        proposed.proposal.changes,
        ["admits region-cert (`region-cert`, utility, DE)"]
    );
    assert_eq!((proposed.proposal.valid, proposed.proposal.needed), (1, 2));
    // The same steward again is still one.
    let again = city.endorse(&proposed).await.unwrap();
    assert_eq!((again.proposal.valid, again.in_force), (1, false));
    // It is known after a restart, too.
    let city = city.restart();
    assert_eq!(city.exchange.standing().proposals.len(), 1);

    // On its way it is swapped for one that mary would rather see signed.
    let swapped = mary.propose(Change::Renew {}).await.unwrap();
    let caught = water.exchange.endorse(
        BY(),
        ProposalFile {
            file: swapped.file.clone(),
            ..mailed(&proposed)
        },
    );
    assert!(matches!(caught.await, Err(ExchangeError::Fingerprint)));

    let done = water.endorse(&again).await.unwrap();
    assert!(done.in_force && water.lists("region-cert"));
    assert_eq!(city.hears(&water).await, CharterFate::Adopted);
    assert!(city.lists("region-cert") && city.exchange.standing().proposals.is_empty());
    // Whoever is listed gets the invite from any steward.
    joins(&cert, &city).await;
    assert!(!cert.charters().fork_open());

    // What was overtaken can no longer be signed.
    let passed = water.endorse(&swapped).await;
    assert!(matches!(passed, Err(ExchangeError::Invalid(reason)) if reason.contains("passed")));
    mary.hears(&water).await;
    let next = mary.propose(Change::Renew {}).await.unwrap();
    let foreign = cert.endorse(&next).await;
    assert!(matches!(foreign, Err(ExchangeError::Invalid(reason)) if reason.contains("no steward")));
}

#[tokio::test]
async fn a_steward_signs_one_successor_a_version_and_remembers_it_over_a_restart() {
    let (city, ..) = council().await;
    let first = city.propose(Change::Renew {}).await.unwrap();
    let sibling = Change::Horizon { days: 30 };
    let refused = city.propose(sibling.clone()).await;
    assert!(matches!(refused, Err(ExchangeError::Endorsed { version: 5, .. })));
    let city = city.restart();
    let refused = city.propose(sibling.clone()).await;
    assert!(matches!(
        refused,
        Err(ExchangeError::Endorsed { hash, .. }) if hash.to_string() == first.proposal.hash
    ));
    // Signing the same once more is not another.
    assert!(city.endorse(&first).await.is_ok());
    let request = ProposeRequest {
        change: sibling,
        again: true,
    };
    assert!(city.exchange.propose(BY(), request).await.is_ok());
    assert_eq!(city.audited("endorse-sibling"), 1, "kept as evidence");
}

#[tokio::test]
async fn a_recovery_key_stands_in_for_an_absent_steward_and_decides_nothing_alone() {
    let (city, water, _, recovery) = council().await;
    let proposed = city.propose(Change::Renew {}).await.unwrap();
    let signed = |by_city: bool| {
        let mut proposal = Proposal::read(&proposed.file).unwrap();
        if !by_city {
            proposal.charter = SignedCharter::issue(proposal.charter.charter().clone()).unwrap();
        }
        proposal.charter.endorse_with_recovery(&recovery);
        ProposalFile {
            file: proposal.write(),
            ..mailed(&proposed)
        }
    };
    let alone = water.exchange.submit(BY(), signed(false)).await.unwrap();
    assert_eq!((alone.in_force, alone.proposal.valid), (false, 1));
    // What was known of it counts together: the city's signature was in another copy.
    let together = water.exchange.submit(BY(), signed(true)).await.unwrap();
    assert!(together.in_force && together.proposal.recovery);
}

/// Two of three stewards signed one charter, and two of three another.
#[tokio::test]
async fn a_fork_stops_membership_and_both_sides_converge_on_the_charter_that_joins_them() {
    let (city, water, mary, _) = council().await;
    let (cert, port) = (Node::new("region-cert"), Node::new("harbour"));
    let left = city.propose(admission(&cert).await).await.unwrap();
    let right = mary.propose(admission(&port).await).await.unwrap();
    assert!(water.endorse(&left).await.unwrap().in_force);
    let refused = city.endorse(&right).await;
    assert!(matches!(refused, Err(ExchangeError::Endorsed { .. })));
    let twice = ProposalFile {
        again: true,
        ..mailed(&right)
    };
    assert!(city.exchange.endorse(BY(), twice).await.unwrap().in_force);

    // Each node has seen them in another order.
    assert_eq!(city.hears(&water).await, CharterFate::Sibling);
    assert_eq!(water.hears(&city).await, CharterFate::Sibling);
    assert!(city.lists("harbour") && !city.lists("region-cert"));
    assert!(water.lists("region-cert") && !water.lists("harbour"));
    assert_eq!(mary.hears(&water).await, CharterFate::Adopted);
    for node in [&city, &water, &mary] {
        assert!(node.charters().fork_open());
        let change = node.propose(Change::Horizon { days: 30 }).await;
        assert!(matches!(change, Err(ExchangeError::Invalid(reason)) if reason.contains("both as parents")));
    }
    // What follows one side alone, enough stewards or not, is not taken, and who brings it not blamed.
    let newest = water.charters();
    let mut one_sided = SignedCharter::issue(hanse_protocol::charter::Charter {
        version: newest.charter().version + 1,
        parents: vec![newest.newest().hash()],
        ..newest.charter().clone()
    })
    .unwrap();
    for steward in [&city, &water] {
        one_sided.endorse(&steward.member.profile.handle, &steward.member.signing);
    }
    for node in [&water, &city] {
        let fate = node.exchange.charters(vec![one_sided.encode()]).await.unwrap();
        assert_eq!(fate, CharterFate::Beside);
        assert!(node.charters().fork_open());
    }
    // After a restart it is still the first one seen that is in force.
    let water = water.restart();
    assert!(water.lists("region-cert") && water.charters().fork_open());

    let join = city.propose(Change::JoinFork { with: None }).await.unwrap();
    assert_eq!(join.proposal.changes[0], "joins the two sides of a fork");
    assert!(join.proposal.changes[1].contains("admits region-cert"));
    assert!(water.endorse(&join).await.unwrap().in_force);
    assert_eq!(city.hears(&water).await, CharterFate::Adopted);
    assert_eq!(mary.hears(&city).await, CharterFate::Adopted);
    for node in [&city, &water, &mary] {
        assert!(!node.charters().fork_open());
        assert_eq!(node.charters().newest(), city.charters().newest());
        assert!(node.lists("region-cert") && node.lists("harbour"));
    }
    // The chain with its two sides is one that a newcomer can read.
    joins(&cert, &water).await;
    joins(&port, &city).await;
    assert_eq!(port.version(), 6);
}

#[tokio::test]
async fn a_slip_of_the_hand_does_not_strand_the_community() {
    let (city, _) = league().await;
    let slips = [
        Change::Budget { bytes: 0, records: 9 },
        Change::Budget { bytes: 9, records: 0 },
        Change::Addresses {
            member: city.member.profile.handle.clone(),
            lane: 0,
            addresses: vec!["192.0.2.10:7475".to_owned()],
        },
    ];
    let before = city.version();
    for slip in slips {
        let refused = city.propose(slip).await;
        assert!(matches!(refused, Err(ExchangeError::Invalid(_))), "{refused:?}");
    }
    assert_eq!(city.version(), before);
}

#[tokio::test]
async fn two_nodes_of_a_member_publish_at_once_and_one_is_shut_out_without_the_other() {
    let (city, water) = league().await;
    let second = Node::new("acme-water");
    let (file, fingerprint) = second.request().await;
    let lane = Change::AddLane {
        file: file.clone(),
        fingerprint: fingerprint.clone(),
    };
    let swapped = Change::AddLane {
        file: water.request().await.0,
        fingerprint,
    };
    assert!(matches!(
        city.propose(swapped).await,
        Err(ExchangeError::Fingerprint)
    ));
    assert!(city.propose(lane).await.unwrap().in_force);
    joins(&second, &city).await;
    water.hears(&city).await;

    let (one, two) = (
        water.publish(1, None, None).await,
        second.publish(2, None, None).await,
    );
    assert_eq!(city.takes(&water, &one).await, [Verdict::Accept]);
    assert_eq!(city.takes(&second, &two).await, [Verdict::Accept]);
    assert_eq!(water.takes(&second, &two).await, [Verdict::Accept]);
    assert_eq!(water.exchange.counts()[&water.member.profile.handle], 2);
    assert_eq!(
        water.exchange.flaws(),
        Flaws::default(),
        "both begin at one, in lanes of their own"
    );
    // What is sealed to the member both its nodes read, and so do they what one of them seals.
    let sealed = city.publish(1, Some("acme-water"), Some(Tlp::Amber)).await;
    let own = water.publish(1, Some("port-city"), Some(Tlp::Amber)).await;
    for (node, from, record) in [
        (&water, &city, &sealed),
        (&second, &city, &sealed),
        (&second, &water, &own),
    ] {
        assert_eq!(node.takes(from, record).await, [Verdict::Accept]);
        let id = record.records[0].id;
        assert_eq!(node.reader.holds(&id).unwrap(), Some(BodyState::Readable));
    }

    let key = second.member.signing.verifying_key().id().to_string();
    let close = Change::CloseLane {
        member: "acme-water".parse().unwrap(),
        lane: 1,
        key: Some(key.clone()),
    };
    let later = second.publish(1, None, None).await;
    let closed = city.propose(close).await.unwrap();
    assert_eq!(
        closed.proposal.changes,
        [
            format!("closes key {key} of acme-water; 1 record before that counts"),
            "closes lane 1 of acme-water; 1 record before that counts".to_owned(),
        ]
    );
    assert_eq!(city.takes(&second, &later).await, [Verdict::Ignore]);
    assert_eq!(city.reader.holds(&later.records[0].id).unwrap(), None);
    assert!(
        city.charters()
            .charter()
            .owner_of(&second.member.node_id())
            .is_none()
    );
    assert_eq!(water.hears(&city).await, CharterFate::Adopted);
    let goes_on = water.publish(1, None, None).await;
    assert_eq!(city.takes(&water, &goes_on).await, [Verdict::Accept]);
    // The shut-out node learns of it and publishes nothing more.
    assert_eq!(second.hears(&city).await, CharterFate::Adopted);
    assert!(
        second
            .exchange
            .publish(BY(), request(1, None, None))
            .await
            .is_err()
    );
}

/// A key leaked. What it signed before counts; nothing else does, in whatever lane it stands.
#[tokio::test]
async fn beyond_its_closing_a_key_is_refused_and_another_key_of_the_member_is_not() {
    let (city, water) = league().await;
    let second = Node::new("acme-water");
    let (file, fingerprint) = second.request().await;
    city.propose(Change::AddLane { file, fingerprint }).await.unwrap();
    joins(&second, &city).await;
    water.hears(&city).await;
    let before = water.publish(1, None, None).await;
    let beside = second.publish(1, None, None).await;
    assert_eq!(city.takes(&water, &before).await, [Verdict::Accept]);
    assert_eq!(city.takes(&second, &beside).await, [Verdict::Accept]);

    let leaked = water.member.signing.verifying_key().id();
    let close = Change::CloseKey {
        member: "acme-water".parse().unwrap(),
        key: leaked.to_string(),
    };
    assert!(city.propose(close.clone()).await.unwrap().in_force);
    let twice = city.propose(close).await;
    assert!(matches!(twice, Err(ExchangeError::Invalid(reason)) if reason.contains("closed")));
    let after = water.publish(1, None, None).await;
    assert_eq!(city.takes(&water, &after).await, [Verdict::Ignore]);
    // Whoever holds such a record does not serve it, whatever other keys the member has.
    let charters = city.charters();
    assert!(counts(&charters, &water.carried(&before.records[0].id).header));
    assert!(!counts(&charters, &water.carried(&after.records[0].id).header));
    assert!(counts(&charters, &second.carried(&beside.records[0].id).header));
    assert_eq!(city.reader.holds(&after.records[0].id).unwrap(), None);
    // The thief signs in the other node's lane, below and above what that has said.
    let true_one = city.carried(&beside.records[0].id);
    let header =
        hanse_protocol::admission::Admitted::from_log(&true_one.header, charters.community()).unwrap();
    let forged = Carried {
        header: header.header().sign(charters.community(), &water.member.signing),
        body: true_one.body,
    };
    assert_eq!(city.frame(vec![forged]).await, Verdict::Ignore);
    let goes_on = second.publish(1, None, None).await;
    assert_eq!(city.takes(&second, &goes_on).await, [Verdict::Accept]);
    // The last key that could change anything is not closed.
    let own = Change::CloseKey {
        member: "port-city".parse().unwrap(),
        key: city.member.signing.verifying_key().id().to_string(),
    };
    let stuck = city.propose(own).await;
    assert!(matches!(stuck, Err(ExchangeError::Invalid(reason)) if reason.contains("fewer stewards")));
}

/// A thief of a key that was closed signs on, in the places of records that count, dated before the
/// closing.
#[tokio::test]
async fn inside_its_closed_runs_a_key_puts_nothing_beside_what_is_there() {
    let (city, water) = league().await;
    for _ in 0..3 {
        let told = water.publish(1, None, None).await;
        assert_eq!(city.takes(&water, &told).await, [Verdict::Accept]);
    }
    let handle = "acme-water".parse().unwrap();
    let links = city
        .reader
        .chain(city.charters().community(), &handle, 0, 0, 2, 1);
    let second = water.carried(&links.unwrap()[0].id);
    let expelled = city.exchange.expel(BY(), "acme-water".parse().unwrap()).await;
    assert!(expelled.is_ok());
    let charters = city.charters();
    let true_one = hanse_protocol::admission::Admitted::from_log(&second.header, charters.community());
    let body = hanse_protocol::seal::Body::Open(hanse_protocol::compress::pack(b"forged").unwrap()).encode();
    let forged = Header {
        body_length: u32::try_from(body.len()).unwrap(),
        body_hash: BodyHash::of(&body),
        ..true_one.unwrap().header().clone()
    };
    let id = forged.id(charters.community(), &water.member.signing.verifying_key());
    let forged = Carried {
        header: forged.sign(charters.community(), &water.member.signing),
        body: Some(body),
    };
    assert_eq!(city.frame(vec![forged]).await, Verdict::Ignore);
    city.publish(1, None, None).await;
    assert_eq!(city.reader.holds(&id).unwrap(), None);
}

/// A damaged stretch of the log held a charter. The node starts, and peers bring what is missing.
#[tokio::test]
async fn a_charter_lost_from_the_log_does_not_keep_the_node_from_starting() {
    let (city, water) = league().await;
    city.propose(Change::Renew {}).await.unwrap();
    let charters = city.charters();
    let entries = charters.encode().into_iter().zip(1..).map(|(bytes, version)| {
        Entry::Charter(CharterEntry {
            community: *charters.community(),
            version,
            bytes,
        })
    });
    let mut entries: Vec<Entry> = entries.collect();
    let lost = entries.remove(1);
    let mut deriver = Deriver::new(Arc::clone(&water.member));
    entries.iter().for_each(|entry| drop(deriver.facts(entry, None)));
    // Healing appends the missing one and what follows it.
    let broken_off = [&lost, &entries[1]];
    broken_off
        .iter()
        .for_each(|entry| drop(deriver.facts(entry, None)));
    let learnt = deriver.into_charters().unwrap().unwrap();
    assert_eq!(learnt.newest(), charters.newest());
    let mut deriver = Deriver::new(Arc::clone(&water.member));
    entries.iter().for_each(|entry| drop(deriver.facts(entry, None)));
    let learnt = deriver.into_charters().unwrap().unwrap();
    assert_eq!(learnt.charter().version, 1, "as far as the log tells");
}

#[tokio::test]
async fn a_node_that_rotated_its_keys_goes_on_in_its_chain_and_reads_old_and_new() {
    let (city, water) = league().await;
    let keystore = Keystore::open(&water.folder.path().join("keys")).unwrap();
    let early = city.publish(1, Some("acme-water"), Some(Tlp::Amber)).await;
    let (signing, sealing) = water.member.rotate(&keystore).unwrap();
    let water = water.restart();
    let rotation = hanse_protocol::charter::join::Request::new(
        water.member.profile.clone(),
        &signing,
        sealing.public(),
        &water.member.node,
        vec![],
        crate::clock::now(),
    );
    // Not listed yet: the old key signs.
    let first = water.publish(1, Some("port-city"), Some(Tlp::Amber)).await;
    assert_eq!(city.takes(&water, &first).await, [Verdict::Accept]);
    let (file, fingerprint) = (rotation.write(&signing), rotation.fingerprint().to_string());
    let stolen = Change::Rotate {
        file: Node::new("acme-water").request().await.0,
        fingerprint: fingerprint.clone(),
    };
    assert!(matches!(
        city.propose(stolen).await,
        Err(ExchangeError::Fingerprint)
    ));
    let (other, spelt) = Node::new("acme-water").request().await;
    let stranger = Change::Rotate {
        file: other,
        fingerprint: spelt,
    };
    assert!(matches!(
        city.propose(stranger).await,
        Err(ExchangeError::Invalid(_))
    ));
    assert!(
        city.propose(Change::Rotate { file, fingerprint })
            .await
            .unwrap()
            .in_force
    );
    water.hears(&city).await;
    let old = water.member.signing.verifying_key().id();
    let close = Change::CloseKey {
        member: "acme-water".parse().unwrap(),
        key: old.to_string(),
    };
    assert!(city.propose(close).await.unwrap().in_force);
    water.hears(&city).await;
    let second = water.publish(1, Some("port-city"), Some(Tlp::Amber)).await;
    assert_eq!(city.takes(&water, &second).await, [Verdict::Accept]);
    let id = second.records[0].id;
    assert_eq!(city.reader.holds(&id).unwrap(), Some(BodyState::Readable));
    let late = city.publish(1, Some("acme-water"), Some(Tlp::Amber)).await;
    for sealed in [&early, &late] {
        assert_eq!(water.takes(&city, sealed).await, [Verdict::Accept]);
        let state = water.reader.holds(&sealed.records[0].id).unwrap();
        assert_eq!(state, Some(BodyState::Readable));
    }
    let water = water.restart();
    assert_eq!(water.publish(1, None, None).await.records.len(), 1);
}

/// To check each key that a charter lists takes up to a second: only who can make one may ask for it.
#[tokio::test]
async fn a_charter_that_no_threshold_signed_is_refused_unread() {
    let (city, water) = league().await;
    let mut newer = city.charters().newest().charter().clone();
    newer.version += 1;
    newer.parents = vec![city.charters().newest().hash()];
    let mut signed = SignedCharter::issue(newer).unwrap();
    signed.endorse(&city.member.profile.handle, &city.member.signing);
    // A key that is none, which reading would stumble over.
    let spoil = |bytes: &mut Vec<u8>| {
        let key = *city.member.signing.verifying_key().as_bytes();
        let place = bytes.windows(32).position(|part| part == key).unwrap();
        bytes[place..place + 32].fill(0);
    };
    let mut spoilt = signed.encode();
    spoil(&mut spoilt);
    let told = water.exchange.charters(vec![spoilt]).await.unwrap();
    assert_eq!(
        told,
        CharterFate::Refused("0 valid signatures of 1 needed".to_owned())
    );
    // Of one that follows nothing known nothing is read either.
    let mut orphan = signed.charter().clone();
    orphan.parents = vec![hanse_protocol::charter::CharterHash([7; 32])];
    let mut orphan = SignedCharter::issue(orphan).unwrap().encode();
    spoil(&mut orphan);
    let told = water.exchange.charters(vec![orphan]).await.unwrap();
    assert_eq!(told, CharterFate::Gap);
    let told = water.exchange.charters(vec![signed.encode()]).await.unwrap();
    assert_eq!(told, CharterFate::Adopted);
}

/// The city expels a member of which it knows one record; another node holds two more, admitted before it
/// heard of that. Both compare the same then, also after a restart, and the ones beyond stay as evidence.
#[tokio::test]
async fn what_was_admitted_before_its_ending_leaves_what_members_compare() {
    let (city, water) = league().await;
    let mary = Node::new("st-mary");
    city.propose(admission(&mary).await).await.unwrap();
    joins(&mary, &city).await;
    water.hears(&city).await;
    let first = water.publish(1, None, None).await;
    let later = [
        water.publish(2, None, None).await,
        water.publish(3, None, None).await,
    ];
    assert_eq!(city.takes(&water, &first).await, [Verdict::Accept]);
    for published in [&first, &later[0], &later[1]] {
        assert_eq!(mary.takes(&water, published).await, [Verdict::Accept]);
    }
    let held = |node: &Node| {
        node.reader
            .held(city.charters().community())
            .unwrap()
            .blocks()
            .sum()
    };
    assert_ne!(held(&mary), held(&city));
    let handle = water.member.profile.handle.clone();
    city.exchange.expel(BY(), handle).await.unwrap();
    assert_eq!(mary.hears(&city).await, CharterFate::Adopted);
    let newest = city.charters().newest().hash();
    let patience = Duration::from_secs(20);
    assert!(mary.exchange.is_judged_under(&newest, patience).await);
    assert_eq!(held(&mary), held(&city));
    mary.exchange.witness(vec![], None).await.unwrap();
    assert_eq!(mary.audited("judge-ending"), 1);
    // The index of these tests is made anew at every start.
    let mary = mary.restart();
    assert!(mary.exchange.is_judged_under(&newest, patience).await);
    assert_eq!(held(&mary), held(&city));
    for published in &later {
        let id = published.records[0].id;
        assert!(mary.reader.record(&id).unwrap().is_some());
        assert!(mary.reader.is_beyond(city.charters().community(), &id).unwrap());
    }
}
