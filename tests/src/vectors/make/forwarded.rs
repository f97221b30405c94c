//! Records of another community that a member of both passed on: the content, and whole records of it.

use hanse_protocol::charter::{Charter, CharterChain};
use hanse_protocol::compress::Packed;
use hanse_protocol::forwarded::Forwarded;
use hanse_protocol::identity::keys::SigningKey;
use hanse_protocol::record::{Header, Kind};
use hanse_protocol::seal::Body;
use hanse_protocol::tlp::Tlp;
use serde_json::{Value, json};

use super::bodies::{ADDRESS, sealed_to};
use super::headers::header;
use super::raw::{and, byte_string, flipped, packed, stored};
use super::{Cast, DAY, FOUNDED, MINUTE, at, bad, good, signed};
use crate::vectors::{Vector, hex};

/// Forwarded content and records.
pub(super) fn vectors() -> Vec<Vector> {
    let scene = Scene::new();
    contents(&scene).into_iter().chain(records(&scene)).collect()
}

/// The hospital signs in the southern league; the water company, a member of both, passes it on.
struct Scene {
    cast: Cast,
    south: CharterChain,
    north: CharterChain,
}

impl Scene {
    fn new() -> Self {
        let cast = Cast::new();
        let north = cast.community();
        let south = Charter {
            name: "Southern League".to_owned(),
            ..cast.first()
        };
        let south = CharterChain::found(signed(south, &[&cast.city])).expect("a community");
        Self { cast, south, north }
    }

    /// What the hospital signed, as it is passed on.
    fn of(&self, body: &[u8], change: impl FnOnce(&mut Header)) -> Forwarded {
        let mary = &self.cast.mary;
        let mut said = header(mary, self.south.newest(), body);
        change(&mut said);
        Forwarded {
            origin: *self.south.community(),
            key: mary.signing.verifying_key(),
            header: said.sign(self.south.community(), &mary.signing),
            body: body.to_vec(),
        }
    }

    /// The record that it travels in, as one would be given it that the port city reads.
    fn given(&self, content: &[u8]) -> (Value, hanse_protocol::identity::RecordId) {
        let body = Body::Open(Packed {
            dictionary: 0,
            raw_len: u32::try_from(content.len()).expect("short"),
            bytes: stored(content),
        })
        .encode();
        let key: &SigningKey = &self.cast.water.signing;
        let mut head = header(&self.cast.water, self.north.newest(), &body);
        head.kind = Kind::Forwarded;
        let bytes = head.sign(self.north.community(), key);
        let id = head.id(self.north.community(), &key.verifying_key());
        let chain: Vec<String> = self.north.encode().iter().map(|charter| hex(charter)).collect();
        let given = json!({"header": hex(&bytes), "body": hex(&body), "charters": chain,
            "now": FOUNDED + 2 * MINUTE, "by": "healing", "reader": [self.cast.city.secret()]});
        (given, id)
    }
}

fn contents(scene: &Scene) -> Vec<Vector> {
    let whole = scene.of(&Body::Open(packed(Tlp::Green, &[ADDRESS])).encode(), |_| ());
    let bytes = whole.encode();
    let given = |bytes: &[u8]| json!({"bytes": hex(bytes)});
    let parts = [
        byte_string(whole.origin.as_bytes()),
        byte_string(whole.key.as_bytes()),
        byte_string(&whole.header),
        byte_string(&whole.body),
    ];
    let of = |parts: &[&[u8]]| {
        let head = vec![0x80 | u8::try_from(parts.len()).expect("few")];
        parts.iter().fold(head, |bytes, part| and(&bytes, part))
    };
    let [origin, key, header, body] = &parts;
    assert_eq!(of(&[origin, key, header, body]), bytes, "two ways to one content");
    let weak = byte_string(&[0; 32]);
    let refused =
        |what, about, bytes: &[u8]| bad("forwarded", what, about, given(bytes), "forwarded-malformed");
    vec![
        good(
            "forwarded",
            "content",
            "Community, key, header and body.",
            given(&bytes),
            json!({"origin": whole.origin, "key": hex(whole.key.as_bytes()), "header": hex(&whole.header),
                "body": hex(&whole.body)}),
        ),
        refused("without-body", "Three parts.", &of(&[origin, key, header])),
        refused(
            "five-parts",
            "A part more.",
            &of(&[origin, key, header, body, body]),
        ),
        refused(
            "weak-key",
            "A key of small order.",
            &of(&[origin, &weak, header, body]),
        ),
        refused(
            "short-origin",
            "A community id of one byte.",
            &of(&[&[0x41, 1], key, header, body]),
        ),
        refused("bytes-after", "A byte follows.", &and(&bytes, &[0])),
        refused(
            "cut-short",
            "The last byte is missing.",
            &bytes[..bytes.len() - 1],
        ),
        refused(
            "long-length",
            "A length in more bytes than it needs.",
            &of(&[&and(&[0x59, 0, 32], whole.origin.as_bytes()), key, header, body]),
        ),
    ]
}

