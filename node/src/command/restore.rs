//! `hansed restore`: a node from its backup. What the node signed after the backup is not in it, so the
//! node is left a note: it asks a peer for its own records before it signs anything, and then begins a
//! new epoch of its lane.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::backup::{self, BackupError, Copied, FORMAT, MANIFEST, MANIFEST_BYTES, Manifest, SEVERAL};
use super::{Failure, say};
use crate::exchange::Restored;
use crate::keystore::{Keystore, Source, Wrapping};
use crate::settings::{self, Place, Settings, further};
use crate::store::Store;
use crate::store::entry::{AuditEntry, Entry};
use crate::{clock, daemon};

/// Where a backup's parts come from.
pub(super) struct From<'a> {
    pub(super) backup: &'a Path,
    /// A folder of keys kept apart.
    pub(super) keys: Option<&'a Path>,
    /// Where the passphrase is that the keys are under.
    pub(super) passphrase: Option<&'a Source>,
}

pub(super) fn run(
    dir: &Path,
    from: Option<From<'_>>,
    alone: bool,
    community: Option<&str>,
) -> Result<ExitCode, Failure> {
    let how = if alone { Restored::Alone } else { Restored::Wait };
    if from.is_none() && daemon::restoring(dir).exists() {
        return Err(daemon::DaemonError::Restoring(dir.to_owned()).into());
    }
    if let Some(from) = &from {
        let manifest = manifest(from.backup)?;
        // What a restore left that was broken off was never used.
        if daemon::restoring(dir).exists() {
            clear(dir)?;
        }
        let taken = [
            dir.join(settings::FILE),
            daemon::store_folder(dir),
            daemon::keys_folder(dir),
            dir.join(further::FOLDER),
        ];
        if taken.iter().any(|part| part.exists()) {
            return Err(Failure {
                error: Box::new(BackupError::Exists(dir.to_owned())),
                hint: Some("restore into a new folder: --dir NEW"),
            });
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        fs::File::create(daemon::restoring(dir))?.sync_all()?;
        fs::File::open(dir)?.sync_all()?;
        // Whoever mistook the passphrase tries again.
        unpack(dir, from, &manifest).inspect_err(|_| drop(clear(dir)))?;
        say(&format!("a backup of {} of {}\n", manifest.member, manifest.made));
    }
    let settings = Settings::load(dir)?;
    let places = match community {
        Some(name) => vec![settings.place(dir, name)?],
        None => settings.places(dir),
    };
    for place in places {
        // A further community that never ran has signed nothing.
        if place.is_first() || daemon::store_folder(&place.folder).exists() {
            settle(&place, how)?;
        }
    }
    if from.is_some() {
        fs::remove_file(daemon::restoring(dir))?;
    }
    let shown = dir.display();
    say(&match how {
        Restored::Wait => format!(
            "next: `hansed token add admin --role read --role publish --role admin --dir {shown}`,\n\
             then `hansed serve --dir {shown}`.\n\
             The node signs nothing before its peers gave it its own records back; without any peer,\n\
             `hansed restore --alone --dir {shown}` lets it go on, if it signed nothing since the backup.\n"
        ),
        Restored::Alone => "the node goes on with a new epoch of its chain at its next start\n".to_owned(),
    });
    Ok(ExitCode::SUCCESS)
}

/// Takes away what a restore made that did not come to its end, and last the file that says so.
fn clear(dir: &Path) -> std::io::Result<()> {
    let absent_is_well = |removed: std::io::Result<()>| match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    absent_is_well(fs::remove_dir_all(daemon::store_folder(dir)))?;
    absent_is_well(fs::remove_dir_all(daemon::keys_folder(dir)))?;
    absent_is_well(fs::remove_dir_all(dir.join(further::FOLDER)))?;
    absent_is_well(fs::remove_file(dir.join(settings::FILE)))?;
    absent_is_well(fs::remove_file(daemon::restoring(dir)))
}

/// Reads what a backup says of itself.
fn manifest(folder: &Path) -> Result<Manifest, BackupError> {
    let none = |reason: String| BackupError::NoBackup {
        folder: folder.to_owned(),
        reason,
    };
    let path = folder.join(MANIFEST);
    let size = fs::metadata(&path).map_err(|e| none(e.to_string()))?.len();
    if size > MANIFEST_BYTES {
        return Err(none(format!("its {MANIFEST} has {size} bytes")));
    }
    let text = fs::read(&path).map_err(|e| none(e.to_string()))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| none(e.to_string()))?;
    if ![FORMAT, SEVERAL].contains(&manifest.format) {
        return Err(none(format!("its layout is {}", manifest.format)));
    }
    match manifest.files.iter().find(|file| !is_plain(&file.name)) {
        Some(file) => Err(none(format!("`{}` is no name of its files", file.name))),
        None => Ok(manifest),
    }
}

