use std::io::Cursor;
use std::os::unix::fs::PermissionsExt;

use hanse_protocol::audit::{AuditEntry, AuditLine, Head};
use hanse_protocol::charter::chain::CharterChain;
use hanse_protocol::charter::join::{self, Invite};
use hanse_protocol::charter::member::{Lane, MemberSealingKey, MemberSigningKey, Profile, SuiteKey};
use hanse_protocol::charter::{Budget, Charter, Member, SignedCharter};
use hanse_protocol::identity::NodeId;
use hanse_protocol::identity::keys::{SealingKey, SigningKey};
use hanse_protocol::local::AuditPage;
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;
use tempfile::TempDir;

use super::*;
use crate::fake::{Asked, Fake, TOKEN, problem};

mod hints;
mod quarantine;
mod stewards;

/// What a run left behind.
struct Ran {
    exit: u8,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

/// A folder with a token file, and a person or none at the terminal.
struct Desk {
    folder: TempDir,
    api: String,
    typed: Option<&'static str>,
}

impl Desk {
    fn new(api: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
        Self {
            folder,
            api: api.to_owned(),
            typed: None,
        }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let token = self.path("token");
        let node = ["--api", &self.api, "--token-file", &token];
        let all = ["hanse"].iter().chain(arguments).chain(&node).copied();
        run_bare(all, self.typed.unwrap_or_default(), self.typed.is_some())
    }
}

fn run_bare<'a>(arguments: impl IntoIterator<Item = &'a str>, typed: &str, asks: bool) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        input: &mut Cursor::new(typed.to_owned()),
        asks,
        draws: false,
        json: false,
        told: false,
    };
    let exit = run_on(arguments.into_iter().map(OsString::from), &mut console);
    Ran {
        exit,
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
    }
}

/// Whether something was to be changed, rather than looked at.
fn is_change(asked: &Asked) -> bool {
    !asked.line.starts_with("GET ")
}

fn acme() -> (Profile, SigningKey, SealingKey) {
    let profile = Profile {
        handle: "acme".parse().unwrap(),
        name: "Acme \u{202e}Works".to_owned(),
        kind: "utility".parse().unwrap(),
        sector: "water".to_owned(),
        country: "DE".to_owned(),
    };
    (
        profile,
        SigningKey::from_seed(&[1; 32]),
        SealingKey::from_bytes(&[2; 32]),
    )
}

fn request() -> (String, String) {
    let (profile, signing, sealing) = acme();
    let node = SigningKey::from_seed(&[3; 32]);
    let request = join::Request::new(
        profile,
        &signing,
        sealing.public(),
        &node,
        Vec::new(),
        Timestamp::from_millis(5),
    );
    (request.write(&signing), request.fingerprint().to_string())
}

fn invite() -> (String, String) {
    let (profile, signing, sealing) = acme();
    let node = NodeId(*SigningKey::from_seed(&[3; 32]).verifying_key().as_bytes());
    let member = Member {
        handle: profile.handle.clone(),
        profile,
        admitted: Timestamp::from_millis(5),
        signing: vec![MemberSigningKey {
            key: signing.verifying_key(),
            closed: None,
        }],
        sealing: vec![MemberSealingKey {
            key: SuiteKey::X25519(sealing.public()),
            closed: false,
        }],
        lanes: vec![Lane {
            number: 1,
            node,
            addresses: Vec::new(),
            closed: None,
        }],
        ended: None,
    };
    let handle = member.handle.clone();
    let charter = Charter {
        name: "Northern Water".to_owned(),
        version: 1,
        parents: Vec::new(),
        issued: Timestamp::from_millis(5),
        expires: Timestamp::from_millis(4_000_000_000_000),
        stewards: vec![handle.clone()],
        threshold: 1,
        recovery: Vec::new(),
        members: vec![member],
        unmarked: Tlp::Green,
        budget: Budget {
            bytes: 1 << 30,
            records: 100_000,
        },
        horizon: 365 * 86_400_000,
    };
    let mut first = SignedCharter::issue(charter).unwrap();
    first.endorse(&handle, &signing);
    let chain = CharterChain::found(first).unwrap();
    let invite = Invite {
        community: *chain.community(),
        charters: chain.encode(),
    };
    let fingerprint = join::invite_fingerprint(chain.community(), &chain.newest().hash());
    (invite.write(), fingerprint.to_string())
}

