//! What the store can tell: records opened again for those who may look, bounded and synchronous
//! (call it from a blocking thread).

use hanse_protocol::identity::RecordId;
use hanse_protocol::local;
use hanse_protocol::tlp::Tlp;

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum ReadingError {
    /// The value is nothing that is indexed.
    #[error("{0}")]
    Value(String),
    /// Not held, or not for this reader.
    #[error("no such record")]
    NotFound,
    /// The store failed.
    #[error("the store could not be read")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A reader of the store. Cheap to clone.
#[derive(Clone)]
pub struct Reading {}

impl Reading {
    /// Objects that hold a value, newest first; none above `ceiling`.
    pub fn search(&self, _: &local::SearchRequest, _: Tlp) -> Result<local::SearchReply, ReadingError> {
        Err(ReadingError::NotFound)
    }
    /// One record.
    pub fn record(&self, _: &RecordId, _: Tlp) -> Result<local::RecordView, ReadingError> {
        Err(ReadingError::NotFound)
    }
    /// The versions of a STIX object, newest first.
    pub fn object(&self, _: &str, _: Tlp) -> Result<local::ObjectReply, ReadingError> {
        Err(ReadingError::NotFound)
    }
    /// Records that became complete after a position.
    pub fn page(
        &self,
        _after: u64,
        _limit: usize,
        _objects: bool,
        _: Tlp,
    ) -> Result<local::RecordPage, ReadingError> {
        Err(ReadingError::NotFound)
    }
    /// Members, or `None` without a community.
    pub fn members(&self) -> Result<Option<local::MembersReply>, ReadingError> {
        Ok(None)
    }
    /// Health and numbers (async: it asks the mesh).
    pub async fn status(&self) -> Result<local::StatusReply, ReadingError> {
        Err(ReadingError::NotFound)
    }
}
