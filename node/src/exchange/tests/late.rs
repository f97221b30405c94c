//! What comes late: after its time, or after the rules have changed. Who was away must come to hold what the
//! others hold, or it never finds itself whole.

use std::time::Duration;

use hanse_protocol::charter::{Charter, SignedCharter};
use hanse_protocol::reconcile::Span;

use super::abuse::{Pen, admit};
use super::*;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A league that was founded so many days ago.
async fn old_league(days: u32) -> (Node, Node) {
    let (city, water) = (Node::new("port-city"), Node::new("acme-water"));
    let founded = crate::clock::now().before(DAY * days);
    let charters = frozen::charters(founded, 1, &[&city, &water]).await;
    frozen::joins(&city, &charters).await;
    frozen::joins(&water, &charters).await;
    (city, water)
}

async fn healed(to: &Node, records: &[Carried]) -> Healed {
    let records = records.to_vec();
    let healed = to.exchange.heal(NodeId([0; 32]), records, Origin::Heal).await;
    healed.unwrap()
}

#[tokio::test]
async fn a_shorter_horizon_refuses_late_comers_nothing_that_was_said_under_the_longer_one() {
    let (city, water) = old_league(6).await;
    let mut pen = Pen::of(&city);
    pen.lasts = DAY * 300;
    let (id, carried) = pen.writes(crate::clock::now().before(DAY * 2));
    let charters = city.exchange.standing().charters.clone().unwrap();
    let current = charters.charter();
    let mut signed = SignedCharter::issue(Charter {
        version: current.version + 1,
        parents: vec![charters.newest().hash()],
        issued: crate::clock::now(),
        horizon: 180 * 24 * 3_600 * 1_000,
        ..current.clone()
    })
    .unwrap();
    signed.endorse(&city.member.profile.handle, &city.member.signing);
    for node in [&city, &water] {
        let fate = node.exchange.charters(vec![signed.encode()]).await.unwrap();
        assert_eq!(fate, CharterFate::Adopted);
    }
    assert_eq!(healed(&water, &[carried]).await.admitted, 1);
    assert_eq!(water.state(&id).await, Some(BodyState::Readable));
    // What is signed under the shorter one is held against that.
    let (_, beyond) = pen.writes(crate::clock::now());
    assert_eq!(healed(&water, &[beyond]).await.refused, 1);
}

/// Every peer goes on offering what was refused here for good.
#[tokio::test]
async fn what_was_refused_for_good_is_set_aside_again_after_a_new_charter() {
    let (city, water) = league().await;
    let mut pen = Pen::of(&city);
    pen.lasts = DAY * 30;
    let (id, carried) = pen.writes(crate::clock::now().before(DAY * 10));
    for newcomer in ["region-cert", "st-mary"] {
        let came = healed(&water, std::slice::from_ref(&carried)).await;
        assert_eq!((came.refused, came.turned_away), (1, 1));
        let again = healed(&water, std::slice::from_ref(&carried)).await;
        assert_eq!(
            (again.refused, again.turned_away),
            (1, 0),
            "its courier may know now"
        );
        let aside = water.exchange.aside(&Span::ALL, 9);
        assert_eq!(aside.iter().map(|place| place.id).collect::<Vec<_>>(), [id]);
        admit(&city, &water, newcomer).await;
        assert_eq!(water.exchange.aside(&Span::ALL, 9), [], "judged anew");
    }
}
