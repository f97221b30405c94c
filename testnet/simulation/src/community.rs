//! Members, their keys and nodes, the charter that lists them, and the records they sign: all drawn from
//! the seed, all real.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hanse_node::mesh::Membership;
use hanse_protocol::charter::member::{
    Lane, Member, MemberKind, MemberSealingKey, MemberSigningKey, Profile, SuiteKey,
};
use hanse_protocol::charter::{Budget, Charter, CharterChain, SignedCharter};
use hanse_protocol::compress;
use hanse_protocol::content::Content;
use hanse_protocol::frame::Carried;
use hanse_protocol::identity::keys::{SealingKey, SigningKey};
use hanse_protocol::identity::{Handle, NodeId, RecordId};
use hanse_protocol::limits;
use hanse_protocol::record::{BodyHash, Header, Kind};
use hanse_protocol::seal::Body;
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;

use crate::draws::Draws;
use crate::run::Failure;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// When the virtual clock starts: at the turn of 2026.
pub(crate) const EPOCH: Timestamp = Timestamp::from_millis(1_767_225_600_000);

const KEYS: u64 = 3;

/// One node of a member.
pub(crate) struct Seat {
    /// The seed of the node's key.
    pub(crate) secret: [u8; 32],
    pub(crate) node: NodeId,
    handle: Handle,
    lane: u16,
    signing: SigningKey,
}

/// The community.
pub(crate) struct Community {
    pub(crate) charters: CharterChain,
    pub(crate) seats: Vec<Seat>,
    pub(crate) membership: Arc<Membership>,
    numbers: HashMap<NodeId, usize>,
}

impl Community {
    /// One of so many nodes: as many members, or, where a charter does not list as many, members of
    /// several nodes.
    pub(crate) fn found(nodes: usize, seed: u64) -> Result<Self, Failure> {
        let members = nodes.clamp(1, limits::MEMBERS);
        let mut listed = Vec::with_capacity(members);
        let mut seats = Vec::with_capacity(nodes);
        for number in 0..members {
            let handle: Handle = format!("m{number:04}").parse()?;
            let mut draws = Draws::of(seed, &[KEYS, number as u64]);
            let signing = draws.bytes();
            let sealing = SealingKey::from_bytes(&draws.bytes()).public();
            let mut lanes = Vec::new();
            // The next node of a member comes after the first of every other.
            for place in (number..nodes).step_by(members) {
                let lane = u16::try_from(lanes.len())?;
                let secret: [u8; 32] = Draws::of(seed, &[KEYS, place as u64, 1]).bytes();
                let node = NodeId(*SigningKey::from_seed(&secret).verifying_key().as_bytes());
                lanes.push(Lane {
                    number: lane,
                    node,
                    addresses: vec![format!("/memory/{place}")],
                    closed: None,
                });
                let seat = Seat {
                    secret,
                    node,
                    handle: handle.clone(),
                    lane,
                    signing: SigningKey::from_seed(&signing),
                };
                seats.push((place, seat));
            }
            let key = SigningKey::from_seed(&signing).verifying_key();
            listed.push(member(handle, key, SuiteKey::X25519(sealing), lanes));
        }
        seats.sort_by_key(|(place, _)| *place);
        let seats: Vec<Seat> = seats.into_iter().map(|(_, seat)| seat).collect();
        let first = seats.first().ok_or("a community of nobody")?;
        let mut charter = SignedCharter::issue(charter(listed))?;
        charter.endorse(&first.handle, &first.signing);
        let places = seats.iter().enumerate();
        let addresses = places
            .clone()
            .map(|(place, seat)| (seat.node, vec![format!("/memory/{place}")]));
        Ok(Self {
            charters: CharterChain::found(charter)?,
            membership: Arc::new(Membership {
                nodes: addresses.collect(),
            }),
            numbers: places.map(|(place, seat)| (seat.node, place)).collect(),
            seats,
        })
    }

    /// Which node it is.
    pub(crate) fn number(&self, node: &NodeId) -> Option<usize> {
        self.numbers.get(node).copied()
    }
}

fn member(
    handle: Handle,
    signing: hanse_protocol::identity::keys::VerifyingKey,
    sealing: SuiteKey,
    lanes: Vec<Lane>,
) -> Member {
    Member {
        profile: Profile {
            handle: handle.clone(),
            name: handle.as_str().to_owned(),
            kind: MemberKind::Company,
            sector: String::new(),
            country: "DE".to_owned(),
        },
        handle,
        admitted: EPOCH,
        signing: vec![MemberSigningKey {
            key: signing,
            closed: None,
        }],
        sealing: vec![MemberSealingKey {
            key: sealing,
            closed: false,
        }],
        lanes,
        ended: None,
    }
}

fn charter(members: Vec<Member>) -> Charter {
    Charter {
        name: "Simulated".to_owned(),
        version: 1,
        parents: Vec::new(),
        issued: EPOCH,
        expires: EPOCH.after(DAY * 365),
        stewards: members
            .first()
            .map(|member| member.handle.clone())
            .into_iter()
            .collect(),
        threshold: 1,
        recovery: Vec::new(),
        members,
        unmarked: Tlp::Green,
        budget: Budget {
            bytes: 1 << 30,
            records: 1 << 20,
        },
        horizon: u64::try_from((DAY * 90).as_millis()).unwrap_or(u64::MAX),
    }
}

/// What an author needs to know to sign its next record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pen {
    seq: u64,
    prev: Option<RecordId>,
}

impl Pen {
    /// Signs a record of one indicator of about so many bytes, made now.
    pub(crate) fn write(
        &mut self,
        community: &Community,
        number: usize,
        created: Timestamp,
        size: usize,
    ) -> Result<(RecordId, Carried), Failure> {
        let seat = community.seats.get(number).ok_or("no such node")?;
        let object = indicator(size, &mut Draws::of(created.as_millis(), &[number as u64]));
        let content = Content::write(Tlp::Green, Tlp::Clear, &[&object]);
        let body = Body::Open(compress::pack(&content)?).encode();
        self.seq += 1;
        let header = Header {
            author: seat.handle.clone(),
            lane: seat.lane,
            charter: community.charters.newest().reference(),
            epoch: 0,
            seq: self.seq,
            prev: self.prev,
            created,
            expires: created.after(DAY),
            kind: Kind::Objects,
            replaces: None,
            body_length: u32::try_from(body.len())?,
            body_hash: BodyHash::of(&body),
        };
        let founded = community.charters.community();
        let id = header.id(founded, &seat.signing.verifying_key());
        self.prev = Some(id);
        let header = header.sign(founded, &seat.signing);
        let carried = Carried {
            header,
            body: Some(body),
        };
        Ok((id, carried))
    }
}

/// An indicator as it stands in feeds, with a description that fills it up and does not pack well.
fn indicator(size: usize, draws: &mut Draws) -> String {
    let [a, b, c, d, ..] = draws.bytes::<8>();
    let (id, host) = (draws.next(), u32::from_be_bytes([a, b, c, d]));
    let head = format!(
        r#"{{"type":"indicator","spec_version":"2.1","id":"indicator--{host:08x}-0000-4000-8000-{:012x}","created":"2026-01-01T00:00:00.000Z","modified":"2026-01-01T00:00:00.000Z","pattern":"[domain-name:value = 'host-{host:08x}.example']","pattern_type":"stix","valid_from":"2026-01-01T00:00:00Z","description":""#,
        id >> 16,
    );
    let mut object = head;
    while object.len() + 2 < size {
        object.push_str(&format!("{:016x} ", draws.next()));
    }
    object.push_str("\"}");
    object
}
