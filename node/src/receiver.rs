//! What the mesh tells goes where it belongs: records to the exchange, presence to the address
//! book, questions and streams to the healer's answering half. Each courier's frames wait in a queue
//! of their own and go in turn; who brings nothing new pays for it.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use hanse_protocol::frame::{Carried, Frame};
use hanse_protocol::identity::NodeId;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::exchange::{CharterFate, Exchange, Idle, Verdict, VerdictReply};
use crate::healer::answer::{self, Answerer};
use crate::mesh::{self, MeshEvent, MeshHandle, Ticket};
use crate::metrics::Metrics;
use crate::presence::AddressBook;

pub mod fair;
mod streams;
pub mod tabs;

use fair::Fair;
use streams::Room;
use tabs::{Hearing, Tabs};

/// Frames of records that the exchange has at once: enough to fill a commit, few enough that what
/// else it is asked does not wait long.
const AT_EXCHANGE: usize = 64;

/// What a courier pays for a charter: it bears the signatures of several stewards, and its bytes are hashed
/// and compared.
fn charter_cost(bytes: usize) -> Idle {
    Idle(u32::try_from(bytes / 256).unwrap_or(u32::MAX).saturating_add(64))
}

/// What a member pays for a question about charters.
fn call_cost(bytes: usize) -> Idle {
    let Idle(word) = Idle::WORD;
    Idle(
        u32::try_from(bytes / 256)
            .unwrap_or(u32::MAX)
            .saturating_add(word),
    )
}

/// Charter calls and frames that are looked at at once.
const CALLS: usize = 16;

/// Which listed nodes are connected now.
#[derive(Clone, Default)]
pub struct Links(Arc<RwLock<HashSet<NodeId>>>);

impl Links {
    /// The nodes.
    pub fn now(&self) -> HashSet<NodeId> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, node: NodeId, up: bool) {
        let mut links = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if up {
            links.insert(node);
        } else {
            links.remove(&node);
        }
    }
}

