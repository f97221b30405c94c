//! Records and bodies as a dishonest member makes them: true ones first, then what can be done to
//! them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use hanse_protocol::admission::{Signed, binding};
use hanse_protocol::compress;
use hanse_protocol::content::Content;
use hanse_protocol::frame::{Carried, Frame};
use hanse_protocol::identity::keys::SealingPublic;
use hanse_protocol::identity::{CommunityId, Handle, KeyId, RecordId};
use hanse_protocol::record::{BodyHash, Header, Kind};
use hanse_protocol::seal::{self, Body, SUITE_X25519};
use hanse_protocol::tlp::Tlp;
use minicbor::{Decoder, Encoder};
use rand::Rng;
use rand_core::{TryCryptoRng, TryRng};

use crate::evil::{Evil, now};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A body in the open, well made, whatever its objects are.
pub fn open_body(objects: &[&str]) -> Vec<u8> {
    let content = Content::write(Tlp::Green, Tlp::Clear, objects);
    Body::Open(compress::pack(&content).expect("it is small")).encode()
}

/// The frame that carries these records.
pub fn frame(records: Vec<Carried>) -> Vec<u8> {
    Frame::Records(records).encode()
}

/// A frame of one record with its body.
pub fn frame_of(header: &[u8], body: &[u8]) -> Vec<u8> {
    frame(vec![carried(header.to_vec(), body)])
}

/// A header with a body beside it.
pub fn carried(header: Vec<u8>, body: &[u8]) -> Carried {
    Carried {
        header,
        body: Some(body.to_vec()),
    }
}

/// The id that a header has, whatever its signature.
pub fn id_of(header: &[u8], community: &CommunityId) -> RecordId {
    *Signed::decode(header, community).expect("a header").id()
}

impl Evil {
    /// The header of its own record, true in every respect.
    pub fn header(&self, seq: u64, prev: Option<RecordId>, body: &[u8]) -> Header {
        let created = now();
        Header {
            author: self.handle().clone(),
            lane: 0,
            charter: self.charters.newest().reference(),
            epoch: 0,
            seq,
            prev,
            created,
            expires: created.after(DAY),
            kind: Kind::Objects,
            replaces: None,
            body_length: u32::try_from(body.len()).expect("a body is small"),
            body_hash: BodyHash::of(body),
        }
    }

    /// A header signed with its own key, whatever it says.
    pub fn signs(&self, header: &Header) -> Vec<u8> {
        header.sign(self.community(), &self.member.signing)
    }

    /// A true first record of its own with one object.
    pub fn true_record(&self, object: &str) -> Carried {
        let body = open_body(&[object]);
        carried(self.signs(&self.header(1, None, &body)), &body)
    }

    /// The sealing key of a member.
    pub fn sealing_key_of(&self, handle: &Handle) -> SealingPublic {
        let member = self.charters.charter().member(handle).expect("a member");
        *member.sealing_key().expect("a key to seal to")
    }

    /// A body sealed with two content keys under one commitment: `first` reads the first text,
    /// `second` would read something else, if nobody checked. Its header comes along.
    pub fn sealed_twice(&self, first: &Handle, second: &Handle, object: &str) -> (Header, Vec<u8>) {
        let mut header = self.header(1, None, &[]);
        let content = Content::write(Tlp::Amber, Tlp::Clear, &[object]);
        let packed = compress::pack(&content).expect("it is small");
        let nonce = vec![7; 24];
        let seal = |content_key: u8, reader: &Handle| {
            let mut script = Scripted(VecDeque::from([vec![content_key; 32], nonce.clone()]));
            let own = self.member.sealing().expect("a sealing key");
            let readers = [self.sealing_key_of(reader)];
            let binding = binding(self.community(), &header);
            let sealed = seal::seal(&packed, &readers, own, &binding, &mut script);
            SealedParts::read(&Body::Sealed(sealed.expect("it is sealed")).encode())
        };
        let (honest, other) = (seal(1, first), seal(2, second));
        let body = honest.with_stanzas_of(&other).write();
        header.body_length = u32::try_from(body.len()).expect("a body is small");
        header.body_hash = BodyHash::of(&body);
        (header, body)
    }
}

