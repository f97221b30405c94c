//! A node that holds many objects: how fast it finds one, over HTTP and in process, what memory it
//! takes, how soon it is up.

use std::time::Instant;

use futures::StreamExt;
use hanse_node::clocks::Clocks;
use hanse_node::exchange::{self, Parts, Retention};
use hanse_node::healer::Progress;
use hanse_node::metrics::Metrics;
use hanse_node::reading::Reading;
use hanse_node::receiver::Links;
use hanse_node::{daemon, store::Reader};
use hanse_protocol::local::SearchRequest;
use hanse_protocol::observable::Observable;
use hanse_protocol::tlp::Tlp;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};

use crate::hansed::{Node, Running};
use crate::measure::{Failure, Pick, Scale, name, percentile, say};
use crate::stock::{Stock, found, publish_made_up};
use crate::table::{Aim, Figure, Table};

/// Objects that are published before a kill, so that index and log differ.
const BEFORE_KILL: usize = 5_000;

/// Questions that are asked at once.
const AT_ONCE: usize = 8;

/// The figures of a node that was filled: of searching, of memory, of starting.
pub(super) async fn run(
    stock: &mut Stock,
    scale: &Scale,
    table: &mut Table,
    (search, memory, startup): (bool, bool, bool),
) -> Result<(), Failure> {
    if search {
        say(&format!("search: {}, {}", stock.label, name(stock.engine)));
        searching(stock, scale, table).await?;
    }
    if memory {
        say(&format!("memory: {}, {}", stock.label, name(stock.engine)));
        remembering(stock, scale, table).await?;
    }
    if startup {
        say(&format!("startup: {}, {}", stock.label, name(stock.engine)));
        starting(stock, scale, table).await?;
    }
    Ok(())
}

fn what(stock: &Stock, text: &str) -> String {
    format!("{text}, {} objects, {}", stock.label, name(stock.engine))
}

fn request(stock: &Stock, pick: &mut Pick) -> SearchRequest {
    let number = pick.below(u64::try_from(stock.objects).unwrap_or(u64::MAX));
    SearchRequest {
        value: stock.value(usize::try_from(number).unwrap_or_default()),
        limit: None,
    }
}

async fn searching(stock: &Stock, scale: &Scale, table: &mut Table) -> Result<(), Failure> {
    let count = scale.size(2_000, 50);
    let (mut store, mut inside, mut http) = (Waits::default(), Waits::default(), Waits::default());
    let mut rates = Vec::new();
    for run in 0..scale.runs {
        let seed = u64::try_from(run)?;
        let (bare, process) = in_process(stock, count, Pick(seed))?;
        store.add(&bare);
        inside.add(&process);
        let running = stock.node.start().await?;
        let (waits, rate) = over_http(stock, &running, count, Pick(seed)).await?;
        http.add(&waits);
        rates.push(rate);
        running.end().await?;
    }
    for (label, share) in [("p50", 0), ("p99", 1)] {
        let inside_runs = inside.of(share);
        let text = what(stock, &format!("a hit in process, {label}"));
        table.add(
            Figure::new("search", text, "us", inside_runs.clone())
                .beside("index and log alone", store.of(share)),
        );
        let text = what(stock, &format!("a hit over HTTP, {label}"));
        table.add(Figure::new("search", text, "us", http.of(share)).beside("in process", inside_runs));
    }
    let text = what(stock, &format!("hits over HTTP, {AT_ONCE} at once"));
    table.add(Figure::new("search", text, "1/s", rates));
    Ok(())
}

/// The median and the 99th percentile of each run.
#[derive(Default)]
struct Waits {
    middle: Vec<f64>,
    high: Vec<f64>,
}

impl Waits {
    fn add(&mut self, waits: &[f64]) {
        self.middle.push(percentile(waits, 0.5));
        self.high.push(percentile(waits, 0.99));
    }

    fn of(&self, share: usize) -> Vec<f64> {
        if share == 0 {
            self.middle.clone()
        } else {
            self.high.clone()
        }
    }
}

/// Looks values up in a store that this process opened: the index and log alone, then as the API
/// does. Microseconds.
fn in_process(stock: &Stock, count: usize, mut pick: Pick) -> Result<(Vec<f64>, Vec<f64>), Failure> {
    let settings = stock.node.settings()?;
    let (keystore, member) = daemon::open_member(stock.node.folder(), &settings)?;
    let opened = daemon::open_store(stock.node.folder(), &settings, &keystore, &member)?;
    let reader = opened.store.reader();
    let (nudges, _nudged) = mpsc::channel(1);
    let parts = Parts {
        store: opened.store,
        member: member.clone(),
        charters: opened.charters,
        addresses: Vec::new(),
        metrics: std::sync::Arc::new(Metrics::new(&mut Registry::default())),
        nudges,
        clocks: Clocks::default(),
        opaque_max: u64::MAX,
        retention: Retention::default(),
        lost: false,
        home: None,
    };
    let (exchange, thread) = exchange::start(parts)?;
    let (_mesh, meshes) = watch::channel(None);
    let reading = Reading::new(
        reader.clone(),
        member,
        exchange,
        meshes,
        Links::default(),
        Progress::default(),
    );
    let (mut bare, mut inside) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let request = request(stock, &mut pick);
        let begun = Instant::now();
        let hits = look_up(&reader, &request.value)?;
        bare.push(begun.elapsed().as_secs_f64() * 1e6);
        let begun = Instant::now();
        let reply = reading.search(&request, Tlp::Red)?;
        inside.push(begun.elapsed().as_secs_f64() * 1e6);
        if hits == 0 || reply.matches.is_empty() {
            return Err(format!("`{}` was not found", request.value).into());
        }
    }
    drop((reading, reader));
    match thread.join() {
        Ok(ended) => ended.map(|()| (bare, inside)).map_err(Into::into),
        Err(_) => Err("the exchange panicked".into()),
    }
}

