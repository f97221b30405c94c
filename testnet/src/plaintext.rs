//! The search for plaintext that leaked: texts that must not lie about are looked for as they are,
//! in hexadecimal, base64 and UTF-16, and inside whatever decompresses.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aho_corasick::{AhoCorasick, BuildError};
use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};

use hanse_protocol::compress::Packed;
use zstd::zstd_safe;

#[cfg(test)]
mod tests;

/// Shortest text that is looked for, bytes: a shorter one turns up by chance.
const SHORTEST: usize = 8;

/// Largest file that is searched, bytes. Nothing a node writes comes near it.
const LARGEST: u64 = 1 << 30;

/// Most that one compressed stretch is unpacked to, bytes.
const UNPACKED: u64 = 64 << 20;

/// How many layers of compression are looked through.
const LAYERS: u32 = 2;

/// Most findings of one search: the first says enough.
const FINDINGS: usize = 16;

/// First bytes of a zstd frame (RFC 8878, section 3.1.1).
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// First bytes of a gzip member with its only method (RFC 1952, section 2.3).
const GZIP: &[u8] = &[0x1f, 0x8b, 0x08];
/// First bytes of a zlib stream (RFC 1950, section 2.2) at each of its four levels, with the window
/// that everybody uses.
const ZLIB: [&[u8]; 4] = [&[0x78, 0x01], &[0x78, 0x5e], &[0x78, 0x9c], &[0x78, 0xda]];

/// How a text was written where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// As it is.
    Raw,
    /// In hexadecimal digits.
    Hex,
    /// In base64, standard or URL alphabet, at any of the three alignments.
    Base64,
    /// In UTF-16, either byte order.
    Utf16,
}

/// A text that was found where it must not be. It bears the text's number, not the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// The file, or what else was searched.
    pub place: String,
    /// Which of the texts, from 0 in the order they were given.
    pub text: usize,
    /// How it was written.
    pub form: Form,
    /// Whether it was compressed.
    pub compressed: bool,
}

/// Why a search could not be made, or made in full.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The texts make no search.
    #[error("the texts cannot be searched for")]
    Texts(#[from] BuildError),
    /// A file or folder could not be read.
    #[error("`{}` cannot be searched", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file is larger than 1 GiB.
    #[error("`{}` is larger than 1 GiB and was not searched", .0.display())]
    TooLarge(PathBuf),
}

/// A search for texts in every form they might have leaked in.
pub struct Search {
    forms: AhoCorasick,
    meanings: Vec<(usize, Form)>,
    packers: AhoCorasick,
}

impl Search {
    /// A search for these texts. One shorter than 8 bytes is left out: it would turn up by chance.
    ///
    /// # Errors
    /// [`SearchError::Texts`] if they are too many or too long to be searched for at once.
    pub fn new<T: AsRef<str>>(texts: &[T]) -> Result<Self, SearchError> {
        let mut patterns = Vec::new();
        let mut meanings = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            let text = text.as_ref();
            if text.len() < SHORTEST {
                continue;
            }
            for (form, pattern) in forms_of(text) {
                patterns.push(pattern);
                meanings.push((number, form));
            }
        }
        let packers = [ZSTD, GZIP].into_iter().chain(ZLIB);
        Ok(Self {
            forms: AhoCorasick::new(&patterns)?,
            meanings,
            packers: AhoCorasick::new(packers)?,
        })
    }

    /// What of the texts is in `bytes`; `place` is how a finding names them.
    pub fn in_bytes(&self, place: &str, bytes: &[u8]) -> Vec<Leak> {
        let mut leaks = Vec::new();
        self.look(place, bytes, 0, &mut leaks);
        leaks
    }

    /// What of the texts is in the files of a folder and the folders in it, but for what `skip`
    /// names. Links are not followed, and a file that vanishes while the search runs is no error.
    ///
    /// # Errors
    /// [`SearchError::Io`], [`SearchError::TooLarge`]: a search that leaves something out is none.
    pub fn in_folder(&self, folder: &Path, skip: Option<&Path>) -> Result<Vec<Leak>, SearchError> {
        let mut leaks = Vec::new();
        for file in files_under(folder, skip)? {
            if leaks.len() >= FINDINGS {
                break;
            }
            if let Some(bytes) = read(&file)? {
                self.look(&file.display().to_string(), written(&bytes), 0, &mut leaks);
            }
        }
        Ok(leaks)
    }

    fn look(&self, place: &str, bytes: &[u8], layer: u32, leaks: &mut Vec<Leak>) {
        for found in self.forms.find_iter(bytes) {
            let Some((text, form)) = self.meanings.get(found.pattern().as_usize()).copied() else {
                continue;
            };
            let leak = Leak {
                place: place.to_owned(),
                text,
                form,
                compressed: layer > 0,
            };
            if leaks.len() < FINDINGS && !leaks.contains(&leak) {
                leaks.push(leak);
            }
        }
        if layer >= LAYERS {
            return;
        }
        // The first bytes of no two packers overlap, so that looking on behind each is enough.
        for found in self.packers.find_iter(bytes) {
            let Some(packed) = bytes.get(found.start()..) else {
                continue;
            };
            for unpacked in unpack(packed) {
                self.look(place, &unpacked, layer + 1, leaks);
            }
        }
    }
}

