//! Members that send more than they may, or what is of no use: what it costs them, and what it does
//! not cost the others.

use std::time::{Duration, Instant};

use hanse_protocol::charter::{Budget, Charter, SignedCharter};
use hanse_protocol::reconcile::Span;
use hanse_protocol::record::Kind;
use hanse_protocol::timestamp::Timestamp;

use super::*;

/// A league whose charter lets an author send so much a day.
async fn thrifty(records: u32, bytes: u64) -> (Node, Node) {
    let (city, water) = league().await;
    let charters = city.exchange.standing().charters.clone().unwrap();
    let current = charters.charter();
    let mut signed = SignedCharter::issue(Charter {
        version: current.version + 1,
        parents: vec![charters.newest().hash()],
        issued: crate::clock::now(),
        budget: Budget { bytes, records },
        ..current.clone()
    })
    .unwrap();
    signed.endorse(&city.member.profile.handle, &city.member.signing);
    for node in [&city, &water] {
        let fate = node.exchange.charters(vec![signed.encode()]).await.unwrap();
        assert_eq!(fate, CharterFate::Adopted);
    }
    (city, water)
}

/// Admits a third, whose node is nowhere in the story.
pub(super) async fn admit(city: &Node, water: &Node, handle: &str) {
    let local::RequestReply {
        file, fingerprint, ..
    } = Node::new(handle).exchange.request(BY()).await.unwrap();
    let request = local::AdmitRequest { file, fingerprint };
    city.exchange.admit(BY(), request).await.unwrap();
    let charters = city.exchange.standing().charters.clone().unwrap();
    let newest = charters.encode().pop().unwrap();
    let fate = water.exchange.charters(vec![newest]).await.unwrap();
    assert_eq!(fate, CharterFate::Adopted);
}

/// A chain of records as their author's key makes them, whatever its node would say to that.
pub(super) struct Pen<'a> {
    author: &'a Node,
    seq: u64,
    prev: Option<RecordId>,
    pub(super) lasts: Duration,
}

impl<'a> Pen<'a> {
    pub(super) fn of(author: &'a Node) -> Self {
        Self {
            author,
            seq: 0,
            prev: None,
            lasts: Duration::from_secs(3_600),
        }
    }

    pub(super) fn writes(&mut self, created: Timestamp) -> (RecordId, Carried) {
        let text = object(usize::try_from(self.seq).unwrap());
        self.says(created, &[text.get()])
    }

    /// A record whose content is a few hundred bytes on the way and so many quarters of a megabyte when
    /// unpacked.
    fn inflates(&mut self, quarters: usize) -> (RecordId, Carried) {
        let padded = format!("{{{}", " ".repeat(256 << 10));
        let texts: Vec<String> = (0..quarters)
            .map(|number| object(number).get().replacen('{', &padded, 1))
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        self.says(crate::clock::now(), &texts)
    }

    fn says(&mut self, created: Timestamp, texts: &[&str]) -> (RecordId, Carried) {
        self.says_variants(created, texts, &[])
    }

    /// As it is said to some, something having been struck out of each text for them.
    pub(super) fn says_variants(
        &mut self,
        created: Timestamp,
        texts: &[&str],
        redacted: &[u16],
    ) -> (RecordId, Carried) {
        let charters = self.author.exchange.standing().charters.clone().unwrap();
        let content =
            hanse_protocol::content::Content::write_variants(Tlp::Clear, Tlp::Clear, texts, redacted);
        let packed = hanse_protocol::compress::pack(&content).unwrap();
        let body = hanse_protocol::seal::Body::Open(packed).encode();
        self.seq += 1;
        let header = Header {
            author: self.author.member.profile.handle.clone(),
            lane: 0,
            charter: charters.newest().reference(),
            epoch: 0,
            seq: self.seq,
            prev: self.prev,
            created,
            expires: created.after(self.lasts),
            kind: Kind::Objects,
            replaces: None,
            body_length: u32::try_from(body.len()).unwrap(),
            body_hash: BodyHash::of(&body),
        };
        let signing = &self.author.member.signing;
        let id = header.id(charters.community(), &signing.verifying_key());
        self.prev = Some(id);
        let carried = Carried {
            header: header.sign(charters.community(), signing),
            body: Some(body),
        };
        (id, carried)
    }

