//! What `hanse-protocol` makes of what a vector gives.

use hanse_protocol::admission::{Admitted, Arrival, By, Reader, Reading, Signed};
use hanse_protocol::charter::chain::Offered;
use hanse_protocol::charter::join::{Invite, JoinError, Request, invite_fingerprint};
use hanse_protocol::charter::proposal::Proposal;
use hanse_protocol::charter::{CharterChain, CharterError, SignedCharter, call};
use hanse_protocol::compress::{CompressError, Packed};
use hanse_protocol::content::Content;
use hanse_protocol::forwarded::Forwarded;
use hanse_protocol::frame::Frame;
use hanse_protocol::heal;
use hanse_protocol::identity::CommunityId;
use hanse_protocol::identity::keys::{SealingKey, SealingPublic, VerifyingKey};
use hanse_protocol::observable::{Observable, ObservableKind};
use hanse_protocol::pattern::Pattern;
use hanse_protocol::presence::{Head, Presence};
use hanse_protocol::reconcile::{Key, Part, Place, Sum, Told};
use hanse_protocol::record::{Kind, cose};
use hanse_protocol::refusal::Refusal;
use hanse_protocol::seal::{Binding, Body};
use hanse_protocol::stix::Object;
use hanse_protocol::timestamp::Timestamp;
use serde_json::{Value, json};

use super::{describe, hex, unhex};

/// What is read of `given`, or `{"refused": …}`.
///
/// # Panics
/// If the vector does not give what its kind needs.
pub fn outcome(kind: &str, given: &Value) -> Value {
    let given = Given(given);
    let read = match kind {
        "header" => header(given),
        "admission" => admission(given),
        "body" => body(given),
        "sealed-body" => sealed_body(given),
        "record" => record(given),
        "content" => content(given),
        "frame" => Frame::decode(&given.bytes("bytes"))
            .map(|frame| describe::frame(&frame))
            .map_err(named),
        "charter" => charter(given),
        "presence" => Presence::read(&given.bytes("bytes"), &given.charters(), given.at("now"))
            .map(|presence| describe::presence(&presence))
            .map_err(named),
        "head" => Head::read(&given.bytes("bytes"), &given.charters(), given.at("now"))
            .map(|head| describe::head(&head))
            .map_err(named),
        "request" => Request::read(given.text("text"))
            .map(|request| describe::request(&request))
            .map_err(join),
        "invite" => invite(given),
        "proposal" => proposal(given),
        "charter-question" => call::decode(&given.bytes("bytes"))
            .map(|question| describe::charter_question(&question))
            .map_err(|_| refused("malformed")),
        "charter-answer" => call::decode(&given.bytes("bytes"))
            .map(|answer| describe::charter_answer(&answer))
            .map_err(|_| refused("malformed")),
        "heal-question" => heal::decode(&given.bytes("bytes"))
            .map(|question| describe::heal_question(&question))
            .map_err(|_| refused("malformed")),
        "heal-answer" => heal::decode(&given.bytes("bytes"))
            .map(|answer| describe::heal_answer(&answer))
            .map_err(|_| refused("malformed")),
        "sum" => sum(given),
        "told" => heal::decode::<Vec<Told>>(&given.bytes("bytes"))
            .map(|told| told.iter().map(told_of).collect())
            .map_err(|_| refused("malformed")),
        "retraction" => hanse_protocol::retraction::decode(&given.bytes("bytes"))
            .map(|ids| json!({"records": ids}))
            .map_err(|_| refused("malformed")),
        "receipt" => hanse_protocol::receipt::decode(&given.bytes("bytes"))
            .map(|told| json!({"told": told.iter().map(describe::receipt).collect::<Vec<_>>()}))
            .map_err(|_| refused("malformed")),
        "forwarded" => Forwarded::decode(&given.bytes("bytes"))
            .map(|of| {
                json!({"origin": of.origin, "key": hex(of.key.as_bytes()), "header": hex(&of.header),
                    "body": hex(&of.body)})
            })
            .map_err(|flaw| refused(flaw.name())),
        "signing-key" => VerifyingKey::from_bytes(&given.array("key"))
            .map(|key| json!({"id": key.id()}))
            .map_err(named),
        "sealing-key" => SealingPublic::from_bytes(&given.array("key"))
            .map(|key| json!({"key": hex(key.as_bytes())}))
            .map_err(named),
        "observable" => observable(given),
        "object" => object(given),
        "pattern" => Pattern::parse(given.text("text"))
            .map(|pattern| json!({"comparisons": pattern.comparisons().count()}))
            .map_err(|e| json!({"refused": name_of(e.kind), "offset": e.offset})),
        other => panic!("no reader for `{other}`"),
    };
    read.unwrap_or_else(|refusal| refusal)
}

