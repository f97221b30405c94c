//! What is shared with whom, what is kept, and what is wrong with a folder.

use std::collections::BTreeSet;
use std::time::Duration;

use hanse_protocol::charter::member::{MemberKind, Profile};
use hanse_protocol::charter::{Budget, Charter, Member};
use hanse_protocol::identity::Handle;
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;

use super::*;

mod any;
mod deciding;
mod mistakes;
mod starting;

fn handle(text: &str) -> Handle {
    text.parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn noon() -> Timestamp {
    at("2026-06-19T12:00:30Z")
}

/// A member as policies see it: keys and lanes do not matter to them.
fn member(name: &str, kind: MemberKind, sector: &str, country: &str) -> Member {
    let handle = handle(name);
    Member {
        profile: Profile {
            handle: handle.clone(),
            name: name.to_owned(),
            kind,
            sector: sector.to_owned(),
            country: country.to_owned(),
        },
        handle,
        admitted: Timestamp::default(),
        signing: Vec::new(),
        sealing: Vec::new(),
        lanes: Vec::new(),
        ended: None,
    }
}

/// A city, its water works, a hospital, a vendor and a CERT; the city stewards.
fn charter() -> Charter {
    let members = vec![
        member("acme-vendor", MemberKind::Company, "software", "NL"),
        member("city-hall", MemberKind::City, "", "DE"),
        member("east-hospital", MemberKind::Hospital, "health", "DE"),
        member("harbour-water", MemberKind::Utility, "water", "DE"),
        member("north-cert", MemberKind::Cert, "", "DE"),
    ];
    charter_of(members)
}

fn charter_of(members: Vec<Member>) -> Charter {
    Charter {
        name: "harbour".to_owned(),
        version: 1,
        parents: Vec::new(),
        issued: Timestamp::default(),
        expires: noon(),
        stewards: vec![handle("city-hall")],
        threshold: 1,
        recovery: Vec::new(),
        members,
        unmarked: Tlp::Green,
        budget: Budget { bytes: 1, records: 1 },
        horizon: 1,
    }
}

fn item(kind: &str, tlp: Tlp) -> Item {
    Item {
        kind: kind.to_owned(),
        tlp,
        labels: BTreeSet::new(),
        confidence: None,
        sightings: 0,
        kill_chain: BTreeSet::new(),
        targets: BTreeSet::new(),
        personal_data: false,
        revoked: false,
    }
}

/// Policies of one file.
fn cedar(text: &str) -> Vec<PolicyFile> {
    vec![PolicyFile::new("a.cedar", text)]
}

fn loaded(files: Vec<PolicyFile>) -> Policies {
    match Policies::from_files(files, Some(&charter())) {
        Ok(policies) => policies,
        Err(errors) => panic!("{errors}"),
    }
}

/// What is wrong with these files.
fn problems(files: Vec<PolicyFile>) -> Vec<PolicyError> {
    Policies::from_files(files, Some(&charter()))
        .map(|_| ())
        .unwrap_err()
        .0
}

/// The decision for one partner of city hall.
fn share(policies: &Policies, partner: &str, item: &Item) -> Decision {
    let roster = policies.roster(&charter(), &handle("city-hall"));
    let class = roster.class_of(&handle(partner)).unwrap();
    policies.share(&roster, item, noon())[class].as_ref().clone()
}

fn ids(decision: &Decision) -> Vec<&str> {
    decision.deciding.iter().map(String::as_str).collect()
}
