//! What the API needs of the node. A trait, so that what the API adds (who may, how much, which
//! problem) is tested without a node behind it.

use hanse_protocol::identity::{Handle, RecordId};
use hanse_protocol::local;
use hanse_protocol::tlp::Tlp;
use tokio::sync::watch;

use crate::exchange::{Actor, Deed, Exchange, ExchangeError, Review};
use crate::reading::{Reading, ReadingError};
use crate::store::entry::Position;

/// An answer of the exchange, awaited.
pub(super) trait Changed<T>: Future<Output = Result<T, ExchangeError>> + Send {}

impl<T, F: Future<Output = Result<T, ExchangeError>> + Send> Changed<T> for F {}

/// What changes things and what looks at them.
pub(super) trait Backend: Clone + Send + Sync + 'static {
    fn publish(&self, by: Actor, request: local::PublishRequest) -> impl Changed<local::PublishReply>;
    fn request(&self, by: Actor) -> impl Changed<local::RequestReply>;
    fn found(&self, by: Actor, request: local::FoundRequest) -> impl Changed<local::Founded>;
    fn admit(&self, by: Actor, request: local::AdmitRequest) -> impl Changed<local::Admission>;
    fn expel(&self, by: Actor, member: Handle) -> impl Changed<local::CharterReply>;
    fn retract(&self, by: Actor, record: RecordId) -> impl Changed<local::RetractReply>;
    fn release(&self, by: Actor, record: RecordId) -> impl Changed<local::ReviewReply>;
    fn put_away(&self, by: Actor, record: RecordId) -> impl Changed<local::ReviewReply>;
    fn retain(&self, by: Actor, confirm: bool) -> impl Changed<local::RetainReply>;
    fn join(&self, by: Actor, request: local::JoinRequest) -> impl Changed<local::CharterReply>;
    fn propose(&self, by: Actor, request: local::ProposeRequest) -> impl Changed<local::ProposalReply>;
    fn endorse(&self, by: Actor, file: local::ProposalFile) -> impl Changed<local::ProposalReply>;
    fn submit(&self, by: Actor, file: local::ProposalFile) -> impl Changed<local::ProposalReply>;
    fn review(&self, file: &str) -> Result<Option<local::ProposalView>, ReadingError>;
    fn community(&self) -> Option<local::CommunityView>;

    fn witness(&self, deeds: Vec<Deed>, note: Option<(&'static str, Vec<u8>)>) -> impl Changed<()>;

    fn noted(&self, kind: &str) -> Result<Option<Vec<u8>>, ReadingError>;
    fn search(
        &self,
        request: &local::SearchRequest,
        ceiling: Tlp,
    ) -> Result<local::SearchReply, ReadingError>;
    fn preview(&self, request: &local::PublishRequest) -> Result<local::PreviewReply, ReadingError>;
    fn check_policies(
        &self,
        request: local::PolicyCheckRequest,
    ) -> Result<local::PolicyCheckReply, ReadingError>;
    fn explain(&self, request: &local::ExplainRequest) -> Result<local::Explanation, ReadingError>;
    fn record(&self, id: &RecordId, ceiling: Tlp) -> Result<local::RecordView, ReadingError>;
    fn object(&self, id: &str, ceiling: Tlp) -> Result<local::ObjectReply, ReadingError>;
    fn page(
        &self,
        after: u64,
        limit: usize,
        objects: bool,
        ceiling: Tlp,
    ) -> Result<local::RecordPage, ReadingError>;
    fn quarantine(
        &self,
        after: Option<RecordId>,
        limit: usize,
        ceiling: Tlp,
    ) -> Result<local::QuarantinePage, ReadingError>;
    fn quarantined(&self, id: &RecordId, ceiling: Tlp) -> Result<local::QuarantinedRecord, ReadingError>;
    fn reviewable(&self, id: &RecordId, ceiling: Tlp) -> Result<(), ReadingError>;
    fn members(&self) -> Result<Option<local::MembersReply>, ReadingError>;
    fn audit(&self, from: u64, limit: usize) -> Result<local::AuditPage, ReadingError>;
    fn audit_heads(&self) -> Result<local::HeardAudits, ReadingError>;
    fn positions(&self) -> watch::Receiver<Position>;
    fn shown_out(&self) -> Option<String>;
    fn status(&self) -> impl Future<Output = Result<local::StatusReply, ReadingError>> + Send;
}

/// The node itself.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) exchange: Exchange,
    pub(super) reading: Reading,
}

impl Backend for Node {
    fn publish(&self, by: Actor, request: local::PublishRequest) -> impl Changed<local::PublishReply> {
        self.exchange.publish(by, request)
    }

    fn request(&self, by: Actor) -> impl Changed<local::RequestReply> {
        self.exchange.request(by)
    }

