//! What members compare: sums of places under a key, and what is told of spans.

use hanse_protocol::heal;
use hanse_protocol::identity::RecordId;
use hanse_protocol::reconcile::{Held, Kept, Key, Part, Place, Places, Span, Sum, Told};
use serde_json::{Value, json};

use super::raw::and;
use super::{FOUNDED, at, bad, good};
use crate::vectors::read::outcome;
use crate::vectors::{Vector, hex};

pub(super) fn vectors() -> Vec<Vector> {
    let mut all = sums();
    all.extend(told());
    all
}

/// The records of a quiet hour.
fn places(count: u64) -> Vec<Place> {
    let place = |number: u64| Place {
        created: at(FOUNDED + number / 2),
        id: RecordId(*blake3::hash(&number.to_be_bytes()).as_bytes()),
    };
    let mut places: Vec<Place> = (0..count).map(place).collect();
    places.sort_unstable();
    places
}

fn listed(places: &[Place]) -> Value {
    let place = |place: &Place| json!([place.created.as_millis(), place.id]);
    places.iter().map(place).collect()
}

fn sums() -> Vec<Vector> {
    let community = json!({"community": hex(&[7; 32])});
    let pass = json!({"asker": hex(&[1; 32]), "answerer": hex(&[2; 32])});
    let cases = [
        ("of-nothing", "The sum of no places.", &community, 0),
        ("of-one", "One place under the community's key.", &community, 1),
        ("of-five", "Five places: the sum passes 2^256.", &community, 5),
        (
            "of-five-under-a-pass-key",
            "The same under the key of a pass.",
            &pass,
            5,
        ),
    ];
    let vector = |(what, about, key, count): (&str, &str, &Value, u64)| {
        let given = json!({"key": key, "places": listed(&places(count))});
        let expect = outcome("sum", &given);
        good("sum", what, about, given, expect)
    };
    cases.into_iter().map(vector).collect()
}

struct Shelf(Vec<Place>);

impl Places for Shelf {
    type Error = std::convert::Infallible;

    fn places(&self, span: &Span, limit: usize) -> Result<Vec<Place>, Self::Error> {
        let within = self.0.iter().filter(|place| span.contains(place));
        Ok(within.take(limit).copied().collect())
    }
}

/// What a node that holds so many places tells of all of them.
fn parts(count: u64) -> Vec<Part> {
    let key = Key::of_pass(&[1; 32], &[2; 32]);
    let held = Kept::new(
        hanse_protocol::reconcile::Blocks::new(key.clone()),
        Shelf(places(count)),
    );
    let fresh = Key::of_pass(&[3; 32], &[4; 32]);
    let Ok(mut tos) = held.cuts(&Span::ALL, 3);
    tos.push(Place::END);
    let Ok(sums) = held.sums(&fresh, Place::FIRST, &tos);
    let part = |(to, sum): (Place, Sum)| Part {
        to,
        count: sum.count(),
        digest: sum.digest(&fresh),
    };
    tos.into_iter().zip(sums).map(part).collect()
}

fn told() -> Vec<Vector> {
    let bytes = |bytes: &[u8]| json!({"bytes": hex(bytes)});
    let of = |what: &str, about: &str, told: Vec<Told>| {
        let given = bytes(&heal::encode(&told));
        let expect = outcome("told", &given);
        good("told", what, about, given, expect)
    };
    let refused = |what, about, given: &[u8]| bad("told", what, about, bytes(given), "malformed");
    let same = heal::encode(&vec![Told::Same]);
    vec![
        of(
            "same",
            "It holds the same in two spans.",
            vec![Told::Same, Told::Same],
        ),
        of("places", "It lists three.", vec![Told::Places(places(3))]),
        of(
            "parts",
            "It cuts a span where two made at one instant are told apart by the first byte of the id, \
             and where the instant suffices.",
            vec![Told::Parts(parts(9))],
        ),
        refused("trailing-byte", "One byte follows.", &and(&same, &[0])),
        refused("later-kind", "Kind 3.", &[0x81, 0x82, 3, 0x80]),
        refused(
            "zero-at-the-end",
            "The id of a place that divides ends in zero.",
            &and(
                &[0x81, 0x82, 2, 0x81, 0x81, 0x83, 0x82, 1, 0x42, 1, 0, 9, 0x50],
                &[5; 16],
            ),
        ),
        refused(
            "long-id",
            "The id of a place that divides has 33 bytes.",
            &and(
                &and(&[0x81, 0x82, 2, 0x81, 0x81, 0x83, 0x82, 1, 0x58, 33], &[1; 33]),
                &and(&[9, 0x50], &[5; 16]),
            ),
        ),
        refused(
            "promised-places",
            "2^32 places promised, none sent.",
            &[0x81, 0x82, 1, 0x81, 0x9b, 0, 0, 0, 1, 0, 0, 0, 0],
        ),
    ]
}
