//! `sigyn tail`: lines as they arrive.

use clap::Args;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::Message;

use super::Failure;
use super::client::{Client, Server};
use super::output::{Form, Printer, lines_of};

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
    #[command(flatten)]
    server: Server,
}

impl Tail {
    /// Connects and prints until the server or the reader ends it.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the connection cannot be made or breaks.
    #[allow(clippy::print_stderr, reason = "dropped lines are told to the person at the terminal")]
    pub async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.server)?;
        let params = [
            ("query", self.query.clone()),
            ("limit", self.limit.to_string()),
            ("delay_for", self.delay_for.to_string()),
        ];
        let address = client.websocket("/loki/api/v1/tail", &params);
        let mut request = address
            .as_str()
            .into_client_request()
            .map_err(|error| Failure::new(&format!("connect to {address}"), error))?;
        for (name, value) in client.headers() {
            let value = HeaderValue::from_str(&value)
                .map_err(|error| Failure::new(&format!("send {name}"), error))?;
            request.headers_mut().insert(name, value);
        }
        let (mut socket, _) = tokio_tungstenite::connect_async(request)
            .await
            .map_err(|error| Failure::new(&format!("connect to {}", self.server.addr), error))?;
        let printer = Printer::new(self.output, !self.no_labels);
        while let Some(message) = socket.next().await {
            match message.map_err(|error| Failure::new("tail", error))? {
                Message::Text(text) => {
                    let frame: Value = serde_json::from_str(&text)
                        .map_err(|error| Failure::new("read a frame", error))?;
                    let dropped = frame["dropped_entries"].as_array().map_or(0, Vec::len);
                    if dropped > 0 {
                        eprintln!("{dropped} lines were dropped: this reader is too slow");
                    }
                    let body = json!({"data": {"result": frame["streams"]}});
                    for shown in lines_of(&body, true) {
                        if printer.print(&shown).is_err() {
                            return Ok(());
                        }
                    }
                }
                Message::Close(Some(frame)) => {
                    return Err(Failure(format!("the server ended the tail: {}", frame.reason)));
                }
                Message::Close(None) => return Ok(()),
                _ => {}
            }
        }
        Ok(())
    }
}
