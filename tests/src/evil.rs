//! A member that need not be honest: the test holds its keys and speaks for it on the mesh, so that
//! it can gossip any bytes and answer any question with anything.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hanse_node::daemon;
use hanse_node::member::Member;
use hanse_node::mesh::{
    self, CharterAnswer, Membership, MeshEvent, MeshHandle, MeshSettings, MeshStream, Publish, Verdict,
};
use hanse_node::settings::Settings;
use hanse_protocol::admission::Signed;
use hanse_protocol::charter::CharterChain;
use hanse_protocol::charter::call::{self, CharterAnswer as Told};
use hanse_protocol::charter::join::{Invite, Request};
use hanse_protocol::charter::member::{MemberKind, Profile};
use hanse_protocol::frame::Carried;
use hanse_protocol::heal::{self, Answer, KeyChoice, Question};
use hanse_protocol::identity::{CommunityId, Handle, NodeId, RecordId};
use hanse_protocol::reconcile::{self, Held, Key, Place, Span, Sum};
use hanse_protocol::timestamp::Timestamp;
use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::eventually;
use crate::node::Node;

/// The keys of a member to be, in a folder made as `hansed init` makes it.
pub struct Candidate {
    /// Profile and secret keys.
    pub member: Arc<Member>,
}

impl Candidate {
    /// Draws keys.
    pub fn new(handle: &str) -> Self {
        let folder = TempDir::with_prefix(format!("hanse-{handle}-")).expect("a folder");
        let dir = folder.path().join("node");
        let profile = Profile {
            handle: handle.parse().expect("a handle"),
            name: format!("The {handle}"),
            kind: MemberKind::Company,
            sector: String::new(),
            country: "XX".to_owned(),
        };
        hanse_node::command::init::init(&dir, &profile).expect("a folder with keys is made");
        let settings = Settings::load(&dir).expect("its settings are read");
        let (_, member) = daemon::open_member(&dir, &settings).expect("its keys are read");
        Self { member }
    }

    /// Its request to join, with the text of the fingerprint.
    pub fn request(&self) -> (String, String) {
        let member = &self.member;
        let sealing = member.sealing().expect("a sealing key").public();
        let request = Request::new(
            member.profile.clone(),
            &member.signing,
            sealing,
            &member.node,
            Vec::new(),
            now(),
        );
        (request.write(&member.signing), request.fingerprint().to_string())
    }

    /// Is admitted by a steward who knows no better.
    pub async fn admitted_by(&self, steward: &Node) -> Evil {
        let (file, fingerprint) = self.request();
        let admission = steward.api().admit(&file, &fingerprint).await;
        let admission = admission.expect("the steward admits");
        let (_, charters) = Invite::read(&admission.invite).expect("the invite holds");
        Evil {
            member: Arc::clone(&self.member),
            charters,
        }
    }
}

/// The real time.
pub fn now() -> Timestamp {
    hanse_node::clock::now()
}

/// A member whose keys the test holds.
pub struct Evil {
    /// Profile and secret keys.
    pub member: Arc<Member>,
    /// The charters it was invited with.
    pub charters: CharterChain,
}

impl Evil {
    /// Its handle.
    pub fn handle(&self) -> &Handle {
        &self.member.profile.handle
    }

    /// Its community.
    pub fn community(&self) -> &CommunityId {
        self.charters.community()
    }

    /// Goes on the mesh with its own node key, connected to these nodes and to no others.
    pub async fn visits(&self, hosts: &[&Node]) -> Presence {
        let listed = |host: &&Node| listing(&self.charters, host);
        let nodes = hosts.iter().map(listed).collect();
        let presence = Presence::start(&self.member, *self.community(), nodes);
        for host in hosts {
            presence
                .is_gossiping_with(node_of(&self.charters, &host.handle))
                .await;
        }
        presence
    }
}

/// The node of a member, as a charter lists it.
pub fn node_of(charters: &CharterChain, handle: &Handle) -> NodeId {
    let member = charters
        .charter()
        .member(handle)
        .expect("a member of the charter");
    member.lanes[0].node
}

/// A host's place on the mesh, as a charter lists it.
pub fn listing(charters: &CharterChain, host: &Node) -> (NodeId, Vec<String>) {
    let member = charters
        .charter()
        .member(&host.handle)
        .expect("a member of the charter");
    (member.lanes[0].node, member.lanes[0].addresses.clone())
}

