//! `sigyn bench`: this machine, measured.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use super::query::print_line;

/// Measure writing, reading and recovery on this machine beside zstd and rg
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sigyn bench
  sigyn bench --megabytes 100 --lines ./my-logs")]
pub struct Bench {
    /// Megabytes of lines
    #[arg(long, default_value_t = 1000)]
    megabytes: u64,
    /// Streams per application; 1500 makes the high-cardinality set
    #[arg(long, default_value_t = 12)]
    pods: u64,
    /// Seed of the data
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Folder of real log files to vary, instead of built-in lines
    #[arg(long)]
    lines: Option<PathBuf>,
    /// Folder to work in, kept afterwards; a temporary one otherwise
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Connections that push at the same time
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// How often each query is asked
    #[arg(long, default_value_t = 5)]
    repetitions: usize,
}

impl Bench {
    /// Measures and prints Markdown tables.
    ///
    /// # Errors
    ///
    /// [`Failure`] when a measurement ends early.
    #[allow(clippy::print_stderr, reason = "progress for the person at the terminal")]
    pub fn run(self) -> Result<(), Failure> {
        let program =
            std::env::current_exe().map_err(|error| Failure::new("find this program", error))?;
        let plan = ::bench::Plan {
            program,
            megabytes: self.megabytes,
            pods: self.pods,
            seed: self.seed,
            lines: self.lines,
            folder: self.folder,
            connections: self.connections,
            repetitions: self.repetitions,
        };
        let report = ::bench::run(&plan, &mut |what| eprintln!("{what} …"))
            .map_err(|error| Failure(chain(&error)))?;
        print_line(&report)
    }
}

/// An error with its causes, outermost first.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(&format!(": {source}"));
        cause = source.source();
    }
    text
}