/// The header with the last bit of its signature turned.
pub fn spoiled(header: &[u8]) -> Vec<u8> {
    let mut spoiled = header.to_vec();
    if let Some(last) = spoiled.last_mut() {
        *last ^= 1;
    }
    spoiled
}

/// The header with a key id in its unprotected map, which no signature covers.
pub fn with_unprotected(header: &[u8]) -> Vec<u8> {
    let mut decoder = Decoder::new(header);
    decoder.tag().expect("a tag");
    decoder.array().expect("an array");
    decoder.bytes().expect("the protected header");
    let at = decoder.position();
    assert_eq!(header[at], 0xa0, "the unprotected map is empty");
    [&header[..at], &[0xa1, 0x04, 0x41, 0x00], &header[at + 1..]].concat()
}

/// The same header in another spelling: the length of its array in two bytes.
pub fn respelt(header: &[u8]) -> Vec<u8> {
    assert_eq!(header[..2], [0xd2, 0x84], "a tagged array of four");
    [&[0xd2, 0x98, 0x04], &header[2..]].concat()
}

/// The header with the name of another key than that it is signed with.
pub fn with_key_id(header: &[u8], from: KeyId, to: KeyId) -> Vec<u8> {
    let at = header.windows(8).position(|bytes| bytes == from.as_bytes());
    let at = at.expect("the key's name is in the header");
    [&header[..at], to.as_bytes(), &header[at + 8..]].concat()
}

/// A sealed body taken apart.
struct SealedParts {
    commitment: Vec<u8>,
    nonce: Vec<u8>,
    stanzas: Vec<Vec<u8>>,
    ciphertext: Vec<u8>,
}

impl SealedParts {
    fn read(body: &[u8]) -> Self {
        let mut decoder = Decoder::new(body);
        assert_eq!(decoder.array().expect("an array"), Some(5));
        assert_eq!(decoder.u8().expect("a suite"), SUITE_X25519);
        let commitment = decoder.bytes().expect("a commitment").to_vec();
        let nonce = decoder.bytes().expect("a nonce").to_vec();
        let count = decoder.array().expect("stanzas").expect("a length");
        let stanza = |_| {
            let start = decoder.position();
            decoder.skip().expect("a stanza");
            body[start..decoder.position()].to_vec()
        };
        let stanzas = (0..count).map(stanza).collect();
        let ciphertext = decoder.bytes().expect("a ciphertext").to_vec();
        Self {
            commitment,
            nonce,
            stanzas,
            ciphertext,
        }
    }

    /// Adds another's stanzas under this one's commitment and text.
    fn with_stanzas_of(mut self, other: &Self) -> Self {
        assert_eq!(self.nonce, other.nonce, "hints depend on the nonce");
        self.stanzas.extend(other.stanzas.iter().cloned());
        self
    }

    fn write(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        let infallible = "writing into memory";
        encoder
            .array(5)
            .and_then(|e| e.u8(SUITE_X25519))
            .expect(infallible);
        encoder.bytes(&self.commitment).expect(infallible);
        encoder.bytes(&self.nonce).expect(infallible);
        encoder.array(self.stanzas.len() as u64).expect(infallible);
        for stanza in &self.stanzas {
            encoder.writer_mut().extend_from_slice(stanza);
        }
        encoder.bytes(&self.ciphertext).expect(infallible);
        encoder.into_writer()
    }
}

/// A source of "randomness" whose first draws are known, as a dishonest author's may be.
struct Scripted(VecDeque<Vec<u8>>);

impl TryRng for Scripted {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(rand::rng().next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(rand::rng().next_u64())
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        match self.0.pop_front() {
            Some(bytes) => to.copy_from_slice(&bytes),
            None => rand::rng().fill_bytes(to),
        }
        Ok(())
    }
}

impl TryCryptoRng for Scripted {}