    fn writes_many(&mut self, count: usize, created: Timestamp) -> Vec<(RecordId, Carried)> {
        (0..count).map(|_| self.writes(created)).collect()
    }
}

impl Node {
    /// How a body stands, once what was asked before is committed.
    pub(super) async fn state(&self, id: &RecordId) -> Option<BodyState> {
        self.settled().await;
        self.reader.holds(id).unwrap()
    }

    /// Waits for the commit of what was asked before.
    async fn settled(&self) {
        let heal = self.exchange.heal(NodeId([0; 32]), Vec::new(), Origin::Heal);
        assert_eq!(heal.await.unwrap(), Healed::default());
    }

    fn audit_lines(&self) -> u64 {
        self.reader.audit_head().unwrap().lines
    }

    /// As [`Node::frame`], with what came of no use.
    async fn costs(&self, records: Vec<Carried>) -> (Verdict, Idle) {
        self.costs_from(NodeId([7; 32]), records).await
    }

    /// The same from that courier.
    async fn costs_from(&self, courier: NodeId, records: Vec<Carried>) -> (Verdict, Idle) {
        let (told, verdict) = oneshot::channel();
        let told = Mutex::new(Some(told));
        let reply = move |verdict, idle| {
            let told = told.lock().unwrap().take().unwrap();
            told.send((verdict, idle)).unwrap();
        };
        let offered = self.exchange.offer_frame(courier, records, Box::new(reply));
        assert!(offered.is_ok());
        verdict.await.unwrap()
    }
}

fn carried(records: &[(RecordId, Carried)]) -> Vec<Carried> {
    records.iter().map(|(_, carried)| carried.clone()).collect()
}

#[tokio::test]
async fn over_its_budget_an_author_is_held_by_header_and_at_four_times_not_at_all() {
    let (city, water) = thrifty(3, 1 << 30).await;
    let now = crate::clock::now();
    let written = Pen::of(&city).writes_many(14, now);
    let (gossiped, healed) = written.split_at(5);
    for (number, (_, carried)) in gossiped.iter().enumerate() {
        let expected = if number < 3 {
            Verdict::Accept
        } else {
            Verdict::Ignore
        };
        assert_eq!(
            water.frame(vec![carried.clone()]).await,
            expected,
            "record {number}"
        );
    }
    // Healing is no way around it.
    let came = water
        .exchange
        .heal(NodeId([0; 32]), carried(healed), Origin::Heal);
    assert_eq!(
        came.await.unwrap(),
        Healed {
            admitted: 7,
            refused: 2,
            turned_away: 2,
            early: 0,
        }
    );
    for (number, (id, _)) in written.iter().enumerate() {
        let expected = match number {
            0..3 => Some(BodyState::Readable),
            3..12 => Some(BodyState::Shed),
            _ => None,
        };
        assert_eq!(water.state(id).await, expected, "record {number}");
    }
    let charters = water.exchange.standing().charters.clone().unwrap();
    assert!(
        water
            .reader
            .awaited(charters.community(), None, 10)
            .unwrap()
            .is_empty(),
        "no body of them is pulled"
    );
    let overdrafts = water.exchange.overdrafts();
    let (author, day, overdrawn) = &overdrafts[0];
    assert_eq!(
        (
            author,
            overdrawn.records,
            overdrawn.without_body,
            overdrawn.refused
        ),
        (&city.member.profile.handle, 12, 9, 2)
    );
    assert!(*day <= now && now.since(*day) < Duration::from_secs(24 * 3_600));
    // What was turned away is not asked for at every comparison, and not told as held.
    let aside: Vec<RecordId> = water
        .exchange
        .aside(&Span::ALL, 9)
        .iter()
        .map(|place| place.id)
        .collect();
    let mut turned_away: Vec<RecordId> = written[12..].iter().map(|(id, _)| *id).collect();
    turned_away.sort_by_key(|id| *id.as_bytes());
    assert_eq!(aside, turned_away);
    assert_eq!(water.exchange.counts()[&city.member.profile.handle], 12);
}

