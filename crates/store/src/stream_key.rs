//! What tells streams of many segments apart.

use model::Fingerprint;
use xxhash_rust::xxh3::xxh3_64;
use xxhash_rust::xxh64::xxh64;

/// Room for most streams' labels.
const TEXT_BYTES_TYPICAL: usize = 256;

/// Identifies a stream by its labels: two hashes of 64 bits, of which the first is the
/// [`Fingerprint`]. Different streams have one key only with negligible probability, so that
/// millions of them can be told apart without building their labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey(Fingerprint, u64);

impl StreamKey {
    /// The key of labels that are in name order.
    pub fn of<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut text = Vec::with_capacity(TEXT_BYTES_TYPICAL);
        for (name, value) in pairs {
            for part in [name, value] {
                text.extend_from_slice(part.as_bytes());
                text.push(0xff);
            }
        }
        // The same bytes that `Fingerprint::of` hashes.
        Self(Fingerprint(xxh64(&text, 0)), xxh3_64(&text))
    }

    /// The first of the two hashes.
    #[must_use]
    pub fn fingerprint(self) -> Fingerprint {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use model::Labels;

    use super::*;

    #[test]
    fn keys_tell_streams_apart() {
        let key = |text: &str| StreamKey::of(Labels::parse(text).unwrap().iter());
        assert_eq!(key("{a=\"b\", c=\"d\"}"), key("{c=\"d\", a=\"b\"}"));
        assert_ne!(key("{a=\"b\"}"), key("{a=\"c\"}"));
        assert_ne!(key("{}"), key("{a=\"b\"}"));
        let labels = Labels::parse("{a=\"b\", c=\"d\"}").unwrap();
        assert_eq!(StreamKey::of(labels.iter()).fingerprint(), labels.fingerprint());
    }
}
