//! What a person at a terminal sees while a command works.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use runtime::clock::{Clock, SystemClock};
use serde_json::Value;

/// How often the line changes.
const PERIOD: Duration = Duration::from_secs(1);

/// A line on stderr that is written over and over, and messages that stay. Without a terminal
/// there are only the messages.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    is_quiet: bool,
    is_terminal: bool,
}

impl Progress {
    /// Progress on stderr; a quiet one says nothing.
    pub fn new(is_quiet: bool) -> Self {
        Self { is_quiet, is_terminal: io::stderr().is_terminal() }
    }

    /// Writes a message that stays.
    pub fn tell(self, text: &str) {
        if !self.is_quiet {
            self.clear();
            // Nobody reads it when it cannot be written.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Writes what an answer warns of.
    pub fn tell_warnings(self, answer: &Value) {
        for warning in answer["warnings"].as_array().into_iter().flatten() {
            self.tell(&format!("warning: {}", warning.as_str().unwrap_or("")));
        }
    }

    /// Writes over the line.
    pub fn show(self, text: &str) {
        if self.is_terminal && !self.is_quiet {
            let mut err = io::stderr().lock();
            let _ = write!(err, "\r\u{1b}[2K{text}").and_then(|()| err.flush());
        }
    }

    /// Removes the line.
    pub fn clear(self) {
        self.show("");
    }

    /// Waits for work, and shows for how long already.
    pub async fn during<T>(self, what: &str, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        let mut periods = 0;
        let output = loop {
            tokio::select! {
                output = &mut work => break output,
                () = SystemClock.sleep(PERIOD) => {
                    periods += 1;
                    self.show(&format!("{what}, {periods} s …"));
                }
            }
        };
        self.clear();
        output
    }
}
