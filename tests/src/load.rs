//! Writers and readers that go on while a cluster is broken and repaired around them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::ledger::{EPOCH, Ledger};

/// After this time a writer or reader turns to another process.
const PATIENCE: Duration = Duration::from_secs(15);
/// Lines of one push.
const PUSH_LINES: u64 = 50;
/// Pause between two pushes of a writer and two questions of a reader: the test is about faults,
/// not about speed.
const PAUSE: Duration = Duration::from_millis(20);

/// Work under way; [`Load::end`] stops it.
pub struct Load {
    /// What was sent and acknowledged.
    pub ledger: Arc<Mutex<Ledger>>,
    stop: Arc<AtomicBool>,
    ended: Arc<AtomicU64>,
    writers: Vec<JoinHandle<Seen>>,
    readers: Vec<JoinHandle<Seen>>,
}

/// What writers or readers met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Requests that were done as asked.
    pub done: u64,
    /// Requests that got no answer: refused connections, broken ones, and those given up.
    pub unanswered: u64,
    /// Requests that were answered with 5xx: come again later.
    pub unavailable: u64,
    /// Why, by text.
    pub reasons: BTreeMap<String, u64>,
    /// Answers that say themselves that something is missing.
    pub partial: u64,
    /// What must not happen, by text.
    pub broken: BTreeMap<String, u64>,
}

/// What a reader expects of a complete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// That it is well-formed.
    AnAnswer,
    /// That it counts everything acknowledged before the question was asked, and nothing twice.
    Everything,
}

impl Load {
    /// Begins: each writer goes round the `writing` processes, each reader round the `reading`
    /// ones.
    #[must_use]
    pub fn begin(writing: &[Client], reading: &[Client], expect: Expect) -> Self {
        Self::begin_with(writing, reading, expect, PATIENCE)
    }

    /// As [`Load::begin`], with requests that are given up after `patience` only.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "a test that panics fails; its tasks end with it"
    )]
    pub fn begin_with(
        writing: &[Client],
        reading: &[Client],
        expect: Expect,
        patience: Duration,
    ) -> Self {
        let (ledger, stop) = (Arc::new(Mutex::new(Ledger::default())), Arc::default());
        let ended = Arc::new(AtomicU64::new(0));
        let writers = (0..2)
            .map(|first| {
                let turns = Turns::new(writing, first, &ended, patience);
                tokio::spawn(write(turns, Arc::clone(&ledger), Arc::clone(&stop)))
            })
            .collect();
        let readers = (0..2)
            .map(|first| {
                let turns = Turns::new(reading, first, &ended, patience);
                tokio::spawn(read(turns, Arc::clone(&ledger), Arc::clone(&stop), expect))
            })
            .collect();
        Self { ledger, stop, ended, writers, readers }
    }

    /// How many lines have been acknowledged.
    pub async fn acknowledged(&self) -> usize {
        self.ledger.lock().await.acknowledged()
    }

    /// Waits until `more` further lines have been acknowledged.
    ///
    /// # Panics
    ///
    /// When they are not in time.
    pub async fn await_progress(&self, what: &str, more: usize) {
        let goal = self.acknowledged().await + more;
        crate::wait::until(&format!("writes are acknowledged {what}"), || async {
            (self.acknowledged().await >= goal).then_some(())
        })
        .await;
    }

    /// Waits until `more` further requests have ended, well or not.
    ///
    /// # Panics
    ///
    /// When they have not in time.
    pub async fn await_answers(&self, more: u64) {
        let goal = self.ended.load(Ordering::Relaxed) + more;
        crate::wait::until("requests end, one way or the other", || async {
            (self.ended.load(Ordering::Relaxed) >= goal).then_some(())
        })
        .await;
    }

    /// Ends all work; answers the ledger, what writers saw, and what readers saw.
    ///
    /// # Panics
    ///
    /// When a writer or reader did.
    pub async fn end(self) -> (Ledger, Seen, Seen) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut written, mut read) = (Seen::default(), Seen::default());
        for writer in self.writers {
            written.add(writer.await.expect("a writer ends well"));
        }
        for reader in self.readers {
            read.add(reader.await.expect("a reader ends well"));
        }
        let ledger = Arc::into_inner(self.ledger).expect("nobody else has the ledger");
        (ledger.into_inner(), written, read)
    }
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.done += other.done;
        self.unanswered += other.unanswered;
        self.unavailable += other.unavailable;
        self.partial += other.partial;
        for (text, count) in other.reasons {
            *self.reasons.entry(text).or_default() += count;
        }
        for (text, count) in other.broken {
            *self.broken.entry(text).or_default() += count;
        }
    }

    fn unavailable(&mut self, why: &str) {
        self.unavailable += 1;
        // Numbers and names make every text another one.
        let text = why.chars().filter(|c| !c.is_ascii_digit()).take(150).collect();
        *self.reasons.entry(text).or_default() += 1;
    }

    fn broken(&mut self, text: String) {
        *self.broken.entry(text).or_default() += 1;
    }
}

