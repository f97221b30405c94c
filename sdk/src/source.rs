//! Reading STIX input in the shapes it comes in: a bundle, a TAXII envelope, an array, a single
//! object, or one object a line, each plain or gzipped. Objects come out verbatim, each with the
//! line it begins on. Lines are streamed; the other shapes are held whole.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::value::RawValue;

mod document;
mod lines;
#[cfg(test)]
mod tests;

use document::Document;
use lines::{Line, Lines};

/// Longest line of one-object-a-line input and largest object of any, bytes: eight times what a
/// node takes, so that what is refused here is no object.
pub const LINE: usize = 4 << 20;

/// Largest bundle, envelope or array, bytes, unpacked.
pub const DOCUMENT: usize = 256 << 20;

/// An object as it was read.
#[derive(Debug)]
pub struct Object {
    /// The line it begins on, from 1.
    pub line: u64,
    /// The object, byte for byte.
    pub raw: Box<RawValue>,
}

/// What was read.
#[derive(Debug)]
pub enum Item {
    /// An object.
    Object(Object),
    /// A place where an object should be and is not; reading goes on behind it.
    Bad {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why nothing more can be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file or stream failed, or is no whole gzip stream.
    #[error("`{name}` cannot be read")]
    Io {
        /// The file.
        name: String,
        /// What the system or the unpacking said.
        #[source]
        source: io::Error,
    },
    /// A bundle, envelope or array is too large to be held.
    #[error("`{name}` is larger than 256 MiB: write it as one object a line (NDJSON), which is streamed")]
    TooLarge {
        /// The file.
        name: String,
    },
    /// It is neither JSON nor JSON lines.
    #[error("`{name}`, line {line}: {reason}")]
    Syntax {
        /// The file.
        name: String,
        /// The line, from 1.
        line: u64,
        /// What is wrong there.
        reason: String,
    },
}

/// What objects are read from. An iterator; after an error it ends.
pub struct Source {
    name: String,
    shape: Shape,
    read: Arc<AtomicU64>,
    length: Option<u64>,
}

enum Shape {
    Lines(Lines),
    Document(Document),
    Ended,
}

impl Source {
    /// Reads a file. A name ending in `.ndjson` or `.jsonl` (perhaps with `.gz`) says that it is
    /// one object a line; any other is looked into.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let name = path.display().to_string();
        let io = |source| SourceError::Io {
            name: name.clone(),
            source,
        };
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let lower = name.to_ascii_lowercase();
        let stem = lower.strip_suffix(".gz").unwrap_or(&lower);
        let lines = stem.ends_with(".ndjson") || stem.ends_with(".jsonl");
        Self::build(name, file, lines, Some(length))
    }

    /// Reads standard input.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn stdin() -> Result<Self, SourceError> {
        Self::reader("standard input", io::stdin())
    }

    /// Reads anything; `name` is for messages.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn reader(name: impl Into<String>, reader: impl Read + Send + 'static) -> Result<Self, SourceError> {
        Self::build(name.into(), reader, false, None)
    }

    /// Its name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its length in bytes as it lies on disk, if it is a file.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// How many of those bytes were read so far, kept up to date while others iterate.
    pub fn bytes_read(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }

    fn build(
        name: String,
        reader: impl Read + Send + 'static,
        lines: bool,
        length: Option<u64>,
    ) -> Result<Self, SourceError> {
        let read = Arc::new(AtomicU64::new(0));
        let counted = Counted {
            inner: reader,
            read: Arc::clone(&read),
        };
        let io = |source| SourceError::Io {
            name: name.clone(),
            source,
        };
        let input = Input::new(counted).map_err(io)?;
        let shape = match input.told(lines).map_err(io)? {
            Told::Lines(input) => Shape::Lines(Lines::new(input)),
            Told::Document(input) => Shape::Document(Document::read(&name, input)?),
        };
        Ok(Self {
            name,
            shape,
            read,
            length,
        })
    }
}

