//! What is signed or sealed. Whatever passes must be a message of the good vectors: anything else is
//! a forgery.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use hanse_protocol::admission::{Arrival, By, Signed, binding};
use hanse_protocol::charter::chain::Offered;
use hanse_protocol::charter::join::{Invite, Request};
use hanse_protocol::charter::proposal::Proposal;
use hanse_protocol::charter::{CharterChain, CharterHash, SignedCharter, Unread};
use hanse_protocol::forwarded::Forwarded;
use hanse_protocol::identity::keys::SealingKey;
use hanse_protocol::presence::{Head, Presence};
use hanse_protocol::record::{BodyHash, Header, Kind};
use hanse_protocol::seal::Body;
use hanse_protocol::timestamp::Timestamp;

use crate::vectors::{Vector, folder, load_all, unhex};

/// A minute after the good vectors' messages were made.
const NOW: Timestamp = Timestamp::from_millis(1_767_225_720_000);

/// What the good vectors hold.
struct Known {
    chain: CharterChain,
    headers: BTreeSet<Vec<u8>>,
    charters: BTreeSet<CharterHash>,
    said: BTreeSet<Vec<u8>>,
    forwarded: BTreeSet<Vec<u8>>,
    request: Request,
    packed: BTreeSet<String>,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let vectors = load_all(&folder());
    // Bad ones too: they hold honest messages besides, at the wrong time or place.
    let bytes = |kind: &str| -> BTreeSet<Vec<u8>> {
        let of_kind = vectors.iter().filter(|vector| vector.kind == kind);
        of_kind
            .filter_map(|vector| vector.given["bytes"].as_str().map(unhex))
            .collect()
    };
    let one = |name: &str| -> &Vector {
        let found = vectors.iter().find(|vector| vector.good && vector.name == name);
        found.expect("a good vector")
    };
    let list = |vector: &Vector| -> Vec<Vec<u8>> {
        let charters = vector.given["charters"].as_array().expect("charters").iter();
        charters
            .map(|charter| unhex(charter.as_str().expect("a text")))
            .collect()
    };
    let first = list(one("charter-first")).remove(0);
    let all_charters = vectors
        .iter()
        .filter(|vector| vector.kind == "charter")
        .flat_map(&list);
    let charters = all_charters.filter_map(|charter| Some(SignedCharter::decode(&charter).ok()?.hash()));
    let text = one("request-to-join").given["text"].as_str().expect("a text");
    let opened = vectors
        .iter()
        .filter(|vector| vector.good && vector.kind == "sealed-body");
    Known {
        chain: CharterChain::found(SignedCharter::decode(&first).expect("a charter")).expect("a chain"),
        headers: bytes("admission").into_iter().chain(bytes("header")).collect(),
        charters: charters.collect(),
        said: bytes("presence").into_iter().chain(bytes("head")).collect(),
        forwarded: bytes("forwarded"),
        request: Request::read(text).expect("a request"),
        packed: opened.map(|vector| vector.expect["zstd"].to_string()).collect(),
    }
});

pub(super) fn header(data: &[u8]) {
    let chain = &KNOWN.chain;
    let Ok(signed) = Signed::decode(data, chain.community()) else {
        return;
    };
    let id = *signed.id();
    let again = signed.claims().id(chain.community(), &signing_key());
    for by in [By::Gossip, By::Healing] {
        if let Ok(admitted) = signed.clone().admit(chain, Arrival { now: NOW, by }) {
            assert_eq!((*admitted.id(), admitted.bytes()), (id, data));
            assert_eq!(again, id, "one id");
            assert!(KNOWN.headers.contains(data), "a forged header");
        }
    }
}

pub(super) fn forwarded(data: &[u8]) {
    let Ok(forwarded) = Forwarded::decode(data) else {
        return;
    };
    assert_eq!(forwarded.encode(), data, "its one spelling");
    let outer = Header {
        kind: Kind::Forwarded,
        ..any_header()
    };
    if let Ok((from, _)) = forwarded.check(KNOWN.chain.community(), &outer) {
        assert!(
            KNOWN.forwarded.contains(data),
            "a forged record of another community"
        );
        assert_eq!(from.key, forwarded.key);
    }
}

