//! A ledger of what was pushed and what was acknowledged.
//!
//! Every line has a number of its own. After any accident, each acknowledged line must be found
//! exactly once; a line that was sent without an answer may be found once or not at all.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Mutex;

use crate::client::{Client, Line};

/// First time used by ledgers, in nanoseconds: 2026-11-19T00:00:00Z.
pub const EPOCH: i64 = 1_795_046_400_000_000_000;
/// Time between two lines, in nanoseconds.
const STEP: i64 = 1_000_000;

/// What was sent and what was acknowledged.
#[derive(Debug)]
pub struct Ledger {
    /// Time of the first line.
    epoch: i64,
    /// Number of the next line.
    next: u64,
    /// By number: whether it was acknowledged.
    sent: HashMap<u64, bool>,
}

/// How a comparison of the ledger with the store ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Acknowledged and not found.
    pub missing: Vec<u64>,
    /// Found more than once.
    pub doubled: Vec<u64>,
    /// Found though never sent, or with another text.
    pub foreign: Vec<String>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self::starting_at(EPOCH)
    }
}

impl Ledger {
    /// An empty ledger whose first line has this time, in nanoseconds.
    #[must_use]
    pub fn starting_at(epoch: i64) -> Self {
        Self { epoch, next: 0, sent: HashMap::new() }
    }

    /// Makes the next `count` lines, spread over a few streams, and notes them as sent.
    pub fn next_lines(&mut self, count: u64) -> Vec<Line> {
        let numbers = self.next..self.next + count;
        self.next += count;
        numbers
            .map(|number| {
                self.sent.insert(number, false);
                line(self.epoch, number)
            })
            .collect()
    }

    /// Notes lines as acknowledged.
    pub fn acknowledge(&mut self, lines: &[Line]) {
        for line in lines {
            if let Some(number) = number_of(&line.text) {
                self.sent.insert(number, true);
            }
        }
    }

    /// How many lines were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.sent.values().filter(|is_acknowledged| **is_acknowledged).count()
    }

    /// How many lines were sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.next
    }

    /// Reads everything back and compares.
    pub async fn compare(&self, client: &Client) -> Difference {
        self.try_compare(client).await.expect("every page")
    }

    /// The same for a server that may be too busy for an answer.
    ///
    /// # Errors
    ///
    /// What came instead of an answer.
    pub async fn try_compare(&self, client: &Client) -> Result<Difference, String> {
        let end = self.epoch + i64::try_from(self.next).unwrap_or(i64::MAX) * STEP + 1;
        let found = client.try_all_lines("{ledger=\"yes\"}", self.epoch, end, 5000).await?;
        let mut counts: HashMap<u64, u32> = HashMap::new();
        let mut difference = Difference::default();
        for line in found {
            match number_of(&line.text).filter(|n| self.sent.contains_key(n)) {
                Some(number) if text(number) == line.text => {
                    *counts.entry(number).or_default() += 1
                }
                _ => difference.foreign.push(line.text),
            }
        }
        for (number, is_acknowledged) in &self.sent {
            match counts.get(number).copied().unwrap_or(0) {
                0 if *is_acknowledged => difference.missing.push(*number),
                0 | 1 => {}
                _ => difference.doubled.push(*number),
            }
        }
        difference.missing.sort_unstable();
        difference.doubled.sort_unstable();
        Ok(difference)
    }
}

fn line(epoch: i64, number: u64) -> Line {
    let stream = number % 7;
    Line {
        stream: format!(r#"{{"ledger":"yes","pod":"pod-{stream}"}}"#),
        timestamp: epoch + i64::try_from(number).unwrap_or(i64::MAX) * STEP,
        text: text(number),
    }
}

/// The text of a line: its number, and padding whose length and content depend on it.
fn text(number: u64) -> String {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let length = 20 + number % 200;
    let padding: String = (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(b'a' + u8::try_from(state % 26).unwrap_or(0))
        })
        .collect();
    format!("line {number} {padding}")
}

fn number_of(text: &str) -> Option<u64> {
    text.strip_prefix("line ")?.split(' ').next()?.parse().ok()
}

/// Pushes from several connections until told to stop, noting what was acknowledged.
pub async fn write_until(
    writers: usize,
    client: Client,
    ledger: Arc<Mutex<Ledger>>,
    stop: Arc<AtomicBool>,
) {
    let writers = (0..writers).map(|_| {
        let (client, ledger, stop) = (client.clone(), Arc::clone(&ledger), Arc::clone(&stop));
        async move {
            while !stop.load(Ordering::Relaxed) {
                let lines = ledger.lock().await.next_lines(50);
                match client.push(&lines).await {
                    Ok(answer) if answer.status() == 204 => ledger.lock().await.acknowledge(&lines),
                    // Refused or cut off: nothing is known about these lines.
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        }
    });
    futures_util::future::join_all(writers).await;
}
