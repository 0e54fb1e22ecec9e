//! Hashes of label sets.

use std::fmt;

use xxhash_rust::xxh64::Xxh64;

/// A 64-bit hash of a label set: XXH64 over `name 0xFF value 0xFF …` in name order.
///
/// The algorithm is the one Prometheus uses for label sets, so the order in which Loki breaks
/// ties between streams can be reproduced. Different sets may collide; compare labels to be sure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// Hashes pairs that are already in name order.
    pub fn of<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut hash = Xxh64::new(0);
        for (name, value) in pairs {
            hash.update(name.as_bytes());
            hash.update(&[0xff]);
            hash.update(value.as_bytes());
            hash.update(&[0xff]);
        }
        Self(hash.digest())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}
