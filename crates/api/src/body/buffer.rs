//! Buffers that are used again, one per thread: a fresh one is cleared first by the operating
//! system and then by the allocator, which together take longer than unpacking into it.

use std::cell::RefCell;

use bytes::Bytes;

/// Larger buffers are not kept.
const KEPT_BYTES_MAX: usize = 4 << 20;

thread_local! {
    static KEPT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A buffer whose first bytes are in use. It is kept for the next one when it is dropped.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    len: usize,
}

impl Buffer {
    /// So many bytes, whatever they may be.
    pub(super) fn take(len: usize) -> Self {
        let mut bytes = KEPT.try_with(|kept| std::mem::take(&mut *kept.borrow_mut()));
        if let Ok(bytes) = &mut bytes
            && bytes.len() < len
        {
            bytes.resize(len, 0);
        }
        Self { bytes: bytes.unwrap_or_else(|_| vec![0; len]), len }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    /// The bytes without a copy.
    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            return;
        }
        // A thread that ends keeps nothing.
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < self.bytes.len() {
                *kept = std::mem::take(&mut self.bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_and_large_ones_do_not() {
        let mut first = Buffer::take(1000);
        first.bytes_mut().fill(7);
        let second = Buffer::take(10);
        assert_eq!(second.as_ref(), [0; 10]);
        let bytes = first.into_bytes();
        assert_eq!(bytes, vec![7; 1000]);
        drop(bytes);
        drop(second);
        assert_eq!(Buffer::take(1000).as_ref(), [7; 1000]);
        assert_eq!(Buffer::take(2000).as_ref().len(), 2000);
        drop(Buffer::take(KEPT_BYTES_MAX + 1));
        assert!(KEPT.with_borrow(Vec::len) <= KEPT_BYTES_MAX);
    }
}
