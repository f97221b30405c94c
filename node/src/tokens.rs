//! Bearer tokens of the local API: named, revocable, each with roles and a TLP ceiling. What is
//! kept of a token is its hash; the token itself stands in a file for its client.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use data_encoding::BASE64URL_NOPAD;
use hanse_protocol::local::Role;
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;
use rand::TryRng;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

mod files;
#[cfg(test)]
mod tests;

/// The folder of the tokens in the node's folder.
pub const FOLDER: &str = "tokens";

/// The ceiling of a token for which none is given: RED is only by explicit grant.
pub const CEILING: Tlp = Tlp::AmberStrict;

/// What every token starts with, so that secret scanners and people know one.
const PREFIX: &str = "hanse_";

/// Randomness of a token, bytes: beyond guessing.
const RANDOM: usize = 32;

/// Most tokens of one node; every request is compared with all of them.
const MOST: usize = 256;

/// Longest name of a token, characters.
const NAME: usize = 40;

/// The format of the book of tokens.
const FORMAT: u32 = 1;

const BOOK: &str = "tokens.json";
const LOCK: &str = "tokens.lock";

/// A token as a request that bears it is treated. The token itself is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its name, which stands in the audit log.
    pub name: String,
    /// What it allows.
    pub roles: BTreeSet<Role>,
    /// The strictest marking it is shown.
    pub ceiling: Tlp,
    /// When it was made.
    pub created: Timestamp,
}

/// Why a token was not made, revoked or read.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The name is none that a token may have.
    #[error("`{0}` is no name for a token: one to 40 lower-case letters, digits and inner hyphens are")]
    Name(String),
    /// A token without a role allows nothing.
    #[error("a token needs a role: read, publish or admin")]
    NoRole,
    /// There is a token of that name.
    #[error("there is a token `{0}` already")]
    Exists(String),
    /// There is none of that name.
    #[error("there is no token `{0}`")]
    Unknown(String),
    /// There are as many as may be.
    #[error("there are {MOST} tokens already: revoke one first")]
    TooMany,
    /// Others than the owner may read or write the file.
    #[error("others may read or write `{path}`: run `chmod {mode} {path}`")]
    Permissions {
        /// The file or folder.
        path: PathBuf,
        /// The mode it should have, octal digits.
        mode: &'static str,
    },
    /// The book of tokens does not hold what it should.
    #[error("`{path}` is no book of tokens: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("`{path}` could not be read or written")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system gave no randomness.
    #[error("the system gave no randomness")]
    Randomness(#[source] rand::rngs::SysError),
}

/// The book of tokens as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Book {
    format: u32,
    tokens: BTreeMap<String, Kept>,
}

/// What is kept of a token.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// BLAKE3 of the token, hexadecimal. The token is 256 random bits: no salt or stretching is
    /// needed to keep it from being guessed back.
    hash: String,
    roles: BTreeSet<Role>,
    ceiling: Tlp,
    created: Timestamp,
}

/// The tokens of one node, as last read.
#[derive(Clone, Debug)]
pub struct Tokens {
    folder: PathBuf,
    read: Option<Stamp>,
    tokens: Vec<([u8; 32], Token)>,
}

/// By what a replaced file is told from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    inode: u64,
    length: u64,
}

impl Tokens {
    /// Opens the tokens of the node in `node`; their folder is made if it is missing.
    ///
    /// # Errors
    /// [`TokenError`], among others when the folder or the book is open to other users.
    pub fn open(node: &Path) -> Result<Self, TokenError> {
        let folder = node.join(FOLDER);
        files::make_folder(&folder)?;
        let mut tokens = Self {
            folder,
            read: None,
            tokens: Vec::new(),
        };
        tokens.reload()?;
        Ok(tokens)
    }

