//! What every node shows in the end: whether all hold the same, whether all that was acknowledged is
//! among it, and whether each record is whole and shown to nobody else.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use hanse_protocol::identity::{Handle, RecordId};
use hanse_protocol::limits;
use hanse_protocol::local::{PAGE, Readable, SearchRequest};
use hanse_sdk::{Client, SdkError};
use tokio::time::Instant;

use super::kept::{Kept, Promise};
use super::ledger::Ledger;
use super::subscriber::id_of;

/// What passes between two looks.
const LOOK: Duration = Duration::from_millis(250);

/// Records on a page with objects: their JSON is held at once.
const RECORDS: usize = 64;

/// Sealed records that are searched for where they may not be read.
const SOUGHT: usize = 16;

/// What one node lists, read on from where it was left.
struct Shelf {
    member: Handle,
    client: Client,
    after: u64,
    records: HashSet<RecordId>,
}

/// How it went.
pub(super) struct Converged {
    /// How long after the last hardship; `None` if they did not within the bound.
    pub(super) within: Option<Duration>,
    /// Records of honest members that all nodes hold.
    pub(super) records: usize,
    /// Records dated ahead by clocks that were off: they wait at their authors for their day.
    pub(super) dated_ahead: usize,
}

/// Waits until all nodes list the same records of honest members, and everything acknowledged.
pub(super) async fn converged(
    nodes: &[(Handle, Client)],
    ledger: &Ledger,
    bound: Duration,
    kept: &Kept,
) -> Converged {
    let honest: HashSet<Handle> = nodes.iter().map(|(member, _)| member.clone()).collect();
    let shelf = |(member, client): &(Handle, Client)| Shelf {
        member: member.clone(),
        client: client.clone(),
        after: 0,
        records: HashSet::new(),
    };
    let mut shelves: Vec<Shelf> = nodes.iter().map(shelf).collect();
    let start = Instant::now();
    let mut ahead: HashMap<RecordId, usize> = HashMap::new();
    loop {
        let mut silent = None;
        for (number, shelf) in shelves.iter_mut().enumerate() {
            if let Err(error) = shelf.read(&honest, number, &mut ahead).await {
                silent = Some(format!("{}: {error}", shelf.member));
            }
        }
        let all: HashSet<RecordId> = shelves
            .iter()
            .flat_map(|shelf| shelf.records.iter().copied())
            .collect();
        let due = ledger.told().into_iter().map(|told| told.record);
        let due: HashSet<RecordId> = due
            .filter(|record| !ahead.contains_key(record))
            .chain(all.iter().copied())
            .collect();
        let lacks = shelves.iter().find(|shelf| shelf.records.len() < due.len());
        let done = |within| Converged {
            within,
            records: all.len(),
            dated_ahead: ahead.len(),
        };
        match (lacks, silent) {
            (None, None) => return done(Some(start.elapsed())),
            (_, silent) if start.elapsed() > bound => {
                for shelf in shelves.iter().filter(|shelf| shelf.records.len() < due.len()) {
                    let lacking = due.len() - shelf.records.len();
                    let reason = format!("{} lacks {lacking} of {} records", shelf.member, due.len());
                    kept.broken(Promise::Convergence, reason);
                }
                silent
                    .into_iter()
                    .for_each(|silent| kept.broken(Promise::Convergence, silent));
                return done(None);
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}

impl Shelf {
    async fn read(
        &mut self,
        honest: &HashSet<Handle>,
        number: usize,
        ahead: &mut HashMap<RecordId, usize>,
    ) -> Result<(), SdkError> {
        loop {
            let page = self.client.records(self.after, PAGE, false).await?;
            let now = hanse_node::clock::now().after(limits::SKEW);
            for record in page.records {
                if record.state == Readable::Awaited || !honest.contains(&record.author) {
                    continue;
                }
                if record.created > now {
                    ahead.insert(record.id, number);
                } else {
                    self.records.insert(record.id);
                }
            }
            self.after = page.next;
            if !page.more {
                return Ok(());
            }
        }
    }
}

/// Looks at everything once more, objects and all.
pub(super) async fn whole(nodes: &[(Handle, Client)], ledger: &Ledger, kept: &Kept) {
    for (node, (member, client)) in nodes.iter().enumerate() {
        match one(node, member, client, ledger, kept).await {
            Ok(records) => {
                for told in ledger
                    .told_by(node)
                    .iter()
                    .filter(|told| !records.contains(&told.record))
                {
                    let reason = format!("{member} acknowledged {} and has it no longer", told.record);
                    kept.broken(Promise::NothingLost, reason);
                }
            }
            Err(error) => kept.broken(
                Promise::NothingLost,
                format!("{member} does not tell what it holds: {error}"),
            ),
        }
    }
}

/// Searches every node for what is sealed to others.
pub(super) async fn sealed(nodes: &[(Handle, Client)], ledger: &Ledger, kept: &Kept) {
    for item in ledger.sealed(SOUGHT) {
        let readers = item.readers.as_deref().unwrap_or_default();
        for (node, (member, client)) in nodes.iter().enumerate() {
            if node == item.author || readers.contains(&node) {
                continue;
            }
            let request = SearchRequest {
                value: item.value.clone(),
                limit: Some(1),
            };
            if client
                .search(&request)
                .await
                .is_ok_and(|reply| !reply.matches.is_empty())
            {
                let reason = format!("a search at {member} finds what is sealed to others");
                kept.broken(Promise::Confidentiality, reason);
            }
        }
    }
}

/// Reads one node from the first record on; gives the ids of all it holds with their bodies.
async fn one(
    node: usize,
    member: &Handle,
    client: &Client,
    ledger: &Ledger,
    kept: &Kept,
) -> Result<HashSet<RecordId>, SdkError> {
    let mut records = HashSet::new();
    // Objects of each item that this node shows.
    let mut shown: BTreeMap<usize, HashSet<String>> = BTreeMap::new();
    let mut after = 0;
    loop {
        let page = client.records(after, RECORDS, true).await?;
        for record in page.records {
            if record.state != Readable::Awaited {
                records.insert(record.id);
            }
            for object in record.objects.iter().flatten() {
                let Some(id) = id_of(&object.object) else { continue };
                let Some(seen) = ledger.sees(node, &id) else {
                    continue;
                };
                if !seen.allowed {
                    let reason = format!("{member} shows the text of {}, sealed to others", record.id);
                    kept.broken(Promise::Confidentiality, reason);
                }
                shown.entry(seen.number).or_default().insert(id);
            }
        }
        after = page.next;
        if !page.more {
            break;
        }
    }
    for (number, objects) in shown {
        let whole = ledger.item(number).map_or(0, |item| item.ids.len());
        if objects.len() != whole {
            let reason = format!("{member} shows {} of {whole} objects of a record", objects.len());
            kept.broken(Promise::NothingPartial, reason);
        }
    }
    Ok(records)
}
