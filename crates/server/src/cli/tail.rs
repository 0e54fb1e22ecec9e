//! `sigyn tail`: lines as they arrive.

use std::time::Duration;

use clap::Args;
use futures_util::StreamExt;
use model::Timestamp;
use runtime::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::Failure;
use super::client::{Client, Server};
use super::output::{Form, Printer, lines_of};
use super::progress::Progress;
use super::time;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Show lines as they arrive
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sigyn tail '{app=\"web\"} |= \"error\"'")]
pub struct Tail {
    /// The query in LogQL
    query: String,
    /// Lines of the past to begin with
    #[arg(long, default_value_t = 30)]
    limit: u64,
    /// Seconds to wait for late lines, so that they appear in order
    #[arg(long, default_value_t = 0)]
    delay_for: u64,
    /// Form of the lines
    #[arg(long, short, default_value = "default")]
    output: Form,
    /// Do not show labels
    #[arg(long)]
    no_labels: bool,
    /// Begin with lines from this time on (RFC 3339), instead of the last hour's
    #[arg(long, value_parser = time::instant)]
    from: Option<Timestamp>,
    /// No messages on stderr
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    server: Server,
}

/// Times in a row that a tail is begun anew.
const FRESH_STARTS: u32 = 10;
/// How long to wait before that.
const PAUSE: Duration = Duration::from_millis(500);
/// With this reason the server ends a tail that is old.
const TOO_OLD: &str = "reached tail max duration limit";

/// How a connection ended.
enum Ended {
    /// The reader has seen enough, or the server said goodbye.
    Done,
    /// The connection broke or is too old: the tail goes on with another.
    Again(String),
}

impl Tail {
    /// Connects and prints until the server or the reader ends it. A broken connection is made
    /// anew, from the last line on.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the connection cannot be made, or not anew.
    pub async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.server)?;
        let progress = Progress::new(self.quiet);
        let mut last: Option<Timestamp> = self.from.map(|from| Timestamp(from.0 - 1));
        let mut left = FRESH_STARTS;
        let mut socket = self.connect(&client, last).await?;
        loop {
            let before = last;
            let why = match self.follow(&mut socket, &mut last, progress).await? {
                Ended::Done => return Ok(()),
                Ended::Again(why) => why,
            };
            left = if last == before { left } else { FRESH_STARTS };
            progress.tell(&format!("{why}; connecting again"));
            socket = loop {
                match self.connect(&client, last).await {
                    Ok(socket) => break socket,
                    Err(failure) if left == 0 => return Err(failure),
                    Err(_) => SystemClock.sleep(PAUSE).await,
                }
                left -= 1;
            };
        }
    }

    /// Opens a connection for lines after a time.
    async fn connect(&self, client: &Client, last: Option<Timestamp>) -> Result<Socket, Failure> {
        let mut params = vec![
            ("query", self.query.clone()),
            ("limit", self.limit.to_string()),
            ("delay_for", self.delay_for.to_string()),
        ];
        params.extend(last.map(|last| ("start", (last.0 + 1).to_string())));
        let address = client.websocket("/loki/api/v1/tail", &params);
        let mut request = address
            .as_str()
            .into_client_request()
            .map_err(|error| Failure::new(&format!("connect to {address}"), error))?;
        for (name, value) in client.headers() {
            let header = HeaderName::try_from(name)
                .map_err(|error| Failure::new(&format!("send {name}"), error))?;
            let value = HeaderValue::from_str(&value)
                .map_err(|error| Failure::new(&format!("send {name}"), error))?;
            request.headers_mut().insert(header, value);
        }
        let connected = tokio_tungstenite::connect_async(request).await;
        connected.map(|(socket, _)| socket).map_err(|error| {
            Failure::new(&format!("connect to {}", self.server.addr), told(&error))
        })
    }

    /// Prints what arrives; `last` becomes the newest time.
    async fn follow(
        &self,
        socket: &mut Socket,
        last: &mut Option<Timestamp>,
        progress: Progress,
    ) -> Result<Ended, Failure> {
        let printer = Printer::new(self.output, !self.no_labels);
        while let Some(message) = socket.next().await {
            match message {
                Ok(Message::Text(text)) => {
                    let frame: Value = serde_json::from_str(&text)
                        .map_err(|error| Failure::new("read a frame", error))?;
                    let dropped = frame["dropped_entries"].as_array().map_or(0, Vec::len);
                    if dropped > 0 {
                        progress.tell(&format!("{dropped} lines were dropped: too slow a reader"));
                    }
                    let lines = lines_of(&json!({"data": {"result": frame["streams"]}}), true);
                    *last = lines.last().map(|shown| shown.timestamp).max(*last);
                    if printer.print(&lines).is_err() {
                        return Ok(Ended::Done);
                    }
                }
                Ok(Message::Close(Some(frame))) if frame.reason == TOO_OLD => {
                    return Ok(Ended::Again(TOO_OLD.to_owned()));
                }
                Ok(Message::Close(Some(frame))) if frame.code == CloseCode::Error => {
                    return Err(Failure(format!("the server ended the tail: {}", frame.reason)));
                }
                Ok(Message::Close(frame)) => {
                    let reason = frame.map_or_else(String::new, |frame| frame.reason.to_string());
                    return Ok(Ended::Again(format!("the server ended the tail: {reason}")));
                }
                Ok(_) => {}
                Err(error) => return Ok(Ended::Again(error.to_string())),
            }
        }
        Ok(Ended::Again("the connection is closed".to_owned()))
    }
}

/// What the server said, when it refused to be tailed.
fn told(error: &Error) -> String {
    match error {
        Error::Http(answer) => {
            let body = answer.body().as_deref().unwrap_or_default();
            let text = String::from_utf8_lossy(body);
            format!("the server answered {}: {}", answer.status(), text.trim())
        }
        other => other.to_string(),
    }
}
