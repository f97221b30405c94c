//! The task that owns the swarm. Its loop is one `select!`, each arm of which calls one method.

mod calls;
mod frames;
mod setup;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use hanse_protocol::identity::{CommunityId, NodeId};
use libp2p::connection_limits;
use libp2p::core::transport::ListenerId;
use libp2p::gossipsub::TopicHash;
use libp2p::identity::Keypair;
use libp2p::request_response::{InboundRequestId, OutboundRequestId};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Stream, Swarm};
use libp2p_stream::IncomingStreams;
use prometheus_client::registry::Registry;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::bucket::Pace;
use super::charter::{AnswerTo, Calls};
use super::cut::Switches;
use super::dialler::{Dial, Dialler};
use super::door::{Door, DoorEvent};
use super::gate::Gated;
use super::gossip::{self, Gossip};
use super::handle::{Command, MeshHandle, STREAMS, Ticket};
use super::meters::Meters;
use super::names::{node_of, peer_of};
use super::resolve::{is_named, resolve};
use super::silence::{Look, Silence};
use super::slow::Slow;
use super::transport::Underlay;
use super::{
    CharterAnswer, Membership, MeshError, MeshEvent, MeshSettings, MeshStream, PeerInfo, Profile, Verdict,
    transport,
};

/// Frames that may await their verdict, and so verdicts that may wait to be read. With frames of
/// usual size they hold 32 MiB.
const AWAITING: usize = 1_024;

/// How long an accepted frame of IDONTWANT size waits before it travels on. Neighbours that got it
/// from its author too say so in this time, and are spared a second copy. Small frames do not wait.
const COURTESY: Duration = Duration::from_millis(25);

/// What each frame that waits already adds to that: the more there is to send, the longer word of
/// what is held takes, and the more a spared copy is worth.
const COURTESY_UNDER_LOAD: Duration = Duration::from_millis(2);

/// Longest such wait, well within the time a frame is remembered.
const MOST_COURTESY: Duration = Duration::from_millis(250);

/// Commands that may wait to be read.
const COMMANDS: usize = 256;

/// Charter calls of ours that may await their answer.
const CALLS: usize = 64;

/// Streams one connection may have in negotiation.
const NEGOTIATIONS: usize = 32;

/// Links stay while both ends live, however quiet. Strangers are seen out by the door.
const IDLE: Duration = Duration::from_secs(365 * 24 * 3_600);

/// The protocols of a swarm. The order matters: the first two may refuse a connection, and those
/// after them take every connection they are shown for one that stands.
#[derive(NetworkBehaviour)]
struct Protocols {
    handshakes: connection_limits::Behaviour,
    door: Door,
    gossip: Gated<Gossip>,
    streams: Gated<libp2p_stream::Behaviour>,
    calls: Calls,
}

/// Who waits for the answer to a charter question of ours.
type Asker = oneshot::Sender<Result<Vec<u8>, MeshError>>;

/// A question of another, with what is to be answered.
type Asked = (
    AnswerTo,
    PeerId,
    ConnectionId,
    InboundRequestId,
    Option<CharterAnswer>,
);

/// The swarm and all that waits on it.
pub(super) struct Engine {
    swarm: Swarm<Protocols>,
    topic: TopicHash,
    dialler: Dialler,
    /// When the dialler next has something to say. Looked up only when something changes for it, since
    /// it goes through every listed node.
    dial_at: Option<Instant>,
    /// Dials whose addresses are being looked up, one a node at most.
    resolving: FuturesUnordered<BoxFuture<'static, Dial>>,
    pace: Pace,
    slow: Slow,
    silence: Silence,
    /// When links are next looked at for silence.
    look_at: Instant,
    meters: Meters,
    membership: watch::Receiver<Arc<Membership>>,
    /// False once nobody is left to change the membership.
    membership_lives: bool,
    events: mpsc::Sender<MeshEvent>,
    commands: mpsc::Receiver<Command>,
    verdicts: mpsc::Receiver<(Ticket, Verdict)>,
    places: Arc<Semaphore>,
    /// Accepted frames that wait out their courtesy, the first to travel on first.
    courteous: VecDeque<(Instant, Ticket)>,
    streams: IncomingStreams,
    /// Charter questions of others that the node is thinking about.
    asked: FuturesUnordered<BoxFuture<'static, Asked>>,
    /// Answers being sent, and whether the connection goes after.
    answering: HashMap<InboundRequestId, bool>,
    /// Charter questions of ours.
    asking: HashMap<OutboundRequestId, (NodeId, Asker)>,
    /// Members whose coming or going is to be told, each once.
    changed: VecDeque<NodeId>,
    /// Members of whom the last thing told is that they are connected.
    told: HashSet<NodeId>,
    unheard_listeners: HashSet<ListenerId>,
    asked_for_listeners: Vec<oneshot::Sender<Vec<String>>>,
}

