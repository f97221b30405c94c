//! What was read, as the JSON that vectors expect.

use hanse_protocol::charter::call::{CharterAnswer, CharterQuestion};
use hanse_protocol::charter::join::Request;
use hanse_protocol::charter::member::{Closing, Profile};
use hanse_protocol::charter::{Charter, CharterRef, Member};
use hanse_protocol::compress::Packed;
use hanse_protocol::frame::{Carried, Frame};
use hanse_protocol::heal::{Answer, KeyChoice, Question};
use hanse_protocol::identity::RecordId;
use hanse_protocol::presence::{Head, Presence};
use hanse_protocol::reconcile::{Digest, Part, Place, Span, Told};
use hanse_protocol::record::Header;
use serde_json::{Value, json};

use super::hex;

/// A charter as records and peers name it.
pub fn reference(charter: &CharterRef) -> Value {
    json!({"version": charter.version, "hash": hex(&charter.hash)})
}

/// A header with its id.
pub fn header(header: &Header, id: &RecordId) -> Value {
    json!({
        "id": id,
        "author": header.author,
        "lane": header.lane,
        "charter": reference(&header.charter),
        "epoch": header.epoch,
        "seq": header.seq,
        "prev": header.prev,
        "created": header.created.as_millis(),
        "expires": header.expires.as_millis(),
        "kind": header.kind.code(),
        "replaces": header.replaces,
        "body_length": header.body_length,
        "body_hash": hex(&header.body_hash.0),
    })
}

/// A body's content before decompression.
pub fn packed(packed: &Packed) -> Value {
    json!({"dictionary": packed.dictionary, "raw_length": packed.raw_len, "zstd": hex(&packed.bytes)})
}

/// What a charter says.
pub fn charter(charter: &Charter) -> Value {
    let members: Vec<Value> = charter.members.iter().map(member).collect();
    let recovery: Vec<String> = charter.recovery.iter().map(|key| hex(key.as_bytes())).collect();
    let parents: Vec<String> = charter.parents.iter().map(|parent| hex(&parent.0)).collect();
    json!({
        "name": charter.name,
        "version": charter.version,
        "parents": parents,
        "issued": charter.issued.as_millis(),
        "expires": charter.expires.as_millis(),
        "stewards": charter.stewards,
        "threshold": charter.threshold,
        "recovery": recovery,
        "members": members,
        "unmarked": charter.unmarked,
        "budget": [charter.budget.bytes, u64::from(charter.budget.records)],
        "horizon": charter.horizon,
    })
}

fn member(member: &Member) -> Value {
    let signing = member.signing.iter();
    let signing: Vec<Value> = signing
        .map(|key| json!({"key": hex(key.key.as_bytes()), "closed": closing(key.closed.as_ref())}))
        .collect();
    let sealing = member.sealing.iter();
    let sealing: Vec<Value> = sealing
        .map(|key| json!({"suite": key.key.suite(), "key": hex(key.key.as_bytes()), "closed": key.closed}))
        .collect();
    let lanes = member.lanes.iter();
    let lanes: Vec<Value> = lanes
        .map(|lane| {
            json!({"number": lane.number, "node": lane.node, "addresses": lane.addresses,
                "closed": closing(lane.closed.as_ref())})
        })
        .collect();
    json!({
        "profile": profile(&member.profile),
        "admitted": member.admitted.as_millis(),
        "signing": signing,
        "sealing": sealing,
        "lanes": lanes,
        "ended": closing(member.ended.as_ref()),
    })
}

fn closing(closing: Option<&Closing>) -> Value {
    closing.map_or(Value::Null, |closing| {
        let runs = closing.iter();
        runs.map(|run| {
            json!({"lane": run.lane, "epoch": run.epoch, "first": run.first, "last": run.last, "id": run.id})
        })
        .collect()
    })
}

fn profile(profile: &Profile) -> Value {
    json!({"handle": profile.handle, "name": profile.name, "kind": profile.kind,
        "sector": profile.sector, "country": profile.country})
}

/// A node's presence.
pub fn presence(presence: &Presence) -> Value {
    json!({
        "node": presence.node,
        "addresses": presence.addresses,
        "agent": presence.agent,
        "charter": reference(&presence.charter),
        "audit_count": presence.audit_count,
        "audit_hash": hex(&presence.audit_hash),
        "at": presence.at.as_millis(),
        "expires": presence.expires.as_millis(),
    })
}

/// A steward's head.
pub fn head(head: &Head) -> Value {
    json!({"steward": head.steward, "version": head.version, "hash": hex(&head.hash.0),
        "at": head.at.as_millis(), "expires": head.expires.as_millis()})
}

