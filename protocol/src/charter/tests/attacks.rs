//! Charters that somebody would like to have in force, and forks.

use super::*;
use crate::charter::changes::changes;
use crate::charter::joining::united;
use crate::charter::member::{MemberSealingKey, MemberSigningKey, SuiteKey};
use crate::charter::proposal::Proposal;

fn admitting(charters: &CharterChain, org: &Org) -> Charter {
    let mut next = successor(charters);
    next.members.push(org.listed());
    next.members.sort_by(|a, b| a.handle.cmp(&b.handle));
    next
}

/// The charter that joins `charters` with its one open sibling.
fn joiner(charters: &CharterChain) -> Charter {
    let other = charters.open_siblings().next().unwrap();
    let (content, left_out) = united(charters.charter(), other.charter());
    assert_eq!(left_out, Vec::<String>::new());
    let mut parents = vec![charters.newest().hash(), other.hash()];
    parents.sort();
    Charter {
        version: charters.charter().version + 1,
        parents,
        ..content
    }
}

#[test]
fn nodes_that_saw_two_siblings_in_opposite_order_converge_on_the_joiner() {
    let (city, water, mary) = orgs();
    let first = community(&city, &[]);
    let left = signed(admitting(&first, &water), &[&city]);
    let right = signed(admitting(&first, &mary), &[&city]);
    let (mut one, mut other) = (first.clone(), first.clone());
    for (chain, order) in [(&mut one, [&left, &right]), (&mut other, [&right, &left])] {
        assert_eq!(chain.offer(order[0].clone()), Ok(Offered::Adopted));
        assert_eq!(chain.offer(order[1].clone()), Ok(Offered::Sibling));
    }
    assert_ne!(one.newest(), other.newest());
    let joiner = signed(joiner(&one), &[&city]);
    for chain in [&mut one, &mut other] {
        assert_eq!(chain.offer(joiner.clone()), Ok(Offered::Adopted));
        assert!(!chain.fork_open());
        assert!(chain.charter().member(&water.handle).is_some());
        assert!(chain.charter().member(&mary.handle).is_some());
        // What was signed on either side while the fork was open can be told by both.
        assert!(chain.find(&left.reference()).is_some() && chain.find(&right.reference()).is_some());
        // The sibling travels before its joiner, so whoever joins now can read the chain.
        let read = CharterChain::read(chain.community(), &chain.encode()).unwrap();
        assert_eq!(read.newest(), chain.newest());
        assert_eq!(read.siblings().count(), 1);
    }
    // Who stood under one side gets what it lacks, the other side before the joiner.
    let mut late = first.clone();
    late.offer(right.clone()).unwrap();
    for bytes in one.encode_after(&late.head()) {
        late.offer(SignedCharter::decode(&bytes).unwrap()).unwrap();
    }
    assert_eq!(late.newest(), one.newest());
    assert!(late.find(&left.reference()).is_some());
}

#[test]
fn who_missed_the_other_side_adopts_the_joiner_and_asks_for_what_is_missing() {
    let (city, water, mary) = orgs();
    let first = community(&city, &[]);
    let left = signed(admitting(&first, &water), &[&city]);
    let right = signed(admitting(&first, &mary), &[&city]);
    let mut whole = first.clone();
    whole.offer(left.clone()).unwrap();
    whole.offer(right.clone()).unwrap();
    let joiner = signed(joiner(&whole), &[&city]);
    whole.offer(joiner.clone()).unwrap();
    let mut missing = first.clone();
    missing.offer(left).unwrap();
    assert_eq!(missing.offer(joiner), Ok(Offered::Adopted));
    assert_eq!(
        missing.head(),
        first.newest().reference(),
        "the sibling is asked for"
    );
    for bytes in whole.encode_after(&missing.head()) {
        missing.offer(SignedCharter::decode(&bytes).unwrap()).unwrap();
    }
    assert!(missing.find(&right.reference()).is_some());
    assert_eq!(missing.head(), whole.newest().reference());
}

