//! Commands for people: asking a store, checking segments, measuring.
//!
//! The asking commands speak HTTP to any server with Loki's API and read their address, tenant and
//! credentials from flags or from the environment variables that `logcli` reads.

mod bench;
mod check;
mod client;
mod fmt;
mod meta;
mod output;
mod progress;
mod query;
mod tail;
mod time;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Sigyn's commands beside serving.
#[derive(Debug, Parser)]
#[command(name = "sigyn", disable_version_flag = true, disable_help_subcommand = true)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Query(query::Query),
    InstantQuery(query::InstantQuery),
    Labels(meta::Labels),
    Series(meta::Series),
    Stats(meta::Stats),
    Volume(meta::Volume),
    Tail(tail::Tail),
    Fmt(fmt::Fmt),
    Check(check::Check),
    Bench(bench::Bench),
}

/// Why a command failed, for the person who typed it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What went wrong.
    #[error("{0}")]
    Told(String),
    /// Whoever reads the output has seen enough, which is no fault (`sigyn query … | head`).
    #[error("nobody reads the output")]
    ReaderGone,
}

impl Failure {
    fn new(doing: &str, error: impl std::fmt::Display) -> Self {
        Self::Told(format!("{doing}: {error}"))
    }

    /// Why the output could not be written.
    fn printing(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::new("print", error),
        }
    }
}

/// The words that make a command line one of these commands instead of a server's.
const COMMANDS: &[&str] = &[
    "query",
    "instant-query",
    "labels",
    "series",
    "stats",
    "volume",
    "tail",
    "fmt",
    "check",
    "bench",
];

/// Whether the first argument names a command.
#[must_use]
pub fn is_command(arguments: &[String]) -> bool {
    arguments.first().is_some_and(|first| COMMANDS.contains(&first.as_str()))
}

/// Runs a command; `arguments` do not hold the program's own name.
#[allow(clippy::print_stderr, reason = "this is the program's answer to a person")]
pub fn run(arguments: Vec<String>) -> ExitCode {
    let line = std::iter::once("sigyn".to_owned()).chain(arguments.into_iter().map(one_dash));
    let line = match Line::try_parse_from(line) {
        Ok(line) => line,
        Err(error) => {
            // Help is an answer; anything else is a mistake.
            let code = u8::from(error.use_stderr()) * 2;
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let threads = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(threads) => threads,
        Err(error) => {
            eprintln!("start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = match line.command {
        Command::Query(query) => threads.block_on(query.run()),
        Command::InstantQuery(query) => threads.block_on(query.run()),
        Command::Labels(labels) => threads.block_on(labels.run()),
        Command::Series(series) => threads.block_on(series.run()),
        Command::Stats(stats) => threads.block_on(stats.run()),
        Command::Volume(volume) => threads.block_on(volume.run()),
        Command::Tail(tail) => threads.block_on(tail.run()),
        Command::Fmt(fmt) => fmt.run(),
        Command::Check(check) => check.run(),
        Command::Bench(bench) => bench.run(),
    };
    match outcome {
        Ok(()) | Err(Failure::ReaderGone) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// Asks a running process whether it is ready; made for container health checks.
#[allow(clippy::print_stderr, reason = "this is the program's answer to a person")]
pub fn health(url: &str) -> ExitCode {
    let ask = async {
        let client = reqwest::Client::builder().timeout(std::time::Duration::from_secs(5)).build();
        client.ok()?.get(url).send().await.ok().map(|answer| answer.status().is_success())
    };
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let is_ready = threads.ok().and_then(|threads| threads.block_on(ask)).unwrap_or(false);
    if is_ready {
        return ExitCode::SUCCESS;
    }
    eprintln!("{url} does not answer that it is ready");
    ExitCode::FAILURE
}

/// Long flags may be written with one dash, as the server's are.
fn one_dash(argument: String) -> String {
    let is_long = argument.len() > 2
        && argument.starts_with('-')
        && argument.as_bytes()[1].is_ascii_lowercase()
        && argument.as_bytes()[2] != b'='
        && argument.chars().nth(2).is_some_and(|c| c.is_ascii_lowercase() || c == '-');
    if is_long { format!("-{argument}") } else { argument }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_lines_are_well_formed() {
        Line::command().debug_assert();
        let names: Vec<String> =
            Line::command().get_subcommands().map(|c| c.get_name().to_owned()).collect();
        assert_eq!(names, COMMANDS);
    }

    #[test]
    fn one_dash_is_enough() {
        let turned = ["-help", "--help", "-o", "-q", "{a=\"b\"}", "-limit=3"]
            .map(|a| one_dash(a.to_owned()));
        assert_eq!(turned, ["--help", "--help", "-o", "-q", "{a=\"b\"}", "--limit=3"]);
    }
}
