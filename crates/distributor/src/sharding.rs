//! Very hot streams in parts, so that no ingester has to take all of one.
//!
//! A stream belongs to a few ingesters. One that takes more bytes a second than these should bear is
//! split: its entries go to several streams that differ in one label, which lie elsewhere on the
//! ring. How fast a stream is, each distributor finds out by itself.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::generations::Generations;
use crate::limits::StreamSharding;
use crate::streams::KnownStream;

/// The label that tells the parts of a stream apart.
pub(crate) const SHARD_LABEL: &str = "__stream_shard__";
/// Time over which a rate is measured.
const WINDOW: Duration = Duration::from_secs(5);
/// A rate that was measured longer ago says nothing.
const STALE: Duration = Duration::from_secs(60);
/// Most parts of a stream.
const SHARDS_MAX: usize = 128;

/// How fast one stream is.
#[derive(Debug, Default)]
struct Rate {
    /// When the window under way began.
    begun: Option<Duration>,
    /// Bytes of it.
    bytes: f64,
    /// Bytes a second in the window before.
    rate: f64,
    /// The part that comes next.
    next: usize,
}

/// How fast the streams of a tenant are, and their parts.
#[derive(Debug)]
pub(crate) struct Rates {
    rates: Mutex<Generations<u64, Arc<Mutex<Rate>>>>,
    parts: Mutex<Generations<(u64, usize), Arc<KnownStream>>>,
}

/// Entries of a stream that one push brings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) bytes: u64,
    pub(crate) entries: usize,
    /// The monotonic clock.
    pub(crate) now: Duration,
    /// Healthy distributors, among which pushes are spread.
    pub(crate) distributors: usize,
}

/// Into which parts the entries of a push go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Split {
    /// How many parts the stream has.
    pub(crate) shards: usize,
    /// The part that the first entries go to.
    pub(crate) first: usize,
}

impl Rates {
    pub(crate) fn new(streams: usize) -> Self {
        Self {
            rates: Mutex::new(Generations::new(streams)),
            parts: Mutex::new(Generations::new(streams)),
        }
    }

    /// Notes the load, and answers how it is split; `None` when it is not.
    pub(crate) fn split(
        &self,
        stream: &KnownStream,
        load: Load,
        limits: &StreamSharding,
    ) -> Option<Split> {
        let is_exempt = stream.is_internal || stream.labels.get(SHARD_LABEL).is_some();
        if !limits.enabled || limits.desired_rate_bytes <= 0.0 || is_exempt {
            return None;
        }
        let rate = {
            let mut rates = self.rates.lock();
            rates.get(&stream.fingerprint.0).unwrap_or_else(|| {
                let new = Arc::<Mutex<Rate>>::default();
                rates.insert(stream.fingerprint.0, Arc::clone(&new));
                new
            })
        };
        let mut rate = rate.lock();
        let measured = rate.note(load.bytes as f64, load.now);
        // The first push of a stream says nothing about its rate.
        if measured <= 0.0 {
            return None;
        }
        let all = measured * load.distributors.max(1) as f64;
        let shards = (all / limits.desired_rate_bytes).ceil() as usize;
        let shards = shards.min(SHARDS_MAX);
        if shards < 2 {
            return None;
        }
        let first = rate.next % shards;
        rate.next = first + shards.min(load.entries);
        Some(Split { shards, first })
    }

    /// One part of a stream.
    pub(crate) fn part(&self, stream: &Arc<KnownStream>, shard: usize) -> Arc<KnownStream> {
        let key = (stream.fingerprint.0, shard);
        let known = self.parts.lock().get(&key);
        // Two streams of one hash share the place.
        let of_stream = |part: &Arc<KnownStream>| {
            part.labels.with(SHARD_LABEL, "") == stream.labels.with(SHARD_LABEL, "")
        };
        if let Some(part) = known.filter(of_stream) {
            return part;
        }
        let labels = stream.labels.with(SHARD_LABEL, &shard.to_string());
        let part = Arc::new(KnownStream {
            fingerprint: labels.fingerprint(),
            labels,
            ..KnownStream::clone(stream)
        });
        self.parts.lock().insert(key, Arc::clone(&part));
        part
    }
}

impl Rate {
    /// Adds bytes, and answers how many came a second lately.
    fn note(&mut self, bytes: f64, now: Duration) -> f64 {
        let begun = *self.begun.get_or_insert(now);
        let elapsed = now.saturating_sub(begun);
        if elapsed >= WINDOW {
            self.rate = if elapsed < STALE { self.bytes / elapsed.as_secs_f64() } else { 0.0 };
            self.bytes = 0.0;
            self.begun = Some(now);
        }
        self.bytes += bytes;
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last_window() {
        let mut rate = Rate::default();
        let at = Duration::from_millis;
        for tick in 0..50 {
            assert!(rate.note(100.0, at(tick * 100)) <= 0.0);
        }
        assert!((rate.note(100.0, at(5000)) - 1000.0).abs() < 1.0);
        assert!((rate.note(0.0, at(9000)) - 1000.0).abs() < 1.0);
        assert!((rate.note(0.0, at(11_000)) - 100.0 / 6.0).abs() < 1.0);
        assert!(rate.note(0.0, at(100_000)) <= 0.0);
    }
}
