//! Trains the zstd dictionary that bodies are compressed with, from STIX objects of its own making.
//! Nothing of anyone's data goes in, and the same seed gives the same bytes.
//!
//! `train-dictionary [FILE]` writes to `protocol/src/dictionary/stix-1.zdict` unless told otherwise. A
//! dictionary in use is frozen: a better one is a new file under a new number.

use std::path::PathBuf;

mod objects;
mod seeded;

use seeded::Seeded;

/// Changes with every new dictionary, so that none is trained twice by mistake.
const SEED: u64 = 1;

/// Size of the dictionary, bytes.
const SIZE: usize = 64 << 10;

/// How many contents it is trained on. At some 900 bytes each, a hundred times its size.
const SAMPLES: usize = 10_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args_os().nth(1).map_or_else(
        || PathBuf::from("protocol/src/dictionary/stix-1.zdict"),
        PathBuf::from,
    );
    let mut seeded = Seeded::new(SEED);
    let samples: Vec<String> = (0..SAMPLES).map(|_| objects::content(&mut seeded)).collect();
    let dictionary = zstd::dict::from_samples(&samples, SIZE)?;
    std::fs::write(&file, &dictionary)?;
    println!(
        "wrote {} bytes to {}, trained on {} bytes in {SAMPLES} contents",
        dictionary.len(),
        file.display(),
        samples.iter().map(String::len).sum::<usize>(),
    );
    Ok(())
}
