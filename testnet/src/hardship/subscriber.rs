//! Who is told of every record of a node as it comes: the stream that integrations read, over kills and
//! cuts. Each event is held against what may be told, and to whom.

use std::collections::HashSet;
use std::time::Duration;

use futures::StreamExt;
use hanse_protocol::identity::RecordId;
use hanse_protocol::local::{RecordView, SearchRequest};
use hanse_sdk::Client;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::task::JoinSet;

use super::kept::{Kept, Promise};
use super::ledger::{Ledger, Seen};

/// How long to leave a node alone that does not answer.
const SILENT: Duration = Duration::from_millis(300);

/// How often a record that was told of is searched for.
const SEARCHES: usize = 200;

/// What passes between two searches.
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Deserialize)]
struct Named {
    id: String,
}

/// The id of an object.
pub(super) fn id_of(object: &RawValue) -> Option<String> {
    serde_json::from_str::<Named>(object.get())
        .ok()
        .map(|named| named.id)
}

pub(super) struct Subscriber {
    pub(super) node: usize,
    pub(super) member: String,
    pub(super) client: Client,
    pub(super) ledger: Ledger,
    pub(super) kept: Kept,
    /// Whether it comes back to an earlier place once and so is told again: sabotage.
    pub(super) forgets: bool,
}

impl Subscriber {
    /// Listens until it is dropped.
    pub(super) async fn listen(mut self) {
        let mut told: HashSet<RecordId> = HashSet::new();
        let mut after = 0;
        let mut probes = JoinSet::new();
        loop {
            let mut events = Box::pin(self.client.events(Some(after), true));
            // It goes on by itself after cuts; what ends it is a node that is not there yet.
            while let Some(Ok(record)) = events.next().await {
                while probes.try_join_next().is_some() {}
                if record.position <= after {
                    let reason = format!(
                        "{}: position {} was told after {after}",
                        self.member, record.position
                    );
                    self.kept.broken(Promise::NoDuplicates, reason);
                }
                after = record.position;
                if !told.insert(record.id) {
                    let reason = format!("{}: the record {} was told of twice", self.member, record.id);
                    self.kept.broken(Promise::NoDuplicates, reason);
                }
                if let Some((number, value)) = self.hear(&record) {
                    probes.spawn(probe(self.client.clone(), self.ledger.clone(), number, value));
                }
                if self.forgets && told.len() > 3 {
                    (self.forgets, after) = (false, 0);
                    break;
                }
            }
            tokio::time::sleep(SILENT).await;
        }
    }

    /// Looks at one record; tells what to search for.
    fn hear(&self, record: &RecordView) -> Option<(usize, String)> {
        let objects = record.objects.as_deref()?;
        let seen: Vec<Seen> = objects
            .iter()
            .filter_map(|view| self.ledger.sees(self.node, &id_of(&view.object)?))
            .collect();
        let first = seen.first()?;
        if !first.allowed {
            let reason = format!(
                "{} was told the text of {}, sealed to others",
                self.member, record.id
            );
            self.kept.broken(Promise::Confidentiality, reason);
        }
        if seen.len() != first.objects {
            let (has, of) = (seen.len(), first.objects);
            let reason = format!("{} was told {has} of {of} objects of {}", self.member, record.id);
            self.kept.broken(Promise::NothingPartial, reason);
        }
        self.ledger.arrives(self.node, first.number);
        Some((first.number, first.probe.clone()?))
    }
}

/// Searches for a value until it is found, and notes when.
async fn probe(client: Client, ledger: Ledger, number: usize, value: String) {
    let request = SearchRequest {
        value,
        limit: Some(1),
    };
    for _ in 0..SEARCHES {
        if client
            .search(&request)
            .await
            .is_ok_and(|reply| !reply.matches.is_empty())
        {
            return ledger.searchable(number);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
