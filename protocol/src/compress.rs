//! Compression of a body's content: zstd (RFC 8878) with a dictionary of STIX that both sides hold, so
//! that a record of one object shrinks as well as a record of many.

use std::cell::RefCell;
use std::sync::LazyLock;

use minicbor::{Decode, Encode};
use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe;

use crate::limits;

#[cfg(test)]
mod tests;

/// The number on the wire for content compressed without a dictionary.
const NONE: u16 = 0;

/// The number on the wire of the first dictionary.
const STIX_1: u16 = 1;

/// The first dictionary: 64 KiB, trained by `testnet`'s `train-dictionary` on objects of its own
/// making. Frozen: content compressed with it can be read only with these very bytes.
static STIX_1_BYTES: &[u8] = include_bytes!("dictionary/stix-1.zdict");

/// Content from here on is compressed without the dictionary, bytes. Measured on real indicators, the
/// dictionary saves 60 % of one object and 20 % of ten, nothing of two hundred (126 KB), and from
/// there on only costs time.
const SELF_SUFFICIENT: usize = 64 << 10;

/// zstd's level. Level 9 saves 6 % more at five times the time.
const LEVEL: i32 = 3;

/// How a zstd frame starts, little-endian (RFC 8878, section 3.1.1). Skippable frames start otherwise.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Compressed content as it travels: the CBOR array `[dictionary, raw length, zstd frame]`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Packed {
    /// Which dictionary it needs; 0 for none.
    #[n(0)]
    pub dictionary: u16,
    /// Bytes of the content before compression, so that a reader knows what it is in for.
    #[n(1)]
    pub raw_len: u32,
    /// One zstd frame.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub bytes: Vec<u8>,
}

/// Why content could not be packed or unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompressError {
    /// More than [`limits::CONTENT`], as it is or as it claims to be.
    #[error("content of {bytes} bytes is over {}", limits::CONTENT)]
    TooLarge {
        /// Its size before compression.
        bytes: usize,
    },
    /// It needs a dictionary that this version does not have: a later one may, so this is no fault.
    #[error("dictionary {0} is unknown")]
    UnknownDictionary(u16),
    /// It is not one zstd frame from its first byte to its last.
    #[error("content is not exactly one zstd frame")]
    NotOneFrame,
    /// It holds another number of bytes than it claims.
    #[error("content does not have the {declared} bytes it claims")]
    Length {
        /// What it claims.
        declared: u32,
    },
    /// The frame cannot be decompressed with the dictionary it names.
    #[error("content cannot be decompressed")]
    Corrupt,
    /// zstd could not be set up here, for want of memory. Nobody else's fault.
    #[error("no compression at hand")]
    Unavailable,
}

/// The dictionary made ready once; `None` if zstd had no memory for it.
static ENCODER: LazyLock<Option<EncoderDictionary<'static>>> =
    LazyLock::new(|| EncoderDictionary::try_copy(STIX_1_BYTES, LEVEL).ok());
static DECODER: LazyLock<Option<DecoderDictionary<'static>>> =
    LazyLock::new(|| DecoderDictionary::try_copy(STIX_1_BYTES).ok());

thread_local! {
    /// Making a context costs more than compressing one object, so each thread keeps its own.
    static PACK_STIX_1: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static PACK_NONE: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static UNPACK_STIX_1: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    static UNPACK_NONE: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses content. Refuses more than [`limits::CONTENT`], which no reader would take.
pub fn pack(content: &[u8]) -> Result<Packed, CompressError> {
    let raw_len = u32::try_from(content.len())
        .ok()
        .filter(|_| content.len() <= limits::CONTENT)
        .ok_or(CompressError::TooLarge { bytes: content.len() })?;
    let (dictionary, context) = if content.len() < SELF_SUFFICIENT {
        (STIX_1, &PACK_STIX_1)
    } else {
        (NONE, &PACK_NONE)
    };
    let mut bytes = context
        .with_borrow_mut(|kept| kept_or(kept, || compressor(dictionary))?.compress(content).ok())
        .ok_or(CompressError::Unavailable)?;
    // zstd asks for room for the worst case.
    bytes.shrink_to_fit();
    Ok(Packed {
        dictionary,
        raw_len,
        bytes,
    })
}

impl Packed {
    /// The content. Everything it claims is checked before a byte is decompressed, and no more memory
    /// is taken than it claims.
    pub fn unpack(&self) -> Result<Vec<u8>, CompressError> {
        let declared = self.raw_len;
        let length = usize::try_from(declared).unwrap_or(usize::MAX);
        if length > limits::CONTENT {
            return Err(CompressError::TooLarge { bytes: length });
        }
        let context = match self.dictionary {
            NONE => &UNPACK_NONE,
            STIX_1 => &UNPACK_STIX_1,
            unknown => return Err(CompressError::UnknownDictionary(unknown)),
        };
        self.one_frame()?;
        if !matches!(
            zstd_safe::get_frame_content_size(&self.bytes),
            Ok(Some(size)) if size == u64::from(declared)
        ) {
            return Err(CompressError::Length { declared });
        }
        let content = context
            .with_borrow_mut(|kept| {
                let decompressor = kept_or(kept, || decompressor(self.dictionary))?;
                Some(decompressor.decompress(&self.bytes, length))
            })
            .ok_or(CompressError::Unavailable)?
            .map_err(|_| CompressError::Corrupt)?;
        if content.len() == length {
            Ok(content)
        } else {
            Err(CompressError::Length { declared })
        }
    }

    /// zstd itself would read several frames in a row, skippable ones among them, as one content.
    fn one_frame(&self) -> Result<(), CompressError> {
        let whole = self.bytes.starts_with(&MAGIC)
            && zstd_safe::find_frame_compressed_size(&self.bytes) == Ok(self.bytes.len());
        if whole {
            Ok(())
        } else {
            Err(CompressError::NotOneFrame)
        }
    }
}

/// What a thread keeps, made when first asked for.
fn kept_or<T>(kept: &mut Option<T>, make: impl FnOnce() -> Option<T>) -> Option<&mut T> {
    if kept.is_none() {
        *kept = make();
    }
    kept.as_mut()
}

fn compressor(dictionary: u16) -> Option<Compressor<'static>> {
    if dictionary == NONE {
        return Compressor::new(LEVEL).ok();
    }
    let mut compressor = Compressor::with_prepared_dictionary(ENCODER.as_ref()?).ok()?;
    // The dictionary is named beside the frame; naming it inside again would cost four bytes.
    compressor
        .set_parameter(zstd_safe::CParameter::DictIdFlag(false))
        .ok()?;
    Some(compressor)
}

fn decompressor(dictionary: u16) -> Option<Decompressor<'static>> {
    if dictionary == NONE {
        Decompressor::new().ok()
    } else {
        Decompressor::with_prepared_dictionary(DECODER.as_ref()?).ok()
    }
}
