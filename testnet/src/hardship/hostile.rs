//! Members with true keys, admitted like anybody, who do not keep to the rules. Each speaks on the mesh
//! with a member's node key through this process; its links are shaped like all others.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hanse_node::daemon;
use hanse_node::member::Member;
use hanse_node::mesh::{self, Membership, MeshHandle, MeshSettings};
use hanse_node::settings::Settings;
use hanse_protocol::charter::CharterChain;
use hanse_protocol::charter::join::{Invite, Request};
use hanse_protocol::charter::member::{MemberKind, Profile};
use hanse_protocol::identity::{CommunityId, Handle, NodeId};
use hanse_protocol::local::AdmitRequest;
use hanse_sdk::Client;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};

mod deeds;
mod ears;
mod forging;
mod lying;

use super::plan::Foe;
use super::scenario::Does;
use crate::dice::Dice;
use crate::proxy::{Net, Shape};

/// What a slow reader's links carry, bytes a second.
const SLOW: u64 = 2 << 10;

/// Why a hostile member is not there.
#[derive(Debug, thiserror::Error)]
#[error("the hostile member `{member}` did not come about")]
pub struct HostileError {
    member: String,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// What one has done so far.
#[derive(Debug, Default)]
pub struct Tally {
    frames: AtomicU64,
    streams: AtomicU64,
    answers: AtomicU64,
}

/// The same, to be told.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Mischief {
    /// Its kind.
    pub does: Does,
    /// Its handle.
    pub member: String,
    /// Frames it gossiped.
    pub frames: u64,
    /// Streams it opened or had opened to it.
    pub streams: u64,
    /// Questions it answered with what is not so.
    pub answers: u64,
}

/// A hostile member.
pub struct Hostile {
    foe: Foe,
    number: usize,
    member: Arc<Member>,
    charters: CharterChain,
    tally: Arc<Tally>,
}

/// The world as a hostile member at work sees it.
struct World {
    mesh: MeshHandle,
    member: Arc<Member>,
    charters: CharterChain,
    /// Nodes it is connected to.
    hosts: Vec<NodeId>,
    /// Members in whose name it forges.
    victims: Vec<Handle>,
    heard: ears::Heard,
    tally: Arc<Tally>,
}

impl World {
    fn community(&self) -> &CommunityId {
        self.charters.community()
    }
}

impl Hostile {
    /// Draws keys in a folder and is admitted by a steward who knows no better.
    ///
    /// # Errors
    /// [`HostileError`].
    pub async fn admitted(
        folder: &Path,
        steward: &Client,
        number: usize,
        foe: Foe,
    ) -> Result<Self, HostileError> {
        let name = format!("mallory-{number}");
        let made = admitted(folder, steward, &name).await;
        let (member, charters) = made.map_err(|source| HostileError { member: name, source })?;
        Ok(Self {
            foe,
            number,
            member,
            charters,
            tally: Arc::default(),
        })
    }

    /// Takes over a newer charter, which lists those admitted since.
    pub fn learns(&mut self, of: &Self) {
        self.charters = of.charters.clone();
    }

    /// What it has done so far.
    pub fn mischief(&self) -> Mischief {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Mischief {
            does: self.foe.does,
            member: self.member.profile.handle.to_string(),
            frames: read(&self.tally.frames),
            streams: read(&self.tally.streams),
            answers: read(&self.tally.answers),
        }
    }

    /// Goes on the mesh at its time and does what it does until this is dropped. `honest` are the members
    /// in the order of their numbers.
    ///
    /// # Errors
    /// [`HostileError`].
    pub fn works(
        &self,
        net: &Net,
        honest: &[Handle],
        start: Instant,
        seed: u64,
    ) -> Result<JoinSet<()>, HostileError> {
        let error = |source: Box<dyn std::error::Error + Send + Sync>| HostileError {
            member: self.member.profile.handle.to_string(),
            source,
        };
        let mut nodes = HashMap::new();
        for host in &self.foe.hosts {
            let port = net
                .open_side_door(self.number, *host)
                .map_err(|source| error(source.into()))?;
            let listed = honest
                .get(*host)
                .and_then(|handle| self.charters.charter().member(handle));
            if let Some(lane) = listed.and_then(|member| member.lanes.first()) {
                nodes.insert(lane.node, vec![format!("/ip4/127.0.0.1/tcp/{port}")]);
            }
        }
        if self.foe.does == Does::SlowReader {
            let ways: Vec<_> = self.foe.hosts.iter().map(|host| (*host, self.number)).collect();
            let shape = Shape {
                bandwidth: Some(SLOW),
                ..Shape::default()
            };
            net.shape(&ways, shape);
        }
        let does = self.foe.does;
        let (member, charters) = (Arc::clone(&self.member), self.charters.clone());
        let (tally, victims) = (Arc::clone(&self.tally), honest.to_vec());
        let (at, rate) = (start + self.foe.at, self.foe.rate);
        let dice = Dice::new(seed, &format!("hostile {}", self.number));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            sleep_until(at).await;
            // Its part of the mesh ends with this task.
            if let Some((world, ears, _stop)) = appear(member, charters, nodes, victims, tally) {
                tokio::join!(
                    ears.listen(does, dice.clone()),
                    deeds::does(does, world, rate, dice)
                );
            }
        });
        Ok(tasks)
    }
}

async fn admitted(
    folder: &Path,
    steward: &Client,
    name: &str,
) -> Result<(Arc<Member>, CharterChain), Box<dyn std::error::Error + Send + Sync>> {
    let profile = Profile {
        handle: name.parse()?,
        name: "Nobody's Friend".to_owned(),
        kind: MemberKind::Company,
        sector: String::new(),
        country: "XX".to_owned(),
    };
    hanse_node::command::init::init(folder, &profile)?;
    let (_, member) = daemon::open_member(folder, &Settings::load(folder)?)?;
    let sealing = member.sealing().ok_or("it has no sealing key")?.public();
    let now = hanse_node::clock::now();
    let request = Request::new(profile, &member.signing, sealing, &member.node, Vec::new(), now);
    let asked = AdmitRequest {
        file: request.write(&member.signing),
        fingerprint: request.fingerprint().to_string(),
    };
    let admission = steward.admit(&asked).await?;
    let (_, charters) = Invite::read(&admission.invite)?;
    Ok((member, charters))
}

/// Starts the mesh of a node key that listens nowhere.
fn appear(
    member: Arc<Member>,
    charters: CharterChain,
    nodes: HashMap<NodeId, Vec<String>>,
    victims: Vec<Handle>,
    tally: Arc<Tally>,
) -> Option<(World, ears::Ears, DropGuard)> {
    let hosts = nodes.keys().copied().collect();
    let (listed, membership) = watch::channel(Arc::new(Membership { nodes }));
    let (sender, events) = mpsc::channel(1_024);
    let stop = CancellationToken::new();
    let started = mesh::start(
        MeshSettings::default(),
        member.node.seed(),
        *charters.community(),
        membership,
        sender,
        &mut Registry::default(),
        stop.clone(),
    );
    let (mesh, _) = started.ok()?;
    let heard = ears::Heard::default();
    let ears = ears::Ears::new(
        mesh.clone(),
        events,
        listed,
        Arc::clone(&heard),
        Arc::clone(&tally),
    );
    let world = World {
        mesh,
        member,
        charters,
        hosts,
        victims,
        heard,
        tally,
    };
    Some((world, ears, stop.drop_guard()))
}
