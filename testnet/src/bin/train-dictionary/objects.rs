//! Made-up STIX 2.1 objects of the types and in the spellings that producers use, in the envelope
//! that bodies carry.

use super::seeded::Seeded;

/// Properties in order, values as JSON.
type Object = Vec<(&'static str, String)>;

/// The marking definitions of TLP 2.0, the more common ones more often.
const MARKINGS: [&str; 8] = [
    "94868c89-83c2-464b-929b-a1a8aa3c8487",
    "94868c89-83c2-464b-929b-a1a8aa3c8487",
    "bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    "bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    "55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    "55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    "939a9414-2ddd-4d32-a0cd-375ea402b003",
    "e828b379-4e03-4974-9ac4-e53a884c97c1",
];

/// One body's content, with one object to three.
pub(crate) fn content(seeded: &mut Seeded) -> String {
    let spaced = seeded.chance(25);
    let sorted = seeded.chance(15);
    let count = if seeded.chance(95) { 1 } else { 2 + seeded.below(2) };
    let objects: Vec<String> = (0..count)
        .map(|_| {
            let mut object = object(seeded);
            if sorted {
                object.sort();
            }
            write(&object, spaced)
        })
        .collect();
    let unmarked = seeded.one(&["green", "green", "clear", "amber", "amber+strict", "red"]);
    let floor = seeded.one(&["clear", "clear", "clear", "green", "amber"]);
    format!(
        r#"{{"unmarked":"{unmarked}","floor":"{floor}","objects":[{}]}}"#,
        objects.join(",")
    )
}

/// As text: compact, or with the spaces that some libraries put behind commas and colons.
fn write(object: &Object, spaced: bool) -> String {
    let (comma, colon) = if spaced { (", ", ": ") } else { (",", ":") };
    let members: Vec<String> = object
        .iter()
        .map(|(key, value)| format!("\"{key}\"{colon}{value}"))
        .collect();
    format!("{{{}}}", members.join(comma))
}

fn quoted(text: impl AsRef<str>) -> String {
    serde_json::Value::from(text.as_ref()).to_string()
}

fn listed(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(quoted).collect();
    format!("[{}]", texts.join(","))
}

fn id(kind: &str, seeded: &mut Seeded) -> String {
    format!("{kind}--{}", seeded.uuid())
}

fn object(seeded: &mut Seeded) -> Object {
    match seeded.below(100) {
        0..=54 => indicator(seeded),
        55..=64 => relationship(seeded),
        65..=69 => malware(seeded),
        70..=73 => sighting(seeded),
        74..=77 => attack_pattern(seeded),
        78..=81 => incident(seeded),
        82..=84 => observed_data(seeded),
        85..=87 => identity(seeded),
        88..=91 => report(seeded),
        92..=93 => vulnerability(seeded),
        _ => fact(seeded),
    }
}

/// The properties every versioned object opens with.
fn common(kind: &'static str, seeded: &mut Seeded) -> Object {
    let created = seeded.instant();
    let modified = if seeded.chance(60) {
        created.clone()
    } else {
        seeded.instant()
    };
    let mut object = vec![
        ("type", quoted(kind)),
        ("spec_version", quoted("2.1")),
        ("id", quoted(id(kind, seeded))),
    ];
    if seeded.chance(85) {
        object.push(("created_by_ref", quoted(id("identity", seeded))));
    }
    object.push(("created", quoted(created)));
    object.push(("modified", quoted(modified)));
    object
}

/// The properties many objects close with.
fn closing(object: &mut Object, seeded: &mut Seeded) {
    if seeded.chance(30) {
        let labels: Vec<String> = (0..=seeded.below(3)).map(|_| seeded.word()).collect();
        object.push(("labels", listed(&labels)));
    }
    if seeded.chance(45) {
        object.push(("confidence", (5 * seeded.below(21)).to_string()));
    }
    if seeded.chance(15) {
        object.push(("lang", quoted("en")));
    }
    if seeded.chance(20) {
        object.push(("external_references", references(seeded)));
    }
    if seeded.chance(4) {
        object.push(("revoked", "true".to_owned()));
    }
    if seeded.chance(80) {
        let marking = format!("marking-definition--{}", seeded.one(&MARKINGS));
        object.push(("object_marking_refs", listed(&[marking])));
    }
}

fn references(seeded: &mut Seeded) -> String {
    match seeded.below(3) {
        0 => format!(
            r#"[{{"source_name":"mitre-attack","url":"https://attack.mitre.org/techniques/T1{0}","external_id":"T1{0}"}}]"#,
            100 + seeded.below(600)
        ),
        1 => format!(
            r#"[{{"source_name":"cve","external_id":"CVE-202{}-{}"}}]"#,
            seeded.below(7),
            1000 + seeded.below(50_000)
        ),
        _ => format!(
            r#"[{{"source_name":"{}","description":"{}","url":"https://{}/reports/{}"}}]"#,
            seeded.word(),
            sentence(seeded),
            seeded.domain(),
            seeded.word()
        ),
    }
}

fn sentence(seeded: &mut Seeded) -> String {
    let opening = seeded.one(&[
        "Command and control server of",
        "Phishing page that imitates",
        "Delivers the payload of",
        "Seen scanning for",
        "Contacted by hosts infected with",
        "Hash of a sample of",
        "Adversaries may use this to reach",
        "Reported by a member after an incident at",
        "Listed in the feed of",
        "Used in a campaign against",
    ]);
    let closing = seeded.one(&[
        "",
        " since the beginning of the month",
        " in the water sector",
        " in the energy sector",
        " on port 443",
        " by several organisations",
        " in the last 24 hours",
        ". Block and report sightings",
    ]);
    format!("{opening} {}{closing}.", seeded.word())
}

/// What an indicator is of, and its pattern.
fn pattern(seeded: &mut Seeded) -> (&'static str, String, String) {
    match seeded.below(16) {
        0..=3 => plain("domain", "domain-name:value", seeded.domain()),
        4..=6 => plain("ipv4", "ipv4-addr:value", seeded.ipv4()),
        7..=8 => plain("url", "url:value", seeded.url()),
        9..=10 => plain("sha256", "file:hashes.'SHA-256'", seeded.hex(64)),
        11 => plain("md5", "file:hashes.MD5", seeded.hex(32)),
        12 => plain("sha1", "file:hashes.'SHA-1'", seeded.hex(40)),
        13 => {
            let address = format!("{}@{}", seeded.word(), seeded.domain());
            match seeded.below(2) {
                0 => plain("email", "email-addr:value", address),
                _ => plain("email", "email-message:from_ref.value", address),
            }
        }
        14 => {
            let address = format!("2001:db8:{}:{}::{}", seeded.hex(4), seeded.hex(3), seeded.hex(2));
            plain("ipv6", "ipv6-addr:value", address)
        }
        _ => {
            let (address, port) = (seeded.ipv4(), 1 + seeded.below(60_000));
            let pattern = format!(
                "[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '{address}' \
                 AND network-traffic:dst_port = {port}]"
            );
            ("ipv4", format!("{address}:{port}"), pattern)
        }
    }
}

fn plain(what: &'static str, path: &str, value: String) -> (&'static str, String, String) {
    let pattern = format!("[{path} = '{value}']");
    (what, value, pattern)
}

fn indicator(seeded: &mut Seeded) -> Object {
    let mut object = common("indicator", seeded);
    let (what, value, pattern) = pattern(seeded);
    let name = match seeded.below(4) {
        0 => value,
        1 => format!("{} {what}", seeded.word()),
        _ => format!("{what} {value}"),
    };
    object.push(("name", quoted(name)));
    if seeded.chance(70) {
        object.push(("description", quoted(sentence(seeded))));
    }
    if seeded.chance(85) {
        let kind = seeded.one(&[
            "malicious-activity",
            "malicious-activity",
            "anomalous-activity",
            "compromised",
        ]);
        object.push(("indicator_types", listed(&[kind.to_owned()])));
    }
    object.push(("pattern", quoted(pattern)));
    object.push(("pattern_type", quoted("stix")));
    if seeded.chance(75) {
        object.push(("pattern_version", quoted("2.1")));
    }
    object.push(("valid_from", quoted(seeded.instant())));
    if seeded.chance(40) {
        object.push(("valid_until", quoted(seeded.instant())));
    }
    if seeded.chance(15) {
        object.push((
            "kill_chain_phases",
            format!(
                r#"[{{"kill_chain_name":"mitre-attack","phase_name":"{}"}}]"#,
                seeded.one(&[
                    "command-and-control",
                    "initial-access",
                    "execution",
                    "exfiltration",
                    "impact"
                ])
            ),
        ));
    }
    closing(&mut object, seeded);
    object
}

fn relationship(seeded: &mut Seeded) -> Object {
    let mut object = common("relationship", seeded);
    let (from, verb, to) = match seeded.below(6) {
        0..=1 => ("indicator", "indicates", "malware"),
        2 => ("malware", "uses", "attack-pattern"),
        3 => ("intrusion-set", "uses", "malware"),
        4 => ("course-of-action", "mitigates", "attack-pattern"),
        _ => ("indicator", "based-on", "observed-data"),
    };
    object.push(("relationship_type", quoted(verb)));
    if seeded.chance(25) {
        object.push(("description", quoted(sentence(seeded))));
    }
    object.push(("source_ref", quoted(id(from, seeded))));
    object.push(("target_ref", quoted(id(to, seeded))));
    closing(&mut object, seeded);
    object
}

fn malware(seeded: &mut Seeded) -> Object {
    let mut object = common("malware", seeded);
    object.push(("name", quoted(seeded.word())));
    object.push(("description", quoted(sentence(seeded))));
    let kind = seeded.one(&[
        "ransomware",
        "trojan",
        "backdoor",
        "bot",
        "downloader",
        "remote-access-trojan",
    ]);
    object.push(("malware_types", listed(&[kind.to_owned()])));
    object.push(("is_family", seeded.one(&["true", "false"]).to_owned()));
    if seeded.chance(30) {
        object.push(("aliases", listed(&[seeded.word()])));
    }
    closing(&mut object, seeded);
    object
}

fn sighting(seeded: &mut Seeded) -> Object {
    let mut object = common("sighting", seeded);
    object.push(("first_seen", quoted(seeded.instant())));
    object.push(("last_seen", quoted(seeded.instant())));
    object.push(("count", (1 + seeded.below(200)).to_string()));
    object.push(("sighting_of_ref", quoted(id("indicator", seeded))));
    if seeded.chance(50) {
        object.push(("observed_data_refs", listed(&[id("observed-data", seeded)])));
    }
    object.push(("where_sighted_refs", listed(&[id("identity", seeded)])));
    closing(&mut object, seeded);
    object
}

fn attack_pattern(seeded: &mut Seeded) -> Object {
    let mut object = common("attack-pattern", seeded);
    object.push(("name", quoted(seeded.word())));
    object.push(("description", quoted(sentence(seeded))));
    object.push((
        "kill_chain_phases",
        format!(
            r#"[{{"kill_chain_name":"mitre-{}attack","phase_name":"{}"}}]"#,
            seeded.one(&["", "ics-"]),
            seeded.one(&[
                "initial-access",
                "execution",
                "persistence",
                "lateral-movement",
                "collection",
                "impact"
            ])
        ),
    ));
    object.push(("external_references", references(seeded)));
    closing(&mut object, seeded);
    object
}

fn incident(seeded: &mut Seeded) -> Object {
    let mut object = common("incident", seeded);
    object.push(("name", quoted(format!("{} at {}", seeded.word(), seeded.word()))));
    object.push(("description", quoted(sentence(seeded))));
    if seeded.chance(60) {
        object.push((
            "extensions",
            format!(
                concat!(
                    r#"{{"extension-definition--ef765651-680c-498d-9894-99799f2fa126":{{"extension_type":"property-extension","#,
                    r#""determination":"{}","investigation_status":"{}","criticality":{},"detection_methods":["{}"],"#,
                    r#""incident_types":["{}"],"recoverability":"{}"}}}}"#
                ),
                seeded.one(&["confirmed", "suspected", "false-positive", "low-value"]),
                seeded.one(&["new", "open", "on-hold", "resolved", "closed"]),
                10 * seeded.below(11),
                seeded.one(&["human-review", "automated-tool", "external-notification"]),
                seeded.one(&["ransomware", "phishing", "dos", "unauthorized-access", "system-compromise"]),
                seeded.one(&["regular", "supplemented", "extended", "not-recoverable"]),
            ),
        ));
    }
    closing(&mut object, seeded);
    object
}

fn observed_data(seeded: &mut Seeded) -> Object {
    let mut object = common("observed-data", seeded);
    object.push(("first_observed", quoted(seeded.instant())));
    object.push(("last_observed", quoted(seeded.instant())));
    object.push(("number_observed", (1 + seeded.below(500)).to_string()));
    let refs = [id("ipv4-addr", seeded), id("network-traffic", seeded)];
    object.push(("object_refs", listed(&refs)));
    closing(&mut object, seeded);
    object
}

fn identity(seeded: &mut Seeded) -> Object {
    let mut object = common("identity", seeded);
    object.push(("name", quoted(seeded.word())));
    let class = seeded.one(&["organization", "organization", "individual", "class", "system"]);
    object.push(("identity_class", quoted(class)));
    let sector = seeded.one(&[
        "water",
        "energy",
        "government",
        "healthcare",
        "transportation",
        "utilities",
    ]);
    object.push(("sectors", listed(&[sector.to_owned()])));
    if seeded.chance(40) {
        let contact = format!("security@{}", seeded.domain());
        object.push(("contact_information", quoted(contact)));
    }
    closing(&mut object, seeded);
    object
}

fn report(seeded: &mut Seeded) -> Object {
    let kind = seeded.one(&["report", "note", "grouping", "opinion"]);
    let mut object = common(kind, seeded);
    match kind {
        "report" => {
            object.push(("name", quoted(seeded.word())));
            object.push(("description", quoted(sentence(seeded))));
            object.push(("report_types", listed(&["threat-report".to_owned()])));
            object.push(("published", quoted(seeded.instant())));
        }
        "note" => {
            object.push(("abstract", quoted(seeded.word())));
            object.push(("content", quoted(sentence(seeded))));
        }
        "grouping" => object.push(("context", quoted("suspicious-activity"))),
        _ => object.push((
            "opinion",
            quoted(seeded.one(&["agree", "disagree", "strongly-agree", "neutral"])),
        )),
    }
    let refs: Vec<String> = (0..=seeded.below(4))
        .map(|_| {
            let kind = seeded.one(&["indicator", "malware", "relationship", "attack-pattern"]);
            id(kind, seeded)
        })
        .collect();
    object.push(("object_refs", listed(&refs)));
    closing(&mut object, seeded);
    object
}

fn vulnerability(seeded: &mut Seeded) -> Object {
    let mut object = common("vulnerability", seeded);
    let cve = format!("CVE-202{}-{}", seeded.below(7), 1000 + seeded.below(50_000));
    object.push(("name", quoted(&cve)));
    object.push(("description", quoted(sentence(seeded))));
    object.push((
        "external_references",
        format!(r#"[{{"source_name":"cve","external_id":"{cve}"}}]"#),
    ));
    closing(&mut object, seeded);
    object
}

/// An observable object, which has neither maker nor history.
fn fact(seeded: &mut Seeded) -> Object {
    let (kind, property, value) = match seeded.below(6) {
        0 => ("ipv4-addr", "value", quoted(seeded.ipv4())),
        1 => ("domain-name", "value", quoted(seeded.domain())),
        2 => ("url", "value", quoted(seeded.url())),
        3 => (
            "email-addr",
            "value",
            quoted(format!("{}@{}", seeded.word(), seeded.domain())),
        ),
        4 => ("network-traffic", "dst_ref", quoted(id("ipv4-addr", seeded))),
        _ => (
            "file",
            "hashes",
            format!(
                r#"{{"MD5":"{}","SHA-1":"{}","SHA-256":"{}"}}"#,
                seeded.hex(32),
                seeded.hex(40),
                seeded.hex(64)
            ),
        ),
    };
    let mut object = vec![
        ("type", quoted(kind)),
        ("spec_version", quoted("2.1")),
        ("id", quoted(id(kind, seeded))),
        (property, value),
    ];
    match kind {
        "network-traffic" => {
            object.push(("dst_port", (1 + seeded.below(60_000)).to_string()));
            object.push(("protocols", r#"["ipv4","tcp"]"#.to_owned()));
        }
        "file" => {
            object.push(("name", quoted(format!("{}.exe", seeded.word()))));
            object.push(("size", seeded.below(5_000_000).to_string()));
        }
        _ => {}
    }
    if seeded.chance(50) {
        let marking = format!("marking-definition--{}", seeded.one(&MARKINGS));
        object.push(("object_marking_refs", listed(&[marking])));
    }
    object
}