#[test]
fn usage_help_and_a_missing_token_say_what_to_do() {
    let none = run_bare(["hanse", "members"], "", false);
    assert_eq!((none.exit, none.out.as_str()), (2, ""));
    assert!(none.err.contains("hansed token add"), "{}", none.err);
    assert!(none.err.contains("hint: "));
    assert_eq!(run_bare(["hanse", "publish"], "", false).exit, 2);
    assert_eq!(
        run_bare(["hanse", "publish", "x", "--tlp", "mauve"], "", false).exit,
        2
    );
    let help = run_bare(["hanse", "--help"], "", false);
    assert_eq!((help.exit, help.err.as_str()), (0, ""));
    assert!(help.out.contains("Exit codes:"));
    for command in [
        "publish", "search", "show", "members", "status", "request", "join",
    ] {
        let help = run_bare(["hanse", "help", command], "", false);
        assert_eq!(help.exit, 0);
        assert!(help.out.contains("--json"), "{command}");
        assert!(help.out.contains("With --json"), "{command}");
    }
}

#[test]
fn a_node_that_is_not_there_is_told_from_one_that_refuses() {
    // A port that was free a moment ago; nothing listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let away = Desk::new(&format!("http://{free}")).run(&["status", "--json"]);
    assert_eq!(away.exit, 5);
    let error = &away.json()["error"];
    assert_eq!(error["type"], "urn:hanse:command:unreachable");
    assert!(error["hint"].as_str().unwrap().contains("hansed serve"));
    assert!(
        away.err.contains("no node answers") && away.err.contains("hansed serve"),
        "{}",
        away.err
    );

    let fake = Fake::start(|_| problem("no-community", 409));
    let refused = Desk::new(&fake.api).run(&["members"]);
    assert_eq!((refused.exit, refused.out.as_str()), (4, ""));
    let told = Desk::new(&fake.api).run(&["members", "--json"]).json();
    assert_eq!(told["error"]["type"], "urn:hanse:problem:no-community");
    assert_eq!(told["error"]["status"], 409);
    assert_eq!(refused.err.lines().next(), Some("error: the detail"));
    assert!(refused.err.contains("hint: "), "{}", refused.err);

    let strange = Fake::start(|_| (200, "<html>".to_owned()));
    assert_eq!(Desk::new(&strange.api).run(&["status"]).exit, 5);
}

