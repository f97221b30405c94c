//! Nodes that hold many objects: filled once over the API, then looked at by several groups.

use std::time::Instant;

use hanse_node::store::index::Engine;
use hanse_protocol::local::FoundRequest;
use hanse_sdk::Draft;
use tempfile::TempDir;

use crate::hansed::{Memory, Node, Running};
use crate::material;
use crate::measure::{Failure, name, say};

/// Objects of one request.
const REQUEST: usize = 1_000;

/// A node with many objects, down.
pub(crate) struct Stock {
    /// What its size is called.
    pub(crate) label: &'static str,
    pub(crate) engine: Engine,
    pub(crate) node: Node,
    /// Objects it holds, and so the number of the next made-up one.
    pub(crate) objects: usize,
    /// Values to find, if the objects are real ones.
    pub(crate) values: Option<Vec<String>>,
    /// Objects published a second while it was filled.
    pub(crate) filled: f64,
    /// Its memory when it was full.
    pub(crate) memory: Memory,
    /// Removed last.
    _folder: TempDir,
}

/// The last node that was filled; a further size is grown from it when that is made up of the same.
#[derive(Default)]
pub(crate) struct Stocks(Option<Stock>);

impl Stocks {
    /// A node with an index of this engine and so many objects.
    pub(crate) async fn stock(
        &mut self,
        engine: Engine,
        label: &'static str,
        objects: usize,
    ) -> Result<&mut Stock, Failure> {
        // The old one's disk is freed before the new one takes it.
        self.0 = None;
        Ok(self.0.insert(Stock::fill(engine, label, objects).await?))
    }
}

impl Stock {
    async fn fill(engine: Engine, label: &'static str, objects: usize) -> Result<Self, Failure> {
        let real = if label == "100k" {
            material::real(objects)?
        } else {
            None
        };
        let source = if real.is_some() { "real" } else { "made-up" };
        say(&format!(
            "filling a node with {objects} {source} objects, {}",
            name(engine)
        ));
        let folder = tempfile::tempdir()?;
        let node = Node::create(&folder.path().join("node"), engine)?;
        let running = node.start().await?;
        found(&running).await?;
        let started = Instant::now();
        let values = match real {
            Some(objects) => {
                let (texts, values): (Vec<String>, Vec<String>) = objects.into_iter().unzip();
                let mut texts = texts.into_iter().peekable();
                while texts.peek().is_some() {
                    publish(&running, texts.by_ref().take(REQUEST)).await?;
                }
                Some(values)
            }
            None => {
                publish_made_up(&running, 0, objects).await?;
                None
            }
        };
        let filled = objects as f64 / started.elapsed().as_secs_f64();
        let memory = running.memory()?;
        running.end().await?;
        Ok(Self {
            label,
            engine,
            node,
            objects,
            values,
            filled,
            memory,
            _folder: folder,
        })
    }

    /// The value of one of its objects.
    pub(crate) fn value(&self, number: usize) -> String {
        match &self.values {
            Some(values) => values
                .get(number % values.len().max(1))
                .cloned()
                .unwrap_or_default(),
            None => material::value(u64::try_from(number % self.objects.max(1)).unwrap_or_default()),
        }
    }
}

/// Founds a community of one.
pub(crate) async fn found(running: &Running) -> Result<(), Failure> {
    let request = FoundRequest {
        name: "Benchmark".to_owned(),
        unmarked: None,
        horizon_days: None,
    };
    running.client.found(&request).await?;
    Ok(())
}

/// Publishes made-up indicators from a number on.
pub(crate) async fn publish_made_up(running: &Running, from: usize, count: usize) -> Result<(), Failure> {
    let mut numbers = (from..from + count).peekable();
    while numbers.peek().is_some() {
        let texts = numbers.by_ref().take(REQUEST);
        let texts = texts.map(|number| material::indicator(u64::try_from(number).unwrap_or_default()));
        publish(running, texts).await?;
    }
    Ok(())
}

async fn publish(running: &Running, texts: impl Iterator<Item = String>) -> Result<(), Failure> {
    let objects = texts.map(material::raw).collect::<Result<Vec<_>, _>>()?;
    let reply = running.client.publish(Draft::new().objects(objects)).await?;
    match reply.refused.first() {
        None => Ok(()),
        Some(refused) => Err(format!("an object was refused: {}", refused.reason).into()),
    }
}