impl Engine {
    pub(super) fn new(
        settings: &MeshSettings,
        underlay: Underlay,
        mut secret: Zeroizing<[u8; 32]>,
        community: &CommunityId,
        membership: watch::Receiver<Arc<Membership>>,
        events: mpsc::Sender<MeshEvent>,
        registry: &mut Registry,
    ) -> Result<(Self, MeshHandle), MeshError> {
        let keys = Keypair::ed25519_from_bytes(&mut secret[..])
            .map_err(|reason| MeshError::Key(reason.to_string()))?;
        let peer = keys.public().to_peer_id();
        let own = node_of(&peer).ok_or_else(|| MeshError::Key("its peer id names no node".to_owned()))?;
        let meters = Meters::new(registry);
        let streams = libp2p_stream::Behaviour::new();
        let mut control = streams.new_control();
        let incoming = control
            .accept(STREAMS)
            .map_err(|_| MeshError::Gossip("streams are taken".to_owned()))?;
        let gossip = gossip::gossip(community, settings, registry)?;
        let switches = Switches::default();
        let transport = transport::transport(underlay, &keys, community, &meters, switches.clone())?;
        let transport = transport::with_quic(transport, &keys, settings.quic);
        let protocols = setup::protocols(settings, own, gossip, streams, &meters, switches);
        let config = libp2p::swarm::Config::with_tokio_executor()
            .with_idle_connection_timeout(IDLE)
            .with_max_negotiating_inbound_streams(NEGOTIATIONS);
        let mut swarm = Swarm::new(transport, protocols, peer, config);
        let listen = if settings.profile == Profile::Leaf {
            &[]
        } else {
            settings.listen.as_slice()
        };
        let unheard_listeners = setup::listen(&mut swarm, listen)?;
        let (command_sender, commands) = mpsc::channel(COMMANDS);
        let (verdict_sender, verdicts) = mpsc::channel(AWAITING);
        let handle = MeshHandle {
            commands: command_sender,
            verdicts: verdict_sender,
            streams: control,
        };
        let engine = Self {
            swarm,
            topic: gossip::topic(community).hash(),
            dialler: Dialler::new(own, settings.profile),
            dial_at: None,
            resolving: FuturesUnordered::new(),
            pace: Pace::new(Instant::now()),
            slow: Slow::new(settings.patience),
            silence: Silence::new(settings.silence),
            look_at: Instant::now(),
            meters,
            membership,
            membership_lives: true,
            events,
            commands,
            verdicts,
            places: Arc::new(Semaphore::new(AWAITING)),
            courteous: VecDeque::new(),
            streams: incoming,
            asked: FuturesUnordered::new(),
            answering: HashMap::new(),
            asking: HashMap::new(),
            changed: VecDeque::new(),
            told: HashSet::new(),
            unheard_listeners,
            asked_for_listeners: Vec::new(),
        };
        Ok((engine, handle))
    }

