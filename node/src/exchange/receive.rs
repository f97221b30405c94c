//! The journey in: frames, healed records and pulled bodies climb the ladder and join the commit.
//! Gossip, healing and import have this one door.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hanse_protocol::admission::{Admitted, Arrival, By, Reading, Signed, Unsealed, Whole, WrongBody};
use hanse_protocol::charter::CharterChain;
use hanse_protocol::frame::Carried;
use hanse_protocol::identity::{Handle, NodeId, RecordId};
use hanse_protocol::reconcile::Place;
use hanse_protocol::record::{Header, Kind};
use hanse_protocol::refusal::{Fault, Permanence, Refusal};

use super::accepting::Ruled;
use super::ahead::{Found, Looked};
use super::budget::Grant;
use super::held::ASIDE;
use super::judging::{CHECKED, SEEN, Sum};
use super::recent::{Claims, Judged};
use super::worker::Worker;
use super::{BodyFate, ExchangeError, Healed, Idle, Nudge, Reply, Verdict, VerdictReply};
use super::{batch, derive};
use crate::clock;
use crate::store::entry::{BodyEntry, BodyState, Entry, Origin, RecordEntry};
use crate::store::facts::RecordFacts;

/// What came of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Newly admitted.
    Admitted,
    /// Newly admitted without its body, since its author is over its budget.
    Unheld,
    /// Nothing new.
    Known,
    /// Refused; whether the courier should have known.
    Refused { courier: bool },
}

/// What was admitted and has not joined the commit yet.
pub(super) struct Unread {
    id: RecordId,
    header: Header,
    bytes: Vec<u8>,
    /// The body the header names, if it came along, and what was found in it ahead.
    whole: Option<(Whole, Option<Unsealed>)>,
    grant: Grant,
    courier: NodeId,
    origin: Origin,
}

/// What came of reading a record.
struct Read {
    body: Option<Vec<u8>>,
    state: BodyState,
    facts: RecordFacts,
    /// What the receiving policy said, if it was asked.
    ruled: Option<Ruled>,
}

impl Read {
    /// Of which no object is ours to rule on.
    fn unread(body: Option<Vec<u8>>, state: BodyState, facts: RecordFacts) -> Self {
        Self {
            body,
            state,
            facts,
            ruled: None,
        }
    }

    /// Sound, and shown as far as was ruled: what is not shown is found by its header only.
    fn ruled(body: Vec<u8>, facts: RecordFacts, plain: RecordFacts, ruled: Option<Ruled>) -> Self {
        let state = ruled.as_ref().map_or(BodyState::Readable, Ruled::state);
        let shown = state == BodyState::Readable;
        Self {
            body: Some(body),
            state,
            facts: if shown { facts } else { plain },
            ruled,
        }
    }
}

impl Worker {
    /// A gossip frame. The verdict goes out before the commit: passing on needs admission only.
    pub(super) fn frame(&mut self, courier: NodeId, records: Vec<Carried>, verdict: VerdictReply) {
        let Some(charters) = self.charters.clone() else {
            return verdict(Verdict::Ignore, Idle(0));
        };
        let mut author = None;
        self.sum = Sum::default();
        for carried in records {
            let (fate, signer) = self.arrive(&charters, courier, (carried, None), Origin::Gossip);
            self.sum.rejected |= fate == Fate::Refused { courier: true };
            // What did not become new, or was no news, is noted where it is found out.
            self.sum.mixed |= matches!(fate, Fate::Refused { .. } | Fate::Unheld);
            // A frame is one author's; a mixed one could hide a forgery behind a true record.
            self.sum.rejected |= signer.is_some() && author.get_or_insert_with(|| signer.clone()) != &signer;
        }
        let sum = std::mem::take(&mut self.sum);
        let judged = sum.verdict();
        for id in &sum.new {
            // What came in a frame that is not passed on goes with the next that brings it.
            self.recent.told(id, judged == Verdict::Accept);
        }
        verdict(judged, sum.idle());
        self.read_admitted(&charters);
    }

