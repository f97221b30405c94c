//! What the mesh tells goes where it belongs: records to the exchange, presence to the address
//! book, questions and streams to the healer's answering half.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use hanse_protocol::frame::Frame;
use hanse_protocol::identity::NodeId;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::exchange::{CharterFate, Exchange, Verdict};
use crate::healer::answer;
use crate::mesh::{self, MeshEvent, MeshHandle, Ticket};
use crate::presence::AddressBook;
use crate::store::Reader;

/// Streams that are answered at once; a further one is closed and comes again.
const STREAMS: usize = 32;

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
    /// For answers.
    pub store: Reader,
    /// For verdicts.
    pub mesh: MeshHandle,
    /// For presence.
    pub book: AddressBook,
    /// Who is connected.
    pub links: Links,
    /// Tells the healer who came.
    pub arrivals: mpsc::Sender<NodeId>,
}

impl Receiver {
    /// Runs until `stop` or until the mesh has ended.
    pub async fn run(self, mut events: mpsc::Receiver<MeshEvent>, stop: CancellationToken) {
        let streams = Arc::new(Semaphore::new(STREAMS));
        let calls = Arc::new(Semaphore::new(CALLS));
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                event = events.recv() => event,
            };
            match event {
                None => return,
                Some(MeshEvent::Frame {
                    courier,
                    ticket,
                    bytes,
                }) => {
                    self.frame(courier, ticket, &bytes, &calls);
                }
                Some(MeshEvent::Connected(node)) => {
                    self.links.set(node, true);
                    // A full queue costs the time until the healer's next tick.
                    let _ = self.arrivals.try_send(node);
                }
                Some(MeshEvent::Disconnected(node)) => self.links.set(node, false),
                Some(MeshEvent::Stream { from, stream }) => {
                    let Ok(permit) = Arc::clone(&streams).try_acquire_owned() else {
                        continue;
                    };
                    let (exchange, store) = (self.exchange.clone(), self.store.clone());
                    tokio::spawn(async move {
                        answer::stream(exchange, store, from, stream).await;
                        drop(permit);
                    });
                }
                Some(MeshEvent::CharterCall {
                    from,
                    listed,
                    question,
                    answer,
                }) => {
                    let Ok(permit) = Arc::clone(&calls).try_acquire_owned() else {
                        continue;
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
    }

    fn frame(&self, courier: NodeId, ticket: Ticket, bytes: &[u8], calls: &Arc<Semaphore>) {
        let mesh = self.mesh.clone();
        match Frame::decode(bytes) {
            Err(_) => mesh.verdict(ticket, mesh::Verdict::Reject),
            Ok(Frame::Records(records)) => {
                let reply = move |verdict| mesh.verdict(ticket, told(verdict));
                // A full inbox is nobody's fault; healing brings the records again.
                if let Err(reply) = self.exchange.offer_frame(courier, records, Box::new(reply)) {
                    reply(Verdict::Ignore);
                }
            }
            Ok(Frame::Charter(charter)) => self.charter(ticket, charter, calls),
            Ok(Frame::Presence(presence)) => {
                let standing = self.exchange.standing();
                let verdict = standing.charters.as_ref().map_or(Verdict::Ignore, |charters| {
                    self.book.hear(&presence, charters, &standing)
                });
                mesh.verdict(ticket, told(verdict));
            }
            Ok(Frame::Head(head)) => {
                let reply = move |verdict| mesh.verdict(ticket, told(verdict));
                if let Err(reply) = self.exchange.offer_head(courier, head, Box::new(reply)) {
                    reply(Verdict::Ignore);
                }
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
