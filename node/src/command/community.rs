//! `hansed community add`: this node in a further community, with keys of its own there.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use hanse_protocol::charter::member::MemberKind;
use hanse_protocol::identity::Handle;

use super::{Failure, country, display_name, say};
use crate::daemon;
use crate::keystore::{Keystore, KeystoreError};
use crate::member::{Member, MemberError};
use crate::settings::further::{self, Table, place_of};
use crate::settings::{Settings, SettingsError};

/// A further community, and what is otherwise there than in the first.
#[derive(Args)]
pub(super) struct Add {
    /// What it is called on this machine: lower-case letters, digits and hyphens. Nobody else sees it.
    name: String,
    /// Where to listen for its nodes, such as /ip4/0.0.0.0/tcp/7476. May be given several times.
    #[arg(long, required = true, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Where others dial this node, if elsewhere. May be given several times.
    #[arg(long, value_name = "ADDRESS")]
    external: Vec<String>,
    /// Another handle than in the first community.
    #[arg(long)]
    handle: Option<Handle>,
    /// Another display name.
    #[arg(long, value_name = "NAME", value_parser = display_name)]
    display: Option<String>,
    /// Another kind.
    #[arg(long)]
    kind: Option<MemberKind>,
    /// Another sector.
    #[arg(long)]
    sector: Option<String>,
    /// Another country.
    #[arg(long, value_parser = country)]
    country: Option<String>,
}