/// What it offers to those who heal from it, true or not.
#[derive(Clone, Debug, Default)]
pub struct Pantry {
    /// What it says it holds, whatever it is asked about.
    pub places: Vec<Place>,
    /// What it makes up to hold besides, rising, and of which community: ever so much.
    pub made_up: Option<(CommunityId, Arc<Vec<Place>>)>,
    /// What it sends whatever records are asked for.
    pub records: Vec<Carried>,
    /// The body it gives for a record.
    pub bodies: HashMap<RecordId, Vec<u8>>,
    /// Whether it never answers who asks for records.
    pub stalls: bool,
    /// Bytes it sends instead of any answer.
    pub garbage: Option<Vec<u8>>,
}

impl Pantry {
    /// Says that it holds these records, and sends them.
    pub fn of(community: &CommunityId, records: Vec<Carried>) -> Self {
        let place = |carried: &Carried| {
            let signed = Signed::decode(&carried.header, community).expect("a header in its one spelling");
            Place {
                created: signed.claims().created,
                id: *signed.id(),
            }
        };
        let mut places: Vec<Place> = records.iter().map(place).collect();
        places.sort_unstable();
        Self {
            places,
            records,
            ..Self::default()
        }
    }
}

/// What reached it.
#[derive(Debug, Default)]
pub struct Heard {
    /// Gossip frames.
    pub frames: Vec<Vec<u8>>,
    /// Streams opened to it.
    pub streams: usize,
    /// Charter questions it was asked.
    pub questions: Vec<Vec<u8>>,
    /// Bodies it was asked for.
    pub bodies_asked: Vec<RecordId>,
    /// Nodes it is connected to.
    pub connected: HashSet<NodeId>,
    /// Nodes it has ever been connected to.
    pub ever: HashSet<NodeId>,
    /// Nodes to which it has ever lost a connection.
    pub lost: HashSet<NodeId>,
}

/// A node key on the mesh, spoken for by the test.
pub struct Presence {
    /// The way to the mesh.
    pub mesh: MeshHandle,
    heard: Arc<Mutex<Heard>>,
    pantry: Arc<Mutex<Pantry>>,
    _stop: DropGuard,
}

impl Presence {
    /// Starts the mesh of a node key. It listens on no address, so that it is connected to those it
    /// lists and to nobody else.
    pub fn start(member: &Member, community: CommunityId, nodes: HashMap<NodeId, Vec<String>>) -> Self {
        let (listed, membership) = watch::channel(Arc::new(Membership { nodes }));
        let (sender, events) = mpsc::channel(1_024);
        let stop = CancellationToken::new();
        let started = mesh::start(
            MeshSettings::default(),
            member.node.seed(),
            community,
            membership,
            sender,
            &mut Registry::default(),
            stop.clone(),
        );
        let (handle, _) = started.expect("the mesh starts");
        let presence = Self {
            mesh: handle,
            heard: Arc::default(),
            pantry: Arc::default(),
            _stop: stop.drop_guard(),
        };
        let ears = Ears {
            mesh: presence.mesh.clone(),
            heard: Arc::clone(&presence.heard),
            pantry: Arc::clone(&presence.pantry),
            head: call::encode(&Told::Same),
        };
        tokio::spawn(ears.listen(events, listed));
        presence
    }

    /// What reached it so far.
    pub fn heard(&self) -> MutexGuard<'_, Heard> {
        held(&self.heard)
    }

    /// What it offers from now on.
    pub fn offers(&self, pantry: Pantry) {
        *held(&self.pantry) = pantry;
    }

    /// Waits until a node takes its gossip.
    pub async fn is_gossiping_with(&self, node: NodeId) {
        eventually("the evil node takes part in gossip", async || {
            let peers = self.mesh.peers().await;
            peers
                .iter()
                .any(|peer| peer.node == node && peer.gossiping)
                .then_some(())
        })
        .await;
    }

    /// Waits until it is connected to nobody.
    pub async fn is_alone(&self) {
        eventually("the evil node is disconnected from all", async || {
            self.heard().connected.is_empty().then_some(())
        })
        .await;
    }

    /// Gossips bytes to those it is connected to.
    pub async fn gossips(&self, bytes: Vec<u8>) {
        eventually("the mesh takes the frame", async || {
            let published = self.mesh.publish(bytes.clone()).await;
            (published.expect("the mesh runs") == Publish::Taken).then_some(())
        })
        .await;
    }
}

fn held<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The listening half of a presence.
struct Ears {
    mesh: MeshHandle,
    heard: Arc<Mutex<Heard>>,
    pantry: Arc<Mutex<Pantry>>,
    /// What it answers to every charter question: that it stands under the same.
    head: Vec<u8>,
}

