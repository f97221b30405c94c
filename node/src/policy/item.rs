//! What policies are told of an object that is to be shared: its attributes, never its text.

use std::collections::BTreeSet;

use hanse_protocol::tlp::Tlp;
use minicbor::{Decode, Encode};

/// The attributes of one object that policies decide by. Objects of equal attributes get one decision.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(array)]
pub struct Item {
    /// Its STIX type: `indicator`.
    #[n(0)]
    pub kind: String,
    /// How freely it may be shared: its markings, the publisher's floor counted.
    #[n(1)]
    pub tlp: Tlp,
    /// Its labels, with the types its kind is sorted by (`indicator_types`, `malware_types`, ...).
    #[n(2)]
    pub labels: BTreeSet<String>,
    /// Its confidence, 0 to 100, where it states one.
    #[n(3)]
    pub confidence: Option<u8>,
    /// How often it was seen, as far as it says so itself or sightings published with it do.
    #[n(4)]
    pub sightings: u32,
    /// Its phases, as `chain:phase`.
    #[n(5)]
    pub kill_chain: BTreeSet<String>,
    /// Sectors it is said to be aimed at, by `targets` relationships published with it.
    #[n(6)]
    pub targets: BTreeSet<String>,
    /// Whether it holds personal data, as far as can be told: e-mail addresses, user accounts, natural persons.
    #[n(7)]
    pub personal_data: bool,
    /// Whether its maker has taken it back.
    #[n(8)]
    pub revoked: bool,
}
