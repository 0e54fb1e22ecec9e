//! The streams of a tenant that are in memory, and what is known of each.
//!
//! A stream is registered by its first entry and forgotten when nothing came for a while. Two
//! streams are the same exactly when their canonical texts are equal; the hash only finds them.

use std::time::Duration;

use hashbrown::HashTable;
use model::{Fingerprint, Labels};
use runtime::limiter::TokenBucket;
use xxhash_rust::xxh3::xxh3_64;

/// Which stream of a tenant. Valid while the stream has pending rows.
pub(crate) type StreamId = u32;

/// The last entry of a stream that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastEntry {
    pub(crate) timestamp: i64,
    /// See [`crate::row::Row::identity`].
    pub(crate) identity: u128,
}

/// What is known of a stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) labels: Labels,
    hash: u64,
    pub(crate) fingerprint: Fingerprint,
    /// Time of the newest entry that was admitted, durable or not.
    pub(crate) newest: Option<i64>,
    /// Time of the newest entry that is durable.
    pub(crate) stored_newest: Option<i64>,
    /// The durable entry that came last.
    pub(crate) last: Option<LastEntry>,
    /// What the stream may still take of its rate.
    pub(crate) bucket: TokenBucket,
    /// Batches with rows of this stream that were admitted and are not yet in a head.
    pub(crate) pending: u32,
    /// When something came last, on the monotonic clock.
    touched: Duration,
    /// The head that the stream has rows in, by origin, and which of its runs.
    run: Option<(u64, u32)>,
}

impl Stream {
    /// The stream's run in the head of this origin.
    pub(crate) fn run_in(&self, origin: u64) -> Option<u32> {
        self.run.filter(|(head, _)| *head == origin).map(|(_, run)| run)
    }

    pub(crate) fn set_run(&mut self, origin: u64, run: u32) {
        self.run = Some((origin, run));
    }

    /// Rows were admitted and are on their way.
    pub(crate) fn admit(&mut self, newest: i64, now: Duration) {
        self.newest = self.newest.max(Some(newest));
        self.pending += 1;
        self.touched = now;
    }

    /// Admitted rows are in a head.
    pub(crate) fn store(&mut self, newest: i64, last: LastEntry) {
        self.pending = self.pending.saturating_sub(1);
        self.stored_newest = self.stored_newest.max(Some(newest));
        self.newest = self.newest.max(self.stored_newest);
        self.last = Some(last);
    }

    /// Admitted rows could not be made durable: the client will send them again, and must not be
    /// told that they are older than themselves.
    pub(crate) fn take_back(&mut self) {
        self.pending = self.pending.saturating_sub(1);
        self.newest = self.stored_newest;
    }
}

/// The streams of one tenant.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    slots: Vec<Option<Stream>>,
    free: Vec<StreamId>,
    by_text: HashTable<StreamId>,
}

/// The hash under which a canonical text is found.
pub(crate) fn text_hash(canonical: &str) -> u64 {
    xxh3_64(canonical.as_bytes())
}

impl Streams {
    pub(crate) fn len(&self) -> usize {
        self.by_text.len()
    }