#[test]
fn a_side_that_went_on_and_one_that_did_not_are_joined_at_once() {
    let (city, water, mary) = orgs();
    let first = community(&city, &[]);
    let (mut long, mut short) = (first.clone(), first.clone());
    long.offer(signed(admitting(&first, &water), &[&city])).unwrap();
    let third = signed(admitting(&long, &Org::new("region-cert")), &[&city]);
    long.offer(third.clone()).unwrap();
    let right = signed(admitting(&first, &mary), &[&city]);
    short.offer(right.clone()).unwrap();
    assert_eq!(long.offer(right.clone()), Err(CharterError::Late(2)));
    for bytes in long.encode().into_iter().skip(1).take(1) {
        short.offer(SignedCharter::decode(&bytes).unwrap()).unwrap();
    }
    assert_eq!(short.offer(third), Err(CharterError::OtherSide(3)));
    let (content, _) = united(long.charter(), right.charter());
    let mut parents = vec![long.newest().hash(), right.hash()];
    parents.sort();
    let joint = Charter {
        version: 4,
        parents,
        ..content
    };
    let joint = signed(joint, &[&city]);
    for chain in [&mut long, &mut short] {
        assert_eq!(chain.offer(joint.clone()), Ok(Offered::Adopted));
    }
    assert_eq!(long.newest(), short.newest());
}

/// The founder's key decided alone once. It no longer does, and can neither stop nor undo anything.
#[test]
fn a_threshold_that_was_replaced_cannot_freeze_the_community() {
    let (city, water, mary) = orgs();
    let first = community(&city, &[&water, &mary]);
    let mut charters = first.clone();
    let mut handed_over = successor(&charters);
    handed_over.stewards = vec![water.handle.clone(), city.handle.clone(), mary.handle.clone()];
    handed_over.stewards.sort();
    handed_over.threshold = 2;
    charters.offer(signed(handed_over, &[&city])).unwrap();
    // Beside the newest it can open a fork, and the new stewards join it without being asked back.
    let beside = signed(admitting(&first, &Org::new("mallory")), &[&city]);
    assert_eq!(charters.offer(beside.clone()), Ok(Offered::Sibling));
    let mut joint = successor(&charters);
    joint.parents.push(beside.hash());
    joint.parents.sort();
    let lacking = CharterError::Signatures { valid: 1, needed: 2 };
    assert_eq!(charters.offer(signed(joint.clone(), &[&city])), Err(lacking));
    assert_eq!(
        charters.offer(signed(joint, &[&water, &mary])),
        Ok(Offered::Adopted)
    );
    // From then on its old word is too late, alone or with a chain of its own.
    let mut forged = first.clone();
    for version in 2..=5 {
        let mut next = admitting(&forged, &Org::new(&format!("mallory-{version}")));
        next.stewards = vec![city.handle.clone()];
        let next = signed(next, &[&city]);
        forged.offer(next.clone()).unwrap();
        let late = charters.offer(next);
        assert!(
            matches!(late, Err(CharterError::Late(2) | CharterError::UnknownParent(_))),
            "{late:?}"
        );
    }
    assert!(!charters.fork_open());
    let goes_on = signed(successor(&charters), &[&water, &mary]);
    assert_eq!(charters.offer(goes_on), Ok(Offered::Adopted));
}

/// `charters`' successor, which admits members with long listings until it is nearly as large as a
/// charter may be: keys of suites to come are long.
fn swollen(charters: &CharterChain, salt: u64) -> Charter {
    let mut next = successor(charters);
    for number in 0..15 {
        let number = 100 * salt + number;
        let mut listed = Org::new(&format!("heavy-{number}")).listed();
        for place in 0..15 {
            let mut key = vec![place; limits::SUITE_KEY];
            key[..8].copy_from_slice(&number.to_be_bytes());
            listed.sealing.push(MemberSealingKey {
                key: SuiteKey::Unknown { suite: 9, key },
                closed: false,
            });
        }
        next.members.push(listed);
    }
    next.members.sort_by(|a, b| a.handle.cmp(&b.handle));
    next
}

fn travelling(charters: &CharterChain) -> usize {
    charters.encode().iter().map(Vec::len).sum()
}

fn reads_back(charters: &CharterChain) {
    let read = CharterChain::read(charters.community(), &charters.encode()).unwrap();
    assert_eq!(read.newest(), charters.newest());
}

