//! Records as a dishonest member makes them.

use std::time::Duration;

use hanse_protocol::admission::Signed;
use hanse_protocol::compress;
use hanse_protocol::content::Content;
use hanse_protocol::frame::{Carried, Frame};
use hanse_protocol::identity::{Handle, RecordId};
use hanse_protocol::record::{BodyHash, Header, Kind};
use hanse_protocol::seal::Body;
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;

use super::World;
use crate::dice::Dice;

const HOUR: Duration = Duration::from_secs(3_600);

/// Where its own chain of records stands.
#[derive(Default)]
pub(super) struct Chain {
    seq: u64,
    prev: Option<RecordId>,
}

impl World {
    /// A true record of its own, the next of its chain.
    pub(super) fn true_record(&self, chain: &mut Chain, dice: &mut Dice) -> Option<Vec<u8>> {
        let body = body(dice)?;
        chain.seq += 1;
        let own = &self.member.profile.handle;
        let header = self.header(own, chain.seq, chain.prev, hanse_node::clock::now(), &body);
        let signed = header.sign(self.community(), &self.member.signing);
        chain.prev = Signed::decode(&signed, self.community())
            .ok()
            .map(|signed| *signed.id());
        Some(frame(vec![carried(signed, &body)]))
    }

    /// Something that must not be taken, in one of the ways there are.
    pub(super) fn forgery(&self, dice: &mut Dice) -> Option<Vec<u8>> {
        let body = body(dice)?;
        let (now, own) = (hanse_node::clock::now(), &self.member.profile.handle);
        let victim = self.victims.get(dice.below(self.victims.len()))?;
        let signs = |header: Header| header.sign(self.community(), &self.member.signing);
        let seq = 1 + dice.number() % 1_000_000;
        let gap = Some(RecordId([7; 32]));
        let ours = |at| signs(self.header(own, seq, gap, at, &body));
        let records = match dice.below(6) {
            // In another's name, under our own key.
            0 => vec![carried(signs(self.header(victim, seq, gap, now, &body)), &body)],
            // With a signature that is none.
            1 => vec![carried(spoiled(ours(now)), &body)],
            // Truly signed, for an hour that has not come.
            2 => vec![carried(ours(now.after(HOUR)), &body)],
            // With another body than the header names.
            3 => vec![carried(ours(now), b"not what it says")],
            // A true one and a forged one in one frame.
            4 => vec![
                carried(ours(now), &body),
                carried(signs(self.header(victim, seq, gap, now, &body)), &body),
            ],
            // No frame at all.
            _ => return Some((0..dice.between(1, 2_000)).map(|_| low_byte(dice)).collect()),
        };
        Some(frame(records))
    }

    /// A frame that was heard, changed so that it looks new.
    pub(super) fn in_new_clothes(&self, heard: Vec<u8>, dice: &mut Dice) -> Vec<u8> {
        match (dice.below(3), Frame::decode(&heard)) {
            // The same record twice in a frame.
            (0, Ok(Frame::Records(records))) => frame(records.iter().chain(&records).cloned().collect()),
            // Its headers without their bodies.
            (1, Ok(Frame::Records(records))) => {
                let bare = |record: Carried| Carried { body: None, ..record };
                frame(records.into_iter().map(bare).collect())
            }
            // One bit is turned.
            _ => {
                let mut turned = heard;
                let place = dice.below(turned.len());
                turned.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1);
                turned
            }
        }
    }

    fn header(
        &self,
        author: &Handle,
        seq: u64,
        prev: Option<RecordId>,
        created: Timestamp,
        body: &[u8],
    ) -> Header {
        Header {
            author: author.clone(),
            lane: 0,
            charter: self.charters.newest().reference(),
            epoch: 0,
            seq,
            prev,
            created,
            expires: created.after(24 * HOUR),
            kind: Kind::Objects,
            replaces: None,
            body_length: u32::try_from(body.len()).unwrap_or(u32::MAX),
            body_hash: BodyHash::of(body),
        }
    }
}

fn body(dice: &mut Dice) -> Option<Vec<u8>> {
    let (id, host) = (dice.hex(), dice.hex());
    let (first, last) = id.split_at(8);
    let object = format!(
        r#"{{"type":"indicator","spec_version":"2.1","id":"indicator--{first}-0000-4000-8000-0000{last}","created":"2026-11-20T08:00:00.000Z","modified":"2026-11-20T08:00:00.000Z","pattern":"[domain-name:value = 'flood-{host}.example']","pattern_type":"stix","valid_from":"2026-11-20T08:00:00Z"}}"#
    );
    let content = Content::write(Tlp::Green, Tlp::Clear, &[object.as_str()]);
    Some(Body::Open(compress::pack(&content).ok()?).encode())
}

fn carried(header: Vec<u8>, body: &[u8]) -> Carried {
    Carried {
        header,
        body: Some(body.to_vec()),
    }
}

fn frame(records: Vec<Carried>) -> Vec<u8> {
    Frame::Records(records).encode()
}

/// The last bit of the signature is turned.
fn spoiled(mut header: Vec<u8>) -> Vec<u8> {
    if let Some(last) = header.last_mut() {
        *last ^= 1;
    }
    header
}

fn low_byte(dice: &mut Dice) -> u8 {
    u8::try_from(dice.below(256)).unwrap_or_default()
}