    /// Records that healing or a file brought.
    pub(super) fn records(
        &mut self,
        courier: NodeId,
        records: Vec<Looked>,
        origin: Origin,
        reply: Reply<Healed>,
    ) {
        let Some(charters) = self.charters.clone() else {
            return drop(reply.send(Err(ExchangeError::NoCommunity)));
        };
        let mut healed = Healed::default();
        self.sum = Sum::default();
        for looked in records {
            match self.arrive(&charters, courier, looked, origin).0 {
                Fate::Admitted | Fate::Unheld => healed.admitted += 1,
                Fate::Known => {}
                Fate::Refused { .. } => healed.refused += 1,
            }
        }
        healed.turned_away = self.sum.set_aside;
        healed.early = self.sum.early;
        self.read_admitted(&charters);
        self.batch.answer(reply, move |_| healed);
    }

    /// One record, with or without its body, and with what was found of it ahead. Says what came of it
    /// and who claims to have signed it.
    fn arrive(
        &mut self,
        charters: &CharterChain,
        courier: NodeId,
        (carried, found): Looked,
        origin: Origin,
    ) -> (Fate, Option<Handle>) {
        let judged = self
            .recent
            .find(&carried.header)
            .filter(|(judged, _)| match judged {
                Judged::Deferred { until } => *until > clock::now(),
                _ => true,
            });
        if let Some((judged, claims)) = judged {
            let fate = self.seen(judged, &claims, carried.body, courier, origin);
            match fate {
                Fate::Known => self.known(&claims.id, courier, SEEN, origin),
                Fate::Refused { courier: false } => self.sum.repeated += SEEN,
                _ => self.sum.idle += SEEN,
            }
            return (fate, Some(claims.author.clone()));
        }
        let (id, claims, admission, unsealed) = match found {
            Some(Found { verified, unsealed }) => {
                let (id, claims) = (*verified.id(), verified.claims().clone());
                let admission = verified.admit(charters, arrival(origin));
                (id, claims, admission, unsealed)
            }
            None => {
                let signed = match Signed::decode(&carried.header, charters.community()) {
                    Ok(signed) => signed,
                    Err(refusal) => {
                        self.sum.idle += CHECKED;
                        return (self.refuse(&refusal, None, courier), None);
                    }
                };
                let (id, claims) = (*signed.id(), signed.claims().clone());
                let admission = signed.admit(charters, arrival(origin));
                (id, claims, admission, None)
            }
        };
        let admission = admission.and_then(|admitted| self.unless_early(admitted));
        let fate = match admission {
            Ok(admitted) => self.admitted(charters, admitted, (carried.body, unsealed), courier, origin),
            Err(refusal) => {
                if origin == Origin::Gossip {
                    self.count_refused(charters, &claims, &refusal, &courier);
                }
                let horizon = charters.charter().horizon();
                self.turned_away(&carried, (&id, &claims), &refusal, (courier, horizon))
            }
        };
        (fate, Some(claims.author))
    }

    /// Of what has expired, which healing brings, only the header will be kept: for good, so it is not
    /// taken before another member's clock says that ours is right.
    fn unless_early(&mut self, admitted: Admitted) -> Result<Admitted, Refusal> {
        let (now, at) = (clock::now(), Instant::now());
        let expired = admitted.header().expires <= now;
        if expired && !(self.clocks.vouch(now, at) && self.trusts_clock(now, at)) {
            return Err(Refusal::Expired);
        }
        Ok(admitted)
    }