#[tokio::test]
async fn bytes_count_like_records_and_what_is_deferred_is_charged_to_no_day() {
    let (city, water) = thrifty(1_000_000, 1_500).await;
    let now = crate::clock::now();
    let mut pen = Pen::of(&city);
    let today = pen.writes_many(12, now);
    water.frame(carried(&today)).await;
    let mut shed = 0;
    for (id, _) in &today {
        shed += usize::from(water.state(id).await == Some(BodyState::Shed));
    }
    assert!((4..12).contains(&shed), "{shed} of 12 records of about 280 bytes");
    // Dated three minutes ahead it may still be today; a day ahead it is deferred whatever is left.
    let tomorrow = pen.writes(now.after(Duration::from_secs(24 * 3_600)));
    assert_eq!(water.frame(vec![tomorrow.1]).await, Verdict::Ignore);
    assert_eq!(water.state(&tomorrow.0).await, None);
    assert_eq!(
        water.exchange.overdrafts().len(),
        1,
        "what is not admitted is charged to no day"
    );
}

#[tokio::test]
async fn what_is_spent_today_is_not_spent_of_yesterday() {
    let (city, water) = (Node::new("port-city"), Node::new("acme-water"));
    let now = crate::clock::now();
    let day = Duration::from_secs(24 * 3_600);
    // 1,000 records a day, and its members were admitted a while ago.
    let charters = frozen::charters(now.before(day * 5), 1, &[&city, &water]).await;
    frozen::joins(&city, &charters).await;
    frozen::joins(&water, &charters).await;
    let mut pen = Pen::of(&city);
    let today = pen.writes_many(1_001, now);
    pen.lasts = day * 3;
    let yesterday = pen.writes(now.before(day));
    for records in [carried(&today), vec![yesterday.1]] {
        let came = water.exchange.heal(NodeId([0; 32]), records, Origin::Heal);
        came.await.unwrap();
    }
    let states = [today[999].0, today[1_000].0, yesterday.0].map(|id| water.reader.holds(&id).unwrap());
    let (whole, shed) = (Some(BodyState::Readable), Some(BodyState::Shed));
    assert_eq!(states, [whole, shed, whole]);
}

#[tokio::test]
async fn a_restart_and_known_records_do_not_change_what_is_spent() {
    let (city, water) = thrifty(3, 1 << 30).await;
    let mut pen = Pen::of(&city);
    let written = pen.writes_many(2, crate::clock::now());
    for _ in 0..4 {
        water.frame(carried(&written)).await;
    }
    let water = water.restart();
    water.frame(carried(&written)).await;
    let third = pen.writes(crate::clock::now());
    let fourth = pen.writes(crate::clock::now());
    assert_eq!(water.frame(vec![third.1]).await, Verdict::Accept);
    assert_eq!(water.frame(vec![fourth.1]).await, Verdict::Ignore);
    assert_eq!(water.state(&third.0).await, Some(BodyState::Readable));
    assert_eq!(water.state(&fourth.0).await, Some(BodyState::Shed));
}

#[tokio::test]
async fn a_publisher_is_told_before_its_budget_is_spent_and_has_then_sent_nothing() {
    let (city, _) = thrifty(3, 1 << 30).await;
    city.publish(1, None, None).await;
    let before = city.reader.newest();
    // 601 objects are four records.
    let told = city.exchange.publish(BY(), request(601, None, None)).await;
    assert!(matches!(told, Err(ExchangeError::Budget { records: (1, 3), .. })));
    assert_eq!(city.reader.newest(), before);
    let city = city.restart();
    assert_eq!(city.publish(201, None, None).await.records.len(), 2);
    let told = city.exchange.publish(BY(), request(1, None, None)).await;
    let Err(ExchangeError::Budget { renewed, .. }) = told else {
        panic!("the fourth record was published");
    };
    assert!(renewed > crate::clock::now());
}