/// A request with its fingerprint.
pub fn request(request: &Request) -> Value {
    json!({
        "profile": profile(&request.profile),
        "signing": hex(request.signing.as_bytes()),
        "sealing": hex(request.sealing.as_bytes()),
        "node": request.node,
        "addresses": request.addresses,
        "at": request.at.as_millis(),
        "fingerprint": request.fingerprint().to_string(),
    })
}

fn carried(carried: &Carried) -> Value {
    json!({"header": hex(&carried.header), "body": carried.body.as_deref().map(hex)})
}

/// A gossip frame.
pub fn frame(frame: &Frame) -> Value {
    match frame {
        Frame::Records(records) => json!({"records": records.iter().map(carried).collect::<Vec<_>>()}),
        Frame::Charter(bytes) => json!({"charter": hex(bytes)}),
        Frame::Presence(bytes) => json!({"presence": hex(bytes)}),
        Frame::Head(bytes) => json!({"head": hex(bytes)}),
    }
}

fn charters(charters: &[Vec<u8>]) -> Vec<String> {
    charters.iter().map(|charter| hex(charter)).collect()
}

/// A question of the charter protocol.
pub fn charter_question(question: &CharterQuestion) -> Value {
    match question {
        CharterQuestion::Head(head) => json!({"head": reference(head)}),
        CharterQuestion::Offer(offered) => json!({"offer": charters(offered)}),
    }
}

/// An answer of the charter protocol.
pub fn charter_answer(answer: &CharterAnswer) -> Value {
    match answer {
        CharterAnswer::Same => json!("same"),
        CharterAnswer::Newer(newer) => json!({"newer": charters(newer)}),
        CharterAnswer::Older(head) => json!({"older": reference(head)}),
        CharterAnswer::Unlisted => json!("unlisted"),
        CharterAnswer::Adopted => json!("adopted"),
        CharterAnswer::NotAdopted => json!("not-adopted"),
    }
}

fn place(place: &Place) -> Value {
    json!({"created": place.created.as_millis(), "id": place.id})
}

fn span(span: &Span) -> Value {
    json!({"from": place(&span.from), "to": place(&span.to)})
}

fn digest(digest: &Digest) -> Value {
    // It is a byte string of sixteen bytes and nothing else.
    json!(hex(minicbor::to_vec(digest)
        .unwrap_or_default()
        .get(1..)
        .unwrap_or_default()))
}

fn told(told: &Told) -> Value {
    match told {
        Told::Same => json!("same"),
        Told::Places(places) => json!({"places": places.iter().map(place).collect::<Vec<_>>()}),
        Told::Parts(parts) => {
            let part = |part: &Part| json!({"to": place(&part.to), "count": part.count, "digest": digest(&part.digest)});
            json!({"parts": parts.iter().map(part).collect::<Vec<_>>()})
        }
    }
}

/// A question of the healing protocol.
pub fn heal_question(question: &Question) -> Value {
    match question {
        Question::Compare(charter, key, asked) => {
            let asked: Vec<Value> = asked
                .iter()
                .map(|asked| json!({"span": span(&asked.span), "digest": digest(&asked.digest)}))
                .collect();
            let key = match key {
                KeyChoice::Community => json!("community"),
                KeyChoice::Pass(nonce) => json!({"nonce": hex(nonce)}),
            };
            json!({"compare": {"charter": reference(charter), "key": key, "asked": asked}})
        }
        Question::Records(charter, ids) => json!({"records": {"charter": reference(charter), "ids": ids}}),
        Question::Body(id) => json!({"body": id}),
        Question::Span(charter, asked) => {
            json!({"span": {"charter": reference(charter), "span": span(asked)}})
        }
        Question::Nonce(nonce) => json!({"nonce": hex(nonce)}),
    }
}

/// An answer of the healing protocol.
pub fn heal_answer(answer: &Answer) -> Value {
    match answer {
        Answer::Compared(spans) => json!({"compared": spans.iter().map(told).collect::<Vec<_>>()}),
        Answer::Records(records) => json!({"records": records.iter().map(carried).collect::<Vec<_>>()}),
        Answer::End(rest) => json!({"end": rest.as_ref().map(place)}),
        Answer::Body(body) => json!({"body": hex(body)}),
        Answer::Gone => json!("gone"),
        Answer::NotHeld => json!("not-held"),
        Answer::OtherCharter(charter) => json!({"other-charter": reference(charter)}),
        Answer::Nonce(nonce) => json!({"nonce": hex(nonce)}),
        Answer::Later => json!("later"),
    }
}

/// What a receipt says of one record.
pub(super) fn receipt(told: &hanse_protocol::receipt::Told) -> Value {
    json!({"record": told.record, "outcome": told.outcome.code(), "at": told.at.as_millis()})
}