/// Finds a value's records and reads them, without opening them.
fn look_up(reader: &Reader, value: &str) -> Result<usize, Failure> {
    let mut hits = 0;
    for (position, _) in reader.by_observable(&Observable::parse(value)?.to_key_bytes(), Tlp::Red, 10)? {
        hits += usize::from(std::hint::black_box(reader.entry(position)?).is_some());
    }
    Ok(hits)
}

/// Microseconds of single questions, and how many are answered a second when several are asked at
/// once.
async fn over_http(
    stock: &Stock,
    running: &Running,
    count: usize,
    mut pick: Pick,
) -> Result<(Vec<f64>, f64), Failure> {
    let mut waits = Vec::new();
    for _ in 0..count {
        let request = request(stock, &mut pick);
        let begun = Instant::now();
        let reply = running.client.search(&request).await?;
        waits.push(begun.elapsed().as_secs_f64() * 1e6);
        if reply.matches.is_empty() {
            return Err(format!("`{}` was not found", request.value).into());
        }
    }
    let requests: Vec<SearchRequest> = (0..count).map(|_| request(stock, &mut pick)).collect();
    let begun = Instant::now();
    let mut answers = futures::stream::iter(&requests)
        .map(|request| running.client.search(request))
        .buffer_unordered(AT_ONCE);
    while let Some(answer) = answers.next().await {
        answer?;
    }
    Ok((waits, count as f64 / begun.elapsed().as_secs_f64()))
}

async fn remembering(stock: &Stock, scale: &Scale, table: &mut Table) -> Result<(), Failure> {
    let empty = empty_node(stock).await?;
    let count = scale.size(2_000, 50);
    let (mut alone, mut started, mut searched) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..scale.runs {
        let running = empty.1.start().await?;
        alone.push(running.memory()?.now);
        running.end().await?;
        let running = stock.node.start().await?;
        started.push(running.memory()?.now);
        over_http(stock, &running, count, Pick(u64::try_from(run)?)).await?;
        searched.push(running.memory()?.now);
        running.end().await?;
    }
    let beside = "an empty node";
    let mut add = |text: &str, runs| {
        table.add(Figure::new("memory", what(stock, text), "MB", runs).beside(beside, alone.clone()));
    };
    add("resident after start", started);
    add("resident after searching", searched);
    add("resident when filled", vec![stock.memory.now]);
    add("peak while filling", vec![stock.memory.peak]);
    let text = what(stock, "publishing while filling");
    table.add(Figure::new("memory", text, "objects/s", vec![stock.filled]));
    Ok(())
}

/// A node in a community, with nothing in it.
async fn empty_node(stock: &Stock) -> Result<(tempfile::TempDir, Node), Failure> {
    let folder = tempfile::tempdir()?;
    let node = Node::create(&folder.path().join("node"), stock.engine)?;
    let running = node.start().await?;
    found(&running).await?;
    running.end().await?;
    Ok((folder, node))
}

async fn starting(stock: &mut Stock, scale: &Scale, table: &mut Table) -> Result<(), Failure> {
    let empty = empty_node(stock).await?;
    let (mut alone, mut clean, mut killed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.runs {
        let running = empty.1.start().await?;
        alone.push(running.answered.as_secs_f64());
        running.end().await?;
        let running = stock.node.start().await?;
        clean.push(running.answered.as_secs_f64());
        let more = scale.size(BEFORE_KILL, 100);
        publish_made_up(&running, stock.objects, more).await?;
        stock.objects += more;
        running.kill().await?;
        let running = stock.node.start().await?;
        killed.push(running.answered.as_secs_f64());
        running.end().await?;
    }
    let beside = "an empty node";
    let text = what(stock, "up after a clean stop");
    table.add(
        Figure::new("startup", text, "s", clean)
            .beside(beside, alone.clone())
            .aim(Aim::AtMost(1.0)),
    );
    let text = what(stock, "up after a kill");
    table.add(
        Figure::new("startup", text, "s", killed)
            .beside(beside, alone)
            .aim(Aim::AtMost(3.0)),
    );
    Ok(())
}
