//! Waiting for a condition, with a deadline.

use std::time::Duration;

/// Longest time any condition may take to come true.
pub const DEADLINE: Duration = Duration::from_secs(180);

/// Asks `condition` again and again until it answers a value.
///
/// # Panics
///
/// When [`DEADLINE`] passes first; the message names what was waited for.
#[allow(clippy::disallowed_methods, reason = "a test waits in real time for a real process")]
pub async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> T {
    let attempt = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    match tokio::time::timeout(DEADLINE, attempt).await {
        Ok(value) => value,
        Err(_) => panic!("waited {DEADLINE:?} in vain: {what}"),
    }
}
