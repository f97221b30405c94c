//! What chance decides, drawn from a seed: the same on every machine and with every library, so that a
//! run can be repeated.

use std::time::Duration;

/// SplitMix64 (Steele, Lea and Flood, 2014), begun for one purpose, so that drawing more for one
/// changes nothing for another.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The dice of a run's seed for one purpose.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_be_bytes()).update(purpose.as_bytes());
        let mut first = [0; 8];
        hasher.finalize_xof().fill(&mut first);
        Self(u64::from_be_bytes(first))
    }

    /// Others, independent of what these draw from now on.
    #[must_use]
    pub fn split(&mut self) -> Self {
        Self(self.number())
    }

    /// Any number.
    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.number() % end).unwrap_or_default()
    }

    /// A number from `least` to `most`.
    pub fn between(&mut self, least: usize, most: usize) -> usize {
        least + self.below(most.saturating_sub(least) + 1)
    }

    /// A number from 0 up to, not including, 1.
    pub fn unit(&mut self) -> f64 {
        // The 53 bits that a number of this kind holds.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let bits = (self.number() >> 11) as f64;
        bits / 9_007_199_254_740_992.0
    }

    /// A span around `mean`, from half of it to half as much again.
    pub fn around(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(0.5 + self.unit())
    }

    /// Puts a list into an order of chance (Fisher and Yates).
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }

    /// So many of a list, in an order of chance.
    pub fn some<T: Clone>(&mut self, list: &[T], count: usize) -> Vec<T> {
        let mut drawn = list.to_vec();
        self.shuffle(&mut drawn);
        drawn.truncate(count);
        drawn
    }

    /// Hexadecimal digits, sixteen of them.
    pub fn hex(&mut self) -> String {
        format!("{:016x}", self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_purpose_say_it_all() {
        let drawn = |seed, purpose| {
            let mut dice = Dice::new(seed, purpose);
            [dice.number(), dice.number(), dice.split().number()]
        };
        assert_eq!(drawn(1, "load"), drawn(1, "load"));
        assert_ne!(drawn(1, "load"), drawn(1, "kills"));
        assert_ne!(drawn(1, "load"), drawn(2, "load"));
        let mut dice = Dice::new(3, "list");
        let mut all = dice.some(&[1, 2, 3, 4, 5], 9);
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3, 4, 5]);
        assert!(
            (0..1_000).all(|_| (0.0..1.0).contains(&dice.unit()) && (2..=4).contains(&dice.between(2, 4)))
        );
    }
}
