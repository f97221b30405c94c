use std::fs;
use std::sync::Mutex;

use hanse_protocol::identity::{Handle, RecordId};
use hanse_protocol::local::{self, Problem, Role};
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::backend::Changed;
use super::problem::Failure;
use super::*;

mod described;
mod following;

use crate::exchange::{Actor, Deed, ExchangeError};
use crate::reading::ReadingError;
use crate::store::StoreError;
use crate::store::entry::Position;

/// A node that notes what it was asked and answers what it was told to.
#[derive(Clone, Default)]
struct Fake {
    asked: Arc<Mutex<Vec<String>>>,
    /// Holds publishing back until permits are added.
    gate: Option<Arc<Semaphore>>,
}

impl Fake {
    fn note(&self, asked: String) {
        self.asked.lock().unwrap().push(asked);
    }

    fn charter() -> local::CharterReply {
        local::CharterReply {
            community: hanse_protocol::identity::CommunityId([1; 32]),
            name: "north".to_owned(),
            charter: 2,
            members: 1,
        }
    }
}

impl Backend for Fake {
    fn publish(&self, by: Actor, request: local::PublishRequest) -> impl Changed<local::PublishReply> {
        self.note(format!("publish {} by {}", request.objects.len(), by.0));
        let gate = self.gate.clone();
        async move {
            if let Some(gate) = gate {
                gate.acquire().await.unwrap().forget();
            }
            Ok(local::PublishReply::default())
        }
    }

    async fn request(&self, _: Actor) -> Result<local::RequestReply, ExchangeError> {
        Err(ExchangeError::Stopped)
    }

    async fn found(&self, _: Actor, _: local::FoundRequest) -> Result<local::Founded, ExchangeError> {
        Err(ExchangeError::HasCommunity)
    }

    async fn admit(&self, _: Actor, _: local::AdmitRequest) -> Result<local::Admission, ExchangeError> {
        Err(ExchangeError::Fingerprint)
    }

    async fn retract(&self, by: Actor, record: RecordId) -> Result<local::RetractReply, ExchangeError> {
        self.note(format!("retract {record} by {}", by.0));
        Err(ExchangeError::Restored)
    }

    async fn release(&self, by: Actor, record: RecordId) -> Result<local::ReviewReply, ExchangeError> {
        self.note(format!("release {record} by {}", by.0));
        Err(ExchangeError::Full)
    }

    async fn put_away(&self, by: Actor, record: RecordId) -> Result<local::ReviewReply, ExchangeError> {
        self.note(format!("drop {record} by {}", by.0));
        Err(ExchangeError::Full)
    }

    async fn retain(&self, by: Actor, confirm: bool) -> Result<local::RetainReply, ExchangeError> {
        self.note(format!("retain {confirm} by {}", by.0));
        Ok(local::RetainReply::default())
    }

    async fn expel(&self, by: Actor, member: Handle) -> Result<local::CharterReply, ExchangeError> {
        self.note(format!("expel {member} by {}", by.0));
        match member.as_str() {
            "acme" => Ok(Self::charter()),
            _ => Err(ExchangeError::UnknownMember(member)),
        }
    }

    async fn join(&self, _: Actor, _: local::JoinRequest) -> Result<local::CharterReply, ExchangeError> {
        Err(ExchangeError::Store(Arc::new(StoreError::Behind)))
    }

    async fn propose(
        &self,
        by: Actor,
        request: local::ProposeRequest,
    ) -> Result<local::ProposalReply, ExchangeError> {
        self.note(format!("propose {:?} by {}", request.change, by.0));
        Err(ExchangeError::Endorsed {
            version: 3,
            hash: hanse_protocol::charter::CharterHash([7; 32]),
        })
    }

    async fn endorse(
        &self,
        by: Actor,
        file: local::ProposalFile,
    ) -> Result<local::ProposalReply, ExchangeError> {
        self.note(format!("endorse {} by {}", file.file, by.0));
        Err(ExchangeError::Fingerprint)
    }

    async fn submit(&self, _: Actor, _: local::ProposalFile) -> Result<local::ProposalReply, ExchangeError> {
        Err(ExchangeError::Endorsements(2))
    }

    fn review(&self, file: &str) -> Result<Option<local::ProposalView>, ReadingError> {
        Err(ReadingError::Value(format!("`{file}` is no proposal")))
    }