    /// A header that is not admitted, or not now. A body that came with it is held against it all the
    /// same: where the header is admitted a wrong one is the courier's fault, and that may be us.
    fn turned_away(
        &mut self,
        carried: &Carried,
        (id, header): (&RecordId, &Header),
        refusal: &Refusal,
        (courier, horizon): (NodeId, Duration),
    ) -> Fate {
        let fate = self.refuse(refusal, Some((id, header)), courier);
        self.follow_refused(&carried.header, header, *id, refusal);
        // What has expired by a clock that is not right has not; and healing takes the header.
        let late = *refusal == Refusal::Expired
            && (header.created.after(horizon) > clock::now()
                || self.clocks.astray(clock::now(), Instant::now()).is_some());
        self.sum.early += usize::from(late);
        if late || *refusal == Refusal::FutureDated {
            self.defer(&carried.header, *id, header);
        } else if refusal.permanence() == Permanence::Permanent {
            let courier = refusal.fault() == Fault::Courier;
            let judged = Judged::Refused { courier };
            self.recent
                .remember(&carried.header, judged, Claims::of(*id, header));
            if !courier {
                // Verified and refused for good: no use healing it again and again.
                self.set_aside(place(header, *id), &header.author, true);
            }
        }
        let claims = Claims::of(*id, header);
        self.wrong_body(&claims, carried.body.as_deref(), courier)
            .unwrap_or(fate)
    }

    /// Does not judge or ask for a record again for a while, which its author has verifiably signed.
    fn defer(&mut self, bytes: &[u8], id: RecordId, header: &Header) {
        let until = clock::now().after(ASIDE);
        let claims = Claims::of(id, header);
        self.recent.remember(bytes, Judged::Deferred { until }, claims);
        self.set_aside(place(header, id), &header.author, false);
    }

    fn set_aside(&mut self, place: Place, author: &Handle, for_good: bool) {
        let new = self.held.set_aside(place, author, for_good);
        self.sum.set_aside += usize::from(new);
    }

    /// The same bytes again: perhaps with the body that was missing, perhaps with another.
    fn seen(
        &mut self,
        judged: Judged,
        claims: &Claims,
        body: Option<Vec<u8>>,
        courier: NodeId,
        origin: Origin,
    ) -> Fate {
        if let Some(fate) = self.wrong_body(claims, body.as_deref(), courier) {
            return fate;
        }
        match judged {
            Judged::Refused { courier: true } => Fate::Refused { courier: true },
            Judged::Refused { courier: false } | Judged::Deferred { .. } => {
                // It may have been asked for again: what is turned away without a look is set aside, too.
                let for_good = !matches!(judged, Judged::Deferred { .. });
                self.set_aside(claims.place(), &claims.author, for_good);
                Fate::Refused { courier: false }
            }
            Judged::Admitted => {
                if let Some(body) = body
                    && self.is_awaited(&claims.id)
                {
                    self.take_body(&claims.id, body, origin);
                }
                Fate::Known
            }
        }
    }

    /// Refuses a body that is not the one its header names, whatever becomes of the header.
    fn wrong_body(&mut self, claims: &Claims, body: Option<&[u8]>, courier: NodeId) -> Option<Fate> {
        if body.is_none_or(|body| claims.names(body)) {
            return None;
        }
        self.sum.idle += CHECKED;
        self.metrics.refused(Refusal::BodyHash.name());
        let subject = format!("{} {}", claims.id, Refusal::BodyHash.name());
        self.complain(&courier.to_string(), Refusal::BodyHash.name(), "refuse", subject);
        Some(Fate::Refused { courier: true })
    }

    fn is_awaited(&self, id: &RecordId) -> bool {
        match self.batch.awaits(id) {
            Some(awaited) => awaited,
            None => matches!(self.reader.holds(id), Ok(Some(BodyState::Awaited))),
        }
    }

