//! Being asked to stop.
//!
//! [`Stop`] is a request that can be made once, heard by many, and passed down: a child hears its
//! parent and can be stopped alone. [`signal`] is how the operating system makes the request.

use tokio_util::sync::CancellationToken;

/// A request to stop, shared by the one who makes it and those who hear it.
#[derive(Debug, Clone, Default)]
pub struct Stop(CancellationToken);

impl Stop {
    /// Nobody has asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everyone who holds this or a child to stop. Asking again changes nothing.
    pub fn request(&self) {
        self.0.cancel();
    }

    /// Whether somebody has asked.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Completes when somebody asks. Cancel safe.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }

    /// A request that hears this one and can also be made alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }
}

/// Completes when the operating system asks the process to stop, and names the signal.
///
/// # Errors
///
/// When the process may not listen to signals.
pub async fn signal() -> std::io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn requests_go_down_and_not_up() {
        let parent = Stop::new();
        let (first, second) = (parent.child(), parent.child());
        first.request();
        assert!(first.is_requested() && !parent.is_requested() && !second.is_requested());
        parent.request();
        assert!(second.requested().now_or_never().is_some());
    }
}
