//! The master key's file: the bare key, or the key wrapped under a passphrase or a credential.
//! The file says itself how, so that one rename changes it.
//!
//! | field | bytes |
//! |---|---|
//! | `HMKW` | 4 |
//! | format | 2 |
//! | kind: 1 passphrase, 2 credential | 1 |
//! | Argon2id memory in KiB, passes, lanes; zero for a credential | 4 · 4 · 4 |
//! | salt | 16 |
//! | nonce | 24 |
//! | master key under XChaCha20-Poly1305, what precedes the nonce as associated data | 48 |
//! | BLAKE3 of all before, which tells damage from a wrong secret | 8 |
//!
//! A file of 32 bytes is the bare key. Numbers are big endian.

use std::fmt;
use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::TryRng;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

use super::{KeystoreError, MasterKey};

/// Fewest bytes of a passphrase that a key is wrapped under: less is found by trying.
pub const PASSPHRASE: usize = 12;
/// Fewest bytes of a credential, which is a random key and is not stretched.
pub const CREDENTIAL: usize = 32;

const MAGIC: &[u8; 4] = b"HMKW";
const FORMAT: u16 = 1;
const SALT: usize = 16;
const NONCE: usize = 24;
const SEALED: usize = 32 + 16;
const SUM: usize = 8;
/// Everything before the nonce.
const HEAD: usize = 4 + 2 + 1 + 12 + SALT;
/// Length of a wrapped key's file, bytes.
pub(super) const WRAPPED: usize = HEAD + NONCE + SEALED + SUM;

/// Cost of a guess: the second choice of RFC 9106, section 4 (64 MiB, 3 passes, 4 lanes).
const COST: Cost = Cost {
    memory: 64 << 10,
    passes: 3,
    lanes: 4,
};
/// The most that a file may ask of whoever opens it.
const CEILING: Cost = Cost {
    memory: 1 << 20,
    passes: 64,
    lanes: 64,
};

/// How a master key is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Not at all: the file itself is the secret.
    Bare,
    /// Under a key from a passphrase.
    Passphrase,
    /// Under a key from a credential.
    Credential,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bare => "file",
            Self::Passphrase => "passphrase",
            Self::Credential => "credential",
        })
    }
}

/// What a master key is wrapped under. Nothing of it prints a secret.
pub enum Wrapping {
    /// Nothing: the file's permissions alone guard the key.
    Bare,
    /// A passphrase, stretched by Argon2id (RFC 9106).
    Passphrase(Zeroizing<Vec<u8>>),
    /// A random key of at least [`CREDENTIAL`] bytes that somebody else keeps.
    Credential(Zeroizing<Vec<u8>>),
}

impl Wrapping {
    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Bare => Kind::Bare,
            Self::Passphrase(_) => Kind::Passphrase,
            Self::Credential(_) => Kind::Credential,
        }
    }
}

/// Parameters of Argon2id: memory in KiB, passes, lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    memory: u32,
    passes: u32,
    lanes: u32,
}

/// The content of a file that holds `master` under `wrapping`.
pub(super) fn wrap(master: &MasterKey, wrapping: &Wrapping) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
    let (kind, cost) = match wrapping {
        Wrapping::Bare => return Ok(Zeroizing::new(master.0.to_vec())),
        Wrapping::Passphrase(secret) if secret.len() < PASSPHRASE => {
            return Err(KeystoreError::Weak(Kind::Passphrase, PASSPHRASE));
        }
        Wrapping::Credential(secret) if secret.len() < CREDENTIAL => {
            return Err(KeystoreError::Weak(Kind::Credential, CREDENTIAL));
        }
        Wrapping::Passphrase(_) => (1, COST),
        Wrapping::Credential(_) => (
            2,
            Cost {
                memory: 0,
                passes: 0,
                lanes: 0,
            },
        ),
    };
    let (mut salt, mut nonce) = ([0; SALT], [0; NONCE]);
    SysRng
        .try_fill_bytes(&mut salt)
        .and_then(|()| SysRng.try_fill_bytes(&mut nonce))
        .map_err(|_| KeystoreError::Randomness)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(WRAPPED));
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_be_bytes());
    bytes.push(kind);
    for number in [cost.memory, cost.passes, cost.lanes] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(&salt);
    let key = wrapping_key(wrapping, cost, &salt)?;
    let payload = Payload {
        msg: master.0.as_slice(),
        aad: &bytes,
    };
    let sealed = XChaCha20Poly1305::new((&*key).into())
        .encrypt(&XNonce::from(nonce), payload)
        .map_err(|_| KeystoreError::TooLarge(master.0.len()))?;
    bytes.extend_from_slice(&nonce);
    bytes.extend_from_slice(&sealed);
    let sum = checksum(&bytes);
    bytes.extend_from_slice(&sum);
    Ok(bytes)
}

