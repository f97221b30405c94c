//! Publishing what the plan says, at its times, whatever state the nodes are in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hanse_protocol::identity::Handle;
use hanse_sdk::{Client, Draft, SdkError, Terms};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::kept::{Kept, Promise};
use super::ledger::Ledger;
use super::plan::Item;

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Requests on their way at once.
const AT_ONCE: usize = 64;

/// Nodes whose clocks are off now.
pub(super) type Astray = Arc<Mutex<BTreeMap<usize, i64>>>;

/// All that publishing needs.
#[derive(Clone)]
pub(super) struct Publisher {
    pub(super) clients: Vec<Client>,
    pub(super) members: Vec<Handle>,
    pub(super) ledger: Ledger,
    pub(super) kept: Kept,
    pub(super) astray: Astray,
    /// Whether what is sealed goes to everybody instead: sabotage.
    pub(super) tells_all: bool,
}

impl Publisher {
    /// Publishes every item at its time and waits for the last answer.
    pub(super) async fn publish(self, items: Vec<Item>, start: Instant) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut under_way = JoinSet::new();
        for (number, item) in items.into_iter().enumerate() {
            sleep_until(start + item.at).await;
            while under_way.try_join_next().is_some() {}
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let to = match &item.readers {
                Some(_) if self.tells_all => Some(self.members.clone()),
                Some(readers) => Some(
                    readers
                        .iter()
                        .filter_map(|reader| self.members.get(*reader).cloned())
                        .collect(),
                ),
                None => None,
            };
            let publisher = self.clone();
            under_way.spawn(async move {
                publisher.one(number, &item, to).await;
                drop(place);
            });
        }
        while under_way.join_next().await.is_some() {}
    }

    async fn one(&self, number: usize, item: &Item, to: Option<Vec<Handle>>) {
        let Some(client) = self.clients.get(item.author) else {
            return;
        };
        let astray = {
            let astray = self.astray.lock().unwrap_or_else(PoisonError::into_inner);
            astray.contains_key(&item.author)
        };
        let Ok(objects) = item.objects(&hanse_node::clock::now().to_string()) else {
            return;
        };
        let terms = Terms {
            to,
            ..Terms::default()
        };
        self.ledger.asks(number, astray);
        let draft = Draft::new().objects(objects).terms(terms);
        match timeout(PATIENCE, client.publish(draft)).await {
            Ok(Ok(reply)) if reply.refused.is_empty() && !reply.records.is_empty() => {
                let records = reply.records.iter().map(|record| record.id);
                self.ledger.acknowledged(number, records.collect());
            }
            Ok(Ok(reply)) => {
                // A node takes an item's objects together or not at all: they are alike.
                if !reply.records.is_empty() {
                    let reason = format!("{} published a part of a request", self.name(item.author));
                    self.kept.broken(Promise::NothingPartial, reason);
                }
                self.ledger.refused();
            }
            Ok(Err(SdkError::Unreachable { .. } | SdkError::Busy { .. } | SdkError::Problem(_))) => {
                self.ledger.refused();
            }
            Ok(Err(_)) | Err(_) => self.ledger.unknown(),
        }
    }

    fn name(&self, node: usize) -> &str {
        self.members.get(node).map_or("a node", Handle::as_str)
    }
}