/// Whether a name stays inside the backup: a file, or a file in one of a community's two folders.
fn is_plain(name: &str) -> bool {
    let own = match name.strip_prefix("communities/") {
        None => Some(name),
        // Nothing of a further community lies beside its folders.
        Some(further) => further
            .split_once('/')
            .filter(|(name, own)| further::check_name(name).is_ok() && own.contains('/'))
            .map(|(_, own)| own),
    };
    let Some(own) = own else { return false };
    let file = own
        .strip_prefix("log/")
        .or_else(|| own.strip_prefix("keys/"))
        .unwrap_or(own);
    !file.is_empty() && !file.contains('/') && file != "." && file != ".."
}

/// Puts everything in its place. The file that says that a restore is under way stands meanwhile.
fn unpack(dir: &Path, from: &From<'_>, manifest: &Manifest) -> Result<(), Failure> {
    for file in &manifest.files {
        let Copied { size, blake3, name } = backup::hashed(from.backup, &file.name)?;
        if size != file.size || blake3 != file.blake3 {
            return Err(BackupError::Changed(name).into());
        }
    }
    // The settings say how the keys are to be kept, so they are read where they will be.
    backup::copy(&from.backup.join(settings::FILE), dir, settings::FILE)?;
    for place in Settings::load(dir)?.places(dir) {
        let store = daemon::store_folder(&place.folder);
        let segments = format!("{}log/", backup::part(&place));
        let segments = manifest.files.iter().filter_map(|file| {
            let name = file.name.strip_prefix(&segments)?;
            Some((from.backup.join(&file.name), format!("log/{name}")))
        });
        let mut ran = place.is_first();
        if ran {
            backup::make_folder(&store.join("log"))?;
        }
        for (segment, name) in segments {
            if !std::mem::replace(&mut ran, true) {
                backup::make_folder(&store.join("log"))?;
            }
            backup::copy(&segment, &store, &name)?;
        }
        keys(&place, from, manifest)?;
    }
    Ok(())
}

/// The folder of a community's keys beside the first's, which is kept apart.
fn beside(first: &Path, place: &Place) -> PathBuf {
    match place.is_first() {
        true => first.to_owned(),
        false => {
            let node = first.parent().unwrap_or(Path::new(""));
            daemon::keys_folder(&further::place_of(node, &place.name))
        }
    }
}

fn keys(place: &Place, from: &From<'_>, manifest: &Manifest) -> Result<(), Failure> {
    let folder = match from.keys {
        Some(folder) => beside(folder, place),
        None if manifest.keys => daemon::keys_folder(&from.backup.join(backup::part(place))),
        None => {
            return Err(Failure {
                error: Box::new(BackupError::NoKeys),
                hint: Some("say with --keys where the folder of the keys is that you keep apart"),
            });
        }
    };
    let asked = daemon::wrapping(&place.folder, &place.settings)?;
    let present = match from.passphrase {
        Some(source) => Some(Wrapping::Passphrase(source.passphrase(&place.folder)?)),
        None => None,
    };
    let keystore =
        Keystore::open_under(&folder, present.as_ref().unwrap_or(&asked)).map_err(|error| Failure {
            error: Box::new(error),
            hint: Some(
                "say with --passphrase where the passphrase is that the keys are under: file:PATH, env:NAME",
            ),
        })?;
    Ok(keystore.export(&daemon::keys_folder(&place.folder), &asked)?)
}

/// Looks at every frame, makes the index and leaves the note.
fn settle(place: &Place, how: Restored) -> Result<(), Failure> {
    let (dir, settings) = (&place.folder, &place.settings);
    let (keystore, member) = daemon::open_member(dir, settings)?;
    let folder = daemon::store_folder(dir);
    let rotten = Store::verify(&folder, keystore.master(), &daemon::store_settings(settings))?;
    let opened = daemon::open_store(dir, settings, &keystore, &member)?;
    for finding in daemon::findings(&opened.opening) {
        say(&format!("found: {}\n", finding.found));
    }
    if !rotten.is_empty() {
        say(&format!(
            "{} damaged stretches: peers heal what they held\n",
            rotten.len()
        ));
    }
    let mut store = opened.store;
    store.leap(clock::now());
    let subject = format!("{how:?}").to_lowercase();
    let line = AuditEntry::new(clock::now(), "operator", "restore", subject, None);
    store.commit(vec![(how.note(), None), (Entry::Audit(line), None)])?;
    let records = store.reader().stats()?.records;
    store.close()?;
    say(&format!("{records} records\n"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside_the_backup() {
        for good in [
            "hansed.toml",
            "log/0000000000000001.seg",
            "keys/master.key",
            "communities/north/log/0000000000000001.seg",
            "communities/north/keys/master.key",
        ] {
            assert!(is_plain(good), "{good}");
        }
        for bad in [
            "",
            "..",
            "../x",
            "log/../x",
            "/etc/passwd",
            "log/",
            "keys/a/b",
            "x/y",
            "communities/north",
            "communities/north/hansed.toml",
            "communities/../keys/x",
            "communities/first/keys/x",
            "communities/north/log/../x",
        ] {
            assert!(!is_plain(bad), "{bad}");
        }
    }
}