/// The founder handed over to two of three, and signs siblings of the hand-over, each as large as a
/// charter may be: the chain must go on travelling and growing.
#[test]
fn swollen_siblings_of_a_replaced_steward_do_not_fill_the_chain() {
    let (city, water, mary) = orgs();
    let first = community(&city, &[&water, &mary]);
    let mut charters = first.clone();
    let mut handed_over = successor(&charters);
    handed_over.stewards = vec![water.handle.clone(), city.handle.clone(), mary.handle.clone()];
    handed_over.stewards.sort();
    handed_over.threshold = 2;
    charters.offer(signed(handed_over, &[&city])).unwrap();
    let forged = |salt| signed(swollen(&first, salt), &[&city]);
    assert_eq!(charters.offer(forged(0)), Ok(Offered::Sibling), "the fork shows");
    for salt in 1..=limits::SIBLINGS as u64 {
        assert_eq!(
            charters.offer(forged(salt)),
            Err(CharterError::TooManySiblings(2))
        );
    }
    assert!(travelling(&charters) < limits::CHARTER_CHAIN / 4);
    reads_back(&charters);

    // It is joined, without most of what it lists, and the community goes on.
    let other = charters.open_siblings().next().unwrap();
    let (content, left_out) = united(charters.charter(), other.charter());
    assert!(!left_out.is_empty());
    let mut parents = vec![charters.newest().hash(), other.hash()];
    parents.sort();
    let joint = Charter {
        version: 3,
        parents,
        ..content
    };
    let joint = signed(joint, &[&water, &mary]);
    assert!(joint.encode().len() < limits::CHARTER / 2);
    assert_eq!(charters.offer(joint), Ok(Offered::Adopted));
    let goes_on = signed(successor(&charters), &[&water, &mary]);
    assert_eq!(charters.offer(goes_on), Ok(Offered::Adopted));
    assert!(travelling(&charters) < limits::CHARTER_CHAIN / 2);
    reads_back(&charters);
}

#[test]
fn a_sibling_for_which_there_is_no_room_keeps_nothing_from_travelling() {
    let (city, water, _) = orgs();
    let mut charters = community(&city, &[]);
    charters.offer(signed(swollen(&charters, 0), &[&city])).unwrap();
    let mut before = charters.clone();
    while travelling(&charters) + charters.newest().encode().len() < limits::CHARTER_CHAIN {
        before = charters.clone();
        charters.offer(signed(successor(&before), &[&city])).unwrap();
    }
    let whole = travelling(&charters);
    let beside = signed(admitting(&before, &water), &[&city]);
    assert_eq!(charters.offer(beside), Ok(Offered::Sibling));
    assert_eq!(travelling(&charters), whole);
    reads_back(&charters);
}

/// A courier puts signatures under a charter that count for nothing, as many as fit.
#[test]
fn signatures_that_count_for_nothing_do_not_stay() {
    let (city, water, _) = orgs();
    let mut charters = community(&city, &[]);
    let meant = signed(admitting(&charters, &water), &[&city]);
    let mut padded = meant.clone();
    for number in 0..4_000_u64 {
        padded.endorsements.push(Endorsement {
            key: crate::identity::KeyId(number.to_be_bytes()),
            ..meant.endorsements[0].clone()
        });
    }
    padded.endorsements.sort_by_key(|endorsement| endorsement.key);
    let padded = SignedCharter::decode(&padded.encode()).unwrap();
    assert!(padded.encode().len() > limits::CHARTER / 2);
    assert_eq!(charters.offer(padded), Ok(Offered::Adopted));
    assert_eq!(charters.newest(), &meant);
}

#[test]
fn siblings_are_bounded() {
    let (city, water, _) = orgs();
    let first = community(&city, &[]);
    let mut charters = first.clone();
    charters
        .offer(signed(admitting(&first, &water), &[&city]))
        .unwrap();
    let sibling = |number| signed(admitting(&first, &Org::new(&format!("org-{number}"))), &[&city]);
    for number in 0..limits::SIBLINGS {
        assert_eq!(charters.offer(sibling(number)), Ok(Offered::Sibling));
    }
    assert_eq!(
        charters.offer(sibling(limits::SIBLINGS)),
        Err(CharterError::TooManySiblings(2))
    );
}

#[test]
fn a_steward_counts_once_however_many_keys_sign() {
    let (city, water, mary) = orgs();
    let second = SigningKey::generate(&mut rand::rng());
    let mut first = first_charter(&[&city, &water, &mary], &[&city, &water, &mary], 2);
    let listed = first
        .members
        .iter_mut()
        .find(|member| member.handle == mary.handle);
    listed.unwrap().signing.push(MemberSigningKey {
        key: second.verifying_key(),
        closed: None,
    });
    let mut charters = CharterChain::found(signed(first, &[&city, &water])).unwrap();
    let mut twice = signed(successor(&charters), &[&mary]);
    twice.endorse(&mary.handle, &second);
    let endorsed = twice.endorsed(charters.charter());
    assert_eq!(
        (endorsed.valid, endorsed.stewards),
        (1, vec![mary.handle.clone()])
    );
    assert_eq!(
        charters.offer(twice),
        Err(CharterError::Signatures { valid: 1, needed: 2 })
    );
}

