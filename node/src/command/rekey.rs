//! `hansed rekey`: the master key wrapped anew, as the settings now say.

use std::path::Path;
use std::process::ExitCode;

use super::{Failure, say};
use crate::keystore::{Keystore, Kind, Source, Wrapping};
use crate::member::Member;
use crate::settings::{Place, Settings};
use crate::store::entry::{AuditEntry, Entry};
use crate::{clock, daemon};

/// What to do when the present secret is not known.
const OLD: &str = "say with `--old` where the present secret is: file:PATH, env:NAME or credential:NAME";

pub(super) fn run(dir: &Path, old: Option<&Source>) -> Result<ExitCode, Failure> {
    let settings = Settings::load(dir)?;
    let places = settings.places(dir);
    // All are opened before any is changed: one secret guards the keys of every community.
    let opened: Result<Vec<_>, Failure> = places.iter().map(|place| open(dir, place, old)).collect();
    for (place, (keystore, found, asked)) in places.iter().zip(opened?) {
        keystore.rewrap(&asked)?;
        let kinds = format!("{found} to {}", asked.kind());
        witness(&place.folder, &place.settings, &keystore, &kinds);
        let of = match place.is_first() {
            true => String::new(),
            false => format!(" of the community `{}`", place.name),
        };
        say(&format!(
            "the master key{of} was of kind `{found}` and is now of kind `{}`; what it guards is unchanged\n",
            asked.kind()
        ));
    }
    say("copies made before still open the old way: replace your backup of keys/master.key\n");
    Ok(ExitCode::SUCCESS)
}

/// The keys of a community, how they are wrapped now, and how they are to be.
fn open(dir: &Path, place: &Place, old: Option<&Source>) -> Result<(Keystore, Kind, Wrapping), Failure> {
    let folder = daemon::keys_folder(&place.folder);
    let found = Keystore::kind(&folder)?;
    let hinted = |error| Failure {
        error: Box::new(error),
        hint: (found != Kind::Bare).then_some(OLD),
    };
    let asked = daemon::wrapping(&place.folder, &place.settings)?;
    let present = match (found, old) {
        (Kind::Bare, _) => Some(Wrapping::Bare),
        (Kind::Passphrase, Some(source)) => Some(Wrapping::Passphrase(source.passphrase(dir)?)),
        (Kind::Credential, Some(source)) => Some(Wrapping::Credential(source.key(dir)?)),
        // The same secret then, with a fresh salt; refused if it is of another kind.
        (Kind::Passphrase | Kind::Credential, None) => None,
    };
    let opened = Keystore::open_under(&folder, present.as_ref().unwrap_or(&asked));
    // A rekey of several that was broken off had come past this one.
    let opened = opened.or_else(
        |error| match place.settings.communities.is_empty() && place.is_first() {
            true => Err(error),
            false => Keystore::open_under(&folder, &asked).map_err(|_| error),
        },
    );
    Ok((opened.map_err(hinted)?, found, asked))
}

