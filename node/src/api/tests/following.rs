//! Events over a real exchange and store: cut off anywhere, a client that comes back has everything
//! once.

use std::path::Path;

use hanse_protocol::charter::member::{MemberKind, Profile};
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::*;
use crate::exchange::{Deriver, Parts, Thread, start};
use crate::healer::Progress;
use crate::keystore::Keystore;
use crate::member::Member;
use crate::metrics::Metrics;
use crate::receiver::Links;
use crate::store::index::Engine;
use crate::store::{Store, StoreSettings};

/// A node with its API and no mesh.
struct Alone {
    exchange: Exchange,
    thread: Thread,
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ApiError>>,
}

async fn alone(folder: &Path) -> Alone {
    let keys = folder.join("keys");
    if !keys.exists() {
        Member::create(&Keystore::create(&keys).unwrap()).unwrap();
        let mut tokens = Tokens::open(folder).unwrap();
        for (name, ceiling) in [("siem", Tlp::Amber), ("screen", Tlp::Clear)] {
            tokens
                .add(name, [Role::Read], ceiling, Timestamp::from_millis(1))
                .unwrap();
        }
    }
    let keystore = Keystore::open(&keys).unwrap();
    let profile = Profile {
        handle: "acme".parse().unwrap(),
        name: "Acme".to_owned(),
        kind: MemberKind::Utility,
        sector: String::new(),
        country: "DE".to_owned(),
    };
    let member = Arc::new(Member::open(profile, &keystore).unwrap());
    let settings = StoreSettings {
        engine: Engine::Memory,
        ..StoreSettings::default()
    };
    let mut deriver = Deriver::new(Arc::clone(&member));
    let (store, _) = Store::open(&folder.join("store"), keystore.master(), &settings, &mut deriver).unwrap();
    let reader = store.reader();
    let parts = Parts {
        store,
        member: Arc::clone(&member),
        charters: deriver.into_charters().unwrap(),
        addresses: vec![],
        metrics: Arc::new(Metrics::new(&mut Registry::default())),
        nudges: mpsc::channel(64).0,
        clocks: crate::clocks::Clocks::default(),
        opaque_max: u64::MAX,
        retention: Default::default(),
        lost: false,
        home: None,
    };
    let (exchange, thread) = start(parts).unwrap();
    let reading = Reading::new(
        reader,
        member,
        exchange.clone(),
        watch::channel(None).1,
        Links::default(),
        Progress::default(),
    );
    let settings = settings::Api {
        listen: "127.0.0.1:0".parse().unwrap(),
        hosts: Vec::new(),
    };
    let stop = CancellationToken::new();
    let served = Served {
        name: "first".to_owned(),
        member: "acme".parse().unwrap(),
        exchange: exchange.clone(),
        reading,
        registry: Arc::default(),
    };
    let serving = serve(
        &settings,
        vec![served],
        Tokens::open(folder).unwrap(),
        stop.clone(),
    );
    let Serving { address, task } = serving.await.unwrap();
    Alone {
        exchange,
        thread,
        address,
        stop,
        task,
    }
}

impl Alone {
    async fn publish(&self, number: usize) -> u64 {
        self.publish_as(number, Tlp::Green).await
    }

    async fn publish_as(&self, number: usize, tlp: Tlp) -> u64 {
        let object = format!(
            "{{\"type\":\"malware\",\r\n \"spec_version\":\"2.1\",\"id\":\"malware--00000000-0000-4000-8000-{number:012}\",\
             \"created\":\"2026-01-01T00:00:00Z\",\"modified\":\"2026-01-01T00:00:00Z\",\
             \"is_family\":false,\"name\":\"m{number}\"}}"
        );
        let request = local::PublishRequest {
            objects: vec![RawValue::from_string(object).unwrap()],
            to: None,
            tlp: Some(tlp),
            expires: None,
            preview: None,
        };
        let by = Actor("test".to_owned());
        let reply = self.exchange.publish(by, request).await.unwrap();
        assert_eq!(reply.refused, []);
        reply.records[0].position
    }

