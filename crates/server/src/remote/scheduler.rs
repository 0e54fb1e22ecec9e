//! Frontends, schedulers and queriers of different processes.
//!
//! A frontend hands tasks to any scheduler that it is connected to; a querier is connected to all of
//! them and takes as many tasks from each as it has places. Whatever connection breaks, a task is
//! never lost: a frontend gets an error that it retries elsewhere, a scheduler gives the task of a
//! lost querier to another.

mod executor;
mod role;
mod worker;

use std::time::Duration;

use futures_util::{Stream, stream};
use runtime::backoff::BackoffPolicy;
use tokio::sync::mpsc::UnboundedReceiver;

pub use executor::RemoteExecutor;
pub use role::SchedulerOfCore;
pub use worker::serve;

/// The waits between attempts to reach a scheduler; they go on for ever, the last one repeated.
const RECONNECT: BackoffPolicy = BackoffPolicy {
    min: Duration::from_millis(100),
    max: Duration::from_secs(2),
    retries_max: u32::MAX,
};

/// What one side says, as a connection takes it; it ends when nobody can say anything more.
fn messages<T: Send + 'static>(
    said: UnboundedReceiver<T>,
) -> impl Stream<Item = T> + Send + 'static {
    stream::unfold(said, |mut said| async move {
        let message = said.recv().await?;
        Some((message, said))
    })
}