#[tokio::test]
async fn a_flood_of_refusals_is_no_flood_of_audit_lines() {
    let (city, water) = thrifty(1_000, 1 << 30).await;
    let before = water.audit_lines();
    let mut pen = Pen::of(&city);
    for _ in 0..200 {
        let (_, mut forged) = pen.writes(crate::clock::now());
        *forged.header.last_mut().unwrap() ^= 1;
        assert_eq!(water.frame(vec![forged]).await, Verdict::Reject);
    }
    water.settled().await;
    let lines = water.audit_lines() - before;
    assert!((1..4).contains(&lines), "{lines} lines");
}

#[tokio::test]
async fn what_is_nothing_new_costs_its_courier_and_what_is_new_costs_nothing() {
    let (city, water) = thrifty(2, 1 << 30).await;
    let mut pen = Pen::of(&city);
    let new = pen.writes_many(2, crate::clock::now());
    assert_eq!(water.costs(carried(&new)).await, (Verdict::Accept, Idle(0)));
    // Seen before: cheap, and not free.
    assert_eq!(water.costs(carried(&new)).await, (Verdict::Ignore, Idle(2)));
    // Validly signed headers without end are what a flood is made of. What another tally may allow
    // costs nothing: so many as one may send a day.
    let flood = pen.writes_many(20, crate::clock::now());
    let (verdict, Idle(idle)) = water.costs(carried(&flood)).await;
    assert_eq!(verdict, Verdict::Ignore);
    assert_eq!(idle, 18 * 8);
    // Who is the author's own node knows what it has sent.
    let flood = pen.writes_many(20, crate::clock::now());
    let (_, Idle(idle)) = water.costs_from(city.member.node_id(), carried(&flood)).await;
    assert_eq!(idle, 20 * 8);
    let expelled = city
        .exchange
        .expel(BY(), water.member.profile.handle.clone())
        .await;
    assert_eq!(expelled.unwrap().charter, 4);
    let late = Pen::of(&water).writes_many(10, crate::clock::now());
    let (verdict, Idle(idle)) = city.costs(carried(&late)).await;
    assert_eq!(verdict, Verdict::Ignore, "an expelled member's headers");
    assert_eq!(idle, 8 * 8);
}

/// One who sends the same records to two in frames of its own making makes each bring the other what it
/// knows already.
#[tokio::test]
async fn neighbours_who_heard_the_same_in_other_frames_owe_each_other_nothing() {
    let (city, water) = league().await;
    let [author, neighbour] = [NodeId([1; 32]), NodeId([2; 32])];
    let mut pen = Pen::of(&city);
    let first = carried(&pen.writes_many(40, crate::clock::now()));
    let heard = water.costs_from(author, first.clone()).await;
    assert_eq!(heard, (Verdict::Accept, Idle(0)));
    let mut turned = first.clone();
    turned.reverse();
    assert_eq!(
        water.costs_from(neighbour, turned.clone()).await,
        (Verdict::Ignore, Idle(0))
    );
    // Again and again it is not news, whoever brings it.
    assert_eq!(
        water.costs_from(neighbour, turned.clone()).await,
        (Verdict::Ignore, Idle(40))
    );
    assert_eq!(
        water.costs_from(author, first.clone()).await,
        (Verdict::Ignore, Idle(40))
    );
    // Beside one that is new it is what an honest courier may have had to pass on, over and over.
    for _ in 0..3 {
        let mut frame = first.clone();
        let new = pen.writes(crate::clock::now()).1;
        frame.push(new.clone());
        assert_eq!(water.costs_from(author, frame).await, (Verdict::Accept, Idle(0)));
        let mut frame = turned.clone();
        frame.push(new);
        assert_eq!(
            water.costs_from(neighbour, frame).await,
            (Verdict::Ignore, Idle(0))
        );
    }
}

