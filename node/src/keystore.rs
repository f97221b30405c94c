//! Keys at rest: the master key in a file only its owner may read, bare or wrapped, sub-keys of it
//! for every purpose, and small secrets in files sealed under one of them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::TryRng;
use rand::rngs::SysRng;
use zeroize::{Zeroize, Zeroizing};

mod source;
#[cfg(test)]
mod tests;
mod wrapping;

pub(crate) use source::is_credential;
pub use source::{NoSource, Source};
pub use wrapping::{CREDENTIAL, Kind, PASSPHRASE, Wrapping};

/// Largest secret that a sealed file holds, bytes: a key is 32, a hybrid private key under 4 KiB.
pub const SECRET: usize = 64 << 10;

/// Name of the master key's file.
const MASTER: &str = "master.key";
/// First bytes of a sealed file.
const MAGIC: &[u8; 4] = b"HSEC";
/// Layout of sealed files; a larger number is refused.
const FORMAT: u16 = 1;
/// Magic and format number.
const PREFIX: usize = 6;
const NONCE: usize = 24;
const TAG: usize = 16;

/// The node's master key: 32 random bytes, wiped when dropped, never printed.
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// A key from its bytes, for callers that unwrapped it elsewhere.
    pub fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// The sub-key for `purpose`, by BLAKE3 in its key derivation mode. Different purposes give
    /// keys that say nothing about one another.
    pub fn subkey(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut hasher = blake3::Hasher::new_derive_key(&format!("hanse at rest 1: {purpose}"));
        hasher.update(self.0.as_slice());
        let mut key = Zeroizing::new([0; 32]);
        hasher.finalize_xof().fill(key.as_mut_slice());
        hasher.zeroize();
        key
    }
}

/// A folder of keys: the master key and the files sealed under it.
pub struct Keystore {
    folder: PathBuf,
    master: MasterKey,
}

