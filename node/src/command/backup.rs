//! `hansed backup`: the record log and the settings in a folder, from a node that runs or does not.
//! Segments are only ever appended to or replaced as a whole, so copying them one after the other
//! gives a log as it was at some moment, perhaps with a torn end that opening cuts off.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hanse_protocol::identity::Handle;
use hanse_protocol::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Failure, say};
use crate::keystore::{Keystore, Kind, Source, Wrapping};
use crate::settings::{self, Place, Settings};
use crate::{clock, daemon};

/// The file that says what a backup holds; it is written last.
pub(super) const MANIFEST: &str = "backup.json";
/// Largest manifest, bytes: a line a segment.
pub(super) const MANIFEST_BYTES: u64 = 64 << 20;
/// Layout of a backup of one community.
pub(super) const FORMAT: u16 = 1;
/// Layout of a backup of several: each further one's files are in `communities/NAME`. A newer one is refused.
pub(super) const SEVERAL: u16 = 2;
/// How often copying begins anew because segments became one meanwhile.
const ATTEMPTS: usize = 8;

/// What a backup holds.
#[derive(Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Layout of the backup.
    pub(super) format: u16,
    /// Whose it is.
    pub(super) member: Handle,
    /// When it was made.
    pub(super) made: Timestamp,
    /// Whether the keys are in it, under a passphrase.
    pub(super) keys: bool,
    /// The files, with what they hold.
    pub(super) files: Vec<Copied>,
}

/// A file of a backup.
#[derive(Serialize, Deserialize)]
pub(super) struct Copied {
    /// Its path in the backup.
    pub(super) name: String,
    /// Its size, bytes.
    pub(super) size: u64,
    /// Its BLAKE3 hash, hexadecimal.
    pub(super) blake3: String,
}

/// Why there is no backup, or none that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum BackupError {
    #[error("`{}` is there already", .0.display())]
    Exists(PathBuf),
    #[error("cannot use `{}`", .0.display())]
    Io(PathBuf, #[source] io::Error),
    #[error("`{}` holds no whole backup: {reason}", folder.display())]
    NoBackup { folder: PathBuf, reason: String },
    #[error("`{0}` is not what was backed up: it was changed or has rotted")]
    Changed(String),
    #[error("segments were rewritten while they were copied, again and again")]
    Restless,
    #[error("the backup holds no keys")]
    NoKeys,
    #[error("keys go into a backup under a passphrase only")]
    BareKeys,
}

pub(super) fn run(
    dir: &Path,
    to: &Path,
    with_keys: bool,
    passphrase: Option<&Source>,
) -> Result<ExitCode, Failure> {
    let settings = Settings::load(dir)?;
    make_folder(to)?;
    fill(dir, &settings, to, with_keys, passphrase).inspect_err(|_| {
        // Half a backup is worse than none. The folder was empty.
        for name in names(to).unwrap_or_default() {
            let path = to.join(name);
            drop(fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)));
        }
    })
}

