//! `sigyn tail`: lines as they arrive.

use std::time::Duration;

use clap::Args;
use futures_util::StreamExt;
use model::Timestamp;
use runtime::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::Failure;
use super::client::{Client, Server, Socket};
use super::output::{Form, Printer, lines_of};
use super::progress::Progress;
use super::time;

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

impl Tail {
    /// Connects and prints until the server ends it, or nobody reads. A broken connection is made
    /// anew, from the last line on.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the connection cannot be made, or not anew.
    pub async fn run(self) -> Result<(), Failure> {
        let client = Client::for_websockets(&self.server)?;
        let progress = Progress::new(self.quiet);
        let mut last: Option<Timestamp> = self.from.map(|from| Timestamp(from.0 - 1));
        let mut left = FRESH_STARTS;
        let mut socket = self.connect(&client, last).await?;
        loop {
            let before = last;
            let why = self.follow(&mut socket, &mut last, progress).await?;
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
        client.websocket("/loki/api/v1/tail", &params).await
    }

    /// Prints what arrives, until the connection breaks or is too old; answers why. `last` becomes
    /// the newest time.
    async fn follow(
        &self,
        socket: &mut Socket,
        last: &mut Option<Timestamp>,
        progress: Progress,
    ) -> Result<String, Failure> {
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
                    printer.print(&lines)?;
                }
                Ok(Message::Close(Some(frame))) if frame.reason == TOO_OLD => {
                    return Ok(TOO_OLD.to_owned());
                }
                Ok(Message::Close(Some(frame))) if frame.code == CloseCode::Error => {
                    return Err(Failure::Told(format!(
                        "the server ended the tail: {}",
                        frame.reason
                    )));
                }
                Ok(Message::Close(frame)) => {
                    let reason = frame.map_or_else(String::new, |frame| frame.reason.to_string());
                    return Ok(format!("the server ended the tail: {reason}"));
                }
                Ok(_) => {}
                Err(error) => return Ok(error.to_string()),
            }
        }
        Ok("the connection is closed".to_owned())
    }
}