type Read = Result<Value, Value>;

fn refused(name: &str) -> Value {
    json!({"refused": name})
}

/// A refusal under the name of its variant.
fn named(error: impl std::fmt::Debug) -> Value {
    refused(&name_of(error))
}

/// `NotDeterministic { .. }` is `not-deterministic`.
fn name_of(error: impl std::fmt::Debug) -> String {
    let shown = format!("{error:?}");
    let mut name = String::new();
    for letter in shown.chars().take_while(char::is_ascii_alphanumeric) {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

fn refusal(refusal: Refusal) -> Value {
    match refusal {
        Refusal::Object { .. } | Refusal::OpenBeyondFloor(_) => {
            json!({"refused": refusal.name(), "detail": refusal.to_string()})
        }
        other => refused(other.name()),
    }
}

fn charter_error(error: CharterError) -> Value {
    match error {
        CharterError::Form(rule) | CharterError::History(rule) => {
            json!({"refused": name_of(&error), "detail": rule})
        }
        CharterError::Signatures { valid, needed } => {
            json!({"refused": "signatures", "valid": valid, "needed": needed})
        }
        other => named(other),
    }
}

fn join(error: JoinError) -> Value {
    match error {
        JoinError::Charter(error) => charter_error(error),
        other => named(other),
    }
}

/// What a vector gives, by name.
#[derive(Clone, Copy)]
struct Given<'a>(&'a Value);

impl<'a> Given<'a> {
    fn text(self, key: &str) -> &'a str {
        let text = self.0[key].as_str();
        text.unwrap_or_else(|| panic!("no `{key}` is given"))
    }

    fn bytes(self, key: &str) -> Vec<u8> {
        unhex(self.text(key))
    }

    fn array<const N: usize>(self, key: &str) -> [u8; N] {
        self.bytes(key).try_into().expect("of its length")
    }

    fn number(self, key: &str) -> Option<u64> {
        self.0[key].as_u64()
    }

    fn at(self, key: &str) -> Timestamp {
        Timestamp::from_millis(self.number(key).expect("milliseconds"))
    }

    fn list(self, key: &str) -> Vec<Vec<u8>> {
        let list = self.0[key].as_array().expect("a list");
        list.iter()
            .map(|item| unhex(item.as_str().expect("a text")))
            .collect()
    }

    fn community(self) -> CommunityId {
        CommunityId(self.array("community"))
    }

    fn charters(self) -> CharterChain {
        chain(&self.list("charters")).expect("a chain that holds").0
    }

    fn arrival(self) -> Arrival {
        let by = match self.text("by") {
            "gossip" => By::Gossip,
            "healing" => By::Healing,
            other => panic!("`{other}` is no way to come"),
        };
        let now = self.at("now");
        Arrival { now, by }
    }

    fn secrets(self) -> Vec<SealingKey> {
        let secrets = self.list("reader").into_iter();
        secrets
            .map(|secret| SealingKey::from_bytes(&secret.try_into().expect("32 bytes")))
            .collect()
    }
}

fn header(given: Given<'_>) -> Read {
    let bytes = given.bytes("bytes");
    let signed = Signed::decode(&bytes, &given.community()).map_err(refusal)?;
    let mut read = describe::header(signed.claims(), signed.id());
    let parts = cose::parse(&bytes).expect("it was read");
    read["key"] = json!(parts.key);
    Ok(read)
}

