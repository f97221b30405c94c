//! The Traffic Light Protocol 2.0 (FIRST): the order of its markings, the STIX ids that stand for
//! them, and the floor that no policy lowers.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::limits;

/// A TLP 2.0 label, from the most open to the strictest: `a < b` means that `b` shares less.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[cbor(index_only)]
#[serde(try_from = "String", into = "String")]
pub enum Tlp {
    /// No limit on disclosure.
    #[n(0)]
    Clear,
    /// The recipients' community.
    #[n(1)]
    Green,
    /// The recipients' organisations and their clients, on a need to know.
    #[n(2)]
    Amber,
    /// The recipients' organisations only.
    #[n(3)]
    AmberStrict,
    /// The named recipients only.
    #[n(4)]
    Red,
}

/// Why a text is no TLP label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no TLP label: clear, green, amber, amber+strict and red are")]
pub struct TlpError(String);

/// The marking definitions that are known, by UUID. TLP 2.0's come from its STIX 2.1 extension,
/// TLP 1's from STIX 2.1 section 7.2.1.4; TLP 1 AMBER had no line between an organisation and its
/// clients, so it is read as the stricter of the two it became.
const KNOWN: [(&str, Tlp); 10] = [
    ("94868c89-83c2-464b-929b-a1a8aa3c8487", Tlp::Clear),
    ("bab4a63c-aed9-4cf5-a766-dfca5abac2bb", Tlp::Green),
    ("55d920b0-5e8b-4f79-9ee9-91f868d9b421", Tlp::Amber),
    ("939a9414-2ddd-4d32-a0cd-375ea402b003", Tlp::AmberStrict),
    ("e828b379-4e03-4974-9ac4-e53a884c97c1", Tlp::Red),
    ("613f2e26-407d-48c7-9eca-b8e91df99dc9", Tlp::Clear),
    ("34098fce-860f-48ae-8e50-ebd3cc5e41da", Tlp::Green),
    ("f88d31f6-486f-44da-b317-01333bde0b82", Tlp::AmberStrict),
    ("5e57c739-391a-4eb3-b6be-7d15ca92d5ed", Tlp::Red),
    // OpenCTI's own AMBER+STRICT, older than TLP 2.0's.
    ("826578e1-40ad-459f-bc73-ede076f81f37", Tlp::AmberStrict),
];

impl Tlp {
    /// Every label, from the most open to the strictest.
    pub const ALL: [Self; 5] = [
        Self::Clear,
        Self::Green,
        Self::Amber,
        Self::AmberStrict,
        Self::Red,
    ];

    /// What the marking definition `id` (`marking-definition--UUID`) demands. Known ids come from
    /// constants, never from a bundle that could redefine them; an unknown one is [`Tlp::Red`],
    /// for it may demand anything.
    pub fn of_marking(id: &str) -> Self {
        id.strip_prefix("marking-definition--")
            .and_then(|uuid| KNOWN.iter().find(|(known, _)| known.eq_ignore_ascii_case(uuid)))
            .map_or(Self::Red, |(_, tlp)| *tlp)
    }

    /// The id of the STIX 2.1 marking definition of this label.
    pub const fn marking(self) -> &'static str {
        match self {
            Self::Clear => "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
            Self::Green => "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
            Self::Amber => "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
            Self::AmberStrict => "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
            Self::Red => "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
        }
    }

    /// Whether an object so marked may travel unsealed: CLEAR and GREEN only. No policy lowers this.
    pub const fn openly(self) -> bool {
        matches!(self, Self::Clear | Self::Green)
    }

    /// The label in lower case, as JSON and settings write it: `amber+strict`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Green => "green",
            Self::Amber => "amber",
            Self::AmberStrict => "amber+strict",
            Self::Red => "red",
        }
    }
}

impl fmt::Display for Tlp {
    /// As FIRST writes it: `TLP:AMBER+STRICT`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clear => "TLP:CLEAR",
            Self::Green => "TLP:GREEN",
            Self::Amber => "TLP:AMBER",
            Self::AmberStrict => "TLP:AMBER+STRICT",
            Self::Red => "TLP:RED",
        })
    }
}

impl FromStr for Tlp {
    type Err = TlpError;

    /// Reads what people write: either case, with or without `TLP:`, TLP 1's `white`, and a space,
    /// hyphen or underscore for the plus sign.
    fn from_str(text: &str) -> Result<Self, TlpError> {
        let refuse = || TlpError(limits::echo(text));
        if text.len() > limits::NAME {
            return Err(refuse());
        }
        let text = text.to_ascii_lowercase();
        let text = text.trim();
        let words = text.strip_prefix("tlp:").unwrap_or(text);
        let words = words.split([' ', '+', '-', '_']).filter(|word| !word.is_empty());
        match words.collect::<Vec<_>>().join("+").as_str() {
            "white" => Ok(Self::Clear),
            name => Self::ALL
                .into_iter()
                .find(|tlp| tlp.name() == name)
                .ok_or_else(refuse),
        }
    }
}

impl TryFrom<String> for Tlp {
    type Error = TlpError;

    fn try_from(text: String) -> Result<Self, TlpError> {
        text.parse()
    }
}

impl From<Tlp> for String {
    fn from(tlp: Tlp) -> Self {
        tlp.name().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_ordered_and_only_the_two_open_ones_travel_unsealed() {
        assert!(Tlp::ALL.is_sorted());
        let open: Vec<Tlp> = Tlp::ALL.into_iter().filter(|tlp| tlp.openly()).collect();
        assert_eq!(open, [Tlp::Clear, Tlp::Green]);
    }

    #[test]
    fn every_label_reads_back_from_all_its_spellings() {
        for tlp in Tlp::ALL {
            assert_eq!(tlp.to_string().parse(), Ok(tlp));
            assert_eq!(tlp.name().parse(), Ok(tlp));
            assert_eq!(Tlp::of_marking(tlp.marking()), tlp);
            let cbor = minicbor::to_vec(tlp).unwrap();
            assert_eq!(cbor.len(), 1);
            assert_eq!(minicbor::decode::<Tlp>(&cbor).unwrap(), tlp);
            let json = serde_json::to_string(&tlp).unwrap();
            assert_eq!(serde_json::from_str::<Tlp>(&json).unwrap(), tlp);
        }
        assert_eq!(" tlp: white".parse(), Ok(Tlp::Clear));
        assert_eq!("TLP:Amber-Strict".parse(), Ok(Tlp::AmberStrict));
        assert_eq!("TLP: AMBER + STRICT".parse(), Ok(Tlp::AmberStrict));
        assert!("ambre".parse::<Tlp>().is_err());
        assert!(minicbor::decode::<Tlp>(&[5]).is_err());
    }

    #[test]
    fn an_old_or_unknown_marking_is_read_as_the_stricter_neighbour() {
        let amber_one = "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82";
        assert_eq!(Tlp::of_marking(amber_one), Tlp::AmberStrict);
        let statement = "marking-definition--fa42a846-8d90-4e51-bc29-71d5b4802168";
        assert_eq!(Tlp::of_marking(statement), Tlp::Red);
        assert_eq!(Tlp::of_marking("94868c89-83c2-464b-929b-a1a8aa3c8487"), Tlp::Red);
    }
}