/// Every way a text is looked for.
fn forms_of(text: &str) -> Vec<(Form, Vec<u8>)> {
    let bytes = text.as_bytes();
    let mut forms = vec![
        (Form::Raw, bytes.to_vec()),
        (Form::Hex, HEXLOWER.encode(bytes).into_bytes()),
        (Form::Hex, HEXUPPER.encode(bytes).into_bytes()),
        (
            Form::Utf16,
            text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        ),
        (
            Form::Utf16,
            text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        ),
    ];
    for before in 0..3 {
        for alphabet in [&BASE64_NOPAD, &BASE64URL_NOPAD] {
            forms.push((Form::Base64, inner_base64(bytes, before, alphabet)));
        }
    }
    forms
}

/// The base64 digits that depend on `bytes` alone when `before` other bytes stand before them in
/// their group of three.
fn inner_base64(bytes: &[u8], before: usize, alphabet: &data_encoding::Encoding) -> Vec<u8> {
    let shifted: Vec<u8> = std::iter::repeat_n(0, before)
        .chain(bytes.iter().copied())
        .collect();
    let digits = alphabet.encode(&shifted).into_bytes();
    // A digit holds six bits: those touched by the bytes before, or by those after, are unknown.
    let first = (before * 8).div_ceil(6);
    let last = shifted.len() * 8 / 6;
    digits.get(first..last).unwrap_or_default().to_vec()
}

/// What the start of `packed` decompresses to, by each way that yields something.
fn unpack(packed: &[u8]) -> Vec<Vec<u8>> {
    if packed.starts_with(ZSTD) {
        return [plain_zstd(packed), with_dictionary(packed)]
            .into_iter()
            .flatten()
            .collect();
    }
    let unpacked = if packed.starts_with(GZIP) {
        drain(flate2::bufread::GzDecoder::new(packed))
    } else {
        drain(flate2::bufread::ZlibDecoder::new(packed))
    };
    unpacked.into_iter().collect()
}

fn plain_zstd(packed: &[u8]) -> Option<Vec<u8>> {
    drain(
        zstd::stream::read::Decoder::with_buffer(packed)
            .ok()?
            .single_frame(),
    )
}

/// A frame that needs the dictionary of bodies, which is how a node packs one.
fn with_dictionary(packed: &[u8]) -> Option<Vec<u8>> {
    let length = zstd_safe::find_frame_compressed_size(packed).ok()?;
    let raw_len = u32::try_from(zstd_safe::get_frame_content_size(packed).ok()??).ok()?;
    let bytes = packed.get(..length)?.to_vec();
    Packed {
        dictionary: 1,
        raw_len,
        bytes,
    }
    .unpack()
    .ok()
}

/// All that comes before the first error: a stretch that is cut short or overwritten counts too.
fn drain(reader: impl Read) -> Option<Vec<u8>> {
    let mut unpacked = Vec::new();
    // What came before an error is kept in the buffer.
    drop(reader.take(UNPACKED).read_to_end(&mut unpacked));
    (!unpacked.is_empty()).then_some(unpacked)
}

fn files_under(folder: &Path, skip: Option<&Path>) -> Result<Vec<PathBuf>, SearchError> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let at = |source| SearchError::Io {
            path: folder.clone(),
            source,
        };
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(at)?,
        };
        for entry in entries {
            let entry = entry.map_err(at)?;
            let kind = entry.file_type().map_err(at)?;
            let path = entry.path();
            if skip == Some(path.as_path()) {
                continue;
            }
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                files.push(path);
            }
        }
    }
    Ok(files)
}

/// A file without the zeros at its end: engines lay out files of many megabytes before they fill
/// them.
fn written(bytes: &[u8]) -> &[u8] {
    const PAGE: usize = 4_096;
    const ZEROS: [u8; PAGE] = [0; PAGE];
    let pages = bytes.chunks(PAGE).rposition(|page| !ZEROS.starts_with(page));
    let end = pages.map_or(0, |page| (page + 1) * PAGE);
    bytes.get(..end).unwrap_or(bytes)
}

/// The whole file; `None` if it is gone.
fn read(path: &Path) -> Result<Option<Vec<u8>>, SearchError> {
    let mut bytes = Vec::new();
    let taken = fs::File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    match taken {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SearchError::Io {
            path: path.to_owned(),
            source,
        }),
        Ok(_) if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LARGEST => {
            Err(SearchError::TooLarge(path.to_owned()))
        }
        Ok(_) => Ok(Some(bytes)),
    }
}