/// Leaves a line in the audit log. The key is rewrapped by then, so what keeps the line from being
/// written is told and no failure.
fn witness(dir: &Path, settings: &Settings, keystore: &Keystore, subject: &str) {
    if !daemon::store_folder(dir).exists() {
        return;
    }
    let write = || -> Result<(), Failure> {
        let member = std::sync::Arc::new(Member::open(settings.member.clone(), keystore)?);
        let mut store = daemon::open_store(dir, settings, keystore, &member)?.store;
        let line = AuditEntry::new(clock::now(), "operator", "rekey", subject, None);
        store.commit(vec![(Entry::Audit(line), None)])?;
        Ok(store.close()?)
    };
    if let Err(failure) = write() {
        say(&format!("no line of it is in the audit log: {}\n", failure.error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn write_secret(dir: &Path, name: &str, text: &str) {
        fs::write(dir.join(name), text).unwrap();
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn set_keys(dir: &Path, lines: &str) {
        let path = dir.join(crate::settings::FILE);
        let text = fs::read_to_string(&path).unwrap();
        let start = text.split("\n[keys]").next().unwrap();
        fs::write(&path, format!("{start}\n[keys]\n{lines}\n")).unwrap();
    }

    fn opens(dir: &Path) -> bool {
        daemon::open_member(dir, &Settings::load(dir).unwrap()).is_ok()
    }

    /// An operator puts a passphrase around the key, changes it, and takes it off again.
    #[test]
    fn the_settings_say_how_and_rekey_makes_it_so() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("node");
        let profile = hanse_protocol::charter::member::Profile {
            handle: "acme-water".parse().unwrap(),
            name: "Acme Water".to_owned(),
            kind: "utility".parse().unwrap(),
            sector: String::new(),
            country: "DE".to_owned(),
        };
        crate::command::init::init(&dir, &profile).unwrap();
        write_secret(&dir, "first", "a first passphrase\n");
        write_secret(&dir, "second", "a second passphrase");

        set_keys(&dir, "master = \"passphrase\"\npassphrase = \"file:first\"");
        assert!(!opens(&dir), "what is not wrapped as asked is not used");
        run(&dir, None).ok().unwrap();
        assert!(opens(&dir));

        set_keys(&dir, "master = \"passphrase\"\npassphrase = \"file:second\"");
        assert!(!opens(&dir));
        let failure = run(&dir, None).err().unwrap();
        assert!(failure.error.to_string().contains("does not open"));
        assert!(failure.hint.unwrap().contains("--old"));
        run(&dir, Some(&"file:first".parse().unwrap())).ok().unwrap();
        assert!(opens(&dir));

        set_keys(&dir, "master = \"file\"");
        assert!(run(&dir, None).is_err());
        run(&dir, Some(&"file:second".parse().unwrap())).ok().unwrap();
        assert!(opens(&dir));
    }

    /// One secret guards all: broken off between two communities, it is finished by asking again.
    #[test]
    fn the_keys_of_every_community_are_wrapped_as_asked() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("node");
        let profile = hanse_protocol::charter::member::Profile {
            handle: "acme".parse().unwrap(),
            name: "ACME".to_owned(),
            kind: hanse_protocol::charter::member::MemberKind::Utility,
            sector: String::new(),
            country: "DE".to_owned(),
        };
        crate::command::init::init(&dir, &profile).unwrap();
        let listen = ["/ip4/127.0.0.1/tcp/7476".to_owned()];
        let table = crate::settings::further::Table {
            name: "north",
            listen: &listen,
            external: &[],
            member: &[],
        };
        Settings::add_community(&dir, &table).unwrap();
        let north = crate::settings::further::place_of(&dir, "north");
        let keystore = Keystore::create_under(&daemon::keys_folder(&north), &Wrapping::Bare).unwrap();
        Member::create(&keystore).unwrap();
        let all_open = || {
            let places = Settings::load(&dir).unwrap().places(&dir);
            let opened = places
                .iter()
                .map(|place| daemon::open_member(&place.folder, &place.settings));
            opened.filter(Result::is_ok).count()
        };
        let set = |from: &str, to: &str| {
            let path = dir.join(crate::settings::FILE);
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains(from));
            fs::write(&path, text.replacen(from, to, 1)).unwrap();
        };
        write_secret(&dir, "first", "a first passphrase");
        write_secret(&dir, "second", "a second passphrase");
        set(
            "#master = \"file\"",
            "master = \"passphrase\"\npassphrase = \"file:first\"",
        );
        assert_eq!(all_open(), 0);
        run(&dir, None).ok().unwrap();
        assert_eq!(all_open(), 2);

        set("file:first", "file:second");
        let places = Settings::load(&dir).unwrap().places(&dir);
        let old = "file:first".parse().unwrap();
        let (first, _, asked) = open(&dir, &places[0], Some(&old)).ok().unwrap();
        first.rewrap(&asked).unwrap();
        assert_eq!(all_open(), 1, "broken off between the two");
        run(&dir, Some(&old)).ok().unwrap();
        assert_eq!(all_open(), 2);
    }
}