    /// An admitted header joins the commit, with its body if that is the one it names.
    fn admitted(
        &mut self,
        charters: &CharterChain,
        admitted: Admitted,
        (body, unsealed): (Option<Vec<u8>>, Option<Unsealed>),
        courier: NodeId,
        origin: Origin,
    ) -> Fate {
        let id = *admitted.id();
        let known = self.batch.awaits(&id).is_some() || matches!(self.reader.holds(&id), Ok(Some(_)));
        let header = admitted.header().clone();
        if known {
            let claims = Claims::of(id, &header);
            let fate = self.seen(Judged::Admitted, &claims, body, courier, origin);
            self.known(&id, courier, CHECKED, origin);
            self.recent.remember(admitted.bytes(), Judged::Admitted, claims);
            return fate;
        }
        let claims = Claims::of(id, &header);
        if self.is_displaced(charters, &admitted) {
            if origin == Origin::Gossip {
                self.count_refused(charters, &header, &Refusal::Ended, &courier);
            }
            let judged = Judged::Refused { courier: false };
            self.set_aside(place(&header, id), &header.author, true);
            let fate = self.refuse(&Refusal::Ended, Some((&id, &header)), courier);
            let wrong = self.wrong_body(&claims, body.as_deref(), courier);
            self.recent.remember(admitted.bytes(), judged, claims);
            return wrong.unwrap_or(fate);
        }
        let (bytes, key) = (admitted.bytes().to_vec(), admitted.key());
        let grant = self.charge(&charters.charter().budget, &header, bytes.len());
        let unheld = body.as_deref().filter(|_| grant != Grant::Whole);
        let wrong = self.wrong_body(&claims, unheld, courier);
        if grant != Grant::Whole && origin == Origin::Gossip {
            self.count_refused(charters, &header, &Refusal::OverBudget, &courier);
        }
        if grant == Grant::Nothing {
            // What was spent of a day stays spent: only another charter makes it fit.
            self.set_aside(place(&header, id), &header.author, true);
            let judged = Judged::Refused { courier: false };
            self.recent.remember(&bytes, judged, claims);
            let fate = self.refuse(&Refusal::OverBudget, Some((&id, &header)), courier);
            return wrong.unwrap_or(fate);
        }
        self.recent.remember(&bytes, Judged::Admitted, claims);
        self.came(&id, &header, grant, courier, origin);
        let body = body.filter(|_| grant == Grant::Whole);
        let (whole, refusal) = match body.map(|body| admitted.with_body(body)) {
            Some(Ok(whole)) => (Some(whole), None),
            Some(Err(wrong)) => (None, Some(wrong.refusal)),
            None => (None, None),
        };
        self.note_chain(&header, id, (courier, origin));
        self.follow_own(&header, id, key);
        self.metrics.admitted(origin);
        let refused = refusal.map(|refusal| self.refuse(&refusal, Some((&id, &header)), courier));
        self.unread.push(Unread {
            id,
            header,
            bytes,
            whole: whole.map(|whole| (whole, unsealed)),
            grant,
            courier,
            origin,
        });
        // The header stays, the body is pulled elsewhere; who passed a wrong one on is to blame.
        refused.or(wrong).unwrap_or(if grant == Grant::Header {
            Fate::Unheld
        } else {
            Fate::Admitted
        })
    }

    /// What was admitted joins the commit, opened as far as it is ours to read. Apart from admission,
    /// since the mesh need not wait for it: a small body may take long to open.
    fn read_admitted(&mut self, charters: &CharterChain) {
        for unread in std::mem::take(&mut self.unread) {
            self.take_in(charters, unread);
        }
    }

