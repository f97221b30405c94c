//! `hansed check`: what is wrong with a node, and what to do.

use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;

use hanse_protocol::charter::SignedCharter;
use hanse_protocol::timestamp::Timestamp;
use serde::Serialize;

use super::{Failure, say};
use crate::daemon::DaemonError;
use crate::keystore::KeystoreError;
use crate::member::MemberError;
use crate::settings::{Place, Settings};
use crate::store::{self, Seen};
use crate::tokens::{self, Tokens};
use crate::{clock, daemon};

/// A clock before this was never set: the first day of 2026.
const PLAUSIBLE: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// Collects what was found.
#[derive(Default, Serialize)]
struct Report {
    checks: Vec<Checked>,
    wrong: usize,
    /// The community that is looked at, if it is not the first.
    #[serde(skip)]
    of: Option<String>,
    /// Whether it is told when all is known, as a document.
    #[serde(skip)]
    json: bool,
}

/// One thing that was looked at.
#[derive(Serialize)]
struct Checked {
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    community: Option<String>,
    ok: bool,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Report {
    fn good(&mut self, what: &'static str, found: &str) {
        self.add(what, found, None);
    }

    fn wrong(&mut self, what: &'static str, found: &str, mend: &str) {
        self.wrong += 1;
        self.add(what, found, Some(mend.to_owned()));
    }

    fn add(&mut self, what: &'static str, found: &str, mend: Option<String>) {
        if !self.json {
            let of = self
                .of
                .as_ref()
                .map_or_else(String::new, |name| format!("{name}: "));
            say(&match &mend {
                None => format!("ok     {what:<10} {of}{found}\n"),
                Some(mend) => format!("WRONG  {what:<10} {of}{found}\n       {:<10} do: {mend}\n", ""),
            });
        }
        self.checks.push(Checked {
            what,
            community: self.of.clone(),
            ok: mend.is_none(),
            found: found.to_owned(),
            mend,
        });
    }
}

pub(super) fn run(dir: &Path, json: bool) -> Result<ExitCode, Failure> {
    let mut report = Report {
        json,
        ..Report::default()
    };
    clock_is_set(&mut report);
    match Settings::load(dir) {
        Err(error) => {
            report.wrong(
                "settings",
                &chain(&error),
                "mend hansed.toml, or make a node with `hansed init`",
            );
        }
        Ok(settings) => {
            report.good("settings", &format!("member {}", settings.member.handle));
            tokens(dir, &mut report);
            let running = store::is_in_use(&daemon::store_folder(dir));
            if running {
                report.good("node", "running");
            }
            api_port(&settings, running, &mut report);
            for place in settings.places(dir) {
                report.of = (!place.is_first()).then(|| place.name.clone());
                community(&place, running, &mut report);
            }
        }
    }
    say(&match report.wrong {
        _ if json => serde_json::to_string(&report)? + "\n",
        0 => "nothing wrong\n".to_owned(),
        wrong => format!("{wrong} wrong\n"),
    });
    Ok(if report.wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What a community has of its own.
fn community(place: &Place, running: bool, report: &mut Report) {
    if report.of.is_some() {
        report.good("member", place.settings.member.handle.as_str());
    }
    if daemon::initialising(&place.folder).exists() {
        report.wrong(
            "keys",
            "the making of this node or community was broken off",
            "run `hansed init`, or `hansed community add` for a further community, once more",
        );
    }
    keys_and_store(&place.folder, &place.settings, running, report);
    mesh_ports(&place.settings, running, report);
}

fn clock_is_set(report: &mut Report) {
    let now = clock::now();
    if now < PLAUSIBLE {
        report.wrong(
            "clock",
            &now.to_string(),
            "set the clock; records are dated by it",
        );
    } else {
        report.good("clock", &now.to_string());
    }
}

fn tokens(dir: &Path, report: &mut Report) {
    // Opening would make the folder, and a check only looks.
    if !dir.join(tokens::FOLDER).exists() {
        return report.good("tokens", "none made yet");
    }
    match Tokens::open(dir) {
        Ok(tokens) => report.good("tokens", &format!("{} named", tokens.list().count())),
        Err(error) => report.wrong(
            "tokens",
            &chain(&error),
            "chmod 600 what is named, or make a token anew",
        ),
    }
}

fn keys_and_store(dir: &Path, settings: &Settings, running: bool, report: &mut Report) {
    let (keystore, _) = match daemon::open_member(dir, settings) {
        Ok(opened) => opened,
        Err(error) => return report.wrong("keys", &chain(&error), &mended(&error)),
    };
    report.good("keys", "readable, private to you");
    let folder = daemon::store_folder(dir);
    if !folder.exists() {
        return report.good("store", "none yet; made at the first start");
    }
    match store::look(&folder, keystore.master(), &daemon::store_settings(settings)) {
        Ok(seen) => told(&seen, running, report),
        Err(error) => report.wrong(
            "store",
            &chain(&error),
            "restore the folder or its keys from your backup: `hansed restore --help`",
        ),
    }
}

/// What was seen of the store.
fn told(seen: &Seen, running: bool, report: &mut Report) {
    let community = seen
        .charters
        .iter()
        .filter_map(|charter| SignedCharter::decode(&charter.bytes).ok())
        .max_by_key(|charter| charter.charter().version);
    let community = community.map_or("no community yet".to_owned(), |charter| {
        let charter = charter.charter();
        format!("community {} at charter {}", charter.name, charter.version)
    });
    report.good(
        "store",
        &format!(
            "{} records in {} bytes of log; {community}",
            seen.records, seen.bytes
        ),
    );
    match seen.free {
        Some(free) if free < store::RESERVE => report.wrong(
            "disk",
            &format!("{free} bytes free"),
            "make room: under 128 MiB the node takes nothing new",
        ),
        Some(free) => report.good("disk", &format!("{free} bytes free")),
        None => report.good("disk", "the system does not tell how much is free"),
    }
    for span in &seen.corrupt {
        report.wrong(
            "log",
            &format!("damaged: {span}"),
            "keep a copy of the store folder, then start the node: peers heal what is lost",
        );
    }
    for segment in &seen.missing {
        report.wrong(
            "log",
            &format!("segment {segment} is missing"),
            "put it back from a backup, or start the node: peers heal what is lost",
        );
    }
    match &seen.lost {
        None => report.good(
            "records",
            "the index is in use or does not open: stop the node to list what was lost",
        ),
        Some(lost) => {
            for id in lost {
                report.wrong(
                    "record",
                    &id.to_string(),
                    "peers heal it once the node was started anew",
                );
            }
            if lost.is_empty() && !seen.corrupt.is_empty() {
                report.good("records", "the index knows of none in the damaged stretches");
            }
        }
    }
    if seen.lost_papers > 0 {
        report.wrong(
            "papers",
            &format!(
                "{} of this node's own papers are in damaged stretches",
                seen.lost_papers
            ),
            "nobody else has them: put the store back from a backup if you need them",
        );
    }
    if let Some(torn) = seen.torn.filter(|_| !running) {
        report.good(
            "log",
            &format!(
                "ends in a torn write, {torn}: the next start cuts it off, nothing acknowledged is in it"
            ),
        );
    }
}

/// What to do about keys that do not open: what is wrong decides, and a backup is the last resort.
fn mended(error: &DaemonError) -> String {
    let keystore = match error {
        DaemonError::Keystore(error) | DaemonError::Member(MemberError::Keystore(error)) => error,
        _ => return "see the cause; keys/ can be restored from your backup".to_owned(),
    };
    match keystore {
        KeystoreError::Permissions(path) => format!("chmod 600 {}", path.display()),
        KeystoreError::Missing(_)
        | KeystoreError::Malformed(_)
        | KeystoreError::Unauthentic(_)
        | KeystoreError::Damaged(_) => "restore keys/ from your backup".to_owned(),
        KeystoreError::Newer { .. } => "run the version of hansed that wrote it, or a later one".to_owned(),
        KeystoreError::Kind { .. } | KeystoreError::WrongSecret { .. } => {
            "mend the section `keys` of hansed.toml, or what it names".to_owned()
        }
        _ => "see the cause".to_owned(),
    }
}

/// Whether a port is taken by the node itself, which runs: what else it says of that is in its messages.
fn own(running: bool, error: &std::io::Error) -> bool {
    running && error.kind() == std::io::ErrorKind::AddrInUse
}

fn api_port(settings: &Settings, running: bool, report: &mut Report) {
    match TcpListener::bind(settings.api.listen) {
        Ok(_) => report.good("api port", &settings.api.listen.to_string()),
        Err(error) if own(running, &error) => {
            report.good("api port", &format!("{}, in use", settings.api.listen))
        }
        Err(error) => report.wrong(
            "api port",
            &format!("{}: {error}", settings.api.listen),
            "stop what listens there (perhaps this very node), or set api.listen",
        ),
    }
}

fn mesh_ports(settings: &Settings, running: bool, report: &mut Report) {
    for address in &settings.mesh.listen {
        let Some(socket) = crate::mesh::socket_address(address) else {
            report.wrong("mesh port", address, "write mesh.listen as /ip4/ADDRESS/tcp/PORT");
            continue;
        };
        match TcpListener::bind(socket) {
            Ok(_) => report.good("mesh port", address),
            Err(error) if own(running, &error) => report.good("mesh port", &format!("{address}, in use")),
            Err(error) => report.wrong(
                "mesh port",
                &format!("{address}: {error}"),
                "stop what listens there (perhaps this very node), or set mesh.listen",
            ),
        }
    }
    if settings.mesh.dialable().is_empty() {
        report.good(
            "mesh",
            "this node only dials out: set mesh.external if others should dial it, which one node of a \
             community at least must be",
        );
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
