//! `sigyn bench`: this machine, measured.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use super::query::print_line;

/// Measure writing, reading, compaction and recovery on this machine beside zstd and rg
///
/// Makes lines of one day, starts this program as a child in a folder of its own, and prints what
/// happens as Markdown tables: CPU and memory of pushing everything with each answer synced to disk;
/// the queries of a working day, as flushed and as compacted; what a SIGKILL loses; 40,500 streams.
#[derive(Debug, Args)]
#[command(after_help = "\
How to read the tables:
  figure               what this machine did
  beside the yardstick the same in units of zstd or rg, run on the same lines just before: machines
                       differ, ratios stay
  goal here            what Sigyn aims for, scaled from the reference machine to this one by zstd -3
  Loki / VictoriaLogs  what they needed on the reference machine, scaled in the same way
Equal options make equal lines. Run it when nothing else runs, and compare medians of several runs.

Examples:
  sigyn bench
  sigyn bench --megabytes 100 --lines ./my-logs
  sigyn bench --growth 10 --svg growth.svg    ten days of such data: what does ten times as much cost?")]
pub struct Bench {
    /// Megabytes of lines
    #[arg(long, default_value_t = 1000)]
    megabytes: u64,
    /// Streams per application
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
    /// Store so many days of such data one after the other, and ask about all of them as they
    /// become more; 0 leaves that out
    #[arg(long, default_value_t = 0)]
    growth: u64,
    /// Draw cost against data size into this file; grows to four days unless told otherwise
    #[arg(long)]
    svg: Option<PathBuf>,
}

/// Days that a picture needs.
const PICTURE_DAYS: u64 = 4;

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
            growth: match (self.growth, &self.svg) {
                (0, Some(_)) => PICTURE_DAYS,
                (days, _) => days,
            },
            svg: self.svg,
        };
        let report = ::bench::run(&plan, &mut |what| eprintln!("{what} …"))
            .map_err(|error| Failure::Told(chain(&error)))?;
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
