//! Who comes in: decides about each connection as it is established, keeps one link a member, and
//! sees strangers out.
//!
//! **Which of two connections is kept.** Both ends must choose alike without asking. Two dialled by
//! the same end: the newer, for that end would not have dialled had it still had the older. One from
//! each end: if the older is young they were dialled at the same moment, and the one dialled by the
//! node with the smaller name is kept; if it is not young, the other end has lost it, and the newer
//! is kept.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hanse_protocol::identity::NodeId;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished, DialFailure, ListenFailure};
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};
use tokio::time::{Instant, Sleep, sleep_until};

use super::bucket::Bucket;
use super::cut::Switches;
use super::gate::Admitted;
use super::meters::Meters;
use super::names::node_of;

/// Connections of unlisted peers at any one time.
const STRANGERS: usize = 16;

/// Charter questions an unlisted peer may ask on one connection.
const CALLS: u32 = 2;

/// Charter questions of all unlisted peers together: so many at once, and so many a second after.
const CALLS_AT_ONCE: f64 = 16.0;
const CALLS_A_SECOND: f64 = 4.0;

/// How long a connection stays after the last answer on it, so that the answer is read before the
/// socket goes: closing a socket with bytes unread makes the other end drop what it has not read.
const LINGER: Duration = Duration::from_millis(250);

/// How long a connection may take to close before it is cut.
const GOODBYE: Duration = Duration::from_secs(5);

/// How old a link is at most if it may have been dialled at the same moment as another.
const TWIN: Duration = Duration::from_secs(30);

/// A member's connection.
#[derive(Clone, Debug)]
pub(super) struct Link {
    connection: ConnectionId,
    pub(super) node: NodeId,
    pub(super) address: Multiaddr,
    pub(super) outbound: bool,
    pub(super) since: Instant,
    announced: bool,
}

/// An unlisted peer's connection.
#[derive(Debug)]
struct Stranger {
    peer: PeerId,
    calls: u32,
    open_calls: u32,
}

/// What is to be done about a connection that is not to stay.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Close it, for this reason.
    Close(&'static str),
    /// Cut it: it was closed and is still here.
    Cut,
}

/// What the door tells the swarm's owner.
#[derive(Debug)]
pub(super) enum DoorEvent {
    /// A member is connected that was not.
    Up(NodeId),
    /// A member is no longer connected; its link lived this long.
    Down(NodeId, Duration),
}

/// Why a connection was refused. Seen in logs only: the other end just sees it close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("the peer has no ed25519 key")]
    Nameless,
    #[error("the peer has another connection that is kept")]
    Twin,
    #[error("too many strangers are here")]
    Crowded,
    #[error("the peer is no longer listed")]
    Unlisted,
}

impl Refused {
    fn kind(self) -> &'static str {
        match self {
            Self::Nameless => "nameless",
            Self::Twin => "twin",
            Self::Crowded => "crowded",
            Self::Unlisted => "unlisted",
        }
    }
}

/// What may be done with a charter question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hearing {
    Member,
    Stranger,
    /// Over the limit; the connection is being closed.
    Refused,
}