/// Clients, one after the other.
struct Turns {
    clients: Vec<Client>,
    next: usize,
    /// Turns that ended, those of others included.
    ended: Arc<AtomicU64>,
}

impl Turns {
    fn new(clients: &[Client], first: usize, ended: &Arc<AtomicU64>, patience: Duration) -> Self {
        let clients = clients.iter().map(|client| client.with_timeout(patience)).collect();
        Self { clients, next: first, ended: Arc::clone(ended) }
    }

    fn next(&mut self) -> &Client {
        self.next += 1;
        &self.clients[self.next % self.clients.len()]
    }
}

#[allow(clippy::disallowed_methods, reason = "a steady load has pauses in real time")]
async fn pause(turns: &Turns) {
    turns.ended.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(PAUSE).await;
}

async fn write(mut turns: Turns, ledger: Arc<Mutex<Ledger>>, stop: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        let lines = ledger.lock().await.next_lines(PUSH_LINES);
        match turns.next().push(&lines).await {
            Ok(answer) if answer.status() == 204 => {
                ledger.lock().await.acknowledge(&lines);
                seen.done += 1;
            }
            Ok(answer) if answer.status().is_server_error() => {
                seen.unavailable(&answer.text().await.unwrap_or_default());
            }
            Ok(answer) => {
                let status = answer.status();
                seen.broken(format!("push: {status} {}", answer.text().await.unwrap_or_default()));
            }
            Err(_) => seen.unanswered += 1,
        }
        pause(&turns).await;
    }
    seen
}

async fn read(
    mut turns: Turns,
    ledger: Arc<Mutex<Ledger>>,
    stop: Arc<AtomicBool>,
    expect: Expect,
) -> Seen {
    let mut seen = Seen::default();
    // All lines of the ledger lie within an hour of its beginning.
    let end = (EPOCH + 3_600_000_000_000).to_string();
    let params = [("query", "sum(count_over_time({ledger=\"yes\"}[2h]))"), ("time", end.as_str())];
    while !stop.load(Ordering::Relaxed) {
        let before = ledger.lock().await.acknowledged() as u64;
        let answer = match turns.next().get("/loki/api/v1/query", &params).await {
            Ok(answer) => (answer.status(), answer.text().await),
            Err(_) => {
                seen.unanswered += 1;
                pause(&turns).await;
                continue;
            }
        };
        let sent = ledger.lock().await.sent();
        match answer {
            (_, Err(_)) => seen.unanswered += 1,
            (status, Ok(text)) if status.is_server_error() => seen.unavailable(&text),
            (status, Ok(text)) if status != 200 => seen.broken(format!("query: {status} {text}")),
            (_, Ok(text)) => match judge(&text, before, sent, expect) {
                Judgement::Complete => seen.done += 1,
                Judgement::Partial => seen.partial += 1,
                Judgement::Wrong(why) => seen.broken(why),
            },
        }
        pause(&turns).await;
    }
    seen
}

enum Judgement {
    Complete,
    Partial,
    Wrong(String),
}

fn judge(text: &str, at_least: u64, at_most: u64, expect: Expect) -> Judgement {
    let body: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let Some(result) = body["data"]["result"].as_array() else {
        return Judgement::Wrong(format!("no result in {text}"));
    };
    let count = result.first().and_then(|sample| sample["value"][1].as_str()?.parse().ok());
    let count: u64 = count.unwrap_or(0);
    if count > at_most {
        return Judgement::Wrong(format!("{count} lines counted, {at_most} sent"));
    }
    if body["warnings"].as_array().is_some_and(|warnings| !warnings.is_empty()) {
        return Judgement::Partial;
    }
    if expect == Expect::Everything && count < at_least {
        let text = format!("{count} lines counted, {at_least} acknowledged, and no warning");
        return Judgement::Wrong(text);
    }
    Judgement::Complete
}
