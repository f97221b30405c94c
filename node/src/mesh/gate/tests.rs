//! Whatever happens to connections, the behaviour behind the gate sees an orderly world.

use std::collections::BTreeMap;

use futures::task::noop_waker;
use libp2p::swarm::THandlerOutEvent;
use proptest::prelude::*;

use super::*;

/// A behaviour that panics when its world is not orderly: each peer has one connection or none, which
/// is made, established and closed in this order, and all it hears comes over that.
#[derive(Default)]
struct Witness {
    made: BTreeMap<PeerId, ConnectionId>,
    established: BTreeMap<PeerId, ConnectionId>,
    asks: Vec<ToSwarm<(), std::convert::Infallible>>,
}

impl Witness {
    fn make(&mut self, peer: PeerId, connection: ConnectionId) {
        assert_eq!(
            self.made.insert(peer, connection),
            None,
            "a second connection of one peer"
        );
    }
}

impl NetworkBehaviour for Witness {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = ();

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.make(peer, connection);
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.make(peer, connection);
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(event) => {
                assert_eq!(event.other_established, 0);
                assert_eq!(self.made.get(&event.peer_id), Some(&event.connection_id));
                assert_eq!(self.established.insert(event.peer_id, event.connection_id), None);
            }
            FromSwarm::ConnectionClosed(event) => {
                assert_eq!(event.remaining_established, 0);
                assert_eq!(self.made.remove(&event.peer_id), Some(event.connection_id));
                assert_eq!(self.established.remove(&event.peer_id), Some(event.connection_id));
            }
            FromSwarm::AddressChange(event) => {
                assert_eq!(self.established.get(&event.peer_id), Some(&event.connection_id));
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<(), std::convert::Infallible>> {
        self.asks.pop().map_or(Poll::Pending, Poll::Ready)
    }
}

#[derive(Clone, Debug)]
enum Happening {
    Comes {
        peer: usize,
        inbound: bool,
        admitted: bool,
    },
    Goes {
        which: usize,
    },
    Moves {
        which: usize,
    },
    CloseAsked {
        peer: usize,
    },
    Forgotten {
        peer: usize,
    },
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => (0..3_usize, any::<bool>(), any::<bool>())
            .prop_map(|(peer, inbound, admitted)| Happening::Comes { peer, inbound, admitted }),
        2 => any::<usize>().prop_map(|which| Happening::Goes { which }),
        1 => any::<usize>().prop_map(|which| Happening::Moves { which }),
        1 => (0..3_usize).prop_map(|peer| Happening::CloseAsked { peer }),
        1 => (0..3_usize).prop_map(|peer| Happening::Forgotten { peer }),
    ]
}

struct World {
    gate: Gated<Witness>,
    admitted: Admitted,
    peers: [PeerId; 3],
    /// All that is open: peer, connection, whether it was admitted. The older first.
    open: Vec<(PeerId, ConnectionId, bool)>,
    born: usize,
}

impl World {
    fn new() -> Self {
        let admitted = Admitted::default();
        Self {
            gate: Gated::new(Witness::default(), admitted.clone()),
            admitted,
            peers: std::array::from_fn(|_| PeerId::random()),
            open: Vec::new(),
            born: 0,
        }
    }

    fn comes(&mut self, peer: PeerId, inbound: bool, admitted: bool) {
        self.born += 1;
        let connection = ConnectionId::new_unchecked(self.born);
        if admitted {
            self.admitted.insert(connection);
        }
        let at = place();
        let handler = if inbound {
            self.gate
                .handle_established_inbound_connection(connection, peer, &at, &at)
        } else {
            let port = PortUse::New;
            self.gate
                .handle_established_outbound_connection(connection, peer, &at, Endpoint::Dialer, port)
        };
        assert_eq!(matches!(handler.unwrap(), Either::Left(_)), admitted);
        let others = self.open.iter().filter(|(of, ..)| *of == peer).count();
        self.gate
            .on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id: peer,
                connection_id: connection,
                endpoint: &point(),
                failed_addresses: &[],
                other_established: others,
            }));
        self.open.push((peer, connection, admitted));
    }

    fn goes(&mut self, which: usize) {
        let (peer, connection, _) = self.open.remove(which);
        self.admitted.remove(&connection);
        let others = self.open.iter().filter(|(of, ..)| *of == peer).count();
        self.gate
            .on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
                peer_id: peer,
                connection_id: connection,
                endpoint: &point(),
                cause: None,
                remaining_established: others,
            }));
    }

    fn moves(&mut self, which: usize) {
        let (peer_id, connection_id, _) = self.open[which];
        self.gate.on_swarm_event(FromSwarm::AddressChange(AddressChange {
            peer_id,
            connection_id,
            old: &point(),
            new: &point(),
        }));
    }

    /// Asked to close all connections of a peer, the gate passes on the one that is known.
    fn close_asked(&mut self, peer: PeerId) {
        let known = self.gate.inner.established.get(&peer).copied();
        let connection = CloseConnection::All;
        self.gate.inner.asks.push(ToSwarm::CloseConnection {
            peer_id: peer,
            connection,
        });
        match self.gate.poll(&mut Context::from_waker(&noop_waker())) {
            Poll::Ready(ToSwarm::CloseConnection {
                connection: CloseConnection::One(one),
                ..
            }) => assert_eq!(Some(one), known),
            Poll::Pending => assert_eq!(known, None),
            other => panic!("passed on as {other:?}"),
        }
    }

    /// The behaviour knows a peer by its newest admitted connection, until that one closes.
    fn check(&self) {
        for (peer, connection) in &self.gate.inner.established {
            let mut of_peer = self
                .open
                .iter()
                .filter(|(of, _, admitted)| of == peer && *admitted);
            assert_eq!(of_peer.next_back().map(|(_, open, _)| open), Some(connection));
        }
        assert_eq!(self.gate.inner.established, self.gate.inner.made);
        assert_eq!(self.gate.known.len(), self.gate.inner.made.len());
    }
}

fn place() -> Multiaddr {
    "/ip4/192.0.2.1/tcp/1".parse().unwrap()
}

fn point() -> ConnectedPoint {
    ConnectedPoint::Listener {
        local_addr: place(),
        send_back_addr: place(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_world_behind_the_gate_is_orderly(happenings in proptest::collection::vec(happening(), 1..60)) {
        let mut world = World::new();
        for happening in happenings {
            let open = world.open.len();
            match happening {
                Happening::Comes { peer, inbound, admitted } => world.comes(world.peers[peer], inbound, admitted),
                Happening::Goes { which } if open > 0 => world.goes(which % open),
                Happening::Moves { which } if open > 0 => world.moves(which % open),
                Happening::CloseAsked { peer } => world.close_asked(world.peers[peer]),
                Happening::Forgotten { peer } => {
                    world.gate.forget(&world.peers[peer]);
                    prop_assert!(!world.gate.inner.made.contains_key(&world.peers[peer]));
                }
                _ => {}
            }
            world.check();
        }
        while !world.open.is_empty() {
            world.goes(0);
        }
        prop_assert!(world.gate.known.is_empty() && world.gate.inner.made.is_empty());
    }
}
