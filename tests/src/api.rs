//! A client of one node's API: plain HTTP, so that what the stories see is what any client sees.

use std::collections::BTreeMap;

use hanse_protocol::identity::RecordId;
use hanse_protocol::local::{self, Problem, PublishReply, PublishRequest, RecordView};
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// A client with one token.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    /// Where the node's API listens.
    root: String,
    /// Where the routes of the community are that is meant.
    base: String,
    token: String,
}

/// Why a call brought no answer.
#[derive(Debug)]
pub enum Failure {
    /// The node said no.
    Problem(Problem),
    /// The node did not answer.
    Transport(String),
}

impl Failure {
    /// What the node said.
    ///
    /// # Panics
    /// If it said nothing.
    pub fn problem(self) -> Problem {
        match self {
            Self::Problem(problem) => problem,
            Self::Transport(error) => panic!("no answer: {error}"),
        }
    }
}

/// What is published and on what terms.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Named readers.
    pub to: Option<Vec<&'static str>>,
    /// The `tlp` flag.
    pub tlp: Option<Tlp>,
    /// The expiry.
    pub expires: Option<Timestamp>,
}

/// Terms that name readers.
pub fn to(readers: &[&'static str]) -> Terms {
    Terms {
        to: Some(readers.to_vec()),
        ..Terms::default()
    }
}

impl Api {
    pub(crate) fn new(http: reqwest::Client, port: u16, token: &str) -> Self {
        Self {
            http,
            root: format!("http://127.0.0.1:{port}"),
            base: format!("http://127.0.0.1:{port}"),
            token: token.trim().to_owned(),
        }
    }

    /// The same client for another community of the node.
    pub fn in_community(&self, name: &str) -> Self {
        Self {
            base: format!("{}/communities/{name}", self.root),
            ..self.clone()
        }
    }

    /// The communities of the node.
    pub async fn communities(&self) -> Vec<local::CommunityEntry> {
        let reply: Result<local::CommunitiesReply, _> = self.get("/v1/communities").await;
        reply.expect("communities are listed").communities
    }

    async fn call<Q: Serialize, A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        question: Option<&Q>,
    ) -> Result<A, Failure> {
        let url = format!("{}{path}", self.base);
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        if let Some(question) = question {
            request = request.json(question);
        }
        let transport = |error: reqwest::Error| Failure::Transport(format!("{error:?}"));
        let answer = request.send().await.map_err(transport)?;
        let status = answer.status();
        let text = answer.text().await.map_err(transport)?;
        if status.is_success() {
            let read = serde_json::from_str(&text);
            Ok(read.unwrap_or_else(|error| panic!("{path} answered what is no answer ({error}): {text}")))
        } else {
            let problem: Problem = serde_json::from_str(&text).unwrap_or_else(|error| {
                panic!("{path} answered {status} without a problem ({error}): {text}")
            });
            assert_eq!(
                problem.status,
                status.as_u16(),
                "the problem names another status"
            );
            Err(Failure::Problem(problem))
        }
    }

    async fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, Failure> {
        self.call::<(), A>(Method::GET, path, None).await
    }

    async fn post<Q: Serialize, A: DeserializeOwned>(&self, path: &str, question: &Q) -> Result<A, Failure> {
        self.call(Method::POST, path, Some(question)).await
    }

    /// Publishes objects, or says why not.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn try_publish(&self, objects: &[String], terms: &Terms) -> Result<PublishReply, Failure> {
        let raw = |text: &String| RawValue::from_string(text.clone()).expect("a story's objects are JSON");
        let handle = |handle: &&str| handle.parse().expect("a story's handles are handles");
        let request = PublishRequest {
            objects: objects.iter().map(raw).collect(),
            to: terms.to.as_ref().map(|to| to.iter().map(handle).collect()),
            tlp: terms.tlp,
            expires: terms.expires,
            preview: None,
        };
        self.post("/v1/records", &request).await
    }

    /// Who would get what.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn preview(&self, objects: &[String]) -> Result<local::PreviewReply, Failure> {
        self.post("/v1/preview", &raw_request(objects, None)).await
    }

    /// Publishes objects exactly as they were previewed.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn publish_previewed(&self, objects: &[String], token: &str) -> Result<PublishReply, Failure> {
        self.post("/v1/records", &raw_request(objects, Some(token.to_owned())))
            .await
    }

    /// Publishes objects, all of which must be taken; gives the records' ids.
    pub async fn publish(&self, objects: &[String], terms: &Terms) -> Vec<RecordId> {
        let reply = self
            .try_publish(objects, terms)
            .await
            .expect("publishing is answered");
        assert!(reply.refused.is_empty(), "refused: {:?}", reply.refused);
        reply.records.iter().map(|record| record.id).collect()
    }

    /// Publishes one object and gives its record's id.
    pub async fn publish_one(&self, object: &str, terms: &Terms) -> RecordId {
        let ids = self.publish(&[object.to_owned()], terms).await;
        assert_eq!(ids.len(), 1);
        ids[0]
    }

    /// Objects that hold a value.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn try_search(&self, value: &str, limit: Option<usize>) -> Result<local::SearchReply, Failure> {
        let request = local::SearchRequest {
            value: value.to_owned(),
            limit,
        };
        self.post("/v1/search", &request).await
    }

    /// Objects that hold a value.
    pub async fn search(&self, value: &str) -> Vec<local::Match> {
        let reply = self.try_search(value, None).await;
        reply.expect("a search is answered").matches
    }

    /// One record, if it is held.
    pub async fn record(&self, id: &RecordId) -> Option<RecordView> {
        match self.get(&format!("/v1/records/{id}")).await {
            Ok(record) => Some(record),
            Err(Failure::Problem(problem)) if problem.status == 404 => None,
            Err(failure) => panic!("a record is looked up: {failure:?}"),
        }
    }

    /// The versions of an object.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn object(&self, id: &str) -> Result<local::ObjectReply, Failure> {
        self.get(&format!("/v1/objects/{id}")).await
    }

    /// Takes back a record.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn retract(&self, id: &RecordId) -> Result<local::RetractReply, Failure> {
        let path = format!("/v1/records/{id}/retract");
        self.call::<(), _>(Method::POST, &path, None).await
    }

    /// Has the node look for what has passed its time.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn retain(&self, confirm: bool) -> Result<local::RetainReply, Failure> {
        self.post("/v1/retain", &local::RetainRequest { confirm }).await
    }

    /// Every record held, with its objects, in the order they became complete here.
    pub async fn records(&self) -> Vec<RecordView> {
        let mut records = Vec::new();
        let mut after = 0;
        loop {
            let path = format!("/v1/records?after={after}&limit=200&objects=true");
            let page: local::RecordPage = self.get(&path).await.expect("a page is answered");
            records.extend(page.records);
            after = page.next;
            if !page.more {
                return records;
            }
        }
    }

    /// Members.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn members(&self) -> Result<local::MembersReply, Failure> {
        self.get("/v1/members").await
    }

    /// Health and numbers.
    pub async fn status(&self) -> local::StatusReply {
        self.get("/v1/status").await.expect("the status is answered")
    }

    /// What the node heard of the audit logs of others.
    pub async fn audit_heads(&self) -> local::HeardAudits {
        self.get("/v1/audit/heads").await.expect("the heads are answered")
    }

    /// The node's request to join.
    pub async fn request(&self) -> local::RequestReply {
        let reply = self.call::<(), _>(Method::POST, "/v1/request", None).await;
        reply.expect("the request is written")
    }

    /// Founds a community.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn found(&self, name: &str) -> Result<local::Founded, Failure> {
        let request = local::FoundRequest {
            name: name.to_owned(),
            unmarked: None,
            horizon_days: None,
        };
        self.post("/v1/community", &request).await
    }

    /// Admits who wrote a request.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn admit(&self, file: &str, fingerprint: &str) -> Result<local::Admission, Failure> {
        let request = local::AdmitRequest {
            file: file.to_owned(),
            fingerprint: fingerprint.to_owned(),
        };
        self.post("/v1/members", &request).await
    }

    /// Joins the community of an invite.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn join(&self, file: &str, fingerprint: &str) -> Result<local::CharterReply, Failure> {
        let request = local::JoinRequest {
            file: file.to_owned(),
            fingerprint: fingerprint.to_owned(),
        };
        self.post("/v1/join", &request).await
    }

    /// The charter in force and what is known beside it.
    pub async fn community(&self) -> local::CommunityView {
        self.get("/v1/community").await.expect("the community is told")
    }

    /// Proposes a change of the charter.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn propose(&self, change: local::Change) -> Result<local::ProposalReply, Failure> {
        let request = local::ProposeRequest { change, again: false };
        self.post("/v1/proposals", &request).await
    }

    /// Signs a proposal; `again` although another of that version was signed.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn endorse(
        &self,
        proposed: &local::ProposalReply,
        again: bool,
    ) -> Result<local::ProposalReply, Failure> {
        let file = local::ProposalFile {
            file: proposed.file.clone(),
            fingerprint: proposed.proposal.fingerprint.clone(),
            again,
        };
        self.post("/v1/proposals/endorse", &file).await
    }

    /// Expels a member.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn expel(&self, handle: &str) -> Result<local::CharterReply, Failure> {
        self.call::<(), _>(Method::DELETE, &format!("/v1/members/{handle}"), None)
            .await
    }

    /// What a route answers, as it is written.
    pub async fn text(&self, path: &str) -> String {
        let url = format!("{}{path}", self.base);
        let answer = self.http.get(url).bearer_auth(&self.token).send().await;
        let text = answer.expect("the route answers").text().await;
        text.expect("answers are text")
    }

    /// The node's numbers as it writes them.
    pub async fn metrics_text(&self) -> String {
        let answer = self.http.get(format!("{}/metrics", self.root)).send().await;
        let text = answer.expect("metrics are answered").text().await;
        text.expect("metrics are text")
    }

    /// The numbers of the node's first community, by metric line without its value and the community's label.
    pub async fn metrics(&self) -> Metrics {
        let text = self.metrics_text().await;
        let line = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            let name = name.replacen("community=\"first\"", "", 1);
            let name = name.replace("{}", "").replace("{,", "{").replace(",}", "}");
            Some((name, value.parse().ok()?))
        };
        let lines = text.lines().filter(|line| line.contains("community=\"first\""));
        Metrics(lines.filter_map(line).collect())
    }

    /// Whether the daemon answers at all.
    pub(crate) async fn healthy(&self) -> bool {
        let answer = self.http.get(format!("{}/healthz", self.root)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }
}

