//! How a place travels that only divides others: its id without the zeros at its end, so that a
//! short one costs few bytes.

use minicbor::data::Type;
use minicbor::decode::Error;
use minicbor::encode::{self, Write};
use minicbor::{Decoder, Encoder};

use super::Place;
use crate::identity::RecordId;
use crate::timestamp::Timestamp;

/// Bytes of the id up to its last that is not zero.
fn kept(place: &Place) -> &[u8] {
    let id = place.id.as_bytes();
    let end = id.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    id.get(..end).unwrap_or_default()
}

/// Its bytes on the wire, at most.
pub(super) fn size(place: &Place) -> usize {
    1 + 9 + 2 + kept(place).len()
}

pub(super) fn encode<C, W: Write>(
    place: &Place,
    e: &mut Encoder<W>,
    _: &mut C,
) -> Result<(), encode::Error<W::Error>> {
    e.array(2)?.u64(place.created.as_millis())?.bytes(kept(place))?;
    Ok(())
}

pub(super) fn decode<'b, C>(d: &mut Decoder<'b>, _: &mut C) -> Result<Place, Error> {
    if d.array()? != Some(2) {
        return Err(Error::message("a place that divides has two fields"));
    }
    let created = Timestamp::from_millis(d.u64()?);
    if d.datatype()? != Type::Bytes {
        return Err(Error::message("the id of a place is not one byte string"));
    }
    let short = d.bytes()?;
    let mut id = [0; 32];
    let spelt = short.last() != Some(&0);
    match id.get_mut(..short.len()) {
        Some(start) if spelt => start.copy_from_slice(short),
        _ => {
            return Err(Error::message("the id of a place ends in zero or is too long"));
        }
    }
    let id = RecordId(id);
    Ok(Place { created, id })
}