/// The water company's key.
fn signing_key() -> hanse_protocol::identity::keys::VerifyingKey {
    hanse_protocol::identity::keys::SigningKey::from_seed(&[11; 32]).verifying_key()
}

/// A header of the water company, as good as any.
fn any_header() -> Header {
    Header {
        author: "acme-water".parse().expect("a handle"),
        lane: 0,
        charter: KNOWN.chain.newest().reference(),
        epoch: 0,
        seq: 1,
        prev: None,
        created: Timestamp::from_millis(1_767_225_660_000),
        expires: Timestamp::from_millis(1_767_225_600_000 + 30 * 86_400_000),
        kind: Kind::Objects,
        replaces: None,
        body_length: 0,
        body_hash: BodyHash([0; 32]),
    }
}

pub(super) fn sealed_body(data: &[u8]) {
    let Ok(Body::Sealed(sealed)) = Body::decode(data) else {
        return;
    };
    let chain = &KNOWN.chain;
    let header = any_header();
    let author = [SealingKey::from_bytes(&[13; 32]).public()];
    for secret in [3, 13, 23, 33] {
        let reader = [SealingKey::from_bytes(&[secret; 32])];
        if let Ok(Some(packed)) = sealed.open(&reader, &author, &binding(chain.community(), &header)) {
            let zstd = serde_json::json!(crate::vectors::hex(&packed.bytes)).to_string();
            assert!(KNOWN.packed.contains(&zstd), "a forged body");
        }
    }
}

pub(super) fn charter(data: &[u8]) {
    if let Ok(unread) = Unread::peek(data)
        && KNOWN.chain.foresee(&unread) == Ok(false)
    {
        // Only what a threshold signed has its keys checked.
        let read = unread.read().map(|charter| charter.hash());
        assert!(
            read.is_ok_and(|hash| KNOWN.charters.contains(&hash)),
            "a forged charter is read"
        );
    }
    let Ok(charter) = SignedCharter::decode(data) else {
        return;
    };
    assert_eq!(charter.encode(), data, "its one spelling");
    let hash = charter.hash();
    if let Ok(founded) = CharterChain::found(charter.clone()) {
        // Anybody may found a community; it is another one.
        assert!(KNOWN.charters.contains(&hash) || founded.community() != KNOWN.chain.community());
    }
    let mut chain = KNOWN.chain.clone();
    if let Ok(Offered::Adopted | Offered::Sibling) = chain.offer(charter) {
        assert!(KNOWN.charters.contains(&hash), "a forged charter");
    }
}

pub(super) fn presence(data: &[u8]) {
    if Presence::read(data, &KNOWN.chain, NOW).is_ok() {
        assert!(KNOWN.said.contains(data), "a forged presence");
    }
}

pub(super) fn head(data: &[u8]) {
    if Head::read(data, &KNOWN.chain, NOW).is_ok() {
        assert!(KNOWN.said.contains(data), "a forged head");
    }
}

pub(super) fn request(data: &[u8]) {
    if let Ok(request) = Request::read(&String::from_utf8_lossy(data)) {
        assert_eq!(request, KNOWN.request, "a forged request");
    }
}

pub(super) fn invite(data: &[u8]) {
    if let Ok((invite, chain)) = Invite::read(&String::from_utf8_lossy(data)) {
        assert_eq!(invite.community, *chain.community(), "the community it names");
        assert!(
            KNOWN.charters.contains(&chain.newest().hash()),
            "a forged charter"
        );
    }
}

pub(super) fn proposal(data: &[u8]) {
    if let Ok(proposal) = Proposal::read(&String::from_utf8_lossy(data)) {
        assert_eq!(
            Proposal::read(&proposal.write()).as_ref(),
            Ok(&proposal),
            "what is written is read"
        );
    }
}