    fn community(&self) -> Option<local::CommunityView> {
        None
    }

    async fn witness(&self, _: Vec<Deed>, _: Option<(&'static str, Vec<u8>)>) -> Result<(), ExchangeError> {
        Ok(())
    }

    fn noted(&self, _: &str) -> Result<Option<Vec<u8>>, ReadingError> {
        Ok(None)
    }

    fn search(
        &self,
        request: &local::SearchRequest,
        ceiling: Tlp,
    ) -> Result<local::SearchReply, ReadingError> {
        self.note(format!(
            "search {} {:?} under {ceiling}",
            request.value, request.limit
        ));
        Ok(local::SearchReply::default())
    }

    fn check_policies(&self, _: local::PolicyCheckRequest) -> Result<local::PolicyCheckReply, ReadingError> {
        Err(ReadingError::NotFound)
    }

    fn explain(&self, _: &local::ExplainRequest) -> Result<local::Explanation, ReadingError> {
        Err(ReadingError::NotFound)
    }

    fn preview(&self, _request: &local::PublishRequest) -> Result<local::PreviewReply, ReadingError> {
        Err(ReadingError::NotFound)
    }

    fn record(&self, _: &RecordId, _: Tlp) -> Result<local::RecordView, ReadingError> {
        Err(ReadingError::NotFound)
    }

    fn object(&self, id: &str, _: Tlp) -> Result<local::ObjectReply, ReadingError> {
        self.note(format!("object {id}"));
        Ok(local::ObjectReply { versions: Vec::new() })
    }

    fn page(
        &self,
        after: u64,
        limit: usize,
        objects: bool,
        _: Tlp,
    ) -> Result<local::RecordPage, ReadingError> {
        self.note(format!("page {after} {limit} {objects}"));
        Ok(local::RecordPage::default())
    }

    fn quarantine(
        &self,
        after: Option<RecordId>,
        limit: usize,
        ceiling: Tlp,
    ) -> Result<local::QuarantinePage, ReadingError> {
        self.note(format!("quarantine {after:?} {limit} under {ceiling}"));
        Ok(local::QuarantinePage::default())
    }

    fn quarantined(&self, _: &RecordId, _: Tlp) -> Result<local::QuarantinedRecord, ReadingError> {
        Err(ReadingError::NotFound)
    }

    fn reviewable(&self, id: &RecordId, ceiling: Tlp) -> Result<(), ReadingError> {
        self.note(format!("reviewable {id} under {ceiling}"));
        Err(ReadingError::NotFound)
    }

    fn members(&self) -> Result<Option<local::MembersReply>, ReadingError> {
        Ok(None)
    }

    fn audit(&self, from: u64, limit: usize) -> Result<local::AuditPage, ReadingError> {
        self.note(format!("audit {from} {limit}"));
        Ok(local::AuditPage::default())
    }

    fn audit_heads(&self) -> Result<local::HeardAudits, ReadingError> {
        self.note("audit heads".to_owned());
        Ok(local::HeardAudits::default())
    }

    fn shown_out(&self) -> Option<String> {
        None
    }

    fn positions(&self) -> watch::Receiver<Position> {
        watch::channel(Position(0)).1
    }

    async fn status(&self) -> Result<local::StatusReply, ReadingError> {
        Err(ReadingError::Store("torn".into()))
    }
}

struct Daemon {
    /// The first community.
    fake: Fake,
    /// A further one, `north`.
    other: Fake,
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ApiError>>,
    reader: String,
    publisher: String,
    admin: String,
    tokens: Tokens,
    _folder: TempDir,
}

async fn daemon(fake: Fake) -> Daemon {
    let folder = tempfile::tempdir().unwrap();
    let mut tokens = Tokens::open(folder.path()).unwrap();
    let mut add = |name: &str, role, ceiling| {
        let path = tokens
            .add(name, [role], ceiling, Timestamp::from_millis(1))
            .unwrap();
        fs::read_to_string(path).unwrap().trim_end().to_owned()
    };
    let (reader, publisher, admin) = (
        add("reader", Role::Read, Tlp::Green),
        add("publisher", Role::Publish, Tlp::Amber),
        add("admin", Role::Admin, Tlp::Red),
    );
    let settings = settings::Api {
        listen: "127.0.0.1:0".parse().unwrap(),
        hosts: vec!["hanse.example.org".to_owned()],
    };
    let stop = CancellationToken::new();
    let mounted = |name: &str, backend: &Fake| Mounted {
        name: name.to_owned(),
        member: "acme".parse().unwrap(),
        backend: backend.clone(),
        registry: Arc::default(),
    };
    let other = Fake::default();
    let communities = vec![mounted("first", &fake), mounted("north", &other)];
    let serving = serve_with(&settings, communities, tokens.clone(), stop.clone());
    let Serving { address, task } = serving.await.unwrap();
    Daemon {
        fake,
        other,
        address,
        stop,
        task,
        reader,
        publisher,
        admin,
        tokens,
        _folder: folder,
    }
}

struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn problem(&self) -> Problem {
        assert!(
            self.head.contains("content-type: application/problem+json"),
            "{}",
            self.head
        );
        let problem: Problem = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem.status, self.status);
        problem
    }

    fn name(&self) -> String {
        self.problem().kind.rsplit_once(':').unwrap().1.to_owned()
    }
}