/// Why the keystore did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// There is no such file.
    #[error("`{}` is missing", .0.display())]
    Missing(PathBuf),
    /// A master key would have been replaced.
    #[error("`{}` is there already and is never replaced", .0.display())]
    Exists(PathBuf),
    /// Others than the owner may use a file with a secret.
    #[error("`{}` is open to others: chmod 600 {}", .0.display(), .0.display())]
    Permissions(PathBuf),
    /// A key or sealed file of another shape: cut short, or no such file at all.
    #[error("`{}` is not a key file of this format", .0.display())]
    Malformed(PathBuf),
    /// A sealed file of a format this version cannot know.
    #[error("`{}` has format {format}, newer than this version reads", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format number it bears.
        format: u16,
    },
    /// The file was sealed under another master key or name, or was changed since.
    #[error("`{}` does not open under this master key: another key's file, renamed or tampered with", .0.display())]
    Unauthentic(PathBuf),
    /// The master key is not wrapped as was said.
    #[error("`{}` is of kind `{found}`, but `{asked}` was asked for: see keys.master, and `hansed rekey`", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// How it is wrapped.
        found: Kind,
        /// How it was said to be.
        asked: Kind,
    },
    /// The secret does not open the master key.
    #[error("this {kind} does not open `{}`", path.display())]
    WrongSecret {
        /// The file.
        path: PathBuf,
        /// How it is wrapped.
        kind: Kind,
    },
    /// The master key's file has been damaged; no secret opens it.
    #[error("`{}` is damaged: bring it back from your backup", .0.display())]
    Damaged(PathBuf),
    /// A secret too short to wrap a key under.
    #[error("the {0} is under {1} bytes, too short to guard a key")]
    Weak(Kind, usize),
    /// A variable that should hold a secret, or the way to it, is not set.
    #[error("the variable `{0}` is not set")]
    NoSecret(String),
    /// A secret that is empty or over 4 KiB.
    #[error("the secret at `{0}` is empty or longer than 4 KiB")]
    SecretSize(String),
    /// Argon2id refused its parameters or had no memory.
    #[error("the passphrase cannot be stretched")]
    Stretching(#[source] argon2::Error),
    /// A name that is no plain file name of the keystore.
    #[error("`{0}` is no name of a key file: lower-case letters, digits, hyphens and inner dots are")]
    Name(String),
    /// A secret over [`SECRET`] bytes.
    #[error("a secret of {0} bytes is over the {SECRET} a key file holds")]
    TooLarge(usize),
    /// The operating system gave no randomness.
    #[error("no randomness to be had from the operating system")]
    Randomness,
    /// Reading or writing failed.
    #[error("cannot use `{}`", .0.display())]
    Io(PathBuf, #[source] io::Error),
}

impl Keystore {
    /// As [`Keystore::create_under`], with the bare key in the file.
    ///
    /// # Errors
    /// Those of [`Keystore::create_under`].
    pub fn create(folder: &Path) -> Result<Self, KeystoreError> {
        Self::create_under(folder, &Wrapping::Bare)
    }

    /// Makes `folder` (0700) with a fresh master key (0600) in it, wrapped, both on disk before
    /// returning.
    ///
    /// # Errors
    /// [`KeystoreError::Exists`] if there is a master key already, [`KeystoreError::Weak`].
    pub fn create_under(folder: &Path, wrapping: &Wrapping) -> Result<Self, KeystoreError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|e| KeystoreError::Io(folder.to_owned(), e))?;
        let path = folder.join(MASTER);
        let mut key = Zeroizing::new([0; 32]);
        SysRng
            .try_fill_bytes(key.as_mut_slice())
            .map_err(|_| KeystoreError::Randomness)?;
        let master = MasterKey(key);
        let content = wrapping::wrap(&master, wrapping)?;
        write_new(&path, &content).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => KeystoreError::Exists(path.clone()),
            _ => KeystoreError::Io(path.clone(), e),
        })?;
        sync_folder(folder)?;
        if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_folder(parent)?;
        }
        Ok(Self {
            folder: folder.to_owned(),
            master,
        })
    }

    /// As [`Keystore::open_under`], for a bare key.
    ///
    /// # Errors
    /// Those of [`Keystore::open_under`].
    pub fn open(folder: &Path) -> Result<Self, KeystoreError> {
        Self::open_under(folder, &Wrapping::Bare)
    }

    /// Opens the keystore in `folder`, whose master key is wrapped as said.
    ///
    /// # Errors
    /// [`KeystoreError::Missing`] without a master key, [`KeystoreError::Permissions`] if group or
    /// others have any right to it, [`KeystoreError::Malformed`], [`KeystoreError::Newer`] and
    /// [`KeystoreError::Damaged`] for a file that is none of ours or no longer whole,
    /// [`KeystoreError::Kind`] if it is wrapped otherwise, [`KeystoreError::WrongSecret`].
    pub fn open_under(folder: &Path, wrapping: &Wrapping) -> Result<Self, KeystoreError> {
        // What a rewrap broken off left behind may be the bare key.
        drop(fs::remove_file(draft(folder, MASTER)));
        let path = folder.join(MASTER);
        let master = wrapping::unwrap(&content(&path)?, wrapping, &path)?;
        Ok(Self {
            folder: folder.to_owned(),
            master,
        })
    }

    /// How the master key in `folder` is wrapped; needs no secret.
    ///
    /// # Errors
    /// Those of [`Keystore::open_under`] but for the last two.
    pub fn kind(folder: &Path) -> Result<Kind, KeystoreError> {
        let path = folder.join(MASTER);
        wrapping::kind(&content(&path)?, &path)
    }

    /// Wraps the master key anew, in one step: whenever it is broken off, the file opens as before
    /// or as asked here. The key itself, and all that is sealed under it, stays as it is. What the
    /// file held before is overwritten on disk as far as the file system lets us.
    ///
    /// # Errors
    /// [`KeystoreError::Weak`], and [`KeystoreError::Io`] for a disk that fails; before the rename
    /// the old file stands.
    pub fn rewrap(&self, wrapping: &Wrapping) -> Result<(), KeystoreError> {
        let path = self.folder.join(MASTER);
        let failed = |e| KeystoreError::Io(path.clone(), e);
        let mut old = OpenOptions::new().write(true).open(&path).map_err(failed)?;
        let bytes = wrapping::wrap(&self.master, wrapping)?;
        let draft = self.draft(MASTER, &bytes).map_err(failed)?;
        // What is on disk must open before it takes the place of what does.
        wrapping::unwrap(&content(&draft)?, wrapping, &draft)?;
        fs::rename(&draft, &path).map_err(failed)?;
        sync_folder(&self.folder)?;
        // With another name to it, such as a backup by hard link, it is not ours alone to wipe.
        let metadata = old.metadata().map_err(failed)?;
        if metadata.nlink() == 0 {
            let blank = vec![0; usize::try_from(metadata.len()).unwrap_or(0)];
            old.write_all(&blank)
                .and_then(|()| old.sync_all())
                .map_err(failed)?;
        }
        Ok(())
    }

    /// Writes the keystore to another folder, which is made (0700), with the master key wrapped as
    /// said: however it is kept here, it is never written there in another way.
    ///
    /// # Errors
    /// [`KeystoreError::Exists`], [`KeystoreError::Weak`], [`KeystoreError::Io`].
    pub fn export(&self, folder: &Path, wrapping: &Wrapping) -> Result<(), KeystoreError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |e: io::Error| match e.kind() {
                io::ErrorKind::AlreadyExists => KeystoreError::Exists(path),
                _ => KeystoreError::Io(path, e),
            }
        };
        let content = wrapping::wrap(&self.master, wrapping)?;
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(failed(folder))?;
        let master = folder.join(MASTER);
        write_new(&master, &content).map_err(failed(&master))?;
        for item in fs::read_dir(&self.folder).map_err(failed(&self.folder))? {
            let path = item.map_err(failed(&self.folder))?.path();
            let name = path.file_name().unwrap_or_default();
            let hidden = name.to_str().is_none_or(|name| name.starts_with('.'));
            if hidden || name == MASTER || !path.is_file() {
                continue;
            }
            // Sealed under the master key, and bound to its name.
            let bytes = fs::read(&path).map_err(failed(&path))?;
            if bytes.starts_with(MAGIC) {
                let to = folder.join(name);
                write_new(&to, &bytes).map_err(failed(&to))?;
            }
        }
        sync_folder(folder)
    }

    /// The master key.
    pub fn master(&self) -> &MasterKey {
        &self.master
    }

    /// Seals `plaintext` into the file `name`, replacing an older one in one step: after a power
    /// cut the file holds the old secret or the new one.
    ///
    /// # Errors
    /// [`KeystoreError::Name`], [`KeystoreError::TooLarge`], [`KeystoreError::Io`].
    pub fn seal_file(&self, name: &str, plaintext: &[u8]) -> Result<(), KeystoreError> {
        let path = self.path(name)?;
        if plaintext.len() > SECRET {
            return Err(KeystoreError::TooLarge(plaintext.len()));
        }
        let mut nonce = [0; NONCE];
        SysRng
            .try_fill_bytes(&mut nonce)
            .map_err(|_| KeystoreError::Randomness)?;
        let sealed = self
            .cipher()
            .encrypt(
                &XNonce::from(nonce),
                Payload {
                    msg: plaintext,
                    aad: &associated(name),
                },
            )
            .map_err(|_| KeystoreError::TooLarge(plaintext.len()))?;
        let mut bytes = Vec::with_capacity(PREFIX + NONCE + sealed.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_be_bytes());
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        self.replace(&path, name, &bytes)
    }

    /// Opens the file `name` that [`Keystore::seal_file`] wrote.
    ///
    /// # Errors
    /// [`KeystoreError::Missing`], [`KeystoreError::Malformed`], [`KeystoreError::Newer`], and
    /// [`KeystoreError::Unauthentic`] for a wrong key, another file's content or a changed byte.
    pub fn open_file(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        let path = self.path(name)?;
        let file = open_existing(&path)?;
        let bound = (PREFIX + NONCE + SECRET + TAG) as u64;
        let mut bytes = Vec::new();
        file.take(bound + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| KeystoreError::Io(path.clone(), e))?;
        if bytes.len() as u64 > bound {
            return Err(KeystoreError::Malformed(path));
        }
        let Some((format, nonce, sealed)) = split(&bytes) else {
            return Err(KeystoreError::Malformed(path));
        };
        if format > FORMAT {
            return Err(KeystoreError::Newer { path, format });
        }
        self.cipher()
            .decrypt(
                &XNonce::from(nonce),
                Payload {
                    msg: sealed,
                    aad: &associated(name),
                },
            )
            .map(Zeroizing::new)
            .map_err(|_| KeystoreError::Unauthentic(path))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.master.subkey("key files")).into())
    }

    fn path(&self, name: &str) -> Result<PathBuf, KeystoreError> {
        let plain = name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
        if plain && (1..=64).contains(&name.len()) && !name.starts_with('.') && name != MASTER {
            Ok(self.folder.join(name))
        } else {
            Err(KeystoreError::Name(name.chars().take(64).collect()))
        }
    }

    fn replace(&self, path: &Path, name: &str, bytes: &[u8]) -> Result<(), KeystoreError> {
        let failed = |e| KeystoreError::Io(path.to_owned(), e);
        let draft = self.draft(name, bytes).map_err(failed)?;
        fs::rename(&draft, path).map_err(failed)?;
        sync_folder(&self.folder)
    }

    /// Writes what is to become the file `name`, in place of a draft that was broken off.
    fn draft(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let draft = draft(&self.folder, name);
        match fs::remove_file(&draft) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        write_new(&draft, bytes)?;
        Ok(draft)
    }
}

