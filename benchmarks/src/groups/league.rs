//! From publish to searchable across a league of real daemons, beside bare gossipsub: as many
//! processes, connected alike, frames of the same size.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt, pin_mut};
use hanse_node::store::index::Engine;
use hanse_protocol::frame::Frame;
use hanse_protocol::identity::RecordId;
use hanse_protocol::local::SearchRequest;
use hanse_sdk::{Client, Draft};
use hanse_testnet::league::League;
use tokio::task::JoinHandle;

use super::commit;
use crate::gossip::Mesh;
use crate::material;
use crate::measure::{Failure, Scale, percentile, say};
use crate::site::community;
use crate::table::{Aim, Figure, Table};

const GROUP: &str = "league";

/// Between two single records: so long that they do not wait for each other.
const PAUSE: Duration = Duration::from_millis(25);

/// How long nothing may arrive before a record is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Objects of one request when many are published, and of one record of them.
const REQUEST: usize = 1_000;
const RECORD: usize = 200;

pub(super) async fn run(scale: &Scale, table: &mut Table) -> Result<(), Failure> {
    let shapes: &[usize] = if scale.quick { &[3] } else { &[5, 20] };
    for nodes in shapes {
        one(scale, table, *nodes).await?;
    }
    Ok(())
}

/// Figures by run, of the league and of bare gossipsub.
#[derive(Default)]
struct Runs {
    answered: Vec<f64>,
    middle: Vec<f64>,
    high: Vec<f64>,
    flow: Vec<f64>,
}

async fn one(scale: &Scale, table: &mut Table, nodes: usize) -> Result<(), Failure> {
    let (singles, objects) = (scale.size(200, 10), scale.size(20_000, 400));
    say(&format!("a league of {nodes}"));
    let mut ours = Runs::default();
    let league = League::builder().nodes(nodes).up().await?;
    let followers = follow(&league, 1).await?;
    let publisher = client(&league, 0)?;
    let mut number = 0;
    for _ in 0..scale.runs {
        let (answered, waits) = single(&publisher, &followers, &mut number, singles).await?;
        ours.answered.push(percentile(&answered, 0.5) / 1e3);
        ours.middle.push(percentile(&waits, 0.5) / 1e3);
        ours.high.push(percentile(&waits, 0.99) / 1e3);
        let took = many(&publisher, &followers, &mut number, objects).await?;
        ours.flow.push(objects as f64 / took);
    }
    found_everywhere(&league, number - 1).await?;
    drop(followers);
    league.stop().await;

    say(&format!("bare gossipsub of {nodes}"));
    let (small, large) = frames().await?;
    let mut bare = Runs::default();
    let mut mesh = Mesh::up(nodes).await?;
    for _ in 0..scale.runs {
        let round = mesh.round(small, singles, PAUSE).await?;
        bare.middle.push(percentile(&round.waits, 0.5) / 1e3);
        bare.high.push(percentile(&round.waits, 0.99) / 1e3);
        let round = mesh.round(large, objects / RECORD, Duration::ZERO).await?;
        bare.flow.push(objects as f64 / round.took);
    }
    let mut floor = Vec::new();
    for middle in &bare.middle {
        floor.push(middle + 2.0 * sync_cost(scale.size(200, 10))?);
    }
    let beside = "bare gossipsub";
    let what = |text: &str| format!("{text}, {nodes} nodes");
    table.add(Figure::new(
        GROUP,
        what("publish answered, p50"),
        "ms",
        ours.answered,
    ));
    // What is told is durable, at the author and at the reader: gossip alone knows no disk.
    table.add(
        Figure::new(
            GROUP,
            what("publish to searchable, p50"),
            "ms",
            ours.middle.clone(),
        )
        .beside("gossipsub and two fdatasyncs", floor),
    );
    for (text, ours, bare) in [
        ("publish to searchable, p50", ours.middle, bare.middle),
        ("publish to searchable, p99", ours.high, bare.high),
    ] {
        table.add(
            Figure::new(GROUP, what(text), "ms", ours)
                .beside(beside, bare)
                .aim(Aim::TimesAtMost(2.0)),
        );
    }
    table
        .add(Figure::new(GROUP, what("one author to all"), "objects/s", ours.flow).beside(beside, bare.flow));
    Ok(())
}

fn client(league: &League, number: usize) -> Result<Client, Failure> {
    let daemon = league.daemons().get(number).ok_or("no such node")?;
    Ok(daemon.client()?)
}

/// When each record became complete at a node.
pub(super) struct Follower {
    seen: Arc<Mutex<HashMap<RecordId, Instant>>>,
    task: JoinHandle<()>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Follower {
    fn arrival(&self, id: &RecordId) -> Option<Instant> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(id).copied()
    }