/// City signed an admission. Its signature is put under an expulsion.
#[test]
fn an_endorsement_lifted_from_another_proposal_does_not_count() {
    let (city, water, mary) = orgs();
    let first = first_charter(&[&city, &water, &mary], &[&city, &water, &mary], 2);
    let mut charters = CharterChain::found(signed(first, &[&city, &water])).unwrap();
    let meant = signed(admitting(&charters, &Org::new("region-cert")), &[&city]);
    let mut coup = successor(&charters);
    coup.stewards = vec![mary.handle.clone()];
    coup.threshold = 1;
    let mut coup = signed(coup, &[&mary]);
    coup.endorsements.extend(meant.endorsements.iter().cloned());
    coup.endorsements.sort_by_key(|endorsement| endorsement.key);
    let coup = SignedCharter::decode(&coup.encode()).unwrap();
    assert_eq!(
        coup.endorsed(charters.charter()).stewards,
        vec![mary.handle.clone()]
    );
    assert_eq!(
        charters.offer(coup.clone()),
        Err(CharterError::Signatures { valid: 1, needed: 2 })
    );
    let mut pruned = coup.clone();
    pruned.prune(&[charters.charter()]);
    assert_eq!(pruned.endorsements.len(), 1);
    // Copies of one proposal gather what each of them bears, copies of another nothing.
    let mut one = signed(successor(&charters), &[&city]);
    let other = SignedCharter {
        endorsements: signed(one.charter().clone(), &[&mary]).endorsements,
        ..one.clone()
    };
    one.merge(&coup);
    assert_eq!(one.endorsed(charters.charter()).valid, 1);
    one.merge(&other);
    assert_eq!(one.endorsed(charters.charter()).valid, 2);
}

#[test]
fn a_proposal_swapped_in_the_mail_has_another_fingerprint_and_gathering_signatures_keeps_it() {
    let (city, water, mary) = orgs();
    let charters = community(&city, &[]);
    let proposal = |charter| Proposal {
        community: *charters.community(),
        charter,
    };
    let meant = proposal(signed(admitting(&charters, &water), &[]));
    let swapped = proposal(signed(admitting(&charters, &mary), &[]));
    assert_ne!(meant.fingerprint(), swapped.fingerprint());
    let mut endorsed = meant.clone();
    endorsed.charter.endorse(&city.handle, &city.signing);
    let read = Proposal::read(&endorsed.write()).unwrap();
    assert_eq!(read, endorsed);
    assert_eq!(read.fingerprint(), meant.fingerprint());
    assert_eq!(
        Proposal::read(&water.request().write(&water.signing)),
        Err(JoinError::Malformed("proposal"))
    );
}

#[test]
fn what_a_charter_changes_is_told_in_words() {
    let (city, water, mary) = orgs();
    let charters = community(&city, &[&water]);
    let mut next = admitting(&charters, &mary);
    next.stewards = vec![city.handle.clone(), water.handle.clone()];
    next.stewards.sort();
    next.threshold = 2;
    let told = changes(charters.charter(), &next);
    assert_eq!(
        told,
        [
            "stewards port-city → acme-water, port-city",
            "threshold 1 → 2",
            "admits st-mary (`The st-mary`, utility, DE)"
        ]
    );
    let mut ended = successor(&charters);
    for member in ended
        .members
        .iter_mut()
        .filter(|member| member.handle == water.handle)
    {
        member.ended = Some(vec![]);
    }
    assert_eq!(
        changes(charters.charter(), &ended),
        ["expels acme-water; none of its records counts"]
    );
    assert!(changes(charters.charter(), &successor(&charters)).is_empty());
}

#[test]
fn a_joiner_takes_over_what_the_other_side_ended_and_tells_what_it_cannot() {
    let (city, water, mary) = orgs();
    let charters = community(&city, &[&water]);
    let ours = admitting(&charters, &mary);
    // The other side ended the water company, and admitted other keys under mary's handle.
    let mut theirs = admitting(&charters, &Org::new("st-mary"));
    for member in theirs
        .members
        .iter_mut()
        .filter(|member| member.handle == water.handle)
    {
        member.ended = Some(vec![]);
    }
    let (united, left_out) = united(&ours, &theirs);
    assert_eq!(united.member(&water.handle).unwrap().ended, Some(vec![]));
    assert_eq!(united.member(&mary.handle), ours.member(&mary.handle));
    assert_eq!(left_out.len(), 1);
    assert!(left_out[0].contains("st-mary"));
}
