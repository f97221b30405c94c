//! What a plan comes to: records of few hundred objects each, packed and, where need be, sealed.

use std::borrow::Cow;

use hanse_protocol::charter::CharterChain;
use hanse_protocol::compress;
use hanse_protocol::content::Content;
use hanse_protocol::limits;
use hanse_protocol::record::Kind;
use hanse_protocol::stix::Object;

use super::publish::Terms;
use super::worker::Worker;
use super::{ExchangeError, derive};
use crate::sharing::handed::Handed;
use crate::sharing::plan::{Piece, Plan, Variant};
use crate::store::facts::ObjectFacts;

/// Most objects of one record that this node writes.
const RECORD_OBJECTS: usize = 200;

/// Size at which a record is closed, bytes of objects: small objects share a signature, large ones
/// go nearly alone.
const RECORD_BYTES: usize = 512 << 10;

/// Objects that will share a record.
#[derive(Default)]
pub(super) struct Draft<'p> {
    pub(super) texts: Vec<&'p str>,
    pub(super) strikes: Vec<u16>,
    pub(super) facts: Vec<ObjectFacts>,
    pub(super) pieces: Vec<&'p Piece<'p>>,
    bytes: usize,
    values: usize,
}

/// A record but for its place in the chain.
pub(super) struct Ready<'p> {
    pub(super) variant: &'p Variant<'p>,
    pub(super) draft: Draft<'p>,
    pub(super) body: Vec<u8>,
    /// Bytes of the content in it.
    pub(super) content: usize,
}

impl Worker {
    /// Packs all that a plan sends.
    pub(super) fn ready<'p>(
        &self,
        charters: &CharterChain,
        terms: &Terms,
        plan: &'p Plan<'p>,
        handed: &Handed<'p>,
    ) -> Result<Vec<Ready<'p>>, ExchangeError> {
        let mut ready = Vec::new();
        for variant in &plan.variants {
            for draft in drafts(variant, terms, handed)? {
                let (body, content) = self.body_for(charters, terms, variant, &draft)?;
                ready.push(Ready {
                    variant,
                    draft,
                    body,
                    content,
                });
            }
        }
        Ok(ready)
    }

    /// A body as it travels, and the bytes of the content in it.
    fn body_for(
        &self,
        charters: &CharterChain,
        terms: &Terms,
        variant: &Variant<'_>,
        draft: &Draft<'_>,
    ) -> Result<(Vec<u8>, usize), ExchangeError> {
        let content = Content::write_variants(terms.unmarked, terms.floor, &draft.texts, &draft.strikes);
        let packed = compress::pack(&content).map_err(|error| ExchangeError::Invalid(error.to_string()))?;
        let body = self.locked(charters, terms, Kind::Objects, &variant.audience, packed)?;
        Ok((body.encode(), content.len()))
    }
}

/// Shares the objects of a variant out among records.
fn drafts<'p>(
    variant: &'p Variant<'p>,
    terms: &Terms,
    handed: &Handed<'_>,
) -> Result<Vec<Draft<'p>>, ExchangeError> {
    let mut drafts: Vec<Draft<'p>> = Vec::new();
    for piece in &variant.pieces {
        let values = handed
            .values
            .get(piece.object)
            .copied()
            .unwrap_or(limits::JSON_VALUES);
        let facts = facts(piece, terms, handed)?;
        let full = |draft: &Draft<'_>| {
            draft.texts.len() >= RECORD_OBJECTS
                || draft.bytes + piece.text.len() > RECORD_BYTES
                || draft.values + values > limits::JSON_VALUES
        };
        if drafts.last().is_none_or(full) {
            drafts.push(Draft::default());
        }
        if let Some(draft) = drafts.last_mut() {
            draft.texts.push(&piece.text);
            draft.strikes.push(piece.strikes);
            draft.facts.push(facts);
            draft.pieces.push(piece);
            draft.bytes += piece.text.len();
            draft.values += values;
        }
    }
    Ok(drafts)
}

/// What the index is told of an object as its readers get it.
fn facts(piece: &Piece<'_>, terms: &Terms, handed: &Handed<'_>) -> Result<ObjectFacts, ExchangeError> {
    let issued = handed
        .objects
        .get(piece.object)
        .filter(|_| matches!(piece.text, Cow::Borrowed(_)));
    let facts = match issued {
        Some(object) => derive::object_facts(object, piece.tlp, terms.created),
        None => {
            let cut =
                Object::parse(&piece.text).map_err(|error| ExchangeError::Invalid(error.to_string()))?;
            derive::object_facts(&cut, cut.tlp(terms.unmarked, terms.floor), terms.created)
        }
    };
    Ok(ObjectFacts {
        redacted: piece.strikes,
        ..facts
    })
}
