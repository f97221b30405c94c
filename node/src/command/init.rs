//! `hansed init`: a new node's folder.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hanse_protocol::charter::member::Profile;
use hanse_protocol::local::Role;
use hanse_protocol::tlp::Tlp;

use super::{Failure, InitArgs, say};
use crate::keystore::{Keystore, KeystoreError};
use crate::member::{Member, MemberError};
use crate::settings::{self, Settings, SettingsError};
use crate::tokens::{TokenError, Tokens};
use crate::{clock, daemon};

/// The token that `init` makes.
const ADMIN: &str = "admin";

/// Why a node could not be made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The folder.
    #[error("the folder `{0}` could not be made")]
    Folder(PathBuf, #[source] std::io::Error),
    /// Something of a node is there already.
    #[error("`{0}` is there already")]
    Exists(PathBuf),
    /// The settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The keystore.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// The member's keys.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// The token.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// Makes a node in `dir`: settings, keys, and a token with every role but no sight of RED. Nothing that is
/// there already is touched, but for what an earlier `init` made that was broken off: a file beside it says
/// so, from before the first until after the last is on disk.
///
/// # Errors
/// [`InitError`].
pub fn init(dir: &Path, profile: &Profile) -> Result<(), InitError> {
    let fresh = !dir.exists();
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| InitError::Folder(dir.to_owned(), source))?;
    let mark = daemon::initialising(dir);
    if mark.exists() {
        clear(dir)?;
    } else {
        is_free(dir)?;
        let marked = File::create(&mark).and_then(|mark| mark.sync_all());
        marked
            .and_then(|()| sync(dir))
            .map_err(|source| InitError::Folder(dir.to_owned(), source))?;
    }
    let filled = fill(dir, profile).and_then(|()| done(dir));
    filled.inspect_err(|_| {
        // Only an empty folder goes away: what stands in one is not touched.
        drop(clear(dir).and_then(|()| done(dir)));
        if fresh {
            drop(fs::remove_dir(dir));
        }
    })
}

/// Whether nothing is in the way of a node: its settings, keys and tokens would be new.
fn is_free(dir: &Path) -> Result<(), InitError> {
    let settings = dir.join(settings::FILE);
    if settings.exists() {
        return Err(SettingsError::Exists(settings).into());
    }
    let keys = daemon::keys_folder(dir);
    if let Some(key) = inside(&keys)?.into_iter().next() {
        return Err(KeystoreError::Exists(key).into());
    }
    match inside(&tokens_folder(dir))?.into_iter().next() {
        Some(token) => Err(InitError::Exists(token)),
        None => Ok(()),
    }
}

/// Takes away what an `init` made that did not come to its end.
fn clear(dir: &Path) -> Result<(), InitError> {
    let mut made = inside(&daemon::keys_folder(dir))?;
    made.extend(inside(&tokens_folder(dir))?);
    made.push(dir.join(settings::FILE));
    for path in made {
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(InitError::Folder(path, source));
            }
            _ => {}
        }
    }
    for folder in [daemon::keys_folder(dir), tokens_folder(dir)] {
        // It may have been there before, and belong to somebody else.
        drop(fs::remove_dir(folder));
    }
    Ok(())
}

/// Takes the mark away, once everything is on disk.
fn done(dir: &Path) -> Result<(), InitError> {
    let unmarked = sync(dir)
        .and_then(|()| fs::remove_file(daemon::initialising(dir)))
        .and_then(|()| sync(dir));
    unmarked.map_err(|source| InitError::Folder(dir.to_owned(), source))
}

fn fill(dir: &Path, profile: &Profile) -> Result<(), InitError> {
    Settings::write_new(dir, profile)?;
    // Wrapped from the start if the environment says so.
    let wrapping = daemon::wrapping(dir, &Settings::load(dir)?)?;
    let keystore = Keystore::create_under(&daemon::keys_folder(dir), &wrapping)?;
    Member::create(&keystore)?;
    let roles = [Role::Read, Role::Publish, Role::Admin];
    Tokens::open(dir)?.add(ADMIN, roles, Tlp::AmberStrict, clock::now())?;
    Ok(())
}

/// What a folder holds; nothing if there is none.
fn inside(folder: &Path) -> Result<Vec<PathBuf>, InitError> {
    let failed = |source| InitError::Folder(folder.to_owned(), source);
    match fs::read_dir(folder) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries
            .map_err(failed)?
            .map(|entry| entry.map(|entry| entry.path()).map_err(failed))
            .collect(),
    }
}