    /// Runs until told to stop. Dropping the swarm closes every connection.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<(), MeshError> {
        self.revise();
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                event = self.swarm.select_next_some() => self.on_swarm(event)?,
                Some((ticket, verdict)) = self.verdicts.recv() => self.on_verdict(ticket, verdict),
                Some(command) = self.commands.recv() => self.on_command(command),
                Some((peer, stream)) = self.streams.next() => self.on_stream(peer, stream),
                Some(dial) = self.resolving.next() => self.connect(dial),
                Some(asked) = self.asked.next() => self.on_answer(asked),
                changed = self.membership.changed(), if self.membership_lives => self.on_membership(changed.is_ok()),
                () = room(&self.events), if !self.changed.is_empty() => self.tell_next(),
                () = at(self.courteous.front().map(|(when, _)| *when)) => self.pass_on(),
                () = at(self.dial_at) => self.dial(),
                () = tokio::time::sleep_until(self.look_at) => self.look(),
                () = self.events.closed() => return Err(MeshError::Stopped),
            }
        }
    }

    fn door(&mut self) -> &mut Door {
        &mut self.swarm.behaviour_mut().door
    }

    fn on_membership(&mut self, lives: bool) {
        self.membership_lives = lives;
        self.revise();
    }

    fn revise(&mut self) {
        let membership = self.membership.borrow_and_update().clone();
        let listed = membership.nodes.keys().filter_map(peer_of).collect();
        self.dialler.revise(&membership, Instant::now());
        self.silence.retain(|node| membership.nodes.contains_key(node));
        // Who is expelled is gone for us at once, whenever the connection is.
        for peer in self.door().revise(listed) {
            let protocols = self.swarm.behaviour_mut();
            protocols.gossip.forget(&peer);
            protocols.streams.forget(&peer);
        }
        let unlisted: Vec<_> = self
            .told
            .iter()
            .filter(|node| !membership.nodes.contains_key(*node))
            .copied()
            .collect();
        for node in unlisted {
            self.tell(node);
        }
        self.schedule();
    }

    /// Makes links anew over which gossip has fallen silent.
    fn look(&mut self) {
        let now = Instant::now();
        self.look_at = now + self.silence.pause();
        let protocols = self.swarm.behaviour();
        let gossip = protocols.gossip.inner();
        let neighbours: HashSet<_> = gossip.mesh_peers(&self.topic).collect();
        let silent: HashSet<_> = gossip
            .all_peers()
            .filter(|(_, topics)| topics.is_empty())
            .map(|(peer, _)| peer)
            .collect();
        let looks = protocols.door.links().map(|(peer, link)| {
            let look = Look {
                since: link.since,
                heard: protocols.gossip.heard(peer).unwrap_or(link.since),
                expected: neighbours.contains(peer) || silent.contains(peer),
            };
            (link.node, look)
        });
        let looks: Vec<_> = looks.collect();
        for (node, look) in looks {
            if self.silence.is_dead(node, look, now) {
                tracing::warn!(%node, "gossip over a link has fallen silent: it is made anew");
                self.renew(&node, "silent");
            }
        }
    }

    /// Closes the link to a node and dials it at once.
    fn renew(&mut self, node: &NodeId, why: &'static str) {
        self.hang_up(node, why);
        // Who cannot be dialled dials us.
        let _ = self.dialler.hurry(node, Instant::now());
        self.schedule();
    }

    fn dial(&mut self) {
        let door = &self.swarm.behaviour().door;
        let links = door.links().count();
        let due = self
            .dialler
            .due(Instant::now(), links, |peer| door.link(peer).is_some());
        for mut dial in due {
            if dial.addresses.iter().any(is_named) {
                let resolved = async move {
                    dial.addresses = resolve(dial.addresses).await;
                    dial
                };
                self.resolving.push(resolved.boxed());
            } else {
                self.connect(dial);
            }
        }
        self.schedule();
    }

    fn connect(&mut self, dial: Dial) {
        let options = DialOpts::peer_id(dial.peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(dial.addresses)
            // Two nodes that dial each other from their listening ports can meet in one TCP
            // connection of which both believe to be the client.
            .allocate_new_port()
            .build();
        match self.swarm.dial(options) {
            Ok(()) => self.meters.dial("started"),
            Err(_) => {
                self.dialler.failed(&dial.node, Instant::now());
                self.schedule();
            }
        }
    }

    fn schedule(&mut self) {
        let door = &self.swarm.behaviour().door;
        let links = door.links().count();
        self.dial_at = self.dialler.wake(links, |peer| door.link(peer).is_some());
    }

    fn on_swarm(&mut self, event: SwarmEvent<ProtocolsEvent>) -> Result<(), MeshError> {
        match event {
            SwarmEvent::Behaviour(ProtocolsEvent::Gossip(event)) => self.on_gossip(event),
            SwarmEvent::Behaviour(ProtocolsEvent::Door(event)) => self.on_door(&event),
            SwarmEvent::Behaviour(ProtocolsEvent::Calls(event)) => self.on_call(event),
            SwarmEvent::ConnectionEstablished {
                peer_id, endpoint, ..
            } if endpoint.is_dialer() => {
                self.on_reached(&peer_id);
            }
            SwarmEvent::OutgoingConnectionError {
                peer_id: Some(peer),
                error,
                ..
            } => self.on_unreached(&peer, &error),
            SwarmEvent::NewListenAddr { listener_id, address } => self.on_listening(listener_id, &address),
            SwarmEvent::ListenerClosed { addresses, .. } => {
                let names: Vec<_> = addresses.iter().map(Multiaddr::to_string).collect();
                return Err(MeshError::ListenerLost(names.join(", ")));
            }
            _ => {}
        }
        Ok(())
    }

    fn on_reached(&mut self, peer: &PeerId) {
        if let Some(node) = node_of(peer) {
            self.dialler.reached(&node);
            self.schedule();
        }
    }

    fn on_unreached(&mut self, peer: &PeerId, error: &DialError) {
        let Some(node) = node_of(peer) else { return };
        if matches!(error, DialError::Denied { .. }) {
            // We refused it at our own door, and so keep a better one.
            self.dialler.reached(&node);
        } else {
            tracing::debug!(%node, %error, "dial failed");
            self.meters.dial("failed");
            self.dialler.failed(&node, Instant::now());
        }
        self.schedule();
    }

    fn on_door(&mut self, event: &DoorEvent) {
        let (DoorEvent::Up(node) | DoorEvent::Down(node, _)) = event;
        if let DoorEvent::Down(_, lived) = event {
            self.dialler.lost(node, *lived, Instant::now());
        }
        self.tell(*node);
        self.schedule();
    }

    fn tell(&mut self, node: NodeId) {
        if !self.changed.contains(&node) {
            self.changed.push_back(node);
        }
    }

    /// Tells of the next member that came or went, if it has not come and gone.
    fn tell_next(&mut self) {
        let Some(node) = self.changed.front().copied() else {
            return;
        };
        let here = self.connected(&node).is_some();
        let news = match (here, self.told.contains(&node)) {
            (true, false) => MeshEvent::Connected(node),
            (false, true) => MeshEvent::Disconnected(node),
            _ => {
                self.changed.pop_front();
                return;
            }
        };
        if self.events.try_send(news).is_ok() {
            self.changed.pop_front();
            if here {
                self.told.insert(node);
            } else {
                self.told.remove(&node);
            }
        }
    }

    fn on_listening(&mut self, listener: ListenerId, address: &Multiaddr) {
        tracing::info!(%address, "listening");
        self.unheard_listeners.remove(&listener);
        if self.unheard_listeners.is_empty() {
            for reply in std::mem::take(&mut self.asked_for_listeners) {
                let _ = reply.send(self.listening());
            }
        }
    }

    fn listening(&self) -> Vec<String> {
        self.swarm.listeners().map(Multiaddr::to_string).collect()
    }

    fn on_stream(&mut self, peer: PeerId, stream: Stream) {
        let Some(from) = self.swarm.behaviour().door.link(&peer).map(|link| link.node) else {
            return;
        };
        let stream = MeshStream::new(stream);
        if self.events.try_send(MeshEvent::Stream { from, stream }).is_err() {
            tracing::debug!(%from, "no room for a stream");
        }
    }

    fn on_command(&mut self, command: Command) {
        // Who gives a command counts on what was listed before it.
        if self.membership.has_changed().unwrap_or(false) {
            self.revise();
        }
        match command {
            Command::Publish(frame, reply) => {
                let _ = reply.send(self.publish(frame));
            }
            Command::Call(node, question, reply) => self.call(node, question, reply),
            Command::Peer(node, reply) => {
                let _ = reply.send(self.connected(&node));
            }
            Command::Peers(reply) => {
                let _ = reply.send(self.peers());
            }
            Command::Listening(reply) if self.unheard_listeners.is_empty() => {
                let _ = reply.send(self.listening());
            }
            Command::Listening(reply) => {
                self.asked_for_listeners.retain(|reply| !reply.is_closed());
                self.asked_for_listeners.push(reply);
            }
            Command::Close(node) => self.hang_up(&node, "asked"),
            Command::Redial(node, reply) => {
                self.hang_up(&node, "asked");
                let _ = reply.send(self.dialler.hurry(&node, Instant::now()));
                self.schedule();
            }
        }
    }

    fn connected(&self, node: &NodeId) -> Option<PeerId> {
        let peer = peer_of(node)?;
        self.swarm.behaviour().door.link(&peer).map(|_| peer)
    }

    fn hang_up(&mut self, node: &NodeId, why: &'static str) {
        if let Some(peer) = peer_of(node) {
            self.door().hang_up(&peer, why);
        }
    }

    fn peers(&self) -> Vec<PeerInfo> {
        let protocols = self.swarm.behaviour();
        let gossip = protocols.gossip.inner();
        let neighbours: HashSet<_> = gossip.mesh_peers(&self.topic).collect();
        let gossiping: HashSet<_> = gossip
            .all_peers()
            .filter(|(_, topics)| !topics.is_empty())
            .map(|(peer, _)| peer)
            .collect();
        let info = |(peer, link): (&PeerId, &super::door::Link)| {
            let (bytes_in, bytes_out) = self.meters.bytes_of(peer);
            PeerInfo {
                node: link.node,
                address: link.address.to_string(),
                inbound: !link.outbound,
                connected_for: link.since.elapsed(),
                gossiping: gossiping.contains(peer),
                neighbour: neighbours.contains(peer),
                bytes_in,
                bytes_out,
            }
        };
        protocols.door.links().map(info).collect()
    }
}

/// Waits until the channel has room. Only this task sends on it, so the room stays.
async fn room(events: &mpsc::Sender<MeshEvent>) {
    let _ = events.reserve().await;
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