fn admitted(given: Given<'_>, bytes: &[u8]) -> Result<Admitted, Value> {
    let charters = given.charters();
    Signed::decode(bytes, charters.community())
        .and_then(|signed| signed.admit(&charters, given.arrival()))
        .map_err(refusal)
}

fn admission(given: Given<'_>) -> Read {
    let admitted = admitted(given, &given.bytes("bytes"))?;
    Ok(json!({"id": admitted.id()}))
}

fn unpacked(packed: &Packed) -> Read {
    let content = packed.unpack().map_err(|error| match error {
        CompressError::UnknownDictionary(_) => refusal(Refusal::UnknownDictionary),
        _ => refusal(Refusal::BodyMalformed),
    })?;
    let mut read = describe::packed(packed);
    read["content"] = json!(String::from_utf8_lossy(&content));
    Ok(read)
}

fn body(given: Given<'_>) -> Read {
    match Body::decode(&given.bytes("bytes")).map_err(refusal)? {
        Body::Open(packed) => unpacked(&packed),
        Body::Sealed(sealed) => Ok(json!({"stanzas": sealed.stanzas()})),
    }
}

fn sealed_body(given: Given<'_>) -> Read {
    let Body::Sealed(sealed) = Body::decode(&given.bytes("bytes")).map_err(refusal)? else {
        panic!("an open body")
    };
    let author = given.list("author_sealing").into_iter();
    let author: Vec<SealingPublic> = author
        .map(|key| SealingPublic::from_bytes(&key.try_into().expect("32 bytes")).expect("a key"))
        .collect();
    let replaces = given.0["replaces"].as_str().map(|id| id.parse().expect("an id"));
    let binding = Binding {
        community: &given.community(),
        author: &given.text("author").parse().expect("a handle"),
        kind: Kind::of_code(given.number("kind").expect("a code").try_into().expect("a code")),
        created: given.at("created"),
        expires: given.at("expires"),
        replaces: replaces.as_ref(),
    };
    let opened = sealed
        .open(&given.secrets(), &author, &binding)
        .map_err(refusal)?;
    opened.map_or_else(|| Ok(json!({"opaque": true})), |packed| unpacked(&packed))
}

fn record(given: Given<'_>) -> Read {
    let admitted = admitted(given, &given.bytes("header"))?;
    let id = *admitted.id();
    let whole = admitted
        .with_body(given.bytes("body"))
        .map_err(|wrong| refusal(wrong.refusal))?;
    let sealing = given.secrets();
    let reading = whole.open(&Reader { sealing }, &given.charters());
    let opened = match reading.map_err(|(_, reason)| refusal(reason))? {
        Reading::Opaque(_) => return Ok(json!({"id": id, "opaque": true})),
        Reading::Opened(opened) => opened,
    };
    let sound = opened.sound().map_err(refusal)?;
    let (unmarked, floor) = (sound.content.unmarked, sound.content.floor);
    let objects: Vec<Value> = sound
        .objects
        .iter()
        .map(|object| json!({"text": object.raw(), "tlp": object.tlp(unmarked, floor)}))
        .collect();
    let mut read = json!({"id": id, "sealed": opened.is_sealed(), "unmarked": unmarked, "floor": floor,
        "objects": objects});
    if let Some(from) = opened.provenance() {
        read["forwarded"] = json!({"community": from.community, "author": from.header.author,
            "record": from.record, "key": hex(from.key.as_bytes())});
    }
    Ok(read)
}

fn content(given: Given<'_>) -> Read {
    let bytes = given.bytes("bytes");
    let content = Content::read(&bytes).map_err(named)?;
    let mut read = json!({"unmarked": content.unmarked, "floor": content.floor, "objects": content.objects});
    if !content.redacted.is_empty() {
        read["redacted"] = json!(content.redacted);
    }
    Ok(read)
}

