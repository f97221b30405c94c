//! Fetching from one peer what is wanted, and handing it to the exchange while more comes.

use std::collections::VecDeque;
use std::sync::Arc;

use hanse_protocol::frame::Carried;
use hanse_protocol::heal::{Answer, IDS, Question, STREAMED};
use hanse_protocol::reconcile::Place;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::ask::{AskError, Conversation};
use super::needs::{Lease, Piece};
use crate::exchange::{ExchangeError, Healed};
use crate::store::StoreError;
use crate::store::entry::Origin;

/// Records and bytes handed to the exchange at once while healing.
const BATCH_RECORDS: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// Batches of one conversation that wait for their commit.
const WAITING: usize = 4;

/// Bytes of all conversations that wait for their commit, in [`KIB`]s: with so many nothing more is read
/// from peers, who then wait too.
pub(super) const IN_FLIGHT: usize = 16 << 10;
const KIB: usize = 1 << 10;

/// Most records of an answer about a span: an answer ends with the page that makes it full.
const MOST: usize = 2 * STREAMED;

/// What a span counts for of which a peer sends nothing although it said that it holds much there.
const IN_VAIN: usize = 1_024;

/// A batch that waits for its commit, and the bytes of it.
struct Batch {
    records: usize,
    bytes: usize,
    healed: JoinHandle<Result<Healed, ExchangeError>>,
}

/// What has come of one answer.
#[derive(Default)]
struct Arriving {
    records: Vec<Carried>,
    bytes: usize,
    waiting: VecDeque<Batch>,
}