    fn take_in(&mut self, charters: &CharterChain, unread: Unread) {
        let Unread {
            id,
            header,
            bytes,
            whole,
            grant,
            courier,
            origin,
        } = unread;
        let taken_back = self.is_taken_back(charters, &header.author, &id);
        let expired = origin != Origin::Gossip && header.expires <= clock::now();
        self.rates.note(&header.author, header.created);
        let plain = derive::header_facts(&header);
        let Read {
            body,
            state,
            facts,
            ruled,
        } = match whole {
            // Its author took it back before it came here, or its time has passed.
            _ if taken_back || expired => Read::unread(None, BodyState::Gone, plain),
            Some((whole, unsealed)) => self.read(charters, whole, unsealed),
            None if grant == Grant::Header => Read::unread(None, BodyState::Shed, plain),
            None => Read::unread(None, BodyState::Awaited, plain),
        };
        if state == BodyState::Opaque {
            self.opaque.came(&header);
        }
        let awaited = state == BodyState::Awaited;
        let entry = RecordEntry {
            community: *charters.community(),
            id,
            header: bytes,
            body,
            arrived: clock::now(),
            origin,
            state,
        };
        self.batch.push(Entry::Record(entry), Some(facts));
        if header.kind == Kind::Retraction {
            self.take_back(&header.author, header.replaces);
        }
        let action = if state == BodyState::Shed || expired {
            "receive-header"
        } else {
            "receive"
        };
        self.audit(header.author.as_str(), action, id.to_string(), None);
        if let Some(ruled) = ruled {
            self.note_ruling(&id, &header, &ruled);
        }
        if taken_back {
            self.audit(header.author.as_str(), "take-back", id.to_string(), None);
        }
        if awaited {
            self.nudge(Nudge::Body(id, courier));
        }
    }

    /// Opens a whole record as far as it is ours to read.
    fn read(&mut self, charters: &CharterChain, whole: Whole, unsealed: Option<Unsealed>) -> Read {
        let header = whole.admitted().header().clone();
        let id = *whole.admitted().id();
        let plain = derive::header_facts(&header);
        let member = Arc::clone(&self.member);
        let budget = &charters.charter().budget;
        let room = |bytes| self.afford(budget, &header, bytes);
        match whole.open_within(unsealed, &member.reader, charters, room) {
            Ok(Reading::Opaque(whole)) => Read::unread(Some(batch::parts(whole).2), BodyState::Opaque, plain),
            Ok(Reading::Opened(opened)) if header.kind == Kind::Retraction => {
                let listed = opened.retracted();
                let (_, body) = opened.into_parts();
                match listed {
                    Ok(ids) => {
                        let facts = derive::retraction_facts(&header, &ids);
                        self.take_back(&header.author, ids);
                        Read::unread(Some(body), BodyState::Readable, facts)
                    }
                    Err(refusal) => {
                        self.unsound(&id, &header, &refusal);
                        Read::unread(Some(body), BodyState::Unsound, plain)
                    }
                }
            }
            Ok(Reading::Opened(opened)) if header.kind == Kind::Receipt => {
                let told = self.take_receipt(&id, &header, &opened);
                let (_, body) = opened.into_parts();
                let state = match told {
                    Ok(()) => BodyState::Readable,
                    Err(refusal) => self.unsound(&id, &header, &refusal),
                };
                Read::unread(Some(body), state, plain)
            }
            Ok(Reading::Opened(opened)) => {
                let sound = opened.sound().map(|sound| {
                    let ruled = self.rule_on(charters, &header, &opened, &sound);
                    (derive::facts(&header, &sound), ruled)
                });
                let (_, body) = opened.into_parts();
                match sound {
                    Ok((facts, ruled)) => Read::ruled(body, facts, plain, ruled),
                    Err(refusal) => {
                        self.unsound(&id, &header, &refusal);
                        Read::unread(Some(body), BodyState::Unsound, plain)
                    }
                }
            }
            // To be held by its header, like what is over the budget by its size.
            Err((_, Refusal::OverBudget)) => Read::unread(None, BodyState::Shed, plain),
            Err((whole, refusal)) => {
                let state = self.unsound(&id, &header, &refusal);
                Read::unread(Some(batch::parts(*whole).2), state, plain)
            }
        }
    }

    /// Notes that a body is not to be believed. What a later version may read stays opaque.
    fn unsound(&mut self, id: &RecordId, header: &Header, refusal: &Refusal) -> BodyState {
        self.metrics.refused(refusal.name());
        let subject = format!("{id} {}", refusal.name());
        self.audit(header.author.as_str(), "refuse-content", subject, None);
        tracing::warn!(record = %id, author = %header.author, reason = refusal.name(), "content refused");
        match refusal.permanence() {
            Permanence::Permanent => BodyState::Unsound,
            Permanence::Deferred => BodyState::Opaque,
        }
    }

