//! The heads of another process, for as long as a query needs them.
//!
//! One stream carries the asks of all threads of a query; answers find back by number. When the
//! stream breaks, every ask that waits, and every later one, fails: rows are never silently missing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use futures_util::stream;
use logql::source::{Batch, Cells, Piece, Selection, StreamSummary, Want};
use model::{ErrorKind, Matcher, TimeRange};
use parking_lot::Mutex;
use runtime::task;
use tokio::sync::mpsc;
use tonic::Streaming;

use crate::codec::{self, FlushedAs, Scope};
use crate::error::Error;
use crate::generated::ingester::heads_answer::Answer;
use crate::generated::ingester::heads_ask::Ask;
use crate::generated::ingester::ingester_client::IngesterClient;
use crate::generated::ingester::{HeadsAnswer, HeadsAsk, LoadAsk, Opened};
use crate::pool::{Calls, Peer};

/// Asks that may wait to be sent: as many as a query has threads, and some more.
const ASKS_WAITING: usize = 64;

/// One part of an answer, and whether another follows.
type Part = Result<(Answer, bool), Error>;

/// Who waits for which answer; the error once the stream is over.
#[derive(Default)]
struct Waiting {
    asks: HashMap<u64, mpsc::UnboundedSender<Part>>,
    over: Option<Error>,
}

/// The heads of one tenant in another process, at one moment. Dropping it gives them up.
pub struct RemoteHeads {
    peer: Arc<Peer>,
    asks: mpsc::Sender<HeadsAsk>,
    waiting: Arc<Mutex<Waiting>>,
    next: AtomicU64,
    incarnation: u64,
    stored: Vec<(String, u64)>,
    _reader: task::AbortOnDrop<()>,
}

/// The pieces of a selection.
#[derive(Debug, Clone, Default)]
pub struct Described {
    /// As the ingester numbers them.
    pub pieces: Vec<Piece>,
    /// Which of their origins are being flushed, as what.
    pub flushed_as: FlushedAs,
}

impl RemoteHeads {
    pub(super) async fn open(
        peer: Arc<Peer>,
        mut calls: IngesterClient<Calls>,
        scope: &Scope,
    ) -> Result<Self, Error> {
        let (asks, mut outgoing) = mpsc::channel(ASKS_WAITING);
        let opening = HeadsAsk { id: 0, ask: Some(Ask::Open(codec::encode_scope(scope))) };
        // The channel is empty and has room.
        let _ = asks.try_send(opening);
        let outgoing = stream::poll_fn(move |cx| outgoing.poll_recv(cx));
        let open = async {
            let mut answers = calls.heads(outgoing).await?.into_inner();
            let first = answers.message().await?;
            Ok((answers, first))
        };
        let (answers, first) = peer.ask(peer.call_timeout(), open).await?;
        let Some(HeadsAnswer { answer: Some(Answer::Opened(opened)), .. }) = first else {
            return Err(unexpected().at(peer.address()));
        };
        let Opened { incarnation, stored } = opened;
        let stored = codec::decode_stored(&stored)?;
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let reader = task::spawn("heads answers", read(answers, Arc::clone(&waiting)));
        let _reader = task::AbortOnDrop(reader);
        let next = AtomicU64::new(1);
        Ok(Self { peer, asks, waiting, next, incarnation, stored, _reader })
    }

    /// Whose heads.
    #[must_use]
    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// Differs between two runs of one ingester.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The tenant's segments that the ingester stored lately: their names and bytes.
    #[must_use]
    pub fn stored(&self) -> &[(String, u64)] {
        &self.stored
    }

    /// Describes every batch that may hold rows of a selection.
    ///
    /// # Errors
    ///
    /// [`Error`]: the rows are not known.
    pub async fn pieces(&self, selection: &Selection) -> Result<Described, Error> {
        let mut described = Described::default();
        for answer in self.ask(Ask::Pieces(codec::encode_selection(selection))).await? {
            let Answer::Pieces(part) = answer else { return Err(self.unexpected()) };
            described.pieces.extend(codec::decode_pieces(&part.pieces)?);
            described.flushed_as.extend(codec::decode_flushed_as(&part.flushed_as)?);
        }
        Ok(described)
    }