impl Daemon {
    /// Sends head and body as they are; `{host}` stands for the daemon's address.
    async fn raw(&self, head: &str, body: &str) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = head
            .replace("{host}", &self.address.to_string())
            .replace('\n', "\r\n");
        let text = format!("{head}connection: close\r\n\r\n{body}");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).await.unwrap();
        let reply = String::from_utf8(reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply {
            status,
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    async fn ask(&self, token: &str, line: &str, body: &str) -> Reply {
        let head = format!(
            "{line} HTTP/1.1\nhost: {{host}}\nauthorization: Bearer {token}\ncontent-type: application/json\ncontent-length: {}\n",
            body.len()
        );
        self.raw(&head, body).await
    }

    fn asked(&self) -> Vec<String> {
        self.fake.asked.lock().unwrap().drain(..).collect()
    }
}

const ROUTES: [(&str, Role); 30] = [
    ("POST /v1/policy/check", Role::Read),
    ("POST /v1/policy/explain", Role::Read),
    ("POST /v1/preview", Role::Publish),
    ("GET /v1/communities", Role::Read),
    ("POST /v1/records", Role::Publish),
    ("GET /v1/records", Role::Read),
    ("GET /v1/records/00", Role::Read),
    ("POST /v1/records/00/retract", Role::Publish),
    ("GET /v1/quarantine", Role::Read),
    ("GET /v1/quarantine/00", Role::Read),
    ("POST /v1/quarantine/00/release", Role::Publish),
    ("POST /v1/quarantine/00/drop", Role::Publish),
    ("POST /v1/retain", Role::Admin),
    ("GET /v1/objects/x", Role::Read),
    ("POST /v1/search", Role::Read),
    ("GET /v1/members", Role::Read),
    ("POST /v1/members", Role::Admin),
    ("DELETE /v1/members/acme", Role::Admin),
    ("GET /v1/status", Role::Read),
    ("POST /v1/request", Role::Admin),
    ("POST /v1/community", Role::Admin),
    ("POST /v1/join", Role::Admin),
    ("GET /v1/community", Role::Read),
    ("POST /v1/proposals", Role::Admin),
    ("POST /v1/proposals/review", Role::Admin),
    ("POST /v1/proposals/endorse", Role::Admin),
    ("POST /v1/proposals/submit", Role::Admin),
    ("GET /v1/audit", Role::Admin),
    ("GET /v1/audit/heads", Role::Read),
    ("GET /v1/events", Role::Read),
];

#[tokio::test]
async fn each_community_answers_under_its_name_and_the_first_without_it_too() {
    let daemon = daemon(Fake::default()).await;
    let ask = async |line: &str| daemon.ask(&daemon.reader, line, "").await;
    let listed: local::CommunitiesReply =
        serde_json::from_str(&ask("GET /v1/communities").await.body).unwrap();
    let names: Vec<&str> = listed
        .communities
        .iter()
        .map(|entry| entry.name.as_str())
        .collect();
    assert_eq!(names, ["first", "north"]);
    for (line, first, other) in [
        ("GET /v1/objects/a", 1, 0),
        ("GET /communities/first/v1/objects/b", 1, 0),
        ("GET /communities/north/v1/objects/c", 0, 1),
    ] {
        assert_eq!(ask(line).await.status, 200, "{line}");
        let others = daemon.other.asked.lock().unwrap().drain(..).count();
        assert_eq!((daemon.asked().len(), others), (first, other), "{line}");
    }
    assert_eq!(
        ask("GET /communities/south/v1/status").await.name(),
        "unknown-community"
    );
    assert_eq!(ask("GET /communities/north/v1/none").await.name(), "no-route");
    assert_eq!(ask("GET /communities/north/metrics").await.name(), "no-route");
    assert_eq!(ask("PUT /communities/north/v1/status").await.status, 405);
    let head = "GET /communities/north/v1/status HTTP/1.1\nhost: {host}\n";
    assert_eq!(
        daemon.raw(head, "").await.status,
        401,
        "tokens are asked for everywhere"
    );
}

#[tokio::test]
async fn every_route_wants_a_known_token_with_the_right_role() {
    let daemon = daemon(Fake::default()).await;
    for (line, needed) in ROUTES {
        let reply = daemon
            .raw(&format!("{line} HTTP/1.1\nhost: {{host}}\n"), "")
            .await;
        assert_eq!(
            (reply.status, reply.name().as_str()),
            (401, "unauthenticated"),
            "{line}"
        );
        assert!(reply.head.contains("www-authenticate: bearer"));
        assert!(reply.head.contains("cache-control: no-store"));
        assert_eq!(daemon.ask("hanse_wrong", line, "").await.status, 401, "{line}");
        for (role, token) in [
            (Role::Read, &daemon.reader),
            (Role::Publish, &daemon.publisher),
            (Role::Admin, &daemon.admin),
        ] {
            let reply = daemon.ask(token, line, "").await;
            assert_eq!(reply.status == 403, role != needed, "{line}: {}", reply.body);
            if role != needed {
                assert_eq!(reply.name(), "role");
            }
        }
    }
    for line in ["GET /healthz", "GET /metrics"] {
        let reply = daemon
            .raw(&format!("{line} HTTP/1.1\nhost: {{host}}\n"), "")
            .await;
        assert_eq!(reply.status, 200, "{line}");
    }
}

#[tokio::test]
async fn who_does_not_see_a_record_does_not_decide_of_it() {
    let daemon = daemon(Fake::default()).await;
    let id = "ab".repeat(32);
    for deed in ["release", "drop"] {
        let line = format!("POST /v1/quarantine/{id}/{deed}");
        let reply = daemon.ask(&daemon.publisher, &line, "").await;
        assert_eq!((reply.status, reply.name().as_str()), (404, "not-found"));
    }
    let looked = format!("reviewable {id} under TLP:AMBER");
    let asked = daemon.asked();
    assert_eq!(asked, [looked.clone(), looked], "nothing was decided");
    let reply = daemon.ask(&daemon.reader, "GET /v1/quarantine?limit=7", "").await;
    assert_eq!(reply.status, 200);
    assert_eq!(daemon.asked(), ["quarantine None 7 under TLP:GREEN"]);
    for query in ["limit=0", "after=x", "more=1"] {
        let line = format!("GET /v1/quarantine?{query}");
        assert_eq!(
            daemon.ask(&daemon.reader, &line, "").await.status / 100,
            4,
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_page_that_points_its_name_at_loopback_gets_nothing() {
    let daemon = daemon(Fake::default()).await;
    let port = daemon.address.port();
    let ask = async |host: String, more: &str| {
        let head = format!("GET /healthz HTTP/1.1\n{host}{more}");
        daemon.raw(&head, "").await
    };
    for host in ["localhost", "127.0.0.1", "[::1]", "LOCALHOST", "127.8.8.8"] {
        assert_eq!(
            ask(format!("host: {host}:{port}\n"), "").await.status,
            200,
            "{host}"
        );
    }
    assert_eq!(ask("host: hanse.example.org\n".to_owned(), "").await.status, 200);
    for host in [
        "evil.example",
        "localhost",
        "localhost:1",
        "127.0.0.1.evil.example",
    ] {
        let host = if host.contains(':') {
            host.to_owned()
        } else {
            format!("{host}:{}", port ^ 1)
        };
        assert_eq!(ask(format!("host: {host}\n"), "").await.name(), "host", "{host}");
    }
    let evil = format!("host: evil.example:{port}\n");
    assert_eq!(ask(evil, "").await.name(), "host");
    let own = format!("host: localhost:{port}\n");
    let origin = format!("origin: http://localhost:{port}\n");
    assert_eq!(ask(own.clone(), &origin).await.status, 200);
    for origin in [
        "origin: null\n",
        "origin: http://evil.example\n",
        "origin: http://localhost\n",
    ] {
        assert_eq!(ask(own.clone(), origin).await.name(), "origin", "{origin}");
    }
}

#[tokio::test]
async fn what_a_caller_does_wrong_is_told_as_a_problem() {
    let daemon = daemon(Fake::default()).await;
    let (reader, publisher, admin) = (&daemon.reader, &daemon.publisher, &daemon.admin);
    let id = "ab".repeat(32);
    let many = format!("{{\"objects\":[{}0]}}", "0,".repeat(local::PUBLISH_OBJECTS));
    let member = r#"{"file":"x","fingerprint":"y"}"#;
    let renew = r#"{"change":{"what":"renew"}}"#;
    let strange = r#"{"change":{"what":"renew","of":1}}"#;
    let cases: [(&str, &str, &str, u16, &str); 26] = [
        (reader, "GET /v1/nowhere", "", 404, "no-route"),
        (reader, "PUT /v1/records", "", 405, "method"),
        (
            publisher,
            "POST /v1/records",
            "{\"objects\":[{]}",
            400,
            "malformed",
        ),
        (
            publisher,
            "POST /v1/records",
            "{\"objects\":[{}],\"of\":1}",
            400,
            "malformed",
        ),
        (publisher, "POST /v1/records", "{\"objects\":[]}", 422, "invalid"),
        (publisher, "POST /v1/records", &many, 422, "invalid"),
        (
            reader,
            "POST /v1/search",
            "{\"value\":\"x\",\"limit\":1001}",
            422,
            "invalid",
        ),
        (reader, "GET /v1/records?limit=0", "", 422, "invalid"),
        (reader, "GET /v1/records?limit=x", "", 400, "malformed"),
        (reader, "GET /v1/records?before=1", "", 400, "malformed"),
        (reader, "GET /v1/records/xyz", "", 400, "malformed"),
        (reader, &format!("GET /v1/records/{id}"), "", 404, "not-found"),
        (reader, "GET /v1/members", "", 409, "no-community"),
        (reader, "GET /v1/status", "", 500, "internal"),
        (
            admin,
            "POST /v1/community",
            "{\"name\":\"x\"}",
            409,
            "has-community",
        ),
        (admin, "POST /v1/members", member, 409, "fingerprint"),
        (admin, "POST /v1/join", member, 500, "internal"),
        (reader, "GET /v1/community", "", 409, "no-community"),
        (admin, "POST /v1/proposals", renew, 409, "endorsed"),
        (admin, "POST /v1/proposals", strange, 400, "malformed"),
        (admin, "POST /v1/proposals/endorse", member, 409, "fingerprint"),
        (admin, "POST /v1/proposals/submit", member, 409, "endorsements"),
        (admin, "POST /v1/proposals/review", member, 422, "invalid"),
        (admin, "POST /v1/request", "", 503, "stopping"),
        (admin, "DELETE /v1/members/other", "", 404, "unknown-member"),
        (admin, "DELETE /v1/members/Not%20A", "", 400, "malformed"),
    ];
    for (token, line, body, status, name) in cases {
        let reply = daemon.ask(token, line, body).await;
        assert_eq!(
            (reply.status, reply.name().as_str()),
            (status, name),
            "{line}: {}",
            reply.body
        );
        assert_eq!(reply.head.contains("retry-after: 1"), status == 503);
    }
    let head = format!(
        "POST /v1/records HTTP/1.1\nhost: {{host}}\nauthorization: Bearer {publisher}\ncontent-type: application/json\ncontent-length: {}\n",
        local::REQUEST + 1
    );
    assert_eq!(daemon.raw(&head, "").await.name(), "too-large");
    let plain = head.replace("application/json", "text/plain");
    assert_eq!(daemon.raw(&plain, "").await.name(), "media-type");
}

#[tokio::test]
async fn a_body_without_a_length_is_bounded_all_the_same() {
    let daemon = daemon(Fake::default()).await;
    let head = format!(
        "POST /v1/records HTTP/1.1\nhost: {{host}}\nauthorization: Bearer {}\ncontent-type: application/json\ntransfer-encoding: chunked\n",
        daemon.publisher
    );
    let piece = " ".repeat(local::REQUEST + 1);
    let body = format!("{:x}\r\n{piece}\r\n", piece.len());
    assert_eq!(daemon.raw(&head, &body).await.name(), "too-large");
}

#[tokio::test]
async fn questions_reach_the_node_with_who_asks_and_what_they_may_see() {
    let daemon = daemon(Fake::default()).await;
    let reader = &daemon.reader;
    let reply = daemon
        .ask(
            &daemon.publisher,
            "POST /v1/records",
            "{\"objects\":[{\"a\":1},{}]}",
        )
        .await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    daemon
        .ask(reader, "POST /v1/search", "{\"value\":\"192.0.2.1\"}")
        .await;
    daemon
        .ask(reader, "GET /v1/records?after=7&limit=3&objects=true", "")
        .await;
    daemon.ask(reader, "GET /v1/objects/malware--x", "").await;
    let reply = daemon.ask(&daemon.admin, "DELETE /v1/members/acme", "").await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(
        daemon.asked(),
        [
            "publish 2 by token publisher",
            "search 192.0.2.1 Some(1000) under TLP:GREEN",
            "page 7 3 true",
            "object malware--x",
            "expel acme by token admin",
        ]
    );
}

#[tokio::test]
async fn a_token_made_while_the_daemon_runs_counts_and_a_revoked_one_no_more() {
    let mut daemon = daemon(Fake::default()).await;
    let path = daemon
        .tokens
        .add("late", [Role::Read], Tlp::Clear, Timestamp::from_millis(2))
        .unwrap();
    let late = fs::read_to_string(path).unwrap().trim_end().to_owned();
    let until = async |token: &str, status: u16| {
        // Every turn is a whole request; the bound only ends a test that would hang.
        for _ in 0..100_000 {
            if daemon.ask(token, "GET /v1/objects/x", "").await.status == status {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{status} never came");
    };
    until(&late, 200).await;
    let mut tokens = daemon.tokens.clone();
    tokens.revoke("late").unwrap();
    until(&late, 401).await;
    assert_eq!(
        daemon.ask(&daemon.reader, "GET /v1/objects/x", "").await.status,
        200
    );
}

#[tokio::test]
async fn beyond_what_may_be_under_way_it_says_busy_and_what_is_under_way_ends_before_it_stops() {
    let gate = Arc::new(Semaphore::new(0));
    let fake = Fake {
        gate: Some(Arc::clone(&gate)),
        ..Fake::default()
    };
    let daemon = Arc::new(daemon(fake).await);
    let mut waiting = Vec::new();
    for taken in 1..=REQUESTS {
        let asking = Arc::clone(&daemon);
        waiting.push(tokio::spawn(async move {
            asking
                .ask(&asking.publisher, "POST /v1/records", "{\"objects\":[1]}")
                .await
                .status
        }));
        while daemon.fake.asked.lock().unwrap().len() < taken {
            tokio::task::yield_now().await;
        }
    }
    let reply = daemon.ask(&daemon.reader, "GET /v1/objects/x", "").await;
    assert_eq!((reply.status, reply.name().as_str()), (503, "busy"));
    daemon.stop.cancel();
    gate.add_permits(REQUESTS);
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap(), 200);
    }
    let daemon = Arc::into_inner(daemon).unwrap();
    daemon.task.await.unwrap().unwrap();
    assert!(TcpStream::connect(daemon.address).await.is_err());
}

#[tokio::test]
async fn a_taken_address_is_an_error_before_anything_is_served() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let settings = settings::Api {
        listen: taken.local_addr().unwrap(),
        hosts: Vec::new(),
    };
    let tokens = Tokens::open(folder.path()).unwrap();
    let stop = CancellationToken::new();
    let served = serve_with::<Fake>(&settings, Vec::new(), tokens, stop).await;
    assert!(matches!(served, Err(ApiError::Listen { .. })));
}
