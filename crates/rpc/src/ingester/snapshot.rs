//! One stream is one snapshot: answers the asks of one query about the heads.
//!
//! The work blocks, so each ask runs on a thread of the blocking pool, a few at once. The stream of
//! answers is bounded: a querier that does not take them holds up its own asks and nobody else's.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use logql::source::SourceError;
use model::ErrorKind;
use runtime::task;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::{HeadsView, IngesterRole};
use crate::codec;
use crate::error::Error;
use crate::generated::ingester::heads_answer::Answer;
use crate::generated::ingester::heads_ask::Ask;
use crate::generated::ingester::{Failed, HeadsAnswer, HeadsAsk, LoadAsk, Opened, Pieces};

/// Asks of one query that are worked on at once.
const ASKS_AT_ONCE: usize = 4;
/// Answers that may wait for the querier.
const ANSWERS_WAITING: usize = 4;

type Answers = mpsc::Sender<Result<HeadsAnswer, Status>>;

/// Serves one stream until the querier ends it.
pub(super) fn serve<R: IngesterRole>(
    role: Arc<R>,
    asks: Streaming<HeadsAsk>,
) -> BoxStream<'static, Result<HeadsAnswer, Status>> {
    let (answers, mut receive) = mpsc::channel(ANSWERS_WAITING);
    // Ends with the stream of answers, which the transport drops when the querier is gone.
    let work = task::AbortOnDrop(task::spawn("heads", async move {
        if let Err(error) = run(role, asks, &answers).await {
            let _ = answers.send(Err(error.into())).await;
        }
    }));
    stream::poll_fn(move |cx| {
        let _ = &work;
        receive.poll_recv(cx)
    })
    .boxed()
}

async fn run<R: IngesterRole>(
    role: Arc<R>,
    mut asks: Streaming<HeadsAsk>,
    answers: &Answers,
) -> Result<(), Error> {
    let Some(first) = asks.next().await.transpose()? else { return Ok(()) };
    let Some(Ask::Open(scope)) = first.ask else {
        return Err(Error::new(ErrorKind::Invalid, "a stream of heads begins with its scope"));
    };
    let scope = codec::decode_scope(&scope)?;
    let heads = blocking(move || role.heads(&scope.tenant, &scope.matchers, scope.range)).await??;
    let opened =
        Opened { incarnation: heads.incarnation, stored: codec::encode_stored(&heads.stored) };
    let opened = part(first.id, Answer::Opened(opened), false);
    if answers.send(Ok(opened)).await.is_err() {
        return Ok(());
    }
    let view = heads.view;
    asks.for_each_concurrent(ASKS_AT_ONCE, |ask| {
        let view = Arc::clone(&view);
        async move {
            let parts = match ask {
                Ok(HeadsAsk { id, ask: Some(ask) }) => answer(view, id, ask).await,
                Ok(HeadsAsk { id, ask: None }) => {
                    vec![failed(id, &Error::new(ErrorKind::Invalid, "an ask without a question"))]
                }
                // The querier is gone; the stream of answers ends with it.
                Err(_) => return,
            };
            for part in parts {
                if answers.send(Ok(part)).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    Ok(())
}

/// Work for one request: a panic in it fails that request alone.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let done = task::run_blocking(work).await;
    done.map_err(|panic| Error::new(ErrorKind::Internal, panic.to_string()))
}

async fn answer(view: Arc<dyn HeadsView>, id: u64, ask: Ask) -> Vec<HeadsAnswer> {
    match blocking(move || ask_view(&*view, ask)).await {
        Ok(Ok(parts)) => {
            let last = parts.len().saturating_sub(1);
            let numbered = parts.into_iter().enumerate();
            numbered.map(|(at, answer)| part(id, answer, at < last)).collect()
        }
        Ok(Err(error)) | Err(error) => vec![failed(id, &error)],
    }
}

fn ask_view(view: &dyn HeadsView, ask: Ask) -> Result<Vec<Answer>, Error> {
    match ask {
        Ask::Open(_) => Err(Error::new(ErrorKind::Invalid, "a stream of heads opens once")),
        Ask::Pieces(selection) => {
            let pieces = view.pieces(&codec::decode_selection(&selection)?).map_err(source)?;
            let mut origins: Vec<u64> = pieces.iter().map(|piece| piece.origin).collect();
            origins.sort_unstable();
            origins.dedup();
            let flushed = origins.into_iter().map(|origin| (origin, view.flushed_as(origin)));
            let flushed = flushed.filter(|(_, names)| !names.is_empty()).collect();
            let mut flushed_as = Some(codec::encode_flushed_as(&flushed));
            let parts = codec::encode_pieces(&pieces).into_iter();
            let none = || codec::encode_flushed_as(&Vec::new());
            let parts = parts.map(|pieces| {
                let flushed_as = flushed_as.take().unwrap_or_else(none);
                Answer::Pieces(Pieces { pieces, flushed_as })
            });
            Ok(parts.collect())
        }
        Ask::Load(LoadAsk { piece, want }) => {
            let (piece, want) = (codec::decode_piece(&piece)?, codec::decode_want(&want)?);
            let batch = view.load(&piece, &want).map_err(source)?;
            Ok(vec![Answer::Batch(codec::encode_batch(&batch))])
        }
        Ask::Cells(piece) => {
            let cells = view.cells(&codec::decode_piece(&piece)?).map_err(source)?;
            Ok(vec![Answer::Cells(codec::encode_cells(cells.as_ref()))])
        }
        Ask::Streams(spot) => {
            let (matchers, range) = codec::decode_spot(&spot)?;
            let streams = view.streams(&matchers, range).map_err(source)?;
            Ok(codec::encode_streams(&streams).into_iter().map(Answer::Streams).collect())
        }
    }
}

fn source(error: SourceError) -> Error {
    Error::new(error.kind, error.message)
}

fn part(id: u64, answer: Answer, more: bool) -> HeadsAnswer {
    HeadsAnswer { id, more, answer: Some(answer) }
}

fn failed(id: u64, error: &Error) -> HeadsAnswer {
    let failed = Failed { kind: error.kind.code().into(), message: error.message.clone() };
    part(id, Answer::Failed(failed), false)
}
