//! What the process says about itself: log lines on standard error, and the metrics registry.
//!
//! Log lines are logfmt (`ts=… level=info caller=file.rs:12 msg="…" key=value`) or JSON with the
//! same keys. The level can be changed while the process runs.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use prometheus_client::registry::Registry;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;

mod format;

use crate::clock::Clock;
use format::LineFormat;

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum LogLevel {
    /// Every request and decision.
    Debug = 0,
    /// What an operator wants to know.
    #[default]
    Info = 1,
    /// What may need attention.
    Warn = 2,
    /// What a person must act on.
    Error = 3,
}

impl LogLevel {
    /// Every level, from the most to the least said.
    pub const ALL: [Self; 4] = [Self::Debug, Self::Info, Self::Warn, Self::Error];

    /// The level's name: `debug`, `info`, `warn` or `error`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    /// The level with exactly this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == name)
    }

    fn filter(self) -> LevelFilter {
        match self {
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Warn => LevelFilter::WARN,
            Self::Error => LevelFilter::ERROR,
        }
    }
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// `key=value` pairs.
    #[default]
    Logfmt,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// The format with exactly this name: `logfmt` or `json`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "logfmt" => Some(Self::Logfmt),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Changes how much is logged. Clones change the same.
#[derive(Clone)]
pub struct LogHandle {
    level: Arc<AtomicU8>,
    apply: Arc<dyn Fn(LogLevel) + Send + Sync>,
}

impl std::fmt::Debug for LogHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LogHandle").field(&self.level()).finish()
    }
}

impl LogHandle {
    /// A handle that remembers a level and changes nothing, for processes that do not log.
    #[must_use]
    pub fn detached(level: LogLevel) -> Self {
        Self { level: Arc::new(AtomicU8::new(level as u8)), apply: Arc::new(|_| {}) }
    }

    /// How much is logged now.
    #[must_use]
    pub fn level(&self) -> LogLevel {
        LogLevel::ALL[usize::from(self.level.load(Ordering::Relaxed)).min(3)]
    }

    /// Logs more or less from now on.
    pub fn set_level(&self, level: LogLevel) {
        self.level.store(level as u8, Ordering::Relaxed);
        (self.apply)(level);
    }
}

/// Starts logging to standard error. A second call in one process leaves the first in force.
pub fn init(level: LogLevel, format: LogFormat, clock: Arc<dyn Clock>) -> LogHandle {
    let (filter, reloader) = reload::Layer::new(targets(level));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .event_format(LineFormat::new(format, clock));
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        return LogHandle::detached(level);
    }
    let reloader = Mutex::new(reloader);
    let apply = move |level| {
        let reloader = reloader.lock().unwrap_or_else(PoisonError::into_inner);
        // Fails only when the subscriber is gone, and it lives as long as the process.
        let _ = reloader.reload(targets(level));
    };
    LogHandle { level: Arc::new(AtomicU8::new(level as u8)), apply: Arc::new(apply) }
}

/// Libraries below us say nothing of interest to an operator beneath their warnings.
const QUIET: [&str; 8] =
    ["h2", "hyper", "hyper_util", "mio", "object_store", "reqwest", "rustls", "tower"];

fn targets(level: LogLevel) -> Targets {
    let quiet = level.filter().min(LevelFilter::WARN);
    Targets::new()
        .with_default(level.filter())
        .with_targets(QUIET.into_iter().map(|target| (target, quiet)))
        // It warns at every round of gossip; the ring store that uses it says the same once.
        .with_target("chitchat", level.filter().min(LevelFilter::ERROR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_names() {
        for level in LogLevel::ALL {
            assert_eq!(LogLevel::from_name(level.as_str()), Some(level));
        }
        assert_eq!(LogLevel::from_name("INFO"), None);
        assert_eq!(LogFormat::from_name("json"), Some(LogFormat::Json));
    }

    #[test]
    fn a_handle_remembers_its_level() {
        let handle = LogHandle::detached(LogLevel::Warn);
        handle.set_level(LogLevel::Debug);
        assert_eq!(handle.level(), LogLevel::Debug);
    }
}