fn fill(
    dir: &Path,
    settings: &Settings,
    to: &Path,
    with_keys: bool,
    passphrase: Option<&Source>,
) -> Result<ExitCode, Failure> {
    let places = settings.places(dir);
    let mut files = Vec::new();
    for place in &places {
        let part = part(place);
        make_folder(&to.join(format!("{part}log")))?;
        let segments = daemon::store_folder(&place.folder).join("log");
        // A further community may never have run.
        if place.is_first() || segments.exists() {
            files.extend(log(&segments, to, &format!("{part}log"))?);
        }
        if with_keys {
            keys(dir, place, &to.join(format!("{part}keys")), passphrase)?;
            for name in names(&to.join(format!("{part}keys")))? {
                files.push(hashed(to, &format!("{part}keys/{name}"))?);
            }
        }
    }
    files.push(copy(&dir.join(settings::FILE), to, settings::FILE)?);
    let bytes: u64 = files.iter().map(|file| file.size).sum();
    let manifest = Manifest {
        format: if places.len() > 1 { SEVERAL } else { FORMAT },
        member: settings.member.handle.clone(),
        made: clock::now(),
        keys: with_keys,
        files,
    };
    let text = serde_json::to_vec_pretty(&manifest)?;
    let mut file = create(&to.join(MANIFEST))?;
    file.write_all(&text)
        .and_then(|()| file.sync_all())
        .and_then(|()| File::open(to)?.sync_all())
        .map_err(|e| BackupError::Io(to.to_owned(), e))?;
    say(&format!(
        "{} files, {bytes} bytes in {}\n",
        manifest.files.len() + 1,
        to.display()
    ));
    if !with_keys {
        say("without keys: nothing in it can be read before `keys/` is there too, which you keep apart\n");
        if places.len() > 1 {
            say("the same holds for `communities/NAME/keys/` of each further community\n");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Where in a backup a community's files are.
pub(super) fn part(place: &Place) -> String {
    match place.is_first() {
        true => String::new(),
        false => format!("{}/{}/", settings::further::FOLDER, place.name),
    }
}

/// Which file bears a segment's name: a recast puts another in its place.
type Stamp = (u64, i64, i64);

/// The segments there are.
fn segments(folder: &Path) -> Result<BTreeMap<String, Stamp>, BackupError> {
    let mut found = BTreeMap::new();
    for name in names(folder)?.into_iter().filter(|name| name.ends_with(".seg")) {
        match fs::metadata(folder.join(&name)) {
            Ok(told) => drop(found.insert(name, (told.ino(), told.ctime(), told.ctime_nsec()))),
            // It was recast just now.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(BackupError::Io(folder.join(name), e)),
        }
    }
    Ok(found)
}

/// Copies all segments, from the first to the last there is. What was replaced meanwhile is copied again,
/// until between the first look and the last nothing was but the last segment, which grows.
fn log(from: &Path, to: &Path, folder: &str) -> Result<Vec<Copied>, BackupError> {
    let mut done: BTreeMap<String, (Stamp, Copied)> = BTreeMap::new();
    for _ in 0..ATTEMPTS {
        let found = segments(from)?;
        let Some((last, _)) = found.last_key_value() else {
            return Err(BackupError::Restless);
        };
        let (kept, stale) = std::mem::take(&mut done)
            .into_iter()
            .partition(|(name, (stamp, _))| name != last && found.get(name) == Some(stamp));
        done = kept;
        for name in BTreeMap::into_keys(stale) {
            let path = to.join(folder).join(name);
            fs::remove_file(&path).map_err(|e| BackupError::Io(path, e))?;
        }
        for (name, stamp) in &found {
            if done.contains_key(name) {
                continue;
            }
            match copy(&from.join(name), to, &format!("{folder}/{name}")) {
                Err(BackupError::Io(_, e)) if e.kind() == io::ErrorKind::NotFound => break,
                one => done.insert(name.clone(), (*stamp, one?)),
            };
        }
        let now = segments(from)?;
        let whole = found.iter().all(|(name, stamp)| {
            // What came meanwhile follows; of the last one it matters that it is the same file.
            let same = |now: &Stamp| {
                if name == last {
                    now.0 == stamp.0
                } else {
                    now == stamp
                }
            };
            done.contains_key(name) && now.get(name).is_some_and(same)
        });
        if whole {
            return Ok(done.into_values().map(|(_, one)| one).collect());
        }
    }
    Err(BackupError::Restless)
}

/// The keys, with the master key under a passphrase: that of the node if it has one, or the one asked
/// for. A bare key is never written to a backup.
fn keys(dir: &Path, place: &Place, to: &Path, passphrase: Option<&Source>) -> Result<(), Failure> {
    let folder = daemon::keys_folder(&place.folder);
    let present = daemon::wrapping(&place.folder, &place.settings)?;
    let wrapping = match passphrase {
        Some(source) => Wrapping::Passphrase(source.passphrase(dir)?),
        None if Keystore::kind(&folder)? == Kind::Passphrase => {
            daemon::wrapping(&place.folder, &place.settings)?
        }
        None => {
            return Err(Failure {
                error: Box::new(BackupError::BareKeys),
                hint: Some(
                    "say with --passphrase where the passphrase is that the keys go under in the backup: file:PATH, env:NAME",
                ),
            });
        }
    };
    let keystore = Keystore::open_under(&folder, &present)?;
    Ok(keystore.export(to, &wrapping)?)
}

pub(super) fn names(folder: &Path) -> Result<Vec<String>, BackupError> {
    let failed = |e| BackupError::Io(folder.to_owned(), e);
    let mut names = Vec::new();
    for item in fs::read_dir(folder).map_err(failed)? {
        names.extend(item.map_err(failed)?.file_name().into_string().ok());
    }
    Ok(names)
}

/// Makes a folder for its owner only; one that is there must be empty.
pub(super) fn make_folder(folder: &Path) -> Result<(), BackupError> {
    if folder.exists() {
        return match names(folder)?.is_empty() {
            true => Ok(()),
            false => Err(BackupError::Exists(folder.to_owned())),
        };
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|e| BackupError::Io(folder.to_owned(), e))
}

pub(super) fn create(path: &Path) -> Result<File, BackupError> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    made.map_err(|e| BackupError::Io(path.to_owned(), e))
}

/// Copies a file, as large as it is when it is opened, to its place below `to`.
pub(super) fn copy(from: &Path, to: &Path, name: &str) -> Result<Copied, BackupError> {
    let failed = |e| BackupError::Io(from.to_owned(), e);
    let source = File::open(from).map_err(failed)?;
    let size = source.metadata().map_err(failed)?.len();
    let mut target = create(&to.join(name))?;
    let (size, blake3) = pour((&source).take(size), &mut target).map_err(failed)?;
    // What the copy holds must be on the disk that it comes from, too: a power cut there would let the node
    // give the same numbers to something else.
    source.sync_data().map_err(failed)?;
    target.sync_all().map_err(failed)?;
    let name = name.to_owned();
    Ok(Copied { name, size, blake3 })
}

/// What a file below `folder` holds now.
pub(super) fn hashed(folder: &Path, name: &str) -> Result<Copied, BackupError> {
    let path = folder.join(name);
    let read = || pour(File::open(&path)?, &mut io::sink());
    let (size, blake3) = read().map_err(|e| BackupError::Io(path.clone(), e))?;
    let name = name.to_owned();
    Ok(Copied { name, size, blake3 })
}

fn pour(mut from: impl Read, to: &mut impl Write) -> io::Result<(u64, String)> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let read = from.read(&mut buffer)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            return Ok((size, hasher.finalize().to_hex().to_string()));
        }
        hasher.update(bytes);
        to.write_all(bytes)?;
        size += bytes.len() as u64;
    }
}
