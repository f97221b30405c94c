//! The blocks of an event stream (WHATWG HTML, section 9.2.6), read from the pieces they come in.

use crate::error::SdkError;

/// Largest block, bytes: the largest record with its objects is under a third of it.
const BLOCK: usize = 16 << 20;

/// What stands between two empty lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) id: Option<String>,
    pub(super) event: String,
    pub(super) data: String,
}

/// Bytes that came and were not read yet.
#[derive(Default)]
pub(super) struct Blocks {
    bytes: Vec<u8>,
    /// How much of it was searched for the end of a block.
    searched: usize,
}

impl Blocks {
    /// Takes bytes in.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), SdkError> {
        if self.bytes.len() + bytes.len() > BLOCK {
            return Err(SdkError::TooLarge { limit: BLOCK });
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The next whole block. Lines end with LF, as the node writes them.
    pub(super) fn next(&mut self) -> Option<Block> {
        let from = self.searched.saturating_sub(1);
        let found = self
            .bytes
            .get(from..)?
            .windows(2)
            .position(|pair| pair == b"\n\n");
        let Some(found) = found else {
            self.searched = self.bytes.len();
            return None;
        };
        let rest = self.bytes.split_off(from + found + 2);
        let block = std::mem::replace(&mut self.bytes, rest);
        self.searched = 0;
        Some(read(&String::from_utf8_lossy(&block)))
    }
}

fn read(text: &str) -> Block {
    let mut block = Block::default();
    for line in text.split('\n') {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => block.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut block.event),
            "data" => {
                block.data.push_str(value);
                block.data.push('\n');
            }
            // Comments, and what later versions may say.
            _ => {}
        }
    }
    block.data.pop();
    block
}
