//! The only source of chance.
//!
//! What chance decides here is jitter, identifiers and samples, never secrets.

use std::ops::Range;

use parking_lot::Mutex;

/// Gives random numbers.
pub trait Random: Send + Sync {
    /// A number of 64 random bits.
    fn next_u64(&self) -> u64;
}

/// The operating system's randomness, through a generator for each thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn next_u64(&self) -> u64 {
        rand::random()
    }
}

/// Numbers that follow from a seed, so that a test can be repeated.
#[derive(Debug)]
pub struct SeededRandom(Mutex<u64>);

impl SeededRandom {
    /// Equal seeds give equal numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

/// `SplitMix64`, by Sebastiano Vigna (<https://prng.di.unimi.it/splitmix64.c>).
impl Random for SeededRandom {
    fn next_u64(&self) -> u64 {
        let mut state = self.0.lock();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A number of a half-open span; its start when the span is empty.
///
/// The remainder favours small numbers by less than one part in 2^64 / width.
pub fn uniform(random: &dyn Random, range: Range<u64>) -> u64 {
    match range.end.saturating_sub(range.start) {
        0 => range.start,
        width => range.start + random.next_u64() % width,
    }
}

/// A number from 0 up to but not including 1.
pub fn unit(random: &dyn Random) -> f64 {
    // 53 bits are what a f64 holds exactly.
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_numbers() {
        let (a, b) = (SeededRandom::new(7), SeededRandom::new(7));
        let numbers: Vec<u64> = (0..8).map(|_| a.next_u64()).collect();
        assert!(numbers.iter().all(|number| *number == b.next_u64()));
        assert_ne!(SystemRandom.next_u64(), SystemRandom.next_u64());
    }

    #[test]
    fn numbers_stay_in_their_span() {
        let random = SeededRandom::new(1);
        for _ in 0..1000 {
            assert!((5..9).contains(&uniform(&random, 5..9)));
            assert!((0.0..1.0).contains(&unit(&random)));
        }
        assert_eq!(uniform(&random, 4..4), 4);
    }
}