/// What is not new lately was new nowhere: who passes it on beside something new would be made to pay.
#[tokio::test]
async fn what_is_old_is_not_passed_on_beside_what_is_new() {
    let (city, water) = league().await;
    let mut pen = Pen::of(&city);
    let old = carried(&pen.writes_many(3, crate::clock::now()));
    assert_eq!(water.frame(old.clone()).await, Verdict::Accept);
    let water = water.restart();
    let new = pen.writes(crate::clock::now()).1;
    let beside = [old, vec![new.clone()]].concat();
    let (verdict, Idle(idle)) = water.costs(beside).await;
    assert_eq!((verdict, idle), (Verdict::Ignore, 3 * 8));
    assert_eq!(
        water.frame(vec![new.clone()]).await,
        Verdict::Accept,
        "alone it goes on: nobody can keep it from the others"
    );
    assert_eq!(water.frame(vec![new]).await, Verdict::Ignore, "once");
    // Dated an hour ago it is kept and left to healing.
    let day = Duration::from_secs(24 * 3_600);
    let now = crate::clock::now();
    let (city, water) = (Node::new("port-city"), Node::new("acme-water"));
    let charters = frozen::charters(now.before(day), 1, &[&city, &water]).await;
    frozen::joins(&city, &charters).await;
    frozen::joins(&water, &charters).await;
    let mut pen = Pen::of(&city);
    pen.lasts = day;
    let late = pen.writes(now.before(Duration::from_secs(3_600)));
    assert_eq!(water.costs(vec![late.1]).await, (Verdict::Ignore, Idle(0)));
    assert_eq!(water.state(&late.0).await, Some(BodyState::Readable));
}

/// Content is paid for by who wrote it, whatever it came to on the way: unpacking and reading it is done
/// by the one thread that everybody waits for.
#[tokio::test]
async fn a_small_body_that_holds_megabytes_counts_as_what_it_holds() {
    let (city, water) = thrifty(1_000, 5 << 20).await;
    let mut pen = Pen::of(&city);
    let bombs: Vec<_> = (0..6).map(|_| pen.inflates(4)).collect();
    let on_the_way: usize = bombs
        .iter()
        .map(|(_, bomb)| bomb.body.as_ref().unwrap().len())
        .sum();
    assert!(on_the_way < 10_000, "{on_the_way} bytes");
    assert_eq!(water.frame(carried(&bombs[..3])).await, Verdict::Accept);
    let healed = water
        .exchange
        .heal(NodeId([0; 32]), carried(&bombs[3..]), Origin::Heal);
    assert_eq!(healed.await.unwrap().admitted, 3);
    let mut states = Vec::new();
    for (id, _) in &bombs {
        states.push(water.state(id).await.unwrap());
    }
    assert_eq!(
        states
            .iter()
            .filter(|state| **state == BodyState::Readable)
            .count(),
        4
    );
    assert_eq!(states[4..], [BodyState::Shed; 2]);
    assert_eq!(water.exchange.overdrafts()[0].2.without_body, 2);
    // And who would write so much is told at once.
    let text = object(0)
        .get()
        .replacen('{', &format!("{{{}", " ".repeat(400 << 10)), 1);
    let raw = RawValue::from_string(text).unwrap();
    let much = local::PublishRequest {
        objects: vec![raw; 14],
        ..request(1, None, None)
    };
    let told = city.exchange.publish(BY(), much).await;
    assert!(matches!(told, Err(ExchangeError::Budget { .. })), "{told:?}");
}

#[tokio::test]
async fn of_a_batch_no_more_is_opened_ahead_than_fits_in_memory() {
    let (city, water) = league().await;
    let mut pen = Pen::of(&city);
    let bombs: Vec<_> = (0..24).map(|_| pen.inflates(15)).collect();
    let charters = city.exchange.standing().charters.clone().unwrap();
    let looked = ahead::look(carried(&bombs), charters, Arc::clone(&water.member));
    let looked = looked.await.unwrap();
    let opened = looked
        .iter()
        .filter(|(_, found)| found.as_ref().unwrap().unsealed.is_some());
    assert_eq!(opened.count(), 4, "of 96 megabytes");
    let healed = water
        .exchange
        .heal(NodeId([0; 32]), carried(&bombs), Origin::Heal);
    assert_eq!(healed.await.unwrap().admitted, 24);
    for (id, _) in &bombs {
        assert_eq!(water.state(id).await, Some(BodyState::Readable));
    }
}

