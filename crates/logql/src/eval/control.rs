//! What stops a query from outside, and what it may hold.
//!
//! The engine never reads a clock: whoever runs the query sets the flag when its time is over or
//! its client has left. Workers look at the flag at least once per few thousand rows, which is
//! well below a millisecond of work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::error::QueryError;

/// Rows between two looks at the flag.
pub const ROWS_BETWEEN_CHECKS: u32 = 512;

/// Why a query is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CancelReason {
    /// Its time is over.
    Deadline = 1,
    /// Nobody waits for the answer any more.
    ClientGone = 2,
    /// The process is stopping.
    Shutdown = 3,
}

/// A handle on a running query: its cancel flag and its memory count. Clones share both.
#[derive(Debug, Clone, Default)]
pub struct Control(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// 0 while the query may run, else a [`CancelReason`].
    cancelled: AtomicU8,
    used_bytes: AtomicU64,
    peak_bytes: AtomicU64,
}

impl Control {
    /// A handle for one query that has not started.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the query to stop soon; the first reason stands.
    pub fn cancel(&self, reason: CancelReason) {
        let _ = self.0.cancelled.compare_exchange(
            0,
            reason as u8,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    /// Whether the query was asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed) != 0
    }

    /// Bytes that the query's buffers hold now, as far as they were counted.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.0.used_bytes.load(Ordering::Relaxed)
    }

    /// The most bytes that the query's buffers held at once.
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        self.0.peak_bytes.load(Ordering::Relaxed)
    }

    /// Fails when the query was asked to stop.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cancelled`] with the reason.
    pub fn check(&self) -> Result<(), QueryError> {
        let reason = match self.0.cancelled.load(Ordering::Relaxed) {
            0 => return Ok(()),
            1 => CancelReason::Deadline,
            2 => CancelReason::ClientGone,
            _ => CancelReason::Shutdown,
        };
        Err(QueryError::Cancelled(reason))
    }
}

/// A query's control together with the memory that its limits allow.
#[derive(Debug, Clone, Copy)]
pub struct Meter<'a> {
    control: &'a Control,
    limit_bytes: u64,
}

impl<'a> Meter<'a> {
    /// A meter over a query's control; `limit_bytes` of 0 means no limit.
    #[must_use]
    pub fn new(control: &'a Control, limit_bytes: u64) -> Self {
        Self { control, limit_bytes }
    }

    /// Fails when the query was asked to stop.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cancelled`].
    pub fn check(&self) -> Result<(), QueryError> {
        self.control.check()
    }

    /// Counts bytes that a buffer is about to hold.
    ///
    /// # Errors
    ///
    /// [`QueryError::MemoryLimit`] when the query's buffers would exceed their limit; the query
    /// ends.
    pub fn charge(&self, bytes: u64) -> Result<(), QueryError> {
        let used = self.control.0.used_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.control.0.peak_bytes.fetch_max(used, Ordering::Relaxed);
        if self.limit_bytes != 0 && used > self.limit_bytes {
            return Err(QueryError::MemoryLimit { limit_bytes: self.limit_bytes });
        }
        Ok(())
    }

    /// Counts bytes that a buffer no longer holds.
    pub fn release(&self, bytes: u64) {
        let _ =
            self.control.0.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                Some(used.saturating_sub(bytes))
            });
    }
}

/// Bytes of one owner, handed to the meter in lots so that threads rarely meet at the counter.
#[derive(Debug)]
pub struct Account<'a> {
    meter: Meter<'a>,
    charged: u64,
    pending: u64,
}

/// Bytes that an [`Account`] gathers before it tells its meter.
const LOT_BYTES: u64 = 64 << 10;

impl<'a> Account<'a> {
    /// An empty account.
    #[must_use]
    pub fn new(meter: Meter<'a>) -> Self {
        Self { meter, charged: 0, pending: 0 }
    }

    /// Counts bytes that the owner is about to hold.
    ///
    /// # Errors
    ///
    /// [`QueryError::MemoryLimit`], and [`QueryError::Cancelled`]: both end the query.
    pub fn charge(&mut self, bytes: usize) -> Result<(), QueryError> {
        self.pending += bytes as u64;
        if self.pending < LOT_BYTES {
            return Ok(());
        }
        let lot = std::mem::take(&mut self.pending);
        self.charged += lot;
        self.meter.charge(lot)?;
        self.meter.check()
    }

    /// Counts bytes that the owner gave up.
    pub fn release(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        let from_pending = bytes.min(self.pending);
        self.pending -= from_pending;
        let from_charged = (bytes - from_pending).min(self.charged);
        self.charged -= from_charged;
        self.meter.release(from_charged);
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        self.meter.release(self.charged);
    }
}

/// Looks at the cancel flag once per [`ROWS_BETWEEN_CHECKS`] calls.
#[derive(Debug)]
pub struct Ticker<'a> {
    meter: Meter<'a>,
    left: u32,
}

impl<'a> Ticker<'a> {
    /// A ticker that looks soon after its first call.
    #[must_use]
    pub fn new(meter: Meter<'a>) -> Self {
        Self { meter, left: 1 }
    }

    /// Call once per row.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cancelled`].
    #[inline]
    pub fn tick(&mut self) -> Result<(), QueryError> {
        self.left -= 1;
        if self.left == 0 {
            self.left = ROWS_BETWEEN_CHECKS;
            return self.meter.check();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_stands() {
        let control = Control::new();
        assert!(control.check().is_ok());
        control.clone().cancel(CancelReason::ClientGone);
        control.cancel(CancelReason::Deadline);
        let error = control.check().unwrap_err();
        assert!(matches!(error, QueryError::Cancelled(CancelReason::ClientGone)), "{error}");
    }

    #[test]
    fn memory_is_counted_in_lots_and_given_back() {
        let control = Control::new();
        let meter = Meter::new(&control, 200 << 10);
        let mut account = Account::new(meter);
        account.charge(100).unwrap();
        assert_eq!(control.used_bytes(), 0);
        account.charge(100 << 10).unwrap();
        assert_eq!(control.used_bytes(), (100 << 10) + 100);
        account.release(50 << 10);
        assert_eq!(control.used_bytes(), (50 << 10) + 100);
        let error = account.charge(200 << 10).unwrap_err();
        assert!(error.to_string().contains("204800"), "{error}");
        drop(account);
        assert_eq!(control.used_bytes(), 0);
        assert!(control.peak_bytes() > 200 << 10);
    }
}
