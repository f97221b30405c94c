//! `hansed init`: a new node's folder.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hanse_protocol::charter::member::Profile;
use hanse_protocol::local::Role;
use hanse_protocol::tlp::Tlp;

use super::{Failure, InitArgs, say};
use crate::keystore::{Keystore, KeystoreError};
use crate::member::{Member, MemberError};
use crate::settings::{Settings, SettingsError};
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

/// Makes a node in `dir`: the settings first, since they are what is never overwritten, then keys
/// and a token with every role but no sight of RED.
///
/// # Errors
/// [`InitError`].
pub fn init(dir: &Path, profile: &Profile) -> Result<(), InitError> {
    let fresh = !dir.exists();
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| InitError::Folder(dir.to_owned(), source))?;
    fill(dir, profile).inspect_err(|_| {
        // Only an empty folder goes away: what stands in one is not touched.
        if fresh {
            drop(std::fs::remove_dir(dir));
        }
    })
}

fn fill(dir: &Path, profile: &Profile) -> Result<(), InitError> {
    let written = Settings::write_new(dir, profile)?;
    let keystore = keys(dir).inspect_err(|_| {
        // Without keys it is no node yet, and `init` must be free to try again.
        drop(std::fs::remove_file(&written));
    })?;
    Member::create(&keystore)?;
    let roles = [Role::Read, Role::Publish, Role::Admin];
    Tokens::open(dir)?.add(ADMIN, roles, Tlp::AmberStrict, clock::now())?;
    Ok(())
}

/// Makes the keystore, wrapped from the start if the environment says so.
fn keys(dir: &Path) -> Result<Keystore, InitError> {
    let wrapping = daemon::wrapping(dir, &Settings::load(dir)?)?;
    Ok(Keystore::create_under(&daemon::keys_folder(dir), &wrapping)?)
}

pub(super) fn run(dir: &Path, arguments: InitArgs) -> Result<ExitCode, Failure> {
    let profile = Profile::from(arguments);
    init(dir, &profile).map_err(|error| {
        let exists = matches!(
            error,
            InitError::Settings(SettingsError::Exists(_)) | InitError::Keystore(KeystoreError::Exists(_))
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
