//! The files of a folder of policies: which there may be, how large, and the hash that names the set.

use std::fs;
use std::io::Read;
use std::path::Path;

use super::error::{PolicyError, PolicyErrors, Problem};
use super::place::whole;

/// The largest file, bytes.
pub const FILE_SIZE: usize = 256 << 10;
/// The most bytes of all files together.
pub const FOLDER_SIZE: usize = 1 << 20;
/// The most policies in a folder.
pub const POLICIES: usize = 2_000;
/// The most files in a folder.
pub(super) const FILES: usize = 256;

/// Terms with partners and circles of them.
pub(super) const MEMBERS: &str = "members.toml";
/// Patterns and internal names.
pub(super) const REDACTION: &str = "redaction.toml";
/// Expectations.
pub(super) const TESTS: &str = "tests.toml";

/// A file of a folder: what is kept of it is its name and its text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyFile {
    /// Its name in the folder: `water.cedar`, `members.toml`.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl PolicyFile {
    /// A file of that name and text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let (name, text) = (name.into(), text.into());
        Self { name, text }
    }

    /// Whether it holds policies.
    pub(super) fn is_cedar(&self) -> bool {
        self.name.ends_with(".cedar")
    }
}

/// Whether a file looks like one of a folder of policies, however it is capitalised.
fn is_named_so(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with(".cedar") || name.ends_with(".toml")
}

/// Reads the files of a folder. Hidden ones, and those that are neither `*.cedar` nor `*.toml`, are left
/// aside.
pub(super) fn read(folder: &Path) -> Result<Vec<PolicyFile>, PolicyErrors> {
    let unreadable = |name: &str, error: std::io::Error| whole(name, Problem::Unreadable(error.to_string()));
    let shown = folder.display().to_string();
    let entries = fs::read_dir(folder).map_err(|error| PolicyErrors(vec![unreadable(&shown, error)]))?;
    let (mut files, mut errors) = (Vec::new(), Vec::new());
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                errors.push(unreadable(&shown, error));
                break;
            }
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        if name.starts_with('.') || !(is_named_so(&name) || path.is_dir()) {
            continue;
        }
        // What looks as if it were read and is not would be missed: a policy that forbids may be in it.
        if path.is_dir() {
            errors.push(whole(&name, Problem::StrangeFile { name: name.clone() }));
            continue;
        }
        match read_file(&path) {
            Ok(text) => files.push(PolicyFile { name, text }),
            Err(problem) => errors.push(whole(&name, problem)),
        }
        if files.len() + errors.len() > FILES {
            errors.push(whole(
                &shown,
                Problem::Unreadable(format!("more than {FILES} files")),
            ));
            break;
        }
    }
    PolicyErrors::of(errors)?;
    Ok(files)
}

fn read_file(path: &Path) -> Result<String, Problem> {
    let unreadable = |error: std::io::Error| Problem::Unreadable(error.to_string());
    // A pipe would keep whoever opens it waiting.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(Problem::Unreadable("it is no file".to_owned()));
    }
    let file = fs::File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let mut bytes = Vec::new();
    // One byte more than is taken, so that a file that is too large is seen to be.
    let bound = u64::try_from(FILE_SIZE + 1).unwrap_or(u64::MAX);
    file.take(bound).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > FILE_SIZE {
        let size = usize::try_from(size).unwrap_or(usize::MAX).max(bytes.len());
        return Err(Problem::TooLarge {
            size,
            limit: FILE_SIZE,
        });
    }
    String::from_utf8(bytes).map_err(|_| Problem::Unreadable("it is not UTF-8 text".to_owned()))
}

/// Puts files in order and checks their names and sizes.
pub(super) fn check(files: &mut [PolicyFile]) -> Vec<PolicyError> {
    files.sort();
    let mut errors = Vec::new();
    for file in files.iter() {
        let known = [MEMBERS, REDACTION, TESTS].contains(&file.name.as_str()) || file.is_cedar();
        if !known {
            let name = file.name.clone();
            errors.push(whole(&file.name, Problem::StrangeFile { name }));
        }
        let (size, limit) = (file.text.len(), FILE_SIZE);
        if size > limit {
            errors.push(whole(&file.name, Problem::TooLarge { size, limit }));
        }
    }
    for pair in files.windows(2) {
        if let [first, second] = pair
            && first.name == second.name
        {
            errors.push(whole(&first.name, Problem::DoubleFile));
        }
    }
    let (size, limit) = (files.iter().map(|file| file.text.len()).sum(), FOLDER_SIZE);
    if size > limit {
        errors.push(whole("the folder", Problem::TooLargeTogether { size, limit }));
    }
    errors
}

/// Names a set of files in order: BLAKE3 over the length and bytes of each name and text.
pub(super) fn hash(files: &[PolicyFile]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("hanse policy set v1");
    for part in files.iter().flat_map(|file| [&file.name, &file.text]) {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        hasher.update(&length.to_be_bytes()).update(part.as_bytes());
    }
    *hasher.finalize().as_bytes()
}
