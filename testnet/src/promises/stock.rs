//! What a node can read, taken from its own listing and searches.

use std::collections::{BTreeSet, HashMap};

use hanse_protocol::identity::RecordId;
use hanse_protocol::local::{self, PAGE, Readable, SearchRequest};
use hanse_sdk::{Client, SdkError};
use serde_json::value::RawValue;

use super::{Kept, Promise};
use crate::expected::{Expected, Found, Wanted};

/// Records on a page of a listing with objects: their JSON is held at once, here and at the node.
const RECORDS: usize = 16;

/// All that was published, by who may read it.
#[derive(Default)]
pub struct Published {
    /// The incident in the open.
    pub open: Expected,
    /// The incident for the partners.
    pub sealed: Expected,
    /// The bulletins of all members.
    pub bulletins: Expected,
    /// The input file.
    pub input: Expected,
    /// Whether there is an input file; the incidents are the input otherwise.
    pub has_input: bool,
}

/// What one node holds.
#[derive(Default)]
pub struct Stock {
    /// Of the incident in the open.
    pub open: Found,
    /// Of the sealed incident.
    pub sealed: Found,
    /// Of the bulletins.
    pub bulletins: Found,
    /// Of the input file.
    pub input: Found,
    /// Records by whether they can be read.
    pub records: HashMap<RecordId, Readable>,
    /// How many searches found what they should not have: sealed objects, at a node that is no
    /// reader of them.
    pub overheard: usize,
    /// How many searches did not find what they should.
    pub unfound: usize,
}

impl Published {
    /// How many distinct objects of the input a node is to hold.
    pub fn due(&self, reader: bool) -> usize {
        let scene = self.open.objects() + if reader { self.sealed.objects() } else { 0 };
        self.input.objects() + if self.has_input { 0 } else { scene }
    }

    /// What a node's listing shows, object by object.
    ///
    /// # Errors
    /// [`SdkError`] of the node's API.
    pub async fn stock(&self, client: &Client, reader: bool) -> Result<Stock, SdkError> {
        let mut stock = Stock::default();
        let mut after = 0;
        loop {
            let page = client.records(after, RECORDS, true).await?;
            for record in page.records {
                self.see(&mut stock, &record);
                stock.records.insert(record.id, record.state);
            }
            after = page.next;
            if !page.more {
                break;
            }
        }
        self.search(&mut stock, client, reader).await?;
        Ok(stock)
    }

    fn see(&self, stock: &mut Stock, record: &local::RecordView) {
        for object in record.objects.iter().flatten() {
            let raw = object.object.get();
            // What comes with the input may be in an incident too: each is counted where it is due.
            stock.open.see(&self.open, raw);
            stock.sealed.see(&self.sealed, raw);
            stock.bulletins.see(&self.bulletins, raw);
            stock.input.see(&self.input, raw);
        }
    }

    async fn search(&self, stock: &mut Stock, client: &Client, reader: bool) -> Result<(), SdkError> {
        let (input, scene) = (self.input.sample(), self.open.sample());
        let open: Vec<&Wanted> = if self.has_input {
            input.collect()
        } else {
            input.chain(scene).collect()
        };
        for wanted in open {
            if !finds(client, wanted).await? {
                stock.unfound += 1;
            }
        }
        for wanted in self.sealed.sample() {
            match (finds(client, wanted).await?, reader) {
                (false, true) if !self.has_input => stock.unfound += 1,
                (true, false) => stock.overheard += 1,
                _ => {}
            }
        }
        Ok(())
    }
}

impl Stock {
    /// How many distinct objects of the input were found.
    pub fn readable(&self, published: &Published) -> usize {
        let scene = self.open.objects() + self.sealed.objects();
        self.input.objects() + if published.has_input { 0 } else { scene }
    }

    /// How many records the node holds and cannot open.
    pub fn opaque(&self) -> usize {
        self.records
            .values()
            .filter(|state| **state == Readable::Opaque)
            .count()
    }

    /// Decides the promises about what `member` can read.
    pub fn judge(&self, published: &Published, member: &str, reader: bool, kept: &mut Kept) {
        let mut lacks = |promise, of: &Expected, found: &Found| {
            let (due, found) = (of.objects(), found.objects());
            if found < due {
                kept.broken(promise, format!("{member} can read {found} of {due} objects"));
            }
        };
        lacks(Promise::EveryoneHasTheOpenIncident, &published.open, &self.open);
        lacks(Promise::EveryoneIsHeard, &published.bulletins, &self.bulletins);
        if reader {
            lacks(
                Promise::ReadersHaveTheSealedIncident,
                &published.sealed,
                &self.sealed,
            );
        } else if self.sealed.objects() + self.overheard > 0 {
            kept.broken(
                Promise::NobodyElseReadsIt,
                format!(
                    "{member} lists {} and finds {} of its objects",
                    self.sealed.objects(),
                    self.overheard
                ),
            );
        }
        let (due, readable) = (published.due(reader), self.readable(published));
        if readable < due {
            kept.broken(
                Promise::NothingMissing,
                format!("{member} lacks {} objects", due - readable),
            );
        }
        if self.unfound > 0 {
            kept.broken(
                Promise::SearchesFindIt,
                format!("{} searches failed at {member}", self.unfound),
            );
        }
    }
}

/// Whether a search by value or by id finds this very object.
async fn finds(client: &Client, wanted: &Wanted) -> Result<bool, SdkError> {
    if let Some(value) = &wanted.value {
        let reply = search(client, value).await?;
        if reply.matches.iter().any(|found| wanted.is(found.object.get())) {
            return Ok(true);
        }
        // Only a value with more matches than one answer holds says nothing.
        if !reply.more {
            return Ok(false);
        }
    }
    let reply = search(client, &wanted.id).await?;
    Ok(reply.matches.iter().any(|found| wanted.is(found.object.get())))
}

async fn search(client: &Client, value: &str) -> Result<local::SearchReply, SdkError> {
    client
        .search(&SearchRequest {
            value: value.to_owned(),
            limit: Some(PAGE),
        })
        .await
}

/// Notes objects as expected, each as a line of its own.
pub fn expect(expected: &mut Expected, objects: &[Box<RawValue>]) {
    for (line, object) in (1..).zip(objects) {
        expected.add(line, object.get());
    }
}

/// Every distinct record that any node holds.
pub fn distinct_records<'a>(stocks: impl IntoIterator<Item = &'a Stock>) -> usize {
    let ids: BTreeSet<&RecordId> = stocks
        .into_iter()
        .flat_map(|stock| stock.records.keys())
        .collect();
    ids.len()
}