/// The behaviour at the door. It must stand before the behaviours that remember connections, since a
/// connection may be refused here and they would not be told.
pub(super) struct Door {
    own: NodeId,
    patience: Duration,
    meters: Meters,
    admitted: Admitted,
    listed: HashSet<PeerId>,
    links: HashMap<PeerId, Link>,
    strangers: HashMap<ConnectionId, Stranger>,
    /// The next step with each connection that is not to stay, and when.
    leaving: HashMap<ConnectionId, (Instant, PeerId, Step)>,
    /// Where each connection comes from or leads to.
    addresses: HashMap<ConnectionId, Multiaddr>,
    switches: Switches,
    calls: Bucket,
    asked: VecDeque<ToSwarm<DoorEvent, THandlerInEvent<Self>>>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Door {
    pub(super) fn new(
        own: NodeId,
        patience: Duration,
        admitted: Admitted,
        meters: Meters,
        switches: Switches,
    ) -> Self {
        Self {
            own,
            patience,
            meters,
            admitted,
            listed: HashSet::new(),
            links: HashMap::new(),
            strangers: HashMap::new(),
            leaving: HashMap::new(),
            addresses: HashMap::new(),
            switches,
            calls: Bucket::new(CALLS_AT_ONCE, CALLS_A_SECOND, Instant::now()),
            asked: VecDeque::new(),
            alarm: None,
        }
    }

    /// The link of a listed member, if it is connected.
    pub(super) fn link(&self, peer: &PeerId) -> Option<&Link> {
        self.links
            .get(peer)
            .filter(|link| link.announced && self.listed.contains(peer))
    }

    /// The links of all listed members that are connected.
    pub(super) fn links(&self) -> impl Iterator<Item = (&PeerId, &Link)> {
        let listed = |(peer, link): &(&PeerId, &Link)| link.announced && self.listed.contains(peer);
        self.links.iter().filter(listed)
    }

    /// Takes over who is listed. Links of the expelled close now; a stranger that is now listed is
    /// let go to come back as a member, after the answer it may be waiting for. Answers who is expelled.
    pub(super) fn revise(&mut self, listed: HashSet<PeerId>) -> Vec<PeerId> {
        self.listed = listed;
        let expelled = self.links.iter().filter(|(peer, _)| !self.listed.contains(peer));
        let expelled: Vec<_> = expelled.map(|(peer, link)| (*peer, link.connection)).collect();
        for (peer, connection) in &expelled {
            self.close(*peer, *connection, "expelled");
        }
        let welcome = self.strangers.iter();
        let welcome =
            welcome.filter(|(_, stranger)| self.listed.contains(&stranger.peer) && stranger.open_calls == 0);
        let welcome: Vec<_> = welcome
            .map(|(connection, stranger)| (stranger.peer, *connection))
            .collect();
        for (peer, connection) in welcome {
            self.close(peer, connection, "listed");
        }
        expelled.into_iter().map(|(peer, _)| peer).collect()
    }

    /// Closes a member's link.
    pub(super) fn hang_up(&mut self, peer: &PeerId, why: &'static str) {
        if let Some(connection) = self.links.get(peer).map(|link| link.connection) {
            self.close(*peer, connection, why);
        }
    }

    /// Notes a charter question and says what may be done with it.
    pub(super) fn hear(&mut self, peer: PeerId, connection: ConnectionId) -> Hearing {
        let Some(stranger) = self.strangers.get_mut(&connection) else {
            return match self.link(&peer) {
                Some(_) => Hearing::Member,
                None => Hearing::Refused,
            };
        };
        stranger.calls += 1;
        if stranger.calls > CALLS || !self.calls.take(1.0, Instant::now()) {
            self.close(peer, connection, "talkative");
            return Hearing::Refused;
        }
        stranger.open_calls += 1;
        Hearing::Stranger
    }

    /// A charter question has its answer, or will have none. The connection goes if it was told to,
    /// or if its peer has been listed meanwhile and has to come back as a member.
    pub(super) fn answered(&mut self, peer: PeerId, connection: ConnectionId, close: bool) {
        let mut leaves = close;
        if let Some(stranger) = self.strangers.get_mut(&connection) {
            stranger.open_calls = stranger.open_calls.saturating_sub(1);
            leaves |= stranger.open_calls == 0 && self.listed.contains(&stranger.peer);
        }
        if leaves && self.addresses.contains_key(&connection) {
            self.leave(connection, peer, LINGER, Step::Close("answered"));
        }
    }

    fn close(&mut self, peer: PeerId, connection: ConnectionId, why: &'static str) {
        self.meters.closed(why);
        self.leave(connection, peer, GOODBYE, Step::Cut);
        self.asked.push_back(ToSwarm::CloseConnection {
            peer_id: peer,
            connection: CloseConnection::One(connection),
        });
    }

    fn cut(&mut self, peer: PeerId, connection: ConnectionId) {
        self.leaving.remove(&connection);
        if let Some(address) = self.addresses.get(&connection) {
            self.meters.closed("cut");
            self.switches.cut(&peer, address);
        }
    }

    fn leave(&mut self, connection: ConnectionId, peer: PeerId, after: Duration, step: Step) {
        self.leaving
            .insert(connection, (Instant::now() + after, peer, step));
    }

    fn welcome(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        outbound: bool,
    ) -> Result<(), Refused> {
        let node = node_of(&peer).ok_or(Refused::Nameless)?;
        if !self.listed.contains(&peer) {
            return self.receive(connection, peer, outbound);
        }
        let old = self.links.get(&peer);
        if old.is_some_and(|old| keeps(self.own, old, outbound, Instant::now())) {
            return Err(Refused::Twin);
        }
        let link = Link {
            connection,
            node,
            address: address.clone(),
            outbound,
            since: Instant::now(),
            announced: old.is_some_and(|old| old.announced),
        };
        self.admitted.insert(connection);
        if let Some(old) = self.links.insert(peer, link) {
            self.close(peer, old.connection, "superseded");
        }
        Ok(())
    }

    fn receive(&mut self, connection: ConnectionId, peer: PeerId, outbound: bool) -> Result<(), Refused> {
        if outbound {
            return Err(Refused::Unlisted);
        }
        let again = self.strangers.values().any(|stranger| stranger.peer == peer);
        if again || self.strangers.len() >= STRANGERS {
            return Err(Refused::Crowded);
        }
        let stranger = Stranger {
            peer,
            calls: 0,
            open_calls: 0,
        };
        self.strangers.insert(connection, stranger);
        self.leave(connection, peer, self.patience, Step::Close("overdue"));
        Ok(())
    }

    fn denied(&self, refused: Refused) -> ConnectionDenied {
        self.meters.closed(refused.kind());
        ConnectionDenied::new(refused)
    }

    fn established(&mut self, event: &ConnectionEstablished) {
        if let Some(link) = self.links.get_mut(&event.peer_id)
            && link.connection == event.connection_id
            && !link.announced
        {
            link.announced = true;
            self.asked
                .push_back(ToSwarm::GenerateEvent(DoorEvent::Up(link.node)));
        }
        self.meters.connected(self.links.len(), self.strangers.len());
    }

    fn gone(&mut self, peer: Option<PeerId>, connection: ConnectionId) {
        self.admitted.remove(&connection);
        self.leaving.remove(&connection);
        self.addresses.remove(&connection);
        self.strangers.remove(&connection);
        let current = |peer: &PeerId| {
            self.links
                .get(peer)
                .is_some_and(|link| link.connection == connection)
        };
        if let Some(link) = peer.filter(current).and_then(|peer| self.links.remove(&peer))
            && link.announced
        {
            let down = DoorEvent::Down(link.node, link.since.elapsed());
            self.asked.push_back(ToSwarm::GenerateEvent(down));
        }
        self.meters.connected(self.links.len(), self.strangers.len());
    }

    /// Closes what is due and sets the alarm for what is next.
    fn see_out(&mut self) {
        let now = Instant::now();
        let due = self.leaving.iter().filter(|(_, (when, ..))| *when <= now);
        let due: Vec<_> = due
            .map(|(connection, (_, peer, step))| (*peer, *connection, *step))
            .collect();
        for (peer, connection, step) in due {
            match step {
                Step::Close(why) => self.close(peer, connection, why),
                Step::Cut => self.cut(peer, connection),
            }
        }
        self.alarm = match (
            self.leaving.values().map(|(when, ..)| *when).min(),
            self.alarm.take(),
        ) {
            (Some(next), Some(mut alarm)) => {
                alarm.as_mut().reset(next);
                Some(alarm)
            }
            (Some(next), None) => Some(Box::pin(sleep_until(next))),
            (None, _) => None,
        };
    }
}

/// Whether an older link is kept against a newer connection to the same peer. See the file's head.
fn keeps(own: NodeId, old: &Link, newer_outbound: bool, now: Instant) -> bool {
    let twins = old.outbound != newer_outbound && now.saturating_duration_since(old.since) < TWIN;
    twins && old.outbound == (own < old.node)
}

impl NetworkBehaviour for Door {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = DoorEvent;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let welcome = self.welcome(connection, peer, remote, false);
        welcome.map_err(|refused| self.denied(refused))?;
        self.addresses.insert(connection, remote.clone());
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let welcome = self.welcome(connection, peer, address, true);
        welcome.map_err(|refused| self.denied(refused))?;
        self.addresses.insert(connection, address.clone());
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(event) => self.established(&event),
            FromSwarm::ConnectionClosed(ConnectionClosed {
                peer_id,
                connection_id,
                ..
            }) => self.gone(Some(peer_id), connection_id),
            FromSwarm::DialFailure(DialFailure {
                peer_id,
                connection_id,
                ..
            })
            | FromSwarm::ListenFailure(ListenFailure {
                peer_id,
                connection_id,
                ..
            }) => self.gone(peer_id, connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        loop {
            if let Some(asked) = self.asked.pop_front() {
                return Poll::Ready(asked);
            }
            self.see_out();
            match &mut self.alarm {
                _ if !self.asked.is_empty() => {}
                Some(alarm) => match alarm.as_mut().poll(cx) {
                    Poll::Ready(()) => {}
                    Poll::Pending => return Poll::Pending,
                },
                None => return Poll::Pending,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn link(node: NodeId, outbound: bool, since: Instant) -> Link {
        Link {
            connection: ConnectionId::new_unchecked(1),
            node,
            address: Multiaddr::empty(),
            outbound,
            since,
            announced: true,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Two connections dialled at the same moment, one from each end: whichever each end sees
        /// first, both keep the same one.
        #[test]
        fn both_ends_keep_the_same_of_two_twins(one: [u8; 32], other: [u8; 32], first_here: bool, first_there: bool) {
            prop_assume!(one != other);
            let now = Instant::now();
            // Answers whether the connection that `own` dialled is kept, seen from `own`.
            let keeps_its_own = |own, peer, own_first: bool| {
                let older_kept = keeps(NodeId(own), &link(NodeId(peer), own_first, now), !own_first, now);
                older_kept == own_first
            };
            prop_assert_ne!(keeps_its_own(one, other, first_here), keeps_its_own(other, one, first_there));
        }

        /// One that dials again has lost what it had, so the newer is kept.
        #[test]
        fn the_newer_of_two_from_one_end_is_kept(own: [u8; 32], peer: [u8; 32], outbound: bool) {
            let now = Instant::now();
            let old = link(NodeId(peer), outbound, now);
            prop_assert!(!keeps(NodeId(own), &old, outbound, now));
        }
    }

    #[test]
    fn a_link_that_is_not_young_gives_way_to_any_newer() {
        let (small, large) = (NodeId([1; 32]), NodeId([2; 32]));
        let now = Instant::now();
        let old = link(large, true, now);
        assert!(keeps(small, &old, false, now));
        assert!(!keeps(small, &old, false, now + TWIN));
    }
}
