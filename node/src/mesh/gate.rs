//! The gate before gossip and streams: on a connection that was not admitted they do not exist.
//!
//! [`Gated`] wraps a behaviour. An admitted connection gets the behaviour's own handler, any other
//! gets one that offers nothing, so that a stranger's negotiation is answered with "not available".
//! The door decides which connections are admitted, once, as they are established; what a connection
//! is never changes.
//!
//! The behaviour inside sees one connection a peer at most. When the door admits another, the
//! behaviour is first told that the old one closed, and what the old one still says is dropped. Two
//! live connections would be worse than none: gossipsub announces its subscriptions on the first
//! only, and would never repeat them if that one went.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::swarm::behaviour::{AddressChange, ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::derive_prelude::Either;
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

/// The connections the door admitted, shared with the behaviours behind the gate. Only the swarm's
/// task touches it; the lock is never contended.
#[derive(Clone, Debug, Default)]
pub(super) struct Admitted(Arc<Mutex<HashSet<ConnectionId>>>);

impl Admitted {
    pub(super) fn insert(&self, connection: ConnectionId) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(connection);
    }

    pub(super) fn remove(&self, connection: &ConnectionId) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(connection);
    }

    fn has(&self, connection: &ConnectionId) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(connection)
    }
}

/// The connection by which the behaviour inside knows a peer.
#[derive(Debug)]
struct Known {
    connection: ConnectionId,
    endpoint: ConnectedPoint,
}

/// A behaviour that only admitted connections reach.
pub(super) struct Gated<B> {
    inner: B,
    admitted: Admitted,
    known: HashMap<PeerId, Known>,
    /// When something last came from a peer for the behaviour, whatever became of it.
    heard: HashMap<PeerId, Instant>,
}

impl<B: NetworkBehaviour> Gated<B> {
    pub(super) fn new(inner: B, admitted: Admitted) -> Self {
        Self {
            inner,
            admitted,
            known: HashMap::new(),
            heard: HashMap::new(),
        }
    }

    /// When something last came from a peer over its present connection; none if nothing has.
    pub(super) fn heard(&self, peer: &PeerId) -> Option<Instant> {
        self.heard.get(peer).copied()
    }

    pub(super) fn inner(&self) -> &B {
        &self.inner
    }

    pub(super) fn inner_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    fn knows(&self, peer: &PeerId, connection: &ConnectionId) -> bool {
        self.known
            .get(peer)
            .is_some_and(|known| known.connection == *connection)
    }

    /// Takes leave of a peer at once, before its connection has closed: nothing more is sent to it.
    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.heard.remove(peer);
        if let Some(known) = self.known.remove(peer) {
            self.inner
                .on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
                    peer_id: *peer,
                    connection_id: known.connection,
                    endpoint: &known.endpoint,
                    cause: None,
                    remaining_established: 0,
                }));
        }
    }

    /// Makes `connection` the one by which `peer` is known, taking leave of the one before.
    fn succeed(&mut self, peer: PeerId, connection: ConnectionId, endpoint: ConnectedPoint) {
        self.forget(&peer);
        self.known.insert(peer, Known { connection, endpoint });
    }

    fn established(&mut self, event: ConnectionEstablished) {
        if self.knows(&event.peer_id, &event.connection_id) {
            let event = ConnectionEstablished {
                other_established: 0,
                ..event
            };
            self.inner.on_swarm_event(FromSwarm::ConnectionEstablished(event));
        }
    }

    fn closed(&mut self, event: ConnectionClosed) {
        if self.knows(&event.peer_id, &event.connection_id) {
            self.known.remove(&event.peer_id);
            self.heard.remove(&event.peer_id);
            let event = ConnectionClosed {
                remaining_established: 0,
                ..event
            };
            self.inner.on_swarm_event(FromSwarm::ConnectionClosed(event));
        }
    }

    fn moved(&mut self, event: AddressChange) {
        if let Some(known) = self.known.get_mut(&event.peer_id)
            && known.connection == event.connection_id
        {
            known.endpoint = event.new.clone();
            self.inner.on_swarm_event(FromSwarm::AddressChange(event));
        }
    }

    /// Puts what the behaviour asks for in terms of the one connection it knows; `None` if the
    /// peer it speaks to is gone.
    fn outward(&self, asked: Asked<B>) -> Option<ToSwarm<B::ToSwarm, THandlerInEvent<Self>>> {
        match asked {
            ToSwarm::NotifyHandler {
                peer_id,
                handler,
                event,
            } => {
                let known = self.known.get(&peer_id)?.connection;
                match handler {
                    NotifyHandler::One(connection) if connection != known => None,
                    NotifyHandler::One(_) | NotifyHandler::Any => Some(ToSwarm::NotifyHandler {
                        peer_id,
                        handler: NotifyHandler::One(known),
                        event: Either::Left(event),
                    }),
                }
            }
            ToSwarm::CloseConnection {
                peer_id,
                connection: CloseConnection::All,
            } => Some(ToSwarm::CloseConnection {
                peer_id,
                connection: CloseConnection::One(self.known.get(&peer_id)?.connection),
            }),
            other => Some(other.map_in(Either::Left)),
        }
    }
}

type Asked<B> = ToSwarm<<B as NetworkBehaviour>::ToSwarm, THandlerInEvent<B>>;

impl<B: NetworkBehaviour> NetworkBehaviour for Gated<B> {
    type ConnectionHandler = Either<THandler<B>, dummy::ConnectionHandler>;
    type ToSwarm = B::ToSwarm;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.admitted.has(&connection) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        let endpoint = ConnectedPoint::Listener {
            local_addr: local.clone(),
            send_back_addr: remote.clone(),
        };
        self.succeed(peer, connection, endpoint);
        let handler = self
            .inner
            .handle_established_inbound_connection(connection, peer, local, remote)?;
        Ok(Either::Left(handler))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role_override: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.admitted.has(&connection) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        let endpoint = ConnectedPoint::Dialer {
            address: address.clone(),
            role_override,
            port_use,
        };
        self.succeed(peer, connection, endpoint);
        let handler = self.inner.handle_established_outbound_connection(
            connection,
            peer,
            address,
            role_override,
            port_use,
        )?;
        Ok(Either::Left(handler))
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(event) => self.established(event),
            FromSwarm::ConnectionClosed(event) => self.closed(event),
            FromSwarm::AddressChange(event) => self.moved(event),
            // Failed dials and failed handshakes never were connections; the rest names none.
            other => self.inner.on_swarm_event(other),
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            Either::Left(event) if self.knows(&peer, &connection) => {
                self.heard.insert(peer, Instant::now());
                self.inner.on_connection_handler_event(peer, connection, event);
            }
            Either::Left(_) => {}
            Either::Right(never) => match never {},
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        while let Poll::Ready(asked) = self.inner.poll(cx) {
            if let Some(outward) = self.outward(asked) {
                return Poll::Ready(outward);
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