fn tokens_folder(dir: &Path) -> PathBuf {
    dir.join(crate::tokens::FOLDER)
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

pub(super) fn run(dir: &Path, arguments: InitArgs) -> Result<ExitCode, Failure> {
    let profile = Profile::from(arguments);
    init(dir, &profile).map_err(|error| {
        let exists = matches!(
            error,
            InitError::Exists(_)
                | InitError::Settings(SettingsError::Exists(_))
                | InitError::Keystore(KeystoreError::Exists(_))
        );
        Failure {
            error: Box::new(error),
            hint: exists.then_some("`init` never overwrites; choose an empty folder"),
        }
    })?;
    let dir = dir.display();
    say(&format!(
        "made a node for {handle} in {dir}\n\
         \n\
         settings     {dir}/hansed.toml   (every default explained; set mesh.external to where others dial you)\n\
         keys         {dir}/keys          (back up keys/master.key apart from the rest)\n\
         admin token  {dir}/tokens/admin.token   (its ceiling is AMBER+STRICT: it is not shown RED)\n\
         \n\
         next:  hansed serve --dir {dir}\n\
         RED:   hansed token add red --role read --ceiling red --dir {dir}\n",
        handle = profile.handle,
    ));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use hanse_protocol::charter::member::MemberKind;

    use super::*;

    fn profile() -> Profile {
        Profile {
            handle: "acme-water".parse().unwrap(),
            name: "ACME Water".to_owned(),
            kind: MemberKind::Utility,
            sector: String::new(),
            country: "DE".to_owned(),
        }
    }

    fn is_whole(dir: &Path) {
        assert!(!daemon::initialising(dir).exists());
        let settings = Settings::load(dir).unwrap();
        daemon::open_member(dir, &settings).unwrap();
        assert_eq!(Tokens::open(dir).unwrap().list().count(), 1);
    }

    /// A power cut leaves any of what was made so far, each whole, torn or empty.
    #[test]
    fn what_a_power_cut_left_of_an_init_is_begun_anew() {
        let home = tempfile::tempdir().unwrap();
        let whole = home.path().join("whole");
        init(&whole, &profile()).unwrap();
        is_whole(&whole);
        let mut files = inside(&daemon::keys_folder(&whole)).unwrap();
        files.extend(inside(&tokens_folder(&whole)).unwrap());
        files.push(whole.join(settings::FILE));
        assert!(files.len() >= 6, "{files:?}");
        for torn in 0..=files.len() {
            for half in [false, true] {
                let dir = home.path().join(format!("torn-{torn}-{half}"));
                for folder in [daemon::keys_folder(&dir), tokens_folder(&dir)] {
                    fs::create_dir_all(folder).unwrap();
                }
                fs::write(daemon::initialising(&dir), "").unwrap();
                for (number, file) in files.iter().enumerate().take(torn) {
                    let mut bytes = fs::read(file).unwrap();
                    if half && number + 1 == torn {
                        bytes.truncate(bytes.len() / 2);
                    }
                    fs::write(dir.join(file.strip_prefix(&whole).unwrap()), bytes).unwrap();
                }
                init(&dir, &profile()).unwrap();
                is_whole(&dir);
            }
        }
    }

    #[test]
    fn what_was_there_before_is_not_touched() {
        let home = tempfile::tempdir().unwrap();
        for name in ["hansed.toml", "keys/master.key", "tokens/tokens.json"] {
            let dir = home.path().join(name.replace('/', "-"));
            let file = dir.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "mine").unwrap();
            init(&dir, &profile()).unwrap_err();
            assert_eq!(fs::read(&file).unwrap(), b"mine");
            assert!(!daemon::initialising(&dir).exists());
            assert_eq!(inside(&dir).unwrap().len(), 1, "nothing was put beside it");
        }
    }

    #[tokio::test]
    async fn a_node_that_is_not_made_to_its_end_does_not_start() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("node");
        init(&dir, &profile()).unwrap();
        fs::write(daemon::initialising(&dir), "").unwrap();
        let settings = Settings::load(&dir).unwrap();
        let served = daemon::serve(&dir, settings, Default::default()).await;
        assert!(matches!(served, Err(daemon::DaemonError::Initialising(_))));
    }
}