impl Ears {
    async fn listen(self, mut events: mpsc::Receiver<MeshEvent>, listed: watch::Sender<Arc<Membership>>) {
        while let Some(event) = events.recv().await {
            match event {
                MeshEvent::Frame { ticket, bytes, .. } => {
                    held(&self.heard).frames.push(bytes);
                    self.mesh.verdict(ticket, Verdict::Ignore);
                }
                MeshEvent::CharterCall { question, answer, .. } => {
                    held(&self.heard).questions.push(question);
                    drop(answer.send(CharterAnswer::Send(self.head.clone())));
                }
                MeshEvent::Stream { stream, .. } => {
                    held(&self.heard).streams += 1;
                    let (heard, pantry) = (Arc::clone(&self.heard), Arc::clone(&self.pantry));
                    // Whoever asks may go away in the middle.
                    tokio::spawn(async move { drop(serve(stream, &heard, &pantry).await) });
                }
                MeshEvent::Connected(node) => {
                    let mut heard = held(&self.heard);
                    heard.connected.insert(node);
                    heard.ever.insert(node);
                }
                MeshEvent::Disconnected(node) => {
                    let mut heard = held(&self.heard);
                    heard.connected.remove(&node);
                    heard.lost.insert(node);
                }
            }
        }
        drop(listed);
    }
}

/// Places that are compared like those of records, and are of none.
struct MadeUp(Arc<Vec<Place>>);

impl MadeUp {
    fn within(&self, span: &Span) -> &[Place] {
        let from = self.0.partition_point(|place| *place < span.from);
        let to = self.0.partition_point(|place| *place < span.to);
        &self.0[from..to.max(from)]
    }
}

impl Held for MadeUp {
    type Error = Infallible;

    fn sum(&self, key: &Key, span: &Span) -> Result<Sum, Infallible> {
        let sums = self.within(span).iter().map(|place| Sum::of(key, place));
        Ok(sums.fold(Sum::default(), Sum::plus))
    }

    fn places(&self, span: &Span, limit: usize) -> Result<Vec<Place>, Infallible> {
        Ok(self.within(span).iter().take(limit).copied().collect())
    }

    fn cuts(&self, span: &Span, parts: usize) -> Result<Vec<Place>, Infallible> {
        let within = self.within(span);
        let size = within.len().div_ceil(parts).max(1);
        Ok(within.iter().step_by(size).skip(1).copied().collect())
    }
}

/// Answers the questions of a healing stream from the pantry.
async fn serve(mut stream: MeshStream, heard: &Mutex<Heard>, pantry: &Mutex<Pantry>) -> std::io::Result<()> {
    loop {
        let length = stream.read_u32().await?;
        let mut bytes = vec![0; usize::try_from(length).expect("a length fits")];
        stream.read_exact(&mut bytes).await?;
        let question: Question = heal::decode(&bytes).expect("honest nodes ask well-formed questions");
        let pantry = held(pantry).clone();
        if let Some(garbage) = pantry.garbage {
            stream.write_all(&garbage).await?;
            stream.flush().await?;
            continue;
        }
        let answers = match question {
            Question::Compare(_, KeyChoice::Community, asked) if pantry.made_up.is_some() => {
                let told = pantry.made_up.map(|(community, places)| {
                    reconcile::answer(&MadeUp(places), &Key::of_community(&community), &asked)
                });
                vec![Answer::Compared(told.and_then(Result::ok).unwrap_or_default())]
            }
            Question::Compare(_, _, asked) => {
                let told = asked.iter().map(|asked| {
                    let places = pantry.places.iter().filter(|place| asked.span.contains(place));
                    reconcile::Told::Places(places.copied().collect())
                });
                vec![Answer::Compared(told.collect())]
            }
            Question::Records(..) | Question::Span(..) if pantry.stalls => std::future::pending().await,
            Question::Records(..) | Question::Span(..) => {
                let records = Some(pantry.records).filter(|records| !records.is_empty());
                let records = records.map(Answer::Records).into_iter();
                records.chain([Answer::End(None)]).collect()
            }
            Question::Nonce(_) => vec![Answer::Later],
            Question::Body(id) => {
                held(heard).bodies_asked.push(id);
                let body = pantry.bodies.get(&id).cloned();
                vec![body.map_or(Answer::NotHeld, Answer::Body)]
            }
        };
        for answer in answers {
            let bytes = heal::encode(&answer);
            stream
                .write_u32(u32::try_from(bytes.len()).expect("an answer is short"))
                .await?;
            stream.write_all(&bytes).await?;
        }
        stream.flush().await?;
    }
}