    async fn follow(&self, folder: &Path, token: &str, query: &str, more: &str) -> Followed {
        let bearer = fs::read_to_string(folder.join(format!("tokens/{token}.token"))).unwrap();
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "GET /v1/events{query} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n{more}\r\n",
            self.address,
            bearer.trim_end()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut followed = Followed {
            stream,
            text: String::new(),
        };
        followed.until("\r\n\r\n").await.unwrap();
        followed
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
        drop(self.exchange);
        tokio::task::spawn_blocking(move || self.thread.join().unwrap().unwrap())
            .await
            .unwrap();
    }
}

struct Followed {
    stream: TcpStream,
    text: String,
}

impl Followed {
    /// What comes up to `end`; `None` if the connection ends before.
    async fn until(&mut self, end: &str) -> Option<String> {
        loop {
            if let Some((before, after)) = self.text.split_once(end) {
                let (before, after) = (before.to_owned(), after.to_owned());
                self.text = after;
                return Some(before);
            }
            let mut bytes = [0; 4_096];
            match self.stream.read(&mut bytes).await.unwrap() {
                0 => return None,
                count => self.text.push_str(std::str::from_utf8(&bytes[..count]).unwrap()),
            }
        }
    }

    /// The next event with its id, event type and data; comments are passed over.
    async fn event(&mut self) -> Option<(u64, String, String)> {
        loop {
            let block = self.until("\n\n").await?;
            let field = |name: &str| {
                let values = block
                    .lines()
                    .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                values
                    .map(|value| value.trim_end_matches('\r').to_owned())
                    .collect::<Vec<_>>()
            };
            let data = field("data").join("\n");
            if !data.is_empty() {
                let id = field("id").first().map_or(0, |id| id.parse().unwrap());
                return Some((id, field("event").concat(), data));
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_is_cut_off_again_and_again_has_every_record_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut node = alone(folder).await;
    let found = local::FoundRequest {
        name: "north".to_owned(),
        unmarked: None,
        horizon_days: None,
    };
    node.exchange
        .found(Actor("test".to_owned()), found)
        .await
        .unwrap();
    let mut wanted = vec![];
    let mut heard = vec![];
    for number in 0..10 {
        wanted.push(node.publish(number).await);
    }
    for round in 0..6 {
        // Another way to come back in every turn, and the node itself starts again in between.
        let last = heard.last().copied().unwrap_or(0);
        let (query, more) = match round % 2 {
            0 => (format!("?after={last}"), String::new()),
            _ => ("?after=0".to_owned(), format!("last-event-id: {last}\r\n")),
        };
        let mut followed = node.follow(folder, "siem", &query, &more).await;
        for _ in 0..3 {
            let (id, event, data) = followed.event().await.unwrap();
            let record: local::RecordView = serde_json::from_str(&data).unwrap();
            assert_eq!((event.as_str(), record.position), ("record", id));
            assert_eq!(record.state, local::Readable::Readable);
            assert!(record.objects.is_none());
            heard.push(id);
        }
        // What comes while it listens, and while it is away.
        wanted.push(node.publish(100 + 2 * round).await);
        drop(followed);
        wanted.push(node.publish(101 + 2 * round).await);
        if round == 2 {
            node.end().await;
            node = alone(folder).await;
        }
    }
    assert_eq!(heard, wanted[..heard.len()]);

    let mut live = node.follow(folder, "siem", "", "").await;
    wanted.push(node.publish(200).await);
    assert_eq!(live.event().await.unwrap().0, *wanted.last().unwrap());
    node.stop.cancel();
    assert!(live.until("0\r\n\r\n").await.is_some(), "the end is clean");
    node.end().await;
}

#[tokio::test]
async fn events_show_no_object_above_the_ceiling_and_end_with_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let node = alone(folder).await;
    let found = local::FoundRequest {
        name: "north".to_owned(),
        unmarked: None,
        horizon_days: None,
    };
    node.exchange
        .found(Actor("test".to_owned()), found)
        .await
        .unwrap();
    let green = node.publish_as(1, Tlp::Green).await;
    let clear = node.publish_as(2, Tlp::Clear).await;
    let first = async |token: &str| {
        let mut followed = node.follow(folder, token, "?after=0&objects=true", "").await;
        let (position, _, data) = followed.event().await.unwrap();
        let record: local::RecordView = serde_json::from_str(&data).unwrap();
        (position, record.objects.unwrap())
    };
    let (position, shown) = first("siem").await;
    assert_eq!((position, shown.len()), (green, 1));
    let text = shown[0].object.get();
    assert!(text.starts_with("{\"type\":\"malware\",\n \"spec"));
    // Who may see CLEAR only is not even told that there is something GREEN.
    let (position, shown) = first("screen").await;
    assert_eq!((position, shown.len()), (clear, 1));

    let mut past = node.follow(folder, "siem", "?after=1000", "").await;
    assert!(past.until("urn:hanse:problem:invalid").await.is_some());
    let mut strange = node.follow(folder, "siem", "", "last-event-id: x\r\n").await;
    assert!(strange.until("urn:hanse:problem:malformed").await.is_some());

    let mut followed = Vec::new();
    for _ in 0..EVENTS {
        followed.push(node.follow(folder, "siem", "", "").await);
    }
    let mut late = node.follow(folder, "siem", "", "").await;
    assert!(late.until("urn:hanse:problem:busy").await.is_some());
    Tokens::open(folder).unwrap().revoke("siem").unwrap();
    for followed in &mut followed {
        let (_, event, data) = followed.event().await.unwrap();
        assert_eq!(event, "problem");
        assert!(data.contains("urn:hanse:problem:unauthenticated"), "{data}");
        assert!(followed.until("0\r\n\r\n").await.is_some());
    }
    node.end().await;
}

#[tokio::test]
async fn the_audit_log_tells_of_tokens_made_used_and_revoked_and_across_a_restart_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let node = alone(folder).await;
    let mut tokens = Tokens::open(folder).unwrap();
    let now = Timestamp::from_millis(2);
    tokens.add("chief", [Role::Admin], Tlp::Red, now).unwrap();
    let told = async |node: &Alone, last: &str| {
        // Every turn is a whole request; the bound only ends a test that would hang.
        for _ in 0..20_000 {
            let bearer = fs::read_to_string(folder.join("tokens/chief.token")).unwrap();
            let head = format!(
                "GET /v1/audit HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
                node.address,
                bearer.trim_end()
            );
            let mut stream = TcpStream::connect(node.address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            let (_, body) = text.split_once("\r\n\r\n").unwrap();
            let Ok(page) = serde_json::from_str::<local::AuditPage>(body) else {
                continue;
            };
            let mut chain = hanse_protocol::audit::Chain::new();
            page.lines.iter().for_each(|line| chain.follow(line).unwrap());
            let lines = page.lines.iter().map(|line| &line.entry);
            let lines: Vec<String> = lines
                .map(|line| format!("{} {} {}", line.actor, line.action, line.subject))
                .collect();
            if lines.iter().any(|line| line == last) {
                return lines;
            }
        }
        panic!("`{last}` never came");
    };
    let lines = told(&node, "token chief use-token GET /v1/audit").await;
    assert!(
        lines.contains(&"operator add-token screen read TLP:CLEAR".to_owned()),
        "{lines:?}"
    );
    assert!(
        lines.contains(&"operator add-token chief admin TLP:RED".to_owned()),
        "{lines:?}"
    );
    drop(node.follow(folder, "siem", "", "").await);
    told(&node, "token siem use-token GET /v1/events").await;
    node.end().await;

    tokens.revoke("siem").unwrap();
    let node = alone(folder).await;
    let lines = told(&node, "operator revoke-token siem").await;
    let added = lines.iter().filter(|line| line.contains("add-token"));
    assert_eq!(added.count(), 3, "{lines:?}");
    node.end().await;
}
