//! `sigyn fmt`: a query, laid out.

use std::io::Read;

use clap::Args;

use super::Failure;
use super::query::print_line;

/// Lay out a query, or show where its mistake is
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sigyn fmt 'sum(rate({app=\"web\"}|json[5m]))by(pod)'")]
pub struct Fmt {
    /// The query in LogQL; read from stdin otherwise
    query: Option<String>,
}

impl Fmt {
    /// Parses and prints.
    ///
    /// # Errors
    ///
    /// [`Failure`] with the position of the mistake.
    pub fn run(self) -> Result<(), Failure> {
        let text = match self.query {
            Some(text) => text,
            None => {
                let mut text = String::new();
                std::io::stdin()
                    .read_to_string(&mut text)
                    .map_err(|error| Failure::new("read stdin", error))?;
                text
            }
        };
        let expr = logql::parse(text.trim()).map_err(|error| Failure::Told(error.to_string()))?;
        print_line(&logql::format_query(&expr))
    }
}
