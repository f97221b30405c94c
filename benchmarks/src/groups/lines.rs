//! Real daemons behind lines that take their time: what a simulation of as many nodes is held against.

use std::time::{Duration, Instant};

use hanse_node::settings;
use hanse_protocol::local::FoundRequest;
use hanse_testnet::league::{Daemon, League};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::league::{follow, publish};
use crate::measure::{Failure, Scale, percentile, say};
use crate::table::{Figure, Table};

const GROUP: &str = "lines";

/// What each line takes one way.
const DELAY: Duration = Duration::from_millis(25);

/// Between two records, each of another author.
const PAUSE: Duration = Duration::from_millis(100);

/// How long gossip neighbours may take to find each other.
const SETTLING: Duration = Duration::from_secs(10);

/// How long a daemon that was started again may take to answer.
const ANSWERING: Duration = Duration::from_secs(60);

/// Chunks under way on one line.
const UNDER_WAY: usize = 4_096;

/// Largest answer of `GET /metrics` that is read, bytes.
const METRICS: u64 = 4 << 20;

pub(super) async fn run(scale: &Scale, table: &mut Table) -> Result<(), Failure> {
    let nodes = if scale.quick { 3 } else { 20 };
    let records = scale.size(200, 6);
    let (mut bare, mut slow) = (Runs::default(), Runs::default());
    say(&format!("a league of {nodes}, its lines as they are"));
    one(scale, nodes, records, None, &mut bare).await?;
    say(&format!(
        "a league of {nodes} behind lines of {} ms",
        DELAY.as_millis()
    ));
    one(scale, nodes, records, Some(DELAY), &mut slow).await?;
    let what = |text: &str| format!("{text}, {nodes} nodes");
    let beside = "lines as they are";
    let mut add = |text: &str, unit, slow: Vec<f64>, bare: Vec<f64>| {
        table.add(Figure::new(GROUP, what(text), unit, slow).beside(beside, bare));
    };
    add("publish to searchable, p50", "ms", slow.middle, bare.middle);
    add("publish to searchable, p99", "ms", slow.high, bare.high);
    add("publish to searchable, max", "ms", slow.most, bare.most);
    add("copies a delivery", "copies", slow.copies, bare.copies);
    add("bytes on all lines a delivery", "B", slow.bytes, bare.bytes);
    Ok(())
}

/// Figures by run.
#[derive(Default)]
struct Runs {
    middle: Vec<f64>,
    high: Vec<f64>,
    most: Vec<f64>,
    copies: Vec<f64>,
    bytes: Vec<f64>,
}

async fn one(
    scale: &Scale,
    nodes: usize,
    records: usize,
    delay: Option<Duration>,
    runs: &mut Runs,
) -> Result<(), Failure> {
    let mut league = League::builder().nodes(nodes).start().await?;
    let mut lines = JoinSet::new();
    if let Some(delay) = delay {
        for daemon in league.daemons_mut() {
            behind_line(daemon, delay, &mut lines).await?;
        }
    }
    let steward = league.daemons().first().ok_or("no node")?;
    let found = FoundRequest {
        name: "Lines".to_owned(),
        unmarked: None,
        horizon_days: None,
    };
    steward.admin()?.found(&found).await?;
    for newcomer in league.daemons().iter().skip(1) {
        league.admit(newcomer).await?;
    }
    league.connected().await?;
    let settling = if scale.quick { SETTLING / 10 } else { SETTLING };
    tokio::time::sleep(settling).await;
    let mut number = 0;
    for _ in 0..scale.runs {
        let before = counted(&league).await?;
        let waits = round(&league, records, &mut number).await?;
        let after = counted(&league).await?;
        runs.middle.push(percentile(&waits, 0.5));
        runs.high.push(percentile(&waits, 0.99));
        runs.most.push(percentile(&waits, 1.0));
        runs.copies
            .push((after.copies - before.copies) / (after.first - before.first));
        runs.bytes.push((after.bytes - before.bytes) / waits.len() as f64);
    }
    league.stop().await;
    Ok(())
}

