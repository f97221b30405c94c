//! Keys at rest: the master key in a file only its owner may read, sub-keys of it for every
//! purpose, and small secrets in files sealed under one of them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::TryRng;
use rand::rngs::SysRng;
use zeroize::{Zeroize, Zeroizing};

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
    /// Others than the owner may use the master key.
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
    /// Makes `folder` (0700) with a fresh master key (0600) in it, both on disk before returning.
    ///
    /// # Errors
    /// [`KeystoreError::Exists`] if there is a master key already.
    pub fn create(folder: &Path) -> Result<Self, KeystoreError> {
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
        write_new(&path, key.as_slice()).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => KeystoreError::Exists(path.clone()),
            _ => KeystoreError::Io(path.clone(), e),
        })?;
        sync_folder(folder)?;
        if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_folder(parent)?;
        }
        Ok(Self {
            folder: folder.to_owned(),
            master: MasterKey(key),
        })
    }

    /// Opens the keystore in `folder`.
    ///
    /// # Errors
    /// [`KeystoreError::Missing`] without a master key, [`KeystoreError::Permissions`] if group or
    /// others have any right to it, [`KeystoreError::Malformed`] if it is not 32 bytes.
    pub fn open(folder: &Path) -> Result<Self, KeystoreError> {
        let path = folder.join(MASTER);
        let mut file = open_existing(&path)?;
        let failed = |e| KeystoreError::Io(path.clone(), e);
        // Asked of the open file, not of the path, so that nothing can be swapped in between.
        let metadata = file.metadata().map_err(failed)?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(KeystoreError::Permissions(path));
        }
        if metadata.len() != 32 {
            return Err(KeystoreError::Malformed(path));
        }
        let mut key = Zeroizing::new([0; 32]);
        file.read_exact(key.as_mut_slice()).map_err(failed)?;
        Ok(Self {
            folder: folder.to_owned(),
            master: MasterKey(key),
        })
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
        // A leading dot keeps the draft out of the names a caller can ask for.
        let draft = self.folder.join(format!(".{name}.new"));
        let failed = |e| KeystoreError::Io(path.to_owned(), e);
        match fs::remove_file(&draft) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
        write_new(&draft, bytes).map_err(failed)?;
        fs::rename(&draft, path).map_err(failed)?;
        sync_folder(&self.folder)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_back_after_reopening_and_only_under_its_name() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("keys");
        let store = Keystore::create(&folder).unwrap();
        store.seal_file("signing.key", b"first").unwrap();
        store.seal_file("signing.key", b"second").unwrap();

        let store = Keystore::open(&folder).unwrap();
        assert_eq!(store.open_file("signing.key").unwrap().as_slice(), b"second");
        fs::rename(folder.join("signing.key"), folder.join("sealing.key")).unwrap();
        assert!(matches!(
            store.open_file("signing.key"),
            Err(KeystoreError::Missing(_))
        ));
        assert!(matches!(
            store.open_file("sealing.key"),
            Err(KeystoreError::Unauthentic(_))
        ));
        assert!(matches!(store.open_file("../etc/x"), Err(KeystoreError::Name(_))));
        assert!(matches!(Keystore::create(&folder), Err(KeystoreError::Exists(_))));
    }

    #[test]
    fn a_master_key_open_to_others_is_refused_with_the_remedy() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("keys");
        Keystore::create(&folder).unwrap();
        let path = folder.join(MASTER);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refusal = Keystore::open(&folder).err().unwrap().to_string();
        assert!(refusal.contains("chmod 600"), "{refusal}");
    }

    #[test]
    fn a_changed_byte_a_wrong_key_a_cut_and_a_newer_format_are_told_apart() {
        let home = tempfile::tempdir().unwrap();
        let (ours, theirs) = (home.path().join("ours"), home.path().join("theirs"));
        let store = Keystore::create(&ours).unwrap();
        store.seal_file("node.key", &[7; 32]).unwrap();
        let sealed = fs::read(ours.join("node.key")).unwrap();
        let other = Keystore::create(&theirs).unwrap();
        fs::write(theirs.join("node.key"), &sealed).unwrap();
        assert!(matches!(
            other.open_file("node.key"),
            Err(KeystoreError::Unauthentic(_))
        ));

        let attempt = |bytes: &[u8]| {
            fs::write(ours.join("node.key"), bytes).unwrap();
            store.open_file("node.key").err().unwrap()
        };
        let mut changed = sealed.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(matches!(attempt(&changed), KeystoreError::Unauthentic(_)));
        assert!(matches!(attempt(&sealed[..40]), KeystoreError::Malformed(_)));
        let mut newer = sealed;
        newer[5] = 2;
        assert!(matches!(attempt(&newer), KeystoreError::Newer { format: 2, .. }));
    }
}
