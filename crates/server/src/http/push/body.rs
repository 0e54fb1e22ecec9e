//! Push bodies in memory, within bounds.
//!
//! One body is limited by `distributor.max_recv_msg_size`, and all bodies together by
//! `distributor.max_inflight_bytes`: what does not fit is answered 503 before it is read, so that a
//! flood of pushes costs the flood, not the process.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::body::BodyError;
use api::room;
use bytes::Bytes;
use http::StatusCode;
use hyper::body::Incoming;
use prometheus_client::metrics::gauge::Gauge;

use crate::app::App;
use crate::http::call::{self, Call};
use crate::http::error::HttpError;

/// Memory for all push bodies together.
#[derive(Debug)]
pub struct PushBudget {
    max: u64,
    used: AtomicU64,
    gauge: Gauge,
}

impl PushBudget {
    /// A budget of that many bytes; 0 for no limit. `gauge` shows what is used.
    #[must_use]
    pub fn new(max: u64, gauge: Gauge) -> Arc<Self> {
        let max = if max == 0 { u64::MAX } else { max };
        Arc::new(Self { max, used: AtomicU64::new(0), gauge })
    }

    fn has_room_for(&self, bytes: u64) -> bool {
        self.used.load(Ordering::Relaxed).saturating_add(bytes) <= self.max
    }

    fn add(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        self.gauge.inc_by(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
struct Reservation {
    budget: Arc<PushBudget>,
    bytes: u64,
}

impl Reservation {
    fn none(budget: &Arc<PushBudget>) -> Self {
        Self { budget: Arc::clone(budget), bytes: 0 }
    }

    /// Takes more, if there is room. Two that ask at once may both get the last of it; what is
    /// taken too much is at most one frame for each connection.
    fn grow(&mut self, bytes: u64) -> Result<(), HttpError> {
        if !self.budget.has_room_for(bytes) {
            return Err(no_room());
        }
        self.budget.add(bytes);
        self.bytes += bytes;
        Ok(())
    }

    /// Holds exactly that much, room or not.
    fn set(&mut self, bytes: u64) {
        self.release();
        self.budget.add(bytes);
        self.bytes = bytes;
    }

    fn release(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget.gauge.dec_by(i64::try_from(self.bytes).unwrap_or(i64::MAX));
        self.bytes = 0;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.release();
    }
}

/// A push body and its part of the budget.
#[derive(Debug)]
pub(super) struct Body {
    bytes: Bytes,
    reservation: Reservation,
}

impl Deref for Body {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

impl Body {
    /// Reads the body of a push.
    ///
    /// # Errors
    ///
    /// 413 when it is too large, 503 when all bodies together are, 408 when the client stops
    /// sending, 400 when the connection breaks.
    pub(super) async fn receive(request: &mut Call) -> Result<Self, HttpError> {
        let app = Arc::clone(&request.app);
        let announced = request.content_length();
        let Some(mut incoming) = request.body.take() else {
            return Ok(Self {
                bytes: Bytes::new(),
                reservation: Reservation::none(&app.push_budget),
            });
        };
        let received = Self::receive_from(&app, &mut incoming, announced).await;
        if received.is_err() {
            let limit = app.config.distributor.max_recv_msg_size.0;
            call::drain(Arc::clone(&app), incoming, limit.saturating_mul(2));
        }
        received
    }

    async fn receive_from(
        app: &App,
        incoming: &mut Incoming,
        announced: u64,
    ) -> Result<Self, HttpError> {
        let limit = app.config.distributor.max_recv_msg_size.0;
        check_size(announced, limit)?;
        if !app.push_budget.has_room_for(announced) {
            return Err(no_room());
        }
        let mut reservation = Reservation::none(&app.push_budget);
        let mut buffer = Vec::new();
        while let Some(part) = call::next_part(app, incoming).await? {
            let size = buffer.len() as u64 + part.len() as u64;
            check_size(size, limit)?;
            reservation.grow(part.len() as u64)?;
            if size == announced && buffer.is_empty() {
                return Ok(Self { bytes: part, reservation });
            }
            // The announced size bounds what is reserved ahead, and never by more than doubling.
            let missing = announced.saturating_sub(buffer.len() as u64).min(4 * size);
            let missing = usize::try_from(missing).unwrap_or(0).max(part.len());
            make_room(&mut buffer, part.len(), missing);
            buffer.extend_from_slice(&part);
        }
        Ok(Self { bytes: room::freeze(buffer), reservation })
    }

    /// Unpacks the body; `unpack` gets the packed bytes and the most that may come out.
    ///
    /// # Errors
    ///
    /// 413 when too much comes out, 503 when there is no room for it, 400 when it is damaged.
    pub(super) fn unpack(
        self,
        app: &App,
        unpack: impl FnOnce(Bytes, u64) -> Result<Bytes, BodyError>,
    ) -> Result<Self, HttpError> {
        let Self { bytes, mut reservation } = self;
        let packed = bytes.len();
        // Log lines shrink to about a fifth; what came out is counted exactly afterwards.
        reservation.grow(4 * packed as u64)?;
        let limit = app.config.distributor.max_decompressed_size.0.min(app.push_budget.max);
        let unpacked = unpack(bytes, limit).map_err(|error| {
            let is_too_large = error.is_too_large();
            let status =
                if is_too_large { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
            HttpError::line(status, error.to_string())
        })?;
        reservation.set(unpacked.len() as u64);
        Ok(Self { bytes: unpacked, reservation })
    }
}

/// Sees to it that a part fits; if it does not, makes room for all that is missing.
fn make_room(buffer: &mut Vec<u8>, part: usize, missing: usize) {
    if buffer.capacity() < buffer.len() + part {
        let mut larger = room::take((buffer.len() + missing).max(2 * buffer.capacity()));
        larger.extend_from_slice(buffer);
        *buffer = larger;
    }
}

fn check_size(size: u64, limit: u64) -> Result<(), HttpError> {
    if size <= limit {
        return Ok(());
    }
    let text = BodyError::TooLarge { size, limit }.to_string();
    Err(HttpError::line(StatusCode::PAYLOAD_TOO_LARGE, text))
}

fn no_room() -> HttpError {
    let wait = Some(Duration::from_secs(1));
    HttpError::unavailable("too many bytes of pushes are being received, try again")
        .retry_after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_is_given_back() {
        let budget = PushBudget::new(100, Gauge::default());
        let mut first = Reservation::none(&budget);
        first.grow(60).unwrap();
        assert_eq!(Reservation::none(&budget).grow(50).unwrap_err().status, 503);
        first.set(20);
        assert_eq!(budget.gauge.get(), 20);
        Reservation::none(&budget).grow(80).unwrap();
        drop(first);
        assert_eq!((budget.used.load(Ordering::Relaxed), budget.gauge.get()), (0, 0));
    }

    #[test]
    fn a_body_of_unknown_length_grows_by_doubling() {
        let (mut buffer, mut moves) = (Vec::new(), 0);
        for _ in 0..1000 {
            let before = buffer.capacity();
            make_room(&mut buffer, 1000, 1000);
            moves += u32::from(buffer.capacity() != before);
            buffer.extend_from_slice(&[7; 1000]);
        }
        assert_eq!(buffer, [7; 1_000_000]);
        assert!(moves <= 11, "{moves}");
        let mut announced = Vec::new();
        make_room(&mut announced, 10, 5000);
        assert!(announced.capacity() >= 5000);
    }

    #[test]
    fn a_budget_of_zero_is_none() {
        let budget = PushBudget::new(0, Gauge::default());
        assert!(budget.has_room_for(u64::MAX / 2));
    }
}