impl Conversation<'_> {
    /// Fetches what a lease is for. What does not come this peer claims no longer, unless the conversation
    /// was only cut.
    pub(super) async fn fetch(&mut self, lease: &Lease) -> Result<(), AskError> {
        let fetched = self.fetch_leased(lease).await;
        if fetched.as_ref().is_err_and(AskError::is_waste) {
            lease.asked_in_vain();
        }
        fetched
    }

    async fn fetch_leased(&mut self, lease: &Lease) -> Result<(), AskError> {
        self.still_stands()?;
        let charter = self.charters.newest().reference();
        let (question, most) = match &lease.piece {
            Piece::Span(span) => (Question::Span(charter, *span), MOST),
            Piece::Records(places) => {
                let places = self.still_lacking(lease, places).await?;
                if places.is_empty() {
                    return Ok(());
                }
                let ids: Vec<_> = places.iter().map(|place| place.id).collect();
                let most = ids.len().min(IDS);
                (Question::Records(charter, ids), most)
            }
        };
        let before = self.admitted;
        self.line.ask(&question).await?;
        let (received, rest) = self.receive(lease, most).await?;
        match &lease.piece {
            Piece::Span(span) => {
                if rest.is_some_and(|rest| rest <= span.from || rest >= span.to) {
                    return Err(AskError::Protocol);
                }
                lease.through(rest, received, self.admitted - before);
                self.count(0, if received == 0 { IN_VAIN } else { 0 })
            }
            Piece::Records(places) => {
                let left = self.still_lacking(lease, places).await?;
                lease.unserved(&left);
                let idle = left.len();
                self.healer.fruitless.add(self.peer, left);
                self.count(0, idle)
            }
        }
    }

    /// Takes in records up to the end of the answer: how many, and where it says to go on. What has come
    /// before the answer was cut short is taken in, too.
    async fn receive(&mut self, lease: &Lease, most: usize) -> Result<(usize, Option<Place>), AskError> {
        let mut arriving = Arriving::default();
        let heard = self.listen(lease, most, &mut arriving).await;
        if !arriving.records.is_empty() {
            self.hand_over(lease, &mut arriving).await?;
        }
        while let Some(batch) = arriving.waiting.pop_front() {
            self.committed(lease, batch).await?;
        }
        heard
    }

    async fn listen(
        &mut self,
        lease: &Lease,
        most: usize,
        arriving: &mut Arriving,
    ) -> Result<(usize, Option<Place>), AskError> {
        let mut received = 0;
        loop {
            match self.line.hear().await? {
                Answer::Records(records) if !records.is_empty() && received + records.len() <= most => {
                    if !lease.renew() {
                        return Err(AskError::Slow);
                    }
                    received += records.len();
                    for carried in records {
                        arriving.bytes += carried.header.len() + carried.body.as_ref().map_or(0, Vec::len);
                        arriving.records.push(carried);
                        if arriving.records.len() >= BATCH_RECORDS || arriving.bytes >= BATCH_BYTES {
                            self.hand_over(lease, arriving).await?;
                        }
                    }
                }
                Answer::End(rest) => return Ok((received, rest)),
                _ => return Err(AskError::Protocol),
            }
        }
    }

    /// Gives what has come to the exchange, once there is room.
    async fn hand_over(&mut self, lease: &Lease, arriving: &mut Arriving) -> Result<(), AskError> {
        while arriving.waiting.len() >= WAITING
            && let Some(batch) = arriving.waiting.pop_front()
        {
            self.committed(lease, batch).await?;
        }
        let records = std::mem::take(&mut arriving.records);
        let bytes = std::mem::take(&mut arriving.bytes);
        self.waits_for_us(lease, true);
        let room = room(Arc::clone(&self.healer.in_flight), bytes).await;
        self.waits_for_us(lease, false);
        let (exchange, peer) = (self.healer.exchange.clone(), self.peer);
        let count = records.len();
        let healed = tokio::spawn(async move {
            let healed = exchange.heal(peer, records, Origin::Heal).await;
            drop(room);
            healed
        });
        arriving.waiting.push_back(Batch {
            records: count,
            bytes,
            healed,
        });
        Ok(())
    }

    /// Notes whether the peer waits for our disk: that is no fault of its.
    fn waits_for_us(&mut self, lease: &Lease, ours: bool) {
        self.ours = ours;
        lease.waits_for_us(ours);
    }

    async fn committed(&mut self, lease: &Lease, batch: Batch) -> Result<(), AskError> {
        let Batch {
            records,
            bytes,
            healed,
        } = batch;
        self.waits_for_us(lease, true);
        let healed = healed.await;
        self.waits_for_us(lease, false);
        let healed = healed??;
        self.healer.progress.came(healed.admitted, bytes);
        self.healer.metrics.healed_records(healed.admitted, bytes);
        // What its author spoiled is no fault of who holds it, the first time it comes; nor is our clock.
        let told = healed.admitted + healed.turned_away.max(healed.early);
        self.count(healed.admitted, records.saturating_sub(told))
    }

    /// Those of the records wanted under a lease that are still missing; the others are settled.
    async fn still_lacking(&mut self, lease: &Lease, places: &[Place]) -> Result<Vec<Place>, AskError> {
        let (store, exchange) = (self.healer.store.clone(), self.healer.exchange.clone());
        let places = places.to_vec();
        let looked = tokio::task::spawn_blocking(move || {
            let (mut lacking, mut settled) = (Vec::new(), Vec::new());
            for place in places {
                if store.holds(&place.id)?.is_some() || exchange.is_aside(&place) {
                    settled.push(place);
                } else {
                    lacking.push(place);
                }
            }
            Ok::<_, StoreError>((lacking, settled))
        });
        let (lacking, settled) = looked.await??;
        lease.settle(&settled);
        Ok(lacking)
    }
}

/// Waits for room for so many bytes.
async fn room(in_flight: Arc<Semaphore>, bytes: usize) -> Option<OwnedSemaphorePermit> {
    let room = u32::try_from(bytes.div_ceil(KIB).min(IN_FLIGHT)).unwrap_or(1);
    // It is never closed.
    in_flight.acquire_many_owned(room).await.ok()
}
