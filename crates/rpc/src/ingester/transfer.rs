//! A hand-over of heads and tokens, as the ingester that leaves sees it.

use api::append::AppendBatch;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use runtime::task::{self, AbortOnDrop};
use tokio::sync::mpsc;

use super::{Client, Giver};
use crate::error::Error;
use crate::generated::ingester::TransferPart;

/// Batches that wait to be sent.
const WAITING_MAX: usize = 2;
/// How many times longer than a call a hand-over may take.
const PATIENCE: u32 = 30;

/// A hand-over under way. Dropping it unfinished breaks it off.
pub struct Transfer {
    parts: mpsc::Sender<TransferPart>,
    /// Until its answer has been waited for.
    call: Mutex<Option<AbortOnDrop<Result<u64, Error>>>>,
}

impl Client {
    /// Begins to hand over to this ingester. Whether it agrees shows with what is sent.
    #[must_use]
    pub fn begin_transfer(&self, giver: Giver) -> Transfer {
        let (parts, mut waiting) = mpsc::channel(WAITING_MAX);
        let (client, mut calls) = (self.clone(), self.calls());
        let first =
            TransferPart { from: giver.id, tokens: giver.tokens, ..TransferPart::default() };
        let call = async move {
            let parts = futures_util::stream::once(std::future::ready(first))
                .chain(futures_util::stream::poll_fn(move |context| waiting.poll_recv(context)));
            let patience = client.peer().call_timeout().saturating_mul(PATIENCE);
            let answer = client.peer().ask(patience, calls.transfer(parts)).await?;
            Ok(answer.into_inner().rows)
        };
        let call = Mutex::new(Some(AbortOnDrop(task::spawn("transfer", call))));
        Transfer { parts, call }
    }
}

impl Transfer {
    /// Sends rows. That they were sent says nothing about whether they arrived.
    ///
    /// # Errors
    ///
    /// [`Error`] when the hand-over has failed.
    pub async fn send(&self, batch: &AppendBatch) -> Result<(), Error> {
        self.pass(TransferPart { batch: batch.as_bytes().clone(), ..TransferPart::default() }).await
    }

    /// Says that this was all, and waits until the other owns it. Answers how many rows it took.
    ///
    /// # Errors
    ///
    /// [`Error`]: nothing is promised about the rows; keep them.
    pub async fn finish(&self) -> Result<u64, Error> {
        self.pass(TransferPart { is_last: true, ..TransferPart::default() }).await?;
        self.answer().await
    }

    async fn pass(&self, part: TransferPart) -> Result<(), Error> {
        if self.parts.send(part).await.is_ok() {
            return Ok(());
        }
        match self.answer().await {
            Err(error) => Err(error),
            Ok(_) => Err(Error::unreached("the hand-over ended early")),
        }
    }

    async fn answer(&self) -> Result<u64, Error> {
        let call = self.call.lock().take();
        let Some(mut call) = call else {
            return Err(Error::unreached("the hand-over has ended"));
        };
        // A panic in the task has ended the process.
        (&mut call.0).await.unwrap_or_else(|_| Err(Error::unreached("the hand-over was given up")))
    }
}