    pub(crate) fn get(&self, id: StreamId) -> Option<&Stream> {
        self.slots.get(id as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.slots.get_mut(id as usize)?.as_mut()
    }

    /// The stream with this canonical text, whose hash is `hash`.
    pub(crate) fn find(&self, hash: u64, canonical: &str) -> Option<StreamId> {
        self.find_by(hash, |labels| labels.canonical() == canonical)
    }

    /// The stream with these labels; `hash` is that of their canonical text.
    pub(crate) fn find_labels(&self, hash: u64, wanted: &Labels) -> Option<StreamId> {
        self.find_by(hash, |labels| labels == wanted)
    }

    fn find_by(&self, hash: u64, is_it: impl Fn(&Labels) -> bool) -> Option<StreamId> {
        let is_it = |id: &StreamId| self.get(*id).is_some_and(|stream| is_it(&stream.labels));
        self.by_text.find(hash, is_it).copied()
    }

    /// Registers a stream that is not there yet.
    pub(crate) fn add(&mut self, labels: Labels, now: Duration) -> StreamId {
        let hash = text_hash(labels.canonical());
        let stream = Stream {
            fingerprint: labels.fingerprint(),
            labels,
            hash,
            newest: None,
            stored_newest: None,
            last: None,
            bucket: TokenBucket::new(f64::INFINITY, f64::INFINITY),
            pending: 0,
            touched: now,
            run: None,
        };
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                self.slots.push(None);
                (self.slots.len() - 1) as StreamId
            }
        };
        self.slots[id as usize] = Some(stream);
        let slots = &self.slots;
        let rehash = |id: &StreamId| slots[*id as usize].as_ref().map_or(0, |stream| stream.hash);
        self.by_text.insert_unique(hash, id, rehash);
        id
    }

    /// Forgets streams without rows in the head of this origin that got nothing since `before`;
    /// answers how many.
    pub(crate) fn forget_idle(&mut self, origin: u64, before: Duration) -> usize {
        let mut forgotten = 0;
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let is_idle = |stream: &mut Stream| {
                stream.pending == 0 && stream.touched < before && stream.run_in(origin).is_none()
            };
            let Some(stream) = slot.take_if(is_idle) else { continue };
            let id = index as StreamId;
            if let Ok(entry) = self.by_text.find_entry(stream.hash, |other| *other == id) {
                entry.remove();
            }
            self.free.push(id);
            forgotten += 1;
        }
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(streams: &mut Streams, text: &str, now: u64) -> StreamId {
        streams.add(Labels::parse(text).unwrap(), Duration::from_secs(now))
    }

    fn find(streams: &Streams, text: &str) -> Option<StreamId> {
        streams.find(text_hash(text), text)
    }

    #[test]
    fn streams_are_found_until_they_are_forgotten() {
        let mut streams = Streams::default();
        let ids: Vec<StreamId> =
            (0..100).map(|i| add(&mut streams, &format!("{{a=\"{i}\"}}"), i)).collect();
        assert_eq!(find(&streams, "{a=\"7\"}"), Some(ids[7]));
        assert_eq!(find(&streams, "{a=\"x\"}"), None);
        let by_labels =
            |text: &str| streams.find_labels(text_hash(text), &Labels::parse(text).unwrap());
        assert_eq!((by_labels("{a=\"7\"}"), by_labels("{a=\"x\"}")), (Some(ids[7]), None));
        streams.get_mut(ids[1]).unwrap().pending = 1;
        streams.get_mut(ids[2]).unwrap().set_run(9, 0);
        streams.get_mut(ids[3]).unwrap().set_run(8, 0);
        assert_eq!(streams.forget_idle(9, Duration::from_secs(10)), 8);
        assert_eq!(streams.len(), 92);
        let kept = ["{a=\"1\"}", "{a=\"2\"}", "{a=\"10\"}"].map(|text| find(&streams, text));
        assert!(kept.iter().all(Option::is_some));
        assert_eq!(find(&streams, "{a=\"3\"}"), None);
        let again = add(&mut streams, "{a=\"3\"}", 200);
        assert_eq!(find(&streams, "{a=\"3\"}"), Some(again));
    }

    #[test]
    fn what_failed_is_taken_back() {
        let mut streams = Streams::default();
        let id = add(&mut streams, "{a=\"1\"}", 0);
        let stream = streams.get_mut(id).unwrap();
        stream.admit(10, Duration::ZERO);
        stream.store(10, LastEntry { timestamp: 10, identity: 1 });
        stream.admit(50, Duration::ZERO);
        assert_eq!(stream.newest, Some(50));
        stream.take_back();
        assert_eq!((stream.newest, stream.pending), (Some(10), 0));
    }
}