/// Publishes records of one object, each by the next node; milliseconds from each request until each
/// other node could search for it.
async fn round(league: &League, records: usize, number: &mut u64) -> Result<Vec<f64>, Failure> {
    let followers = follow(league, 0).await?;
    let clients: Result<Vec<_>, _> = league.daemons().iter().map(Daemon::client).collect();
    let clients = clients?;
    let mut published = Vec::new();
    for (author, client) in clients.iter().enumerate().cycle().take(records) {
        let start = Instant::now();
        let ids = publish(client, *number, 1).await?;
        *number += 1;
        published.push((author, start, ids));
        tokio::time::sleep(PAUSE.saturating_sub(start.elapsed())).await;
    }
    let mut waits = Vec::new();
    for (place, follower) in followers.iter().enumerate() {
        for (_, start, ids) in published.iter().filter(|(author, ..)| *author != place) {
            let arrived = follower.arrivals(ids).await?;
            waits.extend(
                arrived
                    .iter()
                    .map(|at| at.duration_since(*start).as_secs_f64() * 1e3),
            );
        }
    }
    Ok(waits)
}

/// Has a daemon that belongs to no community yet be dialled over a line: its settings name another
/// port, from which everything comes to it after `delay`, and back.
async fn behind_line(daemon: &mut Daemon, delay: Duration, lines: &mut JoinSet<()>) -> Result<(), Failure> {
    daemon.end().await;
    let path = daemon.folder().join(settings::FILE);
    let text = std::fs::read_to_string(&path)?;
    let read = settings::Settings::load(daemon.folder())?;
    let listens = read.mesh.listen.first().ok_or("it listens nowhere")?;
    let own = hanse_node::mesh::socket_address(listens).ok_or("an address of another kind")?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    let external = format!("external = [\"/ip4/127.0.0.1/tcp/{port}\"]");
    std::fs::write(&path, text.replace("external = []", &external))?;
    lines.spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(own).await else {
                continue;
            };
            // A packet that waits for another would be a delay nobody asked for.
            let _ = near.set_nodelay(true).and(far.set_nodelay(true));
            let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
            open.spawn(line(from_near, to_far, delay));
            open.spawn(line(from_far, to_near, delay));
        }
    });
    daemon.start()?;
    let started = Instant::now();
    while daemon.client()?.status().await.is_err() {
        if started.elapsed() > ANSWERING {
            return Err("a daemon that was started again does not answer".into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Hands on what comes, each chunk after its delay, until either end closes.
async fn line(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (sender, mut under_way) = mpsc::channel::<(tokio::time::Instant, Vec<u8>)>(UNDER_WAY);
    let reads = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let chunk = buffer.get(..count).unwrap_or_default().to_vec();
            if sender
                .send((tokio::time::Instant::now() + delay, chunk))
                .await
                .is_err()
            {
                return;
            }
        }
    };
    let writes = async move {
        while let Some((when, chunk)) = under_way.recv().await {
            tokio::time::sleep_until(when).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reads, writes);
}

/// What the meshes of all nodes counted.
#[derive(Clone, Copy, Default)]
struct Counted {
    copies: f64,
    first: f64,
    bytes: f64,
}

async fn counted(league: &League) -> Result<Counted, Failure> {
    let mut counted = Counted::default();
    for daemon in league.daemons() {
        let text = metrics(daemon.api_port()).await?;
        let sum = |name: &str, label: &str| -> f64 {
            let lines = text
                .lines()
                .filter(|line| line.contains(name) && line.contains(label));
            let values = lines.filter(|line| !line.starts_with('#'));
            values
                .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                .sum()
        };
        counted.copies += sum("gossip_topic_msg_recv_counts_unfiltered_total", "");
        counted.first += sum("gossip_topic_msg_recv_counts_total", "");
        counted.bytes += sum("hanse_mesh_bytes_total", "\"out\"");
    }
    Ok(counted)
}

/// What a node's `GET /metrics` answers, asked in the simplest HTTP there is (RFC 1945).
async fn metrics(port: u16) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET /metrics HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(METRICS).read_to_string(&mut answer).await?;
    Ok(answer)
}