    /// Loads a batch with at least the wanted columns.
    ///
    /// # Errors
    ///
    /// [`Error`]: the rows are not known.
    pub async fn load(&self, piece: &Piece, want: &Want) -> Result<Batch, Error> {
        let (piece, columns) = (codec::encode_piece(piece), codec::encode_want(want));
        let answer = self.ask_one(Ask::Load(LoadAsk { piece, want: columns })).await?;
        let Answer::Batch(bytes) = answer else { return Err(self.unexpected()) };
        let batch = codec::decode_batch(&bytes)?;
        codec::check_batch(&batch, want)?;
        Ok(batch)
    }

    /// Counts of a piece's rows, if the ingester keeps them.
    ///
    /// # Errors
    ///
    /// [`Error`]: the counts are not known.
    pub async fn cells(&self, piece: &Piece) -> Result<Option<Cells>, Error> {
        let answer = self.ask_one(Ask::Cells(codec::encode_piece(piece))).await?;
        let Answer::Cells(bytes) = answer else { return Err(self.unexpected()) };
        Ok(codec::decode_cells(&bytes)?)
    }

    /// The streams that match and have rows in the range.
    ///
    /// # Errors
    ///
    /// [`Error`]: the streams are not known.
    pub async fn streams(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<StreamSummary>, Error> {
        let mut streams = Vec::new();
        for answer in self.ask(Ask::Streams(codec::encode_spot(matchers, range))).await? {
            let Answer::Streams(part) = answer else { return Err(self.unexpected()) };
            streams.extend(codec::decode_streams(&part)?);
        }
        Ok(streams)
    }

    async fn ask_one(&self, ask: Ask) -> Result<Answer, Error> {
        self.ask(ask).await?.pop().ok_or_else(|| self.unexpected())
    }

    async fn ask(&self, ask: Ask) -> Result<Vec<Answer>, Error> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (tell, mut hear) = mpsc::unbounded_channel();
        {
            let mut waiting = self.waiting.lock();
            if let Some(error) = &waiting.over {
                return Err(error.clone().at(self.peer.address()));
            }
            waiting.asks.insert(id, tell);
        }
        let _forget = Forget { id, waiting: &self.waiting };
        let answers = async {
            let gone = || Error::unreached("the stream of heads is over");
            self.asks.send(HeadsAsk { id, ask: Some(ask) }).await.map_err(|_| gone())?;
            let mut answers = Vec::new();
            loop {
                match hear.recv().await.ok_or_else(gone)?? {
                    (Answer::Failed(failed), _) => {
                        let kind = ErrorKind::from_code(failed.kind);
                        return Err(Error::new(
                            kind.unwrap_or(ErrorKind::Internal),
                            failed.message,
                        ));
                    }
                    (answer, more) => {
                        answers.push(answer);
                        if !more {
                            return Ok(answers);
                        }
                    }
                }
            }
        };
        let patience = self.peer.call_timeout();
        let late = self.peer.clock().sleep(patience);
        futures_util::pin_mut!(answers);
        let outcome = match select(answers, late).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Err(Error::unreached(format!("no answer within {patience:?}"))),
        };
        if let Err(error) = &outcome {
            self.peer.note(Some(error));
        }
        outcome.map_err(|error| error.at(self.peer.address()))
    }

    fn unexpected(&self) -> Error {
        unexpected().at(self.peer.address())
    }
}

impl std::fmt::Debug for RemoteHeads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RemoteHeads").field(self.peer.address()).finish()
    }
}

/// Stops waiting for an answer, whoever gave up.
struct Forget<'a> {
    id: u64,
    waiting: &'a Mutex<Waiting>,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.waiting.lock().asks.remove(&self.id);
    }
}

fn unexpected() -> Error {
    Error::new(ErrorKind::Internal, "an answer to another question")
}

/// Takes answers to those who wait, until the stream is over.
async fn read(mut answers: Streaming<HeadsAnswer>, waiting: Arc<Mutex<Waiting>>) {
    let error = loop {
        match answers.next().await {
            Some(Ok(HeadsAnswer { id, more, answer: Some(answer) })) => {
                if let Some(tell) = waiting.lock().asks.get(&id) {
                    // Whoever asked may have given up meanwhile.
                    let _ = tell.send(Ok((answer, more)));
                }
            }
            Some(Ok(HeadsAnswer { answer: None, .. })) => break unexpected(),
            Some(Err(status)) => break status.into(),
            None => break Error::unreached("the ingester ended the stream of heads"),
        }
    };
    let mut waiting = waiting.lock();
    for (_, tell) in waiting.asks.drain() {
        let _ = tell.send(Err(error.clone()));
    }
    waiting.over = Some(error);
}