/// Where the mesh's events go.
pub struct Receiver {
    /// Records and charters.
    pub exchange: Exchange,
    /// For answers to healing.
    pub answerer: Answerer,
    /// For verdicts.
    pub mesh: MeshHandle,
    /// For presence.
    pub book: AddressBook,
    /// Who is connected.
    pub links: Links,
    /// Tells the healer who came.
    pub arrivals: mpsc::Sender<NodeId>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// A frame of records that waits for its turn.
struct Waiting {
    ticket: Ticket,
    records: Vec<Carried>,
}

/// What the receiver keeps between events.
struct Desk {
    waiting: Fair<Waiting>,
    tabs: Tabs,
    room: Room,
    calls: Arc<Semaphore>,
    /// Frames the exchange has, and where it says that it is done with one, and what that one cost.
    at_exchange: usize,
    done: mpsc::Sender<(NodeId, Idle)>,
}

impl Receiver {
    /// Runs until `stop` or until the mesh has ended.
    pub async fn run(self, mut events: mpsc::Receiver<MeshEvent>, stop: CancellationToken) {
        let (done, mut charges) = mpsc::channel(AT_EXCHANGE);
        let mut desk = Desk {
            waiting: Fair::default(),
            tabs: Tabs::default(),
            room: Room::default(),
            calls: Arc::new(Semaphore::new(CALLS)),
            at_exchange: 0,
            done,
        };
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                event = events.recv() => match event {
                    None => return,
                    Some(event) => self.on_event(&mut desk, event).await,
                },
                Some((courier, idle)) = charges.recv() => {
                    desk.at_exchange = desk.at_exchange.saturating_sub(1);
                    desk.tabs.charge(&courier, idle, Instant::now());
                }
            }
            self.hand_over(&mut desk);
        }
    }

    async fn on_event(&self, desk: &mut Desk, event: MeshEvent) {
        match event {
            MeshEvent::Frame {
                courier,
                ticket,
                bytes,
            } => self.frame(desk, courier, ticket, &bytes).await,
            MeshEvent::Connected(node) => {
                self.links.set(node, true);
                // A full queue costs the time until the healer's next tick.
                let _ = self.arrivals.try_send(node);
            }
            MeshEvent::Disconnected(node) => {
                self.links.set(node, false);
                desk.room.forget(&node);
            }
            MeshEvent::Stream { from, stream } => {
                // One that finds no room is closed and comes again.
                let Some(place) = desk.room.take(from) else { return };
                let answerer = self.answerer.clone();
                tokio::spawn(async move {
                    answerer.stream(from, stream).await;
                    drop(place);
                });
            }
            MeshEvent::CharterCall {
                from,
                listed,
                question,
                answer,
            } => {
                // Of strangers the mesh hears few, and what they bring waits for nothing.
                if listed {
                    if !self.hears(desk, from).await {
                        return;
                    }
                    desk.tabs.charge(&from, call_cost(question.len()), Instant::now());
                }
                let Ok(permit) = Arc::clone(&desk.calls).try_acquire_owned() else {
                    return;
                };
                let exchange = self.exchange.clone();
                tokio::spawn(async move {
                    let told = answer::charter_call(exchange, from, listed, question).await;
                    // Who asked may have gone.
                    drop(answer.send(told));
                    drop(permit);
                });
            }
        }
    }

    /// Reads a frame, unless its courier has brought too much that was nothing new.
    async fn frame(&self, desk: &mut Desk, courier: NodeId, ticket: Ticket, bytes: &[u8]) {
        if !self.hears(desk, courier).await {
            return self.put_away(ticket);
        }
        match Frame::decode(bytes) {
            Err(_) => {
                desk.tabs.charge(&courier, Idle::WORD, Instant::now());
                self.mesh.verdict(ticket, mesh::Verdict::Reject);
            }
            Ok(Frame::Records(records)) => {
                let waiting = Waiting { ticket, records };
                if let Some(Waiting { ticket, .. }) = desk.waiting.push(courier, bytes.len(), waiting) {
                    self.put_away(ticket);
                }
            }
            Ok(Frame::Charter(charter)) => {
                // Seldom and dear: paid for whatever comes of it.
                desk.tabs
                    .charge(&courier, charter_cost(charter.len()), Instant::now());
                self.charter(ticket, charter, &desk.calls);
            }
            Ok(Frame::Presence(presence)) => {
                let standing = self.exchange.standing();
                let verdict = standing.charters.as_ref().map_or(Verdict::Ignore, |charters| {
                    self.book.hear(courier, &presence, charters, &standing)
                });
                self.word(desk, courier, ticket, verdict);
            }
            Ok(Frame::Head(head)) => self.head(desk, courier, ticket, head),
        }
    }

    /// Whether a courier is heard now; the link of one that goes on all the same is closed.
    async fn hears(&self, desk: &mut Desk, courier: NodeId) -> bool {
        let hearing = desk.tabs.hear(&courier, Instant::now());
        if hearing == Hearing::HangUp {
            tracing::warn!(peer = %courier, "a peer goes on sending what is nothing new: its link is closed");
            self.metrics.courier_hung_up();
            self.mesh.close(courier).await;
        }
        hearing == Hearing::Heard
    }

    fn word(&self, desk: &mut Desk, courier: NodeId, ticket: Ticket, verdict: Verdict) {
        if verdict != Verdict::Accept {
            desk.tabs.charge(&courier, Idle::WORD, Instant::now());
        }
        self.mesh.verdict(ticket, told(verdict));
    }

    /// Gives the exchange a head, if it has a place for one more.
    fn head(&self, desk: &mut Desk, courier: NodeId, ticket: Ticket, head: Vec<u8>) {
        if desk.at_exchange >= AT_EXCHANGE {
            return self.put_away(ticket);
        }
        let reply = self.reply(desk, courier, ticket);
        if let Err(reply) = self.exchange.offer_head(courier, head, reply) {
            reply(Verdict::Ignore, Idle(0));
        }
    }

    /// What takes the exchange's verdict on one of the frames it has, and what the courier pays for it.
    fn reply(&self, desk: &mut Desk, courier: NodeId, ticket: Ticket) -> VerdictReply {
        desk.at_exchange += 1;
        let (mesh, done) = (self.mesh.clone(), desk.done.clone());
        Box::new(move |verdict, idle| {
            mesh.verdict(ticket, told(verdict));
            // There is a place for each frame that the exchange has.
            let _ = done.try_send((courier, idle));
        })
    }

    fn put_away(&self, ticket: Ticket) {
        self.metrics.frame_unread();
        self.mesh.verdict(ticket, mesh::Verdict::Ignore);
    }

    /// Gives the exchange what waits, each courier in its turn.
    fn hand_over(&self, desk: &mut Desk) {
        while desk.at_exchange < AT_EXCHANGE
            && let Some((courier, Waiting { ticket, records })) = desk.waiting.take()
        {
            let reply = self.reply(desk, courier, ticket);
            // A full inbox is nobody's fault; healing brings the records again.
            if let Err(reply) = self.exchange.offer_frame(courier, records, reply) {
                reply(Verdict::Ignore, Idle(0));
            }
        }
    }

    fn charter(&self, ticket: Ticket, charter: Vec<u8>, calls: &Arc<Semaphore>) {
        let (mesh, exchange) = (self.mesh.clone(), self.exchange.clone());
        let Ok(permit) = Arc::clone(calls).try_acquire_owned() else {
            return mesh.verdict(ticket, mesh::Verdict::Ignore);
        };
        tokio::spawn(async move {
            let verdict = match exchange.charters(vec![charter]).await {
                Ok(CharterFate::Adopted | CharterFate::Sibling) => Verdict::Accept,
                Ok(CharterFate::Refused(reason)) => {
                    tracing::warn!(reason, "a gossiped charter was refused");
                    Verdict::Reject
                }
                Ok(CharterFate::Known | CharterFate::Gap | CharterFate::Beside) | Err(_) => Verdict::Ignore,
            };
            mesh.verdict(ticket, told(verdict));
            drop(permit);
        });
    }
}

fn told(verdict: Verdict) -> mesh::Verdict {
    match verdict {
        Verdict::Accept => mesh::Verdict::Accept,
        Verdict::Reject => mesh::Verdict::Reject,
        Verdict::Ignore => mesh::Verdict::Ignore,
    }
}