/// Where the file `name` is written before it takes its place. A leading dot keeps it out of the
/// names a caller can ask for.
fn draft(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!(".{name}.new"))
}

/// What binds a sealed file's content to its name and layout.
fn associated(name: &str) -> Vec<u8> {
    let mut bytes = FORMAT.to_be_bytes().to_vec();
    bytes.extend_from_slice(name.as_bytes());
    bytes
}

fn split(bytes: &[u8]) -> Option<(u16, [u8; NONCE], &[u8])> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (format, rest) = rest.split_first_chunk::<2>()?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE>()?;
    (sealed.len() >= TAG).then_some((u16::from_be_bytes(*format), *nonce, sealed))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// What the master key's file holds, if it is private and of a length that one can have.
fn content(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
    let file = open_existing(path)?;
    refuse_open_to_others(&file, path)?;
    let most = wrapping::WRAPPED + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(most));
    file.take(most as u64)
        .read_to_end(&mut bytes)
        .map_err(|e| KeystoreError::Io(path.to_owned(), e))?;
    Ok(bytes)
}

/// Asked of the open file, not of the path, so that nothing can be swapped in between.
fn refuse_open_to_others(file: &File, path: &Path) -> Result<(), KeystoreError> {
    let metadata = file
        .metadata()
        .map_err(|e| KeystoreError::Io(path.to_owned(), e))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(KeystoreError::Permissions(path.to_owned()));
    }
    Ok(())
}

fn open_existing(path: &Path) -> Result<File, KeystoreError> {
    File::open(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => KeystoreError::Missing(path.to_owned()),
        _ => KeystoreError::Io(path.to_owned(), e),
    })
}

fn sync_folder(folder: &Path) -> Result<(), KeystoreError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| KeystoreError::Io(folder.to_owned(), e))
}