    fn found(&self, by: Actor, request: local::FoundRequest) -> impl Changed<local::Founded> {
        self.exchange.found(by, request)
    }

    fn admit(&self, by: Actor, request: local::AdmitRequest) -> impl Changed<local::Admission> {
        self.exchange.admit(by, request)
    }

    fn expel(&self, by: Actor, member: Handle) -> impl Changed<local::CharterReply> {
        self.exchange.expel(by, member)
    }

    fn retract(&self, by: Actor, record: RecordId) -> impl Changed<local::RetractReply> {
        self.exchange.retract(by, record)
    }

    fn release(&self, by: Actor, record: RecordId) -> impl Changed<local::ReviewReply> {
        self.exchange.review(by, record, Review::Release)
    }

    fn put_away(&self, by: Actor, record: RecordId) -> impl Changed<local::ReviewReply> {
        self.exchange.review(by, record, Review::Drop)
    }

    fn retain(&self, by: Actor, confirm: bool) -> impl Changed<local::RetainReply> {
        self.exchange.retain(by, confirm)
    }

    fn join(&self, by: Actor, request: local::JoinRequest) -> impl Changed<local::CharterReply> {
        self.exchange.join(by, request)
    }

    fn propose(&self, by: Actor, request: local::ProposeRequest) -> impl Changed<local::ProposalReply> {
        self.exchange.propose(by, request)
    }

    fn endorse(&self, by: Actor, file: local::ProposalFile) -> impl Changed<local::ProposalReply> {
        self.exchange.endorse(by, file)
    }

    fn submit(&self, by: Actor, file: local::ProposalFile) -> impl Changed<local::ProposalReply> {
        self.exchange.submit(by, file)
    }

    fn review(&self, file: &str) -> Result<Option<local::ProposalView>, ReadingError> {
        self.reading.review(file)
    }

    fn community(&self) -> Option<local::CommunityView> {
        self.reading.community()
    }

    fn witness(&self, deeds: Vec<Deed>, note: Option<(&'static str, Vec<u8>)>) -> impl Changed<()> {
        self.exchange.witness(deeds, note)
    }

    fn noted(&self, kind: &str) -> Result<Option<Vec<u8>>, ReadingError> {
        self.reading.noted(kind)
    }

    fn search(
        &self,
        request: &local::SearchRequest,
        ceiling: Tlp,
    ) -> Result<local::SearchReply, ReadingError> {
        self.reading.search(request, ceiling)
    }

    fn preview(&self, request: &local::PublishRequest) -> Result<local::PreviewReply, ReadingError> {
        self.reading.preview(request)
    }

    fn check_policies(
        &self,
        request: local::PolicyCheckRequest,
    ) -> Result<local::PolicyCheckReply, ReadingError> {
        self.reading.check_policies(request)
    }

    fn explain(&self, request: &local::ExplainRequest) -> Result<local::Explanation, ReadingError> {
        self.reading.explain(request)
    }

    fn record(&self, id: &RecordId, ceiling: Tlp) -> Result<local::RecordView, ReadingError> {
        self.reading.record(id, ceiling)
    }

    fn object(&self, id: &str, ceiling: Tlp) -> Result<local::ObjectReply, ReadingError> {
        self.reading.object(id, ceiling)
    }

    fn page(
        &self,
        after: u64,
        limit: usize,
        objects: bool,
        ceiling: Tlp,
    ) -> Result<local::RecordPage, ReadingError> {
        self.reading.page(after, limit, objects, ceiling)
    }

    fn quarantine(
        &self,
        after: Option<RecordId>,
        limit: usize,
        ceiling: Tlp,
    ) -> Result<local::QuarantinePage, ReadingError> {
        self.reading.quarantine(after, limit, ceiling)
    }

    fn quarantined(&self, id: &RecordId, ceiling: Tlp) -> Result<local::QuarantinedRecord, ReadingError> {
        self.reading.quarantined(id, ceiling)
    }

    fn reviewable(&self, id: &RecordId, ceiling: Tlp) -> Result<(), ReadingError> {
        self.reading.reviewable(id, ceiling)
    }

    fn members(&self) -> Result<Option<local::MembersReply>, ReadingError> {
        self.reading.members()
    }

    fn audit(&self, from: u64, limit: usize) -> Result<local::AuditPage, ReadingError> {
        self.reading.audit(from, limit)
    }

    fn audit_heads(&self) -> Result<local::HeardAudits, ReadingError> {
        self.reading.audit_heads()
    }

    fn positions(&self) -> watch::Receiver<Position> {
        self.exchange.positions()
    }

    fn shown_out(&self) -> Option<String> {
        self.reading.shown_out()
    }

    fn status(&self) -> impl Future<Output = Result<local::StatusReply, ReadingError>> + Send {
        self.reading.status()
    }
}
