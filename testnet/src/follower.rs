//! Watching records arrive at a node: its own listing is read on from the last position, and the
//! moment each record is first seen in it is remembered.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hanse_protocol::identity::RecordId;
use hanse_protocol::local::{PAGE, Readable};
use hanse_sdk::Client;
use tokio::task::JoinHandle;

/// How often the listing is read while single records are timed.
const CLOSELY: Duration = Duration::from_millis(3);

/// How often while a node takes in many: looking costs it time that it needs.
const SELDOM: Duration = Duration::from_millis(100);

/// How long to leave a node alone that does not answer.
const SILENT: Duration = Duration::from_millis(250);

/// Follows one node until it is dropped.
pub struct Follower {
    seen: Arc<Mutex<HashMap<RecordId, Instant>>>,
    closely: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Follows the node of this client from its first record on. A node that does not answer is
    /// asked again until it does.
    pub fn follow(client: Client) -> Self {
        let seen = Arc::new(Mutex::new(HashMap::new()));
        let closely = Arc::new(AtomicBool::new(true));
        let task = tokio::spawn(follow(client, Arc::clone(&seen), Arc::clone(&closely)));
        Self { seen, closely, task }
    }

    /// Whether to look every few milliseconds, which is what times a single record, or ten times a
    /// second.
    pub fn look_closely(&self, closely: bool) {
        self.closely.store(closely, Ordering::Relaxed);
    }

    /// When the node first listed this record with its body, readable or not.
    pub fn arrival(&self, id: &RecordId) -> Option<Instant> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .copied()
    }

    /// How many of these records the node has listed.
    pub fn count<'a>(&self, ids: impl IntoIterator<Item = &'a RecordId>) -> usize {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        ids.into_iter().filter(|id| seen.contains_key(*id)).count()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(client: Client, seen: Arc<Mutex<HashMap<RecordId, Instant>>>, closely: Arc<AtomicBool>) {
    let mut after = 0;
    loop {
        let Ok(page) = client.records(after, PAGE, false).await else {
            tokio::time::sleep(SILENT).await;
            continue;
        };
        let now = Instant::now();
        {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            for record in page
                .records
                .iter()
                .filter(|record| record.state != Readable::Awaited)
            {
                seen.entry(record.id).or_insert(now);
            }
        }
        after = page.next;
        if !page.more {
            let pause = if closely.load(Ordering::Relaxed) {
                CLOSELY
            } else {
                SELDOM
            };
            tokio::time::sleep(pause).await;
        }
    }
}