    /// A body that was pulled.
    pub(super) fn body(&mut self, id: &RecordId, body: Vec<u8>, origin: Origin, reply: Reply<BodyFate>) {
        let fate = if self.is_awaited(id) {
            self.take_body(id, body, origin)
        } else {
            BodyFate::NotAwaited
        };
        self.batch.answer(reply, move |_| fate);
    }

    fn take_body(&mut self, id: &RecordId, body: Vec<u8>, origin: Origin) -> BodyFate {
        let Some(charters) = self.charters.clone() else {
            return BodyFate::NotAwaited;
        };
        // A header of this very batch is not in the store yet; its body is asked for again.
        let Ok(Some(stored)) = self.reader.record(id) else {
            return BodyFate::NotAwaited;
        };
        let Ok(admitted) = Admitted::from_log(&stored.header, &stored.community) else {
            return BodyFate::NotAwaited;
        };
        let whole = match admitted.with_body(body) {
            Ok(whole) => whole,
            Err(wrong) => {
                let WrongBody { admitted, refusal } = *wrong;
                self.metrics.refused(refusal.name());
                let subject = format!("{id} {}", refusal.name());
                self.audit(admitted.header().author.as_str(), "refuse-body", subject, None);
                return BodyFate::Wrong;
            }
        };
        let header = whole.admitted().header().clone();
        let Read {
            body,
            state,
            facts,
            ruled,
        } = self.read(&charters, whole, None);
        if state == BodyState::Opaque {
            // Its size is the header's word, and the body was held against that.
            self.opaque.came(&header);
        }
        let entry = BodyEntry {
            community: stored.community,
            id: *id,
            body: body.unwrap_or_default(),
            arrived: clock::now(),
            origin,
            state,
        };
        let facts = Some(facts).filter(|_| state != BodyState::Shed);
        self.batch.push(Entry::Body(entry), facts);
        self.audit(header.author.as_str(), "receive-body", id.to_string(), None);
        if let Some(ruled) = ruled {
            self.note_ruling(id, &header, &ruled);
        }
        BodyFate::Kept
    }

    /// Counts and audits a refusal, and asks for what could lift it.
    fn refuse(&mut self, refusal: &Refusal, of: Option<(&RecordId, &Header)>, courier: NodeId) -> Fate {
        self.metrics.refused(refusal.name());
        if *refusal == Refusal::UnknownCharter {
            self.nudge(Nudge::Charter(courier));
        }
        let courier_fault = refusal.fault() == Fault::Courier;
        // An unverified claim is nobody's deed: only what is signed is audited under its author.
        let subject = match of {
            Some((id, _)) => format!("{id} {}", refusal.name()),
            None => refusal.name().to_owned(),
        };
        self.complain(&format!("courier {courier}"), refusal.name(), "refuse", subject);
        Fate::Refused {
            courier: courier_fault,
        }
    }

    /// Audits and tells what was turned away, unless the same was told within the minute: then it is
    /// only counted, so that a flood of what is refused does not become one of lines.
    fn complain(&mut self, actor: &str, reason: &'static str, action: &str, subject: String) {
        let Some(more) = self.complaints.tell(actor, reason, clock::now()) else {
            return;
        };
        let subject = if more == 0 {
            subject
        } else {
            format!("{subject} and {more} more before")
        };
        tracing::info!(actor, reason, subject, "turned away");
        self.audit(actor, action, subject, None);
    }
}

/// Where a record stands for healing.
pub(super) fn place(header: &Header, id: RecordId) -> Place {
    Place {
        created: header.created,
        id,
    }
}

/// A record that arrives now.
fn arrival(origin: Origin) -> Arrival {
    let by = if origin == Origin::Gossip {
        By::Gossip
    } else {
        By::Healing
    };
    Arrival {
        now: clock::now(),
        by,
    }
}