    /// Waits until all of these are here, and gives when each came.
    pub(super) async fn arrivals(&self, ids: &[RecordId]) -> Result<Vec<Instant>, Failure> {
        let until = Instant::now() + PATIENCE;
        loop {
            let arrived: Vec<Instant> = ids.iter().filter_map(|id| self.arrival(id)).collect();
            if arrived.len() == ids.len() {
                return Ok(arrived);
            }
            if Instant::now() > until {
                return Err(format!("{} of {} records arrived", arrived.len(), ids.len()).into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Follows the events of every node from the `first` on. A node tells of a record once it can be searched
/// for.
pub(super) async fn follow(league: &League, first: usize) -> Result<Vec<Follower>, Failure> {
    let mut followers = Vec::new();
    for number in first..league.daemons().len() {
        let client = client(league, number)?;
        let after = client.status().await?.store.position;
        let seen = Arc::new(Mutex::new(HashMap::new()));
        let noted = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let events = client.events(Some(after), false);
            pin_mut!(events);
            while let Some(Ok(record)) = events.next().await {
                let now = Instant::now();
                let mut seen = noted.lock().unwrap_or_else(PoisonError::into_inner);
                seen.entry(record.id).or_insert(now);
            }
        });
        followers.push(Follower { seen, task });
    }
    Ok(followers)
}

pub(super) async fn publish(publisher: &Client, from: u64, count: usize) -> Result<Vec<RecordId>, Failure> {
    let objects = (from..)
        .take(count)
        .map(|number| material::raw(material::indicator(number)));
    let draft = Draft::new().objects(objects.collect::<Result<Vec<_>, _>>()?);
    let reply = publisher.publish(draft).await?;
    Ok(reply.records.iter().map(|record| record.id).collect())
}

/// Publishes records of one object, one after the other. Microseconds until each publish was
/// answered, and until each record could be searched for at each other node; both from the request.
async fn single(
    publisher: &Client,
    followers: &[Follower],
    number: &mut u64,
    count: usize,
) -> Result<(Vec<f64>, Vec<f64>), Failure> {
    let (mut answered, mut begun, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        let start = Instant::now();
        let records = publish(publisher, *number, 1).await?;
        *number += 1;
        answered.push(start.elapsed().as_secs_f64() * 1e6);
        begun.push(start);
        ids.extend(records);
        tokio::time::sleep(PAUSE).await;
    }
    let mut waits = Vec::new();
    for follower in followers {
        let arrived = follower.arrivals(&ids).await?;
        let took = arrived.iter().zip(&begun);
        waits.extend(took.map(|(at, start)| at.duration_since(*start).as_secs_f64() * 1e6));
    }
    Ok((answered, waits))
}

/// Publishes many objects; seconds from the first request until all nodes have all.
async fn many(
    publisher: &Client,
    followers: &[Follower],
    number: &mut u64,
    count: usize,
) -> Result<f64, Failure> {
    let (start, mut ids, mut left) = (Instant::now(), Vec::new(), count);
    while left > 0 {
        let some = left.min(REQUEST);
        ids.extend(publish(publisher, *number, some).await?);
        *number += u64::try_from(some)?;
        left -= some;
    }
    let mut latest = start;
    for follower in followers {
        let arrived = follower.arrivals(&ids).await?;
        latest = arrived.into_iter().fold(latest, Instant::max);
    }
    Ok(latest.duration_since(start).as_secs_f64())
}

/// Milliseconds that appending a record to a file and syncing it takes, the median.
fn sync_cost(count: usize) -> Result<f64, Failure> {
    let mut file = tempfile::tempfile()?;
    let mut waits = Vec::new();
    for _ in 0..count {
        let begun = Instant::now();
        file.write_all(&[7; 1_024])?;
        file.sync_data()?;
        waits.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(percentile(&waits, 0.5))
}

/// What a follower saw must be what a search finds.
async fn found_everywhere(league: &League, number: u64) -> Result<(), Failure> {
    let request = SearchRequest {
        value: material::value(number),
        limit: None,
    };
    for node in 0..league.daemons().len() {
        if client(league, node)?.search(&request).await?.matches.is_empty() {
            return Err(format!("node {node} did not find `{}`", request.value).into());
        }
    }
    Ok(())
}

/// Sizes of the frames that carry a record of one object and one of two hundred, bytes.
async fn frames() -> Result<(usize, usize), Failure> {
    let sites = community(1, Engine::Memory).await?;
    let [author, reader] = sites.as_slice() else {
        return Err("a community of two".into());
    };
    let size = |objects| -> Result<usize, Failure> {
        let records = commit::records(author, reader, false, 1, objects)?;
        Ok(Frame::Records(records).encode().len())
    };
    Ok((size(1)?, size(RECORD)?))
}
