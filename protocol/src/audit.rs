//! A line of a node's audit log and the hash that chains it to the next: what the node stores, its
//! API shows, and anybody with an exported log can compute again.

use minicbor::{Decode, Encode, bytes};
use serde::{Deserialize, Serialize};

use crate::identity::NameError;
use crate::timestamp::Timestamp;

/// What the hash of a line is derived for: the context string of BLAKE3's key derivation mode.
pub const CONTEXT: &str = "hanse audit line 1";

/// A line of the audit log. Names and hashes only, never content.
///
/// In JSON an object of the fields by name: `at` an RFC 3339 instant with milliseconds, `previous`
/// and `ruling` 64 hexadecimal digits, `ruling` absent without one.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(array)]
pub struct AuditEntry {
    /// Number of the line, from 1; filled in by the store.
    #[n(0)]
    pub seq: u64,
    /// [`AuditEntry::hash`] of the line before, zero for the first; filled in by the store.
    #[cbor(n(1), with = "bytes")]
    #[serde(with = "hexadecimal")]
    pub previous: [u8; 32],
    /// When it happened.
    #[n(2)]
    pub at: Timestamp,
    /// Who did it: a token, a member, a courier, the node's operator.
    #[n(3)]
    pub actor: String,
    /// What was done.
    #[n(4)]
    pub action: String,
    /// To what: ids and hashes.
    #[n(5)]
    pub subject: String,
    /// Hash of the ruling it was done under.
    #[cbor(n(6), with = "bytes")]
    #[serde(default, with = "perhaps", skip_serializing_if = "Option::is_none")]
    pub ruling: Option<[u8; 32]>,
}

impl AuditEntry {
    /// A line for the store to number and chain.
    pub fn new(
        at: Timestamp,
        actor: impl Into<String>,
        action: impl Into<String>,
        subject: impl Into<String>,
        ruling: Option<[u8; 32]>,
    ) -> Self {
        Self {
            seq: 0,
            previous: [0; 32],
            at,
            actor: actor.into(),
            action: action.into(),
            subject: subject.into(),
            ruling,
        }
    }

    /// What the next line names as its `previous`, its own number and its predecessor's hash
    /// included: BLAKE3 in key derivation mode with [`CONTEXT`], over the deterministic CBOR
    /// (RFC 8949 section 4.2) of the array
    ///
    /// ```text
    /// [seq: uint, previous: bytes(32), at: uint (milliseconds since 1970),
    ///  actor: text, action: text, subject: text, ruling: bytes(32)]
    /// ```
    ///
    /// which has six elements where there is no ruling.
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        // Writing to memory does not fail.
        if let Ok(bytes) = minicbor::to_vec(self) {
            hasher.update(&bytes);
        }
        *hasher.finalize().as_bytes()
    }
}

/// A line as the API shows it and an export holds it: the line and its own hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// The line.
    #[serde(flatten)]
    pub entry: AuditEntry,
    /// [`AuditEntry::hash`] of it, as the node has it.
    #[serde(with = "hexadecimal")]
    pub hash: [u8; 32],
}

impl From<AuditEntry> for AuditLine {
    fn from(entry: AuditEntry) -> Self {
        let hash = entry.hash();
        Self { entry, hash }
    }
}

/// Where an audit log stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of the last line, which is how many lines there are; zero if there is none.
    pub lines: u64,
    /// Hash of the last line; zero if there is none.
    #[serde(with = "hexadecimal")]
    pub hash: [u8; 32],
}

/// Why a line does not follow the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Lines were left out, repeated or put elsewhere.
    #[error("it is number {found} where {wanted} should be")]
    Number {
        /// The number that should be.
        wanted: u64,
        /// The number that is.
        found: u64,
    },
    /// The line before is not the one this line was written after.
    #[error("it was not written after the line before it")]
    Previous,
    /// The line was changed after it was written.
    #[error("its hash is not that of what it says")]
    Hash,
}

/// Follows a chain of lines: what was checked last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    last: Option<Head>,
}

impl Chain {
    /// A chain of which nothing was seen yet. Its first line is held to be the log's first if it is
    /// number 1; what came before any other is not known, and its `previous` is taken on trust.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where it stands; `None` before the first line.
    pub fn head(&self) -> Option<Head> {
        self.last
    }