/// A node's numbers at one moment.
#[derive(Clone, Debug)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Records refused for a reason.
    pub fn refused(&self, reason: &str) -> u64 {
        self.value(&format!("hanse_records_refused_total{{reason=\"{reason}\"}}"))
    }

    /// Records refused for every reason.
    pub fn refused_at_all(&self) -> BTreeMap<String, u64> {
        let refused = self.0.iter();
        let refused = refused.filter(|(name, _)| name.starts_with("hanse_records_refused_total"));
        refused
            .map(|(name, value)| (name.clone(), whole(*value)))
            .collect()
    }

    /// Verdicts of a kind that the mesh was told.
    pub fn verdicts(&self, kind: &str) -> u64 {
        self.value(&format!("hanse_mesh_verdicts_total{{kind=\"{kind}\"}}"))
    }

    /// A counter or gauge; 0 if it is not there.
    pub fn value(&self, line: &str) -> u64 {
        self.0.get(line).copied().map_or(0, whole)
    }
}

fn whole(value: f64) -> u64 {
    assert!((0.0..1e15).contains(&value), "{value} is no count");
    value as u64
}

fn raw_request(objects: &[String], preview: Option<String>) -> PublishRequest {
    let raw = |text: &String| RawValue::from_string(text.clone()).expect("a story's objects are JSON");
    PublishRequest {
        objects: objects.iter().map(raw).collect(),
        preview,
        ..PublishRequest::default()
    }
}
