//! Who may know of objects that a publication refers to and does not hold: what the store tells of them.

use std::collections::BTreeSet;

use hanse_protocol::admission::Admitted;
use hanse_protocol::audience::Audience;
use hanse_protocol::identity::Handle;
use hanse_protocol::seal::Body;
use hanse_protocol::tlp::Tlp;

use crate::sharing::papers::Ruling;
use crate::sharing::references::Elsewhere;
use crate::store::entry::{Drawer, Entry, Position};
use crate::store::{Reader, StoreError, StoredRecord, unless_damaged};

/// Most records that are looked at for one object.
const RECORDS: usize = 64;

/// What the store knows of published objects.
pub(crate) struct Shelves<'a> {
    pub(crate) reader: &'a Reader,
    pub(crate) own: &'a Handle,
}

impl Elsewhere for Shelves<'_> {
    fn readers(&self, id: &str) -> Option<Audience> {
        // What cannot be read is shown to nobody.
        self.look(id).unwrap_or_else(|error| {
            tracing::error!(%error, "an object that is referred to cannot be looked up");
            Some(Audience::Members(BTreeSet::new()))
        })
    }
}

impl Shelves<'_> {
    fn look(&self, id: &str) -> Result<Option<Audience>, StoreError> {
        let mut readers: Option<BTreeSet<Handle>> = None;
        for hit in self.reader.by_object(id, Tlp::Red, RECORDS)?.iter().take(RECORDS) {
            let Some(stored) = self.record_at(hit.position)? else {
                continue;
            };
            match self.audience(&stored)? {
                Audience::Community => return Ok(Some(Audience::Community)),
                Audience::Members(members) => readers.get_or_insert_default().extend(members),
            }
        }
        Ok(readers.map(Audience::Members))
    }

    fn record_at(&self, position: Position) -> Result<Option<StoredRecord>, StoreError> {
        let id = match unless_damaged(self.reader.entry(position))? {
            Some(Entry::Record(record)) => record.id,
            Some(Entry::Body(body)) => body.id,
            _ => return Ok(None),
        };
        unless_damaged(self.reader.record(&id))
    }

    /// Who can read a record, as far as is known here: of what others sealed, its author.
    fn audience(&self, stored: &StoredRecord) -> Result<Audience, StoreError> {
        let open = stored.body.as_ref().map(|body| Body::decode(body));
        if matches!(open, Some(Ok(Body::Open(_)))) {
            return Ok(Audience::Community);
        }
        let nobody = Audience::Members(BTreeSet::new());
        let Ok(admitted) = Admitted::from_log(&stored.header, &stored.community) else {
            return Ok(nobody);
        };
        let header = admitted.header();
        if header.author != *self.own {
            return Ok(Audience::Members(BTreeSet::from([header.author.clone()])));
        }
        let ruling = ruling_of(self.reader, header.created, admitted.id())?;
        Ok(match ruling {
            Some(Ruling { readers: None, .. }) => Audience::Community,
            Some(Ruling {
                readers: Some(readers),
                ..
            }) => Audience::Members(readers),
            None => nobody,
        })
    }
}

/// The key under which the ruling on a record is kept.
pub(crate) fn ruling_key(
    created: hanse_protocol::timestamp::Timestamp,
    id: &hanse_protocol::identity::RecordId,
) -> Vec<u8> {
    let mut key = created.as_millis().to_be_bytes().to_vec();
    key.extend_from_slice(id.as_bytes());
    key
}

/// The ruling on a record of this node's own.
pub(crate) fn ruling_of(
    reader: &Reader,
    created: hanse_protocol::timestamp::Timestamp,
    id: &hanse_protocol::identity::RecordId,
) -> Result<Option<Ruling>, StoreError> {
    let paper = reader.paper(Drawer::Rulings, &ruling_key(created, id))?;
    Ok(paper.and_then(|bytes| minicbor::decode(&bytes).ok()))
}
