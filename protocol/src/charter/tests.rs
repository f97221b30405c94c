use super::chain::Offered;
use super::join::{Invite, JoinError, Request};
use super::*;
use crate::identity::RecordId;
use crate::league::{Org, community, first_charter, signed, successor};

mod attacks;

fn orgs() -> (Org, Org, Org) {
    (Org::new("port-city"), Org::new("acme-water"), Org::new("st-mary"))
}

#[test]
fn a_charter_reads_back_and_its_chain_verifies_from_the_community_id() {
    let (city, water, _) = orgs();
    let mut charters = community(&city, &[]);
    let mut next = successor(&charters);
    next.members.push(water.listed());
    next.members.sort_by(|a, b| a.handle.cmp(&b.handle));
    assert_eq!(charters.offer(signed(next, &[&city])), Ok(Offered::Adopted));
    let read = CharterChain::read(charters.community(), &charters.encode()).unwrap();
    assert_eq!(read.newest(), charters.newest());
    assert!(read.charter().member(&water.handle).is_some());
    let other = community(&water, &[]);
    assert_eq!(
        CharterChain::read(other.community(), &charters.encode()).unwrap_err(),
        CharterError::OtherCommunity
    );
}

#[test]
fn a_successor_needs_more_than_half_of_the_stewards_before_it() {
    let (city, water, mary) = orgs();
    let first = first_charter(&[&city, &water, &mary], &[&city, &water, &mary], 2);
    let mut charters = CharterChain::found(signed(first, &[&city, &water])).unwrap();
    // Mary would like to decide alone from now on.
    let mut coup = successor(&charters);
    coup.stewards = vec![mary.handle.clone()];
    coup.threshold = 1;
    let lacking = CharterError::Signatures { valid: 1, needed: 2 };
    assert_eq!(
        charters.offer(signed(coup.clone(), &[&mary])),
        Err(lacking.clone())
    );
    // The same steward twice, under another's name, or a stranger, adds nothing.
    let mut twice = signed(coup.clone(), &[&mary]);
    twice.endorse(&city.handle, &mary.signing);
    assert_eq!(
        charters.offer(twice).unwrap_err(),
        CharterError::Signatures { valid: 0, needed: 2 }
    );
    let stranger = Org::new("stranger");
    assert_eq!(
        charters.offer(signed(coup.clone(), &[&mary, &stranger])),
        Err(lacking)
    );
    assert_eq!(
        charters.offer(signed(coup, &[&mary, &city])),
        Ok(Offered::Adopted)
    );
}

#[test]
fn a_recovery_key_stands_in_for_one_absent_steward_only() {
    let (city, water, mary) = orgs();
    let offline = SigningKey::generate(&mut rand::rng());
    let mut first = first_charter(&[&city, &water, &mary], &[&city, &water, &mary], 2);
    first.recovery = vec![offline.verifying_key()];
    let charters = CharterChain::found(signed(first, &[&city, &water])).unwrap();
    let mut alone = signed(successor(&charters), &[]);
    alone.endorse_with_recovery(&offline);
    assert_eq!(
        charters.clone().offer(alone).unwrap_err(),
        CharterError::Signatures { valid: 1, needed: 2 }
    );
    let mut helped = signed(successor(&charters), &[&city]);
    helped.endorse_with_recovery(&offline);
    assert_eq!(charters.clone().offer(helped), Ok(Offered::Adopted));
}

