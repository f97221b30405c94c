//! Files that only their owner may read, replaced as a whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::{Stamp, TokenError};

/// Largest book of tokens, bytes: every token at its longest, twice over.
const LARGEST: u64 = 256 << 10;

/// The bits of a mode that let others than the owner in.
const OTHERS: u32 = 0o077;

/// Makes a folder for its owner only, or checks that the one that is there is.
pub(super) fn make_folder(path: &Path) -> Result<(), TokenError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(at(path, error)),
        _ => {
            let mode = fs::metadata(path)
                .map_err(|error| at(path, error))?
                .permissions()
                .mode();
            private(path, mode, "700")
        }
    }
}

/// Opens a file for its owner only, making it if it is missing.
pub(super) fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// Writes a file beside `path`, makes it durable and puts it in the place of `path`.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), TokenError> {
    let beside = path.with_extension("new");
    let written = remove_if_there(&beside)
        .and_then(|()| {
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&beside)
        })
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| sync_folder(path));
    written.map_err(|error| at(path, error))
}

/// Removes a file, which may be gone already.
pub(super) fn remove(path: &Path) -> Result<(), TokenError> {
    let removed = remove_if_there(path).and_then(|()| sync_folder(path));
    removed.map_err(|error| at(path, error))
}

/// Reads a file that only its owner may read.
pub(super) fn read(path: &Path) -> Result<String, TokenError> {
    let io = |error| at(path, error);
    let file = File::open(path).map_err(io)?;
    private(path, file.metadata().map_err(io)?.permissions().mode(), "600")?;
    let mut text = String::new();
    let length = file.take(LARGEST + 1).read_to_string(&mut text).map_err(io)?;
    if u64::try_from(length).is_ok_and(|length| length <= LARGEST) {
        Ok(text)
    } else {
        Err(TokenError::Malformed {
            path: path.to_owned(),
            reason: "it is too large".to_owned(),
        })
    }
}

/// What tells this file from one that replaces it; `None` if there is no file.
pub(super) fn stamp(path: &Path) -> Result<Option<Stamp>, TokenError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(Stamp {
            modified: metadata.modified().map_err(|error| at(path, error))?,
            inode: metadata.ino(),
            length: metadata.len(),
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path, error)),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn private(path: &Path, mode: u32, wanted: &'static str) -> Result<(), TokenError> {
    if mode & OTHERS == 0 {
        return Ok(());
    }
    Err(TokenError::Permissions {
        path: path.to_owned(),
        mode: wanted,
    })
}

fn at(path: &Path, source: io::Error) -> TokenError {
    TokenError::Io {
        path: path.to_owned(),
        source,
    }
}