/// The master key in the content of the file at `path`.
pub(super) fn unwrap(bytes: &[u8], wrapping: &Wrapping, path: &Path) -> Result<MasterKey, KeystoreError> {
    let found = kind(bytes, path)?;
    if found != wrapping.kind() {
        return Err(KeystoreError::Kind {
            path: path.to_owned(),
            found,
            asked: wrapping.kind(),
        });
    }
    let malformed = || KeystoreError::Malformed(path.to_owned());
    let plain = if found == Kind::Bare {
        Zeroizing::new(bytes.to_vec())
    } else {
        let (head, rest) = bytes.split_first_chunk::<HEAD>().ok_or_else(malformed)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>().ok_or_else(malformed)?;
        let (sealed, _) = rest.split_first_chunk::<SEALED>().ok_or_else(malformed)?;
        let (cost, salt) = cost_and_salt(head).ok_or_else(malformed)?;
        let key = wrapping_key(wrapping, cost, &salt)?;
        let payload = Payload {
            msg: sealed,
            aad: head,
        };
        XChaCha20Poly1305::new((&*key).into())
            .decrypt(&XNonce::from(*nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| KeystoreError::WrongSecret {
                path: path.to_owned(),
                kind: found,
            })?
    };
    let key: [u8; 32] = plain.as_slice().try_into().map_err(|_| malformed())?;
    Ok(MasterKey(Zeroizing::new(key)))
}

/// How the file at `path`, with this content, is wrapped. Asks no secret, but finds damage.
pub(super) fn kind(bytes: &[u8], path: &Path) -> Result<Kind, KeystoreError> {
    if bytes.len() == 32 {
        return Ok(Kind::Bare);
    }
    let malformed = || KeystoreError::Malformed(path.to_owned());
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(malformed)?;
    let (format, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
    let format = u16::from_be_bytes(*format);
    if format > FORMAT {
        let path = path.to_owned();
        return Err(KeystoreError::Newer { path, format });
    }
    let whole = bytes
        .split_last_chunk::<SUM>()
        .is_some_and(|(before, sum)| bytes.len() == WRAPPED && checksum(before) == *sum);
    if !whole {
        return Err(KeystoreError::Damaged(path.to_owned()));
    }
    match rest.first() {
        Some(1) => Ok(Kind::Passphrase),
        Some(2) => Ok(Kind::Credential),
        _ => Err(malformed()),
    }
}

fn cost_and_salt(head: &[u8; HEAD]) -> Option<(Cost, [u8; SALT])> {
    let (_, rest) = head.split_first_chunk::<7>()?;
    let (memory, rest) = rest.split_first_chunk()?;
    let (passes, rest) = rest.split_first_chunk()?;
    let (lanes, salt) = rest.split_first_chunk()?;
    let cost = Cost {
        memory: u32::from_be_bytes(*memory),
        passes: u32::from_be_bytes(*passes),
        lanes: u32::from_be_bytes(*lanes),
    };
    let bearable =
        cost.memory <= CEILING.memory && cost.passes <= CEILING.passes && cost.lanes <= CEILING.lanes;
    bearable.then_some((cost, salt.try_into().ok()?))
}

fn wrapping_key(
    wrapping: &Wrapping,
    cost: Cost,
    salt: &[u8; SALT],
) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
    let mut key = Zeroizing::new([0; 32]);
    match wrapping {
        Wrapping::Bare => {}
        Wrapping::Passphrase(passphrase) => {
            let params = Params::new(cost.memory, cost.passes, cost.lanes, Some(32));
            let params = params.map_err(KeystoreError::Stretching)?;
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                .hash_password_into(passphrase, salt, key.as_mut_slice())
                .map_err(KeystoreError::Stretching)?;
        }
        Wrapping::Credential(secret) => {
            let mut hasher = blake3::Hasher::new_derive_key("hanse at rest 1: master key under a credential");
            hasher.update(salt).update(secret);
            hasher.finalize_xof().fill(key.as_mut_slice());
            zeroize::Zeroize::zeroize(&mut hasher);
        }
    }
    Ok(key)
}

fn checksum(bytes: &[u8]) -> [u8; SUM] {
    let mut sum = [0; SUM];
    let mut hasher = blake3::Hasher::new();
    hasher.update(bytes).finalize_xof().fill(&mut sum);
    sum
}
