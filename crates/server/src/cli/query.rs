//! `sigyn query` and `sigyn instant-query`.

use std::collections::HashSet;
use std::io::Write;

use clap::Args;
use model::Timestamp;
use serde_json::Value;

use super::Failure;
use super::client::{Client, Server};
use super::output::{Form, Printer, Shown, lines_of};
use super::progress::Progress;
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
    /// Form of the answer
    #[arg(long, short, default_value = "default")]
    output: Form,
    /// No progress on stderr
    #[arg(long, short)]
    quiet: bool,
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
        let progress = Progress::new(self.quiet);
        let (start, end) = self.range.resolve()?;
        let pages = Pages::new(&self, start, end);
        let first = pages.next(&client, progress).await?;
        if first["data"]["resultType"] != "streams" {
            return print_rows(&first["data"]["result"], self.output);
        }
        let printed = pages.print_all(&client, progress, first).await?;
        progress.tell(&format!("{printed} lines"));
        Ok(())
    }
}

/// A log query, page by page. Pages overlap by the lines of one time, the border, because more
/// lines may have that time than the page before held.
struct Pages<'a> {
    query: &'a Query,
    start: Timestamp,
    end: Timestamp,
    printed: u64,
    /// Lines of the next page.
    size: u64,
    /// Lines at the border that were printed already.
    border: HashSet<(Timestamp, String)>,
}

impl<'a> Pages<'a> {
    fn new(query: &'a Query, start: Timestamp, end: Timestamp) -> Self {
        let mut pages = Self { query, start, end, printed: 0, size: 0, border: HashSet::new() };
        pages.size = pages.next_size();
        pages
    }

    /// Prints the first page and all after it; answers how many lines that were.
    async fn print_all(
        mut self,
        client: &Client,
        progress: Progress,
        first: Value,
    ) -> Result<u64, Failure> {
        let printer = Printer::new(self.query.output, !self.query.no_labels);
        let mut body = first;
        while let Some(fresh) = self.take(&body)? {
            self.printed += fresh.len() as u64;
            printer.print(&fresh)?;
            if self.is_last() {
                break;
            }
            let at = if self.query.forward { self.start } else { self.end };
            progress.show(&format!("{} lines, at {at}", self.printed));
            body = self.next(client, progress).await?;
        }
        Ok(self.printed)
    }

    /// The lines of a page that are to be printed; `None` when the page before was the last.
    /// Afterwards the start, the end and the border are those of the next page.
    fn take(&mut self, body: &Value) -> Result<Option<Vec<Shown>>, Failure> {
        let forward = self.query.forward;
        let lines = lines_of(body, forward);
        let is_full = lines.len() as u64 >= self.size;
        let Some(last) = lines.last().map(|shown| shown.timestamp) else { return Ok(None) };
        let border = lines.iter().filter(|line| line.timestamp == last).map(identity).collect();
        let before = std::mem::replace(&mut self.border, border);
        let mut fresh: Vec<Shown> =
            lines.into_iter().filter(|shown| !before.contains(&identity(shown))).collect();
        if self.query.limit > 0 {
            fresh.truncate(usize::try_from(self.query.limit - self.printed).unwrap_or(usize::MAX));
        }
        if fresh.is_empty() && is_full {
            // The server says so when that is too many.
            self.size *= 2;
            return Ok(Some(fresh));
        }
        if fresh.is_empty() {
            return Ok(None);
        }
        self.size = if is_full { self.next_size_after(fresh.len() as u64) } else { 0 };
        if forward {
            self.start = last;
        } else {
            // The end is exclusive, and the border is wanted again.
            self.end = Timestamp(last.0.saturating_add(1));
        }
        Ok(Some(fresh))
    }

    fn is_last(&self) -> bool {
        self.size == 0 || (self.query.limit > 0 && self.printed >= self.query.limit)
    }

    fn next_size(&self) -> u64 {
        match self.query.limit {
            0 => self.query.batch,
            limit => self.query.batch.min(limit),
        }
        .max(1)
    }

    /// Besides the lines that are missing, those of the border come again.
    fn next_size_after(&self, fresh: u64) -> u64 {
        let border = self.border.len() as u64;
        match self.query.limit {
            0 => self.query.batch.max(border + 1),
            limit => {
                let missing = limit.saturating_sub(self.printed + fresh);
                self.query.batch.max(border + 1).min(missing + border)
            }
        }
        .max(1)
    }

    async fn next(&self, client: &Client, progress: Progress) -> Result<Value, Failure> {
        let query = self.query;
        let mut params = vec![
            ("query", query.query.clone()),
            ("start", self.start.0.to_string()),
            ("end", self.end.0.to_string()),
            ("limit", self.size.to_string()),
            ("direction", if query.forward { "forward" } else { "backward" }.to_owned()),
        ];
        params.extend(query.step.clone().map(|step| ("step", step)));
        params.extend(query.interval.clone().map(|interval| ("interval", interval)));
        let what = format!("{} lines, asking for more", self.printed);
        let asked = client.json("/loki/api/v1/query_range", &params);
        let body = progress.during(&what, asked).await?;
        progress.tell_warnings(&body);
        if query.stats {
            progress.tell(&body["data"]["stats"]["summary"].to_string());
        }
        Ok(body)
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
        let asked = client.json("/loki/api/v1/query", &params);
        let progress = Progress::new(self.quiet);
        let body = progress.during("asking", asked).await?;
        progress.tell_warnings(&body);
        print_rows(&body["data"]["result"], self.output)
    }
}

/// Prints the rows of a metric: for people, or one in each line.
fn print_rows(rows: &Value, form: Form) -> Result<(), Failure> {
    match (form, rows.as_array()) {
        (Form::Jsonl, Some(rows)) if rows.iter().all(Value::is_object) => {
            rows.iter().try_for_each(|row| print_line(&row.to_string()))
        }
        (Form::Jsonl, _) => print_line(&rows.to_string()),
        _ => print_json(rows),
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
    writeln!(std::io::stdout(), "{text}").map_err(Failure::printing)
}