#[tokio::test]
async fn a_node_whose_clock_is_astray_publishes_nothing_until_it_is_right() {
    let (city, _) = league().await;
    let hour = Duration::from_secs(3_600);
    let said = |at: Timestamp| {
        for (node, member) in [(1, "acme-water"), (2, "st-mary")] {
            let member = member.parse().unwrap();
            city.clocks
                .hear(NodeId([node; 32]), member, at, Instant::now(), true);
        }
    };
    said(crate::clock::now().before(hour));
    let held = city.exchange.publish(BY(), request(1, None, None)).await;
    assert!(matches!(held, Err(ExchangeError::Clock(astray)) if astray.ahead && astray.members == 2));
    said(crate::clock::now());
    city.publish(1, None, None).await;
}

#[tokio::test]
async fn bodies_sealed_for_others_go_first_the_oldest_of_the_heaviest_and_headers_stay() {
    let (city, water) = league().await;
    admit(&city, &water, "st-mary").await;
    let readable = city.publish(1, None, None).await.records[0].id;
    let mut sealed = Vec::new();
    for number in 0..40 {
        let reply = city.publish(number + 1, Some("st-mary"), Some(Tlp::Amber)).await;
        sealed.push(reply.records[0].id);
    }
    water.frame(vec![city.carried(&readable)]).await;
    for id in &sealed {
        assert_eq!(water.frame(vec![city.carried(id)]).await, Verdict::Accept);
        water.settled().await;
    }
    // Restarted, it goes on where it was: the bound holds over both lives together.
    let water = water.restart();
    let again = city.publish(30, Some("st-mary"), Some(Tlp::Amber)).await.records[0].id;
    water.frame(vec![city.carried(&again)]).await;
    sealed.push(again);
    let mut states = Vec::new();
    let mut kept = 0;
    for id in &sealed {
        let state = water.state(id).await.expect("headers stay");
        let body = water.reader.record(id).unwrap().unwrap().body;
        assert_eq!(body.is_some(), state == BodyState::Opaque);
        kept += body.map_or(0, |body| body.len());
        states.push(state);
    }
    let given_up = states
        .iter()
        .take_while(|state| **state == BodyState::Shed)
        .count();
    assert!(given_up > 5, "{given_up} were given up");
    assert!(
        states[given_up..].iter().all(|state| *state == BodyState::Opaque),
        "the oldest go: {states:?}"
    );
    let most = usize::try_from(OPAQUE_MAX).unwrap();
    assert!(kept <= most && kept > most / 2, "{kept} bytes are kept");
    assert_eq!(water.state(&readable).await, Some(BodyState::Readable));
    // And a body that was given up is not asked for again.
    let charters = water.exchange.standing().charters.clone().unwrap();
    assert!(
        water
            .reader
            .awaited(charters.community(), None, 10)
            .unwrap()
            .is_empty()
    );
}

/// Who knows a header already must judge what comes with it as those do who do not: else it passes on
/// what they reject, and honest nodes shun each other.
#[tokio::test]
async fn a_known_header_is_no_cover_for_what_comes_with_it() {
    let (city, water) = league().await;
    let mut records = Vec::new();
    for _ in 0..3 {
        let published = city.publish(1, None, Some(Tlp::Green)).await;
        records.push(city.carried(&published.records[0].id));
    }
    let own = water.publish(1, None, Some(Tlp::Green)).await;
    let own = water.carried(&own.records[0].id);
    let [first, second, third] = records.try_into().unwrap_or_else(|_| panic!("three"));
    assert_eq!(
        water.frame(vec![first.clone(), own.clone()]).await,
        Verdict::Reject
    );
    assert_eq!(
        water.frame(vec![first.clone()]).await,
        Verdict::Accept,
        "it was not passed on yet"
    );
    assert_eq!(water.frame(vec![first.clone()]).await, Verdict::Ignore, "known");

    let garbled = Carried {
        body: Some(b"garbage".to_vec()),
        ..first.clone()
    };
    assert_eq!(water.frame(vec![garbled, second.clone()]).await, Verdict::Reject);
    assert_eq!(water.frame(vec![own]).await, Verdict::Ignore);
    let strange = water.publish(1, None, Some(Tlp::Green)).await;
    let strange = water.carried(&strange.records[0].id);
    assert_eq!(water.frame(vec![strange.clone()]).await, Verdict::Ignore);
    assert_eq!(water.frame(vec![strange, third.clone()]).await, Verdict::Reject);
    let all = vec![first, second, third];
    assert_eq!(
        water.frame(all.clone()).await,
        Verdict::Accept,
        "two were not passed on yet"
    );
    assert_eq!(water.frame(all).await, Verdict::Ignore, "all are by now");
}

