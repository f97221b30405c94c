//! The two files by which an organisation joins, and the one that passes a charter around.

use hanse_protocol::charter::join::{Invite, Request, invite_fingerprint};
use hanse_protocol::charter::proposal::Proposal;
use hanse_protocol::identity::CommunityId;
use serde_json::json;

use super::{Cast, FOUNDED, Org, at, bad, good, signed, successor};
use crate::vectors::{Vector, describe, hex};

/// Requests.
pub(super) fn requests() -> Vec<Vector> {
    let cast = Cast::new();
    let asks = |org: &Org, node: &Org, change: &dyn Fn(&mut Request)| {
        let addresses = vec!["/dns4/hanse.example.org/tcp/7475".to_owned()];
        let mut request = Request::new(
            org.profile(),
            &org.signing,
            org.sealing.public(),
            &node.node,
            addresses,
            at(FOUNDED),
        );
        change(&mut request);
        request
    };
    let water = &cast.water;
    let request = asks(water, water, &|_| ());
    let text = request.write(&water.signing);
    let of = |change: &dyn Fn(&mut Request)| asks(water, water, change).write(&water.signing);
    let given = |text: &str| json!({"text": text});
    let stolen = of(&|r| r.node = cast.city.node_id());
    let refused = [
        (
            "signed-by-another",
            "It presents keys it is not signed with.",
            request.write(&cast.mallory.signing),
            "signature",
        ),
        (
            "anothers-node",
            "A node whose key did not vouch for it.",
            stolen,
            "signature",
        ),
        (
            "other-signing-key",
            "Proof of a node for another signing key.",
            of(&|r| r.signing = cast.mary.signing.verifying_key()),
            "signature",
        ),
        (
            "nine-addresses",
            "More addresses than a node may have.",
            of(&|r| r.addresses = vec![String::new(); 9]),
            "form",
        ),
        (
            "nameless",
            "The name is empty.",
            of(&|r| r.profile.name.clear()),
            "form",
        ),
        (
            "invite-lines",
            "The lines of an invite around it.",
            text.replace("REQUEST", "INVITE"),
            "malformed",
        ),
        (
            "letter-missing",
            "One letter of the text is missing.",
            text.replacen('D', "", 1),
            "malformed",
        ),
        (
            "no-end-line",
            "The end line is missing.",
            text.replace("-----END", "-----"),
            "malformed",
        ),
        (
            "too-large",
            "More than such a file may hold.",
            format!("{text}{}", " ".repeat(13_000)),
            "too-large",
        ),
    ];
    let mut all = vec![
        good(
            "request",
            "to-join",
            "An organisation asks to be admitted.",
            given(&text),
            describe::request(&request),
        ),
        good(
            "request",
            "to-join-in-one-line",
            "As a mail program may leave it.",
            given(&format!("Hello!\r\n{}\r\nBye", text.replace('\n', ""))),
            describe::request(&request),
        ),
    ];
    all.extend(refused.map(|(what, about, text, reason)| bad("request", what, about, given(&text), reason)));
    all
}

/// Invites.
pub(super) fn invites() -> Vec<Vector> {
    let cast = Cast::new();
    let charters = cast.community();
    let invite = Invite {
        community: *charters.community(),
        charters: charters.encode(),
    };
    let newest = charters.newest();
    let expect = json!({"community": invite.community, "version": 1, "hash": hex(&newest.hash().0),
        "fingerprint": invite_fingerprint(&invite.community, &newest.hash()).to_string()});
    let given = |text: String| json!({"text": text});
    let other = Invite {
        community: CommunityId([9; 32]),
        ..invite.clone()
    };
    let none = Invite {
        charters: vec![],
        ..invite.clone()
    };
    vec![
        good(
            "invite",
            "to-a-member",
            "What an admitted organisation gets.",
            given(invite.write()),
            expect,
        ),
        bad(
            "invite",
            "other-community",
            "Charters of another community than it names.",
            given(other.write()),
            "other-community",
        ),
        bad(
            "invite",
            "without-charters",
            "An empty chain.",
            given(none.write()),
            "form",
        ),
        bad(
            "invite",
            "request-lines",
            "The lines of a request around it.",
            given(invite.write().replace("INVITE", "REQUEST")),
            "malformed",
        ),
    ]
}

/// Proposals.
pub(super) fn proposals() -> Vec<Vector> {
    let cast = Cast::new();
    let charters = cast.community();
    let proposal = Proposal {
        community: *charters.community(),
        charter: signed(successor(charters.newest()), &[&cast.city]),
    };
    let unsigned = Proposal {
        charter: signed(successor(charters.newest()), &[]),
        ..proposal.clone()
    };
    let expect = |proposal: &Proposal| {
        json!({"community": proposal.community, "version": proposal.charter.charter().version,
            "hash": hex(&proposal.charter.hash().0), "fingerprint": proposal.fingerprint().to_string()})
    };
    let given = |text: String| json!({"text": text});
    let text = proposal.write();
    vec![
        good(
            "proposal",
            "signed-once",
            "A charter with a steward's signature, on its way to others.",
            given(text.clone()),
            expect(&proposal),
        ),
        good(
            "proposal",
            "unsigned",
            "Who has signed does not change the fingerprint.",
            given(unsigned.write()),
            expect(&unsigned),
        ),
        bad(
            "proposal",
            "invite-lines",
            "The lines of an invite around it.",
            given(text.replace("PROPOSAL", "INVITE")),
            "malformed",
        ),
        bad(
            "proposal",
            "letters-missing",
            "Four letters at the end are missing.",
            given(
                text.replacen("\n-----END", "", 1)
                    .replace("-----\n", "-----")
                    .replace("=", ""),
            ),
            "malformed",
        ),
    ]
}
