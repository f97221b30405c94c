//! Where the secret around a wrapped master key comes from: a private file, a variable of the
//! environment, or a credential that systemd hands the service.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use zeroize::Zeroizing;

use super::{KeystoreError, open_existing};

/// Most bytes of a secret read from anywhere.
const LONGEST: usize = 4 << 10;
/// The variable in which systemd names the folder of a service's credentials (systemd.exec).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Where a secret comes from; written `file:PATH`, `env:NAME` or `credential:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file of mode 0600 or narrower. A path that is not absolute starts at the node's folder.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
    /// A file of this name in systemd's credentials folder.
    Credential(String),
}

/// A text that names no [`Source`]. It is not shown: it may be a secret in the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it names no place of a secret: file:PATH, env:NAME or credential:NAME does")]
pub struct NoSource;

impl FromStr for Source {
    type Err = NoSource;

    fn from_str(text: &str) -> Result<Self, NoSource> {
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(PathBuf::from(path))),
            Some(("env", name)) if !name.is_empty() && !name.contains('=') => {
                Ok(Self::Environment(name.to_owned()))
            }
            Some(("credential", name)) if is_credential(name) => Ok(Self::Credential(name.to_owned())),
            _ => Err(NoSource),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Environment(name) => write!(f, "env:{name}"),
            Self::Credential(name) => write!(f, "credential:{name}"),
        }
    }
}

/// Whether a name is one that a credential can have: a plain file name.
pub(crate) fn is_credential(name: &str) -> bool {
    let plain = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    plain && (1..=128).contains(&name.len()) && !name.starts_with('.')
}

impl Source {
    /// Reads a passphrase, without the line end that an editor leaves behind it.
    ///
    /// # Errors
    /// [`KeystoreError::NoSecret`], [`KeystoreError::Missing`], [`KeystoreError::Permissions`],
    /// [`KeystoreError::SecretSize`] if it is empty or over 4 KiB, [`KeystoreError::Io`].
    pub fn passphrase(&self, folder: &Path) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        let mut secret = self.read(folder, &|name| std::env::var_os(name))?;
        for end in [b'\n', b'\r'] {
            if secret.last() == Some(&end) {
                secret.pop();
            }
        }
        if secret.is_empty() {
            return Err(KeystoreError::SecretSize(self.to_string()));
        }
        Ok(secret)
    }

    /// Reads a key, byte for byte.
    ///
    /// # Errors
    /// Those of [`Source::passphrase`].
    pub fn key(&self, folder: &Path) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        self.read(folder, &|name| std::env::var_os(name))
    }

    pub(super) fn read(
        &self,
        folder: &Path,
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        let missing = |what: &str| KeystoreError::NoSecret(what.to_owned());
        let secret = match self {
            Self::Environment(name) => {
                let value = variable(name).ok_or_else(|| missing(name))?;
                Zeroizing::new(value.as_bytes().to_vec())
            }
            Self::File(path) => {
                let path = folder.join(path);
                let file = open_existing(&path)?;
                super::refuse_open_to_others(&file, &path)?;
                bounded(file, &path)?
            }
            Self::Credential(name) => {
                let credentials = variable(CREDENTIALS).ok_or_else(|| missing(CREDENTIALS))?;
                let path = Path::new(&credentials).join(name);
                // systemd guards its folder itself, by access lists that look like group rights.
                bounded(open_existing(&path)?, &path)?
            }
        };
        if secret.is_empty() || secret.len() > LONGEST {
            return Err(KeystoreError::SecretSize(self.to_string()));
        }
        Ok(secret)
    }
}

fn bounded(file: File, path: &Path) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
    // Room for all of it at once: a vector that grows leaves copies behind.
    let mut secret = Zeroizing::new(Vec::with_capacity(LONGEST + 64));
    file.take(LONGEST as u64 + 1)
        .read_to_end(&mut secret)
        .map_err(|e| KeystoreError::Io(path.to_owned(), e))?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn each_place_gives_its_secret_and_says_what_is_wrong_with_it() {
        let home = tempfile::tempdir().unwrap();
        let credentials = home.path().as_os_str().to_owned();
        let variable = |name: &str| match name {
            CREDENTIALS => Some(credentials.clone()),
            "PASS" => Some("from the environment".into()),
            "EMPTY" => Some("".into()),
            _ => None,
        };
        let read = |text: &str| text.parse::<Source>().unwrap().read(home.path(), &variable);
        let path = home.path().join("pass");
        fs::write(&path, "from a file\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read("file:pass"), Err(KeystoreError::Permissions(_))));
        assert_eq!(read("credential:pass").unwrap().as_slice(), b"from a file\n");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read("file:pass").unwrap().as_slice(), b"from a file\n");
        let trimmed = Source::File("pass".into()).passphrase(home.path()).unwrap();
        assert_eq!(trimmed.as_slice(), b"from a file");
        assert_eq!(read("env:PASS").unwrap().as_slice(), b"from the environment");
        assert!(matches!(read("env:NONE"), Err(KeystoreError::NoSecret(_))));
        assert!(matches!(read("env:EMPTY"), Err(KeystoreError::SecretSize(_))));
        assert!(matches!(read("credential:none"), Err(KeystoreError::Missing(_))));
        fs::write(&path, vec![b'x'; LONGEST + 1]).unwrap();
        assert!(matches!(read("file:pass"), Err(KeystoreError::SecretSize(_))));
        for text in ["pass", "file:", "credential:../pass", "env:", "secret:x"] {
            assert!(text.parse::<Source>().is_err(), "{text}");
        }
    }
}