#[test]
fn no_charter_takes_back_a_listing_or_an_ending() {
    let (city, water, mary) = orgs();
    let mut charters = community(&city, &[&water, &mary]);
    let mut gone = successor(&charters);
    gone.members.retain(|member| member.handle != water.handle);
    assert_eq!(
        charters.offer(signed(gone, &[&city])).unwrap_err(),
        CharterError::History("a member's listing")
    );
    let last = AcceptedRun {
        lane: 0,
        epoch: 0,
        first: 1,
        last: 5,
        id: RecordId([5; 32]),
    };
    let end = |charter: &mut Charter, closing: Option<Vec<AcceptedRun>>| {
        let member = charter
            .members
            .iter_mut()
            .find(|member| member.handle == water.handle);
        member.unwrap().ended = closing;
    };
    let mut ended = successor(&charters);
    end(&mut ended, Some(vec![last]));
    assert_eq!(charters.offer(signed(ended, &[&city])), Ok(Offered::Adopted));
    for reopened in [None, Some(vec![AcceptedRun { last: 6, ..last }])] {
        let mut next = successor(&charters);
        end(&mut next, reopened);
        assert_eq!(
            charters.offer(signed(next, &[&city])).unwrap_err(),
            CharterError::History("an ended membership")
        );
    }
    let mut narrower = successor(&charters);
    end(
        &mut narrower,
        Some(vec![AcceptedRun {
            last: 4,
            id: RecordId([4; 32]),
            ..last
        }]),
    );
    assert_eq!(charters.offer(signed(narrower, &[&city])), Ok(Offered::Adopted));
}

#[test]
fn a_fork_freezes_membership_until_one_charter_names_both_sides() {
    let (city, water, mary) = orgs();
    let mut charters = community(&city, &[]);
    let with = |charters: &CharterChain, org: &Org| {
        let mut next = successor(charters);
        next.members.push(org.listed());
        next.members.sort_by(|a, b| a.handle.cmp(&b.handle));
        next
    };
    let left = signed(with(&charters, &water), &[&city]);
    let right = signed(with(&charters, &mary), &[&city]);
    let sides = [left.hash(), right.hash()];
    assert_eq!(charters.offer(left), Ok(Offered::Adopted));
    assert_eq!(charters.offer(right), Ok(Offered::Sibling));
    assert!(charters.fork_open());
    assert!(charters.charter().member(&mary.handle).is_none());
    let one_sided = signed(with(&charters, &mary), &[&city]);
    assert_eq!(charters.offer(one_sided), Err(CharterError::ForkOpen));
    let mut joint = with(&charters, &mary);
    joint.parents = sides.to_vec();
    joint.parents.sort();
    assert_eq!(charters.offer(signed(joint, &[&city])), Ok(Offered::Adopted));
    assert!(!charters.fork_open());
}

#[test]
fn what_is_not_well_formed_is_not_even_issued() {
    let (city, water, _) = orgs();
    let first = first_charter(&[&city, &water], &[&city, &water], 1);
    assert!(
        matches!(SignedCharter::issue(first), Err(CharterError::Form(_))),
        "half is not more than half"
    );
    let mut shared = first_charter(&[&city, &water], &[&city], 1);
    let node = shared.members[0].lanes[0].node;
    shared.members[1].lanes[0].node = node;
    assert_eq!(
        SignedCharter::issue(shared).unwrap_err(),
        CharterError::Form("a node is listed twice")
    );
}

#[test]
fn a_request_is_bound_to_its_keys_and_a_swapped_one_shows() {
    let (_, water, mary) = orgs();
    let file = water.request().write(&water.signing);
    let read = Request::read(&file).unwrap();
    assert_eq!(read, water.request());
    assert_ne!(read.fingerprint(), mary.request().fingerprint());
    // Mary signs a request that lists the water company's keys.
    assert_eq!(
        Request::read(&water.request().write(&mary.signing)),
        Err(JoinError::Signature)
    );
    assert!(
        read.fingerprint()
            .is_spelt(&read.fingerprint().to_string().to_lowercase().replace('-', " "))
    );
    assert!(matches!(Request::read("hello"), Err(JoinError::Malformed(_))));
}

#[test]
fn an_invite_carries_the_chain() {
    let (city, water, _) = orgs();
    let charters = community(&city, &[&water]);
    let invite = Invite {
        community: *charters.community(),
        charters: charters.encode(),
    };
    let (_, read) = Invite::read(&invite.write()).unwrap();
    assert_eq!(read.newest(), charters.newest());
    let forged = Invite {
        community: crate::identity::CommunityId([1; 32]),
        ..invite
    };
    assert_eq!(
        Invite::read(&forged.write()).unwrap_err(),
        JoinError::Charter(CharterError::OtherCommunity)
    );
}