/// A record that is turned away for now was not judged to its end: who passed it on beside a new one would
/// be rejected by whoever judges it.
#[tokio::test]
async fn a_record_that_is_turned_away_is_no_cover_either() {
    let (city, water) = league().await;
    let now = crate::clock::now();
    let mut pen = Pen::of(&city);
    let garbled = |carried: Carried| Carried {
        body: Some(b"garbage".to_vec()),
        ..carried
    };
    let ahead = pen.writes(now.after(Duration::from_secs(600))).1;
    let new = |pen: &mut Pen<'_>| pen.writes(crate::clock::now()).1;
    // Dated ahead here, and not where the clock is a moment later.
    let beside = vec![new(&mut pen), garbled(ahead.clone())];
    assert_eq!(water.frame(beside.clone()).await, Verdict::Reject);
    assert_eq!(
        water.frame(vec![garbled(ahead.clone())]).await,
        Verdict::Reject,
        "again"
    );
    assert_eq!(water.frame(vec![ahead.clone()]).await, Verdict::Ignore);
    assert_eq!(water.frame(vec![new(&mut pen), ahead]).await, Verdict::Ignore);
    assert_eq!(
        water.frame(vec![beside[0].clone()]).await,
        Verdict::Accept,
        "the true one goes on when it comes alone"
    );
    // Under a charter that is known elsewhere, where the signature is checked.
    let other = water.restart();
    let known = city.exchange.standing().charters.clone().unwrap();
    let stranger = Node::new("st-mary").exchange.request(BY()).await.unwrap();
    let request = local::AdmitRequest {
        file: stranger.file,
        fingerprint: stranger.fingerprint,
    };
    let first = new(&mut pen);
    city.exchange.admit(BY(), request).await.unwrap();
    let mut forged = new(&mut pen);
    *forged.header.last_mut().unwrap() ^= 1;
    let frame = vec![first.clone(), forged.clone()];
    assert_eq!(other.frame(frame).await, Verdict::Ignore);
    assert_eq!(other.frame(vec![first]).await, Verdict::Accept);
    let newest = city.exchange.standing().charters.clone().unwrap();
    assert!(newest.charter().version > known.charter().version);
    other.exchange.charters(newest.encode()).await.unwrap();
    assert_eq!(other.frame(vec![forged]).await, Verdict::Reject);
}

/// Whose tally has less room holds a header without its body, and must look at the body all the same.
#[tokio::test]
async fn a_body_over_the_budget_is_held_against_its_header() {
    let (city, water) = thrifty(1, 1 << 30).await;
    let mut pen = Pen::of(&city);
    let [first, second] = [0; 2].map(|_| pen.writes(crate::clock::now()).1);
    let garbled = Carried {
        body: Some(b"garbage".to_vec()),
        ..second.clone()
    };
    assert_eq!(water.frame(vec![first, garbled]).await, Verdict::Reject);
    let more = carried(&pen.writes_many(4, crate::clock::now()));
    let beyond = Carried {
        body: Some(b"garbage".to_vec()),
        ..more[3].clone()
    };
    assert_eq!(water.frame(more[..3].to_vec()).await, Verdict::Ignore);
    assert_eq!(water.frame(vec![beyond]).await, Verdict::Reject);
}
