//! The small files that commands read and write beside their output.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::Exit;
use super::failure::Failure;

/// Largest request or invite file, bytes: a chain of charters at its longest, as text.
const LARGEST: u64 = 8 << 20;

/// Reads a request or an invite.
pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::new(
            Exit::Usage,
            format!("`{}` cannot be read: {error}", path.display()),
        )),
    }
}

/// Writes a file that may be mailed.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| unwritable(path, &error))
}

/// A new file that only its owner may read, made before what will stand in it is known: whoever
/// gets a secret once must have a place for it.
pub(super) struct Reserved {
    file: File,
    path: PathBuf,
}

impl Reserved {
    /// Makes the empty file; one that exists is not touched.
    pub(super) fn new(path: &Path) -> Result<Self, Failure> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(path) {
            Ok(file) => Ok(Self {
                file,
                path: path.to_owned(),
            }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let message = format!("`{}` exists already and is not overwritten", path.display());
                Err(Failure::new(Exit::Usage, message).hint("name another file"))
            }
            Err(error) => Err(unwritable(path, &error)),
        }
    }

    /// Fills the file and makes it durable.
    pub(super) fn fill(mut self, text: &str) -> Result<(), Failure> {
        let written = self
            .file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.sync_all());
        written.map_err(|error| unwritable(&self.path, &error))
    }

    /// Removes the file again: there is nothing to put into it.
    pub(super) fn discard(self) {
        // An empty file left behind does no harm.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A file that could not be written.
pub(super) fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("`{}` cannot be written: {error}", path.display()),
    )
}