    /// Makes a token and returns the path of the file that holds it, which is what its client is
    /// given (`--token-file`). The daemon knows it within a second.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn add(
        &mut self,
        name: &str,
        roles: impl IntoIterator<Item = Role>,
        ceiling: Tlp,
        now: Timestamp,
    ) -> Result<PathBuf, TokenError> {
        check_name(name)?;
        let roles: BTreeSet<Role> = roles.into_iter().collect();
        if roles.is_empty() {
            return Err(TokenError::NoRole);
        }
        let _lock = self.lock()?;
        self.reload()?;
        if self.list().any(|token| token.name == name) {
            return Err(TokenError::Exists(name.to_owned()));
        }
        if self.tokens.len() >= MOST {
            return Err(TokenError::TooMany);
        }
        let text = generate()?;
        let path = self.token_file(name);
        files::replace(&path, text.as_bytes())?;
        let token = Token {
            name: name.to_owned(),
            roles,
            ceiling,
            created: now,
        };
        self.tokens.push((hash(text.trim_end()), token));
        self.save()?;
        Ok(path)
    }

    /// Ends a token and removes its file. The daemon refuses it within a second.
    ///
    /// # Errors
    /// [`TokenError::Unknown`] if there is none of that name, and what reading and writing yields.
    pub fn revoke(&mut self, name: &str) -> Result<(), TokenError> {
        let _lock = self.lock()?;
        self.reload()?;
        let before = self.tokens.len();
        self.tokens.retain(|(_, token)| token.name != name);
        if self.tokens.len() == before {
            return Err(TokenError::Unknown(name.to_owned()));
        }
        // The book first: once it is written the token is worth nothing, file or no file.
        self.save()?;
        files::remove(&self.token_file(name))
    }

    /// The tokens in the order of their names.
    pub fn list(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter().map(|(_, token)| token)
    }

    /// The token that a request bears. Takes as long whichever it is.
    pub fn check(&self, bearer: &str) -> Option<Token> {
        let presented = hash(bearer);
        let mut found = None;
        for (kept, token) in &self.tokens {
            if bool::from(kept.ct_eq(&presented)) {
                found = Some(token);
            }
        }
        found.cloned()
    }

    /// Reads the book again if it was replaced; tells whether it was.
    ///
    /// # Errors
    /// [`TokenError`]; nobody is known then, until the book can be read again.
    pub fn reload_if_changed(&mut self) -> Result<bool, TokenError> {
        if files::stamp(&self.book())? == self.read {
            return Ok(false);
        }
        self.reload().map(|()| true)
    }

    fn reload(&mut self) -> Result<(), TokenError> {
        // What cannot be read lets nobody in: it may have been replaced to revoke a token. Without
        // a stamp it is tried again, for a mended mode leaves the file as it was otherwise.
        self.tokens.clear();
        self.read = None;
        let path = self.book();
        let stamp = files::stamp(&path)?;
        if stamp.is_some() {
            let text = files::read(&path)?;
            self.tokens = parse(&text).map_err(|reason| TokenError::Malformed { path, reason })?;
            self.read = stamp;
        }
        Ok(())
    }

    fn save(&mut self) -> Result<(), TokenError> {
        self.tokens.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        let kept = self.tokens.iter().map(|(hash, token)| {
            let kept = Kept {
                hash: data_encoding::HEXLOWER.encode(hash),
                roles: token.roles.clone(),
                ceiling: token.ceiling,
                created: token.created,
            };
            (token.name.clone(), kept)
        });
        let book = Book {
            format: FORMAT,
            tokens: kept.collect(),
        };
        let path = self.book();
        let text = serde_json::to_string_pretty(&book).map_err(|error| TokenError::Malformed {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        files::replace(&path, text.as_bytes())?;
        self.read = files::stamp(&path)?;
        Ok(())
    }

    /// Keeps a second command from changing the book at the same moment.
    fn lock(&self) -> Result<File, TokenError> {
        let path = self.folder.join(LOCK);
        let locked = files::open_private(&path).and_then(|file| file.lock().map(|()| file));
        locked.map_err(|source| TokenError::Io { path, source })
    }

    fn book(&self) -> PathBuf {
        self.folder.join(BOOK)
    }

    fn token_file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.token"))
    }
}

fn parse(text: &str) -> Result<Vec<([u8; 32], Token)>, String> {
    let book: Book = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if book.format != FORMAT {
        return Err(format!(
            "its format is {}, and this program reads {FORMAT}",
            book.format
        ));
    }
    if book.tokens.len() > MOST {
        return Err(format!("it holds more than {MOST} tokens"));
    }
    let read = |(name, kept): (String, Kept)| {
        check_name(&name).map_err(|error| error.to_string())?;
        let hash = data_encoding::HEXLOWER.decode(kept.hash.as_bytes());
        let hash = hash.ok().and_then(|bytes| bytes.try_into().ok());
        let hash = hash.ok_or_else(|| format!("the hash of `{name}` is none"))?;
        let token = Token {
            name,
            roles: kept.roles,
            ceiling: kept.ceiling,
            created: kept.created,
        };
        Ok((hash, token))
    };
    book.tokens.into_iter().map(read).collect()
}

/// A new token with its line end, as it stands in its file.
fn generate() -> Result<Zeroizing<String>, TokenError> {
    let mut random = Zeroizing::new([0; RANDOM]);
    rand::rngs::SysRng
        .try_fill_bytes(random.as_mut_slice())
        .map_err(TokenError::Randomness)?;
    let encoded = Zeroizing::new(BASE64URL_NOPAD.encode(random.as_slice()));
    Ok(Zeroizing::new(format!("{PREFIX}{}\n", encoded.as_str())))
}

fn hash(token: &str) -> [u8; 32] {
    *blake3::hash(token.as_bytes()).as_bytes()
}

/// A name is part of a file's name, so nothing that could lead out of the folder is one.
fn check_name(name: &str) -> Result<(), TokenError> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let holds = (1..=NAME).contains(&name.len())
        && name.chars().all(|c| letter(c) || c == '-')
        && name.starts_with(letter)
        && name.ends_with(letter);
    if holds {
        Ok(())
    } else {
        Err(TokenError::Name(
            name.chars().take(NAME).flat_map(char::escape_debug).collect(),
        ))
    }
}