impl Iterator for Source {
    type Item = Result<Item, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match &mut self.shape {
            Shape::Ended => None,
            Shape::Document(document) => document.next().map(Ok),
            Shape::Lines(lines) => lines.next().transpose(),
        };
        match next {
            Some(Ok(item)) => Some(Ok(item)),
            Some(Err(source)) => {
                self.shape = Shape::Ended;
                Some(Err(SourceError::Io {
                    name: self.name.clone(),
                    source,
                }))
            }
            None => {
                self.shape = Shape::Ended;
                None
            }
        }
    }
}

/// Counts the bytes that pass.
struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read
            .fetch_add(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
        Ok(count)
    }
}

/// Unpacked input, and the line that its next byte is on.
struct Input {
    reader: Box<dyn BufRead + Send>,
    line: u64,
}

/// Input whose shape is known.
enum Told {
    Lines(Input),
    Document(Input),
}

/// The first bytes of a gzip stream (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What some editors write before a UTF-8 text.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

impl Input {
    fn new(reader: impl Read + Send + 'static) -> io::Result<Self> {
        let (first, reader) = peek(reader, GZIP.len())?;
        let unpacked: Box<dyn Read + Send> = if first == GZIP {
            Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(reader)))
        } else {
            Box::new(reader)
        };
        let (first, rest) = peek(unpacked, BYTE_ORDER_MARK.len())?;
        let mut reader: Box<dyn BufRead + Send> = Box::new(BufReader::with_capacity(64 << 10, rest));
        if first == BYTE_ORDER_MARK {
            reader.consume_exactly(first.len())?;
        }
        let mut input = Self { reader, line: 1 };
        input.skip_blank()?;
        Ok(input)
    }

    /// Skips to the first byte that is no white space, counting lines.
    fn skip_blank(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.reader.fill_buf()?;
            let blank = buffer
                .iter()
                .take_while(|byte| byte.is_ascii_whitespace())
                .count();
            let lines = buffer.iter().take(blank).filter(|byte| **byte == b'\n').count();
            let ended = buffer.is_empty() || blank < buffer.len();
            self.line += u64::try_from(lines).unwrap_or(0);
            self.reader.consume(blank);
            if ended {
                return Ok(());
            }
        }
    }

    /// Tells objects one a line from a whole document by its first line, and by the second where
    /// the first is broken.
    fn told(mut self, lines: bool) -> io::Result<Told> {
        if lines {
            return Ok(Told::Lines(self));
        }
        let mut looked_at = Vec::new();
        let first = lines::read(&mut self.reader)?;
        looked_at.extend_from_slice(first.bytes());
        let is_lines = match &first {
            Line::Whole(bytes) => match document::first_line(bytes) {
                document::FirstLine::Object => true,
                document::FirstLine::Document => false,
                document::FirstLine::Broken => {
                    let second = lines::read(&mut self.reader)?;
                    looked_at.extend_from_slice(second.bytes());
                    matches!(&second, Line::Whole(bytes) if lines::object(bytes).is_ok())
                }
            },
            Line::Unfinished(_) | Line::None => false,
        };
        let reader = Box::new(Cursor::new(looked_at).chain(self.reader));
        let input = Self {
            reader,
            line: self.line,
        };
        Ok(if is_lines {
            Told::Lines(input)
        } else {
            Told::Document(input)
        })
    }
}

/// The first bytes of a reader, and a reader that yields them once more.
fn peek<R: Read>(mut reader: R, count: usize) -> io::Result<(Vec<u8>, impl Read + use<R>)> {
    let mut first = Vec::with_capacity(count);
    reader
        .by_ref()
        .take(u64::try_from(count).unwrap_or(0))
        .read_to_end(&mut first)?;
    Ok((first.clone(), Cursor::new(first).chain(reader)))
}

/// Taking a known number of bytes off a buffered reader.
trait ConsumeExactly {
    fn consume_exactly(&mut self, count: usize) -> io::Result<()>;
}

impl<R: BufRead + ?Sized> ConsumeExactly for R {
    fn consume_exactly(&mut self, count: usize) -> io::Result<()> {
        let mut left = count;
        while left > 0 {
            let held = self.fill_buf()?.len().min(left);
            if held == 0 {
                return Ok(());
            }
            self.consume(held);
            left -= held;
        }
        Ok(())
    }
}
