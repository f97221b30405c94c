//! Catching up: a node that holds nothing heals from three peers that hold everything, over real links
//! of this machine, beside the ingest of the very same records without a mesh.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use hanse_node::clocks::Clocks;
use hanse_node::healer::answer::Answerer;
use hanse_node::healer::{Healer, Progress};
use hanse_node::mesh::{self, Membership, MeshHandle, MeshSettings};
use hanse_node::presence::AddressBook;
use hanse_node::receiver::{Links, Receiver};
use hanse_node::store::entry::Origin;
use hanse_node::store::index::Engine;
use hanse_protocol::frame::Carried;
use hanse_protocol::identity::NodeId;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::commit;
use crate::measure::{Failure, Scale, name};
use crate::site::{Site, community};
use crate::table::{Aim, Figure, Table};

const GROUP: &str = "catchup";

/// Peers that hold everything.
const PEERS: usize = 3;

/// Records handed over at once, and batches on their way, for the ingest beside it.
const BATCH: usize = 256;
const WAITING: usize = 8;

/// How often it is looked whether all has come.
const LOOK: Duration = Duration::from_millis(5);

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(600);

pub(super) async fn run(scale: &Scale, table: &mut Table) -> Result<(), Failure> {
    let count = scale.size(100_000, 2_000);
    for engine in &scale.engines {
        let (mut healed, mut ingested) = (Vec::new(), Vec::new());
        for _ in 0..scale.runs {
            let (heal, ingest) = one(*engine, count).await?;
            healed.push(heal);
            ingested.push(ingest);
        }
        let what = format!("{count} records behind, from three peers, {}", name(*engine));
        table.add(
            Figure::new(GROUP, what, "records/s", healed)
                .beside("local ingest of the same", ingested)
                .aim(Aim::TimesAtLeast(0.5)),
        );
    }
    Ok(())
}

/// Records a second healed, and ingested.
async fn one(engine: Engine, count: usize) -> Result<(f64, f64), Failure> {
    let mut sites = community(PEERS + 1, engine).await?.into_iter();
    let author = sites.next().ok_or("no founder")?;
    let mut newcomer = sites.next().ok_or("no newcomer")?;
    let records = commit::records(&author, &newcomer, false, count, 1)?;
    let mut ingested = Vec::new();
    let mut peers = Vec::new();
    for mut peer in sites {
        let started = Instant::now();
        ingest(&peer, &records).await?;
        ingested.push(count as f64 / started.elapsed().as_secs_f64());
        let known = HashMap::from([(newcomer.member.node_id(), Vec::new())]);
        let on_mesh = OnMesh::join(&mut peer, known)?;
        peers.push((peer, on_mesh));
    }
    drop(records);
    let mut addresses = HashMap::new();
    for (peer, on_mesh) in &peers {
        addresses.insert(peer.member.node_id(), on_mesh.mesh.listening().await);
    }
    let started = Instant::now();
    let _on_mesh = OnMesh::join(&mut newcomer, addresses)?;
    let all = u64::try_from(count)?;
    while newcomer.reader.stats()?.records < all {
        if started.elapsed() > PATIENCE {
            let held = newcomer.reader.stats()?.records;
            return Err(format!("{held} of {count} records came").into());
        }
        tokio::time::sleep(LOOK).await;
    }
    let healed = count as f64 / started.elapsed().as_secs_f64();
    Ok((healed, crate::measure::median(&ingested)))
}

async fn ingest(site: &Site, records: &[Carried]) -> Result<(), Failure> {
    let batches: Vec<Vec<Carried>> = records.chunks(BATCH).map(<[Carried]>::to_vec).collect();
    let mut under_way = futures::stream::iter(batches)
        .map(|batch| site.exchange.heal(NodeId([0; 32]), batch, Origin::Heal))
        .buffered(WAITING);
    let mut admitted = 0;
    while let Some(healed) = under_way.next().await {
        admitted += healed?.admitted;
    }
    if admitted == records.len() {
        Ok(())
    } else {
        Err(format!("{admitted} of {} records were admitted", records.len()).into())
    }
}

/// A site's place on the mesh, with all that healing needs.
struct OnMesh {
    mesh: MeshHandle,
    _listed: watch::Sender<Arc<Membership>>,
    _stop: DropGuard,
}

impl OnMesh {
    /// Joins, and dials those it knows addresses of.
    fn join(site: &mut Site, nodes: HashMap<NodeId, Vec<String>>) -> Result<Self, Failure> {
        let (listed, membership) = watch::channel(Arc::new(Membership { nodes }));
        let (events, heard) = mpsc::channel(1_024);
        let stop = CancellationToken::new();
        let settings = MeshSettings {
            listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
            ..MeshSettings::default()
        };
        let charters = site.charters()?;
        let (mesh, _) = mesh::start(
            settings,
            site.member.node.seed(),
            *charters.community(),
            membership,
            events,
            &mut Registry::default(),
            stop.clone(),
        )?;
        let links = Links::default();
        let (arrivals, arrived) = mpsc::channel(64);
        let (book, _, _) = AddressBook::new(&site.exchange.standing(), Clocks::default());
        let receiver = Receiver {
            exchange: site.exchange.clone(),
            answerer: Answerer::new(site.exchange.clone(), site.reader.clone()),
            mesh: mesh.clone(),
            book,
            links: links.clone(),
            arrivals,
            metrics: Arc::clone(&site.metrics),
        };
        tokio::spawn(receiver.run(heard, stop.clone()));
        let healer = Healer::new(
            site.exchange.clone(),
            site.reader.clone(),
            mesh.clone(),
            links,
            Arc::clone(&site.metrics),
            Progress::default(),
        );
        let nudges = site.nudges.take().ok_or("it is on the mesh already")?;
        tokio::spawn(healer.run(Duration::from_secs(30), nudges, arrived, stop.clone()));
        Ok(Self {
            mesh,
            _listed: listed,
            _stop: stop.drop_guard(),
        })
    }
}
