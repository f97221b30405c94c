//! Seeded mutations of a corpus, and the loop that feeds them to a target.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::Target;

/// Longest input that mutations grow to, bytes.
const LONGEST: usize = 64 << 10;

/// Numbers and pieces of text that sit at the edges of decoders.
const PIECES: [&[u8]; 28] = [
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\x9f",
    b"\xbf",
    b"\xf6",
    b"\xff\xff\xff\xff",
    b"\x9b\x00\x00\x00\x01\x00\x00\x00\x00",
    b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xd2\x84",
    b"[",
    b"]",
    b"(",
    b"{",
    b"}",
    b"\"",
    b"'",
    b"\\",
    b"\\ud800",
    b"1e999",
    b"9007199254740993",
    b"-0",
    b"::ffff:",
    b"%00",
    b"[.]",
    b"\xe2\x80\xae",
];

/// SplitMix64 (Steele, Lea and Flood, 2014): the same inputs from the same seed, everywhere.
pub struct Seeded(u64);

impl Seeded {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.number() % end.max(1) as u64) as usize
    }

    /// A stretch of `0..length`, short as a rule.
    fn stretch(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let most = (length - start).min(if self.below(8) == 0 { length } else { 16 });
        start..start + self.below(most + 1)
    }

    fn one<'a>(&mut self, corpus: &'a [Vec<u8>]) -> &'a [u8] {
        let place = self.below(corpus.len());
        corpus.get(place).map_or(&[], Vec::as_slice)
    }
}

/// One input made of the corpus: some bits flipped, bytes set, stretches cut, doubled, moved, pieces
/// and random bytes put in, two seeds spliced, lengths changed.
pub fn mutated(corpus: &[Vec<u8>], rng: &mut Seeded) -> Vec<u8> {
    let mut input = rng.one(corpus).to_vec();
    for _ in 0..=rng.below(4) {
        let length = input.len();
        let place = rng.below(length + 1);
        let byte = rng.below(length);
        match rng.below(12) {
            0..=2 if length > 0 => input[byte] ^= 1 << rng.below(8),
            3 if length > 0 => input[byte] = rng.number() as u8,
            4 if length > 0 => {
                input[byte] = input[byte].wrapping_add(if rng.below(2) == 0 { 1 } else { 255 })
            }
            5 => drop(input.drain(rng.stretch(length))),
            6 => {
                let copied = input[rng.stretch(length)].to_vec();
                input.splice(place..place, copied);
            }
            7 => {
                let piece = PIECES[rng.below(PIECES.len())];
                let over = place
                    + if rng.below(2) == 0 {
                        0
                    } else {
                        piece.len().min(length - place)
                    };
                input.splice(place..over, piece.iter().copied());
            }
            8 => {
                let other = rng.one(corpus);
                let from = rng.below(other.len() + 1);
                input.truncate(place);
                input.extend(&other[from..]);
            }
            9 => {
                let other = rng.one(corpus);
                let part = other[rng.stretch(other.len())].to_vec();
                input.splice(place..place, part);
            }
            10 => input.truncate(place),
            _ => {
                // A piece many times over: deep nesting, long lists.
                let piece = PIECES[rng.below(PIECES.len())];
                let times = 1 << rng.below(12);
                input.splice(place..place, piece.repeat(times));
            }
        }
        input.truncate(LONGEST);
    }
    input
}

/// What came of feeding a target.
#[derive(Debug, Default)]
pub struct Fed {
    /// Inputs fed, seeds counted.
    pub inputs: u64,
    /// Their bytes together.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
    /// The slowest input's time.
    pub slowest: Duration,
    /// Inputs at which the target panicked: the first ten.
    pub crashes: Vec<Vec<u8>>,
}

/// Feeds a target its corpus and then `mutations` inputs made from `seed`.
pub fn hammer(target: &Target, corpus: &[Vec<u8>], mutations: u64, seed: u64) -> Fed {
    let mut rng = Seeded::new(
        seed ^ target
            .name
            .bytes()
            .fold(0_u64, |sum, b| sum.wrapping_mul(31) ^ u64::from(b)),
    );
    let mut fed = Fed::default();
    // What a target makes once is not the first input's fault.
    drop(catch_unwind(|| (target.run)(&[])));
    let start = Instant::now();
    let made = (0..mutations).map(|_| mutated(corpus, &mut rng));
    for input in corpus.iter().cloned().chain(made) {
        let before = Instant::now();
        if catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err() && fed.crashes.len() < 10 {
            fed.crashes.push(input.clone());
        }
        fed.slowest = fed.slowest.max(before.elapsed());
        fed.inputs += 1;
        fed.bytes += input.len() as u64;
    }
    fed.took = start.elapsed();
    fed
}
