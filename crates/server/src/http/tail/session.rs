//! One tail from its first frame to its last.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use logql::request::{QueryRequest, QueryTime};
use model::Direction;
use model::answer::{ResultStream, Value};
use model::time::SECOND_NS;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::Request;
use super::feed::{Feed, News};
use super::live::Live;
use super::upgrade::Socket;
use crate::app::App;

/// How often the client is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// Messages of the ingester that one round takes together.
const ROUND_MESSAGES_MAX: usize = 100;
/// Messages that wait because the client asked for a delay.
const DELAYED_MESSAGES_MAX: usize = 4096;
/// How long the end of a tail may take.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

type Sink = SplitSink<Socket, Message>;

/// Why the server ends a tail.
struct Farewell {
    code: CloseCode,
    reason: String,
}

impl Farewell {
    /// Clients match on the reason and decide whether to come back.
    fn error(reason: impl Into<String>) -> Self {
        Self { code: CloseCode::Error, reason: reason.into() }
    }
}

/// The client went away.
struct Gone;

/// One tail.
pub(super) struct Session {
    app: Arc<App>,
    request: Request,
}

impl Session {
    pub(super) fn new(app: Arc<App>, request: Request) -> Self {
        Self { app, request }
    }

    pub(super) async fn run(self, socket: Socket) {
        let app = Arc::clone(&self.app);
        let (mut sink, source) = socket.split();
        let ended = tokio::select! {
            () = listen(source) => Err(Gone),
            // Whatever it waits for: the client, the history, new entries.
            () = app.stop.requested() => {
                let reason = "the server is stopping".to_owned();
                Ok(Farewell { code: CloseCode::Away, reason })
            }
            ended = self.serve(&mut sink) => ended,
        };
        let Ok(Farewell { code, reason }) = ended else { return };
        let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        tokio::select! {
            // The client may be gone by now.
            _ = async { sink.send(close).await.and(sink.close().await) } => {}
            () = app.clock.sleep(CLOSE_PATIENCE) => {}
        }
    }

    async fn serve(mut self, sink: &mut Sink) -> Result<Farewell, Gone> {
        let Some((matchers, pipeline)) = self.request.selected.take() else {
            return Ok(Farewell::error("parse error : only log selector is supported"));
        };
        let tenant = &self.request.tenant;
        let max = self.app.overrides.limits_for(tenant).max_concurrent_tail_requests;
        let _slot = match self.app.tails.open(tenant, max) {
            Ok(slot) => slot,
            Err(text) => return Ok(Farewell::error(text)),
        };
        // Before the history, so that no entry falls between the two.
        let feed = match Feed::open(&self.app, tenant, matchers).await {
            Ok(feed) => feed,
            Err(text) => return Ok(Farewell::error(text)),
        };
        let mut live = Live::new(pipeline, self.request.shape.clone());
        let history = match self.history(live.categorizes()).await {
            Ok(streams) => streams,
            Err(text) => return Ok(Farewell::error(text)),
        };
        send(sink, live.history(history)).await?;
        self.follow(sink, feed, live).await
    }

    async fn follow(
        &self,
        sink: &mut Sink,
        mut feed: Feed,
        mut live: Live,
    ) -> Result<Farewell, Gone> {
        let clock = &self.app.clock;
        let delay = Duration::from_secs(self.request.delay_seconds.into());
        let end = clock.sleep(self.app.tail_max());
        tokio::pin!(end);
        let mut next_ping = clock.monotonic() + PING_INTERVAL;
        let mut waiting: VecDeque<(Duration, News)> = VecDeque::new();
        loop {
            let now = clock.monotonic();
            let until = |at: Duration| clock.sleep(at.saturating_sub(now));
            let first_due = waiting.front().map(|(due, _)| *due);
            tokio::select! {
                biased;
                () = &mut end => return Ok(Farewell::error("reached tail max duration limit")),
                () = until(next_ping) => {
                    next_ping = clock.monotonic() + PING_INTERVAL;
                    sink.send(Message::Ping(bytes::Bytes::new())).await.map_err(|_| Gone)?;
                }
                () = until(first_due.unwrap_or_default()), if first_due.is_some() => {
                    let due = take_due(&mut waiting, clock.monotonic());
                    let hidden = self.app.parts.querier.find();
                    let hidden = hidden.map(|q| q.hidden_entries(&self.request.tenant));
                    send(sink, live.news(&due, &feed.take_dropped(), hidden)).await?;
                }
                entries = feed.next(), if waiting.len() < DELAYED_MESSAGES_MAX => {
                    let Some(entries) = entries else {
                        return Ok(Farewell::error("the ingester is gone"));
                    };
                    let due = clock.monotonic() + delay;
                    waiting.push_back((due, entries));
                    take_ready(&mut feed, &mut waiting, due);
                }
            }
        }
    }

    /// The newest entries from before the tail, in any order.
    async fn history(&self, categorize: bool) -> Result<Vec<ResultStream>, String> {
        let Request { tenant, query, start, limit, .. } = &self.request;
        let frontend = self.app.parts.frontend.find().ok_or("queries are not answered yet")?;
        let now = self.app.clock.now();
        let query = QueryRequest {
            text: query.clone(),
            // The step matters to metric queries only.
            time: QueryTime::Range { start: *start, end: now, step_ns: SECOND_NS },
            direction: Direction::Backward,
            limit: *limit,
            interval_ns: 0,
            categorize,
            tags: BTreeMap::new(),
            part: None,
        };
        let tenants = vec![tenant.clone()];
        let history = frontend::Request { tenants, actor: Vec::new(), query, no_cache: false };
        let answer = frontend.query(history).await;
        match answer.map_err(|error| error.to_string())?.answer.value {
            Value::Streams(streams) => Ok(streams),
            _ => Ok(Vec::new()),
        }
    }
}

/// Takes what has arrived meanwhile, so that a busy tail gets full frames.
fn take_ready(feed: &mut Feed, waiting: &mut VecDeque<(Duration, News)>, due: Duration) {
    for _ in 1..ROUND_MESSAGES_MAX {
        match feed.next().now_or_never() {
            Some(Some(entries)) => waiting.push_back((due, entries)),
            _ => return,
        }
    }
}

fn take_due(waiting: &mut VecDeque<(Duration, News)>, now: Duration) -> Vec<News> {
    let count = waiting.iter().take_while(|(due, _)| *due <= now).count();
    waiting.drain(..count).map(|(_, entries)| entries).collect()
}

async fn send(sink: &mut Sink, frames: Vec<String>) -> Result<(), Gone> {
    for frame in frames {
        sink.send(Message::text(frame)).await.map_err(|_| Gone)?;
    }
    Ok(())
}

/// Reads what the client says, which matters only when it is goodbye.
async fn listen(mut source: SplitStream<Socket>) {
    while let Some(Ok(message)) = source.next().await {
        if matches!(message, Message::Close(_)) {
            return;
        }
    }
}