    /// Checks the next line.
    ///
    /// # Errors
    /// [`Broken`]: the first thing that does not hold.
    pub fn follow(&mut self, line: &AuditLine) -> Result<(), Broken> {
        let entry = &line.entry;
        let before = match self.last {
            Some(head) => Some(head),
            None if entry.seq <= 1 => Some(Head::default()),
            None => None,
        };
        if let Some(before) = before {
            let wanted = before.lines.saturating_add(1);
            if entry.seq != wanted {
                let found = entry.seq;
                return Err(Broken::Number { wanted, found });
            }
            if entry.previous != before.hash {
                return Err(Broken::Previous);
            }
        }
        if entry.hash() != line.hash {
            return Err(Broken::Hash);
        }
        self.last = Some(Head {
            lines: entry.seq,
            hash: line.hash,
        });
        Ok(())
    }
}

/// Hashes in text: 64 lower-case hexadecimal digits.
mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(hash: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&data_encoding::HEXLOWER.encode(hash))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        super::digits(&text).map_err(serde::de::Error::custom)
    }
}

/// A hash in text, or none.
mod perhaps {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        hash: &Option<[u8; 32]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match hash {
            Some(hash) => super::hexadecimal::serialize(hash, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<[u8; 32]>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let hash = text.map(|text| super::digits(&text)).transpose();
        hash.map_err(serde::de::Error::custom)
    }
}

fn digits(text: &str) -> Result<[u8; 32], NameError> {
    text.parse::<crate::identity::RecordId>().map(|id| id.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: u64) -> Vec<AuditLine> {
        let mut previous = [0; 32];
        let line = |seq| {
            let at = Timestamp::from_millis(1_767_225_600_000 + seq);
            let ruling = (seq % 2 == 0).then_some([7; 32]);
            let entry = AuditEntry {
                seq,
                previous,
                ..AuditEntry::new(at, "token siem", "publish", format!("{seq}"), ruling)
            };
            previous = entry.hash();
            AuditLine::from(entry)
        };
        (1..=lines).map(line).collect()
    }

    fn broken(lines: &[AuditLine]) -> Option<(usize, Broken)> {
        let mut chain = Chain::new();
        let mut numbered = lines.iter().enumerate();
        numbered.find_map(|(index, line)| chain.follow(line).err().map(|why| (index, why)))
    }

    #[test]
    fn the_hash_is_that_of_the_documented_bytes() {
        let mut cbor = vec![0x87, 0x02, 0x58, 0x20];
        cbor.extend([9; 32]);
        cbor.extend([0x1b, 0, 0, 1, 0x9b, 0x76, 0xda, 0x84, 0x00]);
        cbor.extend(b"\x65token\x63act\x60\x58\x20");
        cbor.extend([7; 32]);
        let at = Timestamp::from_millis(0x019b_76da_8400);
        let mut line = AuditEntry::new(at, "token", "act", "", Some([7; 32]));
        (line.seq, line.previous) = (2, [9; 32]);
        assert_eq!(line.hash(), blake3::derive_key(CONTEXT, &cbor));
        line.ruling = None;
        cbor.truncate(cbor.len() - 34);
        cbor[0] = 0x86;
        assert_eq!(line.hash(), blake3::derive_key(CONTEXT, &cbor));
    }

    #[test]
    fn a_chain_holds_through_json_and_every_change_shows_at_its_first_line() {
        let lines: Vec<AuditLine> = log(5)
            .iter()
            .map(|line| serde_json::from_str(&serde_json::to_string(line).unwrap()).unwrap())
            .collect();
        assert_eq!(lines, log(5));
        assert_eq!(broken(&lines), None);
        assert_eq!(broken(&lines[2..]), None);

        let mut changed = lines.clone();
        changed[2].entry.actor = "token other".to_owned();
        assert_eq!(broken(&changed), Some((2, Broken::Hash)));
        changed[2].hash = changed[2].entry.hash();
        assert_eq!(broken(&changed), Some((3, Broken::Previous)));

        let mut short = lines.clone();
        short.remove(2);
        let number = |wanted, found| Broken::Number { wanted, found };
        assert_eq!(broken(&short), Some((2, number(3, 4))));
        let mut swapped = lines.clone();
        swapped.swap(0, 1);
        assert_eq!(broken(&swapped), Some((1, number(3, 1))));
        let mut headless = lines;
        headless[0].entry.previous = [1; 32];
        assert_eq!(broken(&headless), Some((0, Broken::Previous)));
    }
}