/// A chain, and what became of each charter.
fn chain(charters: &[Vec<u8>]) -> Result<(CharterChain, Vec<&'static str>), Value> {
    let refused_at = |at: usize| {
        move |error| {
            let mut refused = charter_error(error);
            refused["at"] = json!(at);
            refused
        }
    };
    let (first, later) = charters.split_first().expect("a chain");
    let first = SignedCharter::decode(first).and_then(CharterChain::found);
    let mut chain = first.map_err(refused_at(0))?;
    let mut became = vec!["founded"];
    for (at, charter) in later.iter().enumerate() {
        let offered = SignedCharter::decode(charter).and_then(|charter| chain.offer(charter));
        became.push(match offered.map_err(refused_at(at + 1))? {
            Offered::Adopted => "adopted",
            Offered::Known => "known",
            Offered::Sibling => "sibling",
        });
    }
    Ok((chain, became))
}

fn charter(given: Given<'_>) -> Read {
    let (chain, became) = chain(&given.list("charters"))?;
    Ok(json!({
        "community": chain.community(),
        "became": became,
        "hash": hex(&chain.newest().hash().0),
        "fork_open": chain.fork_open(),
        "charter": describe::charter(chain.charter()),
    }))
}

fn proposal(given: Given<'_>) -> Read {
    let proposal = Proposal::read(given.text("text")).map_err(join)?;
    Ok(json!({
        "community": proposal.community,
        "version": proposal.charter.charter().version,
        "hash": hex(&proposal.charter.hash().0),
        "fingerprint": proposal.fingerprint().to_string(),
    }))
}

fn invite(given: Given<'_>) -> Read {
    let (invite, chain) = Invite::read(given.text("text")).map_err(join)?;
    let newest = chain.newest().hash();
    Ok(json!({
        "community": invite.community,
        "version": chain.charter().version,
        "hash": hex(&newest.0),
        "fingerprint": invite_fingerprint(&invite.community, &newest).to_string(),
    }))
}

/// The sum of places under a key, as it is told and as it is kept.
fn sum(given: Given<'_>) -> Read {
    let of = Given(&given.0["key"]);
    let key = match of.0.get("community") {
        Some(_) => Key::of_community(&CommunityId(of.array("community"))),
        None => Key::of_pass(&of.array("asker"), &of.array("answerer")),
    };
    let places = given.0["places"].as_array().into_iter().flatten();
    let places = places.map(|place| Place {
        created: Timestamp::from_millis(place[0].as_u64().expect("an instant")),
        id: place[1].as_str().expect("an id").parse().expect("an id"),
    });
    let sum = places.fold(Sum::default(), |sum, place| sum.plus(Sum::of(&key, &place)));
    Ok(json!({
        "count": sum.count(),
        "sum": hex(&sum.to_bytes()[..32]),
        "digest": hex(sum.digest(&key).as_bytes()),
    }))
}

fn told_of(told: &Told) -> Value {
    let place = |place: &Place| json!([place.created.as_millis(), place.id]);
    let part = |part: &Part| json!({"to": place(&part.to), "count": part.count, "digest": hex(part.digest.as_bytes())});
    match told {
        Told::Same => json!("same"),
        Told::Places(places) => json!({"places": places.iter().map(place).collect::<Vec<_>>()}),
        Told::Parts(parts) => json!({"parts": parts.iter().map(part).collect::<Vec<_>>()}),
    }
}

fn observable(given: Given<'_>) -> Read {
    let text = given.text("text");
    let read = match given.0["of_kind"].as_str() {
        None => Observable::parse(text),
        Some(kind) => {
            let kind = ObservableKind::ALL.into_iter().find(|known| known.name() == kind);
            Observable::of_kind(kind.expect("a kind"), text)
        }
    };
    let read = read.map_err(named)?;
    Ok(json!({"kind": read.kind().name(), "value": read.as_str(), "key": hex(&read.to_key_bytes())}))
}

fn object(given: Given<'_>) -> Read {
    let tlp = |key: &str| given.text(key).parse().expect("a label");
    let object = Object::parse(given.text("text"))
        .map_err(|error| json!({"refused": name_of(&error), "detail": error.to_string()}))?;
    let observables: Vec<Value> = object
        .observables()
        .iter()
        .map(|found| json!({"kind": found.kind().name(), "value": found.as_str()}))
        .collect();
    Ok(json!({
        "type": object.kind(),
        "id": object.id(),
        "tlp": object.tlp(tlp("unmarked"), tlp("floor")),
        "observables": observables,
    }))
}
