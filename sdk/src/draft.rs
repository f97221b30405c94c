//! What is to be published, and on which terms.

use hanse_protocol::identity::Handle;
use hanse_protocol::local::PublishRequest;
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;
use serde::Serialize;
use serde_json::value::RawValue;

/// Who may read what is published, how it is marked and how long it lives. By default everybody
/// whom the markings allow, unmarked objects as the community's charter says, until the community's
/// horizon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Readers; `None` for everybody whom the markings allow.
    pub to: Option<Vec<Handle>>,
    /// Marking of objects that bear none, and the least of those that do.
    pub tlp: Option<Tlp>,
    /// When the records expire.
    pub expires: Option<Timestamp>,
    /// The token of a preview: nothing is published unless it would go exactly as previewed.
    pub preview: Option<String>,
}

/// Objects that are published together.
#[derive(Debug, Default)]
pub struct Draft {
    objects: Vec<Box<RawValue>>,
    terms: Terms,
}

impl Draft {
    /// An empty draft.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an object, which travels byte for byte as it is written here.
    #[must_use]
    pub fn object(mut self, object: Box<RawValue>) -> Self {
        self.objects.push(object);
        self
    }

    /// Adds objects, which travel byte for byte.
    #[must_use]
    pub fn objects(mut self, objects: impl IntoIterator<Item = Box<RawValue>>) -> Self {
        self.objects.extend(objects);
        self
    }

    /// Adds an object of the caller's own type, written as JSON now.
    ///
    /// # Errors
    /// What serde has against it.
    pub fn written(self, object: &impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(self.object(serde_json::value::to_raw_value(object)?))
    }

    /// Names the readers, instead of everybody whom the markings allow.
    #[must_use]
    pub fn to(mut self, readers: impl IntoIterator<Item = Handle>) -> Self {
        self.terms.to.get_or_insert_default().extend(readers);
        self
    }

    /// Marks the objects that bear no marking, and is the least marking of the others.
    #[must_use]
    pub fn tlp(mut self, tlp: Tlp) -> Self {
        self.terms.tlp = Some(tlp);
        self
    }

    /// Says when the records expire.
    #[must_use]
    pub fn expires(mut self, at: Timestamp) -> Self {
        self.terms.expires = Some(at);
        self
    }

    /// Sets all terms at once.
    #[must_use]
    pub fn terms(mut self, terms: Terms) -> Self {
        self.terms = terms;
        self
    }

    /// The request as the API takes it.
    pub fn into_request(self) -> PublishRequest {
        PublishRequest {
            objects: self.objects,
            to: self.terms.to,
            tlp: self.terms.tlp,
            expires: self.terms.expires,
            preview: self.terms.preview,
        }
    }
}
