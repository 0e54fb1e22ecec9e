//! Memory of bodies and batches, used again.
//!
//! A body is dropped as soon as it is read. A batch stays in a head until the head is stored; then
//! dozens of them are dropped at once, while the next ones are on their way. Memory that goes back
//! to the operating system in between comes again page by page and cleared, which takes longer than
//! to fill it.

use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// Sizes of buffers that are kept: the allocator is good at smaller ones, and larger ones are rare.
const SIZES: RangeInclusive<usize> = (256 << 10)..=(4 << 20);
/// Most bytes that are kept for the whole process: about what one head holds.
const KEPT_BYTES_MAX: usize = 32 << 20;

static KEPT: Mutex<Kept> = Mutex::new(Kept { buffers: Vec::new(), bytes: 0 });

/// Buffers that nobody uses at the moment, the longest kept first.
#[derive(Debug)]
struct Kept {
    buffers: Vec<Vec<u8>>,
    /// The sum of their capacities.
    bytes: usize,
}

impl Kept {
    /// A buffer of at least this capacity that is at most an eighth larger.
    fn take(&mut self, bytes: usize) -> Option<Vec<u8>> {
        let fitting = bytes..=bytes + bytes / 8;
        let index = self.buffers.iter().rposition(|kept| fitting.contains(&kept.capacity()))?;
        let buffer = self.buffers.remove(index);
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    /// Keeps a buffer; answers those that have to go for it.
    fn keep(&mut self, mut buffer: Vec<u8>) -> Vec<Vec<u8>> {
        buffer.clear();
        self.bytes += buffer.capacity();
        self.buffers.push(buffer);
        let mut gone = 0;
        while self.bytes > KEPT_BYTES_MAX {
            self.bytes -= self.buffers[gone].capacity();
            gone += 1;
        }
        self.buffers.drain(..gone).collect()
    }
}

/// An empty buffer with room for at least so many bytes.
#[must_use]
pub fn take(bytes: usize) -> Vec<u8> {
    if !SIZES.contains(&bytes) {
        return Vec::with_capacity(bytes);
    }
    // Batches of about one size must fit into each other's memory.
    let bytes = bytes.next_multiple_of(bytes.next_power_of_two() / 16);
    let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner).take(bytes);
    kept.unwrap_or_else(|| Vec::with_capacity(bytes))
}

/// Makes bytes of a buffer, whose memory is kept for the next one when they are dropped.
#[must_use]
pub fn freeze(buffer: Vec<u8>) -> Bytes {
    if SIZES.contains(&buffer.capacity()) {
        Bytes::from_owner(Filled(buffer))
    } else {
        buffer.into()
    }
}

/// A buffer that is kept when it is dropped.
struct Filled(Vec<u8>);

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        let gone = KEPT.lock().unwrap_or_else(PoisonError::into_inner).keep(buffer);
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_about_the_right_size_come_back() {
        let mut kept = Kept { buffers: Vec::new(), bytes: 0 };
        assert!(kept.keep(vec![7; 1 << 20]).is_empty());
        assert!(kept.keep(Vec::with_capacity(2 << 20)).is_empty());
        assert!(kept.take((1 << 20) + 1).is_none());
        assert!(kept.take((1 << 20) * 7 / 8).is_none());
        let again = kept.take((1 << 20) - 1000).unwrap();
        assert_eq!((again.len(), again.capacity()), (0, 1 << 20));
        assert_eq!((kept.buffers.len(), kept.bytes), (1, 2 << 20));
    }

    #[test]
    fn the_longest_kept_go_first() {
        let mut kept = Kept { buffers: Vec::new(), bytes: 0 };
        for size in (1..=20).map(|n| (1 << 20) + n * 1000) {
            let gone = kept.keep(Vec::with_capacity(size));
            assert!(gone.iter().all(|gone| gone.capacity() < size));
            assert!(kept.keep(Vec::with_capacity(size)).len() <= 2);
            assert!(kept.bytes <= KEPT_BYTES_MAX);
        }
        assert!(kept.take((1 << 20) + 1000).is_none_or(|found| found.capacity() > 1 << 20));
        assert_eq!(kept.bytes, kept.buffers.iter().map(Vec::capacity).sum::<usize>());
        assert!(kept.buffers.len() > 28);
    }

    #[test]
    fn bytes_are_those_of_the_buffer_whatever_its_size() {
        for size in [10, 300 << 10, 5 << 20] {
            let mut buffer = take(size);
            assert!(buffer.is_empty() && buffer.capacity() >= size);
            buffer.extend((0..size).map(|n| n as u8));
            let bytes = freeze(buffer);
            assert!(bytes.iter().enumerate().all(|(n, byte)| *byte == n as u8));
        }
    }
}