fn records(scene: &Scene) -> Vec<Vector> {
    let open = |tlp| Body::Open(packed(tlp, &[ADDRESS])).encode();
    let body = open(Tlp::Green);
    let whole = scene.of(&body, |_| ());
    let (given, id) = scene.given(&whole.encode());
    let said = header(&scene.cast.mary, scene.south.newest(), &body);
    let there = said.id(scene.south.community(), &whole.key);
    let mut all = vec![good(
        "record",
        "forwarded",
        "A record of another community, passed on by a member of both.",
        given,
        json!({"id": id, "sealed": false, "unmarked": Tlp::Green, "floor": Tlp::Clear,
            "objects": [{"text": ADDRESS, "tlp": Tlp::Green}],
            "forwarded": {"community": scene.south.community(), "author": scene.cast.mary.handle,
                "record": there, "key": hex(whole.key.as_bytes())}}),
    )];
    let water = &scene.cast.water;
    let head = header(water, scene.north.newest(), b"");
    let sealed = sealed_to(
        "forwarded",
        &packed(Tlp::Green, &[ADDRESS]),
        &[scene.cast.city.sealing.public()],
        water,
        &scene.north,
        &head,
    );
    let with = |change: &dyn Fn(&mut Forwarded)| {
        let mut changed = whole.clone();
        change(&mut changed);
        changed
    };
    let refused: Vec<(&str, &str, Forwarded, &str)> = vec![
        (
            "forwarded-signature",
            "The author's signature is changed.",
            with(&|of| of.header = flipped(&of.header, of.header.len() - 1)),
            "forwarded-signature",
        ),
        (
            "forwarded-other-key",
            "Another key than the one that signed.",
            with(&|of| of.key = water.signing.verifying_key()),
            "forwarded-signature",
        ),
        (
            "forwarded-other-community",
            "Signed in another community than it says.",
            with(&|of| of.origin = hanse_protocol::identity::CommunityId([7; 32])),
            "forwarded-signature",
        ),
        (
            "forwarded-into-its-own",
            "A record of this very community.",
            with(&|of| of.origin = *scene.north.community()),
            "forwarded-same-community",
        ),
        (
            "forwarded-no-header",
            "A header that is none.",
            with(&|of| of.header = b"garbage".to_vec()),
            "forwarded-header",
        ),
        (
            "forwarded-twice",
            "What was passed on before.",
            scene.of(&body, |said| said.kind = Kind::Forwarded),
            "forwarded-kind",
        ),
        (
            "forwarded-retraction",
            "A retraction of the other community.",
            scene.of(&body, |said| said.kind = Kind::Retraction),
            "forwarded-kind",
        ),
        (
            "forwarded-outlives",
            "Its author's record expires before the one that it travels in.",
            scene.of(&body, |said| said.expires = at(FOUNDED + DAY)),
            "forwarded-expiry",
        ),
        (
            "forwarded-other-body",
            "Another body than the author signed.",
            with(&|of| of.body = open(Tlp::Clear)),
            "forwarded-body-hash",
        ),
        (
            "forwarded-sealed",
            "A body that was sealed.",
            scene.of(&sealed, |_| ()),
            "forwarded-body",
        ),
        (
            "forwarded-amber",
            "An object above GREEN.",
            scene.of(&open(Tlp::Amber), |_| ()),
            "open-beyond-floor",
        ),
    ];
    all.extend(refused.into_iter().map(|(what, about, forwarded, reason)| {
        bad("record", what, about, scene.given(&forwarded.encode()).0, reason)
    }));
    all
}
