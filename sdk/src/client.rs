//! A client of one node's API: a method a route, typed answers, everything bounded.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use hanse_protocol::identity::{Handle, RecordId};
use hanse_protocol::local;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::draft::Draft;
use crate::error::SdkError;
use crate::events::{Following, Heard};

/// Where a node's API listens unless its settings say otherwise.
pub const DEFAULT_API: &str = "http://127.0.0.1:7474";

/// Largest answer, bytes: a full page of the largest objects is refused rather than held.
const ANSWER: usize = 256 << 20;

/// Largest problem, bytes.
const PROBLEM: usize = 64 << 10;

/// Largest token file, bytes.
const TOKEN_FILE: u64 = 1 << 10;

/// How long a connection on this machine may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How often a node that is not there yet is tried.
const KNOCK: Duration = Duration::from_millis(100);

/// How long an answer may take that only looks.
const LOOK: Duration = Duration::from_secs(60);

/// How long an answer may take that waits for a commit, behind whatever else is being written.
const CHANGE: Duration = Duration::from_secs(300);

/// When to come back if a busy node does not say.
const COME_BACK: Duration = Duration::from_secs(1);

/// A client of one node. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    api: Url,
    /// How long a node that is not there yet is waited for.
    patience: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("api", &self.api.as_str())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the API at `api`, such as [`DEFAULT_API`], that bears `token`. Connects to that
    /// address only: no proxy of the environment, no redirect.
    ///
    /// # Errors
    /// [`SdkError::Api`], [`SdkError::Token`], [`SdkError::Setup`].
    pub fn new(api: &str, token: &str) -> Result<Self, SdkError> {
        let mut bearer = token
            .strip_prefix("hanse_")
            .filter(|rest| rest.len() == 43)
            .and_then(|_| HeaderValue::try_from(format!("Bearer {token}")).ok())
            .ok_or(SdkError::Token)?;
        bearer.set_sensitive(true);
        let http = reqwest::Client::builder()
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer)]))
            .user_agent(concat!("hanse-sdk/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(SdkError::Setup)?;
        Ok(Self {
            http,
            api: address(api)?,
            patience: Duration::ZERO,
        })
    }

    /// Waits so long for a node that takes no connection yet, as one that was started a moment ago.
    #[must_use]
    pub fn patient(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Speaks for the community of this name at the node, rather than for its first: one that
    /// [`Client::communities`] lists.
    #[must_use]
    pub fn in_community(mut self, name: &str) -> Self {
        // An http address always takes segments; each is escaped.
        if let Ok(mut path) = self.api.path_segments_mut() {
            path.pop_if_empty().extend(["communities", name]);
        }
        self
    }

    /// As [`Client::new`], with the token in a file.
    ///
    /// # Errors
    /// [`SdkError::TokenFile`], and those of [`Client::new`].
    pub fn from_files(api: &str, token_file: &Path) -> Result<Self, SdkError> {
        let mut text = String::new();
        std::fs::File::open(token_file)
            .and_then(|file| file.take(TOKEN_FILE).read_to_string(&mut text))
            .map_err(|source| SdkError::TokenFile {
                path: token_file.to_owned(),
                source,
            })?;
        Self::new(api, text.trim())
    }

    /// The API's address.
    pub fn api(&self) -> &str {
        self.api.as_str().trim_end_matches('/')
    }

    /// Publishes a draft; answers after the commit. For any amount of input see
    /// [`publish_all`](crate::publish::publish_all).
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn publish(&self, draft: Draft) -> Result<local::PublishReply, SdkError> {
        self.publish_request(&draft.into_request()).await
    }

    /// Publishes a request as the API takes it; answers after the commit.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn publish_request(
        &self,
        request: &local::PublishRequest,
    ) -> Result<local::PublishReply, SdkError> {
        self.post(&["records"], request, CHANGE).await
    }

    /// Who would get what if this were published now; does nothing.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn preview(&self, request: &local::PublishRequest) -> Result<local::PreviewReply, SdkError> {
        self.post(&["preview"], request, LOOK).await
    }

    /// Errors, likely mistakes and expectations of policies; changes nothing.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn check_policies(
        &self,
        request: &local::PolicyCheckRequest,
    ) -> Result<local::PolicyCheckReply, SdkError> {
        self.post(&["policy", "check"], request, LOOK).await
    }

    /// Why a partner got a record of this node's own, or did not.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn explain(&self, request: &local::ExplainRequest) -> Result<local::Explanation, SdkError> {
        self.post(&["policy", "explain"], request, LOOK).await
    }

    /// Which objects hold this value?
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn search(&self, request: &local::SearchRequest) -> Result<local::SearchReply, SdkError> {
        self.post(&["search"], request, LOOK).await
    }

    /// Records in the order they became complete here, after a position.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn records(
        &self,
        after: u64,
        limit: usize,
        objects: bool,
    ) -> Result<local::RecordPage, SdkError> {
        let mut url = self.route(&["records"]);
        url.query_pairs_mut()
            .append_pair("after", &after.to_string())
            .append_pair("limit", &limit.to_string())
            .append_pair("objects", if objects { "true" } else { "false" });
        self.send(Method::GET, url, None, LOOK).await
    }

    /// One record.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn record(&self, id: &RecordId) -> Result<local::RecordView, SdkError> {
        self.send(Method::GET, self.route(&["records", &id.to_string()]), None, LOOK)
            .await
    }

    /// The versions of a STIX object, newest first.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn object(&self, id: &str) -> Result<local::ObjectReply, SdkError> {
        self.send(Method::GET, self.route(&["objects", id]), None, LOOK)
            .await
    }

    /// The communities that the node belongs to.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn communities(&self) -> Result<local::CommunitiesReply, SdkError> {
        self.send(Method::GET, self.route(&["communities"]), None, LOOK)
            .await
    }

    /// The members of the community.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn members(&self) -> Result<local::MembersReply, SdkError> {
        self.send(Method::GET, self.route(&["members"]), None, LOOK).await
    }

    /// Health and numbers of the node.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn status(&self) -> Result<local::StatusReply, SdkError> {
        self.send(Method::GET, self.route(&["status"]), None, LOOK).await
    }

    /// Writes the node's request to join a community.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn request(&self) -> Result<local::RequestReply, SdkError> {
        self.send(Method::POST, self.route(&["request"]), None, CHANGE)
            .await
    }

    /// Founds a community.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn found(&self, request: &local::FoundRequest) -> Result<local::Founded, SdkError> {
        self.post(&["community"], request, CHANGE).await
    }

    /// Admits who wrote a request.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn admit(&self, request: &local::AdmitRequest) -> Result<local::Admission, SdkError> {
        self.post(&["members"], request, CHANGE).await
    }

    /// Expels a member.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn expel(&self, member: &Handle) -> Result<local::CharterReply, SdkError> {
        let url = self.route(&["members", member.as_str()]);
        self.send(Method::DELETE, url, None, CHANGE).await
    }

    /// The charter in force and what is known beside it.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn community(&self) -> Result<local::CommunityView, SdkError> {
        self.send(Method::GET, self.route(&["community"]), None, LOOK)
            .await
    }

    /// Proposes a change of the charter; with a threshold of one it is in force then.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn propose(&self, request: &local::ProposeRequest) -> Result<local::ProposalReply, SdkError> {
        self.post(&["proposals"], request, CHANGE).await
    }

    /// Tells what a proposal file changes; does nothing.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn review(&self, file: &local::ProposalFile) -> Result<local::ProposalView, SdkError> {
        self.post(&["proposals", "review"], file, LOOK).await
    }

    /// Signs a proposal; the last signature needed puts it in force.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn endorse(&self, file: &local::ProposalFile) -> Result<local::ProposalReply, SdkError> {
        self.post(&["proposals", "endorse"], file, CHANGE).await
    }

    /// Takes in a proposal's signatures without adding one.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn submit(&self, file: &local::ProposalFile) -> Result<local::ProposalReply, SdkError> {
        self.post(&["proposals", "submit"], file, CHANGE).await
    }

    /// Takes back a record of this member's own.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn retract(&self, record: &RecordId) -> Result<local::RetractReply, SdkError> {
        let url = self.route(&["records", &record.to_string(), "retract"]);
        self.send(Method::POST, url, None, CHANGE).await
    }

    /// Records in quarantine by their ids, after one of them; without their objects.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn quarantine(
        &self,
        after: Option<RecordId>,
        limit: Option<usize>,
    ) -> Result<local::QuarantinePage, SdkError> {
        let mut url = self.route(&["quarantine"]);
        if let Some(after) = after {
            url.query_pairs_mut().append_pair("after", &after.to_string());
        }
        if let Some(limit) = limit {
            url.query_pairs_mut().append_pair("limit", &limit.to_string());
        }
        self.send(Method::GET, url, None, LOOK).await
    }

    /// A record in quarantine, with its objects.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn quarantined(&self, record: &RecordId) -> Result<local::QuarantinedRecord, SdkError> {
        let url = self.route(&["quarantine", &record.to_string()]);
        self.send(Method::GET, url, None, LOOK).await
    }

    /// Shows a record that was in quarantine, or was dropped.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn release(&self, record: &RecordId) -> Result<local::ReviewReply, SdkError> {
        let url = self.route(&["quarantine", &record.to_string(), "release"]);
        self.send(Method::POST, url, None, CHANGE).await
    }

    /// Does not show a record that is in quarantine.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn drop_quarantined(&self, record: &RecordId) -> Result<local::ReviewReply, SdkError> {
        let url = self.route(&["quarantine", &record.to_string(), "drop"]);
        self.send(Method::POST, url, None, CHANGE).await
    }

    /// Has the node look now for what has expired, or tells it that its clock is right.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn retain(&self, request: &local::RetainRequest) -> Result<local::RetainReply, SdkError> {
        self.post(&["retain"], request, CHANGE).await
    }

    /// Joins the community of an invite.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn join(&self, request: &local::JoinRequest) -> Result<local::CharterReply, SdkError> {
        self.post(&["join"], request, CHANGE).await
    }

    /// Records as they become complete at the node, after a position or from now on; with the
    /// objects this token may see, if asked for.
    ///
    /// The stream has no end. When the connection is lost or the node starts again it goes on by
    /// itself, with longer waits the longer that takes, and nothing is missed or doubled; a
    /// record's `position` is where a later call goes on. An error is its last item: the node could
    /// not be reached the first time, or refused.
    pub fn events(
        &self,
        after: Option<u64>,
        objects: bool,
    ) -> impl Stream<Item = Result<local::RecordView, SdkError>> + Send + use<> {
        let heard = self.follow_events(after, objects);
        heard.filter_map(async |heard| match heard {
            Ok(Heard::Record(record)) => Some(Ok(*record)),
            Ok(Heard::Away | Heard::Back) => None,
            Err(error) => Some(Err(error)),
        })
    }

    /// As [`Client::events`], and tells when the node is away for which it waits, and when it is back.
    pub fn follow_events(
        &self,
        after: Option<u64>,
        objects: bool,
    ) -> impl Stream<Item = Result<Heard, SdkError>> + Send + use<> {
        Following::new(self.clone(), after, objects).stream()
    }

    /// Begins to follow events.
    pub(crate) async fn follow(&self, after: Option<u64>, objects: bool) -> Result<Response, SdkError> {
        let mut url = self.route(&["events"]);
        url.query_pairs_mut()
            .append_pair("objects", if objects { "true" } else { "false" });
        if let Some(after) = after {
            url.query_pairs_mut().append_pair("after", &after.to_string());
        }
        let request = self.http.get(url).header(ACCEPT, "text/event-stream");
        let response = tokio::time::timeout(LOOK + self.patience, self.connected(request))
            .await
            .map_err(|_| SdkError::Silent {
                api: self.api().to_owned(),
            })??;
        match response.status().is_success() {
            true => Ok(response),
            false => Err(self.refusal(response).await),
        }
    }

    /// Lines of the audit log from a number on.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn audit(&self, from: u64, limit: usize) -> Result<local::AuditPage, SdkError> {
        let mut url = self.route(&["audit"]);
        url.query_pairs_mut()
            .append_pair("from", &from.to_string())
            .append_pair("limit", &limit.to_string());
        self.send(Method::GET, url, None, LOOK).await
    }

    /// What other nodes said of their audit logs, as this node keeps it.
    ///
    /// # Errors
    /// [`SdkError`].
    pub async fn audit_heads(&self) -> Result<local::HeardAudits, SdkError> {
        let url = self.route(&["audit", "heads"]);
        self.send(Method::GET, url, None, LOOK).await
    }

    fn route(&self, segments: &[&str]) -> Url {
        let mut url = self.api.clone();
        // An http address always takes segments; each is escaped, and one of dots is left out.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("v1").extend(segments);
        }
        url
    }

    async fn post<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        body: &impl Serialize,
        patience: Duration,
    ) -> Result<T, SdkError> {
        let body = serde_json::to_vec(body).map_err(SdkError::Request)?;
        self.send(Method::POST, self.route(segments), Some(body), patience)
            .await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<Vec<u8>>,
        patience: Duration,
    ) -> Result<T, SdkError> {
        let mut request = self.http.request(method, url).timeout(patience);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let response = self.connected(request).await?;
        let status = response.status();
        if !status.is_success() {
            return Err(self.refusal(response).await);
        }
        let bytes = self.bounded(response, ANSWER).await?;
        serde_json::from_slice(&bytes).map_err(|source| SdkError::Answer {
            api: self.api().to_owned(),
            status: status.as_u16(),
            source: Some(source),
        })
    }

    /// Sends a request, again for as long as this client is patient and no connection comes about: nothing
    /// was sent then.
    async fn connected(&self, request: RequestBuilder) -> Result<Response, SdkError> {
        let until = Instant::now() + self.patience;
        loop {
            // What cannot be sent twice is sent once.
            let again = request.try_clone();
            let sent = match again {
                Some(request) => request.send().await,
                None => return request.send().await.map_err(|error| self.transport(error)),
            };
            match sent.map_err(|error| self.transport(error)) {
                Err(SdkError::Unreachable { .. }) if Instant::now() < until => {
                    tokio::time::sleep(KNOCK).await;
                }
                answer => return answer,
            }
        }
    }

    async fn refusal(&self, response: Response) -> SdkError {
        let status = response.status().as_u16();
        let after = response.headers().get(RETRY_AFTER);
        let after = after
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let bytes = match self.bounded(response, PROBLEM).await {
            Ok(bytes) => bytes,
            Err(error) => return error,
        };
        match serde_json::from_slice::<local::Problem>(&bytes) {
            Ok(problem) if status == 503 => SdkError::Busy {
                problem,
                after: after.unwrap_or(COME_BACK),
            },
            Ok(problem) => SdkError::Problem(problem),
            Err(_) => SdkError::Answer {
                api: self.api().to_owned(),
                status,
                source: None,
            },
        }
    }

    async fn bounded(&self, mut response: Response, limit: usize) -> Result<Vec<u8>, SdkError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.transport(error))? {
            if bytes.len() + chunk.len() > limit {
                return Err(SdkError::TooLarge { limit });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn transport(&self, error: reqwest::Error) -> SdkError {
        let api = self.api().to_owned();
        // The address in the error would only repeat ours, and can hold a value searched for.
        let source = error.without_url();
        if source.is_connect() {
            SdkError::Unreachable { api, source }
        } else {
            SdkError::Broken { api, source }
        }
    }
}

fn address(text: &str) -> Result<Url, SdkError> {
    let refused = || SdkError::Api(text.chars().take(80).flat_map(char::escape_debug).collect());
    let url: Url = text.parse().map_err(|_| refused())?;
    let plain = url.scheme() == "http"
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if plain { Ok(url) } else { Err(refused()) }
}
