//! Passing records on between two communities of this node: a cursor over the log of one that hands to the
//! other's exchange what policy lets pass, word for word as it was signed. Only what came in the open, at
//! CLEAR or GREEN, of other members, and never what was passed on before. What its author takes back is
//! taken back there, too.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hanse_protocol::admission::{Admitted, Sound};
use hanse_protocol::audience::Audience;
use hanse_protocol::charter::{Charter, CharterChain};
use hanse_protocol::forwarded::Forwarded;
use hanse_protocol::identity::{CommunityId, Handle, RecordId};
use hanse_protocol::record::Kind;
use hanse_protocol::retraction;
use hanse_protocol::seal::Body;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::exchange::{self, Actor, Deed, Exchange, ExchangeError, Forward, ForwardFate};
use crate::policy::{Forwarding, Policies};
use crate::sharing;
use crate::store::entry::{BodyState, Entry, Origin, Position};
use crate::store::{Reader, StoreError, StoredRecord, unless_damaged};

/// Entries and bytes read from the log at once.
const READ_ENTRIES: usize = 256;
const READ_BYTES: usize = 1 << 20;

/// How many entries the cursor passes at most before it is kept, when nothing was passed on.
const KEPT_AFTER: u64 = 1_024;

/// How long to wait before what cannot be passed on now is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Why forwarding ended.
#[derive(Debug, thiserror::Error)]
pub enum ForwarderError {
    /// A store failed.
    #[error("a store could not be read")]
    Store(#[from] StoreError),
    /// A reading thread ended early.
    #[error("a reading thread ended early")]
    Thread(#[from] tokio::task::JoinError),
}

/// A community as forwarding sees it.
#[derive(Clone)]
pub struct Side {
    /// What it is called on this machine, and in policies.
    pub name: String,
    /// Who this organisation is in it.
    pub member: Handle,
    /// What changes things in it.
    pub exchange: Exchange,
    /// Its store.
    pub store: Reader,
}

impl Side {
    fn charters(&self) -> Option<Arc<CharterChain>> {
        self.exchange.standing().charters.clone()
    }
}

/// What passes from one community into another.
pub struct Forwarder {
    /// Where records come from.
    pub from: Side,
    /// Where they go.
    pub to: Side,
    /// The policies of the community they come from; without any nothing passes.
    pub policies: watch::Receiver<Option<Arc<Policies>>>,
}

/// What is to be done about an entry of the log.
enum Step {
    Pass(RecordId, Box<Forward>),
    TakeBack(Vec<(RecordId, RecordId)>),
}

impl Forwarder {
    /// Runs until `stop`.
    ///
    /// # Errors
    /// [`ForwarderError`].
    pub async fn run(self, stop: CancellationToken) -> Result<(), ForwarderError> {
        let Some((from, to)) = stop.run_until_cancelled(self.founded()).await.flatten() else {
            return Ok(());
        };
        let note = format!("forward to {to}");
        let mut positions = self.from.exchange.positions();
        let mut policies = self.policies.clone();
        let kept = self.kept(&note)?;
        // What came before this node could pass anything on is not passed on.
        let mut cursor = kept.unwrap_or_else(|| self.from.store.newest());
        let mut saved = kept;
        loop {
            if policies.borrow_and_update().is_some() && saved.is_none() {
                saved = self.keep(&note, cursor, Vec::new()).await.then_some(cursor);
            }
            (cursor, saved) = self.pump((from, to), (cursor, saved), &note, &stop).await?;
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = positions.changed() => if changed.is_err() { return Ok(()) },
                // A wake-up that was lost costs a tick; what could not pass is tried again.
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Waits until the node belongs to both.
    async fn founded(&self) -> Option<(CommunityId, CommunityId)> {
        let mut ids = Vec::new();
        for side in [&self.from, &self.to] {
            let mut standings = side.exchange.standings();
            let standing = standings
                .wait_for(|standing| standing.charters.is_some())
                .await
                .ok()?;
            ids.extend(standing.charters.as_ref().map(|charters| *charters.community()));
        }
        match ids[..] {
            [from, to] => Some((from, to)),
            _ => None,
        }
    }

    fn kept(&self, note: &str) -> Result<Option<Position>, StoreError> {
        let bytes = unless_damaged(self.from.store.note(note))?;
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        Ok(bytes.map(u64::from_be_bytes).map(Position))
    }

    /// Keeps the cursor, with what is to be told of it, in one commit; whether that is done.
    async fn keep(&self, note: &str, cursor: Position, deeds: Vec<Deed>) -> bool {
        let bytes = cursor.0.to_be_bytes().to_vec();
        let kept = self
            .from
            .exchange
            .witness_with(deeds, (note.to_owned(), bytes))
            .await;
        kept.is_ok()
    }

    /// Goes through what lies after the cursor, as far as it can be passed on now.
    async fn pump(
        &self,
        ids: (CommunityId, CommunityId),
        (mut cursor, mut saved): (Position, Option<Position>),
        note: &str,
        stop: &CancellationToken,
    ) -> Result<(Position, Option<Position>), ForwarderError> {
        loop {
            let reader = self.from.store.clone();
            let next = cursor.next();
            let read = move || reader.entries_from(next, READ_ENTRIES, READ_BYTES);
            let entries = match tokio::task::spawn_blocking(read).await? {
                Err(error) => {
                    let last = error.goes_on_after().ok_or(error)?;
                    tracing::warn!(from = %cursor.next(), %last, "a damaged part of the log is not passed on");
                    cursor = cursor.max(last);
                    continue;
                }
                Ok(entries) => entries,
            };
            if entries.is_empty() {
                return Ok((cursor, saved));
            }
            for (position, entry) in entries {
                if stop.is_cancelled() {
                    return Ok((cursor, saved));
                }
                let Some(id) = id_of(&entry) else {
                    cursor = position;
                    continue;
                };
                match self.work(ids, &id, position).await? {
                    // Later, from here on.
                    None => return Ok((cursor, saved)),
                    Some(deeds) => {
                        let told = !deeds.is_empty();
                        let behind = saved.is_some_and(|saved| position.0 > saved.0 + KEPT_AFTER);
                        if (told || behind) && !self.keep(note, position, deeds).await {
                            // The other side knows that it was passed on: it is only told again.
                            return Ok((cursor, saved));
                        }
                        if told || behind {
                            saved = Some(position);
                        }
                        cursor = position;
                    }
                }
            }
        }
    }

    /// Does what one entry asks for; what the log of its community is to tell of it. `None` if it cannot be
    /// done now.
    async fn work(
        &self,
        (from, to): (CommunityId, CommunityId),
        id: &RecordId,
        position: Position,
    ) -> Result<Option<Vec<Deed>>, ForwarderError> {
        let Some(step) = self.step(from, id, position)? else {
            return Ok(Some(Vec::new()));
        };
        let deed = |action, subject| Deed {
            actor: Actor("forwarder".to_owned()),
            action,
            subject,
        };
        let mut deeds = Vec::new();
        match step {
            Step::Pass(record, forward) => {
                let policies = forward.policies.clone();
                match self.to.exchange.forward(forward).await {
                    Ok(ForwardFate::Sent(_) | ForwardFate::Known(_)) => {
                        let subject = format!("{record} to community {} by {policies}", to.short());
                        deeds.push(deed("forward", subject));
                    }
                    Err(ExchangeError::Invalid(reason)) => {
                        tracing::warn!(%record, reason, "a record is not passed on");
                        let subject = format!("{record} to community {}: {reason}", to.short());
                        deeds.push(deed("forward-failed", subject));
                    }
                    Err(error) => {
                        tracing::info!(%record, %error, "a record is passed on later");
                        return Ok(None);
                    }
                }
            }
            Step::TakeBack(records) => {
                for (record, passed) in records {
                    match self
                        .to
                        .exchange
                        .retract(Actor("forwarder".to_owned()), passed)
                        .await
                    {
                        Ok(_) => {
                            let subject = format!("{record} in community {}", to.short());
                            deeds.push(deed("forward-retraction", subject));
                        }
                        // Its time there has passed, or it is taken back already.
                        Err(ExchangeError::Invalid(reason)) => {
                            tracing::info!(%record, reason, "what was passed on is not taken back");
                        }
                        Err(error) => {
                            tracing::info!(%record, %error, "what was passed on is taken back later");
                            return Ok(None);
                        }
                    }
                }
            }
        }
        Ok(Some(deeds))
    }

    /// What is to be done about a record that an entry completed.
    fn step(&self, from: CommunityId, id: &RecordId, position: Position) -> Result<Option<Step>, StoreError> {
        let Some(stored) = unless_damaged(self.from.store.record(id))? else {
            return Ok(None);
        };
        if stored.state != BodyState::Readable || stored.complete_at != position {
            return Ok(None);
        }
        let Ok(admitted) = Admitted::from_log(&stored.header, &stored.community) else {
            return Ok(None);
        };
        match admitted.header().kind {
            Kind::Objects => Ok(self.passing(from, &admitted, stored)),
            Kind::Retraction => {
                let taken = self.taken_back(from, &admitted, &stored)?;
                Ok((!taken.is_empty()).then_some(Step::TakeBack(taken)))
            }
            // What was passed on once is not passed on again.
            _ => Ok(None),
        }
    }

    /// A record, if policy lets it pass.
    fn passing(&self, from: CommunityId, admitted: &Admitted, stored: StoredRecord) -> Option<Step> {
        let header = admitted.header();
        // What is ours is published where it is meant to be: passing it on would tell who we are there.
        if stored.origin == Origin::Own || header.author == self.from.member || header.expires <= clock::now()
        {
            return None;
        }
        let policies = self.policies.borrow().clone()?;
        let (charters, there) = (self.from.charters()?, self.to.charters()?);
        let author = charters.charter().member(&header.author)?;
        let key = author
            .signing
            .iter()
            .find(|signing| signing.key.id() == admitted.key())?
            .key;
        let body = stored.body?;
        let Ok(Body::Open(packed)) = Body::decode(&body) else {
            return None;
        };
        let content = packed.unpack().ok()?;
        let sound = Sound::read(&content, true).ok()?;
        let forwarding = Forwarding {
            from: self.from.name.clone(),
            to: self.to.name.clone(),
            author: header.author.clone(),
        };
        let items = sharing::items::items(&sound.objects, sound.content.unmarked, sound.content.floor);
        let (readers, deciding) = readers(&policies, there.charter(), &self.to.member, &items, &forwarding)?;
        let record = Forwarded {
            origin: from,
            key,
            header: stored.header,
            body,
        };
        let forward = Forward {
            record,
            audience: Audience::Members(readers),
            policies: deciding.into_iter().collect::<Vec<_>>().join(", "),
        };
        Some(Step::Pass(*admitted.id(), Box::new(forward)))
    }

    /// What a retraction takes back of what was passed on, with the record that it travels in there.
    fn taken_back(
        &self,
        from: CommunityId,
        admitted: &Admitted,
        stored: &StoredRecord,
    ) -> Result<Vec<(RecordId, RecordId)>, StoreError> {
        let listed = stored.body.as_deref().and_then(|body| match Body::decode(body) {
            Ok(Body::Open(packed)) => retraction::decode(&packed.unpack().ok()?).ok(),
            _ => None,
        });
        let header = admitted.header();
        let mut taken = Vec::new();
        for record in header.replaces.into_iter().chain(listed.unwrap_or_default()) {
            let Some(passed) = exchange::passed_on(&self.to.store, &from, &record)? else {
                continue;
            };
            // Nobody takes back what is another's.
            let whose = unless_damaged(self.from.store.record(&record))?
                .and_then(|stored| Admitted::from_log(&stored.header, &stored.community).ok());
            let own = whose.is_some_and(|of| of.header().author == header.author);
            let there = unless_damaged(self.to.store.record(&passed))?;
            if own && there.is_some_and(|there| there.state != BodyState::Gone) {
                taken.push((record, passed));
            }
        }
        Ok(taken)
    }
}

/// The record that an entry is of.
fn id_of(entry: &Entry) -> Option<RecordId> {
    match entry {
        Entry::Record(record) => Some(record.id),
        Entry::Body(body) => Some(body.id),
        _ => None,
    }
}

/// Who there may read all of a record, and the policies that say so. The author's signature covers all of
/// it, so nothing can be taken out or held back for a reader: whoever is owed less gets nothing.
fn readers(
    policies: &Policies,
    there: &Charter,
    own: &Handle,
    items: &[crate::policy::Item],
    forwarding: &Forwarding,
) -> Option<(BTreeSet<Handle>, BTreeSet<String>)> {
    let roster = policies.foreign_roster(there, own);
    let mut allowed: Vec<bool> = vec![!items.is_empty(); roster.len()];
    let mut deciding: Vec<BTreeSet<String>> = vec![BTreeSet::new(); roster.len()];
    for item in items {
        let decisions = policies.forward(&roster, item, forwarding, clock::now());
        for (class, allowed) in allowed.iter_mut().enumerate() {
            let decision = decisions.get(class);
            let passes = decision.filter(|said| said.allowed && said.obligations.is_light());
            *allowed &= passes.is_some();
            if let (Some(said), Some(all)) = (passes, deciding.get_mut(class)) {
                all.extend(said.deciding.iter().cloned());
            }
        }
    }
    let classes = allowed.iter().enumerate().filter(|(_, allowed)| **allowed);
    let mut readers = BTreeSet::new();
    let mut policies = BTreeSet::new();
    for (class, _) in classes {
        readers.extend(roster.members(class).iter().cloned());
        policies.extend(deciding.get(class).into_iter().flatten().cloned());
    }
    (!readers.is_empty()).then_some((readers, policies))
}