#[test]
fn what_is_found_is_printed_as_it_was_issued() {
    let object = r#"{ "type":"malware",  "id":"malware--1","n":1.10,"name":"evil\u001b[2J"}"#;
    let record = "ab".repeat(32);
    let body = format!(
        r#"{{"matches":[{{"record":"{record}","author":"acme","tlp":"green","object":{object}}}],"more":false}}"#
    );
    let fake = Fake::start(move |asked| match asked.body.contains("203.0.113.7") {
        true => (200, body.clone()),
        false => (200, r#"{"matches":[]}"#.to_owned()),
    });
    let mut desk = Desk::new(&fake.api);
    let found = desk.run(&["search", "--json", "203.0.113.7"]);
    assert_eq!(found.exit, 0, "{}", found.err);
    assert!(found.out.contains(object), "{}", found.out);
    assert_eq!(found.json()["matches"][0]["record"], record.as_str());
    let text = desk.run(&["search", "203.0.113.7"]);
    assert!(
        text.out.contains("acme") && !text.out.contains('\u{1b}'),
        "{}",
        text.out
    );
    desk.typed = Some("203.0.113.7\nmore\n");
    assert_eq!(desk.run(&["search", "-"]).exit, 0);

    let none = desk.run(&["--json", "search", "192.0.2.1"]);
    assert_eq!(none.exit, 1);
    assert_eq!(none.json()["matches"].as_array().map(Vec::len), Some(0));
    let missing = Fake::start(|_| problem("not-found", 404));
    let missing = Desk::new(&missing.api).run(&["show", &record, "--json"]);
    assert_eq!(missing.exit, 1);
    assert_eq!(missing.json()["error"]["type"], "urn:hanse:problem:not-found");
    let odd = Fake::start(|_| problem("invalid", 422));
    assert_eq!(Desk::new(&odd.api).run(&["search", "garbage !!"]).exit, 2);
}

#[test]
fn publishing_tells_records_and_refusals_and_keeps_what_was_done_when_it_ends_early() {
    let id = "cd".repeat(32);
    let fake = Fake::start(move |asked| {
        if asked.body.contains("stop") {
            return problem("invalid", 422);
        }
        let refused = match asked.body.contains("bad") {
            true => r#"{"index":1,"reason":"`id` is missing"}"#,
            false => "",
        };
        let record = format!(r#"{{"id":"{id}","position":7,"objects":1,"readers":["acme","bert"]}}"#);
        (200, format!(r#"{{"records":[{record}],"refused":[{refused}]}}"#))
    });
    let desk = Desk::new(&fake.api);
    let good = desk.file("good.json", "{\"type\":\"bundle\",\"objects\":[\n{\"a\":1}]}");
    let bad = desk.file("bad.ndjson", "{\"a\":1}\n\n{\"bad\":1}\n");
    let stop = desk.file("stop.json", "[{\"stop\":1}]");

    let done = desk.run(&[
        "publish",
        &good,
        "--to",
        "acme,bert",
        "--tlp",
        "amber",
        "--expires",
        "7d",
        "--json",
    ]);
    assert_eq!(done.exit, 0, "{}", done.err);
    let document = done.json();
    assert_eq!(document["records"][0]["objects"], 1);
    assert_eq!(document["records"][0]["readers"][1], "bert");
    assert_eq!(document["refused"].as_array().map(Vec::len), Some(0));
    let asked = fake.asked();
    assert!(
        asked[0]
            .body
            .contains(r#""to":["acme","bert"],"tlp":"amber","expires":"#),
        "{asked:?}"
    );

    let partly = desk.run(&["publish", "--json", &bad, &good]);
    assert_eq!(partly.exit, 3);
    let document = partly.json();
    assert_eq!(document["records"].as_array().map(Vec::len), Some(2));
    assert_eq!(document["refused"][0]["line"], 3);
    assert_eq!(document["refused"][0]["reason"], "`id` is missing");

    let ended = desk.run(&["publish", "--json", &good, &stop]);
    assert_eq!(ended.exit, 4);
    assert_eq!(ended.json()["records"].as_array().map(Vec::len), Some(1));
    assert!(ended.err.contains("the detail"), "{}", ended.err);
    let nothing = desk.run(&["publish", &stop, "--json"]);
    assert_eq!(nothing.exit, 4);
    assert_eq!(nothing.json()["error"]["detail"], "the detail");
    assert!(nothing.err.starts_with("error: the detail\n"), "{}", nothing.err);
    assert_eq!(ended.json()["error"]["type"], "urn:hanse:problem:invalid");

    let absent = desk.run(&["publish", &desk.path("absent.json")]);
    assert_eq!(absent.exit, 2);
    let text = desk.run(&["publish", &bad]);
    assert_eq!(text.exit, 3);
    assert!(text.out.contains("line 3: `id` is missing"), "{}", text.out);
}

#[test]
fn nobody_is_admitted_before_the_fingerprint_is_confirmed() {
    let fake = Fake::start(|_| {
        let body = r#"{"member":"acme","charter":2,"invite":"INVITE\n","fingerprint":"AAAA-BBBB"}"#;
        (200, body.to_owned())
    });
    let mut desk = Desk::new(&fake.api);
    let (text, fingerprint) = request();
    let file = desk.file("acme.request", &text);
    let out = desk.path("acme.invite");

    assert_eq!(desk.run(&["community", "admit", &file]).exit, 2);
    assert_eq!(
        desk.run(&["community", "admit", &file, "--fingerprint", "WRONG"])
            .exit,
        4
    );
    desk.typed = Some("no\n");
    let declined = desk.run(&["community", "admit", &file]);
    assert_eq!(declined.exit, 4);
    assert!(
        declined.err.contains(&fingerprint) && declined.err.contains("Acme"),
        "{}",
        declined.err
    );
    assert!(!declined.err.contains('\u{202e}'));
    let swapped = desk.file("swapped.request", &text.replace('A', "B"));
    assert_eq!(desk.run(&["community", "admit", &swapped]).exit, 4);
    assert_eq!(fake.asked(), []);

    desk.typed = Some("yes\n");
    let admitted = desk.run(&["community", "admit", &file, "--out", &out]);
    assert_eq!(admitted.exit, 0, "{}", admitted.err);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "INVITE\n");
    desk.typed = None;
    let spelt = fingerprint.to_lowercase().replace('-', " ");
    let admitted = desk.run(&["community", "admit", &file, "--fingerprint", &spelt, "--json"]);
    assert_eq!(admitted.json()["invite"], "INVITE\n");
    let posted: Vec<_> = fake.asked().into_iter().filter(is_change).collect();
    assert_eq!(posted.len(), 2);
    assert!(posted[0].body.contains(&fingerprint));
}

#[test]
fn an_invite_shows_its_community_and_expelling_is_asked_about() {
    let reply = format!(
        r#"{{"community":"{}","name":"Northern Water","charter":1,"members":2}}"#,
        "00".repeat(32)
    );
    let fake = Fake::start(move |_| (200, reply.clone()));
    let mut desk = Desk::new(&fake.api);
    let (text, fingerprint) = invite();
    let file = desk.file("acme.invite", &text);
    let joined = desk.run(&["join", &file, "--fingerprint", &fingerprint, "--json"]);
    assert_eq!(joined.exit, 0, "{}", joined.err);
    assert_eq!(joined.json()["members"], 2);
    assert!(joined.err.contains("Northern Water"), "{}", joined.err);

    assert_eq!(desk.run(&["community", "expel", "bert"]).exit, 2);
    desk.typed = Some("y\n");
    assert_eq!(desk.run(&["community", "expel", "bert"]).exit, 4);
    desk.typed = Some("bert\n");
    assert_eq!(desk.run(&["community", "expel", "bert"]).exit, 0);
    assert_eq!(desk.run(&["community", "expel", "bert", "--yes"]).exit, 0);
    let changes = fake.asked().into_iter().filter(is_change);
    let lines: Vec<String> = changes.map(|asked| asked.line).collect();
    assert_eq!(
        lines,
        [
            "POST /v1/join",
            "DELETE /v1/members/bert",
            "DELETE /v1/members/bert"
        ]
    );
}

#[test]
fn the_recovery_key_goes_into_a_file_of_ones_own_and_nowhere_else() {
    let body = format!(r#"{{"community":"{}","recovery_key":"5ec2e7"}}"#, "00".repeat(32));
    let fake = Fake::start(move |asked| match asked.body.contains("taken") {
        true => problem("has-community", 409),
        false => (200, body.clone()),
    });
    let desk = Desk::new(&fake.api);
    let key = desk.path("recovery.key");
    let create = |name: &str| {
        desk.run(&[
            "community",
            "create",
            "--name",
            name,
            "--recovery-out",
            &key,
            "--json",
        ])
    };
    assert_eq!(create("taken").exit, 4);
    assert!(!std::path::Path::new(&key).exists());

    let founded = create("north");
    assert_eq!(founded.exit, 0, "{}", founded.err);
    assert_eq!(std::fs::read_to_string(&key).unwrap(), "5ec2e7\n");
    assert_eq!(
        std::fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(!founded.out.contains("5ec2e7") && !founded.err.contains("5ec2e7"));
    assert!(founded.err.contains("three stewards"));
    assert_eq!(create("again").exit, 2);
    assert_eq!(fake.asked().iter().filter(|asked| is_change(asked)).count(), 2);
}

#[test]
fn an_exported_audit_log_is_checked_without_a_node_and_names_the_line_that_was_changed() {
    let mut previous = [0; 32];
    let lines: Vec<AuditLine> = (1..=3)
        .map(|seq| {
            let mut entry = AuditEntry::new(Timestamp::from_millis(seq), "token siem", "publish", "", None);
            (entry.seq, entry.previous) = (seq, previous);
            previous = entry.hash();
            AuditLine::from(entry)
        })
        .collect();
    let head = Head {
        lines: 3,
        hash: previous,
    };
    let fake = Fake::start(move |asked| {
        let from = asked
            .line
            .split(['=', '&'])
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap();
        // Two lines at a time, whatever was asked for.
        let found: Vec<_> = lines
            .iter()
            .filter(|line| line.entry.seq >= from)
            .take(2)
            .cloned()
            .collect();
        let next = found.last().map_or(from, |line| line.entry.seq + 1);
        let (more, lines) = (next <= 3, found);
        let page = AuditPage {
            lines,
            next,
            more,
            head,
        };
        (200, serde_json::to_string(&page).unwrap())
    });
    let desk = Desk::new(&fake.api);
    let path = desk.path("audit.ndjson");
    let exported = desk.run(&["audit", "export", &path, "--json"]);
    assert_eq!(exported.exit, 0, "{}", exported.err);
    assert_eq!(exported.json()["lines"], 3);
    assert_eq!(desk.run(&["audit", "export", &path]).exit, 2);
    let node = desk.run(&["audit", "verify", "--json"]);
    assert_eq!((node.exit, &node.json()["hash"]), (0, &exported.json()["hash"]));
    assert!(desk.run(&["audit", "show"]).out.contains("token siem"));

    // Neither a node nor a token is needed.
    let verify = |path: &str| run_bare(["hanse", "audit", "verify", path, "--json"], "", false);
    assert_eq!(verify(&path).exit, 0);
    // What a partner heard of the log is held against it.
    let against = |head: &str| {
        let told = run_bare(
            ["hanse", "audit", "verify", &path, "--head", head, "--json"],
            "",
            false,
        );
        (told.exit, told.json()["broken"]["line"].clone())
    };
    let last = exported.json()["hash"].as_str().unwrap().to_owned();
    assert_eq!(against(&format!("3:{last}")).0, 0);
    assert_eq!(against(&format!("3:{}", &last[..8])).0, 0);
    assert_eq!(against("3:00000000"), (4, 3.into()));
    assert_eq!(against("4:00000000"), (4, 4.into()));
    let text = std::fs::read_to_string(&path).unwrap();
    let second = text.lines().nth(1).unwrap();
    let forged = [
        (second.replace("siem", "none"), 2),
        ("{}".to_owned(), 2),
        (String::new(), 2),
        (text.lines().next().unwrap().to_owned(), 2),
        (format!("{second}\n{second}"), 3),
    ];
    for (line, first) in forged {
        let file = desk.file("forged.ndjson", &text.replace(second, &line));
        let told = verify(&file);
        assert_eq!(
            (told.exit, &told.json()["broken"]["line"]),
            (4, &first.into()),
            "{line}"
        );
        assert_eq!(told.json()["holds"], false);
    }
    assert_eq!(verify(&desk.path("absent")).exit, 2);
}

#[test]
fn tail_prints_a_document_a_line() {
    let fake = Fake::start(|_| {
        let record = |position| {
            format!(
                "id: {position}\nevent: record\ndata: {{\"id\":\"{}\",\"position\":{position},\"author\":\"acme\",\
                 \"lane\":0,\"epoch\":1,\"seq\":1,\"charter\":1,\"created\":\"2026-01-01T00:00:00Z\",\
                 \"expires\":\"2026-02-01T00:00:00Z\",\"kind\":\"objects\",\"body_bytes\":1,\"state\":\"readable\",\
                 \"objects\":[{{\"tlp\":\"green\",\"object\":{{\ndata: \"a\": 1.0}}}}]}}\n\n",
                "ab".repeat(32)
            )
        };
        (200, format!(": alive\nid: 0\n\n{}{}", record(3), record(5)))
    });
    let desk = Desk::new(&fake.api);
    let ran = desk.run(&["tail", "--after", "0", "--objects", "--count", "2", "--json"]);
    assert_eq!(ran.exit, 0, "{}", ran.err);
    let positions: Vec<_> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["position"].as_u64())
        .collect();
    assert_eq!(positions, [Some(3), Some(5)]);
    assert!(ran.out.contains("{\"a\": 1.0}"), "{}", ran.out);
    assert_eq!(fake.asked()[0].line, "GET /v1/events?objects=true&after=0");
    assert!(desk.run(&["tail", "--count", "1"]).out.contains("acme"));
}

#[test]
fn tail_says_once_that_the_node_is_away_and_once_that_it_is_back() {
    let visits = std::sync::atomic::AtomicUsize::new(0);
    let fake = Fake::start(move |_| {
        let visit = visits.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let position = visit + 1;
        match visit {
            1 | 2 => problem("busy", 503),
            _ => (
                200,
                format!(
                    "id: {position}\nevent: record\ndata: {{\"id\":\"{}\",\"position\":{position},\"author\":\"acme\",\
                     \"lane\":0,\"epoch\":1,\"seq\":1,\"charter\":1,\"created\":\"2026-01-01T00:00:00Z\",\
                     \"expires\":\"2026-02-01T00:00:00Z\",\"kind\":\"objects\",\"body_bytes\":1,\"state\":\"readable\"}}\n\n",
                    "ab".repeat(32)
                ),
            ),
        }
    });
    let desk = Desk::new(&fake.api);
    let ran = desk.run(&["tail", "--after", "0", "--count", "3", "--json"]);
    assert_eq!((ran.exit, ran.out.lines().count()), (0, 3), "{}", ran.err);
    let said: Vec<&str> = ran.err.lines().collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("away") && said[1].contains("back"), "{said:?}");
}

#[test]
fn what_is_to_be_mended_is_told_where_it_comes_about_and_no_refusal_is_without_a_name() {
    let id = "ab".repeat(32);
    let fake = Fake::start(move |asked| match asked.line.as_str() {
        "POST /v1/records" => {
            let refused = r#"{"index":0,"reason":"no"}"#;
            (
                200,
                format!(r#"{{"records":[],"refused":[{refused}],"warnings":["it goes nowhere"]}}"#),
            )
        }
        "POST /v1/request" => (
            200,
            r#"{"file":"F","fingerprint":"x","profile":{"handle":"acme","name":"A",
            "kind":"city","sector":"","country":"DE"}}"#
                .to_owned(),
        ),
        line if line.starts_with("GET /v1/records") => {
            let (after, more) = if line.contains("after=0") {
                (1, true)
            } else {
                (2, false)
            };
            (
                200,
                format!(
                    r#"{{"records":[{{"id":"{id}","position":{after},"author":"acme","lane":0,"epoch":1,"seq":1,"charter":1,
                "created":"2026-01-01T00:00:00Z","expires":"2026-02-01T00:00:00Z","kind":"objects","body_bytes":1,
                "state":"readable"}}],"next":{after},"more":{more}}}"#
                ),
            )
        }
        _ => problem("not-found", 404),
    });
    let desk = Desk::new(&fake.api);
    let file = desk.file("one.json", r#"{"type":"x","id":"x--1"}"#);
    let refused = desk.run(&["publish", &file, "--to", "acme, bert"]);
    assert_eq!(refused.exit, 4, "{}", refused.err);
    assert!(refused.out.contains("(x--1): no"), "{}", refused.out);
    assert!(
        refused.err.contains("warning: it goes nowhere"),
        "{}",
        refused.err
    );

    // A request that was given away is not replaced by one with another fingerprint.
    let (text, fingerprint) = request();
    let earlier = desk.file("acme.request", &text);
    let kept = desk.run(&["request", "--out", &earlier]);
    assert_eq!(kept.exit, 2);
    assert!(kept.err.contains(&fingerprint), "{}", kept.err);
    assert_eq!(std::fs::read_to_string(&earlier).unwrap(), text);
    assert_eq!(desk.run(&["request", "--out", &desk.path("new.request")]).exit, 0);

    let caught_up = desk.run(&["tail", "--no-follow", "--json"]);
    assert_eq!(
        (caught_up.exit, caught_up.out.lines().count()),
        (0, 2),
        "{}",
        caught_up.err
    );
    let one = desk.run(&["tail", "--no-follow", "--count", "1", "--json"]);
    assert_eq!(one.out.lines().count(), 1);
    let misspelt = desk.run(&["publish", &file, "--json", "--tlp", "mauve"]);
    assert_eq!(misspelt.json()["error"]["type"], "urn:hanse:command:usage");
}

#[test]
fn every_command_speaks_for_the_community_it_is_told() {
    let node = Fake::start(|asked| match asked.line.as_str() {
        "GET /v1/communities" => {
            let listed = r#"{"communities":[{"name":"first","member":"acme-water"},{"name":"north",
                "member":"acme","community":"4242424242424242424242424242424242424242424242424242424242424242",
                "title":"North League","charter":3}]}"#;
            (200, listed.to_owned())
        }
        _ => problem("unknown-community", 404),
    });
    let desk = Desk::new(&node.api);
    let listed = desk.run(&["communities", "--community", "north"]);
    assert_eq!(listed.exit, 0, "{}", listed.err);
    assert!(
        listed.out.contains("none yet") && listed.out.contains("North League"),
        "{}",
        listed.out
    );
    for arguments in [
        vec!["members"],
        vec!["--community", "north", "members"],
        vec!["members", "--community", "a/b"],
    ] {
        assert_eq!(desk.run(&arguments).exit, 4);
    }
    let asked: Vec<String> = node.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(
        asked,
        [
            "GET /v1/communities",
            "GET /v1/members",
            "GET /communities/north/v1/members",
            "GET /communities/a%2Fb/v1/members",
        ]
    );
}
