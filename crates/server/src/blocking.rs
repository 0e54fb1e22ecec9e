//! Work that keeps a core busy for milliseconds, on threads that serve connections.
//!
//! Small work is done at once. For large work the runtime is told first, so that another thread
//! takes over the connections which wait for this one; that costs some microseconds.

use tokio::runtime::{Handle, RuntimeFlavor};

/// From this many bytes on work counts as large: about a quarter of a millisecond.
const LARGE_BYTES: usize = 256 << 10;

/// Does work on about that many bytes.
pub fn inline<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let can_move = || {
        Handle::try_current()
            .is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
    };
    if bytes >= LARGE_BYTES && can_move() { tokio::task::block_in_place(work) } else { work() }
}