/// Of a stolen node, a leaked key and a member that left: each ends what it names, and nothing else.
#[test]
fn what_ends_a_member_a_lane_or_a_key_ends_what_lies_beyond() {
    let (city, ..) = orgs();
    let key = city.signing.verifying_key();
    let run = AcceptedRun {
        lane: 0,
        epoch: 0,
        first: 1,
        last: 5,
        id: RecordId([5; 32]),
    };
    let member = || city.listed();
    let accepts = |member: &Member, seq| member.accepts(&key, 0, 0, seq, &RecordId([1; 32]));
    assert!(accepts(&member(), 4) && accepts(&member(), 6));
    let mut ended = member();
    ended.ended = Some(vec![run]);
    let mut lane = member();
    lane.lanes[0].closed = Some(vec![run]);
    let mut closed = member();
    closed.signing[0].closed = Some(vec![run]);
    for member in [ended, lane, closed] {
        assert!(accepts(&member, 4) && !accepts(&member, 6));
    }
}

#[test]
fn an_ending_covers_its_runs_and_nothing_else() {
    let run = AcceptedRun {
        lane: 0,
        epoch: 1,
        first: 3,
        last: 5,
        id: RecordId([5; 32]),
    };
    let (one, five, six) = (RecordId([1; 32]), RecordId([5; 32]), RecordId([6; 32]));
    assert!(run.covers(0, 1, 3, &one));
    assert!(run.covers(0, 1, 5, &five));
    assert!(
        !run.covers(0, 1, 5, &six),
        "another record in the last one's place"
    );
    assert!(!run.covers(0, 1, 2, &one), "below the run, signed afterwards");
    assert!(!run.covers(0, 0, 4, &one), "in an epoch that nobody heard of");
    assert!(!run.covers(1, 1, 4, &one), "in another lane");
    assert!(!run.covers(0, 1, 6, &six));
}

#[test]
fn the_runs_of_an_ending_are_apart_and_rising() {
    let (city, water, _) = orgs();
    let charters = community(&city, &[&water]);
    let run = |epoch, first, last| AcceptedRun {
        lane: 0,
        epoch,
        first,
        last,
        id: RecordId([9; 32]),
    };
    let offer = |runs: Vec<AcceptedRun>| {
        let mut next = successor(&charters);
        let water = next
            .members
            .iter_mut()
            .find(|member| member.handle == water.handle);
        water.unwrap().ended = Some(runs);
        SignedCharter::issue(next).map(|_| ())
    };
    assert_eq!(offer(vec![]), Ok(()));
    assert_eq!(offer(vec![run(0, 1, 4), run(0, 6, 6), run(1, 1, 2)]), Ok(()));
    let many = || (0..=128).map(|epoch| run(epoch, 1, 1));
    assert_eq!(offer(many().skip(1).collect()), Ok(()));
    let bad = "runs of an ending are empty, out of order or too many";
    for runs in [
        vec![run(0, 0, 4)],
        vec![run(0, 5, 4)],
        vec![run(0, 1, 4), run(0, 4, 6)],
        vec![run(1, 1, 2), run(0, 1, 2)],
        many().collect(),
    ] {
        assert_eq!(offer(runs), Err(CharterError::Form(bad)));
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_a_charter_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        drop(SignedCharter::decode(&bytes));
    }

    #[test]
    fn a_spoiled_charter_is_refused(at in 0usize..10_000, flip in 1u8..=255) {
        let (city, water, _) = orgs();
        let charters = community(&city, &[&water]);
        let mut bytes = charters.newest().encode();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        // Either it is no charter, or its signatures no longer hold, or it founds another community.
        let found = SignedCharter::decode(&bytes).and_then(CharterChain::found);
        proptest::prop_assert!(found.is_err() || found.unwrap().community() != charters.community());
    }
}
