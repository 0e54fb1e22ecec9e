//! `sigyn`: a log store that speaks Loki's API.

use std::process::ExitCode;
use std::sync::Arc;

use mimalloc::MiMalloc;
use runtime::clock::SystemClock;
use runtime::telemetry::{self, LogFormat, LogLevel};
use server::app::App;
use server::cli;
use server::config::load::{Loaded, load};
use server::config::{Config, flags::Actions, print};
use server::{target, version};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // Two providers may be linked in; the first use of TLS must not have to guess.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if cli::is_command(&arguments) {
        return cli::run(arguments);
    }
    match load(&arguments, &variable, &version::text()) {
        Loaded::Serve { config, source, ignored, actions } => {
            serve(*config, &source, &ignored, &actions)
        }
        Loaded::Health { url } => cli::health(&url),
        Loaded::Print(text) => print(&text),
        Loaded::Fail { text, code } => fail(&text, code),
    }
}

#[allow(clippy::disallowed_methods, reason = "the command line may read the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[allow(clippy::print_stdout, reason = "what was asked for on the command line")]
fn print(text: &str) -> ExitCode {
    println!("{text}");
    ExitCode::SUCCESS
}

#[allow(clippy::print_stderr, reason = "there is no log before the configuration is read")]
fn fail(text: &str, code: u8) -> ExitCode {
    eprintln!("{text}");
    ExitCode::from(code)
}

#[allow(clippy::print_stderr, reason = "-print-config-stderr asks for it")]
fn serve(config: Config, source: &str, ignored: &[String], actions: &Actions) -> ExitCode {
    let clock = Arc::new(SystemClock);
    let level = LogLevel::from_name(&config.server.log_level).unwrap_or_default();
    let format = LogFormat::from_name(&config.server.log_format).unwrap_or_default();
    let log = telemetry::init(level, format, clock.clone());
    if actions.print_config_stderr {
        eprintln!("{}", print::effective(&config));
    }
    if actions.log_config {
        for line in print::effective(&config).lines().rev() {
            tracing::info!("{line}");
        }
    }
    tracing::info!(version = version::VERSION, config = source, "starting sigyn");
    if !ignored.is_empty() {
        let keys = ignored.join(", ");
        tracing::warn!(keys, "these keys of the configuration have no effect in sigyn");
    }
    let modules = match target::needed_by(&config.target) {
        Ok(modules) => modules,
        Err(error) => return fail(&format!("CONFIG ERROR: target: {error}"), 1),
    };
    let app = App::new(config, clock, log, &modules);
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = match threads {
        Ok(threads) => threads.block_on(app.run()),
        Err(error) => return fail(&format!("start threads: {error}"), 1),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %error, "ended");
            ExitCode::FAILURE
        }
    }
}
