//! `sigyn labels`, `series`, `stats` and `volume`.

use clap::Args;

use super::Failure;
use super::client::{Client, Server};
use super::output::label_text;
use super::query::{print_json, print_line};
use super::time::Range;

/// List label names, or the values of one label
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sigyn labels
  sigyn labels app --since 24h")]
pub struct Labels {
    /// A label whose values are wanted
    label: Option<String>,
    /// Only streams that match this selector
    #[arg(long)]
    query: Option<String>,
    #[command(flatten)]
    range: Range,
    #[command(flatten)]
    server: Server,
}

/// List the label sets of streams
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sigyn series '{app=\"web\"}'")]
pub struct Series {
    /// Selectors; a stream that matches any of them is listed
    #[arg(required = true)]
    selectors: Vec<String>,
    #[command(flatten)]
    range: Range,
    #[command(flatten)]
    server: Server,
}

/// Count streams, entries and bytes that a selector covers
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sigyn stats '{app=\"web\"}' --since 24h")]
pub struct Stats {
    /// The selector
    selector: String,
    #[command(flatten)]
    range: Range,
    #[command(flatten)]
    server: Server,
}

/// Show which label values hold the most bytes
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sigyn volume '{app=~\".+\"}' --target-labels app")]
pub struct Volume {
    /// The selector
    selector: String,
    /// Most rows
    #[arg(long, default_value_t = 30)]
    limit: u64,
    /// Labels to sum by, separated by commas
    #[arg(long)]
    target_labels: Option<String>,
    /// Sum per label name instead of per set of values
    #[arg(long)]
    aggregate_by_labels: bool,
    #[command(flatten)]
    range: Range,
    #[command(flatten)]
    server: Server,
}

impl Labels {
    /// Asks and prints one name or value per line.
    ///
    /// # Errors
    ///
    /// [`Failure`] with what the server said.
    pub async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.server)?;
        let path = match &self.label {
            Some(label) => format!("/loki/api/v1/label/{label}/values"),
            None => "/loki/api/v1/labels".to_owned(),
        };
        let mut params = self.range.params()?;
        params.extend(self.query.map(|query| ("query", query)));
        let body = client.json(&path, &params).await?;
        for value in body["data"].as_array().into_iter().flatten() {
            print_line(value.as_str().unwrap_or(""))?;
        }
        Ok(())
    }
}

impl Series {
    /// Asks and prints one label set per line.
    ///
    /// # Errors
    ///
    /// [`Failure`] with what the server said.
    pub async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.server)?;
        let mut params = self.range.params()?;
        params.extend(self.selectors.into_iter().map(|selector| ("match", selector)));
        let body = client.json("/loki/api/v1/series", &params).await?;
        let mut sets: Vec<String> = body["data"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|labels| labels.as_object())
            .map(label_text)
            .collect();
        sets.sort();
        sets.iter().try_for_each(|set| print_line(set))
    }
}

impl Stats {
    /// Asks and prints.
    ///
    /// # Errors
    ///
    /// [`Failure`] with what the server said.
    pub async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.server)?;
        let mut params = self.range.params()?;
        params.push(("query", self.selector));
        let body = client.json("/loki/api/v1/index/stats", &params).await?;
        for name in ["streams", "chunks", "entries", "bytes"] {
            print_line(&format!("{name}: {}", body[name]))?;
        }
        Ok(())
    }
}

impl Volume {
    /// Asks and prints.
    ///
    /// # Errors
    ///
    /// [`Failure`] with what the server said.
    pub async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.server)?;
        let mut params = self.range.params()?;
        params.push(("query", self.selector));
        params.push(("limit", self.limit.to_string()));
        params.extend(self.target_labels.map(|labels| ("targetLabels", labels)));
        if self.aggregate_by_labels {
            params.push(("aggregateBy", "labels".to_owned()));
        }
        let body = client.json("/loki/api/v1/index/volume", &params).await?;
        print_json(&body["data"]["result"])
    }
}
