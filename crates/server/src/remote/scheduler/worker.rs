//! The querier's side: tasks come from schedulers, answers go back.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use frontend::wire::{decode_task, encode_outcome};
use frontend::{Executor, TaskError};
use futures_util::StreamExt as _;
use model::ErrorKind;
use rpc::Peer;
use rpc::scheduler::{FromWorker, ToWorker, connect_worker};
use runtime::backoff::Backoff;
use runtime::clock::Clock;
use runtime::random::SystemRandom;
use runtime::task::{self, AbortOnDrop};
use tokio::sync::mpsc;

use super::{RECONNECT, messages};

/// Works for one scheduler, for ever: at most `slots` tasks at once.
pub async fn serve(
    address: String,
    peer: Arc<Peer>,
    slots: u32,
    executor: Arc<dyn Executor>,
    clock: Arc<dyn Clock>,
) {
    let mut backoff = Backoff::new(RECONNECT);
    loop {
        let (say, said) = mpsc::unbounded_channel();
        // The first message; the receiver is held here.
        let _ = say.send(FromWorker::Slots(slots));
        match connect_worker(&peer, messages(said)).await {
            Ok(mut orders) => {
                backoff.reset();
                tracing::info!(address, "works for a query scheduler");
                // Tasks end with the connection: their scheduler gives them to others.
                let mut running: HashMap<u64, AbortOnDrop<()>> = HashMap::new();
                while let Some(Ok(order)) = orders.next().await {
                    running.retain(|_, work| !work.0.is_finished());
                    match order {
                        ToWorker::Task { id, task } => {
                            let work = work(id, task, Arc::clone(&executor), say.clone());
                            running.insert(id, AbortOnDrop(task::spawn("query task", work)));
                        }
                        ToWorker::Cancel { id } => drop(running.remove(&id)),
                    }
                }
                tracing::warn!(address, "lost a query scheduler");
            }
            Err(error) => tracing::debug!(address, %error, "reach a query scheduler"),
        }
        let wait = backoff.next_wait(&SystemRandom).unwrap_or(RECONNECT.max);
        clock.sleep(wait).await;
    }
}

/// Runs one task. At most one answer for each running task waits to be sent.
async fn work(
    id: u64,
    bytes: Bytes,
    executor: Arc<dyn Executor>,
    say: mpsc::UnboundedSender<FromWorker>,
) {
    let outcome = match decode_task(&bytes) {
        Ok(task) => executor.run(task).await.map_err(elsewhere),
        Err(error) => Err(TaskError::new(ErrorKind::Invalid, error.to_string())),
    };
    let outcome = Ok(encode_outcome(&outcome).into());
    // The scheduler may have gone; then nobody waits for the answer.
    let _ = say.send(FromWorker::Done { id, outcome });
}

/// What this querier cannot do now, another one may.
fn elsewhere(error: TaskError) -> TaskError {
    let retryable =
        error.retryable || (error.kind == ErrorKind::Unavailable && error.stopped.is_none());
    TaskError { retryable, ..error }
}
