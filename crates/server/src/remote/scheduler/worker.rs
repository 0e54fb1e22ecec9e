//! The querier's side: tasks come from schedulers, answers go back.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use frontend::wire::{decode_task, encode_outcome};
use frontend::{Executor, TaskAnswer, TaskError};
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

/// What a message carries around an answer, with room to spare.
const ENVELOPE_BYTES: usize = 1 << 10;

/// Works for one scheduler, for ever: at most `slots` tasks at once.
pub async fn serve(
    address: String,
    peer: Arc<Peer>,
    slots: u32,
    executor: Arc<dyn Executor>,
    clock: Arc<dyn Clock>,
) {
    let mut backoff = Backoff::new(RECONNECT);
    let answer_bytes_max = answer_bytes_max(&peer);
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
                            let (executor, say) = (Arc::clone(&executor), say.clone());
                            let work = async move {
                                let outcome = outcome_of(&task, &*executor, answer_bytes_max).await;
                                // The scheduler may have gone; then nobody waits for the answer.
                                let _ = say.send(FromWorker::Done { id, outcome: Ok(outcome) });
                            };
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

/// Bytes of the largest answer that reaches its frontend. A longer message would break the
/// connection, and with it everything else that is under way there.
fn answer_bytes_max(peer: &Peer) -> usize {
    let message = peer.message_bytes_max().min(rpc::MESSAGE_BYTES_MAX);
    message.saturating_sub(ENVELOPE_BYTES)
}

/// Runs one task; answers its outcome as bytes. At most one for each running task waits to be sent.
async fn outcome_of(task: &[u8], executor: &dyn Executor, answer_bytes_max: usize) -> Bytes {
    let outcome = match decode_task(task) {
        // Its frontend waits for an answer, and the scheduler for the place.
        Ok(task) => {
            task::contain(executor.run(task)).await.unwrap_or_else(panicked).map_err(elsewhere)
        }
        Err(error) => Err(TaskError::new(ErrorKind::Invalid, error.to_string())),
    };
    let bytes = encode_outcome(&outcome);
    if bytes.len() <= answer_bytes_max {
        return bytes.into();
    }
    let text = format!(
        "the answer has {} bytes, and at most {answer_bytes_max} can be sent between processes; \
         select fewer streams, a shorter time range, or a lower limit",
        bytes.len()
    );
    encode_outcome(&Err(TaskError::new(ErrorKind::Invalid, text))).into()
}

fn panicked(panic: task::Panicked) -> Result<TaskAnswer, TaskError> {
    tracing::error!(panic = panic.message, "a query panicked");
    Err(TaskError::new(ErrorKind::Internal, "internal error"))
}

/// What this querier cannot do now, another one may.
fn elsewhere(error: TaskError) -> TaskError {
    let retryable =
        error.retryable || (error.kind == ErrorKind::Unavailable && error.stopped.is_none());
    TaskError { retryable, ..error }
}

#[cfg(test)]
mod tests {
    use frontend::wire::{decode_outcome, encode_task};
    use frontend::{HttpResponse, Task, Work};
    use futures_util::FutureExt as _;
    use futures_util::future::BoxFuture;
    use model::TenantId;

    use super::*;

    /// Answers so many bytes.
    struct Answers(usize);

    impl Executor for Answers {
        fn run(&self, _task: Task) -> BoxFuture<'_, Result<TaskAnswer, TaskError>> {
            let body = Bytes::from(vec![b'x'; self.0]);
            let response = HttpResponse { status: 200, headers: Vec::new(), body };
            std::future::ready(Ok(TaskAnswer::Http(response))).boxed()
        }
    }

    #[tokio::test]
    async fn an_answer_that_no_message_holds_is_an_error_of_its_own_query() {
        let tenants = vec![TenantId::anonymous()];
        let task = Task { tenants, actor: Vec::new(), work: Work::Http(Default::default()) };
        let ask = async |bytes| {
            let outcome = outcome_of(&encode_task(&task), &Answers(bytes), 1000).await;
            assert!(outcome.len() <= 1000);
            decode_outcome(&outcome).unwrap()
        };
        assert!(ask(900).await.is_ok());
        let error = ask(1000).await.unwrap_err();
        assert_eq!((error.kind, error.retryable), (ErrorKind::Invalid, false));
        assert!(error.message.contains("at most 1000 can be sent"), "{}", error.message);
    }
}