/// Why the node is not in a further community.
#[derive(Debug, thiserror::Error)]
pub(super) enum AddError {
    #[error("{0}")]
    Name(String),
    #[error("`{0}` is there already")]
    Exists(PathBuf),
    #[error("the folder `{0}` could not be made")]
    Folder(PathBuf, #[source] std::io::Error),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    #[error(transparent)]
    Member(#[from] MemberError),
}

/// Makes keys for a further community and writes its table into the settings. Broken off at any moment it is
/// begun anew by asking for it once more; what ran once is never touched.
fn add(dir: &Path, table: &Table<'_>) -> Result<(), AddError> {
    further::check_name(table.name).map_err(AddError::Name)?;
    let settings = Settings::load(dir)?;
    let folder = place_of(dir, table.name);
    let failed = |source| AddError::Folder(folder.clone(), source);
    let mark = daemon::initialising(&folder);
    if mark.exists() {
        // What a broken attempt made was never used.
        match fs::remove_dir_all(daemon::keys_folder(&folder)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    } else if folder.exists() || settings.communities.contains_key(table.name) {
        return Err(AddError::Exists(folder));
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.and_then(|()| File::create(&mark)?.sync_all())
        .and_then(|()| sync(&folder))
        .and_then(|()| sync(&dir.join(further::FOLDER)))
        .and_then(|()| sync(dir))
        .map_err(failed)?;
    // Whoever wrote the settings before the power went need not write them again.
    if !settings.communities.contains_key(table.name) {
        let written = Settings::add_community(dir, table);
        written.inspect_err(|_| drop(fs::remove_file(&mark).and_then(|()| fs::remove_dir(&folder))))?;
    }
    let place = Settings::load(dir)?.place(dir, table.name)?;
    let wrapping = daemon::wrapping(&place.folder, &place.settings)?;
    let keystore = Keystore::create_under(&daemon::keys_folder(&folder), &wrapping)?;
    Member::create(&keystore)?;
    sync(&folder)
        .and_then(|()| fs::remove_file(&mark))
        .and_then(|()| sync(&folder))
        .map_err(failed)
}

fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

pub(super) fn run(dir: &Path, arguments: &Add) -> Result<ExitCode, Failure> {
    let texts = [
        ("handle", arguments.handle.as_ref().map(Handle::to_string)),
        ("name", arguments.display.clone()),
        ("kind", arguments.kind.map(|kind| kind.to_string())),
        ("sector", arguments.sector.clone()),
        ("country", arguments.country.clone()),
    ];
    let member: Vec<_> = texts
        .into_iter()
        .filter_map(|(key, text)| Some((key, text?)))
        .collect();
    let name = arguments.name.as_str();
    let table = Table {
        name,
        listen: &arguments.listen,
        external: &arguments.external,
        member: &member,
    };
    add(dir, &table)?;
    let dir = dir.display();
    say(&format!(
        "this node has keys for a further community, `{name}`, in {dir}/communities/{name}\n\
         (back up its keys/master.key apart from the rest, too)\n\
         \n\
         next:  start the node anew, then found it with `hanse community create`\n\
         \x20      or ask to join it with `hanse request`, each with --community {name}\n"
    ));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::init;

    fn node(home: &Path) -> PathBuf {
        let dir = home.join("node");
        let profile = hanse_protocol::charter::member::Profile {
            handle: "acme-water".parse().unwrap(),
            name: "ACME Water".to_owned(),
            kind: MemberKind::Utility,
            sector: String::new(),
            country: "DE".to_owned(),
        };
        init::init(&dir, &profile).unwrap();
        dir
    }

    fn table<'a>(name: &'a str, listen: &'a [String], member: &'a [(&'static str, String)]) -> Table<'a> {
        Table {
            name,
            listen,
            external: &[],
            member,
        }
    }

    #[test]
    fn a_further_community_has_keys_of_its_own_and_is_made_once() {
        let home = tempfile::tempdir().unwrap();
        let dir = node(home.path());
        let listen = ["/ip4/0.0.0.0/tcp/7476".to_owned()];
        let other = [("handle", "acme".to_owned())];
        add(&dir, &table("north", &listen, &other)).unwrap();
        let again = add(&dir, &table("north", &listen, &other));
        assert!(matches!(again, Err(AddError::Exists(_))));
        let places = Settings::load(&dir).unwrap().places(&dir);
        let members: Vec<_> = places
            .iter()
            .map(|place| daemon::open_member(&place.folder, &place.settings).unwrap().1)
            .collect();
        assert_eq!(members[1].profile.handle.as_str(), "acme");
        assert_ne!(
            members[0].node.seed().as_slice(),
            members[1].node.seed().as_slice()
        );
        assert_ne!(
            members[0].signing.seed().as_slice(),
            members[1].signing.seed().as_slice()
        );

        let text = fs::read_to_string(dir.join("hansed.toml")).unwrap();
        for refused in [
            table("first", &listen, &[]),
            table("South", &listen, &[]),
            table("south", &listen, &[]),
            table("../south", &["/ip4/0.0.0.0/tcp/7477".to_owned()], &[]),
        ] {
            add(&dir, &refused).unwrap_err();
        }
        assert_eq!(fs::read_to_string(dir.join("hansed.toml")).unwrap(), text);
        assert!(!place_of(&dir, "south").exists(), "its port was taken");
    }

    #[test]
    fn what_was_broken_off_does_not_start_and_is_begun_anew() {
        let home = tempfile::tempdir().unwrap();
        let dir = node(home.path());
        let listen = ["/ip4/0.0.0.0/tcp/7476".to_owned()];
        for written in [false, true] {
            let folder = place_of(&dir, "north");
            fs::create_dir_all(daemon::keys_folder(&folder)).unwrap();
            fs::write(daemon::keys_folder(&folder).join("master.key"), "to").unwrap();
            fs::write(daemon::initialising(&folder), "").unwrap();
            assert_eq!(
                written,
                Settings::load(&dir).unwrap().communities.contains_key("north")
            );
            add(&dir, &table("north", &listen, &[])).unwrap();
            let place = Settings::load(&dir).unwrap().place(&dir, "north").unwrap();
            daemon::open_member(&place.folder, &place.settings).unwrap();
            assert!(!daemon::initialising(&folder).exists());
            fs::remove_dir_all(folder).unwrap();
        }
    }
}
