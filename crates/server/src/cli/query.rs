//! `sigyn query` and `sigyn instant-query`.

use std::collections::HashSet;
use std::io::{IsTerminal, Write};

use clap::Args;
use model::Timestamp;
use serde_json::Value;

use super::Failure;
use super::client::{Client, Server};
use super::output::{Form, Printer, Shown, lines_of};
use super::time::{self, Range};

/// Ask for lines, or for a metric over time
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sigyn query '{app=\"web\"} |= \"error\"'
  sigyn query --since 24h --limit 0 -o jsonl '{app=\"web\"}' > day.jsonl
  sigyn query --step 1m 'sum by (app) (rate({app=~\".+\"}[5m]))'")]
pub struct Query {
    /// The query in LogQL
    query: String,
    /// Most lines; 0 streams every line by paging
    #[arg(long, default_value_t = 30)]
    limit: u64,
    /// Lines asked for at once when more than the server allows are wanted
    #[arg(long, default_value_t = 1000)]
    batch: u64,
    /// Oldest lines first
    #[arg(long)]
    forward: bool,
    /// Resolution of a metric query, such as 1m
    #[arg(long)]
    step: Option<String>,
    /// Leave out lines closer together than this
    #[arg(long)]
    interval: Option<String>,
    /// Form of the answer
    #[arg(long, short, default_value = "default")]
    output: Form,
    /// Do not show labels
    #[arg(long)]
    no_labels: bool,
    /// No progress and no summary on stderr
    #[arg(long, short)]
    quiet: bool,
    /// Show what the query cost
    #[arg(long)]
    stats: bool,
    #[command(flatten)]
    range: Range,
    #[command(flatten)]
    server: Server,
}

/// Ask for a metric at one instant
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sigyn instant-query 'sum by (app) (count_over_time({app=~\".+\"}[1h]))'")]
pub struct InstantQuery {
    /// The query in LogQL
    query: String,
    /// When (RFC 3339); now otherwise
    #[arg(long, value_parser = time::instant)]
    now: Option<Timestamp>,
    /// Most rows
    #[arg(long, default_value_t = 30)]
    limit: u64,
    #[command(flatten)]
    server: Server,
}

impl Query {
    /// Asks, page by page, and prints.
    ///
    /// # Errors
    ///
    /// [`Failure`] with what the server said.
    pub async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.server)?;
        let (start, end) = self.range.resolve()?;
        let first = self.page(&client, start, end, self.page_size(0)).await?;
        if first["data"]["resultType"] != "streams" {
            print_json(&first["data"]["result"])?;
            return Ok(());
        }
        let printed = self.print_pages(&client, start, end, first).await?;
        self.tell(&format!("{printed} lines\n"));
        Ok(())
    }

    async fn print_pages(
        &self,
        client: &Client,
        mut start: Timestamp,
        mut end: Timestamp,
        first: Value,
    ) -> Result<u64, Failure> {
        let printer = Printer::new(self.output, !self.no_labels);
        let (mut body, mut size, mut printed) = (first, self.page_size(0), 0);
        // Lines at the border of a page come again with the next page.
        let mut border: HashSet<(Timestamp, String)> = HashSet::new();
        loop {
            self.show_stats(&body);
            let lines = lines_of(&body, self.forward);
            let count = lines.len() as u64;
            let last = lines.last().map(|shown| shown.timestamp);
            let fresh: Vec<&Shown> =
                lines.iter().filter(|shown| !border.contains(&identity(shown))).collect();
            for shown in &fresh {
                if self.limit > 0 && printed == self.limit {
                    return Ok(printed);
                }
                if printer.print(shown).is_err() {
                    return Ok(printed);
                }
                printed += 1;
            }
            let is_done = self.limit > 0 && printed >= self.limit;
            let Some(last) = last.filter(|_| count >= size && !is_done) else {
                return Ok(printed);
            };
            if fresh.is_empty() {
                return Err(Failure(format!(
                    "more than {size} lines stand at {last}; ask with a larger --batch"
                )));
            }
            border = lines.iter().filter(|l| l.timestamp == last).map(identity).collect();
            if self.forward {
                start = last;
            } else {
                // The end is exclusive, and the border is wanted again.
                end = Timestamp(last.0.saturating_add(1));
            }
            self.tell(&format!("{printed} lines, at {last}\r"));
            size = self.page_size(printed);
            body = self.page(client, start, end, size).await?;
        }
    }

    /// How many lines to ask for after `printed` were shown.
    fn page_size(&self, printed: u64) -> u64 {
        match self.limit {
            0 => self.batch,
            // One more than is missing, since a border line comes again.
            limit => self.batch.min(limit.saturating_sub(printed) + u64::from(printed > 0)),
        }
        .max(1)
    }

    async fn page(
        &self,
        client: &Client,
        start: Timestamp,
        end: Timestamp,
        size: u64,
    ) -> Result<Value, Failure> {
        let mut params = vec![
            ("query", self.query.clone()),
            ("start", start.0.to_string()),
            ("end", end.0.to_string()),
            ("limit", size.to_string()),
            ("direction", if self.forward { "forward" } else { "backward" }.to_owned()),
        ];
        params.extend(self.step.clone().map(|step| ("step", step)));
        params.extend(self.interval.clone().map(|interval| ("interval", interval)));
        let body = client.json("/loki/api/v1/query_range", &params).await?;
        for warning in body["warnings"].as_array().into_iter().flatten() {
            self.tell(&format!("warning: {}\n", warning.as_str().unwrap_or("")));
        }
        Ok(body)
    }

    fn show_stats(&self, body: &Value) {
        if self.stats {
            self.tell(&format!("{}\n", body["data"]["stats"]["summary"]));
        }
    }

    /// Tells a person at a terminal how it goes.
    fn tell(&self, text: &str) {
        let mut err = std::io::stderr();
        let is_progress = text.ends_with('\r');
        if !self.quiet && (err.is_terminal() || !is_progress) {
            // Nobody reads it when it cannot be written.
            let _ = write!(err, "{text}");
        }
    }
}

/// What makes two lines one: their time, labels and text.
fn identity(shown: &Shown) -> (Timestamp, String) {
    let labels = super::output::label_text(&shown.labels);
    (shown.timestamp, format!("{labels}{}", shown.line))
}

impl InstantQuery {
    /// Asks and prints.
    ///
    /// # Errors
    ///
    /// [`Failure`] with what the server said.
    pub async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.server)?;
        let mut params = vec![("query", self.query.clone()), ("limit", self.limit.to_string())];
        params.extend(self.now.map(|now| ("time", now.0.to_string())));
        let body = client.json("/loki/api/v1/query", &params).await?;
        print_json(&body["data"]["result"])
    }
}

/// Prints JSON for people.
///
/// # Errors
///
/// [`Failure`] when stdout is closed.
pub fn print_json(value: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::new("print", error))?;
    print_line(&text)
}

/// Prints one line to stdout.
///
/// # Errors
///
/// [`Failure`] when stdout is closed.
pub fn print_line(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{text}").map_err(|error| Failure::new("print", error))
}
