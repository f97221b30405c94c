//! Who is who: handles of members, names of communities and nodes, and the keys behind them.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Decoder, Encode, Encoder};
use serde::{Deserialize, Serialize};

use crate::limits;

pub mod keys;

/// A member's handle: two to 40 lower-case letters, digits and hyphens, starting and ending with a
/// letter or digit, such as `acme-water`. Unique in a community and never changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Handle(String);

/// Why a text is no handle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no handle: two to 40 lower-case letters, digits and inner hyphens are")]
pub struct HandleError(String);

impl Handle {
    /// The handle as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Handle {
    type Err = HandleError;

    fn from_str(text: &str) -> Result<Self, HandleError> {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let inner = text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if inner
            && (2..=limits::HANDLE).contains(&text.len())
            && edge(text.chars().next())
            && edge(text.chars().next_back())
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(HandleError(text.chars().take(limits::NAME).collect()))
        }
    }
}

impl TryFrom<String> for Handle {
    type Error = HandleError;

    fn try_from(text: String) -> Result<Self, HandleError> {
        text.parse()
    }
}

impl From<Handle> for String {
    fn from(handle: Handle) -> Self {
        handle.0
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<C> Encode<C> for Handle {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Handle {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.str()?.parse().map_err(minicbor::decode::Error::custom)
    }
}

/// Declares a fixed-size byte name: CBOR byte string, hex in text and JSON.
macro_rules! byte_name {
    ($(#[$doc:meta])* $name:ident, $size:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub [u8; $size]);

        impl $name {
            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $size] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                data_encoding::HEXLOWER
                    .decode(text.as_bytes())
                    .ok()
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(Self)
                    .ok_or(NameError { digits: $size * 2 })
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.to_string()
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                d.bytes()?
                    .try_into()
                    .map(Self)
                    .map_err(|_| minicbor::decode::Error::message(concat!(stringify!($name), " of another length")))
            }
        }
    };
}

/// Why a text is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id of {digits} lower-case hexadecimal digits was expected")]
pub struct NameError {
    digits: usize,
}

byte_name!(
    /// A community's id: the hash of its first charter.
    CommunityId,
    32
);

impl CommunityId {
    /// The first four bytes, for people: enough to tell a few communities apart, no proof of anything.
    pub fn short(&self) -> String {
        self.to_string().chars().take(8).collect()
    }
}

byte_name!(
    /// A record's id: the hash of what its author signed, bound to the community.
    RecordId,
    32
);

byte_name!(
    /// A node's public Ed25519 key, from which its libp2p peer id follows.
    NodeId,
    32
);

byte_name!(
    /// The first eight bytes of the BLAKE3 hash of a signing key: COSE's `kid`.
    KeyId,
    8
);

impl KeyId {
    /// The short name of a public key's bytes.
    pub fn of(key: &[u8; 32]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(key).as_bytes();
        Self([a, b, c, d, e, f, g, h])
    }
}

/// What two people read to each other to know that they hold the same thing: 100 bits of a hash
/// as five groups of four base32 letters, such as `K3FQ-7ZMA-W2XN-PT5B-QJ6E`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of `parts` under `domain`, which says what kind of thing they are.
    pub fn of(domain: &str, parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(domain);
        for part in parts {
            hasher.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hasher.update(part);
        }
        let text = data_encoding::BASE32_NOPAD.encode(hasher.finalize().as_bytes());
        let letters: Vec<char> = text.chars().take(20).collect();
        let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
        Self(groups.join("-"))
    }

    /// Whether a person's spelling, in any case and with any spaces or hyphens, is this one.
    pub fn is_spelt(&self, text: &str) -> bool {
        let letters = |text: &str| -> String {
            text.chars()
                .filter(char::is_ascii_alphanumeric)
                .map(|c| c.to_ascii_uppercase())
                .collect()
        };
        letters(text) == letters(&self.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
